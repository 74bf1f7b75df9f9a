//! Evaluation in whole runs.

use std::path::Path;

use crate::config::{Config, RecipeName};
use crate::eval::{Plan, solve};
use crate::feed::documents::Documents;
use crate::metrics::{StepMetrics, is_timing};
use crate::policy::Lm;
use crate::policy::cpu::CpuLm;
use crate::rollout::ByWriter;
use crate::rollout::local::LocalSampler;
use crate::run::data::TrainData;
use crate::run::evaluation::EvaluationData;
use crate::run::save_weights::SaveWeights;
use crate::run::state::RunSummary;
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, Record, config, documents, preferences, problems, tiny_model};
use expo_lm::generate::SamplingParams;

/// Saves weights as their bytes in one file.
fn save() -> SaveWeights {
    SaveWeights::new(0, |model: &dyn Lm, path: &Path| {
        let mut bytes = Vec::new();
        model.tensors()?.export(&mut |_, tensor| {
            bytes.extend(tensor.data.iter().flat_map(|value| value.to_le_bytes()));
            Ok(())
        })?;
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("weights"), bytes).unwrap();
        Ok(())
    })
}

/// Runs `config`; with `evaluated` on held-out data of every kind that the recipe knows.
fn run(config: Config, evaluated: bool, out: Option<&Path>) -> (Vec<StepMetrics>, RunSummary) {
    let preferred = matches!(config.train.recipe, RecipeName::Dpo | RecipeName::ExpDpo);
    let mut evaluation = EvaluationData { problems: problems(6), ..EvaluationData::default() };
    if preferred {
        evaluation.preferences = preferences(6);
    } else {
        evaluation.documents = documents(6);
    }
    let data = TrainData {
        problems: problems(20),
        preferences: preferences(20),
        documents: Some(Documents::List(documents(20))),
        evaluation: if evaluated { evaluation } else { EvaluationData::default() },
        ..TrainData::default()
    };
    let mut trainer = Trainer::with_task(config, tiny_model(1), Box::new(CharTask::new()), save(), data, out).unwrap();
    let mut record = Record::default();
    let summary = trainer.run(&mut record).unwrap();
    (record.steps, summary)
}

fn evaluated(recipe: RecipeName) -> Config {
    let mut config = config();
    config.train.recipe = recipe;
    config.train.steps = 3;
    if recipe == RecipeName::Sft {
        config.rehearsal.data = "documents".into();
        config.rehearsal.documents_per_step = 8;
    }
    if recipe == RecipeName::ExpDpo {
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (40, 40);
    }
    (config.eval.every, config.eval.at_start, config.eval.num_samples, config.eval.pass_at_k) = (2, true, 2, vec![1, 2]);
    config
}

#[test]
fn training_is_the_same_with_and_without_evaluation() {
    for recipe in [RecipeName::Sft, RecipeName::Grpo, RecipeName::ExpGrpo, RecipeName::GrpoSftGtCot, RecipeName::Dpo, RecipeName::ExpDpo] {
        let trained = |metrics: &[StepMetrics]| -> Vec<String> {
            let of = |one: &StepMetrics| {
                let values = one.iter().filter(|(name, _)| !is_timing(&name.as_str()) && !name.as_str().starts_with("eval/"));
                values.map(|(name, value)| format!("{name}={value};")).collect::<String>()
            };
            metrics.iter().filter(|one| one.step > 0).map(of).collect()
        };
        let ((with, summary), (without, _)) = (run(evaluated(recipe), true, None), run(evaluated(recipe), false, None));
        assert_eq!(trained(&with), trained(&without), "{recipe}");
        assert_eq!(with.iter().map(|one| one.step).collect::<Vec<_>>(), [0, 1, 2, 3], "{recipe}");
        for one in &with {
            let due = one.step != 1;
            for name in ["eval/pass@1", "eval/pass@2", "eval/maj@2", "eval/completions/mean_length", "eval/loss", "time/eval"] {
                assert_eq!(one.get(name).is_some_and(f64::is_finite), due, "{recipe}: {name} at step {}", one.step);
            }
        }
        assert!(
            without
                .iter()
                .all(|one| one.step > 0 && one.iter().all(|(name, _)| !name.as_str().starts_with("eval/") && "time/eval" != *name)),
            "{recipe}"
        );
        assert_eq!((summary.steps, summary.best, summary.stopped_early), (3, None, false));
    }
}

