//! What several tests need.

use expo_lm::load::LoadedModel;

/// The tiny model of `assets/` with random weights.
pub fn tiny() -> LoadedModel {
    let files: [(&str, &[u8]); 4] = [
        ("config.json", include_bytes!("../../../assets/tiny/config.json")),
        ("generation_config.json", include_bytes!("../../../assets/tiny/generation_config.json")),
        ("tokenizer.json", include_bytes!("../../../assets/tiny/tokenizer.json")),
        ("tokenizer_config.json", include_bytes!("../../../assets/tiny/tokenizer_config.json")),
    ];
    LoadedModel::random_from_memory(&files, 1).expect("the tiny model's files")
}
