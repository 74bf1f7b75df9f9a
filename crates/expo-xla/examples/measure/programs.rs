//! What is measured: attention, head and a whole model, each forward and backward, in the sizes of Qwen2.5-0.5B.

use expo_xla::ElementType::{self, F32, S32};
use expo_xla::Program;
use expo_xla::attention::Attention;
use expo_xla::grad::{gradient, vjp};
use expo_xla::graph::{Direction, DotDimensions, Graph, Reducer, Result, Value};
use expo_xla::head::{Head, Targets};
use expo_xla::layers::Keep;

use super::transformer::{Transformer, integers};

/// Query heads, key/value heads, and their size.
pub const HEADS: (usize, usize, usize) = (14, 2, 64);
/// Width of the residual stream.
pub const WIDTH: usize = 896;
/// Scores of a square of so many rows exist at once.
pub const BLOCK: usize = 256;
/// Logits that exist at once.
const LOGITS: usize = 1 << 26;

/// Whether attention goes in blocks, or makes the whole matrix of scores (for comparison).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    Blocks,
    Whole,
}

/// From q, k, v, segments and the output's cotangent to the output and the cotangents of q, k and v.
pub fn attention(scores: Scores, batch: usize, length: usize, operands: ElementType) -> Result<Program> {
    let (heads, kv_heads, size) = HEADS;
    let mut g = Graph::new();
    let q = g.parameter("q", operands, &[batch, length, heads, size])?;
    let k = g.parameter("k", operands, &[batch, length, kv_heads, size])?;
    let v = g.parameter("v", operands, &[batch, length, kv_heads, size])?;
    let segments = integers(&mut g, "segments", &[batch, length])?;
    let ct = g.parameter("cotangent", F32, &[batch, length, heads, size])?;
    let scale = (size as f64).powf(-0.5);
    let out = match scores {
        Scores::Blocks => Attention { scale, window: None, block: BLOCK }.emit(&mut g, q, k, v, segments)?,
        Scores::Whole => whole(&mut g, scale, [q, k, v], segments)?,
    };
    let found = vjp(&mut g, &[(out, ct)], &[q, k, v])?;
    let results: Vec<Value> = std::iter::once(out).chain(found.into_iter().flatten()).collect();
    g.program("attention", &results, &[])
}

fn whole(g: &mut Graph, scale: f64, [q, k, v]: [Value; 3], segments: Value) -> Result<Value> {
    let (heads, kv_heads, size) = HEADS;
    let shape = g.dims(q).to_vec();
    let (batch, length) = (shape[0], shape[1]);
    let operands = g.element(q);
    let q = g.reshape(q, &[batch, length, kv_heads, heads / kv_heads, size])?;
    let dims = |batch: [[usize; 2]; 2], summed: [usize; 2]| DotDimensions {
        batch: batch.map(|b| b.to_vec()),
        contracting: summed.map(|d| vec![d]),
    };
    // [batch, kv_heads, length, group, length]
    let scores = g.dot_general(q, k, &dims([[0, 2], [0, 2]], [4, 3]))?;
    let scores = g.scale(scores, scale)?;
    let all = g.dims(scores).to_vec();
    let (row, column) = (g.iota(2, S32, &all)?, g.iota(4, S32, &all)?);
    let causal = g.compare(Direction::Le, column, row)?;
    let (mine, other) = (g.broadcast_in_dim(segments, &all, &[0, 2])?, g.broadcast_in_dim(segments, &all, &[0, 4])?);
    let same = g.compare(Direction::Eq, mine, other)?;
    let seen = g.and(causal, same)?;
    let masked = g.full_like(-1e30, scores)?;
    let scores = g.select(seen, scores, masked)?;
    let highest = g.reduce(Reducer::Maximum, scores, &[4])?;
    let highest = g.broadcast_trailing(highest, &all)?;
    let centred = g.subtract(scores, highest)?;
    let e = g.exponential(centred)?;
    let sum = g.sum(e, &[4])?;
    let sum = g.broadcast_trailing(sum, &all)?;
    let p = g.divide(e, sum)?;
    let p = g.convert(p, operands)?;
    let out = g.dot_general(p, v, &dims([[0, 1], [0, 2]], [4, 1]))?;
    let out = g.transpose(out, &[0, 2, 1, 3, 4])?;
    g.reshape(out, &[batch, length, heads, size])
}

