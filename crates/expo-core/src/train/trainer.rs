//! The trainer: one run from the start weights to the trained ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::chat_task::ChatTask;
use super::documents::{DocumentFeed, Documents};
use super::evaluation::{Best, EvaluationData, Evaluator};
use super::explain::Explainer;
use super::lora;
use super::metrics::StepMetrics;
use super::observe::{Observer, Phase};
use super::order::Order;
use super::output::Output;
use super::pass::{self, Pass, Trainable};
use super::preferences::{self, EncodedPreferences, PairFeed};
use super::probe::Properties;
use super::problems::{self, Problems};
use super::rationales::Rationales;
use super::reference::{self, MovingReference};
use super::report::{self, Update};
use super::schedule;
use super::task::Task;
use crate::config::{Config, Explainer as Writer, OldLogProbs, Optimizer, RestartFrom, SaveDtype as ConfigDtype};
use crate::data::{Preference, Problem};
use crate::error::{Error, Result};
use crate::objective::{self, Drawn, Draws, Origin, PairSource, Recipe, Sequence};
use crate::reward::{BuiltIn, Rewards};
use crate::rollout::{LocalRollout, Rollout};
use expo_lm::generate::GenerationSeconds;
use expo_lm::load::LoadedModel;
use expo_lm::model::{Model, PassSeconds, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};
use expo_lm::weights::folder::SaveDtype;

/// What a run trains on.
#[derive(Default)]
pub struct TrainData {
    /// Problems with known answers (all recipes but `sft` and `dpo`).
    pub problems: Vec<Problem>,
    /// For each problem the place of its set in `data.train`; empty: all are of the first.
    pub sets: Vec<usize>,
    /// Preferences (`dpo`).
    pub preferences: Vec<Preference>,
    /// Number of rows of their files left out, as `data.on_bad_row` allows.
    pub preferences_skipped: usize,
    /// Documents (`sft`, rehearsal).
    pub documents: Option<Documents>,
    /// What the run is evaluated on.
    pub evaluation: EvaluationData,
    /// SHA-256 of each source, by its name, for `run.json`.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the files were read.
    pub notices: Vec<String>,
}

/// Writes weights as a model folder at the given path; it is complete once it stands there.
pub type SaveWeights = Box<dyn Fn(&Model, &Path) -> Result<()>>;

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSummary {
    /// Steps made.
    pub steps: usize,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Tokens sampled, rollouts and explanations.
    pub sampled_tokens: usize,
    /// Tokens that went through forward and backward passes.
    pub trained_tokens: usize,
    /// Problems left out because they exceed the context.
    pub problems_too_long: usize,
    /// Documents left out because they exceed the context.
    pub documents_too_long: usize,
    /// Preference pairs left out because they exceed the context.
    pub pairs_too_long: usize,
    /// Rows of preference files left out because they can't be used.
    pub pairs_skipped: usize,
    /// The best evaluation, where `eval.metric_for_best_model` says which one that is.
    pub best: Option<Best>,
    /// Whether the run stopped because that metric had not got better.
    pub stopped_early: bool,
    /// The trained model's folder, where one was written.
    pub model: Option<PathBuf>,
}

