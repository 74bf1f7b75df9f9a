//! The commands of docs/tutorial.md are run, in order, as they stand there.

mod support;

use std::path::Path;
use std::process::Command;

use support::{root, text};

/// The contents of fenced blocks, in order, each with what stands behind its fence.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (None, Some((_, content))) => *content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// Runs a line of a shell in `folder`, `expo-rl` being the binary under test.
fn run(line: &str, folder: &Path) {
    let binary = Path::new(env!("CARGO_BIN_EXE_expo-rl")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).env("PATH", path).output().expect("a shell");
    assert!(output.status.success(), "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[cfg(unix)]
fn the_tutorial_runs() {
    let page = std::fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().canonicalize().unwrap().join("configs"), folder.path().join("configs")).unwrap();
    let mut count = 0;
    for (kind, content) in blocks(&page) {
        if let Some(name) = kind.strip_prefix("toml file=") {
            std::fs::write(folder.path().join(name), content).unwrap();
        } else if kind == "sh run" {
            for line in content.lines() {
                run(line, folder.path());
                count += 1;
            }
        }
    }
    assert!(count >= 10, "only {count} commands were found");
    for made in ["report.html", "runs/mine/model/config.json", "runs/exp/metrics.jsonl"] {
        assert!(folder.path().join(made).exists(), "{made} is missing");
    }
}
