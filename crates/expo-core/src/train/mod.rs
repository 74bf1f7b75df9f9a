//! The loop: draw, score, add up the loss terms, step, report.

mod chat_task;
pub(crate) mod checkpoint;
mod documents;
pub(crate) mod draw;
mod draw_pairs;
mod evaluation;
#[cfg(test)]
mod evaluation_tests;
pub(crate) mod explain;
pub(crate) mod hints;
mod load;
mod lora;
#[cfg(test)]
mod lora_tests;
pub(crate) mod made_pairs;
mod metrics;
mod observe;
mod order;
mod output;
mod pack;
pub(crate) mod pass;
#[cfg(test)]
mod preference_tests;
mod preferences;
pub(crate) mod probe;
pub(crate) mod problems;
mod rationales;
mod records;
#[cfg(test)]
mod records_tests;
mod reference;
mod report;
mod schedule;
#[cfg(test)]
mod star_tests;
mod step;
pub(crate) mod task;
mod tensorboard;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trainer;
mod trouble;
mod watchdog;
#[cfg(test)]
mod watchdog_tests;

pub use chat_task::ChatTask;
pub(crate) use checkpoint::from_state;
pub use checkpoint::{Resumable, UnfinishedRun};
pub use documents::Documents;
pub use draw_pairs::score_pairs;
pub use evaluation::{Best, EvaluationData};
pub use metrics::{StepMetrics, is_timing};
pub use observe::{Observer, Phase};
pub use pass::{Measured, Pass, Trainable, forward_backward};
pub use task::{Suffix, Task};
pub use tensorboard::EventFile;
pub use trainer::{RunSummary, SaveWeights, TrainData, Trainer};
