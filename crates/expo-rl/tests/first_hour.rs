//! What someone meets who comes from another library.

mod support;

use support::{expo_rl, fail, root, rows, text};

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
