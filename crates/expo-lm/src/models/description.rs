//! What a family's file says: the description that everything else follows.

use std::fmt;

/// What models of one Hugging Face class have in common.
#[derive(Clone, Copy, PartialEq)]
pub struct Family {
    /// The class in `architectures`.
    pub class_name: &'static str,
    /// `model_type`.
    pub model_type: &'static str,
    /// The tensors of a block, and with them which norms and biases it has.
    pub tensors: BlockTensors,
    /// What RMSNorm adds to its weights before it multiplies with them.
    pub norm_offset: f64,
    /// Factor on the embedding's rows.
    pub embedding_scale: EmbeddingScale,
    /// How `config.json` spells the rest, and what stands where it says nothing.
    pub options: Options,
    /// How GGUF files have it; `None` where none are read.
    pub gguf: Option<Gguf>,
    /// Published sizes, for measuring without weights.
    pub shapes: &'static [Shape],
}

/// The class tells two families apart, and is what messages say.
impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class_name)
    }
}

/// A tensor of a block, without what stands before it (`model.layers.N.`, `blk.N.`) and without `.weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Hugging Face's name.
    pub hf: &'static str,
    /// GGUF's name.
    pub gguf: &'static str,
}

impl Name {
    pub(super) const fn new(hf: &'static str, gguf: &'static str) -> Self {
        Self { hf, gguf }
    }
}

/// The tensors of a block in the order of its computation. A norm that is `None` isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTensors {
    /// Norm of what attention reads.
    pub attention_norm: Name,
    /// Query, key and value projections.
    pub qkv: [Name; 3],
    /// Whether these have biases.
    pub qkv_bias: bool,
    /// Norms of each head's queries and keys.
    pub qk_norm: Option<[Name; 2]>,
    /// Output projection of attention.
    pub o: Name,
    /// Norm of what attention adds to the residual stream.
    pub attention_out_norm: Option<Name>,
    /// Norm of what the MLP reads.
    pub mlp_norm: Name,
    /// Gate and up projections.
    pub gate_up: [Name; 2],
    /// Down projection.
    pub down: Name,
    /// Norm of what the MLP adds to the residual stream.
    pub mlp_out_norm: Option<Name>,
}

impl BlockTensors {
    /// Whether a block of these tensors has the one that Hugging Face calls `name` (`self_attn.q_proj.bias`).
    pub fn has(&self, name: &str) -> bool {
        let norms = [self.attention_norm, self.mlp_norm].into_iter().chain(self.attention_out_norm).chain(self.mlp_out_norm);
        let products = self.qkv.into_iter().chain(self.gate_up).chain([self.o, self.down]);
        let mut weights = norms.chain(products).chain(self.qk_norm.into_iter().flatten());
        let is = |part: &Name, kind: &str| name.strip_suffix(kind) == Some(part.hf);
        weights.any(|part| is(&part, ".weight")) || self.qkv_bias && self.qkv.iter().any(|part| is(part, ".bias"))
    }
}

/// Factor on the embedding's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingScale {
    /// 1.
    One,
    /// The root of the model's width.
    RootOfWidth,
}

/// What a block's second half is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mlp {
    /// A gated unit (arXiv 2002.05202) with this activation of the gate.
    Dense(Activation),
    /// A mixture of experts, which is refused by the name of its option.
    Experts {
        /// The option of `config.json` that says so.
        option: &'static str,
        /// Its value.
        count: usize,
    },
}

/// The function of a gated unit's gate: `x * sigmoid(u(x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// SiLU: `u(x) = x`.
    Silu,
    /// GELU by its tanh (arXiv 1606.08415): `u(x) = 2 sqrt(2 / pi) (x + 0.044715 x^3)`, since `(1 + tanh(u / 2)) / 2 = sigmoid(u)`.
    GeluTanh,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Silu, Self::GeluTanh];

    /// transformers' names, the one that is written first.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Silu => &["silu", "swish"],
            Self::GeluTanh => &["gelu_pytorch_tanh"],
        }
    }

    /// The one that transformers calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activation| activation.names().contains(&name))
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

