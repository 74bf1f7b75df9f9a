//! Checkpoints that are written while training goes on, and such as no run can have written.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;

use super::tests::{begin_with, go_on, killed, recipe, steps};
use super::write::name;
use super::{FOLDER, manifest};
use crate::config::RecipeName;
use crate::error::Error;
use crate::metrics::StepMetrics;
use crate::observe::Observer;
use crate::policy::Lm;
use crate::run::save_weights::SaveWeights;

/// Says when the third step is done.
struct Tell {
    done: Sender<()>,
    notices: Vec<String>,
}

impl Observer for Tell {
    fn on_step(&mut self, metrics: &StepMetrics) {
        if metrics.step == 3 {
            self.done.send(()).unwrap();
        }
    }
    fn on_notice(&mut self, _: usize, notice: &str) {
        self.notices.push(notice.to_owned());
    }
}

#[test]
fn training_goes_on_while_a_checkpoint_is_written() {
    let config = recipe(RecipeName::Sft, |c| c.train.save_async = true);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let (done, wait) = channel();
    let wait = Mutex::new(wait);
    // The writer waits for the step behind its own: if training waited for the writer, neither would get there.
    let save = SaveWeights::new(0, move |_: &dyn Lm, path: &Path| {
        std::fs::create_dir(path).map_err(|e| Error::io("create", path, e))?;
        if path.to_string_lossy().contains(&name(2)) {
            let next = wait.lock().unwrap().recv_timeout(Duration::from_secs(120));
            next.map_err(|_| Error::Checkpoint("training stood still".into()))?;
        }
        Ok(())
    });
    let mut observer = Tell { done, notices: Vec::new() };
    begin_with(&config, save, &out).unwrap().run(&mut observer).unwrap();
    assert_eq!(observer.notices, Vec::<String>::new());
    assert_eq!(steps(&out), [4, 5]);
}

#[test]
fn counts_that_no_run_can_have_are_refused() {
    for (part, field, told) in [("questions_drawn", "", "questions_drawn "), ("documents", "position", "documents position")] {
        let (config, _folder, run, _) = killed(|c| c.rehearsal.data = "stream".into());
        let checkpoint = run.join(FOLDER).join(name(4));
        let path = checkpoint.join("state/state.json");
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let count = if field.is_empty() { &mut state["parts"][part] } else { &mut state["parts"][part][field] };
        assert!(count.is_u64(), "{state:#}");
        *count = u64::MAX.into();
        std::fs::write(&path, state.to_string()).unwrap();
        std::fs::remove_file(checkpoint.join("checkpoint.json")).unwrap();
        manifest::seal(&checkpoint).unwrap();
        let error = go_on(&config, &run, false).err().unwrap().to_string();
        assert!(error.contains(told) && error.contains("18446744073709551615; a run of this configuration has at most"), "{error}");
    }
}
