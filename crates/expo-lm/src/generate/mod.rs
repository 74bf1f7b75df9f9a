//! Generation: continuous batching over a paged KV cache, prompts prefilled once for all their samples.
//!
//! (interface draft; being filled in on branch `engine`)

use crate::error::Result;
use crate::model::Model;

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

/// Generates all samples of all requests; `result[r][s]` belongs to `requests[r].seeds[s]`. A completion depends only on the weights, its
/// prompt, its sampling parameters and its seed, not on what is decoded beside it.
/// Errors: an empty prompt, a prompt as long as the context.
pub fn generate(
    model: &Model,
    config: &EngineConfig,
    requests: &[Request],
    on_token: &mut dyn FnMut(TokenEvent),
) -> Result<Vec<Vec<Generated>>> {
    let _ = (model, config, requests, on_token);
    todo!()
}
