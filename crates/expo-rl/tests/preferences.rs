//! Preferences, end to end, on the model in the binary: explanations, pairs, DPO on them, ExP-DPO.

mod support;

use std::path::Path;

use support::{expo_rl, fail, names, rows, succeed, text};

const CONFIG: &str = "configs/exp-dpo-tiny.toml";

/// Arguments for a few problems, of which some are solved and some are not.
fn few<'a>(command: &'a str, out: &'a Path) -> Vec<&'a str> {
    let mut args = vec![command, "--model", "embedded:tiny", "--data", "generator:division", "--limit", "8", "--config", CONFIG];
    args.extend(["--set", "data.levels=[3, 5]", "--out", out.to_str().unwrap()]);
    args
}

#[test]
fn explanations_become_pairs_and_pairs_train() {
    let folder = tempfile::tempdir().unwrap();
    let [explanations, pairs, run] = ["e.jsonl", "p.jsonl", "run"].map(|name| folder.path().join(name));
    let table = succeed(few("explain", &explanations).into_iter().chain(["--samples", "2"]));
    assert!(table.contains("answer gain") && table.contains("NLL own"), "{table}");
    let explained = rows(&explanations);
    assert_eq!(explained.len(), 16);
    for row in &explained {
        for field in ["nll", "own_nll", "answer_gain", "tokens"] {
            assert!(row[field].is_number(), "no {field} in {row}");
        }
        assert!(row["correct"].is_boolean() && row["leak"] == false && row["own"].is_string() && row["outcome"].is_string(), "{row}");
    }
    let kept: Vec<_> = explained.iter().filter(|row| row["outcome"] == "kept").collect();
    assert!(kept.len() > 4, "{explained:#?}");

    let explanations = explanations.to_str().unwrap();
    succeed(few("pairs", &pairs).into_iter().chain(["--samples", "3", "--explanations", explanations]));
    let made = rows(&pairs);
    for row in &made {
        assert!(kept.iter().any(|e| e["id"] == row["id"] && e["explanation"] == row["chosen"] && e["question"] == row["prompt"]), "{row}");
        assert!(row["rejected_correct"] == false && row["chosen_from"] == "explanation", "{row}");
    }

    let train = format!("data.train={}", pairs.display());
    let sets = [&*train, "train.steps=4", "train.prompts_per_step=4", "optim.learning_rate=1e-3"];
    let args = ["train", "configs/dpo-tiny.toml", "--out", run.to_str().unwrap()];
    succeed(args.into_iter().chain(sets.into_iter().flat_map(|set| ["--set", set])));
    let metrics = rows(&run.join("metrics.jsonl"));
    assert!((metrics[0]["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-6, "the policy starts as the reference: {}", metrics[0]);
    assert!(
        metrics[3]["rewards/margins"].as_f64().unwrap() > 0.0 && metrics[3]["loss"].as_f64() < metrics[0]["loss"].as_f64(),
        "{metrics:#?}"
    );
    assert_eq!(rows(&run.join("reference.jsonl")).len(), made.len());
    let files = names(&run);
    assert!(files.contains(&"model".to_owned()) && !files.contains(&"pairs.jsonl".to_owned()), "{files:?}");
}

#[test]
fn exp_dpo_runs_online_offline_and_with_experts() {
    let folder = tempfile::tempdir().unwrap();
    let variants: [(&str, &[&str]); 4] = [
        ("exp-dpo", &[]),
        ("exp-dpo-offline", &["dpo.precompute_ref_log_probs=true"]),
        ("dpo-expert", &["dpo.loss_type=ipo"]),
        ("dpo-expert-offline", &[]),
    ];
    for (name, more) in variants {
        let out = folder.path().join(name);
        let file = format!("configs/{name}-tiny.toml");
        let sets = ["train.steps=2", "train.prompts_per_step=3", "data.levels=[3, 5]", "rollout.num_generations=3"];
        let args = ["train", &file, "--out", out.to_str().unwrap()];
        let output = expo_rl(args.into_iter().chain(sets.iter().chain(more).flat_map(|set| ["--set", set])));
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let metrics = rows(&out.join("metrics.jsonl"));
        assert!(metrics.len() == 2 && metrics.iter().any(|row| row["rewards/margins"].is_number()), "{name}: {metrics:#?}");
        let pairs = rows(&out.join("pairs.jsonl"));
        let from = if name.starts_with("dpo-expert") { "expert" } else { "explanation" };
        assert!(!pairs.is_empty() && pairs.iter().all(|row| row["chosen_from"] == from), "{name}: {pairs:#?}");
    }
}

#[test]
fn bad_preferences_are_named_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("p.jsonl");
    let good = "{\"prompt\": \"12/3?\", \"chosen\": \"#### 4\", \"rejected\": \"#### 5\"}\n";
    // The tiny model's template has no system turn: it refuses the second row.
    let system = "{\"prompt\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"12/3?\"}], \"chosen\": \"#### 4\", \"rejected\": \"#### 5\"}\n";
    let equal = "{\"prompt\": \"12/4?\", \"chosen\": \"#### 3\", \"rejected\": \"#### 3\"}\n";
    std::fs::write(&data, [good, system, equal].concat()).unwrap();
    let out = folder.path().join("run");
    let train = format!("data.train={}", data.display());
    let args = |more: &'static [&'static str]| {
        let sets = [train.clone(), "train.steps=1".into(), "train.prompts_per_step=2".into()]
            .into_iter()
            .chain(more.iter().map(|s| (*s).to_owned()));
        let head = ["train", "configs/dpo-tiny.toml", "--out", out.to_str().unwrap()].map(str::to_owned);
        head.into_iter().chain(sets.flat_map(|set| ["--set".to_owned(), set])).collect::<Vec<_>>()
    };
    fail(args(&[]), &["p.jsonl:3: ", "are equal"]);
    let output = expo_rl(args(&["data.on_bad_row=skip"]));
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("p.jsonl:2: side `chosen`") && message.contains("2 rows of preferences were left out"), "{message}");
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["pairs"], serde_json::json!({"used": 1, "too_long": 0, "skipped": 2}));
}
