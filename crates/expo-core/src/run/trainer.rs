//! The trainer: one run from the start weights to the trained ones.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::checkpoint::files::Files;
use super::checkpoint::given_up::{Before, give_up_step};
use super::data::TrainData;
use super::describe::run_json;
use super::output::{BEST_FOLDER, Output};
use super::prepare::prepare;
use super::records::{Batches, record};
use super::save_weights::SaveWeights;
use super::state::{RunSummary, State};
use super::step;
use crate::clock::Clock;
use crate::config::Config;
use crate::draw::{Context, Drawing};
use crate::error::{Error, Result};
use crate::learning::Learning;
use crate::logs::made::MadeRows;
use crate::logs::{BEST_FILE, DOCUMENTS_FILE, PAIRS_FILE, REFERENCE_FILE};
use crate::metrics::{Name, StepMetrics};
use crate::objective::recipe::Recipe;
use crate::objective::registry::recipe;
use crate::observe::{Observer, Phase};
use crate::policy::Policy;
use crate::policy::cpu::CpuPolicy;
use crate::policy::policies::Writer;
use crate::rollout::local::LocalSampler;
use crate::rollout::{ByWriter, Sampler};
use crate::run::evaluation::Best;
use crate::task::Task;
use crate::task::chat::ChatTask;
use expo_lm::chat::ChatSettings;
use expo_lm::durable::{self, Point};
use expo_lm::load::LoadedModel;
use expo_lm::model::Model;

/// One run.
pub struct Trainer {
    pub(crate) config: Config,
    pub(crate) task: Box<dyn Task>,
    pub(crate) recipe: Box<dyn Recipe>,
    pub(crate) sampler: Box<dyn Sampler>,
    /// What changes from step to step.
    pub(crate) state: State,
    pub(crate) files: Files,
    /// Looks at whether the run learns.
    learning: Learning,
    /// What to tell before the first step.
    pub(crate) notices: Vec<String>,
}

impl Trainer {
    /// Prepares a run of `policy` on the CPU engine: everything that can be wrong with the data is found here. `out` is the run's folder (`None`: nothing is
    /// written).
    pub fn new(config: Config, policy: LoadedModel, data: TrainData, out: Option<&Path>) -> Result<Self> {
        let (model, task, save) = Self::of_policy(&config, policy, ChatSettings::now().date)?;
        Self::with_task(config, model, task, save, data, out)
    }

    /// A policy's weights, its task by chat template at `date`, and the way its folder is written.
    pub(crate) fn of_policy(config: &Config, policy: LoadedModel, date: i64) -> Result<(Model, Box<dyn Task>, SaveWeights)> {
        let LoadedModel { model, folder } = policy;
        let folder = Arc::new(folder);
        let task = Box::new(ChatTask::at(config, folder.clone(), date)?);
        let dtype = config.train.save_dtype.into();
        let save = SaveWeights::new(folder.side_bytes(), move |lm, path| lm.save(&folder, path, dtype));
        Ok((model, task, save))
    }

    /// The same for any task and any way to save.
    pub fn with_task(
        config: Config,
        model: Model,
        task: Box<dyn Task>,
        save: SaveWeights,
        data: TrainData,
        out: Option<&Path>,
    ) -> Result<Self> {
        let policy = Box::new(CpuPolicy::new(&config, model)?);
        Self::with_policy(config, policy, task, save, data, out)
    }

    /// The same for the policy of any engine.
    pub fn with_policy(
        config: Config,
        policy: Box<dyn Policy>,
        task: Box<dyn Task>,
        save: SaveWeights,
        data: TrainData,
        out: Option<&Path>,
    ) -> Result<Self> {
        let hashes = data.hashes.clone();
        let mut trainer = Self::at_beginning(config, policy, task, save, data)?;
        if let Some(folder) = out {
            let (output, notice) = Output::create(folder, trainer.describe(&hashes)?)?;
            trainer.files.output = Some(output);
            trainer.notices.extend(notice);
        }
        Ok(trainer)
    }

    /// A trainer at the beginning of its run, without a folder.
    pub(crate) fn at_beginning(
        mut config: Config,
        policy: Box<dyn Policy>,
        task: Box<dyn Task>,
        save: SaveWeights,
        data: TrainData,
    ) -> Result<Self> {
        let sampler: Box<dyn Sampler> = Box::new(LocalSampler::new(config.rollout.max_num_seqs));
        if !sampler.matches_trainer() {
            config.grpo.importance_sampling_cap.get_or_insert(2.0);
        }
        let recipe = recipe(&config);
        let (state, notices) = prepare(&config, recipe.sources(), policy, task.as_ref(), data)?;
        Ok(Self { config, task, recipe, sampler, state, files: Files::new(save), learning: Learning::default(), notices })
    }

