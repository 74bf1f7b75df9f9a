//! A run's files as it goes on: its logs, and its checkpoints, written by a thread of its own with copies or by training itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::capture::Capture;
use super::read::Stored;
use super::write::{self, Place, Written, replace};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::observe::{Observer, Phase};
use crate::policy::Lm;
use crate::run::output::Output;
use crate::run::save_weights::SaveWeights;
use crate::run::state::State;

/// A run's folder, and who writes into it.
pub(crate) struct Files {
    /// The folder's logs; `None`: nothing is written.
    pub output: Option<Output>,
    /// Writes weights as a model folder.
    save_weights: Arc<SaveWeights>,
    writing: Option<JoinHandle<Result<Written>>>,
    /// The last checkpoint that is on the disk, and its step.
    last: Option<(usize, PathBuf)>,
    /// Seconds that training stood still for checkpoints since they were last asked for.
    seconds: f64,
}

impl Files {
    /// Of a run without a folder as yet.
    pub fn new(save_weights: SaveWeights) -> Self {
        Self { output: None, save_weights: Arc::new(save_weights), writing: None, last: None, seconds: 0.0 }
    }

    /// Seconds that training stood still for checkpoints since the last call; `None`: it did not.
    pub fn take_seconds(&mut self) -> Option<f64> {
        Some(std::mem::take(&mut self.seconds)).filter(|seconds| *seconds > 0.0)
    }

    /// The run goes on from the checkpoint of `step` in `folder`.
    pub fn continues(&mut self, step: usize, folder: PathBuf) {
        self.last = Some((step, folder));
    }

    /// The run's folder, where it has one.
    pub fn folder(&self) -> Option<&Path> {
        self.output.as_ref().map(Output::folder)
    }

    /// Saves `lm` in the run's folder under `name`, in place of what an earlier process of this run left there; `None` where the run writes nothing.
    pub fn save(&self, lm: &dyn Lm, name: &str) -> Result<Option<PathBuf>> {
        let Some(output) = &self.output else { return Ok(None) };
        let path = output.folder().join(name);
        match path.exists() {
            true => replace(&path, |new| self.save_weights.write(lm, new))?,
            false => self.save_weights.write(lm, &path)?,
        }
        Ok(Some(path))
    }

    /// Writes a checkpoint where one is due after the step that was just made.
    pub fn save_if_due(&mut self, config: &Config, state: &mut State, observer: &mut dyn Observer) -> Result<()> {
        let step = state.summary.steps;
        self.settle(false, step, observer);
        let every = config.train.save_every;
        if every > 0 && step.is_multiple_of(every) {
            let written = self.save_checkpoint(config, state, config.train.save_async, observer)?;
            self.tell(written, step, observer);
        }
        Ok(())
    }

    /// The checkpoint after the run's last step, unless there is one: from it the run can be prolonged. Where it can't be written that is told, and the run ends.
    pub fn save_at_end(&mut self, config: &Config, state: &mut State, observer: &mut dyn Observer) -> Result<()> {
        let step = state.summary.steps;
        self.settle(true, step, observer);
        if !self.is_saved(step) {
            let written = self.save_checkpoint(config, state, false, observer)?;
            self.tell(written, step, observer);
        }
        Ok(())
    }

    /// Whether there is a checkpoint after `step`, the last one that was made.
    fn is_saved(&self, step: usize) -> bool {
        self.last.as_ref().is_some_and(|(saved, _)| *saved == step)
    }

    /// Stops before the run's end, with a checkpoint to go on from. Errors: it could not be written.
    pub fn save_and_stop(&mut self, config: &Config, state: &mut State, observer: &mut dyn Observer) -> Result<()> {
        let step = state.summary.steps;
        state.summary.stopped = true;
        self.settle(true, step, observer);
        if !self.is_saved(step) {
            self.save_checkpoint(config, state, false, observer)?.map_err(|e| {
                let last = self.last.as_ref().map_or_else(String::new, |(_, folder)| format!("; the last one is {}", folder.display()));
                Error::Checkpoint(format!("the checkpoint at which to stop could not be written: {e}{last}"))
            })?;
        }
        state.summary.checkpoint = self.last.as_ref().map(|(_, folder)| folder.clone());
        Ok(())
    }

