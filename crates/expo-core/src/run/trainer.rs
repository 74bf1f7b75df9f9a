//! The trainer: one run from the start weights to the trained ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::config::{Config, Explainer as Writer, OnMismatch, Optimizer, RestartFrom};
use crate::data::{BadRows, Preference, Problem};
use crate::draw::explain::Explainer;
use crate::draw::rationales::Rationales;
use crate::error::{Error, Result};
use crate::feed::documents::{self, DocumentFeed, Documents};
use crate::feed::order::Order;
use crate::feed::pairs::PairFeed;
use crate::feed::preferences::{self, EncodedPreferences};
use crate::feed::problems::{self, Problems};
use crate::objective::{self, Draws, PairSource, Recipe};
use crate::observe::{Observer, Phase};
use crate::policy::cpu::pass::Trainable;
use crate::reward::{BuiltIn, Rewards};
use crate::rollout::{LocalRollout, Rollout};
use crate::run::checkpoint::Saver;
use crate::run::evaluation::{Best, EvaluationData, Evaluator};
use crate::run::lora;
use crate::run::output::Output;
use crate::run::reference::{self, MovingReference};
use crate::run::report::{self};
use crate::run::schedule;
use crate::run::watchdog::Watchdog;
use crate::task::Task;
use crate::task::chat::ChatTask;
use expo_lm::chat::ChatSettings;
use expo_lm::durable::{self, Point};
use expo_lm::load::LoadedModel;
use expo_lm::model::{Model, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};

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

type WriteFolder = dyn Fn(&Model, &Path) -> Result<()> + Send + Sync;

/// How weights become a model folder.
pub struct SaveWeights {
    write: Box<WriteFolder>,
    /// Bytes of what lies beside the weights.
    pub(crate) side_bytes: u64,
}

impl SaveWeights {
    /// By `write`, which gets weights and the folder's path; the folder is complete once it stands there. What it writes beside the weights takes `side_bytes`.
    pub fn new(side_bytes: u64, write: impl Fn(&Model, &Path) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { write: Box::new(write), side_bytes }
    }

