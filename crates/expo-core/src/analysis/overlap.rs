//! How much of one text another one repeats.

/// ROUGE-L of two token sequences: the F-measure (beta = 1) of their longest common subsequence (Lin, 2004, "ROUGE: A Package for Automatic Evaluation of
/// Summaries", section 3.1). 1 for equal ones, 0 where nothing is common or one is empty.
pub fn rouge_l(one: &[u32], other: &[u32]) -> f64 {
    let common = longest_common_subsequence(one, other) as f64;
    if common == 0.0 { 0.0 } else { 2.0 * common / (one.len() + other.len()) as f64 }
}

/// Its length, in one row of memory.
fn longest_common_subsequence(one: &[u32], other: &[u32]) -> usize {
    // row[j]: of what has been seen of `one` and the first j of `other`.
    let mut row = vec![0; other.len() + 1];
    for token in one {
        let mut diagonal = 0;
        for (j, candidate) in other.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if token == candidate { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By trying every subsequence of the shorter one.
    fn by_enumeration(one: &[u32], other: &[u32]) -> usize {
        let is_within = |wanted: &[u32]| {
            let mut rest = other.iter();
            wanted.iter().all(|token| rest.any(|candidate| candidate == token))
        };
        (0u32..1 << one.len())
            .map(|set| one.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, token)| *token).collect::<Vec<_>>())
            .filter(|subsequence| is_within(subsequence))
            .map(|subsequence| subsequence.len())
            .max()
            .unwrap_or(0)
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_enumeration(
            one in proptest::collection::vec(0u32..4, 0..9),
            other in proptest::collection::vec(0u32..4, 0..9),
        ) {
            proptest::prop_assert_eq!(longest_common_subsequence(&one, &other), by_enumeration(&one, &other));
        }
    }

    #[test]
    fn the_measure() {
        // The paper's example, "police killed the gunman" against "police kill the gunman": 3 of 4 words on both sides.
        assert_eq!(rouge_l(&[1, 2, 3, 4], &[1, 9, 3, 4]), 0.75);
        assert_eq!((rouge_l(&[1, 2], &[1, 2]), rouge_l(&[1], &[2]), rouge_l(&[], &[1])), (1.0, 0.0, 0.0));
    }
}
