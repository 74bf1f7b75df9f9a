//! The packed batch: sequences laid end to end without padding, prompts held once for all their completions, and the positions that are scored.

use crate::error::{Error, Result};

/// A run of rows of a packed batch. A segment without a prefix is a sequence of its own; one with a prefix continues that segment's tokens as if they
/// stood before its own, so that a prompt is computed once for all its completions (exact, since attention is causal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Rows.
    pub len: usize,
    /// Index of the earlier segment that it continues, which has no prefix itself.
    pub prefix: Option<usize>,
}

/// Sequences laid end to end (no padding anywhere), with the tokens whose log-probability is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PackedBatch {
    /// Token ids of all segments, one after the other.
    pub tokens: Vec<u32>,
    /// The segments in the order of their rows; together they cover `tokens`.
    pub segments: Vec<Segment>,
    /// What is scored.
    pub targets: Vec<Target>,
}

/// One scored token: the distribution predicted at `row` is asked for the log-probability of `token`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Index into [`PackedBatch::tokens`] of the position that predicts (the one before the target token).
    pub row: usize,
    /// The token whose log-probability is wanted.
    pub token: u32,
    /// The logits are divided by this before the softmax (1 for cross-entropy).
    pub temperature: f32,
}

/// What the model says of one [`Target`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenScore {
    /// Natural log-probability of the target token, logits divided by the target's temperature.
    pub log_prob: f64,
    /// Entropy of that distribution in nats.
    pub entropy: f64,
}

/// The gradient of a loss by the score of one target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScoreGradient {
    /// d(loss) / d(log-probability).
    pub log_prob: f64,
    /// d(loss) / d(entropy).
    pub entropy: f64,
}

impl ScoreGradient {
    /// That of a loss of the log-probability alone.
    pub fn by_log_prob(derivative: f64) -> Self {
        Self { log_prob: derivative, entropy: 0.0 }
    }

    /// That of a loss of the entropy alone.
    pub fn by_entropy(derivative: f64) -> Self {
        Self { log_prob: 0.0, entropy: derivative }
    }
}

/// How far the distribution p that a model predicts is from the distribution t that a teacher predicts, and how much of that counts. With
/// `m = (1 - alpha) p + alpha t`
///
/// `D = (1 - alpha) KL(p || m) + alpha KL(t || m)`, and at the ends, where that would be 0, `KL(t || p)` for alpha 0 and `KL(p || t)` for alpha 1;
///
/// `.5` is the Jensen-Shannon divergence. The same as TRL's `compute_divergence` (`trl/experimental/sdpo/loss_utils.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// 0 (forward KL: the model is to cover what the teacher says) to 1 (reverse KL: it is to say nothing that the teacher doesn't).
    pub alpha: f64,
    /// The most that one target counts, in nats: `min(D, cap)`. A capped target has no gradient.
    pub cap: Option<f64>,
}

/// One target that is a whole distribution: what a teacher predicts for the same token behind another prompt, or with other weights. It stands next to
/// an ordinary [`Target`], whose row and temperature it shares, so that one row of logits serves both. There is no gradient through the teacher.
///
/// The loss gets `weight * min(D(p, t), cap)` with `p = softmax(student's logits / temperature)` and `t = softmax(teacher's logits / temperature)`, both over the
/// whole vocabulary, and the student's logits v the gradient `weight / temperature * p_v (f_v - sum_u p_u f_u)` with `f = (1 - alpha) log(p / m)`; for alpha 1 it is
/// `f = log(p / t)`, and for alpha 0 the whole is `weight / temperature * (p - t)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistributionTarget {
    /// Index into [`PackedBatch::targets`].
    pub target: usize,
    /// Row of the teacher's hidden states that predicts the same token.
    pub teacher_row: usize,
    /// The measure.
    pub divergence: Divergence,
    /// d(loss) / d(divergence).
    pub weight: f64,
}

