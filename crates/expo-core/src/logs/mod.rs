//! The logs of a run: the names of its files, and their rows as structs, by which they are written and read back. docs/reports.md says what the fields mean.

pub mod batches;
pub mod completions;
pub mod made;
#[cfg(test)]
mod tests;
pub mod watchdog;
pub mod weights;

use serde::{Deserialize, Serialize};

/// What the run is, and whether it has ended.
pub const RUN_FILE: &str = "run.json";
/// One row a step.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The rollouts and explanations of each step.
pub const COMPLETIONS_FILE: &str = "completions.jsonl";
/// The documents, pairs and traces that each step trained on.
pub const BATCHES_FILE: &str = "batches.jsonl";
/// The pairs that the policy made.
pub const PAIRS_FILE: &str = "pairs.jsonl";
/// The reference's log-probabilities of all pairs.
pub const REFERENCE_FILE: &str = "reference.jsonl";
/// The documents that the policy made.
pub const DOCUMENTS_FILE: &str = "documents.jsonl";
/// What the watchdog found.
pub const WATCHDOG_FILE: &str = "watchdog.jsonl";
/// Which evaluation is the best.
pub const BEST_FILE: &str = "best.json";

/// A prompt as the model saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedPrompt {
    /// Its text, chat template and all.
    pub rendered_prompt: String,
    /// Its tokens.
    pub prompt_ids: Vec<u32>,
}
