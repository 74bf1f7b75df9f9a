//! Watches over training: what is not right, and what is to be done about it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{WatchdogPolicy, WatchdogSection};
use crate::error::{Error, Result};
use crate::logs::watchdog::{Found, Watch};
use crate::objective::Group;
use crate::resume::{Resumable, from_state, to_state};
use crate::statistics::std_dev;

/// Something that is not right with a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The watch that found it.
    pub watch: Watch,
    /// What is to be done.
    pub policy: WatchdogPolicy,
    /// What was found, for people.
    pub message: String,
    /// The same in numbers.
    pub found: Found,
}

impl Alarm {
    /// An external reward gives no answer.
    pub(crate) fn reward_source(message: String, policy: WatchdogPolicy) -> Self {
        Self { watch: Watch::RewardSource, policy, message, found: Found::Nothing }
    }
}

/// What a batch looked like before its update.
#[derive(Debug, Default, Clone, Copy)]
pub struct Vitals {
    /// The whole loss.
    pub loss: f64,
    /// The gradient's norm.
    pub grad_norm: f64,
    /// The largest factor by which a rollout token's probability differs from what it was sampled with, in either direction.
    pub ratio: Option<f64>,
    /// KL to the reference.
    pub kl: Option<f64>,
    /// Entropy, where it is the first update on the batch.
    pub entropy: Option<f64>,
}

/// The watches of a run, and what they remember.
pub struct Watchdog {
    options: WatchdogSection,
    memory: Memory,
}

/// What is kept from step to step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Steps in a row with too little entropy.
    low_entropy: usize,
    /// Steps in a row without a group that teaches anything.
    dead: usize,
    /// Steps in a row that were skipped.
    skips: usize,
    /// How often the run went back.
    rollbacks: usize,
    /// What the learning rate is multiplied by since then.
    learning_rate_scale: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { low_entropy: 0, dead: 0, skips: 0, rollbacks: 0, learning_rate_scale: 1.0 }
    }
}

impl Watchdog {
    pub(crate) fn new(options: WatchdogSection) -> Self {
        Self { options, memory: Memory::default() }
    }

    /// What the learning rate is multiplied by.
    pub(crate) fn learning_rate_scale(&self) -> f64 {
        self.memory.learning_rate_scale
    }

    /// Looks at an update before it is made.
    pub(crate) fn update(&mut self, vitals: &Vitals) -> Option<Alarm> {
        let WatchdogSection { on_non_finite, max_ratio, on_ratio, max_kl, on_kl, min_entropy, entropy_steps, on_entropy, .. } =
            self.options;
        let Vitals { loss, grad_norm, ratio, kl, entropy } = *vitals;
        if !loss.is_finite() || !grad_norm.is_finite() {
            let message = format!("loss {loss}, gradient norm {grad_norm}; the update was not applied");
            let found = Found::Update { loss: loss.to_string(), grad_norm: grad_norm.to_string() };
            return Some(Alarm { watch: Watch::NonFinite, policy: on_non_finite, message, found });
        }
        if let (Some(entropy), Some(least)) = (entropy, min_entropy) {
            self.memory.low_entropy = if entropy < least { self.memory.low_entropy + 1 } else { 0 };
            if self.memory.low_entropy >= entropy_steps {
                let message =
                    format!("entropy {entropy:.4} nats, below watchdog.min_entropy = {least} for {} steps", self.memory.low_entropy);
                return Some(Alarm { watch: Watch::Entropy, policy: on_entropy, message, found: Found::Entropy { entropy } });
            }
        }
        if let (Some(ratio), Some(most)) = (ratio, max_ratio)
            && ratio > most
        {
            let message = format!(
                "a token's probability is {ratio:.3} times what it was sampled with, or that part of it: above watchdog.max_ratio = {most}"
            );
            return Some(Alarm { watch: Watch::Ratio, policy: on_ratio, message, found: Found::Ratio { ratio: ratio.to_string() } });
        }
        if let (Some(kl), Some(most)) = (kl, max_kl)
            && kl > most
        {
            let message = format!("KL to the reference {kl:.4} nats, above watchdog.max_kl = {most}");
            return Some(Alarm { watch: Watch::Kl, policy: on_kl, message, found: Found::Kl { kl: kl.to_string() } });
        }
        None
    }

