//! The completions of an evaluation as JSON lines: for inspection, and to go on from where one was interrupted.
//!
//! One row a problem and way to sample it. Its `key` is a hash of everything that its samples depend on: the weights, the prompt's tokens, the sampling
//! parameters, the seed and the problem's place. A row is therefore used again only where sampling would give the same; rows of other models or
//! settings stay in the file beside it.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use expo_lm::durable::{self, File};
use expo_lm::generate::SamplingParams;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::solved::{Draft, Plan, Solved};
use crate::data::Problem;
use crate::error::{Error, Result};

/// How every row begins: what is left of one that was cut off begins so, too.
const START: &[u8] = b"{\"key\":\"";

/// The file, and what is in it.
pub struct CompletionsFile {
    path: PathBuf,
    file: File,
    /// Every row by its key, as it is to stand in the file.
    rows: Vec<(String, Value)>,
    place_of: HashMap<String, usize>,
    /// Keys of this evaluation in order, each once: a model under two names has its rows once.
    order: Vec<String>,
    ours: HashSet<String>,
    reused: usize,
    notice: Option<String>,
}

/// What is read of a row to go on from it.
#[derive(Deserialize)]
struct Row {
    key: String,
    samples: Vec<RowSample>,
}

#[derive(Deserialize)]
struct RowSample {
    text: String,
    tokens: usize,
    truncated: bool,
}

impl CompletionsFile {
    /// Opens `path`, which is created where it isn't there. A last line that was cut off is taken away.
    /// Errors: the file can't be read or written, or holds something else (with the line).
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::append(path).map_err(|e| Error::io("open", path, e))?;
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut opened = Self {
            path: path.to_owned(),
            file,
            rows: Vec::new(),
            place_of: HashMap::new(),
            order: Vec::new(),
            ours: HashSet::new(),
            reused: 0,
            notice: None,
        };
        let advice = "expected the completions of an evaluation; name another file";
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|_| Error::file(path, None, format!("is not UTF-8; {advice}")))?;
        let cut_off = &bytes[whole..];
        let begun = cut_off.len().min(START.len());
        if cut_off[..begun] != START[..begun] {
            return Err(Error::file(path, text.lines().count() + 1, format!("not a row of completions; {advice}")));
        }
        for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let parsed = serde_json::from_str::<Value>(text).and_then(|value| Ok((Row::deserialize(&value)?.key, value)));
            let (key, value) = parsed.map_err(|e| Error::file(path, line + 1, format!("not a row of completions: {e}; {advice}")))?;
            opened.insert(key, value);
        }
        if !cut_off.is_empty() {
            opened.file.truncate(whole as u64).map_err(|e| Error::io("write", path, e))?;
            opened.notice = Some(format!("{}: the last line was cut off; its problem is sampled again", path.display()));
        }
        Ok(opened)
    }

    /// What a user should know of what was found in the file.
    pub fn notices(&self) -> Vec<String> {
        let others = self.rows.len() - self.order.len();
        let reused = (self.reused > 0).then(|| format!("{}: {} problems were sampled before", self.path.display(), self.reused));
        let others = (!self.order.is_empty() && others > 0)
            .then(|| format!("{}: {others} rows are of other models, settings or problems and stay as they are", self.path.display()));
        self.notice.clone().into_iter().chain(reused).chain(others).collect()
    }

    fn insert(&mut self, key: String, value: Value) {
        match self.place_of.get(&key) {
            Some(place) => self.rows[*place].1 = value,
            None => {
                self.place_of.insert(key.clone(), self.rows.len());
                self.rows.push((key, value));
            }
        }
    }

    fn append(&mut self, key: String, value: Value) -> Result<()> {
        let line = format!("{value}\n");
        let before = self.file.len().map_err(|e| Error::io("read", &self.path, e))?;
        self.file.write_all(line.as_bytes()).map_err(|e| {
            // Best effort: the write's own error is the one to report.
            let _ = self.file.truncate(before);
            Error::io("write", &self.path, e)
        })?;
        self.insert(key, value);
        Ok(())
    }

    /// The evaluation is over: puts its rows in their order, behind those of others, judged as they were this time. So the file is the same whether it was
    /// interrupted or not.
    pub fn finish(self) -> Result<()> {
        let others = self.rows.iter().filter(|(key, _)| !self.ours.contains(key));
        let rows = others.map(|(_, value)| value).chain(self.order.iter().map(|key| &self.rows[self.place_of[key]].1));
        let text: String = rows.map(|value| format!("{value}\n")).collect();
        durable::replace(&self.path, text.as_bytes()).map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Whose completions are kept.
pub struct Keep<'a> {
    /// Where.
    pub file: &'a mut CompletionsFile,
    /// What the user calls the model.
    pub model: &'a str,
    /// The model's [`sha256`](expo_lm::model::LanguageModel::sha256).
    pub fingerprint: &'a str,
    /// Keys by the problems' places.
    keys: Vec<String>,
}

