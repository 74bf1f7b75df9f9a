//! Contradictions among the options of preferences.

use super::report::Report;
use crate::config::*;

pub(super) fn check(config: &Config, report: &mut Report) {
    let dpo = &config.dpo;
    if dpo.label_smoothing > 0.0 && !matches!(dpo.loss_type, PairLoss::Sigmoid | PairLoss::Robust) {
        let message = format!(
            "found {}, but dpo.loss_type \"{}\" has no label smoothing; use \"sigmoid\" or \"robust\", or remove it",
            dpo.label_smoothing, dpo.loss_type
        );
        report.add(&["dpo.label_smoothing", "dpo.loss_type"], message);
    }
    if dpo.precompute_ref_log_probs && dpo.sync_ref_model {
        report.add(
            &["dpo.precompute_ref_log_probs", "dpo.sync_ref_model"],
            "contradicts dpo.sync_ref_model: log-probs computed once are those of a reference that stays; turn one of the two off".into(),
        );
    }
    if dpo.precompute_ref_log_probs && config.train.recipe == RecipeName::ExpDpo && config.exp.every > 0 {
        let message =
            format!("set, but with exp.every = {} pairs are made anew during the run; set exp.every = 0, or turn it off", config.exp.every);
        report.add(&["dpo.precompute_ref_log_probs", "exp.every"], message);
    }
    let moves = ["dpo.ref_model_sync_steps", "dpo.ref_model_mixup_alpha"];
    if let Some(key) = moves.into_iter().find(|key| !dpo.sync_ref_model && report.wanted(key, &["dpo.sync_ref_model"])) {
        report.add(&[key], "set, but dpo.sync_ref_model is off: the reference doesn't move; turn it on, or remove the option".into());
    }
    if config.train.recipe == RecipeName::Dpo {
        of_files(config, report);
    }
}

/// What reading preference files leaves without effect.
fn of_files(config: &Config, report: &mut Report) {
    if let Some(source) = config.data.train.0.iter().find(|source| source.starts_with("generator:")) {
        let message = format!(
            "found \"{source}\", but recipe dpo trains on preference files (`prompt`, `chosen`, `rejected`); name one, or use recipe exp-dpo, \
             which makes its pairs"
        );
        report.add(&["data.train", "train.recipe"], message);
    }
    for option in ["weights", "levels", "curriculum", "level_weights", "level_weights_end", "limit", "deduplicate", "format"] {
        let key = format!("data.{option}");
        if report.wanted(&key, &["train.recipe"]) {
            report.add(&[&key], "set, but recipe dpo reads preferences, to which it does not apply; remove it".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Error;
    use crate::config::Config;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[dpo]\nloss_type = \"ipo\"\nlabel_smoothing = 0.1", "c.toml:3: dpo.label_smoothing: found 0.1, but dpo.loss_type \"ipo\""),
            ("[dpo]\nprecompute_ref_log_probs = true\nsync_ref_model = true", "c.toml:2: dpo.precompute_ref_log_probs: contradicts"),
            (
                "[train]\nrecipe = \"exp-dpo\"\n[dpo]\nprecompute_ref_log_probs = true",
                "c.toml:4: dpo.precompute_ref_log_probs: set, but with exp.every = 1",
            ),
            ("[dpo]\nref_model_sync_steps = 3", "c.toml:2: dpo.ref_model_sync_steps: set, but dpo.sync_ref_model is off"),
            ("[train]\nrecipe = \"dpo\"", "c.toml:2: data.train: found \"generator:division\", but recipe dpo trains on preference files"),
            ("[train]\nrecipe = \"dpo\"\n[data]\ntrain = \"p.jsonl\"\nlevels = [1]", "c.toml:5: data.levels: set, but recipe dpo"),
        ];
        for (text, expected) in cases {
            let Err(Error::Config(found)) = Config::from_toml(text, "c.toml", &[]) else { panic!("no problem in {text}") };
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
        let fine = "[train]\nrecipe = \"exp-dpo\"\n[rollout]\nnum_generations = 1\ntop_p = 0.9\n[dpo]\nlabel_smoothing = 0.1";
        Config::from_toml(fine, "c.toml", &[]).unwrap();
    }
}
