//! Compiled programs on disk, so that a program is compiled once and not at every start.
//!
//! An entry is found by what it computes and for what: the program's text, the options, the plugin's name, the kind
//! and number of devices. It holds what it was compiled by (the plugin's size, date and versions, the driver, and for
//! CPUs the processor with its instruction sets, since such code runs nowhere else) and a checksum. An entry that
//! does not fit or is damaged is told and compiled anew; a folder that can't be written is told once, and programs
//! are compiled each time. Entries are as trustworthy as who may write the folder: the plugin runs the code in them.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::Program;
use crate::client::{Client, CompileOptions, Executable};
use crate::error::Result;

/// What an entry begins with; the number is the layout's: SHA-256 of the rest (32 bytes), length of the origin (4
/// bytes, little endian), origin (lines of text), the plugin's bytes.
const MAGIC: &[u8] = b"expo-xla program 1\n";

/// A folder of compiled programs.
pub struct Cache {
    folder: PathBuf,
    notice: Box<dyn Fn(&str) + Send + Sync>,
    told: AtomicBool,
}

/// A program out of the cache or the compiler.
#[derive(Debug)]
pub struct Cached {
    /// The program.
    pub executable: Executable,
    /// Whether it was found on disk.
    pub found: bool,
    /// SHA-256 of the plugin's bytes, in hexadecimal: what exactly runs. `None` where the plugin can't serialise
    /// programs.
    pub sha256: Option<String>,
}

impl Cache {
    /// Uses `folder`, which is made when the first program is kept. `notice` hears of entries that are not used and
    /// of a folder that can't be written.
    pub fn new(folder: impl Into<PathBuf>, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { folder: folder.into(), notice: Box::new(notice), told: AtomicBool::new(false) }
    }

    /// Where the entry of this program is, or would be.
    pub fn path(&self, client: &Client, program: &Program, options: &CompileOptions) -> PathBuf {
        self.folder.join(file_name(&program.name, &key(client, program, options)))
    }

    /// `program` for `client`: loaded where there is an entry that fits, else compiled and kept.
    ///
    /// # Errors
    /// Those of [`Client::compile`]. What is wrong with the cache is no error.
    pub fn compile(&self, client: &Client, program: &Program, options: &CompileOptions) -> Result<Cached> {
        let key = key(client, program, options);
        let path = self.folder.join(file_name(&program.name, &key));
        let origin = origin(client, &key);
        match std::fs::read(&path) {
            Ok(entry) => match open(&entry, &origin) {
                Ok(bytes) => match client.load(program, bytes) {
                    Ok(executable) => return Ok(Cached { executable, found: true, sha256: Some(hex(&Sha256::digest(bytes))) }),
                    Err(error) => self.anew(&path, &error.to_string()),
                },
                Err(reason) => self.anew(&path, &reason),
            },
            // What is not there yet, or can't be, is told where it is to be written.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => self.anew(&path, &error.to_string()),
        }
        let executable = client.compile(program, options)?;
        let sha256 = match executable.compiled().serialize() {
            Ok(bytes) => {
                self.keep(&path, &origin, &bytes);
                Some(hex(&Sha256::digest(&bytes)))
            }
            Err(error) => {
                self.tell_once(&error.to_string());
                None
            }
        };
        Ok(Cached { executable, found: false, sha256 })
    }

    fn anew(&self, path: &Path, reason: &str) {
        (self.notice)(&format!("{}: {reason}. The program is compiled anew", path.display()));
    }

    fn tell_once(&self, reason: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            (self.notice)(&format!("{}: {reason}. Programs are not kept there and are compiled at each start", self.folder.display()));
        }
    }

    fn keep(&self, path: &Path, origin: &str, bytes: &[u8]) {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}-{number}.tmp", std::process::id()));
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            let mut file = std::fs::File::create(&temporary)?;
            write_entry(&mut file, origin, bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        };
        if let Err(error) = write() {
            // It may not even be there.
            let _ = std::fs::remove_file(&temporary);
            self.tell_once(&error.to_string());
        }
    }
}

fn write_entry(file: &mut impl Write, origin: &str, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(origin.len()).map_err(std::io::Error::other)?.to_le_bytes();
    let sum = Sha256::new().chain_update(length).chain_update(origin).chain_update(bytes).finalize();
    [MAGIC, &sum[..], &length, origin.as_bytes(), bytes].into_iter().try_for_each(|part| file.write_all(part))
}

