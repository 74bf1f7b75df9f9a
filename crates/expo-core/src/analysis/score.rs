//! Completions and chains of thought under the policy: how likely they are with the answer hidden, and how likely they make the answer.

use crate::draw::hints::log_probs as hinted_log_probs;
use crate::draw::probe::{AnswerCase, answer_log_probs};
use crate::error::Result;
use crate::objective::{HintInformation, Sequence};
use crate::policy::Lm;
use crate::policy::pass::Measured;
use crate::task::suffix::Suffix;

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
    /// Of an explanation: the question with the answer shown, and how many leading tokens were sampled behind it.
    pub hint: Option<(&'a [u32], usize)>,
}

/// What the policy says of one, at temperature 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scored {
    /// Negative log-likelihood per token of the whole completion, the answer hidden, in nats.
    pub nll: f64,
    /// log pi(a* | q, c), summed over the answer's tokens, in nats.
    pub answer: f64,
    /// Of an explanation: what it owes to the hint.
    pub hint: Option<HintInformation>,
}

impl<'a> Thought<'a> {
    /// The chain of thought alone.
    pub fn thought(&self) -> &'a [u32] {
        &self.tokens[..self.length]
    }
}

/// Scores each of `thoughts`.
pub(super) fn score(lm: &dyn Lm, thoughts: &[Thought]) -> Result<Vec<Scored>> {
    let sequences: Vec<Sequence> = thoughts.iter().map(|thought| Sequence::measured(thought.prompt, thought.tokens, 1.0)).collect();
    let cases: Vec<AnswerCase> =
        thoughts.iter().map(|thought| AnswerCase { prompt: thought.prompt, thought: thought.thought(), suffix: thought.suffix }).collect();
    let hinted: Vec<(&[u32], &[u32])> =
        thoughts.iter().filter_map(|thought| thought.hint.map(|(prompt, sampled)| (prompt, &thought.tokens[..sampled]))).collect();
    let scores = lm.score(&sequences)?;
    let answers = answer_log_probs(lm, &cases)?;
    let mut shown = hinted_log_probs(lm, &hinted)?.into_iter();
    let of = |((thought, hidden), answer): ((&Thought, Measured), f64)| Scored {
        nll: hidden.nll(),
        answer,
        hint: thought.hint.and_then(|_| shown.next()).and_then(|shown| HintInformation::of(&shown, hidden.unit_log_probs())),
    };
    Ok(thoughts.iter().zip(scores).zip(answers).map(of).collect())
}
