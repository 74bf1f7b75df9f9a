//! Sampling with this process's own engine: the trainer's weights and precision, no copy.

use std::collections::BTreeMap;

use super::{OnEnd, SampledCompletion, Sampler, Ticket, VersionSpan};
use crate::error::{Error, Result};
use crate::policy::Lm;
use crate::policy::policies::{Writer, Writers};
use expo_lm::generate::{Generated, GenerationSeconds, Request, TokenEvent};

/// [`Lm::generate`] as a sampler: nothing is published, and `collect` samples.
pub struct LocalSampler {
    max_num_seqs: usize,
    seconds: GenerationSeconds,
    tickets: u64,
    submitted: BTreeMap<Ticket, (Writer, Vec<Request>)>,
}

impl LocalSampler {
    /// Decodes at most `max_num_seqs` sequences at once.
    pub fn new(max_num_seqs: usize) -> Self {
        Self { max_num_seqs, seconds: GenerationSeconds::default(), tickets: 0, submitted: BTreeMap::new() }
    }

    fn sample(&mut self, ticket: Ticket, writers: &Writers, on_end: Option<&mut OnEnd>) -> Result<Vec<Vec<SampledCompletion>>> {
        let unknown = || Error::Engine(format!("no requests wait under ticket {}: each is collected once", ticket.0));
        let (writer, requests) = self.submitted.remove(&ticket).ok_or_else(unknown)?;
        let (lm, version) = writers.of(writer);
        let generation = match on_end {
            None => lm.generate(&requests, self.max_num_seqs, &mut |_| {})?,
            Some(on_end) => {
                let mut open = Open::new(&requests, lm.context());
                lm.generate(&requests, self.max_num_seqs, &mut |event| open.push(event, on_end))?
            }
        };
        self.seconds += generation.seconds;
        let completion = |Generated { tokens, log_probs, finish }| {
            let versions = vec![VersionSpan { version, tokens: 0..tokens.len() }];
            SampledCompletion { tokens, log_probs, finish, versions, extra: BTreeMap::new() }
        };
        Ok(generation.completions.into_iter().map(|samples| samples.into_iter().map(completion).collect()).collect())
    }
}

impl Sampler for LocalSampler {
    fn publish(&mut self, _version: u64, _policy: &dyn Lm) -> Result<()> {
        Ok(())
    }
    fn submit(&mut self, writer: Writer, requests: Vec<Request>) -> Result<Ticket> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.submitted.insert(ticket, (writer, requests));
        Ok(ticket)
    }
    fn collect(&mut self, ticket: Ticket, writers: &Writers) -> Result<Vec<Vec<SampledCompletion>>> {
        self.sample(ticket, writers, None)
    }
    fn collect_telling(&mut self, ticket: Ticket, writers: &Writers, on_end: &mut OnEnd) -> Result<Vec<Vec<SampledCompletion>>> {
        self.sample(ticket, writers, Some(on_end))
    }
    fn take_seconds(&mut self) -> GenerationSeconds {
        std::mem::take(&mut self.seconds)
    }
    fn matches_trainer(&self) -> bool {
        true
    }
}

/// Samples that have not ended, by request and number.
struct Open<'a> {
    requests: &'a [Request],
    context: usize,
    tokens: Vec<Vec<Vec<u32>>>,
}

impl<'a> Open<'a> {
    fn new(requests: &'a [Request], context: usize) -> Self {
        Self { requests, context, tokens: requests.iter().map(|request| vec![Vec::new(); request.seeds.len()]).collect() }
    }

    /// Takes a token, and tells where its sample has ended with it: by the engine's own rules.
    fn push(&mut self, TokenEvent { request, sample, token }: TokenEvent, on_end: &mut OnEnd) {
        let Request { prompt, sampling, .. } = &self.requests[request];
        let tokens = &mut self.tokens[request][sample];
        tokens.push(token);
        let limit = sampling.max_new_tokens.min(self.context - prompt.len());
        if tokens.len() == limit || sampling.stop_token_ids.contains(&token) {
            on_end(request, sample, &std::mem::take(tokens));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cpu::CpuLm;
    use crate::testing::run::{END, tiny_model};
    use expo_lm::generate::SamplingParams;

    #[test]
    fn completions_are_told_of_as_they_end_and_collected_once() {
        let lm = CpuLm::new(tiny_model(3), 64);
        let sampling =
            SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 9, stop_token_ids: vec![END, 3] };
        let requests: Vec<Request> =
            (0..5).map(|i| Request { prompt: vec![1 + i, 2], seeds: vec![7, 8, u64::from(i)], sampling: sampling.clone() }).collect();
        let mut sampler = LocalSampler::new(4);
        let [first, second] = [0, 1].map(|version| sampler.submit(Writer::Policy(version), requests.clone()).unwrap());
        let mut told = Vec::new();
        let on_end = &mut |request: usize, sample: usize, tokens: &[u32]| told.push((request, sample, tokens.to_vec()));
        let completions = sampler.collect_telling(second, &Writers::one(&lm), on_end).unwrap();
        told.sort();
        let all = completions.iter().enumerate();
        let expected: Vec<_> =
            all.flat_map(|(r, samples)| samples.iter().enumerate().map(move |(s, sample)| (r, s, sample.tokens.clone()))).collect();
        assert_eq!(told, expected);
        assert!(completions.concat().iter().all(|one| one.versions == [VersionSpan { version: Some(1), tokens: 0..one.tokens.len() }]));
        // The same requests, the same completions; and no ticket twice.
        let again = sampler.collect(first, &Writers::one(&lm)).unwrap();
        assert!(again.concat().iter().zip(completions.concat()).all(|(a, b)| a.tokens == b.tokens && a.log_probs == b.log_probs));
        assert!(sampler.collect(first, &Writers::one(&lm)).unwrap_err().to_string().contains("collected once"));
    }
}
