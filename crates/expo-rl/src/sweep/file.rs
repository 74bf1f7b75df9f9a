//! The file of a sweep as the user wrote it (docs/sweeps.md).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use toml::{Table, Value};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Configuration of the arms that name none, relative to this file.
    pub base: Option<PathBuf>,
    /// Seeds of every arm that has none of its own.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Options of every arm.
    #[serde(default)]
    pub set: Table,
    /// Options with a list of values each; every combination of values is an arm.
    #[serde(default)]
    pub axes: Table,
    /// The arms; none: one, of `base`.
    #[serde(default, rename = "arm")]
    pub arms: Vec<ArmEntry>,
    /// What is done with the trained models.
    #[serde(default, rename = "eval")]
    pub evals: Vec<EvalEntry>,
    /// What is reported of `metrics.jsonl`.
    #[serde(default)]
    pub report: ReportEntry,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// `[[arm]]`: runs that differ in their seed alone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmEntry {
    /// What it is called in tables.
    pub name: String,
    /// Its configuration, relative to the sweep's file, in place of `base`.
    pub config: Option<PathBuf>,
    /// Its options.
    #[serde(default)]
    pub set: Table,
    /// Its seeds.
    pub seeds: Option<Vec<u64>>,
    /// `false`: the start policy as it is, to be evaluated.
    #[serde(default = "yes")]
    pub train: bool,
}

fn yes() -> bool {
    true
}

/// `[[eval]]`: an evaluation of every run's model by `expo-rl eval`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalEntry {
    /// What it is called in tables and files.
    pub name: String,
    /// As `eval --data`.
    pub data: String,
    /// As `eval --samples`.
    pub samples: usize,
    /// As `eval --k`.
    pub k: Vec<usize>,
    /// As `eval --by`.
    pub by: Option<String>,
    /// As `eval --limit`.
    pub limit: Option<usize>,
    /// As `eval --temperature`.
    #[serde(default = "evaluation_temperature")]
    pub temperature: f64,
    /// As `eval --max-new-tokens`.
    pub max_new_tokens: Option<usize>,
    /// As `eval --seed`: the same for all runs, so that they are compared on the same draws.
    #[serde(default)]
    pub seed: u64,
    /// Options beside those of the run, such as other levels.
    #[serde(default)]
    pub set: Table,
    /// The arms to evaluate, by the names of `[[arm]]`; none: all.
    #[serde(default)]
    pub arms: Vec<String>,
}

/// The paper's (arXiv 2507.02834) evaluation temperature, and the default of `expo-rl eval`.
fn evaluation_temperature() -> f64 {
    0.7
}

/// `[report]`: names of metrics (docs/metrics.md).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEntry {
    /// Metrics for a table: their mean over the last tenth of the steps.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Metrics for a table of their own each, a row for every step at which they were measured: for those that are not measured at every step.
    #[serde(default)]
    pub against_step: Vec<String>,
    /// Metrics for `curves.csv`: every step.
    #[serde(default)]
    pub curves: Vec<String>,
}

impl SweepFile {
    /// Reads the file. Errors: it can't be read, or is not of this form (with its line).
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, name: &str) -> anyhow::Result<Self> {
        toml::from_str(text).map_err(|e: toml::de::Error| {
            let line_of = |offset: usize| text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
            let line = e.span().map_or_else(String::new, |span| format!(":{}", line_of(span.start)));
            anyhow::anyhow!("{name}{line}: {}; docs/sweeps.md says what a sweep file holds", e.message().replace('\n', ", "))
        })
    }
}

/// The options of a table, `section.option` each with its value; nested tables are what TOML makes of dots.
pub fn options(table: &Table) -> anyhow::Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) if inner.is_empty() => bail!("{name}: an empty table; expected section.option = value"),
            Value::Table(inner) => found.extend(options(inner)?.into_iter().map(|(key, value)| (format!("{name}.{key}"), value))),
            value => found.push((name.clone(), value.clone())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_are_options() {
        let text = "base = \"b.toml\"\nseeds = [3, 4]\n[set]\ntrain.steps = 5\nreward.external.own.weight = 0.5\n[axes]\nexp.beta = [0, 0.5]\n\
                    [[arm]]\nname = \"a\"\nset.train.recipe = \"grpo\"\n[[eval]]\nname = \"e\"\ndata = \"d\"\nsamples = 4\nk = [1, 4]\n";
        let file = SweepFile::parse(text, "s.toml").unwrap();
        let found = options(&file.set).unwrap();
        assert_eq!(found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["reward.external.own.weight", "train.steps"]);
        assert_eq!(options(&file.axes).unwrap()[0].1.as_array().map(Vec::len), Some(2));
        assert_eq!((file.seeds, file.arms[0].train, file.evals[0].temperature), (vec![3, 4], true, 0.7));
        assert_eq!(options(&file.arms[0].set).unwrap(), [("train.recipe".to_owned(), Value::from("grpo"))]);
        assert!(options(&toml::from_str("[a.b]").unwrap()).is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, part) in [
            ("base = 3", "s.toml:1: invalid type"),
            ("seeds = [1]\n[[arm]]\nname = \"a\"\nsteps = 3\n", "s.toml:4: unknown field `steps`"),
            ("seeds = [1]\n\n[[eval]]\nname = \"e\"\n", "s.toml:3: missing field"),
            ("seeds = [-1]", "s.toml:1: "),
            ("a = [", "s.toml:1: "),
        ] {
            let message = SweepFile::parse(text, "s.toml").unwrap_err().to_string();
            assert!(message.starts_with(part) && message.lines().count() == 1, "{message}");
        }
    }
}
