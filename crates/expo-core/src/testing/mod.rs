//! What several tests need.

pub mod run;

use expo_lm::load::{LoadedModel, ModelFolder};

/// The tiny model of `assets/` with random weights.
pub fn tiny() -> LoadedModel {
    let files: [(&str, &[u8]); 4] = [
        ("config.json", include_bytes!("../../../../assets/tiny/config.json")),
        ("generation_config.json", include_bytes!("../../../../assets/tiny/generation_config.json")),
        ("tokenizer.json", include_bytes!("../../../../assets/tiny/tokenizer.json")),
        ("tokenizer_config.json", include_bytes!("../../../../assets/tiny/tokenizer_config.json")),
    ];
    LoadedModel::random_from_memory(&files, 1).expect("the tiny model's files")
}

/// The model in the binary.
pub fn trained_tiny() -> LoadedModel {
    let files: [(&str, &[u8]); 5] = [
        ("config.json", include_bytes!("../../../../assets/tiny/config.json")),
        ("generation_config.json", include_bytes!("../../../../assets/tiny/generation_config.json")),
        ("tokenizer.json", include_bytes!("../../../../assets/tiny/tokenizer.json")),
        ("tokenizer_config.json", include_bytes!("../../../../assets/tiny/tokenizer_config.json")),
        ("model.safetensors", include_bytes!("../../../../assets/tiny/model.safetensors")),
    ];
    LoadedModel::from_memory(&files).expect("the tiny model's files")
}

/// The tiny model's folder with another chat template.
pub fn with_template(template: &str) -> ModelFolder {
    let text = include_str!("../../../../assets/tiny/tokenizer_config.json");
    let mut config: serde_json::Value = serde_json::from_str(text).expect("the tiny model's files");
    config["chat_template"] = template.into();
    let files: [(&str, &[u8]); 4] = [
        ("config.json", include_bytes!("../../../../assets/tiny/config.json")),
        ("generation_config.json", include_bytes!("../../../../assets/tiny/generation_config.json")),
        ("tokenizer.json", include_bytes!("../../../../assets/tiny/tokenizer.json")),
        ("tokenizer_config.json", &config.to_string().into_bytes()),
    ];
    LoadedModel::random_from_memory(&files, 1).expect("the tiny model's files").folder
}
