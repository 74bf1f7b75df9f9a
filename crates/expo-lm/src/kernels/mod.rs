//! The contract between the model and the hardware: every operation with its forward and its backward, on packed rows.
//!
//! Above this room nothing indexes into activations: a [`Backend`] owns its buffers, and host and device meet only where token ids go in
//! and where log-probabilities and saved weights come out. [`cpu`] is the backend that exists.

pub mod cpu;

pub use cpu::Cpu;
pub use cpu::micro::instruction_set;

use std::ops::Range;

use crate::batch::{DistributionTarget, LossGradient, Segment, Target, TokenScore};
use crate::models::Activation;

/// Tokens of a page of the KV cache.
pub const PAGE: usize = 16;

/// How heads lie in a row of the fused query/key/value projection: all query heads, then all key heads, then all value heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadLayout {
    /// Query heads.
    pub q_heads: usize,
    /// Key/value heads; divides `q_heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor on the products of queries and keys.
    pub scale: f64,
}

impl HeadLayout {
    /// Elements of a row.
    pub fn row(&self) -> usize {
        (self.q_heads + 2 * self.kv_heads) * self.head_dim
    }
    /// First element of key head `h`.
    pub fn key(&self, h: usize) -> usize {
        (self.q_heads + h) * self.head_dim
    }
    /// First element of value head `h`.
    pub fn value(&self, h: usize) -> usize {
        (self.q_heads + self.kv_heads + h) * self.head_dim
    }
}

/// Runs of a row that are normalised one by one: `groups` runs of `width` elements, the first at `offset`, in rows of `stride`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormShape {
    /// Rows.
    pub rows: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    /// First element of the first run in its row.
    pub offset: usize,
    /// Runs a row.
    pub groups: usize,
    /// Elements of a run; also the length of the weight.
    pub width: usize,
    /// What is added to the weight before it multiplies.
    pub weight_offset: f64,
}

impl NormShape {
    /// One run a row: the whole row.
    pub fn whole(rows: usize, width: usize, weight_offset: f64) -> Self {
        Self { rows, stride: width, offset: 0, groups: 1, width, weight_offset }
    }
}

/// A linear layer's product: `rows` activations of `inputs` elements to `outputs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of activations.
    pub rows: usize,
    /// Elements in.
    pub inputs: usize,
    /// Elements out.
    pub outputs: usize,
}

/// A low-rank product beside a linear layer (LoRA): `inputs` to `rank` to `outputs`, the last being the columns from `first` on of rows of `stride` elements,
/// since the layer may be one of several that are one product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowRankShape {
    /// Rows of activations.
    pub rows: usize,
    /// Elements in.
    pub inputs: usize,
    /// Rank.
    pub rank: usize,
    /// Elements out.
    pub outputs: usize,
    /// First column out.
    pub first: usize,
    /// Elements from one row of the output to the next.
    pub stride: usize,
    /// What the product is multiplied by.
    pub scale: f64,
}

/// The two matrices of a low-rank product: A `[rank, inputs]` and B `[outputs, rank]`.
#[derive(Debug)]
pub struct LowRank<'a, Buf> {
    /// A.
    pub a: &'a Buf,
    /// B.
    pub b: &'a Buf,
}

/// What [`Backend::low_rank_backward`] adds to.
#[derive(Debug)]
pub struct LowRankGradients<'a, Buf> {
    /// Gradient of A.
    pub a: &'a mut Buf,
    /// Gradient of B.
    pub b: &'a mut Buf,
    /// Gradient of the input, where wanted.
    pub dx: Option<&'a mut Buf>,
}

/// Which elements are dropped: a function of the seed and the element's index alone. Those kept are divided by `1 - probability`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Seed.
    pub seed: u64,
    /// Chance of an element to be dropped, under 1.
    pub probability: f64,
}

/// Where one token's keys and values go: row of the activations, page of the pool, place in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSlot {
    /// Row of the activations.
    pub row: usize,
    /// Page.
    pub page: u32,
    /// Token in the page.
    pub offset: usize,
}

