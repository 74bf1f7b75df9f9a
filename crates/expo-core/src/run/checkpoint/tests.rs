//! Runs that are stopped, killed, damaged and changed, and go on.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use expo_lm::model::Model;
use serde_json::Value;

use super::FOLDER;
use super::unfinished::UnfinishedRun;
pub use super::variants::recipe;
use super::variants::variants;
use super::write::{list, name};
use crate::config::{Config, ExplainedBy, LrSchedule, Optimizer, RecipeName};
use crate::error::{Error, Result};
use crate::feed::documents::Documents;
use crate::metrics::StepMetrics;
use crate::metrics::is_timing;
use crate::observe::Observer;
use crate::policy::Lm;
use crate::run::data::TrainData;
use crate::run::evaluation::EvaluationData;
use crate::run::save_weights::SaveWeights;
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, documents, preferences, problems, tiny_model};

/// Stops a run, copies its folder, and keeps what it is told.
#[derive(Default)]
pub struct Witness {
    /// Stops before this step (from 0).
    pub stop_at: Option<usize>,
    /// Copies the run's folder as a process that is killed after this step (from 1) leaves it.
    pub kill: Option<(usize, PathBuf, PathBuf)>,
    pub steps: usize,
    pub notices: Vec<String>,
}

impl Observer for Witness {
    fn should_stop(&mut self) -> bool {
        self.stop_at == Some(self.steps)
    }
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.steps = metrics.step;
        if let Some((step, from, to)) = &self.kill
            && *step == metrics.step
        {
            // A checkpoint may get its name meanwhile, and what was seen is gone: a kill leaves one or the other.
            while copy(from, to).is_err() {
                std::fs::remove_dir_all(to).unwrap();
            }
        }
    }
    fn on_notice(&mut self, _: usize, notice: &str) {
        self.notices.push(notice.to_owned());
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn data(config: &Config) -> TrainData {
    let documents = match config.rehearsal.data.as_str() {
        "" => None,
        "stream" => Some(Documents::Stream(Box::new(|| Box::new(documents(500).into_iter())))),
        _ => Some(Documents::List(documents(20))),
    };
    let mut problems = problems(20);
    for (i, problem) in problems.iter_mut().enumerate() {
        problem.level = Some(1 + i as u32 % 3);
    }
    let hashes = [("problems".to_owned(), "0123".to_owned())].into();
    let evaluation = EvaluationData {
        problems: if config.eval.data.is_empty() { Vec::new() } else { crate::testing::run::problems(3) },
        documents: if config.eval.loss_data.is_empty() { Vec::new() } else { crate::testing::run::documents(4) },
        ..EvaluationData::default()
    };
    TrainData { problems, preferences: preferences(20), documents, evaluation, hashes, ..TrainData::default() }
}

/// One that can write rationales where they are needed; wide enough for moments in 8 bits where they are asked for.
fn model(config: &Config) -> Model {
    static TAUGHT: LazyLock<Model> = LazyLock::new(crate::run::star_tests::taught);
    if config.train.recipe == RecipeName::Star {
        return TAUGHT.duplicate();
    }
    let mut shape = tiny_model(8).config;
    if config.optim.name == Optimizer::AdamW8bit {
        shape.intermediate_size = 256;
    }
    Model::random(shape, 0.3, 8)
}

fn save() -> SaveWeights {
    SaveWeights::new(0, |_: &dyn Lm, path: &Path| std::fs::create_dir(path).map_err(|e| Error::io("create", path, e)))
}

pub fn begin(config: &Config, out: &Path) -> Result<Trainer> {
    begin_with(config, save(), out)
}

/// The same with another way to write the model's folder.
pub fn begin_with(config: &Config, save: SaveWeights, out: &Path) -> Result<Trainer> {
    Trainer::with_task(config.clone(), model(config), Box::new(CharTask::new()), save, data(config), Some(out))
}

pub fn go_on(config: &Config, out: &Path, resume: bool) -> Result<Trainer> {
    let run = UnfinishedRun::find(out, config, resume)?.expect("a run that has not ended");
    Trainer::resume_with_task(config.clone(), model(config), Box::new(CharTask::new()), save(), data(config), run)
}

/// What a run came to: every weight, and its logs without timings.
pub fn outcome(trainer: Trainer, out: &Path) -> (Vec<u32>, Vec<String>) {
    let mut weights = Vec::new();
    trainer
        .into_model()
        .unwrap()
        .export(&mut |_, tensor| {
            weights.extend(tensor.data.into_iter().map(f32::to_bits));
            Ok(())
        })
        .unwrap();
    let mut logs = Vec::new();
    for name in
        ["metrics.jsonl", "completions.jsonl", "batches.jsonl", "pairs.jsonl", "documents.jsonl", "reference.jsonl", "watchdog.jsonl"]
    {
        for line in std::fs::read_to_string(out.join(name)).unwrap_or_default().lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().retain(|name, _| !is_timing(name));
            logs.push(format!("{name}: {row}"));
        }
    }
    logs.extend(std::fs::read_to_string(out.join("best.json")).ok());
    (weights, logs)
}

