//! A step that fails before it has changed any weights, as for want of a reward: the run is saved as it was before the step.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::observe::Observer;
use crate::run::trainer::{RunSummary, Trainer};
use crate::run::trouble::WATCHDOG_FILE;

/// A run before a step, but for its weights.
pub(crate) struct Before {
    optimizer_steps: usize,
    states: Map<String, Value>,
    logs: BTreeMap<String, u64>,
}

impl Trainer {
    /// Remembers the run as it is before a step. `None` where steps are made of nothing that fails often, or change weights when they draw: that is not worth
    /// the time.
    pub(crate) fn before_step(&mut self) -> Result<Option<Before>> {
        if self.config.reward.external.is_empty() || self.draws.rationales {
            return Ok(None);
        }
        let Some(output) = &self.output else { return Ok(None) };
        let logs = output.log_lengths()?;
        Ok(Some(Before { optimizer_steps: self.optimizer_steps, states: self.parts().states()?, logs }))
    }

    /// Ends the run after a step failed with `error`, with a checkpoint of the run as it was `before` the step. Where it was to stop anyway, that is no error.
    /// Errors: `error` itself otherwise, with the checkpoint's name.
    pub(crate) fn give_up_step(&mut self, before: Option<Before>, error: Error, observer: &mut dyn Observer) -> Result<RunSummary> {
        let Some(before) = before.filter(|before| before.optimizer_steps == self.optimizer_steps) else { return Err(error) };
        self.parts().restore_states(before.states)?;
        if let Some(output) = &mut self.output {
            let mut logs = before.logs;
            // What the watchdog said of the step stays.
            logs.extend(output.log_lengths()?.remove_entry(WATCHDOG_FILE));
            output.rewind(&logs)?;
        }
        let step = self.summary.steps;
        if observer.should_stop() {
            observer.on_notice(step + 1, &format!("the step is given up: {error}"));
            self.save_and_stop(observer)?;
            return Ok(self.summary.clone());
        }
        if step == 0 {
            return Err(error);
        }
        // The step's own error is the one to report.
        match self.save_and_stop(observer).map(|()| self.summary.checkpoint.clone()) {
            Ok(Some(checkpoint)) => {
                let saved = format!("the run is saved as it was after step {step}, in {}; the same command goes on", checkpoint.display());
                Err(Error::Run(format!("{error}; {saved}")))
            }
            Ok(None) => Err(error),
            Err(unsaved) => Err(Error::Run(format!("{error}; {unsaved}"))),
        }
    }
}
