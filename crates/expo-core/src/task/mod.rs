//! The text side of a run: prompts and tokens of problems, final answers of completions.

pub mod chat;
pub mod shown;
pub mod suffix;

use std::collections::BTreeSet;

use crate::data::{Document, Problem};
use crate::error::Result;
use crate::objective::EncodedDocument;
use crate::prompt::Encoded;
use crate::reward::Verdict;
use expo_lm::chat::{Conversation, FieldCheck, Message};

/// Prompt templates, chat template, tokenizer and verifier of a run.
pub trait Task: Sync {
    /// The question alone, up to the assistant's turn.
    fn question(&self, problem: &Problem) -> Result<Vec<u32>>;
    /// The user's turn that asks the question alone, as text.
    fn question_text(&self, problem: &Problem) -> Result<String>;
    /// The question with the answer shown, up to the assistant's turn.
    fn explanation(&self, problem: &Problem) -> Result<Vec<u32>>;
    /// Delimiter and answer as appended to a chain of thought.
    fn answer_suffix(&self, problem: &Problem) -> Result<String>;
    /// A supervised document: one sequence, or several where the chat template writes earlier turns otherwise later; and what to tell once. Errors: the chat template
    /// refuses the conversation, or a turn can't be trained on as it writes it.
    fn document(&self, document: &Document) -> Result<Encoded>;
    /// A conversation as prompt and the turns that follow it, the assistant's first and last, as completion; and what to tell once. Errors: as for
    /// [`Task::document`]; they are not one sequence.
    fn continuation(&self, prompt: &Conversation, turns: &[Message]) -> Result<(EncodedDocument, BTreeSet<String>)>;
    /// The assistant's turn that answers the question of `problem`: a chain of thought, and what follows it, up to the end of turn.
    fn answer(&self, problem: &Problem, thoughts: &str, text: &str) -> Result<Vec<u32>> {
        let _ = problem;
        Ok([&self.encode(&format!("{thoughts}{text}"))?, self.end_of_turn()?].concat())
    }
    /// Whether `completion` is thoughts alone that the prompt has begun and it has not ended: no answer can follow.
    fn is_unfinished_thought(&self, completion: &str) -> bool {
        let _ = completion;
        false
    }
    /// Looks at the fields of `conversation`: which of them the chat template reads.
    fn look_at_fields(&self, conversation: &Conversation, check: &mut FieldCheck) -> Result<()> {
        let _ = (conversation, check);
        Ok(())
    }
    /// What a user should know of the prompts.
    fn notice(&self) -> Result<Option<String>> {
        Ok(None)
    }
    /// What prompts take for the present, in seconds since 1970 (UTC).
    fn date(&self) -> i64;
    /// Tokens of `text`: no special token is added, and what looks like one is text.
    fn encode(&self, text: &str) -> Result<Vec<u32>>;
    /// Text of `tokens`, special tokens left out.
    fn decode(&self, tokens: &[u32]) -> Result<String>;
    /// The same text, and for each of `tokens` the byte at which its text ends there: ends never fall, a token in the middle of a character ends where that does, and one without
    /// a text where the text before it does. This one makes the text of every prefix: enough for a few short texts.
    fn decode_with_ends(&self, tokens: &[u32]) -> Result<(String, Vec<usize>)> {
        let text = self.decode(tokens)?;
        let ends = (1..=tokens.len()).map(|count| Ok(self.decode(&tokens[..count])?.len())).collect::<Result<_>>()?;
        Ok((text, ends))
    }
    /// Text of `tokens`, special tokens as they are written.
    fn decode_with_special_tokens(&self, tokens: &[u32]) -> Result<String> {
        self.decode(tokens)
    }
    /// Whether `token` is a special one of the vocabulary, such as those that begin and end turns.
    fn is_special(&self, _token: u32) -> bool {
        false
    }
    /// A completion ends with any of these.
    fn stop_token_ids(&self) -> &[u32];
    /// The tokens that end an assistant's turn, the last of them among [`Task::stop_token_ids`]. Errors: what ends turns does not end generation.
    fn end_of_turn(&self) -> Result<&[u32]>;
    /// Judges the final answer of each completion, on all cores; verdicts in the same order.
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict>;
    /// Whether two final answers, as written, are the same.
    fn same_answer(&self, a: &str, b: &str) -> bool;
    /// Whether every step of a completion is right; `None` where the task has no checker of steps.
    fn steps_right(&self, problem: &Problem, completion: &str) -> Option<bool>;
}

/// Longest text of one token, in bytes: above that of any vocabulary (the longest are rows of spaces or dashes).
const MOST_BYTES_OF_A_TOKEN: usize = 512;

/// Whether texts of `bytes` bytes exceed `context` tokens whatever the tokenizer: to be asked before a text is encoded, which takes many times its size.
pub fn exceeds(bytes: usize, context: usize) -> bool {
    bytes / MOST_BYTES_OF_A_TOKEN >= context
}

/// The bytes of messages.
pub fn bytes_of(messages: &[Message]) -> usize {
    messages.iter().map(Message::bytes).sum()
}
