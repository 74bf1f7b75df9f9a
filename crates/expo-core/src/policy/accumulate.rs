//! A pass with gradients over sequences with any terms. Those that an engine doesn't evaluate within its pass are evaluated here: the sequences are scored, and the engine
//! gets the gradient by each token's score.

use super::pass::{Accumulated, Measured, Pass};
use super::{Accumulation, Policy};
use crate::error::{Error, Result};
use crate::objective::loss::{LossKind, SequenceLoss};
use crate::objective::sequence::{Sequence, partner_of};
use expo_lm::ScoreGradient;

/// Puts the gradient of the whole loss of `sequences` into `policy`, and returns the loss: terms that the engine evaluates within its pass there, others by coefficients.
pub fn accumulate(policy: &mut dyn Policy, sequences: &[Sequence], how: &Accumulation) -> Result<Pass> {
    let is_evaluated = |sequence: &Sequence| sequence.losses.iter().all(|loss| policy.evaluates(&loss.kind));
    let accumulated = match sequences.iter().all(is_evaluated) {
        true => policy.accumulate(sequences, how)?,
        false => by_coefficients(policy, sequences, how, &|policy, kind| policy.evaluates(kind))?,
    };
    Ok(Pass::of(sequences, accumulated))
}

/// As [`Policy::accumulate`], for terms of any kind: of those that `evaluates` refuses, `policy` is asked for scores first. With dropout the scores are those
/// without it.
/// Errors: those of the policy; a divergence that it doesn't evaluate, since its gradient is none by scores.
pub fn by_coefficients(
    policy: &mut dyn Policy,
    sequences: &[Sequence],
    how: &Accumulation,
    evaluates: &dyn Fn(&dyn Policy, &LossKind) -> bool,
) -> Result<Accumulated> {
    let is_other = |sequence: &Sequence| sequence.losses.iter().any(|loss| !evaluates(&*policy, &loss.kind));
    // A pair's two sides are scored together.
    let asked: Vec<bool> = (0..sequences.len())
        .map(|i| is_other(&sequences[i]) || partner_of(&sequences[i], i).is_some_and(|partner| is_other(&sequences[partner])))
        .collect();
    let plain: Vec<Sequence> = sequences.iter().zip(&asked).filter(|(_, asked)| **asked).map(|(sequence, _)| sequence.clone()).collect();
    let mut scored = policy.score(&plain)?.into_iter();
    let measured: Vec<Measured> =
        asked.iter().map(|asked| if *asked { scored.next().unwrap_or_default() } else { Measured::default() }).collect();
    let mut coefficients = Vec::with_capacity(sequences.len());
    for (i, sequence) in sequences.iter().enumerate() {
        let (scores, partner) = (measured[i].scores(), partner_of(sequence, i).map(|partner| measured[partner].scores()));
        let mut sum = vec![ScoreGradient::default(); scores.log_probs.len()];
        for loss in sequence.losses.iter().filter(|loss| asked[i] && !evaluates(&*policy, &loss.kind)) {
            if matches!(loss.kind, LossKind::Divergence(_)) {
                return Err(Error::Engine(format!("the engine has no gradient of the term `{}`, a divergence", loss.term.name())));
            }
            for (sum, by) in sum.iter_mut().zip(loss.kind.evaluate(scores, partner).gradients) {
                sum.log_prob += loss.weight() * by.log_prob;
                sum.entropy += loss.weight() * by.entropy;
            }
        }
        coefficients.push(sum);
    }
    let linear: Vec<Sequence> = sequences
        .iter()
        .zip(&coefficients)
        .zip(&asked)
        .map(|((sequence, coefficients), asked)| {
            if !asked {
                return sequence.clone();
            }
            let kept = sequence.losses.iter().filter(|loss| evaluates(&*policy, &loss.kind)).cloned();
            let of_other = sequence.losses.iter().find(|loss| !evaluates(&*policy, &loss.kind));
            let linear =
                of_other.map(|loss| SequenceLoss { coefficient: 1.0, token_weight: 1.0, kind: LossKind::Linear(coefficients), ..*loss });
            Sequence { losses: kept.chain(linear).collect(), ..sequence.clone() }
        })
        .collect();
    policy.accumulate(&linear, how)
}
