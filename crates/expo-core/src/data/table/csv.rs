//! CSV as RFC 4180 has it, with a line of names; every value is text. Spreadsheets separate values by other characters, too: the line of names tells which.

use std::collections::HashSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::width::too_wide;
use crate::data::bad_rows::Bad;
use crate::data::json::Unheld;
use crate::data::rows::{Place, Row};
use crate::data::shown::shown;
use crate::error::{Error, Result};

/// Put behind a file's text as a record of its own: where a quote was never closed it becomes part of the field.
const SENTINEL: &str = "\n\u{1}\n";

/// What separates values, the usual one first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// A file in memory.
pub struct Csv {
    text: String,
    separator: char,
    names: Vec<String>,
}

impl Csv {
    /// Reads the line of names. Errors: a name twice, a quote that is never closed.
    pub fn new(path: &Path, mut text: String) -> Result<Self> {
        text.push_str(SENTINEL);
        let separator = separator(&text);
        let mut records = records(&text, separator);
        let names: Vec<String> = match records.next() {
            Some((_, names)) if !is_sentinel(&names) => names.iter().map(|name| name.trim().to_owned()).collect(),
            _ => return Err(Error::file(path, None, "is empty; expected CSV with a line of names")),
        };
        let mut last = None;
        for (line, record) in records {
            last = Some((line, is_sentinel(&record)));
        }
        match last {
            Some((_, true)) => {}
            // The names themselves swallowed everything.
            None => return Err(Error::file(path, 1, "a quote that begins in the line of names is never closed")),
            Some((line, false)) => return Err(Error::file(path, line, "a quote that begins in this row is never closed")),
        }
        too_wide(names.len()).map_err(|message| Error::file(path, 1, message))?;
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(Error::file(path, 1, format!("two columns are named `{}`; rename one", shown(twice))));
        }
        Ok(Self { text, separator, names })
    }

    /// The rows in order.
    pub fn rows<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = Result<Row<'a>, Bad>> {
        let records = records(&self.text, self.separator).skip(1).filter(|(_, record)| !is_sentinel(record));
        records.map(move |(line, record)| {
            if record.len() != self.names.len() {
                let by = if self.separator == ',' { String::new() } else { format!(" (separated by {:?})", self.separator) };
                let message = format!("found {} values, but the line of names has {}{by}", record.len(), self.names.len());
                return Err(Bad::Row(Error::file(path, line, message)));
            }
            let fields: Map<String, Value> =
                self.names.iter().cloned().zip(record.iter().map(|value| Value::String(value.to_owned()))).collect();
            Ok(Row::new(path, Place::Line(line), fields, Unheld::default()))
        })
    }
}

fn is_sentinel(record: &StringRecord) -> bool {
    record.len() == 1 && record.get(0) == Some(SENTINEL.trim())
}

/// What the line of names has most of, outside of quotes.
fn separator(text: &str) -> char {
    let mut quoted = false;
    let mut counts = [0; SEPARATORS.len()];
    for c in text.trim_start_matches(['\r', '\n']).chars() {
        match c {
            '"' => quoted = !quoted,
            '\r' | '\n' if !quoted => break,
            c if !quoted => SEPARATORS.iter().zip(&mut counts).filter(|(separator, _)| **separator == c).for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    SEPARATORS.into_iter().zip(counts).find(|(_, count)| *count == most).map_or(',', |(separator, _)| separator)
}

/// All records with the line on which each begins.
fn records(text: &str, separator: char) -> impl Iterator<Item = (usize, StringRecord)> {
    let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator as u8).from_reader(text.as_bytes());
    // Text in memory that is UTF-8 and may be ragged leaves nothing to fail.
    reader.into_records().map_while(|record| record.ok()).map(|record| {
        // Its position is before the blank lines that were passed over.
        let (line, byte) = record.position().map_or((0, 0), |position| (position.line() as usize, position.byte() as usize));
        let before = &text[byte..];
        let blank = &before[..before.len() - before.trim_start_matches(['\r', '\n']).len()];
        (line + blank.matches('\n').count(), record)
    })
}