#[test]
fn figures_are_those_of_the_evaluation_s_own_code() {
    let mut config = evaluated(RecipeName::Grpo);
    (config.train.seed, config.eval.num_samples, config.eval.temperature) = (9, 3, 1.0);
    let stop = vec![crate::testing::run::END];
    let sampling = SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 8, stop_token_ids: stop };
    let plan = Plan { samples: 3, sampling, seed: 9 };
    let (lm, mut sampler) = (CpuLm::new(tiny_model(1), 64), LocalSampler::new(64));
    let solved = solve(&mut ByWriter::of(&mut sampler, &lm), &CharTask::new(), &problems(6), &plan, None, &mut |_| ()).unwrap();
    let length = solved.iter().map(|one| one.tokens()).sum::<usize>() as f64 / 18.0;
    let (metrics, _) = run(config, true, None);
    assert_eq!(metrics[0].get("eval/completions/mean_length"), Some(length));
    assert_eq!(metrics[0].get("eval/pass@1"), Some(solved.iter().map(|one| one.pass_at_k(1)).sum::<f64>() / 6.0));
}

#[test]
fn levels_are_told_apart() {
    let mut data = problems(4);
    data[3].level = Some(2);
    let evaluation = EvaluationData { problems: data, ..EvaluationData::default() };
    let data = TrainData { problems: problems(20), evaluation, ..TrainData::default() };
    let mut trainer =
        Trainer::with_task(evaluated(RecipeName::Grpo), tiny_model(1), Box::new(CharTask::new()), save(), data, None).unwrap();
    let mut record = Record::default();
    trainer.run(&mut record).unwrap();
    assert!(
        ["eval/level_1/pass@2", "eval/level_2/maj@2"].into_iter().all(|name| record.steps[0].get(name).is_some()),
        "{:?}",
        record.steps[0]
    );
}

#[test]
fn held_out_preferences_begin_at_the_reference() {
    let (metrics, _) = run(evaluated(RecipeName::Dpo), true, None);
    assert!((metrics[0].get("eval/loss").unwrap() - std::f64::consts::LN_2).abs() < 1e-6, "{:?}", metrics[0]);
    assert!(metrics[0].get("eval/rewards/margins").unwrap().abs() < 1e-6);
    assert!(metrics[3].get("eval/rewards/margins").unwrap().abs() > 1e-6, "the policy has moved: {:?}", metrics[3]);
}

/// SFT on documents that are also held out: the loss falls until the learning rate, too high by then, throws the weights away.
#[test]
fn the_best_weights_are_kept_and_the_run_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = evaluated(RecipeName::Sft);
    (config.train.steps, config.optim.learning_rate) = (40, 0.3);
    (config.eval.every, config.eval.at_start, config.eval.early_stopping_patience) = (1, false, 3);
    config.eval.metric_for_best_model = Some("eval/loss".into());
    let (metrics, summary) = run(config.clone(), true, Some(&folder.path().join("run")));
    let best = summary.best.clone().unwrap();
    assert!(summary.stopped_early && summary.steps < 40 && summary.steps == metrics.len(), "{summary:?}");
    assert_eq!(summary.steps, best.step + 3, "nothing got better for three evaluations");
    let losses: Vec<f64> = metrics.iter().map(|one| one.get("eval/loss").unwrap()).collect();
    assert_eq!(best.value, losses.iter().copied().fold(f64::INFINITY, f64::min));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&read("run/best.json")).unwrap();
    assert_eq!((told["step"].as_u64(), told["value"].as_f64()), (Some(best.step as u64), Some(best.value)));
    assert_ne!(read("run/model-best/weights"), read("run/model/weights"));
    // The best weights are those of a run that ends there.
    (config.train.steps, config.eval.early_stopping_patience) = (best.step, 0);
    run(config, true, Some(&folder.path().join("short")));
    assert_eq!(read("run/model-best/weights"), read("short/model/weights"));
}
