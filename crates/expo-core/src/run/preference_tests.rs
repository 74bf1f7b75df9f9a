//! Whole runs of DPO and ExP-DPO on random models of a few thousand parameters.

use std::path::Path;

use crate::config::{ChosenSide, Config, DataSection, PairLoss, RecipeName, RejectedSide};
use crate::data::read_preferences;
use crate::error::Result;
use crate::metrics::{StepMetrics, is_timing};
use crate::run::data::TrainData;
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, Record, config, preferences, problems, save_folder, tiny_model};

fn run_in(config: Config, out: Option<&Path>) -> Result<Record> {
    let data = TrainData { problems: problems(20), preferences: preferences(20), ..TrainData::default() };
    let mut trainer = Trainer::with_task(config, tiny_model(3), Box::new(CharTask::new()), save_folder(), data, out)?;
    let mut record = Record::default();
    trainer.run(&mut record)?;
    Ok(record)
}

fn run(config: Config) -> Record {
    run_in(config, None).unwrap()
}

fn lines(record: &Record) -> Vec<String> {
    let line = |metrics: &StepMetrics| {
        metrics.iter().filter(|(name, _)| !is_timing(&name.as_str())).map(|(name, value)| format!("{name}={value};")).collect::<String>()
    };
    record.steps.iter().map(line).collect()
}

fn dpo() -> Config {
    let mut config = config();
    config.train.recipe = RecipeName::Dpo;
    config.train.steps = 4;
    config
}

fn exp_dpo() -> Config {
    Config { train: crate::config::TrainSection { recipe: RecipeName::ExpDpo, ..dpo().train }, ..dpo() }
}

#[test]
fn dpo_learns_to_prefer_with_every_loss() {
    for loss_type in [PairLoss::Sigmoid, PairLoss::Robust, PairLoss::Ipo, PairLoss::Hinge, PairLoss::SigmoidNorm] {
        let mut config = dpo();
        config.train.steps = 40;
        config.train.prompts_per_step = 10;
        config.optim.learning_rate = 5e-3;
        config.dpo.loss_type = loss_type;
        config.dpo.label_smoothing = if loss_type == PairLoss::Robust { 0.1 } else { 0.0 };
        let record = run(config);
        let (first, last) = (&record.steps[0], &record.steps[39]);
        // The policy starts as the reference.
        assert!(first.get("rewards/margins").unwrap().abs() < 1e-6, "{loss_type}");
        assert!(last.get("loss").unwrap() < 0.9 * first.get("loss").unwrap(), "{loss_type}: {:?}", last);
        assert!(last.get("rewards/accuracies").unwrap() > 0.9 && last.get("rewards/margins").unwrap() > 0.1, "{loss_type}: {last:?}");
        let margin = last.get("rewards/chosen").unwrap() - last.get("rewards/rejected").unwrap();
        assert!((last.get("rewards/margins").unwrap() - margin).abs() < 1e-9);
    }
}

#[test]
fn reference_log_probs_computed_once_are_those_of_the_live_reference() {
    let folder = tempfile::tempdir().unwrap();
    for (i, config) in
        [dpo(), { Config { exp: crate::config::ExpSection { every: 0, ..exp_dpo().exp }, ..exp_dpo() } }].into_iter().enumerate()
    {
        let mut once = config.clone();
        once.dpo.precompute_ref_log_probs = true;
        let out = folder.path().join(i.to_string());
        let live = lines(&run(config));
        let stored = run_in(once, Some(&out)).unwrap();
        assert_eq!(lines(&stored), live);
        let text = std::fs::read_to_string(out.join("reference.jsonl")).unwrap();
        let row: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert!(row["ref_chosen_logps"].as_f64().unwrap() < 0.0 && row["ref_rejected_logps"].is_number() && row["id"].is_string(), "{row}");
    }
}

