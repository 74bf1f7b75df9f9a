//! The child processes of a sweep: as many at a time as there are jobs, each with its own threads, until all tasks are done or a signal comes.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::folder::{LOG, RunFolder, State};
use super::plan::{Plan, Run, Task};
use crate::progress::Progress;
use crate::signals::EXIT_CODE_OF_SIGNAL;

/// Between two looks at the children.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at their metrics.
const LOOK: Duration = Duration::from_secs(2);

/// A run that did not come to its end.
#[derive(Debug)]
pub struct Failure {
    /// Its place.
    pub run: usize,
    /// Why, in a line.
    pub reason: String,
}

/// Does what is to be done.
pub struct Schedule<'a> {
    plan: &'a Plan,
    /// The sweep's folder.
    out: &'a Path,
    /// Held by this process and, as their standard input, by the children: a sweep whose children have outlived it is not started again beside them.
    lock: File,
    /// This program.
    program: PathBuf,
    /// Child processes at a time.
    jobs: usize,
    /// Threads of each.
    threads: usize,
    /// A signal has come that was not looked at yet.
    stop: Arc<AtomicBool>,
    /// The number of the last one.
    signal: Arc<AtomicUsize>,
}

/// How a sweep ends.
#[derive(Debug)]
pub enum End {
    /// Everything was tried; these runs failed.
    Done(Vec<Failure>),
    /// A signal came, and the children have ended; the exit code that tells of it.
    Stopped(u8),
}

/// A run with a child process.
struct Running {
    run: usize,
    task: Task,
    rest: VecDeque<Task>,
    child: Child,
    started: Instant,
}

impl<'a> Schedule<'a> {
    /// Takes hold of the folder `out` and of the signals that end a program. Errors: another sweep has the folder, or it can't be made.
    pub fn new(plan: &'a Plan, out: &'a Path, jobs: usize, threads: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(out).with_context(|| format!("{}: cannot create", out.display()))?;
        let path = out.join("sweep.lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = open.with_context(|| format!("{}: cannot open", path.display()))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            bail!("{}: a sweep, or a run that one has started, still works in this folder; wait for it or stop it", out.display());
        }
        let (stop, signal) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for number in crate::signals::asking_to_end() {
            signal_hook::flag::register_usize(number, signal.clone(), number as usize)
                .and_then(|_| signal_hook::flag::register(number, stop.clone()))
                .context("signals can't be caught")?;
        }
        let program = std::env::current_exe().context("the path of this program")?;
        Ok(Self { plan, out, lock, program, jobs, threads, stop, signal })
    }

