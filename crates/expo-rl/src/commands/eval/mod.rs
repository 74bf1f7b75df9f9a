//! `expo-rl eval`: pass@k, accuracy and majority vote on problems with known answers, of several models and ways to sample on the same problems.

mod figures;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory;
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use expo_core::config::Config;
use expo_core::data::{GoldCheck, Problem, ProblemSet};
use expo_core::eval::{Bootstrap, CompletionsFile, Keep, PRESETS, Plan, Preset, load_evaluation_problems, subsets};
use expo_core::policy::cpu::CpuLm;
use expo_lm::load::LoadedModel;

use crate::output;
use crate::policy;
use crate::sampling::{DrawArgs, MAX_NEW_TOKENS, at_least_one, temperature};
use crate::session::{self, Evaluation};
use figures::{Arm, Figures};

/// Measure how often a model is right: accuracy, pass@k (the chance that at least one of k samples of a problem is right; unbiased estimate) and majority
/// vote, each with a bootstrap interval over problems.
///
/// Several models (`--model` again), several temperatures and `--greedy` are compared on the same problems, with intervals of their paired differences.
/// Prompts, data format and answer comparison are those of a preset or of a configuration: the defaults, or `--config` and `--set`.
/// docs/evaluation.md says more.
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// Hugging Face folder, hub name (owner/model), or `embedded:tiny` for the model in the binary; repeat it to compare several. Of an adapter's folder: the
    /// model that it names, with it.
    #[arg(long = "model", value_name = "DIR", required_unless_present = "adapters")]
    models: Vec<String>,
    /// LoRA adapter to put on the model: a folder in PEFT's format, such as the `model` of a run with `[lora]`; repeat it to compare several. `none` is the model
    /// without one. Without `--model`, each goes on the model that it names.
    #[arg(long = "adapter", value_name = "DIR")]
    adapters: Vec<String>,
    /// File of problems (.jsonl, .json, .csv, .parquet), hub data set (its split `test`, or `data.split`), or `generator:division` for held-out problems of
    /// the built-in generator.
    #[arg(long, value_name = "FILE", required_unless_present = "preset")]
    data: Option<String>,
    /// A well-known test set: from the hub, or from a file of its rows with `--data`. It brings the data's format, a prompt (unless `--config` is given) and
    /// a length limit.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(PRESETS.map(|preset| preset.name)))]
    preset: Option<String>,
    /// Samples of each problem at each temperature above 0.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    samples: usize,
    /// The k of pass@k; several: `--k 4,8`. pass@1, the mean accuracy, is always there.
    #[arg(long, value_name = "K", value_delimiter = ',', default_values_t = [1], value_parser = at_least_one)]
    k: Vec<usize>,
    /// Sampling temperature; several: `--temperature 0.6,1` [default: 0.7, unless `--greedy` is given]. 0 is `--greedy`.
    #[arg(long = "temperature", value_name = "T", value_delimiter = ',', value_parser = temperature)]
    temperatures: Vec<f32>,
    /// Take the likeliest token each time: one completion a problem.
    #[arg(long)]
    greedy: bool,
    #[command(flatten)]
    draws: DrawArgs,
    /// Report by these fields of the problems, too: `level`, `subject`, or any other field of their rows; several: `--by level,subject`.
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    by: Vec<String>,
    /// Only the first N problems [default: all of a file, 500 of the generator].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Keep every completion as JSON lines; an evaluation that was interrupted goes on from there.
    #[arg(long, value_name = "FILE.jsonl")]
    completions: Option<PathBuf>,
    /// Write the results as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables as Markdown, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write every figure as a row of CSV, too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// The part of the bootstrap means that an interval holds.
    #[arg(long, value_name = "C", default_value_t = 0.95, value_parser = confidence)]
    confidence: f64,
    /// Number of bootstrap means of each interval.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_one)]
    resamples: usize,
    /// Configuration file whose `[prompt]`, `[data]` and `[reward]` are used, such as the run's.
    #[arg(long, value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Override an option, such as `data.format=math` (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// The adapter's name where there is none.
const NO_ADAPTER: &str = "none";

/// A number between 0 and 1.
fn confidence(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|c| 0.0 < *c && *c < 1.0).ok_or_else(|| "expected a number between 0 and 1, such as 0.95".to_owned())
}

/// Wrong usage that clap can't see.
fn usage(message: String) -> ! {
    crate::Cli::command().error(ErrorKind::ValueValidation, message).exit()
}

impl Eval {
    /// Samples, judges, reports.
    pub fn run(mut self) -> anyhow::Result<()> {
        let temperatures = self.temperatures();
        self.check(&temperatures);
        for path in [&self.json, &self.markdown, &self.csv].into_iter().flatten() {
            output::check_writable(path)?;
        }
        let preset = self.preset.as_deref().and_then(Preset::named);
        let config = self.config(preset)?;
        let source = self.data.clone().or_else(|| preset.map(|preset| preset.source.to_owned())).unwrap_or_default();
        let ProblemSet { problems, notices, .. } =
            load_evaluation_problems(&config.data, &GoldCheck::of(&config), &source, self.limit.unwrap_or(0))?;
        policy::tell(&notices);
        let fields: Vec<_> = self.by.iter().map(|field| Ok((field.clone(), subsets(&problems, field)?))).collect::<anyhow::Result<_>>()?;
        let arms = self.solve(&config, preset, &problems, &temperatures)?;
        let figures = Figures {
            data: source,
            preset: self.preset.clone(),
            problems: problems.len(),
            ks: self.k.clone(),
            bootstrap: Bootstrap { resamples: self.resamples, confidence: self.confidence, seed: self.draws.seed },
            fields,
            arms,
        };
        let files = [(&self.json, figures.json()), (&self.markdown, figures.markdown()), (&self.csv, figures.csv())];
        for (path, text) in files {
            if let Some(path) = path {
                output::write_atomically(path, |writer| Ok(writer.write_all(text.as_bytes())?))?;
            }
        }
        Ok(std::io::stdout().lock().write_all(figures.text().as_bytes())?)
    }

