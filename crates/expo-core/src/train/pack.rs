//! Sequences packed into micro-batches under a token budget.

use std::ops::Range;

use crate::objective::Sequence;
use expo_lm::{PackedBatch, Target};

/// Consecutive runs of sequences whose tokens fit into `budget`; a sequence is never split, and one that exceeds the budget has a
/// micro-batch of its own.
pub fn micro_batches(lengths: &[usize], budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, length) in lengths.iter().enumerate() {
        if i > start && tokens + length > budget {
            batches.push(start..i);
            (start, tokens) = (i, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        batches.push(start..lengths.len());
    }
    batches
}

/// What a target of a [`Packed`] batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Index of the sequence among those packed.
    pub sequence: usize,
    /// Index into that sequence's completion.
    pub token: usize,
    /// A second target of the same token at temperature 1, only measured.
    pub unit_temperature: bool,
}

/// A packed batch and the owner of each of its targets.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// What the engine runs.
    pub batch: PackedBatch,
    /// For each target, the token that it scores.
    pub owners: Vec<Owner>,
}

impl Packed {
    /// Packs `sequences`, whose prompts aren't empty. With `unit_temperature`, sequences of another temperature than 1 are scored at
    /// temperature 1 as well.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a Sequence<'a>>, unit_temperature: bool) -> Self {
        let mut packed = Self { batch: PackedBatch::new(), owners: Vec::new() };
        for (i, sequence) in sequences.into_iter().enumerate() {
            let first_row = packed.batch.tokens.len() + sequence.prompt.len() - 1;
            packed.batch.tokens.extend_from_slice(sequence.prompt);
            packed.batch.tokens.extend_from_slice(sequence.completion);
            packed.batch.offsets.push(packed.batch.tokens.len());
            let mut temperatures = vec![(sequence.temperature, false)];
            if unit_temperature && sequence.temperature != 1.0 {
                temperatures.push((1.0, true));
            }
            for (token_index, token) in sequence.completion.iter().enumerate() {
                for (temperature, extra) in &temperatures {
                    packed.batch.targets.push(Target { row: first_row + token_index, token: *token, temperature: *temperature });
                    packed.owners.push(Owner { sequence: i, token: token_index, unit_temperature: *extra });
                }
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Origin;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn micro_batches_cover_everything_in_order(lengths in prop::collection::vec(1..50usize, 0..40), budget in 1..120usize) {
            let batches = micro_batches(&lengths, budget);
            let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(!batch.is_empty());
                prop_assert!(batch.len() == 1 || lengths[batch].iter().sum::<usize>() <= budget);
            }
        }
    }

    #[test]
    fn targets_name_the_row_before_their_token() {
        let sequence =
            |prompt, completion, temperature| Sequence { origin: Origin::Document, prompt, completion, temperature, losses: vec![] };
        let sequences = [sequence(&[1, 2][..], &[3, 4][..], 1.0), sequence(&[5][..], &[6][..], 0.5)];
        let packed = Packed::new(&sequences, true);
        assert_eq!(packed.batch.tokens, [1, 2, 3, 4, 5, 6]);
        assert_eq!(packed.batch.offsets, [0, 4, 6]);
        let rows: Vec<(usize, u32, f32)> = packed.batch.targets.iter().map(|t| (t.row, t.token, t.temperature)).collect();
        assert_eq!(rows, [(1, 3, 1.0), (2, 4, 1.0), (4, 6, 0.5), (4, 6, 1.0)]);
        assert_eq!(packed.owners[3], Owner { sequence: 1, token: 0, unit_temperature: true });
    }
}