/// One run.
pub struct Trainer {
    pub(super) config: Config,
    pub(super) model: Model,
    pub(super) task: Box<dyn Task>,
    pub(super) save_folder: SaveWeights,
    pub(super) recipe: Box<dyn Recipe>,
    pub(super) draws: Draws,
    pub(super) problems: Problems,
    pub(super) documents: Option<DocumentFeed>,
    /// Preference pairs: all, or those of the steps until they are made anew.
    pub(super) pairs: Option<PairFeed>,
    /// The documents of STaR's outer iteration.
    pub(super) rationales: Option<Rationales>,
    pub(super) order: Option<Order>,
    pub(super) rollout: Box<dyn Rollout>,
    /// Where the recipe draws rollouts.
    pub(super) rewards: Option<Rewards>,
    pub(super) explainer: Explainer,
    /// The run's initial policy, kept where something refers to it.
    pub(super) initial: Option<Model>,
    /// The reference policy of KL on rollouts or of preferences, where it moves; elsewhere that is the initial policy.
    pub(super) reference: Option<MovingReference>,
    /// The moving average of the policy, kept where it writes explanations.
    pub(super) average: Option<Model>,
    /// The weights of the last finite step, where one update may be large enough to ruin them.
    pub(super) last_good: Option<Model>,
    pub(super) optimizer: AdamW,
    pub(super) trainable: Trainable,
    pub(super) optimizer_steps: usize,
    pub(super) evaluator: Option<Evaluator>,
    /// Questions drawn so far.
    pub(super) questions_drawn: usize,
    pub(super) output: Option<Output>,
    pub(super) summary: RunSummary,
    /// What to tell before the first step.
    notices: Vec<String>,
}

/// Wall time of a step's phases and the tokens that went through them.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) seconds: BTreeMap<Phase, f64>,
    pub(super) rollout_tokens: usize,
    pub(super) explanation_tokens: usize,
    pub(super) trained_tokens: usize,
    /// Where sampling, rollouts and explanations together, spent its time.
    pub(super) generation: GenerationSeconds,
    /// Where the passes of training, the reference and the probe spent theirs.
    pub(super) passes: PassSeconds,
    /// Gradient norm and AdamW.
    pub(super) optimizer: f64,
}

impl Clock {
    pub(super) fn time<T>(&mut self, phase: Phase, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work(self);
        *self.seconds.entry(phase).or_default() += start.elapsed().as_secs_f64();
        result
    }
}

/// The optimizer as `config` has it, nothing moved yet.
pub(super) fn new_optimizer(config: &Config, model: &Model) -> Result<AdamW> {
    let optim = &config.optim;
    let options =
        AdamWConfig { beta1: optim.adam_beta1, beta2: optim.adam_beta2, eps: optim.adam_epsilon, weight_decay: optim.weight_decay };
    let optimizer = match optim.name {
        Optimizer::AdamW => AdamW::new(model, options),
        Optimizer::AdamW8bit => AdamW::new_8bit(model, options),
    };
    Ok(optimizer.with_no_decay(model, &optim.no_decay)?)
}

impl Trainer {
    /// Prepares a run of `policy`: everything that can be wrong with the data is found here. `out` is the run's folder (`None`: nothing is
    /// written).
    pub fn new(config: Config, policy: LoadedModel, data: TrainData, out: Option<&Path>) -> Result<Self> {
        let LoadedModel { model, folder } = policy;
        let folder = Arc::new(folder);
        let task = Box::new(ChatTask::new(&config, folder.clone())?);
        let dtype = match config.train.save_dtype {
            ConfigDtype::Bf16 => SaveDtype::Bf16,
            ConfigDtype::F32 => SaveDtype::F32,
        };
        let save: SaveWeights = Box::new(move |model, path| Ok(folder.save_weights(model, path, dtype)?));
        Self::with_task(config, model, task, save, data, out)
    }

