//! Generation: continuous batching over a paged KV cache, prompts prefilled once for all their samples.

mod cache;
mod engine;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::model::LanguageModel;
use engine::Engine;

/// Models with fewer parameters are decoded by one engine a thread, since their products are too small to share between threads.
const ENGINE_PER_THREAD_BELOW: usize = 8_000_000;

/// How the next token is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// 0: greedy. Otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the k most likely tokens (0: all).
    pub top_k: usize,
    /// Keep the smallest set whose probability reaches this (1: all).
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely one (0: all).
    pub min_p: f32,
    /// Longest completion, in tokens.
    pub max_new_tokens: usize,
    /// A completion ends with any of these (the token is part of it).
    pub stop_token_ids: Vec<u32>,
}

/// One prompt and its samples: one completion for each seed.
#[derive(Debug, Clone)]
pub struct Request {
    /// Prompt tokens (not empty).
    pub prompt: Vec<u32>,
    /// One random stream, and so one completion, a seed.
    pub seeds: Vec<u64>,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token was drawn.
    Stop,
    /// `max_new_tokens` or the context's end was reached.
    Length,
    /// It was given up before its end, as where a server that samples went away; this engine never does that.
    Abort,
}

/// One sampled completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Sampled token ids, the stop token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the distribution it was really drawn from (temperature and truncation applied; greedy: T = 1).
    pub log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
}

/// Limits of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Most sequences decoded at once.
    pub max_num_seqs: usize,
}

/// Where generation spent its time, in seconds of wall time (with several engines their mean).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GenerationSeconds {
    /// Running prompts.
    pub prefill: f64,
    /// Running and drawing new tokens, one of each sequence at a time.
    pub decode: f64,
}

impl std::ops::AddAssign for GenerationSeconds {
    fn add_assign(&mut self, other: Self) {
        self.prefill += other.prefill;
        self.decode += other.decode;
    }
}

/// What [`generate`] returns.
#[derive(Debug, Clone)]
pub struct Generation {
    /// `completions[r][s]` belongs to `requests[r].seeds[s]`.
    pub completions: Vec<Vec<Generated>>,
    /// Where the time went.
    pub seconds: GenerationSeconds,
}

/// A sampled token, for streaming: request index, sample index, token id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEvent {
    /// Index into the requests.
    pub request: usize,
    /// Index into that request's seeds.
    pub sample: usize,
    /// The token.
    pub token: u32,
}

/// Generates all samples of all requests. A completion depends only on the weights, its
/// prompt, its sampling parameters and its seed, not on what is decoded beside it, nor on the number of threads. `on_token` hears of every
/// token when it is drawn; tokens of one sample come in order.
/// Errors: an empty prompt, a prompt that fills the context, a token outside the vocabulary, sampling parameters out of range.
pub fn generate<B: Backend>(
    model: &LanguageModel<B>,
    config: &EngineConfig,
    requests: &[Request],
    on_token: &mut (dyn FnMut(TokenEvent) + Send),
) -> Result<Generation> {
    for (i, request) in requests.iter().enumerate() {
        check(model, i, request)?;
    }
    let threads = rayon::current_num_threads();
    if threads == 1 || requests.len() < 2 * threads || model.num_parameters() >= ENGINE_PER_THREAD_BELOW {
        return Ok(Engine::new(model, requests, config.max_num_seqs).run(on_token));
    }
    // Every engine in a pool of one thread, so that its products are not cut up and handed around.
    let chunk = requests.len().div_ceil(threads);
    let on_token = Mutex::new(on_token);
    let part = |(c, part): (usize, &[Request])| {
        let mut announce = |event: TokenEvent| {
            let mut on_token = on_token.lock().unwrap_or_else(|e| e.into_inner());
            on_token(TokenEvent { request: c * chunk + event.request, ..event });
        };
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = alone.map_err(|e| Error::Invalid(format!("no thread could be started for generation: {e}")))?;
        Ok(alone.install(|| Engine::new(model, part, config.max_num_seqs.div_ceil(threads)).run(&mut announce)))
    };
    let parts: Vec<Generation> = std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> = requests.chunks(chunk).enumerate().map(|(c, requests)| scope.spawn(move || part((c, requests)))).collect();
        running.into_iter().map(|engine| engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect::<Result<_>>()
    })?;
    let engines = parts.len() as f64;
    let mut all = Generation { completions: Vec::with_capacity(requests.len()), seconds: GenerationSeconds::default() };
    for part in parts {
        all.completions.extend(part.completions);
        all.seconds += GenerationSeconds { prefill: part.seconds.prefill / engines, decode: part.seconds.decode / engines };
    }
    Ok(all)
}

fn check<B: Backend>(model: &LanguageModel<B>, i: usize, request: &Request) -> Result<()> {
    let (vocab, context) = (model.config.vocab_size, model.config.max_position_embeddings);
    let invalid = |message: String| Err(Error::Invalid(format!("generation request {i}: {message}")));
    let Request { prompt, sampling: s, .. } = request;
    if prompt.is_empty() {
        return invalid("the prompt has no tokens".to_owned());
    }
    if prompt.len() >= context {
        return invalid(format!("the prompt has {} tokens, the model's context is {context}; shorten the prompt", prompt.len()));
    }
    if let Some(token) = prompt.iter().find(|t| **t as usize >= vocab) {
        return invalid(format!("token id {token} is outside the model's vocabulary of {vocab}"));
    }
    if !s.temperature.is_finite() || s.temperature < 0.0 {
        return invalid(format!("temperature is {}, expected 0 or more", s.temperature));
    }
    if !(s.top_p > 0.0 && s.top_p <= 1.0) {
        return invalid(format!("top_p is {}, expected above 0 and at most 1", s.top_p));
    }
    if !(0.0..=1.0).contains(&s.min_p) {
        return invalid(format!("min_p is {}, expected 0 to 1", s.min_p));
    }
    if s.max_new_tokens == 0 {
        return invalid("max_new_tokens is 0, expected at least 1".to_owned());
    }
    Ok(())
}
