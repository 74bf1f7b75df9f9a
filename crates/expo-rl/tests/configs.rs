//! Every file in `configs/` parses, is valid, and says what it claims.

mod support;

use std::path::{Path, PathBuf};

use expo_core::config::{ChosenSide, Config, Init, RecipeName};
use expo_core::data::generator::{Division, LEVELS, Split, split_of};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn load(name: &str) -> Config {
    Config::load(&folder().join(name), &[]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_file_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            Config::load(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} files in configs/");
}

#[test]
fn the_tiny_arms_differ_in_the_recipe_alone() {
    let exp_grpo = load("exp-grpo-tiny.toml");
    assert_eq!((exp_grpo.train.recipe, exp_grpo.model.path.as_str()), (RecipeName::ExpGrpo, "embedded:tiny"));
    for (name, recipe) in [("grpo-tiny.toml", RecipeName::Grpo), ("grpo-sft-gt-cot-tiny.toml", RecipeName::GrpoSftGtCot)] {
        let mut other = load(name);
        assert_eq!(other.train.recipe, recipe, "{name}");
        other.train.recipe = RecipeName::ExpGrpo;
        assert_eq!(other, exp_grpo, "{name}");
    }
}

#[test]
fn variants_with_explanations_and_experts_differ_in_one_value() {
    for variant in ["dr-grpo", "dapo", "gspo", "rloo", "cispo"] {
        let mut other = load(&format!("exp-{variant}-tiny.toml"));
        assert_eq!(other.train.recipe, RecipeName::ExpGrpo, "{variant}");
        other.train.recipe = RecipeName::Grpo;
        assert_eq!(other, load(&format!("{variant}-tiny.toml")), "{variant}");
    }
    for (with_expert, made) in
        [("dpo-expert-tiny.toml", "exp-dpo-tiny.toml"), ("dpo-expert-offline-tiny.toml", "exp-dpo-offline-tiny.toml")]
    {
        let mut other = load(with_expert);
        assert_eq!(other.dpo.chosen, ChosenSide::Expert, "{with_expert}");
        other.dpo.chosen = ChosenSide::Explanation;
        assert_eq!(other, load(made), "{with_expert}");
    }
    let mut offline = load("exp-dpo-offline-tiny.toml");
    assert_eq!(offline.exp.every, 0);
    offline.exp.every = 2;
    assert_eq!(offline, load("exp-dpo-tiny.toml"));
}

#[test]
fn the_adapters_files_are_the_others_with_an_adapter() {
    for (name, without) in
        [("exp-grpo-lora-tiny.toml", "exp-grpo-tiny.toml"), ("exp-grpo-smollm2-gsm8k-lora.toml", "exp-grpo-smollm2-gsm8k.toml")]
    {
        let (mut lora, other) = (load(name), load(without));
        assert!(lora.lora.r > 0 && lora.optim.learning_rate > other.optim.learning_rate, "{name}");
        (lora.lora, lora.optim.learning_rate) = (other.lora.clone(), other.optim.learning_rate);
        assert_eq!(lora, other, "{name}");
    }
}

#[test]
fn pretraining_is_sft_from_random_weights() {
    let config = load("pretrain-tiny.toml");
    assert_eq!((config.train.recipe, config.model.init), (RecipeName::Sft, Init::Random));
}

#[test]
fn the_larger_model_is_pretrained_as_the_embedded_one() {
    let (tiny, mut small) = (load("pretrain-tiny.toml"), load("reproduction/pretrain-small.toml"));
    (small.model.path, small.optim.learning_rate) = (tiny.model.path.clone(), tiny.optim.learning_rate);
    assert_eq!(tiny, small);
}

#[test]
fn every_reproduction_is_a_valid_sweep() {
    let nowhere = tempfile::tempdir().unwrap();
    let out = nowhere.path().join("out");
    let sweeps =
        [("fig3", 10), ("table3", 16), ("table2", 13), ("table5", 18), ("table6", 7), ("ablations", 36), ("properties", 24), ("trl", 7)];
    for (name, runs) in sweeps {
        let file = format!("configs/reproduction/{name}.toml");
        let listed = support::succeed(["sweep", &file, "--out", out.to_str().unwrap(), "--dry-run"]);
        let new = listed.lines().filter(|line| line.ends_with("  new")).count();
        assert_eq!(new, runs, "{name}: {listed}");
        assert!(listed.contains("expo-rl eval"), "{name}");
    }
    assert!(!out.exists(), "a dry run wrote something");
}

#[test]
fn without_rehearsal_is_the_same_but_for_it() {
    let mut with = load("exp-grpo-tiny.toml");
    let without = load("reproduction/exp-grpo-without-rehearsal.toml");
    assert!(without.rehearsal.data.is_empty());
    with.rehearsal = without.rehearsal.clone();
    assert_eq!(with, without);
}

#[test]
fn other_divisors_are_held_out_and_not_of_level_5() {
    let rows = support::rows(&folder().join("reproduction/other-divisors.jsonl"));
    assert_eq!(rows.len(), 192);
    for row in rows {
        let division = Division::parse(row["question"].as_str().unwrap()).unwrap();
        assert_eq!(row["answer"], division.quotient.to_string());
        assert!(!LEVELS[4].divisors.contains(&division.divisor) && (1000..10_000).contains(&division.quotient), "{row}");
        assert_eq!(split_of(division), Split::HeldOut, "{row}");
    }
}

/// The README's first command is `cargo run`, which refuses to choose among several.
#[test]
fn cargo_run_has_one_binary_to_run() {
    let workspace: toml::Table = toml::from_str(&std::fs::read_to_string(support::root().join("Cargo.toml")).unwrap()).unwrap();
    let members = workspace["workspace"]["default-members"].as_array().unwrap().iter();
    let binaries: Vec<_> =
        members.map(|member| member.as_str().unwrap()).filter(|member| support::root().join(member).join("src/main.rs").exists()).collect();
    assert_eq!(binaries, ["crates/expo-rl"]);
}
