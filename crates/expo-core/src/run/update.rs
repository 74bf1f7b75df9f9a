//! What one optimizer step measured.

use std::collections::BTreeMap;

use super::watchdog::Vitals;
use crate::metrics::{Name, StepMetrics};
use crate::objective::loss::LossKind;
use crate::objective::sequence::{Origin, Sequence};
use crate::objective::term::Term;
use crate::objective::terms;
use crate::policy::pass::{Measured, Pass};
use crate::statistics::mean;

/// What the rollouts of an optimizer step say of the policy.
#[derive(Default)]
pub struct MeasuredRollouts {
    /// Mean negative log-likelihood per token, of each.
    pub nll: Vec<f64>,
    /// Distances between each token's log-probability now and when it was sampled.
    pub distances: Vec<f64>,
    /// k3 KL to the reference of each token.
    kl: Vec<f64>,
    /// Entropies, summed, and tokens.
    entropy: (f64, usize),
    /// Tokens whose policy gradient the clip takes away.
    clipped: usize,
    tokens: usize,
}

impl MeasuredRollouts {
    fn add(&mut self, sequence: &Sequence, measured: &Measured) {
        self.nll.push(measured.nll());
        let sampled = measured.log_probs.iter().zip(sequence.sampler_log_probs);
        self.distances.extend(sampled.map(|(log_prob, sampled)| (log_prob - f64::from(*sampled)).abs()));
        let reference = measured.log_probs.iter().zip(sequence.reference_log_probs);
        self.kl.extend(reference.map(|(log_prob, reference)| terms::kl_k3(*log_prob, *reference).value));
        self.entropy = (self.entropy.0 + measured.entropies.iter().sum::<f64>(), self.entropy.1 + measured.entropies.len());
        self.clipped += measured.clipped;
        self.tokens += measured.log_probs.len();
    }

    /// The largest factor, in either direction, between a token's probability now and when it was sampled.
    fn largest_ratio(&self) -> Option<f64> {
        self.distances.iter().copied().reduce(f64::max).map(f64::exp)
    }
}

/// What one optimizer step reports.
pub struct Update {
    /// The whole loss.
    pub loss: f64,
    /// Each term's value, without its coefficient.
    pub terms: BTreeMap<Term, f64>,
    /// The gradient's norm.
    pub grad_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// Rollouts.
    pub rollouts: MeasuredRollouts,
    /// Mean negative log-likelihood per token of each trace of another policy.
    pub nll_off_policy: Vec<f64>,
    /// The same of each explanation, the answer hidden.
    pub nll_explanation: Vec<f64>,
    /// The same of each expert chain of thought.
    pub nll_expert: Vec<f64>,
    /// Preference pairs.
    pub pairs: MeasuredPairs,
    document_entropy: Option<f64>,
    pair_entropy: Option<f64>,
}

impl Update {
    /// Of an optimizer step on `sequences`.
    pub fn new(sequences: &[Sequence], pass: &Pass, grad_norm: f64, learning_rate: f64) -> Self {
        let of = |wanted: fn(Origin) -> bool| sequences.iter().zip(&pass.measured).filter(move |(sequence, _)| wanted(sequence.origin));
        let mut rollouts = MeasuredRollouts::default();
        of(|origin| matches!(origin, Origin::Rollout { .. })).for_each(|(sequence, measured)| rollouts.add(sequence, measured));
        Self {
            loss: pass.loss,
            terms: pass.terms.clone(),
            grad_norm,
            learning_rate,
            rollouts,
            nll_off_policy: of(|origin| matches!(origin, Origin::OffPolicy { .. })).map(|(_, measured)| measured.nll()).collect(),
            nll_explanation: of(|origin| matches!(origin, Origin::Explanation { .. })).map(|(_, measured)| measured.nll()).collect(),
            nll_expert: of(|origin| matches!(origin, Origin::ExpertCot { .. })).map(|(_, measured)| measured.nll()).collect(),
            pairs: MeasuredPairs::new(sequences, &pass.measured),
            pair_entropy: token_mean(
                of(|origin| matches!(origin, Origin::Chosen { .. } | Origin::Rejected { .. })).map(|(_, measured)| &measured.entropies[..]),
            ),
            document_entropy: token_mean(of(|origin| origin == Origin::Document).map(|(_, measured)| &measured.entropies[..])),
        }
    }

