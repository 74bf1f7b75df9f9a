//! Steps of DPO on pairs that share their prompt.

use std::time::Instant;

use expo_core::config::DpoSection;
use expo_core::draw::pairs::score_pairs;
use expo_core::objective::preference::{Pair, Preferences, Reference};
use expo_core::policy::cpu::pass::{Trainable, forward_backward};
use expo_lm::model::{Model, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};

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

/// Runs of: log-probabilities under the reference (when live), forward, backward, gradient norm, AdamW.
pub fn runs(model: &mut Model, shape: Shape, max_tokens_per_micro_batch: usize, runs: usize) -> anyhow::Result<Vec<Run>> {
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
    let reference = shape.live.then(|| model.duplicate());
    let mut trainable = Trainable { workspace: Workspace::default(), gradients: model.new_gradients() };
    let mut optimizer = AdamW::new(model, AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 });
    if !shape.live {
        score_pairs(model, &mut trainable.workspace, &mut pairs, max_tokens_per_micro_batch)?;
    }
    let mut measured = Vec::new();
    for _ in 0..=runs {
        trainable.workspace.seconds = Default::default();
        let start = Instant::now();
        if let Some(reference) = &reference {
            score_pairs(reference, &mut trainable.workspace, &mut pairs, max_tokens_per_micro_batch)?;
        }
        let referred = start.elapsed().as_secs_f64();
        trainable.workspace.seconds = Default::default();
        forward_backward(model, &mut trainable, &preferences.sequences(&pairs), max_tokens_per_micro_batch, false)?;
        let passed = start.elapsed().as_secs_f64();
        let norm = trainable.gradients.norm();
        optimizer.step(model, &trainable.gradients, 1e-6, (1.0 / norm).min(1.0));
        let seconds = start.elapsed().as_secs_f64();
        let mut phases = vec![("reference".to_owned(), referred)];
        phases.extend(pass_phases(trainable.workspace.seconds));
        phases.push(("optimizer".to_owned(), seconds - passed));
        measured.push(Run { seconds, phases });
    }
    Ok(measured.split_off(1))
}
