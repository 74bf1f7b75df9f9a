//! The losses of GRPO and its kin and their derivatives against TRL's own (scripts/fixtures/grpo_trl.py): several lengths, masks, off-policy ratios.

use std::collections::BTreeMap;

use expo_core::config::Config;
use expo_core::objective::grpo::Grpo;
use expo_core::objective::{Drawn, Group, Recipe, Rollout, Scores};
use expo_lm::generate::FinishReason;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    num_generations: usize,
    max_completion_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss_type: String,
    level: String,
    scale_rewards: String,
    adv_estimator: String,
    mask_truncated: bool,
    beta: f64,
    kl_estimator: String,
    kl_in_reward: bool,
    cap: Option<f64>,
    epsilon: f64,
    epsilon_high: f64,
    delta: Option<f64>,
    exclude_equal: bool,
    /// With an entropy bonus: its coefficient and the entropies.
    #[serde(default)]
    entropy_coef: f64,
    #[serde(default)]
    entropies: Vec<Vec<f64>>,
    #[serde(default)]
    entropy_gradient: Vec<Vec<f64>>,
    truncated: Vec<bool>,
    rewards: Vec<f64>,
    log_probs: Vec<Vec<f64>>,
    old: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    sampler: Vec<Vec<f32>>,
    advantages: Vec<f64>,
    loss: f64,
    gradient: Vec<Vec<f64>>,
}

impl Case {
    /// Its options as a configuration file has them.
    fn options(&self, fixture: &Fixture) -> String {
        let mut text = format!(
            "rollout.max_new_tokens = {}\ngrpo.loss_type = \"{}\"\ngrpo.importance_sampling_level = \"{}\"\ngrpo.scale_rewards = \"{}\"\n\
             grpo.adv_estimator = \"{}\"\ngrpo.mask_truncated_completions = {}\ngrpo.epsilon_high = {}\ngrpo.exclude_equal_rewards = {}\n",
            fixture.max_completion_length,
            self.loss_type,
            self.level,
            self.scale_rewards,
            self.adv_estimator,
            self.mask_truncated,
            self.epsilon_high,
            self.exclude_equal
        );
        if self.loss_type != "cispo" {
            text += &format!("grpo.epsilon = {}\n", self.epsilon);
        }
        if self.beta > 0.0 {
            text += &format!(
                "grpo.beta = {}\ngrpo.kl_estimator = \"{}\"\ngrpo.use_kl_in_reward = {}\n",
                self.beta, self.kl_estimator, self.kl_in_reward
            );
        }
        if self.entropy_coef > 0.0 {
            text += &format!("grpo.entropy_coef = {}\n", self.entropy_coef);
        }
        for (option, value) in [("delta", self.delta), ("importance_sampling_cap", self.cap)] {
            text += &value.map_or_else(String::new, |value| format!("grpo.{option} = {value}\n"));
        }
        text
    }

    fn config(&self, fixture: &Fixture) -> Config {
        Config::from_toml(&self.options(fixture), "options", &[]).unwrap_or_else(|e| panic!("{e}"))
    }
}

fn groups(fixture: &Fixture, case: &Case) -> Vec<Group> {
    let rollouts: Vec<Rollout> = (0..case.rewards.len())
        .map(|i| {
            let finish = if case.truncated[i] { FinishReason::Length } else { FinishReason::Stop };
            Rollout {
                reward: Some(case.rewards[i]),
                old_log_probs: Some(case.old[i].clone()),
                reference_log_probs: (case.beta > 0.0).then(|| case.reference[i].clone()),
                ..Rollout::new(vec![0; case.log_probs[i].len()], Default::default(), case.sampler[i].clone(), finish)
            }
        })
        .collect();
    rollouts
        .chunks(fixture.num_generations)
        .map(|rollouts| Group { prompt: vec![0], rollouts: rollouts.to_vec(), ..Group::default() })
        .collect()
}

#[test]
fn loss_and_derivatives_equal_trl_s() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/grpo_trl.json")).expect("the fixture is JSON");
    assert!(fixture.cases.len() >= 80 && fixture.cases.iter().filter(|case| case.entropy_coef > 0.0).count() >= 10);
    let mut clipped: BTreeMap<String, usize> = BTreeMap::new();
    for case in &fixture.cases {
        let name = case.options(&fixture);
        let recipe = Grpo::new(&case.config(&fixture));
        let mut drawn = Drawn { groups: groups(&fixture, case), ..Drawn::default() };
        recipe.score(&mut drawn.groups);
        let advantages = drawn.groups.iter().flat_map(|group| &group.rollouts).map(|rollout| rollout.advantage);
        for (found, expected) in advantages.zip(&case.advantages) {
            assert!((found - expected).abs() < 1e-9, "{name}: advantage {found}, TRL {expected}");
        }
        let sequences = recipe.sequences(&drawn, 0.0);
        let mut loss = 0.0;
        for (i, sequence) in sequences.iter().enumerate() {
            let log_probs = &case.log_probs[i];
            let scores = Scores { log_probs, entropies: case.entropies.get(i).map_or(&[], |entropies| &entropies[..]), divergences: &[] };
            loss += sequence.losses.iter().map(|l| l.weight() * l.kind.evaluate(scores, None).value).sum::<f64>();
            let kind = format!("{} {} {:?}", case.loss_type == "cispo", case.level, case.delta);
            *clipped.entry(kind).or_default() += sequence.losses.iter().map(|l| l.clipped(log_probs)).sum::<usize>();
            let found = sequence.gradients(scores, None);
            for (token, (found, expected)) in found.iter().zip(&case.gradient[i]).enumerate() {
                assert!((found.log_prob - expected).abs() < 1e-8, "{name}: derivative {found:?}, TRL {expected}");
                let by_entropy = case.entropy_gradient.get(i).map_or(0.0, |gradient| gradient[token]);
                assert!((found.entropy - by_entropy).abs() < 1e-9, "{name}: derivative {found:?}, TRL {by_entropy}");
                if sequence.is_token_local() {
                    assert_eq!(found.log_prob, sequence.derivative(token, log_probs[token]), "{name}");
                }
            }
        }
        assert!((loss - case.loss).abs() < 1e-9, "{name}: loss {loss}, TRL {}", case.loss);
    }
    assert!(clipped.len() == 5 && clipped.values().all(|tokens| *tokens > 20), "too few clipped tokens to test the clip: {clipped:?}");
}
