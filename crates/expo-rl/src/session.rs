//! From a configuration to what runs: the policy, its task, the trainer, an evaluation.

use std::path::Path;
use std::sync::Arc;

use expo_core::config::{Config, Init};
use expo_core::data::Problem;
use expo_core::eval::{Solved, solve};
use expo_core::train::{ChatTask, TrainData, Trainer};
use expo_lm::generate::SamplingParams;
use expo_lm::load::{LoadedModel, ModelFolder};
use expo_lm::model::Model;

use crate::policy;
use crate::progress::Progress;

/// The start policy that the configuration names.
pub fn load(config: &Config) -> anyhow::Result<LoadedModel> {
    match config.model.init {
        Init::Pretrained => policy::load(&config.model.path),
        Init::Random => policy::load_random(&config.model.path, config.train.seed),
    }
}

/// A run that is ready to start; `out` is its folder (`None`: nothing is written).
pub fn trainer(config: Config, out: Option<&Path>) -> anyhow::Result<Trainer> {
    // Data first: it is read faster than a large model.
    let data = TrainData::load(&config)?;
    policy::tell(&data.notices);
    let policy = load(&config)?;
    Ok(Trainer::new(config, policy, data, out)?)
}

/// Solves problems with a progress bar named `label`; prompts and rewards are those of `config`.
pub struct Evaluation<'a> {
    /// Prompts, rewards, limits.
    pub config: &'a Config,
    /// Tokenizer and chat template.
    pub folder: Arc<ModelFolder>,
    /// The problems.
    pub problems: &'a [Problem],
    /// Samples of each problem.
    pub samples: usize,
    /// How they are drawn.
    pub sampling: SamplingParams,
    /// Seed of the samples.
    pub seed: u64,
}

impl Evaluation<'_> {
    /// Runs the evaluation of `model`.
    pub fn run(&self, label: &str, model: &Model) -> anyhow::Result<Vec<Solved>> {
        let task = ChatTask::new(self.config, self.folder.clone())?;
        let mut progress = Progress::new(label, self.problems.len() * self.samples, "sample");
        let start = std::time::Instant::now();
        let mut on_progress = |done| progress.set(done, String::new());
        let width = self.config.rollout.max_num_seqs;
        let solved = solve(model, &task, self.problems, self.samples, &self.sampling, self.seed, width, &mut on_progress)?;
        let (tokens, seconds) = (solved.iter().map(|s| s.tokens).sum::<usize>(), start.elapsed().as_secs_f64());
        progress.finish(&format!("{} problems, {tokens} tokens in {seconds:.0} s", self.problems.len()));
        Ok(solved)
    }
}
