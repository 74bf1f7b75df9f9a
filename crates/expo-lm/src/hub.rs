//! Models by their name on the Hugging Face hub, through `hf-hub` and its usual cache.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo};

use crate::error::{Error, Result};

/// Whether `name` has the form of a hub name, `owner/model`.
pub(crate) fn is_hub_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    name.split_once('/').is_some_and(|(owner, model)| part(owner) && part(model))
}

/// The local folder of the hub model `name`: downloaded now, or found in the cache. A notice says so when the hub can't be reached
/// and the cache serves.
pub(crate) fn fetch(name: &str) -> Result<(PathBuf, Option<String>)> {
    match download(name) {
        Ok(folder) => Ok((folder, None)),
        Err(error) => match Cache::from_env().repo(Repo::model(name.to_owned())).get("config.json").as_deref().and_then(Path::parent) {
            Some(folder) => Ok((folder.to_owned(), Some(format!("the hub can't be reached ({error}); using {name} from the cache")))),
            None => {
                let message = format!("model `{name}` is neither a local folder nor in the cache, and the hub gave an error: {error}");
                Err(Error::Invalid(message))
            }
        },
    }
}

fn download(name: &str) -> Result<PathBuf, hf_hub::api::sync::ApiError> {
    let repo = ApiBuilder::from_env().build()?.model(name.to_owned());
    let mut names: Vec<String> = repo.info()?.siblings.into_iter().map(|file| file.rfilename).collect();
    let single = names.iter().any(|name| name == crate::weights::safetensors::SINGLE_FILE);
    names.retain(|name| is_wanted(name, single));
    let mut folder = PathBuf::new();
    for name in &names {
        let path = repo.get(name)?;
        if !name.contains('/') {
            folder = path.parent().map(Path::to_owned).unwrap_or_default();
        }
    }
    Ok(folder)
}

/// Configuration, tokenizer and weights; not the other frameworks' copies of the same weights.
fn is_wanted(name: &str, single_weights_file: bool) -> bool {
    if name.ends_with(".safetensors") {
        return if single_weights_file { name == crate::weights::safetensors::SINGLE_FILE } else { name.starts_with("model-") };
    }
    crate::side_files::is_side_file(name)
        || name == "config.json"
        || (name == crate::weights::safetensors::INDEX_FILE && !single_weights_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_names_are_told_from_paths() {
        for name in ["Qwen/Qwen2.5-0.5B-Instruct", "a/b"] {
            assert!(is_hub_name(name), "{name}");
        }
        for path in ["model", "./model", "../a", "/abs/path", "a/b/c", "a/", "/b", "dir/.hidden", "with space/x"] {
            assert!(!is_hub_name(path), "{path}");
        }
    }

    #[test]
    fn only_what_is_needed_is_downloaded() {
        let wanted = |name| is_wanted(name, true);
        assert!(wanted("config.json") && wanted("tokenizer.json") && wanted("model.safetensors") && wanted("chat_template.jinja"));
        assert!(!wanted("original/consolidated.00.pth") && !wanted("consolidated.safetensors") && !wanted("pytorch_model.bin"));
        assert!(is_wanted("model-00001-of-00002.safetensors", false) && is_wanted("model.safetensors.index.json", false));
    }
}
