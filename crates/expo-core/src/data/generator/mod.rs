//! The built-in task: long division in five levels, with the quotient's digits as the hint, so that everything can run with no file.
//!
//! The reasoning is multiply-and-subtract. With the answer shown every digit is known and only the arithmetic is left to write; without
//! it each digit has to be found. The levels are a table ([`LEVELS`]); so is the pretraining mix ([`MIX`]).

mod mix;
mod reasoning;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

pub use mix::{DocumentStream, Ingredient, Kind, MIX, documents, documents_of};
pub use reasoning::{DELIMITER, Division, steps_correct};

use super::Problem;
use crate::error::{Error, Result};

/// What a configuration writes instead of a file name for this generator.
pub const NAME: &str = "generator:division";

/// A range of divisions: which divisors, and how many digits the quotient has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Divisors, drawn uniformly.
    pub divisors: RangeInclusive<u64>,
    /// Number of digits of the quotient, drawn uniformly before the quotient itself.
    pub quotient_digits: RangeInclusive<u32>,
}

/// The five levels, easiest first. Level 5 is the one to train on.
pub const LEVELS: [Range; 5] = [
    Range { divisors: 2..=9, quotient_digits: 1..=2 },
    Range { divisors: 2..=9, quotient_digits: 3..=4 },
    Range { divisors: 11..=19, quotient_digits: 1..=2 },
    Range { divisors: 11..=19, quotient_digits: 3..=4 },
    Range { divisors: 30..=34, quotient_digits: 4..=4 },
];

/// One division in this many is held out, whatever the seed.
pub const HELD_OUT_ONE_IN: u64 = 5;

/// Which side of the fixed partition problems are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For training (and pretraining).
    Train,
    /// For evaluation; never in [`Split::Train`] nor in any document of the pretraining mix.
    HeldOut,
}

/// The partition: a fixed hash of quotient and divisor, so that it doesn't depend on any seed, level or table.
pub fn split_of(division: Division) -> Split {
    // SplitMix64's finaliser.
    let mut x = (division.quotient << 20 ^ division.divisor).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    if x.is_multiple_of(HELD_OUT_ONE_IN) { Split::HeldOut } else { Split::Train }
}

/// All numbers of `digits` decimal digits.
fn numbers(digits: u32) -> RangeInclusive<u64> {
    10u64.pow(digits - 1)..=10u64.pow(digits) - 1
}

impl Range {
    /// One division of this range on the training side.
    fn draw_training(&self, rng: &mut ChaCha8Rng) -> Division {
        loop {
            let digits = rng.random_range(self.quotient_digits.clone());
            let quotient = rng.random_range(numbers(digits));
            let division = Division { quotient, divisor: rng.random_range(self.divisors.clone()) };
            if split_of(division) == Split::Train {
                return division;
            }
        }
    }
}

/// The divisions of one level and split, shuffled, apart by length so that short quotients, of which there are few, are drawn as often.
struct Pool {
    level: u32,
    split: Split,
    by_length: Vec<Vec<Division>>,
}

impl Pool {
    fn new(level: u32, split: Split, rng: &mut ChaCha8Rng) -> Self {
        let mut pool = Self { level, split, by_length: Vec::new() };
        pool.fill(rng);
        pool
    }

    fn fill(&mut self, rng: &mut ChaCha8Rng) {
        let range = &LEVELS[self.level as usize - 1];
        self.by_length = range
            .quotient_digits
            .clone()
            .map(|digits| {
                let mut all: Vec<Division> = numbers(digits)
                    .flat_map(|quotient| range.divisors.clone().map(move |divisor| Division { quotient, divisor }))
                    .filter(|division| split_of(*division) == self.split)
                    .collect();
                all.shuffle(rng);
                all
            })
            .collect();
    }

