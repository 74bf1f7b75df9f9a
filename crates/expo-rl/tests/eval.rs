//! Evaluation, end to end: `expo-rl eval`, and `[eval]` in a run.

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{copy_folder, expo_rl, fail, names, root, rows, succeed, text};

/// Held-out problems of levels 1 and 5 in a file.
fn problems(folder: &Path, count: usize) -> String {
    let path = folder.join("problems.jsonl").to_str().unwrap().to_owned();
    succeed(["data", "make", "--level", "1,5", "-n", &count.to_string(), "--split", "held-out", "--out", &path]);
    path
}

fn eval<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["eval", "--model", "embedded:tiny", "--data", data, "--max-new-tokens", "96"], more].concat()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn mean(figures: &Value, metric: &str) -> f64 {
    figures[metric]["mean"].as_f64().unwrap_or_else(|| panic!("no {metric} in {figures}"))
}

#[test]
fn a_model_is_evaluated_by_level() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (problems(folder.path(), 12), folder.path().join("eval.json"));
    let more = ["--samples", "4", "--k", "1,4", "--by", "level", "--json", out.to_str().unwrap()];
    let table = succeed(eval(&data, &more));
    for part in ["level", "pass@1", "pass@4", "maj@4", "95% bootstrap intervals"] {
        assert!(table.contains(part), "{table}");
    }
    let report = json(&out);
    let one = &report["evaluations"][0];
    assert_eq!((report["problems"].as_u64(), one["problems"].as_u64(), one["samples"].as_u64()), (Some(12), Some(12), Some(4)));
    let levels = one["groups"].as_array().unwrap();
    let named = levels.iter().map(|l| (l["field"].as_str().unwrap(), l["value"].as_str().unwrap(), l["problems"].as_u64().unwrap()));
    assert_eq!(named.collect::<Vec<_>>(), [("level", "1", 6), ("level", "5", 6)]);
    assert!(mean(&levels[0], "pass@4") >= mean(&levels[0], "pass@1"));
    assert!(mean(&levels[0], "pass@1") > 0.5, "the model is competent on level 1: {report}");
    assert!(mean(&levels[1], "pass@1") < 0.5, "and not on level 5: {report}");
    let interval = |name: &str| one["pass@1"][name].as_f64().unwrap();
    assert!(interval("low") <= interval("mean") && interval("mean") <= interval("high") && interval("low") < interval("high"));
    // The generator in place of a file, limited.
    succeed(eval("generator:division", &["--limit", "5", "--json", out.to_str().unwrap()]));
    assert_eq!(json(&out)["problems"], 5);
}

#[test]
fn models_and_settings_are_compared_on_the_same_problems() {
    let folder = tempfile::tempdir().unwrap();
    let data = problems(folder.path(), 8);
    let twin = folder.path().join("twin");
    copy_folder(&root().join("assets/tiny"), &twin);
    let twin = twin.to_str().unwrap();
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json_file, csv, markdown) = (out("r.json"), out("r.csv"), out("r.md"));
    let mut more = vec!["--model", twin, "--temperature", "1.3", "--greedy", "--samples", "3", "--k", "3"];
    more.extend(["--json", &json_file, "--csv", &csv, "--markdown", &markdown]);
    let table = succeed(eval(&data, &more));
    assert!(table.contains("embedded:tiny, T=1.3") && table.contains("difference") && table.contains("paired"), "{table}");
    let report = json(Path::new(&json_file));
    let arms = report["evaluations"].as_array().unwrap();
    let settings: Vec<(u64, f64)> =
        arms.iter().map(|arm| (arm["samples"].as_u64().unwrap(), arm["sampling"]["temperature"].as_f64().unwrap())).collect();
    assert_eq!(settings, [(3, 1.3), (1, 0.0), (3, 1.3), (1, 0.0)]);
    assert!(arms[1].get("pass@3").is_none() && arms[0].get("maj@3").is_some());
    // The same weights under another name: every difference is exactly nothing.
    let differences = report["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 6);
    let of_twins = differences.iter().filter(|d| d["minuend"]["temperature"] == d["subtrahend"]["temperature"]).collect::<Vec<_>>();
    assert_eq!(of_twins.len(), 2);
    for difference in of_twins {
        let one = &difference["pass@1"];
        assert!(["mean", "low", "high"].iter().all(|name| one[*name] == 0.0), "{difference}");
    }
    let expected = mean(&arms[1], "pass@1") - mean(&arms[0], "pass@1");
    assert!((mean(&differences[0], "pass@1") - expected).abs() < 1e-12);
    // 2 arms of three metrics and 2 of one; of 6 pairs one has all three.
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 1 + 2 * 3 + 2 + (3 + 5));
    assert!(std::fs::read_to_string(&markdown).unwrap().contains("| arm | problems | pass@1 | pass@3 | maj@3 |"));
}

