//! What goes into a run: problems with known answers, documents, preferences; their readers, and the built-in generator.

mod bad_rows;
mod documents;
mod files;
pub mod generator;
mod golds;
mod hub;
pub mod json;
mod messages;
mod preferences;
mod problems;
mod rows;
mod shapes;
mod shown;
mod sources;
mod survey;
mod table;

use std::collections::BTreeMap;

use expo_lm::chat::{Conversation, Message};

use crate::config::Turns;

pub(crate) use bad_rows::{Bad, BadRows};
pub use documents::{DocumentSet, read_documents};
pub use golds::{BadGolds, GoldCheck};
pub use preferences::{PreferenceSet, read_preferences};
pub use problems::{ProblemSet, load_problems};
pub use rows::scalar;
pub use shown::shown;
pub(crate) use shown::{first_of, is_hidden};
pub use survey::{Problems, Rows, Survey};
pub use table::read_text;

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
    /// Difficulty (MATH: 1 to 5; of words, the place in `data.levels`, from 1).
    pub level: Option<u32>,
    /// The level as a word, where the data has words.
    pub level_name: Option<String>,
    /// Subject or category.
    pub subject: Option<String>,
    /// Other scalar fields of the row, for grouping and templates.
    pub extra: BTreeMap<String, String>,
    /// What the row gives the chat template: its `tools` and `chat_template_kwargs`; no messages.
    pub context: Conversation,
}

/// One supervised document for SFT and rehearsal: loss on turns of the assistant only.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// `FILE:LINE`; empty for one that no file holds.
    pub id: String,
    /// At least two messages; the last is the assistant's.
    pub conversation: Conversation,
    /// So many messages are its prompt, and never trained on (at least one).
    pub prompt: usize,
}

impl Document {
    /// A user's turn and the assistant's.
    pub fn new(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        let messages = vec![Message::new("user", prompt), Message::new("assistant", completion)];
        Self { id: String::new(), conversation: messages.into(), prompt: 1 }
    }

    /// The messages that are trained on: the assistant's last one or each one, as `turns` says, but for those that may not be.
    pub fn turns(&self, turns: Turns) -> Vec<usize> {
        let messages = &self.conversation.messages;
        let first = match turns {
            Turns::Last => messages.len() - 1,
            Turns::All => self.prompt,
        };
        (first..messages.len()).filter(|i| messages[*i].role == "assistant" && messages[*i].trainable).collect()
    }

    /// Its last turn.
    pub fn completion(&self) -> &Message {
        self.conversation.messages.last().expect("a document has messages")
    }
}

/// Two ways to go on from a prompt, one preferred to the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// Stable identifier: `FILE:LINE`.
    pub id: String,
    /// The conversation before the two sides, at least one message.
    pub prompt: Conversation,
    /// The preferred side (y_w): not empty, begins and ends with a turn of the assistant.
    pub chosen: Vec<Message>,
    /// The other side (y_l), likewise; differs from `chosen`.
    pub rejected: Vec<Message>,
}
