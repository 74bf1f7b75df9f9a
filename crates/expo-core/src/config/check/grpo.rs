//! Contradictions within `[grpo]`.

use super::report::Report;
use crate::config::{AdvantageEstimator, Config, ImportanceSamplingLevel, KlEstimator, LossType, LuffyTrace, RecipeName, ScaleRewards};

pub(super) fn check(config: &Config, report: &mut Report) {
    if config.grpo.loss_type == LossType::Cispo {
        cispo(config, report)
    } else {
        clip(config, report)
    }
    kl(config, report);
    reference(config, report);
    dynamic_sampling(config, report);
}

fn clip(config: &Config, report: &mut Report) {
    let grpo = &config.grpo;
    if let Some(high) = grpo.epsilon_high.filter(|high| *high < grpo.epsilon) {
        report.add(&["grpo.epsilon_high"], format!("found {high}, but it must not be below grpo.epsilon = {}", grpo.epsilon));
    }
    if let Some(delta) = grpo.delta.filter(|delta| *delta <= 1.0 + grpo.epsilon_high()) {
        let message = format!("found {delta}, but it must be above the upper clip, 1 + {}", grpo.epsilon_high());
        report.add(&["grpo.delta", "grpo.epsilon_high", "grpo.epsilon"], message);
    }
}

fn cispo(config: &Config, report: &mut Report) {
    let grpo = &config.grpo;
    match grpo.epsilon_high {
        None => report.add(
            &["grpo.epsilon_high", "grpo.loss_type"],
            "unset, but grpo.loss_type = \"cispo\" needs it: the cap of the ratio itself (TRL's meaning; ScaleRL, arXiv 2510.13786, has 5)".into(),
        ),
        Some(cap) if cap < 1.0 => report.add(
            &["grpo.epsilon_high"],
            format!("found {cap}, but with grpo.loss_type = \"cispo\" it is the cap of the ratio itself, not its distance from 1; expected at least 1"),
        ),
        Some(_) => {}
    }
    for key in ["grpo.epsilon", "grpo.delta"] {
        if report.wanted(key, &["grpo.loss_type"]) {
            report.add(&[key], "set, but grpo.loss_type = \"cispo\" has no clip, only the cap grpo.epsilon_high; remove it".into());
        }
    }
    if grpo.importance_sampling_level == ImportanceSamplingLevel::Sequence {
        let message = "found \"sequence\", but grpo.loss_type = \"cispo\" weighs each token by its own ratio; use \"token\"";
        report.add(&["grpo.importance_sampling_level", "grpo.loss_type"], message.into());
    }
}

fn kl(config: &Config, report: &mut Report) {
    let grpo = &config.grpo;
    match (grpo.kl_estimator, grpo.use_kl_in_reward) {
        (Some(KlEstimator::K1), false) => report.add(
            &["grpo.kl_estimator"],
            "found \"k1\", but as a loss its expected gradient on policy is 0; use \"k2\" or \"k3\", or grpo.use_kl_in_reward = true"
                .into(),
        ),
        (Some(other), true) if other != KlEstimator::K1 => report.add(
            &["grpo.kl_estimator", "grpo.use_kl_in_reward"],
            format!(
                "found \"{other}\", but grpo.use_kl_in_reward takes \"k1\", whose mean over samples is the KL; use that, or leave it unset"
            ),
        ),
        _ => {}
    }
    if grpo.beta == 0.0 {
        let used =
            [("grpo.use_kl_in_reward", grpo.use_kl_in_reward), ("grpo.kl_estimator", report.wanted("grpo.kl_estimator", &["grpo.beta"]))];
        for (key, _) in used.into_iter().filter(|(_, used)| *used) {
            report.add(&[key], "set, but grpo.beta is 0, so that there is no KL; give it a coefficient, or remove the option".into());
        }
    }
}