/// Every third variant, from the `first`: flushing to the disk is waiting, which three tests do at the same time.
fn ends_as_if_it_had_not_been_stopped(first: usize) {
    for (what, config) in variants().into_iter().skip(first).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        let [whole, stopped, killed] = ["whole", "stopped", "killed"].map(|name| folder.path().join(name));
        let mut trainer = begin(&config, &whole).unwrap();
        let kill = Some((5, whole.clone(), killed.clone()));
        let summary = trainer.run(&mut Witness { kill, ..Witness::default() }).unwrap_or_else(|e| panic!("{what}: {e}"));
        let expected = outcome(trainer, &whole);
        let rows = |name: &str| expected.1.iter().filter(|row| row.starts_with(name)).count();
        assert!(rows("metrics") == 5 + usize::from(config.eval.at_start), "{what}: {:#?}", expected.1);
        assert_eq!(summary.stopped_early, config.train.steps > 5, "{what}");
        assert_eq!(rows("documents") > 0, config.train.recipe == RecipeName::Star, "{what}");

        // Stopped before the first step, at a step with a checkpoint, and at one without.
        for stop_at in [0, 2, 3] {
            let mut trainer = begin(&config, &stopped).unwrap();
            let stopping = trainer.run(&mut Witness { stop_at: Some(stop_at), ..Witness::default() }).unwrap();
            assert_eq!((stopping.stopped, stopping.steps), (true, stop_at), "{what}");
            drop(trainer);
            let mut trainer = go_on(&config, &stopped, false).unwrap_or_else(|e| panic!("{what}: {e}"));
            let resumed = trainer.run(&mut ()).unwrap();
            assert_eq!((&resumed.best, resumed.stopped_early), (&summary.best, summary.stopped_early), "{what}");
            assert_eq!(resumed.sampled_tokens, summary.sampled_tokens, "{what}");
            assert_eq!(resumed.trained_tokens, summary.trained_tokens, "{what}");
            assert!(expected == outcome(trainer, &stopped), "{what}, stopped at {stop_at}");
            std::fs::remove_dir_all(&stopped).unwrap();
        }

        // Killed in its last step: the logs are ahead of the last checkpoint.
        let mut trainer = go_on(&config, &killed, true).unwrap();
        assert!(trainer.state.summary.steps == 4 || trainer.state.summary.steps == 2, "{what}: from step {}", trainer.state.summary.steps);
        trainer.run(&mut ()).unwrap();
        assert!(expected == outcome(trainer, &killed), "{what}, killed");
    }
}

#[test]
fn a_run_that_was_stopped_or_killed_ends_as_if_it_had_not_been_1() {
    ends_as_if_it_had_not_been_stopped(0);
}

#[test]
fn a_run_that_was_stopped_or_killed_ends_as_if_it_had_not_been_2() {
    ends_as_if_it_had_not_been_stopped(1);
}

#[test]
fn a_run_that_was_stopped_or_killed_ends_as_if_it_had_not_been_3() {
    ends_as_if_it_had_not_been_stopped(2);
}

/// A run of five steps, killed in its last.
pub fn killed(change: impl FnOnce(&mut Config)) -> (Config, tempfile::TempDir, PathBuf, (Vec<u32>, Vec<String>)) {
    let config = recipe(RecipeName::ExpGrpo, |c| {
        c.train.save_async = false;
        change(c);
    });
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let mut trainer = begin(&config, &whole).unwrap();
    trainer.run(&mut Witness { kill: Some((5, whole.clone(), killed.clone())), ..Witness::default() }).unwrap();
    let expected = outcome(trainer, &whole);
    (config, folder, killed, expected)
}

