//! The Llama family as data: one block whose differences (bias, q/k norm, tied head, RoPE, head size) are fields.
//!
//! Reading Hugging Face's `config.json` is in [`read`], writing it in `write`.

pub mod read;
mod shapes;
mod write;

pub use read::ConfigFile;
pub use shapes::shape_names;

/// Shape and options of a decoder-only model of the Llama family.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which Hugging Face class this is; only used for reading and writing `config.json`.
    pub architecture: Architecture,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads (grouped-query attention); divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Size of one head.
    pub head_dim: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Bias on q, k and v projections (Qwen2).
    pub qkv_bias: bool,
    /// RMSNorm on each head's q and k (Qwen3).
    pub qk_norm: bool,
    /// The head shares the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Longest context the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Rotary position embedding.
    pub rope: Rope,
    /// For each layer, the sliding window in tokens (`None`: full attention). With a window of W, a token sees itself and the W - 1
    /// tokens before it.
    pub sliding_window: Vec<Option<usize>>,
    /// Beginning- and end-of-sequence ids as `config.json` has them (written back on export).
    pub bos_token_id: Option<u32>,
    /// End-of-sequence ids.
    pub eos_token_ids: Vec<u32>,
}

/// Hugging Face classes that are the same block with other options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `LlamaForCausalLM`
    Llama,
    /// `Qwen2ForCausalLM`
    Qwen2,
    /// `Qwen3ForCausalLM`
    Qwen3,
    /// `MistralForCausalLM`
    Mistral,
}

impl Architecture {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Mistral];

    /// The class name in `architectures`.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Mistral => "MistralForCausalLM",
        }
    }

    /// `model_type`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Mistral => "mistral",
        }
    }
}

/// Rotary embedding: base and scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Change of the wavelengths for longer contexts.
    pub scaling: RopeScaling,
}

/// RoPE scaling, with the parameters of Hugging Face's `rope_scaling`.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// Positions divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Llama 3.1's piecewise scaling.
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Wavelengths above context / this are fully scaled.
        low_freq_factor: f64,
        /// Wavelengths below context / this are untouched.
        high_freq_factor: f64,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// Extension factor.
        factor: f64,
        /// Start of the ramp, in rotations.
        beta_fast: f64,
        /// End of the ramp, in rotations.
        beta_slow: f64,
        /// Multiplier of cos and sin.
        attention_factor: f64,
        /// Context length of pretraining.
        original_max_position_embeddings: usize,
        /// Whether the ramp's bounds are rounded to whole dimensions.
        truncate: bool,
    },
}
