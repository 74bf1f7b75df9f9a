//! Going on with a run.

use std::collections::BTreeMap;

use expo_lm::load::LoadedModel;
use expo_lm::model::Model;
use serde_json::{Value, json};

use super::checkpoint::changes::Change;
use super::checkpoint::read::Stored;
use super::checkpoint::unfinished::UnfinishedRun;
use super::data::TrainData;
use super::evaluation::best_on_disk;
use super::output::Output;
use super::save_weights::SaveWeights;
use super::trainer::Trainer;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::logs::RUN_FILE;
use crate::policy::cpu::CpuPolicy;
use crate::task::Task;

impl Trainer {
    /// Goes on with `run`: everything after is, to the bit, what it would have been had the run never stopped. `config`, `policy` and `data` are those with which
    /// it began. Errors: as [`Trainer::new`]; data or start weights have changed since; a checkpoint of another version.
    pub fn resume(config: Config, policy: LoadedModel, data: TrainData, run: UnfinishedRun) -> Result<Self> {
        let (model, task, save) = Self::of_policy(&config, policy, run.date())?;
        Self::resume_with_task(config, model, task, save, data, run)
    }

    /// The same for any task and any way to save.
    pub fn resume_with_task(
        config: Config,
        model: Model,
        task: Box<dyn Task>,
        save: SaveWeights,
        data: TrainData,
        run: UnfinishedRun,
    ) -> Result<Self> {
        let hashes = data.hashes.clone();
        let policy = Box::new(CpuPolicy::new(&config, model)?);
        let mut trainer = Self::at_beginning(config, policy, task, save, data)?;
        let mut now = trainer.describe(&hashes)?;
        let UnfinishedRun { folder, lock, run: before, checkpoint, changes, mut notices } = run;
        check_inputs(&before, &now).map_err(|message| Error::file(&folder.join(RUN_FILE), None, message))?;
        let mut logs = BTreeMap::new();
        match checkpoint {
            Some(stored) => {
                let documents = trainer.recipe.sources().documents;
                stored.restore(&mut trainer.state, &trainer.config, documents)?;
                notices.extend(remarks(&stored));
                notices.push(format!("the run goes on after step {}, from {}", stored.step, stored.folder().display()));
                trainer.files.continues(stored.step, stored.folder().to_owned());
                logs = stored.logs;
                if changes.iter().any(Change::alters_results) || altered_since(&before, stored.step) {
                    // The steps that led to the best weights on the disk may not come again: only better ones take their place.
                    if let (Some(evaluator), Some(best)) = (&mut trainer.state.evaluator, best_on_disk(&folder)?) {
                        trainer.state.summary.best = Some(best.clone());
                        evaluator.remember_best(Some(best));
                    }
                }
            }
            None => notices.push("the run has no checkpoint yet: it starts at its beginning".into()),
        }
        notices.extend(changes.iter().map(|change| format!("changed: {change}")));
        // What it began with stays on record, and so does every time that it went on.
        now["date_unix_seconds"] = before["date_unix_seconds"].clone();
        let mut resumed = before["resumed"].as_array().cloned().unwrap_or_default();
        resumed.push(json!({
            "after_step": trainer.state.summary.steps,
            "changes": changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "alters_results": changes.iter().any(Change::alters_results),
            "version": env!("CARGO_PKG_VERSION"),
            "instruction_set": expo_lm::kernels::instruction_set(),
        }));
        now["resumed"] = resumed.into();
        trainer.files.output = Some(Output::reopen(&folder, lock, now, &logs, &mut notices)?);
        // Before those of the data.
        trainer.notices.splice(0..0, notices);
        Ok(trainer)
    }
}

/// Whether the run `before` went on with options that alter results from `step` or later: a checkpoint of that step knows nothing of it.
fn altered_since(before: &Value, step: usize) -> bool {
    let resumed = before["resumed"].as_array().into_iter().flatten();
    resumed.filter(|entry| entry["alters_results"] == true).any(|entry| entry["after_step"].as_u64() >= Some(step as u64))
}

/// What is wrong where data or start weights are not those of the run's beginning.
fn check_inputs(before: &Value, now: &Value) -> Result<(), String> {
    let null = Value::Null;
    let hashes = |run: &Value| run["data_sha256"].as_object().cloned().unwrap_or_default();
    let (then, now_hashes) = (hashes(before), hashes(now));
    let changed = then.iter().find(|(name, hash)| now_hashes.get(*name).unwrap_or(&null) != *hash);
    if let Some((name, _)) = changed {
        return Err(format!("{name} has changed since the run began (its SHA-256 is another); the run can only go on with the same data"));
    }
    for (key, what) in [("problems", "problems"), ("pairs", "preference pairs")] {
        if before[key] != now[key] {
            return Err(format!(
                "the run began with {} {what}, now there are {}; it can only go on with the same data",
                before[key], now[key]
            ));
        }
    }
    for key in ["initial_policy_sha256", "base_model_sha256"] {
        if before[key] != now[key] {
            return Err(
                "the weights in model.path are not those that the run began with, and something in it refers to them; give it the same model"
                    .into(),
            );
        }
    }
    Ok(())
}

/// Why what follows may not be what an undisturbed run would have given.
fn remarks(stored: &Stored) -> Vec<String> {
    let mut remarks = Vec::new();
    let instruction_set = expo_lm::kernels::instruction_set().to_string();
    if stored.instruction_set != instruction_set {
        remarks.push(format!(
            "the checkpoint was written with instruction set {}, this machine has {instruction_set}: from here on results agree in rounding only",
            stored.instruction_set
        ));
    }
    if stored.version != env!("CARGO_PKG_VERSION") {
        remarks.push(format!(
            "the checkpoint was written by version {}, this is {}: from here on results may differ",
            stored.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    remarks
}
