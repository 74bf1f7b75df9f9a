//! The commands, end to end, on the model in the binary.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{expo_rl, fail, names, rows, succeed, text};

/// A small run of ExP-GRPO with every kind of draw in it.
fn train(out: &Path, more: &[&str]) {
    let mut args = vec!["train", "configs/exp-grpo-tiny.toml", "--out", out.to_str().unwrap()];
    for set in ["train.steps=2", "train.prompts_per_step=3", "rollout.num_generations=4", "rehearsal.documents_per_step=4"] {
        args.extend(["--set", set]);
    }
    // Level 1: some rollouts are right and some are wrong, so that every term has a gradient.
    args.extend(["--set", "data.levels=[1, 2]", "--set", "rollout.temperature=1.3", "--set", "exp.metrics_every=1"]);
    args.extend(more);
    succeed(args);
}

#[test]
fn training_writes_a_whole_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(&out, &["--set", "train.save_every=1"]);
    let metrics = rows(&out.join("metrics.jsonl"));
    assert_eq!(metrics.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for name in [
        "loss",
        "reward/mean",
        "reward/std",
        "groups/all_wrong",
        "groups/all_right",
        "entropy",
        "clip_fraction",
        "completions/mean_length",
        "completions/truncated_fraction",
        "grad_norm",
        "sampling/logp_difference_max",
        "sampling/logp_difference_mean",
        "exp/nll_explanation",
        "exp/nll_own",
        "exp/nll_expert",
        "exp/answer_gain",
        "exp/kept_fraction",
        "exp/answer_match_fraction",
        "tokens_per_s/rollout",
        "tokens_per_s/train",
    ] {
        assert!(metrics[0][name].is_number(), "no {name} in {}", metrics[0]);
    }
    assert!(metrics[0]["sampling/logp_difference_max"].as_f64().unwrap() < 1e-4, "{}", metrics[0]);
    let run: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["config"]["train"]["prompts_per_step"], 3);
    assert_eq!(run["config"]["rollout"]["max_num_seqs"], 64, "defaults are resolved");
    let kinds: std::collections::BTreeSet<String> =
        rows(&out.join("completions.jsonl")).iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["explanation", "rollout"]);
    assert_eq!(names(&out.join("checkpoints")), ["step-000001", "step-000002"]);
    // The trained folder is a model like any other.
    let model = out.join("model");
    let generated = succeed(["generate", "--model", model.to_str().unwrap(), "--prompt", "12/3?", "--temperature", "0"]);
    assert!(!generated.trim().is_empty());
}

/// `metrics.jsonl` without its timings.
fn untimed(out: &Path) -> Vec<Value> {
    let mut metrics = rows(&out.join("metrics.jsonl"));
    for row in &mut metrics {
        row.as_object_mut().unwrap().retain(|name, _| !name.starts_with("time/") && !name.starts_with("tokens_per_s/"));
    }
    metrics
}

#[test]
fn one_thread_and_two_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    train(&one, &["--threads", "1"]);
    train(&two, &["--threads", "2"]);
    assert_eq!(untimed(&one), untimed(&two));
    let bytes = |run: &Path, file: &str| std::fs::read(run.join(file)).unwrap();
    assert_eq!(bytes(&one, "completions.jsonl"), bytes(&two, "completions.jsonl"));
    assert_eq!(bytes(&one, "model/model.safetensors"), bytes(&two, "model/model.safetensors"));
    let other = folder.path().join("other");
    train(&other, &["--set", "train.seed=1"]);
    assert_ne!(untimed(&one), untimed(&other));
}

#[test]
fn every_recipe_runs() {
    let folder = tempfile::tempdir().unwrap();
    for recipe in ["grpo", "grpo-sft-gt-cot", "sft"] {
        let out = folder.path().join(recipe);
        train(&out, &["--set", &format!("train.recipe={recipe}"), "--set", "train.steps=1"]);
        assert!(rows(&out.join("metrics.jsonl"))[0]["loss"].is_number());
    }
}

