//! The CPU engine.

pub mod pack;
pub mod pass;
