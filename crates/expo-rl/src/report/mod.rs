//! The report of runs: one HTML file that needs nothing beside it.
//!
//! Tables are written here, curves and the browser of completions by the script in the page from the data in it. Everything that comes from a run is text: the
//! template escapes, the data stand in a script element that can't be ended from within, and the script sets text only.

mod data;
mod levels;
mod tables;

use std::path::PathBuf;

use expo_core::analysis::runs::{Arm, Completions, Run, arms};
use expo_core::observe::Phase;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

/// What a report is made of.
pub struct Report {
    runs: Vec<Run>,
    arms: Vec<Arm>,
    completions: Vec<Completions>,
    /// Folders without a run in them.
    without: Vec<PathBuf>,
}

/// An arm as the page names it.
#[derive(Serialize)]
struct ArmView<'a> {
    label: &'a str,
    /// Number of its colour.
    colour: usize,
    /// Its runs' names.
    runs: Vec<&'a str>,
}

/// A run's configuration as text.
#[derive(Serialize)]
struct RunView<'a> {
    name: &'a str,
    folder: String,
    info: String,
}

/// Number of colours in the page's style.
const COLOURS: usize = 10;

impl Report {
    /// Of `runs`, with about `most` completions of each.
    pub fn new(runs: Vec<Run>, without: Vec<PathBuf>, most: usize) -> Self {
        let read = |run: &Run| {
            Completions::read(&run.folder, most)
                .unwrap_or_else(|error| Completions { notices: vec![error.to_string()], ..Completions::default() })
        };
        Self { arms: arms(&runs), completions: runs.iter().map(read).collect(), runs, without }
    }

    /// What was wrong with the runs, each with the run's name.
    pub fn notices(&self) -> Vec<String> {
        let without = self.without.iter().map(|folder| format!("{}: no run in it", folder.display()));
        let of_runs = self.runs.iter().zip(&self.completions).flat_map(|(run, completions)| {
            run.notices.iter().chain(&completions.notices).map(move |notice| format!("{}: {notice}", run.name))
        });
        without.chain(of_runs).chain(tables::uneven_metrics(&self.runs, &self.arms)).collect()
    }

    /// Whether a run of it has not ended.
    pub fn goes_on(&self) -> bool {
        self.runs.iter().any(|run| run.info.get("finished").and_then(serde_json::Value::as_bool) == Some(false))
    }

    /// The page; with `reload` it loads itself anew every so many seconds.
    pub fn html(&self, title: &str, reload: Option<u64>) -> anyhow::Result<String> {
        let mut environment = Environment::new();
        // By its name's ending the template escapes what it shows.
        environment.add_template("report.html", include_str!("template.html"))?;
        let arms: Vec<ArmView> = (self.arms.iter().enumerate())
            .map(|(place, arm)| ArmView {
                label: &arm.label,
                colour: place % COLOURS,
                runs: arm.runs.iter().map(|&run| self.runs[run].name.as_str()).collect(),
            })
            .collect();
        let runs: Vec<RunView> = (self.runs.iter())
            .map(|run| RunView {
                name: &run.name,
                folder: run.folder.display().to_string(),
                info: format!("{:#}", serde_json::Value::Object(run.info.clone())),
            })
            .collect();
        let embedded = embed(&data::of(&self.runs, &self.arms, &self.completions));
        Ok(environment.get_template("report.html")?.render(minijinja::context! {
            title,
            reload_seconds => reload,
            written => clock(),
            version => env!("CARGO_PKG_VERSION"),
            notices => Serde(self.notices()),
            arms => Serde(&arms),
            runs => Serde(&runs),
            summary => Serde(tables::summary(&self.runs, &self.arms)),
            levels => Serde(levels::tables(&self.runs, &self.arms, &self.completions)),
            phases => Serde(tables::phases(&self.runs, &self.arms)),
            phase_names => Serde(Phase::ALL.map(Phase::name)),
            timings => Serde(tables::timings(&self.runs, &self.arms)),
            differences => Serde(tables::differences(&self.runs, &self.arms)),
            style => Value::from_safe_string(include_str!("style.css").to_owned()),
            script => Value::from_safe_string(include_str!("report.js").to_owned()),
            data => Value::from_safe_string(embedded),
        })?)
    }
}

/// The time of day, UTC.
fn clock() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}", now / 3600 % 24, now / 60 % 60, now % 60)
}

/// JSON that may stand in a script element: no `<`, so nothing in it ends the element or begins a comment.
fn embed(data: &serde_json::Value) -> String {
    // In JSON `<` only occurs within strings, where an escape means the same.
    data.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A run's folder with hostile text everywhere.
    fn hostile(folder: &std::path::Path) {
        let evil = "</script><script>alert(1)</script><!-- & \" '";
        let info = json!({"recipe": evil, "config": {"train": {"recipe": evil, "seed": 0}, evil: {"x": evil}}});
        std::fs::write(folder.join("run.json"), info.to_string()).unwrap();
        std::fs::write(folder.join("metrics.jsonl"), format!("{}\n", json!({"step": 1, evil: 1.0, "reward/mean": 0.5, "time/step": 1})))
            .unwrap();
        let row = json!({"step": 1, "kind": "rollout", "problem": evil, "question": evil, "answer": evil, "text": evil, "level": 1, "correct": true});
        std::fs::write(folder.join("completions.jsonl"), format!("{row}\n")).unwrap();
    }

    #[test]
    fn nothing_from_a_run_is_markup() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("<img src=x onerror=alert(1)>");
        std::fs::create_dir(&run).unwrap();
        hostile(&run);
        let (runs, without) = expo_core::analysis::runs::read(&[run]).unwrap();
        let report = Report::new(runs, without, 10);
        let html = report.html("<b>title", None).unwrap();
        // The page's own three elements: data, script, and none of the run's.
        assert_eq!((html.matches("<script").count(), html.matches("</script>").count()), (2, 2));
        assert!(!html.contains("alert(1)</") && !html.contains("<img") && !html.contains("<b>title"));
        let data = html.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["completions"]["rows"][0]["text"], "</script><script>alert(1)</script><!-- & \" '", "as it was");
        for outside in ["http://", "https://", "src=\"", "@import", "url("] {
            assert!(!html.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
        }
    }

    #[test]
    fn an_empty_run_is_told_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), "").unwrap();
        let (runs, without) = expo_core::analysis::runs::read(&[folder.path().to_owned()]).unwrap();
        let report = Report::new(runs, without, 10);
        assert!(report.notices().iter().any(|notice| notice.contains("no step in it yet")), "{:?}", report.notices());
        assert!(report.html("t", None).unwrap().contains("no step in it yet"));
    }
}
