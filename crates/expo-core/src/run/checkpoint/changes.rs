//! What may change in the configuration of a run that goes on.

use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Result};

/// Options that may change while a run stands still. All others are part of what the run is.
const MAY_CHANGE: [&str; 15] = [
    // Where and how often something is written.
    "train.save_every",
    "train.save_total_limit",
    "train.save_async",
    "train.save_dtype",
    "train.log_completions",
    "train.tensorboard",
    "train.name",
    // How many sequences are decoded at once: no sampled token depends on it.
    "rollout.max_num_seqs",
    // How long the run is; only upwards. What is compared is the steps, which the epochs come to.
    "train.steps",
    "train.epochs",
    // What one lowers after a loss that was not finite.
    "optim.learning_rate",
    "optim.max_grad_norm",
    // Patience with external rewards, by the last part of their names.
    "timeout",
    "max_retries",
    "on_failure",
];

/// An option that has another value than before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// `section.option`.
    key: String,
    before: Value,
    now: Value,
}

impl Change {
    /// Whether what follows is another than it would have been.
    pub(crate) fn alters_results(&self) -> bool {
        self.key == "train.steps" || self.key.starts_with("optim.") || self.key.starts_with("watchdog.")
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} in the run, {} now", self.key, self.before, self.now)
    }
}

/// The options in which `config` differs from `before`, the configuration as `run.json` has it. Errors: it has none; one of them may not change.
pub(crate) fn compare(config: &Config, before: &Value) -> Result<Vec<Change>> {
    if !before.is_object() {
        return Err(Error::Checkpoint("has no `config`, so the run in this folder can't go on; choose another folder".into()));
    }
    let as_json = |config: &Config| serde_json::to_value(config).map_err(|e| Error::Checkpoint(e.to_string()));
    let (now, defaults) = (as_json(config)?, as_json(&Config::default())?);
    let mut changes = Vec::new();
    differences("", before, &now, &defaults, &mut changes);
    let refused: Vec<String> = changes.iter().filter(|change| !may_change(change, config)).map(Change::to_string).collect();
    if refused.is_empty() {
        return Ok(changes);
    }
    Err(Error::Checkpoint(format!(
        "the run in this folder has another configuration, so it can't go on with this one: {}; use its own configuration, or another folder",
        refused.join("; ")
    )))
}

fn may_change(change: &Change, config: &Config) -> bool {
    // What is watched for, and what is done then, is no part of what the run computes.
    if change.key.starts_with("watchdog.") {
        return true;
    }
    let key = match change.key.strip_prefix("reward.external.") {
        // An option of a reward, not a reward of that name.
        Some(rest) => rest.split_once('.').map_or("", |(_, option)| option),
        None => &change.key,
    };
    match key {
        // What was made once was made for as many steps as there were.
        "train.steps" => change.now.as_u64() > change.before.as_u64() && config.exp.every > 0,
        key => MAY_CHANGE.contains(&key),
    }
}

/// Adds every leaf in which `now` differs from `before`. What `before` lacks, an older version wrote: it had the default.
fn differences(path: &str, before: &Value, now: &Value, defaults: &Value, changes: &mut Vec<Change>) {
    if let (Value::Object(before), Value::Object(now)) = (before, now) {
        let null = Value::Null;
        let mut keys: Vec<&String> = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key))).collect();
        keys.sort();
        for key in keys {
            let default = defaults.get(key).unwrap_or(&null);
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differences(&path, before.get(key).unwrap_or(default), now.get(key).unwrap_or(&null), default, changes);
        }
    } else if before != now {
        changes.push(Change { key: path.to_owned(), before: before.clone(), now: now.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(overrides: &[&str]) -> Config {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        Config::from_toml("[train]\nsteps = 10", "c.toml", &overrides).unwrap()
    }

    fn before(overrides: &[&str]) -> Value {
        // As it is read back from run.json.
        serde_json::from_str(&serde_json::to_string(&config(overrides)).unwrap()).unwrap()
    }

    #[test]
    fn what_may_change_is_shown_and_the_rest_refused() {
        assert_eq!(compare(&config(&[]), &before(&[])).unwrap(), []);
        let changes = compare(&config(&["train.steps=20", "train.save_every=7"]), &before(&[])).unwrap();
        let shown: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert_eq!(shown, ["train.save_every: 100 in the run, 7 now", "train.steps: 10 in the run, 20 now"]);
        assert_eq!(changes.iter().map(Change::alters_results).collect::<Vec<_>>(), [false, true]);
        for (changed, told) in [
            ("train.steps=5", "train.steps: 10 in the run, 5 now"),
            ("train.seed=1", "train.seed: 0 in the run, 1 now"),
            ("data.train=other.jsonl", "data.train: \"generator:division\" in the run, \"other.jsonl\" now"),
        ] {
            let error = compare(&config(&[changed]), &before(&[])).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let once = ["exp.every=0", "exp.explainer=current"];
        let error = compare(&config(&[once[0], once[1], "train.steps=20"]), &before(&once)).unwrap_err().to_string();
        assert!(error.contains("train.steps: 10 in the run, 20 now"), "{error}");
        // Every key that may change exists.
        let all = before(&[]);
        for key in MAY_CHANGE.iter().filter(|key| key.contains('.')) {
            let (section, option) = key.split_once('.').unwrap();
            assert!(all[section].get(option).is_some(), "{key}");
        }
    }

    #[test]
    fn an_option_that_an_older_version_lacked_had_its_default() {
        let mut older = before(&[]);
        older["train"].as_object_mut().unwrap().remove("save_total_limit");
        older["rollout"].as_object_mut().unwrap().remove("temperature");
        assert_eq!(compare(&config(&[]), &older).unwrap(), []);
        let error = compare(&config(&["rollout.temperature=0.5"]), &older).unwrap_err().to_string();
        assert!(error.contains("rollout.temperature: 1.0 in the run, 0.5 now"), "{error}");
        // And one that is gone.
        older["train"]["gone"] = 3.into();
        let error = compare(&config(&[]), &older).unwrap_err().to_string();
        assert!(error.contains("train.gone: 3 in the run, null now"), "{error}");
    }

    #[test]
    fn patience_with_external_rewards_may_change_but_not_what_they_are() {
        let external = |more: &'static str| {
            let mut overrides = vec!["reward.external.judge.command=[\"cat\"]"];
            overrides.extend((!more.is_empty()).then_some(more));
            overrides
        };
        let run = before(&external(""));
        for option in
            ["reward.external.judge.timeout=5", "reward.external.judge.max_retries=9", "reward.external.judge.on_failure=\"skip\""]
        {
            let changes = compare(&config(&external(option)), &run).unwrap();
            assert!(changes.len() == 1 && !changes[0].alters_results(), "{option}");
        }
        // A new reward that has the name of such an option.
        let error = compare(&config(&external("reward.external.timeout.command=[\"cat\"]")), &run).unwrap_err().to_string();
        assert!(error.contains("reward.external.timeout: null in the run"), "{error}");
        let error = compare(&config(&external("reward.external.judge.weight=2")), &run).unwrap_err().to_string();
        assert!(error.contains("reward.external.judge.weight"), "{error}");
    }
}
