//! A reward by a command: a child process that lives as long as the run, reads one JSON object a line and answers each with one line.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::source::{Failure, LOOK, Row, STOP_PATIENCE, Source, excerpt, one_line};

/// Longest answer in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// Answers read ahead.
const LINES_AHEAD: usize = 1024;
/// How much of the standard error is kept, in bytes.
const STDERR_KEPT: usize = 1000;
/// How long a command that was asked to end (its standard input is closed) may take for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The command of one reward.
pub(super) struct Command {
    /// Program and arguments.
    argv: Vec<String>,
    /// For all answers of a batch.
    timeout: Duration,
    /// How long the program may take to end once its standard input is closed, or it has closed its output, and to answer once the run is to stop.
    patience: Duration,
    process: Option<Process>,
}

impl Command {
    /// Starts the program, without a shell. Errors: there is no such program, or it may not be run.
    pub fn start(argv: Vec<String>, timeout: Duration) -> Result<Self, Failure> {
        let process = Some(Process::start(&argv, PATIENCE)?);
        Ok(Self { argv, timeout, patience: PATIENCE, process })
    }
}

impl Source for Command {
    fn ask(&mut self, rows: &[Row], _: usize, stopping: &AtomicBool) -> Result<Vec<Option<f64>>, Failure> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.argv, self.patience)?,
        };
        match process.exchange(rows, self.timeout, stopping) {
            Ok(answers) => {
                self.process = Some(process);
                Ok(answers)
            }
            Err(trouble) => Err(process.give_up(trouble, &self.argv)),
        }
    }

    fn close(&mut self) {
        self.process = None;
    }
}

/// What can go wrong with a batch.
enum Trouble {
    /// Some answers did not come in time.
    Late { answered: usize, expected: usize, timeout: Duration },
    /// The run is to stop, and it doesn't answer.
    Stopping { answered: usize, expected: usize },
    /// The command ended or closed its standard output.
    Ended { answered: usize, expected: usize },
    /// It wrote something that is no answer.
    Protocol(String),
}

/// What the command wrote.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// A running command. A thread writes, two read: whoever is slower, no pipe fills up and stops all. Dropping it ends it.
struct Process {
    /// `None` once it has ended.
    child: Option<Child>,
    patience: Duration,
    /// Batches to write; closing it closes the command's standard input.
    input: Option<Sender<Vec<u8>>>,
    /// Lines read; disconnected at the end of the command's standard output.
    lines: Receiver<Line>,
    /// The end of the standard error so far.
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the end of the standard error.
    stderr_end: Receiver<()>,
}

impl Process {
    fn start(argv: &[String], patience: Duration) -> Result<Self, Failure> {
        let (program, arguments) =
            argv.split_first().ok_or_else(|| Failure::fatal("`command` is empty; name the program and its arguments"))?;
        let cannot = |e: std::io::Error| {
            Failure::fatal(format!(
                "cannot start `{program}`: {e}; the first entry of `command` is the program, the others are its arguments"
            ))
        };
        let pipe = || std::io::pipe().map_err(cannot);
        let ((its_stdin, stdin), (stdout, its_stdout), (stderr, its_stderr)) = (pipe()?, pipe()?, pipe()?);
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(its_stdin).stdout(its_stdout).stderr(its_stderr);
        // A group of its own: Ctrl-C reaches the run alone, which still needs answers to finish its step; and what the command has started ends with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(cannot)?;
        // It holds the command's ends of the pipes, which would never close.
        drop(command);
        let (input, batches) = channel();
        let (read, lines) = sync_channel(LINES_AHEAD);
        let (open, stderr_end) = channel();
        let tail = Arc::new(Mutex::new(Vec::new()));
        let kept = tail.clone();
        thread::spawn(move || write_batches(stdin, &batches));
        thread::spawn(move || read_lines(stdout, &read));
        thread::spawn(move || {
            keep_tail(stderr, &kept);
            drop(open);
        });
        Ok(Self { child: Some(child), patience, input: Some(input), lines, stderr: tail, stderr_end })
    }

