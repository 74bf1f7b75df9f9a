//! Loss terms as pure functions of log-probabilities: the value of one token's loss and its derivative.
//!
//! Weights and denominators are the business of the recipes.

use crate::config::KlEstimator;

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
    /// Upper bound of the ratio where the advantage is negative, above `1 + high` (two-sided clip, INTELLECT-2, arXiv 2505.07291);
    /// `None`: no bound.
    pub delta: Option<f64>,
}

impl ClipRange {
    /// What takes the place of the ratio where the clip is active, so that there is no gradient: the ratio has already moved too far in the
    /// direction that the advantage pushes, or, with a negative advantage, lies above `delta`.
    pub fn bound(self, ratio: f64, advantage: f64) -> Option<f64> {
        let (low, high) = (1.0 - self.low, 1.0 + self.high);
        if advantage > 0.0 {
            (ratio > high).then_some(high)
        } else if advantage < 0.0 && ratio < low {
            Some(low)
        } else {
            self.delta.filter(|delta| advantage < 0.0 && ratio > *delta)
        }
    }
}

/// How the policy gradient of a rollout uses the ratio of the policy to the old one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Surrogate {
    /// Each token's ratio, clipped: [`policy_gradient`].
    Token(ClipRange),
    /// One ratio a sequence, the geometric mean of its tokens' ratios, clipped: [`policy_gradient`] of the mean log-ratio, once for every
    /// token (GSPO, arXiv 2507.18071).
    Sequence(ClipRange),
    /// Each token's ratio as a capped constant: [`cispo`].
    Cispo {
        /// Largest weight.
        cap: f64,
    },
    /// For a completion of another policy: [`shaped_policy_gradient`].
    Shaped {
        /// Probability at which half of the shaping's range is reached.
        gamma: f64,
    },
}

/// PPO's clipped surrogate as GRPO uses it (arXiv 2402.03300, eq. 3), as a loss:
/// `-min(rho A, clip(rho, 1 - low, 1 + high) A)` with `rho = exp(log_ratio)`, and rho at most `delta` in the first product. The derivative is by
/// `log_ratio`.
pub fn policy_gradient(log_ratio: f64, advantage: f64, clip: ClipRange) -> TokenLoss {
    let ratio = log_ratio.exp();
    match clip.bound(ratio, advantage) {
        Some(bound) => TokenLoss { value: -bound * advantage, derivative: 0.0 },
        None => TokenLoss { value: -ratio * advantage, derivative: -ratio * advantage },
    }
}

/// CISPO (MiniMax-M1, arXiv 2506.13585, eq. 4 and 5, without a lower bound): `-sg(min(rho, cap)) A log_prob`, where `sg` stops the gradient and
/// `rho = exp(log_prob - old_log_prob)`.
pub fn cispo(log_prob: f64, old_log_prob: f64, advantage: f64, cap: f64) -> TokenLoss {
    let weight = (log_prob - old_log_prob).exp().min(cap);
    TokenLoss { value: -weight * advantage * log_prob, derivative: -weight * advantage }
}

/// Policy shaping (LUFFY, arXiv 2504.14945) on a token of another policy: `-f(rho) A` with `f(x) = x / (x + gamma)`, without a clip. rho is the token's probability
/// itself: that of the other policy is taken as 1, since it is not known.
pub fn shaped_policy_gradient(log_prob: f64, advantage: f64, gamma: f64) -> TokenLoss {
    let probability = log_prob.exp();
    let shaped = probability / (probability + gamma);
    // df / d(log x) = x f'(x) = f (1 - f)
    TokenLoss { value: -shaped * advantage, derivative: -shaped * (1.0 - shaped) * advantage }
}

/// Cross-entropy against the token itself: `-log_prob`.
pub fn cross_entropy(log_prob: f64) -> TokenLoss {
    TokenLoss { value: -log_prob, derivative: -1.0 }
}

/// The k3 estimator of KL(policy || reference) (Schulman 2020, "Approximating KL divergence"; arXiv 2402.03300, eq. 4): `exp(d) - d - 1` with
/// `d = reference_log_prob - log_prob`.
pub fn kl_k3(log_prob: f64, reference_log_prob: f64) -> TokenLoss {
    let difference = reference_log_prob - log_prob;
    TokenLoss { value: difference.exp_m1() - difference, derivative: -difference.exp_m1() }
}

/// The k2 estimator of the same (Schulman 2020): `d^2 / 2`. On policy its expected gradient is that of the KL itself, which is not so of k3's.
pub fn kl_k2(log_prob: f64, reference_log_prob: f64) -> TokenLoss {
    let difference = reference_log_prob - log_prob;
    TokenLoss { value: difference * difference / 2.0, derivative: -difference }
}

