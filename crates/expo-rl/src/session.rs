//! From a configuration to what runs: the policy, its task, the trainer, an evaluation.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expo_core::analysis::Analysis;
use expo_core::config::{ChosenSide, Config, Init, RecipeName};
use expo_core::data::generator::Split;
use expo_core::data::{GoldCheck, Problem, load_problems};
use expo_core::eval::{Keep, Plan, Solved, solve};
use expo_core::feed::documents::Documents;
use expo_core::policy::Lm;
use expo_core::policy::cpu::CpuLm;
use expo_core::rollout::ByWriter;
use expo_core::rollout::local::LocalSampler;
use expo_core::run::{TrainData, Trainer, UnfinishedRun};
use expo_core::task::chat::ChatTask;
use expo_lm::load::{LoadedModel, ModelFolder};

use crate::policy::{self, ModelArgs};
use crate::progress::Progress;
use crate::sampling::at_least_one;

/// The configuration in the file at `path`, or the defaults, with `overrides`; tells what there is to know about how it was read.
pub fn read_config(path: Option<&Path>, overrides: &[String]) -> anyhow::Result<Config> {
    let config = match path {
        Some(path) => Config::load(path, overrides)?,
        None => Config::from_toml("", "defaults", overrides)?,
    };
    policy::tell(&config.reading.notices);
    Ok(config)
}

/// The start policy that the configuration names.
pub fn load(config: &Config) -> anyhow::Result<LoadedModel> {
    match config.model.init {
        Init::Pretrained => policy::load(&config.model.path),
        Init::Random => policy::load_random(&config.model.path, config.train.seed),
    }
}

/// What `config` trains on, read; sets `train.steps` where it gives `train.epochs`. Tells what there is to know about the data.
pub fn read_data(config: &mut Config) -> anyhow::Result<TrainData> {
    let data = TrainData::load(config)?;
    policy::tell(&data.notices);
    let (rows, what) = match (config.train.recipe, &data.documents) {
        (RecipeName::Sft, Some(Documents::List(documents))) => (documents.len(), "documents"),
        // A generator's documents have no end.
        (RecipeName::Sft, _) => return Ok(data),
        (RecipeName::Dpo, _) => (data.preferences.len(), "preferences"),
        _ => (data.problems.len(), "problems"),
    };
    config.set_steps(rows);
    let per_step = config.rows_per_step();
    if rows > 0 && per_step > rows {
        let option = if config.train.recipe == RecipeName::Sft { "rehearsal.documents_per_step" } else { "train.prompts_per_step" };
        policy::tell(&[format!(
            "{option} = {per_step}, but there are {rows} {what}: a step has each of them about {:.1} times",
            per_step as f64 / rows as f64
        )]);
    }
    if let Some(epochs) = config.train.epochs {
        let steps = config.train.steps;
        policy::tell(&[format!("train.epochs = {epochs}: {steps} steps of {per_step} for {rows} {what}")]);
    }
    Ok(data)
}

/// A run on `data` that is ready to start; `out` is its folder (`None`: nothing is written).
pub fn trainer(config: Config, data: TrainData, out: Option<&Path>) -> anyhow::Result<Trainer> {
    let policy = load(&config)?;
    Ok(Trainer::new(config, policy, data, out)?)
}

/// A run that is ready to go on.
pub fn resume(config: Config, data: TrainData, run: UnfinishedRun) -> anyhow::Result<Trainer> {
    let policy = load(&config)?;
    Ok(Trainer::resume(config, policy, data, run)?)
}

/// Solves problems with a progress bar; prompts and rewards are those of `config`.
pub struct Evaluation<'a> {
    /// Prompts, rewards, limits.
    pub config: &'a Config,
    /// Tokenizer and chat template.
    pub folder: Arc<ModelFolder>,
    /// The problems.
    pub problems: &'a [Problem],
    /// How they are sampled.
    pub plan: Plan,
}

