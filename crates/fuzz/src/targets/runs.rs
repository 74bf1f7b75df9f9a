//! What runs and evaluations leave behind.

use std::path::Path;
use std::sync::LazyLock;

use expo_core::analysis::runs::{Completions, Curve, Run, arms, differences};
use expo_core::config::Config;
use expo_core::eval::CompletionsFile;
use expo_core::metrics::StepMetrics;
use expo_core::observe::Observer;
use expo_core::run::{TrainData, Trainer, UnfinishedRun};
use expo_lm::load::LoadedModel;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{message, one, part, write};
use crate::mutate::Case;

pub fn completions_seeds() -> Vec<Case> {
    let evaluated = concat!(
        r#"{"key":"0a1b","model":"m","problem":"p:1","samples":[{"text":"4","tokens":2,"truncated":false}]}"#,
        "\n",
        r#"{"key":"0a1c","model":"m","problem":"p:2","samples":[{"text":"a\nb","tokens":3,"truncated":true,"correct":false}]}"#,
        "\n"
    );
    let trained = concat!(
        r#"{"step":1,"kind":"rollout","problem":"p","level":1,"correct":true,"completion":"4"}"#,
        "\n",
        r#"{"step":9,"kind":"explanation","problem":"p","level":2,"correct":false,"completion":"5"}"#,
        "\n"
    );
    vec![one("completions.jsonl", evaluated), one("completions.jsonl", trained)]
}

/// Accepted where one of the two readers accepts it.
pub fn completions(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, case);
    let run = message(Completions::read(folder, 10));
    let evaluated = message(CompletionsFile::open(&folder.join("completions.jsonl")).map(|file| drop(file.notices())));
    let run = run?;
    match run.notices.first() {
        None => Ok(()),
        Some(notice) => evaluated.map_err(|error| format!("{notice}; {error}")),
    }
}

pub fn metrics_seeds() -> Vec<Case> {
    let row = |step: u64| json!({"step": step, "loss": 0.5 / step as f64, "reward/mean": 0.1, "time/step": 0.01, "time/save": 0.001, "none": null});
    let rows: String = (1..6).map(|step| format!("{}\n", row(step))).collect();
    let info = json!({"finished": true, "version": "0.1.0", "config": {"train": {"recipe": "grpo", "seed": 0, "steps": 5}, "data": {"levels": [1]}}});
    vec![vec![("metrics.jsonl".to_owned(), rows.into_bytes()), ("run.json".to_owned(), format!("{info:#}\n").into_bytes())]]
}

pub fn metrics(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, case);
    let run = Run::read(folder, "run".to_owned());
    // A second one, for what is computed of several.
    let runs = [run.clone(), Run { name: "other".to_owned(), info: Map::new(), ..run }];
    let arms = arms(&runs);
    differences(&runs, &arms);
    let width = Curve::bin_width(&runs, 50);
    for arm in &arms {
        for metric in ["loss", "reward/mean", "elapsed"] {
            let curve = Curve::of(&runs, arm, metric, width);
            assert!(curve.points.len() <= 60, "{} points", curve.points.len());
        }
    }
    runs[0].notices.first().map_or(Ok(()), |notice| Err(notice.clone()))
}

/// A model so small that a run goes on within milliseconds.
fn policy() -> LoadedModel {
    let mut config: Value = serde_json::from_slice(include_bytes!("../../../../assets/tiny/config.json")).expect("the tiny model's file");
    for (key, value) in [("hidden_size", 8), ("intermediate_size", 8), ("num_hidden_layers", 1), ("num_attention_heads", 2)] {
        config[key] = value.into();
    }
    (config["num_key_value_heads"], config["head_dim"]) = (1.into(), 4.into());
    let config = config.to_string();
    let files: [(&str, &[u8]); 3] = [
        ("config.json", config.as_bytes()),
        ("tokenizer.json", include_bytes!("../../../../assets/tiny/tokenizer.json")),
        ("tokenizer_config.json", include_bytes!("../../../../assets/tiny/tokenizer_config.json")),
    ];
    LoadedModel::random_from_memory(&files, 1).expect("a small model")
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "[train]\nrecipe = \"exp-grpo\"\nsteps = 4\nprompts_per_step = 1\nsave_every = 0\ntensorboard = false\n[data]\ngenerate = 5\n\
                [rollout]\nnum_generations = 2\nmax_new_tokens = 4\n[exp]\nnum_explanations = 1\nmax_new_tokens = 4\nexplainer = \"average\"\nevery = 2\n\
                [rehearsal]\ndata = \"generator:division\"\ndocuments_per_step = 1\n";
    Config::from_toml(text, "run.toml", &[]).expect("a configuration")
});

