//! What someone meets who comes from another library.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{expo_rl, fail, root, rows, succeed, text};

/// The binary with `input` on its standard input.
fn with_input(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expo-rl"));
    command.current_dir(root()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // A program that has ended reads nothing more.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// A run of two steps in `out`, with an adapter where `more` says so.
fn train(out: &Path, more: &[&str]) {
    let mut args = vec!["train", "configs/grpo-tiny.toml", "--out", out.to_str().unwrap()];
    for set in ["train.steps=2", "train.prompts_per_step=2", "rollout.num_generations=2", "train.save_every=1"] {
        args.extend(["--set", set]);
    }
    args.extend(more);
    succeed(args);
}

#[test]
fn epochs_come_to_steps_and_too_many_prompts_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config, out) = (folder.path().join("p.csv"), folder.path().join("c.toml"), folder.path().join("run"));
    std::fs::write(&data, "question,answer\n1+1,2\n2+2,4\n3+4,7\n").unwrap();
    let text_of_config = format!(
        "[data]\ntrain = {:?}\n[train]\nrecipe = \"grpo\"\nepochs = 3\nprompts_per_step = 4\n[rollout]\nmax_new_tokens = 4\nnum_generations = 2\n",
        data.to_str().unwrap()
    );
    std::fs::write(&config, text_of_config).unwrap();
    let train = |more: &[&str]| {
        let args = ["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let output = expo_rl(args.iter().chain(more));
        let message = text(&output.stderr);
        assert!(output.status.success(), "{message}");
        message
    };
    let message = train(&[]);
    assert!(message.contains("train.prompts_per_step = 4, but there are 3 problems: a step has each of them about 1.3 times"), "{message}");
    // 9 problems in steps of 4.
    assert_eq!(rows(&out.join("metrics.jsonl")).len(), 3);
    train(&["--resume", "--set", "train.epochs=5"]);
    assert_eq!(rows(&out.join("metrics.jsonl")).len(), 4);
}

#[test]
fn names_of_other_libraries_are_answered_on_the_command_line() {
    let config = root().join("configs/grpo-tiny.toml");
    let config = config.to_str().unwrap();
    fail(["train", config, "--set", "actor_rollout_ref.rollout.n=5"], &["rollout.num_generations = 5"]);
    fail(["train", config, "--set", "train.recipe=gspo"], &["grpo.importance_sampling_level = \"sequence\""]);
}

#[test]
fn a_conversation_over_a_pipe() {
    let talk = |args: &[&str], input: &str| {
        let output = with_input(args, input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let greedy = ["chat", "embedded:tiny", "--temperature", "0", "--max-new-tokens", "40"];
    // The answer is that of `generate`; a second turn has the first before it.
    let alone = succeed(["generate", "--model", "embedded:tiny", "--prompt", "12/3?", "--temperature", "0", "--max-new-tokens", "40"]);
    assert_eq!(talk(&greedy, "12/3?\n"), alone);
    let two = talk(&greedy, "12/3?\n/reset\n12/3?");
    assert_eq!(two, format!("{alone}{alone}"));
    let history = talk(&greedy, "12/3?\n15/5?\n/prompt\n/history\n/retry\n/quit\nnot read\n");
    assert!(history.starts_with(&alone), "{history}");
    let answer = alone.trim_end();
    assert!(
        history.contains("[user] 12/3?") && history.contains(&format!("[assistant] {answer}")) && history.contains("[user] 15/5?"),
        "{history}"
    );
    // Special tokens are seen, and every token has its id.
    assert!(history.contains(" tokens: ") && history.contains("\"1\""), "{history}");
    // A line that goes on is one turn.
    assert!(talk(&greedy, "12/\\\n3?\n/history\n").contains("[user] 12/\n3?"));
    // This model's template refuses a system message, which is told as it says it.
    let system = with_input(&greedy, "/system Be brief.\n12/3?\n");
    assert!(system.status.code() == Some(1) && text(&system.stderr).contains("this model has no system turn"), "{}", text(&system.stderr));
    let failed = with_input(&greedy, "/nonsense\n12/3?\n");
    assert_eq!((failed.status.code(), text(&failed.stdout)), (Some(1), String::new()));
    assert!(text(&failed.stderr).contains("no command /nonsense; /help lists them"));
    let long = with_input(&greedy, &"9".repeat(5000));
    assert!(long.status.code() == Some(1) && text(&long.stderr).contains("the model's context is"), "{}", text(&long.stderr));
}

#[test]
fn a_run_and_an_adapter_alone_stand_for_their_models() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, adapter) = (folder.path().join("whole"), folder.path().join("adapter"));
    train(&whole, &[]);
    train(&adapter, &["--set", "lora.r=2"]);
    let generate = |model: &Path| succeed(["generate", "--model", model.to_str().unwrap(), "--prompt", "12/3?", "--temperature", "0"]);
    for run in [&whole, &adapter] {
        let expected = generate(&run.join("model"));
        assert_eq!(generate(run), expected);
        let output = with_input(&["chat", run.to_str().unwrap(), "--temperature", "0"], "12/3?\n");
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
        // A run that has not ended: its newest checkpoint.
        std::fs::remove_dir_all(run.join("model")).unwrap();
        let newest = generate(&run.join("checkpoints/step-000002"));
        assert_eq!(generate(run), newest);
    }
    std::fs::remove_dir_all(whole.join("checkpoints")).unwrap();
    fail(["generate", "--model", whole.to_str().unwrap(), "--prompt", "x"], &["is the folder of a run without a model"]);
}

#[test]
fn prompts_from_files_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, "12/3?\r\n").unwrap();
    let args = |prompt: &str| ["generate", "--model", "embedded:tiny", "--temperature", "0", "--prompt", prompt].map(str::to_owned);
    let expected = succeed(args("12/3?"));
    assert_eq!(succeed(args(&format!("@{}", file.display()))), expected);
    let arguments = args("-");
    let output = with_input(&arguments.each_ref().map(String::as_str), "12/3?\n");
    assert_eq!(text(&output.stdout), expected);
    fail(args("@no/such"), &["no/such: cannot read the prompt", "--prompt -"]);
    std::fs::write(&file, "\n").unwrap();
    fail(args(&format!("@{}", file.display())), &["the prompt is empty"]);
}