fn reference(config: &Config, report: &mut Report) {
    let grpo = &config.grpo;
    if grpo.sync_ref_model && grpo.beta == 0.0 {
        report.add(
            &["grpo.sync_ref_model"],
            "set, but grpo.beta is 0, so that there is no reference; give it a coefficient, or remove the option".into(),
        );
    }
    for key in ["grpo.ref_model_mixup_alpha", "grpo.ref_model_sync_steps"] {
        if !grpo.sync_ref_model && report.wanted(key, &["grpo.sync_ref_model"]) {
            report.add(&[key], "set, but grpo.sync_ref_model is false; set it to true, or remove the option".into());
        }
    }
}

/// One completion of a question: its reward has to be compared with those of other questions.
pub(super) fn single_generation(config: &Config, report: &mut Report) {
    let (grpo, recipe) = (&config.grpo, config.train.recipe);
    let key = "rollout.num_generations";
    if grpo.adv_estimator != AdvantageEstimator::ReinforcePlusPlus {
        let message = format!(
            "found 1, but recipe {recipe} compares the completions of a question with each other; expected at least 2 (usual: 8), or \
             grpo.adv_estimator = \"reinforce_plus_plus\", which compares with the whole batch"
        );
        return report.add(&[key], message);
    }
    if config.train.prompts_per_step < 2 {
        report.add(
            &["train.prompts_per_step", key],
            "found 1, but a batch of a single completion has nothing to compare it with; use more".into(),
        );
    }
    // A group of one always has equal rewards, and no deviation.
    let of_groups = [
        ("grpo.scale_rewards", grpo.scale_rewards() == ScaleRewards::Group, "use \"batch\" or \"none\""),
        ("grpo.filter_groups", grpo.filter_groups, "set it to false"),
        ("grpo.exclude_equal_rewards", grpo.exclude_equal_rewards, "set it to false"),
        ("watchdog.dead_groups_steps", config.watchdog.dead_groups_steps > 0, "set it to 0"),
    ];
    for (option, _, remedy) in of_groups.into_iter().filter(|(_, used, _)| *used) {
        report.add(&[option, key], format!("set, but it is about rewards that differ within a group, and {key} is 1; {remedy}"));
    }
}