/// Rows of logits that exist at once.
pub fn chunk(vocab: usize) -> usize {
    (LOGITS / vocab).min(2048)
}

/// From hidden rows, weight, tokens, temperatures and coefficients to scores and gradients; `one_pass` computes each
/// chunk's logits once.
pub fn head(rows: usize, vocab: usize, operands: ElementType, one_pass: bool) -> Result<Program> {
    let mut g = Graph::new();
    let hidden = g.parameter("hidden", operands, &[rows, WIDTH])?;
    let weight = g.parameter("weight", operands, &[vocab, WIDTH])?;
    let tokens = integers(&mut g, "tokens", &[rows])?;
    let temperatures = g.parameter("temperatures", F32, &[rows])?;
    let by = [g.parameter("by_log_prob", F32, &[rows])?, g.parameter("by_entropy", F32, &[rows])?];
    let targets = Targets { hidden, weight, tokens, temperatures };
    let head = Head { chunk: chunk(vocab) };
    let (loss, scores) = if one_pass {
        head.token_loss(&mut g, targets, &by, |g, scores, by| {
            let (a, b) = (g.multiply(scores.log_probs, by[0])?, g.multiply(scores.entropies, by[1])?);
            g.add(a, b)
        })?
    } else {
        let scores = head.scores(&mut g, targets)?;
        let (a, b) = (g.multiply(scores.log_probs, by[0])?, g.multiply(scores.entropies, by[1])?);
        let both = g.add(a, b)?;
        (g.sum_all(both)?, scores)
    };
    let gradients = gradient(&mut g, loss, &[hidden, weight])?;
    g.program("head", &[scores.log_probs, scores.entropies, gradients[0], gradients[1]], &[])
}

/// A model with Qwen2.5-0.5B's blocks.
pub fn model(layers: usize, vocab: usize, keep: Keep, operands: ElementType) -> Transformer {
    let (heads, kv_heads, size) = HEADS;
    Transformer {
        vocab,
        width: WIDTH,
        inner: 4864,
        layers,
        heads,
        kv_heads,
        size,
        eps: 1e-6,
        theta: 1e6,
        window: None,
        block: BLOCK,
        keep,
        element: F32,
        operands,
    }
}

/// From parameters (f32), tokens, positions and segments to the cross-entropy of each next token and the gradients of
/// all parameters.
pub fn whole_model(t: &Transformer, batch: usize, length: usize) -> Result<Program> {
    let mut g = Graph::new();
    let (all, parameters) = t.declare(&mut g)?;
    let tokens = integers(&mut g, "tokens", &[batch, length])?;
    let positions = integers(&mut g, "positions", &[batch, length])?;
    let segments = integers(&mut g, "segments", &[batch, length])?;
    let targets = integers(&mut g, "targets", &[batch * length])?;
    let hidden = t.hidden(&mut g, &parameters, tokens, positions, segments)?;
    let hidden = g.convert(hidden, t.operands)?;
    let weight = g.convert(parameters.head, t.operands)?;
    let temperatures = g.full(1.0, F32, &[batch * length])?;
    let targets = Targets { hidden, weight, tokens: targets, temperatures };
    let (loss, _) = Head { chunk: chunk(t.vocab) }.token_loss(&mut g, targets, &[], |g, scores, _| g.negate(scores.log_probs))?;
    let gradients = gradient(&mut g, loss, &all)?;
    g.program("model", &[vec![loss], gradients].concat(), &[])
}
