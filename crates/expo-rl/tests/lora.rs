//! Adapters, end to end, on the model in the binary: trained, used by the commands, gone on with, merged, refused.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{copy_folder, fail, names, root, rows, succeed};

const CONFIG: &str = "configs/exp-grpo-lora-tiny.toml";

fn train(config: &str, out: &Path, more: &[&str]) {
    let mut args = vec!["train", config, "--out", out.to_str().unwrap()];
    for set in ["train.steps=2", "train.prompts_per_step=3", "rollout.num_generations=4", "rehearsal.documents_per_step=4"] {
        args.extend(["--set", set]);
    }
    args.extend(["--set", "data.levels=[1, 2]", "--set", "rollout.temperature=1.3", "--set", "data.generate=64"]);
    args.extend(more);
    succeed(args);
}

/// Log-probabilities of two completions.
fn score(model: &str, adapter: Option<&str>, folder: &Path) -> Vec<f64> {
    let adapter = adapter.map(|adapter| ["--adapter", adapter]);
    score_with(&["--model", model].into_iter().chain(adapter.into_iter().flatten()).collect::<Vec<_>>(), folder)
}

/// The same with the policy as arguments.
fn score_with(policy: &[&str], folder: &Path) -> Vec<f64> {
    let [data, out] = ["rows.jsonl", "scored.jsonl"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let row = |prompt: &str, completion: &str| format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{completion}\"}}\n");
    std::fs::write(&data, [row("12/3?", "4*3=12#### 4"), row("84/7?", "12*7=84#### 12")].concat()).unwrap();
    succeed(["score", "--data", &data, "--out", &out].into_iter().chain(policy.iter().copied()));
    let log_probs = |row: &Value| row["logprobs"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    rows(Path::new(&out)).iter().flat_map(log_probs).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn an_adapter_is_trained_used_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = path("run");
    train(CONFIG, &run, &["--set", "train.save_every=1", "--set", "grpo.beta=0.01", "--set", "exp.metrics_every=1"]);
    let metrics = rows(&run.join("metrics.jsonl"));
    assert!(metrics[0]["kl"].as_f64().unwrap().abs() < 1e-12, "the policy starts as the model without adapter: {}", metrics[0]);
    assert!(metrics[0]["grad_norm"].as_f64().unwrap() > 0.0 && metrics[0]["exp/nll_explanation"].is_number(), "{}", metrics[0]);
    let files = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names(&run.join("model")), files);
    // A checkpoint is the same, and what the run needs to go on.
    let [config, weights, tokenizer, chat] = files;
    assert_eq!(names(&run.join("checkpoints/step-000001")), [config, weights, "checkpoint.json", "state", tokenizer, chat]);
    let config: Value = serde_json::from_slice(&std::fs::read(run.join("model/adapter_config.json")).unwrap()).unwrap();
    assert_eq!((&config["base_model_name_or_path"], &config["r"]), (&Value::from("embedded:tiny"), &Value::from(16)));

    let adapter = run.join("model");
    let adapter = adapter.to_str().unwrap();
    let scores = score("embedded:tiny", Some(adapter), folder.path());
    // Alone it goes on the model that it names, also in the model's place.
    for option in ["--adapter", "--model"] {
        assert_eq!(score_with(&[option, adapter], folder.path()), scores);
    }
    let moved = largest_difference(&scores, &score("embedded:tiny", None, folder.path()));
    assert!(moved > 1e-3, "two steps moved a log-probability by {moved} at most");
    let merged = path("merged");
    let merged = merged.to_str().unwrap();
    succeed(["merge", "--model", "embedded:tiny", "--adapter", adapter, "--out", merged]);
    let difference = largest_difference(&scores, &score(merged, None, folder.path()));
    assert!(difference < 1e-4, "{difference}");
    fail(["merge", "--model", "embedded:tiny", "--adapter", adapter, "--out", merged], &["merged: exists already and is not empty"]);

    let with = ["--model", "embedded:tiny", "--adapter", adapter];
    let greedy = |model: &[&str]| succeed(["generate", "--prompt", "84/7?", "--temperature", "0"].iter().chain(model));
    assert_eq!(greedy(&with), greedy(&["--model", merged]));
    let json = path("eval.json");
    let eval = ["eval", "--data", "generator:division", "--limit", "4", "--samples", "2", "--json", json.to_str().unwrap()];
    succeed(eval.iter().chain(&with).chain(&["--adapter", "none"]));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let models = [format!("embedded:tiny + {adapter}"), "embedded:tiny".to_owned()];
    for (evaluation, model) in report["evaluations"].as_array().unwrap().iter().zip(models) {
        assert_eq!(evaluation["model"], model);
    }
    let explained = path("e.jsonl");
    let explain = ["explain", "--data", "generator:division", "--limit", "2", "--config", CONFIG, "--out", explained.to_str().unwrap()];
    succeed(explain.iter().chain(&with));
    assert_eq!(rows(&explained).len(), 4);

    // A second run goes on with the adapter, whose start is then the reference.
    let next = path("next");
    let from = format!("lora.adapter={adapter}");
    train("configs/exp-grpo-tiny.toml", &next, &["--set", &from, "--set", "grpo.beta=0.01", "--set", "optim.learning_rate=0"]);
    assert!(rows(&next.join("metrics.jsonl"))[1]["kl"].as_f64().unwrap().abs() < 1e-12);
    let weights = |run: &Path| std::fs::read(run.join("model/adapter_model.safetensors")).unwrap();
    assert_eq!(weights(&next), weights(&run), "a learning rate of 0 changes nothing");
}

