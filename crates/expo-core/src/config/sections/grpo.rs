//! The policy-gradient term.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// The policy-gradient term: GRPO (arXiv 2402.03300) and its variants, with TRL's names.
    GrpoSection {
        /// Clip range of the ratio below 1.
        epsilon: f64 = 0.2, in 0.0..1.0;
        /// Clip range above 1 (DAPO's clip-higher); `epsilon` when unset.
        epsilon_high: Option<f64> = None, in 0.0..;
        /// Coefficient of the KL term to the initial policy, k3 estimator (0: off, no reference in memory).
        beta: f64 = 0.0, in 0.0..;
        /// What advantages are divided by.
        scale_rewards: ScaleRewards = ScaleRewards::Group;
        /// Denominator of the loss.
        loss_type: LossType = LossType::Grpo;
        /// Leave truncated completions out of the loss.
        mask_truncated_completions: bool = false;
        /// Where old log-probs come from when a rollout batch gives several optimizer steps.
        old_log_probs: OldLogProbs = OldLogProbs::Training;
        /// Cap of the truncated importance weight between sampler and trainer; unset: 2 where their precision or weights differ, else off.
        importance_sampling_cap: Option<f64> = None, in 1.0..;
    }
}

choice! {
    /// What advantages are divided by.
    ScaleRewards {
        /// The standard deviation of the group's rewards.
        Group = "group",
        /// The standard deviation of the whole batch's rewards.
        Batch = "batch",
        /// Nothing: rewards minus the group's mean.
        None = "none",
    }
}

choice! {
    /// Denominator of the policy-gradient loss.
    LossType {
        /// Mean over each sequence's tokens, then over sequences.
        Grpo = "grpo",
        /// Mean over all tokens of the optimizer step that are in the loss.
        Bnpo = "bnpo",
        /// Sum over tokens divided by sequences times `rollout.max_new_tokens` (Dr. GRPO, arXiv 2503.20783).
        DrGrpo = "dr_grpo",
        /// Mean over all tokens of the optimizer step, masked truncated completions counted (DAPO, arXiv 2503.14476).
        Dapo = "dapo",
    }
}

choice! {
    /// Source of the old log-probs.
    OldLogProbs {
        /// A pass of the training path before the first optimizer step of the batch.
        Training = "training",
        /// Those that the sampler returned.
        Sampler = "sampler",
    }
}
