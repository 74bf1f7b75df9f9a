//! Preferences: the loss of a pair, its reference, and where the pairs of ExP-DPO come from.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// Preferences (recipes `dpo` and `exp-dpo`): loss and reference with TRL's names, and what the pairs of `exp-dpo` are made of.
    DpoSection {
        /// Temperature beta of the implicit reward beta * log(pi / pi_ref); tau of `ipo`.
        beta: f64 = 0.1, in Bounds::positive();
        /// The loss of a pair.
        loss_type: PairLoss = PairLoss::Sigmoid;
        /// Probability that a preference is the wrong way round: `sigmoid` with it is conservative DPO, `robust` is made for it.
        label_smoothing: f64 = 0.0, in 0.0..0.5;
        /// Weight of cross-entropy on the chosen sides beside the loss, mean over their tokens (RPO, arXiv 2404.19733; TRL 1: `loss_type = ["sigmoid", "sft"]` with this as second of `loss_weights`). 0: off.
        rpo_alpha: f64 = 0.0, in 0.0..;
        /// Compute the reference's log-probs of all pairs once, before the first step, and keep them in the run's folder (`reference.jsonl`); off: at every step, by a copy of the reference in memory.
        precompute_ref_log_probs: bool = false;
        /// Move the reference along with the policy (TR-DPO, arXiv 2404.09656); off: it stays the initial policy.
        sync_ref_model: bool = false;
        /// Optimizer steps between two moves.
        ref_model_sync_steps: usize = 512, in 1..;
        /// Share of the policy in that: `reference = alpha * policy + (1 - alpha) * reference` (1: it becomes the policy).
        ref_model_mixup_alpha: f64 = 0.6, in Bounds { min: Some((0.0, false)), max: Some((1.0, true)) };
        /// What is chosen in the pairs of `exp-dpo`.
        chosen: ChosenSide = ChosenSide::Explanation;
        /// What is rejected in them: completions of the question alone that were not cut off.
        rejected: RejectedSide = RejectedSide::Wrong;
    }
}

choice! {
    /// The loss of a pair.
    PairLoss {
        /// -log sigmoid(beta * margin) (DPO, arXiv 2305.18290, eq. 7).
        Sigmoid = "sigmoid",
        /// The unbiased loss under flipped labels (arXiv 2403.00409, eq. 8), divided by 1 - 2 `label_smoothing`.
        Robust = "robust",
        /// (margin per token - 1 / (2 beta))^2 (IPO, arXiv 2310.12036, eq. 17), with each side's mean over its tokens, as TRL.
        Ipo = "ipo",
        /// max(0, 1 - beta * margin) (SLiC, arXiv 2305.10425, as arXiv 2309.06657 has it).
        Hinge = "hinge",
        /// `sigmoid` with each side's mean over its tokens.
        SigmoidNorm = "sigmoid_norm",
    }
}

choice! {
    /// What is chosen.
    ChosenSide {
        /// The policy's explanation of the answer, which is hidden in the pair.
        Explanation = "explanation",
        /// The data's expert chain of thought: the baseline.
        Expert = "expert",
    }
}

choice! {
    /// What is rejected.
    RejectedSide {
        /// The policy's own completions whose answer is wrong.
        Wrong = "wrong",
        /// Its own completions, right or wrong.
        Any = "any",
    }
}
