//! Short runs of every recipe, and of every option that keeps something from step to step.

use crate::config::{
    AdvantageEstimator, Config, Curriculum, ExplainQuestions, ExplainedBy, LrSchedule, OldLogProbs, OnMismatch, Optimizer, RecipeName,
    RestartFrom,
};
use crate::testing::run::config;

/// A run of five steps with a checkpoint after every second.
pub fn recipe(recipe: RecipeName, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config();
    config.train.recipe = recipe;
    config.train.steps = 5;
    config.train.save_every = 2;
    config.exp.max_new_tokens = 40;
    if recipe == RecipeName::ExpDpo {
        config.rollout.max_new_tokens = 40;
    }
    if recipe == RecipeName::Star {
        (config.star.every, config.rollout.num_generations, config.exp.on_mismatch) = (3, 1, OnMismatch::Drop);
    }
    if recipe == RecipeName::Dpo {
        config.data.train = "preferences.jsonl".into();
    }
    if recipe == RecipeName::Sft {
        (config.rehearsal.data, config.rehearsal.documents_per_step) = ("list".into(), 8);
    }
    // Rewards that differ within groups.
    config.reward.soft_overlong_punishment = 1.0;
    config.reward.soft_punish_cache = Some(7);
    config.optim.lr_scheduler_type = LrSchedule::Linear;
    change(&mut config);
    config.validate().unwrap();
    config
}

/// Every recipe, and every option that keeps something from step to step.
pub fn variants() -> Vec<(&'static str, Config)> {
    use RecipeName::*;
    vec![
        ("sft", recipe(Sft, |_| ())),
        ("sft on a stream", recipe(Sft, |c| c.rehearsal.data = "stream".into())),
        ("grpo", recipe(Grpo, |_| ())),
        (
            "several updates, old log-probs of the sampler",
            recipe(Grpo, |c| {
                c.train.num_iterations = 2;
                c.grpo.old_log_probs = OldLogProbs::Sampler;
            }),
        ),
        (
            "a reference that moves",
            recipe(Grpo, |c| {
                (c.grpo.beta, c.grpo.sync_ref_model, c.grpo.ref_model_sync_steps) = (0.1, true, 2);
            }),
        ),
        ("a reference that stays", recipe(Grpo, |c| c.grpo.beta = 0.1)),
        ("dynamic sampling", recipe(Grpo, |c| c.grpo.filter_groups = true)),
        ("reinforce++", recipe(Grpo, |c| c.grpo.adv_estimator = AdvantageEstimator::ReinforcePlusPlus)),
        (
            "levels by weight",
            recipe(Grpo, |c| {
                (c.data.curriculum, c.data.levels) = (Curriculum::LevelWeights, vec![1, 2, 3].into());
                (c.data.level_weights, c.data.level_weights_end) = (vec![3.0, 1.0, 1.0], vec![1.0, 1.0, 3.0]);
            }),
        ),
        ("grpo-sft-gt-cot", recipe(GrpoSftGtCot, |_| ())),
        ("exp-grpo", recipe(ExpGrpo, |_| ())),
        ("explained once", recipe(ExpGrpo, |c| c.exp.every = 0)),
        ("explained every third step", recipe(ExpGrpo, |c| (c.exp.every, c.exp.questions) = (3, ExplainQuestions::FailedGroups))),
        (
            "explained by the average, with rehearsal",
            recipe(ExpGrpo, |c| {
                (c.exp.explainer, c.exp.average_decay) = (ExplainedBy::Average, 0.5);
                (c.rehearsal.data, c.rehearsal.documents_per_step) = ("stream".into(), 3);
            }),
        ),
        ("explained by the initial policy", recipe(ExpGrpo, |c| c.exp.explainer = ExplainedBy::Initial)),
        ("star", recipe(Star, |_| ())),
        ("star from the policy before", recipe(Star, |c| c.star.restart_from = RestartFrom::Current)),
        ("luffy", recipe(Luffy, |_| ())),
        (
            "an adapter, its average and a reference",
            recipe(ExpGrpo, |c| {
                (c.lora.r, c.lora.lora_dropout) = (2, 0.1);
                (c.exp.explainer, c.exp.average_decay, c.grpo.beta) = (ExplainedBy::Average, 0.5, 0.1);
            }),
        ),
        ("moments in 8 bits", recipe(Grpo, |c| c.optim.name = Optimizer::AdamW8bit)),
        (
            "stopped early",
            recipe(Grpo, |c| {
                (c.eval.data, c.eval.every, c.eval.at_start) = ("held-out".into(), 1, true);
                (c.eval.metric_for_best_model, c.eval.early_stopping_patience) = (Some("eval/pass@1".into()), 5);
                c.train.steps = 9;
            }),
        ),
        (
            "the best weights kept",
            recipe(Sft, |c| {
                (c.eval.loss_data, c.eval.every) = ("held-out".into(), 1);
                c.eval.metric_for_best_model = Some("eval/loss".into());
            }),
        ),
        ("weights kept aside", recipe(Grpo, |c| c.optim.learning_rate = 1.1)),
        ("dpo", recipe(Dpo, |_| ())),
        ("dpo with the reference computed once", recipe(Dpo, |c| c.dpo.precompute_ref_log_probs = true)),
        ("exp-dpo online", recipe(ExpDpo, |c| c.exp.every = 2)),
        ("exp-dpo offline", recipe(ExpDpo, |c| (c.exp.every, c.dpo.precompute_ref_log_probs) = (0, true))),
        (
            "exp-dpo with a reference that moves",
            recipe(ExpDpo, |c| {
                (c.exp.every, c.dpo.sync_ref_model, c.dpo.ref_model_sync_steps) = (3, true, 2);
            }),
        ),
    ]
}