pub fn steps(run: &Path) -> Vec<usize> {
    list(&run.join(FOLDER)).unwrap().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn a_damaged_checkpoint_is_put_aside_and_the_one_before_used() {
    for (file, flip) in [("state/policy.safetensors", true), ("state/state.json", true), ("state/adamw_first_moments.safetensors", false)] {
        let (config, _folder, run, expected) = killed(|_| ());
        assert_eq!(steps(&run), [2, 4]);
        let path = run.join(FOLDER).join(name(4)).join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        if flip {
            bytes[middle] ^= 1
        } else {
            bytes.truncate(middle)
        }
        std::fs::write(&path, bytes).unwrap();
        let mut trainer = go_on(&config, &run, false).unwrap();
        let mut witness = Witness::default();
        trainer.run(&mut witness).unwrap();
        let told = |parts: &[&str]| witness.notices.iter().any(|notice| parts.iter().all(|part| notice.contains(part)));
        assert!(told(&[file, "step-000004 is damaged", "the one before is used"]), "{:?}", witness.notices);
        assert!(told(&["goes on after step 2, from"]), "{:?}", witness.notices);
        assert!(expected == outcome(trainer, &run), "{file}");
        assert!(run.join(FOLDER).join("step-000004.damaged").is_dir() && run.join(FOLDER).join(name(4)).is_dir());
    }
    // None is whole: the run is not thrown away, and nothing is renamed.
    let (config, _folder, run, _) = killed(|_| ());
    for step in [2, 4] {
        std::fs::write(run.join(FOLDER).join(name(step)).join("state/state.json"), "{").unwrap();
    }
    let error = UnfinishedRun::find(&run, &config, true).err().unwrap().to_string();
    assert!(error.contains("every checkpoint of the run is damaged: ") && error.contains(&name(2)) && error.contains(&name(4)), "{error}");
    assert_eq!(steps(&run), [2, 4]);
    let (config, _folder, run, _) = killed(|c| c.train.save_total_limit = 1);
    let manifest = run.join(FOLDER).join(name(4)).join("checkpoint.json");
    std::fs::write(&manifest, "{").unwrap();
    let error = UnfinishedRun::find(&run, &config, true).err().unwrap().to_string();
    assert!(error.contains("checkpoint.json can't be read") && error.contains("every checkpoint of the run is damaged"), "{error}");
    assert_eq!(steps(&run), [4]);
    // A checkpoint of a later version.
    std::fs::write(&manifest, r#"{"format": 99, "files": {}}"#).unwrap();
    let error = UnfinishedRun::find(&run, &config, true).err().unwrap().to_string();
    assert!(error.contains("has format 99"), "{error}");
}

#[cfg(unix)]
#[test]
fn checkpoints_that_lie_elsewhere_are_found_or_missed_aloud() {
    let (config, folder, run, expected) = killed(|_| ());
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(run.join(FOLDER), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, run.join(FOLDER)).unwrap();
    // A disk that is not there.
    let away = folder.path().join("away");
    std::fs::rename(&elsewhere, &away).unwrap();
    let before = std::fs::read(run.join("metrics.jsonl")).unwrap();
    let error = UnfinishedRun::find(&run, &config, true).err().unwrap().to_string();
    assert!(error.contains(FOLDER) && error.contains("read"), "{error}");
    assert_eq!(std::fs::read(run.join("metrics.jsonl")).unwrap(), before);
    std::fs::rename(&away, &elsewhere).unwrap();
    let mut trainer = go_on(&config, &run, false).unwrap();
    trainer.run(&mut ()).unwrap();
    assert!(expected == outcome(trainer, &run));
}

#[test]
fn a_log_that_lost_its_end_is_said() {
    let (config, _folder, run, expected) = killed(|_| ());
    let path = run.join("completions.jsonl");
    let first_line = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().len() + 1;
    // Within its second row, which goes: `outcome` reads every one.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(first_line as u64 + 9).unwrap();
    let mut witness = Witness::default();
    let mut trainer = go_on(&config, &run, false).unwrap();
    trainer.run(&mut witness).unwrap();
    assert!(witness.notices.iter().any(|notice| notice.contains("completions.jsonl has lost its end")), "{:?}", witness.notices);
    let (weights, logs) = outcome(trainer, &run);
    assert!(weights == expected.0 && logs[..5] == expected.1[..5], "weights and metrics are as they were");
}

#[test]
fn a_run_goes_on_only_as_what_it_was() {
    let (config, _folder, run, _) = killed(|_| ());
    let refused = |config: &Config, resume: bool| UnfinishedRun::find(&run, config, resume).err().unwrap().to_string();
    let mut other = config.clone();
    other.optim.adam_beta1 = 0.5;
    let error = refused(&other, true);
    assert!(error.contains("optim.adam_beta1: 0.9 in the run, 0.5 now"), "{error}");

    // Data and start weights.
    let resume = |data: TrainData, model: Model, config: &Config| {
        let found = UnfinishedRun::find(&run, config, false).unwrap().unwrap();
        Trainer::resume_with_task(config.clone(), model, Box::new(CharTask::new()), save(), data, found).err().unwrap().to_string()
    };
    let mut changed = data(&config);
    changed.hashes.insert("problems".into(), "4567".into());
    let error = resume(changed, tiny_model(8), &config);
    assert!(error.contains("problems has changed since the run began"), "{error}");
    let fewer = TrainData { problems: problems(19), ..data(&config) };
    let error = resume(fewer, tiny_model(8), &config);
    assert!(error.contains("began with 20 problems, now there are 19"), "{error}");

    // What may change is told and kept on record; another process is kept out meanwhile.
    let mut longer = config.clone();
    (longer.train.steps, longer.train.save_every) = (6, 3);
    let mut trainer = go_on(&longer, &run, false).unwrap();
    let error = refused(&longer, true);
    assert!(error.contains("is in use by process"), "{error}");
    let mut witness = Witness::default();
    let summary = trainer.run(&mut witness).unwrap();
    assert_eq!(summary.steps, 6);
    assert!(witness.notices.iter().any(|notice| notice == "changed: train.steps: 5 in the run, 6 now"), "{:?}", witness.notices);
    drop(trainer);
    let record: Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!((&record["finished"], &record["config"]["train"]["steps"]), (&true.into(), &6.into()));
    assert_eq!(record["resumed"][0]["after_step"], 4);

    // It has ended.
    for resume in [false, true] {
        let error = refused(&longer, resume);
        assert!(error.contains("already holds a run, which has ended"), "{error}");
    }
    let mut longest = longer;
    longest.train.steps = 8;
    assert!(refused(&longest, false).contains("raise train.steps and give --resume"));
    let mut trainer = go_on(&longest, &run, true).unwrap();
    assert_eq!(trainer.state.summary.steps, 6);
    assert_eq!(trainer.run(&mut ()).unwrap().steps, 8);
    let steps: Vec<u64> = std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn the_best_weights_stay_the_best_when_other_steps_follow() {
    // Killed in its fifth step, whose evaluation was the best; the last checkpoint is that of the fourth.
    let (config, _folder, run, _) = killed(|c| {
        *c = recipe(RecipeName::Sft, |c| {
            c.train.save_async = false;
            c.rehearsal.data = "documents".into();
            (c.eval.loss_data, c.eval.every) = ("documents".into(), 1);
            c.eval.metric_for_best_model = Some("eval/loss".into());
            (c.optim.learning_rate, c.optim.lr_scheduler_type) = (1e-2, LrSchedule::Constant);
        });
    });
    let best = |trainer: &Trainer| trainer.state.summary.best.as_ref().map(|best| best.step);
    assert_eq!(best(&go_on(&config, &run, true).unwrap()), Some(4), "the same steps lead to the fifth's weights again");
    let mut other = config.clone();
    other.train.steps = 7;
    assert_eq!(best(&go_on(&other, &run, true).unwrap()), Some(5), "other steps may not");
    let mut trainer = go_on(&other, &run, true).unwrap();
    assert_eq!(best(&trainer), Some(5), "nor when that is interrupted before a checkpoint");
    trainer.run(&mut ()).unwrap();
}

#[test]
fn other_start_weights_are_refused_where_something_refers_to_them() {
    // Those that explain, and those beneath an adapter.
    for change in [|c: &mut Config| c.exp.explainer = ExplainedBy::Initial, |c: &mut Config| c.lora.r = 2] {
        let (config, _folder, run, _) = killed(change);
        let found = UnfinishedRun::find(&run, &config, false).unwrap().unwrap();
        let other = Trainer::resume_with_task(config.clone(), tiny_model(9), Box::new(CharTask::new()), save(), data(&config), found);
        let error = other.err().unwrap().to_string();
        assert!(error.contains("weights in model.path are not those"), "{error}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_last_good_one() {
    for in_background in [false, true] {
        let config = recipe(RecipeName::Sft, |c| c.train.save_async = in_background);
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        // The disk fills up behind the first checkpoint, and is empty again for the model.
        let save = SaveWeights::new(0, |_, path| {
            std::fs::create_dir(path).map_err(|e| Error::io("create", path, e))?;
            if path.to_string_lossy().contains("step-000004") {
                return Err(Error::io("write", path, std::io::ErrorKind::StorageFull.into()));
            }
            Ok(())
        });
        let mut trainer = begin_with(&config, save, &out).unwrap();
        let mut witness = Witness::default();
        let summary = trainer.run(&mut witness).unwrap();
        assert_eq!(summary.steps, 5);
        let [told] = &witness.notices[..] else { panic!("{:?}", witness.notices) };
        assert!(
            told.contains("no checkpoint was written") && told.contains("the last good one is") && told.contains("step-000002"),
            "{told}"
        );
        // That of the end is there again.
        let mut left: Vec<_> = std::fs::read_dir(out.join(FOLDER)).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["step-000002", "step-000005"]);
    }
}

#[test]
fn the_newest_checkpoints_are_kept() {
    let config = recipe(RecipeName::Sft, |c| (c.train.save_every, c.train.save_total_limit) = (1, 3));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    begin(&config, &out).unwrap().run(&mut ()).unwrap();
    assert_eq!(steps(&out), [3, 4, 5]);
}

#[test]
fn a_run_ends_with_a_checkpoint_also_where_none_was_due_and_can_be_prolonged() {
    for every in [0, 100] {
        let config = |steps: usize| {
            recipe(RecipeName::ExpGrpo, |c| {
                (c.train.save_every, c.train.steps) = (every, steps);
                c.optim.lr_scheduler_type = crate::config::LrSchedule::Constant;
            })
        };
        let folder = tempfile::tempdir().unwrap();
        let [whole, prolonged] = ["whole", "prolonged"].map(|name| folder.path().join(name));
        let mut trainer = begin(&config(5), &whole).unwrap();
        trainer.run(&mut ()).unwrap();
        let expected = outcome(trainer, &whole);
        let mut trainer = begin(&config(3), &prolonged).unwrap();
        trainer.run(&mut ()).unwrap();
        drop(trainer);
        assert_eq!(steps(&prolonged), [3]);
        let mut trainer = go_on(&config(5), &prolonged, true).unwrap();
        trainer.run(&mut ()).unwrap();
        assert!(expected == outcome(trainer, &prolonged), "save_every = {every}");
    }
}

#[test]
fn a_disk_that_is_full_at_the_last_write_loses_nothing() {
    let config = recipe(RecipeName::ExpGrpo, |c| c.train.save_every = 100);
    let folder = tempfile::tempdir().unwrap();
    let [whole, out] = ["whole", "run"].map(|name| folder.path().join(name));
    let mut trainer = begin(&config, &whole).unwrap();
    trainer.run(&mut ()).unwrap();
    let expected = outcome(trainer, &whole);
    let no_model = SaveWeights::new(0, |_, path| {
        if path.ends_with("model") {
            return Err(Error::io("write", path, std::io::ErrorKind::StorageFull.into()));
        }
        std::fs::create_dir(path).map_err(|e| Error::io("create", path, e))
    });
    let error = begin_with(&config, no_model, &out).unwrap().run(&mut ()).unwrap_err().to_string();
    assert!(error.contains("run/model: cannot write"), "{error}");
    let mut trainer = go_on(&config, &out, false).unwrap();
    assert_eq!(trainer.state.summary.steps, config.train.steps, "no step is made again");
    let summary = trainer.run(&mut ()).unwrap();
    assert_eq!(summary.model, Some(out.join("model")));
    assert!(expected == outcome(trainer, &out));
}
