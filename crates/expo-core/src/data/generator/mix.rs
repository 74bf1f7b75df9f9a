//! The pretraining and rehearsal mix: an endless stream of documents, drawn from a table of weighted ingredients.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Division, Range, numbers};
use crate::data::Document;

/// One row of the mix.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingredient {
    /// What the row is, for reports.
    pub name: &'static str,
    /// Relative frequency (0: never).
    pub weight: f64,
    /// What a document of it looks like.
    pub kind: Kind,
}

/// How a document of an ingredient is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `6*47=` -> `282`: a digit times a divisor.
    Multiplication {
        /// Second factor.
        divisors: std::ops::RangeInclusive<u64>,
    },
    /// `488-432=` -> `56`: the minuend has this many digits, the difference isn't negative.
    Subtraction {
        /// Digits of the minuend.
        digits: std::ops::RangeInclusive<u32>,
    },
    /// A question and its whole reasoning with the answer.
    Unhinted(Range),
    /// The question with the answer shown and the same reasoning with the answer.
    Hinted(Range),
}

const fn plain(name: &'static str, weight: f64, range: Range) -> Ingredient {
    Ingredient { name, weight, kind: Kind::Unhinted(range) }
}

const fn hinted(name: &'static str, weight: f64, range: Range) -> Ingredient {
    Ingredient { name, weight, kind: Kind::Hinted(range) }
}

const fn range(divisors: std::ops::RangeInclusive<u64>, quotient_digits: std::ops::RangeInclusive<u32>) -> Range {
    Range { divisors, quotient_digits }
}

/// The mix of the embedded model: competent without the hint on levels 1 to 3, able to explain with the hint at every length (explaining
/// does not extend past lengths that were seen hinted). Level 5 without the hint is not in it.
pub const MIX: [Ingredient; 14] = [
    Ingredient { name: "multiplication", weight: 12.0, kind: Kind::Multiplication { divisors: 2..=39 } },
    Ingredient { name: "subtraction", weight: 10.0, kind: Kind::Subtraction { digits: 1..=3 } },
    plain("level 1", 9.0, range(2..=9, 1..=2)),
    plain("level 2", 11.0, range(2..=9, 3..=4)),
    plain("level 3", 18.0, range(11..=19, 1..=2)),
    plain("level 4", 3.0, range(11..=19, 3..=4)),
    plain("level 5", 0.0, range(30..=34, 4..=4)),
    plain("divisors 20 to 39, short", 0.3, range(20..=39, 1..=2)),
    hinted("level 1 explained", 2.0, range(2..=9, 1..=2)),
    hinted("level 2 explained", 5.0, range(2..=9, 3..=4)),
    hinted("level 3 explained", 4.0, range(11..=19, 1..=2)),
    hinted("level 4 explained", 8.0, range(11..=19, 3..=4)),
    hinted("divisors 20 to 39, short, explained", 3.0, range(20..=39, 2..=2)),
    hinted("divisors 20 to 39, long, explained", 12.0, range(20..=39, 4..=4)),
];

/// An endless stream of documents; the same seed gives the same documents.
#[derive(Debug, Clone)]
pub struct DocumentStream {
    mix: Vec<Ingredient>,
    total: f64,
    rng: ChaCha8Rng,
}

/// Documents of [`MIX`].
pub fn documents(seed: u64) -> DocumentStream {
    documents_of(MIX.to_vec(), seed)
}

/// Documents of another mix.
///
/// # Panics
/// When no weight is positive or one is negative.
pub fn documents_of(mix: Vec<Ingredient>, seed: u64) -> DocumentStream {
    let total: f64 = mix.iter().map(|i| i.weight).sum();
    assert!(total > 0.0 && mix.iter().all(|i| i.weight >= 0.0), "a mix needs weights of at least 0, one of them positive");
    DocumentStream { mix, total, rng: ChaCha8Rng::seed_from_u64(seed) }
}

