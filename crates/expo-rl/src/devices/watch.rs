//! A plugin looked at from outside: in a child process, which it may end, or never.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::probe::Line;

/// Bytes of each stream that are kept: the beginning of what it tells, the end of what it says.
const KEPT: usize = 1 << 20;
/// Characters of a plugin's words that are shown.
const SHOWN: usize = 400;

/// What came of looking at a plugin.
#[derive(Debug, Default)]
pub struct Report {
    /// What it told, in order.
    pub lines: Vec<Line>,
    /// How the child ended, if not well, with its last words.
    pub end: Option<String>,
}

/// Runs this program again with `arguments`, which make it probe the plugin at `path`, and gives it `limit`.
pub fn watch(arguments: &[&str], path: &Path, limit: Duration) -> anyhow::Result<Report> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    command.args(arguments).arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("a process to look at a plugin")?;
    let told = child.stdout.take().map(|stream| read(stream, |kept, new| kept.extend(&new[..new.len().min(KEPT - kept.len())])));
    let said = child.stderr.take().map(|stream| {
        read(stream, |kept, new| {
            kept.extend(new);
            kept.drain(..kept.len().saturating_sub(KEPT));
        })
    });
    let ended = wait(&mut child, limit)?;
    // What the plugin itself has started may hold the streams open; then what came so far is lost, which is told by
    // its absence.
    let rest =
        |stream: Option<Receiver<Vec<u8>>>| stream.and_then(|stream| stream.recv_timeout(Duration::from_secs(2)).ok()).unwrap_or_default();
    let (told, said) = (rest(told), rest(said));
    let lines: Vec<Line> = String::from_utf8_lossy(&told).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let words = last_words(&String::from_utf8_lossy(&said));
    let end = match ended {
        Some(status) if status.success() => None,
        Some(status) => Some(format!("it ended the process that looked at it ({status}){}", quoted(&words))),
        None => Some(format!("no answer after {} s; the process that looked at it was ended{}", limit.as_secs_f64(), quoted(&words))),
    };
    Ok(Report { lines, end })
}

/// Reads a stream to its end on a thread, so that the child never waits for us.
fn read(mut stream: impl Read + Send + 'static, keep: impl Fn(&mut Vec<u8>, &[u8]) + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            keep(&mut kept, &buffer[..count]);
        }
        // Nobody listens after the limit.
        let _ = sender.send(kept);
    });
    receiver
}

/// How the child ended; `None`: by us, after `limit`.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a process")? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            // It may have ended by itself just now.
            let _ = child.kill();
            child.wait().context("waiting for a process")?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The last lines that say something, on one line, without what moves a terminal's cursor.
fn last_words(said: &str) -> String {
    let mut lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.drain(..lines.len().saturating_sub(3));
    let text = lines.join(" / ");
    let plain: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain[plain.len().saturating_sub(SHOWN)..].iter().collect()
}

fn quoted(words: &str) -> String {
    if words.is_empty() { ", without a word".to_owned() } else { format!("; its last words: {words}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_few_and_plain() {
        assert_eq!(last_words("a\n\n  b \nc\nd \u{1b}[31m\n\n"), "b / c / d  [31m");
        assert_eq!(last_words(""), "");
        assert_eq!(last_words(&"x".repeat(1000)).len(), SHOWN);
    }
}
