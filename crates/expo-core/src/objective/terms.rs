//! Loss terms as pure functions of log-probabilities: the value of one token's loss and its derivative.
//!
//! Every term is token-local: its derivative by a token's log-probability needs that token alone. Weights and denominators
//! are the business of the recipes.

/// One token's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLoss {
    /// The loss (nats for cross-entropy and KL).
    pub value: f64,
    /// d(value) / d(log-prob of the token).
    pub derivative: f64,
}

/// Clip range of the probability ratio: `[1 - low, 1 + high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipRange {
    /// epsilon below 1.
    pub low: f64,
    /// epsilon above 1 (DAPO's clip-higher, arXiv 2503.14476 eq. 10).
    pub high: f64,
}

impl ClipRange {
    /// Whether the clip is active, so that the token has no gradient: the ratio has already moved too far in the direction
    /// that the advantage pushes.
    pub fn is_clipped(self, ratio: f64, advantage: f64) -> bool {
        (ratio > 1.0 + self.high && advantage > 0.0) || (ratio < 1.0 - self.low && advantage < 0.0)
    }
}

/// PPO's clipped surrogate as GRPO uses it (arXiv 2402.03300, eq. 3), as a loss:
/// `-min(rho A, clip(rho, 1 - low, 1 + high) A)` with `rho = exp(log_prob - old_log_prob)`.
pub fn policy_gradient(log_prob: f64, old_log_prob: f64, advantage: f64, clip: ClipRange) -> TokenLoss {
    let ratio = (log_prob - old_log_prob).exp();
    let unclipped = ratio * advantage;
    if clip.is_clipped(ratio, advantage) {
        TokenLoss { value: -ratio.clamp(1.0 - clip.low, 1.0 + clip.high) * advantage, derivative: 0.0 }
    } else {
        TokenLoss { value: -unclipped, derivative: -unclipped }
    }
}

/// Cross-entropy against the token itself: `-log_prob`.
pub fn cross_entropy(log_prob: f64) -> TokenLoss {
    TokenLoss { value: -log_prob, derivative: -1.0 }
}

/// The k3 estimator of KL(policy || reference) (Schulman 2020; arXiv 2402.03300, eq. 4): `exp(d) - d - 1` with
/// `d = reference_log_prob - log_prob`.
pub fn kl(log_prob: f64, reference_log_prob: f64) -> TokenLoss {
    let difference = reference_log_prob - log_prob;
    TokenLoss { value: difference.exp_m1() - difference, derivative: -difference.exp_m1() }
}

/// Truncated importance weight between the trainer's and the sampler's distribution: `min(exp(old - sampler), cap)`
/// (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"). A constant for the gradient.
pub fn importance_weight(old_log_prob: f64, sampler_log_prob: f64, cap: f64) -> f64 {
    (old_log_prob - sampler_log_prob).exp().min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: ClipRange = ClipRange { low: 0.2, high: 0.3 };

    fn finite_difference(f: impl Fn(f64) -> TokenLoss, at: f64) -> f64 {
        let h = 1e-6;
        (f(at + h).value - f(at - h).value) / (2.0 * h)
    }

    #[test]
    fn derivatives_match_finite_differences() {
        for log_prob in [-0.01, -0.3, -1.7, -6.0] {
            for other in [-0.02, -0.35, -1.2, -5.0] {
                for advantage in [-1.3, 0.0, 0.7] {
                    let pg = |lp| policy_gradient(lp, other, advantage, CLIP);
                    assert!((finite_difference(pg, log_prob) - pg(log_prob).derivative).abs() < 1e-6 * pg(log_prob).value.abs().max(1.0));
                }
                let k3 = |lp| kl(lp, other);
                assert!((finite_difference(k3, log_prob) - k3(log_prob).derivative).abs() < 1e-6 * k3(log_prob).value.abs().max(1.0));
                assert!(k3(log_prob).value >= 0.0);
            }
            assert!((finite_difference(cross_entropy, log_prob) - cross_entropy(log_prob).derivative).abs() < 1e-8);
        }
    }

    #[test]
    fn the_clip_stops_only_moves_in_the_advantage_s_direction() {
        let ratio = |r: f64, a| policy_gradient(r.ln(), 0.0, a, CLIP);
        assert_eq!(ratio(1.5, 1.0).derivative, 0.0);
        assert!((ratio(1.5, 1.0).value + 1.3).abs() < 1e-12);
        assert_eq!(ratio(0.5, -1.0).derivative, 0.0);
        assert!((ratio(0.5, -1.0).value - 0.8).abs() < 1e-12);
        assert!((ratio(1.5, -1.0).derivative - 1.5).abs() < 1e-12);
        assert!((ratio(0.5, 1.0).derivative + 0.5).abs() < 1e-12);
        // On policy: the ratio is exactly 1 and the gradient is -A.
        assert_eq!(policy_gradient(-2.0, -2.0, 0.9, CLIP), TokenLoss { value: -0.9, derivative: -0.9 });
    }

    #[test]
    fn importance_weights_are_capped() {
        assert_eq!(importance_weight(0.0, -3.0, 2.0), 2.0);
        assert!((importance_weight(-1.0, -0.5, 2.0) - (-0.5f64).exp()).abs() < 1e-12);
    }
}
