//! What a finished run measured, read from its folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::folder::RunFolder;
use super::plan::{Plan, Run, Task};

/// The measurements of one run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By evaluation and step.
    pub evals: BTreeMap<(usize, usize), Vec<PassAtK>>,
    /// Those metrics that the sweep reports: pairs of step and value.
    pub metrics: BTreeMap<String, Vec<(usize, f64)>>,
    /// Wall time of training in seconds.
    pub seconds: Option<f64>,
}

/// One figure of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct PassAtK {
    /// The value of the field that it is reported by; `None`: all problems.
    pub group: Option<String>,
    /// The k.
    pub k: usize,
    /// pass@k.
    pub value: f64,
}

impl Figures {
    /// Reads what `run` has finished in `out`.
    pub fn read(plan: &Plan, out: &Path, run: &Run) -> anyhow::Result<Self> {
        let folder = RunFolder::new(out, run);
        let mut figures = Self::default();
        for task in plan.tasks(run) {
            match task {
                Task::Train if folder.is_done(plan, run, &task) => figures.read_metrics(plan, &folder.path().join("metrics.jsonl"))?,
                Task::Train => {}
                Task::Evaluate { eval, step } => {
                    if let Some(report) = folder.evaluation(plan, run, eval, step) {
                        figures.evals.insert((eval, step), pass_at_k(&report, &plan.evals[eval].k));
                    }
                }
            }
        }
        Ok(figures)
    }

    fn read_metrics(&mut self, plan: &Plan, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))?;
        let mut seconds = 0.0;
        for (number, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).with_context(|| format!("{}:{}: not JSON", path.display(), number + 1))?;
            let step = row["step"].as_u64();
            ensure!(step.is_some(), "{}:{}: no step in this row", path.display(), number + 1);
            seconds += row["time/step"].as_f64().unwrap_or(0.0);
            let report = &plan.report;
            for name in report.metrics.iter().chain(&report.against_step).chain(&report.curves) {
                if let Some(value) = row[name.as_str()].as_f64() {
                    let points = self.metrics.entry(name.clone()).or_default();
                    // A metric that is named in several lists is one.
                    if points.last().is_none_or(|(last, _)| Some(*last as u64) != step) {
                        points.push((step.unwrap_or_default() as usize, value));
                    }
                }
            }
        }
        self.seconds = Some(seconds);
        Ok(())
    }

    /// The mean of a metric over the last tenth of `steps`; where it was not measured there, its last value.
    pub fn at_the_end(&self, name: &str, steps: usize) -> Option<f64> {
        let points = self.metrics.get(name)?;
        let last: Vec<f64> = points.iter().filter(|(step, _)| 10 * step > 9 * steps).map(|(_, value)| *value).collect();
        if last.is_empty() { points.last().map(|(_, value)| *value) } else { Some(last.iter().sum::<f64>() / last.len() as f64) }
    }
}

/// The figures of a report of `expo-rl eval --json` on one model: each group's, then all problems'.
fn pass_at_k(report: &Value, ks: &[usize]) -> Vec<PassAtK> {
    let all = &report["evaluations"][0];
    let groups = all["groups"].as_array().into_iter().flatten().map(|group| (group["value"].as_str().map(str::to_owned), group));
    let mut found = Vec::new();
    for (group, part) in groups.chain([(None, all)]) {
        for k in ks {
            if let Some(value) = part[format!("pass@{k}")]["mean"].as_f64() {
                found.push(PassAtK { group: group.clone(), k: *k, value });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reports_are_read_by_group() {
        let part = |one: f64, four: f64| json!({"pass@1": {"mean": one}, "pass@4": {"mean": four}});
        let group = |value: &str, one: f64, four: f64| {
            let mut group = part(one, four);
            group["value"] = value.into();
            group
        };
        let mut all = part(0.25, 0.5);
        all["groups"] = json!([group("1", 0.5, 1.0), group("-", 0.0, 0.0)]);
        let report = json!({"evaluations": [all]});
        let found: Vec<_> = pass_at_k(&report, &[4]).into_iter().map(|one| (one.group, one.value)).collect();
        assert_eq!(found, [(Some("1".to_owned()), 1.0), (Some("-".to_owned()), 0.0), (None, 0.5)]);
    }

    #[test]
    fn the_end_is_the_last_tenth() {
        let figures =
            |points: &[(usize, f64)]| Figures { metrics: BTreeMap::from([("m".to_owned(), points.to_vec())]), ..Figures::default() };
        let all: Vec<_> = (1..=20).map(|step| (step, step as f64)).collect();
        assert_eq!(figures(&all).at_the_end("m", 20), Some(19.5), "steps 19 and 20");
        assert_eq!(figures(&[(1, 3.0), (11, 4.0)]).at_the_end("m", 20), Some(4.0), "every tenth step");
        assert_eq!(figures(&[]).at_the_end("m", 20), None);
        assert_eq!(figures(&all).at_the_end("n", 20), None);
    }
}
