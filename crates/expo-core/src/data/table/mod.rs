//! Tables of rows in files: JSON lines, JSON arrays, CSV and Parquet, told apart by the file's name.

mod csv;
mod json;
mod parquet;
mod width;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bad_rows::Bad;
use super::rows::{Place, Row};
use crate::error::{Error, Result};
use parquet::Parquet;

/// What a file's name may end with.
const EXTENSIONS: [&str; 6] = ["jsonl", "ndjson", "json", "csv", "tsv", "parquet"];

/// A table in memory.
pub struct Table {
    path: PathBuf,
    content: Content,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub sha256: String,
}

enum Content {
    Json(json::Json),
    Csv(csv::Csv),
    Parquet(Parquet),
}

/// Whether `name` ends as a table's file does.
pub fn is_table(name: &str) -> bool {
    extension(Path::new(name)).is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

impl Table {
    /// Reads the file at `path`. Errors: it can't be read, is empty, its name doesn't say what it is, it isn't what its name says.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |message: String| Error::file(path, None, message);
        let kind = extension(path).filter(|extension| EXTENSIONS.contains(&extension.as_str())).ok_or_else(|| {
            fail("the end of a data file's name says how to read it: .jsonl (or .ndjson), .json, .csv (or .tsv) or .parquet".to_owned())
        })?;
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let content = match kind.as_str() {
            "parquet" => Content::Parquet(Parquet::new(bytes).map_err(fail)?),
            "csv" | "tsv" => Content::Csv(csv::Csv::new(path, text(path, bytes, "CSV with a line of names")?)?),
            "json" => Content::Json(json::Json::array_or_lines(path, text(path, bytes, "an array of objects")?)?),
            _ => Content::Json(json::Json::Lines(text(path, bytes, "JSON lines, one object a line")?)),
        };
        Ok(Self { path: path.to_owned(), content, sha256 })
    }

    /// The rows in order. Behind [`Bad::File`] there are no more.
    pub fn rows(&self) -> Box<dyn Iterator<Item = Result<Row<'_>, Bad>> + '_> {
        match &self.content {
            Content::Json(json) => json.rows(&self.path),
            Content::Csv(csv) => Box::new(csv.rows(&self.path)),
            Content::Parquet(parquet) => Box::new(parquet.rows().enumerate().map(|(i, row)| match row {
                Ok((fields, unheld)) => Ok(Row::new(&self.path, Place::Row(i + 1), fields, unheld)),
                Err(message) => Err(Bad::File(Error::file(&self.path, None, message))),
            })),
        }
    }
}

/// The text of the file at `path`, without byte-order mark. `expected` says what it should be.
/// Errors: it can't be read, is empty, or isn't UTF-8 text.
pub fn read_text(path: &Path, expected: &str) -> Result<String> {
    text(path, std::fs::read(path).map_err(|e| Error::io("read", path, e))?, expected)
}

/// The same of its bytes.
fn text(path: &Path, bytes: Vec<u8>, expected: &str) -> Result<String> {
    if let Some(encoding) = other_encoding(&bytes) {
        let message =
            format!("is {encoding} text; expected {expected} in UTF-8: save it so, or convert it with `iconv -f {encoding} -t UTF-8`");
        return Err(Error::file(path, None, message));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Error::file(path, line, format!("is not UTF-8 text; expected {expected}"))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.trim().is_empty() {
        return Err(Error::file(path, None, format!("is empty; expected {expected}")));
    }
    Ok(text)
}

/// UTF-16 or UTF-32, by its byte-order mark or, as both are written without one, by the zeros of its first characters.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [a, 0, 0, 0, ..] if *a != 0 => Some("UTF-32LE"),
        [0, 0, 0, a, ..] if *a != 0 => Some("UTF-32BE"),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Some("UTF-16LE"),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
