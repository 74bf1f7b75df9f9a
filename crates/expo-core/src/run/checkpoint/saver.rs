//! When checkpoints are written, and by whom: a thread of its own with copies, or training itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::read::Stored;
use super::write::{self, Place, Written};
use crate::error::{Error, Result};
use crate::observe::{Observer, Phase};
use crate::run::trainer::{SaveWeights, Trainer};

/// The writing of a run's checkpoints.
pub(crate) struct Saver {
    /// Writes weights as a model folder.
    pub(crate) save_weights: Arc<SaveWeights>,
    writing: Option<JoinHandle<Result<Written>>>,
    /// The last checkpoint that is on the disk, and its step.
    last: Option<(usize, PathBuf)>,
    /// Seconds that training stood still since they were last asked for.
    seconds: f64,
}

impl Saver {
    pub(crate) fn new(save_weights: SaveWeights) -> Self {
        Self { save_weights: Arc::new(save_weights), writing: None, last: None, seconds: 0.0 }
    }

    /// Seconds that training stood still for checkpoints since the last call; `None`: it did not.
    pub(crate) fn take_seconds(&mut self) -> Option<f64> {
        Some(std::mem::take(&mut self.seconds)).filter(|seconds| *seconds > 0.0)
    }

    /// The last checkpoint that is on the disk, and the step after which it was written.
    pub(super) fn last(&self) -> Option<&(usize, PathBuf)> {
        self.last.as_ref()
    }

    /// The run goes on from the checkpoint of `step` in `folder`.
    pub(super) fn continues(&mut self, step: usize, folder: PathBuf) {
        self.last = Some((step, folder));
    }
}

impl Trainer {
    /// Writes a checkpoint where one is due after the step that was just made.
    pub(crate) fn save_if_due(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.settle(false, observer);
        let every = self.config.train.save_every;
        if every > 0 && self.summary.steps.is_multiple_of(every) {
            let written = self.save_checkpoint(self.config.train.save_async, observer)?;
            self.tell(written, observer);
        }
        Ok(())
    }

    /// The checkpoint after the run's last step, unless there is one: from it the run can be prolonged. Where it can't be written that is told, and the run ends.
    pub(crate) fn save_at_end(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.settle(true, observer);
        if !self.is_saved() {
            let written = self.save_checkpoint(false, observer)?;
            self.tell(written, observer);
        }
        Ok(())
    }

    /// Whether there is a checkpoint after the last step that was made.
    fn is_saved(&self) -> bool {
        self.saver.last().is_some_and(|(step, _)| *step == self.summary.steps)
    }

    /// Stops before the run's end, with a checkpoint to go on from. Errors: it could not be written.
    pub(crate) fn save_and_stop(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.summary.stopped = true;
        self.settle(true, observer);
        if !self.is_saved() {
            self.save_checkpoint(false, observer)?.map_err(|e| {
                let last = self.saver.last().map_or_else(String::new, |(_, folder)| format!("; the last one is {}", folder.display()));
                Error::Run(format!("the checkpoint at which to stop could not be written: {e}{last}"))
            })?;
        }
        self.summary.checkpoint = self.saver.last().map(|(_, folder)| folder.clone());
        Ok(())
    }

    /// Tells of the checkpoint that is being written, where one is and it is done; `wait`: until it is.
    pub(crate) fn settle(&mut self, wait: bool, observer: &mut dyn Observer) {
        let Some(thread) = self.saver.writing.take_if(|thread| wait || thread.is_finished()) else { return };
        let start = Instant::now();
        let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.saver.seconds += start.elapsed().as_secs_f64();
        let written = self.keep(written, observer);
        self.tell(written, observer);
    }

    /// Remembers a checkpoint that was written, and tells of an older one that could not be removed.
    fn keep(&mut self, written: Result<Written>, observer: &mut dyn Observer) -> Result<()> {
        let Written { step, folder, left } = written?;
        if let Some(error) = left {
            observer.on_notice(
                self.summary.steps,
                &format!("{} was written, but an older checkpoint could not be removed: {error}", folder.display()),
            );
        }
        self.saver.last = Some((step, folder));
        Ok(())
    }

    /// Takes the run back to its newest whole checkpoint, logs and all. Returns after which step that was written; `None`: there is none.
    pub(crate) fn restore_last_checkpoint(&mut self, observer: &mut dyn Observer) -> Result<Option<usize>> {
        self.settle(true, observer);
        let Some(output) = &self.output else { return Ok(None) };
        let (Some(stored), notices) = Stored::newest(output.folder())? else { return Ok(None) };
        notices.iter().for_each(|notice| observer.on_notice(self.summary.steps, notice));
        stored.restore(self.parts())?;
        if let Some(output) = &mut self.output {
            output.rewind(&stored.logs)?;
        }
        self.saver.continues(stored.step, stored.folder().to_owned());
        Ok(Some(stored.step))
    }

    /// A checkpoint that could not be written is no reason to stop: the last one is as it was.
    fn tell(&self, written: Result<()>, observer: &mut dyn Observer) {
        let Err(error) = written else { return };
        let last = match self.saver.last() {
            Some((_, folder)) => format!("the last good one is {}", folder.display()),
            None => "there is none yet".to_owned(),
        };
        observer.on_notice(self.summary.steps, &format!("no checkpoint was written: {error}; {last}"));
    }

    /// Writes a checkpoint of the run as it is, or lets a thread write it. The outer error: the logs can't be written; the inner one: the checkpoint can't.
    fn save_checkpoint(&mut self, in_background: bool, observer: &mut dyn Observer) -> Result<Result<()>> {
        // One at a time: copies take memory.
        self.settle(true, observer);
        let Some(output) = &mut self.output else { return Ok(Ok(())) };
        let step = self.summary.steps;
        observer.on_phase(step, Phase::Save);
        let start = Instant::now();
        let state = write::state(step, &output.sync_logs()?);
        let place = Place {
            run: output.folder().to_owned(),
            save_weights: self.saver.save_weights.clone(),
            dtype: self.config.train.save_dtype.into(),
            keep: self.config.train.save_total_limit,
            best: self.summary.best.as_ref().map(|best| best.step),
        };
        let capture = self.parts().capture()?;
        let mut outcome = Ok(());
        if in_background {
            let capture = capture.copied();
            let work = move || write::write(&place, step, &capture, state);
            let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work);
            match thread {
                Ok(thread) => self.saver.writing = Some(thread),
                Err(e) => outcome = Err(Error::Run(format!("no thread to write it: {e}"))),
            }
        } else {
            let written = write::write(&place, step, &capture, state);
            drop(capture);
            outcome = self.keep(written, observer);
        }
        self.saver.seconds += start.elapsed().as_secs_f64();
        Ok(outcome)
    }
}
