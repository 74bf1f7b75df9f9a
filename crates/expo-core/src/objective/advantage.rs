//! Rewards of a group turned into advantages.

use crate::config::ScaleRewards;

/// Added to the standard deviation, as TRL does.
pub const STD_EPSILON: f64 = 1e-4;

/// Group-relative advantages (GRPO, arXiv 2402.03300, section 4.1.2): `A_i = (R_i - mean of the group) / (std + 1e-4)`, with the
/// standard deviation (N - 1 in its denominator) of the group, of the whole batch, or without any division (Dr. GRPO,
/// arXiv 2503.20783). `rewards[g]` holds the rewards of group `g`; the result has the same shape. A sample without a reward is in no mean
/// and no deviation, and its advantage is 0.
pub fn advantages(rewards: &[Vec<Option<f64>>], scale: ScaleRewards) -> Vec<Vec<f64>> {
    let batch_std = std_dev(&rewards.iter().flatten().copied().flatten().collect::<Vec<_>>());
    rewards
        .iter()
        .map(|group| {
            let present: Vec<f64> = group.iter().copied().flatten().collect();
            let mean = mean(&present);
            let scale = match scale {
                ScaleRewards::Group => std_dev(&present) + STD_EPSILON,
                ScaleRewards::Batch => batch_std + STD_EPSILON,
                ScaleRewards::None => 1.0,
            };
            group.iter().map(|reward| reward.map_or(0.0, |reward| (reward - mean) / scale)).collect()
        })
        .collect()
}

/// Arithmetic mean; 0 of nothing. Of equal values it is exactly that value, so that equal rewards give advantages of exactly 0.
pub fn mean(values: &[f64]) -> f64 {
    match values {
        [] => 0.0,
        [first, rest @ ..] if rest.iter().all(|value| value == first) => *first,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

/// Sample standard deviation (N - 1 in the denominator); 0 of fewer than two values.
pub fn std_dev(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_right_of_four() {
        let a = advantages(&[[1.0, 0.0, 0.0, 0.0].map(Some).to_vec()], ScaleRewards::Group);
        assert!((a[0][0] - 0.75 / (0.5 + 1e-4)).abs() < 1e-12);
        assert!((a[0][1] + 0.25 / (0.5 + 1e-4)).abs() < 1e-12);
    }

    #[test]
    fn a_sample_without_a_reward_changes_nothing_for_the_others() {
        let with = [vec![Some(1.0), None, Some(0.0), Some(0.5)], vec![None, None], vec![Some(3.0), None]];
        let without = [[1.0, 0.0, 0.5].map(Some).to_vec(), Vec::new(), vec![Some(3.0)]];
        for scale in [ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None] {
            let (with, without) = (advantages(&with, scale), advantages(&without, scale));
            assert_eq!(with[0], [without[0][0], 0.0, without[0][1], without[0][2]]);
            assert_eq!((&with[1][..], &with[2][..]), (&[0.0, 0.0][..], &[0.0, 0.0][..]));
        }
    }

    proptest! {
        #[test]
        fn sum_to_zero_within_a_group(group in prop::collection::vec(-3.0..3.0f64, 1..12)) {
            for scale in [ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None] {
                let a = advantages(&[group.iter().copied().map(Some).collect()], scale);
                prop_assert!(a[0].iter().sum::<f64>().abs() < 1e-6);
            }
        }

        #[test]
        fn equal_rewards_give_exactly_zero(value in -3.0..3.0f64, n in 1..9usize) {
            for scale in [ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None] {
                prop_assert!(advantages(&[vec![Some(value); n]], scale)[0].iter().all(|a| *a == 0.0));
            }
        }
    }
}
