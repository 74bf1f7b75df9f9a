//! Rows of a table: objects with their place, and errors that name file, place and field.

use std::path::Path;

use expo_lm::json::kind;
use serde_json::{Map, Value};

use super::json::Unheld;
use super::shown::{first_of, shown};
use crate::error::{Error, Result};

/// Where a row stands in its file, from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// In a text, by its (first) line.
    Line(usize),
    /// In a file without lines, by its number.
    Row(usize),
}

impl Place {
    /// The number alone.
    pub fn number(self) -> usize {
        match self {
            Self::Line(number) | Self::Row(number) => number,
        }
    }

    /// An error at this place of `path`.
    pub fn error(self, path: &Path, message: impl Into<String>) -> Error {
        match self {
            Self::Line(line) => Error::file(path, line, message),
            Self::Row(row) => Error::file(path, None, format!("row {row}: {}", message.into())),
        }
    }
}

/// One row.
pub struct Row<'a> {
    path: &'a Path,
    place: Place,
    /// The object.
    pub fields: Map<String, Value>,
    unheld: Unheld,
}

impl<'a> Row<'a> {
    /// The row at `place` of `path`; `unheld` is what the file has there and `fields` can't hold.
    pub fn new(path: &'a Path, place: Place, fields: Map<String, Value>, unheld: Unheld) -> Self {
        Self { path, place, fields, unheld }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// An error at this row.
    pub fn error(&self, message: impl Into<String>) -> Error {
        self.place.error(self.path, message)
    }

    /// `FILE:NUMBER`, the file by its name alone.
    pub fn id(&self) -> String {
        format!("{}:{}", self.path.file_name().unwrap_or_default().to_string_lossy(), self.place.number())
    }

    /// A field's value, if it has one that isn't null. `a.b` is field `b` of the object `a`, and `a.0` the first entry of the list `a`, where no
    /// field is called so itself.
    pub fn get(&self, field: &str) -> Option<&Value> {
        let found = match self.fields.get(field) {
            Some(value) => value,
            None => {
                let mut parts = field.split('.');
                let first = self.fields.get(parts.next()?)?;
                parts.try_fold(first, |value, part| match value {
                    Value::Array(list) => list.get(part.parse::<usize>().ok()?),
                    value => value.get(part),
                })?
            }
        };
        (!found.is_null()).then_some(found)
    }

    /// An error where there is an integer beyond 64 bits somewhere in the list or object `field`: as the text that it became it would be another value.
    pub fn refuse_wide(&self, field: &str) -> Result<()> {
        let within = |path: &&String| path.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        match self.unheld.wide.iter().find(within) {
            Some(path) => Err(self.error(format!("field `{}` is an integer beyond 64 bits; write it as text, in quotes", shown(path)))),
            None => Ok(()),
        }
    }

    /// The text of a scalar field ([`scalar`]); `None` when it is absent or null. Errors: a list or object.
    pub fn optional(&self, field: &str) -> Result<Option<String>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match scalar(value) {
            Some(text) => Ok(Some(text)),
            None => Err(self.error(format!("field `{field}` is {}; expected text or a number", kind(value)))),
        }
    }

    /// The same for a field that has to be there and not empty; `advice` says what to do where it isn't.
    pub fn required(&self, field: &str, advice: &str) -> Result<String> {
        match self.optional(field)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(self.error(format!("field `{field}` is empty"))),
            None => Err(self.missing(field, advice)),
        }
    }

    /// The error of a field that isn't there.
    pub fn missing(&self, field: &str, advice: &str) -> Error {
        if let Some(found) = self.unheld.null.get(field) {
            return self.error(format!("field `{field}` {found}; expected text or a number"));
        }
        let found = first_of(self.fields.keys().map(|name| format!("`{}`", shown(name))));
        self.error(format!("field `{field}` is missing; {advice} (fields found: {found})"))
    }
}

/// Text of a string, number or boolean: integers digit by digit, other numbers as Python's `repr` has them, `true` and `false`.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(float),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The shortest decimal form that is read as the same number, as Python's `repr` writes it: with an exponent below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    let exponential = format!("{value:e}");
    let exponent = exponential.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    match exponent {
        -4..16 => format!("{value:?}"),
        _ => format!("{}e{}{:02}", exponential.split('e').next().unwrap_or_default(), if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_fields() {
        let fields = serde_json::json!({"a": {"b": 1, "n": null}, "a.c": "whole", "m": [{"content": "hi"}], "e": null});
        let row = Row::new(Path::new("f.jsonl"), Place::Line(1), fields.as_object().unwrap().clone(), Unheld::default());
        assert_eq!(row.optional("a.b").unwrap().as_deref(), Some("1"));
        assert_eq!(row.optional("a.c").unwrap().as_deref(), Some("whole"));
        assert_eq!(row.optional("m.0.content").unwrap().as_deref(), Some("hi"));
        for absent in ["a.x", "a.b.c", "m.1", "m.x", "x.a", "", ".", "e", "a.n"] {
            assert_eq!(row.optional(absent).unwrap(), None, "{absent}");
        }
        assert!(row.optional("a").unwrap_err().to_string().contains("f.jsonl:1: field `a` is an object"));
    }
}