    /// The next division; starts anew, with duplicates, only once every division of the level was drawn.
    fn next(&mut self, rng: &mut ChaCha8Rng) -> Division {
        loop {
            self.by_length.retain(|pool| !pool.is_empty());
            if self.by_length.is_empty() {
                self.fill(rng);
                continue;
            }
            let length = rng.random_range(0..self.by_length.len());
            if let Some(division) = self.by_length[length].pop() {
                return division;
            }
        }
    }
}

/// `n` problems, the levels in turn (an empty `levels`: all five). The same arguments give the same problems, and a larger `n` the same
/// ones with more behind. No problem comes twice unless its level has no more. Errors: a level outside 1 to 5.
pub fn problems(levels: &[u32], n: usize, seed: u64, split: Split) -> Result<Vec<Problem>> {
    if let Some(wrong) = levels.iter().find(|level| !(1..=LEVELS.len() as u32).contains(level)) {
        return Err(Error::Config(vec![format!("{NAME} has no level {wrong}: its levels are 1 to {}", LEVELS.len())]));
    }
    let mut wanted: Vec<u32> = if levels.is_empty() { (1..=LEVELS.len() as u32).collect() } else { levels.to_vec() };
    wanted.sort_unstable();
    wanted.dedup();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pools: Vec<Pool> = wanted.iter().map(|level| Pool::new(*level, split, &mut rng)).collect();
    let count = pools.len();
    let name = if split == Split::Train { "division" } else { "division-held-out" };
    Ok((0..n)
        .map(|i| {
            let pool = &mut pools[i % count];
            let (division, level) = (pool.next(&mut rng), pool.level);
            Problem {
                id: format!("{name}-l{level}-s{seed}-{i}"),
                question: division.question(),
                answer: division.quotient.to_string(),
                expert_cot: Some(division.expert_cot()),
                level: Some(level),
                level_name: None,
                subject: None,
                extra: BTreeMap::new(),
                context: Default::default(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn divisions(problems: &[Problem]) -> Vec<Division> {
        problems.iter().map(|p| Division::parse(&p.question).unwrap()).collect()
    }

    #[test]
    fn draws_are_deterministic_distinct_prefixes_and_in_their_level() {
        let all = problems(&[], 1000, 3, Split::Train).unwrap();
        assert_eq!(all, problems(&[5, 1, 2, 3, 4], 1000, 3, Split::Train).unwrap());
        assert_eq!(all[..100], problems(&[], 100, 3, Split::Train).unwrap());
        assert_ne!(divisions(&all), divisions(&problems(&[], 1000, 4, Split::Train).unwrap()));
        assert_eq!(divisions(&all).iter().collect::<HashSet<_>>().len(), 1000);
        for p in &all {
            let range = &LEVELS[p.level.unwrap() as usize - 1];
            let d = Division::parse(&p.question).unwrap();
            assert!(range.divisors.contains(&d.divisor));
            assert!(range.quotient_digits.contains(&(p.answer.len() as u32)), "{p:?}");
            assert_eq!(p.answer, d.quotient.to_string());
        }
        assert!(matches!(problems(&[6], 1, 0, Split::Train), Err(Error::Config(_))));
    }

    #[test]
    fn held_out_is_disjoint_for_every_seed_and_large_enough() {
        for level in 1..=5 {
            let held: HashSet<Division> = divisions(&problems(&[level], 300, 11, Split::HeldOut).unwrap()).into_iter().collect();
            assert!(held.len() >= 120, "level {level}: {}", held.len());
            for seed in 0..3 {
                let train = divisions(&problems(&[level], 5000, seed, Split::Train).unwrap());
                assert!(train.iter().all(|d| !held.contains(d)));
            }
        }
    }

    #[test]
    fn a_small_level_starts_anew_only_when_exhausted() {
        let train = divisions(&problems(&[1], 2000, 0, Split::Train).unwrap());
        let available = (1..100)
            .flat_map(|q| (2..10).map(move |d| Division { quotient: q, divisor: d }))
            .filter(|d| split_of(*d) == Split::Train)
            .count();
        assert_eq!(train[..available].iter().collect::<HashSet<_>>().len(), available);
        assert_eq!(train.len(), 2000);
    }
}
