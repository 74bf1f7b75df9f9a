//! The configuration files of GRPO's kin, each run for a few steps, alone and with the ExP term.

mod support;

use support::{rows, succeed};

const VARIANTS: [&str; 5] = ["dr-grpo", "dapo", "gspo", "cispo", "rloo"];

#[test]
fn every_variant_of_grpo_runs_alone_and_with_explanations() {
    let folder = tempfile::tempdir().unwrap();
    for variant in VARIANTS {
        for recipe in ["grpo", "exp-grpo"] {
            let out = folder.path().join(format!("{variant}-{recipe}"));
            let file = match recipe {
                "grpo" => format!("configs/{variant}-tiny.toml"),
                _ => format!("configs/exp-{variant}-tiny.toml"),
            };
            let mut args = vec!["train".to_owned(), file, "--out".into(), out.display().to_string()];
            for option in ["train.steps=2", "train.prompts_per_step=4", "data.generate=64"] {
                args.extend(["--set".to_owned(), option.to_owned()]);
            }
            succeed(&args);
            let metrics = rows(&out.join("metrics.jsonl"));
            assert_eq!(metrics.len(), 2, "{variant} {recipe}");
            for step in &metrics {
                assert!(step["grad_norm"].as_f64().unwrap() > 0.0, "{variant} {recipe}: {step}");
                assert!(step["loss/policy_gradient"].is_number(), "{variant} {recipe}: {step}");
                assert_eq!(step.get("exp/kept_fraction").is_some(), recipe == "exp-grpo", "{variant} {recipe}: {step}");
                assert_eq!(step.get("kl").is_some(), variant == "rloo", "{variant} {recipe}: {step}");
                let speaking = step["groups/drawn"].as_f64().unwrap() * (1.0 - step["groups/equal_rewards"].as_f64().unwrap());
                assert!(variant != "dapo" || speaking.round() == 4.0, "{recipe}: {step}");
            }
        }
    }
}
