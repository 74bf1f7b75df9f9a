//! Preference losses: a chosen completion against a rejected one of the same prompt.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::value::SequenceValue;
use crate::config::PairLoss;
use expo_lm::ScoreGradient;

/// A chosen and a rejected completion of one prompt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pair {
    /// What it is called in files: of a preference its id, else that of its problem.
    pub id: String,
    /// Prompt tokens (not empty).
    pub prompt: Vec<u32>,
    /// Chosen completion (not empty).
    pub chosen: Vec<u32>,
    /// Rejected completion (not empty).
    pub rejected: Vec<u32>,
    /// The tokens of the chosen completion that count; empty: all of them.
    #[serde(default)]
    pub chosen_trained: Vec<Range<usize>>,
    /// The same of the rejected completion.
    #[serde(default)]
    pub rejected_trained: Vec<Range<usize>>,
    /// What the reference policy says of the two sides.
    pub reference: Reference,
}

impl Pair {
    /// Tokens of the longer of its two sequences.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.chosen.len().max(self.rejected.len())
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its two sides, chosen and rejected, with their tokens that count.
    pub fn sides(&self) -> [(&[u32], &[Range<usize>]); 2] {
        [(&self.chosen, &self.chosen_trained), (&self.rejected, &self.rejected_trained)]
    }
}

/// The reference policy's log-probabilities of a pair's sides at temperature 1, summed over tokens, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Reference {
    /// log pi_ref(y_w | q).
    pub chosen: f64,
    /// log pi_ref(y_l | q).
    pub rejected: f64,
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Whether it is the chosen one.
    pub is_chosen: bool,
    /// The loss of the pair.
    pub loss: PreferenceLoss,
    /// log pi_ref of this side.
    pub reference: f64,
    /// log pi_ref of the other side.
    pub other_reference: f64,
}

impl Side {
    /// The implicit reward of this side, `beta * (log pi - log pi_ref)` (arXiv 2305.18290, section 4), from its tokens' log-probabilities.
    pub fn reward(&self, log_probs: &[f64]) -> f64 {
        self.loss.beta * (log_probs.iter().sum::<f64>() - self.reference)
    }
}

/// A loss and its derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginLoss {
    /// The loss in nats.
    pub value: f64,
    /// d(value) / d(margin).
    pub derivative: f64,
}

/// A loss of the margin `[log pi(y_w|q) - log pi_ref(y_w|q)] - [log pi(y_l|q) - log pi_ref(y_l|q)]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceLoss {
    /// Its form.
    pub form: PairLoss,
    /// The temperature beta (IPO's tau).
    pub beta: f64,
    /// Probability of a flipped label, below 1/2.
    pub label_smoothing: f64,
}

