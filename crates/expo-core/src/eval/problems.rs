//! The problems of an evaluation.

use crate::config::{DataSection, OneOrMore};
use crate::data::generator::Split;
use crate::data::{GoldCheck, ProblemSet, load_problems};
use crate::error::Result;

/// Number of problems drawn from the built-in generator where nothing else is said.
pub const GENERATED: usize = 500;

/// The problems of `source`, read as `section` says, at most `limit` of them (0: all of a file, [`GENERATED`] of the generator). Of a hub data set it is
/// the split `test`, unless `section` names one; of the generator, problems that are never trained on.
/// Errors: those of [`load_problems`].
pub fn load_evaluation_problems(section: &DataSection, golds: &GoldCheck, source: &str, limit: usize) -> Result<ProblemSet> {
    let generate = if limit > 0 { limit } else { GENERATED };
    let section = DataSection { train: OneOrMore::from(source), limit, generate, ..section.clone() };
    load_problems(&section, golds, Split::HeldOut)
}
