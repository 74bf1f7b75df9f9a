//! When something goes wrong: what is written aside, and what the run does then.

use super::checkpoint::files::Files;
use super::describe::non_finite_batch;
use super::state::State;
use super::watchdog::Alarm;
use crate::config::{Config, WatchdogPolicy};
use crate::error::{Error, Result};
use crate::logs::WATCHDOG_FILE;
use crate::logs::watchdog::{Action, Watch, WatchdogRow};
use crate::objective::sequence::Sequence;
use crate::observe::Observer;
use crate::policy::pass::Pass;
use crate::task::Task;

/// What was done about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The batch is not trained on.
    Skipped,
    /// The run is where its last checkpoint was.
    WentBack,
}

/// Does what the policy of `alarm`, found in `step` (from 0), says, and writes it down; `documents` are those of an optimizer step. Errors: the run is to stop, or can't do
/// anything else.
pub(crate) fn raise(
    step: usize,
    alarm: &Alarm,
    config: &Config,
    documents: usize,
    state: &mut State,
    files: &mut Files,
    observer: &mut dyn Observer,
) -> Result<Remedy> {
    let (step, message) = (step + 1, &alarm.message);
    match alarm.policy {
        WatchdogPolicy::Stop => {
            write_down(files, step, alarm, Action::Stopped)?;
            let aside = if alarm.watch == Watch::NonFinite { keep_last_good(files, state, step)? } else { String::new() };
            Err(stopped(alarm, format!("step {step}: {message}{aside}")))
        }
        WatchdogPolicy::Skip => {
            write_down(files, step, alarm, Action::Skipped)?;
            observer.on_notice(step, &format!("{message}; the batch is skipped"));
            Ok(Remedy::Skipped)
        }
        WatchdogPolicy::Rollback => {
            go_back(step, alarm, config, documents, state, files, observer)?;
            Ok(Remedy::WentBack)
        }
    }
}

/// The error that ends a run because of `alarm`.
fn stopped(alarm: &Alarm, message: String) -> Error {
    match alarm.watch {
        Watch::NonFinite => Error::NonFinite(message),
        Watch::RewardSource => Error::External(message),
        Watch::Entropy | Watch::Ratio | Watch::Kl | Watch::DeadGroups => Error::Watchdog(message),
    }
}

fn write_down(files: &mut Files, step: usize, alarm: &Alarm, action: Action) -> Result<()> {
    let Some(output) = &mut files.output else { return Ok(()) };
    let Alarm { watch, message, found, .. } = alarm.clone();
    let row = WatchdogRow { step, watch, message, found, action };
    output.append_rows(WATCHDOG_FILE, &[row])
}

/// Back to the last checkpoint, with a smaller learning rate.
fn go_back(
    step: usize,
    alarm: &Alarm,
    config: &Config,
    documents: usize,
    state: &mut State,
    files: &mut Files,
    observer: &mut dyn Observer,
) -> Result<()> {
    let stop = |why: String| stopped(alarm, format!("step {step}: {}; {why}", alarm.message));
    let memory = match state.watchdog.going_back() {
        Ok(memory) => memory,
        Err(why) => {
            write_down(files, step, alarm, Action::Stopped)?;
            return Err(stop(why));
        }
    };
    // The best weights on the disk stay what they are, though the steps that led to them are undone.
    let best = state.summary.best.clone();
    let Some(from) = files.go_back(config, documents, state, observer)? else {
        write_down(files, step, alarm, Action::Stopped)?;
        return Err(stop("there is no checkpoint yet to go back to; lower train.save_every".into()));
    };
    state.watchdog.gone_back(memory);
    if let Some(evaluator) = &mut state.evaluator {
        evaluator.remember_best(best.clone());
    }
    state.summary.best = best;
    let action = Action::WentBack { step: from, learning_rate_scale: state.watchdog.learning_rate_scale() };
    write_down(files, step, alarm, action)?;
    observer.on_notice(step, &format!("{}; {action}", alarm.message));
    Ok(())
}

/// Writes a batch whose loss or gradient is not finite aside.
pub(crate) fn keep_non_finite(
    files: &Files,
    step: usize,
    iteration: usize,
    task: &dyn Task,
    sequences: &[Sequence],
    pass: &Pass,
    grad_norm: f64,
) -> Result<()> {
    let Some(output) = &files.output else { return Ok(()) };
    let dump = non_finite_batch(step + 1, iteration, task, sequences, pass, grad_norm);
    output.write_whole(&batch_file(step + 1), &dump)?;
    Ok(())
}

/// Writes the last good weights aside: those before this batch, or, where an update may be large enough to ruin them, those before the update that led
/// here. Returns what to tell.
fn keep_last_good(files: &Files, state: &State, step: usize) -> Result<String> {
    let weights = files.save(state.policies.last_good(), "last-good");
    let weights =
        weights.map_err(|e| Error::NonFinite(format!("step {step}: not finite; and the last good weights could not be written: {e}")))?;
    let (Some(folder), Some(weights)) = (files.folder(), weights) else { return Ok(String::new()) };
    // A reward that is not finite comes before there is a batch.
    let batch = Some(folder.join(batch_file(step))).filter(|path| path.is_file());
    let batch = batch.map_or_else(String::new, |path| format!("The batch is in {}. ", path.display()));
    Ok(format!(". {batch}The last good weights are in {}; lower optim.learning_rate or look for a broken row", weights.display()))
}

/// Where the batch of `step` (from 1) is kept.
fn batch_file(step: usize) -> String {
    format!("nonfinite-step-{step}.json")
}