/// log(1 + exp(x)) without overflow, which is `-log sigmoid(-x)`.
fn softplus(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p() + x.max(0.0)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl PreferenceLoss {
    /// Whether each side's log-ratio is its mean over tokens rather than its sum.
    pub fn is_per_token(self) -> bool {
        matches!(self.form, PairLoss::Ipo | PairLoss::SigmoidNorm)
    }

    /// The loss of a margin:
    /// - `sigmoid` (DPO, arXiv 2305.18290, eq. 7), with label smoothing e conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences", eq. 3):
    ///   `-(1 - e) log sigmoid(beta m) - e log sigmoid(-beta m)`;
    /// - `robust` (arXiv 2403.00409, eq. 8): `[-(1 - e) log sigmoid(beta m) + e log sigmoid(-beta m)] / (1 - 2e)`;
    /// - `ipo` (arXiv 2310.12036, eq. 17): `(m - 1 / (2 beta))^2`;
    /// - `hinge` (arXiv 2309.06657): `max(0, 1 - beta m)`;
    /// - `sigmoid_norm`: `sigmoid` of the margin per token.
    pub fn of_margin(self, margin: f64) -> MarginLoss {
        let (beta, smoothing) = (self.beta, self.label_smoothing);
        let z = beta * margin;
        // Weights of the preference as given and of the flipped one.
        let logistic = |given: f64, flipped: f64| MarginLoss {
            value: given * softplus(-z) + flipped * softplus(z),
            derivative: beta * (flipped * sigmoid(z) - given * sigmoid(-z)),
        };
        match self.form {
            PairLoss::Sigmoid | PairLoss::SigmoidNorm => logistic(1.0 - smoothing, smoothing),
            PairLoss::Robust => {
                let scale = 1.0 - 2.0 * smoothing;
                logistic((1.0 - smoothing) / scale, -smoothing / scale)
            }
            PairLoss::Ipo => {
                let distance = margin - 1.0 / (2.0 * beta);
                MarginLoss { value: distance * distance, derivative: 2.0 * distance }
            }
            PairLoss::Hinge if z < 1.0 => MarginLoss { value: 1.0 - z, derivative: -beta },
            PairLoss::Hinge => MarginLoss { value: 0.0, derivative: 0.0 },
        }
    }
}

/// The pair's loss seen from one side, from both sides' log-probabilities.
pub fn evaluate(side: &Side, log_probs: &[f64], partner: &[f64]) -> SequenceValue {
    let tokens = |log_probs: &[f64]| if side.loss.is_per_token() { log_probs.len().max(1) as f64 } else { 1.0 };
    let ratio = |log_probs: &[f64], reference: f64| (log_probs.iter().sum::<f64>() - reference) / tokens(log_probs);
    let sign = if side.is_chosen { 1.0 } else { -1.0 };
    let loss = side.loss.of_margin(sign * (ratio(log_probs, side.reference) - ratio(partner, side.other_reference)));
    SequenceValue {
        value: if side.is_chosen { loss.value } else { 0.0 },
        gradients: vec![ScoreGradient::by_log_prob(sign * loss.derivative / tokens(log_probs)); log_probs.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [PairLoss; 5] = [PairLoss::Sigmoid, PairLoss::Robust, PairLoss::Ipo, PairLoss::Hinge, PairLoss::SigmoidNorm];

    #[test]
    fn derivatives_match_finite_differences() {
        for form in FORMS {
            for label_smoothing in [0.0, 0.2] {
                for margin in [-40.0, -3.0, -0.1, 0.0, 0.2, 5.0, 60.0] {
                    for beta in [0.05, 0.1, 1.0] {
                        let loss = PreferenceLoss { form, beta, label_smoothing };
                        let h = 1e-5;
                        let expected = (loss.of_margin(margin + h).value - loss.of_margin(margin - h).value) / (2.0 * h);
                        assert!((loss.of_margin(margin).derivative - expected).abs() < 1e-6, "{loss:?} {margin}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_at_the_ends() {
        let loss = |form, label_smoothing, margin| PreferenceLoss { form, beta: 0.1, label_smoothing }.of_margin(margin).value;
        assert!((loss(PairLoss::Sigmoid, 0.0, 0.0) - 2.0f64.ln()).abs() < 1e-12);
        assert!((loss(PairLoss::Robust, 0.3, 0.0) - 2.0f64.ln()).abs() < 1e-12);
        assert!(loss(PairLoss::Sigmoid, 0.0, -1e6).is_finite() && loss(PairLoss::Robust, 0.1, 1e6).is_finite());
        assert_eq!((loss(PairLoss::Hinge, 0.0, 10.0), loss(PairLoss::Hinge, 0.0, 11.0)), (0.0, 0.0));
        assert_eq!(loss(PairLoss::Ipo, 0.0, 5.0), 0.0);
    }

    #[test]
    fn both_sides_see_the_same_margin() {
        let (chosen, rejected) = ([-1.0, -2.0], [-0.5, -0.25, -0.25]);
        for (form, margin, tokens) in
            [(PairLoss::Sigmoid, 1.0 - 0.5, [1.0, 1.0]), (PairLoss::SigmoidNorm, 1.0 / 2.0 - 0.5 / 3.0, [2.0, 3.0])]
        {
            let loss = PreferenceLoss { form, beta: 0.5, label_smoothing: 0.0 };
            let winner = Side { is_chosen: true, loss, reference: -4.0, other_reference: -1.5 };
            let loser = Side { is_chosen: false, loss, reference: -1.5, other_reference: -4.0 };
            let expected = loss.of_margin(margin);
            let from_chosen = evaluate(&winner, &chosen, &rejected);
            assert!((from_chosen.value - expected.value).abs() < 1e-12);
            assert!(from_chosen.gradients.iter().all(|g| (g.log_prob - expected.derivative / tokens[0]).abs() < 1e-12));
            let from_rejected = evaluate(&loser, &rejected, &chosen);
            assert_eq!(from_rejected.value, 0.0);
            assert!(from_rejected.gradients.iter().all(|g| (g.log_prob + expected.derivative / tokens[1]).abs() < 1e-12));
        }
    }
}
