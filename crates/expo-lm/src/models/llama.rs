//! Llama 2 and 3, SmolLM2, and whatever else is stored as this class: the plain block.

use super::{Activation, AttentionScale, BlockTensors, EmbeddingScale, Family, Gguf, Name, Options, RopeOptions, Shape, Windows};

/// The names that most families share.
pub const TENSORS: BlockTensors = BlockTensors {
    attention_norm: Name::new("input_layernorm", "attn_norm"),
    qkv: [Name::new("self_attn.q_proj", "attn_q"), Name::new("self_attn.k_proj", "attn_k"), Name::new("self_attn.v_proj", "attn_v")],
    qkv_bias: false,
    qk_norm: None,
    o: Name::new("self_attn.o_proj", "attn_output"),
    attention_out_norm: None,
    mlp_norm: Name::new("post_attention_layernorm", "ffn_norm"),
    gate_up: [Name::new("mlp.gate_proj", "ffn_gate"), Name::new("mlp.up_proj", "ffn_up")],
    down: Name::new("mlp.down_proj", "ffn_down"),
    mlp_out_norm: None,
};

/// `LlamaForCausalLM`.
pub const FAMILY: Family = Family {
    class_name: "LlamaForCausalLM",
    model_type: "llama",
    tensors: TENSORS,
    norm_offset: 0.0,
    embedding_scale: EmbeddingScale::One,
    options: Options {
        activation: "hidden_act",
        default_activation: Activation::Silu,
        max_position_embeddings: 2048,
        num_key_value_heads: None,
        head_dim: None,
        documents_head_dim: true,
        tie_word_embeddings: false,
        attention_scale: AttentionScale::HeadDim,
        windows: Windows::Never,
        rope: RopeOptions::One(10_000.0),
        off: &["attention_bias", "mlp_bias"],
        ignored: &[],
    },
    gguf: Some(Gguf { architecture: "llama", interleaves_heads: true, keys: &[], scaled_by_width: &[] }),
    shapes: &[Shape {
        name: "smollm2-135m",
        vocab: 49_152,
        hidden: 576,
        inner: 1536,
        layers: 30,
        heads: (9, 3, 64),
        theta: 1e5,
        window: 0,
        context: 8192,
    }],
};