    /// Sends `rows` and collects their answers, which may come in any order.
    fn exchange(&mut self, rows: &[Row], timeout: Duration, stopping: &AtomicBool) -> Result<Vec<Option<f64>>, Trouble> {
        let deadline = Instant::now() + timeout;
        let mut batch = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut batch, row).map_err(|e| Trouble::Protocol(format!("a row has no JSON form: {e}")))?;
            batch.push(b'\n');
        }
        // Where the writer has left, the command has closed its input; what it wrote tells more.
        let _ = self.input.as_ref().map(|input| input.send(batch));

        let (first, expected) = (rows[0].id, rows.len());
        let mut answers: Vec<Option<Option<f64>>> = vec![None; expected];
        let (mut stop_seen, stop_patience): (Option<Instant>, _) = (None, self.patience.min(STOP_PATIENCE));
        for answered in 0..expected {
            let line = loop {
                // Also where it goes on answering, but slowly.
                if stopping.load(Ordering::Relaxed) && stop_seen.get_or_insert_with(Instant::now).elapsed() >= stop_patience {
                    return Err(Trouble::Stopping { answered, expected });
                }
                let left = deadline.saturating_duration_since(Instant::now());
                match self.lines.recv_timeout(left.min(LOOK)) {
                    Ok(Line::Whole(line)) => break line,
                    Ok(Line::TooLong) => return Err(Trouble::Protocol(format!("it wrote a line of more than {LONGEST_LINE} bytes"))),
                    Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Trouble::Late { answered, expected, timeout }),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Err(Trouble::Ended { answered, expected }),
                }
            };
            let (id, reward) = parse(&line).map_err(Trouble::Protocol)?;
            let index = id.checked_sub(first).map(|index| index as usize).filter(|index| *index < expected);
            let Some(index) = index else {
                let last = first + expected as u64 - 1;
                return Err(Trouble::Protocol(format!("it answered id {id}, but was asked for {first} to {last}, one line each")));
            };
            if answers[index].replace(reward).is_some() {
                return Err(Trouble::Protocol(format!("it answered id {id} twice")));
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Ends the command at once and says what was wrong with it.
    fn give_up(mut self, trouble: Trouble, argv: &[String]) -> Failure {
        let ended = self.end(if matches!(trouble, Trouble::Ended { .. }) { self.patience } else { Duration::ZERO });
        self.input = None;
        // The last words of what is dead are soon read, unless a process that it has started holds the pipe.
        let _ = self.stderr_end.recv_timeout(if matches!(trouble, Trouble::Stopping { .. }) { LOOK } else { self.patience });
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tail = String::from_utf8_lossy(&tail).lines().map(one_line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ");
        let stderr = if tail.is_empty() { String::new() } else { format!("; its standard error ends: {tail}") };
        let command = excerpt(&argv.join(" "));
        let (what, retry) = match trouble {
            Trouble::Late { answered, expected, timeout } => {
                let seconds = timeout.as_secs_f64();
                let what = format!(
                    "answered {answered} of {expected} rows within {seconds} s (`timeout`); it has to flush its output after each line"
                );
                (what, Some(Duration::ZERO))
            }
            Trouble::Stopping { answered, expected } => {
                (format!("had answered {answered} of {expected} rows when the run was to stop"), Some(Duration::ZERO))
            }
            Trouble::Ended { answered, expected } => {
                let status = ended.map_or_else(|| "closed its standard output".to_owned(), |status| format!("ended ({status})"));
                (format!("{status} after {answered} of {expected} answers"), Some(Duration::ZERO))
            }
            Trouble::Protocol(what) => (
                format!(
                    "{what}; it has to answer each row with one line {{\"id\": ID, \"reward\": NUMBER or null}} and print nothing else"
                ),
                None,
            ),
        };
        Failure { message: format!("`{command}`: {what}{stderr}"), retry }
    }

    /// Ends it and what it has started. The exit status, if it ended by itself within `patience`.
    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let deadline = Instant::now() + patience;
        let ended = loop {
            match has_ended(&mut child) {
                true => break true,
                false if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                false => break false,
            }
        };
        kill(&mut child);
        let status = child.wait().ok();
        status.filter(|_| ended)
    }
}

/// Whether it has ended. It is not waited for: until then no other process, and no group, gets its number.
#[cfg(unix)]
fn has_ended(child: &mut Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // Where it can't be asked for there is nothing to wait for.
    !matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
}

#[cfg(not(unix))]
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Kills the command's group. It may have ended by itself; then there is nothing to kill.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
    let _ = child.kill();
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        self.end(self.patience);
    }
}

/// Writes each batch; ends when there will be no more, or when the command reads no more.
fn write_batches(mut stdin: PipeWriter, batches: &Receiver<Vec<u8>>) {
    for batch in batches {
        if stdin.write_all(&batch).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// Hands on each line; ends at the end of the output, at a line that is too long, or when nobody listens.
fn read_lines(stdout: PipeReader, lines: &SyncSender<Line>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(length) if length > LONGEST_LINE && line.last() != Some(&b'\n') => {
                let _ = lines.send(Line::TooLong);
                return;
            }
            Ok(_) if lines.send(Line::Whole(line)).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Reads all and keeps the end.
fn keep_tail(mut stderr: PipeReader, tail: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk) {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&chunk[..count]);
        let excess = tail.len().saturating_sub(STDERR_KEPT);
        tail.drain(..excess);
    }
}

/// One answer. `Err` says what the line is instead.
fn parse(line: &[u8]) -> Result<(u64, Option<f64>), String> {
    let text = excerpt(&String::from_utf8_lossy(line));
    let answer: Value = serde_json::from_slice(line).map_err(|_| match text.contains("NaN") || text.contains("Infinity") {
        true => format!("it answered {text}, which is not JSON: a reward is a finite number or null"),
        false => format!("it wrote {text:?}, which is not JSON"),
    })?;
    let id = answer.get("id").and_then(Value::as_u64).ok_or_else(|| format!("it wrote {text} without the `id` of a row"))?;
    match answer.get("reward") {
        Some(Value::Null) => Ok((id, None)),
        Some(Value::Number(number)) => match number.as_f64().filter(|reward| reward.is_finite()) {
            Some(reward) => Ok((id, Some(reward))),
            None => Err(format!("it answered {text}: a reward is a finite number or null")),
        },
        Some(_) => Err(format!("it answered {text}: a reward is a finite number or null")),
        None => Err(format!("it answered {text} without a `reward`")),
    }
}

#[cfg(all(test, unix))]
mod tests;
