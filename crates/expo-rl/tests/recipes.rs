//! The configuration files of the recipes beside GRPO's and DPO's, each run for a few steps on the model in the binary.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{rows, succeed};

/// Trains with `configs/FILE-tiny.toml` and further options into `out`; the steps' metrics.
fn train(file: &str, out: &Path, options: &[&str]) -> Vec<Value> {
    let file = format!("configs/{file}-tiny.toml");
    let args = ["train", &file, "--out", out.to_str().unwrap()];
    succeed(args.into_iter().chain(options.iter().flat_map(|option| ["--set", option])));
    let metrics = rows(&out.join("metrics.jsonl"));
    assert!(metrics.iter().all(|step| step["grad_norm"].as_f64().unwrap() > 0.0), "{file}: {metrics:#?}");
    metrics
}

const FEW: [&str; 3] = ["train.steps=2", "train.prompts_per_step=4", "data.generate=64"];

#[test]
fn star_makes_documents_that_sft_reads() {
    let folder = tempfile::tempdir().unwrap();
    let [star, sft] = ["star", "sft"].map(|name| folder.path().join(name));
    // Of levels 3 and 5 some problems are solved and some are not.
    let options = ["train.steps=4", "star.every=2", "train.prompts_per_step=6", "data.generate=64", "data.levels=[3, 5]"];
    let metrics = train("star", &star, &options);
    let documents = star.join("documents.jsonl");
    let made = rows(&documents);
    let kept: f64 = [0, 2].iter().map(|step| metrics[*step]["star/documents"].as_f64().unwrap()).sum();
    assert_eq!((made.len() as f64, metrics.len()), (kept, 4));
    assert!(metrics[1].get("star/documents").is_none() && metrics[0]["star/dropped"].is_number(), "{metrics:#?}");
    for from in ["rollout", "rationalization"] {
        assert!(made.iter().any(|row| row["from"] == from), "no {from}: {made:#?}");
    }
    assert!(made.iter().all(|row| row["prompt"].is_string() && row["completion"].is_string()));
    let data = format!("rehearsal.data={}", documents.display());
    let metrics = train("sft", &sft, &["train.steps=2", "rehearsal.documents_per_step=4", &data]);
    assert!(metrics.len() == 2 && metrics[0]["loss/documents"].is_number(), "{metrics:#?}");
}

#[test]
fn sft_runs() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = train("sft", &folder.path().join("run"), &["train.steps=2", "rehearsal.documents_per_step=4"]);
    assert!(metrics.len() == 2 && metrics[1]["loss/documents"].is_number(), "{metrics:#?}");
}

#[test]
fn luffy_runs_with_experts_and_with_explanations() {
    let folder = tempfile::tempdir().unwrap();
    for trace in ["expert", "explanation"] {
        let option = format!("luffy.trace={trace}");
        let metrics = train("luffy", &folder.path().join(trace), &[&FEW[..], &[&option]].concat());
        for step in &metrics {
            assert_eq!(step["off_policy/reward"], 1.0, "{trace}: {step}");
            assert!(step["off_policy/nll"].is_number() && step["loss/entropy"].as_f64().unwrap() > 0.0, "{trace}: {step}");
        }
    }
}

#[test]
fn the_likelihood_of_the_answer_rewards() {
    let folder = tempfile::tempdir().unwrap();
    for step in train("verifree", &folder.path().join("run"), &FEW) {
        let reward = step["reward/answer_likelihood"].as_f64().unwrap();
        assert!(reward > 0.0 && reward < 1.0 && step["reward/mean"] == reward && step.get("reward/correctness").is_none(), "{step}");
    }
}

#[test]
fn grpo_with_expert_chains_of_thought_runs() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = train("grpo-sft-gt-cot", &folder.path().join("run"), &[&FEW[..], &["rehearsal.documents_per_step=4"]].concat());
    assert!(metrics.iter().all(|step| step["loss/expert_cot"].is_number()), "{metrics:#?}");
}
