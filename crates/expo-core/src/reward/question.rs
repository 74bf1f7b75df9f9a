//! What is rewarded: the completions of questions.

use super::verify::Verdict;
use crate::data::Problem;

/// The completions of one question.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The question with its answer.
    pub problem: &'a Problem,
    /// The prompt as the policy saw it, special tokens left out.
    pub prompt: String,
    /// Its completions.
    pub completions: Vec<Completion<'a>>,
}

/// A completion to be rewarded.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// Its text, without the stop token.
    pub text: &'a str,
    /// Its length in tokens, the stop token included.
    pub tokens: usize,
    /// Cut off by the length limit.
    pub truncated: bool,
    /// What the verifier says of it.
    pub verdict: &'a Verdict,
    /// What the policy says of the known answer, where [`Rewards::ask_for_answers`](super::Rewards::ask_for_answers).
    pub answer: Option<AnswerScore>,
}

/// What the policy says of the known answer a* behind a completion's reasoning c.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerScore {
    /// log pi(a* | q, c), summed over the answer's tokens, in nats.
    pub log_prob: f64,
    /// Number of these tokens, at least 1.
    pub tokens: usize,
}
