//! One step of a run: what is drawn, the optimizer steps on it, and what is measured meanwhile.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::config::OldLogProbs;
use crate::draw::explain::Making;
use crate::draw::hints;
use crate::draw::probe::Properties;
use crate::error::{Error, Result};
use crate::metrics::StepMetrics;
use crate::objective::{Drawn, Origin};
use crate::observe::{Observer, Phase};
use crate::policy::cpu::pass;
use crate::run::lora;
use crate::run::records::{Batches, Names};
use crate::run::report::{self, Update};
use crate::run::schedule;
use crate::run::trainer::Trainer;
use crate::run::trouble::Remedy;
use crate::run::watchdog::{Alarm, NON_FINITE};
use expo_lm::generate::GenerationSeconds;
use expo_lm::model::PassSeconds;

/// Wall time of a step's phases and the tokens that went through them.
#[derive(Default)]
pub(crate) struct Clock {
    pub(crate) seconds: BTreeMap<Phase, f64>,
    pub(crate) rollout_tokens: usize,
    pub(crate) explanation_tokens: usize,
    pub(crate) trained_tokens: usize,
    /// Passes over explanations that were sampled.
    pub(crate) explanation_scores: f64,
    /// Where sampling, rollouts and explanations together, spent its time.
    pub(crate) generation: GenerationSeconds,
    /// Where the passes of training, the reference and the probe spent theirs.
    pub(crate) passes: PassSeconds,
    /// Gradient norm and AdamW.
    pub(crate) optimizer: f64,
}

impl Clock {
    /// Explanations were made.
    pub(crate) fn made(&mut self, making: Making) {
        self.explanation_tokens += making.tokens;
        self.explanation_scores += making.scoring;
    }

