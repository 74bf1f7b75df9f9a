//! One training sequence and the loss terms that use it: what an engine is given.

use std::ops::Range;

use super::loss::{Divergence, LossKind, SequenceLoss};
use super::value::Scores;
use expo_lm::ScoreGradient;

/// What a sequence is, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Rollout `index` of group `group`.
    Rollout {
        /// Index into `Drawn::groups`.
        group: usize,
        /// Index into `Group::rollouts`.
        index: usize,
    },
    /// Completion `index` among those of group `group` that the policy did not sample from the question.
    OffPolicy {
        /// Index into `Drawn::groups`.
        group: usize,
        /// Index into `Group::off_policy`.
        index: usize,
    },
    /// Kept explanation `index` of group `group`, the answer hidden.
    Explanation {
        /// Index into `Drawn::groups`.
        group: usize,
        /// Index into `Group::kept_explanations`.
        index: usize,
    },
    /// The same with the answer shown.
    HintedExplanation {
        /// Index into `Drawn::groups`.
        group: usize,
        /// Index into `Group::kept_explanations`.
        index: usize,
    },
    /// The expert chain of thought of group `group`.
    ExpertCot {
        /// Index into `Drawn::groups`.
        group: usize,
    },
    /// A document.
    Document,
    /// The chosen side of pair `pair`.
    Chosen {
        /// Index of the pair.
        pair: usize,
    },
    /// The rejected side of pair `pair`.
    Rejected {
        /// Index of the pair.
        pair: usize,
    },
}

/// One training sequence and the loss terms that use its completion's tokens.
#[derive(Debug, Clone)]
pub struct Sequence<'a> {
    /// What it is.
    pub origin: Origin,
    /// Context, without loss.
    pub prompt: &'a [u32],
    /// Tokens, of which those in `trained` are scored.
    pub completion: &'a [u32],
    /// Ranges of the completion, in order; empty: all of it.
    pub trained: &'a [Range<usize>],
    /// Logits are divided by it: the rollout temperature for policy gradient and its KL, 1 otherwise.
    pub temperature: f32,
    /// Of a rollout: log-probabilities that its tokens were sampled with.
    pub sampler_log_probs: &'a [f32],
    /// Of a rollout: the reference's log-probabilities of its tokens, where they are known.
    pub reference_log_probs: &'a [f64],
    /// The terms; none: the sequence is only measured.
    pub losses: Vec<SequenceLoss<'a>>,
    /// The other side of a preference, which stands right beside it.
    pub partner: Option<Partner>,
}

/// Where a sequence's partner stands; the two are computed in one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partner {
    /// The sequence after this one.
    Next,
    /// The sequence before this one.
    Previous,
}

/// The index of the partner of the sequence at `index`.
pub fn partner_of(sequence: &Sequence, index: usize) -> Option<usize> {
    sequence.partner.map(|partner| match partner {
        Partner::Next => index + 1,
        Partner::Previous => index - 1,
    })
}

impl<'a> Sequence<'a> {
    /// The teacher whose distributions it is compared with, where there is one.
    pub fn divergence(&self) -> Option<(&SequenceLoss<'a>, Divergence<'a>)> {
        self.losses.iter().find_map(|loss| if let LossKind::Divergence(divergence) = &loss.kind { Some((loss, *divergence)) } else { None })
    }

    /// A sequence that is only scored, all of it, at `temperature`.
    pub fn measured(prompt: &'a [u32], completion: &'a [u32], temperature: f32) -> Self {
        Self {
            origin: Origin::Document,
            prompt,
            completion,
            trained: &[],
            temperature,
            sampler_log_probs: &[],
            reference_log_probs: &[],
            losses: Vec::new(),
            partner: None,
        }
    }
}

impl Sequence<'_> {
    /// The places of the scored tokens in the completion.
    pub fn scored(&self) -> impl Iterator<Item = usize> {
        let whole = std::iter::once(0..self.completion.len()).filter(|_| self.trained.is_empty());
        whole.chain(self.trained.iter().cloned()).flatten()
    }

    /// Whether any of its tokens can have a gradient.
    pub fn needs_gradient(&self) -> bool {
        self.losses.iter().any(SequenceLoss::has_gradient)
    }

    /// Number of tokens, prompt and completion.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each token's loss needs that token's log-probability alone.
    pub fn is_token_local(&self) -> bool {
        self.losses.iter().all(|loss| loss.kind.is_token_local())
    }

    /// d(whole loss) / d(log-prob of scored token `token`), from that log-probability alone; only for a sequence that
    /// [is token-local](Sequence::is_token_local).
    pub fn derivative(&self, token: usize, log_prob: f64) -> f64 {
        let of = |loss: &SequenceLoss| Some(loss.weight() * loss.kind.token_loss(token, log_prob)?.derivative);
        self.losses.iter().filter_map(of).sum()
    }

    /// The gradient of the whole loss by the score of every completion token, from all of them and those of the partner.
    pub fn gradients(&self, scores: Scores, partner: Option<Scores>) -> Vec<ScoreGradient> {
        let mut sum = vec![ScoreGradient::default(); scores.log_probs.len()];
        for loss in &self.losses {
            for (sum, gradient) in sum.iter_mut().zip(loss.kind.evaluate(scores, partner).gradients) {
                sum.log_prob += loss.weight() * gradient.log_prob;
                sum.entropy += loss.weight() * gradient.entropy;
            }
        }
        sum
    }
}