/// A program of the user's in a run: a shell script, since a shell is everywhere where tests run.
#[test]
fn rewards_of_several_kinds_run_together() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let [config, ended] = ["run.toml", "ended"].map(|name| folder.path().join(name));
    let base = std::fs::read_to_string(support::root().join("configs/exp-grpo-tiny.toml")).unwrap();
    // Right or wrong by the verifier's verdict in the row; when the rows end, it leaves a file behind.
    let script = format!(
        r#"while IFS= read -r row; do id=${{row#*\"id\":}}; id=${{id%%,*}}
case $row in *'"correct":true'*) r=1;; *) r=null;; esac; echo "{{\"id\": $id, \"reward\": $r}}"; done; : > '{}'"#,
        ended.display()
    );
    let more = format!(
        "[reward]\nformat = 0.1\nlength = 0.1\ncosine = 0.1\nsoft_overlong_punishment = 0.1\nsoft_punish_cache = 20\n\
         gate_on_correctness = [\"format\"]\n[reward.external.own]\nweight = 0.5\ncommand = [\"sh\", \"-c\", \'\'\'{script}\'\'\']\n"
    );
    std::fs::write(&config, base + &more).unwrap();
    let mut args = vec!["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    for set in ["train.steps=2", "train.prompts_per_step=3", "rollout.num_generations=4", "data.levels=[1]", "rollout.temperature=1.3"] {
        args.extend(["--set", set]);
    }
    succeed(args);
    assert!(ended.exists(), "the command was not asked to end");
    for row in rows(&out.join("metrics.jsonl")) {
        for name in ["correctness", "format", "length", "cosine", "soft_overlong_punishment"] {
            assert!(row[format!("reward/{name}")].is_number(), "no {name} in {row}");
        }
        assert_eq!(row["reward/own"], 1.0, "it applies to right completions alone: {row}");
        assert!(row["time/reward"].is_number() && row.get("reward/none_fraction").is_none());
    }
    for row in rows(&out.join("completions.jsonl")).iter().filter(|row| row["kind"] == "rollout") {
        assert_eq!(row["rewards"]["own"], if row["correct"] == true { Value::from(1.0) } else { Value::Null });
        assert!(row["rewards"]["format"].as_f64() <= row["rewards"]["correctness"].as_f64(), "gated: {row}");
        assert!(row["reward"].is_number());
    }
}

#[test]
fn several_sets_in_several_formats_are_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.csv"), "question,answer,level\n12/3?,4,1\n\"12/3? \",4,1\n20/5?,4,1\n").unwrap();
    std::fs::write(path("b.json"), "[{\"q\": 1}, {\"question\": \"9/3?\", \"answer\": 3, \"level\": 2}]").unwrap();
    let turns = "[{\"role\": \"user\", \"content\": \"2*3=\"}, {\"role\": \"assistant\", \"content\": \"6\"}]";
    std::fs::write(path("d.jsonl"), format!("{{\"messages\": {turns}}}\n")).unwrap();
    let train = format!("data.train=['{}', '{}']", path("a.csv"), path("b.json"));
    let (out, rehearsal) = (path("run"), format!("rehearsal.data={}", path("d.jsonl")));
    let mut args = vec!["train", "configs/grpo-tiny.toml", "--out", &out];
    for set in [&*train, &rehearsal, "data.weights=[1, 3]", "data.levels=[]", "data.deduplicate=true", "data.on_bad_row=skip"] {
        args.extend(["--set", set]);
    }
    for set in ["train.steps=1", "train.prompts_per_step=4", "train.log_completions=100", "rollout.num_generations=2"] {
        args.extend(["--set", set]);
    }
    let output = expo_rl(args);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("1 problems left out whose question came before") && message.contains("b.json: row 1: field"), "{message}");
    let run: Value = serde_json::from_slice(&std::fs::read(folder.path().join("run/run.json")).unwrap()).unwrap();
    assert_eq!((run["problems"].as_u64(), run["data_sha256"].as_object().unwrap().len()), (Some(3), 3));
    // Three of four problems are from the second set, which has only one.
    let completions = rows(&folder.path().join("run/completions.jsonl"));
    let of_b = completions.iter().filter(|row| row.to_string().contains("9/3?")).count();
    assert_eq!((completions.len(), of_b), (8, 6), "{completions:#?}");
}

#[test]
fn pretraining_starts_from_random_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let args = [
        "train",
        "configs/pretrain-tiny.toml",
        "--out",
        out.to_str().unwrap(),
        "--set",
        "train.steps=2",
        "--set",
        "rehearsal.documents_per_step=8",
    ];
    succeed(args);
    let loss = rows(&out.join("metrics.jsonl"))[0]["loss"].as_f64().unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("model/config.json")).unwrap()).unwrap();
    let uniform = config["vocab_size"].as_f64().unwrap().ln();
    assert!((loss - uniform).abs() < 0.3, "loss {loss}, but an untrained model's is about {uniform}");
}

