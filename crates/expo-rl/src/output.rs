//! Errors as they are told, and files that are whole or not there.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use expo_core::data::{json, scalar, shown};
use serde::Serializer as _;
use serde_json::Value;

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

/// A row of JSON lines, its fields as they are written: numbers keep their digits.
pub struct JsonRow {
    fields: json::Written,
}

impl JsonRow {
    /// The object that a line holds.
    pub fn read(line: &str) -> anyhow::Result<Self> {
        match json::written(line) {
            Ok(Some(fields)) => Ok(Self { fields }),
            Ok(None) => anyhow::bail!("found JSON, but no object; expected one object a line"),
            Err(e) => anyhow::bail!("{}; expected one object a line", e.message(false)),
        }
    }

    /// The value of a field (the last of this name), where it has one.
    pub fn get(&self, name: &str) -> Option<Value> {
        let (_, raw) = self.fields.iter().rfind(|(other, _)| other == name)?;
        Some(json::parse(raw.get()).expect("it was read before").value)
    }

    /// A field that has to be text; a number is its digits.
    pub fn text(&self, name: &str) -> anyhow::Result<Option<String>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match scalar(&value).filter(|_| !value.is_boolean()) {
            Some(text) => Ok(Some(text)),
            None if value.is_null() => anyhow::bail!("`{name}`: found null (as NaN and Infinity are read), expected text"),
            None => anyhow::bail!("`{name}`: found {}, expected text", shown(&value.to_string())),
        }
    }

    /// Gives a field its value, in place of the one that it has.
    pub fn set(&mut self, name: &str, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.fields.retain(|(other, _)| other != name);
        self.fields.push((name.to_owned(), serde_json::value::to_raw_value(value)?));
        Ok(())
    }

    /// Writes the row and a line break.
    pub fn write(&self, writer: &mut dyn Write) -> anyhow::Result<()> {
        serde_json::Serializer::new(&mut *writer).collect_map(self.fields.iter().map(|(name, raw)| (name, raw)))?;
        Ok(writer.write_all(b"\n")?)
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
    fn a_row_keeps_what_is_not_set() {
        let mut row = JsonRow::read(r#"{"id": 12345678901234567890123, "x": [1.10,NaN], "a": 1, "a": 2.50}"#).unwrap();
        assert_eq!(row.text("id").unwrap().as_deref(), Some("12345678901234567890123"));
        assert_eq!((row.text("a").unwrap().as_deref(), row.text("b").unwrap()), (Some("2.5"), None));
        assert!(row.text("x").unwrap_err().to_string().contains("`x`: found [1.1,null], expected text"));
        row.set("a", &true).unwrap();
        let mut line = Vec::new();
        row.write(&mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "{\"id\":12345678901234567890123,\"x\":[1.10,null],\"a\":true}\n");
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "pipe");
        let error = anyhow::Error::new(io).context("writing: pipe").context("run");
        assert_eq!(describe(&error), "run: writing: pipe");
        assert!(is_broken_pipe(&error));
    }
}
