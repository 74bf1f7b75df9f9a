//! One step of a run, from top to bottom: what is drawn, the optimizer steps on it, and what is measured meanwhile.

use std::time::Instant;

use super::records::{Batches, Names, record};
use super::schedule;
use super::state::State;
use super::step_metrics::{add_timings, step_metrics};
use super::trainer::Trainer;
use super::trouble::{Remedy, keep_non_finite, raise};
use super::update::Update;
use super::watchdog::Alarm;
use crate::clock::Clock;
use crate::config::OldLogProbs;
use crate::draw::probe::Properties;
use crate::draw::{Drawing, hints};
use crate::error::{Error, Result};
use crate::logs::watchdog::Watch;
use crate::metrics::{Name, StepMetrics};
use crate::objective::recipe::Drawn;
use crate::objective::sequence::Origin;
use crate::observe::{Observer, Phase};
use crate::policy::Accumulation;
use crate::policy::accumulate::accumulate;
use crate::rollout::seed::{Purpose, derive};

/// Step `step` (from 0). `None`: instead of it the run has gone back to a checkpoint.
pub(crate) fn step(trainer: &mut Trainer, step: usize, observer: &mut dyn Observer) -> Result<Option<StepMetrics>> {
    let begin = Instant::now();
    let mut clock = Clock::default();
    let mut remedy = None;
    let alarmed = |trainer: &mut Trainer, alarm: &Alarm, observer: &mut dyn Observer| {
        let Trainer { config, recipe, state, files, .. } = trainer;
        raise(step, alarm, config, recipe.sources().documents, state, files, observer)
    };

    // Draw.
    let (mut drawing, found) = match trainer.draw(&mut clock, observer, |source, context| source.draw(step, context)) {
        Err(Error::RewardSource { message, policy }) => (Drawing::default(), Some(Alarm::reward_source(message, policy))),
        drawing => {
            let drawing = drawing?;
            let found = trainer.state.watchdog.groups(&drawing.drawn.groups);
            (drawing, found)
        }
    };
    if let Some(alarm) = found {
        remedy = Some(alarmed(trainer, &alarm, observer)?);
    }
    let properties = probe(trainer, step, &drawing.drawn, &mut clock, observer)?;

    // Score, pass, update.
    observer.on_phase(step + 1, Phase::Train);
    let (mut updates, mut batches) = (Vec::new(), Batches::default());
    let iterations = if drawing.is_barren || remedy.is_some() { 0 } else { trainer.config.train.num_iterations };
    for iteration in 0..iterations {
        let start = Instant::now();
        let updated = update(trainer, (step, iteration), &mut drawing.drawn, &mut clock, &mut batches, observer);
        clock.add(Phase::Train, start);
        match updated? {
            Ok(update) => updates.push(update),
            Err(alarm) => {
                remedy = Some(alarmed(trainer, &alarm, observer)?);
                break;
            }
        }
    }
    if remedy == Some(Remedy::WentBack) {
        return Ok(None);
    }
    trainer.state.watchdog.step_done(remedy.is_some())?;
    trainer.state.policies.step_done()?;

    // Report.
    let Trainer { config, task, recipe, sampler, state, files, .. } = trainer;
    let groups = &drawing.drawn.groups;
    let problems = state.source.as_ref().map_or(&[][..], |source| source.problems());
    record(files.output.as_mut(), config.train.log_completions, task.as_ref(), step + 1, problems, groups, &batches, observer)?;
    state.summary.sampled_tokens += clock.rollout_tokens + clock.explanation_tokens;
    state.summary.trained_tokens += clock.trained_tokens;
    let beta_exp = recipe.has_explanation_term().then(|| schedule::beta_exp(&config.exp, step, config.train.steps));
    let mut metrics = step_metrics(step + 1, groups, &updates, properties, beta_exp);
    if let Some(source) = &state.source {
        source.report(step, &mut metrics);
    }
    clock.generation = sampler.take_seconds();
    clock.passes = state.policies.policy.take_seconds();
    if remedy.is_some() {
        metrics.set(Name::WatchdogSkipped, 1.0);
    }
    add_timings(&mut metrics, &clock, begin.elapsed().as_secs_f64());
    Ok(Some(metrics))
}

