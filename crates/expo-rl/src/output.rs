//! Errors as they are told, and files that are whole or not there.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

/// A line on standard error. Whoever read it may have left, or the disk behind it be full: no reason to end the work that it tells of.
pub fn write_line(line: std::fmt::Arguments<'_>) {
    // At once, so that lines of several processes stay apart.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// [`write_line`] with `format!`'s arguments, in place of `eprintln!`, which panics where nobody reads.
macro_rules! tell {
    ($($argument:tt)*) => {
        $crate::output::write_line(format_args!($($argument)*))
    };
}
pub(crate) use tell;

/// Whether the error is that the reader of a pipe has left.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}

/// The error and its causes on one line, a cause left out where the message before already holds it.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The temporary name beside `path` under which a file is written.
fn temporary_name(path: &Path) -> anyhow::Result<PathBuf> {
    let mut name = path.file_name().with_context(|| format!("{}: not the name of a file", path.display()))?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(name))
}

/// Finds out, before long work, whether [`write_atomically`] could write `path`.
pub fn check_writable(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        anyhow::bail!("{}: is a folder; name a file", path.display());
    }
    let temporary = temporary_name(path)?;
    std::fs::File::create(&temporary).with_context(|| format!("{}: cannot create the file", path.display()))?;
    std::fs::remove_file(&temporary).with_context(|| format!("{}: cannot remove", temporary.display()))
}

/// Writes a file under a temporary name beside `path` and renames it when `fill` has succeeded; nothing is left behind when it fails.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let temporary = temporary_name(path)?;
    let write = || -> anyhow::Result<()> {
        let file = std::fs::File::create(&temporary).with_context(|| format!("{}: cannot create the file", path.display()))?;
        let mut writer = std::io::BufWriter::new(Named { file, path });
        fill(&mut writer)?;
        writer.into_inner().map_err(|e| e.into_error())?.file.sync_all().with_context(|| format!("{}: cannot write", path.display()))?;
        std::fs::rename(&temporary, path).with_context(|| format!("{}: cannot rename the finished file to this name", path.display()))
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

/// A file whose write errors name it.
struct Named<'a> {
    file: std::fs::File,
    path: &'a Path,
}

impl Write for Named<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let named = |e: std::io::Error| std::io::Error::new(e.kind(), format!("{}: cannot write: {e}", self.path.display()));
        self.file.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// The object that a line of JSON lines holds.
pub fn json_object(line: &str) -> anyhow::Result<Map<String, Value>> {
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => anyhow::bail!("found JSON, but no object; expected one object a line"),
        // The line that serde counts is within the row.
        Err(e) => anyhow::bail!("malformed JSON: {}; expected one object a line", e.to_string().replace(" at line 1 column", " at column")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        write_atomically(&path, |w| Ok(w.write_all(b"first")?)).unwrap();
        let failed = write_atomically(&path, |w| {
            w.write_all(b"half")?;
            anyhow::bail!("stop")
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "pipe");
        let error = anyhow::Error::new(io).context("writing: pipe").context("run");
        assert_eq!(describe(&error), "run: writing: pipe");
        assert!(is_broken_pipe(&error));
    }
}
