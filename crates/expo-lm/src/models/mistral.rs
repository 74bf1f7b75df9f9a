//! Mistral 7B and its successors: Llama's block with a window on every layer.

use super::{Family, Options, Windows, llama};

/// `MistralForCausalLM`. GGUF files have it as llama.
pub const FAMILY: Family = Family {
    class_name: "MistralForCausalLM",
    model_type: "mistral",
    options: Options {
        max_position_embeddings: 131_072,
        num_key_value_heads: Some(8),
        windows: Windows::Every { window: 4096 },
        off: &["attention_bias"],
        ignored: &["attention_bias", "mlp_bias"],
        ..llama::FAMILY.options
    },
    gguf: None,
    shapes: &[],
    ..llama::FAMILY
};
