//! `expo-rl train`: one run from a configuration file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use expo_core::run::{RunSummary, UnfinishedRun};

use super::dry_run::dry_run;
use crate::output::tell;
use crate::session;
use crate::signals::Signals;
use crate::watch::{Ui, Watch};

/// Train as a configuration file says, and write the run's folder.
///
/// The folder holds `model` (the trained weights as a Hugging Face folder), `checkpoints`, `metrics.jsonl`, `completions.jsonl`, `batches.jsonl`, `run.json`, `tensorboard`, of
/// preferences `pairs.jsonl` and `reference.jsonl`, and with `eval.metric_for_best_model` `model-best` and `best.json`. All options: docs/configuration.md, or `expo-rl docs configuration`.
///
/// A run that was stopped goes on with the same command (docs/checkpoints.md). Ctrl-C and SIGTERM finish the step and write a checkpoint; the exit code is then 130
/// or 143. A second signal stops at once.
#[derive(Debug, clap::Args)]
pub struct Train {
    /// The configuration file.
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Override an option, such as `train.steps=200` or `model.path=my/folder`; `KEY=` takes back what the file has (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The run's folder; a run in it that has not ended goes on [default: runs/CONFIG, with a number where that exists].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder, also with one that has ended where train.steps is now larger; without --out, with the newest in runs/CONFIG, runs/CONFIG-2
    /// and so on. Where there is none, one begins.
    #[arg(long)]
    resume: bool,
    /// Draw and look at one small step instead: the first prompts as the model sees them, completions with their verdicts, which tokens would be trained on, lengths,
    /// and a forecast of time and memory. Nothing is written.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// How the run is shown.
    #[arg(long, value_enum, default_value_t)]
    ui: Ui,
}

impl Train {
    /// Checks everything, trains, and says where the results are.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = session::read_config(Some(&self.config), &self.overrides)?;
        let out = match self.out {
            Some(out) => out,
            None => default_folder(&self.config, self.resume),
        };
        // Data first: it is read faster than a large model, and says how many steps `train.epochs` comes to.
        let data = session::read_data(&mut config)?;
        if self.dry_run {
            dry_run(&config, data, &out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (recipe, steps) = (config.train.recipe, config.train.steps);
        let events = config.train.tensorboard.then(|| out.join("tensorboard"));
        let mut trainer = match UnfinishedRun::find(&out, &config, self.resume)? {
            Some(run) => session::resume(config, data, run)?,
            None => session::trainer(config, data, Some(&out))?,
        };
        // Until here there is nothing to save: a signal ends the process.
        let mut watch = Watch::new(recipe.as_str(), steps, self.ui).with_events(events.as_deref()).stopped_by(Signals::catch()?);
        let summary = trainer.run(&mut watch)?;
        let signalled = watch.exit_code();
        watch.finish(&format!(
            "{} steps in {:.0} s, {} tokens sampled, {} trained on",
            summary.steps, summary.seconds, summary.sampled_tokens, summary.trained_tokens
        ));
        if summary.stopped {
            let checkpoint = summary.checkpoint.unwrap_or_default();
            tell!("stopped after step {} of {steps}; the checkpoint is {}", summary.steps, checkpoint.display());
            tell!("to go on, give the same command with --out {} --resume", out.display());
            return Ok(signalled.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        if let Some(best) = &summary.best {
            tell!("best {} {:.4} at step {}: {}", best.metric, best.value, best.step, out.join("model-best").display());
        }
        tell_of_rows_left_out(&summary);
        tell!("the run is in {}", out.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn tell_of_rows_left_out(summary: &RunSummary) {
    let too_long =
        [(summary.problems_too_long, "problems"), (summary.documents_too_long, "documents"), (summary.pairs_too_long, "preference pairs")];
    for (count, what) in too_long {
        if count > 0 {
            tell!("note: {count} {what} were left out because they exceed the model's context");
        }
    }
    if summary.pairs_skipped > 0 {
        tell!("note: {} rows of preferences were left out because they can't be used", summary.pairs_skipped);
    }
}

/// The first of `runs/NAME` after the configuration file, `runs/NAME-2` and so on that does not exist; the last that does where one is to go on.
fn default_folder(config: &Path, resume: bool) -> PathBuf {
    let name = config.file_stem().unwrap_or(config.as_os_str()).to_string_lossy().into_owned();
    let numbered = (2..).map(|i| Path::new("runs").join(format!("{name}-{i}")));
    let mut existing = None;
    for folder in std::iter::once(Path::new("runs").join(&name)).chain(numbered) {
        if !folder.exists() {
            return existing.filter(|_| resume).unwrap_or(folder);
        }
        existing = Some(folder);
    }
    unreachable!("endlessly many names")
}