    /// Writes `model` at `path`.
    pub(crate) fn write(&self, model: &Model, path: &Path) -> Result<()> {
        (self.write)(model, path)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSummary {
    /// Steps made.
    pub steps: usize,
    /// Wall time in seconds, of all processes that were at work on the run.
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
    /// Whether the run was stopped before its last step, as the observer asked.
    pub stopped: bool,
    /// The checkpoint that was written when it was stopped.
    pub checkpoint: Option<PathBuf>,
}

/// One run.
pub struct Trainer {
    pub(crate) config: Config,
    pub(crate) model: Model,
    pub(crate) task: Box<dyn Task>,
    pub(crate) recipe: Box<dyn Recipe>,
    pub(crate) draws: Draws,
    pub(crate) problems: Problems,
    pub(crate) documents: Option<DocumentFeed>,
    /// Preference pairs: all, or those of the steps until they are made anew.
    pub(crate) pairs: Option<PairFeed>,
    /// The documents of STaR's outer iteration.
    pub(crate) rationales: Option<Rationales>,
    pub(crate) order: Option<Order>,
    pub(crate) rollout: Box<dyn Rollout>,
    /// Where the recipe draws rollouts.
    pub(crate) rewards: Option<Rewards>,
    pub(crate) explainer: Explainer,
    /// The run's initial policy, kept where something refers to it.
    pub(crate) initial: Option<Model>,
    /// The reference policy of KL on rollouts or of preferences, where it moves; elsewhere that is the initial policy.
    pub(crate) reference: Option<MovingReference>,
    /// The moving average of the policy, kept where it writes explanations.
    pub(crate) average: Option<Model>,
    /// The weights of the last finite step, where one update may be large enough to ruin them.
    pub(crate) last_good: Option<Model>,
    pub(crate) optimizer: AdamW,
    pub(crate) trainable: Trainable,
    pub(crate) optimizer_steps: usize,
    pub(crate) evaluator: Option<Evaluator>,
    /// Questions drawn so far.
    pub(crate) questions_drawn: usize,
    /// Whether what comes before the first step is done.
    pub(crate) prepared: bool,
    pub(crate) output: Option<Output>,
    pub(crate) saver: Saver,
    pub(crate) watchdog: Watchdog,
    pub(crate) summary: RunSummary,
    /// What to tell before the first step.
    pub(crate) notices: Vec<String>,
}

/// The optimizer as `config` has it, nothing moved yet.
pub(crate) fn new_optimizer(config: &Config, model: &Model) -> Result<AdamW> {
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
        let (model, task, save) = Self::of_policy(&config, policy, ChatSettings::now().date)?;
        Self::with_task(config, model, task, save, data, out)
    }

    /// A policy's weights, its task by chat template at `date`, and the way its folder is written.
    pub(crate) fn of_policy(config: &Config, policy: LoadedModel, date: i64) -> Result<(Model, Box<dyn Task>, SaveWeights)> {
        let LoadedModel { model, folder } = policy;
        let folder = Arc::new(folder);
        let task = Box::new(ChatTask::at(config, folder.clone(), date)?);
        let dtype = config.train.save_dtype.into();
        let save = SaveWeights::new(folder.side_bytes(), move |model, path| Ok(folder.save_weights(model, path, dtype)?));
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
        let hashes = data.hashes.clone();
        let mut trainer = Self::prepare(config, model, task, save, data)?;
        if let Some(folder) = out {
            let (output, notice) = Output::create(folder, trainer.describe(&hashes)?)?;
            trainer.output = Some(output);
            trainer.notices.extend(notice);
        }
        Ok(trainer)
    }

    /// A trainer at the beginning of its run, without a folder.
    pub(crate) fn prepare(mut config: Config, mut model: Model, task: Box<dyn Task>, save: SaveWeights, data: TrainData) -> Result<Self> {
        let mut adapted = Vec::new();
        let trained = lora::attach(&config, &mut model, &mut adapted)?;
        let rollout: Box<dyn Rollout> = Box::new(LocalRollout::new(config.rollout.max_num_seqs));
        if !rollout.matches_trainer() {
            config.grpo.importance_sampling_cap.get_or_insert(2.0);
        }
        let recipe = objective::recipe(&config);
        let draws = recipe.draws();
        let context = model.config.max_position_embeddings;
        // What every turn ends with is no matter of single rows.
        let writes_turns = draws.documents > 0 || draws.pairs == Some(PairSource::File) || draws.expert;
        let replaces_answers = draws.explanations && config.exp.on_mismatch == OnMismatch::ReplaceAnswer;
        if writes_turns || replaces_answers {
            task.end_of_turn()?;
        }
        let mut told: Vec<String> = task.notice()?.into_iter().collect();
        let problems = match draws.rollouts {
            true => problems::prepare(&config, task.as_ref(), draws, data.problems, context)?,
            false => Problems::default(),
        };
        let order = match draws.rollouts {
            true => Some(Order::of_problems(&config, &problems.prepared, &data.sets)?),
            false => None,
        };
        let mut bad_documents = BadRows::new(config.data.on_bad_row);
        let documents = match data.documents {
            Some(documents) if draws.documents > 0 => {
                let documents = match documents {
                    Documents::List(list) => {
                        let sifted = documents::sift(list, task.as_ref(), context, &mut bad_documents)?;
                        told.extend(sifted.notices.into_iter().map(|notice| format!("{}: {notice}", config.rehearsal.data)));
                        Documents::List(sifted.documents)
                    }
                    stream => stream,
                };
                Some(DocumentFeed::new(documents, context, config.train.seed)?)
            }
            None if draws.documents > 0 => {
                return Err(Error::Run(format!("recipe {} needs documents; name them with rehearsal.data", config.train.recipe)));
            }
            _ => None,
        };
        let encoded = match draws.pairs {
            Some(PairSource::File) => {
                preferences::encode(&config.data.train.to_string(), config.data.on_bad_row, task.as_ref(), &data.preferences, context)?
            }
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
        let (evaluator, left_out) = Evaluator::new(&config, task.as_ref(), &model, data.evaluation)?.unzip();
        let rewards = draws.rollouts.then(|| Rewards::new(&config)).transpose()?;
        let summary = RunSummary {
            problems_too_long: problems.too_long,
            pairs_too_long: encoded.too_long,
            pairs_skipped: data.preferences_skipped + encoded.skipped,
            ..RunSummary::default()
        };
        let pairs = (draws.pairs == Some(PairSource::File)).then(|| PairFeed::of_files(encoded.pairs, &config));
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
            notices: [objective::unread::notice(&config, draws)]
                .into_iter()
                .flatten()
                .chain(adapted)
                .chain([trained, problems.notice.clone(), bad_documents.notice(), encoded.notice].into_iter().flatten())
                .chain(told)
                .chain(encoded.told.into_iter().map(|notice| format!("{}: {notice}", config.data.train)))
                .chain(problems.told.clone())
                .chain(left_out.into_iter().flatten())
                .collect(),
            watchdog: Watchdog::new(config.watchdog.clone()),
            config,
            model,
            task,
            prepared: false,
            saver: Saver::new(save),
            output: None,
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
        })
    }

