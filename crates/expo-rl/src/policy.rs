//! The model that a command works with: from a folder, the hub, or the binary itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use expo_lm::chat::{Chat, ChatSettings, Conversation, FieldCheck, Message, taken_variable};
use expo_lm::load::{LoadedModel, ModelFolder};
use expo_lm::lora::peft;
use serde_json::{Map, Value};

use crate::output::tell;

/// Which model.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArgs {
    /// Hugging Face folder, hub name (owner/model), or `embedded:tiny` for the model in the binary. Of an adapter's folder: the model that it names, with it. Of a
    /// run's folder: its model, or its newest checkpoint where it has not ended.
    #[arg(long, value_name = "DIR", required_unless_present = "adapter")]
    pub model: Option<String>,
    /// LoRA adapter to put on it: a folder in PEFT's format, such as the `model` of a run with `[lora]`. Without `--model`, on the model that it names.
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

impl ModelArgs {
    /// Loads the model, the adapter on it.
    pub fn load(&self) -> anyhow::Result<LoadedModel> {
        load_policy(self.model.as_deref(), self.adapter.as_deref())
    }

    /// What the model is called.
    pub fn name(&self) -> String {
        self.model.clone().or_else(|| Some(self.adapter.as_ref()?.display().to_string())).unwrap_or_default()
    }
}

/// The model of the run in `folder`: what it came to, or its newest checkpoint, which is told. `None`: there is no run in it.
pub fn model_of_run(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !folder.join("run.json").is_file() || folder.join("config.json").exists() {
        return Ok(None);
    }
    let model = folder.join("model");
    if model.is_dir() {
        return Ok(Some(model));
    }
    let name = folder.display();
    let checkpoints = std::fs::read_dir(folder.join("checkpoints")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    // `step-000100`: the newest is the last by name. Others are being written or removed.
    let newest = checkpoints.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-"))).max();
    let Some(newest) = newest else {
        anyhow::bail!("{name} is the folder of a run without a model: it has not ended, and no checkpoint is in {name}/checkpoints");
    };
    tell(&[format!("the run in {name} has not ended; taking {}", newest.display())]);
    Ok(Some(newest))
}

/// Loads a model with an adapter on it, if there is one. An adapter without a model brings its own base, also where it is given as the model; a run's folder
/// stands for its model.
pub fn load_policy(model: Option<&str>, adapter: Option<&Path>) -> anyhow::Result<LoadedModel> {
    let of_run = model.map(|model| model_of_run(Path::new(model))).transpose()?.flatten();
    let model = of_run.as_ref().and_then(|path| path.to_str()).or(model);
    let adapter_of_run = adapter.map(model_of_run).transpose()?.flatten();
    let adapter = adapter_of_run.as_deref().or(adapter);
    let (model, adapter) = match (model, adapter) {
        (Some(model), None) if peft::is_adapter(Path::new(model)) => (None, Some(Path::new(model))),
        both => both,
    };
    let base = match (model, adapter) {
        (Some(model), _) => model.to_owned(),
        (None, Some(adapter)) => {
            let base = peft::base_model(adapter)?;
            tell(&[format!("{} belongs to {base}, as its base_model_name_or_path says", adapter.display())]);
            base
        }
        (None, None) => anyhow::bail!("no model: give --model, or --adapter with an adapter that names its own"),
    };
    let mut loaded = load(&base)?;
    if let Some(adapter) = adapter {
        tell(&loaded.model.load_adapter(adapter)?);
    }
    Ok(loaded)
}

/// The name of the model in the binary.
pub const EMBEDDED: &str = "embedded:tiny";

/// The files of the model in the binary: `assets/tiny`.
const EMBEDDED_FILES: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../assets/tiny/config.json")),
    ("generation_config.json", include_bytes!("../assets/tiny/generation_config.json")),
    ("tokenizer.json", include_bytes!("../assets/tiny/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../assets/tiny/tokenizer_config.json")),
    ("model.safetensors", include_bytes!("../assets/tiny/model.safetensors")),
];

/// Loads a model by folder, hub name or [`EMBEDDED`], and tells what there is to know about its files.
pub fn load(name: &str) -> anyhow::Result<LoadedModel> {
    let folder = Path::new(name);
    if folder.join("run.json").is_file() && !folder.join("config.json").exists() {
        anyhow::bail!("{name} is the folder of a run; its model is in {name}/model once it has ended, and in each of {name}/checkpoints");
    }
    let loaded = if is_embedded(name)? { LoadedModel::from_memory(EMBEDDED_FILES)? } else { LoadedModel::load(name)? };
    Ok(told(loaded))
}

/// The same with random weights.
pub fn load_random(name: &str, seed: u64) -> anyhow::Result<LoadedModel> {
    let loaded = if is_embedded(name)? { LoadedModel::random_from_memory(EMBEDDED_FILES, seed)? } else { LoadedModel::random(name, seed)? };
    Ok(told(loaded))
}

/// Whether the model lies in the binary. Errors: it says so, but there is none of that name.
fn is_embedded(name: &str) -> anyhow::Result<bool> {
    if name != EMBEDDED && name.starts_with("embedded:") {
        anyhow::bail!("{name}: the only model in the binary is {EMBEDDED}");
    }
    Ok(name == EMBEDDED)
}

fn told(loaded: LoadedModel) -> LoadedModel {
    tell(&loaded.notices);
    loaded
}

/// Tells what there is to know about how files were read.
pub fn tell(notices: &[String]) {
    for notice in notices {
        tell!("note: {notice}");
    }
}

/// Variables for the chat template.
#[derive(Debug, Clone, clap::Args)]
pub struct ChatArgs {
    /// Variables of the chat template, as JSON: '{"enable_thinking": false}'.
    #[arg(long, value_name = "JSON", value_parser = variables)]
    chat_template_kwargs: Option<Variables>,
}

/// Variables of a chat template.
type Variables = Map<String, Value>;

fn variables(text: &str) -> Result<Variables, String> {
    let variables: Variables =
        serde_json::from_str(text).map_err(|e| format!("expected a JSON object, such as {{\"enable_thinking\": false}} ({e})"))?;
    match taken_variable(&variables) {
        Some(name) => Err(format!("`{name}` is given to the chat template anyway; remove it")),
        None => Ok(variables),
    }
}

impl ChatArgs {
    /// The chat of `folder`, today, with these variables; tells which of them its template doesn't read.
    pub fn chat(&self, folder: Arc<ModelFolder>) -> anyhow::Result<Chat> {
        let chat_template_kwargs = self.chat_template_kwargs.clone().unwrap_or_default();
        let chat = Chat::new(folder, ChatSettings { chat_template_kwargs, ..ChatSettings::now() });
        if let (Some(_), Ok(template)) = (&self.chat_template_kwargs, chat.template()) {
            let mut check = FieldCheck::default();
            check.look_at_variables(template, &question(None, "1"), chat.settings());
            tell(&check.notice().into_iter().map(|notice| format!("--chat-template-kwargs: {notice}")).collect::<Vec<_>>());
        }
        Ok(chat)
    }
}

/// `text` as a user's turn, after a system message, if any.
pub fn question(system: Option<&str>, text: &str) -> Conversation {
    let system = system.map(|system| Message::new("system", system));
    system.into_iter().chain([Message::new("user", text)]).collect::<Vec<_>>().into()
}
