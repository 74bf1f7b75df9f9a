//! `expo-rl sweep`: a matrix of runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use crate::output::tell;
use crate::sampling::at_least_one;
use crate::sweep::figures::Figures;
use crate::sweep::folder::{RunFolder, State};
use crate::sweep::plan::Plan;
use crate::sweep::schedule::{End, Schedule, arguments, command_line};
use crate::sweep::write::write;
use crate::table;

/// Train a matrix of runs (arms, option values, seeds), evaluate each, and make tables of mean and standard deviation over the seeds.
///
/// As many runs at a time as there are cores, each a process of its own with its share of the threads. A run that fails stops no other. The same command again goes on: what is done is not done again, and a
/// run that was stopped goes on after its last checkpoint. Ctrl-C and SIGTERM let the runs finish their step and write a checkpoint; the exit code is then 130 or 143. At the end `sweep.json`,
/// `sweep.md` (the tables) and `curves.csv` are in the folder, beside `ARM/seed-S` of each run. docs/sweeps.md says what the file holds; configs/reproduction/ has some.
#[derive(Debug, clap::Args)]
pub struct Sweep {
    /// The file of the sweep.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// The sweep's folder [default: runs/FILE].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at a time [default: one for each of `--threads`].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<usize>,
    /// Check everything and print the runs and their commands; run nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Sweep {
    /// Checks, runs, reports.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let plan = Plan::read(&self.file)?;
        let out = self.out.unwrap_or_else(|| Path::new("runs").join(&plan.name));
        if self.dry_run {
            return dry_run(&plan, &out).map(|()| ExitCode::SUCCESS);
        }
        let threads = rayon::current_num_threads();
        let jobs = self.jobs.unwrap_or(threads).min(plan.runs.len());
        let schedule = Schedule::new(&plan, &out, jobs, (threads / jobs).max(1))?;
        let failures = match schedule.run(&states(&plan, &out)?) {
            End::Done(failures) => failures,
            End::Stopped(code) => return Ok(code.into()),
        };
        let figures: Vec<Figures> = plan.runs.iter().map(|run| Figures::read(&plan, &out, run)).collect();
        let text = write(&plan, &out, &figures, &failures)?;
        std::io::stdout().lock().write_all(text.as_bytes())?;
        tell!("the tables are in {}, the curves in {}", out.join("sweep.md").display(), out.join("curves.csv").display());
        if failures.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let names: Vec<String> = failures.iter().map(|failure| plan.runs[failure.run].folder.display().to_string()).collect();
        bail!(
            "{} of {} runs failed: {}; the reason is in sweep.log of each folder, and the same command tries them again",
            failures.len(),
            plan.runs.len(),
            names.join(", ")
        )
    }
}

/// What stands in every run's folder.
fn states(plan: &Plan, out: &Path) -> anyhow::Result<Vec<State>> {
    plan.runs.iter().map(|run| RunFolder::new(out, run).state(plan, run)).collect()
}

fn dry_run(plan: &Plan, out: &Path) -> anyhow::Result<()> {
    let states = states(plan, out)?;
    let mut rows = Vec::new();
    let mut commands = String::new();
    for (run, state) in plan.runs.iter().zip(states) {
        let folder = RunFolder::new(out, run);
        let tasks = plan.tasks(run);
        let missing: Vec<_> = tasks.iter().filter(|task| !folder.is_done(plan, run, task)).collect();
        let state = match (state, missing.is_empty()) {
            (State::New, _) => "new",
            (State::Unfinished, _) => "unfinished",
            (State::Trained, true) => "done",
            (State::Trained, false) => "evaluations missing",
        };
        let steps = plan.steps(run);
        rows.push(
            [run.folder.display().to_string(), steps.to_string(), format!("{} of {}", missing.len(), tasks.len()), state.to_owned()]
                .to_vec(),
        );
        missing.iter().for_each(|task| commands += &(command_line(&arguments(plan, run, task, &folder)) + "\n"));
    }
    let head = ["run", "steps", "to do", "state"].map(str::to_owned);
    let separator = if commands.is_empty() { "" } else { "\n" };
    Ok(std::io::stdout().lock().write_all(format!("{}{separator}{commands}", table::render(&head, &rows)).as_bytes())?)
}
