//! Every file in `configs/` parses, is valid, and says what it claims.

use std::path::{Path, PathBuf};

use expo_core::config::{ChosenSide, Config, Init, Recipe};

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
        Config::load(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        count += 1;
    }
    assert!(count >= 5, "only {count} files in configs/");
}

#[test]
fn the_tiny_arms_differ_in_the_recipe_alone() {
    let exp_grpo = load("exp-grpo-tiny.toml");
    assert_eq!((exp_grpo.train.recipe, exp_grpo.model.path.as_str()), (Recipe::ExpGrpo, "embedded:tiny"));
    for (name, recipe) in [("grpo-tiny.toml", Recipe::Grpo), ("grpo-sft-gt-cot-tiny.toml", Recipe::GrpoSftGtCot)] {
        let mut other = load(name);
        assert_eq!(other.train.recipe, recipe, "{name}");
        other.train.recipe = Recipe::ExpGrpo;
        assert_eq!(other, exp_grpo, "{name}");
    }
}

#[test]
fn variants_with_explanations_and_experts_differ_in_one_value() {
    for variant in ["dr-grpo", "dapo", "gspo", "rloo", "cispo"] {
        let mut other = load(&format!("exp-{variant}-tiny.toml"));
        assert_eq!(other.train.recipe, Recipe::ExpGrpo, "{variant}");
        other.train.recipe = Recipe::Grpo;
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
    assert_eq!((config.train.recipe, config.model.init), (Recipe::Sft, Init::Random));
}
