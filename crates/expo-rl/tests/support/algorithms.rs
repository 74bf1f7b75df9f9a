//! A short run of every algorithm on the model in the binary, and what it came to.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A configuration of the repository, cut short.
pub struct Algorithm {
    pub name: &'static str,
    config: &'static str,
    sets: &'static [&'static str],
}

/// Every algorithm; what one keeps from step to step is there in at least one of them.
pub const ALGORITHMS: [Algorithm; 12] = [
    Algorithm { name: "grpo", config: "grpo-tiny", sets: &["grpo.beta=0.1", "grpo.sync_ref_model=true", "grpo.ref_model_sync_steps=2"] },
    Algorithm {
        name: "dapo",
        config: "dapo-tiny",
        sets: &["rollout.num_generations=4", "rollout.max_new_tokens=96", "data.levels=[3, 4]", "grpo.max_num_gen_batches=50"],
    },
    Algorithm { name: "exp-grpo", config: "exp-grpo-tiny", sets: &[] },
    Algorithm {
        name: "exp-grpo-average",
        config: "exp-grpo-tiny",
        sets: &["exp.explainer=average", "exp.average_decay=0.5", "exp.every=3", "train.num_iterations=2"],
    },
    Algorithm { name: "grpo-sft-gt-cot", config: "grpo-sft-gt-cot-tiny", sets: &[] },
    Algorithm { name: "dpo", config: "dpo-tiny", sets: &[] },
    Algorithm {
        name: "exp-dpo-online",
        config: "exp-dpo-tiny",
        sets: &["exp.every=3", "train.save_async=false", "rollout.max_new_tokens=96", "exp.max_new_tokens=96", "data.levels=[3, 5]"],
    },
    Algorithm {
        name: "exp-dpo-offline",
        config: "exp-dpo-tiny",
        sets: &[
            "exp.every=0",
            "dpo.precompute_ref_log_probs=true",
            "rollout.max_new_tokens=96",
            "exp.max_new_tokens=96",
            "data.levels=[3, 5]",
        ],
    },
    Algorithm {
        name: "sft",
        config: "pretrain-tiny",
        sets: &["model.path=embedded:tiny", "model.init=pretrained", "rehearsal.documents_per_step=4", "optim.warmup_steps=2"],
    },
    Algorithm { name: "star", config: "star-tiny", sets: &["star.every=3"] },
    Algorithm { name: "luffy-8bit", config: "luffy-tiny", sets: &["optim.name=adamw_8bit"] },
    Algorithm {
        name: "exp-grpo-lora",
        config: "exp-grpo-lora-tiny",
        sets: &[
            "lora.lora_dropout=0.1",
            "eval.data=generator:division",
            "eval.limit=4",
            "eval.every=2",
            "eval.at_start=true",
            "eval.metric_for_best_model=eval/pass@1",
        ],
    },
];

/// Steps of each run; a checkpoint is written after every second.
pub const STEPS: usize = 5;

impl Algorithm {
    /// The command that runs it in the folder `out` (`more`: options beside it); `data` is a folder for the files that it reads.
    pub fn command(&self, data: &Path, out: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_expo-rl"));
        command.current_dir(super::root()).env_remove("EXPO_RL_FAULT").env_remove("EXPO_RL_FAULT_LOG");
        command.args(["train", &format!("configs/{}.toml", self.config), "--out"]).arg(out);
        let mut sets = vec![format!("train.steps={STEPS}"), "train.save_every=2".into(), "train.prompts_per_step=2".into()];
        sets.push("train.save_dtype=f32".into());
        if self.name != "sft" && self.name != "dpo" {
            sets.extend(["rollout.num_generations=2".into(), "rollout.max_new_tokens=40".into(), "data.generate=64".into()]);
            sets.push("data.levels=[1, 2]".into());
        }
        if self.name.contains("exp") || self.name == "star" {
            sets.push("exp.max_new_tokens=40".into());
        }
        if self.config.starts_with("exp-grpo") || self.config.starts_with("grpo") {
            sets.push("rehearsal.documents_per_step=2".into());
        }
        if self.name == "dpo" {
            sets.push(format!("data.train={}", preferences(data).display()));
        }
        sets.extend(self.sets.iter().chain(more).map(|set| (*set).to_owned()));
        for set in &sets {
            command.args(["--set", set]);
        }
        command
    }

    /// Runs it in `out`.
    pub fn run(&self, data: &Path, out: &Path) -> Output {
        self.command(data, out, &[]).output().expect("the binary runs")
    }
}

/// A preference file in `folder`.
fn preferences(folder: &Path) -> PathBuf {
    let path = folder.join("pairs.jsonl");
    let row = |i: u64| {
        let (divisor, quotient) = (2 + i % 7, 1 + i % 9);
        let side = |answer: u64| format!("{quotient}*{divisor}={}\n#### {answer}", quotient * divisor);
        let (prompt, chosen, rejected) = (format!("{}/{divisor}?", quotient * divisor), side(quotient), side(quotient + 1));
        format!("{}\n", serde_json::json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}))
    };
    if !path.exists() {
        std::fs::write(&path, (0..11).map(row).collect::<String>()).unwrap();
    }
    path
}

/// Everything that a run leaves behind for its user, timings aside: the files of `model`, and the lines of its logs.
pub fn outcome(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut outcome = BTreeMap::new();
    for folder in ["model", "model-best"].into_iter().filter(|name| *name == "model" || run.join(name).exists()) {
        for entry in std::fs::read_dir(run.join(folder)).unwrap_or_else(|e| panic!("{}/{folder}: {e}", run.display())) {
            let entry = entry.unwrap();
            outcome.insert(format!("{folder}/{}", entry.file_name().display()), std::fs::read(entry.path()).unwrap());
        }
    }
    for name in ["metrics.jsonl", "completions.jsonl", "batches.jsonl", "pairs.jsonl", "documents.jsonl", "reference.jsonl", "best.json"] {
        let Ok(text) = std::fs::read_to_string(run.join(name)) else { continue };
        if name == "best.json" {
            outcome.insert(name.to_owned(), text.into_bytes());
            continue;
        }
        let line = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"));
            row.as_object_mut().unwrap().retain(|name, _| !expo_core::metrics::is_timing(name));
            format!("{row}\n")
        };
        outcome.insert(name.to_owned(), text.lines().map(line).collect::<String>().into_bytes());
    }
    outcome
}

/// Panics with the names of the files in which the outcome of the run in `run` is not `expected`.
pub fn assert_outcome(expected: &BTreeMap<String, Vec<u8>>, run: &Path, what: &str) {
    let found = outcome(run);
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let different: Vec<_> = names.into_iter().filter(|name| expected.get(*name) != found.get(*name)).collect();
    assert!(different.is_empty(), "{what}: other than undisturbed: {different:?}");
    // An evaluation before the first step has a row of its own.
    let steps = STEPS + usize::from(found.contains_key("best.json"));
    assert_eq!(found["metrics.jsonl"].iter().filter(|byte| **byte == b'\n').count(), steps, "{what}");
}

/// Whether `run.json` says that the run in `run` has ended.
pub fn has_ended(run: &Path) -> bool {
    let text = std::fs::read(run.join("run.json")).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).is_ok_and(|run| run["finished"] == true)
}
