//! A matrix of runs: what the user wrote ([`mod@file`]), what follows from it ([`plan`]), each run's folder ([`folder`]), the child processes ([`schedule`]), and the
//! tables at the end ([`figures`], [`tables`], [`mod@write`]).

pub mod figures;
pub mod file;
pub mod folder;
pub mod plan;
pub mod schedule;
pub mod tables;
pub mod write;
