//! The lock of a run's folder: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use expo_lm::clock::since_1970;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The lock's file. It stays when the lock is released; what counts is whether the system says that it is locked.
pub(crate) const LOCK_FILE: &str = "run.lock";

/// A run's folder, this process's own until dropped. The system releases it when the process ends, however that happens.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Who holds a lock, as it stands in the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// Seconds since 1970, for people: clocks jump.
    since: u64,
}

impl Holder {
    fn this_process() -> Self {
        Self { pid: std::process::id(), host: host(), since: since_1970().as_secs() }
    }

    /// Whether it is another process of this machine that lives. One of this process's own number was here before: in a container each has the same.
    fn is_alive(&self) -> bool {
        self.host == host() && self.pid != std::process::id() && process_exists(self.pid)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Whether the file system has no locks, or none that work (NFS without its lock service).
fn has_no_locks(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

#[cfg(unix)]
fn process_exists(pid: u32) -> bool {
    use rustix::io::Errno;
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Not permitted to signal it: it exists.
    pid.is_some_and(|pid| matches!(rustix::process::test_kill_process(pid), Ok(()) | Err(Errno::PERM)))
}

#[cfg(not(unix))]
fn process_exists(_: u32) -> bool {
    // Can't be asked without further libraries; the lock itself decides there.
    false
}

impl RunLock {
    /// Locks the run's folder `folder`, which exists. The second value says what a user should know: a lock that was left behind, a file system without
    /// locks. Errors: another process holds it (who), the file can't be written.
    pub fn acquire(folder: &Path) -> Result<(Self, Option<String>)> {
        let path = folder.join(LOCK_FILE);
        if path.is_symlink() {
            return Err(Error::file(&path, None, "is a symbolic link, and would write over what it leads to; remove it"));
        }
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|e| Error::io("open", &path, e))?;
        let mut text = String::new();
        // Half a line of a process that was killed while it wrote says nothing.
        let holder: Option<Holder> = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
        let shown = holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string);
        let in_use = || Error::file(&path, None, format!("this folder is in use by {shown}; wait until that has ended, or stop it"));
        let mut notice = match file.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(e)) if has_no_locks(&e) => match &holder {
                Some(holder) if holder.is_alive() => return Err(in_use()),
                _ => Some(format!("{}: this file system has no locks; take care that no other process uses the folder", folder.display())),
            },
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        };
        if let Some(holder) = holder
            && notice.is_none()
        {
            notice = Some(format!("{}: {holder} ended without releasing this folder; taken over", folder.display()));
        }
        let text = serde_json::to_string(&Holder::this_process()).unwrap_or_default();
        let write = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        write.map_err(|e| Error::io("write", &path, e))?;
        Ok((Self { file }, notice))
    }

    /// Errors: the folder is not any more the one that was locked.
    pub fn check(&self, folder: &Path) -> Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let path = folder.join(LOCK_FILE);
            let file = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = self.file.metadata().map(file).map_err(|e| Error::io("look at", &path, e))?;
            if std::fs::symlink_metadata(&path).map(file).ok() != Some(locked) {
                let message = "this folder was removed or renamed while the run was at work in it; what the run has written since the last checkpoint is lost. \
                               Where it was renamed, give the same command with its new name as --out and --resume";
                return Err(Error::file(folder, None, message));
            }
        }
        Ok(())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // An empty file: released in order. Where even that fails, the next process is told of a lock left behind.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, notice) = RunLock::acquire(folder.path()).unwrap();
        assert_eq!(notice, None);
        let error = RunLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {} on {}", std::process::id(), host())), "{error}");
        drop(lock);
        assert_eq!(RunLock::acquire(folder.path()).unwrap().1, None, "released in order");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_goes_away_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let [run, moved] = ["run", "moved"].map(|name| folder.path().join(name));
        std::fs::create_dir(&run).unwrap();
        let (lock, _) = RunLock::acquire(&run).unwrap();
        lock.check(&run).unwrap();
        std::fs::rename(&run, &moved).unwrap();
        assert!(lock.check(&run).unwrap_err().to_string().contains("removed or renamed"));
        std::fs::create_dir(&run).unwrap();
        let other = RunLock::acquire(&run).unwrap();
        assert!(lock.check(&run).is_err(), "another's");
        drop(other);
        std::fs::remove_file(run.join(LOCK_FILE)).unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "mine").unwrap();
        std::os::unix::fs::symlink(&precious, run.join(LOCK_FILE)).unwrap();
        assert!(RunLock::acquire(&run).unwrap_err().to_string().contains("is a symbolic link"));
        assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
    }

    #[test]
    fn a_lock_left_behind_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        std::fs::write(&path, r#"{"pid":1,"host":"elsewhere","since":0}"#).unwrap();
        let notice = RunLock::acquire(folder.path()).unwrap().1.unwrap();
        assert!(notice.contains("process 1 on elsewhere ended without releasing"), "{notice}");
        std::fs::write(&path, r#"{"pid":1,"ho"#).unwrap();
        assert_eq!(RunLock::acquire(folder.path()).unwrap().1, None);
    }

    #[cfg(unix)]
    #[test]
    fn living_processes_are_known() {
        assert!(process_exists(std::process::id()) && !Holder::this_process().is_alive(), "its own number is no other process's");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Holder { pid: child.id(), ..Holder::this_process() };
        assert!(other.is_alive() && !Holder { host: "elsewhere".into(), pid: other.pid, ..Holder::this_process() }.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!other.is_alive() && !process_exists(child.id()));
        use std::io::{Error as IoError, ErrorKind::PermissionDenied};
        let no_lock = IoError::from_raw_os_error(rustix::io::Errno::NOLCK.raw_os_error());
        assert!(has_no_locks(&no_lock) && has_no_locks(&ErrorKind::Unsupported.into()) && !has_no_locks(&PermissionDenied.into()));
    }
}
