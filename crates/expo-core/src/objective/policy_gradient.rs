//! The policy-gradient term on one rollout.

use super::terms::{self, ClipRange, Surrogate, TokenLoss};
use super::value::SequenceValue;
use expo_lm::ScoreGradient;

/// The advantages of a completion's scored tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advantages<'a> {
    /// Every token has that of its sequence.
    Sequence(f64),
    /// Each token has its own.
    Tokens(&'a [f64]),
}

impl Advantages<'_> {
    /// That of scored token `token`.
    pub fn at(self, token: usize) -> f64 {
        match self {
            Self::Sequence(advantage) => advantage,
            Self::Tokens(advantages) => advantages[token],
        }
    }

    /// Whether no token has one.
    pub fn are_zero(self) -> bool {
        match self {
            Self::Sequence(advantage) => advantage == 0.0,
            Self::Tokens(advantages) => advantages.iter().all(|advantage| *advantage == 0.0),
        }
    }
}

/// Parameters of the policy-gradient term on one rollout.
#[derive(Debug, Clone)]
pub struct PolicyGradient<'a> {
    /// The rollout's advantages.
    pub advantages: Advantages<'a>,
    /// Log-probabilities under the policy before the first optimizer step on this batch; `None`: those of this very forward,
    /// detached (ratio exactly 1).
    pub old_log_probs: Option<&'a [f64]>,
    /// Log-probabilities that the sampler drew with.
    pub sampler_log_probs: &'a [f32],
    /// Cap of the truncated importance weight between `old_log_probs` and `sampler_log_probs`; `None`: no weight.
    pub importance_cap: Option<f64>,
    /// How the ratio is used.
    pub surrogate: Surrogate,
}

impl PolicyGradient<'_> {
    fn old(&self, token: usize, log_prob: f64) -> f64 {
        self.old_log_probs.map_or(log_prob, |old| old[token])
    }

    fn importance(&self, token: usize, old_log_prob: f64) -> f64 {
        self.importance_cap.map_or(1.0, |cap| terms::importance_weight(old_log_prob, self.sampler_log_probs[token].into(), cap))
    }

    /// Whether each token's loss needs that token's log-probability alone.
    pub fn is_token_local(&self) -> bool {
        !matches!(self.surrogate, Surrogate::Sequence(_))
    }

    /// The loss of scored token `token`; `None` for a surrogate of whole sequences.
    pub fn token_loss(&self, token: usize, log_prob: f64) -> Option<TokenLoss> {
        let (old, advantage) = (self.old(token, log_prob), self.advantages.at(token));
        let loss = match self.surrogate {
            Surrogate::Token(clip) => terms::policy_gradient(log_prob - old, advantage, clip),
            Surrogate::Cispo { cap } => terms::cispo(log_prob, old, advantage, cap),
            Surrogate::Shaped { gamma } => terms::shaped_policy_gradient(log_prob, advantage, gamma),
            Surrogate::Sequence(_) => return None,
        };
        let importance = self.importance(token, old);
        Some(TokenLoss { value: importance * loss.value, derivative: importance * loss.derivative })
    }

    /// Value and gradient on a whole completion.
    pub fn evaluate(&self, log_probs: &[f64]) -> SequenceValue {
        match self.surrogate {
            Surrogate::Sequence(clip) => self.sequence_loss(log_probs, clip),
            _ => SequenceValue::of_tokens(log_probs.iter().enumerate().filter_map(|(token, log_prob)| self.token_loss(token, *log_prob))),
        }
    }

    /// [`Surrogate::Sequence`]: every token has the loss of the sequence's ratio, times its own importance weight.
    fn sequence_loss(&self, log_probs: &[f64], clip: ClipRange) -> SequenceValue {
        let (ratio, tokens) = (self.mean_log_ratio(log_probs), log_probs.len());
        let importance = log_probs.iter().enumerate().map(|(token, log_prob)| self.importance(token, self.old(token, *log_prob)));
        let loss = match self.advantages {
            Advantages::Sequence(advantage) => {
                let loss = terms::policy_gradient(ratio, advantage, clip);
                let importance: f64 = importance.sum();
                TokenLoss { value: importance * loss.value, derivative: importance * loss.derivative }
            }
            Advantages::Tokens(advantages) => {
                let of_token = |(importance, advantage): (f64, &f64)| {
                    let loss = terms::policy_gradient(ratio, *advantage, clip);
                    TokenLoss { value: importance * loss.value, derivative: importance * loss.derivative }
                };
                importance.zip(advantages).map(of_token).fold(TokenLoss { value: 0.0, derivative: 0.0 }, |sum, token| TokenLoss {
                    value: sum.value + token.value,
                    derivative: sum.derivative + token.derivative,
                })
            }
        };
        SequenceValue { value: loss.value, gradients: vec![ScoreGradient::by_log_prob(loss.derivative / tokens as f64); tokens] }
    }

    /// The logarithm of the length-normalised ratio of the sequence.
    fn mean_log_ratio(&self, log_probs: &[f64]) -> f64 {
        let sum: f64 = log_probs.iter().enumerate().map(|(token, log_prob)| log_prob - self.old(token, *log_prob)).sum();
        sum / log_probs.len().max(1) as f64
    }

    /// Number of tokens whose policy gradient the clip takes away, or, with CISPO, whose weight the cap lowers.
    pub fn clipped(&self, log_probs: &[f64]) -> usize {
        if self.old_log_probs.is_none() {
            return 0;
        }
        let ratio = |(token, log_prob): (usize, &f64)| (token, (log_prob - self.old(token, *log_prob)).exp());
        let ratios = log_probs.iter().enumerate().map(ratio);
        match self.surrogate {
            Surrogate::Token(clip) => ratios.filter(|(token, ratio)| clip.bound(*ratio, self.advantages.at(*token)).is_some()).count(),
            Surrogate::Cispo { cap } => ratios.filter(|(token, ratio)| *ratio > cap && self.advantages.at(*token) != 0.0).count(),
            Surrogate::Shaped { .. } => 0,
            Surrogate::Sequence(clip) => {
                let ratio = self.mean_log_ratio(log_probs).exp();
                (0..log_probs.len()).filter(|token| clip.bound(ratio, self.advantages.at(*token)).is_some()).count()
            }
        }
    }
}
