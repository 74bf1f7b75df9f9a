//! Contradictions within `[watchdog]`.

use super::report::Report;
use crate::config::{Config, OnFailure, WatchdogPolicy};

pub(super) fn check(config: &Config, report: &mut Report) {
    let watchdog = &config.watchdog;
    let watches = [
        ("on_non_finite", watchdog.on_non_finite, true, ""),
        ("on_ratio", watchdog.on_ratio, watchdog.max_ratio.is_some(), "max_ratio"),
        ("on_kl", watchdog.on_kl, watchdog.max_kl.is_some(), "max_kl"),
        ("on_entropy", watchdog.on_entropy, watchdog.min_entropy.is_some(), "min_entropy"),
        ("on_dead_groups", watchdog.on_dead_groups, watchdog.dead_groups_steps > 0, "dead_groups_steps"),
    ];
    let no_checkpoints = config.train.save_every == 0;
    for (name, policy, is_on, limit) in watches {
        let key = format!("watchdog.{name}");
        if !is_on && report.wanted(&key, &[&format!("watchdog.{limit}")]) {
            report.add(&[&key], format!("set, but watchdog.{limit} is not; set that, or remove the policy"));
        }
        if policy == WatchdogPolicy::Rollback && no_checkpoints {
            report
                .add(&[&key, "train.save_every"], "found \"rollback\", but train.save_every = 0 writes no checkpoint to go back to".into());
        }
    }
    for (name, external) in &config.reward.external {
        if external.on_failure == OnFailure::Rollback && no_checkpoints {
            let key = format!("reward.external.{name}.on_failure");
            report
                .add(&[&key, "train.save_every"], "found \"rollback\", but train.save_every = 0 writes no checkpoint to go back to".into());
        }
    }
    if watchdog.dead_groups_steps > 0 && !config.train.recipe.has_policy_gradient() {
        let message = format!("set, but recipe {} does not compare the rewards of a group; remove it", config.train.recipe);
        report.add(&["watchdog.dead_groups_steps"], message);
    }
    if watchdog.max_kl.is_some() && config.grpo.beta == 0.0 {
        report.add(
            &["watchdog.max_kl"],
            "set, but with grpo.beta = 0 there is no reference policy to have a KL to; set grpo.beta above 0 or remove the limit".into(),
        );
    }
}
