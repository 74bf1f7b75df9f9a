//! From what a step drew and measured to its metrics.

use super::update::{MeasuredPairs, Update};
use crate::clock::Clock;
use crate::draw::probe::Properties;
use crate::metrics::StepMetrics;
use crate::objective::group::Group;
use crate::objective::term::Term;
use crate::observe::Phase;
use crate::statistics::std_dev;

/// The metrics of one step; those of several optimizer steps on one batch are averaged over them, and what describes the policy is that of the first.
pub fn step_metrics(step: usize, groups: &[Group], updates: &[Update], properties: Properties, beta_exp: Option<f64>) -> StepMetrics {
    let mut metrics = StepMetrics::new(step);
    metrics.set_mean("loss", updates.iter().map(|update| update.loss));
    for term in Term::ALL {
        let name = format!("loss/{}", term.name());
        metrics.set_mean(&name, updates.iter().filter_map(|update| update.terms.get(&term).copied()));
    }
    metrics.set_mean("grad_norm", updates.iter().map(|update| update.grad_norm));
    metrics.set_some("learning_rate", updates.last().map(|update| update.learning_rate));
    let first = updates.first();
    if let Some(pairs) = first.map(|first| &first.pairs).filter(|pairs| !pairs.chosen.is_empty()) {
        add_preferences(&mut metrics, pairs);
    }
    if groups.is_empty() {
        metrics.set_some("entropy", first.and_then(Update::entropy));
        return metrics;
    }
    add_rewards(&mut metrics, groups);
    let off_policy = || groups.iter().flat_map(|group| &group.off_policy);
    metrics.set_mean("off_policy/reward", off_policy().filter_map(|sample| sample.reward));
    metrics.set_mean("off_policy/advantage", off_policy().map(|sample| sample.advantage));
    if let Some(first) = first {
        metrics.set_some("entropy", first.entropy());
        metrics.set_mean("clip_fraction", updates.iter().filter_map(Update::clip_fraction));
        metrics.set_mean("kl", updates.iter().filter_map(|update| update.kl()));
        metrics.set_mean("off_policy/nll", first.nll_off_policy.iter().copied());
        add_sampling(&mut metrics, first);
        metrics.set_mean("exp/nll_own", first.rollouts.nll.iter().copied());
        metrics.set_mean("exp/nll_explanation", first.nll_explanation.iter().copied());
        metrics.set_mean("exp/nll_expert", first.nll_expert.iter().copied().chain(properties.nll_expert));
    }
    metrics.set_some("exp/answer_gain", properties.answer_gain);
    add_explanations(&mut metrics, groups);
    metrics.set_some("exp/beta", beta_exp);
    metrics
}

/// The metrics of TRL's `DPOTrainer`: means over the step's pairs.
fn add_preferences(metrics: &mut StepMetrics, pairs: &MeasuredPairs) {
    let MeasuredPairs { chosen, rejected } = pairs;
    metrics.set_mean("rewards/chosen", chosen.iter().map(|side| side.reward));
    metrics.set_mean("rewards/rejected", rejected.iter().map(|side| side.reward));
    pairs.add_margins("", metrics);
    metrics.set_mean("logps/chosen", chosen.iter().map(|side| side.log_prob));
    metrics.set_mean("logps/rejected", rejected.iter().map(|side| side.log_prob));
    metrics.set_mean("nll/chosen", chosen.iter().map(|side| side.nll));
    metrics.set_mean("nll/rejected", rejected.iter().map(|side| side.nll));
    metrics.set("pairs", chosen.len() as f64);
}

fn add_rewards(metrics: &mut StepMetrics, groups: &[Group]) {
    let rewards: Vec<Vec<f64>> = groups.iter().map(|group| group.rollouts.iter().filter_map(|rollout| rollout.reward).collect()).collect();
    metrics.set_mean("reward/mean", rewards.iter().flatten().copied());
    metrics.set_mean("reward/std", rewards.iter().filter(|group| !group.is_empty()).map(|group| std_dev(group)));
    let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
    let fraction = |of: bool| f64::from(u8::from(of));
    if rollouts().any(|rollout| rollout.reward.is_none()) {
        metrics.set_mean("reward/none_fraction", rollouts().map(|rollout| fraction(rollout.reward.is_none())));
    }
    metrics.set_mean("reward/unevaluated_fraction", rollouts().map(|rollout| fraction(rollout.unevaluated)));
    if let Some(rollout) = rollouts().next() {
        for name in rollout.rewards.keys() {
            metrics.set_mean(&format!("reward/{name}"), rollouts().filter_map(|rollout| rollout.rewards.get(name).copied().flatten()));
        }
    }
    metrics.set_mean("groups/all_wrong", groups.iter().map(|group| fraction(group.all_wrong())));
    metrics.set_mean("groups/all_right", groups.iter().map(|group| fraction(group.all_right())));
    metrics.set_mean("groups/equal_rewards", groups.iter().map(|group| fraction(group.has_equal_rewards())));
    metrics.set("groups/drawn", groups.len() as f64);
    metrics.set_mean("completions/mean_length", rollouts().map(|rollout| rollout.tokens.len() as f64));
    metrics.set_mean("completions/truncated_fraction", rollouts().map(|rollout| fraction(rollout.is_truncated())));
}

