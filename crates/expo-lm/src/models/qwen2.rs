//! Qwen2 and Qwen2.5: biases on q, k and v, and windows that can be switched on.

use super::{BlockTensors, Family, Gguf, Options, Shape, Windows, llama};

/// The options that this family and its successor share.
pub const OPTIONS: Options = Options {
    max_position_embeddings: 32_768,
    num_key_value_heads: Some(32),
    documents_head_dim: false,
    windows: Windows::Switched { window: 4096, first: 28 },
    off: &["attention_bias"],
    ignored: &["attention_bias", "mlp_bias"],
    ..llama::FAMILY.options
};

/// `Qwen2ForCausalLM`.
pub const FAMILY: Family = Family {
    class_name: "Qwen2ForCausalLM",
    model_type: "qwen2",
    tensors: BlockTensors { qkv_bias: true, ..llama::TENSORS },
    options: OPTIONS,
    gguf: Some(Gguf { architecture: "qwen2", interleaves_heads: false, keys: &[], scaled_by_width: &[] }),
    shapes: &[
        Shape { name: "small", vocab: 512, hidden: 256, inner: 768, layers: 8, heads: (8, 2, 32), theta: 1e6, window: 0, context: 4096 },
        Shape {
            name: "qwen2.5-0.5b",
            vocab: 151_936,
            hidden: 896,
            inner: 4864,
            layers: 24,
            heads: (14, 2, 64),
            theta: 1e6,
            window: 0,
            context: 32_768,
        },
    ],
    ..llama::FAMILY
};
