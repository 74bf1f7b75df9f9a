//! Every bad input ends in a clear error of one or two lines and exit code 1 (2 for usage), with nothing half-written left behind. Files that are malformed are in
//! tests/malformed.

mod support;

use std::process::Command;

use support::{assert_error, expo_rl, fail, names, root, succeed, text};
use tempfile::TempDir;

/// A training run of one small step with more arguments.
fn train_args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["train", "configs/exp-grpo-tiny.toml", "--out", out, "--set", "train.steps=1", "--set", "train.prompts_per_step=1"];
    args.extend(["--set", "rollout.num_generations=2", "--set", "rehearsal.documents_per_step=2", "--set", "exp.num_explanations=1"]);
    more.iter().for_each(|set| args.extend(["--set", set]));
    args
}

/// Such a run fails, and leaves no folder.
fn train_fails(more: &[&str], parts: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let message = fail(train_args(out.to_str().unwrap(), more), parts);
    assert_eq!(names(folder.path()), Vec::<String>::new(), "something was left behind after {message}");
    message
}

fn file(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_prompt_longer_than_the_context() {
    let prompt = "1".repeat(100_000);
    fail(["generate", "--model", "embedded:tiny", "--prompt", &prompt], &["context", "token"]);
    let folder = tempfile::tempdir().unwrap();
    let data = file(&folder, "long.jsonl", &format!("{{\"question\": \"{prompt}\", \"answer\": \"1\"}}\n"));
    train_fails(&[&format!("data.train={data}"), "data.levels=[]"], &["long.jsonl", "context"]);
}

#[test]
fn data_that_is_not_what_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{\"question\": \"12/3?\", \"answer\": \"4\"}\n";
    let missing = folder.path().join("missing.jsonl").to_str().unwrap().to_owned();
    let field = file(&folder, "field.jsonl", &format!("{good}{{\"question\": \"12/3?\"}}\n"));
    let cases: [(&str, &[&str]); 2] = [(&missing, &["missing.jsonl", "cannot read"]), (&field, &["field.jsonl:2", "answer"])];
    for (path, parts) in cases {
        train_fails(&[&format!("data.train={path}"), "data.levels=[]"], parts);
        fail(["eval", "--model", "embedded:tiny", "--data", path, "--samples", "1", "--k", "1"], parts);
    }
    // A level that no problem has.
    let level = file(&folder, "levels.jsonl", "{\"question\": \"12/3?\", \"answer\": \"4\", \"level\": 1}\n");
    train_fails(&[&format!("data.train={level}"), "data.levels=[4]"], &["levels.jsonl", "data.levels"]);
}

#[test]
fn a_hub_data_set_without_a_hub() {
    let folder = tempfile::tempdir().unwrap();
    for data in ["no-such-owner/no-such-set", "hf://datasets/no-such-owner/no-such-set/train.jsonl"] {
        let output = Command::new(env!("CARGO_BIN_EXE_expo-rl"))
            .current_dir(root())
            .args(["eval", "--model", "embedded:tiny", "--data", data, "--samples", "1"])
            // An address that no request can be made to.
            .env("HF_ENDPOINT", "nowhere")
            .env("HF_HOME", folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_error(
            &text(&output.stderr),
            &["no-such-owner/no-such-set", "neither a local file nor in the cache", "the hub gave an error"],
        );
    }
    fail(["eval", "--model", "embedded:tiny", "--data", "hf://models/a/b", "--samples", "1"], &["hf://datasets/OWNER/NAME"]);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // A file in the place of a folder stops even a user who may do anything.
    let blocker = file(&folder, "file", "content");
    let inside = format!("{blocker}/run");
    fail(train_args(&inside, &[]), &["file"]);
    fail(["data", "make", "-n", "1", "--out", &format!("{blocker}/x.jsonl")], &["x.jsonl"]);
    // Where the results of long work go is checked before the work.
    let json = format!("{blocker}/x.json");
    let eval = ["eval", "--model", "embedded:tiny", "--data", "generator:division", "--samples", "1", "--json", &json];
    fail(eval, &["x.json"]);
    let quickstart = expo_rl(["quickstart", "--json", &json]);
    assert_eq!((quickstart.status.code(), text(&quickstart.stdout).as_str()), (Some(1), ""));
    assert_error(&text(&quickstart.stderr), &["x.json"]);
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(std::fs::read_to_string(&blocker).unwrap(), "content");
}

#[test]
fn a_folder_that_holds_a_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    succeed(train_args(out.to_str().unwrap(), &[]));
    fail(train_args(out.to_str().unwrap(), &[]), &["already holds a run"]);
}

/// A full disk, played by a limit on the size of files.
#[cfg(unix)]
#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("problems.jsonl");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_expo-rl")])
        .args(["data", "make", "-n", "5000", "--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_error(&text(&output.stderr), &["problems.jsonl", "write"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
    // The same with the weights of a run: the run's folder keeps its records, but no half-written model.
    let run = folder.path().join("run");
    let output = Command::new("sh")
        .current_dir(root())
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_expo-rl")])
        .args(train_args(run.to_str().unwrap(), &[]))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_error(&text(&output.stderr), &["model"]);
    assert!(!names(&run).iter().any(|name| name.contains("model")), "{:?}", names(&run));
    // And with its records: only whole lines.
    for blocks in ["1", "32"] {
        let run = folder.path().join(format!("records-{blocks}"));
        let output = Command::new("sh")
            .current_dir(root())
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", blocks, env!("CARGO_BIN_EXE_expo-rl")])
            .args(train_args(run.to_str().unwrap(), &["train.steps=40"]))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_error(&text(&output.stderr), &["write"]);
        // Where run.json (some 6 KB) doesn't fit, nothing stays; else lines stop at a whole one.
        let records = ["metrics.jsonl", "completions.jsonl"].map(|name| std::fs::read_to_string(run.join(name)).unwrap_or_default());
        assert_eq!(run.exists(), blocks == "32");
        assert_eq!(records.iter().any(|text| !text.is_empty()), blocks == "32");
        for text in records {
            assert!(text.is_empty() || text.ends_with('\n'));
            assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let message = fail(
        train_args(out.to_str().unwrap(), &["train.steps=4", "optim.learning_rate=1e38", "optim.max_grad_norm=0"]),
        &["step", "finite"],
    );
    let left = names(&out);
    assert!(left.iter().any(|name| name.contains("finite")), "no batch for inspection in {left:?} after {message}");
}

#[test]
fn configurations_with_mistakes_tell_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bad.toml", "[train]\nstep = 3\nsave_every = -1\n[rollout]\ntop_p = 0.9\n[optimizer]\nlr = 1\n");
    let output = expo_rl(["train", &path, "--set", "train.recipe=expo"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in [
        "5 problems",
        "bad.toml:2: unknown key train.step; did you mean train.steps?",
        "bad.toml:3: train.save_every: found -1",
        "bad.toml:5: rollout.top_p: found 0.9",
        "bad.toml:7: unknown key optimizer.lr; PyTorch's lr is optim.learning_rate here: optim.learning_rate = 1",
        "--set: train.recipe: found \"expo\", expected one of",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    fail(["train", "no-such.toml"], &["no-such.toml", "cannot read"]);
}

#[test]
fn external_rewards_that_fail() {
    // Found before the run begins.
    train_fails(&["reward.external.own.command=[\"no/such/program\"]"], &["reward.external.own", "cannot start `no/such/program`"]);
    let key = ["reward.external.own.url=http://127.0.0.1:9/", "reward.external.own.api_key_env=NO_SUCH_VARIABLE_HERE"];
    train_fails(&key, &["reward.external.own", "NO_SUCH_VARIABLE_HERE"]);
    let mistakes = expo_rl(["train", "configs/grpo-tiny.toml", "--set", "reward.external.own.timeout=0"]);
    let message = text(&mistakes.stderr);
    assert!(message.contains("--set: reward.external.own.timeout: found 0, expected a number above 0"), "{message}");
    assert!(message.contains("reward.external.own: neither `command` nor `url` is set"), "{message}");
    // Found in the first step: the command ends, hangs, or prints something else.
    let cases: [(&str, &[&str]); 3] = [
        ("echo no module named x >&2; exit 2", &["ended (exit status: 2)", "no module named x", "2 attempts"]),
        ("exec sleep 1000", &["answered 0 of 2 rows within 0.3 s"]),
        ("echo ready; cat", &["\"ready\", which is not JSON"]),
    ];
    for (script, parts) in cases {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let command = format!("reward.external.own.command=[\"sh\", \"-c\", \"{script}\"]");
        let more = [command.as_str(), "reward.external.own.timeout=0.3", "reward.external.own.max_retries=1"];
        // The interpreter of the first case may need longer than the second's limit.
        let more = if script.starts_with("exec") { &more[..] } else { &[more[0], more[2]][..] };
        fail(train_args(out.to_str().unwrap(), more), parts);
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        vec!["trian"],
        vec![],
        vec!["data", "make", "--level", "6"],
        vec!["generate", "--model", "embedded:tiny"],
        vec!["generate", "--model", "embedded:tiny", "--prompt", "1", "--temperature", "-1"],
        vec!["eval", "--model", "embedded:tiny", "--data", "x", "--samples", "2", "--k", "4"],
        vec!["--threads", "0", "docs", "commands"],
    ] {
        let output = expo_rl(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_expo-rl"))
        .args(["data", "make", "-n", "20000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
