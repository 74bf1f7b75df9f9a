//! Gemma 3's text models: norms on both sides of both halves of a block, with factors of 1 + weight; a scaled embedding; GELU; and five layers with a window
//! to each one without, the two kinds with a RoPE of their own.
//!
//! transformers rounds the embedding's scale to the weights' type, so that in bf16 it is a little off; here it is the root itself, as in fp32 there.

use super::{
    Activation, AttentionScale, BlockTensors, EmbeddingScale, Family, Gguf, Name, Options, RopeOptions, Shape, Windows, llama, qwen3,
};

/// `Gemma3ForCausalLM`.
pub const FAMILY: Family = Family {
    class_name: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    tensors: BlockTensors {
        qk_norm: Some(qwen3::QK_NORM),
        attention_out_norm: Some(Name::new("post_attention_layernorm", "post_attention_norm")),
        mlp_norm: Name::new("pre_feedforward_layernorm", "ffn_norm"),
        mlp_out_norm: Some(Name::new("post_feedforward_layernorm", "post_ffw_norm")),
        ..llama::TENSORS
    },
    norm_offset: 1.0,
    embedding_scale: EmbeddingScale::RootOfWidth,
    options: Options {
        activation: "hidden_activation",
        default_activation: Activation::GeluTanh,
        max_position_embeddings: 131_072,
        num_key_value_heads: Some(4),
        head_dim: Some(256),
        documents_head_dim: true,
        tie_word_embeddings: true,
        attention_scale: AttentionScale::Key { key: "query_pre_attn_scalar", default: 256 },
        windows: Windows::Pattern { window: 4096, period: 6 },
        rope: RopeOptions::ByLayerType { full: 1e6, key: "rope_local_base_freq", sliding: 1e4 },
        off: &["attention_bias"],
        ignored: &[],
    },
    gguf: Some(Gguf {
        architecture: "gemma3",
        interleaves_heads: false,
        keys: &[
            ("attention.sliding_window", "sliding_window"),
            ("attention.sliding_window_pattern", "sliding_window_pattern"),
            ("rope.freq_base_swa", "rope_local_base_freq"),
        ],
        // The 27B.
        scaled_by_width: &[62],
    }),
    shapes: &[
        Shape {
            name: "gemma-3-270m",
            vocab: 262_144,
            hidden: 640,
            inner: 2048,
            layers: 18,
            heads: (4, 1, 256),
            theta: 1e6,
            window: 512,
            context: 32_768,
        },
        Shape {
            name: "gemma-3-1b",
            vocab: 262_144,
            hidden: 1152,
            inner: 6912,
            layers: 26,
            heads: (4, 1, 256),
            theta: 1e6,
            window: 512,
            context: 32_768,
        },
    ],
};