/// A sequence in the KV cache: its pages in order, and how many tokens they hold (the newest included).
#[derive(Debug, Clone, Copy)]
pub struct CachedSequence<'a> {
    /// Pages, oldest first.
    pub pages: &'a [u32],
    /// Tokens.
    pub len: usize,
}

/// How one token is drawn; `uniform` in [0, 1) is the only randomness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// 0: the most likely token.
    pub temperature: f32,
    /// 0: all.
    pub top_k: usize,
    /// 1: all.
    pub top_p: f32,
    /// 0: all.
    pub min_p: f32,
    /// The random number.
    pub uniform: f64,
}

/// One AdamW update's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Number of this update, from 1.
    pub step: u64,
    /// Every gradient is multiplied by this first.
    pub gradient_scale: f64,
}

/// What [`Backend::score_backward`] adds to.
pub struct HeadGradients<'a, Buf> {
    /// Gradient of the loss by the scores.
    pub loss: LossGradient<'a>,
    /// Gradient of the hidden rows.
    pub dhidden: &'a mut Buf,
    /// Gradient of the head's weight; `None` where it is frozen.
    pub dweight: Option<&'a mut Buf>,
}

/// The distributions that some targets' own are compared with. The head makes them in its chunks, a row of logits for each, from the teacher's hidden rows.
pub struct Teacher<'a, Buf> {
    /// Elements of a hidden row; the teacher may be of another width than the student, not of another vocabulary.
    pub width: usize,
    /// The teacher's final hidden rows, normalised: `[n, width]`, row-major on the host.
    pub hidden: &'a [f32],
    /// The teacher's head `[vocab, width]`.
    pub weight: &'a Buf,
    /// In the order of the targets that they belong to, at most one each.
    pub targets: &'a [DistributionTarget],
}

/// What the head says of its targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadScores {
    /// One a target.
    pub tokens: Vec<TokenScore>,
    /// `min(D, cap)` of each distribution target, in nats, in their order.
    pub divergences: Vec<f64>,
}

