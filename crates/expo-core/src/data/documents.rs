//! Reading supervised documents.

use std::path::Path;

use super::Document;
use super::rows::JsonLines;
use crate::error::Result;

/// Documents of a JSON-lines file with `prompt` and `completion`, and the file's SHA-256 (hexadecimal).
/// Errors: a file that can't be read or is empty, a malformed or incomplete row (with file and line).
pub fn read_documents(path: &Path) -> Result<(Vec<Document>, String)> {
    let file = JsonLines::read(path)?;
    let advice = "each row of rehearsal.data needs `prompt` and `completion`";
    let documents = file
        .rows()
        .map(|row| {
            let row = row?;
            Ok(Document { prompt: row.required("prompt", advice)?, completion: row.required("completion", advice)? })
        })
        .collect::<Result<_>>()?;
    Ok((documents, file.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_their_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.jsonl");
        std::fs::write(&path, "{\"prompt\": \"6*7=\", \"completion\": 42}\n").unwrap();
        let (documents, hash) = read_documents(&path).unwrap();
        assert_eq!(documents, [Document { prompt: "6*7=".into(), completion: "42".into() }]);
        assert_eq!(hash.len(), 64);
        std::fs::write(&path, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"6*7=\"}\n").unwrap();
        let error = read_documents(&path).unwrap_err().to_string();
        assert!(error.contains("d.jsonl:2: field `completion` is missing"), "{error}");
    }
}
