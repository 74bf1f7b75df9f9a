//! Whole runs on random models of a few thousand parameters.

use std::sync::{Arc, Mutex};

use crate::config::{Config, RecipeName};
use crate::error::Result;
use crate::feed::documents::Documents;
use crate::metrics::{StepMetrics, is_timing};
use crate::policy::Lm;
use crate::policy::cpu::model_of;
use crate::run::data::TrainData;
use crate::run::save_weights::SaveWeights;
use crate::run::state::RunSummary;
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, Record, config, documents, preferences, problems, tiny_model, weights};
use expo_lm::model::Model;

/// Runs `config` from `model`; the trained model and every step's metrics without timings.
pub(crate) fn run(config: Config, model: Model) -> Result<(Model, Vec<String>, Vec<StepMetrics>, RunSummary)> {
    let data = TrainData {
        problems: problems(20),
        preferences: preferences(20),
        documents: Some(Documents::List(documents(20))),
        ..TrainData::default()
    };
    let mut trainer = Trainer::with_task(config, model, Box::new(CharTask::new()), SaveWeights::new(0, |_, _| Ok(())), data, None)?;
    let mut record = Record::default();
    let summary = trainer.run(&mut record)?;
    let lines = record
        .steps
        .iter()
        .map(|metrics| {
            metrics.iter().filter(|(name, _)| !is_timing(&name.as_str())).map(|(name, value)| format!("{name}={value};")).collect()
        })
        .collect();
    Ok((trainer.into_model().unwrap(), lines, record.steps, summary))
}

