//! Problems with known answers: readers, filters, the built-in generator.

mod documents;
pub mod generator;
mod problems;
mod rows;

use std::collections::BTreeMap;

pub use documents::read_documents;
pub use problems::{ProblemSet, load_problems};

/// One problem with a known answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problem {
    /// Stable identifier: `FILE:LINE` or `division-l5-s0-17`.
    pub id: String,
    /// The question as shown to the model.
    pub question: String,
    /// The final answer a*, without delimiter.
    pub answer: String,
    /// Expert chain of thought c_E *without* its final-answer line (GSM8K's `<<...>>` removed), where the data has one.
    pub expert_cot: Option<String>,
    /// Difficulty (MATH: 1 to 5).
    pub level: Option<u32>,
    /// Subject or category.
    pub subject: Option<String>,
    /// Other scalar fields of the row, for grouping and templates.
    pub extra: BTreeMap<String, String>,
}

/// One supervised document for SFT and rehearsal: loss on the completion only.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// User turn.
    pub prompt: String,
    /// Assistant turn (the end-of-turn token is added when encoding).
    pub completion: String,
}
