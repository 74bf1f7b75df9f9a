//! Files that are whole or not there, whatever becomes of the process or the machine: written, flushed to the disk, then given their name.
//!
//! Everything that a run has to find again after a crash is written through here. Errors are the system's own; callers add which file it was.

#[cfg(feature = "fault-injection")]
pub(crate) mod faults;

use std::fs::OpenOptions;
use std::io::{Result, Write};
use std::path::Path;

/// A place where a run may die, for the tests that let it (feature `fault-injection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before bytes are handed to the system.
    Write,
    /// Before what was written is flushed to the disk.
    Sync,
    /// Before a file or folder gets its name.
    Rename,
    /// After a training step.
    Step,
}

/// Passes `point`. Without the feature `fault-injection` this does nothing.
#[inline]
pub fn pass(point: Point) -> Result<()> {
    #[cfg(feature = "fault-injection")]
    faults::pass(point)?;
    let _ = point;
    Ok(())
}

/// A file open for writing.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    #[cfg(feature = "fault-injection")]
    path: std::path::PathBuf,
}

impl File {
    /// An empty file at `path`, whatever was there.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().create(true).write(true).truncate(true))
    }

    /// The file at `path` to write at its end; it is created where it is missing.
    pub fn append(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().create(true).append(true))
    }

    fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        #[cfg(feature = "fault-injection")]
        faults::opening(path)?;
        let file = Self {
            file: options.open(path)?,
            #[cfg(feature = "fault-injection")]
            path: path.to_owned(),
        };
        #[cfg(feature = "fault-injection")]
        faults::opened(path, file.len()?);
        Ok(file)
    }

    /// Its length in bytes.
    pub fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts off what lies behind `len` bytes.
    pub fn truncate(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    /// Returns once everything written is on the disk.
    pub fn sync(&self) -> Result<()> {
        pass(Point::Sync)?;
        self.file.sync_all()?;
        #[cfg(feature = "fault-injection")]
        faults::synced(&self.path, self.len()?);
        Ok(())
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        pass(Point::Write)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

/// Writes a small file and flushes it to the disk.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fill(File::create(path)?, bytes)
}

fn fill(mut file: File, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes)?;
    file.sync()
}

/// Writes a small file that appears whole or not at all: under a temporary name beside `path`, which it then takes.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    // What a killed process has left there goes; where something comes in its place meanwhile, a symbolic link to another's file, it is not followed.
    let _ = std::fs::remove_file(&temporary);
    let file = File::open(&temporary, OpenOptions::new().create_new(true).write(true))?;
    fill(file, bytes).and_then(|()| rename(&temporary, path)).inspect_err(|_| {
        // Best effort: the error that led here is the one to report.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Gives the file or folder `from` the name `to` in the same folder, for good: the folder's entries are flushed to the disk, too.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    pass(Point::Rename)?;
    #[cfg(feature = "fault-injection")]
    faults::renaming(from, to);
    std::fs::rename(from, to)?;
    sync_folder(parent(to))
}

/// The folder in which `path` lies.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns once the names of the files in the folder `path` are on the disk.
pub fn sync_folder(path: &Path) -> Result<()> {
    pass(Point::Sync)?;
    // Elsewhere a folder can't be opened as a file; what a name needs to last is up to the system.
    #[cfg(unix)]
    std::fs::File::open(path)?.sync_all()?;
    #[cfg(feature = "fault-injection")]
    faults::folder_synced(path);
    Ok(())
}

/// The same for `path` and every folder below it.
pub fn sync_folders(path: &Path) -> Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// Bytes that may still be written on the file system of the folder `path`; `None` where the system can't say.
pub fn available_space(path: &Path) -> Option<u64> {
    #[cfg(feature = "fault-injection")]
    if let Some(bytes) = faults::available_space() {
        return Some(bytes);
    }
    #[cfg(unix)]
    return rustix::fs::statvfs(path).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        // A folder in the way: the file's temporary name goes, too.
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("x"), "").unwrap();
        assert!(replace(&taken, b"third").is_err());
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["run.json", "taken"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_under_the_temporary_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, precious] = ["run.json", "precious"].map(|name| folder.path().join(name));
        std::fs::write(&precious, "mine").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join(".run.json.tmp")).unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read(&precious).unwrap()), (b"whole".to_vec(), b"mine".to_vec()));
        assert!(!path.is_symlink());
    }

    #[test]
    fn appended_rows_can_be_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        File::create(&path).unwrap().write_all(b"one\n").unwrap();
        let mut file = File::append(&path).unwrap();
        assert!(!file.is_empty().unwrap());
        file.write_all(b"two\n").unwrap();
        file.truncate(4).unwrap();
        // Still at the end, which has moved.
        file.write_all(b"three\n").unwrap();
        file.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nthree\n");
    }

    #[cfg(unix)]
    #[test]
    fn the_system_says_what_is_free() {
        assert!(available_space(&std::env::temp_dir()).unwrap() > 0);
        assert_eq!(available_space(Path::new("/no/such/folder")), None);
        assert_eq!(parent(Path::new("a")), Path::new("."));
    }
}