    /// The same for any task and any way to save.
    pub fn with_task(
        mut config: Config,
        mut model: Model,
        task: Box<dyn Task>,
        save: SaveWeights,
        data: TrainData,
        out: Option<&Path>,
    ) -> Result<Self> {
        let adapted = lora::attach(&config, &mut model)?;
        let rollout: Box<dyn Rollout> = Box::new(LocalRollout::new(config.rollout.max_num_seqs));
        if !rollout.matches_trainer() {
            config.grpo.importance_sampling_cap.get_or_insert(2.0);
        }
        let recipe = objective::recipe(&config);
        let draws = recipe.draws();
        let context = model.config.max_position_embeddings;
        let problems = match draws.rollouts {
            true => problems::prepare(&config, task.as_ref(), draws, data.problems, context)?,
            false => Problems::default(),
        };
        let order = match draws.rollouts {
            true => Some(Order::of_problems(&config, &problems.prepared, &data.sets)?),
            false => None,
        };
        let documents = match data.documents {
            Some(documents) if draws.documents > 0 => Some(DocumentFeed::new(documents, context, config.train.seed)?),
            None if draws.documents > 0 => {
                return Err(Error::Run(format!("recipe {} needs documents; name them with rehearsal.data", config.train.recipe)));
            }
            _ => None,
        };
        let encoded = match draws.pairs {
            Some(PairSource::File) => preferences::encode(&config, task.as_ref(), &data.preferences, context)?,
            _ => EncodedPreferences::default(),
        };
        let exp = &config.exp;
        let refers = reference::refers(&config, draws);
        let reference = MovingReference::new(&config, draws, &model);
        let explained_by_initial = draws.explanations && exp.explainer == Writer::Initial && exp.every > 0;
        let needs_initial = refers && reference.is_none()
            || explained_by_initial
            || draws.scores_rollouts() && draws.explanations && exp.hinted_kl_beta > 0.0
            || draws.rationales && config.star.restart_from == RestartFrom::Initial;
        let average = (draws.explanations && exp.explainer == Writer::Average && exp.every > 0).then(|| model.duplicate());
        let optimizer = new_optimizer(&config, &model)?;
        let evaluator = Evaluator::new(&config, task.as_ref(), &model, data.evaluation)?;
        let rewards = draws.rollouts.then(|| Rewards::new(&config)).transpose()?;
        let summary = RunSummary {
            problems_too_long: problems.too_long,
            pairs_too_long: encoded.too_long,
            pairs_skipped: data.preferences_skipped + encoded.skipped,
            ..RunSummary::default()
        };
        let pairs = (draws.pairs == Some(PairSource::File)).then(|| PairFeed::passes(encoded.pairs, &config));
        let output = match out {
            Some(folder) => {
                let pairs = pairs.as_ref().map(|feed| feed.len());
                Some(Output::create(folder, &report::run_json(&config, problems.prepared.len(), pairs, &summary, &data.hashes))?)
            }
            None => None,
        };
        Ok(Self {
            explainer: Explainer::new(config.exp.clone(), BuiltIn::new(&config), config.train.seed),
            initial: needs_initial.then(|| lora::initial(&config, &model)),
            average,
            last_good: schedule::may_ruin(&config.optim).then(|| model.duplicate()),
            optimizer,
            trainable: Trainable { workspace: Workspace::new(config.train.gradient_checkpointing), gradients: model.new_gradients() },
            optimizer_steps: 0,
            evaluator,
            questions_drawn: 0,
            summary,
            notices: adapted.into_iter().chain(encoded.notice).collect(),
            config,
            model,
            task,
            save_folder: save,
            recipe,
            draws,
            problems,
            documents,
            pairs,
            rationales: None,
            reference,
            order,
            rollout,
            rewards,
            output,
        })
    }

