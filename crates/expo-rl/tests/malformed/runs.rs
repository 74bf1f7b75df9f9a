//! Run folders: a run that was killed after its fourth step, with something wrong in it when it is to go on; and what other commands say of such folders.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::algorithms::{ALGORITHMS, Algorithm};
use crate::support::{expo_rl, names, text};

/// Without a checkpoint that is still being written when it dies.
const SETS: &[&str] = &["train.save_async=false"];

fn grpo() -> &'static Algorithm {
    &ALGORITHMS[0]
}

/// The run, with checkpoints after its second and fourth steps.
static KILLED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut command = grpo().command(folder.path(), &folder.path().join("run"), SETS);
    assert!(!command.env("EXPO_RL_FAULT", "step:5").output().unwrap().status.success());
    folder
});

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (from.join(entry.as_ref().unwrap().file_name()), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { std::fs::copy(&from, &to).map(drop).unwrap() }
    }
}

/// A copy of the run, changed.
fn changed(change: impl FnOnce(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(KILLED.path(), folder.path());
    change(&folder.path().join("run"));
    folder
}

fn error_of(folder: &TempDir, output: &std::process::Output) -> String {
    let printed = text(&output.stderr).replace(folder.path().to_str().unwrap(), "FOLDER");
    assert_eq!(output.status.code(), Some(1), "{printed}");
    printed.split_once("error: ").unwrap_or_else(|| panic!("{printed}")).1.trim_end().to_owned()
}

/// After `change` the run can't go on, and nothing of it is touched.
fn refused(change: impl FnOnce(&Path), message: &str) {
    let folder = changed(change);
    let run = folder.path().join("run");
    let content = || names(&run).into_iter().filter(|name| name != "run.lock").collect::<Vec<_>>();
    let checkpoints = || if run.join("checkpoints").is_dir() { names(&run.join("checkpoints")) } else { Vec::new() };
    let before = (content(), checkpoints());
    let output = grpo().command(folder.path(), &run, SETS).arg("--resume").output().unwrap();
    assert_eq!(error_of(&folder, &output), message);
    assert_eq!((content(), checkpoints()), before, "{message}");
}

/// After `change` the run goes on and says `notice`.
fn goes_on(change: impl FnOnce(&Path), notice: &str) {
    let folder = changed(change);
    let output = grpo().command(folder.path(), &folder.path().join("run"), SETS).output().unwrap();
    let printed = text(&output.stderr).replace(folder.path().to_str().unwrap(), "FOLDER");
    assert!(output.status.success() && printed.contains(notice), "{notice:?}\n{printed}");
}

/// Both of the run's checkpoints are damaged in the same way.
fn every_checkpoint(damage: &str) -> String {
    let [two, four] = ["FOLDER/run/checkpoints/step-000002", "FOLDER/run/checkpoints/step-000004"];
    format!(
        "{four}: every checkpoint of the run is damaged: {four} ({damage}), {two} ({damage}); remove FOLDER/run/checkpoints to start the run from its beginning"
    )
}

/// The newer checkpoint is whole and still can't be used.
fn unreadable(what: &str) -> String {
    let newest = "FOLDER/run/checkpoints/step-000004";
    format!("{newest}{what}; go on with the version that wrote it, or remove {newest} to go on from the one before")
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// `change` to the same file of both checkpoints, whose manifests then don't list it.
fn edit_unseen(run: &Path, name: &str, change: impl Fn(&Path)) {
    for step in ["step-000002", "step-000004"] {
        let checkpoint = run.join("checkpoints").join(step);
        change(&checkpoint.join(name));
        edit(&checkpoint.join("checkpoint.json"), |manifest| drop(manifest["files"].as_object_mut().unwrap().remove(name)));
    }
}

#[test]
fn the_record_of_a_run() {
    let record = |content: &'static str| move |run: &Path| std::fs::write(run.join("run.json"), content).unwrap();
    let edited = |change: fn(&mut Value)| move |run: &Path| edit(&run.join("run.json"), change);
    refused(
        record(""),
        "FOLDER/run/run.json: can't be read (EOF while parsing a value at line 1 column 0), so the run in this folder can't go on; choose another folder",
    );
    refused(
        record("[1]"),
        "FOLDER/run/run.json: this folder already holds a run of a version that could not go on with it; choose another one or remove it",
    );
    refused(
        record("{}"),
        "FOLDER/run/run.json: this folder already holds a run of a version that could not go on with it; choose another one or remove it",
    );
    refused(
        edited(|run| run["finished"] = json!("no")),
        "FOLDER/run/run.json: this folder already holds a run of a version that could not go on with it; choose another one or remove it",
    );
    refused(
        edited(|run| run["finished"] = json!(true)),
        "FOLDER/run/run.json: this folder already holds a run, which has ended; choose another one or remove it, or raise train.steps and give --resume",
    );
    refused(
        edited(|run| run["config"] = Value::Null),
        "FOLDER/run/run.json: has no `config`, so the run in this folder can't go on; choose another folder",
    );
    refused(
        edited(|run| run["config"]["train"]["seed"] = json!("x")),
        "FOLDER/run/run.json: the run in this folder has another configuration, so it can't go on with this one: train.seed: \"x\" in the run, 0 now; use its own configuration, or another folder",
    );
    refused(
        edited(|run| run["config"]["grpo"]["beta"] = json!(0.5)),
        "FOLDER/run/run.json: the run in this folder has another configuration, so it can't go on with this one: grpo.beta: 0.5 in the run, 0.1 now; use its own configuration, or another folder",
    );
    refused(
        edited(|run| run["problems"] = json!(7)),
        "FOLDER/run/run.json: the run began with 7 problems, now there are 64; it can only go on with the same data",
    );
    refused(
        |run| std::fs::rename(run.join("run.json"), run.join("run.json.old")).unwrap(),
        "FOLDER/run/metrics.jsonl: this folder already holds a run; choose another one or remove it",
    );
    refused(
        |run| {
            std::fs::remove_file(run.join("run.json")).unwrap();
            std::fs::create_dir(run.join("run.json")).unwrap();
        },
        "FOLDER/run/run.json: this folder already holds a run; choose another one or remove it",
    );
    refused(
        |run| {
            std::fs::remove_file(run.join("run.lock")).unwrap();
            std::fs::create_dir(run.join("run.lock")).unwrap();
        },
        "FOLDER/run/run.lock: cannot open: Is a directory (os error 21)",
    );
}

#[test]
fn checkpoints_of_a_run() {
    let both = |change: fn(&Path)| {
        move |run: &Path| ["step-000002", "step-000004"].map(|step| change(&run.join("checkpoints").join(step))).into_iter().collect()
    };
    refused(
        both(|checkpoint| std::fs::remove_file(checkpoint.join("checkpoint.json")).unwrap()),
        &every_checkpoint("checkpoint.json can't be read: No such file or directory (os error 2)"),
    );
    refused(
        both(|checkpoint| std::fs::write(checkpoint.join("checkpoint.json"), "{").unwrap()),
        &every_checkpoint("checkpoint.json can't be read: EOF while parsing an object at line 1 column 1"),
    );
    refused(
        both(|checkpoint| std::fs::write(checkpoint.join("config.json"), "").unwrap()),
        &every_checkpoint("config.json has 0 bytes instead of 582"),
    );
    refused(
        both(|checkpoint| {
            edit(&checkpoint.join("checkpoint.json"), |manifest| manifest["files"]["../run.json"] = json!({"bytes": 1, "sha256": ""}))
        }),
        &every_checkpoint("checkpoint.json names \"../run.json\", which is no path within the checkpoint"),
    );
    refused(
        both(|checkpoint| edit(&checkpoint.join("checkpoint.json"), |manifest| manifest["files"]["state/state.json"]["bytes"] = json!(-1))),
        &every_checkpoint("checkpoint.json can't be read: invalid value: integer `-1`, expected u64 at line 1 column 892"),
    );
    refused(
        both(|checkpoint| edit(&checkpoint.join("checkpoint.json"), |manifest| manifest["format"] = json!(2))),
        "FOLDER/run/checkpoints/step-000004/checkpoint.json: has format 2, this version reads up to 1; go on with the version that wrote it",
    );
    refused(
        |run| {
            std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
            std::fs::write(run.join("checkpoints"), "").unwrap();
        },
        "FOLDER/run/checkpoints: cannot read: Not a directory (os error 20)",
    );
    goes_on(
        |run| std::fs::remove_dir_all(run.join("checkpoints")).unwrap(),
        "note: the run has no checkpoint yet: it starts at its beginning",
    );
    goes_on(
        |run| std::fs::remove_file(run.join("checkpoints/step-000004/model.safetensors")).unwrap(),
        "note: FOLDER/run/checkpoints/step-000004 is damaged (model.safetensors can't be read: No such file or directory (os error 2)); it is now FOLDER/run/checkpoints/step-000004.damaged, and the one before is used",
    );
    goes_on(
        |run| std::fs::rename(run.join("checkpoints/step-000004"), run.join("checkpoints/step-000005")).unwrap(),
        "note: FOLDER/run/checkpoints/step-000005 is damaged (its name is not that of step 4, after which it was written); it is now FOLDER/run/checkpoints/step-000005.damaged, and the one before is used",
    );
    goes_on(|run| std::fs::remove_file(run.join("metrics.jsonl")).unwrap(), "note: FOLDER/run/metrics.jsonl has lost its end: 0 bytes of ");
}

/// Contents that their writer can't have meant, behind right checksums.
#[test]
fn states_of_a_run() {
    let state = |change: fn(&mut Value)| move |run: &Path| edit_unseen(run, "state/state.json", |path| edit(path, change));
    refused(
        |run| edit_unseen(run, "state/state.json", |path| std::fs::write(path, "nothing").unwrap()),
        &unreadable("/state/state.json: is not valid JSON (expected ident at line 1 column 2)"),
    );
    refused(
        state(|state| state["step"] = json!("four")),
        &unreadable("/state/state.json: a part of the run's state can't be read: invalid type: string \"four\", expected usize"),
    );
    refused(
        state(|state| state["parts"] = json!([])),
        &unreadable("/state/state.json: a part of the run's state can't be read: invalid type: sequence, expected a map"),
    );
    refused(
        state(|state| drop(state["parts"].as_object_mut().unwrap().remove("order"))),
        &unreadable(": the checkpoint has no part `order`"),
    );
    refused(
        state(|state| state["parts"]["order"]["credit"] = json!("much")),
        &unreadable(
            ": the checkpoint's part `order`: a part of the run's state can't be read: invalid type: string \"much\", expected a sequence",
        ),
    );
    refused(
        state(|state| state["parts"]["questions_drawn"] = json!(-1)),
        &unreadable(
            ": the checkpoint's part `questions_drawn`: a part of the run's state can't be read: invalid value: integer `-1`, expected usize",
        ),
    );
    refused(
        state(|state| state["logs"]["metrics.jsonl"] = json!("end")),
        &unreadable("/state/state.json: a part of the run's state can't be read: invalid type: string \"end\", expected u64"),
    );
    let moments = "state/adamw_first_moments.safetensors";
    refused(
        |run| edit_unseen(run, moments, |path| std::fs::remove_file(path).unwrap()),
        &unreadable(
            ": FOLDER/run/checkpoints/step-000004/state/adamw_first_moments.safetensors: cannot open: No such file or directory (os error 2)",
        ),
    );
    refused(
        |run| edit_unseen(run, moments, |path| std::fs::write(path, b"\x02\0\0\0\0\0\0\0{}").unwrap()),
        &unreadable(
            ": FOLDER/run/checkpoints/step-000004/state/adamw_first_moments.safetensors: no tensor model.embed_tokens.weight (expected with shape [33, 64]); the run's state and its model must belong together",
        ),
    );
}

#[test]
fn a_report_of_a_broken_run_says_what_it_left_out() {
    let noted = |change: &dyn Fn(&Path), notes: &str| {
        let folder = changed(change);
        let place = folder.path().to_str().unwrap();
        let output = expo_rl(["report".to_owned(), format!("{place}/run"), "--out".to_owned(), format!("{place}/report.html")]);
        let printed = text(&output.stderr).replace(place, "FOLDER");
        assert!(output.status.success(), "{printed}");
        assert_eq!(printed.trim_end(), notes);
    };
    noted(
        &|run| std::fs::write(run.join("run.json"), "{").unwrap(),
        "note: run: run.json: not a JSON object (EOF while parsing an object at line 1 column 1); its configuration is not known\nFOLDER/report.html: 1 run",
    );
    noted(
        &|run| std::fs::write(run.join("metrics.jsonl"), "{}\n").unwrap(),
        "note: run: it has not ended: still going, or stopped\nnote: run: metrics.jsonl:1: not a row of a run; left out\nnote: run: metrics.jsonl: no step in it yet\nFOLDER/report.html: 1 run",
    );
    noted(
        &|run| std::fs::write(run.join("metrics.jsonl"), "no\n{\"step\":1}\n").unwrap(),
        "note: run: it has not ended: still going, or stopped\nnote: run: metrics.jsonl:1: not a row of a run; left out\nFOLDER/report.html: 1 run",
    );
    noted(
        &|run| std::fs::write(run.join("completions.jsonl"), "no\nno\n").unwrap(),
        "note: run: it has not ended: still going, or stopped\nnote: run: completions.jsonl: 2 lines are not rows of a run, the first of them line 1; left out\nFOLDER/report.html: 1 run",
    );
}

#[test]
fn what_is_no_run_or_no_model() {
    let told = |args: &[&str], change: &dyn Fn(&Path), message: &str| {
        let folder = changed(change);
        let place = folder.path().to_str().unwrap();
        let output = expo_rl(args.iter().map(|arg| arg.replace("FOLDER", place)));
        assert_eq!(error_of(&folder, &output), message);
    };
    told(
        &["report", "FOLDER/run", "--out", "FOLDER/report.html"],
        &|run| std::fs::remove_dir_all(run).unwrap(),
        "FOLDER/run: no such folder; name the folder of a run",
    );
    told(
        &["generate", "--model", "FOLDER/run", "--prompt", "12/3?"],
        &|run| std::fs::remove_dir_all(run.join("checkpoints")).unwrap(),
        "FOLDER/run is the folder of a run without a model: it has not ended, and no checkpoint is in FOLDER/run/checkpoints",
    );
    let empty = |run: &Path| std::fs::write(run.join("checkpoints/step-000004/model.safetensors"), "").unwrap();
    told(
        &["generate", "--model", "FOLDER/run/checkpoints/step-000004", "--prompt", "12/3?"],
        &empty,
        "FOLDER/run/checkpoints/step-000004/model.safetensors: is empty; download or export it again",
    );
}