#[test]
fn score_adds_log_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let text_rows = "{\"prompt\": \"12/3?\", \"completion\": \"12:4*3=12-0;#### 4\", \"note\": \"kept\"}\n\
                     {\"prompt\": \"12/4?\", \"completion\": \"!\"}\n{\"prompt_ids\": [5, 6, 7], \"completion_ids\": [8, 9]}\n";
    std::fs::write(path("in.jsonl"), text_rows).unwrap();
    let score = |out: &str, more: &[&str]| {
        let mut args = vec![
            "score".to_owned(),
            "--model".into(),
            "embedded:tiny".into(),
            "--data".into(),
            path("in.jsonl"),
            "--out".into(),
            path(out),
        ];
        args.extend(more.iter().map(|s| (*s).to_owned()));
        succeed(args);
        rows(&folder.path().join(out))
    };
    let scored = score("out.jsonl", &[]);
    assert_eq!(scored.len(), 3);
    assert_eq!(scored[0]["note"], "kept");
    let logprobs = |row: &Value| row["logprobs"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(logprobs(&scored[2]).len(), 2);
    assert!(scored.iter().flat_map(logprobs).all(|p| p.is_finite() && p <= 0.0));
    // A right solution in the model's own style is likelier, token by token, than an exclamation mark.
    let mean = |row: &Value| logprobs(row).iter().sum::<f64>() / logprobs(row).len() as f64;
    assert!(mean(&scored[0]) > mean(&scored[1]) + 1.0, "{} {}", mean(&scored[0]), mean(&scored[1]));
    // Other batches, same numbers.
    for (one, other) in scored.iter().zip(score("single.jsonl", &["--max-tokens-per-batch", "1"])) {
        for (a, b) in logprobs(one).iter().zip(logprobs(&other)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn generate_is_seeded_and_streams_n_completions() {
    let generate = |more: &[&str]| {
        let mut args =
            vec!["generate", "--model", "embedded:tiny", "--prompt", "97587/21?", "--max-new-tokens", "60", "--temperature", "2"];
        args.extend(more);
        succeed(args)
    };
    let three = generate(&["-n", "3", "--seed", "7"]);
    assert_eq!(three.trim_end().split("\n\n").count(), 3, "{three:?}");
    assert_eq!(three, generate(&["-n", "3", "--seed", "7"]));
    assert_ne!(three, generate(&["-n", "3", "--seed", "8"]));
    // The first of three is the one that stands alone.
    assert_eq!(three.split("\n\n").next().unwrap(), generate(&["--seed", "7"]).trim_end());
}

#[test]
fn the_quickstart_ends_with_a_table_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let [json, out] = ["q.json", "runs"].map(|name| folder.path().join(name));
    let args = ["quickstart", "--steps", "1", "--problems", "2", "--json", json.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = expo_rl(args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("pass@4") && table.contains("ExP-GRPO"), "{table}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let levels = report["levels"].as_array().unwrap();
    assert_eq!(levels.iter().map(|l| l["level"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for level in levels {
        for key in ["before", "grpo", "exp_grpo"] {
            assert!((0.0..=1.0).contains(&level[key].as_f64().unwrap()), "{level}");
        }
    }
    assert_eq!(names(&out), ["exp-grpo", "grpo"]);
    // Both arms saw the same steps.
    let [grpo, exp_grpo] = ["grpo", "exp-grpo"].map(|arm| rows(&out.join(arm).join("metrics.jsonl")).len());
    assert_eq!((grpo, exp_grpo), (1, 1));
}

#[test]
fn bench_reports_rates_and_their_ceiling() {
    let sizes: [&[&str]; 6] = [
        &["bench", "train", "--model", "embedded:tiny", "--batch", "3", "--seq", "20", "--runs", "2", "--json"],
        &["bench", "generate", "--model", "embedded:tiny", "--batch", "3", "--prompt", "9", "--new", "12", "--runs", "1", "--json"],
        &[
            "bench",
            "grpo",
            "--model",
            "embedded:tiny",
            "--prompts",
            "2",
            "--group",
            "3",
            "--prompt",
            "9",
            "--new",
            "12",
            "--runs",
            "1",
            "--json",
        ],
        &["bench", "grpo", "--model", "embedded:tiny", "--prompts", "2", "--group", "3", "--lengths", "varied", "--runs", "1", "--json"],
        &["bench", "dpo", "--model", "embedded:tiny", "--pairs", "3", "--prompt", "9", "--new", "12", "--runs", "1", "--json"],
        &[
            "bench",
            "dpo",
            "--model",
            "embedded:tiny",
            "--pairs",
            "3",
            "--prompt",
            "9",
            "--new",
            "12",
            "--ref",
            "cached",
            "--runs",
            "1",
            "--json",
        ],
    ];
    let rates = ["tokens_per_s", "new_tokens_per_s", "steps_per_s", "new_tokens_per_s", "steps_per_s", "steps_per_s"];
    for (args, rate) in sizes.into_iter().zip(rates) {
        let report: Value = serde_json::from_str(&succeed(args)).unwrap();
        if rate == "tokens_per_s" || args[1] != "generate" {
            assert!(report["seconds/forward"].as_f64().is_some_and(|v| v > 0.0), "{report}");
        }
        for key in [rate, "seconds", "gflops", "ceiling_gflops", "share_of_ceiling"] {
            assert!(report[key].as_f64().is_some_and(|v| v > 0.0), "{key} in {report}");
        }
        assert_eq!(report["parameters"], 203_392);
    }
    fail(["bench", "train", "--model", "embedded:tiny", "--seq", "513"], &["513 tokens", "context is 512"]);
}
