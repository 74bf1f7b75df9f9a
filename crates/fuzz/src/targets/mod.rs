//! The readers, each with valid inputs to begin from.

mod data;
mod models;
mod runs;

use std::path::Path;

use crate::mutate::Case;

/// One reader.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Inputs to begin from, most of them valid.
    pub seeds: fn() -> Vec<Case>,
    /// Reads an input with all that follows from it; `folder` is for its files. The error is the message that a user would get.
    pub run: fn(folder: &Path, case: &Case) -> Result<(), String>,
    /// Bytes that an execution may take whatever its input.
    pub constant: usize,
    /// Bytes that it may take for each of its input's.
    pub factor: usize,
}

/// Every reader.
pub const TARGETS: [Target; 17] = [
    // Half precision becomes single, in a vector beside the header's parsed form.
    Target { name: "safetensors", seeds: models::safetensors_seeds, run: models::safetensors, constant: 1 << 20, factor: 64 },
    Target { name: "shards", seeds: models::shards_seeds, run: models::shards, constant: 1 << 20, factor: 64 },
    // Quantised weights become single precision, a byte of metadata a value of 32.
    Target { name: "gguf", seeds: models::gguf_seeds, run: models::gguf, constant: 16 << 20, factor: 128 },
    Target { name: "tokenizer", seeds: models::tokenizer_seeds, run: models::tokenizer, constant: 16 << 20, factor: 1024 },
    Target { name: "tokens", seeds: models::tokens_seeds, run: models::tokens, constant: 16 << 20, factor: 1024 },
    // Bounded by the limit on a rendering's work.
    Target { name: "template", seeds: models::template_seeds, run: models::template, constant: 512 << 20, factor: 256 },
    Target { name: "model", seeds: models::model_seeds, run: models::model, constant: 16 << 20, factor: 256 },
    Target { name: "adapter", seeds: models::adapter_seeds, run: models::adapter, constant: 16 << 20, factor: 256 },
    Target { name: "config", seeds: data::config_seeds, run: data::config, constant: 4 << 20, factor: 512 },
    Target { name: "jsonl", seeds: data::jsonl_seeds, run: data::rows, constant: 4 << 20, factor: 256 },
    Target { name: "json", seeds: data::json_seeds, run: data::rows, constant: 4 << 20, factor: 256 },
    Target { name: "csv", seeds: data::csv_seeds, run: data::rows, constant: 4 << 20, factor: 256 },
    // What the reader promises: 64 MiB and 1024 bytes a byte, and the rows that were made of them.
    Target { name: "parquet", seeds: data::parquet_seeds, run: data::rows, constant: 256 << 20, factor: 4096 },
    Target { name: "completions", seeds: runs::completions_seeds, run: runs::completions, constant: 4 << 20, factor: 256 },
    Target { name: "metrics", seeds: runs::metrics_seeds, run: runs::metrics, constant: 4 << 20, factor: 512 },
    Target { name: "manifest", seeds: runs::checkpoint_seeds, run: runs::manifest, constant: 16 << 20, factor: 256 },
    Target { name: "state", seeds: runs::checkpoint_seeds, run: runs::state, constant: 16 << 20, factor: 256 },
];

/// An input of one file.
fn one(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    vec![(name.to_owned(), bytes.into())]
}

/// The file called `name`.
fn part<'a>(case: &'a Case, name: &str) -> &'a [u8] {
    case.iter().find(|(found, _)| found == name).map_or(&[], |(_, bytes)| bytes)
}

/// The same as text, damaged characters replaced.
fn text(case: &Case, name: &str) -> String {
    String::from_utf8_lossy(part(case, name)).into_owned()
}

/// Writes the files into `folder`.
fn write(folder: &Path, case: &Case) {
    for (name, bytes) in case {
        std::fs::write(folder.join(name), bytes).expect("the folder can be written");
    }
}

fn message<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::fuzz::{Limit, catch_panics, fuzz};

    /// One after the other: the allocator counts for the whole process.
    #[test]
    fn no_input_is_too_bad() {
        catch_panics();
        let folder = tempfile::tempdir().unwrap();
        let mut findings = Vec::new();
        for target in &TARGETS {
            let slow = ["gguf", "tokenizer", "tokens", "config", "parquet", "manifest", "state"].contains(&target.name);
            let executions = if slow { 200 } else { 2000 };
            let report = fuzz(target, 1, Limit { executions, time: None }, folder.path(), &mut |_| ());
            assert!(report.executions == executions && report.outcomes > 3, "{}: {report:?}", target.name);
            findings.extend(report.findings.into_iter().map(|finding| format!("{}: {}", target.name, finding.what)));
        }
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
