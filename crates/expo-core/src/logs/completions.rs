//! Rows of `completions.jsonl`: what was drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RenderedPrompt;
use super::weights::TokenWeights;
use crate::objective::group::ExplanationOutcome;

/// A rollout or an explanation that a step drew. Rows of earlier versions lack the newer fields: what is absent is read as empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompletionRow {
    /// The step, from 1; 0 is before the first.
    pub step: u64,
    /// What it drew.
    #[serde(flatten)]
    pub drawn: DrawnRow,
}

/// What stands in a row of `completions.jsonl`, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DrawnRow {
    /// A completion of the question alone.
    Rollout(RolloutRow),
    /// A self-explanation.
    Explanation(ExplanationRow),
}

impl DrawnRow {
    /// The question that it is of.
    pub fn question(&self) -> &QuestionRow {
        match self {
            DrawnRow::Rollout(row) => &row.question,
            DrawnRow::Explanation(row) => &row.question,
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            DrawnRow::Rollout(row) => &row.text,
            DrawnRow::Explanation(row) => &row.text,
        }
    }

    /// Whether the verifier finds it right.
    pub fn is_correct(&self) -> bool {
        match self {
            DrawnRow::Rollout(row) => row.correct,
            DrawnRow::Explanation(row) => row.correct,
        }
    }
}

/// Which question a completion is of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QuestionRow {
    /// The question's place in the step.
    pub group: usize,
    /// The completion's place among those of its kind of the question.
    pub index: usize,
    /// The problem's id.
    pub problem: String,
    /// Its level.
    pub level: Option<u32>,
    /// Its subject.
    pub subject: Option<String>,
    /// The question.
    pub question: String,
    /// The known answer.
    pub answer: String,
    /// The prompt, in the first row of those that share it.
    #[serde(flatten)]
    pub prompt: Option<RenderedPrompt>,
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutRow {
    /// What it is of.
    #[serde(flatten)]
    pub question: QuestionRow,
    /// Its text, special tokens visible, the end of turn left out.
    pub text: String,
    /// Its tokens.
    pub completion_ids: Vec<u32>,
    /// Cut off by the length limit.
    pub truncated: bool,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Whether it is equal to the known one but not worked out.
    pub unevaluated: bool,
    /// Why it is judged so.
    pub reason: String,
    /// Rewards by name; null where one does not apply.
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Their weighted sum.
    pub reward: Option<f64>,
    /// Its advantage; null where that is no number.
    pub advantage: Option<f64>,
    /// Where the known answer first stands, as a share of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_position: Option<f64>,
    /// Where the step trained on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_weights: Option<TokenWeights>,
}

/// An explanation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplanationRow {
    /// What it is of.
    #[serde(flatten)]
    pub question: QuestionRow,
    /// Its text, special tokens visible, the end of turn left out.
    pub text: String,
    /// Its tokens as sampled.
    pub completion_ids: Vec<u32>,
    /// What became of it.
    pub outcome: Option<ExplanationOutcome>,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Why it is judged so.
    pub reason: String,
    /// Rewards by name, unweighted.
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Whether every step is right; null where the task has no checker.
    pub steps_right: Option<bool>,
    /// Its tokens as trained on, where its answer is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_ids: Option<Vec<u32>>,
    /// What its tokens owe to the answer that was shown, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint_information: Option<f64>,
    /// The largest of one token of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_information: Option<f64>,
    /// Where the known answer first stands, as a share of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_position: Option<f64>,
    /// Where the step trained on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_weights: Option<TokenWeights>,
}
