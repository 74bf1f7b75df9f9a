//! How the learning rate and beta_exp move over a run.

use std::f64::consts::PI;

use crate::config::{BetaSchedule, ExpSection, LrSchedule, OptimSection, TrainSection};
use crate::feed::order::progress;

/// Learning rate of optimizer step `s = step` (from 0) of `T = total`, with `W` steps of warm-up: `(s + 1) / W` of the peak, then the schedule at
/// `(T - s) / (T - W)` of its way left, down towards `min_lr_ratio` times the peak. So neither the first nor the last step is one of rate 0, and after the
/// warm-up rates are those of transformers' schedulers.
pub fn learning_rate(options: &OptimSection, step: usize, total: usize) -> f64 {
    let warmup = warmup_steps(options, total);
    if step < warmup {
        return options.learning_rate * (step + 1) as f64 / warmup as f64;
    }
    let left = total.saturating_sub(step) as f64 / total.saturating_sub(warmup).max(1) as f64;
    let decay = match options.lr_scheduler_type {
        LrSchedule::Constant => 1.0,
        LrSchedule::Linear => left,
        LrSchedule::Cosine => 0.5 * (1.0 - (PI * left).cos()),
    };
    let floor = if options.lr_scheduler_type == LrSchedule::Constant { 0.0 } else { options.min_lr_ratio };
    options.learning_rate * (floor + (1.0 - floor) * decay)
}

/// Place and length, in optimizer steps, of the learning rate's schedule at update `iteration` of `step`, `done` updates having been made: that of the run, or, where
/// every `restarts_every` steps it starts anew, of the part since then.
pub fn place(train: &TrainSection, restarts_every: Option<usize>, step: usize, iteration: usize, done: usize) -> (usize, usize) {
    let (steps, updates) = (train.steps, train.num_iterations);
    let Some(every) = restarts_every else { return (done, steps * updates) };
    let start = step / every * every;
    ((step - start) * updates + iteration, every.min(steps - start) * updates)
}

/// Optimizer steps of warm-up among `total`; a ratio is rounded up, as in transformers.
fn warmup_steps(options: &OptimSection, total: usize) -> usize {
    if options.warmup_ratio > 0.0 { (total as f64 * options.warmup_ratio).ceil() as usize } else { options.warmup_steps }
}

/// Whether one update may throw a weight so far that the model is of no use any more. Adam moves each by at most
/// `lr * max(1, (1 - beta1) / sqrt(1 - beta2))` (arXiv 1412.6980, section 2.1), and decay takes `lr * weight_decay` of it away: with usual settings
/// far less than 1.
pub fn may_ruin(options: &OptimSection) -> bool {
    let longest = ((1.0 - options.adam_beta1) / (1.0 - options.adam_beta2).sqrt()).max(1.0);
    options.learning_rate * longest.max(options.weight_decay) > 1.0
}

/// beta_exp at step `step` (from 0) of `total`: from `beta` at the first step to `beta_end` at the last.
pub fn beta_exp(options: &ExpSection, step: usize, total: usize) -> f64 {
    let progress = progress(step, total);
    let towards_end = match options.schedule {
        BetaSchedule::Constant => 0.0,
        BetaSchedule::Linear => progress,
        BetaSchedule::Cosine => 0.5 * (1.0 - (PI * progress).cos()),
    };
    options.beta + (options.beta_end - options.beta) * towards_end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_reaches_the_peak_and_schedules_go_down_to_a_step_that_still_learns() {
        let mut options = OptimSection { learning_rate: 2.0, warmup_steps: 4, min_lr_ratio: 0.0, ..OptimSection::default() };
        // Six steps after the warm-up: the last has 1/6 of the way left.
        for (kind, last) in [(LrSchedule::Constant, 2.0), (LrSchedule::Linear, 2.0 / 6.0), (LrSchedule::Cosine, 1.0 - (PI / 6.0).cos())] {
            options.lr_scheduler_type = kind;
            assert_eq!(learning_rate(&options, 0, 10), 0.5);
            assert_eq!(learning_rate(&options, 3, 10), 2.0);
            assert_eq!(learning_rate(&options, 4, 10), 2.0);
            assert!((learning_rate(&options, 9, 10) - last).abs() < 1e-12, "{kind:?}");
        }
        options.min_lr_ratio = 0.1;
        assert!((learning_rate(&options, 9, 10) - 2.0 * (0.1 + 0.9 * (1.0 - (PI / 6.0).cos()) / 2.0)).abs() < 1e-12);
    }

    #[test]
    fn no_step_of_any_run_has_a_rate_of_0() {
        for kind in [LrSchedule::Constant, LrSchedule::Linear, LrSchedule::Cosine] {
            for total in 1..9 {
                for warmup_steps in 0..10 {
                    let options = OptimSection { lr_scheduler_type: kind, warmup_steps, learning_rate: 1.0, ..OptimSection::default() };
                    let rates: Vec<f64> = (0..total).map(|step| learning_rate(&options, step, total)).collect();
                    assert!(rates.iter().all(|rate| *rate > 0.0 && *rate <= 1.0), "{kind:?} {total} {warmup_steps}: {rates:?}");
                }
            }
        }
    }

    #[test]
    fn a_warm_up_by_ratio_is_rounded_up() {
        let by_ratio = OptimSection { learning_rate: 2.0, warmup_ratio: 0.31, ..OptimSection::default() };
        let by_steps = OptimSection { warmup_ratio: 0.0, warmup_steps: 4, ..by_ratio.clone() };
        for step in 0..10 {
            assert_eq!(learning_rate(&by_ratio, step, 10), learning_rate(&by_steps, step, 10));
        }
        assert_eq!(learning_rate(&OptimSection { warmup_ratio: 1.0, ..by_ratio }, 9, 10), 2.0);
    }

    #[test]
    fn beta_moves_from_its_start_to_its_end() {
        let mut options = ExpSection { beta: 1.0, beta_end: 0.25, ..ExpSection::default() };
        assert_eq!(beta_exp(&options, 7, 11), 1.0);
        for kind in [BetaSchedule::Linear, BetaSchedule::Cosine] {
            options.schedule = kind;
            assert_eq!(beta_exp(&options, 0, 11), 1.0);
            assert!((beta_exp(&options, 5, 11) - 0.625).abs() < 1e-12);
            assert!((beta_exp(&options, 10, 11) - 0.25).abs() < 1e-12);
        }
    }
}
