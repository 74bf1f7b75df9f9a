//! Extraction and comparison of final answers in mathematical text.
//!
//! - [`extract`] finds answers: boxes, `####`, "the answer is", formulas, plain numbers, choice letters;
//! - [`verify`] says whether two answers are mathematically equal, and by which rule;
//! - [`grade`] does both;
//! - [`check_gold`] says what makes a known answer useless.
//!
//! ```
//! use mathverify::{ExtractConfig, Outcome, VerifyConfig, grade, verify};
//!
//! let config = VerifyConfig::default();
//! assert_eq!(verify(r"\frac{1}{\sqrt{2}}", r"\dfrac{\sqrt2}{2}", &config).outcome, Outcome::Equal);
//! let (verdict, found) = grade("x=5", r"So $2x = 10$ and the answer is $\boxed{5}$.", &ExtractConfig::default(), &config);
//! assert_eq!(verdict.outcome, Outcome::Equal);
//! assert_eq!(found.unwrap().value, "5");
//! ```
//!
//! Everything is a pure function: no global state, no clocks, no panic on any input. The work of a comparison is bounded by
//! [`VerifyConfig::budget`], counted in operations, so that a verdict doesn't depend on the machine; what exceeds it is
//! [`Outcome::Undecided`].

mod announce;
mod ast;
mod atom;
mod boxes;
mod chain;
mod choices;
mod compare;
mod config;
mod decisive;
mod exact;
mod extract;
mod float;
mod gold;
mod normalize;
mod number;
mod numerals;
mod parse;
mod plain;
mod presentation;
mod prose;
mod remarks;
mod repeating;
mod rows;
mod scalar;
mod sets;
mod token;
mod units;
mod verify;
mod vocabulary;
mod words;
mod worked;

pub use config::{Outcome, Verdict, VerifyConfig};
pub use extract::{Candidate, Delimiter, ExtractConfig, Kind, extract};
pub use gold::{GoldProblem, check_gold};
pub use normalize::normalize;
pub use verify::{grade, verify};
