//! Disks that are full or can't be written, at every write of a run; too little space; a clock that goes back.
//!
//! `EXPO_RL_FAULT_WRITES` sets at how many of the writes and renames (0: all; 12 evenly spread ones otherwise); scripts/fault-harness takes all.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use support::algorithms::{ALGORITHMS, Algorithm, assert_outcome, has_ended, outcome};
use support::{assert_error, names, text};

/// A folder for a test, the data that its runs read, and the files that an undisturbed run leaves.
struct Stage {
    algorithm: &'static Algorithm,
    folder: tempfile::TempDir,
    expected: std::collections::BTreeMap<String, Vec<u8>>,
    /// The points that it passed.
    passed: Vec<String>,
}

impl Stage {
    fn new(algorithm: &'static Algorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [data, whole, log] = ["data", "whole", "log"].map(|name| folder.path().join(name));
        std::fs::create_dir(&data).unwrap();
        let output = algorithm.command(&data, &whole, &[]).env("EXPO_RL_FAULT_LOG", &log).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let passed = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        Self { algorithm, expected: outcome(&whole), folder, passed }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn run(&self, environment: &[(&str, &str)]) -> Output {
        let mut command = self.algorithm.command(&self.folder.path().join("data"), &self.out(), &[]);
        command.arg("--resume").envs(environment.iter().copied()).output().expect("the binary runs")
    }

    /// The run goes on undisturbed, and ends as if it always had been.
    fn ends_well(&self, what: &str) {
        if !has_ended(&self.out()) {
            let output = self.run(&[]);
            assert!(output.status.success(), "{what}: {}", text(&output.stderr));
        }
        assert_outcome(&self.expected, &self.out(), what);
        std::fs::remove_dir_all(self.out()).unwrap();
    }

    /// `action` at each of the points of this `kind`, or at some.
    fn survives(&self, kind: &str, action: &str, told: &str) {
        let count = self.passed.iter().filter(|point| *point == kind).count();
        let some = std::env::var("EXPO_RL_FAULT_WRITES").map_or(12, |text| text.parse::<usize>().expect("EXPO_RL_FAULT_WRITES: a number"));
        let points = if some == 0 { count } else { some.min(count) };
        for point in 0..points {
            // The first and the last among them.
            let at = 1 + point * (count - 1) / (points - 1).max(1);
            let what = format!("{}: {action} at {kind} {at} of {count}", self.algorithm.name);
            let output = self.run(&[("EXPO_RL_FAULT", &format!("{kind}:{at}:{action}"))]);
            assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output.stderr));
            assert_error(&text(&output.stderr), &[told, self.out().to_str().unwrap()]);
            self.ends_well(&what);
        }
        println!("{}: {action} at {points} of {count} points of the kind {kind}; all runs went on and ended well", self.algorithm.name);
    }
}

fn all_or_one() -> &'static [Algorithm] {
    let all = std::env::var("EXPO_RL_FAULT_WRITES").is_ok_and(|text| text == "0");
    if all { &ALGORITHMS } else { &ALGORITHMS[..1] }
}

#[test]
fn a_full_disk_costs_no_finished_step() {
    for algorithm in all_or_one() {
        Stage::new(algorithm).survives("write", "full", "no storage space");
    }
}

#[test]
fn a_disk_that_becomes_read_only_costs_no_finished_step() {
    for algorithm in all_or_one() {
        let stage = Stage::new(algorithm);
        stage.survives("write", "readonly", "read-only");
        stage.survives("rename", "readonly", "read-only");
    }
}

#[test]
fn without_space_no_checkpoint_is_begun_and_the_run_goes_on() {
    let stage = Stage::new(&ALGORITHMS[0]);
    let output = stage.run(&[("EXPO_RL_FAULT_FREE", "1000000")]);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    let told = [
        "no checkpoint was written: ",
        "a checkpoint needs ",
        " MiB, but 0.9 MiB are free; make room, or keep fewer with train.save_total_limit",
    ];
    assert!(told.iter().all(|part| message.contains(part)), "{message}");
    assert_eq!(names(&stage.out().join("checkpoints")), Vec::<String>::new());
    stage.ends_well("without space");
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let stage = Stage::new(&ALGORITHMS[0]);
    let output = stage.run(&[("EXPO_RL_FAULT", "step:3:abort")]);
    assert!(!output.status.success());
    // Twelve years, and to before 1970.
    let output = stage.run(&[("EXPO_RL_FAULT", "step:1:abort"), ("EXPO_RL_FAULT_CLOCK", "400000000")]);
    assert!(!output.status.success());
    let events = names(&stage.out().join("tensorboard"));
    let output = stage.run(&[("EXPO_RL_FAULT_CLOCK", "100000000000")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // TensorBoard reads files in the order of their names.
    let after = names(&stage.out().join("tensorboard"));
    assert_eq!((events.len(), after.len()), (2, 3), "{after:?}");
    assert_eq!(after[..2], events, "the newest is the last");
    stage.ends_well("a clock that goes back");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let stage = Stage::new(&ALGORITHMS[0]);
    let elsewhere = |out: &Path| {
        let output = stage.algorithm.command(&stage.folder.path().join("data"), out, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_error(&text(&output.stderr), &[out.to_str().unwrap(), "cannot create"]);
    };
    // No one may make a folder there, not even root.
    #[cfg(target_os = "linux")]
    elsewhere(Path::new("/proc/run"));
    #[cfg(unix)]
    {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let locked = stage.folder.path().join("locked");
        std::fs::create_dir(&locked).unwrap();
        set_permissions(&locked, Permissions::from_mode(0o555)).unwrap();
        if std::fs::write(locked.join("probe"), "").is_ok() {
            println!("skipped: this user may write everywhere (root?)");
        } else {
            elsewhere(&locked.join("run"));
        }
    }
}
