//! `checkpoint.json`: which files a checkpoint has, how long they are, and what is in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use expo_lm::durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Name of the file.
pub(super) const MANIFEST: &str = "checkpoint.json";
/// Version of the folder's format; a higher one can't be read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// By the path within the checkpoint, with `/`.
    files: BTreeMap<String, Sum>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    sha256: String,
}

/// Hexadecimal digits of a digest.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and SHA-256 of the file at `path`.
fn sum(path: &Path) -> std::io::Result<Sum> {
    is_file(path)?;
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Sum { bytes, sha256: hex(&digest.finalize()) }),
            read => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// What is no file may not end when it is read.
fn is_file(path: &Path) -> std::io::Result<()> {
    if std::fs::metadata(path)?.is_file() { Ok(()) } else { Err(std::io::Error::other("is not a file")) }
}

/// Every file in `folder` and below, by its path within.
fn files(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((format!("{name}/"), entry.path()));
            } else {
                found.push((name, entry.path()));
            }
        }
    }
    Ok(found)
}

/// Writes the manifest of what is in `folder`, and returns once all names in it are on the disk.
pub(super) fn seal(folder: &Path) -> Result<()> {
    let io = |e| Error::io("read", folder, e);
    let mut sums = BTreeMap::new();
    for (name, path) in files(folder).map_err(io)? {
        sums.insert(name, sum(&path).map_err(|e| Error::io("read", &path, e))?);
    }
    let manifest = serde_json::to_string_pretty(&Manifest { format: FORMAT, files: sums }).map_err(|e| Error::Checkpoint(e.to_string()))?;
    let path = folder.join(MANIFEST);
    durable::write(&path, format!("{manifest}\n").as_bytes()).map_err(|e| Error::io("write", &path, e))?;
    durable::sync_folders(folder).map_err(|e| Error::io("write", folder, e))
}

/// What is wrong with a checkpoint.
pub(super) enum Trouble {
    /// It is not what was written; an older one may be.
    Damaged(String),
    /// It can't be used, and neither can an older one.
    Unusable(Error),
}

/// Compares every file of the checkpoint in `folder` with its manifest.
pub(super) fn check(folder: &Path) -> Result<(), Trouble> {
    let damaged = |message: String| Err(Trouble::Damaged(message));
    let path = folder.join(MANIFEST);
    let manifest: Manifest = match is_file(&path).and_then(|()| std::fs::read(&path)).map(|bytes| serde_json::from_slice(&bytes)) {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(e)) => return damaged(format!("{MANIFEST} can't be read: {e}")),
        Err(e) => return damaged(format!("{MANIFEST} can't be read: {e}")),
    };
    if manifest.format > FORMAT {
        let message = format!("has format {}, this version reads up to {FORMAT}; go on with the version that wrote it", manifest.format);
        return Err(Trouble::Unusable(Error::file(&folder.join(MANIFEST), None, message)));
    }
    for (name, expected) in &manifest.files {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return damaged(format!("{MANIFEST} names {name:?}, which is no path within the checkpoint"));
        }
        match sum(&folder.join(name)) {
            Ok(found) if found == *expected => {}
            Ok(found) if found.bytes != expected.bytes => {
                return damaged(format!("{name} has {} bytes instead of {}", found.bytes, expected.bytes));
            }
            Ok(_) => return damaged(format!("{name} is not what was written: its SHA-256 is another")),
            Err(e) => return damaged(format!("{name} can't be read: {e}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(folder: &Path) -> Option<String> {
        match check(folder) {
            Ok(()) => None,
            Err(Trouble::Damaged(message)) => Some(message),
            Err(Trouble::Unusable(error)) => Some(format!("unusable: {error}")),
        }
    }

    #[test]
    fn whatever_changes_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let (weights, json) = (state.join("policy.safetensors"), folder.path().join("config.json"));
        std::fs::write(&weights, [7; 5000]).unwrap();
        std::fs::write(&json, "{}").unwrap();
        assert!(trouble(folder.path()).unwrap().starts_with("checkpoint.json can't be read"));
        seal(folder.path()).unwrap();
        assert_eq!(trouble(folder.path()), None);

        let mut flipped = vec![7; 5000];
        flipped[4321] ^= 16;
        std::fs::write(&weights, &flipped).unwrap();
        assert_eq!(trouble(folder.path()).unwrap(), "state/policy.safetensors is not what was written: its SHA-256 is another");
        std::fs::write(&weights, &flipped[..4000]).unwrap();
        assert_eq!(trouble(folder.path()).unwrap(), "state/policy.safetensors has 4000 bytes instead of 5000");
        std::fs::remove_file(&weights).unwrap();
        assert!(trouble(folder.path()).unwrap().starts_with("state/policy.safetensors can't be read"));
        // A pipe would never end.
        std::fs::create_dir(&weights).unwrap();
        assert_eq!(trouble(folder.path()).unwrap(), "state/policy.safetensors can't be read: is not a file");

        let manifest = folder.path().join(MANIFEST);
        std::fs::write(&manifest, r#"{"format": 2, "files": {}}"#).unwrap();
        assert!(trouble(folder.path()).unwrap().contains("has format 2, this version reads up to 1"));
        std::fs::write(&manifest, r#"{"format": 1, "files": {"../x": {"bytes": 1, "sha256": ""}}}"#).unwrap();
        assert!(trouble(folder.path()).unwrap().contains("no path within the checkpoint"));
    }
}
