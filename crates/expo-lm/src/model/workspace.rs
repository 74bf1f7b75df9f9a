//! Memory for activations: allocated when a larger batch comes, kept and reused otherwise.

use super::LanguageModel;
use super::rope::RopeTables;
use crate::kernels::Backend;
use crate::model::params::head_layout;

/// What the backward pass of one block needs from its forward pass.
pub struct LayerActivations<B: Backend> {
    /// Reciprocal roots of the norm before attention: `[rows]`.
    pub attention_inv: B::Buf,
    /// Fused projection before q/k norm; empty for models without it.
    pub qkv_raw: B::Buf,
    /// Reciprocal roots of the q norm `[rows, q_heads]` and the k norm `[rows, kv_heads]`; empty for models without them.
    pub qk_inv: (B::Buf, B::Buf),
    /// Fused projection, rotated: `[rows, (q_heads + 2 kv_heads) * head_dim]`.
    pub qkv: B::Buf,
    /// Attention output: `[rows, q_heads * head_dim]`.
    pub attention: B::Buf,
    /// Log-sum-exp of the scores: `[rows, q_heads]`.
    pub lse: B::Buf,
    /// Residual stream after attention: `[rows, hidden]`.
    pub middle: B::Buf,
    /// Reciprocal roots of the norm before the MLP: `[rows]`.
    pub mlp_inv: B::Buf,
    /// Gate and up projections: `[rows, 2 * intermediate]`.
    pub gate_up: B::Buf,
    /// What the norm on attention's output reads.
    pub attention_out: NormInput<B>,
    /// What the norm on the MLP's output reads.
    pub mlp_out: NormInput<B>,
}

/// What a norm of a projection's output needs for its backward pass; empty in models without that norm.
pub struct NormInput<B: Backend> {
    /// The projection: `[rows, hidden]`.
    pub x: B::Buf,
    /// Reciprocal roots: `[rows]`.
    pub inv: B::Buf,
}

/// Seconds of wall time by part of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PassSeconds {
    /// Blocks forward; with `gradient_checkpointing` the second time counts as backward.
    pub forward: f64,
    /// The head: log-probabilities and, where wanted, their gradient.
    pub head: f64,
    /// Blocks backward.
    pub backward: f64,
}

/// What a forward pass leaves for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: there is none.
    Nothing,
    /// The residual stream before each block, from which the backward pass computes the rest again.
    Residuals,
    /// Every block's activations.
    Everything,
}

/// Buffers that only the backward pass uses.
pub struct BackwardBuffers<B: Backend> {
    /// Gradient of the residual stream: `[rows, hidden]`.
    pub residual: B::Buf,
    /// Gradient of a normalised input: `[rows, hidden]`.
    pub hidden: B::Buf,
    /// Gradient of the gated unit's output: `[rows, intermediate]`.
    pub inner: B::Buf,
    /// Gradient of gate and up: `[rows, 2 * intermediate]`.
    pub gate_up: B::Buf,
    /// Gradient of the attention's output: `[rows, q_heads * head_dim]`.
    pub attention: B::Buf,
    /// Gradient of the fused projection.
    pub qkv: B::Buf,
}

/// Buffers of the low-rank adapter; one module uses them after the other. Empty without an adapter.
pub struct LowRankBuffers<B: Backend> {
    /// The narrow activations and their gradient: `[rows, rank]` (the second only for the backward pass).
    pub narrow: [B::Buf; 2],
    /// An input after dropout and its gradient: `[rows, widest input]`; only for passes with dropout.
    pub dropped: [B::Buf; 2],
    /// The seed of this pass's dropout; `None` in passes without.
    pub dropout_seed: Option<u64>,
}

/// Reusable activation memory of one model shape.
pub struct Workspace<B: Backend> {
    rows: usize,
    /// Residual streams: one a block plus the last when gradients are wanted, otherwise one.
    pub residual: Vec<B::Buf>,
    /// Saved activations: one a block when gradients are wanted, otherwise one for all.
    pub layers: Vec<LayerActivations<B>>,
    /// A normalised input: `[rows, hidden]`.
    pub hidden: Option<B::Buf>,
    /// The gated unit's output: `[rows, intermediate]`.
    pub inner: Option<B::Buf>,
    /// Reciprocal roots of the final norm.
    pub final_inv: Option<B::Buf>,
    /// The adapter's buffers, once one has run.
    pub low_rank: Option<LowRankBuffers<B>>,
    /// Seed of the adapter's dropout in the next pass with gradients, which leaves another one behind. Passes without gradients have no dropout.
    pub dropout_seed: u64,
    /// The backward pass's buffers, once one has run.
    pub backward: Option<BackwardBuffers<B>>,
    /// Whether gradients keep only each block's residual stream and compute the other activations again (Hugging Face's `gradient_checkpointing`): less
    /// memory for one more forward pass.
    pub gradient_checkpointing: bool,
    /// Where passes through this workspace spent their time; added to, for the caller to take.
    pub seconds: PassSeconds,
    positions: usize,
    /// Cosines and sines up to the longest position seen.
    pub rope: Option<RopeTables<B>>,
}

