//! GRPO (Shao et al., arXiv 2402.03300) and its kin: Dr. GRPO, DAPO, BNPO, GSPO, CISPO, RLOO, REINFORCE++ (docs/papers.md).

use super::denominator::rollout_token_weights;
use super::group::{Group, Rollout};
use super::loss::{LossKind, SequenceLoss};
use super::policy_gradient::PolicyGradient;
use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::{Origin, Sequence};
use super::term::Term;
use super::terms::{ClipRange, Surrogate};
use super::{advantage, sft};
use crate::config::{Config, GrpoSection, ImportanceSamplingLevel, KlEstimator, LossType};

/// Group-relative policy optimization.
///
/// - Drawn: G rollouts o_1..o_G of the question alone from the old policy (and rehearsal documents, if configured).
/// - Scored: A_i = (R_i - mean R) / std R within the group, or by another baseline and scale ([`advantage::advantages`]).
/// - Loss: policy gradient with a clipped ratio ([`Surrogate`]), plus `beta` times the KL to the reference policy, minus `entropy_coef` times the entropy.
pub struct Grpo {
    options: GrpoSection,
    temperature: f32,
    max_new_tokens: usize,
    /// That of off-policy completions, where groups have such.
    off_policy: Surrogate,
    rehearsal: sft::Rehearsal,
}

impl Grpo {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self {
            options: config.grpo.clone(),
            temperature: config.rollout.temperature as f32,
            max_new_tokens: config.rollout.max_new_tokens,
            off_policy: Surrogate::Shaped { gamma: config.luffy.gamma },
            rehearsal: sft::Rehearsal::new(config),
        }
    }

    /// Whether the loss leaves `rollout` out, but its tokens count in denominators over all tokens.
    fn is_masked(&self, rollout: &Rollout) -> bool {
        self.options.mask_truncated_completions && rollout.is_truncated()
    }

    /// Whether the loss is as if `group`'s rollouts had not been drawn.
    fn is_excluded(&self, group: &Group) -> bool {
        self.options.excludes_equal_rewards() && group.has_equal_rewards()
    }

    /// The reward that advantages come from: less the k1 estimate of the completion's KL to the reference, `log pi_old - log pi_ref` summed over
    /// its tokens, where that belongs in the reward.
    fn reward(&self, rollout: &Rollout) -> Option<f64> {
        let kl = match &rollout.reference_log_probs {
            Some(reference) if self.options.use_kl_in_reward => {
                rollout.sampler_log_probs.iter().zip(reference).map(|(p, q)| f64::from(*p) - q).sum()
            }
            _ => 0.0,
        };
        rollout.reward.map(|reward| reward - self.options.beta * kl)
    }

    fn surrogate(&self) -> Surrogate {
        let clip = ClipRange { low: self.options.epsilon, high: self.options.epsilon_high(), delta: self.options.delta };
        match (self.options.loss_type, self.options.importance_sampling_level) {
            (LossType::Cispo, _) => Surrogate::Cispo { cap: self.options.epsilon_high() },
            (_, ImportanceSamplingLevel::Sequence) => Surrogate::Sequence(clip),
            (_, ImportanceSamplingLevel::Token) => Surrogate::Token(clip),
        }
    }

    /// The terms of `rollout`, each of its tokens weighing `token_weight`.
    fn losses<'a>(&self, rollout: &'a Rollout, token_weight: f64) -> Vec<SequenceLoss<'a>> {
        let policy_gradient = LossKind::PolicyGradient(PolicyGradient {
            advantages: rollout.advantages(),
            old_log_probs: rollout.old_log_probs.as_deref(),
            sampler_log_probs: &rollout.sampler_log_probs,
            importance_cap: self.options.importance_sampling_cap,
            surrogate: self.surrogate(),
        });
        let mut losses = vec![SequenceLoss { term: Term::PolicyGradient, coefficient: 1.0, token_weight, kind: policy_gradient }];
        if let Some(reference) = rollout.reference_log_probs.as_ref().filter(|_| !self.options.use_kl_in_reward) {
            // k1, which belongs in the reward, is refused here by the configuration's check.
            let estimator = self.options.kl_estimator.unwrap_or(KlEstimator::K3);
            let kind = LossKind::Kl { estimator, reference };
            losses.push(SequenceLoss { term: Term::Kl, coefficient: self.options.beta, token_weight, kind });
        }
        if self.options.entropy_coef > 0.0 {
            // Taken off the loss.
            losses.push(SequenceLoss {
                term: Term::Entropy,
                coefficient: -self.options.entropy_coef,
                token_weight,
                kind: LossKind::Entropy,
            });
        }
        losses
    }

    /// The term of an off-policy completion: neither old nor sampler's log-probabilities, KL nor entropy have a part in it.
    fn off_policy_losses<'a>(&self, completion: &'a Rollout, token_weight: f64) -> Vec<SequenceLoss<'a>> {
        let kind = LossKind::PolicyGradient(PolicyGradient {
            advantages: completion.advantages(),
            old_log_probs: None,
            sampler_log_probs: &[],
            importance_cap: None,
            surrogate: self.off_policy,
        });
        vec![SequenceLoss { term: Term::PolicyGradient, coefficient: 1.0, token_weight, kind }]
    }
}

