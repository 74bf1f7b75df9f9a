//! From what a step drew and measured to its metrics; and `run.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::Config;
use crate::draw::probe::Properties;
use crate::metrics::StepMetrics;
use crate::objective::terms;
use crate::objective::{Group, LossKind, Origin, Sequence, Term};
use crate::observe::Phase;
use crate::policy::cpu::pass::{Measured, Pass};
use crate::run::step::Clock;
use crate::run::trainer::RunSummary;
use crate::run::watchdog::Vitals;
use crate::statistics::{mean, std_dev};
use crate::task::Task;

/// What one optimizer step reports.
pub(crate) struct Update {
    loss: f64,
    terms: BTreeMap<Term, f64>,
    grad_norm: f64,
    learning_rate: f64,
    /// Every rollout's measurements, in order.
    pub(crate) rollouts: Vec<(Origin, Measured)>,
    nll_off_policy: Vec<f64>,
    nll_explanation: Vec<f64>,
    nll_expert: Vec<f64>,
    document_entropy: Option<f64>,
    pairs: MeasuredPairs,
    pair_entropy: Option<f64>,
}

impl Update {
    pub(crate) fn new(sequences: &[Sequence], pass: &Pass, grad_norm: f64, learning_rate: f64) -> Self {
        let of = |wanted: fn(Origin) -> bool| sequences.iter().zip(&pass.measured).filter(move |(sequence, _)| wanted(sequence.origin));
        let is_rollout = |origin| matches!(origin, Origin::Rollout { .. });
        Self {
            loss: pass.loss,
            terms: pass.terms.clone(),
            grad_norm,
            learning_rate,
            rollouts: of(is_rollout).map(|(sequence, measured)| (sequence.origin, measured.clone())).collect(),
            nll_off_policy: of(|origin| matches!(origin, Origin::OffPolicy { .. })).map(|(_, measured)| measured.nll()).collect(),
            nll_explanation: of(|origin| matches!(origin, Origin::Explanation { .. })).map(|(_, measured)| measured.nll()).collect(),
            nll_expert: of(|origin| matches!(origin, Origin::ExpertCot { .. })).map(|(_, measured)| measured.nll()).collect(),
            pairs: MeasuredPairs::new(sequences, &pass.measured),
            pair_entropy: token_mean(
                of(|origin| matches!(origin, Origin::Chosen { .. } | Origin::Rejected { .. })).map(|(_, measured)| &measured.entropies[..]),
            ),
            document_entropy: token_mean(of(|origin| origin == Origin::Document).map(|(_, measured)| &measured.entropies[..])),
        }
    }

    /// What the watchdog looks at; entropy where `first`, the first update on a batch.
    pub(crate) fn vitals(&self, groups: &[Group], first: bool) -> Vitals {
        Vitals {
            loss: self.loss,
            grad_norm: self.grad_norm,
            ratio: self.largest_ratio(groups),
            kl: self.kl(groups),
            entropy: self.entropy().filter(|_| first),
        }
    }

    /// Mean entropy over rollout tokens; without rollouts, over the tokens of pairs or documents.
    fn entropy(&self) -> Option<f64> {
        token_mean(self.rollouts.iter().map(|(_, measured)| &measured.entropies[..])).or(self.pair_entropy).or(self.document_entropy)
    }

    /// The largest factor, in either direction, between a rollout token's probability now and when it was sampled.
    fn largest_ratio(&self, groups: &[Group]) -> Option<f64> {
        let mut largest = None;
        for (origin, measured) in &self.rollouts {
            let Origin::Rollout { group, index } = origin else { continue };
            let sampled = &groups[*group].rollouts[*index].sampler_log_probs;
            for (log_prob, sampled) in measured.log_probs.iter().zip(sampled) {
                let distance = (log_prob - sampled).abs();
                largest = Some(largest.map_or(distance, |largest: f64| largest.max(distance)));
            }
        }
        largest.map(f64::exp)
    }

    /// Mean k3 KL to the reference over rollout tokens.
    fn kl(&self, groups: &[Group]) -> Option<f64> {
        let mut kl = Vec::new();
        for (origin, measured) in &self.rollouts {
            let Origin::Rollout { group, index } = origin else { continue };
            let reference = groups[*group].rollouts[*index].reference_log_probs.iter().flatten();
            kl.extend(measured.log_probs.iter().zip(reference).map(|(log_prob, reference)| terms::kl_k3(*log_prob, *reference).value));
        }
        (!kl.is_empty()).then(|| mean(&kl))
    }

    fn clip_fraction(&self) -> Option<f64> {
        let tokens: usize = self.rollouts.iter().map(|(_, measured)| measured.log_probs.len()).sum();
        let clipped: usize = self.rollouts.iter().map(|(_, measured)| measured.clipped).sum();
        (tokens > 0).then(|| clipped as f64 / tokens as f64)
    }
}

/// The sides of preference pairs, the i-th of one list against the i-th of the other.
pub(crate) struct MeasuredPairs {
    chosen: Vec<MeasuredSide>,
    rejected: Vec<MeasuredSide>,
}

impl MeasuredPairs {
    /// Those among `sequences`, of which `measured` are the measurements.
    pub(crate) fn new(sequences: &[Sequence], measured: &[Measured]) -> Self {
        let of = |wanted: fn(Origin) -> bool| {
            sequences.iter().zip(measured).filter(move |(sequence, _)| wanted(sequence.origin)).filter_map(side).collect()
        };
        Self {
            chosen: of(|origin| matches!(origin, Origin::Chosen { .. })),
            rejected: of(|origin| matches!(origin, Origin::Rejected { .. })),
        }
    }

