//! Rollouts: who samples completions, and with which random streams.

pub mod local;
pub mod seed;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use crate::error::Result;
use crate::policy::Lm;
use crate::policy::policies::{Writer, Writers};
use expo_lm::generate::{FinishReason, GenerationSeconds, Request};

/// Requests that were handed to a sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Tokens of a completion that one version of the policy sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSpan {
    /// The version; `None`: a writer that has none.
    pub version: Option<u64>,
    /// Places in the completion.
    pub tokens: Range<usize>,
}

/// A completion as it was sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledCompletion {
    /// Token ids, the stop token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the distribution it was drawn from.
    pub log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Who sampled which of its tokens; in order, all of them.
    pub versions: Vec<VersionSpan>,
    /// What else the engine says of it, by the engine's names.
    pub extra: BTreeMap<String, Value>,
}

/// Told when sample `.1` of request `.0` has ended, with its tokens.
pub type OnEnd<'a> = dyn FnMut(usize, usize, &[u32]) + Send + 'a;

/// A sampler of completions: this process's own engine, or servers.
pub trait Sampler {
    /// `policy` is the policy of `version` from now on. A sampler with weights of its own takes them over; one that has that version already does nothing.
    fn publish(&mut self, version: u64, policy: &dyn Lm) -> Result<()>;

    /// Hands over requests for completions by `writer`; they may be under way at once.
    fn submit(&mut self, writer: Writer, requests: Vec<Request>) -> Result<Ticket>;

    /// All completions of `ticket`, each of which can be collected once: `result[r][s]` belongs to `requests[r].seeds[s]`. `writers` are the weights of this process, for a
    /// sampler that uses them. A completion of [`Sampler::matches_trainer`] depends only on the weights, its prompt, its sampling parameters and its seed.
    fn collect(&mut self, ticket: Ticket, writers: &Writers) -> Result<Vec<Vec<SampledCompletion>>>;

    /// The same, with `on_end` told of each completion, at the latest when all have ended.
    fn collect_telling(&mut self, ticket: Ticket, writers: &Writers, on_end: &mut OnEnd) -> Result<Vec<Vec<SampledCompletion>>> {
        let completions = self.collect(ticket, writers)?;
        for (request, samples) in completions.iter().enumerate() {
            samples.iter().enumerate().for_each(|(sample, completion)| on_end(request, sample, &completion.tokens));
        }
        Ok(completions)
    }

    /// Where the time of all calls since the last question went, as far as it is known.
    fn take_seconds(&mut self) -> GenerationSeconds {
        GenerationSeconds::default()
    }

    /// Whether it computes with the trainer's own weights and precision, so that its log-probabilities are the trainer's up to
    /// rounding. Where it doesn't, truncated importance weights are on by default.
    fn matches_trainer(&self) -> bool;
}

/// A sampler, asked for the completions of one writer.
pub struct ByWriter<'a> {
    /// Who samples.
    pub sampler: &'a mut dyn Sampler,
    /// The weights of this process.
    pub writers: Writers<'a>,
    /// Whose completions.
    pub writer: Writer,
}

impl<'a> ByWriter<'a> {
    /// Those of `lm`, which has no other version.
    pub fn of(sampler: &'a mut dyn Sampler, lm: &'a dyn Lm) -> Self {
        Self { sampler, writers: Writers::one(lm), writer: Writer::Policy(0) }
    }

    /// The weights.
    pub fn lm(&self) -> &'a dyn Lm {
        self.writers.of(self.writer).0
    }

    fn submit(&mut self, requests: Vec<Request>) -> Result<Ticket> {
        if let Writer::Policy(version) = self.writer {
            self.sampler.publish(version, self.writers.current)?;
        }
        self.sampler.submit(self.writer, requests)
    }

    /// Completions of `requests`: `result[r][s]` belongs to `requests[r].seeds[s]`.
    pub fn sample(&mut self, requests: Vec<Request>) -> Result<Vec<Vec<SampledCompletion>>> {
        let ticket = self.submit(requests)?;
        self.sampler.collect(ticket, &self.writers)
    }

    /// The same, with `on_end` told of each.
    pub fn sample_telling(&mut self, requests: Vec<Request>, on_end: &mut OnEnd) -> Result<Vec<Vec<SampledCompletion>>> {
        let ticket = self.submit(requests)?;
        self.sampler.collect_telling(ticket, &self.writers, on_end)
    }
}