    /// The policy as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The policy, the run being over.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The whole run. Errors: a non-finite loss or gradient (the batch and the last good weights are written first), a file that can't be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<RunSummary> {
        let result = self.run_steps(observer);
        if let Some(rewards) = &mut self.rewards {
            rewards.close();
        }
        result
    }

    fn run_steps(&mut self, observer: &mut dyn Observer) -> Result<RunSummary> {
        let start = Instant::now();
        for notice in std::mem::take(&mut self.notices) {
            observer.on_notice(0, &notice);
        }
        if self.draws.pairs.is_some() {
            self.prepare_pairs(observer)?;
        } else if self.draws.explanations && self.config.exp.every == 0 {
            observer.on_phase(0, Phase::Explanation);
            self.summary.sampled_tokens += self.explain_ahead(0..self.config.train.steps)?;
        }
        self.evaluate_at_start(observer)?;
        for step in 0..self.config.train.steps {
            let mut metrics = self.step(step, observer)?;
            let stop = self.evaluate(&mut metrics, observer);
            let save_every = self.config.train.save_every;
            let mut saved = Ok(None);
            if save_every > 0 && (step + 1).is_multiple_of(save_every) && step + 1 < self.config.train.steps {
                observer.on_phase(step + 1, Phase::Save);
                let start = Instant::now();
                saved = self.save_weights(&format!("checkpoints/step-{:06}", step + 1));
                metrics.set("time/save", start.elapsed().as_secs_f64());
            }
            // The step's metrics stay even where its weights could not be written.
            if let Some(output) = &mut self.output {
                output.metrics(&metrics)?;
            }
            observer.on_step(&metrics);
            self.summary.steps = step + 1;
            saved?;
            if stop? {
                break;
            }
        }
        observer.on_phase(self.summary.steps, Phase::Save);
        self.summary.model = self.save_weights("model")?;
        self.summary.documents_too_long = self.documents.as_ref().map_or(0, |documents| documents.too_long);
        self.summary.seconds = start.elapsed().as_secs_f64();
        Ok(self.summary.clone())
    }

    /// One step: a rollout batch (or documents) and the optimizer steps on it.
    fn step(&mut self, step: usize, observer: &mut dyn Observer) -> Result<StepMetrics> {
        let begin = Instant::now();
        let mut clock = Clock::default();
        let steps = self.config.train.steps;
        let beta_exp = schedule::beta_exp(&self.config.exp, step, steps);
        let mut drawn = Drawn::default();
        let mut properties = Properties::default();

        if self.draws.pairs.is_some() {
            (drawn.groups, drawn.pairs) = self.draw_pairs(step, &mut clock, observer)?;
        } else if self.draws.rationales {
            (drawn.groups, drawn.rationales) = self.draw_rationales(step, &mut clock, observer)?;
        } else if self.draws.rollouts {
            drawn.groups = self.draw_groups(step, step + 1, &mut clock, observer)?;
        }
        let every = self.config.exp.metrics_every;
        if every > 0 && step.is_multiple_of(every) && !drawn.groups.is_empty() {
            observer.on_phase(step + 1, Phase::Probe);
            properties = clock.time(Phase::Probe, |_| self.probe(&drawn.groups))?;
        }

        observer.on_phase(step + 1, Phase::Train);
        let mut updates: Vec<Update> = Vec::new();
        let nothing_to_learn = self.draws.pairs.is_some() && drawn.pairs.is_empty() || self.draws.rationales && drawn.rationales.is_empty();
        for iteration in 0..if nothing_to_learn { 0 } else { self.config.train.num_iterations } {
            let update = clock.time(Phase::Train, |clock| self.update(step, iteration, &mut drawn, beta_exp, clock))?;
            updates.push(update);
        }
        if let Some(average) = &mut self.average {
            average.average_in(&self.model, self.config.exp.average_decay as f32);
        }

        self.log_completions(step + 1, &drawn.groups, observer)?;
        self.summary.sampled_tokens += clock.rollout_tokens + clock.explanation_tokens;
        self.summary.trained_tokens += clock.trained_tokens;
        let has_exp_term = self.draws.scores_rollouts() && !self.draws.off_policy && (self.draws.explanations || self.draws.expert);
        let beta_exp = has_exp_term.then_some(beta_exp);
        let mut metrics = report::step_metrics(step + 1, &drawn.groups, &updates, properties, beta_exp);
        if let Some(rationales) = &self.rationales {
            rationales.report(step, &mut metrics);
        }
        clock.generation = self.rollout.take_seconds();
        clock.passes = std::mem::take(&mut self.trainable.workspace.seconds);
        report::add_timings(&mut metrics, &clock, begin.elapsed().as_secs_f64());
        Ok(metrics)
    }

    /// One optimizer step on `drawn`.
    fn update(&mut self, step: usize, iteration: usize, drawn: &mut Drawn, beta_exp: f64, clock: &mut Clock) -> Result<Update> {
        if let Some(documents) = &mut self.documents {
            drawn.documents = documents.draw(self.task.as_ref(), self.draws.documents)?;
        }
        let optim = &self.config.optim;
        let (place, length) = self.schedule_place(step, iteration);
        let learning_rate = schedule::learning_rate(optim, place, length);
        let sequences = self.recipe.sequences(drawn, beta_exp);
        let budget = self.config.train.max_tokens_per_micro_batch;
        self.trainable.workspace.dropout_seed = lora::dropout_seed(&self.config, self.optimizer_steps);
        let pass = pass::forward_backward(&self.model, &mut self.trainable, &sequences, budget, iteration == 0)?;
        let optimizer = Instant::now();
        let grad_norm = self.trainable.gradients.norm();
        clock.trained_tokens += pass.trained_tokens;
        if !pass.loss.is_finite() || !grad_norm.is_finite() {
            return Err(self.stop_non_finite(step, iteration, &sequences, &pass, grad_norm));
        }
        if let Some(last_good) = &mut self.last_good {
            // A copy: nothing of the old content is kept.
            last_good.average_in(&self.model, 0.0);
        }
        let scale = if optim.max_grad_norm > 0.0 && grad_norm > optim.max_grad_norm { optim.max_grad_norm / grad_norm } else { 1.0 };
        self.optimizer.step(&mut self.model, &self.trainable.gradients, learning_rate, scale);
        clock.optimizer += optimizer.elapsed().as_secs_f64();
        self.optimizer_steps += 1;
        if let Some(reference) = &mut self.reference {
            reference.follow(&self.model, self.optimizer_steps);
        }
        let update = Update::new(&sequences, &pass, grad_norm, learning_rate);
        drop(sequences);
        // The first forward on a batch is the policy before its first step: its log-probabilities are the old ones of later steps, where it has no dropout.
        if iteration == 0 && self.config.train.num_iterations > 1 && self.config.grpo.old_log_probs == OldLogProbs::Training {
            for (origin, measured) in &update.rollouts {
                if let Origin::Rollout { group, index } = origin {
                    drawn.groups[*group].rollouts[*index].old_log_probs.get_or_insert_with(|| measured.log_probs.clone());
                }
            }
        }
        Ok(update)
    }

    /// Writes the batch and the last good weights aside; the error says where. Good are the weights before this batch, or, where an update may be large
    /// enough to ruin them, those before the update that led here.
    fn stop_non_finite(&self, step: usize, iteration: usize, sequences: &[Sequence], pass: &Pass, grad_norm: f64) -> Error {
        let step = step + 1;
        let what = format!("step {step}: loss {}, gradient norm {grad_norm}; the update was not applied", pass.loss);
        let Some(output) = &self.output else { return Error::Run(what) };
        let dump = report::non_finite_batch(step, iteration, self.task.as_ref(), sequences, pass, grad_norm);
        let written = output.write_whole(&format!("nonfinite-step-{step}.json"), &dump);
        let saved = self.save(self.last_good.as_ref().unwrap_or(&self.model), "last-good");
        match (written, saved) {
            (Ok(batch), Ok(weights)) => Error::Run(format!(
                "{what}. The batch is in {}, the last good weights in {}; lower optim.learning_rate or look for a broken row",
                batch.display(),
                weights.unwrap_or_default().display()
            )),
            (Err(error), _) | (_, Err(error)) => Error::Run(format!("{what}; and it could not be written aside: {error}")),
        }
    }

    /// Saves the policy in the run's folder under `name`; `None` where the run writes nothing.
    fn save_weights(&self, name: &str) -> Result<Option<PathBuf>> {
        self.save(&self.model, name)
    }

    fn save(&self, model: &Model, name: &str) -> Result<Option<PathBuf>> {
        let Some(output) = &self.output else { return Ok(None) };
        let path = output.folder().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        (self.save_folder)(model, &path)?;
        Ok(Some(path))
    }
}
