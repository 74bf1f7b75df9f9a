//! The policy-gradient term.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// The policy-gradient term: GRPO (arXiv 2402.03300) and its variants, with TRL's names.
    GrpoSection {
        /// Clip range of the ratio below 1.
        epsilon: f64 = 0.2, in 0.0..1.0;
        /// Clip range above 1 (DAPO's clip-higher); `epsilon` when unset. With `loss_type = "cispo"`: the cap of the ratio itself, which has to be given.
        epsilon_high: Option<f64> = None, in 0.0..;
        /// Upper bound of the ratio where the advantage is negative, above `1 + epsilon_high` (two-sided clip, INTELLECT-2, arXiv 2505.07291); unset: none.
        delta: Option<f64> = None, in 1.0..;
        /// Whose ratio of new to old probability is used and clipped.
        importance_sampling_level: ImportanceSamplingLevel = ImportanceSamplingLevel::Token;
        /// Coefficient of KL to the reference policy (0: off, no reference in memory).
        beta: f64 = 0.0, in 0.0..;
        /// Estimator of that KL; unset: `k3` in the loss, `k1` in the reward.
        kl_estimator: Option<KlEstimator> = None;
        /// Take the KL off the reward, summed over the completion's tokens, before advantages (verl's name; RLOO, REINFORCE++), instead of adding it to the loss.
        use_kl_in_reward: bool = false;
        /// Move the reference, which is the initial policy at first, towards the policy every `ref_model_sync_steps` steps (arXiv 2404.09656).
        sync_ref_model: bool = false;
        /// Share of the policy in that: `reference = alpha * policy + (1 - alpha) * reference`.
        ref_model_mixup_alpha: f64 = 0.6, in Bounds { min: Some((0.0, false)), max: Some((1.0, true)) };
        /// Optimizer steps between two synchronisations.
        ref_model_sync_steps: usize = 512, in 1..;
        /// Weight of the entropy bonus: the mean entropy of the next-token distributions of rollouts, at the rollout temperature, times this is taken off the loss. The mean is
        /// taken as `loss_type` takes that of the policy gradient (verl's meaning; TRL's is over all tokens whatever the loss type, as here with `bnpo`). 0: off.
        entropy_coef: f64 = 0.0, in 0.0..;
        /// What a completion's reward is compared with (verl's name).
        adv_estimator: AdvantageEstimator = AdvantageEstimator::Grpo;
        /// What advantages are divided by; unset: by the estimator `group` (`grpo`), `none` (`rloo`) or `batch` (`reinforce_plus_plus`, with or without `_baseline`).
        scale_rewards: Option<ScaleRewards> = None;
        /// The loss and its denominator.
        loss_type: LossType = LossType::Grpo;
        /// Leave groups whose rewards are all equal out of the loss: of its denominator and of KL, too. Otherwise they count with an advantage of 0.
        exclude_equal_rewards: bool = false;
        /// Dynamic sampling (DAPO, arXiv 2503.14476; verl's `filter_groups`): draw further questions until `train.prompts_per_step` groups have different rewards;
        /// groups of equal rewards are left out of the loss as with `exclude_equal_rewards`, but may be explained.
        filter_groups: bool = false;
        /// Most questions a step that dynamic sampling may draw, in multiples of `train.prompts_per_step`; where these don't suffice, the run stops.
        max_num_gen_batches: usize = 10, in 1..;
        /// Leave truncated completions out of the loss.
        mask_truncated_completions: bool = false;
        /// Where old log-probs come from when a rollout batch gives several optimizer steps.
        old_log_probs: OldLogProbs = OldLogProbs::Training;
        /// Cap of the truncated importance weight between sampler and trainer; unset: 2 where their precision or weights differ, else off.
        importance_sampling_cap: Option<f64> = None, in 1.0..;
    }
}

impl GrpoSection {
    /// What advantages are divided by.
    pub fn scale_rewards(&self) -> ScaleRewards {
        self.scale_rewards.unwrap_or(match self.adv_estimator {
            AdvantageEstimator::Grpo => ScaleRewards::Group,
            AdvantageEstimator::Rloo => ScaleRewards::None,
            AdvantageEstimator::ReinforcePlusPlus | AdvantageEstimator::ReinforcePlusPlusBaseline => ScaleRewards::Batch,
        })
    }

    /// Upper clip range of the ratio.
    pub fn epsilon_high(&self) -> f64 {
        self.epsilon_high.unwrap_or(self.epsilon)
    }

    /// Whether groups of equal rewards are left out of the loss.
    pub fn excludes_equal_rewards(&self) -> bool {
        self.exclude_equal_rewards || self.filter_groups
    }
}

choice! {
    /// Whose ratio of new to old probability is used.
    ImportanceSamplingLevel {
        /// Each token's.
        Token = "token",
        /// The sequence's, normalised by its length: the geometric mean of its tokens' ratios (GSPO, arXiv 2507.18071).
        Sequence = "sequence",
    }
}

choice! {
    /// Estimator of KL(policy || reference) from the log-probabilities of sampled tokens, d = log reference - log policy (Schulman 2020).
    KlEstimator {
        /// -d: in the reward alone. As a loss its expected gradient on policy is 0.
        K1 = "k1",
        /// d^2 / 2.
        K2 = "k2",
        /// exp(d) - d - 1, as TRL.
        K3 = "k3",
    }
}

choice! {
    /// What a completion's reward is compared with.
    AdvantageEstimator {
        /// The mean of its group (arXiv 2402.03300).
        Grpo = "grpo",
        /// The mean of the other completions of its group (arXiv 2402.14740).
        Rloo = "rloo",
        /// The mean of the whole batch (REINFORCE++, arXiv 2501.03262). Groups of equal reward have advantages, too.
        ReinforcePlusPlus = "reinforce_plus_plus",
        /// The mean of its group, divided by the whole batch's deviation from such means (REINFORCE++-baseline, arXiv 2501.03262).
        ReinforcePlusPlusBaseline = "reinforce_plus_plus_baseline",
    }
}

choice! {
    /// What advantages are divided by.
    ScaleRewards {
        /// The standard deviation of the group's rewards.
        Group = "group",
        /// The standard deviation over the whole batch: of rewards with `adv_estimator = "grpo"` (as TRL), else of their differences to what they are compared with.
        Batch = "batch",
        /// Nothing.
        None = "none",
    }
}

choice! {
    /// The policy-gradient loss and its denominator.
    LossType {
        /// Mean over each sequence's tokens, then over sequences.
        Grpo = "grpo",
        /// Mean over all tokens of the optimizer step that are in the loss.
        Bnpo = "bnpo",
        /// Sum over tokens divided by sequences times `rollout.max_new_tokens` (Dr. GRPO, arXiv 2503.20783).
        DrGrpo = "dr_grpo",
        /// Mean over all tokens of the optimizer step that are in the loss (DAPO, arXiv 2503.14476): here the same as `bnpo`, which TRL takes for each micro-batch.
        Dapo = "dapo",
        /// Denominator as `dapo`; the ratio, capped at `epsilon_high`, is a constant weight of `log_prob * advantage`, so that every token keeps a gradient
        /// (CISPO, MiniMax-M1, arXiv 2506.13585).
        Cispo = "cispo",
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
