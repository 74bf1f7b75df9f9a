//! The built-in rewards: correctness, format, and three forms of length.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use super::Verdict;
use super::name::RewardName;
use crate::config::Config;

/// What a reward can depend on.
struct Facts<'a> {
    verdict: &'a Verdict,
    /// Length in tokens, end of sequence included; that of the question's shortest and longest completion.
    length: usize,
    shortest: usize,
    longest: usize,
}

type Value = fn(&BuiltIn, &Facts) -> f64;

/// Every built-in reward; its weight is the option of its name.
const REWARDS: [(RewardName, Value); 5] = [
    (RewardName::Correctness, |_, of| f64::from(u8::from(of.verdict.correct))),
    (RewardName::Format, |_, of| f64::from(u8::from(of.verdict.formatted))),
    (RewardName::Length, |_, of| linear_length(of.length, of.shortest, of.longest, of.verdict.correct)),
    (RewardName::Cosine, |options, of| options.cosine.reward(of.length, of.verdict.correct)),
    (RewardName::SoftOverlongPunishment, |options, of| options.overlong.punishment(of.length)),
];

/// The built-in rewards of a run with their weights.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Those whose weight is not 0.
    used: Vec<Used>,
    cosine: CosineScaled,
    overlong: SoftOverlong,
}

#[derive(Debug, Clone)]
struct Used {
    name: RewardName,
    weight: f64,
    /// Only right completions get it.
    gated: bool,
    value: Value,
}

impl BuiltIn {
    /// Those of `config` whose weight is not 0.
    pub fn new(config: &Config) -> Self {
        let section = &config.reward;
        let weights = [section.correctness, section.format, section.length, section.cosine, section.soft_overlong_punishment];
        let used = REWARDS.into_iter().zip(weights).filter(|(_, weight)| *weight != 0.0);
        let gated = |name: &RewardName| section.gate_on_correctness.iter().any(|gated| gated == name.as_str());
        Self {
            used: used.map(|((name, value), weight)| Used { gated: gated(&name), name, weight, value }).collect(),
            cosine: CosineScaled {
                min_value_wrong: section.cosine_min_value_wrong,
                max_value_wrong: section.cosine_max_value_wrong,
                min_value_correct: section.cosine_min_value_correct,
                max_value_correct: section.cosine_max_value_correct,
                max_len: section.cosine_max_len.unwrap_or(config.rollout.max_new_tokens),
            },
            overlong: SoftOverlong {
                max_completion_len: section.max_completion_len.unwrap_or(config.rollout.max_new_tokens),
                soft_punish_cache: section.soft_punish_cache.unwrap_or(1),
            },
        }
    }

    /// Name and weight of each.
    pub fn weights(&self) -> impl Iterator<Item = (&RewardName, f64)> {
        self.used.iter().map(|used| (&used.name, used.weight))
    }

    /// The rewards by name, unweighted, of the completions of one question: `group` holds each one's verdict and length in tokens (end of
    /// sequence included).
    pub fn rewards(&self, group: &[(&Verdict, usize)]) -> Vec<BTreeMap<String, f64>> {
        let lengths = || group.iter().map(|(_, length)| *length);
        let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let rewards = |(verdict, length): &(&Verdict, usize)| {
            let facts = Facts { verdict, length: *length, shortest, longest };
            let value = |used: &Used| if used.gated && !verdict.correct { 0.0 } else { (used.value)(self, &facts) };
            self.used.iter().map(|used| (used.name.to_string(), value(used))).collect()
        };
        group.iter().map(rewards).collect()
    }
}

/// Kimi k1.5's length reward (arXiv 2501.12599, section 2.3.3): `0.5 - (length - shortest) / (longest - shortest)` among the completions
/// of a question, at most 0 for a wrong one; 0 where all have the same length.
pub fn linear_length(length: usize, shortest: usize, longest: usize, correct: bool) -> f64 {
    if longest == shortest {
        return 0.0;
    }
    let reward = 0.5 - (length - shortest) as f64 / (longest - shortest) as f64;
    if correct { reward } else { reward.min(0.0) }
}

/// The cosine length reward as TRL's and open-r1's `get_cosine_scaled_reward` has it, after arXiv 2502.03373.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineScaled {
    /// Of a wrong completion of no length.
    pub min_value_wrong: f64,
    /// Of a wrong completion of `max_len`.
    pub max_value_wrong: f64,
    /// Of a right completion of `max_len`.
    pub min_value_correct: f64,
    /// Of a right completion of no length.
    pub max_value_correct: f64,
    /// Tokens at which the end is reached; longer completions get its value.
    pub max_len: usize,
}