    /// Looks at the groups that a step has drawn, if any: rewards that are no numbers, and whether any group has rewards that differ.
    pub(crate) fn groups(&mut self, groups: &[Group]) -> Option<Alarm> {
        let WatchdogSection { on_non_finite, dead_groups_steps, on_dead_groups, .. } = self.options;
        let rewards = groups.iter().flat_map(|group| &group.rollouts).filter_map(|rollout| rollout.reward);
        if let Some(reward) = rewards.clone().find(|reward| !reward.is_finite()) {
            let message = format!("a rollout has the reward {reward}");
            return Some(Alarm {
                watch: Watch::NonFinite,
                policy: on_non_finite,
                message,
                found: Found::Reward { reward: reward.to_string() },
            });
        }
        let rewards: Vec<f64> = rewards.collect();
        if !std_dev(&rewards).is_finite() {
            let (least, most) = rewards.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), r| (a.min(*r), b.max(*r)));
            let message = format!(
                "rewards lie between {least:e} and {most:e}: their variance is more than a 64-bit number holds, so that there are no advantages; \
                 expected rewards whose squares are numbers, such as between -1 and 1: scale them"
            );
            return Some(Alarm {
                watch: Watch::NonFinite,
                policy: on_non_finite,
                message,
                found: Found::Rewards { least_reward: least, largest_reward: most },
            });
        }
        if groups.is_empty() {
            return None;
        }
        self.memory.dead = if groups.iter().all(Group::has_equal_rewards) { self.memory.dead + 1 } else { 0 };
        (dead_groups_steps > 0 && self.memory.dead >= dead_groups_steps).then(|| Alarm {
            watch: Watch::DeadGroups,
            policy: on_dead_groups,
            message: format!(
                "no group had rewards that differ for {} steps (watchdog.dead_groups_steps = {dead_groups_steps})",
                self.memory.dead
            ),
            found: Found::DeadGroups { steps: self.memory.dead },
        })
    }

    /// A step was made, and `skipped` or not. Errors: too many were, one after the other.
    pub(crate) fn step_done(&mut self, skipped: bool) -> Result<()> {
        self.memory.skips = if skipped { self.memory.skips + 1 } else { 0 };
        let most = self.options.max_skips;
        if self.memory.skips > most {
            return Err(Error::Watchdog(format!(
                "{} steps in a row were skipped (watchdog.max_skips = {most}); watchdog.jsonl says why",
                self.memory.skips
            )));
        }
        Ok(())
    }

    /// What to remember once the run has gone back: how often it has, and a smaller learning rate. Errors: why it may not go back any more.
    pub(crate) fn going_back(&self) -> Result<Memory, String> {
        let (done, most) = (self.memory.rollbacks, self.options.max_rollbacks);
        if done >= most {
            return Err(format!("the run went back {done} times already (watchdog.max_rollbacks = {most})"));
        }
        let learning_rate_scale = self.memory.learning_rate_scale * self.options.rollback_learning_rate;
        Ok(Memory { rollbacks: done + 1, learning_rate_scale, ..Memory::default() })
    }

    /// The run has gone back.
    pub(crate) fn gone_back(&mut self, memory: Memory) {
        self.memory = memory;
    }
}

