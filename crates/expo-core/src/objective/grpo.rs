//! GRPO (Shao et al., arXiv 2402.03300) with its common variants (Dr. GRPO, DAPO, BNPO).

use super::denominator::rollout_token_weights;
use super::terms::ClipRange;
use super::{Drawn, Draws, Group, LossKind, Origin, PolicyGradient, Recipe, Sequence, SequenceLoss, Term, advantage, sft};
use crate::config::{Config, GrpoSection};

/// Group-relative policy optimization.
///
/// - Drawn: G rollouts o_1..o_G of the question alone from the old policy (and rehearsal documents, if configured).
/// - Scored: A_i = (R_i - mean R) / std R within the group.
/// - Loss: policy gradient with a clipped ratio, plus `beta` times the k3 KL to the initial policy.
pub struct Grpo {
    options: GrpoSection,
    temperature: f32,
    max_new_tokens: usize,
    rehearsal: sft::Rehearsal,
}

impl Grpo {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self {
            options: config.grpo.clone(),
            temperature: config.rollout.temperature as f32,
            max_new_tokens: config.rollout.max_new_tokens,
            rehearsal: sft::Rehearsal::new(config),
        }
    }

    /// Whether the loss leaves `rollout` out.
    fn is_masked(&self, rollout: &super::Rollout) -> bool {
        self.options.mask_truncated_completions && rollout.is_truncated()
    }
}

impl Recipe for Grpo {
    fn draws(&self) -> Draws {
        Draws { rollouts: true, documents: self.rehearsal.documents(), ..Draws::default() }
    }

    fn score(&self, groups: &mut [Group]) {
        let rewards: Vec<Vec<f64>> = groups.iter().map(|group| group.rollouts.iter().map(|rollout| rollout.reward).collect()).collect();
        let advantages = advantage::advantages(&rewards, self.options.scale_rewards);
        for (group, advantages) in groups.iter_mut().zip(advantages) {
            for (rollout, advantage) in group.rollouts.iter_mut().zip(advantages) {
                rollout.advantage = advantage;
            }
        }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        let rollouts = || drawn.groups.iter().flat_map(|group| &group.rollouts);
        let lengths: Vec<usize> = rollouts().map(|rollout| rollout.tokens.len()).collect();
        let masked: Vec<bool> = rollouts().map(|rollout| self.is_masked(rollout)).collect();
        let mut weights = rollout_token_weights(self.options.loss_type, &lengths, &masked, self.max_new_tokens).into_iter();
        let clip = ClipRange { low: self.options.epsilon, high: self.options.epsilon_high.unwrap_or(self.options.epsilon) };

        let mut sequences = Vec::new();
        for (g, group) in drawn.groups.iter().enumerate() {
            for (i, (rollout, token_weight)) in group.rollouts.iter().zip(&mut weights).enumerate() {
                let mut losses = vec![SequenceLoss {
                    term: Term::PolicyGradient,
                    coefficient: 1.0,
                    token_weight,
                    kind: LossKind::PolicyGradient(PolicyGradient {
                        advantage: rollout.advantage,
                        old_log_probs: rollout.old_log_probs.as_deref(),
                        sampler_log_probs: &rollout.sampler_log_probs,
                        importance_cap: self.options.importance_sampling_cap,
                        clip,
                    }),
                }];
                if let Some(reference) = &rollout.reference_log_probs {
                    losses.push(SequenceLoss {
                        term: Term::Kl,
                        coefficient: self.options.beta,
                        token_weight,
                        kind: LossKind::Kl(reference),
                    });
                }
                sequences.push(Sequence {
                    origin: Origin::Rollout { group: g, index: i },
                    prompt: &group.prompt,
                    completion: &rollout.tokens,
                    temperature: self.temperature,
                    losses,
                    partner: None,
                });
            }
        }
        sequences.extend(self.rehearsal.sequences(&drawn.documents));
        sequences
    }
}
