//! Training steps on packed sequences.

use std::time::Instant;

use expo_lm::model::{Model, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};
use expo_lm::{LossGradient, PackedBatch};

use super::{Run, pass_phases, token};

/// Runs of forward, backward, gradient norm and AdamW, every token scored.
pub fn runs(
    model: &mut Model,
    batch: usize,
    seq: usize,
    gradient_checkpointing: bool,
    adamw_8bit: bool,
    runs: usize,
) -> anyhow::Result<Vec<Run>> {
    let mut packed = PackedBatch::new();
    for s in 0..batch {
        let tokens: Vec<u32> = (0..seq).map(|t| token(model.config.vocab_size, s, t)).collect();
        packed.push(&tokens[..1], &tokens[1..], 1.0);
    }
    let weight = -1.0 / packed.targets.len().max(1) as f64;
    let mut workspace = Workspace::new(gradient_checkpointing);
    let mut gradients = model.new_gradients();
    let config = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    let mut optimizer = if adamw_8bit { AdamW::new_8bit(model, config) } else { AdamW::new(model, config) };
    let mut measured = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        gradients.zero();
        model.forward_backward(&mut workspace, &packed, &mut gradients, LossGradient::PerToken(&|_, _| weight))?;
        let passes = start.elapsed().as_secs_f64();
        let norm = gradients.norm();
        optimizer.step(model, &gradients, 1e-6, (1.0 / norm).min(1.0));
        let seconds = start.elapsed().as_secs_f64();
        let mut phases = pass_phases(std::mem::take(&mut workspace.seconds));
        phases.push(("optimizer".to_owned(), seconds - passes));
        measured.push(Run { seconds, phases });
    }
    Ok(measured.split_off(1))
}
