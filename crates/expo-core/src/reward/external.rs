//! What external rewards have in common: the rows that they are sent, attempts, and what happens when they fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::command::Command;
use super::http::Endpoint;
use super::{LOOK, Question};
use crate::config::{ExternalRewardSection, OnFailure, WatchdogPolicy};
use crate::error::{Error, Result};

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
    correct: bool,
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

/// An external reward.
pub(super) struct External {
    name: String,
    weight: f64,
    /// Only right completions are sent; the others get 0.
    gated: bool,
    max_retries: usize,
    on_failure: OnFailure,
    source: Box<dyn Source>,
    /// Rows sent so far.
    sent: u64,
}

impl External {
    /// Starts a command; makes a client for an endpoint.
    pub fn new(name: &str, section: &ExternalRewardSection, gated: bool) -> Result<Self> {
        let timeout = Duration::from_secs_f64(section.timeout);
        let source = match section.url.as_str() {
            "" => Command::start(section.command.clone(), timeout).map(|command| Box::new(command) as Box<dyn Source>),
            url => Endpoint::new(url, &section.api_key_env, timeout).map(|endpoint| Box::new(endpoint) as Box<dyn Source>),
        };
        let source = source.map_err(|failure| Error::Run(format!("reward.external.{name}: {}", failure.message)))?;
        Ok(Self {
            name: name.to_owned(),
            weight: section.weight,
            gated,
            max_retries: section.max_retries,
            on_failure: section.on_failure,
            source,
            sent: 0,
        })
    }

    /// The reward's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its weight in the sum.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Rows sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Numbers the rows after the first `sent`.
    pub fn continue_after(&mut self, sent: u64) {
        self.sent = sent;
    }

    /// Ends what runs.
    pub fn close(&mut self) {
        self.source.close();
    }

    /// The reward of each of `rows`; `None` where it does not apply. `notices` is told of attempts that failed.
    /// Once `stopping` is true no attempt is made again.
    pub fn score(&mut self, rows: &[Row], notices: &Sender<String>, stopping: &AtomicBool) -> Result<Vec<Option<f64>>> {
        let is_sent = |row: &&Row| row.correct || !self.gated;
        let mut sent: Vec<Row> = rows.iter().filter(is_sent).cloned().collect();
        let count = sent.len();
        for (i, row) in sent.iter_mut().enumerate() {
            (row.id, row.remaining) = (self.sent + i as u64, count - i - 1);
        }
        self.sent += count as u64;
        let mut answers = self.ask(&sent, notices, stopping)?.into_iter();
        let answer = |row: &Row| if row.correct || !self.gated { answers.next().flatten() } else { Some(0.0) };
        Ok(rows.iter().map(answer).collect())
    }

    fn ask(&mut self, rows: &[Row], notices: &Sender<String>, stopping: &AtomicBool) -> Result<Vec<Option<f64>>> {
        // Where nobody listens, nobody needs to know.
        let notify = |notice: String| drop(notices.send(notice));
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut attempt = 0;
        loop {
            let failure = match self.source.ask(rows, attempt, stopping) {
                Ok(answers) => return Ok(answers),
                Err(failure) => failure,
            };
            let message = format!("reward.external.{}: {}", self.name, failure.message);
            let is_stopping = || stopping.load(Ordering::Relaxed);
            let Some(wait) = failure.retry else { return Err(Error::Run(message)) };
            if attempt < self.max_retries && !is_stopping() {
                attempt += 1;
                notify(format!("{message}; attempt {} of {}", attempt + 1, self.max_retries + 1));
                let begin = Instant::now();
                while begin.elapsed() < wait && !is_stopping() {
                    std::thread::sleep(LOOK.min(wait));
                }
            } else if is_stopping() {
                return Err(Error::Run(message));
            } else if self.on_failure == OnFailure::Null {
                notify(format!("{message}; null for {} rollouts", rows.len()));
                return Ok(vec![None; rows.len()]);
            } else {
                let attempts = if attempt > 0 { format!(" ({} attempts)", attempt + 1) } else { String::new() };
                let message = format!("{message}{attempts}");
                let policy = match self.on_failure {
                    OnFailure::Skip => WatchdogPolicy::Skip,
                    OnFailure::Rollback => WatchdogPolicy::Rollback,
                    OnFailure::Stop | OnFailure::Null => WatchdogPolicy::Stop,
                };
                return Err(Error::RewardSource { message, policy });
            }
        }
    }
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
