//! Stopping and going on, as a user sees it.
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::algorithms::{ALGORITHMS, Algorithm, assert_outcome, has_ended, outcome};
use support::{assert_error, names, text};

fn algorithm(name: &str) -> &'static Algorithm {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name).unwrap()
}

/// Waits until `done`, for at most a minute.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rows_written(out: &Path) -> usize {
    std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// A run of many steps, of which at least one is done.
fn start(algorithm: &Algorithm, data: &Path, out: &Path, sets: &[&str]) -> Child {
    let child = algorithm.command(data, out, sets).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a step", || rows_written(out) > 0);
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_signal_finishes_the_step_and_the_run_goes_on() {
    let (algorithm, folder) = (algorithm("exp-grpo"), tempfile::tempdir().unwrap());
    let (data, whole) = (folder.path(), folder.path().join("whole"));
    // Long enough to be stopped on the way, and shortened afterwards by none: a checkpoint far from any that is due.
    let sets = ["train.steps=60", "train.save_every=1000"];
    // Started by `nohup`, a test has its children ignore the end of the terminal.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let hangup = ignored.is_some_and(|mask| mask & 1 == 0).then_some(("-HUP", 129));
    for (name, code) in [("-INT", 130), ("-TERM", 143)].into_iter().chain(hangup) {
        let out = folder.path().join(name);
        let child = start(algorithm, data, &out, &sets);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        let steps = rows_written(&out);
        let checkpoint = format!("checkpoints/step-{steps:06}");
        assert!(message.contains(&format!("stopped after step {steps} of 60; the checkpoint is ")), "{message}");
        assert!(message.contains(&checkpoint) && message.contains("--resume"), "{message}");
        assert!(!has_ended(&out));
        // Beside the state lies a model like any other.
        let model = out.join(&checkpoint);
        let generated = support::succeed(["generate", "--model", model.to_str().unwrap(), "--prompt", "12/3?", "--temperature", "0"]);
        assert!(!generated.trim().is_empty());

        let output = algorithm.command(data, &out, &sets).output().unwrap();
        let message = text(&output.stderr);
        assert!(output.status.success() && message.contains(&format!("the run goes on after step {steps}, from ")), "{message}");
        if !whole.exists() {
            assert!(algorithm.command(data, &whole, &sets).status().unwrap().success());
        }
        let (expected, found) = (outcome(&whole), outcome(&out));
        let different: Vec<_> = expected.keys().filter(|name| expected.get(*name) != found.get(*name)).collect();
        assert!(different.is_empty() && expected.len() == found.len(), "{different:?}");
    }
}

/// As with `expo-rl train ... 2>&1 | tee log` and Ctrl-C, which ends `tee` at once.
#[test]
fn nobody_has_to_read_what_a_run_says() {
    let (algorithm, folder) = (algorithm("grpo"), tempfile::tempdir().unwrap());
    let out = folder.path().join("run");
    let mut child = start(algorithm, folder.path(), &out, &["train.steps=100000", "train.save_every=100000"]);
    drop(child.stderr.take());
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(&out.join("checkpoints")), [format!("step-{:06}", rows_written(&out))]);
}

#[test]
fn a_folder_that_is_renamed_ends_the_run() {
    let (algorithm, folder) = (algorithm("grpo"), tempfile::tempdir().unwrap());
    let [out, moved] = ["run", "moved"].map(|name| folder.path().join(name));
    let child = start(algorithm, folder.path(), &out, &["train.steps=100000"]);
    std::fs::rename(&out, &moved).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_error(&text(&output.stderr), &[out.to_str().unwrap(), "was removed or renamed while the run was at work in it"]);
    assert!(!out.exists(), "it is not made again");
}

