//! Rows of `watchdog.jsonl`: what was not right, and what was done about it.

use std::fmt;

use serde::Serialize;

/// What the watchdog found in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchdogRow {
    /// The step, from 1.
    pub step: usize,
    /// The watch that found it.
    pub watch: Watch,
    /// What was found, for people.
    pub message: String,
    /// The same in numbers.
    pub found: Found,
    /// What was done.
    pub action: Action,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// Losses, gradients and rewards that are no numbers.
    NonFinite,
    /// Entropy that has gone.
    Entropy,
    /// Probabilities far from those that were sampled with.
    Ratio,
    /// The distance to the reference.
    Kl,
    /// Groups whose rewards are all equal.
    DeadGroups,
    /// An external reward that gives no answer.
    RewardSource,
}

/// What was found, in numbers; text where a number may have no JSON form.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Found {
    /// A loss or a gradient that is not finite.
    Update {
        /// The loss.
        loss: String,
        /// The gradient's norm.
        grad_norm: String,
    },
    /// A reward that is not finite.
    Reward {
        /// The reward.
        reward: String,
    },
    /// Rewards whose variance is more than a number holds.
    Rewards {
        /// The least.
        least_reward: f64,
        /// The largest.
        largest_reward: f64,
    },
    /// Too little entropy.
    Entropy {
        /// Nats.
        entropy: f64,
    },
    /// Too large a ratio.
    Ratio {
        /// The ratio.
        ratio: String,
    },
    /// Too far from the reference.
    Kl {
        /// Nats.
        kl: String,
    },
    /// Groups that teach nothing.
    DeadGroups {
        /// Steps in a row.
        steps: usize,
    },
    /// Nothing that is a number.
    Nothing,
}

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// The run ended.
    Stopped,
    /// The batch was not trained on.
    Skipped,
    /// The run went back.
    WentBack {
        /// To the checkpoint after this step.
        step: usize,
        /// What the learning rate is multiplied by since then.
        learning_rate_scale: f64,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Action::Stopped => f.write_str("stopped"),
            Action::Skipped => f.write_str("skipped"),
            Action::WentBack { step, learning_rate_scale } => {
                write!(f, "back to step {step}, learning rate times {learning_rate_scale}")
            }
        }
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