impl Evaluation<'_> {
    /// Runs the evaluation of `lm`; completions are kept by `keep`.
    pub fn run(&self, label: &str, lm: &dyn Lm, keep: Option<Keep>) -> anyhow::Result<Vec<Solved>> {
        let task = ChatTask::new(self.config, self.folder.clone())?;
        let mut progress = Progress::new(label, self.problems.len() * self.plan.samples, "sample");
        let start = std::time::Instant::now();
        let mut on_progress = |done| progress.set(done, String::new());
        let mut sampler = LocalSampler::new(self.config.rollout.max_num_seqs);
        let mut by = ByWriter::of(&mut sampler, lm);
        let solved = solve(&mut by, &task, self.problems, &self.plan, keep, &mut on_progress)?;
        let (tokens, seconds) = (solved.iter().map(Solved::tokens).sum::<usize>(), start.elapsed().as_secs_f64());
        progress.finish(&format!("{} problems, {tokens} tokens in {seconds:.0} s", self.problems.len()));
        Ok(solved)
    }
}

/// Which problems a policy is looked at with, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct AnalysisArgs {
    /// File of problems (.jsonl, .json, .csv, .parquet), hub data set, or `generator:division` for training problems of the built-in generator.
    #[arg(long, value_name = "FILE")]
    data: String,
    /// Only the first N problems.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Configuration file whose `[prompt]`, `[data]`, `[rollout]`, `[exp]`, `[dpo]` and `[reward]` are used, such as the run's.
    #[arg(long, value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Override an option, such as `exp.max_new_tokens=512` (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Seed of the sampling [default: train.seed].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl AnalysisArgs {
    /// The configuration that they come to.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = read_config(self.config.as_deref(), &self.overrides)?;
        config.data.train = self.data.clone().into();
        if let Some(limit) = self.limit {
            (config.data.limit, config.data.generate) = (limit, limit);
        }
        config.train.seed = self.seed.unwrap_or(config.train.seed);
        Ok(config)
    }
}

/// Goes through the problems of `args` in parts, with a bar named `label`: one completion of the question alone and `explanations` explanations of each (or
/// as many as the configuration says). `each` does a part and returns the number of its explanations.
pub fn explain(
    label: &str,
    args: &AnalysisArgs,
    model: &ModelArgs,
    explanations: Option<usize>,
    mut each: impl FnMut(&mut Analysis, Range<usize>) -> anyhow::Result<usize>,
) -> anyhow::Result<()> {
    let mut config = args.config()?;
    config.exp.num_explanations = explanations.unwrap_or(config.exp.num_explanations);
    config.rollout.num_generations = 1;
    // Explanations are looked at whatever the run's pairs are made of.
    config.dpo.chosen = ChosenSide::Explanation;
    let samples = config.exp.num_explanations + config.rollout.num_generations;
    analyse(&config, model, |analysis| {
        let mut progress = Progress::new(label, analysis.len(), "problem");
        let mut count = 0;
        for part in analysis.parts(samples) {
            let end = part.end;
            count += each(analysis, part)?;
            progress.set(end, String::new());
        }
        progress.finish(&format!("{} problems, {count} explanations", analysis.len()));
        Ok(())
    })
}

/// Reads the problems and the model and hands both to `work`; tells how many problems don't fit.
pub fn analyse(config: &Config, model: &ModelArgs, work: impl FnOnce(&mut Analysis) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let set = load_problems(&config.data, &GoldCheck::of(config), Split::Train)?;
    policy::tell(&set.notices);
    let LoadedModel { model, folder } = model.load()?;
    let task = ChatTask::new(config, Arc::new(folder))?;
    let lm = CpuLm::new(model, config.train.max_tokens_per_micro_batch);
    let mut analysis = Analysis::new(config, &lm, &task, set.problems)?;
    if analysis.too_long() > 0 {
        policy::tell(&[format!("{} problems were left out because they exceed the model's context", analysis.too_long())]);
    }
    work(&mut analysis)
}
