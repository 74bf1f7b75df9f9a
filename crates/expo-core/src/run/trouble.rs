//! When something goes wrong: what is written aside, and what the run does then.

use std::path::PathBuf;

use expo_lm::model::Model;
use serde_json::json;

use crate::config::WatchdogPolicy;
use crate::error::{Error, Result};
use crate::objective::Sequence;
use crate::observe::Observer;
use crate::policy::cpu::pass::Pass;
use crate::run::checkpoint::replace;
use crate::run::report;
use crate::run::trainer::Trainer;
use crate::run::watchdog::{Alarm, NON_FINITE};

/// The log of what the watchdog found.
pub(crate) const WATCHDOG_FILE: &str = "watchdog.jsonl";

/// What was done about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The batch is not trained on.
    Skipped,
    /// The run is where its last checkpoint was.
    WentBack,
}

impl Trainer {
    /// Does what the policy of `alarm`, found in `step` (from 0), says, and writes it down. Errors: the run is to stop, or can't do anything else.
    pub(crate) fn raise(&mut self, step: usize, alarm: Alarm, observer: &mut dyn Observer) -> Result<Remedy> {
        let (step, message) = (step + 1, alarm.message.clone());
        match alarm.policy {
            WatchdogPolicy::Stop => {
                self.write_down(step, &alarm, "stopped")?;
                let aside = if alarm.watch == NON_FINITE { self.keep_last_good(step)? } else { String::new() };
                Err(Error::Run(format!("step {step}: {message}{aside}")))
            }
            WatchdogPolicy::Skip => {
                self.write_down(step, &alarm, "skipped")?;
                observer.on_notice(step, &format!("{message}; the batch is skipped"));
                Ok(Remedy::Skipped)
            }
            WatchdogPolicy::Rollback => {
                self.go_back(step, &alarm, observer)?;
                Ok(Remedy::WentBack)
            }
        }
    }

    fn write_down(&mut self, step: usize, alarm: &Alarm, action: &str) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let row = json!({"step": step, "watch": alarm.watch, "message": alarm.message, "found": alarm.found, "action": action});
        output.append_rows(WATCHDOG_FILE, &[row])
    }

    /// Back to the last checkpoint, with a smaller learning rate.
    fn go_back(&mut self, step: usize, alarm: &Alarm, observer: &mut dyn Observer) -> Result<()> {
        let stop = |why: String| Error::Run(format!("step {step}: {}; {why}", alarm.message));
        let memory = match self.watchdog.going_back() {
            Ok(memory) => memory,
            Err(why) => {
                self.write_down(step, alarm, "stopped")?;
                return Err(stop(why));
            }
        };
        // The best weights on the disk stay what they are, though the steps that led to them are undone.
        let best = self.summary.best.clone();
        let Some(from) = self.restore_last_checkpoint(observer)? else {
            self.write_down(step, alarm, "stopped")?;
            return Err(stop("there is no checkpoint yet to go back to; lower train.save_every".into()));
        };
        self.watchdog.gone_back(memory);
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.remember_best(best.clone());
        }
        self.summary.best = best;
        let rate = self.watchdog.learning_rate_scale();
        self.write_down(step, alarm, &format!("back to step {from}, learning rate times {rate}"))?;
        observer.on_notice(step, &format!("{}; back to step {from}, learning rate times {rate}", alarm.message));
        Ok(())
    }

    /// Writes a batch whose loss or gradient is not finite aside.
    pub(crate) fn keep_non_finite(&self, step: usize, iteration: usize, sequences: &[Sequence], pass: &Pass, grad_norm: f64) -> Result<()> {
        let Some(output) = &self.output else { return Ok(()) };
        let dump = report::non_finite_batch(step + 1, iteration, self.task.as_ref(), sequences, pass, grad_norm);
        output.write_whole(&batch_file(step + 1), &dump)?;
        Ok(())
    }

    /// Writes the last good weights aside: those before this batch, or, where an update may be large enough to ruin them, those before the update that led
    /// here. Returns what to tell.
    fn keep_last_good(&self, step: usize) -> Result<String> {
        let weights = self.save(self.last_good.as_ref().unwrap_or(&self.model), "last-good");
        let weights =
            weights.map_err(|e| Error::Run(format!("step {step}: not finite; and the last good weights could not be written: {e}")))?;
        let (Some(output), Some(weights)) = (&self.output, weights) else { return Ok(String::new()) };
        // A reward that is not finite comes before there is a batch.
        let batch = Some(output.folder().join(batch_file(step))).filter(|path| path.is_file());
        let batch = batch.map_or_else(String::new, |path| format!("The batch is in {}. ", path.display()));
        Ok(format!(". {batch}The last good weights are in {}; lower optim.learning_rate or look for a broken row", weights.display()))
    }

    /// Saves `model` in the run's folder under `name`, in place of what an earlier process of this run left there; `None` where the run writes nothing.
    pub(crate) fn save(&self, model: &Model, name: &str) -> Result<Option<PathBuf>> {
        let Some(output) = &self.output else { return Ok(None) };
        let path = output.folder().join(name);
        if !path.exists() {
            self.saver.save_weights.write(model, &path)?;
            return Ok(Some(path));
        }
        replace(&path, |new| self.saver.save_weights.write(model, new))?;
        Ok(Some(path))
    }
}

/// Where the batch of `step` (from 1) is kept.
fn batch_file(step: usize) -> String {
    format!("nonfinite-step-{step}.json")
}
