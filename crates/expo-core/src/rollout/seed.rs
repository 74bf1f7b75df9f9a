//! Seeds of random streams, derived from what a stream is for, never from how work is batched.

/// What a random stream is for: streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Rollouts of the question alone.
    Rollout = 1,
    /// Self-explanations.
    Explanation = 2,
    /// The order of the problems.
    ProblemOrder = 3,
    /// The documents of SFT and rehearsal.
    Documents = 4,
    /// Random initialisation of the weights.
    Initialisation = 5,
    /// Samples of an evaluation.
    Evaluation = 6,
    /// The order of preference pairs.
    Pairs = 7,
    /// Random initialisation of an adapter.
    Adapter = 8,
    /// LoRA's dropout.
    Dropout = 9,
}

/// SplitMix64's output function (Steele, Lea, Flood 2014): a bijection that mixes all bits.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of stream `path` (such as step, problem, sample) for `purpose` in the run of seed `run_seed`.
pub fn derive(run_seed: u64, purpose: Purpose, path: &[u64]) -> u64 {
    path.iter().fold(mix(mix(run_seed) ^ purpose as u64), |state, part| mix(state ^ mix(*part)))
}

/// A permutation of `0..n` (Fisher-Yates) that depends on `seed` alone.
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // The bias of the remainder is below 2^-40 for any data set that fits in memory.
        let j = (derive(seed, Purpose::ProblemOrder, &[i as u64]) % (i as u64 + 1)) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn streams_differ_in_every_coordinate() {
        let mut seen = HashSet::new();
        for run in 0..4 {
            for purpose in [Purpose::Rollout, Purpose::Explanation] {
                for step in 0..8 {
                    for sample in 0..8 {
                        assert!(seen.insert(derive(run, purpose, &[step, sample])));
                    }
                }
            }
        }
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = permutation(101, 7);
        assert_ne!(order, permutation(101, 8));
        assert_ne!(order, (0..101).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..101).collect::<Vec<_>>());
    }
}
