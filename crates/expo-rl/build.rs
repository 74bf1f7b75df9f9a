//! Tells the program its commit, target and features, for `--version` and `run.json`.

use std::path::Path;
use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The commit that `cargo package` wrote down, where the sources are a package.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let hash = text.split_once("\"sha1\"")?.1.split('"').nth(1)?;
    hash.get(..12).map(str::to_owned)
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let in_workspace = Path::new("../../.git").exists();
    let commit = packaged().or_else(|| if in_workspace { git(&["rev-parse", "--short=12", "HEAD"]) } else { None });
    // It moves with every commit, in a worktree, too.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|_| in_workspace) {
        println!("cargo:rerun-if-changed={log}");
    }
    let target = std::env::var("TARGET").unwrap_or_default();
    let on = |name: &&str| std::env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))).is_some();
    let features: Vec<&str> = ["fault-injection"].into_iter().filter(on).collect();
    let described = |name: &str, value: &str| println!("cargo:rustc-env={name}={value}");
    described("EXPO_RL_COMMIT", commit.as_deref().unwrap_or_default());
    described("EXPO_RL_TARGET", &target);
    described("EXPO_RL_FEATURES", &features.join(" "));
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = commit.map_or_else(|| "commit unknown".to_owned(), |commit| format!("commit {commit}"));
    let features = if features.is_empty() { "no features".to_owned() } else { format!("features {}", features.join(" ")) };
    described("EXPO_RL_VERSION", &format!("{version} ({commit}, {target}, {features})"));
}