/// Stops a run after so many steps.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn should_stop(&mut self) -> bool {
        self.0 == 0
    }
    fn on_step(&mut self, _: &StepMetrics) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// Every file of a run that was stopped after two steps, by its path within.
static STOPPED: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    let data = TrainData::load(&CONFIG).expect("generated");
    let mut trainer = Trainer::new(CONFIG.clone(), policy(), data, Some(&run)).expect("a run");
    trainer.run(&mut StopAfter(2)).expect("a run");
    drop(trainer);
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(prefix) = folders.pop() {
        for entry in std::fs::read_dir(run.join(&prefix)).expect("the run's folder") {
            let entry = entry.expect("the run's folder");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => folders.push(format!("{name}/")),
                false => files.push((name, std::fs::read(entry.path()).expect("the run's file"))),
            }
        }
    }
    files
});

const CHECKPOINT: &str = "checkpoints/step-000002";

/// The files of the stopped run that are parsed.
pub fn checkpoint_seeds() -> Vec<Case> {
    let file = |name: &str| {
        let (_, bytes) = STOPPED.iter().find(|(found, _)| found.ends_with(name)).expect("the run's file");
        (name.to_owned(), bytes.clone())
    };
    // What changes least from input to input comes last.
    vec![vec![file("state.json"), file("checkpoint.json"), file("run.json")]]
}

/// The run with files of `case` in place of its own, `right` being checksums that fit.
fn go_on(folder: &Path, case: &Case, fit: bool) -> Result<(), String> {
    let run = folder.join("run");
    let _ = std::fs::remove_dir_all(&run);
    let checkpoint = run.join(CHECKPOINT);
    std::fs::create_dir_all(checkpoint.join("state")).expect("the folder can be written");
    for (name, bytes) in STOPPED.iter() {
        std::fs::write(run.join(name), bytes).expect("the folder can be written");
    }
    let state = part(case, "state.json");
    std::fs::write(checkpoint.join("state/state.json"), state).expect("the folder can be written");
    let mut manifest = part(case, "checkpoint.json").to_vec();
    if fit {
        let (_, whole) = STOPPED.iter().find(|(name, _)| name.ends_with("checkpoint.json")).expect("the run's file");
        let mut value: Value = serde_json::from_slice(whole).expect("the run's file");
        let sum: String = Sha256::digest(state).iter().map(|byte| format!("{byte:02x}")).collect();
        value["files"]["state/state.json"] = json!({"bytes": state.len(), "sha256": sum});
        manifest = value.to_string().into_bytes();
    }
    std::fs::write(checkpoint.join("checkpoint.json"), manifest).expect("the folder can be written");
    std::fs::write(run.join("run.json"), part(case, "run.json")).expect("the folder can be written");
    let Some(found) = message(UnfinishedRun::find(&run, &CONFIG, true))? else { return Err("there is no run".to_owned()) };
    let data = message(TrainData::load(&CONFIG))?;
    let mut trainer = message(Trainer::resume(CONFIG.clone(), policy(), data, found))?;
    let summary = message(trainer.run(&mut StopAfter(2)))?;
    if summary.steps > 2 { Ok(()) } else { Err(format!("after step {}", summary.steps)) }
}

pub fn manifest(folder: &Path, case: &Case) -> Result<(), String> {
    go_on(folder, case, false)
}

pub fn state(folder: &Path, case: &Case) -> Result<(), String> {
    go_on(folder, case, true)
}