impl CosineScaled {
    /// `end + (start - end) (1 + cos(pi length / max_len)) / 2`, from the value at no length to that at `max_len`.
    pub fn reward(&self, length: usize, correct: bool) -> f64 {
        let (start, end) =
            if correct { (self.max_value_correct, self.min_value_correct) } else { (self.min_value_wrong, self.max_value_wrong) };
        let progress = length.min(self.max_len) as f64 / self.max_len as f64;
        end + 0.5 * (start - end) * (1.0 + (progress * PI).cos())
    }
}

/// DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftOverlong {
    /// L_max in tokens.
    pub max_completion_len: usize,
    /// L_cache in tokens, at least 1.
    pub soft_punish_cache: usize,
}

impl SoftOverlong {
    /// 0 up to `L_max - L_cache`, then `((L_max - L_cache) - length) / L_cache`, and -1 beyond `L_max`.
    pub fn punishment(&self, length: usize) -> f64 {
        let free = self.max_completion_len.saturating_sub(self.soft_punish_cache);
        if length > self.max_completion_len { -1.0 } else { -(length.saturating_sub(free) as f64) / self.soft_punish_cache as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        length: Vec<Length>,
        cosine: Vec<Cosine>,
        soft_overlong_punishment: Vec<Overlong>,
    }
    #[derive(Deserialize)]
    struct Length {
        lengths: Vec<usize>,
        correct: Vec<bool>,
        rewards: Vec<f64>,
    }
    #[derive(Deserialize)]
    struct Cosine {
        values: [f64; 4],
        max_len: usize,
        length: usize,
        correct: bool,
        reward: f64,
    }
    #[derive(Deserialize)]
    struct Overlong {
        max_completion_len: usize,
        soft_punish_cache: usize,
        length: usize,
        reward: f64,
    }

    /// The reference numbers of scripts/fixtures/length_rewards.py.
    #[test]
    fn length_rewards_equal_the_reference() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/length_rewards.json")).unwrap();
        let close = |found: f64, expected: f64, what: &dyn std::fmt::Debug| {
            assert!((found - expected).abs() < 1e-12, "{what:?}: {found}, reference {expected}");
        };
        assert!(fixture.length.len() > 4 && fixture.cosine.len() > 20 && fixture.soft_overlong_punishment.len() > 20);
        for case in &fixture.length {
            let (shortest, longest) = (*case.lengths.iter().min().unwrap(), *case.lengths.iter().max().unwrap());
            for ((length, correct), expected) in case.lengths.iter().zip(&case.correct).zip(&case.rewards) {
                close(linear_length(*length, shortest, longest, *correct), *expected, &(length, correct));
            }
        }
        for case in &fixture.cosine {
            let [min_value_wrong, max_value_wrong, min_value_correct, max_value_correct] = case.values;
            let cosine = CosineScaled { min_value_wrong, max_value_wrong, min_value_correct, max_value_correct, max_len: case.max_len };
            close(cosine.reward(case.length, case.correct), case.reward, &(cosine, case.length, case.correct));
        }
        for case in &fixture.soft_overlong_punishment {
            let overlong = SoftOverlong { max_completion_len: case.max_completion_len, soft_punish_cache: case.soft_punish_cache };
            close(overlong.punishment(case.length), case.reward, &(overlong, case.length));
        }
    }

    #[test]
    fn weights_and_the_gate() {
        let mut config = Config::default();
        config.rollout.max_new_tokens = 10;
        config.reward.format = 0.5;
        config.reward.length = 0.25;
        config.reward.soft_overlong_punishment = 2.0;
        config.reward.soft_punish_cache = Some(4);
        let verdict = |correct| Verdict { correct, formatted: true, ..Verdict::default() };
        let (right, wrong) = (verdict(true), verdict(false));
        let group = [(&right, 4), (&wrong, 8), (&wrong, 4)];
        let rewards = |config: &Config, i: usize| -> Vec<f64> { BuiltIn::new(config).rewards(&group)[i].values().copied().collect() };
        let built_in = BuiltIn::new(&config);
        assert_eq!(
            built_in.weights().collect::<Vec<_>>(),
            [
                (&RewardName::Correctness, 1.0),
                (&RewardName::Format, 0.5),
                (&RewardName::Length, 0.25),
                (&RewardName::SoftOverlongPunishment, 2.0)
            ]
        );
        // By name: correctness, format, length, soft_overlong_punishment.
        assert_eq!(rewards(&config, 0), [1.0, 1.0, 0.5, 0.0]);
        assert_eq!(rewards(&config, 1), [0.0, 1.0, -0.5, -0.5]);
        assert_eq!(rewards(&config, 2), [0.0, 1.0, 0.0, 0.0]);
        config.reward.gate_on_correctness = vec!["format".into(), "soft_overlong_punishment".into()];
        assert_eq!(rewards(&config, 0), [1.0, 1.0, 0.5, 0.0]);
        assert_eq!(rewards(&config, 1), [0.0, 0.0, -0.5, 0.0], "of those that are gated a wrong one gets nothing");
    }
}
