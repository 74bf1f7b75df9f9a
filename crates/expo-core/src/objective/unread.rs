//! Options that a run's configuration gives and its recipe doesn't read. They are told, not refused: a baseline is the same file with another `train.recipe`.

use super::recipe::{BatchSource, Sources};
use crate::config::{Config, RecipeName};

/// What to tell of the options that were given and have no part in a run of `config`, whose recipe draws from `sources`; `None`: all have.
pub fn notice(config: &Config, sources: Sources) -> Option<String> {
    let unread: Vec<&str> = config.reading.given.iter().map(String::as_str).filter(|key| !reads(config, sources, key)).collect();
    let recipe = config.train.recipe;
    (!unread.is_empty()).then(|| format!("recipe {recipe} does not read {}: what they say has no effect on this run", unread.join(", ")))
}

/// Whether a run of `config` reads the option `key` (`section.option`).
fn reads(config: &Config, sources: Sources, key: &str) -> bool {
    let (section, option) = key.split_once('.').unwrap_or((key, ""));
    let recipe = config.train.recipe;
    // Problems are asked by recipes that sample, and by evaluations.
    let groups = sources.groups();
    let (samples, evaluates) = (groups.is_some(), !config.eval.data.is_empty());
    let (explanations, expert) = groups.map_or((false, false), |groups| (groups.explanations, groups.expert));
    let has_policy_gradient = matches!(sources.batch, BatchSource::Groups(_));
    match (section, option) {
        ("prompt", "explanation") => explanations,
        // Documents and preferences go through the chat template, too.
        ("prompt", "chat_template_kwargs") => true,
        // Preferences and documents are read as they are; of preferences the files.
        ("data", "train" | "split" | "config" | "shuffle") => samples || recipe == RecipeName::Dpo,
        ("data", "on_bad_row") => true,
        ("prompt" | "data", _) => samples || evaluates,
        ("reward", _) => samples || evaluates,
        ("rollout", "max_num_seqs") => samples || evaluates,
        ("rollout", _) => samples,
        // The term itself.
        ("exp", "beta" | "schedule" | "beta_end" | "denominator" | "token_reduction") => {
            matches!(recipe, RecipeName::ExpGrpo | RecipeName::GrpoSftGtCot)
        }
        ("exp", "questions" | "max_pass_rate") => explanations || expert,
        ("exp", "metrics_every" | "metrics_problems") => samples,
        // With expert chains of thought, too, it says how often pairs are made.
        ("exp", "every") => explanations || recipe == RecipeName::ExpDpo,
        ("exp", "hinted_kl_beta") => explanations && has_policy_gradient,
        ("exp", _) => explanations,
        ("grpo", _) => has_policy_gradient,
        ("dpo", "chosen" | "rejected") => recipe == RecipeName::ExpDpo,
        ("dpo", _) => sources.are_pairs(),
        ("luffy", _) => recipe == RecipeName::Luffy,
        ("star", _) => recipe == RecipeName::Star,
        (
            "watchdog",
            "max_ratio" | "on_ratio" | "max_kl" | "on_kl" | "min_entropy" | "entropy_steps" | "on_entropy" | "dead_groups_steps",
        ) => has_policy_gradient,
        // The model, its adapter, optimizer, loop, evaluation and rehearsal are every recipe's.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::recipe;
    use super::*;

    fn told(text: &str) -> Option<String> {
        let config = Config::from_toml(text, "c.toml", &[]).unwrap();
        notice(&config, recipe(&config).sources())
    }

    #[test]
    fn options_without_effect_are_told_with_the_recipe() {
        let grpo =
            "[train]\nrecipe = \"grpo\"\n[exp]\nbeta = 0.1\nmax_new_tokens = 9\nmetrics_every = 1\n[star]\nevery = 3\n[grpo]\nbeta = 0.1";
        assert_eq!(
            told(grpo).unwrap(),
            "recipe grpo does not read exp.beta, exp.max_new_tokens, star.every: what they say has no effect on this run"
        );
        let expert = "[train]\nrecipe = \"grpo-sft-gt-cot\"\n[exp]\nbeta = 0.1\nexplainer = \"initial\"";
        assert_eq!(told(expert).unwrap(), "recipe grpo-sft-gt-cot does not read exp.explainer: what they say has no effect on this run");
        let sft = "[train]\nrecipe = \"sft\"\n[rehearsal]\ndata = \"d.jsonl\"\n[data]\ntrain = \"p.jsonl\"\non_bad_row = \"skip\"\n[rollout]\nmax_num_seqs = 4\n";
        assert!(told(sft).unwrap().starts_with("recipe sft does not read data.train, rollout.max_num_seqs:"));
        let evaluated = format!("{sft}[eval]\ndata = \"e.jsonl\"\n");
        assert!(told(&evaluated).unwrap().starts_with("recipe sft does not read data.train:"));
    }

    #[test]
    fn what_is_read_is_not_told() {
        assert_eq!(told(""), None);
        for text in [
            "[train]\nrecipe = \"exp-grpo\"\n[exp]\nbeta = 0.1\nhinted_kl_beta = 0.1\nexplainer = \"initial\"\n[grpo]\nbeta = 0.1",
            "[train]\nrecipe = \"exp-dpo\"\n[exp]\nevery = 0\n[dpo]\nchosen = \"expert\"",
            "[train]\nrecipe = \"star\"\n[exp]\nmax_new_tokens = 9\n[star]\nevery = 3\n[rollout]\nnum_generations = 1",
            "[train]\nrecipe = \"dpo\"\n[data]\ntrain = \"p.jsonl\"\n[dpo]\nbeta = 0.2",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        // A configuration made by a program gives nothing.
        let config = Config::default();
        assert_eq!(notice(&config, recipe(&config).sources()), None);
    }
}
