//! Looking at PJRT plugins and what devices they have, each in a process of its own.

pub mod hardware;
pub mod probe;
pub mod watch;
