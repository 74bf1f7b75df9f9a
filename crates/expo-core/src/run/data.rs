//! What a run trains on, as it was read.

use std::collections::BTreeMap;

use super::evaluation::EvaluationData;
use crate::data::{Preference, Problem};
use crate::feed::documents::Documents;

/// What a run trains on.
#[derive(Default)]
pub struct TrainData {
    /// Problems with known answers (all recipes but `sft` and `dpo`).
    pub problems: Vec<Problem>,
    /// For each problem the place of its set in `data.train`; empty: all are of the first.
    pub sets: Vec<usize>,
    /// Preferences (`dpo`).
    pub preferences: Vec<Preference>,
    /// Number of rows of their files left out, as `data.on_bad_row` allows.
    pub preferences_skipped: usize,
    /// Documents (`sft`, rehearsal).
    pub documents: Option<Documents>,
    /// What the run is evaluated on.
    pub evaluation: EvaluationData,
    /// SHA-256 of each source, by its name, for `run.json`.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the files were read.
    pub notices: Vec<String>,
}