fn dynamic_sampling(config: &Config, report: &mut Report) {
    let grpo = &config.grpo;
    if !grpo.filter_groups && report.wanted("grpo.max_num_gen_batches", &["grpo.filter_groups"]) {
        report.add(&["grpo.max_num_gen_batches"], "set, but grpo.filter_groups is false; set it to true, or remove the option".into());
    }
    if grpo.filter_groups && matches!(config.train.recipe, RecipeName::ExpDpo | RecipeName::Star) {
        let message = format!(
            "set, but recipe {} uses every question that is drawn; set it to false, or use a recipe with a policy gradient",
            config.train.recipe
        );
        report.add(&["grpo.filter_groups"], message);
    }
    let explains = match config.train.recipe {
        RecipeName::Luffy => config.luffy.trace == LuffyTrace::Explanation,
        recipe => recipe == RecipeName::ExpGrpo,
    };
    if grpo.filter_groups && explains && config.exp.every != 1 {
        report.add(
            &["exp.every", "grpo.filter_groups"],
            format!(
                "found {}, but with grpo.filter_groups it isn't known ahead which questions will come; use 1 (explanations made in every step)",
                config.exp.every
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[grpo]\nepsilon_high = 0.1", "c.toml:2: grpo.epsilon_high: found 0.1, but it must not be below grpo.epsilon = 0.2"),
            ("[grpo]\nepsilon_high = 0.5\ndelta = 1.5", "c.toml:3: grpo.delta: found 1.5, but it must be above the upper clip, 1 + 0.5"),
            ("[grpo]\nloss_type = \"cispo\"", "c.toml:2: grpo.epsilon_high: unset, but grpo.loss_type = \"cispo\" needs it"),
            ("[grpo]\nloss_type = \"cispo\"\nepsilon_high = 0.28", "c.toml:3: grpo.epsilon_high: found 0.28, but with"),
            ("[grpo]\nloss_type = \"cispo\"\nepsilon_high = 5\nepsilon = 0.1", "c.toml:4: grpo.epsilon: set, but grpo.loss_type"),
            ("[grpo]\nloss_type = \"cispo\"\nepsilon_high = 5\ndelta = 9", "c.toml:4: grpo.delta: set, but grpo.loss_type"),
            (
                "[grpo]\nloss_type = \"cispo\"\nepsilon_high = 5\nimportance_sampling_level = \"sequence\"",
                "c.toml:4: grpo.importance_sampling_level: found \"sequence\"",
            ),
            ("[grpo]\nbeta = 0.1\nkl_estimator = \"k1\"", "c.toml:3: grpo.kl_estimator: found \"k1\", but as a loss its expected gradient"),
            (
                "[grpo]\nbeta = 0.1\nkl_estimator = \"k3\"\nuse_kl_in_reward = true",
                "c.toml:3: grpo.kl_estimator: found \"k3\", but grpo.use_kl_in_reward takes \"k1\"",
            ),
            ("[grpo]\nkl_estimator = \"k2\"", "c.toml:2: grpo.kl_estimator: set, but grpo.beta is 0"),
            ("[grpo]\nuse_kl_in_reward = true", "c.toml:2: grpo.use_kl_in_reward: set, but grpo.beta is 0"),
            ("[grpo]\nsync_ref_model = true", "c.toml:2: grpo.sync_ref_model: set, but grpo.beta is 0"),
            ("[grpo]\nbeta = 0.1\nref_model_sync_steps = 5", "c.toml:3: grpo.ref_model_sync_steps: set, but grpo.sync_ref_model is false"),
            ("[grpo]\nmax_num_gen_batches = 5", "c.toml:2: grpo.max_num_gen_batches: set, but grpo.filter_groups is false"),
            (
                "[train]\nrecipe = \"exp-dpo\"\n[grpo]\nfilter_groups = true",
                "c.toml:4: grpo.filter_groups: set, but recipe exp-dpo uses every question",
            ),
            ("[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"rloo\"", "c.toml:2: rollout.num_generations: found 1, but recipe"),
            (
                "[train]\nprompts_per_step = 1\n[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"reinforce_plus_plus\"",
                "c.toml:2: train.prompts_per_step: found 1, but a batch of a single completion",
            ),
            (
                "[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"reinforce_plus_plus\"\nscale_rewards = \"group\"",
                "c.toml:5: grpo.scale_rewards: set, but it is about rewards that differ",
            ),
            (
                "[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"reinforce_plus_plus\"\nexclude_equal_rewards = true",
                "c.toml:5: grpo.exclude_equal_rewards: set",
            ),
            (
                "[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"reinforce_plus_plus\"\n[watchdog]\ndead_groups_steps = 3",
                "c.toml:6: watchdog.dead_groups_steps: set",
            ),
            ("[grpo]\nfilter_groups = true\n[exp]\nevery = 0", "c.toml:4: exp.every: found 0, but with grpo.filter_groups"),
            (
                "[grpo]\nbeta = 1\nkl_estimator = \"k4\"",
                "c.toml:3: grpo.kl_estimator: found \"k4\", expected one of \"k1\", \"k2\", \"k3\"",
            ),
        ];
        for (text, expected) in cases {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
    }

    #[test]
    fn variants_pass() {
        for text in [
            "[grpo]\nloss_type = \"cispo\"\nepsilon_high = 5\nadv_estimator = \"rloo\"",
            "[grpo]\nimportance_sampling_level = \"sequence\"\nepsilon = 3e-4\nepsilon_high = 4e-4\nloss_type = \"dapo\"",
            "[grpo]\nepsilon_high = 0.28\ndelta = 4\nfilter_groups = true\nmax_num_gen_batches = 3\n[exp]\nquestions = \"failed_groups\"\nmax_pass_rate = 0.25",
            "[grpo]\nbeta = 0.1\nkl_estimator = \"k1\"\nuse_kl_in_reward = true\nsync_ref_model = true\nref_model_sync_steps = 5",
            "[train]\nrecipe = \"grpo\"\n[grpo]\nfilter_groups = true\n[exp]\nevery = 0",
            "[rollout]\nnum_generations = 1\n[grpo]\nadv_estimator = \"reinforce_plus_plus\"",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }
}