    /// The temperatures to sample at, each once, in the order in which they were given.
    fn temperatures(&self) -> Vec<f32> {
        let usual = (self.temperatures.is_empty() && !self.greedy).then_some(0.7);
        let mut all: Vec<f32> = Vec::new();
        for temperature in self.temperatures.iter().copied().chain(usual).chain(self.greedy.then_some(0.0)) {
            if !all.contains(&temperature) {
                all.push(temperature);
            }
        }
        all
    }

    /// Samples of each problem at a temperature: a greedy completion is always the same.
    fn samples_at(&self, temperature: f32) -> usize {
        if temperature == 0.0 { 1 } else { self.samples }
    }

    /// Ends the program where the arguments contradict each other.
    fn check(&mut self, temperatures: &[f32]) {
        self.k.sort_unstable();
        self.k.dedup();
        let most = temperatures.iter().map(|temperature| self.samples_at(*temperature)).max().unwrap_or(1);
        if let Some(k) = self.k.iter().find(|k| **k > most) {
            let greedy = if most < self.samples { " (greedy: one completion a problem)" } else { "" };
            usage(format!("--k {k} needs at least as many samples, found --samples {most}{greedy}"));
        }
        let again = self.models.iter().enumerate().find(|(place, model)| self.models[..*place].contains(model));
        if let Some((_, model)) = again {
            usage(format!("--model {model} is given twice"));
        }
        let again = self.adapters.iter().enumerate().find(|(place, adapter)| self.adapters[..*place].contains(adapter));
        if let Some((_, adapter)) = again {
            usage(format!("--adapter {adapter} is given twice"));
        }
        if self.models.is_empty() && self.adapters.iter().any(|adapter| adapter == NO_ADAPTER) {
            usage(format!("--adapter {NO_ADAPTER} needs --model: which model is without adapter"));
        }
        if !self.adapters.is_empty() && self.models.len() > 1 {
            usage(format!(
                "--adapter goes with one model, found {}; `expo-rl merge` makes a model of an adapter and its base",
                self.models.len()
            ));
        }
    }

    /// The preset's options, below those of the configuration and the overrides.
    fn config(&self, preset: Option<&Preset>) -> anyhow::Result<Config> {
        let prompt = preset.filter(|_| self.config.is_none()).map_or(&[][..], |preset| preset.prompt);
        let data = preset.map_or(&[][..], |preset| preset.data);
        let overrides: Vec<String> =
            data.iter().chain(prompt).map(|text| (*text).to_owned()).chain(self.overrides.iter().cloned()).collect();
        session::read_config(self.config.as_deref(), &overrides)
    }

    /// What each policy is called, its model (`None`: the one that its adapter names) and its adapter.
    fn policies(&self) -> Vec<(String, Option<&str>, Option<&Path>)> {
        if self.adapters.is_empty() {
            return self.models.iter().map(|model| (model.clone(), Some(model.as_str()), None)).collect();
        }
        let model = self.models.first().map(String::as_str);
        let mut policies = Vec::new();
        for adapter in &self.adapters {
            let adapter = (adapter != NO_ADAPTER).then(|| Path::new(adapter));
            let parts = [model.map(str::to_owned), adapter.map(|path| path.display().to_string())];
            policies.push((parts.into_iter().flatten().collect::<Vec<_>>().join(" + "), model, adapter));
        }
        policies
    }

    /// Every policy at every temperature.
    fn solve(&self, config: &Config, preset: Option<&Preset>, problems: &[Problem], temperatures: &[f32]) -> anyhow::Result<Vec<Arm>> {
        let mut kept = self.completions.as_deref().map(CompletionsFile::open).transpose()?;
        let mut arms = Vec::new();
        let policies = self.policies();
        for (name, model, adapter) in &policies {
            let LoadedModel { model, folder, .. } = policy::load_policy(*model, *adapter)?;
            let hash = if kept.is_some() { model.sha256() } else { String::new() };
            let stop = folder.eos_token_ids.clone();
            let folder = Arc::new(folder);
            let lm = CpuLm::new(model, config.train.max_tokens_per_micro_batch);
            for temperature in temperatures {
                let longest = preset.map_or(MAX_NEW_TOKENS, |preset| preset.max_new_tokens);
                let plan = Plan {
                    samples: self.samples_at(*temperature),
                    sampling: self.draws.params(*temperature, longest, stop.clone()),
                    seed: self.draws.seed,
                };
                let label = label(policies.len() > 1, name, temperatures.len() > 1, *temperature);
                let evaluation = Evaluation { config, problems, folder: folder.clone(), plan };
                let keep = kept.as_mut().map(|file| Keep::new(file, name, &hash));
                let solved = evaluation.run(&label, &lm, keep)?;
                arms.push(Arm { model: name.clone(), plan: evaluation.plan, solved });
            }
        }
        if let Some(kept) = kept {
            policy::tell(&kept.notices());
            kept.finish()?;
        }
        Ok(arms)
    }
}

/// What tells an arm from the others.
fn label(several_models: bool, model: &str, several_temperatures: bool, temperature: f32) -> String {
    let at = figures::sampling(temperature);
    match (several_models, several_temperatures) {
        (false, false) => "eval".to_owned(),
        (true, false) => model.to_owned(),
        (false, true) => at,
        (true, true) => format!("{model}, {at}"),
    }
}
