//! GRPO's loss and its derivatives against TRL's formulas (scripts/fixtures/grpo_trl.py): several lengths, masks, off-policy ratios.

use std::collections::BTreeMap;

use expo_core::config::{Config, LossType, ScaleRewards};
use expo_core::objective::grpo::Grpo;
use expo_core::objective::{Drawn, Group, Recipe, Rollout};
use expo_lm::generate::FinishReason;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    num_generations: usize,
    max_completion_length: usize,
    epsilon: f64,
    epsilon_high: f64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss_type: String,
    scale_rewards: String,
    mask_truncated: bool,
    beta: f64,
    cap: Option<f64>,
    truncated: Vec<bool>,
    rewards: Vec<f64>,
    log_probs: Vec<Vec<f64>>,
    old: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    sampler: Vec<Vec<f64>>,
    advantages: Vec<f64>,
    loss: f64,
    gradient: Vec<Vec<f64>>,
}

fn config(fixture: &Fixture, case: &Case) -> Config {
    let mut config = Config::default();
    config.rollout.max_new_tokens = fixture.max_completion_length;
    config.grpo.epsilon = fixture.epsilon;
    config.grpo.epsilon_high = Some(fixture.epsilon_high);
    config.grpo.beta = case.beta;
    config.grpo.importance_sampling_cap = case.cap;
    config.grpo.mask_truncated_completions = case.mask_truncated;
    config.grpo.loss_type = match case.loss_type.as_str() {
        "grpo" => LossType::Grpo,
        "bnpo" => LossType::Bnpo,
        "dr_grpo" => LossType::DrGrpo,
        "dapo" => LossType::Dapo,
        other => panic!("loss type {other}"),
    };
    config.grpo.scale_rewards = match case.scale_rewards.as_str() {
        "group" => ScaleRewards::Group,
        "batch" => ScaleRewards::Batch,
        "none" => ScaleRewards::None,
        other => panic!("scale_rewards {other}"),
    };
    config
}

fn groups(fixture: &Fixture, case: &Case) -> Vec<Group> {
    let rollouts: Vec<Rollout> = (0..case.rewards.len())
        .map(|i| Rollout {
            tokens: vec![0; case.log_probs[i].len()],
            text: String::new(),
            sampler_log_probs: case.sampler[i].clone(),
            finish: if case.truncated[i] { FinishReason::Length } else { FinishReason::Stop },
            rewards: BTreeMap::new(),
            reward: Some(case.rewards[i]),
            correct: false,
            answer_start: None,
            advantage: 0.0,
            old_log_probs: Some(case.old[i].clone()),
            reference_log_probs: (case.beta > 0.0).then(|| case.reference[i].clone()),
        })
        .collect();
    rollouts
        .chunks(fixture.num_generations)
        .map(|rollouts| Group {
            problem: 0,
            prompt: vec![0],
            explanation_prompt: Vec::new(),
            rollouts: rollouts.to_vec(),
            explanations: None,
            expert: None,
        })
        .collect()
}

#[test]
fn loss_and_derivatives_equal_trl_s() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/grpo_trl.json")).expect("the fixture is JSON");
    assert!(fixture.cases.len() >= 24);
    let mut clipped = 0;
    for case in &fixture.cases {
        let name = format!("{} {} mask={} beta={} cap={:?}", case.loss_type, case.scale_rewards, case.mask_truncated, case.beta, case.cap);
        let recipe = Grpo::new(&config(&fixture, case));
        let mut drawn = Drawn { groups: groups(&fixture, case), ..Drawn::default() };
        recipe.score(&mut drawn.groups);
        let advantages = drawn.groups.iter().flat_map(|group| &group.rollouts).map(|rollout| rollout.advantage);
        for (found, expected) in advantages.zip(&case.advantages) {
            assert!((found - expected).abs() < 1e-9, "{name}: advantage {found}, TRL {expected}");
        }
        let sequences = recipe.sequences(&drawn, 0.0);
        let mut loss = 0.0;
        for (i, sequence) in sequences.iter().enumerate() {
            for (token, log_prob) in case.log_probs[i].iter().enumerate() {
                loss += sequence
                    .losses
                    .iter()
                    .map(|l| l.weight() * l.kind.token_local().expect("token-local").token_loss(token, *log_prob).value)
                    .sum::<f64>();
                clipped += sequence.losses.iter().filter(|l| l.is_clipped(token, *log_prob)).count();
                let (found, expected) = (sequence.derivative(token, *log_prob), case.gradient[i][token]);
                assert!((found - expected).abs() < 1e-7, "{name}: derivative {found}, TRL {expected}");
            }
        }
        assert!((loss - case.loss).abs() < 1e-9, "{name}: loss {loss}, TRL {}", case.loss);
    }
    assert!(clipped > 20, "the fixture has too few clipped tokens to test the clip: {clipped}");
}
