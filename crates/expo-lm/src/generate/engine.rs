//! Continuous batching: a finished sequence leaves and the next one enters at the following step.

use std::collections::VecDeque;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cache::{KvCache, Pages};
use super::{FinishReason, Generated, Generation, GenerationSeconds, Request, TokenEvent};
use crate::batch::Segment;
use crate::kernels::{Backend, CacheSlot, Draw, LinearShape};
use crate::model::{Keep, LanguageModel, WorkspaceOn, head_layout};

/// Most prompt tokens prefilled in one pass.
const PREFILL_TOKENS: usize = 2048;

/// A prompt whose samples have not all started: its cache holds all but its last token.
struct Prompt {
    request: usize,
    pages: Pages,
    started: usize,
}

/// A sequence being decoded.
struct Sequence {
    request: usize,
    sample: usize,
    pages: Pages,
    /// The newest token, not yet in the cache.
    last: u32,
    tokens: Vec<u32>,
    log_probs: Vec<f32>,
    rng: ChaCha8Rng,
    limit: usize,
}

/// One batch of requests on one model.
pub struct Engine<'a, B: Backend> {
    model: &'a LanguageModel<B>,
    requests: &'a [Request],
    workspace: WorkspaceOn<B>,
    cache: KvCache<B>,
    logits: B::Buf,
    max_num_seqs: usize,
    seconds: GenerationSeconds,
}

impl<'a, B: Backend> Engine<'a, B> {
    /// An engine for `requests`, which have been checked.
    pub fn new(model: &'a LanguageModel<B>, requests: &'a [Request], max_num_seqs: usize) -> Self {
        let cache = KvCache::new(model.backend, head_layout(&model.config), model.config.num_hidden_layers);
        let samples: usize = requests.iter().map(|r| r.seeds.len()).sum();
        let max_num_seqs = max_num_seqs.clamp(1, samples.max(1));
        let logits = model.backend.zeros(max_num_seqs * model.config.vocab_size);
        Self { model, requests, workspace: WorkspaceOn::default(), cache, logits, max_num_seqs, seconds: GenerationSeconds::default() }
    }

    /// Generates every sample; `on_token` hears of each token as it is drawn.
    pub fn run(mut self, on_token: &mut dyn FnMut(TokenEvent)) -> Generation {
        let mut results: Vec<Vec<Option<Generated>>> = self.requests.iter().map(|r| vec![None; r.seeds.len()]).collect();
        let mut waiting: VecDeque<usize> = (0..self.requests.len()).filter(|r| !self.requests[*r].seeds.is_empty()).collect();
        let mut prompts: VecDeque<Prompt> = VecDeque::new();
        let mut active: Vec<Sequence> = Vec::new();
        loop {
            let start = Instant::now();
            self.admit(&mut waiting, &mut prompts, &mut active);
            self.seconds.prefill += start.elapsed().as_secs_f64();
            if active.is_empty() {
                break;
            }
            let start = Instant::now();
            self.step(&mut active, on_token);
            self.seconds.decode += start.elapsed().as_secs_f64();
            let requests = self.requests;
            for i in (0..active.len()).rev() {
                let s = &active[i];
                let stopped = requests[s.request].sampling.stop_token_ids.contains(&s.last);
                if stopped || s.tokens.len() >= s.limit {
                    let s = active.remove(i);
                    let finish = if stopped { FinishReason::Stop } else { FinishReason::Length };
                    self.cache.release(s.pages);
                    results[s.request][s.sample] = Some(Generated { tokens: s.tokens, log_probs: s.log_probs, finish });
                }
            }
        }
        let finished = |g: Option<Generated>| g.expect("the loop ends when every sample has finished");
        let completions = results.into_iter().map(|r| r.into_iter().map(finished).collect()).collect();
        Generation { completions, seconds: self.seconds }
    }

    /// Fills free places: samples of prompts that are prefilled first, then new prompts.
    fn admit(&mut self, waiting: &mut VecDeque<usize>, prompts: &mut VecDeque<Prompt>, active: &mut Vec<Sequence>) {
        loop {
            while active.len() < self.max_num_seqs
                && let Some(prompt) = prompts.front_mut()
            {
                active.push(start(&mut self.cache, self.model, self.requests, prompt));
                if prompt.started == self.requests[prompt.request].seeds.len() {
                    let done = prompts.pop_front().expect("it was at the front");
                    self.cache.release(done.pages);
                }
            }
            let free = self.max_num_seqs - active.len();
            if free == 0 || waiting.is_empty() {
                return;
            }
            let (mut taken, mut places, mut tokens) = (Vec::new(), 0, 0);
            while places < free
                && let Some(r) = waiting.front()
                && (taken.is_empty() || tokens + self.requests[*r].prompt.len() <= PREFILL_TOKENS)
            {
                places += self.requests[*r].seeds.len();
                tokens += self.requests[*r].prompt.len();
                taken.push(*r);
                waiting.pop_front();
            }
            prompts.extend(self.prefill(&taken));
        }
    }

