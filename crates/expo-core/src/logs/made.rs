//! Rows of `pairs.jsonl`, `documents.jsonl` and `reference.jsonl`: what a policy made to be trained on, and what its reference says of pairs.

use serde::Serialize;

use super::RenderedPrompt;
use crate::config::ChosenSide;

/// A pair as a preference file has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreferenceRow {
    /// The problem's id.
    pub id: String,
    /// The user's turn.
    pub prompt: String,
    /// Text of the chosen side.
    pub chosen: String,
    /// Text of the rejected side.
    pub rejected: String,
    /// The known answer.
    pub answer: String,
    /// What the chosen side is.
    pub chosen_from: ChosenSide,
    /// Whether the rejected side is right.
    pub rejected_correct: bool,
}

/// A pair that the policy made in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairRow {
    /// The pair; special tokens are visible in its sides.
    #[serde(flatten)]
    pub preference: PreferenceRow,
    /// The rejected side's final answer as written.
    pub rejected_extracted: Option<String>,
    /// Why it is judged so.
    pub rejected_reason: String,
    /// The step, from 1; 0 is before the first.
    pub step: usize,
    /// The prompt.
    #[serde(flatten)]
    pub rendered: RenderedPrompt,
    /// Tokens of the chosen side.
    pub chosen_ids: Vec<u32>,
    /// Tokens of the rejected side.
    pub rejected_ids: Vec<u32>,
}

/// What the reference says of a pair, in nats, summed over tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReferenceRow {
    /// The pair's id.
    pub id: String,
    /// Of the chosen side.
    pub ref_chosen_logps: Option<f64>,
    /// Of the rejected side.
    pub ref_rejected_logps: Option<f64>,
}

/// A document that the policy made in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentRow {
    /// The outer iteration, from 1.
    pub iteration: usize,
    /// The problem's id.
    pub id: String,
    /// The user's turn.
    pub prompt: String,
    /// The text that is learnt.
    pub completion: String,
    /// The known answer.
    pub answer: String,
    /// What it was.
    pub from: DocumentOrigin,
    /// The iteration's first step, from 1.
    pub step: usize,
    /// The prompt.
    #[serde(flatten)]
    pub rendered: RenderedPrompt,
    /// Tokens of the completion.
    pub completion_ids: Vec<u32>,
}

/// What a document was that the policy made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentOrigin {
    /// A rollout that is right.
    Rollout,
    /// An explanation, written with the answer shown.
    Rationalization,
}

/// Rows of one of these files.
#[derive(Debug, Clone, PartialEq)]
pub enum MadeRows {
    /// Of `pairs.jsonl`.
    Pairs(Vec<PairRow>),
    /// Of `reference.jsonl`.
    Reference(Vec<ReferenceRow>),
    /// Of `documents.jsonl`.
    Documents(Vec<DocumentRow>),
}
