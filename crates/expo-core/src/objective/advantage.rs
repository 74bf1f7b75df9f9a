//! Rewards of a group turned into advantages.

use crate::config::{AdvantageEstimator, ScaleRewards};
use crate::statistics::{mean, std_dev};

/// Added to the standard deviation, as TRL does.
pub const STD_EPSILON: f64 = 1e-4;

/// Advantages `A = (R - baseline) / scale`. `rewards[g]` holds the rewards of group `g`; the result has the same shape.
///
/// - Baseline: by `estimator` the group's mean (GRPO, arXiv 2402.03300, section 4.1.2; REINFORCE++-baseline, arXiv 2501.03262), the mean of the
///   group's other samples (RLOO, arXiv 2402.14740), or the batch's mean (REINFORCE++, arXiv 2501.03262).
/// - Scale: the standard deviation (N - 1 in its denominator) of the group's rewards, or of the whole batch's rewards (`grpo`, as TRL) or differences to
///   the baseline (the other estimators), plus 1e-4; or 1 (Dr. GRPO, arXiv 2503.20783).
///
/// A sample without a reward is in no mean and no deviation, and its advantage is 0; so is that of a sample without another to compare it with.
pub fn advantages(rewards: &[Vec<Option<f64>>], estimator: AdvantageEstimator, scale: ScaleRewards) -> Vec<Vec<f64>> {
    let present = |rewards: &[Option<f64>]| rewards.iter().copied().flatten().collect::<Vec<f64>>();
    let batch: Vec<f64> = rewards.iter().flat_map(|group| present(group)).collect();
    let batch_mean = mean(&batch);
    let differences: Vec<Vec<Option<f64>>> = rewards
        .iter()
        .map(|group| {
            let rewards = present(group);
            let (group_mean, n) = (mean(&rewards), rewards.len() as f64);
            let difference = |reward: f64| match estimator {
                AdvantageEstimator::Grpo | AdvantageEstimator::ReinforcePlusPlusBaseline => reward - group_mean,
                // Of the others' mean, without a sum that would leave equal rewards a rounding error.
                AdvantageEstimator::Rloo if n > 1.0 => (reward - group_mean) * n / (n - 1.0),
                AdvantageEstimator::Rloo => 0.0,
                AdvantageEstimator::ReinforcePlusPlus => reward - batch_mean,
            };
            group.iter().map(|reward| reward.map(difference)).collect()
        })
        .collect();
    let batch_std = match estimator {
        AdvantageEstimator::Grpo => std_dev(&batch),
        _ => std_dev(&present(&differences.concat())),
    };
    let scaled = |(group, differences): (&Vec<Option<f64>>, Vec<Option<f64>>)| {
        let scale = match scale {
            ScaleRewards::Group => std_dev(&present(group)) + STD_EPSILON,
            ScaleRewards::Batch => batch_std + STD_EPSILON,
            ScaleRewards::None => 1.0,
        };
        differences.into_iter().map(|difference| difference.unwrap_or(0.0) / scale).collect()
    };
    rewards.iter().zip(differences).map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ESTIMATORS: [AdvantageEstimator; 4] = [
        AdvantageEstimator::Grpo,
        AdvantageEstimator::Rloo,
        AdvantageEstimator::ReinforcePlusPlus,
        AdvantageEstimator::ReinforcePlusPlusBaseline,
    ];
    const SCALES: [ScaleRewards; 3] = [ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None];

    fn combinations() -> impl Iterator<Item = (AdvantageEstimator, ScaleRewards)> {
        ESTIMATORS.into_iter().flat_map(|estimator| SCALES.map(|scale| (estimator, scale)))
    }

    #[test]
    fn one_right_of_four() {
        let group = [[1.0, 0.0, 0.0, 0.0].map(Some).to_vec()];
        let a = advantages(&group, AdvantageEstimator::Grpo, ScaleRewards::Group);
        assert!((a[0][0] - 0.75 / (0.5 + 1e-4)).abs() < 1e-12);
        assert!((a[0][1] + 0.25 / (0.5 + 1e-4)).abs() < 1e-12);
        let a = advantages(&group, AdvantageEstimator::Rloo, ScaleRewards::None);
        assert!((a[0][0] - 1.0).abs() < 1e-12 && (a[0][1] + 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_baseline_of_the_batch_lets_groups_of_equal_reward_speak() {
        let groups = [vec![Some(1.0); 2], vec![Some(0.0); 2]];
        let a = advantages(&groups, AdvantageEstimator::ReinforcePlusPlus, ScaleRewards::None);
        assert_eq!(a, [vec![0.5; 2], vec![-0.5; 2]]);
        let a = advantages(&groups, AdvantageEstimator::ReinforcePlusPlusBaseline, ScaleRewards::Batch);
        assert_eq!(a, [vec![0.0; 2], vec![0.0; 2]]);
    }

    #[test]
    fn a_sample_without_a_reward_changes_nothing_for_the_others() {
        let with = [vec![Some(1.0), None, Some(0.0), Some(0.5)], vec![None, None], vec![Some(3.0), None]];
        let without = [[1.0, 0.0, 0.5].map(Some).to_vec(), Vec::new(), vec![Some(3.0)]];
        for (estimator, scale) in combinations() {
            let (with, without) = (advantages(&with, estimator, scale), advantages(&without, estimator, scale));
            assert_eq!(with[0], [without[0][0], 0.0, without[0][1], without[0][2]]);
            assert_eq!((&with[1][..], with[2][1]), (&[0.0, 0.0][..], 0.0));
            assert_eq!(with[2][0], without[2][0]);
        }
    }

    proptest! {
        #[test]
        fn sum_to_zero_within_a_group(group in prop::collection::vec(-3.0..3.0f64, 1..12)) {
            for (estimator, scale) in combinations() {
                let a = advantages(&[group.iter().copied().map(Some).collect()], estimator, scale);
                prop_assert!(a[0].iter().sum::<f64>().abs() < 1e-6);
            }
        }

        #[test]
        fn equal_rewards_give_exactly_zero(value in -3.0..3.0f64, n in 1..9usize) {
            for (estimator, scale) in combinations() {
                prop_assert!(advantages(&[vec![Some(value); n]], estimator, scale)[0].iter().all(|a| *a == 0.0));
            }
        }
    }
}