    /// `run.json`: what this run is; `hashes` are those of its data.
    pub(crate) fn describe(&self, hashes: &BTreeMap<String, String>) -> Result<Value> {
        let State { policies, source, evaluator, summary, .. } = &self.state;
        let (pairs, problems) = source.as_ref().map_or((None, 0), |source| (source.pairs(), source.problems().len()));
        let mut run = run_json(&self.config, self.task.date(), problems, pairs, summary, hashes);
        if let Some(base) = policies.current().base_sha256()? {
            run["base_model_sha256"] = base.into();
        }
        // Nothing is trained or restored yet: the policy is the one that the run starts from.
        let start = || evaluator.as_ref().filter(|evaluator| evaluator.refers_to_start()).map(|_| policies.current());
        if let Some(initial) = policies.initial().or_else(start) {
            run["initial_policy_sha256"] = initial.sha256()?.into();
        }
        Ok(run)
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &dyn Policy {
        self.state.policies.policy.as_ref()
    }

    /// The weights of the policy, the run being over. Errors: it is not of the CPU engine.
    pub fn into_model(self) -> Result<Model> {
        let policy: Box<dyn Any> = self.state.policies.policy;
        let policy = policy.downcast::<CpuPolicy>();
        let other = |_| Error::Engine("the policy is not on the CPU engine; its weights are in the run's folder".into());
        policy.map(|policy| policy.into_model()).map_err(other)
    }

    /// The whole run. Errors: a non-finite loss or gradient (the batch and the last good weights are written first), a file that can't be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<RunSummary> {
        let result = self.run_steps(observer);
        // A checkpoint that is being written is worth waiting for, whatever happened meanwhile.
        self.files.settle(true, self.state.summary.steps, observer);
        if let Some(source) = &mut self.state.source {
            source.close();
        }
        result
    }

    fn run_steps(&mut self, observer: &mut dyn Observer) -> Result<RunSummary> {
        let (start, before) = (Instant::now(), self.state.summary.seconds);
        for notice in std::mem::take(&mut self.notices) {
            observer.on_notice(0, &notice);
        }
        if !self.state.prepared {
            self.before_first_step(observer)?;
            self.state.prepared = true;
        }
        while self.state.summary.steps < self.config.train.steps && !self.state.summary.stopped_early {
            let step = self.state.summary.steps;
            if observer.should_stop() {
                self.files.save_and_stop(&self.config, &mut self.state, observer)?;
                return Ok(self.state.summary.clone());
            }
            let before_step = Before::step(&self.config, &mut self.state, &self.files)?;
            let mut metrics = match step::step(self, step, observer) {
                Ok(Some(metrics)) => metrics,
                Ok(None) => continue,
                Err(error) => return give_up_step(before_step, error, &self.config, &mut self.state, &mut self.files, observer),
            };
            metrics.set_some(Name::Time(Phase::Save), self.files.take_seconds());
            let evaluated = self.evaluate(&mut metrics, observer);
            // The step's metrics stay even where its evaluation failed.
            if let Some(output) = &mut self.files.output {
                output.metrics(&metrics)?;
            }
            observer.on_step(&metrics);
            let named = metrics.iter().map(|(name, value)| (name.to_string(), value)).collect();
            for finding in self.learning.push(metrics.step as u64, &named) {
                observer.on_notice(metrics.step, &finding.text);
            }
            self.state.summary.steps = step + 1;
            evaluated?;
            self.state.summary.seconds = before + start.elapsed().as_secs_f64();
            durable::pass(Point::Step).map_err(|e| Error::Checkpoint(e.to_string()))?;
            self.files.save_if_due(&self.config, &mut self.state, observer)?;
        }
        // Before the model: where the disk fills up, one of the two is there, and the run goes on to its end from the checkpoint.
        self.files.save_at_end(&self.config, &mut self.state, observer)?;
        let State { policies, documents, summary, .. } = &mut self.state;
        observer.on_phase(summary.steps, Phase::Save);
        summary.model = self.files.save(policies.current(), "model")?;
        if let Some(output) = &mut self.files.output {
            output.finish()?;
        }
        for finding in self.learning.at_end() {
            observer.on_notice(summary.steps, &format!("at the end: {}", finding.text));
        }
        summary.documents_too_long = documents.as_ref().map_or(0, |documents| documents.too_long);
        summary.seconds = before + start.elapsed().as_secs_f64();
        Ok(summary.clone())
    }

