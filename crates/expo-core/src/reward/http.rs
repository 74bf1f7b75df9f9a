//! A reward by an HTTP endpoint: one POST with the rows of a step as a JSON list, answered with a JSON list of as many numbers or nulls. And the exchange
//! itself, for whoever else asks an endpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderValue, Uri};

use super::source::{Failure, LOOK, Row, STOP_PATIENCE, Source, excerpt};

/// Largest answer in bytes.
const LARGEST_ANSWER: u64 = 16 << 20;
/// The pause before the first retry; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, also where the endpoint asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An endpoint that answers JSON with JSON.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: String,
    key: Option<Key>,
    timeout: Duration,
    pub(crate) first_pause: Duration,
    agent: ureq::Agent,
}

/// The endpoint's key: as it is sent, and as it must not appear in messages.
#[derive(Clone)]
struct Key {
    header: HeaderValue,
    secret: String,
}

impl Endpoint {
    /// A client of `url`; the environment variable `api_key_env` (empty: none) holds the key. Errors: not a usable URL, no such variable.
    pub fn new(url: &str, api_key_env: &str, timeout: Duration) -> Result<Self, Failure> {
        let uri = url.parse::<Uri>().map_err(|e| Failure::fatal(format!("`url` is not a URL: {e}")))?;
        let host = uri.host().ok_or_else(|| Failure::fatal(format!("`url` {url} names no host; expected http://HOST:PORT/PATH")))?;
        // Messages show the URL.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || uri.query().is_some() {
            return Err(Failure::fatal(
                "`url` holds a user name or password, or a query; put the key into an environment variable and name that with `api_key_env`".to_owned(),
            ));
        }
        // What listens on this machine is not behind a proxy.
        let is_local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // Minutes lie between two steps: a kept connection would be a stale one.
            .max_idle_connections(0);
        if is_local {
            config = config.proxy(None);
        }
        let key = if api_key_env.is_empty() { None } else { Some(Key::read(api_key_env)?) };
        Ok(Self { url: url.to_owned(), key, timeout, first_pause: FIRST_PAUSE, agent: config.build().into() })
    }

    /// A failure that may pass.
    fn passing(&self, message: String, attempt: usize, asked_for: Option<Duration>) -> Failure {
        let pause = self.first_pause.saturating_mul(1 << attempt.min(16));
        Failure { message, retry: Some(asked_for.unwrap_or(pause).min(LONGEST_PAUSE)) }
    }

    /// An answer's beginning for a message, without the key in it.
    fn shown(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        excerpt(&self.key.as_ref().map_or_else(|| text.to_string(), |key| text.replace(&key.secret, "***")))
    }

    /// Sends a JSON body and returns the answer's, which may be anything. `attempt` counts from 0 for each body. Errors: no answer, or one of another status
    /// than success; what may pass (a busy or failing server, a rate limit) says when to try again.
    pub fn post(&self, body: &[u8], attempt: usize) -> Result<Vec<u8>, Failure> {
        let mut request = self.agent.post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, &key.header);
        }
        let mut response = request.send(body).map_err(|e| self.failure(&e, attempt))?;
        let status = response.status();
        let asked_for =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let answer = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(|e| self.failure(&e, attempt))?;
        if !status.is_success() {
            let message = format!("{} answered {status}: {}", self.url, self.shown(&answer));
            let may_pass = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            return Err(if may_pass { self.passing(message, attempt, asked_for) } else { Failure::fatal(message) });
        }
        Ok(answer)
    }

    /// [`Endpoint::post`], given up `patience` after `stopping` has become true. The exchange itself can't be interrupted, in name lookup least of all: it goes on
    /// in a thread of its own until its timeout, and nobody waits for it.
    fn post_unless_stopping(&self, body: Vec<u8>, attempt: usize, stopping: &AtomicBool, patience: Duration) -> Result<Vec<u8>, Failure> {
        let (answer, answered) = sync_channel(1);
        let endpoint = self.clone();
        // Where nobody waits any more the answer goes nowhere.
        let exchange = move || drop(answer.send(endpoint.post(&body, attempt)));
        let thread = std::thread::Builder::new().name("reward".into()).spawn(exchange);
        thread.map_err(|e| Failure::fatal(format!("{}: no thread to ask it: {e}", self.url)))?;
        let mut stop_seen: Option<Instant> = None;
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if stopping.load(Ordering::Relaxed) => {
                    if stop_seen.get_or_insert_with(Instant::now).elapsed() >= patience {
                        return Err(Failure::fatal(format!("{} had not answered when the run was asked to stop", self.url)));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Its thread has panicked, and said so.
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::fatal(format!("{}: the exchange broke off", self.url))),
            }
        }
    }

    /// An answer that is none; `what` says what was expected.
    pub fn misunderstood(&self, answer: &[u8], what: &str) -> Failure {
        Failure::fatal(format!("{} answered {}: {what}", self.url, self.shown(answer)))
    }

    /// A failed exchange.
    fn failure(&self, error: &ureq::Error, attempt: usize) -> Failure {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        match error {
            Timeout(_) => {
                self.passing(format!("{} gave no answer within {} s (`timeout`)", self.url, self.timeout.as_secs_f64()), attempt, None)
            }
            Io(_) | ConnectionFailed | HostNotFound | Protocol(_) => self.passing(format!("{}: {error}", self.url), attempt, None),
            _ => Failure::fatal(format!("{}: {error}", self.url)),
        }
    }
}

impl Key {
    fn read(variable: &str) -> Result<Self, Failure> {
        let fail = |what: &str| Failure::fatal(format!("the environment variable {variable} (`api_key_env`) {what}"));
        let secret =
            std::env::var(variable).ok().filter(|key| !key.trim().is_empty()).ok_or_else(|| fail("is not set; it has to hold the key"))?;
        let secret = secret.trim().to_owned();
        let mut header =
            HeaderValue::from_str(&format!("Bearer {secret}")).map_err(|_| fail("holds characters that no HTTP header may have"))?;
        header.set_sensitive(true);
        Ok(Self { header, secret })
    }
}

impl Source for Endpoint {
    fn ask(&mut self, rows: &[Row], attempt: usize, stopping: &AtomicBool) -> Result<Vec<Option<f64>>, Failure> {
        let body = serde_json::to_vec(rows).map_err(|e| Failure::fatal(format!("a row has no JSON form: {e}")))?;
        let answer = self.post_unless_stopping(body, attempt, stopping, STOP_PATIENCE)?;
        parse(&answer, rows.len()).map_err(|what| self.misunderstood(&answer, &what))
    }
}

/// The rewards of `expected` rows. `Err` says what was expected instead.
fn parse(body: &[u8], expected: usize) -> Result<Vec<Option<f64>>, String> {
    let wanted = || format!("expected a JSON list of {expected} entries, each a finite number or null");
    let list: Vec<Value> = serde_json::from_slice(body).map_err(|_| wanted())?;
    if list.len() != expected {
        return Err(format!("{}, found {}", wanted(), list.len()));
    }
    let reward = |value: Value| match value {
        Value::Null => Some(None),
        other => other.as_f64().filter(|reward| reward.is_finite()).map(Some),
    };
    list.into_iter().map(reward).collect::<Option<_>>().ok_or_else(wanted)
}

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;
