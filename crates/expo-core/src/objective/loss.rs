//! A loss term's use of one sequence, as data: its kind, its weight, and what its kind needs to know of each token.

use super::policy_gradient::PolicyGradient;
use super::preference;
use super::term::Term;
use super::terms::{self, TokenLoss};
use super::value::{Scores, SequenceValue};
use crate::config::KlEstimator;
use expo_lm::ScoreGradient;

/// One term's use of a sequence: every scored token weighs `coefficient * token_weight`.
#[derive(Debug, Clone)]
pub struct SequenceLoss<'a> {
    /// Which summand of the loss it belongs to.
    pub term: Term,
    /// The term's factor in the loss (beta_exp, the KL coefficient, ...); not part of the `loss/<term>` metric.
    pub coefficient: f64,
    /// The denominators' part of the weight of each token, the same for the whole optimizer step.
    pub token_weight: f64,
    /// The function of the scores.
    pub kind: LossKind<'a>,
}

/// The function of a completion's scores that a term takes. All but [`LossKind::Own`] are data, which every engine reads alike.
#[derive(Debug, Clone)]
pub enum LossKind<'a> {
    /// The [`Surrogate`](terms::Surrogate)'s function, summed over tokens.
    PolicyGradient(PolicyGradient<'a>),
    /// [`terms::cross_entropy`], summed over tokens.
    CrossEntropy,
    /// [`terms::kl`] to the reference, summed over tokens.
    Kl {
        /// Which estimator.
        estimator: KlEstimator,
        /// The reference's log-probability of each scored token.
        reference: &'a [f64],
    },
    /// The tokens' entropies, summed.
    Entropy,
    /// [`preference::PreferenceLoss`] of the sequence and its [partner](super::sequence::Sequence::partner).
    Preference(preference::Side),
    /// The divergence from a teacher's distributions, summed over tokens; its gradient is made where the logits are.
    Divergence(Divergence<'a>),
    /// The linear function of the scores with these coefficients, one a scored token: what becomes of terms that an engine doesn't evaluate by itself.
    Linear(&'a [ScoreGradient]),
    /// A term that only its author knows.
    Own(&'a dyn OwnTerm),
}

/// A loss term of a stranger's: a function of a sequence's scores and its partner's.
pub trait OwnTerm: std::fmt::Debug + Sync {
    /// Its value, unweighted, and the gradient of that by the score of every scored token.
    fn evaluate(&self, scores: Scores, partner: Option<Scores>) -> SequenceValue;
}

/// Whose distributions a sequence's are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teacher {
    /// The policy itself, without a gradient.
    Current,
    /// The run's initial policy.
    Initial,
    /// The moving average of the policy.
    Average,
}

/// A target that is a distribution: the teacher's, of the same completion behind another prompt. With p the policy's distribution, t the teacher's and
/// m = (1 - alpha) p + alpha t it is (1 - alpha) KL(p || m) + alpha KL(t || m); for alpha = 0 KL(t || p), for alpha = 1 KL(p || t), as TRL's `compute_divergence` has it.
#[derive(Debug, Clone, Copy)]
pub struct Divergence<'a> {
    /// Whose weights.
    pub teacher: Teacher,
    /// The prompt that the teacher reads.
    pub prompt: &'a [u32],
    /// From 0 to 1.
    pub alpha: f64,
    /// Most of one token, in nats; a token above it has no gradient. `None`: no limit.
    pub cap: Option<f64>,
}

impl Divergence<'_> {
    /// What of a token's divergence counts.
    pub fn capped(&self, divergence: f64) -> f64 {
        self.cap.map_or(divergence, |cap| divergence.min(cap))
    }
}

impl LossKind<'_> {
    /// The loss of scored token `token`, unweighted, where it is a function of that token's log-probability alone.
    pub fn token_loss(&self, token: usize, log_prob: f64) -> Option<TokenLoss> {
        match self {
            LossKind::CrossEntropy => Some(terms::cross_entropy(log_prob)),
            LossKind::Kl { estimator, reference } => Some(terms::kl(*estimator, log_prob, reference[token])),
            LossKind::PolicyGradient(pg) => pg.token_loss(token, log_prob),
            LossKind::Entropy | LossKind::Preference(_) | LossKind::Divergence(_) | LossKind::Linear(_) | LossKind::Own(_) => None,
        }
    }

    /// Whether the gradient by each token's score needs that token's log-probability alone.
    pub fn is_token_local(&self) -> bool {
        match self {
            // A divergence has no gradient by scores at all.
            LossKind::CrossEntropy | LossKind::Kl { .. } | LossKind::Divergence(_) => true,
            LossKind::PolicyGradient(pg) => pg.is_token_local(),
            LossKind::Entropy | LossKind::Preference(_) | LossKind::Linear(_) | LossKind::Own(_) => false,
        }
    }

    /// Value and gradient from the scores of the completion's tokens and those of the partner's. A [`LossKind::Divergence`] has none by scores.
    pub fn evaluate(&self, scores: Scores, partner: Option<Scores>) -> SequenceValue {
        let log_probs = scores.log_probs;
        match self {
            LossKind::CrossEntropy => SequenceValue::of_tokens(log_probs.iter().map(|log_prob| terms::cross_entropy(*log_prob))),
            LossKind::Kl { estimator, reference } => {
                SequenceValue::of_tokens(log_probs.iter().zip(*reference).map(|(log_prob, q)| terms::kl(*estimator, *log_prob, *q)))
            }
            LossKind::PolicyGradient(pg) => pg.evaluate(log_probs),
            LossKind::Entropy => SequenceValue {
                value: scores.entropies.iter().sum(),
                gradients: vec![ScoreGradient::by_entropy(1.0); scores.entropies.len()],
            },
            LossKind::Preference(side) => {
                preference::evaluate(side, log_probs, partner.map(|partner| partner.log_probs).unwrap_or_default())
            }
            LossKind::Divergence(divergence) => SequenceValue {
                value: scores.divergences.iter().map(|of_token| divergence.capped(*of_token)).sum(),
                gradients: vec![ScoreGradient::default(); log_probs.len()],
            },
            LossKind::Linear(coefficients) => {
                let value = |((log_prob, entropy), by): ((&f64, &f64), &ScoreGradient)| by.log_prob * log_prob + by.entropy * entropy;
                SequenceValue {
                    value: log_probs.iter().zip(scores.entropies).zip(*coefficients).map(value).sum(),
                    gradients: coefficients.to_vec(),
                }
            }
            LossKind::Own(term) => term.evaluate(scores, partner),
        }
    }
}

impl SequenceLoss<'_> {
    /// Weight of each token's loss in the whole loss.
    pub fn weight(&self) -> f64 {
        self.coefficient * self.token_weight
    }

    /// Number of tokens whose policy gradient the clip takes away.
    pub fn clipped(&self, log_probs: &[f64]) -> usize {
        if let LossKind::PolicyGradient(pg) = &self.kind { pg.clipped(log_probs) } else { 0 }
    }

    /// Whether it can have a gradient at all.
    pub fn has_gradient(&self) -> bool {
        self.weight() != 0.0 && !matches!(&self.kind, LossKind::PolicyGradient(pg) if pg.advantages.are_zero())
    }
}