#[test]
fn an_interrupted_evaluation_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = problems(folder.path(), 10);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |completions: &str, report: &str| {
        let output = expo_rl(eval(&data, &["--samples", "3", "--k", "1,3", "--completions", &path(completions), "--json", &path(report)]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (whole, _) = run("whole.jsonl", "whole.json");
    let kept = std::fs::read_to_string(path("whole.jsonl")).unwrap();
    let lines: Vec<&str> = kept.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 10);
    // Killed while the fifth problem was written.
    std::fs::write(path("cut.jsonl"), format!("{}{}{}", lines[0], lines[7], &lines[3][..lines[3].len() - 20])).unwrap();
    let (again, told) = run("cut.jsonl", "cut.json");
    assert_eq!(again, whole);
    assert!(told.contains("cut off") && told.contains("2 problems were sampled before"), "{told}");
    assert_eq!(std::fs::read_to_string(path("cut.jsonl")).unwrap(), kept);
    assert_eq!(json(Path::new(&path("cut.json"))), json(Path::new(&path("whole.json"))));
    // What is kept tells the result: pass@3 from the rows.
    let kept = rows(Path::new(&path("whole.jsonl")));
    let solved = kept.iter().filter(|row| row["samples"].as_array().unwrap().iter().any(|sample| sample["correct"] == true)).count();
    assert_eq!(mean(&json(Path::new(&path("whole.json")))["evaluations"][0], "pass@3"), solved as f64 / 10.0);
    for key in ["problem", "question", "answer", "level", "model", "sampling", "key"] {
        assert!(!kept[0][key].is_null(), "no {key} in {}", kept[0]);
    }
    // One thread and two give the same file.
    succeed(eval(&data, &["--samples", "3", "--completions", &path("one.jsonl"), "--threads", "1"]));
    assert_eq!(std::fs::read(path("one.jsonl")).unwrap(), std::fs::read(path("whole.jsonl")).unwrap());
}

#[test]
fn presets_and_fields() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("math.jsonl"), folder.path().join("c.jsonl"));
    let row = |answer: u32, level: u32, kind: &str| {
        format!(
            "{{\"problem\": \"12/3?\", \"solution\": \"s\", \"answer\": \"{answer}\", \"level\": {level}, \"subject\": \"S\", \"kind\": \"{kind}\"}}\n"
        )
    };
    std::fs::write(&data, row(4, 1, "a") + &row(5, 3, "b")).unwrap();
    let args =
        ["eval", "--model", "embedded:tiny", "--preset", "math-500", "--data", data.to_str().unwrap(), "--greedy", "--by", "kind,level"];
    // The tiny model's context is 512.
    let more = ["--max-new-tokens", "40", "--completions", out.to_str().unwrap()];
    let table = succeed(args.iter().chain(&more));
    assert!(table.contains("kind a") && table.contains("level 3") && table.contains("greedy"), "{table}");
    assert_eq!(rows(&out)[1]["fields"]["kind"], "b");
    let by = ["eval", "--model", "embedded:tiny", "--data", data.to_str().unwrap(), "--by", "topic"];
    fail(by, &["`topic`", "level, subject, kind"]);
    // A preset by its name on the hub, where there is none.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_expo-rl"))
        .args(["eval", "--model", "embedded:tiny", "--preset", "gsm8k"])
        .env("HF_ENDPOINT", "nowhere")
        .env("HF_HOME", folder.path())
        .output()
        .unwrap();
    support::assert_error(&text(&output.stderr), &["openai/gsm8k"]);
}

