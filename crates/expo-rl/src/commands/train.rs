//! `expo-rl train`: one run from a configuration file.

use std::path::{Path, PathBuf};

use expo_core::config::Config;

use crate::session;
use crate::watch::{Ui, Watch};

/// Train as a configuration file says, and write the run's folder.
///
/// The folder holds `model` (the trained weights as a Hugging Face folder), `checkpoints`, `metrics.jsonl`, `completions.jsonl`, `run.json`, `tensorboard`, of
/// preferences `pairs.jsonl` and `reference.jsonl`, and with `eval.metric_for_best_model` `model-best` and `best.json`. All options: docs/configuration.md, or `expo-rl docs configuration`.
#[derive(Debug, clap::Args)]
pub struct Train {
    /// The configuration file.
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Override an option, such as `train.steps=200` or `model.path=my/folder` (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The run's folder; it must not hold a run yet [default: runs/CONFIG, with a number where that exists].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How the run is shown.
    #[arg(long, value_enum, default_value_t)]
    ui: Ui,
}

impl Train {
    /// Checks everything, trains, and says where the results are.
    pub fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config, &self.overrides)?;
        let out = self.out.unwrap_or_else(|| free_folder(&self.config));
        let (recipe, steps) = (config.train.recipe, config.train.steps);
        let events = config.train.tensorboard.then(|| out.join("tensorboard"));
        let mut trainer = session::trainer(config, Some(&out))?;
        let mut watch = Watch::new(recipe.as_str(), steps, self.ui).with_events(events.as_deref());
        let summary = trainer.run(&mut watch)?;
        watch.finish(&format!(
            "{} steps in {:.0} s, {} tokens sampled, {} trained on",
            summary.steps, summary.seconds, summary.sampled_tokens, summary.trained_tokens
        ));
        if let Some(best) = &summary.best {
            eprintln!("best {} {:.4} at step {}: {}", best.metric, best.value, best.step, out.join("model-best").display());
        }
        let too_long = [
            (summary.problems_too_long, "problems"),
            (summary.documents_too_long, "documents"),
            (summary.pairs_too_long, "preference pairs"),
        ];
        for (count, what) in too_long {
            if count > 0 {
                eprintln!("note: {count} {what} were left out because they exceed the model's context");
            }
        }
        if summary.pairs_skipped > 0 {
            eprintln!("note: {} rows of preferences were left out because they can't be used", summary.pairs_skipped);
        }
        eprintln!("the run is in {}", out.display());
        Ok(())
    }
}

/// `runs/NAME` after the configuration file, or `runs/NAME-2` and so on.
fn free_folder(config: &Path) -> PathBuf {
    let name = config.file_stem().unwrap_or(config.as_os_str()).to_string_lossy().into_owned();
    let numbered = (2..).map(|i| Path::new("runs").join(format!("{name}-{i}")));
    std::iter::once(Path::new("runs").join(&name)).chain(numbered).find(|path| !path.exists()).expect("endlessly many names")
}
