//! What a term makes of a sequence's scores.

use super::terms::TokenLoss;
use expo_lm::ScoreGradient;

/// What a model says of a completion's tokens, in nats.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Log-probability of each token.
    pub log_probs: &'a [f64],
    /// Entropy of the distribution that each token was predicted with.
    pub entropies: &'a [f64],
    /// Divergence of each token's distribution from the teacher's, uncapped; empty where the sequence has no such term.
    pub divergences: &'a [f64],
}

/// A term's value for one sequence, unweighted.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceValue {
    /// The value; a pair's is that of its chosen side, the rejected side's is 0.
    pub value: f64,
    /// The gradient of the value (of a pair: its value) by the score of each completion token.
    pub gradients: Vec<ScoreGradient>,
}

impl SequenceValue {
    /// The sum of losses of single tokens.
    pub fn of_tokens(tokens: impl Iterator<Item = TokenLoss>) -> Self {
        let tokens: Vec<TokenLoss> = tokens.collect();
        Self {
            value: tokens.iter().map(|token| token.value).sum(),
            gradients: tokens.into_iter().map(|token| ScoreGradient::by_log_prob(token.derivative)).collect(),
        }
    }
}
