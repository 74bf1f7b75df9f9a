//! What a run does when it goes wrong.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// What happens when training goes wrong. What was found and what was done is a row of `watchdog.jsonl` in the run's folder (docs/checkpoints.md). An external
    /// reward that stops answering has a policy of its own, `reward.external.NAME.on_failure`.
    WatchdogSection {
        /// A loss, gradient or reward that is not finite.
        on_non_finite: WatchdogPolicy = WatchdogPolicy::Stop;
        /// Most that a token's probability may have changed since it was sampled, as a factor in either direction (unset: any).
        max_ratio: Option<f64> = None, in Bounds { min: Some((1.0, false)), max: None };
        /// When a ratio exceeds it.
        on_ratio: WatchdogPolicy = WatchdogPolicy::Stop;
        /// Most KL to the reference policy, as the metric `kl` (unset: any).
        max_kl: Option<f64> = None, in Bounds::positive();
        /// When the KL exceeds it.
        on_kl: WatchdogPolicy = WatchdogPolicy::Stop;
        /// Least entropy, as the metric `entropy`, in nats (unset: any).
        min_entropy: Option<f64> = None, in Bounds::positive();
        /// Steps in a row with less entropy that make a collapse.
        entropy_steps: usize = 3, in 1..;
        /// When the entropy has collapsed.
        on_entropy: WatchdogPolicy = WatchdogPolicy::Stop;
        /// Steps in a row in which no group has rewards that differ: nothing is learned from rollouts (0: any number).
        dead_groups_steps: usize = 0;
        /// When there were so many.
        on_dead_groups: WatchdogPolicy = WatchdogPolicy::Stop;
        /// `rollback`: the learning rate is multiplied by this, each time.
        rollback_learning_rate: f64 = 0.5, in Bounds { min: Some((0.0, false)), max: Some((1.0, true)) };
        /// `rollback`: the run stops when it would go back more often than this.
        max_rollbacks: usize = 3, in 1..;
        /// `skip`: the run stops when more steps in a row would be skipped.
        max_skips: usize = 10, in 1..;
    }
}

choice! {
    /// What is done when a watch finds something.
    WatchdogPolicy {
        /// The run stops with an error.
        Stop = "stop",
        /// The batch is not trained on; the run goes on with the next.
        Skip = "skip",
        /// The run goes back to its last checkpoint, and on from there with a smaller learning rate.
        Rollback = "rollback",
    }
}
