//! What one model is: its family and its sizes.
//!
//! Reading Hugging Face's `config.json` is in [`read`], writing it in `write`; which options a family has is in [`crate::models`].

pub mod read;
mod rope;
mod shapes;
mod write;

pub use read::ConfigFile;
pub use shapes::shape_names;

use crate::models::EmbeddingScale;
pub use crate::models::{Activation, Family, LayerAttention, Mlp, Rope, RopeScaling};

/// Shape and options of a decoder-only model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Its family: what is the same for all models of a Hugging Face class.
    pub family: &'static Family,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
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
    /// A block's second half.
    pub mlp: Mlp,
    /// Attention's scores are divided by the root of this; `None`: of `head_dim`.
    pub query_pre_attn_scalar: Option<usize>,
    /// The head shares the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Longest context the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// How each layer attends.
    pub layers: Vec<LayerAttention>,
    /// Beginning- and end-of-sequence ids as `config.json` has them (written back on export).
    pub bos_token_id: Option<u32>,
    /// End-of-sequence ids.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// The activation of the MLP's gate. Readers refuse models without a dense MLP.
    pub(crate) fn activation(&self) -> Activation {
        match self.mlp {
            Mlp::Dense(activation) => activation,
            Mlp::Experts { count, .. } => unreachable!("a mixture of {count} experts is refused when it is read"),
        }
    }

    /// Factor on attention's scores.
    pub(crate) fn attention_scale(&self) -> f64 {
        1.0 / (self.query_pre_attn_scalar.unwrap_or(self.head_dim) as f64).sqrt()
    }

    /// Factor on the embedding's rows.
    pub(crate) fn embedding_scale(&self) -> f64 {
        match self.family.embedding_scale {
            EmbeddingScale::One => 1.0,
            EmbeddingScale::RootOfWidth => (self.hidden_size as f64).sqrt(),
        }
    }

    /// The RoPE of layers with full attention and that of layers with a window, where there are such layers.
    pub(crate) fn ropes(&self) -> [Option<&Rope>; 2] {
        [false, true].map(|slides| self.layers.iter().find(|layer| layer.window.is_some() == slides).map(|layer| &layer.rope))
    }
}
