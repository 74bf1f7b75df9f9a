//! Evaluation during training.

use super::super::levels::Levels;
use super::super::option::{Bounds, OptionSpec, OptionValue, Section, section};

section! {
    /// Evaluation during training on held-out data, by the same code as `expo-rl eval`. It does not touch the run's random streams: with and without it the run trains alike.
    EvalSection {
        /// Held-out problems: a file, a hub data set, or `generator:division` for problems that are never trained on; read as `[data]` says, but for what is set here (empty: none).
        data: String = String::new();
        /// Split of a hub data set (unset: `test`).
        split: Option<String> = None;
        /// Only problems of these levels, numbers or words as `data.levels` has them (empty: all).
        levels: Levels = Levels::default();
        /// Only the first N problems, and of `loss_data` the first N rows (0: all of a file, 500 of the generator).
        limit: usize = 0;
        /// Held-out documents, or with `dpo` and `exp-dpo` preferences, for the validation loss `eval/loss`: a file, or the `hf://` address of one (empty: none).
        loss_data: String = String::new();
        /// Evaluate after every N steps, and after the last (0: only after the last).
        every: usize = 0;
        /// Evaluate before the first step, too.
        at_start: bool = false;
        /// Samples of each problem.
        num_samples: usize = 1, in 1..;
        /// The k of `eval/pass@k`; `eval/pass@1`, the mean accuracy, is always there.
        pass_at_k: Vec<u32> = vec![1], in 1..;
        /// Sampling temperature (0: greedy).
        temperature: f64 = 0.7, in 0.0..;
        /// Longest completion in tokens (unset: `rollout.max_new_tokens`).
        max_new_tokens: Option<usize> = None, in 1..;
        /// The metric, such as `eval/pass@1`, whose best evaluation's weights are kept in `model-best` (unset: none are kept).
        metric_for_best_model: Option<String> = None;
        /// Whether more of it is better (unset: yes, but for `eval/loss`).
        greater_is_better: Option<bool> = None;
        /// Stop after this many evaluations without a better `metric_for_best_model` (0: never).
        early_stopping_patience: usize = 0;
        /// By how much it has to be better to count for the patience.
        early_stopping_threshold: f64 = 0.0, in 0.0..;
    }
}
