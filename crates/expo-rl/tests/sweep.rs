//! Sweeps, end to end, on the model in the binary.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{fail, root, succeed, text};

/// A sweep file in `folder`: two seeds of runs of two small steps, and an evaluation.
fn sweep_file(folder: &Path, more: &str) -> String {
    let base = root().join("configs/exp-grpo-tiny.toml");
    let text = format!(
        "base = {base:?}\nseeds = [0, 1]\n[set]\ntrain.steps = 2\ntrain.prompts_per_step = 2\neval.data = \"generator:division\"\neval.levels = [1]\neval.limit = 4\neval.every = 1\neval.at_start = true\nrollout.num_generations = 2\n\
         rehearsal.documents_per_step = 2\ndata.levels = [1]\nexp.metrics_every = 1\n\
         [[eval]]\nname = \"held out\"\ndata = \"generator:division\"\nlimit = 4\nsamples = 2\nk = [1, 2]\nby = \"level\"\n\
         set.data.levels = [1, 3]\n\
         [report]\nmetrics = [\"reward/mean\", \"exp/nll_explanation\"]\nagainst_step = [\"eval/pass@1\"]\n\
         curves = [\"loss\"]\n{more}"
    );
    let path = folder.join("small.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What a sweep found, without timings.
fn results(out: &Path) -> (String, String, Value) {
    let mut json: Value = serde_json::from_str(&read(out.join("sweep.json"))).unwrap();
    for run in json["runs"].as_array_mut().unwrap() {
        run.as_object_mut().unwrap().remove("seconds");
    }
    (read(out.join("sweep.md")), read(out.join("curves.csv")), json)
}

/// An arm whose reward is a shell script that answers the first step's four rollouts at once, and those of the second when the file `go` exists: its runs get as far as their first
/// checkpoint, and go on when the test lets them.
#[cfg(unix)]
fn waiting_arm(go: &Path) -> String {
    let script = format!(
        r#"n=0; while IFS= read -r row; do if [ $n -ge 4 ]; then until [ -e '{}' ]; do sleep 0.02; done; fi; n=$((n + 1))
id=${{row#*\"id\":}}; id=${{id%%,*}}; echo "{{\"id\": $id, \"reward\": 0.5}}"; done"#,
        go.display()
    );
    format!(
        "[[arm]]\nname = \"plain\"\n[[arm]]\nname = \"waiting\"\nset.train.save_every = 1\nset.train.save_async = false\n\
         set.reward.external.own.command = [\"sh\", \"-c\", '''{script}''']\n"
    )
}

#[cfg(unix)]
#[test]
fn a_sweep_that_was_stopped_gives_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let [go, through, stopped] = ["go", "through", "stopped"].map(|name| folder.path().join(name));
    let file = sweep_file(folder.path(), &waiting_arm(&go));
    std::fs::write(&go, "").unwrap();
    let stdout = succeed(["sweep", &file, "--out", through.to_str().unwrap(), "--jobs", "2"]);
    assert!(stdout.contains("eval/pass@1 against step"), "{stdout}");

    std::fs::remove_file(&go).unwrap();
    let args = ["sweep", &file, "--out", stopped.to_str().unwrap(), "--jobs", "1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_expo-rl"));
    let mut child = command.current_dir(root()).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let waiting = stopped.join("waiting/seed-0");
    let start = Instant::now();
    while !waiting.join("checkpoints/step-000001").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "the third run has no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    // While it works, a second sweep keeps away.
    fail(args, &["still works in this folder"]);
    // The first signal asks the run to end its step, which it can't; a further one does not wait for it.
    while child.try_wait().unwrap().is_none() {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = child.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{message}");
    assert!(message.contains("the same command goes on"), "{message}");
    assert!(!stopped.join("sweep.json").exists());

    let made = || std::fs::metadata(stopped.join("plain/seed-0/model/model.safetensors")).unwrap().modified().unwrap();
    // With its timings: they tell whether a step was made again.
    let first_steps = || read(waiting.join("metrics.jsonl")).lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    let before = (made(), first_steps());
    assert_eq!(before.1.len(), 2, "the evaluation before the first step, and that");
    let listed = succeed(["sweep", &file, "--out", stopped.to_str().unwrap(), "--dry-run"]);
    let states: Vec<&str> = listed.lines().skip(2).take(4).map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(states, ["done", "done", "unfinished", "new"], "{listed}");
    std::fs::write(&go, "").unwrap();
    succeed(args);
    assert_eq!((made(), first_steps()), before, "what was done was done again");
    assert_eq!(results(&stopped), results(&through));
}

#[test]
fn a_failed_run_stops_no_other_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (out, problems) = (folder.path().join("out"), folder.path().join("problems.jsonl"));
    let broken = format!("[[arm]]\nname = \"broken\"\nseeds = [5]\nset.data.train = {problems:?}\nset.exp.explainer = \"current\"\n");
    let start = "[[arm]]\nname = \"start\"\ntrain = false\nseeds = [0]\n[[arm]]\nname = \"good\"\nseeds = [3]\n";
    let file = sweep_file(folder.path(), &format!("{broken}{start}"));
    let args = ["sweep", &file, "--out", out.to_str().unwrap()];
    let message = fail(args, &["1 of 3 runs failed: broken/seed-5"]);
    assert!(message.contains("broken/seed-5: failed: ") && message.contains("problems.jsonl"), "{message}");
    let markdown = read(out.join("sweep.md"));
    assert!(markdown.contains("`broken/seed-5` failed") && markdown.contains("| broken | - | - | - |"), "{markdown}");

    std::fs::write(&problems, "{\"question\": \"12/3?\", \"answer\": \"4\", \"level\": 1}\n").unwrap();
    let table = succeed(args);
    assert!(table.contains("held out: pass@1\n") && table.contains("Metrics at the end of training"), "{table}");
    let (markdown, curves, json) = results(&out);
    assert!(!markdown.contains("failed") && json["runs"][0]["failure"].is_null());
    // The good arm's figures are those of its own evaluation and metrics.
    let kept: Value = serde_json::from_str(&read(out.join("good/seed-3/eval/held-out.json"))).unwrap();
    let all = &json["tables"][0];
    assert_eq!(all["columns"], serde_json::json!(["level 1", "level 3", "all"]));
    assert_eq!(all["rows"][2]["cells"][2]["values"][0], kept["report"]["evaluations"][0]["pass@1"]["mean"]);
    let metrics = support::rows(&out.join("good/seed-3/metrics.jsonl"));
    let against = json["tables"].as_array().unwrap().iter().find(|table| table["title"] == "eval/pass@1 against step").unwrap();
    let steps: Vec<&str> = against["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((&against["columns"][1], &steps[..]), (&"good".into(), &["0", "1", "2"][..]), "before the first step, after each");
    assert_eq!(against["rows"][2]["cells"][1]["mean"], metrics[2]["eval/pass@1"]);
    assert!(curves.contains(&format!("\nloss,good,1,{},,1\n", metrics[1]["loss"])), "{curves}");

    // Another configuration is not mixed with what is there.
    sweep_file(folder.path(), &format!("{broken}{start}set.train.steps = 3\n"));
    fail(args, &["good/seed-3: was begun with train.steps = 2, now 3"]);
    let file = sweep_file(folder.path(), start);
    // One that was interrupted before it began is none's.
    std::fs::create_dir_all(folder.path().join("foreign/good/seed-3/eval")).unwrap();
    std::fs::write(folder.path().join("foreign/good/seed-3/sweep-run.json.77.tmp"), "{").unwrap();
    succeed(["sweep", &file, "--out", folder.path().join("foreign").to_str().unwrap(), "--dry-run"]);
    std::fs::write(folder.path().join("foreign/good/seed-3/notes.txt"), "mine").unwrap();
    fail(["sweep", &file, "--out", folder.path().join("foreign").to_str().unwrap()], &["good/seed-3: exists, but is not a sweep's run"]);
}
