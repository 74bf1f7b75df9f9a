//! Generation at temperature 0.7, all completions of full length.

use std::time::Instant;

use expo_lm::generate::{EngineConfig, GenerationSeconds, Request, SamplingParams, generate};
use expo_lm::model::Model;

use super::{Run, token};

/// Runs of `batch` prompts of `prompt` tokens with `new` new tokens each.
pub fn runs(model: &Model, batch: usize, prompt: usize, new: usize, runs: usize) -> anyhow::Result<Vec<Run>> {
    let sampling = SamplingParams { temperature: 0.7, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: new, stop_token_ids: vec![] };
    let requests: Vec<Request> = (0..batch)
        .map(|s| Request {
            prompt: (0..prompt).map(|t| token(model.config.vocab_size, s, t)).collect(),
            seeds: vec![s as u64],
            sampling: sampling.clone(),
        })
        .collect();
    let mut measured = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        let generation = generate(model, &EngineConfig { max_num_seqs: batch }, &requests, &mut |_| {})?;
        let seconds = start.elapsed().as_secs_f64();
        let GenerationSeconds { prefill, decode } = generation.seconds;
        measured.push(Run { seconds, phases: vec![("prefill".to_owned(), prefill), ("decode".to_owned(), decode)] });
    }
    Ok(measured.split_off(1))
}