impl Recipe for Grpo {
    fn sources(&self) -> Sources {
        Sources { batch: BatchSource::Groups(GroupSources::default()), documents: self.rehearsal.documents() }
    }

    fn score(&self, groups: &mut [Group]) {
        let of = |group: &Group| {
            let excluded = self.is_excluded(group);
            group.samples().map(|sample| self.reward(sample).filter(|_| !excluded)).collect()
        };
        let rewards: Vec<Vec<Option<f64>>> = groups.iter().map(of).collect();
        let advantages = advantage::advantages(&rewards, self.options.adv_estimator, self.options.scale_rewards());
        for (group, advantages) in groups.iter_mut().zip(advantages) {
            for (sample, advantage) in group.samples_mut().zip(advantages) {
                sample.advantage = advantage;
            }
        }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        // A rollout without a reward is left out as if it had not been drawn.
        let rewarded = |group: &'a Group| group.samples().enumerate().filter(|(_, sample)| sample.reward.is_some());
        let in_loss = drawn.groups.iter().filter(|group| !self.is_excluded(group)).flat_map(rewarded).map(|(_, sample)| sample);
        let (lengths, masked): (Vec<usize>, Vec<bool>) = in_loss.map(|sample| (sample.tokens.len(), self.is_masked(sample))).unzip();
        let mut weights = rollout_token_weights(self.options.loss_type, &lengths, &masked, self.max_new_tokens).into_iter();

        let mut sequences = Vec::new();
        for (g, group) in drawn.groups.iter().enumerate() {
            let excluded = self.is_excluded(group);
            for (i, sample) in rewarded(group) {
                // Without a term it is measured all the same.
                let weight = if excluded { None } else { weights.next() };
                let (origin, losses) = match i.checked_sub(group.rollouts.len()) {
                    None => (Origin::Rollout { group: g, index: i }, weight.map(|weight| self.losses(sample, weight))),
                    Some(index) => (Origin::OffPolicy { group: g, index }, weight.map(|weight| self.off_policy_losses(sample, weight))),
                };
                sequences.push(Sequence {
                    origin,
                    sampler_log_probs: &sample.sampler_log_probs,
                    reference_log_probs: sample.reference_log_probs.as_deref().unwrap_or_default(),
                    losses: losses.unwrap_or_default(),
                    ..Sequence::measured(group.prompt_of(sample), &sample.tokens, self.temperature)
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
    use crate::config::AdvantageEstimator;
    use expo_lm::generate::FinishReason;

    fn rollout(tokens: usize, reward: Option<f64>) -> Rollout {
        Rollout {
            reward,
            reference_log_probs: Some(vec![-1.0; tokens]),
            ..Rollout::new(vec![1; tokens], Default::default(), vec![-1.0; tokens], FinishReason::Stop)
        }
    }

    fn drawn(groups: &[&[(usize, Option<f64>)]]) -> Drawn {
        let group = |rollouts: &&[(usize, Option<f64>)]| Group {
            prompt: vec![0],
            rollouts: rollouts.iter().map(|(tokens, reward)| rollout(*tokens, *reward)).collect(),
            ..Group::default()
        };
        Drawn { groups: groups.iter().map(group).collect(), ..Drawn::default() }
    }

    const LOSS_TYPES: [LossType; 5] = [LossType::Grpo, LossType::Bnpo, LossType::DrGrpo, LossType::Dapo, LossType::Cispo];

    #[test]
    fn a_rollout_without_a_reward_is_as_if_it_had_not_been_drawn() {
        for loss_type in LOSS_TYPES {
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
    #[test]
    fn excluded_groups_are_measured_and_leave_the_loss_as_without_them() {
        type Rewards<'a> = &'a [(usize, Option<f64>)];
        let speaking: [Rewards; 2] = [&[(3, Some(1.0)), (2, Some(0.0))], &[(5, Some(0.5)), (6, Some(0.25)), (1, None)]];
        let silent: [Rewards; 3] = [&[(7, Some(1.0)), (8, Some(1.0))], &[(9, Some(0.0)), (4, Some(0.0))], &[(2, Some(1.0)), (2, None)]];
        for loss_type in LOSS_TYPES {
            for estimator in [AdvantageEstimator::Grpo, AdvantageEstimator::Rloo, AdvantageEstimator::ReinforcePlusPlus] {
                let mut config = Config::default();
                (config.grpo.loss_type, config.grpo.beta, config.grpo.adv_estimator) = (loss_type, 0.1, estimator);
                let recipe = |exclude: bool| {
                    let mut config = config.clone();
                    config.grpo.exclude_equal_rewards = exclude;
                    Grpo::new(&config)
                };
                let terms = |recipe: &Grpo, groups: &[Rewards]| {
                    let mut drawn = drawn(groups);
                    recipe.score(&mut drawn.groups);
                    let sequences = recipe.sequences(&drawn, 0.0);
                    let of = |s: &Sequence| (s.completion.len(), s.losses.len(), s.derivative(0, -1.3));
                    (sequences.iter().filter(|s| !s.losses.is_empty()).map(of).collect::<Vec<_>>(), sequences.len())
                };
                let all = [silent[0], speaking[0], silent[1], speaking[1], silent[2]];
                let (with, measured) = terms(&recipe(true), &all);
                assert_eq!(with, terms(&recipe(false), &speaking).0, "{loss_type} {estimator}");
                assert_eq!(measured, 9);
                assert_ne!(with, terms(&recipe(false), &all).0);
            }
        }
    }

    #[test]
    fn kl_in_the_reward_comes_before_advantages_and_not_in_the_loss() {
        let mut config = Config::default();
        (config.grpo.beta, config.grpo.use_kl_in_reward, config.grpo.adv_estimator) = (0.1, true, AdvantageEstimator::Rloo);
        let recipe = Grpo::new(&config);
        let mut drawn = drawn(&[&[(3, Some(1.0)), (2, Some(1.0))]]);
        // The sampler has -1 for each token: KL estimates 3 * 0.5 and 2 * -0.25.
        drawn.groups[0].rollouts[0].reference_log_probs = Some(vec![-1.5; 3]);
        drawn.groups[0].rollouts[1].reference_log_probs = Some(vec![-0.75; 2]);
        recipe.score(&mut drawn.groups);
        let advantages: Vec<f64> = drawn.groups[0].rollouts.iter().map(|rollout| rollout.advantage).collect();
        assert!((advantages[0] + 0.2).abs() < 1e-12 && (advantages[1] - 0.2).abs() < 1e-12, "{advantages:?}");
        assert!(recipe.sequences(&drawn, 0.0).iter().all(|sequence| sequence.losses.len() == 1));
    }
}
