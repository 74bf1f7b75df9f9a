//! Runs with adapters on random models of a few thousand parameters.

use crate::clock::Clock;
use crate::config::{Config, ExplainedBy, RecipeName};
use crate::objective::sequence::Sequence;
use crate::run::data::TrainData;
use crate::run::save_weights::SaveWeights;
use crate::run::tests::{recipes, run};
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, config, problems, tiny_model};

fn with_lora(mut config: Config, dropout: f64) -> Config {
    (config.lora.r, config.lora.lora_alpha, config.lora.lora_dropout) = (3, 16.0, dropout);
    config
}

#[test]
fn every_recipe_trains_an_adapter_and_nothing_else() {
    for config in recipes() {
        let mut config = with_lora(config, 0.2);
        config.exp.explainer = ExplainedBy::Average;
        let recipe = config.train.recipe;
        let run_on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(config.clone(), tiny_model(2)).unwrap())
        };
        let (model, lines, metrics, _) = run_on(1);
        assert_eq!(run_on(2).1, lines, "{recipe}");
        assert!(metrics.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{recipe}: {metrics:?}");
        assert_eq!(model.base_sha256(), tiny_model(2).base_sha256(), "{recipe}: the base changed");
        let mut moved = false;
        model
            .export(&mut |name, tensor| {
                assert!(name.contains("lora_"), "{name}");
                moved |= name.contains("lora_B") && tensor.data.iter().any(|v| *v != 0.0);
                Ok(())
            })
            .unwrap();
        // A random model never answers right: GRPO alone has nothing to learn from.
        assert!(moved || recipe == RecipeName::Grpo, "{recipe}: the adapter did not move");
    }
}

#[test]
fn the_reference_is_the_model_without_the_adapter() {
    let mut config = with_lora(config(), 0.0);
    config.train.recipe = RecipeName::ExpGrpo;
    config.train.steps = 3;
    (config.grpo.beta, config.optim.learning_rate) = (0.1, 1e-2);
    let (_, _, metrics, _) = run(config, tiny_model(3)).unwrap();
    let kl: Vec<f64> = metrics.iter().map(|m| m.get("kl").unwrap()).collect();
    assert_eq!(kl[0], 0.0, "a new adapter is the base to the bit");
    assert!(kl[2] > 1e-6, "{kl:?}");
}

/// Ratios compare the policy with what was sampled from: without dropout, though training passes have it.
#[test]
fn old_log_probs_have_no_dropout() {
    let mut config = with_lora(config(), 0.4);
    config.train.recipe = RecipeName::Grpo;
    config.train.num_iterations = 2;
    let data = TrainData { problems: problems(20), ..TrainData::default() };
    let mut trainer =
        Trainer::with_task(config, tiny_model(4), Box::new(CharTask::new()), SaveWeights::new(0, |_, _| Ok(())), data, None).unwrap();
    let groups = trainer.draw(&mut Clock::default(), &mut (), |source, context| source.draw(0, context)).unwrap().drawn.groups;
    let mut compared = 0;
    for group in &groups {
        for rollout in &group.rollouts {
            let old = rollout.old_log_probs.as_ref().unwrap();
            let scores = trainer.policy().score(&[Sequence::measured(&group.prompt, &rollout.tokens, 1.0)]).unwrap();
            assert_eq!(&scores[0].log_probs, old);
            for (old, sampler) in old.iter().zip(&rollout.sampler_log_probs) {
                assert!((old - f64::from(*sampler)).abs() < 1e-4, "{old}, {sampler}");
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "only {compared} tokens");
}
