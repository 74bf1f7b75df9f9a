//! The wall clock, for what people read. It may jump, also backwards: nothing that a run computes, waits for or decides may go by it (that is what
//! [`std::time::Instant`] and counters are for).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970 (UTC); nothing where the clock is before that.
pub fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    #[cfg(feature = "fault-injection")]
    let now = now.saturating_sub(crate::durable::faults::clock_behind());
    now
}
