//! Evaluation: samples of problems with known answers, and what follows from how many are right: pass@k, accuracy, majority vote, each with an interval;
//! by any field of the problems; and differences between policies on the same problems.

mod completions;
mod estimate;
mod pass_at_k;
mod presets;
mod problems;
mod solve;
mod solved;
mod summary;
mod vote;

pub use completions::{CompletionsFile, Keep};
pub use estimate::{Bootstrap, Estimate, estimate};
pub use pass_at_k::pass_at_k;
pub use presets::{PRESETS, Preset};
pub use problems::{GENERATED, load_evaluation_problems};
pub use solve::solve;
pub use solved::{Plan, Sample, Solved};
pub use summary::{Subset, Summary, differences, metric_values, subsets, summarize};
pub use vote::majority;
