//! Rows of `batches.jsonl`: what an optimizer step trained on beside rollouts and explanations.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RenderedPrompt;
use super::weights::TokenWeights;

/// A document, an expert chain of thought, a trace or a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchRow {
    /// The step, from 1.
    pub step: usize,
    /// The optimizer step of it, from 1.
    pub update: usize,
    /// What it is.
    #[serde(flatten)]
    pub kind: BatchKind,
    /// The prompt.
    #[serde(flatten)]
    pub prompt: RenderedPrompt,
    /// What follows it.
    #[serde(flatten)]
    pub trained_on: TrainedOn,
    /// Where the loss is on parts of it alone: their places in `completion_ids`, end excluded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<[usize; 2]>,
    /// The weight of each token's loss in the whole loss, by term.
    pub token_weights: TokenWeights,
}

/// What a row of `batches.jsonl` is, with what only its kind has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BatchKind {
    /// A document.
    Document,
    /// An expert chain of thought.
    ExpertCot {
        /// The problem's id.
        problem: String,
        /// The question's place in the step.
        group: usize,
    },
    /// A trace of another policy.
    OffPolicy(TraceRow),
    /// A preference pair.
    Pair {
        /// Its id.
        id: String,
    },
}

impl BatchKind {
    /// The kind as text.
    pub fn name(&self) -> &'static str {
        match self {
            BatchKind::Document => "document",
            BatchKind::ExpertCot { .. } => "expert_cot",
            BatchKind::OffPolicy(_) => "off_policy",
            BatchKind::Pair { .. } => "pair",
        }
    }
}

/// A trace of another policy, judged and rewarded as a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceRow {
    /// The problem's id.
    pub problem: String,
    /// The question's place in the step.
    pub group: usize,
    /// The trace's place in the question.
    pub index: usize,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Why it is judged so.
    pub reason: String,
    /// Rewards by name; null where one does not apply.
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Their weighted sum.
    pub reward: Option<f64>,
    /// Its advantage; null where that is no number.
    pub advantage: Option<f64>,
}

/// What follows a prompt in a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TrainedOn {
    /// A completion.
    Completion {
        /// Its text.
        completion: String,
        /// Its tokens.
        completion_ids: Vec<u32>,
    },
    /// The two sides of a pair, with the reference's log-likelihoods of them in nats, summed over tokens.
    Sides {
        /// Text of the chosen side.
        chosen: String,
        /// Its tokens.
        chosen_ids: Vec<u32>,
        /// Text of the rejected side.
        rejected: String,
        /// Its tokens.
        rejected_ids: Vec<u32>,
        /// The reference's of the chosen side.
        ref_chosen_logps: Option<f64>,
        /// The reference's of the rejected side.
        ref_rejected_logps: Option<f64>,
    },
}
