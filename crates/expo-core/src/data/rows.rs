//! Rows of a JSON-lines file: objects with their line, and errors that name file, line and field.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A JSON-lines file in memory.
pub struct JsonLines {
    path: PathBuf,
    text: String,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub sha256: String,
}

impl JsonLines {
    /// Reads `path`. Errors: it can't be read, isn't UTF-8, has no row.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            Error::file(path, line, "is not UTF-8 text; expected JSON lines, one object a line")
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        if text.trim().is_empty() {
            return Err(Error::file(path, None, "is empty; expected JSON lines, one object a line"));
        }
        Ok(Self { path: path.to_owned(), text, sha256 })
    }

    /// The rows in order; blank lines are passed over.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row<'_>>> {
        let lines = self.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(i, line)| Row::parse(&self.path, i + 1, line))
    }
}

/// One row.
pub struct Row<'a> {
    path: &'a Path,
    /// From 1.
    pub line: usize,
    /// The object.
    pub fields: Map<String, Value>,
}

impl<'a> Row<'a> {
    fn parse(path: &'a Path, line: usize, text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self { path, line, fields }),
            Ok(other) => Err(Error::file(path, line, format!("found {}, expected a JSON object on each line", kind(&other)))),
            Err(e) => {
                let hint = if text.trim_start().starts_with('[') { " (a JSON array? write one object a line)" } else { "" };
                // serde_json's own position is within the line: only its column says something.
                let reason = e.to_string();
                let reason = reason.split(" at line ").next().unwrap_or(&reason);
                Err(Error::file(path, line, format!("malformed JSON at column {}: {reason}{hint}", e.column())))
            }
        }
    }

    /// An error at this row.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::file(self.path, self.line, message)
    }

    /// `FILE:LINE`, the file by its name alone.
    pub fn id(&self) -> String {
        format!("{}:{}", self.path.file_name().unwrap_or_default().to_string_lossy(), self.line)
    }

    /// The text of a scalar field (a number or boolean as JSON writes it); `None` when it is absent or null. Errors: a list or object.
    pub fn optional(&self, field: &str) -> Result<Option<String>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match scalar(value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.error(format!("field `{field}` is {}; expected text or a number", kind(value)))),
            },
        }
    }

    /// The same for a field that has to be there and not empty; `advice` says what to do where it isn't.
    pub fn required(&self, field: &str, advice: &str) -> Result<String> {
        match self.optional(field)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(self.error(format!("field `{field}` is empty"))),
            None => {
                let names: Vec<String> = self.fields.keys().map(|name| format!("`{name}`")).collect();
                let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(self.error(format!("field `{field}` is missing; {advice} (fields found: {found})")))
            }
        }
    }
}

/// Text of a string, number or boolean.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