    /// How the implicit rewards of the two sides compare, means over pairs: TRL's `rewards/accuracies` and `rewards/margins`, with `prefix` before the names.
    pub(crate) fn add_margins(&self, prefix: &str, metrics: &mut StepMetrics) {
        let rewards = || self.chosen.iter().zip(&self.rejected).map(|(chosen, rejected)| (chosen.reward, rejected.reward));
        let accuracies = rewards().map(|(chosen, rejected)| f64::from(u8::from(chosen > rejected)));
        metrics.set_mean(&format!("{prefix}rewards/accuracies"), accuracies);
        metrics.set_mean(&format!("{prefix}rewards/margins"), rewards().map(|(chosen, rejected)| chosen - rejected));
    }
}

/// One side of a pair.
struct MeasuredSide {
    /// Its log-likelihood.
    log_prob: f64,
    /// Its implicit reward.
    reward: f64,
    /// Its negative log-likelihood per token.
    nll: f64,
}

fn side((sequence, measured): (&Sequence, &Measured)) -> Option<MeasuredSide> {
    sequence.losses.iter().find_map(|loss| match &loss.kind {
        LossKind::Preference(side) => {
            Some(MeasuredSide { log_prob: measured.log_probs.iter().sum(), reward: side.reward(&measured.log_probs), nll: measured.nll() })
        }
        _ => None,
    })
}

fn token_mean<'a>(sequences: impl Iterator<Item = &'a [f64]>) -> Option<f64> {
    let (count, sum) = sequences.fold((0, 0.0), |(count, sum), values| (count + values.len(), sum + values.iter().sum::<f64>()));
    (count > 0).then(|| sum / count as f64)
}

/// The metrics of one step; those of several optimizer steps on one batch are averaged over them, and what describes the policy is that of the first.
pub(crate) fn step_metrics(
    step: usize,
    groups: &[Group],
    updates: &[Update],
    properties: Properties,
    beta_exp: Option<f64>,
) -> StepMetrics {
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
        metrics.set_mean("kl", updates.iter().filter_map(|update| update.kl(groups)));
        metrics.set_mean("off_policy/nll", first.nll_off_policy.iter().copied());
        add_sampling(&mut metrics, groups, first);
        metrics.set_mean("exp/nll_own", first.rollouts.iter().map(|(_, measured)| measured.nll()));
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
fn add_sampling(metrics: &mut StepMetrics, groups: &[Group], first: &Update) {
    let mut differences = Vec::new();
    for (origin, measured) in &first.rollouts {
        if let Origin::Rollout { group, index } = origin {
            let sampled = &groups[*group].rollouts[*index].sampler_log_probs;
            differences.extend(measured.log_probs.iter().zip(sampled).map(|(trained, sampled)| (trained - sampled).abs()));
        }
    }
    if !differences.is_empty() {
        metrics.set("sampling/logp_difference_max", differences.iter().copied().fold(0.0, f64::max));
        metrics.set_mean("sampling/logp_difference_mean", differences);
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
pub(crate) fn add_timings(metrics: &mut StepMetrics, clock: &Clock, seconds: f64) {
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

/// `run.json`: what this run is, resolved.
pub(crate) fn run_json(
    config: &Config,
    date: i64,
    problems: usize,
    pairs: Option<usize>,
    summary: &RunSummary,
    hashes: &BTreeMap<String, String>,
) -> Value {
    let mut run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "recipe": config.train.recipe,
        "seed": config.train.seed,
        "instruction_set": expo_lm::kernels::instruction_set(),
        // What chat templates take for today.
        "date_unix_seconds": date,
        "data_sha256": hashes,
        "problems": problems,
        "problems_too_long": summary.problems_too_long,
        "config": config,
    });
    if let Some(pairs) = pairs {
        run["pairs"] = json!({"used": pairs, "too_long": summary.pairs_too_long, "skipped": summary.pairs_skipped});
    }
    run
}

/// A batch whose loss or gradient is not finite, for inspection.
pub(crate) fn non_finite_batch(
    step: usize,
    iteration: usize,
    task: &dyn Task,
    sequences: &[Sequence],
    pass: &Pass,
    grad_norm: f64,
) -> Value {
    let rows: Vec<Value> = sequences
        .iter()
        .zip(&pass.measured)
        .map(|(sequence, measured)| {
            json!({
                "origin": format!("{:?}", sequence.origin),
                "prompt": task.decode(sequence.prompt).unwrap_or_default(),
                "completion": task.decode(sequence.completion).unwrap_or_default(),
                "prompt_ids": sequence.prompt,
                "completion_ids": sequence.completion,
                "temperature": sequence.temperature,
                "losses": format!("{:?}", sequence.losses),
                // Not a number has no JSON form: null.
                "log_probs": measured.log_probs,
            })
        })
        .collect();
    json!({
        "step": step,
        "iteration": iteration,
        "loss": pass.loss.to_string(),
        "terms": pass.terms.iter().map(|(term, value)| (term.name().to_owned(), value.to_string())).collect::<BTreeMap<_, _>>(),
        "grad_norm": grad_norm.to_string(),
        "sequences": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DpoSection;
    use crate::objective::preference::{Pair, Preferences, Reference};
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
