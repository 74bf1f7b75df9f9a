//! Qwen3: norms of each head's queries and keys instead of Qwen2's biases.

use super::{BlockTensors, Family, Gguf, Name, Options, llama, qwen2};

/// The names of the norms of queries and keys.
pub const QK_NORM: [Name; 2] = [Name::new("self_attn.q_norm", "attn_q_norm"), Name::new("self_attn.k_norm", "attn_k_norm")];

/// `Qwen3ForCausalLM`.
pub const FAMILY: Family = Family {
    class_name: "Qwen3ForCausalLM",
    model_type: "qwen3",
    tensors: BlockTensors { qk_norm: Some(QK_NORM), ..llama::TENSORS },
    options: Options { head_dim: Some(128), documents_head_dim: true, ignored: &[], ..qwen2::OPTIONS },
    gguf: Some(Gguf { architecture: "qwen3", interleaves_heads: false, keys: &[], scaled_by_width: &[] }),
    shapes: &[],
    ..llama::FAMILY
};
