//! Policies.

pub mod cpu;