#[test]
fn what_cannot_be_evaluated_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // No answers in the data.
    let unanswered = file("unanswered.jsonl", "{\"question\": \"12/3?\"}\n");
    fail(eval(&unanswered, &[]), &["unanswered.jsonl:1", "answer", "data.answer_field"]);
    let empty = file("empty.jsonl", "{\"problem\": \"P\", \"solution\": \"s\", \"answer\": \"\"}\n");
    fail(eval(&empty, &[]), &["empty.jsonl", "no problem with an answer"]);
    // Completions of something else.
    let good = file("good.jsonl", "{\"question\": \"12/3?\", \"answer\": 4}\n");
    fail(eval(&good, &["--completions", &good]), &["good.jsonl:1: not a row of completions"]);
    let usage = |more: &[&str], part: &str| {
        let output = expo_rl(eval(&good, more));
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(part), "{message}");
    };
    usage(&["--samples", "2", "--k", "4"], "--k 4 needs at least as many samples, found --samples 2");
    usage(&["--samples", "8", "--k", "4", "--greedy"], "greedy: one completion a problem");
    usage(&["--model", "embedded:tiny"], "given twice");
    usage(&["--preset", "nothing"], "math-500");
    assert_eq!(names(folder.path()), ["empty.jsonl", "good.jsonl", "unanswered.jsonl"]);
}

/// A run of few small steps that is evaluated on held-out problems.
fn train(out: &Path, more: &[&str]) {
    let mut args = vec!["train", "configs/exp-grpo-tiny.toml", "--out", out.to_str().unwrap()];
    for set in ["train.steps=3", "train.prompts_per_step=2", "rollout.num_generations=2", "rehearsal.documents_per_step=2"] {
        args.extend(["--set", set]);
    }
    args.extend(["--set", "train.save_dtype=f32"]);
    more.iter().for_each(|set| args.extend(["--set", set]));
    succeed(args);
}

#[test]
fn a_run_is_evaluated_as_the_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let (out, report) = (folder.path().join("run"), folder.path().join("r.json"));
    let eval_options = ["eval.data=generator:division", "eval.levels=[1]", "eval.limit=6", "eval.num_samples=2", "eval.pass_at_k=[2]"];
    let more =
        [&eval_options[..], &["eval.every=2", "eval.at_start=true", "eval.metric_for_best_model=eval/pass@2", "train.seed=3"]].concat();
    train(&out, &more);
    let metrics = rows(&out.join("metrics.jsonl"));
    let evaluated: Vec<u64> =
        metrics.iter().filter(|row| row["eval/pass@2"].is_number()).map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!((evaluated, metrics.len()), (vec![0, 2, 3], 4));
    // The trained weights, evaluated by the command with the run's seed: the same figures.
    let config = ["--config", "configs/exp-grpo-tiny.toml", "--set", "data.levels=[1]", "--seed", "3"];
    let model = out.join("model");
    let mut args = vec!["eval", "--model", model.to_str().unwrap(), "--data", "generator:division", "--limit", "6", "--samples", "2"];
    let run: Value = json(&out.join("run.json"));
    let longest = run["config"]["rollout"]["max_new_tokens"].to_string();
    args.extend(["--k", "2", "--max-new-tokens", &longest, "--json", report.to_str().unwrap()]);
    args.extend(config);
    succeed(args);
    let report = json(&report);
    for metric in ["pass@1", "pass@2", "maj@2"] {
        assert_eq!(metrics[3][format!("eval/{metric}")].as_f64(), Some(mean(&report["evaluations"][0], metric)), "{metric}");
    }
    // The best weights are a model like any other.
    let best = json(&out.join("best.json"));
    assert!(evaluated_at(&metrics, best["step"].as_u64().unwrap()) == best["value"].as_f64(), "{best}");
    let model = out.join("model-best");
    succeed(["generate", "--model", model.to_str().unwrap(), "--prompt", "12/3?", "--temperature", "0"]);
}

fn evaluated_at(metrics: &[Value], step: u64) -> Option<f64> {
    metrics.iter().find(|row| row["step"] == step).and_then(|row| row["eval/pass@2"].as_f64())
}
