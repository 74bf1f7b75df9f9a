//! JSON lines of a run, as far as they can be read: a run that was killed may have left half a line, and a report of the rest is better than none.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Hands every line of `path` that is a JSON object to `take`, which says whether it is of use. Blank lines are passed over. Returns what a reader should
/// know of lines left out. Errors: the file can't be opened or read.
pub fn each_object(path: &Path, mut take: impl FnMut(Map<String, Value>) -> bool) -> Result<Vec<String>> {
    each_line(path, |line| match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => take(object),
        _ => false,
    })
}

/// The same with every line that is a row of one kind.
pub fn each_row<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<Vec<String>> {
    each_line(path, |line| serde_json::from_slice(line).map(&mut take).is_ok())
}

fn each_line(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> Result<Vec<String>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut bad) = (Vec::new(), 0, Vec::new());
    let mut cut_off = false;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|e| Error::io("read", path, e))? == 0 {
            break;
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let is_of_use = take(&line);
        if !is_of_use && line.ends_with(b"\n") {
            bad.push(number);
        } else if !is_of_use {
            cut_off = true;
        }
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut notices = Vec::new();
    if cut_off {
        notices.push(format!("{name}: the last line is cut off (was the run killed?); left out"));
    }
    match bad[..] {
        [] => {}
        [only] => notices.push(format!("{name}:{only}: not a row of a run; left out")),
        [first, ..] => notices.push(format!("{name}: {} lines are not rows of a run, the first of them line {first}; left out", bad.len())),
    }
    Ok(notices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> (Vec<u64>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut steps = Vec::new();
        let notices = each_object(&path, |row| row.get("step").and_then(Value::as_u64).map(|step| steps.push(step)).is_some()).unwrap();
        (steps, notices)
    }

    #[test]
    fn what_can_be_read_is_read() {
        assert_eq!(read(b""), (vec![], vec![]));
        assert_eq!(read(b"{\"step\": 1}\n\n{\"step\": 2}"), (vec![1, 2], vec![]), "a whole last line counts without its end");
        let (steps, notices) = read(b"{\"step\": 1}\n{\"step\": 2, \"lo");
        assert_eq!((steps, notices.len()), (vec![1], 1));
        assert!(notices[0].contains("m.jsonl: the last line is cut off"), "{notices:?}");
        let (steps, notices) = read(b"{\"step\": 1}\nnull\n{\"step\": 2}\n\xff\xfe\n{}\n{\"step\": 3}\n");
        assert_eq!(steps, [1, 2, 3]);
        assert_eq!(notices, ["m.jsonl: 3 lines are not rows of a run, the first of them line 2; left out"]);
        assert_eq!(read(b"[]\n").1, ["m.jsonl:1: not a row of a run; left out"]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_bad(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            read(&content);
        }
    }
}
