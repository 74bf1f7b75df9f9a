//! Completions and chains of thought under the policy: how likely they are with the answer hidden, and how likely they make the answer.

use crate::error::Result;
use crate::objective::Sequence;
use crate::train::Suffix;
use crate::train::pass;
use crate::train::probe::{AnswerCase, answer_log_probs, measured};
use expo_lm::model::{Model, Workspace};

/// A completion that holds a chain of thought.
pub(super) struct Thought<'a> {
    /// The question alone.
    pub prompt: &'a [u32],
    /// The whole completion, its answer and the end of sequence included.
    pub tokens: &'a [u32],
    /// Number of leading tokens before the answer's delimiter.
    pub length: usize,
    /// Delimiter and right answer.
    pub suffix: &'a Suffix,
}

impl<'a> Thought<'a> {
    /// The chain of thought alone.
    pub fn thought(&self) -> &'a [u32] {
        &self.tokens[..self.length]
    }
}

/// For each of `thoughts`: NLL per token of the whole completion, and log pi(a* | q, c) summed over the answer's tokens, in nats, at temperature 1.
pub(super) fn score(model: &Model, workspace: &mut Workspace, thoughts: &[Thought], budget: usize) -> Result<Vec<(f64, f64)>> {
    let sequences: Vec<Sequence> = thoughts.iter().map(|thought| measured(thought.prompt, thought.tokens)).collect();
    let cases: Vec<AnswerCase> =
        thoughts.iter().map(|thought| AnswerCase { prompt: thought.prompt, thought: thought.thought(), suffix: thought.suffix }).collect();
    let scores = pass::score(model, workspace, &sequences, budget)?;
    let answers = answer_log_probs(model, workspace, &cases, budget)?;
    Ok(scores.iter().map(pass::Measured::nll).zip(answers).collect())
}
