//! The reference policy: whether a run has one in memory, and how it moves.

use crate::config::Config;
use crate::objective::Draws;
use expo_lm::model::Model;

/// Whether something in every step asks a reference policy: KL on rollouts, or preferences whose log-probabilities are not computed once.
pub(crate) fn refers(config: &Config, draws: Draws) -> bool {
    match draws.pairs {
        Some(_) => !config.dpo.precompute_ref_log_probs,
        None => draws.scores_rollouts() && config.grpo.beta > 0.0,
    }
}

/// A reference policy that moves along with the policy (TR-DPO, arXiv 2404.09656; TRL's `sync_ref_model`). It starts as the initial policy.
pub(crate) struct MovingReference {
    model: Model,
    sync_steps: usize,
    mixup_alpha: f64,
}

impl MovingReference {
    /// The one that `config` asks for, a copy of the initial policy `model`; `None` where there is no reference or it stays.
    pub(crate) fn new(config: &Config, draws: Draws, model: &Model) -> Option<Self> {
        let (grpo, dpo) = (&config.grpo, &config.dpo);
        let (moves, sync_steps, mixup_alpha) = match draws.pairs {
            Some(_) => (dpo.sync_ref_model, dpo.ref_model_sync_steps, dpo.ref_model_mixup_alpha),
            None => (grpo.sync_ref_model, grpo.ref_model_sync_steps, grpo.ref_model_mixup_alpha),
        };
        (moves && refers(config, draws)).then(|| Self { model: model.duplicate(), sync_steps, mixup_alpha })
    }

    /// Its weights.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Its weights, to be taken over from a checkpoint.
    pub(crate) fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// `reference = alpha * policy + (1 - alpha) * reference` where a move is due after `optimizer_steps` steps.
    pub(crate) fn follow(&mut self, policy: &Model, optimizer_steps: usize) {
        if optimizer_steps.is_multiple_of(self.sync_steps) {
            self.model.average_in(policy, (1.0 - self.mixup_alpha) as f32);
        }
    }
}
