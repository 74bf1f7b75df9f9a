//! Supervised documents as tokens.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A supervised document as tokens, or one sequence of a document that takes several; the loss is on the completion alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EncodedDocument {
    /// Chat template up to the assistant's turn.
    pub prompt: Vec<u32>,
    /// The assistant's turn, end-of-sequence included; with several turns all between the first and the last of them, too.
    pub completion: Vec<u32>,
    /// The tokens of the completion that the loss is on; empty: all of them.
    #[serde(default)]
    pub trained: Vec<Range<usize>>,
    /// Whether it is of the same document as the one before it.
    #[serde(default)]
    pub continues: bool,
}

impl EncodedDocument {
    /// A document whose whole completion is trained on.
    pub fn whole(prompt: Vec<u32>, completion: Vec<u32>) -> Self {
        Self { prompt, completion, ..Self::default() }
    }

    /// Tokens of prompt and completion.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens that the loss is on.
    pub fn trained_tokens(&self) -> usize {
        trained_tokens(&self.completion, &self.trained)
    }
}

/// Number of tokens of `completion` that the loss is on; `trained` empty: all of them.
pub fn trained_tokens(completion: &[u32], trained: &[Range<usize>]) -> usize {
    if trained.is_empty() { completion.len() } else { trained.iter().map(Range::len).sum() }
}