/// The plugin's bytes in an entry that was made by `origin`; or why not.
fn open<'a>(entry: &'a [u8], origin: &str) -> std::result::Result<&'a [u8], String> {
    let damaged = || "the entry is damaged".to_owned();
    let rest = entry.strip_prefix(MAGIC).ok_or_else(|| "no entry of this version of the cache".to_owned())?;
    let (sum, rest) = rest.split_at_checked(32).ok_or_else(damaged)?;
    if sum != &Sha256::digest(rest)[..] {
        return Err(damaged());
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (made_by, bytes) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    let made_by = std::str::from_utf8(made_by).map_err(|_| damaged())?;
    if made_by == origin {
        return Ok(bytes);
    }
    let differs = made_by.lines().zip(origin.lines()).find(|(then, now)| then != now);
    let (then, now) = differs.unwrap_or((made_by, origin));
    Err(format!("the entry was made for \"{}\", now it is \"{}\"", cut(then), cut(now)))
}

/// A processor's list of instruction sets is long.
fn cut(line: &str) -> String {
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// What an entry computes and for what, as a hash.
fn key(client: &Client, program: &Program, options: &CompileOptions) -> String {
    let count = options.replicas.saturating_mul(options.partitions);
    let runs_on = |id: i32, index: usize| match &options.devices {
        Some(devices) => devices.contains(&i64::from(id)),
        None => index < count,
    };
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(program.text.as_bytes());
    part(&options.encode());
    part(plugin_file(client).file_name().unwrap_or_default().as_encoded_bytes());
    part(client.platform().as_bytes());
    part(&client.devices().len().to_le_bytes());
    for (index, device) in client.devices().iter().enumerate() {
        if runs_on(device.description().id, index) {
            part(device.description().kind.as_bytes());
        }
    }
    hex(&hash.finalize())
}

/// What compiled it, line by line.
fn origin(client: &Client, key: &str) -> String {
    let plugin = client.plugin();
    let (major, minor) = plugin.api_version();
    let mut lines = format!("program {key}\n");
    let file = plugin_file(client);
    let _ = write!(lines, "plugin {}", file.file_name().unwrap_or_default().to_string_lossy());
    if let Ok(metadata) = file.metadata() {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let _ = write!(lines, ", {} bytes of {}.{:09}", metadata.len(), changed.as_secs(), changed.subsec_nanos());
    }
    let _ = writeln!(lines, ", PJRT C API {major}.{minor}");
    for (name, value) in plugin.attributes() {
        let _ = writeln!(lines, "{name} {value}");
    }
    let _ = writeln!(lines, "platform {} {}", client.platform(), client.platform_version().replace('\n', " "));
    if client.platform() == "cpu" {
        let _ = writeln!(lines, "processor {}", processor());
    }
    lines
}

/// The plugin's real file.
fn plugin_file(client: &Client) -> PathBuf {
    let path = client.plugin().path();
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The processor and its instruction sets as Linux tells them; elsewhere the architecture alone.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = told.split("\n\n").next().unwrap_or_default();
    let mut text = std::env::consts::ARCH.to_owned();
    for line in first.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let constant = [
            "vendor_id",
            "cpu family",
            "model",
            "model name",
            "stepping",
            "flags",
            "Features",
            "CPU implementer",
            "CPU part",
            "CPU variant",
            "isa",
        ];
        if constant.contains(&name.trim()) {
            let _ = write!(text, ", {}", value.trim());
        }
    }
    text
}

fn file_name(program: &str, key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = program.chars().take(40).map(plain).collect();
    format!("{name}-{}.xla", &key[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_differs_anywhere_is_not_used() {
        let mut entry = Vec::new();
        write_entry(&mut entry, "program 1\nplugin a.so\n", b"code").unwrap();
        assert_eq!(open(&entry, "program 1\nplugin a.so\n"), Ok(&b"code"[..]));
        for position in 0..entry.len() {
            for bit in 0..8 {
                let mut changed = entry.clone();
                changed[position] ^= 1 << bit;
                assert!(open(&changed, "program 1\nplugin a.so\n").is_err(), "byte {position}, bit {bit}");
            }
            assert!(open(&entry[..position], "program 1\nplugin a.so\n").is_err(), "the first {position} bytes");
        }
        let error = open(&entry, "program 1\nplugin b.so\n").unwrap_err();
        assert_eq!(error, "the entry was made for \"plugin a.so\", now it is \"plugin b.so\"");
    }

    #[test]
    fn lengths_that_lie_are_damage() {
        // The checksum fits, so that the length is looked at.
        let mut rest = u32::MAX.to_le_bytes().to_vec();
        rest.extend(b"short");
        let entry = [MAGIC, &Sha256::digest(&rest)[..], &rest].concat();
        assert_eq!(open(&entry, "short"), Err("the entry is damaged".to_owned()));
    }
}