#[test]
fn offline_pairs_are_kept_as_a_preference_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut config = exp_dpo();
    config.exp.every = 0;
    config.exp.max_new_tokens = 40;
    config.rollout.max_new_tokens = 40;
    config.exp.num_explanations = 2;
    // More steps than a pass has: the pairs are made for one pass and come again.
    config.train.steps = 9;
    let record = run_in(config, Some(&out)).unwrap();
    let set = read_preferences(out.join("pairs.jsonl").to_str().unwrap(), &DataSection::default()).unwrap();
    assert!(record.notices[0].contains(&format!("{} pairs of 21 questions", set.preferences.len())), "{:?}", record.notices);
    assert!(record.steps.iter().all(|metrics| metrics.get("pairs") == Some(3.0) && metrics.get("time/rollout").is_none()));
    assert!(std::fs::read_to_string(out.join("completions.jsonl")).unwrap().contains("\"step\":0"));
}

#[test]
fn online_pairs_are_made_when_they_are_due() {
    let folder = tempfile::tempdir().unwrap();
    for (every, due) in [(1, [true; 4]), (2, [true, false, true, false]), (9, [true, false, false, false])] {
        let out = folder.path().join(every.to_string());
        let mut config = exp_dpo();
        config.exp.every = every;
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (40, 40);
        let record = run_in(config, Some(&out)).unwrap();
        let made: Vec<bool> = record.steps.iter().map(|metrics| metrics.get("time/rollout").is_some()).collect();
        assert_eq!(made, due, "every {every}");
        let used: f64 = record.steps.iter().filter_map(|metrics| metrics.get("pairs")).sum();
        let kept = std::fs::read_to_string(out.join("pairs.jsonl")).unwrap().lines().count();
        assert_eq!(used, kept as f64, "every {every}: each pair is used once");
        assert!(kept > 0);
    }
}

#[test]
fn options_of_the_reference_and_of_the_sides_run() {
    type Variant = (&'static str, fn(&mut Config));
    let variants: [Variant; 7] = [
        ("moving reference", |c| (c.dpo.sync_ref_model, c.dpo.ref_model_sync_steps, c.dpo.ref_model_mixup_alpha) = (true, 1, 1.0)),
        ("slow reference", |c| (c.dpo.sync_ref_model, c.dpo.ref_model_sync_steps) = (true, 2)),
        ("expert", |c| c.dpo.chosen = ChosenSide::Expert),
        ("any completion", |c| c.dpo.rejected = RejectedSide::Any),
        ("sft beside", |c| c.dpo.rpo_alpha = 0.5),
        ("initial explainer", |c| c.exp.explainer = crate::config::ExplainedBy::Initial),
        ("several updates", |c| c.train.num_iterations = 2),
    ];
    for (name, change) in variants {
        let mut config = exp_dpo();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (40, 40);
        change(&mut config);
        let record = run(config);
        assert_eq!(record.steps.len(), 4, "{name}");
        assert!(record.steps.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{name}: {:?}", record.steps);
        let rewards: Vec<f64> = record.steps.iter().filter_map(|metrics| metrics.get("rewards/chosen")).collect();
        assert!(rewards.len() > 1, "{name}");
        match name {
            "moving reference" => assert!(rewards.iter().all(|reward| reward.abs() < 1e-6), "the policy is its own reference: {rewards:?}"),
            _ => assert!(rewards.last().unwrap().abs() > 1e-6, "{name}: {rewards:?}"),
        }
        assert_eq!(record.steps.iter().any(|metrics| metrics.get("loss/sft").is_some()), name == "sft beside");
    }
}

#[test]
fn a_run_without_any_pair_says_why() {
    let mut config = exp_dpo();
    config.exp.every = 0;
    // Everything is cut off.
    (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (1, 1);
    config.dpo.chosen = ChosenSide::Expert;
    let error = run_in(config.clone(), None).err().unwrap().to_string();
    assert!(error.starts_with("no preference pair of 12 questions: 12 have a chosen side, "), "{error}");
    config.exp.every = 1;
    config.rollout.temperature = 0.01;
    let record = run(config);
    assert!(record.notices.iter().any(|notice| notice.contains("nothing is trained on")), "{:?}", record.notices);
}