    /// What is made once, by the initial policy: pairs, or explanations; and the evaluation before the first step, where one is asked for, as metrics of step 0.
    fn before_first_step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let mut clock = Clock::default();
        let drawing = self.draw(&mut clock, observer, |source, context| source.prepare(context))?;
        self.state.summary.sampled_tokens += clock.rollout_tokens + clock.explanation_tokens;
        if !drawing.drawn.groups.is_empty() {
            let problems = self.state.source.as_ref().map_or(&[][..], |source| source.problems());
            let (output, limit) = (self.files.output.as_mut(), self.config.train.log_completions);
            record(output, limit, self.task.as_ref(), 0, problems, &drawing.drawn.groups, &Batches::default(), observer)?;
        }
        let mut metrics = StepMetrics::new(0);
        let evaluated = self.evaluate(&mut metrics, observer);
        if metrics.iter().next().is_some() {
            if let Some(output) = &mut self.files.output {
                output.metrics(&metrics)?;
            }
            observer.on_step(&metrics);
        }
        evaluated
    }

    /// What the run's source, where it has one, gives when it is asked by `ask`; its rows are appended to the run's logs.
    pub(crate) fn draw(
        &mut self,
        clock: &mut Clock,
        observer: &mut dyn Observer,
        ask: impl FnOnce(&mut dyn crate::draw::Source, &mut Context) -> Result<Drawing>,
    ) -> Result<Drawing> {
        let State { policies, source: Some(source), optimizer_steps, .. } = &mut self.state else { return Ok(Drawing::default()) };
        let mut context = Context {
            config: &self.config,
            task: self.task.as_ref(),
            recipe: self.recipe.as_ref(),
            policies,
            sampler: self.sampler.as_mut(),
            version: *optimizer_steps as u64,
            clock,
            observer,
        };
        let mut drawing = ask(source.as_mut(), &mut context)?;
        if let Some(output) = &mut self.files.output {
            for made in std::mem::take(&mut drawing.rows) {
                match made {
                    MadeRows::Pairs(rows) => output.append_rows(PAIRS_FILE, &rows)?,
                    MadeRows::Reference(rows) => output.append_rows(REFERENCE_FILE, &rows)?,
                    MadeRows::Documents(rows) => output.append_rows(DOCUMENTS_FILE, &rows)?,
                }
            }
        }
        Ok(drawing)
    }

    /// Evaluates the policy after the step of `metrics`, where that is due: adds the figures to them, and keeps the weights where they are the best so far.
    fn evaluate(&mut self, metrics: &mut StepMetrics, observer: &mut dyn Observer) -> Result<()> {
        let (step, steps) = (metrics.step, self.config.train.steps);
        let State { policies, evaluator, summary, optimizer_steps, .. } = &mut self.state;
        let Some(evaluator) = evaluator.as_mut().filter(|evaluator| evaluator.is_due(step, steps)) else { return Ok(()) };
        observer.on_phase(step, Phase::Eval);
        let start = Instant::now();
        let writer = Writer::Policy(*optimizer_steps as u64);
        let mut by = ByWriter { sampler: self.sampler.as_mut(), writers: policies.writers(), writer };
        let measured = evaluator.measure(&self.config, self.task.as_ref(), &mut by, metrics);
        // The time of these passes is not the next step's.
        self.sampler.take_seconds();
        policies.policy.take_seconds();
        metrics.set(Name::Time(Phase::Eval), start.elapsed().as_secs_f64());
        measured?;
        let judgement = evaluator.judge(step, metrics);
        summary.best = evaluator.best().cloned();
        if judgement.is_best {
            // In the place of those that were there.
            self.files.save(policies.current(), BEST_FOLDER)?;
            if let (Some(output), Some(best)) = (&self.files.output, &summary.best) {
                output.write_whole(BEST_FILE, best)?;
            }
        }
        if judgement.stop && step < steps {
            summary.stopped_early = true;
            if let Some(Best { step: best, metric, value }) = &summary.best {
                observer.on_notice(step, &format!("stopped early: {metric} has not got better than {value:.4} of step {best}"));
            }
        }
        Ok(())
    }
}