/// The k1 estimator of the same: `log_prob - reference_log_prob`. Its expected gradient on policy is 0: as a loss it teaches nothing.
pub fn kl_k1(log_prob: f64, reference_log_prob: f64) -> TokenLoss {
    TokenLoss { value: log_prob - reference_log_prob, derivative: 1.0 }
}

/// That of `estimator`.
pub fn kl(estimator: KlEstimator, log_prob: f64, reference_log_prob: f64) -> TokenLoss {
    match estimator {
        KlEstimator::K1 => kl_k1(log_prob, reference_log_prob),
        KlEstimator::K2 => kl_k2(log_prob, reference_log_prob),
        KlEstimator::K3 => kl_k3(log_prob, reference_log_prob),
    }
}

/// Truncated importance weight between the trainer's and the sampler's distribution: `min(exp(old - sampler), cap)`
/// (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"). A constant for the gradient.
pub fn importance_weight(old_log_prob: f64, sampler_log_prob: f64, cap: f64) -> f64 {
    (old_log_prob - sampler_log_prob).exp().min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: ClipRange = ClipRange { low: 0.2, high: 0.3, delta: None };
    const TWO_SIDED: ClipRange = ClipRange { delta: Some(2.0), ..CLIP };

    fn finite_difference(f: impl Fn(f64) -> TokenLoss, at: f64) -> f64 {
        let h = 1e-6;
        (f(at + h).value - f(at - h).value) / (2.0 * h)
    }

    #[test]
    fn derivatives_match_finite_differences() {
        let check = |f: &dyn Fn(f64) -> TokenLoss, at: f64| {
            assert!((finite_difference(f, at) - f(at).derivative).abs() < 1e-6 * f(at).value.abs().max(1.0), "at {at}");
        };
        for log_prob in [-0.01, -0.3, -1.7, -6.0] {
            for other in [-0.02, -0.35, -1.2, -5.0] {
                for advantage in [-1.3, 0.0, 0.7] {
                    for clip in [CLIP, TWO_SIDED] {
                        check(&|lp| policy_gradient(lp - other, advantage, clip), log_prob);
                    }
                    check(&|lp| shaped_policy_gradient(lp, advantage, 0.1), log_prob);
                    // The weight is a constant for the gradient.
                    let weight = (log_prob - other).exp().min(1.5);
                    let found = cispo(log_prob, other, advantage, 1.5);
                    assert_eq!(found, TokenLoss { value: -weight * advantage * log_prob, derivative: -weight * advantage });
                }
                check(&|lp| kl_k3(lp, other), log_prob);
                check(&|lp| kl_k2(lp, other), log_prob);
                assert!(kl_k3(log_prob, other).value >= 0.0);
            }
            check(&cross_entropy, log_prob);
        }
    }

    #[test]
    fn the_clip_stops_only_moves_in_the_advantage_s_direction() {
        let ratio = |r: f64, a| policy_gradient(r.ln(), a, CLIP);
        assert_eq!(ratio(1.5, 1.0).derivative, 0.0);
        assert!((ratio(1.5, 1.0).value + 1.3).abs() < 1e-12);
        assert_eq!(ratio(0.5, -1.0).derivative, 0.0);
        assert!((ratio(0.5, -1.0).value - 0.8).abs() < 1e-12);
        assert!((ratio(1.5, -1.0).derivative - 1.5).abs() < 1e-12);
        assert!((ratio(0.5, 1.0).derivative + 0.5).abs() < 1e-12);
        // On policy: the ratio is exactly 1 and the gradient is -A.
        assert_eq!(policy_gradient(0.0, 0.9, CLIP), TokenLoss { value: -0.9, derivative: -0.9 });
    }

    #[test]
    fn the_second_side_bounds_negative_advantages_alone() {
        let ratio = |r: f64, a| policy_gradient(r.ln(), a, TWO_SIDED);
        assert_eq!(ratio(5.0, -1.0), TokenLoss { value: 2.0, derivative: 0.0 });
        assert!((ratio(1.9, -1.0).derivative - 1.9).abs() < 1e-12);
        assert_eq!(ratio(5.0, 1.0), policy_gradient(5.0f64.ln(), 1.0, CLIP));
    }

    #[test]
    fn importance_weights_are_capped() {
        assert_eq!(importance_weight(0.0, -3.0, 2.0), 2.0);
        assert!((importance_weight(-1.0, -0.5, 2.0) - (-0.5f64).exp()).abs() < 1e-12);
    }
}