/// A device that can run and differentiate a model. Buffers hold at least the elements that the shapes imply; a matrix is in the backend's
/// own layout, made by [`Backend::matrix`]. "Added to" means that the old content stays in the sum.
pub trait Backend: Copy + Default + Send + Sync + 'static {
    /// Device memory.
    type Buf: Clone + Send + Sync;
    /// A vector in 8 bits a value, with scales of blocks of it.
    type Quantized: Clone + Send + Sync;

    /// `len` zeros.
    fn zeros(&self, len: usize) -> Self::Buf;
    /// Elements of a buffer.
    fn len(&self, buf: &Self::Buf) -> usize;
    /// Sets the first `len` elements to zero.
    fn clear(&self, buf: &mut Self::Buf, len: usize);
    /// Copies the first `len` elements.
    fn copy(&self, from: &Self::Buf, to: &mut Self::Buf, len: usize);
    /// A vector on the device.
    fn vector(&self, values: &[f64]) -> Self::Buf;
    /// A matrix `[rows, cols]`, row-major on the host, in the backend's layout.
    fn matrix(&self, rows: usize, cols: usize, values: &[f32]) -> Self::Buf;
    /// A vector back on the host.
    fn read_vector(&self, buf: &Self::Buf) -> Vec<f64>;
    /// Some rows of a matrix of `cols` columns back on the host, row-major.
    fn read_matrix(&self, rows: Range<usize>, cols: usize, buf: &Self::Buf) -> Vec<f64>;
    /// Some rows of row-major activations of `width` columns back on the host, in the order asked for: `[rows, width]`.
    fn read_rows(&self, width: usize, rows: &[usize], buf: &Self::Buf) -> Vec<f32>;
    /// Sum of squares, in a fixed order; not finite if any element is not.
    fn sum_of_squares(&self, buf: &Self::Buf) -> f64;
    /// `to = keep * to + (1 - keep) * from`.
    fn average(&self, from: &Self::Buf, to: &mut Self::Buf, keep: f64);
    /// One AdamW update.
    fn adamw(&self, step: &AdamWStep, param: &mut Self::Buf, gradient: &Self::Buf, first: &mut Self::Buf, second: &mut Self::Buf);
    /// `len` zeros in 8 bits a value.
    fn quantized_zeros(&self, len: usize, signed: bool) -> Self::Quantized;
    /// The values of a quantised vector.
    fn dequantize(&self, values: &Self::Quantized) -> Self::Buf;
    /// The codes and the scales of a quantised vector, in its own order.
    fn read_quantized(&self, values: &Self::Quantized) -> [Vec<f32>; 2];
    /// Takes codes and scales back as [`Backend::read_quantized`] gave them. `false`, and nothing is changed: they are not of a vector of this length.
    fn write_quantized(&self, codes: &[f32], scales: &[f32], values: &mut Self::Quantized) -> bool;
    /// One AdamW update whose moments, the first with and the second without sign, are quantised again after it.
    fn adamw_8bit(
        &self,
        step: &AdamWStep,
        param: &mut Self::Buf,
        gradient: &Self::Buf,
        first: &mut Self::Quantized,
        second: &mut Self::Quantized,
    );

    /// `to += from`, of the first `len` elements.
    fn add(&self, from: &Self::Buf, to: &mut Self::Buf, len: usize);
    /// `out[i] = scale * table[tokens[i]]`.
    fn embedding(&self, width: usize, scale: f64, tokens: &[u32], table: &Self::Buf, out: &mut Self::Buf);
    /// `dtable[tokens[i]] += scale * dout[i]`.
    fn embedding_backward(&self, width: usize, scale: f64, tokens: &[u32], dout: &Self::Buf, dtable: &mut Self::Buf);
    /// `y = x * W^T`; added to `y` when `accumulate`.
    fn linear(&self, shape: LinearShape, x: &Self::Buf, weight: &Self::Buf, y: &mut Self::Buf, accumulate: bool);
    /// `dx = dy * W`.
    fn linear_backward_input(&self, shape: LinearShape, dy: &Self::Buf, weight: &Self::Buf, dx: &mut Self::Buf);
    /// `dW += dy^T * x`.
    fn linear_backward_weight(&self, shape: LinearShape, dy: &Self::Buf, x: &Self::Buf, dweight: &mut Self::Buf);
    /// `h = scale * x * A^T`, then `h * B^T` is added to the shape's columns of `y` (LoRA, arXiv 2106.09685, eq. 3).
    fn low_rank(&self, shape: LowRankShape, x: &Self::Buf, weights: LowRank<'_, Self::Buf>, h: &mut Self::Buf, y: &mut Self::Buf);
    /// Backward of [`Backend::low_rank`] from the shape's columns of `dy`; `scratch` is two buffers of `rows * rank`.
    fn low_rank_backward(
        &self,
        shape: LowRankShape,
        dy: &Self::Buf,
        x: &Self::Buf,
        weights: LowRank<'_, Self::Buf>,
        scratch: [&mut Self::Buf; 2],
        gradients: LowRankGradients<'_, Self::Buf>,
    );
    /// The first `len` elements of `x` after dropout.
    fn dropout(&self, dropout: Dropout, len: usize, x: &Self::Buf, out: &mut Self::Buf);
    /// Backward of [`Backend::dropout`]; `dx` is added to.
    fn dropout_backward(&self, dropout: Dropout, len: usize, dout: &Self::Buf, dx: &mut Self::Buf);
    /// Adds a bias to every row.
    fn bias(&self, rows: usize, bias: &Self::Buf, y: &mut Self::Buf);
    /// `dbias += column sums of dy`.
    fn bias_backward(&self, rows: usize, dy: &Self::Buf, dbias: &mut Self::Buf);
    /// RMSNorm; `inv` gets the reciprocal roots. Elements of `y` outside the runs are left alone.
    fn rms_norm(&self, shape: NormShape, x: &Self::Buf, weight: &Self::Buf, eps: f64, y: &mut Self::Buf, inv: &mut Self::Buf);
    /// Backward of [`Backend::rms_norm`]; `dx` and, where wanted, `dweight` are added to.
    fn rms_norm_backward(
        &self,
        shape: NormShape,
        dy: &Self::Buf,
        x: &Self::Buf,
        weight: &Self::Buf,
        inv: &Self::Buf,
        dx: &mut Self::Buf,
        dweight: Option<&mut Self::Buf>,
    );
    /// The same with `d` holding dy and overwritten with dx.
    fn rms_norm_backward_in_place(
        &self,
        shape: NormShape,
        d: &mut Self::Buf,
        x: &Self::Buf,
        weight: &Self::Buf,
        inv: &Self::Buf,
        dweight: Option<&mut Self::Buf>,
    );
    /// Rotates queries and keys in place; `table[position]` is `head_dim / 2` cosines, then as many sines. `inverse` undoes it (the backward).
    fn rope(&self, layout: HeadLayout, positions: &[u32], table: &Self::Buf, qkv: &mut Self::Buf, inverse: bool);
    /// Causal attention within each packed sequence, a segment's prefix included; `lse` gets the log-sum-exp of every row and query head.
    fn attention(
        &self,
        layout: HeadLayout,
        segments: &[Segment],
        window: Option<usize>,
        qkv: &Self::Buf,
        out: &mut Self::Buf,
        lse: &mut Self::Buf,
    );
    /// Backward of [`Backend::attention`]; `dqkv` is overwritten.
    fn attention_backward(
        &self,
        layout: HeadLayout,
        segments: &[Segment],
        window: Option<usize>,
        qkv: &Self::Buf,
        out: &Self::Buf,
        lse: &Self::Buf,
        dout: &Self::Buf,
        dqkv: &mut Self::Buf,
    );
    /// `activation(gate) * up` of rows `[gate | up]`.
    fn glu(&self, activation: Activation, rows: usize, width: usize, gate_up: &Self::Buf, out: &mut Self::Buf);
    /// Backward of [`Backend::glu`]; `dgate_up` is overwritten.
    fn glu_backward(
        &self,
        activation: Activation,
        rows: usize,
        width: usize,
        gate_up: &Self::Buf,
        dout: &Self::Buf,
        dgate_up: &mut Self::Buf,
    );
    /// Log-probability and entropy of every target, from normalised hidden rows of `width`, and the divergence of those that have a teacher.
    fn score(
        &self,
        width: usize,
        vocab: usize,
        hidden: &Self::Buf,
        weight: &Self::Buf,
        targets: &[Target],
        teacher: Option<&Teacher<'_, Self::Buf>>,
    ) -> HeadScores;
    /// [`Backend::score`] and its backward.
    fn score_backward(
        &self,
        width: usize,
        vocab: usize,
        hidden: &Self::Buf,
        weight: &Self::Buf,
        targets: &[Target],
        teacher: Option<&Teacher<'_, Self::Buf>>,
        gradients: HeadGradients<'_, Self::Buf>,
    ) -> HeadScores;

    /// Elements of `pages` pages of keys (or of values) of one layer.
    fn cache_len(&self, layout: HeadLayout, pages: usize) -> usize;
    /// A copy of `pool` with room for more.
    fn cache_grow(&self, pool: &mut Self::Buf, len: usize);
    /// Writes keys and values of rows of `qkv` to their slots.
    fn cache_write(&self, layout: HeadLayout, qkv: &Self::Buf, slots: &[CacheSlot], keys: &mut Self::Buf, values: &mut Self::Buf);
    /// Copies a page.
    fn cache_copy_page(&self, layout: HeadLayout, from: u32, to: u32, pool: &mut Self::Buf);
    /// Attention of each sequence's newest token (row `i` of `qkv`) over its cached keys and values.
    fn cache_attention(
        &self,
        layout: HeadLayout,
        window: Option<usize>,
        qkv: &Self::Buf,
        sequences: &[CachedSequence<'_>],
        keys: &Self::Buf,
        values: &Self::Buf,
        out: &mut Self::Buf,
    );
    /// `out[i] = x[rows[i]]`.
    fn gather(&self, width: usize, rows: &[usize], x: &Self::Buf, out: &mut Self::Buf);
    /// Draws one token from each row of logits, with its log-probability under the distribution drawn from; the logits are overwritten.
    fn sample(&self, vocab: usize, logits: &mut Self::Buf, draws: &[Draw]) -> Vec<(u32, f32)>;
}
