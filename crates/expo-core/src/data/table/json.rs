//! JSON lines, and JSON files that are arrays.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Bad, Content, too_wide};
use crate::data::rows::{Place, Row, kind};
use crate::error::{Error, Result};

/// The rows of JSON lines; blank lines are passed over.
pub fn lines<'a>(path: &'a Path, text: &'a str) -> impl Iterator<Item = Result<Row<'a>, Bad>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(move |(i, line)| parse_line(path, i + 1, line).map(|fields| Row::new(path, Place::Line(i + 1), fields, &[])).map_err(Bad::Row))
}

fn parse_line(path: &Path, line: usize, text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => too_wide(fields.len()).map(|()| fields).map_err(|message| Error::file(path, line, message)),
        Ok(other) => Err(Error::file(path, line, format!("found {}, expected a JSON object on each line", kind(&other)))),
        Err(e) => {
            let hint = if text.trim_start().starts_with('[') { " (a JSON array? name the file .json)" } else { "" };
            // serde_json's own position is within the line: only its column says something.
            Err(Error::file(path, line, format!("malformed JSON at column {}: {}{hint}", e.column(), reason(&e))))
        }
    }
}

/// A `.json` file: an array of objects or, as many are, JSON lines under another name.
pub fn array_or_lines(path: &Path, text: String) -> Result<Content> {
    let expected = "expected an array of objects, or one object a line";
    if !text.trim_start().starts_with('[') {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().is_some_and(|line| serde_json::from_str::<Map<String, Value>>(line).is_ok());
        if first && lines.next().is_some() {
            return Ok(Content::Lines(text));
        }
    }
    match serde_json::from_str(&text) {
        Ok(Value::Array(items)) if items.is_empty() => Err(Error::file(path, None, format!("is an empty array; {expected}"))),
        Ok(Value::Array(items)) => Ok(Content::Array(items)),
        Ok(other) => Err(Error::file(path, None, format!("is {}; {expected}", kind(&other)))),
        Err(e) => Err(Error::file(path, e.line(), format!("malformed JSON at column {}: {}; {expected}", e.column(), reason(&e)))),
    }
}

/// The rows of an array.
pub fn items<'a>(path: &'a Path, items: &'a [Value]) -> impl Iterator<Item = Result<Row<'a>, Bad>> {
    items.iter().enumerate().map(move |(i, item)| match item {
        Value::Object(fields) => match too_wide(fields.len()) {
            Ok(()) => Ok(Row::new(path, Place::Row(i + 1), fields.clone(), &[])),
            Err(message) => Err(Bad::Row(Place::Row(i + 1).error(path, message))),
        },
        other => Err(Bad::Row(Place::Row(i + 1).error(path, format!("found {}, expected a JSON object", kind(other))))),
    })
}

/// serde_json's message without its position.
fn reason(error: &serde_json::Error) -> String {
    let reason = error.to_string();
    reason.split(" at line ").next().unwrap_or(&reason).to_owned()
}