/// The two properties of positive samples, where they are due.
fn probe(trainer: &mut Trainer, step: usize, drawn: &Drawn, clock: &mut Clock, observer: &mut dyn Observer) -> Result<Properties> {
    let every = trainer.config.exp.metrics_every;
    let mut properties = Properties::default();
    if every > 0 && step.is_multiple_of(every) && !drawn.groups.is_empty() {
        trainer.draw(clock, observer, |source, context| {
            properties = context.phase(step + 1, Phase::Probe, |context| source.probe(&drawn.groups, context))?;
            Ok(Drawing::default())
        })?;
    }
    Ok(properties)
}

/// One optimizer step on `drawn`, which `batches` keeps; the inner error: what the watchdog found, and so it was not made.
fn update(
    trainer: &mut Trainer,
    (step, iteration): (usize, usize),
    drawn: &mut Drawn,
    clock: &mut Clock,
    batches: &mut Batches,
    observer: &mut dyn Observer,
) -> Result<Result<Update, Alarm>> {
    let Trainer { config, task, recipe, state, files, .. } = trainer;
    let State { policies, source, documents, watchdog, optimizer_steps, .. } = state;
    if let Some(documents) = documents {
        drawn.documents = documents.draw(task.as_ref(), recipe.sources().documents)?;
    }
    let restarts_every = source.as_ref().and_then(|source| source.restarts_every());
    let (place, length) = schedule::place(&config.train, restarts_every, step, iteration, *optimizer_steps);
    let learning_rate = schedule::learning_rate(&config.optim, place, length) * watchdog.learning_rate_scale();
    let sequences = recipe.sequences(drawn, schedule::beta_exp(&config.exp, step, config.train.steps));
    let dropout_seed = derive(config.train.seed, Purpose::Dropout, &[*optimizer_steps as u64]);
    let (policy, teachers) = policies.to_train();
    let pass = accumulate(policy, &sequences, &Accumulation { unit_temperature: iteration == 0, dropout_seed, teachers })?;
    let optimizer = Instant::now();
    let grad_norm = policy.grad_norm()?;
    clock.trained_tokens += pass.trained_tokens;
    let update = Update::new(&sequences, &pass, grad_norm, learning_rate);
    if let Some(alarm) = watchdog.update(&update.vitals(iteration == 0)) {
        if alarm.watch == Watch::NonFinite {
            keep_non_finite(files, step, iteration, task.as_ref(), &sequences, &pass, grad_norm)?;
        }
        return Ok(Err(alarm));
    }
    let most = config.optim.max_grad_norm;
    let scale = if most > 0.0 && grad_norm > most { most / grad_norm } else { 1.0 };
    *optimizer_steps += 1;
    policies.apply(learning_rate, scale, *optimizer_steps)?;
    clock.optimizer += optimizer.elapsed().as_secs_f64();
    observer.on_batch(step + 1, iteration + 1, &sequences);
    if files.output.is_some() {
        let problems = source.as_ref().map_or(&[][..], |source| source.problems());
        let names = Names { problems, groups: &drawn.groups, pairs: &drawn.pairs };
        batches.add(task.as_ref(), &names, (step + 1, iteration + 1), &sequences, config.train.log_completions)?;
    }
    if iteration == 0 {
        let hints = hints::of_trained(&drawn.groups, &sequences, &pass.measured);
        // The first forward on a batch is the policy before its first step: its log-probabilities are the old ones of later steps, where it has no dropout.
        let is_old = config.train.num_iterations > 1 && config.grpo.old_log_probs == OldLogProbs::Training;
        let rollouts = sequences.iter().zip(&pass.measured).filter(|_| is_old).filter_map(|(sequence, measured)| match sequence.origin {
            Origin::Rollout { group, index } => Some((group, index, measured.log_probs.clone())),
            _ => None,
        });
        let old: Vec<_> = rollouts.collect();
        drop(sequences);
        for (group, index, hint) in hints {
            let explanations = drawn.groups[group].explanations.as_mut();
            explanations.into_iter().flat_map(|made| made.kept_in_log()).skip(index).take(1).for_each(|logged| logged.hint = Some(hint));
        }
        for (group, index, log_probs) in old {
            drawn.groups[group].rollouts[index].old_log_probs.get_or_insert(log_probs);
        }
    }
    Ok(Ok(update))
}
