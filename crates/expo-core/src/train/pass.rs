//! One pass over an optimizer step's sequences: micro-batches, gradients, loss and what is measured on the way.

use std::collections::BTreeMap;

use super::pack::{Packed, micro_batches};
use crate::error::Result;
use crate::objective::{Sequence, Term};
use expo_lm::TokenScore;
use expo_lm::model::{Gradients, Model, Workspace};

/// What a forward pass says of one sequence's completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Log-probability of each completion token at the sequence's temperature.
    pub log_probs: Vec<f64>,
    /// Entropy of each token's distribution, in nats.
    pub entropies: Vec<f64>,
    /// Log-probabilities at temperature 1, where asked for and different.
    unit_log_probs: Vec<f64>,
    /// Tokens whose policy gradient the clip takes away.
    pub clipped: usize,
}

impl Measured {
    /// Mean negative log-likelihood per token at temperature 1, in nats.
    pub fn nll(&self) -> f64 {
        let log_probs = if self.unit_log_probs.is_empty() { &self.log_probs } else { &self.unit_log_probs };
        -log_probs.iter().sum::<f64>() / log_probs.len().max(1) as f64
    }
}

/// The outcome of a pass.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// The whole loss.
    pub loss: f64,
    /// Each term's value, without its coefficient.
    pub terms: BTreeMap<Term, f64>,
    /// One entry a sequence, in their order.
    pub measured: Vec<Measured>,
    /// Tokens that went through a forward and a backward pass.
    pub trained_tokens: usize,
}

/// Memory for activations and gradients, kept between steps.
pub struct Trainable {
    /// Activations.
    pub workspace: Workspace,
    /// Gradients, accumulated over micro-batches.
    pub gradients: Gradients,
}

/// Runs `sequences` through `model` in micro-batches of at most `budget` tokens and accumulates the gradients of the whole loss (zeroed
/// first). Sequences without any gradient (zero advantage, zero weight) only go forward. The weights and denominators in `sequences` are those of the whole
/// step, so the result does not depend on `budget` beyond rounding.
pub fn forward_backward(
    model: &Model,
    trainable: &mut Trainable,
    sequences: &[Sequence],
    budget: usize,
    unit_temperature: bool,
) -> Result<Pass> {
    trainable.gradients.zero();
    let mut pass = Pass { measured: vec![Measured::default(); sequences.len()], ..Pass::default() };
    let (with_gradient, forward_only): (Vec<usize>, Vec<usize>) = (0..sequences.len()).partition(|i| sequences[*i].needs_gradient());
    for (indices, backward) in [(with_gradient, true), (forward_only, false)] {
        let lengths: Vec<usize> = indices.iter().map(|i| sequences[*i].len()).collect();
        for range in micro_batches(&lengths, budget) {
            let indices = &indices[range];
            let packed = Packed::new(indices.iter().map(|i| &sequences[*i]), unit_temperature);
            let scores = if backward {
                let weight = |target: usize, log_prob: f64| {
                    let owner = packed.owners[target];
                    if owner.unit_temperature { 0.0 } else { sequences[indices[owner.sequence]].derivative(owner.token, log_prob) }
                };
                pass.trained_tokens += packed.batch.tokens.len();
                model.forward_backward(&mut trainable.workspace, &packed.batch, &mut trainable.gradients, &weight)?
            } else {
                model.score(&mut trainable.workspace, &packed.batch)?
            };
            collect(&packed, &scores, &mut pass.measured, |i| indices[i]);
        }
    }
    add_up(sequences, &mut pass);
    Ok(pass)
}

/// Log-probabilities of every sequence's completion, without gradients.
pub fn score(model: &Model, workspace: &mut Workspace, sequences: &[Sequence], budget: usize) -> Result<Vec<Measured>> {
    let mut measured = vec![Measured::default(); sequences.len()];
    let lengths: Vec<usize> = sequences.iter().map(Sequence::len).collect();
    for range in micro_batches(&lengths, budget) {
        let packed = Packed::new(&sequences[range.clone()], false);
        let scores = model.score(workspace, &packed.batch)?;
        collect(&packed, &scores, &mut measured, |i| range.start + i);
    }
    Ok(measured)
}

/// Hands each target's score to its sequence, `measured[index(i)]` for the i-th of the packed ones.
fn collect(packed: &Packed, scores: &[TokenScore], measured: &mut [Measured], index: impl Fn(usize) -> usize) {
    for (owner, score) in packed.owners.iter().zip(scores) {
        let measured = &mut measured[index(owner.sequence)];
        if owner.unit_temperature {
            measured.unit_log_probs.push(score.log_prob);
        } else {
            measured.log_probs.push(score.log_prob);
            measured.entropies.push(score.entropy);
        }
    }
}

/// The loss and its terms, from the log-probabilities, in the sequences' order.
fn add_up(sequences: &[Sequence], pass: &mut Pass) {
    for (sequence, measured) in sequences.iter().zip(&mut pass.measured) {
        for loss in &sequence.losses {
            let sum: f64 = measured.log_probs.iter().enumerate().map(|(token, log_prob)| loss.token_loss(token, *log_prob).value).sum();
            measured.clipped +=
                measured.log_probs.iter().enumerate().filter(|(token, log_prob)| loss.is_clipped(*token, **log_prob)).count();
            *pass.terms.entry(loss.term).or_default() += loss.token_weight * sum;
            pass.loss += loss.weight() * sum;
        }
    }
}