impl Rope {
    /// Without scaling.
    pub fn plain(theta: f64) -> Self {
        Self { theta, scaling: RopeScaling::Default }
    }
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

/// How one layer attends.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerAttention {
    /// Sliding window in tokens (`None`: full attention). With a window of W, a token sees itself and the W - 1 tokens before it.
    pub window: Option<usize>,
    /// Rotary embedding.
    pub rope: Rope,
}

/// The options of a family's `config.json`, and its configuration class's defaults in transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The key of the activation.
    pub activation: &'static str,
    /// What the activation is where the key is missing.
    pub default_activation: Activation,
    /// Default of `max_position_embeddings`.
    pub max_position_embeddings: usize,
    /// Default of `num_key_value_heads`; `None`: as many as query heads.
    pub num_key_value_heads: Option<usize>,
    /// Default of `head_dim`; `None`: the width over the query heads.
    pub head_dim: Option<usize>,
    /// Whether `head_dim` is an option of the class; else it is written only where the width doesn't give it.
    pub documents_head_dim: bool,
    /// Default of `tie_word_embeddings`.
    pub tie_word_embeddings: bool,
    /// What says the factor on attention's scores.
    pub attention_scale: AttentionScale,
    /// Which layers have a sliding window.
    pub windows: Windows,
    /// Bases of the rotary embedding.
    pub rope: RopeOptions,
    /// Options of the class that are off in everything computed here, written as `false`.
    pub off: &'static [&'static str],
    /// Keys that this class ignores, though in others they change what is computed.
    pub ignored: &'static [&'static str],
}

/// The factor on attention's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionScale {
    /// `1 / sqrt(head_dim)`.
    HeadDim,
    /// `1 / sqrt(n)` with `n` by a key of its own.
    Key {
        /// The key.
        key: &'static str,
        /// Its default.
        default: usize,
    },
}

/// What says which layers have a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// None have one, whatever the file says.
    Never,
    /// All have `sliding_window`, unless it is null.
    Every {
        /// Its default.
        window: usize,
    },
    /// With `use_sliding_window`: those that `layer_types` says, else those from `max_window_layers` on.
    Switched {
        /// Default of `sliding_window`.
        window: usize,
        /// Default of `max_window_layers`.
        first: usize,
    },
    /// Those that `layer_types` says, else all but every `sliding_window_pattern`-th.
    Pattern {
        /// Default of `sliding_window`.
        window: usize,
        /// Default of `sliding_window_pattern`.
        period: usize,
    },
}

/// What says the base of the rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeOptions {
    /// `rope_theta` for all layers, with this default.
    One(f64),
    /// `rope_theta` with `rope_scaling` for layers with full attention, a key of its own for the others; or `rope_parameters` by layer type.
    ByLayerType {
        /// Default of `rope_theta`.
        full: f64,
        /// The other key.
        key: &'static str,
        /// Its default.
        sliding: f64,
    },
}

/// What is particular to a family in GGUF files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gguf {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Whether rows of q and k are in the order of a rotation of neighbouring dimensions.
    pub interleaves_heads: bool,
    /// Numbers of this architecture that become options, each with its key in `config.json`.
    pub keys: &'static [(&'static str, &'static str)],
    /// Numbers of layers of the models whose scores are divided by the root of the width over the query heads, which files don't say.
    pub scaled_by_width: &'static [u64],
}

/// A named size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// What it is called.
    pub name: &'static str,
    /// Rows of the embedding, which is the head as well.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub inner: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads, key/value heads, elements of a head.
    pub heads: (usize, usize, usize),
    /// Base of the rotary embedding (of layers with full attention).
    pub theta: f64,
    /// Sliding window of the layers that have one.
    pub window: usize,
    /// Longest context.
    pub context: usize,
}
