//! The policy-gradient term on one rollout.

use super::SequenceValue;
use super::terms::{self, ClipRange, Surrogate, TokenLoss};
use expo_lm::ScoreGradient;

/// Parameters of the policy-gradient term on one rollout.
#[derive(Debug, Clone)]
pub struct PolicyGradient<'a> {
    /// The rollout's advantage.
    pub advantage: f64,
    /// Log-probabilities under the policy before the first optimizer step on this batch; `None`: those of this very forward,
    /// detached (ratio exactly 1).
    pub old_log_probs: Option<&'a [f64]>,
    /// Log-probabilities that the sampler drew with.
    pub sampler_log_probs: &'a [f64],
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
        self.importance_cap.map_or(1.0, |cap| terms::importance_weight(old_log_prob, self.sampler_log_probs[token], cap))
    }

    /// The loss of completion token `token`; only for a surrogate of single tokens.
    pub(super) fn token_loss(&self, token: usize, log_prob: f64) -> TokenLoss {
        let old = self.old(token, log_prob);
        let loss = match self.surrogate {
            Surrogate::Token(clip) => terms::policy_gradient(log_prob - old, self.advantage, clip),
            Surrogate::Cispo { cap } => terms::cispo(log_prob, old, self.advantage, cap),
            Surrogate::Shaped { gamma } => terms::shaped_policy_gradient(log_prob, self.advantage, gamma),
            Surrogate::Sequence(_) => unreachable!("not token-local"),
        };
        let importance = self.importance(token, old);
        TokenLoss { value: importance * loss.value, derivative: importance * loss.derivative }
    }

    /// [`Surrogate::Sequence`]: every token has the loss of the sequence's ratio, times its own importance weight.
    pub(super) fn sequence_loss(&self, log_probs: &[f64], clip: ClipRange) -> SequenceValue {
        let loss = terms::policy_gradient(self.mean_log_ratio(log_probs), self.advantage, clip);
        let importance = log_probs.iter().enumerate().map(|(token, log_prob)| self.importance(token, self.old(token, *log_prob)));
        let importance: f64 = importance.sum();
        let tokens = log_probs.len();
        let gradient = ScoreGradient::by_log_prob(importance * loss.derivative / tokens as f64);
        SequenceValue { value: importance * loss.value, gradients: vec![gradient; tokens] }
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
        let ratios = log_probs.iter().enumerate().map(|(token, log_prob)| (log_prob - self.old(token, *log_prob)).exp());
        match self.surrogate {
            Surrogate::Token(clip) => ratios.filter(|ratio| clip.bound(*ratio, self.advantage).is_some()).count(),
            Surrogate::Cispo { cap } => ratios.filter(|ratio| *ratio > cap && self.advantage != 0.0).count(),
            Surrogate::Shaped { .. } => 0,
            Surrogate::Sequence(clip) => match clip.bound(self.mean_log_ratio(log_probs).exp(), self.advantage) {
                Some(_) => log_probs.len(),
                None => 0,
            },
        }
    }
}