impl<'a> Keep<'a> {
    /// Keeps completions of `model` in `file`.
    pub fn new(file: &'a mut CompletionsFile, model: &'a str, fingerprint: &'a str) -> Self {
        Self { file, model, fingerprint, keys: Vec::new() }
    }

    /// Takes the next problem, that at `place`. Returns its samples where the file has enough of them.
    pub(super) fn begin(&mut self, prompt: &[u32], plan: &Plan, place: usize) -> Result<Option<Vec<Draft>>> {
        let key = key(self.fingerprint, prompt, plan, place);
        self.keys.push(key.clone());
        if self.file.ours.insert(key.clone()) {
            self.file.order.push(key.clone());
        }
        let Some(row) = self.file.place_of.get(&key) else { return Ok(None) };
        let row = Row::deserialize(&self.file.rows[*row].1);
        let row = row.map_err(|e| Error::file(&self.file.path, None, format!("row {key}: {e}")))?;
        if row.samples.len() < plan.samples {
            return Ok(None);
        }
        self.file.reused += 1;
        let draft = |RowSample { text, tokens, truncated }| Draft { text, tokens, truncated };
        Ok(Some(row.samples.into_iter().take(plan.samples).map(draft).collect()))
    }

    /// Samples that were in the file have been judged; where it holds more of the problem, it keeps those.
    pub(super) fn judged(&mut self, place: usize, problem: &Problem, plan: &Plan, solved: &Solved) {
        let key = self.keys[place].clone();
        let kept = self.file.place_of.get(&key).and_then(|row| self.file.rows[*row].1["samples"].as_array()).map_or(0, Vec::len);
        if kept == solved.samples.len() {
            let row = self.row(place, problem, plan, solved);
            self.file.insert(key, row);
        }
    }

    /// Writes a problem whose samples are done.
    pub(super) fn write(&mut self, place: usize, problem: &Problem, plan: &Plan, solved: &Solved) -> Result<()> {
        let row = self.row(place, problem, plan, solved);
        self.file.append(self.keys[place].clone(), row)
    }

    fn row(&self, place: usize, problem: &Problem, plan: &Plan, solved: &Solved) -> Value {
        let samples: Vec<Value> = solved
            .samples
            .iter()
            .map(|sample| {
                json!({"text": sample.text, "tokens": sample.tokens, "truncated": sample.truncated, "extracted": sample.answer, "correct": sample.correct})
            })
            .collect();
        json!({
            "key": self.keys[place],
            "model": self.model,
            "sampling": plan.sampling_json(),
            "problem": problem.id,
            "place": place,
            "level": problem.level,
            "subject": problem.subject,
            "fields": problem.extra,
            "question": problem.question,
            "answer": problem.answer,
            "samples": samples,
            "majority_correct": solved.majority_correct,
        })
    }
}

impl Plan {
    /// The sampling parameters and the seed as recorded in files.
    pub fn sampling_json(&self) -> Value {
        // As the user wrote it: 0.7, not the nearest f32's 0.699999988.
        let decimal = |value: f32| value.to_string().parse::<f64>().unwrap_or(f64::from(value));
        let SamplingParams { temperature, top_k, top_p, min_p, max_new_tokens, .. } = &self.sampling;
        json!({
            "temperature": decimal(*temperature),
            "top_k": top_k,
            "top_p": decimal(*top_p),
            "min_p": decimal(*min_p),
            "max_new_tokens": max_new_tokens,
            "seed": self.seed,
        })
    }
}

/// A hash of everything that the samples of a problem depend on, but for their number.
fn key(fingerprint: &str, prompt: &[u32], plan: &Plan, place: usize) -> String {
    let parts = json!([fingerprint, prompt, plan.sampling_json(), plan.sampling.stop_token_ids, place]);
    hex(&Sha256::digest(parts.to_string().as_bytes()))
}