impl Resumable for Watchdog {
    fn state(&self) -> Result<Value> {
        to_state(&self.memory)
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        self.memory = from_state(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Rollout;
    use expo_lm::generate::FinishReason;

    const QUIET: Vitals = Vitals { loss: 1.0, grad_norm: 1.0, ratio: Some(1.1), kl: Some(0.1), entropy: Some(2.0) };

    fn found(watchdog: &mut Watchdog, vitals: Vitals) -> Option<(Watch, WatchdogPolicy)> {
        watchdog.update(&vitals).map(|alarm| (alarm.watch, alarm.policy))
    }

    #[test]
    fn only_what_is_not_finite_is_watched_for_by_default() {
        let mut watchdog = Watchdog::new(WatchdogSection::default());
        for quiet in [QUIET, Vitals { ratio: Some(1e30), kl: Some(1e30), entropy: Some(0.0), ..QUIET }] {
            assert_eq!(found(&mut watchdog, quiet), None);
        }
        for loud in [Vitals { loss: f64::NAN, ..QUIET }, Vitals { grad_norm: f64::INFINITY, ..QUIET }] {
            assert_eq!(found(&mut watchdog, loud), Some((Watch::NonFinite, WatchdogPolicy::Stop)));
        }
    }

    #[test]
    fn each_limit_has_its_policy() {
        let mut watchdog = Watchdog::new(WatchdogSection {
            max_ratio: Some(4.0),
            on_ratio: WatchdogPolicy::Skip,
            max_kl: Some(0.5),
            on_kl: WatchdogPolicy::Rollback,
            min_entropy: Some(0.2),
            entropy_steps: 2,
            ..WatchdogSection::default()
        });
        assert_eq!(found(&mut watchdog, QUIET), None);
        assert_eq!(found(&mut watchdog, Vitals { ratio: Some(4.1), ..QUIET }), Some((Watch::Ratio, WatchdogPolicy::Skip)));
        assert_eq!(found(&mut watchdog, Vitals { kl: Some(0.6), ..QUIET }), Some((Watch::Kl, WatchdogPolicy::Rollback)));
        // A collapse lasts; later updates on a batch say nothing of it.
        let low = Vitals { entropy: Some(0.1), ..QUIET };
        assert_eq!(found(&mut watchdog, low), None);
        assert_eq!(found(&mut watchdog, Vitals { entropy: None, ..QUIET }), None);
        assert_eq!(found(&mut watchdog, low), Some((Watch::Entropy, WatchdogPolicy::Stop)));
        assert_eq!(found(&mut watchdog, QUIET), None);
        assert_eq!(found(&mut watchdog, low), None);
    }

    fn group(rewards: &[f64]) -> Group {
        let rollout =
            |reward: &f64| Rollout { reward: Some(*reward), ..Rollout::new(vec![1], Default::default(), vec![-1.0], FinishReason::Stop) };
        Group { prompt: vec![1], rollouts: rewards.iter().map(rollout).collect(), ..Group::default() }
    }

    #[test]
    fn dead_groups_count_in_a_row_and_rewards_have_to_be_numbers() {
        let mut watchdog = Watchdog::new(WatchdogSection { dead_groups_steps: 2, ..WatchdogSection::default() });
        let (dead, alive) = ([group(&[0.0, 0.0]), group(&[1.0, 1.0])], [group(&[0.0, 0.0]), group(&[0.0, 1.0])]);
        let mut found = |groups: &[Group]| watchdog.groups(groups).map(|alarm| alarm.watch);
        assert_eq!([found(&dead), found(&alive), found(&dead), found(&[])], [None; 4]);
        assert_eq!(found(&dead), Some(Watch::DeadGroups));
        assert_eq!(found(&[group(&[0.0, f64::INFINITY])]), Some(Watch::NonFinite));
        // Numbers, but not their squares: without this the advantages would be 0, or none.
        let alarm = watchdog.groups(&[group(&[0.0, 1e200]), group(&[-1e300])]).unwrap();
        assert!(alarm.watch == Watch::NonFinite && alarm.message.starts_with("rewards lie between -1e300 and 1e200"), "{}", alarm.message);
        assert!(watchdog.groups(&[group(&[1e150, -1e150]), group(&[1e300, 1e300])]).is_some());
        assert!(watchdog.groups(&[group(&[1e150, -1e150]), group(&[0.0, 1.0])]).is_none());
    }

    #[test]
    fn what_it_remembers_goes_on_and_going_back_has_an_end() {
        let options = WatchdogSection { max_rollbacks: 2, max_skips: 1, rollback_learning_rate: 0.25, ..WatchdogSection::default() };
        let mut watchdog = Watchdog::new(options.clone());
        assert_eq!(watchdog.learning_rate_scale(), 1.0);
        watchdog.step_done(true).unwrap();
        for scale in [0.25, 0.0625] {
            let memory = watchdog.going_back().unwrap();
            // What the checkpoint says of earlier times comes first.
            watchdog.restore(Watchdog::new(options.clone()).state().unwrap()).unwrap();
            watchdog.gone_back(memory);
            assert_eq!(watchdog.learning_rate_scale(), scale);
        }
        assert!(watchdog.going_back().unwrap_err().contains("went back 2 times already"));
        let mut other = Watchdog::new(options);
        other.restore(watchdog.state().unwrap()).unwrap();
        assert_eq!(other.memory, watchdog.memory);
        // Skipped steps in a row.
        for skipped in [true, false, true] {
            other.step_done(skipped).unwrap();
        }
        assert!(other.step_done(true).unwrap_err().to_string().contains("watchdog.max_skips = 1"));
    }
}
