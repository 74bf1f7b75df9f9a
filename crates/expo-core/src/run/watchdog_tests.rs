//! Runs in which something goes wrong, and what they do about it.

use std::path::Path;

use serde_json::Value;

use crate::config::{Config, LrSchedule, RecipeName, WatchdogPolicy};
use crate::error::Error;
use crate::observe::{Observer, Phase};
use crate::run::checkpoint::tests::{Witness, begin, go_on, outcome, recipe};
use crate::run::trainer::Trainer;

fn rows(run: &Path, log: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join(log)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn steps(run: &Path) -> Vec<u64> {
    rows(run, "metrics.jsonl").iter().map(|row| row["step"].as_u64().unwrap()).collect()
}

/// A run whose first update ruins the weights.
fn ruined(change: impl FnOnce(&mut Config)) -> Config {
    recipe(RecipeName::Sft, |config| {
        (config.optim.learning_rate, config.train.save_every) = (1e30, 1);
        change(config);
    })
}

/// What made a step fail, whether or not the run was saved then.
fn cause(error: &Error) -> &Error {
    match error {
        Error::GivenUp { error, .. } => error,
        error => error,
    }
}

#[test]
fn batches_that_are_not_finite_are_skipped_but_not_for_ever() {
    let config = ruined(|c| (c.watchdog.on_non_finite, c.watchdog.max_skips) = (WatchdogPolicy::Skip, 2));
    let folder = tempfile::tempdir().unwrap();
    let mut witness = Witness::default();
    let error = begin(&config, folder.path()).unwrap().run(&mut witness).unwrap_err();
    assert!(matches!(cause(&error), Error::Watchdog(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("3 steps in a row were skipped (watchdog.max_skips = 2)"), "{error}");
    assert!(witness.notices[0].contains("gradient norm NaN; the update was not applied; the batch is skipped"), "{:?}", witness.notices);
    let metrics = rows(folder.path(), "metrics.jsonl");
    assert_eq!(steps(folder.path()), [1, 2, 3]);
    assert!(metrics[0].get("watchdog/skipped").is_none() && metrics[1]["watchdog/skipped"] == 1.0 && metrics[1].get("loss").is_none());
    let found = rows(folder.path(), "watchdog.jsonl");
    assert_eq!(found.len(), 3);
    assert_eq!((&found[0]["step"], &found[0]["watch"], &found[0]["action"]), (&2.into(), &"non_finite".into(), &"skipped".into()));
    assert!(folder.path().join("nonfinite-step-2.json").is_file() && !folder.path().join("last-good").exists());
}

#[test]
fn a_run_that_cannot_be_saved_by_going_back_stops() {
    let config = ruined(|c| (c.watchdog.on_non_finite, c.watchdog.max_rollbacks) = (WatchdogPolicy::Rollback, 2));
    let folder = tempfile::tempdir().unwrap();
    let error = begin(&config, folder.path()).unwrap().run(&mut ()).unwrap_err().to_string();
    assert!(
        error.starts_with("step 2: loss") && error.contains("the run went back 2 times already (watchdog.max_rollbacks = 2)"),
        "{error}"
    );
    let actions: Vec<String> = rows(folder.path(), "watchdog.jsonl").iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect();
    // Going back takes the log back, too: what is there is the last time and the end.
    assert_eq!(actions, ["back to step 1, learning rate times 0.25", "stopped"]);
    // Without a checkpoint there is nothing to go back to.
    let config = ruined(|c| (c.watchdog.on_non_finite, c.train.save_every) = (WatchdogPolicy::Rollback, 4));
    let folder = tempfile::tempdir().unwrap();
    let error = begin(&config, folder.path()).unwrap().run(&mut ()).unwrap_err();
    assert!(matches!(cause(&error), Error::NonFinite(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("there is no checkpoint yet to go back to"), "{error}");
}

#[test]
fn a_run_goes_back_goes_on_with_a_smaller_rate_and_can_still_be_killed() {
    let of = |steps: usize, max_kl: Option<f64>| {
        recipe(RecipeName::Grpo, |c| {
            (c.grpo.beta, c.optim.learning_rate, c.train.steps, c.train.save_async) = (0.1, 1e-2, steps, false);
            (c.train.save_every, c.optim.lr_scheduler_type) = (3, LrSchedule::Constant);
            (c.watchdog.max_kl, c.watchdog.rollback_learning_rate) = (max_kl, 1e-6);
            if max_kl.is_some() {
                c.watchdog.on_kl = WatchdogPolicy::Rollback;
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let [free, whole, killed] = ["free", "whole", "killed"].map(|name| folder.path().join(name));
    begin(&of(16, None), &free).unwrap().run(&mut ()).unwrap();
    let kl: Vec<f64> = rows(&free, "metrics.jsonl").iter().map(|row| row["kl"].as_f64().unwrap()).collect();
    // A step whose KL is far above all until the first one after the last checkpoint before it.
    let largest = |until: usize| kl[..until].iter().copied().fold(0.0, f64::max);
    let found =
        (4..16).find(|place| kl[*place] > largest(*place) && kl[*place] > 2.0 * largest(place / 3 * 3 + 1)).expect("a KL that grows");
    let (checkpoint, limit) = (found / 3 * 3, 0.999 * kl[found]);
    let config = of(found + 2, Some(limit));
    let mut trainer = begin(&config, &whole).unwrap();
    let mut witness = Witness { kill: Some((found + 2, whole.clone(), killed.clone())), ..Witness::default() };
    trainer.run(&mut witness).unwrap();
    let told = format!("back to step {checkpoint}, learning rate times 0.000001");
    assert!(witness.notices.iter().any(|notice| notice.contains(&told)), "{:?}", witness.notices);
    assert_eq!(steps(&whole), (1..=found as u64 + 2).collect::<Vec<_>>());
    let metrics = rows(&whole, "metrics.jsonl");
    let rate = |place: usize| metrics[place]["learning_rate"].as_f64();
    assert_eq!((rate(checkpoint - 1), rate(checkpoint)), (Some(1e-2), Some(1e-2 * 1e-6)));
    let evidence = rows(&whole, "watchdog.jsonl");
    assert_eq!((evidence.len(), &evidence[0]["watch"], &evidence[0]["step"]), (1, &"kl".into(), &(found + 1).into()));
    // Killed after it went back, it goes on to the same end.
    let expected = outcome(trainer, &whole);
    let mut trainer = go_on(&config, &killed, false).unwrap();
    trainer.run(&mut ()).unwrap();
    assert!(expected == outcome(trainer, &killed));
}

#[cfg(unix)]
#[test]
fn a_reward_that_stops_answering_can_be_passed_over() {
    use crate::config::{ExternalRewardSection, OnFailure};
    // Each process answers one batch of six and ends at the second, whose retry a new process would answer: there is none.
    let script = "i=0; while [ $i -lt 6 ]; do read -r row; id=${row#*:}; echo \"{\\\"id\\\": ${id%%,*}, \\\"reward\\\": $i}\"; i=$((i + 1)); done; read -r row; exit 3";
    let config = |on_failure| {
        recipe(RecipeName::Grpo, |c| {
            (c.train.prompts_per_step, c.rollout.num_generations, c.train.steps) = (2, 3, 4);
            let command = ["sh", "-c", script].map(str::to_owned).to_vec();
            let judge = ExternalRewardSection { command, max_retries: 0, on_failure, ..ExternalRewardSection::default() };
            c.reward.external.insert("judge".into(), judge);
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("skip");
    let mut witness = Witness::default();
    begin(&config(OnFailure::Skip), &out).unwrap().run(&mut witness).unwrap();
    let skipped: Vec<bool> = rows(&out, "metrics.jsonl").iter().map(|row| row.get("watchdog/skipped").is_some()).collect();
    assert_eq!(skipped, [false, true, false, true]);
    assert!(rows(&out, "watchdog.jsonl")[0]["message"].as_str().unwrap().contains("reward.external.judge"));
    // Back to the checkpoint of step 2: the reward, started anew, answers what it did not before.
    let out = folder.path().join("rollback");
    let mut rollback = config(OnFailure::Rollback);
    rollback.train.save_every = 1;
    begin(&rollback, &out).unwrap().run(&mut ()).unwrap();
    assert_eq!(steps(&out), [1, 2, 3, 4]);
    let error = begin(&config(OnFailure::Stop), &folder.path().join("stop")).unwrap().run(&mut ()).unwrap_err();
    assert!(matches!(cause(&error), Error::External(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("reward.external.judge") && error.contains("exit status: 3"), "{error}");
}

/// Asks for a stop while the rewards of the second step are waited for, if `stops`.
#[cfg(unix)]
struct StopWhileWaiting {
    stops: bool,
    waits: bool,
}

#[cfg(unix)]
impl Observer for StopWhileWaiting {
    fn on_phase(&mut self, step: usize, phase: Phase) {
        self.waits |= step == 2 && phase == Phase::Reward;
    }
    fn should_stop(&mut self) -> bool {
        self.stops && self.waits
    }
}

/// A step that fails before its update is no reason to lose those before it.
#[cfg(unix)]
#[test]
fn a_run_whose_reward_is_gone_is_saved_as_it_was_before_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    // The reward is the number of tokens; while the file is there, nothing comes after the first batch of six.
    let config = |failing: &str| {
        let script = format!(
            "n=0; while read -r row; do if [ $n -ge 6 ] && [ -e '{}' ]; then {failing}; fi; n=$((n + 1)); id=${{row#*:}}; \
             tokens=${{row#*\\\"tokens\\\":}}; echo \"{{\\\"id\\\": ${{id%%,*}}, \\\"reward\\\": ${{tokens%%,*}}}}\"; done",
            broken.display()
        );
        recipe(RecipeName::Grpo, |c| {
            (c.train.prompts_per_step, c.rollout.num_generations, c.train.steps, c.train.save_every) = (2, 3, 3, 100);
            let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
            let judge = crate::config::ExternalRewardSection { command, max_retries: 0, ..Default::default() };
            c.reward.external.insert("judge".into(), judge);
        })
    };
    let finished = |config: &Config, out: &Path, mut trainer: Trainer| {
        trainer.run(&mut ()).unwrap();
        assert_eq!(trainer.config.reward, config.reward);
        let (weights, logs) = outcome(trainer, out);
        (weights, logs.into_iter().filter(|log| !log.starts_with("watchdog")).collect::<Vec<_>>())
    };
    for (failing, stops) in [("exit 3", false), ("sleep 1000", true)] {
        let (config, out, whole) =
            (config(failing), folder.path().join(format!("run-{stops}")), folder.path().join(format!("whole-{stops}")));
        let expected = finished(&config, &whole, begin(&config, &whole).unwrap());
        std::fs::write(&broken, "").unwrap();
        let result = begin(&config, &out).unwrap().run(&mut StopWhileWaiting { stops, waits: false });
        match result {
            Ok(summary) => assert!(stops && summary.stopped && summary.checkpoint.unwrap().ends_with("step-000001")),
            Err(error) => {
                let error = error.to_string();
                assert!(!stops && error.starts_with("step 2: reward.external.judge: ") && error.contains("exit status: 3"), "{error}");
                let saved =
                    format!("saved as it was after step 1, in {}; the same command goes on", out.join("checkpoints/step-000001").display());
                assert!(error.ends_with(&saved), "{error}");
                assert_eq!(rows(&out, "watchdog.jsonl")[0]["action"], "stopped");
            }
        }
        assert_eq!(steps(&out), [1]);
        std::fs::remove_file(&broken).unwrap();
        assert_eq!(finished(&config, &out, go_on(&config, &out, false).unwrap()), expected);
    }
}
