//! The loss of LUFFY and its derivatives against a transcription of the formulas (scripts/fixtures/luffy.py): several lengths, masks, off-policy ratios.

use expo_core::config::Config;
use expo_core::objective::luffy::Luffy;
use expo_core::objective::{Drawn, Group, Origin, Recipe, Rollout, Scores};
use expo_lm::generate::FinishReason;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    /// Rollouts and traces of each group.
    groups: Vec<(usize, usize)>,
    max_completion_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss_type: String,
    scale_rewards: String,
    gamma: f64,
    mask_truncated: bool,
    truncated: Vec<bool>,
    rewards: Vec<f64>,
    log_probs: Vec<Vec<f64>>,
    old: Vec<Vec<f64>>,
    advantages: Vec<f64>,
    loss: f64,
    gradient: Vec<Vec<f64>>,
}

impl Case {
    fn sample(&self, i: usize, off_policy: bool) -> Rollout {
        let (tokens, finish) = (self.log_probs[i].len(), if self.truncated[i] { FinishReason::Length } else { FinishReason::Stop });
        let sampled = if off_policy { Vec::new() } else { self.old[i].iter().map(|old| *old as f32).collect() };
        Rollout {
            reward: Some(self.rewards[i]),
            old_log_probs: (!off_policy).then(|| self.old[i].clone()),
            ..Rollout::new(vec![0; tokens], Default::default(), sampled, finish)
        }
    }
}

#[test]
fn loss_and_derivatives_equal_the_formulas() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/luffy.json")).expect("the fixture is JSON");
    assert_eq!(fixture.cases.len(), 16);
    for case in &fixture.cases {
        let options = format!(
            "train.recipe = \"luffy\"\nluffy.gamma = {}\nrollout.max_new_tokens = {}\ngrpo.loss_type = \"{}\"\ngrpo.scale_rewards = \"{}\"\n\
             grpo.mask_truncated_completions = {}\ngrpo.epsilon_high = 0.28\n",
            case.gamma, fixture.max_completion_length, case.loss_type, case.scale_rewards, case.mask_truncated
        );
        let recipe = Luffy::new(&Config::from_toml(&options, "options", &[]).unwrap_or_else(|e| panic!("{e}")));
        let mut next = 0..;
        let mut samples = |count: usize, off_policy: bool| next.by_ref().take(count).map(|i| case.sample(i, off_policy)).collect();
        let group = |(rollouts, traces): &(usize, usize)| Group {
            prompt: vec![0],
            rollouts: samples(*rollouts, false),
            off_policy: samples(*traces, true),
            ..Group::default()
        };
        let mut drawn = Drawn { groups: fixture.groups.iter().map(group).collect(), ..Drawn::default() };
        recipe.score(&mut drawn.groups);
        for (sample, expected) in drawn.groups.iter().flat_map(Group::samples).zip(&case.advantages) {
            assert!((sample.advantage - expected).abs() < 1e-9, "{options}: advantage {}, formula {expected}", sample.advantage);
        }
        let sequences = recipe.sequences(&drawn, 0.0);
        assert_eq!(sequences.len(), case.rewards.len());
        assert_eq!(sequences.iter().filter(|sequence| matches!(sequence.origin, Origin::OffPolicy { .. })).count(), 3);
        let mut loss = 0.0;
        for (i, sequence) in sequences.iter().enumerate() {
            let scores = Scores { log_probs: &case.log_probs[i], entropies: &[], divergences: &[] };
            loss += sequence.losses.iter().map(|l| l.weight() * l.kind.evaluate(scores, None).value).sum::<f64>();
            for (found, expected) in sequence.gradients(scores, None).iter().zip(&case.gradient[i]) {
                assert!((found.log_prob - expected).abs() < 1e-9, "{options}: derivative {found:?}, formula {expected}");
            }
        }
        assert!((loss - case.loss).abs() < 1e-9, "{options}: loss {loss}, formula {}", case.loss);
    }
}
