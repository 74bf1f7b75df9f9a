//! Extraction and comparison of final answers in mathematical text.
//!
//! [`extract`] finds answers by their delimiter (`\boxed{}`, `####`, "the answer is"), with the place where the delimiter begins;
//! [`verify`] compares two answers: as text after light normalisation, then as exact rational numbers. What neither decides is
//! [`Outcome::Undecided`]. Both take time linear in their input and never panic, whatever the input.

mod ast;
mod atom;
mod boxes;
mod compare;
mod config;
mod exact;
mod extract;
mod float;
mod normalize;
mod number;
mod parse;
mod plain;
mod scalar;
mod sets;
mod token;
mod verify;

pub use config::{Outcome, Verdict, VerifyConfig};
pub use extract::{Candidate, Delimiter, ExtractConfig, Kind, extract};
pub use normalize::normalize;
pub use verify::{grade, verify};