fn sft() -> Config {
    let mut config = config();
    config.train.recipe = RecipeName::Sft;
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

pub(crate) fn recipes() -> [Config; 8] {
    [
        RecipeName::Sft,
        RecipeName::Grpo,
        RecipeName::ExpGrpo,
        RecipeName::GrpoSftGtCot,
        RecipeName::Dpo,
        RecipeName::ExpDpo,
        RecipeName::Star,
        RecipeName::Luffy,
    ]
    .map(|recipe| {
        let mut config = if recipe == RecipeName::Sft { sft() } else { config() };
        config.train.recipe = recipe;
        if recipe == RecipeName::ExpDpo {
            // Long enough for some completions to end.
            (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (40, 40);
        }
        config
    })
}

#[test]
fn every_recipe_runs_and_reports_its_terms() {
    for config in recipes() {
        let recipe = config.train.recipe;
        let (_, _, metrics, summary) = run(config, tiny_model(2)).unwrap();
        assert_eq!(summary.steps, 2, "{recipe}");
        let names: Vec<String> = metrics[0].iter().map(|(name, _)| name.to_string()).collect();
        let terms: &[&str] = match recipe {
            RecipeName::Sft => &["loss/documents"],
            RecipeName::Grpo => &["loss/policy_gradient", "reward/mean", "exp/nll_own", "exp/nll_expert", "sampling/logp_difference_max"],
            RecipeName::ExpGrpo => {
                &["loss/policy_gradient", "exp/kept_fraction", "exp/answer_match_fraction", "exp/beta", "exp/nll_expert"]
            }
            RecipeName::Dpo => &["loss/preference", "rewards/margins", "logps/chosen", "entropy"],
            RecipeName::ExpDpo => {
                &["loss/preference", "rewards/accuracies", "groups/all_wrong", "exp/kept_fraction", "exp/nll_expert", "pairs"]
            }
            RecipeName::Luffy => &["loss/policy_gradient", "off_policy/reward", "off_policy/advantage", "off_policy/nll"],
            RecipeName::Star => &["star/correct", "star/documents", "groups/all_wrong", "exp/kept_fraction"],
            RecipeName::GrpoSftGtCot => &["loss/policy_gradient", "loss/expert_cot", "exp/nll_expert", "exp/beta"],
        };
        for term in terms {
            assert!(names.iter().any(|name| name == term), "{recipe}: no {term} in {names:?}");
        }
        assert!(metrics.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{recipe}: {metrics:?}");
    }
}

#[test]
fn the_sampler_draws_with_the_trainer_s_log_probs() {
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
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

#[test]
fn without_reward_differences_grpo_moves_nothing() {
    // A random model never answers right: all rewards are 0, all advantages exactly 0.
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
    let start = tiny_model(7);
    let before = weights(&start);
    let (after, _, metrics, _) = run(config, start).unwrap();
    assert_eq!(metrics[0].get("groups/all_wrong"), Some(1.0));
    assert_eq!(metrics[0].get("grad_norm"), Some(0.0));
    assert_eq!(before, weights(&after));
}

#[test]
fn options_of_the_explanation_term_and_of_several_updates_run() {
    type Variant = (&'static str, fn(&mut Config));
    let variants: [Variant; 8] = [
        ("old log-probs of training", |c| c.train.num_iterations = 3),
        ("old log-probs of the sampler", |c| {
            c.train.num_iterations = 2;
            c.grpo.old_log_probs = crate::config::OldLogProbs::Sampler;
        }),
        ("kl", |c| c.grpo.beta = 0.1),
        ("hinted kl", |c| c.exp.hinted_kl_beta = 0.1),
        ("initial explainer", |c| c.exp.explainer = crate::config::ExplainedBy::Initial),
        ("average explainer", |c| c.exp.explainer = crate::config::ExplainedBy::Average),
        ("explained once", |c| c.exp.every = 0),
        ("failed groups", |c| c.exp.questions = crate::config::ExplainQuestions::FailedGroups),
    ];
    for (name, change) in variants {
        let mut config = config();
        config.train.recipe = RecipeName::ExpGrpo;
        config.train.steps = 3;
        config.exp.max_new_tokens = 40;
        config.rehearsal.data = "documents".into();
        config.rehearsal.documents_per_step = 2;
        change(&mut config);
        let (_, _, metrics, summary) = run(config, tiny_model(8)).unwrap();
        assert_eq!(summary.steps, 3, "{name}");
        assert!(metrics.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{name}: {metrics:?}");
        assert!(metrics.iter().any(|m| m.get("exp/nll_explanation").is_some()), "{name}: no explanation was kept in any step");
        assert!(metrics[0].get("loss/rehearsal").is_some(), "{name}");
        if name == "kl" {
            assert!(metrics[0].get("kl").unwrap().abs() < 1e-9, "the first step's policy is the reference");
            assert!(metrics[2].get("kl").unwrap() > 0.0);
        }
        if name == "hinted kl" {
            assert!(metrics.iter().any(|m| m.get("loss/hinted_kl").is_some()));
        }
    }
}

/// GRPO whose groups often have rollouts of different rewards: those that end by themselves within a few tokens are better.
fn with_rewards() -> Config {
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
    config.train.num_iterations = 2;
    config.reward.soft_overlong_punishment = 1.0;
    config.reward.soft_punish_cache = Some(7);
    config
}

#[test]
fn variants_of_grpo_run_and_move_the_policy() {
    use crate::config::*;
    type Variant = (&'static str, fn(&mut GrpoSection));
    let variants: [Variant; 12] = [
        ("grpo", |_| ()),
        ("dr. grpo", |g| (g.loss_type, g.scale_rewards) = (LossType::DrGrpo, Some(ScaleRewards::None))),
        ("dapo", |g| (g.loss_type, g.epsilon_high, g.filter_groups) = (LossType::Dapo, Some(0.28), true)),
        ("gspo", |g| g.importance_sampling_level = ImportanceSamplingLevel::Sequence),
        ("cispo", |g| (g.loss_type, g.epsilon_high) = (LossType::Cispo, Some(5.0))),
        ("two-sided clip", |g| g.delta = Some(1.5)),
        ("rloo", |g| (g.adv_estimator, g.beta, g.use_kl_in_reward) = (AdvantageEstimator::Rloo, 0.01, true)),
        ("reinforce++", |g| g.adv_estimator = AdvantageEstimator::ReinforcePlusPlus),
        ("reinforce++-baseline", |g| g.adv_estimator = AdvantageEstimator::ReinforcePlusPlusBaseline),
        ("k2", |g| (g.beta, g.kl_estimator, g.exclude_equal_rewards) = (0.1, Some(KlEstimator::K2), true)),
        ("entropy bonus", |g| g.entropy_coef = 0.01),
        ("moving reference", |g| (g.beta, g.sync_ref_model, g.ref_model_sync_steps) = (0.1, true, 3)),
    ];
    for recipe in [RecipeName::Grpo, RecipeName::ExpGrpo] {
        for (name, change) in &variants {
            let mut config = with_rewards();
            config.train.recipe = recipe;
            change(&mut config.grpo);
            config.validate().unwrap();
            let filters = config.grpo.filter_groups;
            let (_, _, metrics, summary) = run(config, tiny_model(8)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(summary.steps, 2, "{name}");
            assert!(metrics.iter().all(|m| m.iter().all(|(_, value)| value.is_finite())), "{name}: {metrics:?}");
            assert!(metrics.iter().all(|m| m.get("grad_norm").unwrap() > 0.0), "{name}: {metrics:?}");
            assert_eq!(metrics[1].get("exp/kept_fraction").is_some(), recipe == RecipeName::ExpGrpo, "{name}");
            for metrics in &metrics {
                let (drawn, equal) = (metrics.get("groups/drawn").unwrap(), metrics.get("groups/equal_rewards").unwrap());
                if filters {
                    assert_eq!((drawn * (1.0 - equal)).round(), 3.0, "{name}");
                } else {
                    assert_eq!(drawn, 3.0, "{name}");
                }
            }
        }
    }
}

#[test]
fn on_policy_the_ratio_s_level_changes_nothing() {
    let gradient = |level| {
        let mut config = with_rewards();
        config.train.num_iterations = 1;
        config.grpo.importance_sampling_level = level;
        run(config, tiny_model(8)).unwrap().2[0].get("grad_norm").unwrap()
    };
    let (token, sequence) =
        (gradient(crate::config::ImportanceSamplingLevel::Token), gradient(crate::config::ImportanceSamplingLevel::Sequence));
    assert!((token - sequence).abs() < 1e-5 * token, "{token} {sequence}");
}

#[test]
fn dynamic_sampling_that_can_never_fill_a_batch_says_so() {
    // A random model never answers right: all rewards are 0.
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
    (config.grpo.filter_groups, config.grpo.max_num_gen_batches) = (true, 4);
    let error = run(config, tiny_model(7)).err().unwrap().to_string();
    assert!(error.starts_with("step 1: grpo.filter_groups: 12 questions (grpo.max_num_gen_batches = 4 times"), "{error}");
    assert!(error.contains("gave 0 groups of different rewards instead of 3; raise"), "{error}");
}

#[test]
fn a_reference_that_moves_all_the_way_is_the_policy() {
    let mut config = with_rewards();
    config.train.steps = 4;
    config.train.num_iterations = 1;
    config.grpo.beta = 0.1;
    let kl = |config: &Config| run(config.clone(), tiny_model(8)).unwrap().2.iter().map(|m| m.get("kl").unwrap()).collect::<Vec<_>>();
    let fixed = kl(&config);
    (config.grpo.sync_ref_model, config.grpo.ref_model_mixup_alpha, config.grpo.ref_model_sync_steps) = (true, 1.0, 2);
    let moved = kl(&config);
    let is_policy = |kl: &[f64]| kl.iter().map(|kl| kl.abs() < 1e-9).collect::<Vec<_>>();
    assert_eq!(is_policy(&fixed), [true, false, false, false], "{fixed:?}");
    assert_eq!(is_policy(&moved), [true, false, true, false], "{moved:?}");
    config.grpo.ref_model_mixup_alpha = 0.5;
    let half = kl(&config);
    assert!(half[2] > 1e-9 && half[2] < fixed[2], "{half:?} {fixed:?}");
}

#[test]
fn traces_of_another_policy_teach_where_every_rollout_fails() {
    use crate::config::LuffyTrace;
    for trace in [LuffyTrace::Expert, LuffyTrace::Explanation] {
        let mut config = config();
        (config.train.recipe, config.luffy.trace) = (RecipeName::Luffy, trace);
        (config.train.steps, config.train.num_iterations, config.optim.learning_rate) = (30, 2, 3e-3);
        (config.exp.every, config.exp.max_new_tokens) = (0, 40);
        config.grpo.entropy_coef = 1e-3;
        config.grpo.beta = 1e-3;
        config.validate().unwrap();
        let (_, _, metrics, _) = run(config, tiny_model(8)).unwrap();
        let traced: Vec<&StepMetrics> = metrics.iter().filter(|metrics| metrics.get("off_policy/reward").is_some()).collect();
        assert!(traced.len() > 15 && traced.iter().all(|metrics| metrics.get("off_policy/reward") == Some(1.0)), "{trace}: {metrics:?}");
        let first = traced[0];
        assert_eq!(first.get("groups/all_wrong"), Some(1.0));
        assert!(first.get("off_policy/advantage").unwrap() > 0.5 && first.get("grad_norm").unwrap() > 0.0, "{first:?}");
        let nll = |steps: &[&StepMetrics]| steps.iter().map(|step| step.get("off_policy/nll").unwrap()).sum::<f64>() / steps.len() as f64;
        let (early, late) = (nll(&traced[..5]), nll(&traced[traced.len() - 5..]));
        assert!(late < 0.9 * early, "{trace}: {early} {late}");
        assert!(first.get("exp/beta").is_none());
        assert!(metrics.iter().all(|metrics| metrics.get("loss/entropy").unwrap() > 0.0 && metrics.get("loss/kl").is_some()));
        // The rollouts' own metrics know nothing of traces.
        assert_eq!(first.get("reward/mean"), Some(0.0));
    }
}

#[test]
fn the_likelihood_of_the_answer_rewards_without_a_verifier() {
    use crate::config::LikelihoodForm;
    for form in [LikelihoodForm::Probability, LikelihoodForm::MeanLogProb] {
        let mut config = config();
        config.train.recipe = RecipeName::Grpo;
        (config.reward.correctness, config.reward.answer_likelihood, config.reward.answer_likelihood_form) = (0.0, 2.0, form);
        config.rollout.max_new_tokens = 40;
        config.validate().unwrap();
        let (_, _, metrics, _) = run(config, tiny_model(8)).unwrap();
        for metrics in &metrics {
            let reward = metrics.get("reward/answer_likelihood").unwrap();
            assert!((metrics.get("reward/mean").unwrap() - 2.0 * reward).abs() < 1e-12);
            assert!(if form == LikelihoodForm::Probability { (0.0..1.0).contains(&reward) } else { reward < 0.0 }, "{form}: {reward}");
        }
        assert!(metrics.iter().any(|metrics| metrics.get("grad_norm").unwrap() > 0.0), "{form}: {metrics:?}");
    }
}

#[test]
fn a_run_writes_its_files_and_refuses_a_folder_with_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut config = config();
    config.train.steps = 3;
    config.train.save_every = 2;
    let start = |config: &Config| {
        let data = TrainData { problems: problems(5), ..TrainData::default() };
        let save = SaveWeights::new(0, |_: &dyn Lm, path: &std::path::Path| {
            std::fs::create_dir(path).map_err(|e| crate::Error::io("create", path, e))
        });
        Trainer::with_task(config.clone(), tiny_model(9), Box::new(CharTask::new()), save, data, Some(&out))
    };
    let summary = start(&config).unwrap().run(&mut ()).unwrap();
    assert_eq!(summary.model, Some(out.join("model")));
    assert!(out.join("model").is_dir() && out.join("checkpoints/step-000002").is_dir());
    let lines =
        |name: &str| std::fs::read_to_string(out.join(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let metrics: Vec<serde_json::Value> = lines("metrics.jsonl");
    assert_eq!(metrics.iter().map(|m| m["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let completions: Vec<serde_json::Value> = lines("completions.jsonl");
    for kind in ["rollout", "explanation"] {
        assert!(completions.iter().any(|row| row["kind"] == kind), "no {kind}");
    }
    let run: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["config"]["train"]["steps"], 3);
    assert!(run["instruction_set"].is_string() && run["date_unix_seconds"].is_u64());
    let explained = completions.iter().find(|row| row["kind"] == "explanation").unwrap();
    assert!(explained["rewards"]["correctness"].is_number() && explained["correct"].is_boolean(), "{explained}");
    let error = start(&config).err().unwrap().to_string();
    assert!(error.contains("already holds a run"), "{error}");
}

#[test]
fn a_non_finite_loss_stops_the_run_and_writes_the_batch_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = sft();
    // The first update throws the weights so far that the second forward overflows.
    config.optim.learning_rate = 1e30;
    let data = TrainData { documents: Some(Documents::List(documents(9))), ..TrainData::default() };
    let saved = Arc::new(Mutex::new(Vec::new()));
    let keep = saved.clone();
    let save = SaveWeights::new(0, move |model: &dyn Lm, path: &std::path::Path| {
        *keep.lock().unwrap() = weights(model_of(model)?);
        std::fs::create_dir(path).map_err(|e| crate::Error::io("create", path, e))
    });
    let mut trainer = Trainer::with_task(config, tiny_model(1), Box::new(CharTask::new()), save, data, Some(folder.path())).unwrap();
    let error = trainer.run(&mut ()).unwrap_err().to_string();
    assert!(error.starts_with("step 2: loss") && error.contains("gradient norm NaN") && error.contains("nonfinite-step-2.json"), "{error}");
    let batch: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("nonfinite-step-2.json")).unwrap()).unwrap();
    assert_eq!(batch["sequences"].as_array().unwrap().len(), 8);
    assert!(folder.path().join("last-good").is_dir());
    assert_eq!(*saved.lock().unwrap(), weights(&tiny_model(1)), "the weights before the update that ruined them");
    assert_eq!(std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn prompts_that_do_not_fit_are_counted_or_refused() {
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
    // The context holds 128 tokens; a prompt has 6 or 7.
    config.rollout.max_new_tokens = 122;
    let (_, _, _, summary) = run(config.clone(), tiny_model(1)).unwrap();
    assert!((1..20).contains(&summary.problems_too_long), "{summary:?}");
    config.rollout.max_new_tokens = 200;
    let error = run(config.clone(), tiny_model(1)).err().unwrap().to_string();
    assert!(error.contains("no prompt fits") && error.contains("128"), "{error}");
    // With explanations there has to be room for the answer's suffix behind the longest rollout.
    config.train.recipe = RecipeName::ExpGrpo;
    config.rollout.max_new_tokens = 119;
    let (_, _, _, summary) = run(config, tiny_model(1)).unwrap();
    assert!((1..20).contains(&summary.problems_too_long), "{summary:?}");
}

#[test]
fn explanations_are_made_when_they_are_due_and_at_no_other_step() {
    for (every, expected) in
        [(0, [false; 5]), (1, [true; 5]), (2, [true, false, true, false, true]), (9, [true, false, false, false, false])]
    {
        let mut config = config();
        config.train.recipe = RecipeName::ExpGrpo;
        config.train.steps = 5;
        config.exp.every = every;
        let (_, _, metrics, _) = run(config, tiny_model(8)).unwrap();
        let made: Vec<bool> = metrics.iter().map(|m| m.get("tokens_per_s/explanation").is_some()).collect();
        assert_eq!(made, expected, "every {every}");
        assert!(metrics.iter().all(|m| m.get("exp/kept_fraction").is_some()), "every {every}: {metrics:?}");
    }
}

#[test]
fn expert_chains_of_thought_must_be_there_when_wanted() {
    let mut config = config();
    config.train.recipe = RecipeName::GrpoSftGtCot;
    let mut problems = problems(4);
    problems.iter_mut().for_each(|problem| problem.expert_cot = None);
    let data = TrainData { problems, ..TrainData::default() };
    let result = Trainer::with_task(config, tiny_model(1), Box::new(CharTask::new()), SaveWeights::new(0, |_, _| Ok(())), data, None);
    let error = result.err().unwrap().to_string();
    assert!(error.contains("expert chains of thought") && error.contains("data.expert_cot_field"), "{error}");
}

/// A run of GRPO whose rollouts are rewarded by the shell script `script` alone.
#[cfg(unix)]
fn rewarded_by(script: &str) -> Config {
    let mut config = config();
    config.train.recipe = RecipeName::Grpo;
    config.reward.correctness = 0.0;
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    config.reward.external.insert("judge".into(), crate::config::ExternalRewardSection { command, ..Default::default() });
    config
}

/// A loop of a shell script over the rows, with `$id` in it.
#[cfg(unix)]
fn each_row(body: &str) -> String {
    format!(r#"while IFS= read -r row; do id=${{row#*\"id\":}}; id=${{id%%,*}}; {body}; done"#)
}

#[cfg(unix)]
#[test]
fn a_command_rewards_rollouts() {
    let script = each_row(r#"[ $((id % 3)) = 0 ] && r=null || r=$((id % 3)); echo "{\"id\": $id, \"reward\": $r}""#);
    let (_, lines, metrics, _) = run(rewarded_by(&script), tiny_model(2)).unwrap();
    for metrics in &metrics {
        // Twelve rollouts a step: a third each has null, 1 and 2.
        assert_eq!(metrics.get("reward/judge"), Some(1.5));
        assert_eq!(metrics.get("reward/mean"), Some(1.5));
        assert!((metrics.get("reward/none_fraction").unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(metrics.get("groups/all_wrong"), Some(1.0), "by correctness alone");
        assert!(metrics.get("grad_norm").unwrap() > 0.0 && metrics.get("time/reward").is_some());
    }
    assert_eq!(run(rewarded_by(&script), tiny_model(2)).unwrap().1, lines);
}

#[cfg(unix)]
#[test]
fn rollouts_without_any_reward_move_nothing() {
    let start = tiny_model(2);
    let before = weights(&start);
    let mut config = rewarded_by(&each_row(r#"echo "{\"id\": $id, \"reward\": null}""#));
    config.grpo.beta = 0.1;
    let (after, _, metrics, _) = run(config, start).unwrap();
    assert_eq!((metrics[0].get("grad_norm"), metrics[0].get("reward/none_fraction")), (Some(0.0), Some(1.0)));
    assert!(metrics[0].get("reward/mean").is_none() && metrics[0].get("reward/judge").is_none());
    assert_eq!(before, weights(&after));
}

#[cfg(unix)]
#[test]
fn a_command_that_fails_stops_the_run_with_notes_before() {
    let mut config = rewarded_by("read row; exit 1");
    config.reward.external.get_mut("judge").unwrap().max_retries = 1;
    let data = TrainData { problems: problems(5), ..TrainData::default() };
    let mut trainer =
        Trainer::with_task(config, tiny_model(1), Box::new(CharTask::new()), SaveWeights::new(0, |_, _| Ok(())), data, None).unwrap();
    let mut record = Record::default();
    let error = trainer.run(&mut record).unwrap_err().to_string();
    assert!(
        error.starts_with("step 1: reward.external.judge: ") && error.contains("ended (exit status: 1) after 0 of 12 answers"),
        "{error}"
    );
    let notices = &record.notices;
    assert!(notices.len() == 1 && notices[0].starts_with("1: ") && notices[0].ends_with("attempt 2 of 2"), "{notices:?}");
}
