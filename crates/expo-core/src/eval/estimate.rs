//! A mean over problems with its uncertainty.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::statistics;

/// How intervals are made: the percentile bootstrap over problems (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13). Problems are
/// drawn anew with replacement, as many as there are, and the interval holds the middle of the means that this gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Number of such means.
    pub resamples: usize,
    /// The part of them inside the interval, between 0 and 1.
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, confidence: 0.95, seed: 0 }
    }
}

/// A mean over problems.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Number of problems.
    pub problems: usize,
    /// The mean (0 of no problems).
    pub mean: f64,
    /// Its standard error over problems (0 for fewer than two).
    pub standard_error: f64,
    /// Lower end of the bootstrap interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The mean of `values`, one a problem, with its uncertainty. The same seed and number of values give the same draws of problems, so that the intervals of
/// several metrics of the same problems belong together.
pub fn estimate(values: &[f64], bootstrap: &Bootstrap) -> Estimate {
    let mean = statistics::mean(values);
    let (low, high) = interval(values, bootstrap).unwrap_or((mean, mean));
    Estimate { problems: values.len(), mean, standard_error: statistics::standard_error(values), low, high }
}

fn interval(values: &[f64], bootstrap: &Bootstrap) -> Option<(f64, f64)> {
    let n = values.len();
    if n < 2 || bootstrap.resamples == 0 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(bootstrap.seed);
    let mut means: Vec<f64> =
        (0..bootstrap.resamples).map(|_| (0..n).map(|_| values[rng.random_range(0..n)]).sum::<f64>() / n as f64).collect();
    means.sort_by(f64::total_cmp);
    let outside = (1.0 - bootstrap.confidence) / 2.0;
    Some((quantile(&means, outside), quantile(&means, 1.0 - outside)))
}

/// The quantile `q` of sorted values, between two of them in a straight line (NumPy's default).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + share * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_mean_over_problems() {
        let values = [0.0, 0.25, 0.5, 1.0];
        let one = estimate(&values, &Bootstrap::default());
        assert!((one.mean - 1.75 / 4.0).abs() < 1e-12);
        // Sample standard deviation over the root of 4.
        assert!((one.standard_error - (0.546_875f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12, "{}", one.standard_error);
        let single = Estimate { problems: 1, mean: 0.25, standard_error: 0.0, low: 0.25, high: 0.25 };
        assert_eq!(estimate(&values[1..2], &Bootstrap::default()), single);
        assert_eq!(estimate(&[], &Bootstrap::default()).mean, 0.0);
    }

    #[test]
    fn quantiles_are_numpy_s() {
        // numpy.quantile([1, 2, 4, 8], [0, 0.1, 0.5, 0.975, 1])
        let found = [0.0, 0.1, 0.5, 0.975, 1.0].map(|q| quantile(&[1.0, 2.0, 4.0, 8.0], q));
        for (found, expected) in found.into_iter().zip([1.0, 1.3, 3.0, 7.7, 8.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn the_interval_is_seeded_and_near_the_normal_one() {
        // 400 problems, 100 of them solved: binomial, so the normal interval is 0.25 +- 1.96 * 0.02165.
        let values: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let bootstrap = Bootstrap { resamples: 4000, ..Bootstrap::default() };
        let one = estimate(&values, &bootstrap);
        let half = 1.96 * (0.25f64 * 0.75 / 400.0).sqrt();
        assert!((one.low - (0.25 - half)).abs() < 0.006 && (one.high - (0.25 + half)).abs() < 0.006, "{one:?}");
        assert_eq!(one, estimate(&values, &bootstrap));
        // Means of 0 and 1 are so coarse that other draws can give the same interval.
        let fine: Vec<f64> = (0..400).map(|i| f64::from(i).sin()).collect();
        assert_ne!(estimate(&fine, &bootstrap), estimate(&fine, &Bootstrap { seed: 1, ..bootstrap }));
        let narrow = estimate(&values, &Bootstrap { confidence: 0.5, ..bootstrap });
        assert!(narrow.low > one.low && narrow.high < one.high);
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let bootstrap = Bootstrap { resamples: 400, confidence: 0.9, seed: 3 };
        let covered = (0..300).filter(|_| {
            let values: Vec<f64> = (0..60).map(|_| f64::from(u8::from(rng.random_bool(0.3)))).collect();
            let one = estimate(&values, &bootstrap);
            one.low <= 0.3 && 0.3 <= one.high
        });
        // The standard deviation of the share is 0.017.
        let share = covered.count() as f64 / 300.0;
        assert!((0.83..=0.96).contains(&share), "{share}");
    }
}
