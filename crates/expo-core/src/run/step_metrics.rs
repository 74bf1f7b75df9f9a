//! From what a step drew and measured to its metrics.

use super::update::{MeasuredPairs, Update};
use crate::clock::Clock;
use crate::draw::probe::Properties;
use crate::metrics::{Name, StepMetrics};
use crate::objective::group::Group;
use crate::objective::term::Term;
use crate::observe::Phase;
use crate::statistics::std_dev;

/// The metrics of one step; those of several optimizer steps on one batch are averaged over them, and what describes the policy is that of the first.
pub fn step_metrics(step: usize, groups: &[Group], updates: &[Update], properties: Properties, beta_exp: Option<f64>) -> StepMetrics {
    let mut metrics = StepMetrics::new(step);
    metrics.set_mean(Name::Loss, updates.iter().map(|update| update.loss));
    for term in Term::ALL {
        metrics.set_mean(Name::Term(term), updates.iter().filter_map(|update| update.terms.get(&term).copied()));
    }
    metrics.set_mean(Name::GradNorm, updates.iter().map(|update| update.grad_norm));
    metrics.set_some(Name::LearningRate, updates.last().map(|update| update.learning_rate));
    let first = updates.first();
    if let Some(pairs) = first.map(|first| &first.pairs).filter(|pairs| !pairs.chosen.is_empty()) {
        add_preferences(&mut metrics, pairs);
    }
    if groups.is_empty() {
        metrics.set_some(Name::Entropy, first.and_then(Update::entropy));
        return metrics;
    }
    add_rewards(&mut metrics, groups);
    let off_policy = || groups.iter().flat_map(|group| &group.off_policy);
    metrics.set_mean(Name::OffPolicyReward, off_policy().filter_map(|sample| sample.reward));
    metrics.set_mean(Name::OffPolicyAdvantage, off_policy().map(|sample| sample.advantage));
    if let Some(first) = first {
        metrics.set_some(Name::Entropy, first.entropy());
        metrics.set_mean(Name::ClipFraction, updates.iter().filter_map(Update::clip_fraction));
        metrics.set_mean(Name::Kl, updates.iter().filter_map(|update| update.kl()));
        metrics.set_mean(Name::OffPolicyNll, first.nll_off_policy.iter().copied());
        add_sampling(&mut metrics, first);
        metrics.set_mean(Name::ExpNllOwn, first.rollouts.nll.iter().copied());
        metrics.set_mean(Name::ExpNllExplanation, first.nll_explanation.iter().copied());
        metrics.set_mean(Name::ExpNllExpert, first.nll_expert.iter().copied().chain(properties.nll_expert));
    }
    metrics.set_some(Name::ExpAnswerGain, properties.answer_gain);
    add_explanations(&mut metrics, groups);
    metrics.set_some(Name::ExpBeta, beta_exp);
    metrics
}

/// The metrics of TRL's `DPOTrainer`: means over the step's pairs.
fn add_preferences(metrics: &mut StepMetrics, pairs: &MeasuredPairs) {
    let MeasuredPairs { chosen, rejected } = pairs;
    metrics.set_mean(Name::RewardsChosen, chosen.iter().map(|side| side.reward));
    metrics.set_mean(Name::RewardsRejected, rejected.iter().map(|side| side.reward));
    pairs.add_margins(Name::RewardsAccuracies, Name::RewardsMargins, metrics);
    metrics.set_mean(Name::LogpsChosen, chosen.iter().map(|side| side.log_prob));
    metrics.set_mean(Name::LogpsRejected, rejected.iter().map(|side| side.log_prob));
    metrics.set_mean(Name::NllChosen, chosen.iter().map(|side| side.nll));
    metrics.set_mean(Name::NllRejected, rejected.iter().map(|side| side.nll));
    metrics.set(Name::Pairs, chosen.len() as f64);
}

