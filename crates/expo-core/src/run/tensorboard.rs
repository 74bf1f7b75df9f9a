//! TensorBoard event files: TFRecords of `Event` messages, of which only scalars are needed here, so written by hand.
//!
//! Formats: tensorflow/core/lib/io/record_writer.h (records), tensorflow/core/util/event.proto and framework/summary.proto (messages).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::metrics::StepMetrics;

/// Writes steps into an event file of its own. A run that goes on after an interruption has one file for each start. The first event of each, and one wherever
/// steps come again after a rollback, tells TensorBoard to forget what was written before from that step on.
pub struct EventFile {
    folder: PathBuf,
    /// Made with the first step.
    file: Option<(PathBuf, File)>,
    /// The last step written.
    last: Option<u64>,
}

/// session_log { status: START }
const START: [u8; 4] = [7 << 3 | 2, 2, 1 << 3, 1];

impl EventFile {
    /// One that will lie in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, last: None }
    }

    /// Appends all metrics of a step. Errors: the file can't be created or written; nothing of the run depends on it.
    pub fn write(&mut self, metrics: &StepMetrics) -> Result<()> {
        let now = expo_lm::clock::since_1970();
        let (step, mut records) = (metrics.step as u64, Vec::new());
        let starts = self.last.replace(step).is_none_or(|last| step <= last);
        let (path, file) = match &mut self.file {
            Some(open) => open,
            empty => {
                records.extend(record(&event(now, 0, &string_field(3, "brain.Event:2"))));
                empty.insert(create(&self.folder, now)?)
            }
        };
        if starts {
            records.extend(record(&event(now, step, &START)));
        }
        let values: Vec<u8> = metrics.iter().flat_map(|(name, value)| bytes_field(1, &scalar(&name.as_str(), value as f32))).collect();
        records.extend(record(&event(now, step, &bytes_field(5, &values))));
        // One call: a run that is killed leaves a whole record, or part of the last one, which readers pass over.
        file.write_all(&records).map_err(|e| Error::io("write", path, e))
    }
}

/// How every file's name begins.
const NAME: &str = "events.out.tfevents.";

/// A new file in `folder`; TensorBoard reads files with this in their name, those of one folder in the order of their names: so the new one's time is behind that of all
/// others, also where the clock has gone back since.
fn create(folder: &Path, now: Duration) -> Result<(PathBuf, File)> {
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let time_of = |name: &str| name.strip_prefix(NAME)?.split('.').next()?.parse::<u64>().ok();
    let entries = fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))?;
    let newest = entries.flatten().filter_map(|entry| time_of(entry.file_name().to_str()?)).max();
    let time = newest.map_or(now.as_secs(), |newest| now.as_secs().max(newest.saturating_add(1)));
    let mut number = 0;
    loop {
        let path = folder.join(format!("{NAME}{time:010}.expo-rl.{}.{number}", std::process::id()));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::io("create", &path, error)),
        }
    }
}

/// `Event { wall_time, step, ... }`.
fn event(time: Duration, step: u64, content: &[u8]) -> Vec<u8> {
    let mut message = vec![1 << 3 | 1];
    message.extend(time.as_secs_f64().to_le_bytes());
    // 0 is the default, which has no bytes.
    if step > 0 {
        message.extend(varint_field(2, step));
    }
    message.extend(content);
    message
}

/// `Summary.Value { tag, simple_value }`.
fn scalar(name: &str, value: f32) -> Vec<u8> {
    let mut message = string_field(1, name);
    message.push(2 << 3 | 5);
    message.extend(value.to_le_bytes());
    message
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint_field(number: u8, value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    field.extend(varint(value));
    field
}

fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(bytes.len() as u64));
    field.extend(bytes);
    field
}

fn string_field(number: u8, text: &str) -> Vec<u8> {
    bytes_field(number, text.as_bytes())
}

/// A TFRecord: length, its checksum, data, their checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc32c(&length).to_le_bytes(), data, &masked_crc32c(data).to_le_bytes()].concat()
}

/// CRC-32C, rotated and shifted, since a checksum of data with checksums in it is a weak one.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC with Castagnoli's polynomial, bit by bit: a step has a few kilobytes.
fn crc32c(data: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Name;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_checksum_is_castagnoli_s() {
        // The check value of CRC-32/ISCSI, and RFC 3720, B.4: 32 zeros.
        assert_eq!((crc32c(b"123456789"), crc32c(&[0; 32])), (0xe306_9283, 0x8a91_36aa));
    }

    /// The same events as tensorboard writes them (scripts/fixtures/tensorboard_events.py).
    #[test]
    fn records_are_tensorboard_s() {
        let fixture = include_str!("../../tests/fixtures/tensorboard-events.txt");
        let lines: Vec<&str> = fixture.lines().collect();
        let time = Duration::from_millis(1_700_000_000_500);
        let mut values = bytes_field(1, &scalar("loss", 0.25));
        values.extend(bytes_field(1, &scalar("exp/nll_explanation", -1e-3)));
        let events =
            [event(time, 0, &string_field(3, "brain.Event:2")), event(time, 300, &START), event(time, 300, &bytes_field(5, &values))];
        assert_eq!(lines.len(), events.len());
        for (event, line) in events.iter().zip(&lines) {
            assert_eq!(hex(&record(event)), *line);
        }
    }

    #[test]
    fn steps_that_come_again_are_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::new(folder.path());
        for (step, starts) in [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3)] {
            events.write(&StepMetrics::new(step)).unwrap();
            let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            let bytes = fs::read(path).unwrap();
            assert_eq!(bytes.windows(START.len()).filter(|window| *window == START).count(), starts, "step {step}");
        }
    }

    #[test]
    fn a_later_file_comes_later_though_the_clock_went_back() {
        let folder = tempfile::tempdir().unwrap();
        let named = |seconds: u64| create(folder.path(), Duration::from_secs(seconds)).unwrap().0;
        let paths = [1_700_000_000, 1_600_000_000, 0, 1_700_000_001, 1_800_000_000].map(named);
        assert!(paths.is_sorted(), "{paths:?}");
        // One that is the last there can be, and names that mean nothing.
        for other in [format!("{NAME}{}.x", u64::MAX), format!("{NAME}.x"), "notes".to_owned()] {
            fs::write(folder.path().join(other), "").unwrap();
        }
        assert!(named(0).to_str().unwrap().contains(&u64::MAX.to_string()));
    }

    #[test]
    fn every_start_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensorboard");
        for step in [1, 2] {
            let mut events = EventFile::new(&path);
            let mut metrics = StepMetrics::new(step);
            metrics.set(Name::Loss, 0.5);
            events.write(&metrics).unwrap();
        }
        let mut sizes: Vec<u64> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        sizes.dedup();
        assert_eq!(sizes.len(), 1);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        // A file stands in the folder's place.
        let blocked = folder.path().join("blocked");
        fs::write(&blocked, "").unwrap();
        assert!(EventFile::new(&blocked).write(&StepMetrics::new(1)).is_err());
    }
}
