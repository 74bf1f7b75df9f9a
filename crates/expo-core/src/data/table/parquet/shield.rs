//! Errors of the `parquet` crate as they are told, and its panics on a broken file as errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use parquet::errors::ParquetError;

use crate::data::shown::shown;

thread_local! {
    /// Whether a panic on this thread is an answer, and no defect of ours to be told on standard error.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The crate's error as it is told.
pub fn told(error: &ParquetError) -> String {
    let text = error.to_string();
    format!("cannot be read: {}", text.split_once(": ").map_or(text.as_str(), |(_, message)| message))
}

/// What `read` gives; a panic in it is an error. What it was at work on is not to be used again.
pub fn shielded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                usual(info);
            }
        }));
    });
    EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    EXPECTED.set(false);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(format!("is damaged: reading it failed with \"{}\"", shown(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let none: Vec<u8> = Vec::new();
        let error = shielded(|| Ok(none[7])).unwrap_err();
        assert_eq!(error, "is damaged: reading it failed with \"index out of bounds: the len is 0 but the index is 7\"");
        assert_eq!(shielded(|| Ok(1)), Ok(1));
        assert_eq!(shielded(|| Err::<(), _>("x".into())), Err("x".into()));
    }
}
