//! A run's folder within a sweep's: what was done in it, and whether it is this sweep's at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::plan::{Plan, Run, Task, file_name};
use crate::output;

/// Marks a folder as a sweep's run and says which; written before anything else is there.
const MARKER: &str = "sweep-run.json";
/// What the child processes print.
pub const LOG: &str = "sweep.log";

/// The folder of one run.
pub struct RunFolder {
    path: PathBuf,
}

/// What stands in a run's folder before the sweep begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none.
    New,
    /// Training was begun and has not come to its end.
    Unfinished,
    /// It is trained (or need not be); evaluations may be missing.
    Trained,
}

impl RunFolder {
    /// The folder of `run` in `out`, which need not exist.
    pub fn new(out: &Path, run: &Run) -> Self {
        Self { path: out.join(&run.folder) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks into it. Errors: something is there that this sweep did not make, or made of another configuration.
    pub fn state(&self, plan: &Plan, run: &Run) -> anyhow::Result<State> {
        if !self.path.exists() {
            return Ok(State::New);
        }
        let path = self.path.join(MARKER);
        let Ok(text) = fs::read(&path) else {
            if self.is_only_begun() {
                return Ok(State::New);
            }
            bail!("{}: exists, but is not a sweep's run; choose another --out or move it away", self.path.display());
        };
        let found: Value = serde_json::from_slice(&text).with_context(|| format!("{}: not JSON", path.display()))?;
        if let Some(difference) = difference("", &found, &self.marker(plan, run)) {
            bail!("{}: was begun with {difference}; choose another --out, or remove this folder", self.path.display());
        }
        Ok(if !plan.arms[run.arm].trains || self.is_trained() { State::Trained } else { State::Unfinished })
    }

    /// Whether nothing is in it but what [`Self::begin`] leaves where it is ended before the marker is written.
    fn is_only_begun(&self) -> bool {
        let names =
            |folder: &Path| -> Vec<_> { fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect() };
        let of_marker = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&format!("{MARKER}."));
        names(&self.path).iter().all(|name| name == "eval" || of_marker(name)) && names(&self.path.join("eval")).is_empty()
    }

    /// Makes the folder ready for its first task. What is in it stays: `expo-rl train` goes on from there.
    pub fn begin(&self, plan: &Plan, run: &Run) -> anyhow::Result<()> {
        let eval = self.path.join("eval");
        fs::create_dir_all(&eval).with_context(|| format!("{}: cannot create", eval.display()))?;
        let marker = self.marker(plan, run);
        output::write_atomically(&self.path.join(MARKER), |writer| Ok(writeln!(writer, "{marker:#}")?))
    }

    /// Whether training has come to its end.
    fn is_trained(&self) -> bool {
        let run: Option<Value> = fs::read(self.path.join("run.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        run.is_some_and(|run| run["finished"] == true)
    }

    fn marker(&self, plan: &Plan, run: &Run) -> Value {
        json!({"arm": plan.arms[run.arm].name, "trains": plan.arms[run.arm].trains, "seed": run.seed, "config": run.config})
    }

    /// Whether a task's result is there, and is of the same task.
    pub fn is_done(&self, plan: &Plan, run: &Run, task: &Task) -> bool {
        match task {
            Task::Train => self.is_trained(),
            Task::Evaluate(eval) => self.evaluation(plan, run, *eval).is_some(),
        }
    }

    /// The report of a finished evaluation, as `expo-rl eval --json` writes it; `None` where there is none, or one of other arguments.
    pub fn evaluation(&self, plan: &Plan, run: &Run, eval: usize) -> Option<Value> {
        let mut kept: Value = serde_json::from_slice(&fs::read(self.evaluation_file(plan, eval)).ok()?).ok()?;
        let same = kept["arguments"] == json!(plan.eval_arguments(run, &plan.evals[eval]));
        same.then(|| kept["report"].take())
    }

    /// Takes over the report that `expo-rl eval` wrote into [`RunFolder::report_file`].
    pub fn keep_evaluation(&self, plan: &Plan, run: &Run, eval: usize) -> anyhow::Result<()> {
        let file = self.report_file();
        let read = || -> anyhow::Result<Value> { Ok(serde_json::from_slice(&fs::read(&file)?)?) };
        let report = read().with_context(|| format!("{}: no report of the evaluation", file.display()))?;
        let kept = json!({"arguments": plan.eval_arguments(run, &plan.evals[eval]), "report": report});
        output::write_atomically(&self.evaluation_file(plan, eval), |writer| Ok(writeln!(writer, "{kept:#}")?))?;
        fs::remove_file(&file).with_context(|| format!("{}: cannot remove", file.display()))
    }

    /// Where `expo-rl eval` writes its report.
    pub fn report_file(&self) -> PathBuf {
        self.path.join("eval/report.json.tmp")
    }

    fn evaluation_file(&self, plan: &Plan, eval: usize) -> PathBuf {
        self.path.join("eval").join(format!("{}.json", file_name(&plan.evals[eval].name)))
    }

    /// The last step in `metrics.jsonl`, for progress: whatever can't be read counts as no step.
    pub fn last_step(&self) -> usize {
        let text = fs::read_to_string(self.path.join("metrics.jsonl")).unwrap_or_default();
        let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
        text.lines().rev().find_map(step).unwrap_or(0) as usize
    }

    /// The last words of a child process.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.path.join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        // Before them stands the command, which says nothing of what went wrong.
        let lines = || text.lines().rev().map(str::trim).take_while(|line| !line.starts_with("$ ")).filter(|line| !line.is_empty());
        // The first line of an error says more than its last.
        let words = lines().find(|line| line.starts_with("error: ")).or_else(|| lines().next()).unwrap_or("it printed nothing");
        words.strip_prefix("error: ").unwrap_or(words).to_owned()
    }
}

/// The first place at which what was found differs from what is expected, in words.
fn difference(key: &str, found: &Value, expected: &Value) -> Option<String> {
    if found == expected {
        return None;
    }
    if let (Value::Object(found), Value::Object(expected)) = (found, expected) {
        let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
        let null = Value::Null;
        return names
            .map(|name| {
                let key = if key.is_empty() || key == "config" { name.clone() } else { format!("{key}.{name}") };
                difference(&key, found.get(name).unwrap_or(&null), expected.get(name).unwrap_or(&null))
            })
            .find_map(|one| one);
    }
    Some(format!("{key} = {found}, now {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_last_command_s() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder { path: folder.path().to_owned() };
        let last_words = |log: &str| {
            fs::write(folder.path().join(LOG), log).unwrap();
            run.last_words()
        };
        assert_eq!(last_words("$ expo-rl train\nerror: old\n$ expo-rl eval\nnote: x\nerror: no such file\n  in c.toml\n"), "no such file");
        assert_eq!(last_words("$ expo-rl train\nnote: x\nkilled\n"), "killed");
        assert_eq!(last_words("$ expo-rl train\nerror: old\n$ expo-rl eval\n"), "it printed nothing");
    }

    #[test]
    fn differences_are_told_by_option() {
        let [a, b] = [0.5, 1.0].map(|beta| json!({"seed": 1, "config": {"exp": {"beta": beta, "every": 1}}}));
        assert_eq!(difference("", &a, &b).unwrap(), "exp.beta = 0.5, now 1.0");
        assert_eq!(difference("", &a, &a), None);
        assert_eq!(difference("", &json!({"config": {"x": {"y": 1}}}), &json!({"config": {}})).unwrap(), "x = {\"y\":1}, now null");
    }
}