#[test]
fn one_thread_and_two_give_the_same_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let sets = ["--set", "lora.lora_dropout=0.1", "--set", "lora.use_rslora=true", "--set", "lora.target_modules=['q_proj', 'down_proj']"];
    train(CONFIG, &one, &[&sets[..], &["--threads", "1"]].concat());
    train(CONFIG, &two, &[&sets[..], &["--threads", "2"]].concat());
    let bytes = |run: &Path| std::fs::read(run.join("model/adapter_model.safetensors")).unwrap();
    assert_eq!(bytes(&one), bytes(&two));
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = folder.path().join("run");
    train(CONFIG, &run, &["--set", "train.steps=1"]);
    let adapter = run.join("model").to_str().unwrap().to_owned();
    let generate = ["generate", "--prompt", "1", "--max-new-tokens", "1"];
    let on = |model: &str, adapter: &str, parts: &[&str]| fail(generate.into_iter().chain(["--model", model, "--adapter", adapter]), parts);
    // By itself it finds its base.
    let by = |args: &[&str]| succeed(generate.into_iter().chain(args.iter().copied()));
    assert_eq!(by(&["--model", &adapter]), by(&["--model", "embedded:tiny", "--adapter", &adapter]));
    on("embedded:tiny", "no/such", &["no/such/adapter_config.json: does not exist"]);

    // Another base: of the same shapes, and of others.
    let same = path("same");
    copy_folder(&root().join("assets/tiny"), Path::new(&same));
    let weights = Path::new(&same).join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    // The lowest bit of one weight.
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    on(&same, &adapter, &["adapter_model.safetensors: the adapter was trained on weights with SHA-256", "embedded:tiny"]);

    let file = run.join("model/adapter_config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    for (from, to, parts) in [
        ("\"r\": 16", "\"r\": 8", ["has shape [16, 64], expected [8, 64]", "is the adapter for another base?"]),
        ("\"bias\": \"none\"", "\"bias\": \"all\"", ["adapter_config.json: bias is \"all\"", "only \"none\""]),
        ("\"LORA\"", "\"IA3\"", ["peft_type is \"IA3\"", "only \"LORA\""]),
        ("\"use_dora\": false", "\"use_dora\": true", ["use_dora is true", "not supported"]),
    ] {
        assert!(config.contains(from), "{config}");
        std::fs::write(&file, config.replace(from, to)).unwrap();
        on("embedded:tiny", &adapter, &parts);
    }
    let out = path("out");
    let train = |set: &str, parts: &[&str]| fail(["train", CONFIG, "--out", &out, "--set", set], parts);
    train(
        "lora.target_modules=['q_proj', 'wq']",
        &["unknown target module \"wq\"", "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"],
    );
    train("lora.adapter=some/adapter", &["lora.r: set, but the adapter that lora.adapter names brings its own"]);
    assert!(!Path::new(&out).exists());
}
