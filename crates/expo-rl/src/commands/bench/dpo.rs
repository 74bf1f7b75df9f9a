//! Steps of DPO on pairs that share their prompt.

use std::time::Instant;

use expo_core::config::{Config, DpoSection};
use expo_core::draw::pairs::score_pairs;
use expo_core::objective::dpo::Preferences;
use expo_core::objective::preference::{Pair, Reference};
use expo_core::policy::accumulate::accumulate;
use expo_core::policy::cpu::CpuPolicy;
use expo_core::policy::{Accumulation, Lm, Policy};
use expo_lm::model::Model;

use super::{Run, pass_phases, token};

/// The shape of a step.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Pairs.
    pub pairs: usize,
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Tokens of each side.
    pub new: usize,
    /// Whether the reference policy's log-probabilities are computed in every step (or known beforehand).
    pub live: bool,
}

/// Runs of: log-probabilities under the reference (when live), forward, backward, gradient norm, AdamW. Returns them and the model.
pub fn runs(model: Model, shape: Shape, max_tokens_per_micro_batch: usize, runs: usize) -> anyhow::Result<(Vec<Run>, Model)> {
    let vocab = model.config.vocab_size;
    let tokens = |seed: usize, count: usize| -> Vec<u32> { (0..count).map(|t| token(vocab, seed, t)).collect() };
    let pair = |i: usize| Pair {
        id: i.to_string(),
        prompt: tokens(3 * i, shape.prompt),
        chosen: tokens(3 * i + 1, shape.new),
        rejected: tokens(3 * i + 2, shape.new),
        reference: Reference::default(),
        ..Pair::default()
    };
    let mut pairs: Vec<Pair> = (0..shape.pairs).map(pair).collect();
    let preferences = Preferences::new(&DpoSection::default());
    let mut config = Config::default();
    config.train.max_tokens_per_micro_batch = max_tokens_per_micro_batch;
    let mut policy = CpuPolicy::new(&config, model)?;
    let reference = shape.live.then(|| policy.duplicate()).transpose()?;
    if !shape.live {
        score_pairs(&policy, &mut pairs)?;
    }
    let mut measured = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        if let Some(reference) = &reference {
            score_pairs(reference.as_ref(), &mut pairs)?;
        }
        let referred = start.elapsed().as_secs_f64();
        policy.take_seconds();
        accumulate(&mut policy, &preferences.sequences(&pairs), &Accumulation::default())?;
        let passed = start.elapsed().as_secs_f64();
        let norm = policy.grad_norm()?;
        policy.apply(1e-6, (1.0 / norm).min(1.0))?;
        let seconds = start.elapsed().as_secs_f64();
        let mut phases = vec![("reference".to_owned(), referred)];
        phases.extend(pass_phases(policy.take_seconds()));
        phases.push(("optimizer".to_owned(), seconds - passed));
        measured.push(Run { seconds, phases });
    }
    Ok((measured.split_off(1), policy.into_model()))
}
