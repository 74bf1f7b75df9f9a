//! Whole runs on random models of a few thousand parameters.

use super::documents::Documents;
use super::metrics::{StepMetrics, is_timing};
use super::observe::Observer;
use super::testing::{CharTask, config, documents, problems, tiny_model};
use super::trainer::{RunSummary, TrainData, Trainer};
use crate::config::{Config, Recipe};
use crate::error::Result;
use expo_lm::model::Model;

#[derive(Default)]
struct Record(Vec<StepMetrics>);
impl Observer for Record {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.0.push(metrics.clone());
    }
}

/// Runs `config` from `model`; the trained model and every step's metrics without timings.
fn run(config: Config, model: Model) -> Result<(Model, Vec<String>, Vec<StepMetrics>, RunSummary)> {
    let data = TrainData { problems: problems(20), documents: Some(Documents::List(documents(20))), ..TrainData::default() };
    let mut trainer = Trainer::with_task(config, model, Box::new(CharTask::new()), Box::new(|_, _| Ok(())), data, None)?;
    let mut record = Record::default();
    let summary = trainer.run(&mut record)?;
    let lines = record
        .0
        .iter()
        .map(|metrics| metrics.iter().filter(|(name, _)| !is_timing(name)).map(|(name, value)| format!("{name}={value};")).collect())
        .collect();
    Ok((trainer.into_model(), lines, record.0, summary))
}

fn sft() -> Config {
    let mut config = config();
    config.train.recipe = Recipe::Sft;
    config.rehearsal.data = "documents".into();
    config.rehearsal.documents_per_step = 8;
    config
}

#[test]
fn the_loss_of_sft_decreases() {
    let mut config = sft();
    config.train.steps = 150;
    config.optim.learning_rate = 1e-2;
    let (_, _, metrics, summary) = run(config, tiny_model(1)).unwrap();
    let loss = |metrics: &[StepMetrics]| metrics.iter().map(|m| m.get("loss").unwrap()).sum::<f64>() / metrics.len() as f64;
    let (first, last) = (loss(&metrics[..5]), loss(&metrics[145..]));
    assert!(last < 0.4 * first, "from {first} to {last}");
    assert_eq!(summary.steps, 150);
    assert!(summary.trained_tokens > 0);
}

fn recipes() -> [Config; 4] {
    [Recipe::Sft, Recipe::Grpo, Recipe::ExpGrpo, Recipe::GrpoSftGtCot].map(|recipe| {
        let mut config = if recipe == Recipe::Sft { sft() } else { config() };
        config.train.recipe = recipe;
        config
    })
}

#[test]
fn every_recipe_runs_and_reports_its_terms() {
    for config in recipes() {
        let recipe = config.train.recipe;
        let (_, _, metrics, summary) = run(config, tiny_model(2)).unwrap();
        assert_eq!(summary.steps, 2, "{recipe}");
        let names: Vec<&str> = metrics[0].iter().map(|(name, _)| name).collect();
        let terms: &[&str] = match recipe {
            Recipe::Sft => &["loss/documents"],
            Recipe::Grpo => &["loss/policy_gradient", "reward/mean", "exp/nll_own", "exp/nll_expert", "sampling/logp_difference_max"],
            Recipe::ExpGrpo => &["loss/policy_gradient", "exp/kept_fraction", "exp/answer_match_fraction", "exp/beta", "exp/nll_expert"],
            Recipe::GrpoSftGtCot => &["loss/policy_gradient", "loss/expert_cot", "exp/nll_expert", "exp/beta"],
        };
        for term in terms {
            assert!(names.contains(term), "{recipe}: no {term} in {names:?}");
        }
        assert!(metrics.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{recipe}: {metrics:?}");
    }
}

#[test]
fn the_sampler_draws_with_the_trainer_s_log_probs() {
    let mut config = config();
    config.train.recipe = Recipe::Grpo;
    config.rollout.temperature = 0.7;
    let (_, _, metrics, _) = run(config, tiny_model(3)).unwrap();
    for metrics in metrics {
        let difference = metrics.get("sampling/logp_difference_max").unwrap();
        assert!(difference < 1e-4, "{difference}");
    }
}

#[test]
fn the_same_seed_gives_the_same_metrics_on_any_number_of_threads() {
    for config in recipes() {
        let run_on = |threads: usize, seed: u64| {
            let mut config = config.clone();
            config.train.seed = seed;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(config, tiny_model(4)).unwrap().1)
        };
        assert_eq!(run_on(1, 5), run_on(2, 5), "{}", config.train.recipe);
        assert_ne!(run_on(1, 5), run_on(1, 6), "{}", config.train.recipe);
    }
}

/// Every weight of `model`.
fn weights(model: &Model) -> Vec<f32> {
    let mut all = Vec::new();
    model
        .export(&mut |_, tensor| {
            all.extend(tensor.data);
            Ok(())
        })
        .unwrap();
    all
}

#[test]
fn without_reward_differences_grpo_moves_nothing() {
    // A random model never answers right: all rewards are 0, all advantages exactly 0.
    let mut config = config();
    config.train.recipe = Recipe::Grpo;
    let start = tiny_model(7);
    let before = weights(&start);
    let (after, _, metrics, _) = run(config, start).unwrap();
    assert_eq!(metrics[0].get("groups/all_wrong"), Some(1.0));
    assert_eq!(metrics[0].get("grad_norm"), Some(0.0));
    assert_eq!(before, weights(&after));
}
