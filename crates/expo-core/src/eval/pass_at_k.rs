//! The chance that at least one of k samples is right.

/// Unbiased estimate of pass@k, the chance that at least one of k samples is right, from `correct` right ones among `samples`:
/// 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374, equation 1). Panics when `k` is above `samples` or `correct` is.
pub fn pass_at_k(samples: usize, correct: usize, k: usize) -> f64 {
    assert!(k <= samples && correct <= samples, "pass@{k} of {correct} right ones among {samples}");
    let wrong = samples - correct;
    if wrong < k {
        return 1.0;
    }
    // C(n-c, k) / C(n, k) as a product of k factors: no large numbers.
    1.0 - (0..k).map(|i| (wrong - i) as f64 / (samples - i) as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the subsets of size k that hold a right sample.
    fn by_enumeration(samples: usize, correct: usize, k: usize) -> f64 {
        let subsets = (0u32..1 << samples).filter(|set| set.count_ones() as usize == k);
        let (mut all, mut hit) = (0, 0);
        for set in subsets {
            all += 1;
            hit += u32::from(set & ((1 << correct) - 1) != 0);
        }
        f64::from(hit) / f64::from(all)
    }

    #[test]
    fn agrees_with_enumeration() {
        for samples in 1..=10 {
            for correct in 0..=samples {
                for k in 1..=samples {
                    let (fast, slow) = (pass_at_k(samples, correct, k), by_enumeration(samples, correct, k));
                    assert!((fast - slow).abs() < 1e-12, "{samples} {correct} {k}: {fast} {slow}");
                }
            }
        }
    }
}
