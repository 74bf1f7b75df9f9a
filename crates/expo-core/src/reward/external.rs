//! What external rewards have in common: which rows they are sent, attempts, and what happens when they fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::command::Command;
use super::http::Endpoint;
use super::source::{LOOK, Row, Source};
use crate::config::{ExternalRewardSection, OnFailure, WatchdogPolicy};
use crate::error::{Error, Result};

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
        let source = source.map_err(|failure| Error::External(format!("reward.external.{name}: {}", failure.message)))?;
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
            let Some(wait) = failure.retry else { return Err(Error::External(message)) };
            if attempt < self.max_retries && !is_stopping() {
                attempt += 1;
                notify(format!("{message}; attempt {} of {}", attempt + 1, self.max_retries + 1));
                let begin = Instant::now();
                while begin.elapsed() < wait && !is_stopping() {
                    std::thread::sleep(LOOK.min(wait));
                }
            } else if is_stopping() {
                return Err(Error::External(message));
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
