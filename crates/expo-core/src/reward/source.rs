//! Who answers for an external reward: what it is sent, what it gives, and how it fails.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use super::question::Question;

/// How often it is asked whether the run is to stop.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// How long whoever answers may take for it once the run is to stop. With the checkpoint that comes then, a stop is answered within five seconds.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// One completion as an external reward sees it: a JSON object with these fields.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row<'a> {
    /// Of this completion alone in the whole run.
    pub id: u64,
    /// How many more rows follow in this batch.
    pub remaining: usize,
    /// The problem's identifier.
    problem: &'a str,
    question: &'a str,
    answer: &'a str,
    level: Option<u32>,
    subject: Option<&'a str>,
    /// The data row's other fields.
    extra: &'a BTreeMap<String, String>,
    prompt: &'a str,
    completion: &'a str,
    tokens: usize,
    truncated: bool,
    pub correct: bool,
    extracted: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// The rows of a question's completions, not numbered yet.
    pub fn of(question: &'a Question) -> impl Iterator<Item = Self> {
        let problem = question.problem;
        question.completions.iter().map(|completion| Row {
            id: 0,
            remaining: 0,
            problem: &problem.id,
            question: &problem.question,
            answer: &problem.answer,
            level: problem.level,
            subject: problem.subject.as_deref(),
            extra: &problem.extra,
            prompt: &question.prompt,
            completion: completion.text,
            tokens: completion.tokens,
            truncated: completion.truncated,
            correct: completion.verdict.correct,
            extracted: completion.verdict.extracted.as_deref(),
        })
    }
}

/// Why a batch was not answered.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, what was expected.
    pub message: String,
    /// How long to wait before the batch is sent again; `None`: that would not help.
    pub retry: Option<Duration>,
}

impl Failure {
    /// One that will not pass: a broken protocol, a wrong address.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: None }
    }
}

/// Who answers.
pub(super) trait Source: Send {
    /// The rewards of `rows` (at least one), in their order; `attempt` counts from 0 for each batch. Once `stopping` is true nobody waits for long.
    fn ask(&mut self, rows: &[Row], attempt: usize, stopping: &AtomicBool) -> Result<Vec<Option<f64>>, Failure>;
    /// Ends what runs.
    fn close(&mut self) {}
}

/// A foreign text for a message: on one line, without control characters, and not too long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = one_line(text);
    if line.chars().count() > LONGEST { line.chars().take(LONGEST).chain("...".chars()).collect() } else { line }
}

/// A foreign text on one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(crate::data::is_hidden, "")
}
