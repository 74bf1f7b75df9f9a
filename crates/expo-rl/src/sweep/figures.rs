//! What a finished run measured, read from its folder.

use std::collections::BTreeMap;
use std::path::Path;

use expo_core::analysis::runs;
use serde_json::Value;

use super::folder::RunFolder;
use super::plan::{Plan, Run, Task};

use crate::output::tell;

/// The measurements of one run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By evaluation.
    pub evals: BTreeMap<usize, Vec<PassAtK>>,
    /// The run, where it is trained.
    pub trained: Option<runs::Run>,
}

/// One figure of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct PassAtK {
    /// Field and value that it is reported by, as in `level 5`; `None`: all problems.
    pub group: Option<String>,
    /// The k.
    pub k: usize,
    /// pass@k.
    pub value: f64,
}

impl Figures {
    /// Reads what `run` has finished in `out`, and tells what was wrong with it.
    pub fn read(plan: &Plan, out: &Path, run: &Run) -> Self {
        let folder = RunFolder::new(out, run);
        let mut figures = Self::default();
        for task in plan.tasks(run) {
            match task {
                Task::Train if folder.is_done(plan, run, &task) => {
                    let trained = runs::Run::read(folder.path(), run.folder.display().to_string());
                    trained.notices.iter().for_each(|notice| tell!("note: {}: {notice}", trained.name));
                    figures.trained = Some(trained);
                }
                Task::Train => {}
                Task::Evaluate(eval) => {
                    if let Some(report) = folder.evaluation(plan, run, eval) {
                        figures.evals.insert(eval, pass_at_k(&report, &plan.evals[eval].k));
                    }
                }
            }
        }
        figures
    }

    /// A metric: pairs of step and value, steps ascending; none where it was not measured.
    pub fn points(&self, metric: &str) -> &[(u64, f64)] {
        self.trained.as_ref().and_then(|run| run.metric(metric)).map_or(&[], Vec::as_slice)
    }

    /// Wall time of training in seconds.
    pub fn seconds(&self) -> Option<f64> {
        self.points(runs::ELAPSED).last().map(|(_, seconds)| *seconds)
    }
}

/// The figures of a report of `expo-rl eval --json`: each group's, then all problems'.
fn pass_at_k(report: &Value, ks: &[usize]) -> Vec<PassAtK> {
    let of_model = &report["evaluations"][0];
    let groups = of_model["groups"].as_array().into_iter().flatten();
    let name = |group: &Value| Some(format!("{} {}", group["field"].as_str()?, group["value"].as_str()?));
    let parts = groups.map(|group| (name(group), group)).chain([(None, of_model)]);
    let mut found = Vec::new();
    for (group, part) in parts {
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
        let figures = |one: f64, four: f64| json!({"pass@1": {"mean": one}, "pass@4": {"mean": four}});
        let group = |field: &str, value: &str, one: f64, four: f64| {
            let mut object = figures(one, four);
            (object["field"], object["value"]) = (field.into(), value.into());
            object
        };
        let mut all = figures(0.25, 0.5);
        all["groups"] = json!([group("level", "1", 0.5, 1.0), group("level", "-", 0.0, 0.0), group("subject", "1", 0.0, 0.25)]);
        let report = json!({"evaluations": [all]});
        let found: Vec<_> = pass_at_k(&report, &[4]).into_iter().map(|one| (one.group, one.value)).collect();
        let of = |group: &str, value: f64| (Some(group.to_owned()), value);
        assert_eq!(found, [of("level 1", 1.0), of("level -", 0.0), of("subject 1", 0.25), (None, 0.5)]);
    }
}