/// The first half of a hash: enough to tell rows apart.
fn hex(hash: &[u8]) -> String {
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::eval::solve;
    use crate::policy::cpu::CpuLm;
    use crate::rollout::ByWriter;
    use crate::rollout::local::LocalSampler;
    use crate::testing::run::{CharTask, END, problems, tiny_model};

    fn plan() -> Plan {
        let sampling = SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 10, stop_token_ids: vec![END] };
        Plan { samples: 2, sampling, seed: 5 }
    }

    /// Solves the first `count` problems by the model of `seed`, and writes the file. Returns what was solved, the notices, and how many samples were drawn.
    fn run(path: &Path, seed: u64, count: usize, plan: &Plan) -> (Vec<Solved>, Vec<String>, usize) {
        let model = tiny_model(seed);
        let mut file = CompletionsFile::open(path).unwrap();
        let fingerprint = model.sha256();
        let (mut first, mut last) = (None, 0);
        let mut on_progress = |done| {
            first.get_or_insert(done);
            last = done;
        };
        let keep = Keep::new(&mut file, "tiny", &fingerprint);
        let (lm, mut sampler) = (CpuLm::new(model, 64), LocalSampler::new(4));
        let solved =
            solve(&mut ByWriter::of(&mut sampler, &lm), &CharTask::new(), &problems(count as u64), plan, Some(keep), &mut on_progress)
                .unwrap();
        let notices = file.notices();
        file.finish().unwrap();
        (solved, notices, last - first.unwrap())
    }

    #[test]
    fn an_interrupted_evaluation_goes_on_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        let (whole, notices, drawn) = run(&path, 1, 6, &plan());
        assert_eq!((notices.len(), drawn), (0, 12));
        let bytes = fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 6);
        // Killed after the fourth problem, which came before the others, in the middle of a line.
        let left = [lines[3], lines[0], &lines[4][..lines[4].len() / 2]].concat();
        fs::write(&path, left).unwrap();
        let (again, notices, drawn) = run(&path, 1, 6, &plan());
        assert_eq!((again, drawn), (whole.clone(), 8));
        assert!(notices[0].contains("cut off") && notices[1].contains("2 problems were sampled before"), "{notices:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        // Nothing is drawn where all is there.
        assert_eq!(run(&path, 1, 6, &plan()).2, 0);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn more_problems_samples_models_and_settings_add_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        let few = run(&path, 1, 3, &plan()).0;
        let (more, _, drawn) = run(&path, 1, 5, &plan());
        assert_eq!((drawn, &more[..3]), (4, &few[..]));
        let (_, notices, drawn) = run(&path, 2, 5, &plan());
        assert!(drawn == 10 && notices[0].contains("5 rows are of other models"), "{notices:?}");
        assert_eq!(run(&path, 1, 5, &Plan { seed: 6, ..plan() }).2, 10);
        assert_eq!(run(&path, 1, 5, &Plan { samples: 3, ..plan() }).2, 15, "samples are drawn as a whole");
        assert_eq!(run(&path, 1, 5, &plan()).0, more, "two of three are there");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 15);
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        run(&path, 1, 1, &plan());
        let good = fs::read_to_string(&path).unwrap();
        let cases = [
            ("{\"question\": 1}\n".to_owned(), 1),
            (format!("{good}not JSON\n{good}"), 2),
            // Without an end of line it could be a row that was cut off, but for its beginning.
            ("[{\"question\": 1}]".to_owned(), 1),
            (format!("{good}[{{\"question\": 1}}]"), 2),
        ];
        for (text, line) in cases {
            fs::write(&path, &text).unwrap();
            let message = CompletionsFile::open(&path).err().unwrap().to_string();
            assert!(message.contains(&format!("c.jsonl:{line}: not a row of completions")), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "left as it was");
        }
    }

    #[test]
    fn a_model_under_two_names_has_its_rows_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        let model = tiny_model(1);
        let fingerprint = model.sha256();
        let mut file = CompletionsFile::open(&path).unwrap();
        for name in ["one", "other"] {
            let keep = Keep::new(&mut file, name, &fingerprint);
            solve(
                &mut ByWriter::of(&mut LocalSampler::new(4), &CpuLm::new(tiny_model(1), 64)),
                &CharTask::new(),
                &problems(3),
                &plan(),
                Some(keep),
                &mut |_| (),
            )
            .unwrap();
        }
        assert_eq!(file.notices().len(), 1, "{:?}", file.notices());
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn the_key_is_of_all_that_samples_depend_on() {
        let with = |change: fn(&mut SamplingParams)| {
            let mut plan = plan();
            change(&mut plan.sampling);
            plan
        };
        let base = key("f", &[1, 2], &plan(), 0);
        let others = [
            key("g", &[1, 2], &plan(), 0),
            key("f", &[1, 3], &plan(), 0),
            key("f", &[1, 2], &plan(), 1),
            key("f", &[1, 2], &Plan { seed: 6, ..plan() }, 0),
            key("f", &[1, 2], &with(|s| s.temperature = 0.5), 0),
            key("f", &[1, 2], &with(|s| s.top_k = 3), 0),
            key("f", &[1, 2], &with(|s| s.top_p = 0.5), 0),
            key("f", &[1, 2], &with(|s| s.min_p = 0.5), 0),
            key("f", &[1, 2], &with(|s| s.max_new_tokens = 11), 0),
            key("f", &[1, 2], &with(|s| s.stop_token_ids.clear()), 0),
        ];
        let distinct: HashSet<&String> = others.iter().chain([&base]).collect();
        assert_eq!(distinct.len(), 11);
        assert_eq!(key("f", &[1, 2], &Plan { samples: 9, ..plan() }, 0), base);
    }
}