    pub(crate) fn time<T>(&mut self, phase: Phase, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work(self);
        *self.seconds.entry(phase).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

impl Trainer {
    /// One step: a rollout batch (or documents) and the optimizer steps on it. `None`: instead of it the run has gone back to a checkpoint.
    pub(crate) fn step(&mut self, step: usize, observer: &mut dyn Observer) -> Result<Option<StepMetrics>> {
        let begin = Instant::now();
        let mut clock = Clock::default();
        let mut drawn = Drawn::default();
        let mut properties = Properties::default();

        let found = match self.draw(step, &mut drawn, &mut clock, observer) {
            Err(Error::RewardSource { message, policy }) => Some(Alarm::reward_source(message, policy)),
            drawing => drawing.map(|()| self.watchdog.groups(&drawn.groups))?,
        };
        let mut remedy = found.map(|alarm| self.raise(step, alarm, observer)).transpose()?;
        let every = self.config.exp.metrics_every;
        if every > 0 && step.is_multiple_of(every) && !drawn.groups.is_empty() {
            observer.on_phase(step + 1, Phase::Probe);
            properties = clock.time(Phase::Probe, |_| self.probe(&drawn.groups))?;
        }

        observer.on_phase(step + 1, Phase::Train);
        let mut updates: Vec<Update> = Vec::new();
        let mut batches = Batches::default();
        let nothing_to_learn = self.draws.pairs.is_some() && drawn.pairs.is_empty() || self.draws.rationales && drawn.rationales.is_empty();
        for iteration in 0..if nothing_to_learn || remedy.is_some() { 0 } else { self.config.train.num_iterations } {
            match clock.time(Phase::Train, |clock| self.update(step, iteration, &mut drawn, clock, &mut batches, observer))? {
                Ok(update) => updates.push(update),
                Err(alarm) => {
                    remedy = Some(self.raise(step, alarm, observer)?);
                    break;
                }
            }
        }
        if remedy == Some(Remedy::WentBack) {
            return Ok(None);
        }
        self.watchdog.step_done(remedy.is_some())?;
        if let Some(average) = &mut self.average {
            average.average_in(&self.model, self.config.exp.average_decay as f32);
        }

        self.record(step + 1, &drawn.groups, &batches, observer)?;
        self.summary.sampled_tokens += clock.rollout_tokens + clock.explanation_tokens;
        self.summary.trained_tokens += clock.trained_tokens;
        let has_exp_term = self.draws.scores_rollouts() && !self.draws.off_policy && (self.draws.explanations || self.draws.expert);
        let beta_exp = has_exp_term.then(|| schedule::beta_exp(&self.config.exp, step, self.config.train.steps));
        let mut metrics = report::step_metrics(step + 1, &drawn.groups, &updates, properties, beta_exp);
        if let Some(rationales) = &self.rationales {
            rationales.report(step, &mut metrics);
        }
        clock.generation = self.rollout.take_seconds();
        clock.passes = std::mem::take(&mut self.trainable.workspace.seconds);
        if remedy.is_some() {
            metrics.set("watchdog/skipped", 1.0);
        }
        report::add_timings(&mut metrics, &clock, begin.elapsed().as_secs_f64());
        Ok(Some(metrics))
    }

    /// What the recipe draws for `step`.
    fn draw(&mut self, step: usize, drawn: &mut Drawn, clock: &mut Clock, observer: &mut dyn Observer) -> Result<()> {
        if self.draws.pairs.is_some() {
            (drawn.groups, drawn.pairs) = self.draw_pairs(step, clock, observer)?;
        } else if self.draws.rationales {
            (drawn.groups, drawn.rationales) = self.draw_rationales(step, clock, observer)?;
        } else if self.draws.rollouts {
            drawn.groups = self.draw_groups(step, step + 1, clock, observer)?;
        }
        Ok(())
    }

    /// One optimizer step on `drawn`, which `batches` keeps; the inner error: what the watchdog found, and so it was not made.
    fn update(
        &mut self,
        step: usize,
        iteration: usize,
        drawn: &mut Drawn,
        clock: &mut Clock,
        batches: &mut Batches,
        observer: &mut dyn Observer,
    ) -> Result<Result<Update, Alarm>> {
        if let Some(documents) = &mut self.documents {
            drawn.documents = documents.draw(self.task.as_ref(), self.draws.documents)?;
        }
        let optim = &self.config.optim;
        let (place, length) = self.schedule_place(step, iteration);
        let learning_rate = schedule::learning_rate(optim, place, length);
        let sequences = self.recipe.sequences(drawn, schedule::beta_exp(&self.config.exp, step, self.config.train.steps));
        let budget = self.config.train.max_tokens_per_micro_batch;
        self.trainable.workspace.dropout_seed = lora::dropout_seed(&self.config, self.optimizer_steps);
        let pass = pass::forward_backward(&self.model, &mut self.trainable, &sequences, budget, iteration == 0)?;
        let optimizer = Instant::now();
        let grad_norm = self.trainable.gradients.norm();
        clock.trained_tokens += pass.trained_tokens;
        let learning_rate = learning_rate * self.watchdog.learning_rate_scale();
        let update = Update::new(&sequences, &pass, grad_norm, learning_rate);
        if let Some(alarm) = self.watchdog.update(&update.vitals(&drawn.groups, iteration == 0)) {
            if alarm.watch == NON_FINITE {
                self.keep_non_finite(step, iteration, &sequences, &pass, grad_norm)?;
            }
            return Ok(Err(alarm));
        }
        if let Some(last_good) = &mut self.last_good {
            last_good.copy_from(&self.model);
        }
        let scale = if optim.max_grad_norm > 0.0 && grad_norm > optim.max_grad_norm { optim.max_grad_norm / grad_norm } else { 1.0 };
        self.optimizer.step(&mut self.model, &self.trainable.gradients, learning_rate, scale);
        clock.optimizer += optimizer.elapsed().as_secs_f64();
        self.optimizer_steps += 1;
        if let Some(reference) = &mut self.reference {
            reference.follow(&self.model, self.optimizer_steps);
        }
        observer.on_batch(step + 1, iteration + 1, &sequences);
        if self.output.is_some() {
            let names = Names { problems: &self.problems.prepared, groups: &drawn.groups, pairs: &drawn.pairs };
            batches.add(self.task.as_ref(), &names, (step + 1, iteration + 1), &sequences, self.config.train.log_completions)?;
        }
        let hints = if iteration == 0 { hints::of_trained(&drawn.groups, &sequences, &pass.measured) } else { Vec::new() };
        drop(sequences);
        for (group, index, hint) in hints {
            let explanations = drawn.groups[group].explanations.as_mut();
            explanations.into_iter().flat_map(|made| made.kept_in_log()).skip(index).take(1).for_each(|logged| logged.hint = Some(hint));
        }
        // The first forward on a batch is the policy before its first step: its log-probabilities are the old ones of later steps, where it has no dropout.
        if iteration == 0 && self.config.train.num_iterations > 1 && self.config.grpo.old_log_probs == OldLogProbs::Training {
            for (origin, measured) in &update.rollouts {
                if let Origin::Rollout { group, index } = origin {
                    drawn.groups[*group].rollouts[*index].old_log_probs.get_or_insert_with(|| measured.log_probs.clone());
                }
            }
        }
        Ok(Ok(update))
    }
}
