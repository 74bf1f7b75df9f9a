//! The denominators of the loss terms, each fixed for a whole optimizer step before its first micro-batch.

use crate::config::{ExpDenominator, LossType, TokenReduction};

/// Weight of each token of every rollout in the policy-gradient and KL terms; all denominators are over the whole optimizer step.
///
/// `lengths[i]` is the completion length of rollout `i` and `masked[i]` says that it is left out (truncated, with
/// `mask_truncated_completions`). As TRL:
/// - `grpo`: mean over a sequence's tokens, then over all sequences (masked ones count as 0);
/// - `bnpo`, `dapo`, `cispo`: mean over all unmasked tokens (arXiv 2503.14476, 2506.13585); TRL's `bnpo` takes it for each micro-batch, which has no part here;
/// - `dr_grpo`: sum over tokens / (sequences * `max_new_tokens`) (arXiv 2503.20783).
pub fn rollout_token_weights(loss_type: LossType, lengths: &[usize], masked: &[bool], max_new_tokens: usize) -> Vec<f64> {
    let sequences = lengths.len().max(1) as f64;
    let unmasked_tokens: usize = lengths.iter().zip(masked).filter(|(_, masked)| !**masked).map(|(length, _)| length).sum();
    lengths
        .iter()
        .zip(masked)
        .map(|(length, masked)| match loss_type {
            _ if *masked => 0.0,
            LossType::Grpo => 1.0 / ((*length).max(1) as f64 * sequences),
            LossType::Bnpo | LossType::Dapo | LossType::Cispo => 1.0 / unmasked_tokens.max(1) as f64,
            LossType::DrGrpo => 1.0 / (sequences * max_new_tokens.max(1) as f64),
        })
        .collect()
}

/// Weight of each token of an explanation: mean (or sum) over its tokens, mean over the question's kept explanations, then over all
/// questions of the optimizer step (or those with an explanation kept). The paper (arXiv 2507.02834) leaves the normalisation open.
pub struct ExplanationWeights {
    reduction: TokenReduction,
    questions: f64,
}

impl ExplanationWeights {
    /// Fixes the denominator: `kept[q]` is the number of explanations of question `q` that take part.
    pub fn new(reduction: TokenReduction, denominator: ExpDenominator, kept: impl Iterator<Item = usize>) -> Self {
        let questions = kept.filter(|kept| *kept > 0 || denominator == ExpDenominator::All).count();
        Self { reduction, questions: questions.max(1) as f64 }
    }

    /// The weight of each token of an explanation of `length` tokens, one of `kept` of its question.
    pub fn token_weight(&self, length: usize, kept: usize) -> f64 {
        let tokens = match self.reduction {
            TokenReduction::Mean => length.max(1) as f64,
            TokenReduction::Sum => 1.0,
        };
        1.0 / (tokens * kept.max(1) as f64 * self.questions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanation_weights_by_hand() {
        // Three questions with 2, 0 and 1 explanations kept.
        let kept = || [2usize, 0, 1].into_iter();
        let all = ExplanationWeights::new(TokenReduction::Mean, ExpDenominator::All, kept());
        assert!((all.token_weight(5, 2) - 1.0 / (5.0 * 2.0 * 3.0)).abs() < 1e-15);
        let only_kept = ExplanationWeights::new(TokenReduction::Mean, ExpDenominator::Kept, kept());
        assert!((only_kept.token_weight(5, 1) - 1.0 / (5.0 * 2.0)).abs() < 1e-15);
        let sum = ExplanationWeights::new(TokenReduction::Sum, ExpDenominator::All, kept());
        assert!((sum.token_weight(5, 2) - 1.0 / 6.0).abs() < 1e-15);
    }
}
