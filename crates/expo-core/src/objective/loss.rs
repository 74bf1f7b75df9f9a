//! What a term makes of one sequence: a function of its tokens' scores, with its gradient and its weight.

use super::terms::{self, Surrogate, TokenLoss};
use super::{PolicyGradient, Term, preference};
use expo_lm::ScoreGradient;

/// One term's use of a sequence: every completion token weighs `coefficient * token_weight`.
#[derive(Debug, Clone)]
pub struct SequenceLoss<'a> {
    /// Which summand of the loss it belongs to.
    pub term: Term,
    /// The term's factor in the loss (beta_exp, the KL coefficient, ...); not part of the `loss/<term>` metric.
    pub coefficient: f64,
    /// The denominators' part of the weight of each token, the same for the whole optimizer step.
    pub token_weight: f64,
    /// The function of the log-probability.
    pub kind: LossKind<'a>,
}

/// What a model says of a completion's tokens, in nats.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Log-probability of each token.
    pub log_probs: &'a [f64],
    /// Entropy of the distribution that each token was predicted with.
    pub entropies: &'a [f64],
}

/// The function of a completion's scores that a term takes.
#[derive(Debug, Clone)]
pub enum LossKind<'a> {
    /// The [`Surrogate`]'s function, summed over tokens.
    PolicyGradient(PolicyGradient<'a>),
    /// [`terms::cross_entropy`], summed over tokens.
    CrossEntropy,
    /// KL to the reference, whose log-probability of each completion token is given, summed over tokens.
    Kl {
        /// [`terms::kl_k3`] or [`terms::kl_k2`].
        estimator: KlLoss,
        /// The reference's log-probabilities.
        reference: &'a [f64],
    },
    /// The tokens' entropies, summed.
    Entropy,
    /// [`preference::PreferenceLoss`] of the sequence and its [partner](super::Sequence::partner).
    Preference(preference::Side),
}

/// The estimator of a KL term: a function of a token's log-probability and the reference's.
pub type KlLoss = fn(f64, f64) -> TokenLoss;

/// A term's value for one sequence, unweighted.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceValue {
    /// The value; a pair's is that of its chosen side, the rejected side's is 0.
    pub value: f64,
    /// The gradient of the value (of a pair: its value) by the score of each completion token.
    pub gradients: Vec<ScoreGradient>,
}

/// A loss that is a sum over tokens, each a function of its own log-probability.
#[derive(Debug, Clone, Copy)]
pub struct TokenLocal<'a, 'b>(&'b LossKind<'a>);

impl<'a> LossKind<'a> {
    /// The loss as a sum over tokens, if it is one.
    pub fn token_local(&self) -> Option<TokenLocal<'a, '_>> {
        match self {
            LossKind::PolicyGradient(PolicyGradient { surrogate: Surrogate::Sequence(_), .. }) => None,
            LossKind::Preference(_) | LossKind::Entropy => None,
            LossKind::PolicyGradient(_) | LossKind::CrossEntropy | LossKind::Kl { .. } => Some(TokenLocal(self)),
        }
    }

    /// Value and gradient from the scores of the completion's tokens and those of the partner's.
    pub fn evaluate(&self, scores: Scores, partner: Option<Scores>) -> SequenceValue {
        let log_probs = scores.log_probs;
        match (self, self.token_local()) {
            (LossKind::Preference(side), _) => {
                preference::evaluate(side, log_probs, partner.map(|partner| partner.log_probs).unwrap_or_default())
            }
            (LossKind::PolicyGradient(pg @ PolicyGradient { surrogate: Surrogate::Sequence(clip), .. }), _) => {
                pg.sequence_loss(log_probs, *clip)
            }
            (LossKind::Entropy, _) => SequenceValue {
                value: scores.entropies.iter().sum(),
                gradients: vec![ScoreGradient::by_entropy(1.0); scores.entropies.len()],
            },
            (_, Some(local)) => {
                let tokens: Vec<TokenLoss> =
                    log_probs.iter().enumerate().map(|(token, log_prob)| local.token_loss(token, *log_prob)).collect();
                SequenceValue {
                    value: tokens.iter().map(|token| token.value).sum(),
                    gradients: tokens.into_iter().map(|token| ScoreGradient::by_log_prob(token.derivative)).collect(),
                }
            }
            (_, None) => unreachable!("a loss is token-local or matched above"),
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
}

impl TokenLocal<'_, '_> {
    /// The loss of completion token `token`, unweighted.
    pub fn token_loss(&self, token: usize, log_prob: f64) -> TokenLoss {
        match self.0 {
            LossKind::CrossEntropy => terms::cross_entropy(log_prob),
            LossKind::Kl { estimator, reference } => estimator(log_prob, reference[token]),
            LossKind::PolicyGradient(pg) => pg.token_loss(token, log_prob),
            LossKind::Preference(_) | LossKind::Entropy => unreachable!("not token-local"),
        }
    }
}
