//! One run, as it lies in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::lines;
use crate::error::{Error, Result};
use crate::logs::{METRICS_FILE, RUN_FILE};
use crate::metrics::{Name, phase::Phase};

/// The name among a run's metrics of the seconds since training began.
pub const ELAPSED: &str = "elapsed";

/// One metric of a run: pairs of step and value, steps ascending.
pub type Points = Vec<(u64, f64)>;

/// One run, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is called beside others: its path without what all have in common.
    pub name: String,
    /// `run.json`; empty where it can't be read.
    pub info: Map<String, Value>,
    /// Its metrics in the order of their first appearance; and, where steps were timed, [`ELAPSED`]: seconds since the start of training.
    pub metrics: Vec<(String, Points)>,
    /// Number of steps in `metrics.jsonl`.
    pub steps: usize,
    /// What a reader should know of it: what is missing, what was left out.
    pub notices: Vec<String>,
}

impl Run {
    /// Reads `run.json` and `metrics.jsonl` in `folder`.
    pub fn read(folder: &Path, name: String) -> Self {
        let mut run = Self { folder: folder.to_owned(), name, ..Self::default() };
        match read_info(&folder.join(RUN_FILE)) {
            Ok(info) => run.info = info,
            Err(error) => run.notices.push(format!("run.json: {error}; its configuration is not known")),
        }
        if run.info.get("finished").and_then(Value::as_bool) == Some(false) {
            run.notices.push("it has not ended: still going, or stopped".to_owned());
        }
        if let Err(error) = run.read_metrics() {
            run.notices.push(format!("metrics.jsonl: {}", reason(&error)));
        } else if run.steps == 0 {
            run.notices.push("metrics.jsonl: no step in it yet".to_owned());
        }
        run
    }

    fn read_metrics(&mut self) -> Result<()> {
        let mut rows: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
        let mut repeated = 0;
        self.notices.extend(lines::each_object(&self.folder.join(METRICS_FILE), |mut row| {
            let step = row.remove("step").as_ref().and_then(Value::as_u64);
            // The later row counts: a run that was resumed repeats the steps after its checkpoint.
            repeated += usize::from(step.is_some_and(|step| rows.insert(step, row).is_some()));
            step.is_some()
        })?);
        if repeated > 0 {
            self.notices.push(format!("metrics.jsonl: {repeated} steps stand there more than once; the last row of each counts"));
        }
        // Step 0 is what was measured before the first.
        self.steps = rows.range(1..).count();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut elapsed = (0.0, Points::new());
        for (step, row) in rows {
            let seconds = |name: Name| row.get(&*name.as_str()).and_then(Value::as_f64);
            // A checkpoint is written between two steps, and its time stands in the later one's row.
            elapsed.0 += seconds(Name::Time(Phase::Save)).unwrap_or(0.0);
            if let Some(seconds) = seconds(Name::TimeStep) {
                elapsed.0 += seconds;
                elapsed.1.push((step, elapsed.0));
            }
            for (name, value) in row {
                // A value that is not a number was not measured, or not finite.
                let Some(value) = value.as_f64() else { continue };
                let place = *places.entry(name).or_insert_with_key(|name| {
                    self.metrics.push((name.clone(), Points::new()));
                    self.metrics.len() - 1
                });
                self.metrics[place].1.push((step, value));
            }
        }
        if !elapsed.1.is_empty() {
            self.metrics.push((ELAPSED.to_owned(), elapsed.1));
        }
        Ok(())
    }

    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&Points> {
        self.metrics.iter().find(|(metric, _)| metric == name).map(|(_, points)| points)
    }

    /// The resolved configuration.
    pub fn config(&self) -> Option<&Value> {
        self.info.get("config")
    }

    /// Whether it has no step.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }
}

/// An error without the path, where the text before names the file already.
fn reason(error: &Error) -> String {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => "not there".to_owned(),
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn read_info(path: &Path) -> Result<Map<String, Value>, String> {
    let text = std::fs::read(path).map_err(|e| reason(&Error::io("read", path, e)))?;
    serde_json::from_slice(&text).map_err(|e| format!("not a JSON object ({e})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_as_far_as_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        let read = || Run::read(folder.path(), "r".into());
        let empty = read();
        assert!(empty.is_empty() && empty.notices.len() == 2, "{:?}", empty.notices);
        assert_eq!(empty.notices[1], "metrics.jsonl: not there");
        write("run.json", "{\"recipe\": \"grpo\", \"config\": {\"train\": {\"seed\": 3}}}");
        write(
            "metrics.jsonl",
            "{\"step\": 1, \"loss\": 2.0, \"time/step\": 1.5}\n{\"step\": 2, \"loss\": 9, \"time/step\": 2}\n\
             {\"step\": 2, \"loss\": null, \"kl\": 0.25, \"time/step\": 0.5, \"time/save\": 1.0}\n{\"step\": 3, \"lo",
        );
        let run = read();
        assert_eq!((run.steps, run.metric("loss"), run.metric("kl")), (2, Some(&vec![(1, 2.0)]), Some(&vec![(2, 0.25)])));
        assert_eq!(run.metric(ELAPSED), Some(&vec![(1, 1.5), (2, 3.0)]), "the checkpoint lies between");
        assert_eq!(run.config().unwrap()["train"]["seed"], 3);
        assert!(
            run.notices.len() == 2 && run.notices[1].starts_with("metrics.jsonl: 1 steps stand there more than once"),
            "{:?}",
            run.notices
        );
        write("run.json", "{\"finished\": false}");
        assert_eq!(read().notices[0], "it has not ended: still going, or stopped");
        write("run.json", "{\"recipe\"");
        assert!(read().notices[0].starts_with("run.json: not a JSON object"));
    }
}
