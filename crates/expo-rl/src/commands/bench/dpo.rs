//! Steps of DPO on pairs that share their prompt.

use std::time::Instant;

use expo_core::objective::preference::{Pair, sequences};
use expo_core::train::{Trainable, forward_backward, score};
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
    const BETA: f64 = 0.1;
    let vocab = model.config.vocab_size;
    let tokens = |seed: usize, count: usize| -> Vec<u32> { (0..count).map(|t| token(vocab, seed, t)).collect() };
    let pair = |i: usize| Pair {
        prompt: tokens(3 * i, shape.prompt),
        chosen: tokens(3 * i + 1, shape.new),
        rejected: tokens(3 * i + 2, shape.new),
        reference_chosen: Vec::new(),
        reference_rejected: Vec::new(),
    };
    let mut pairs: Vec<Pair> = (0..shape.pairs).map(pair).collect();
    let reference = shape.live.then(|| model.duplicate());
    let mut trainable = Trainable { workspace: Workspace::default(), gradients: model.new_gradients() };
    let mut optimizer = AdamW::new(model, AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 });
    if !shape.live {
        refer(model, &mut trainable.workspace, &mut pairs, max_tokens_per_micro_batch)?;
    }
    let mut measured = Vec::new();
    for _ in 0..=runs {
        trainable.workspace.seconds = Default::default();
        let start = Instant::now();
        if let Some(reference) = &reference {
            refer(reference, &mut trainable.workspace, &mut pairs, max_tokens_per_micro_batch)?;
        }
        let referred = start.elapsed().as_secs_f64();
        trainable.workspace.seconds = Default::default();
        forward_backward(model, &mut trainable, &sequences(&pairs, BETA), max_tokens_per_micro_batch, false)?;
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

/// Fills in the reference's log-probabilities.
fn refer(reference: &Model, workspace: &mut Workspace, pairs: &mut [Pair], budget: usize) -> anyhow::Result<()> {
    let mut measured = score(reference, workspace, &sequences(pairs, 0.0), budget)?.into_iter();
    for pair in pairs {
        let mut next = || measured.next().map(|side| side.log_probs).unwrap_or_default();
        pair.reference_chosen = next();
        pair.reference_rejected = next();
    }
    Ok(())
}