fn add_rewards(metrics: &mut StepMetrics, groups: &[Group]) {
    let rewards: Vec<Vec<f64>> = groups.iter().map(|group| group.rollouts.iter().filter_map(|rollout| rollout.reward).collect()).collect();
    metrics.set_mean(Name::RewardMean, rewards.iter().flatten().copied());
    metrics.set_mean(Name::RewardStd, rewards.iter().filter(|group| !group.is_empty()).map(|group| std_dev(group)));
    let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
    let fraction = |of: bool| f64::from(u8::from(of));
    if rollouts().any(|rollout| rollout.reward.is_none()) {
        metrics.set_mean(Name::RewardNoneFraction, rollouts().map(|rollout| fraction(rollout.reward.is_none())));
    }
    metrics.set_mean(Name::RewardUnevaluatedFraction, rollouts().map(|rollout| fraction(rollout.unevaluated)));
    if let Some(rollout) = rollouts().next() {
        for name in rollout.rewards.keys() {
            metrics.set_mean(
                Name::Reward(name.as_str().into()),
                rollouts().filter_map(|rollout| rollout.rewards.get(name).copied().flatten()),
            );
        }
    }
    metrics.set_mean(Name::GroupsAllWrong, groups.iter().map(|group| fraction(group.all_wrong())));
    metrics.set_mean(Name::GroupsAllRight, groups.iter().map(|group| fraction(group.all_right())));
    metrics.set_mean(Name::GroupsEqualRewards, groups.iter().map(|group| fraction(group.has_equal_rewards())));
    metrics.set(Name::GroupsDrawn, groups.len() as f64);
    metrics.set_mean(Name::CompletionsMeanLength, rollouts().map(|rollout| rollout.tokens.len() as f64));
    metrics.set_mean(Name::CompletionsTruncatedFraction, rollouts().map(|rollout| fraction(rollout.is_truncated())));
    metrics.set_mean(Name::CompletionsAnswerFoundFraction, rollouts().map(|rollout| fraction(rollout.extracted.is_some())));
}

/// How far the sampler's log-probabilities are from the training forward's.
fn add_sampling(metrics: &mut StepMetrics, first: &Update) {
    let distances = &first.rollouts.distances;
    if !distances.is_empty() {
        metrics.set(Name::SamplingLogpDifferenceMax, distances.iter().copied().fold(0.0, f64::max));
        metrics.set_mean(Name::SamplingLogpDifferenceMean, distances.iter().copied());
    }
}

fn add_explanations(metrics: &mut StepMetrics, groups: &[Group]) {
    let explained = || groups.iter().filter_map(|group| group.explanations.as_ref());
    let made: usize = explained().map(|explanations| explanations.made).sum();
    if made == 0 {
        return;
    }
    let fraction = |count: usize| count as f64 / made as f64;
    metrics.set(Name::ExpKeptFraction, fraction(explained().map(|explanations| explanations.kept.len()).sum()));
    metrics.set(Name::ExpAnswerMatchFraction, fraction(explained().map(|explanations| explanations.matched).sum()));
    let logged = || explained().flat_map(|explanations| &explanations.log);
    metrics.set(Name::ExpSpecialTokenFraction, fraction(logged().filter(|logged| logged.special_tokens).count()));
    let kept = || logged().filter(|logged| logged.is_kept());
    metrics.set_mean(Name::ExpHintInformation, kept().filter_map(|logged| logged.hint).map(|hint| hint.total));
    metrics.set_mean(Name::ExpMaxTokenInformation, kept().filter_map(|logged| logged.hint).map(|hint| hint.largest));
    metrics.set_mean(Name::ExpAnswerPosition, kept().filter_map(|logged| logged.answer_position));
    let right = groups.iter().flat_map(|group| &group.rollouts).filter(|rollout| rollout.correct);
    metrics.set_mean(Name::ExpAnswerPositionOwn, right.filter_map(|rollout| rollout.answer_position));
    if explained().all(|explanations| explanations.steps_right.is_some()) {
        metrics.set(Name::ExpStepsRightFraction, fraction(explained().filter_map(|explanations| explanations.steps_right).sum()));
    }
}

/// Timings and rates: the only measurements that differ from run to run.
pub fn add_timings(metrics: &mut StepMetrics, clock: &Clock, seconds: f64) {
    let rate = |tokens: usize, phase: Phase| {
        clock.seconds.get(&phase).filter(|seconds| **seconds > 0.0 && tokens > 0).map(|seconds| tokens as f64 / seconds)
    };
    metrics.set_some(Name::RateRollout, rate(clock.rollout_tokens, Phase::Rollout));
    metrics.set_some(Name::RateExplanation, rate(clock.explanation_tokens, Phase::Explanation));
    metrics.set_some(Name::RateTrain, rate(clock.trained_tokens, Phase::Train));
    for (phase, seconds) in &clock.seconds {
        metrics.set(Name::Time(*phase), *seconds);
    }
    let parts = [
        (Name::TimePrefill, clock.generation.prefill),
        (Name::TimeDecode, clock.generation.decode),
        (Name::TimeExplanationScores, clock.explanation_scores),
        (Name::TimeForward, clock.passes.forward),
        (Name::TimeHead, clock.passes.head),
        (Name::TimeBackward, clock.passes.backward),
        (Name::TimeOptimizer, clock.optimizer),
    ];
    for (name, seconds) in parts.into_iter().filter(|(_, seconds)| *seconds > 0.0) {
        metrics.set(name, seconds);
    }
    metrics.set(Name::TimeStep, seconds);
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
                let found = metrics.get(name.as_str()).unwrap_or_else(|| panic!("no {name}"));
                // TRL's accuracies are in single precision.
                assert!((found - expected).abs() < 1e-7, "{name}: {found}, TRL {expected}");
            }
        }
    }
}
