//! Families of models as data: one file a family says in what its block differs, how its tensors are called and which options its `config.json` has.
//!
//! Everything else follows this description and knows no family by name: parameters, forward and backward pass, adapters, and what reads and writes
//! Hugging Face's folders and GGUF files. A new family whose operations exist is one file here and its line in [`FAMILIES`].

mod description;
pub mod gemma3;
pub mod llama;
pub mod mistral;
pub mod qwen2;
pub mod qwen3;

pub use description::{
    Activation, AttentionScale, BlockTensors, EmbeddingScale, Family, Gguf, LayerAttention, Mlp, Name, Options, Rope, RopeOptions,
    RopeScaling, Shape, Windows,
};

/// Every family, in the order in which messages list them.
pub static FAMILIES: [&Family; 5] = [&llama::FAMILY, &qwen2::FAMILY, &qwen3::FAMILY, &mistral::FAMILY, &gemma3::FAMILY];

/// The families of which `is` is true, by their classes, for messages.
pub fn classes(is: impl Fn(&Family) -> bool) -> String {
    FAMILIES.iter().filter(|family| is(family)).map(|family| family.class_name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_families_have_a_name_in_common() {
        for (i, family) in FAMILIES.iter().enumerate() {
            for other in &FAMILIES[..i] {
                assert_ne!(family.class_name, other.class_name);
                assert_ne!(family.model_type, other.model_type);
                assert!(family.gguf.is_none() || family.gguf.map(|g| g.architecture) != other.gguf.map(|g| g.architecture));
            }
        }
    }

    /// The engines, the readers and the writers know families by their description alone.
    #[test]
    fn no_family_is_named_outside_its_file() {
        let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut checked = 0;
        for room in ["model", "kernels", "lora", "generate", "weights", "gguf", "config", "optim"] {
            for path in files(&src.join(room)) {
                if path.file_stem().is_some_and(|name| name.to_string_lossy().contains("tests")) {
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("source");
                // What is only for tests may name one.
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for family in FAMILIES {
                    for name in [family.class_name, &format!("models::{}", family.model_type), &format!("{}::FAMILY", family.model_type)] {
                        assert!(!code.contains(name), "{} names {name}", path.display());
                    }
                }
                checked += 1;
            }
        }
        assert!(checked > 40, "only {checked} files were read");
    }

    fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a room").map(|entry| entry.expect("entry").path());
        entries
            .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
            .filter(|p| p.extension().is_some_and(|e| e == "rs"))
            .collect()
    }
}
