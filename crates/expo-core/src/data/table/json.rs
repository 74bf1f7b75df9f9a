//! JSON lines, and JSON files that are arrays.

use std::path::Path;

use expo_lm::json::kind;
use serde_json::Value;

use super::width::too_wide;
use crate::data::bad_rows::Bad;
use crate::data::json::{Parsed, parse};
use crate::data::rows::{Place, Row};
use crate::error::{Error, Result};

/// A file in memory.
pub enum Json {
    /// JSON lines.
    Lines(String),
    /// The items of one array.
    Array(Vec<Parsed>),
}

impl Json {
    /// A `.json` file: an array of objects or, as many are, JSON lines under another name.
    pub fn array_or_lines(path: &Path, text: String) -> Result<Self> {
        let expected = "expected an array of objects, or one object a line";
        if !text.trim_start().starts_with('[') {
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            let first = lines.next().is_some_and(|line| parse(line).is_ok_and(|parsed| parsed.value.is_object()));
            if first && lines.next().is_some() {
                return Ok(Self::Lines(text));
            }
        }
        match parse(&text) {
            Ok(Parsed { value: Value::Array(items), .. }) if items.is_empty() => {
                Err(Error::file(path, None, format!("is an empty array; {expected}")))
            }
            Ok(Parsed { value: Value::Array(items), unheld }) => {
                let unheld = unheld.of_items(items.len());
                Ok(Self::Array(items.into_iter().zip(unheld).map(|(value, unheld)| Parsed { value, unheld }).collect()))
            }
            Ok(other) => Err(Error::file(path, None, format!("is {}; {expected}", kind(&other.value)))),
            Err(e) => Err(Error::file(path, e.line, format!("{}; {expected}", e.message(true)))),
        }
    }

    /// The rows in order.
    pub fn rows<'a>(&'a self, path: &'a Path) -> Box<dyn Iterator<Item = Result<Row<'a>, Bad>> + 'a> {
        match self {
            Self::Lines(text) => Box::new(lines(path, text)),
            Self::Array(array) => Box::new(items(path, array)),
        }
    }
}

/// The rows of JSON lines; blank lines are passed over.
fn lines<'a>(path: &'a Path, text: &'a str) -> impl Iterator<Item = Result<Row<'a>, Bad>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(move |(i, line)| {
        let place = Place::Line(i + 1);
        let parsed = parse(line).map_err(|e| {
            let hint = if line.trim_start().starts_with('[') { " (a JSON array? name the file .json)" } else { "" };
            Bad::Row(place.error(path, format!("{}{hint}", e.message(false))))
        })?;
        row(path, place, parsed, "a JSON object on each line")
    })
}

/// The rows of an array.
fn items<'a>(path: &'a Path, items: &'a [Parsed]) -> impl Iterator<Item = Result<Row<'a>, Bad>> {
    items.iter().enumerate().map(move |(i, item)| row(path, Place::Row(i + 1), item.clone(), "a JSON object"))
}

fn row<'a>(path: &'a Path, place: Place, Parsed { value, unheld }: Parsed, expected: &str) -> Result<Row<'a>, Bad> {
    let error = |message: String| Bad::Row(place.error(path, message));
    match value {
        Value::Object(fields) => too_wide(fields.len()).map(|()| Row::new(path, place, fields, unheld)).map_err(error),
        other => Err(error(format!("found {}, expected {expected}", kind(&other)))),
    }
}
