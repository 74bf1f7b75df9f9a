//! Preference losses: a chosen completion against a rejected one of the same prompt.

use super::{LossKind, Origin, Partner, Sequence, SequenceLoss, SequenceValue, Term};

/// A chosen and a rejected completion of one prompt, with the reference policy's log-probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Prompt tokens (not empty).
    pub prompt: Vec<u32>,
    /// Chosen completion.
    pub chosen: Vec<u32>,
    /// Rejected completion.
    pub rejected: Vec<u32>,
    /// Log-probability of each chosen token under the reference policy, at temperature 1.
    pub reference_chosen: Vec<f64>,
    /// The same of the rejected tokens.
    pub reference_rejected: Vec<f64>,
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side<'a> {
    /// Whether it is the chosen one.
    pub chosen: bool,
    /// DPO's temperature beta.
    pub beta: f64,
    /// The reference's log-probability of each token of this side.
    pub reference: &'a [f64],
    /// The reference's log-probability of each token of the other side.
    pub other_reference: &'a [f64],
}

/// A loss and its derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginLoss {
    /// The loss in nats.
    pub value: f64,
    /// d(value) / d(margin).
    pub derivative: f64,
}

/// DPO (Rafailov et al., arXiv 2305.18290, eq. 7): `-log sigmoid(beta * margin)`, where the margin is
/// `[log pi(y_w|q) - log pi_ref(y_w|q)] - [log pi(y_l|q) - log pi_ref(y_l|q)]`.
pub fn loss(margin: f64, beta: f64) -> MarginLoss {
    let z = beta * margin;
    // log(1 + exp(-z)) without overflow.
    MarginLoss { value: (-z.abs()).exp().ln_1p() + (-z).max(0.0), derivative: -beta / (1.0 + z.exp()) }
}

/// The pair's loss seen from one side, from both sides' log-probabilities.
pub fn evaluate(side: &Side, log_probs: &[f64], partner: &[f64]) -> SequenceValue {
    let ratio = |log_probs: &[f64], reference: &[f64]| log_probs.iter().sum::<f64>() - reference.iter().sum::<f64>();
    let own = ratio(log_probs, side.reference) - ratio(partner, side.other_reference);
    let sign = if side.chosen { 1.0 } else { -1.0 };
    let loss = loss(sign * own, side.beta);
    SequenceValue { value: if side.chosen { loss.value } else { 0.0 }, derivatives: vec![sign * loss.derivative; log_probs.len()] }
}

/// The sequences of a step's pairs, chosen and rejected side by side; the loss is the mean over pairs.
pub fn sequences(pairs: &[Pair], beta: f64) -> Vec<Sequence<'_>> {
    let token_weight = 1.0 / pairs.len().max(1) as f64;
    let side = |pair: usize, chosen: bool| {
        let Pair { prompt, chosen: winner, rejected, reference_chosen, reference_rejected } = &pairs[pair];
        let (completion, reference, other_reference) = match chosen {
            true => (winner, reference_chosen, reference_rejected),
            false => (rejected, reference_rejected, reference_chosen),
        };
        Sequence {
            origin: if chosen { Origin::Chosen { pair } } else { Origin::Rejected { pair } },
            prompt,
            completion,
            temperature: 1.0,
            losses: vec![SequenceLoss {
                term: Term::Preference,
                coefficient: 1.0,
                token_weight,
                kind: LossKind::Preference(Side { chosen, beta, reference, other_reference }),
            }],
            partner: Some(if chosen { Partner::Next } else { Partner::Previous }),
        }
    };
    (0..pairs.len()).flat_map(|pair| [side(pair, true), side(pair, false)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivative_matches_finite_differences() {
        for margin in [-40.0, -3.0, -0.1, 0.0, 0.2, 5.0, 60.0] {
            for beta in [0.05, 0.1, 1.0] {
                let h = 1e-5;
                let expected = (loss(margin + h, beta).value - loss(margin - h, beta).value) / (2.0 * h);
                assert!((loss(margin, beta).derivative - expected).abs() < 1e-8, "{margin} {beta}");
            }
        }
        assert!((loss(0.0, 0.1).value - 2.0f64.ln()).abs() < 1e-12);
        assert!(loss(-1e6, 1.0).value.is_finite());
    }

    #[test]
    fn both_sides_see_the_same_margin() {
        let (chosen, rejected) = ([-1.0, -2.0], [-0.5, -0.25, -0.25]);
        let (reference_chosen, reference_rejected) = ([-1.5, -2.5], [-0.5, -0.5, -0.5]);
        let winner = Side { chosen: true, beta: 0.5, reference: &reference_chosen, other_reference: &reference_rejected };
        let loser = Side { chosen: false, beta: 0.5, reference: &reference_rejected, other_reference: &reference_chosen };
        // Margin: (-3 + 4) - (-1 + 1.5) = 0.5.
        let expected = loss(0.5, 0.5);
        let from_chosen = evaluate(&winner, &chosen, &rejected);
        assert_eq!((from_chosen.value, &from_chosen.derivatives[..]), (expected.value, &[expected.derivative; 2][..]));
        let from_rejected = evaluate(&loser, &rejected, &chosen);
        assert_eq!((from_rejected.value, &from_rejected.derivatives[..]), (0.0, &[-expected.derivative; 3][..]));
    }
}
