//! A step that fails before it has changed any weights, as for want of a reward: the run is saved as it was before the step.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::capture::{restore_states, states};
use super::files::Files;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::logs::WATCHDOG_FILE;
use crate::observe::Observer;
use crate::run::state::{RunSummary, State};

/// A run before a step, but for its weights.
pub(crate) struct Before {
    optimizer_steps: usize,
    states: Map<String, Value>,
    logs: BTreeMap<String, u64>,
}

impl Before {
    /// Remembers the run as it is before a step. `None` where steps are made of nothing that fails often, or change weights when they draw: that is not worth
    /// the time.
    pub fn step(config: &Config, state: &mut State, files: &Files) -> Result<Option<Self>> {
        let keeps_weights = state.source.as_ref().is_none_or(|source| source.keeps_weights());
        let Some(output) = files.output.as_ref().filter(|_| !config.reward.external.is_empty() && keeps_weights) else { return Ok(None) };
        let logs = output.log_lengths()?;
        Ok(Some(Self { optimizer_steps: state.optimizer_steps, states: states(&state.parts().values)?, logs }))
    }
}

/// Ends the run after a step failed with `error`, with a checkpoint of the run as it was `before` the step. Where it was to stop anyway, that is no error.
/// Errors: `error` itself otherwise, with the checkpoint's name.
pub(crate) fn give_up_step(
    before: Option<Before>,
    error: Error,
    config: &Config,
    state: &mut State,
    files: &mut Files,
    observer: &mut dyn Observer,
) -> Result<RunSummary> {
    let Some(mut before) = before.filter(|before| before.optimizer_steps == state.optimizer_steps) else { return Err(error) };
    restore_states(state.parts().values, |name| Ok(before.states.remove(name).unwrap_or_default()))?;
    if let Some(output) = &mut files.output {
        let mut logs = before.logs;
        // What the watchdog said of the step stays.
        logs.extend(output.log_lengths()?.remove_entry(WATCHDOG_FILE));
        output.rewind(&logs)?;
    }
    let step = state.summary.steps;
    if observer.should_stop() {
        observer.on_notice(step + 1, &format!("the step is given up: {error}"));
        files.save_and_stop(config, state, observer)?;
        return Ok(state.summary.clone());
    }
    if step == 0 {
        return Err(error);
    }
    // The step's own error is the one to report.
    match files.save_and_stop(config, state, observer).map(|()| state.summary.checkpoint.clone()) {
        Ok(Some(checkpoint)) => {
            let saved = format!("the run is saved as it was after step {step}, in {}; the same command goes on", checkpoint.display());
            Err(Error::GivenUp { error: Box::new(error), saved })
        }
        Ok(None) => Err(error),
        Err(unsaved) => Err(Error::GivenUp { error: Box::new(error), saved: unsaved.to_string() }),
    }
}
