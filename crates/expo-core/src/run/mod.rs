//! The loop over a recipe: draw, score, pass, update, report; and what stands around it: checkpoints, watchdog, records, evaluation.

pub(crate) mod checkpoint;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod evaluation;
#[cfg(test)]
mod evaluation_tests;
pub(crate) mod lock;
#[cfg(test)]
mod lora_tests;
pub(crate) mod output;
#[cfg(test)]
mod preference_tests;
pub(crate) mod prepare;
pub mod preview;
pub(crate) mod records;
#[cfg(test)]
mod records_tests;
mod resume;
pub(crate) mod save_weights;
pub(crate) mod schedule;
#[cfg(test)]
mod star_tests;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod step_metrics;
mod tensorboard;
#[cfg(test)]
mod tests;
pub(crate) mod trainer;
pub(crate) mod trouble;
pub(crate) mod update;
pub(crate) mod watchdog;
#[cfg(test)]
mod watchdog_tests;

pub use checkpoint::unfinished::UnfinishedRun;
pub use data::TrainData;
pub use evaluation::{Best, EvaluationData};
pub use save_weights::SaveWeights;
pub use state::RunSummary;
pub use tensorboard::EventFile;
pub use trainer::Trainer;