    /// What the watchdog looks at; entropy where `first`, the first update on a batch.
    pub fn vitals(&self, first: bool) -> Vitals {
        Vitals {
            loss: self.loss,
            grad_norm: self.grad_norm,
            ratio: self.rollouts.largest_ratio(),
            kl: self.kl(),
            entropy: self.entropy().filter(|_| first),
        }
    }

    /// Mean entropy over rollout tokens; without rollouts, over the tokens of pairs or documents.
    pub fn entropy(&self) -> Option<f64> {
        let (sum, tokens) = self.rollouts.entropy;
        (tokens > 0).then(|| sum / tokens as f64).or(self.pair_entropy).or(self.document_entropy)
    }

    /// Mean k3 KL to the reference over rollout tokens.
    pub fn kl(&self) -> Option<f64> {
        (!self.rollouts.kl.is_empty()).then(|| mean(&self.rollouts.kl))
    }

    /// The share of rollout tokens whose policy gradient the clip takes away.
    pub fn clip_fraction(&self) -> Option<f64> {
        let MeasuredRollouts { clipped, tokens, .. } = self.rollouts;
        (tokens > 0).then(|| clipped as f64 / tokens as f64)
    }
}

/// The sides of preference pairs, the i-th of one list against the i-th of the other.
pub struct MeasuredPairs {
    /// Chosen sides.
    pub chosen: Vec<MeasuredSide>,
    /// Rejected sides.
    pub rejected: Vec<MeasuredSide>,
}

impl MeasuredPairs {
    /// Those among `sequences`, of which `measured` are the measurements.
    pub fn new(sequences: &[Sequence], measured: &[Measured]) -> Self {
        let of = |wanted: fn(Origin) -> bool| {
            sequences.iter().zip(measured).filter(move |(sequence, _)| wanted(sequence.origin)).filter_map(side).collect()
        };
        Self {
            chosen: of(|origin| matches!(origin, Origin::Chosen { .. })),
            rejected: of(|origin| matches!(origin, Origin::Rejected { .. })),
        }
    }

    /// How the implicit rewards of the two sides compare, means over pairs: TRL's accuracies and margins, under these names.
    pub fn add_margins(&self, accuracies_name: Name, margins_name: Name, metrics: &mut StepMetrics) {
        let rewards = || self.chosen.iter().zip(&self.rejected).map(|(chosen, rejected)| (chosen.reward, rejected.reward));
        let accuracies = rewards().map(|(chosen, rejected)| f64::from(u8::from(chosen > rejected)));
        metrics.set_mean(accuracies_name, accuracies);
        metrics.set_mean(margins_name, rewards().map(|(chosen, rejected)| chosen - rejected));
    }
}

/// One side of a pair.
pub struct MeasuredSide {
    /// Its log-likelihood.
    pub log_prob: f64,
    /// Its implicit reward.
    pub reward: f64,
    /// Its negative log-likelihood per token.
    pub nll: f64,
}

fn side((sequence, measured): (&Sequence, &Measured)) -> Option<MeasuredSide> {
    sequence.losses.iter().find_map(|loss| match &loss.kind {
        LossKind::Preference(side) => {
            Some(MeasuredSide { log_prob: measured.log_probs.iter().sum(), reward: side.reward(&measured.log_probs), nll: measured.nll() })
        }
        _ => None,
    })
}

fn token_mean<'a>(sequences: impl Iterator<Item = &'a [f64]>) -> Option<f64> {
    let (count, sum) = sequences.fold((0, 0.0), |(count, sum), values| (count + values.len(), sum + values.iter().sum::<f64>()));
    (count > 0).then(|| sum / count as f64)
}