/// The gradient of a loss by the scores of a batch's targets, asked once these are known.
pub enum LossGradient<'a> {
    /// `f(i, log_prob)` = d(loss) / d(log-probability of target i), which needs that log-probability alone.
    PerToken(&'a (dyn Fn(usize, f64) -> f64 + Sync)),
    /// For all targets at once, from the scores of all of them: for losses of whole sequences or of pairs, and of entropies. Where the logits of the whole
    /// batch don't fit into the head's chunk, the head's product is computed twice.
    PerBatch(&'a (dyn Fn(&[TokenScore]) -> Vec<ScoreGradient> + Sync)),
}

impl PackedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a segment without targets: a sequence, or with `prefix` the continuation of an earlier segment. Returns its index.
    pub fn push_segment(&mut self, prefix: Option<usize>, tokens: &[u32]) -> usize {
        self.segments.push(Segment { start: self.tokens.len(), len: tokens.len(), prefix });
        self.tokens.extend_from_slice(tokens);
        self.segments.len() - 1
    }

    /// Appends `prompt` + `completion` as one sequence whose completion tokens are all scored at `temperature`.
    /// Returns the range of its targets in [`PackedBatch::targets`]. The first token of a sequence can't be scored, so an
    /// empty prompt loses the first completion token's target.
    pub fn push(&mut self, prompt: &[u32], completion: &[u32], temperature: f32) -> std::ops::Range<usize> {
        let start = self.tokens.len();
        let first_target = self.targets.len();
        self.push_segment(None, &[prompt, completion].concat());
        for (i, &token) in completion.iter().enumerate() {
            if let Some(row) = (start + prompt.len() + i).checked_sub(1).filter(|row| *row >= start) {
                self.targets.push(Target { row, token, temperature });
            }
        }
        first_target..self.targets.len()
    }

    /// Tokens before a segment's first one.
    pub(crate) fn first_position(&self, segment: &Segment) -> usize {
        segment.prefix.map_or(0, |prefix| self.segments[prefix].len)
    }

    /// The position of every row in its sequence.
    pub(crate) fn positions(&self) -> Vec<u32> {
        let of = |segment: &Segment| {
            let first = self.first_position(segment);
            first as u32..(first + segment.len) as u32
        };
        self.segments.iter().flat_map(of).collect()
    }

    /// Errors: a token that is not below `vocab`, a sequence longer than `context`, segments that don't cover the tokens in order or whose prefix is
    /// not an earlier sequence, a target outside the batch.
    pub(crate) fn check(&self, vocab: usize, context: usize) -> Result<()> {
        let mut row = 0;
        for (i, segment) in self.segments.iter().enumerate() {
            let continues_sequence = segment.prefix.is_none_or(|p| p < i && self.segments[p].prefix.is_none());
            if segment.start != row || !continues_sequence {
                return Err(Error::Invalid(format!(
                    "packed batch: segment {i} is {segment:?}, expected row {row} and an earlier sequence"
                )));
            }
            row += segment.len;
            let len = self.first_position(segment) + segment.len;
            if len > context {
                return Err(Error::Invalid(format!("a sequence of {len} tokens is longer than the model's context of {context}")));
            }
        }
        if row != self.tokens.len() {
            return Err(Error::Invalid(format!("packed batch: the segments cover {row} of {} tokens", self.tokens.len())));
        }
        if let Some(token) = self.tokens.iter().chain(self.targets.iter().map(|t| &t.token)).find(|t| **t as usize >= vocab) {
            return Err(Error::Invalid(format!("token id {token} is outside the model's vocabulary of {vocab}")));
        }
        if let Some(t) = self.targets.iter().find(|t| t.row >= self.tokens.len() || t.temperature.is_nan() || t.temperature <= 0.0) {
            return Err(Error::Invalid(format!("target {t:?}: the row must be under {} and the temperature above 0", self.tokens.len())));
        }
        Ok(())
    }

    /// Errors: distributions that are not in the order of this batch's targets with at most one each, a teacher's row that is not under `teacher_rows`, a
    /// divergence or weight without meaning.
    pub(crate) fn check_distributions(&self, distributions: &[DistributionTarget], teacher_rows: usize) -> Result<()> {
        for (i, d) in distributions.iter().enumerate() {
            let wrong = |expected: String| Err(Error::Invalid(format!("distribution target {i}, {d:?}: {expected}")));
            if d.target >= self.targets.len() || i > 0 && distributions[i - 1].target >= d.target {
                return wrong(format!("expected indices of the batch's {} targets, each larger than the one before", self.targets.len()));
            }
            if d.teacher_row >= teacher_rows {
                return wrong(format!("the teacher has {teacher_rows} rows"));
            }
            if !(0.0..=1.0).contains(&d.divergence.alpha) || d.divergence.cap.is_some_and(|cap| cap.is_nan() || cap < 0.0) {
                return wrong("expected alpha between 0 and 1 and a cap of 0 or more".to_string());
            }
            if !d.weight.is_finite() {
                return wrong("expected a finite weight".to_string());
            }
        }
        Ok(())
    }
}
