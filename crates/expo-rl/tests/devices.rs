//! `expo-rl devices`: plugins that are found, that are none, and that misbehave.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary in an environment without any plugin, and with `variables`.
fn devices(home: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expo-rl"));
    for name in ["EXPO_RL_PJRT_PLUGIN", "EXPO_RL_PJRT_DIR", "XDG_DATA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "PATH"] {
        command.env_remove(name);
    }
    command.env("HOME", home).envs(variables.iter().copied()).arg("devices").args(arguments).output().expect("the binary runs")
}

/// Says, past the harness, why a test is skipped.
fn skip(reason: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "a test is skipped: {reason}");
}

/// A plugin that misbehaves, as the client's tests have it; `None` (and a message) without a C compiler.
fn fake(folder: &Path, behaviour: &str) -> Option<PathBuf> {
    let source = support::root().join("crates/expo-xla/tests/support/fake.c");
    let path = folder.join(format!("fake-{behaviour}.so"));
    match Command::new("cc").arg(format!("-DBEHAVIOUR={behaviour}")).args(["-shared", "-fPIC", "-o"]).arg(&path).arg(source).status() {
        Ok(status) => {
            assert!(status.success(), "cc refuses fake.c");
            Some(path)
        }
        Err(error) => {
            skip(&format!("no C compiler (cc: {error})"));
            None
        }
    }
}

fn stdout(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", support::text(&output.stderr));
    support::text(&output.stdout)
}

#[test]
fn without_plugins_the_machine_is_told_in_few_words() {
    let home = tempfile::tempdir().unwrap();
    let output = devices(home.path(), &[], &[]);
    assert_eq!(output.status.code(), Some(0));
    // A line for each accelerator that the machine may have, else one.
    let text = stdout(&output);
    let gpu = text.contains(" is here, but no plugin that drives it");
    assert!(gpu || (text.lines().count() == 1 && text.starts_with("no PJRT plugin and no GPU or TPU found")), "{text}");
}

#[test]
fn a_plugin_that_is_named_and_does_not_work_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.so");
    let no_library = home.path().join("text.so");
    std::fs::write(&no_library, "some words\n").unwrap();
    for (path, words) in [(&missing, "can't be loaded as a PJRT plugin: No such file"), (&no_library, "can't be loaded as a PJRT plugin: ")]
    {
        let output = devices(home.path(), &["--plugin", path.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(1));
        let text = stdout(&output);
        assert!(text.starts_with(&format!("{} (named)\n  {words}", path.display())), "{text}");
        let output = devices(home.path(), &[], &[("EXPO_RL_PJRT_PLUGIN", path)]);
        assert_eq!(output.status.code(), Some(1));
        let text = stdout(&output);
        assert!(text.starts_with(&format!("{} (EXPO_RL_PJRT_PLUGIN)\n  {words}", path.display())), "{text}");
    }
}

#[test]
fn a_plugin_that_ends_its_process_is_told_with_its_last_words() {
    let home = tempfile::tempdir().unwrap();
    let Some(aborts) = fake(home.path(), "ABORTS") else { return };
    let output = devices(home.path(), &["--plugin", aborts.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    // What it told before stands.
    assert!(text.contains("\n  PJRT C API 0.81\n"), "{text}");
    assert!(text.contains("\n  it ended the process that looked at it (signal: 6 (SIGABRT)); its last words: F0000 "), "{text}");
    assert!(text.contains("Check failed: device != nullptr  [31m(no device)\n"), "{text:?}");
    // A flood of words stops nobody, and the last ones are kept.
    let chatters = fake(home.path(), "CHATTERS").unwrap();
    let output = devices(home.path(), &["--plugin", chatters.to_str().unwrap()], &[]);
    let text = stdout(&output);
    assert!(
        text.contains("it ended the process that looked at it (exit status: 3); its last words: ") && text.contains("the last words\n"),
        "{text}"
    );
}

#[test]
fn a_plugin_that_hangs_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let Some(hangs) = fake(home.path(), "HANGS") else { return };
    let output = devices(home.path(), &["--timeout", "1", "--plugin", hangs.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("\n  no answer after 1 s; the process that looked at it was ended, without a word\n"), "{text}");
}

#[test]
fn other_libraries_among_pythons_packages_are_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let packages = home.path().join("venv/lib/python3.11/site-packages/jax_plugins/xla_fake");
    std::fs::create_dir_all(&packages).unwrap();
    let Some(refuses) = fake(&packages, "REFUSES") else { return };
    let library = packages.join("other.so");
    let source = home.path().join("other.c");
    std::fs::write(&source, "int other(void) { return 1; }\n").unwrap();
    assert!(Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap().success());
    let output = devices(home.path(), &[], &[("VIRTUAL_ENV", &home.path().join("venv"))]);
    // It was found, not named: no error.
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.starts_with(&format!("{} (", refuses.display())), "{text}");
    assert!(text.contains("\n  initialising: FAILED_PRECONDITION: the driver is older than this plugin\n"), "{text}");
    assert!(!text.contains("other.so"), "{text}");
}

#[test]
fn a_cpu_plugin_shows_its_device() {
    let Some(plugin) = std::env::var_os("EXPO_RL_PJRT_PLUGIN").filter(|path| !path.is_empty()) else {
        skip("no PJRT plugin. Get one: export EXPO_RL_PJRT_PLUGIN=$(scripts/get-pjrt.sh cpu)");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let output = devices(home.path(), &[], &[("EXPO_RL_PJRT_PLUGIN", Path::new(&plugin))]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("stablehlo_current_version 1.") && text.contains("\n  platform cpu: "), "{text}");
    assert!(text.contains("\n  devices 0 to 3: cpu, "), "{text}");
    assert!(text.ends_with("Training does not use these devices yet: every command computes on the CPU by itself.\n"), "{text}");
}
