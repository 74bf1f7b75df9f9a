//! Preference pairs made of explanations (or expert chains of thought) and a policy's own completions, as rows of a preference file.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::Analysis;
use crate::config::ChosenSide;
use crate::data::json;
use crate::draw::made_pairs;
use crate::error::{Error, Result};
use crate::logs::made::PreferenceRow;
use crate::objective::{Explanation, Explanations};

/// Explanations from a file, by the id of their problem.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExplanationFile {
    by_id: HashMap<String, Vec<String>>,
}

impl ExplanationFile {
    /// Reads what `expo-rl explain` wrote, filtered or not: rows with `id` and `explanation`; rows whose `outcome` is there and neither `kept` nor
    /// `replaced` are passed over. Errors: a file that can't be read, a row without these fields, no row that can be used.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let mut file = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let error = |message: String| Error::file(path, index + 1, message);
            let row = json::parse(line).map_err(|e| error(e.message(false)))?.value;
            let field = |name: &str| {
                let found = row.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
                found
                    .map(str::to_owned)
                    .ok_or_else(|| error(format!("field `{name}` is missing or empty; expected rows of `expo-rl explain`")))
            };
            let (id, explanation) = (field("id")?, field("explanation")?);
            if row.get("outcome").and_then(Value::as_str).is_none_or(|outcome| matches!(outcome, "kept" | "replaced")) {
                file.by_id.entry(id).or_default().push(explanation);
            }
        }
        if file.by_id.is_empty() {
            return Err(Error::file(path, None, "no explanation that was kept; nothing to choose"));
        }
        Ok(file)
    }
}

/// The pairs of some problems.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PairRows {
    /// One row of a preference file each.
    pub rows: Vec<PreferenceRow>,
    /// Number of problems with a chosen side.
    pub with_chosen: usize,
    /// Number of problems with a pair.
    pub with_pair: usize,
}

impl Analysis<'_> {
    /// The pairs of the problems of `part`: explanations from `file` or else made now (or expert chains of thought, as `dpo.chosen` says), over completions
    /// of the question alone.
    pub fn pairs(&mut self, part: Range<usize>, file: Option<&ExplanationFile>) -> Result<PairRows> {
        let given = |index: &usize| file.is_none_or(|file| file.by_id.contains_key(&self.problems.prepared[*index].problem.id));
        let indices: Vec<usize> = part.filter(given).collect();
        let mut groups = self.own_completions(&indices)?;
        match (file, self.config.dpo.chosen) {
            (Some(file), _) => {
                for group in &mut groups {
                    let problem = &self.problems.prepared[group.problem].problem;
                    let texts = &file.by_id[&problem.id];
                    let encode = |text: &String| {
                        let tokens = self.task.answer(problem, "", text)?;
                        let thought = tokens.len() - 1;
                        Ok(Explanation::new(tokens, thought))
                    };
                    let kept = texts.iter().map(encode).collect::<Result<_>>()?;
                    group.explanations = Some(Explanations { kept, ..Explanations::default() });
                }
            }
            (None, ChosenSide::Explanation) => self.explain_groups(&mut groups)?,
            (None, ChosenSide::Expert) => {
                for group in &mut groups {
                    group.expert = self.problems.prepared[group.problem].expert.clone();
                }
            }
        }
        let mut result = PairRows::default();
        for group in &groups {
            let problem = &self.problems.prepared[group.problem].problem;
            let made = made_pairs::of_group(self.task, &self.config.dpo, problem, group)?;
            result.with_chosen += usize::from(!group.kept_explanations().is_empty() || group.expert.is_some());
            result.with_pair += usize::from(!made.is_empty());
            for pair in made {
                result.rows.push(pair.to_row(self.task, &self.config.dpo, problem)?);
            }
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cpu::CpuLm;
    use crate::testing::run::{CharTask, config, problems, tiny_model};

    #[test]
    fn explanations_of_a_file_are_the_chosen_sides() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.jsonl");
        let mut config = config();
        config.rollout.max_new_tokens = 60;
        let (model, task) = (CpuLm::new(tiny_model(3), 512), CharTask::new());
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ExplanationFile::read(&path)
        };
        let rows = "{\"id\": \"test-1\", \"explanation\": \"2*3#2\", \"outcome\": \"kept\"}\n{\"id\": \"test-2\", \"explanation\": \"1\", \"outcome\": \"leak\"}\n";
        let file = read(rows).unwrap();
        let mut analysis = Analysis::new(&config, &model, &task, problems(4)).unwrap();
        let pairs = analysis.pairs(0..4, Some(&file)).unwrap();
        assert_eq!((pairs.with_chosen, pairs.with_pair, pairs.rows.len()), (1, 1, 1));
        assert_eq!((pairs.rows[0].chosen.as_str(), pairs.rows[0].id.as_str()), ("2*3#2", "test-1"));
        assert_eq!(pairs.rows[0].prompt, problems(4)[1].question);
        for (text, expected) in [
            ("{\"id\": \"a\"}", "e.jsonl:1: field `explanation` is missing"),
            ("x", "e.jsonl:1: malformed JSON at column 1"),
            ("[]", "e.jsonl:1: field `id` is missing or empty; expected rows of `expo-rl explain`"),
            ("{\"id\": \"a\", \"explanation\": \"b\", \"outcome\": \"leak\"}", "no explanation that was kept"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn explanations_are_measured_as_in_training() {
        let mut config = config();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (30, 30);
        config.exp.num_explanations = 2;
        let (model, task) = (CpuLm::new(tiny_model(3), 512), CharTask::new());
        let rows = |bounds: &[usize]| {
            let mut analysis = Analysis::new(&config, &model, &task, problems(6)).unwrap();
            bounds.windows(2).flat_map(|part| analysis.explanations(part[0]..part[1]).unwrap()).collect::<Vec<_>>()
        };
        let whole = rows(&[0, 6]);
        assert_eq!(whole.len(), 12);
        let summary = super::super::ExplainSummary::of(&whole);
        assert!(summary.made == 12 && summary.kept > 0.0 && summary.nll > 0.0 && summary.answer_gain.is_finite(), "{summary:?}");
        // A replaced answer is the right one.
        assert!(
            whole
                .iter()
                .filter(|row| row.outcome == crate::objective::ExplanationOutcome::Replaced)
                .all(|row| row.explanation.ends_with(&format!("#{}", row.answer)))
        );
        // The parts that the work is cut into change no sample.
        for (one, other) in whole.iter().zip(rows(&[0, 1, 4, 6])) {
            assert_eq!((&one.explanation, &one.own), (&other.explanation, &other.own));
            assert!((one.nll - other.nll).abs() < 1e-5 && (one.answer_gain - other.answer_gain).abs() < 1e-4);
        }
    }
}
