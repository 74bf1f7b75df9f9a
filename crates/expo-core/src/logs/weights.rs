//! Weights of a sequence's tokens in the whole loss, by term.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::objective::sequence::Sequence;
use crate::objective::term::Term;

/// For each term that uses a sequence, the weight of each token's loss in the whole loss: an object with the terms' names in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenWeights(Vec<(Term, f64)>);

impl TokenWeights {
    /// Those of `sequence`.
    pub fn of(sequence: &Sequence) -> Self {
        let mut weights = Self::default();
        sequence.losses.iter().for_each(|loss| weights.set(loss.term, loss.weight()));
        weights
    }

    /// Sets the weight of `term`.
    pub fn set(&mut self, term: Term, weight: f64) {
        match self.0.iter_mut().find(|(one, _)| *one == term) {
            Some((_, before)) => *before = weight,
            None => self.0.push((term, weight)),
        }
    }

    /// Takes over those of `other`.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(term, weight)| self.set(*term, *weight));
    }
}

impl Serialize for TokenWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(term, weight)| (term.name(), weight)))
    }
}

impl<'de> Deserialize<'de> for TokenWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Weights;
        impl<'de> Visitor<'de> for Weights {
            type Value = TokenWeights;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("weights by the names of terms")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenWeights, A::Error> {
                let mut weights = TokenWeights::default();
                while let Some((name, weight)) = map.next_entry::<String, Option<f64>>()? {
                    // A term of another version is none of this one; what is no number has no JSON form but null.
                    if let Some(term) = Term::ALL.into_iter().find(|term| term.name() == name) {
                        weights.set(term, weight.unwrap_or(f64::NAN));
                    }
                }
                Ok(weights)
            }
        }
        deserializer.deserialize_map(Weights)
    }
}