/// Without care the system ends the process.
#[test]
fn a_file_that_may_not_grow_is_told() {
    let (algorithm, folder) = (algorithm("grpo"), tempfile::tempdir().unwrap());
    let command = algorithm.command(folder.path(), &folder.path().join("run"), &[]);
    let mut limited = Command::new("sh");
    // Blocks of 512 or 1024 bytes: less than a model either way.
    limited.args(["-c", "ulimit -f 700; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let output = limited.current_dir(support::root()).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_error(&message, &["model/model.safetensors: cannot write: File too large"]);
    assert!(message.contains("no checkpoint was written: ") && message.contains("there is none yet"), "{message}");
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_nothing_broken() {
    let (algorithm, folder) = (algorithm("grpo"), tempfile::tempdir().unwrap());
    let [whole, out, go, waiting] = ["whole", "run", "go", "waiting"].map(|name| folder.path().join(name));
    // A reward that answers when the file `go` exists: until then the second step can't end, whatever the first signal asks for.
    let script = folder.path().join("reward.sh");
    let text_of_script = format!(
        r#"n=0; while IFS= read -r row; do if [ $n -ge 4 ]; then : > '{}'; until [ -e '{}' ]; do sleep 0.02; done; fi; n=$((n + 1))
id=${{row#*\"id\":}}; id=${{id%%,*}}; echo "{{\"id\": $id, \"reward\": 0.5}}"; done"#,
        waiting.display(),
        go.display()
    );
    std::fs::write(&script, text_of_script).unwrap();
    let reward = format!("reward.external.own.command=[\"sh\", \"{}\"]", script.display());
    let sets = ["train.steps=4", "train.save_every=1", "train.save_async=false", &reward];
    let mut child = start(algorithm, folder.path(), &out, &sets);
    // The second step is under way.
    wait_until("the second step's rewards", || waiting.exists());
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the step");
    signal(&child, "-INT");
    wait_until("the end", || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), rows_written(&out)), (Some(130), 1), "{}", text(&output.stderr));
    std::fs::write(&go, "").unwrap();
    for path in [&out, &whole] {
        let output = algorithm.command(folder.path(), path, &sets).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(outcome(&whole) == outcome(&out));
}

#[test]
fn one_process_at_a_time() {
    let (algorithm, folder) = (algorithm("sft"), tempfile::tempdir().unwrap());
    let out = folder.path().join("run");
    let mut child = start(algorithm, folder.path(), &out, &["train.steps=100000"]);
    let output = algorithm.command(folder.path(), &out, &["train.steps=100000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_error(&text(&output.stderr), &["run.lock", &format!("in use by process {} on ", child.id())]);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its lock is left behind and does not hold.
    let next = algorithm.command(folder.path(), &out, &["train.steps=100000"]).stderr(Stdio::piped()).spawn().unwrap();
    let before = rows_written(&out);
    wait_until("the run goes on", || rows_written(&out) > before.max(1));
    signal(&next, "-TERM");
    let message = text(&next.wait_with_output().unwrap().stderr);
    assert!(message.contains("ended without releasing this folder; taken over"), "{message}");
}

/// So that it is known which checkpoints there are when a run dies.
const WAITING: &[&str] = &["train.save_async=false"];

#[test]
fn damage_and_changes_are_named() {
    let (algorithm, folder) = (algorithm("dpo"), tempfile::tempdir().unwrap());
    let [whole, out] = ["whole", "run"].map(|name| folder.path().join(name));
    let run = |out: &Path, more: &[&str], resume: bool| {
        let mut command = algorithm.command(folder.path(), out, &[more, WAITING].concat());
        command.args(resume.then_some("--resume")).output().unwrap()
    };
    // A run that begins with --resume, and dies after its last step.
    let mut dying = algorithm.command(folder.path(), &out, WAITING);
    assert!(!dying.arg("--resume").env("EXPO_RL_FAULT", "step:5").output().unwrap().status.success());
    assert_eq!(names(&out.join("checkpoints")), ["step-000002", "step-000004"]);

    let output = run(&out, &["train.seed=1", "train.save_every=3"], true);
    assert_eq!(output.status.code(), Some(1));
    assert_error(&text(&output.stderr), &["run.json", "train.seed: 0 in the run, 1 now"]);

    let weights = out.join("checkpoints/step-000004/state/policy.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&weights, bytes).unwrap();
    let output = run(&out, &["train.save_every=3"], false);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    for part in [
        "step-000004 is damaged (state/policy.safetensors is not what was written",
        "the one before is used",
        "the run goes on after step 2, from",
        "changed: train.save_every: 2 in the run, 3 now",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(algorithm.run(folder.path(), &whole).status.success());
    assert_outcome(&outcome(&whole), &out, "damaged");
    let record: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["resumed"][0]["changes"][0], "train.save_every: 2 in the run, 3 now");

    // It has ended.
    let output = run(&out, &["train.save_every=3"], true);
    assert_error(&text(&output.stderr), &["already holds a run, which has ended"]);
    // The data is not what it was.
    let mut dying = algorithm.command(folder.path(), &folder.path().join("other"), WAITING);
    assert!(!dying.env("EXPO_RL_FAULT", "step:3").output().unwrap().status.success());
    let pairs = folder.path().join("pairs.jsonl");
    let text_of_pairs = std::fs::read_to_string(&pairs).unwrap();
    std::fs::write(&pairs, text_of_pairs.replacen("12/", "13/", 1)).unwrap();
    let output = run(&folder.path().join("other"), &[], false);
    assert_error(&text(&output.stderr), &["pairs.jsonl has changed since the run began"]);
}