    /// `run.json`: what this run is; `hashes` are those of its data.
    pub(crate) fn describe(&self, hashes: &BTreeMap<String, String>) -> Result<Value> {
        let pairs = self.pairs.as_ref().map(PairFeed::len);
        let mut run = report::run_json(&self.config, self.task.date(), self.problems.prepared.len(), pairs, &self.summary, hashes);
        if self.model.adapter().is_some() {
            run["base_model_sha256"] = self.model.base_sha256().into();
        }
        // Nothing is trained or restored yet: the policy is the one that the run starts from.
        let start = || self.evaluator.as_ref().filter(|evaluator| evaluator.refers_to_start()).map(|_| &self.model);
        if let Some(initial) = self.initial.as_ref().or_else(start) {
            run["initial_policy_sha256"] = initial.sha256().into();
        }
        Ok(run)
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
        // A checkpoint that is being written is worth waiting for, whatever happened meanwhile.
        self.settle(true, observer);
        if let Some(rewards) = &mut self.rewards {
            rewards.close();
        }
        result
    }

    fn run_steps(&mut self, observer: &mut dyn Observer) -> Result<RunSummary> {
        let (start, before) = (Instant::now(), self.summary.seconds);
        for notice in std::mem::take(&mut self.notices) {
            observer.on_notice(0, &notice);
        }
        if !self.prepared {
            self.before_first_step(observer)?;
            self.prepared = true;
        }
        while self.summary.steps < self.config.train.steps && !self.summary.stopped_early {
            let step = self.summary.steps;
            if observer.should_stop() {
                self.save_and_stop(observer)?;
                return Ok(self.summary.clone());
            }
            let before_step = self.before_step()?;
            let mut metrics = match self.step(step, observer) {
                Ok(Some(metrics)) => metrics,
                Ok(None) => continue,
                Err(error) => return self.give_up_step(before_step, error, observer),
            };
            metrics.set_some("time/save", self.saver.take_seconds());
            let evaluated = self.evaluate(&mut metrics, observer);
            // The step's metrics stay even where its evaluation failed.
            if let Some(output) = &mut self.output {
                output.metrics(&metrics)?;
            }
            observer.on_step(&metrics);
            self.summary.steps = step + 1;
            evaluated?;
            self.summary.seconds = before + start.elapsed().as_secs_f64();
            durable::pass(Point::Step).map_err(|e| Error::Run(e.to_string()))?;
            self.save_if_due(observer)?;
        }
        // Before the model: where the disk fills up, one of the two is there, and the run goes on to its end from the checkpoint.
        self.save_at_end(observer)?;
        observer.on_phase(self.summary.steps, Phase::Save);
        self.summary.model = self.save(&self.model, "model")?;
        if let Some(output) = &mut self.output {
            output.finish()?;
        }
        self.summary.documents_too_long = self.documents.as_ref().map_or(0, |documents| documents.too_long);
        self.summary.seconds = before + start.elapsed().as_secs_f64();
        Ok(self.summary.clone())
    }

    /// What is made once, by the initial policy: pairs, or explanations.
    fn before_first_step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.draws.pairs.is_some() {
            self.prepare_pairs(observer)?;
        } else if self.draws.explanations && self.config.exp.every == 0 {
            observer.on_phase(0, Phase::Explanation);
            self.summary.sampled_tokens += self.explain_ahead(0..self.config.train.steps)?.tokens;
        }
        self.evaluate_at_start(observer)
    }
}