impl<B: Backend> Default for Workspace<B> {
    fn default() -> Self {
        Self {
            rows: 0,
            residual: Vec::new(),
            layers: Vec::new(),
            hidden: None,
            inner: None,
            final_inv: None,
            low_rank: None,
            dropout_seed: 0,
            backward: None,
            gradient_checkpointing: false,
            seconds: PassSeconds::default(),
            positions: 0,
            rope: None,
        }
    }
}

impl<B: Backend> Workspace<B> {
    /// An empty workspace; see [`Workspace::gradient_checkpointing`].
    pub fn new(gradient_checkpointing: bool) -> Self {
        Self { gradient_checkpointing, ..Self::default() }
    }

    /// What a forward pass keeps that is to be followed by a backward pass.
    pub(crate) fn keep_for_backward(&self) -> Keep {
        if self.gradient_checkpointing { Keep::Residuals } else { Keep::Everything }
    }

    /// Goes on to the dropout of the next pass with gradients (a step of Knuth's MMIX generator; the masks hash it).
    pub(crate) fn next_dropout(&mut self) {
        self.dropout_seed = self.dropout_seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }

    /// Makes room for `rows` tokens at positions under `positions` and what `keep` asks for, the backward pass's buffers included.
    pub(crate) fn reserve(&mut self, model: &LanguageModel<B>, rows: usize, positions: usize, keep: Keep) {
        let (backend, config) = (model.backend, &model.config);
        let layout = head_layout(config);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        if positions > self.positions {
            self.positions = positions.next_power_of_two().min(config.max_position_embeddings).max(positions);
            self.rope = Some(RopeTables::new(backend, &config.layers, config.head_dim, self.positions));
        }
        if rows > self.rows {
            *self = Self {
                rows: rows.next_multiple_of(64),
                positions: self.positions,
                rope: self.rope.take(),
                gradient_checkpointing: self.gradient_checkpointing,
                dropout_seed: self.dropout_seed,
                seconds: self.seconds,
                ..Self::default()
            };
        }
        let zeros = |width: usize| backend.zeros(self.rows * width);
        self.hidden.get_or_insert_with(|| zeros(hidden));
        self.inner.get_or_insert_with(|| zeros(inner));
        self.final_inv.get_or_insert_with(|| zeros(1));
        let layers = if keep == Keep::Everything { config.num_hidden_layers } else { 1 };
        let tensors = &config.family.tensors;
        let raw = usize::from(tensors.qk_norm.is_some());
        let norm_input = |norm: bool| {
            let some = usize::from(norm);
            NormInput { x: zeros(some * hidden), inv: zeros(some) }
        };
        while self.layers.len() < layers {
            self.layers.push(LayerActivations {
                attention_inv: zeros(1),
                qkv_raw: zeros(raw * layout.row()),
                qk_inv: (zeros(raw * layout.q_heads), zeros(raw * layout.kv_heads)),
                qkv: zeros(layout.row()),
                attention: zeros(layout.q_heads * layout.head_dim),
                lse: zeros(layout.q_heads),
                middle: zeros(hidden),
                mlp_inv: zeros(1),
                gate_up: zeros(2 * inner),
                attention_out: norm_input(tensors.attention_out_norm.is_some()),
                mlp_out: norm_input(tensors.mlp_out_norm.is_some()),
            });
        }
        if let Some(adapter) = &model.adapter {
            let dropout_seed = (keep != Keep::Nothing && adapter.config().lora_dropout > 0.0).then_some(self.dropout_seed);
            let buffers = self.low_rank.get_or_insert_with(|| LowRankBuffers {
                narrow: [(); 2].map(|()| zeros(0)),
                dropped: [(); 2].map(|()| zeros(0)),
                dropout_seed: None,
            });
            buffers.dropout_seed = dropout_seed;
            let grow = |buf: &mut B::Buf, width: usize| {
                if backend.len(buf) < self.rows * width {
                    *buf = zeros(width);
                }
            };
            let backward = keep != Keep::Nothing;
            let rank = adapter.ranks().1;
            grow(&mut buffers.narrow[0], rank);
            grow(&mut buffers.narrow[1], if backward { rank } else { 0 });
            buffers.dropped.iter_mut().for_each(|buf| grow(buf, if dropout_seed.is_some() { adapter.widest_input() } else { 0 }));
        }
        let residuals = if keep == Keep::Nothing { 1 } else { config.num_hidden_layers + 1 };
        while self.residual.len() < residuals {
            self.residual.push(zeros(hidden));
        }
        if keep != Keep::Nothing && self.backward.is_none() {
            self.backward = Some(BackwardBuffers {
                residual: zeros(hidden),
                hidden: zeros(hidden),
                inner: zeros(inner),
                gate_up: zeros(2 * inner),
                attention: zeros(layout.q_heads * layout.head_dim),
                qkv: zeros(layout.row()),
            });
        }
    }
}
