//! `expo-rl eval`: unbiased pass@k on problems with known answers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::CommandFactory;
use clap::error::ErrorKind;
use expo_core::config::Config;
use expo_core::data::generator::Split;
use expo_core::data::{ProblemSet, load_problems};
use expo_core::eval::{Solved, estimate};
use expo_lm::load::LoadedModel;
use serde_json::{Value, json};

use crate::output;
use crate::policy::{self, ModelArgs};
use crate::sampling::{SamplingArgs, at_least_one};
use crate::session::Evaluation;
use crate::table;

/// Measure pass@k: the chance that at least one of k samples of a problem is right (unbiased estimate, mean over problems).
///
/// Prompts, data format and answer comparison are those of a configuration: the defaults, or `--config` and `--set`.
#[derive(Debug, clap::Args)]
pub struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// File of problems (.jsonl, .json, .csv, .parquet), hub data set (its split `test`, or `data.split`), or `generator:division` for held-out problems of
    /// the built-in generator.
    #[arg(long, value_name = "FILE")]
    data: String,
    /// Samples of each problem.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    samples: usize,
    /// The k of pass@k; several: `--k 1,4`.
    #[arg(long, value_name = "K", value_delimiter = ',', default_values_t = [1], value_parser = at_least_one)]
    k: Vec<usize>,
    /// Report each level or subject apart.
    #[arg(long, value_enum, value_name = "FIELD")]
    by: Option<By>,
    /// Only the first N problems [default: all of a file, 500 of the generator].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Write the results as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Configuration file whose `[prompt]`, `[data]` and `[reward]` are used, such as the run's.
    #[arg(long, value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Override an option, such as `data.format=math` (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    /// By difficulty.
    Level,
    /// By subject.
    Subject,
}

/// Problems drawn from the generator without `--limit`.
const GENERATED: usize = 500;

impl Eval {
    /// Samples, counts, reports.
    pub fn run(mut self) -> anyhow::Result<()> {
        self.k.sort_unstable();
        self.k.dedup();
        if let Some(k) = self.k.iter().find(|k| **k > self.samples) {
            let message = format!("--k {k} needs at least as many samples, found --samples {}", self.samples);
            crate::Cli::command().error(ErrorKind::ValueValidation, message).exit();
        }
        self.json.as_deref().map_or(Ok(()), output::check_writable)?;
        let mut config = match &self.config {
            Some(path) => Config::load(path, &self.overrides)?,
            None => Config::from_toml("", "defaults", &self.overrides)?,
        };
        config.data.train = self.data.clone().into();
        config.data.limit = self.limit.unwrap_or(0);
        config.data.generate = self.limit.unwrap_or(GENERATED);
        let ProblemSet { problems, notices, .. } = load_problems(&config.data, Split::HeldOut)?;
        policy::tell(&notices);
        let LoadedModel { model, folder } = self.model.load()?;
        let evaluation = Evaluation {
            config: &config,
            problems: &problems,
            samples: self.samples,
            sampling: self.sampling.params(folder.eos_token_ids.clone()),
            folder: Arc::new(folder),
            seed: self.sampling.seed,
        };
        let solved = evaluation.run("eval", &model)?;
        std::io::stdout().lock().write_all(self.table(&solved).as_bytes())?;
        if let Some(path) = &self.json {
            let report = self.report(&solved);
            output::write_atomically(path, |writer| Ok(writeln!(writer, "{report:#}")?))?;
        }
        Ok(())
    }

    /// The groups to report, by name.
    fn groups<'a>(&self, solved: &'a [Solved]) -> BTreeMap<String, Vec<&'a Solved>> {
        let mut groups: BTreeMap<String, Vec<&Solved>> = BTreeMap::new();
        for one in solved {
            let name = match self.by {
                None => continue,
                Some(By::Level) => one.level.map(|level| level.to_string()),
                Some(By::Subject) => one.subject.clone(),
            };
            groups.entry(name.unwrap_or_else(|| "-".to_owned())).or_default().push(one);
        }
        groups
    }

    fn table(&self, solved: &[Solved]) -> String {
        let by = match self.by {
            Some(By::Level) => "level",
            Some(By::Subject) => "subject",
            None => "",
        };
        let mut head = vec![by.to_owned(), "problems".to_owned()];
        head.extend(self.k.iter().map(|k| format!("pass@{k}")));
        head.push("truncated".to_owned());
        let row = |name: &str, group: &[&Solved]| {
            let mut cells = vec![name.to_owned(), group.len().to_string()];
            for k in &self.k {
                let estimate = estimate(group.iter().copied(), *k);
                cells.push(format!("{:.3} ± {:.3}", estimate.mean, estimate.standard_error));
            }
            let (truncated, samples): (usize, usize) = (group.iter().map(|s| s.truncated).sum(), group.iter().map(|s| s.samples).sum());
            cells.push(format!("{:.1}%", 100.0 * truncated as f64 / samples as f64));
            cells
        };
        let mut rows: Vec<_> = self.groups(solved).iter().map(|(name, group)| row(name, group)).collect();
        rows.push(row("all", &solved.iter().collect::<Vec<_>>()));
        table::render(&head, &rows)
    }

    fn report(&self, solved: &[Solved]) -> Value {
        let summary = |group: &[&Solved]| {
            let by_k = |value: fn(expo_core::eval::Estimate) -> f64| -> BTreeMap<String, f64> {
                self.k.iter().map(|k| (k.to_string(), value(estimate(group.iter().copied(), *k)))).collect()
            };
            json!({ "problems": group.len(), "pass": by_k(|e| e.mean), "standard_error": by_k(|e| e.standard_error) })
        };
        let mut report = json!({ "model": self.model.model, "adapter": self.model.adapter, "data": self.data, "samples": self.samples, "sampling": self.sampling.to_json() });
        let fields = report.as_object_mut().expect("an object");
        fields.extend(summary(&solved.iter().collect::<Vec<_>>()).as_object().expect("an object").clone());
        let (list, key) = match self.by {
            None => return report,
            Some(By::Level) => ("levels", "level"),
            Some(By::Subject) => ("subjects", "subject"),
        };
        let groups = self.groups(solved).into_iter().map(|(name, group)| {
            let mut entry = json!({ key: name.parse::<u32>().map_or_else(|_| Value::from(name), Value::from) });
            entry.as_object_mut().expect("an object").extend(summary(&group).as_object().expect("an object").clone());
            entry
        });
        fields.insert(list.to_owned(), groups.collect());
        report
    }
}