    /// Tells of the checkpoint that is being written, where one is and it is done; `wait`: until it is. `step` is the one that is told.
    pub fn settle(&mut self, wait: bool, step: usize, observer: &mut dyn Observer) {
        let Some(thread) = self.writing.take_if(|thread| wait || thread.is_finished()) else { return };
        let start = Instant::now();
        let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.seconds += start.elapsed().as_secs_f64();
        let written = self.keep(written, step, observer);
        self.tell(written, step, observer);
    }

    /// Remembers a checkpoint that was written, and tells of an older one that could not be removed.
    fn keep(&mut self, written: Result<Written>, now: usize, observer: &mut dyn Observer) -> Result<()> {
        let Written { step, folder, left } = written?;
        if let Some(error) = left {
            let message = format!("{} was written, but an older checkpoint could not be removed: {error}", folder.display());
            observer.on_notice(now, &message);
        }
        self.last = Some((step, folder));
        Ok(())
    }

    /// Takes the run back to its newest whole checkpoint, logs and all. Returns after which step that was written; `None`: there is none.
    pub fn go_back(&mut self, config: &Config, documents: usize, state: &mut State, observer: &mut dyn Observer) -> Result<Option<usize>> {
        let step = state.summary.steps;
        self.settle(true, step, observer);
        let Some(folder) = self.folder() else { return Ok(None) };
        let (Some(stored), notices) = Stored::newest(folder)? else { return Ok(None) };
        notices.iter().for_each(|notice| observer.on_notice(step, notice));
        stored.restore(state, config, documents)?;
        if let Some(output) = &mut self.output {
            output.rewind(&stored.logs)?;
        }
        self.continues(stored.step, stored.folder().to_owned());
        Ok(Some(stored.step))
    }

    /// A checkpoint that could not be written is no reason to stop: the last one is as it was.
    fn tell(&self, written: Result<()>, step: usize, observer: &mut dyn Observer) {
        let Err(error) = written else { return };
        let last = match &self.last {
            Some((_, folder)) => format!("the last good one is {}", folder.display()),
            None => "there is none yet".to_owned(),
        };
        observer.on_notice(step, &format!("no checkpoint was written: {error}; {last}"));
    }

    /// Writes a checkpoint of the run as it is, or lets a thread write it. The outer error: the logs can't be written; the inner one: the checkpoint can't.
    fn save_checkpoint(
        &mut self,
        config: &Config,
        run: &mut State,
        in_background: bool,
        observer: &mut dyn Observer,
    ) -> Result<Result<()>> {
        let step = run.summary.steps;
        // One at a time: copies take memory.
        self.settle(true, step, observer);
        let Some(output) = &mut self.output else { return Ok(Ok(())) };
        observer.on_phase(step, Phase::Save);
        let start = Instant::now();
        let state = write::state(step, &output.sync_logs()?);
        let place = Place {
            run: output.folder().to_owned(),
            save_weights: self.save_weights.clone(),
            dtype: config.train.save_dtype.into(),
            keep: config.train.save_total_limit,
            best: run.summary.best.as_ref().map(|best| best.step),
        };
        let capture = Capture::of(run.parts())?;
        let mut outcome = Ok(());
        if in_background {
            let capture = capture.copied()?;
            let work = move || write::write(&place, step, &capture, state);
            let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work);
            match thread {
                Ok(thread) => self.writing = Some(thread),
                Err(e) => outcome = Err(Error::Checkpoint(format!("no thread to write it: {e}"))),
            }
        } else {
            let written = write::write(&place, step, &capture, state);
            drop(capture);
            outcome = self.keep(written, step, observer);
        }
        self.seconds += start.elapsed().as_secs_f64();
        Ok(outcome)
    }
}