#[test]
fn one_option_is_explained() {
    let text = succeed(["docs", "exp.beta"]);
    assert!(text.starts_with("exp.beta\n") && text.contains("arXiv 2507.02834") && text.contains("--set exp.beta="), "{text}");
    fail(["docs", "num_train_epochs"], &["TRL's num_train_epochs is train.epochs here"]);
}

#[test]
fn shells_complete_every_command() {
    let commands = root().join("docs/commands.md");
    let commands = std::fs::read_to_string(commands).unwrap();
    let names: Vec<_> = commands.lines().filter_map(|line| line.strip_prefix("### `expo-rl ")?.strip_suffix('`')).collect();
    assert!(names.contains(&"train") && names.contains(&"chat"));
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(["completions", shell]);
        for name in names.iter().map(|name| name.split(' ').next().unwrap()) {
            assert!(script.contains(name), "{shell} lacks {name}");
        }
    }
    assert!(succeed(["docs", "man"]).contains(".TH expo-rl 1"));
}

#[test]
fn a_dry_run_shows_a_step_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (config, sections) in [
        (
            "exp-grpo-tiny",
            &["== prompt of ", "== its explanation prompt", "== completion of ", "== explanation of ", "explanation (in [[ ]]"][..],
        ),
        ("star-tiny", &["== completion of ", "== trained on"]),
        ("exp-dpo-offline-tiny", &["== explanation of ", "== trained on"]),
        ("dpo-expert-tiny", &["== completion of ", "== trained on"]),
        ("sft-tiny", &["trained on by documents", "]]"]),
        ("exp-grpo-lora-tiny", &["LoRA of rank", "== forecast"]),
    ] {
        let config = format!("configs/{config}.toml");
        let output = expo_rl(["train", &config, "--dry-run", "--out", out.to_str().unwrap()]);
        let shown = text(&output.stderr) + &text(&output.stdout);
        assert!(output.status.success(), "{config}: {shown}");
        for part in sections.iter().chain(&["== forecast, by this small step", "nothing was written and nothing trained"]) {
            assert!(shown.contains(part), "{config}: no {part:?} in {shown}");
        }
        assert!(!out.exists(), "{config}");
    }
}

#[test]
fn the_version_and_runs_say_what_was_built() {
    let version = succeed(["--version"]);
    assert!(version.starts_with(concat!("expo-rl ", env!("CARGO_PKG_VERSION"), " (commit ")), "{version}");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    train(&out, &[]);
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    let build = &run["build"];
    for part in ["commit", "target"] {
        assert!(version.contains(build[part].as_str().unwrap()), "{build} {version}");
    }
    assert!(build["features"].is_array());
}
