//! What goes into a run: problems with known answers, documents, preferences; their readers, and the built-in generator.

mod documents;
pub mod generator;
mod hub;
mod messages;
mod preferences;
mod problems;
mod rows;
mod shapes;
mod sources;
mod table;

use std::collections::BTreeMap;

use expo_lm::chat::Message;

pub use documents::{DocumentSet, read_documents};
pub use preferences::{PreferenceSet, read_preferences};
pub use problems::{ProblemSet, load_problems};
pub use rows::shown;
pub(crate) use rows::{BadRows, first_of, is_hidden};
pub(crate) use table::Bad;

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
    /// `FILE:LINE`; empty for one that no file holds.
    pub id: String,
    /// The conversation before the completion, at least one message.
    pub prompt: Vec<Message>,
    /// Assistant turn (the end-of-turn token is added when encoding).
    pub completion: String,
}

impl Document {
    /// A user's turn and the assistant's.
    pub fn new(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        Self { id: String::new(), prompt: vec![Message::new("user", prompt)], completion: completion.into() }
    }
}

/// Two ways to go on from a prompt, one preferred to the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// Stable identifier: `FILE:LINE`.
    pub id: String,
    /// The conversation before the two sides, at least one message.
    pub prompt: Vec<Message>,
    /// The preferred side (y_w): not empty, begins and ends with a turn of the assistant.
    pub chosen: Vec<Message>,
    /// The other side (y_l), likewise; differs from `chosen`.
    pub rejected: Vec<Message>,
}