impl DocumentStream {
    /// The next document and the name of its ingredient.
    pub fn next_named(&mut self) -> (&'static str, Document) {
        let mut at = self.rng.random::<f64>() * self.total;
        let chosen = self.mix.iter().position(|i| {
            at -= i.weight;
            at < 0.0
        });
        // Rounding can leave `at` at the very end: then it is the last ingredient that has a weight.
        let chosen = chosen.or_else(|| self.mix.iter().rposition(|i| i.weight > 0.0)).unwrap_or(0);
        let Ingredient { name, kind, .. } = &self.mix[chosen];
        (*name, kind.draw(&mut self.rng))
    }
}

impl Iterator for DocumentStream {
    type Item = Document;
    fn next(&mut self) -> Option<Document> {
        Some(self.next_named().1)
    }
}

impl Kind {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Document {
        match self {
            Self::Multiplication { divisors } => {
                let (digit, divisor) = (rng.random_range(0..=9u64), rng.random_range(divisors.clone()));
                Document::new(format!("{digit}*{divisor}="), (digit * divisor).to_string())
            }
            Self::Subtraction { digits } => {
                let digits = rng.random_range(digits.clone());
                let minuend = rng.random_range(numbers(digits));
                let subtrahend = rng.random_range(0..=minuend);
                Document::new(format!("{minuend}-{subtrahend}="), (minuend - subtrahend).to_string())
            }
            Self::Unhinted(range) => {
                let d: Division = range.draw_training(rng);
                Document::new(d.question(), d.completion())
            }
            Self::Hinted(range) => {
                let d: Division = range.draw_training(rng);
                Document::new(d.hinted_question(), d.completion())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LEVELS, Split, split_of};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_stream_is_seeded_weighted_and_right() {
        let mut stream = documents(1);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let n = 20_000;
        for _ in 0..n {
            let (name, document) = stream.next_named();
            *counts.entry(name).or_default() += 1;
            let (prompt, completion) = (document.conversation.messages[0].text(), document.completion().text());
            let (question, hint) = match prompt.split_once('[') {
                Some((question, hint)) => (question, hint.strip_suffix(']')),
                None => (prompt.as_ref(), None),
            };
            if let Some(d) = Division::parse(question) {
                assert_eq!(split_of(d), Split::Train, "a held-out problem in the mix");
                assert_eq!(completion, d.completion());
                assert_eq!(hint.is_some(), name.ends_with("explained"));
                assert!(hint.is_none_or(|h| h == d.quotient.to_string()));
                let hardest = LEVELS[4].divisors.contains(&d.divisor) && d.quotient >= 1000;
                assert!(hint.is_some() || !hardest, "level 5 without the hint");
            }
        }
        let total: f64 = MIX.iter().map(|i| i.weight).sum();
        for ingredient in &MIX {
            let expected = ingredient.weight / total;
            let found = *counts.get(ingredient.name).unwrap_or(&0) as f64 / n as f64;
            assert!((found - expected).abs() < 0.012, "{}: {found} instead of {expected}", ingredient.name);
        }
        let first: Vec<_> = documents(7).take(50).collect();
        assert_eq!(first, documents(7).take(50).collect::<Vec<_>>());
        assert_ne!(first, documents(8).take(50).collect::<Vec<_>>());
    }

    #[test]
    fn drills_are_right() {
        let drills = documents_of(MIX[..2].to_vec(), 5);
        for document in drills.take(500) {
            let prompt = document.conversation.messages[0].text();
            let prompt = prompt.strip_suffix('=').unwrap();
            let answer: u64 = document.completion().text().parse().unwrap();
            match prompt.split_once('*') {
                Some((a, b)) => assert_eq!(a.parse::<u64>().unwrap() * b.parse::<u64>().unwrap(), answer),
                None => {
                    let (a, b) = prompt.split_once('-').unwrap();
                    assert_eq!(a.parse::<u64>().unwrap() - b.parse::<u64>().unwrap(), answer);
                }
            }
        }
    }
}
