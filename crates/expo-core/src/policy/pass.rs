//! What a pass over an optimizer step's sequences found, and the loss that follows from it.

use std::collections::BTreeMap;

use crate::objective::sequence::{Sequence, partner_of};
use crate::objective::term::Term;
use crate::objective::value::Scores;

/// What a forward pass says of one sequence's completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Log-probability of each scored token at the sequence's temperature.
    pub log_probs: Vec<f64>,
    /// Entropy of each token's distribution, in nats.
    pub entropies: Vec<f64>,
    /// Log-probabilities at temperature 1, where asked for and different.
    pub(crate) unit_log_probs: Vec<f64>,
    /// Divergence of each token's distribution from the teacher's, as far as it counts, where the sequence has such a term.
    pub divergences: Vec<f64>,
    /// Tokens whose policy gradient the clip takes away.
    pub clipped: usize,
}

impl Measured {
    /// Mean negative log-likelihood per token at temperature 1, in nats.
    pub fn nll(&self) -> f64 {
        let log_probs = self.unit_log_probs();
        -log_probs.iter().sum::<f64>() / log_probs.len().max(1) as f64
    }

    /// Log-probability of each token at temperature 1, where that is the sequence's or was asked for.
    pub fn unit_log_probs(&self) -> &[f64] {
        if self.unit_log_probs.is_empty() { &self.log_probs } else { &self.unit_log_probs }
    }

    /// What a loss uses of it.
    pub fn scores(&self) -> Scores<'_> {
        Scores { log_probs: &self.log_probs, entropies: &self.entropies, divergences: &self.divergences }
    }
}

/// What a pass with gradients found.
#[derive(Debug, Clone, Default)]
pub struct Accumulated {
    /// One entry a sequence, in their order.
    pub measured: Vec<Measured>,
    /// Tokens that went through a forward and a backward pass.
    pub trained_tokens: usize,
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

impl Pass {
    /// The loss of `sequences` and its terms, from what was measured of them, in their order.
    pub fn of(sequences: &[Sequence], Accumulated { measured, trained_tokens }: Accumulated) -> Self {
        let mut pass = Self { measured, trained_tokens, ..Self::default() };
        for (i, sequence) in sequences.iter().enumerate() {
            let scores = pass.measured[i].scores();
            let partner = partner_of(sequence, i).map(|p| pass.measured[p].scores());
            let mut clipped = 0;
            for loss in &sequence.losses {
                let value = loss.kind.evaluate(scores, partner).value;
                clipped += loss.clipped(scores.log_probs);
                *pass.terms.entry(loss.term).or_default() += loss.token_weight * value;
                pass.loss += loss.weight() * value;
            }
            pass.measured[i].clipped += clipped;
        }
        pass
    }
}