    /// Runs the prompts but for their last tokens, and keeps their keys and values.
    fn prefill(&mut self, taken: &[usize]) -> Vec<Prompt> {
        let (mut tokens, mut positions, mut segments, mut slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut prompts = Vec::new();
        for &request in taken {
            let prompt = &self.requests[request].prompt;
            let known = &prompt[..prompt.len() - 1];
            let mut pages = Pages::default();
            for (i, (page, offset)) in self.cache.extend(&mut pages, known.len()).into_iter().enumerate() {
                slots.push(CacheSlot { row: tokens.len() + i, page, offset });
            }
            segments.push(Segment { start: tokens.len(), len: known.len(), prefix: None });
            tokens.extend_from_slice(known);
            positions.extend(0..known.len() as u32);
            prompts.push(Prompt { request, pages, started: 0 });
        }
        if !tokens.is_empty() {
            let (model, cache) = (self.model, &mut self.cache);
            let layout = head_layout(&model.config);
            model.forward(&mut self.workspace, &tokens, &positions, Keep::Nothing, &mut |l, qkv, out, lse| {
                cache.write(l, qkv, &slots);
                model.backend.attention(layout, &segments, model.config.layers[l].window, qkv, out, lse);
            });
        }
        prompts
    }

    /// Feeds every active sequence its newest token and draws the next.
    fn step(&mut self, active: &mut [Sequence], on_token: &mut dyn FnMut(TokenEvent)) {
        let (model, cache, rows) = (self.model, &mut self.cache, active.len());
        let tokens: Vec<u32> = active.iter().map(|s| s.last).collect();
        let positions: Vec<u32> = active.iter().map(|s| s.pages.len() as u32).collect();
        let mut slots = Vec::with_capacity(rows);
        for (row, s) in active.iter_mut().enumerate() {
            let (page, offset) = cache.extend(&mut s.pages, 1)[0];
            slots.push(CacheSlot { row, page, offset });
        }
        let views: Vec<_> = active.iter().map(|s| s.pages.view()).collect();
        model.forward(&mut self.workspace, &tokens, &positions, Keep::Nothing, &mut |l, qkv, out, _| {
            cache.write(l, qkv, &slots);
            cache.attend(l, model.config.layers[l].window, qkv, &views, out);
        });
        drop(views);
        let hidden = self.workspace.hidden.as_ref().expect("filled by the forward pass");
        let shape = LinearShape { rows, inputs: model.config.hidden_size, outputs: model.config.vocab_size };
        model.backend.linear(shape, hidden, &model.params[model.table.head], &mut self.logits, false);
        let draws: Vec<Draw> = active
            .iter_mut()
            .map(|s| {
                let p = &self.requests[s.request].sampling;
                Draw { temperature: p.temperature, top_k: p.top_k, top_p: p.top_p, min_p: p.min_p, uniform: s.rng.random() }
            })
            .collect();
        let drawn = model.backend.sample(model.config.vocab_size, &mut self.logits, &draws);
        for (s, (token, log_prob)) in active.iter_mut().zip(drawn) {
            s.last = token;
            s.tokens.push(token);
            s.log_probs.push(log_prob);
            on_token(TokenEvent { request: s.request, sample: s.sample, token });
        }
    }
}

/// Starts the next sample of a prompt.
fn start<B: Backend>(cache: &mut KvCache<B>, model: &LanguageModel<B>, requests: &[Request], prompt: &mut Prompt) -> Sequence {
    let request = &requests[prompt.request];
    let sample = prompt.started;
    prompt.started += 1;
    Sequence {
        request: prompt.request,
        sample,
        pages: cache.fork(&prompt.pages),
        last: request.prompt[request.prompt.len() - 1],
        tokens: Vec::new(),
        log_probs: Vec::new(),
        rng: ChaCha8Rng::seed_from_u64(request.seeds[sample]),
        limit: request.sampling.max_new_tokens.min(model.config.max_position_embeddings - request.prompt.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Cpu;

    #[test]
    fn pages_are_shared_and_given_back() {
        let layout = crate::kernels::HeadLayout { q_heads: 1, kv_heads: 1, head_dim: 2, scale: 1.0 };
        let mut cache = KvCache::new(Cpu::<f32>::default(), layout, 1);
        let mut prompt = Pages::default();
        cache.extend(&mut prompt, 40); // two full pages and a half
        let (a, b) = (cache.fork(&prompt), cache.fork(&prompt));
        assert_eq!(cache.used(), 5, "two shared pages and three copies of the last");
        cache.release(prompt);
        cache.release(a);
        assert_eq!(cache.used(), 3);
        cache.release(b);
        assert_eq!(cache.used(), 0);
    }
}
