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
        let rewards: Vec<Vec<Option<f64>>> =
            groups.iter().map(|group| group.rollouts.iter().map(|rollout| rollout.reward).collect()).collect();
        let advantages = advantage::advantages(&rewards, self.options.scale_rewards);
        for (group, advantages) in groups.iter_mut().zip(advantages) {
            for (rollout, advantage) in group.rollouts.iter_mut().zip(advantages) {
                rollout.advantage = advantage;
            }
        }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        // A rollout without a reward is left out as if it had not been drawn.
        let rollouts = || drawn.groups.iter().flat_map(|group| &group.rollouts).filter(|rollout| rollout.reward.is_some());
        let lengths: Vec<usize> = rollouts().map(|rollout| rollout.tokens.len()).collect();
        let masked: Vec<bool> = rollouts().map(|rollout| self.is_masked(rollout)).collect();
        let mut weights = rollout_token_weights(self.options.loss_type, &lengths, &masked, self.max_new_tokens).into_iter();
        let clip = ClipRange { low: self.options.epsilon, high: self.options.epsilon_high.unwrap_or(self.options.epsilon) };

        let mut sequences = Vec::new();
        for (g, group) in drawn.groups.iter().enumerate() {
            let rewarded = group.rollouts.iter().enumerate().filter(|(_, rollout)| rollout.reward.is_some());
            for ((i, rollout), token_weight) in rewarded.zip(&mut weights) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LossType;
    use crate::objective::Rollout;
    use expo_lm::generate::FinishReason;

    fn rollout(tokens: usize, reward: Option<f64>) -> Rollout {
        Rollout {
            tokens: vec![1; tokens],
            text: String::new(),
            sampler_log_probs: vec![-1.0; tokens],
            finish: FinishReason::Stop,
            rewards: Default::default(),
            reward,
            correct: false,
            answer_start: None,
            advantage: 0.0,
            old_log_probs: None,
            reference_log_probs: Some(vec![-1.0; tokens]),
        }
    }

    fn drawn(groups: &[&[(usize, Option<f64>)]]) -> Drawn {
        let group = |rollouts: &&[(usize, Option<f64>)]| Group {
            problem: 0,
            prompt: vec![0],
            explanation_prompt: Vec::new(),
            rollouts: rollouts.iter().map(|(tokens, reward)| rollout(*tokens, *reward)).collect(),
            explanations: None,
            expert: None,
        };
        Drawn { groups: groups.iter().map(group).collect(), ..Drawn::default() }
    }

    #[test]
    fn a_rollout_without_a_reward_is_as_if_it_had_not_been_drawn() {
        for loss_type in [LossType::Grpo, LossType::Bnpo, LossType::DrGrpo, LossType::Dapo] {
            let mut config = Config::default();
            (config.grpo.loss_type, config.grpo.beta) = (loss_type, 0.1);
            let recipe = Grpo::new(&config);
            let mut with = drawn(&[&[(3, Some(1.0)), (9, None), (2, Some(0.0))], &[(4, None)], &[(5, Some(1.0)), (6, Some(0.0))]]);
            let mut without = drawn(&[&[(3, Some(1.0)), (2, Some(0.0))], &[], &[(5, Some(1.0)), (6, Some(0.0))]]);
            recipe.score(&mut with.groups);
            recipe.score(&mut without.groups);
            let terms = |drawn: &Drawn| {
                let sequences = recipe.sequences(drawn, 0.0);
                sequences.iter().map(|s| (s.completion.len(), s.losses.len(), s.derivative(0, -1.3))).collect::<Vec<_>>()
            };
            assert_eq!(terms(&with), terms(&without), "{loss_type}");
            assert_eq!(recipe.sequences(&with, 0.0)[1].origin, Origin::Rollout { group: 0, index: 2 });
        }
    }
}
