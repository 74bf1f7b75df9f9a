//! Completions to reward, and commands that reward them, for tests.

use std::collections::BTreeMap;

use super::source::Row;
use super::{Completion, Question, Verdict};
use crate::data::Problem;

/// Answers every row with 0.5. Further modes of a command are scripts of the tests themselves: a shell is everywhere where tests run.
pub const GOOD: &str = r#"while IFS= read -r row; do id=${row#*\"id\":}; echo "{\"id\": ${id%%,*}, \"reward\": 0.5}"; done"#;

/// The argument vector that runs `script`.
pub fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// One question's completions, right (`true`) or wrong.
pub struct Fixture {
    problem: Problem,
    verdicts: Vec<Verdict>,
    text: String,
}

impl Fixture {
    pub fn new(correct: &[bool]) -> Self {
        let extra = BTreeMap::from([("source".to_owned(), "made up".to_owned())]);
        let (question, answer) = ("6/3?".to_owned(), "2".to_owned());
        let problem = Problem {
            id: "p-1".into(),
            question,
            answer,
            expert_cot: None,
            level: Some(3),
            level_name: None,
            subject: None,
            extra,
            context: Default::default(),
        };
        let verdict = |correct: &bool| Verdict {
            correct: *correct,
            formatted: true,
            extracted: Some("2".into()),
            answer_start: Some(0),
            ..Verdict::default()
        };
        Self { problem, verdicts: correct.iter().map(verdict).collect(), text: "\u{e9}\n#### 2".into() }
    }

    pub fn question(&self) -> Question<'_> {
        let completion = |verdict| Completion { text: &self.text, tokens: 7, truncated: false, verdict, answer: None };
        Question {
            problem: &self.problem,
            prompt: "user 6/3? assistant ".into(),
            completions: self.verdicts.iter().map(completion).collect(),
        }
    }
}

/// Runs `test` with `count` rows whose completions have `length` bytes, numbered from `first`.
pub fn with_rows<T>(count: usize, first: u64, length: usize, test: impl FnOnce(&[Row]) -> T) -> T {
    let mut fixture = Fixture::new(&vec![true; count]);
    fixture.text = "x".repeat(length);
    let question = fixture.question();
    let mut rows: Vec<Row> = Row::of(&question).collect();
    for (i, row) in rows.iter_mut().enumerate() {
        (row.id, row.remaining) = (first + i as u64, count - i - 1);
    }
    test(&rows)
}