    /// Does every task of every run; `states` are the runs' folders as they were found. A run that fails stops no other.
    pub fn run(&self, states: &[State]) -> End {
        let steps = |run: &Run| self.plan.steps(run);
        let total: usize = self.plan.runs.iter().map(steps).sum();
        let mut progress = Progress::new(&format!("sweep {}", self.plan.name), total, "step");
        let mut done: usize =
            self.plan.runs.iter().zip(states).filter(|(_, state)| **state == State::Trained).map(|(run, _)| steps(run)).sum();
        let mut waiting: VecDeque<usize> = (0..self.plan.runs.len()).collect();
        let (mut running, mut failures): (Vec<Running>, Vec<Failure>) = (Vec::new(), Vec::new());
        let mut looked: Option<Instant> = None;
        loop {
            if self.stop.swap(false, Ordering::SeqCst) {
                progress.line("stopping: runs finish their step and write a checkpoint; a second signal ends them at once");
                self.end(&mut running);
                progress.finish("stopped; the same command goes on");
                return End::Stopped((EXIT_CODE_OF_SIGNAL as usize + self.signal.load(Ordering::SeqCst)) as u8);
            }
            while running.len() < self.jobs
                && let Some(run) = waiting.pop_front()
            {
                match self.start(run, self.plan.tasks(&self.plan.runs[run]).into()) {
                    Ok(begun) => running.extend(begun),
                    Err(error) => self.fail(run, crate::output::describe(&error), &progress, &mut failures),
                }
            }
            if running.is_empty() && waiting.is_empty() {
                break;
            }
            let mut still = Vec::new();
            for one in running {
                let run = one.run;
                let trained = steps(&self.plan.runs[run]) * usize::from(one.task == Task::Train);
                match self.look_at(one, &progress) {
                    Ok(Look::Running(one)) => still.push(one),
                    Ok(Look::Next(next)) => {
                        done += trained;
                        still.extend(next);
                    }
                    Err(error) => self.fail(run, crate::output::describe(&error), &progress, &mut failures),
                }
            }
            running = still;
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                let (steps, message) = self.standing(&running);
                progress.set(done + steps, message);
            }
            std::thread::sleep(POLL);
        }
        progress.set(done, String::new());
        progress.finish(&format!("{} of {} runs done", self.plan.runs.len() - failures.len(), self.plan.runs.len()));
        End::Done(failures)
    }

    /// Starts the first of `tasks` that is not done; `None` where all are.
    fn start(&self, run: usize, mut tasks: VecDeque<Task>) -> anyhow::Result<Option<Running>> {
        let the_run = &self.plan.runs[run];
        let folder = RunFolder::new(self.out, the_run);
        folder.begin(self.plan, the_run)?;
        while let Some(task) = tasks.pop_front() {
            if folder.is_done(self.plan, the_run, &task) {
                continue;
            }
            let child = self.spawn(&folder, &arguments(self.plan, the_run, &task, &folder))?;
            return Ok(Some(Running { run, task, rest: tasks, child, started: Instant::now() }));
        }
        Ok(None)
    }

    fn spawn(&self, folder: &RunFolder, arguments: &[String]) -> anyhow::Result<Child> {
        let path = folder.path().join(LOG);
        let open = || OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("{}: cannot open", path.display()));
        let mut log = open()?;
        writeln!(log, "$ {}", command_line(arguments)).with_context(|| format!("{}: cannot write", path.display()))?;
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--threads", &self.threads.to_string()]);
        command.stdin(Stdio::from(self.lock.try_clone().context("the lock's file")?)).stdout(Stdio::from(log)).stderr(Stdio::from(open()?));
        // A group of its own: Ctrl-C reaches this process alone, which hands it on, once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().with_context(|| format!("{}: cannot start", self.program.display()))
    }

    /// Looks whether a child has ended, and starts what comes next. Errors: it failed.
    fn look_at(&self, mut one: Running, progress: &Progress) -> anyhow::Result<Look> {
        let Some(status) = one.child.try_wait().context("waiting for a child process")? else { return Ok(Look::Running(one)) };
        let run = &self.plan.runs[one.run];
        let folder = RunFolder::new(self.out, run);
        if !status.success() {
            bail!("{} ({status})", folder.last_words());
        }
        if let Task::Evaluate(eval) = one.task {
            folder.keep_evaluation(self.plan, run, eval)?;
        } else {
            progress.line(&format!("{}: trained in {:.0} s", run.folder.display(), one.started.elapsed().as_secs_f64()));
        }
        Ok(Look::Next(self.start(one.run, one.rest)?))
    }

    fn fail(&self, run: usize, reason: String, progress: &Progress, failures: &mut Vec<Failure>) {
        progress.line(&format!("{}: failed: {reason}", self.plan.runs[run].folder.display()));
        failures.push(Failure { run, reason });
    }

    /// Steps of the runs that are being trained, and what every child does.
    fn standing(&self, running: &[Running]) -> (usize, String) {
        let mut total = 0;
        let parts: Vec<String> = running
            .iter()
            .map(|one| {
                let run = &self.plan.runs[one.run];
                match &one.task {
                    Task::Train => {
                        let step = RunFolder::new(self.out, run).last_step();
                        total += step;
                        format!("{} {step}/{}", run.folder.display(), run.config.train.steps)
                    }
                    Task::Evaluate(eval) => format!("{} eval {}", run.folder.display(), self.plan.evals[*eval].name),
                }
            })
            .collect();
        (total, parts.join(", "))
    }

    /// Asks the children to end and waits; kills them at a second signal.
    fn end(&self, running: &mut [Running]) {
        running.iter_mut().for_each(|one| ask_to_end(&mut one.child));
        // A child that can't be asked for its status is gone.
        let mut left = || running.iter_mut().filter_map(|one| one.child.try_wait().ok()).filter(Option::is_none).count();
        while left() > 0 && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(POLL);
        }
        for one in running {
            // Nothing to do where it has ended meanwhile.
            let _ = one.child.kill();
            let _ = one.child.wait();
        }
    }
}

/// What a look at a child shows.
enum Look {
    /// It runs.
    Running(Running),
    /// It has ended well, and the run's next task, if any, is begun.
    Next(Option<Running>),
}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile; it has not been waited for, so that its number is still its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    // There is no polite way without further libraries.
    let _ = child.kill();
}

/// The arguments of a task's child process.
pub fn arguments(plan: &Plan, run: &Run, task: &Task, folder: &RunFolder) -> Vec<String> {
    match task {
        Task::Train => plan.train_arguments(run, folder.path()),
        Task::Evaluate(eval) => {
            let mut arguments = plan.eval_arguments(run, &plan.evals[*eval]);
            let report = folder.report_file().to_string_lossy().into_owned();
            arguments.extend(plan.model_arguments(run, folder.path()));
            arguments.extend(["--json".to_owned(), report]);
            arguments
        }
    }
}

/// The command as a shell reads it.
pub fn command_line(arguments: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=' | '+' | ',' | '.' | '/' | ':');
    let quoted = |one: &String| match one.chars().all(plain) && !one.is_empty() {
        true => one.clone(),
        false => format!("'{}'", one.replace('\'', "'\\''")),
    };
    std::iter::once("expo-rl".to_owned()).chain(arguments.iter().map(quoted)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shell_reads_the_command_back() {
        let line = super::command_line(&["train", "a b.toml", "--set", "exp.explainer=\"it's\"", ""].map(str::to_owned));
        assert_eq!(line, r#"expo-rl train 'a b.toml' --set 'exp.explainer="it'\''s"' ''"#);
    }
}