/// How far the sampler's log-probabilities are from the training forward's.
fn add_sampling(metrics: &mut StepMetrics, first: &Update) {
    let distances = &first.rollouts.distances;
    if !distances.is_empty() {
        metrics.set("sampling/logp_difference_max", distances.iter().copied().fold(0.0, f64::max));
        metrics.set_mean("sampling/logp_difference_mean", distances.iter().copied());
    }
}

fn add_explanations(metrics: &mut StepMetrics, groups: &[Group]) {
    let explained = || groups.iter().filter_map(|group| group.explanations.as_ref());
    let made: usize = explained().map(|explanations| explanations.made).sum();
    if made == 0 {
        return;
    }
    let fraction = |count: usize| count as f64 / made as f64;
    metrics.set("exp/kept_fraction", fraction(explained().map(|explanations| explanations.kept.len()).sum()));
    metrics.set("exp/answer_match_fraction", fraction(explained().map(|explanations| explanations.matched).sum()));
    let logged = || explained().flat_map(|explanations| &explanations.log);
    metrics.set("exp/special_token_fraction", fraction(logged().filter(|logged| logged.special_tokens).count()));
    let kept = || logged().filter(|logged| logged.is_kept());
    metrics.set_mean("exp/hint_information", kept().filter_map(|logged| logged.hint).map(|hint| hint.total));
    metrics.set_mean("exp/max_token_information", kept().filter_map(|logged| logged.hint).map(|hint| hint.largest));
    metrics.set_mean("exp/answer_position", kept().filter_map(|logged| logged.answer_position));
    let right = groups.iter().flat_map(|group| &group.rollouts).filter(|rollout| rollout.correct);
    metrics.set_mean("exp/answer_position_own", right.filter_map(|rollout| rollout.answer_position));
    if explained().all(|explanations| explanations.steps_right.is_some()) {
        metrics.set("exp/steps_right_fraction", fraction(explained().filter_map(|explanations| explanations.steps_right).sum()));
    }
}

/// Timings and rates: the only measurements that differ from run to run.
pub fn add_timings(metrics: &mut StepMetrics, clock: &Clock, seconds: f64) {
    let rate = |tokens: usize, phase: Phase| {
        clock.seconds.get(&phase).filter(|seconds| **seconds > 0.0 && tokens > 0).map(|seconds| tokens as f64 / seconds)
    };
    metrics.set_some("tokens_per_s/rollout", rate(clock.rollout_tokens, Phase::Rollout));
    metrics.set_some("tokens_per_s/explanation", rate(clock.explanation_tokens, Phase::Explanation));
    metrics.set_some("tokens_per_s/train", rate(clock.trained_tokens, Phase::Train));
    for (phase, seconds) in &clock.seconds {
        metrics.set(format!("time/{}", phase.name()), *seconds);
    }
    let parts = [
        ("time/prefill", clock.generation.prefill),
        ("time/decode", clock.generation.decode),
        ("time/explanation_scores", clock.explanation_scores),
        ("time/forward", clock.passes.forward),
        ("time/head", clock.passes.head),
        ("time/backward", clock.passes.backward),
        ("time/optimizer", clock.optimizer),
    ];
    for (name, seconds) in parts.into_iter().filter(|(_, seconds)| *seconds > 0.0) {
        metrics.set(name, seconds);
    }
    metrics.set("time/step", seconds);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DpoSection;
    use crate::objective::dpo::Preferences;
    use crate::objective::preference::{Pair, Reference};
    use crate::policy::pass::{Measured, Pass};
    use std::collections::BTreeMap;

    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        beta: f64,
        chosen: Vec<Vec<f64>>,
        rejected: Vec<Vec<f64>>,
        reference_chosen: Vec<f64>,
        reference_rejected: Vec<f64>,
        metrics: BTreeMap<String, f64>,
    }

    /// The metrics that TRL's own function reports (scripts/fixtures/dpo_trl.py).
    #[test]
    fn preference_metrics_are_trl_s() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/dpo_trl.json")).unwrap();
        for case in &fixture.cases {
            let pair = |i: usize| Pair {
                id: String::new(),
                prompt: vec![0],
                chosen: vec![0; case.chosen[i].len()],
                rejected: vec![0; case.rejected[i].len()],
                reference: Reference { chosen: case.reference_chosen[i], rejected: case.reference_rejected[i] },
                ..Pair::default()
            };
            let pairs: Vec<Pair> = (0..case.chosen.len()).map(pair).collect();
            let sequences = Preferences::new(&DpoSection { beta: case.beta, ..DpoSection::default() }).sequences(&pairs);
            let sides = case.chosen.iter().zip(&case.rejected).flat_map(|(chosen, rejected)| [chosen, rejected]);
            let mut pass = Pass { measured: vec![Measured::default(); sequences.len()], ..Pass::default() };
            for (measured, log_probs) in pass.measured.iter_mut().zip(sides) {
                measured.log_probs = log_probs.clone();
            }
            let metrics = step_metrics(1, &[], &[Update::new(&sequences, &pass, 0.0, 0.0)], Properties::default(), None);
            assert!(
                ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"]
                    .iter()
                    .all(|name| case.metrics.contains_key(*name))
            );
            for (name, expected) in &case.metrics {
                let found = metrics.get(name).unwrap_or_else(|| panic!("no {name}"));
                // TRL's accuracies are in single precision.
                assert!((found - expected).abs() < 1e-7, "{name}: {found}, TRL {expected}");
            }
        }
    }
}
