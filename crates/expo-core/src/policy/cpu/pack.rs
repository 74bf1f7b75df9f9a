//! Sequences packed into micro-batches under a token budget.

use std::collections::HashMap;
use std::ops::Range;

use crate::objective::sequence::{Partner, Sequence};
use expo_lm::{PackedBatch, Target};

/// Indices of `sequences` with those of one prompt next to each other (in the order of the prompts' first use), so that they can share it.
pub fn by_prompt<'a>(indices: Vec<usize>, prompt: impl Fn(usize) -> &'a [u32]) -> Vec<usize> {
    let mut first_use: HashMap<&[u32], usize> = HashMap::new();
    let mut keyed: Vec<(usize, usize)> = Vec::with_capacity(indices.len());
    for index in indices {
        let next = first_use.len();
        keyed.push((*first_use.entry(prompt(index)).or_insert(next), index));
    }
    keyed.sort_by_key(|(prompt, _)| *prompt);
    keyed.into_iter().map(|(_, index)| index).collect()
}

/// Consecutive runs of sequences whose rows fit into `budget`, a prompt that consecutive sequences have in common counted once; a sequence is never
/// split, nor are partners, and what exceeds the budget has a micro-batch of its own.
pub fn micro_batches(sequences: &[&Sequence], budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (i, sequence) in sequences.iter().enumerate() {
        let shared = i > start && sequences[i - 1].prompt == sequence.prompt;
        let partner = match sequence.partner {
            Some(Partner::Next) => rows_of(sequences[i + 1], true),
            _ => 0,
        };
        let alone = rows_of(sequence, shared);
        if i > start && sequence.partner != Some(Partner::Previous) && rows + alone + partner > budget {
            batches.push(start..i);
            (start, rows) = (i, rows_of(sequence, false));
        } else {
            rows += alone;
        }
    }
    if start < sequences.len() {
        batches.push(start..sequences.len());
    }
    batches
}

/// Rows that a sequence adds to a batch: the last token predicts nothing, and a shared prompt is there already.
fn rows_of(sequence: &Sequence, prompt_is_shared: bool) -> usize {
    sequence.completion.len().saturating_sub(1) + if prompt_is_shared { 0 } else { sequence.prompt.len() }
}

/// What a target of a [`Packed`] batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Index of the sequence among those packed.
    pub sequence: usize,
    /// Index among the scored tokens of that sequence's completion.
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
    /// Packs `sequences`, whose prompts aren't empty; consecutive ones of the same prompt share its rows. With `unit_temperature`, sequences of another
    /// temperature than 1 are scored at temperature 1 as well.
    pub fn new(sequences: &[&Sequence], unit_temperature: bool) -> Self {
        let mut packed = Self { batch: PackedBatch::new(), owners: Vec::new() };
        let mut prompt = 0;
        for (i, sequence) in sequences.iter().enumerate() {
            let batch = &mut packed.batch;
            if i == 0 || sequences[i - 1].prompt != sequence.prompt {
                prompt = batch.push_segment(None, sequence.prompt);
            }
            let known = &sequence.completion[..sequence.completion.len().saturating_sub(1)];
            let own = batch.push_segment(Some(prompt), known);
            // The prompt's last row predicts the first token, each token the next one.
            let (prompt, own) = (batch.segments[prompt], batch.segments[own]);
            let row = |place: usize| if place == 0 { prompt.start + prompt.len - 1 } else { own.start + place - 1 };
            let mut temperatures = vec![(sequence.temperature, false)];
            if unit_temperature && sequence.temperature != 1.0 {
                temperatures.push((1.0, true));
            }
            for (token_index, place) in sequence.scored().enumerate() {
                for (temperature, extra) in &temperatures {
                    batch.targets.push(Target { row: row(place), token: sequence.completion[place], temperature: *temperature });
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
    use expo_lm::Segment;
    use proptest::prelude::*;

    fn sequence<'a>(prompt: &'a [u32], completion: &'a [u32], temperature: f32) -> Sequence<'a> {
        Sequence::measured(prompt, completion, temperature)
    }

    proptest! {
        #[test]
        fn micro_batches_cover_everything_in_order(shapes in prop::collection::vec((0..4usize, 1..50usize), 0..40), budget in 1..120usize) {
            let tokens = [7u32; 50];
            let prompts: [&[u32]; 4] = [&[1], &[1, 2, 3], &[4; 30], &[5; 9]];
            let sequences: Vec<Sequence> = shapes.iter().map(|(prompt, length)| sequence(prompts[*prompt], &tokens[..*length], 1.0)).collect();
            let sequences: Vec<&Sequence> = sequences.iter().collect();
            let batches = micro_batches(&sequences, budget);
            let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..sequences.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(!batch.is_empty());
                let rows = Packed::new(&sequences[batch.clone()], false).batch.tokens.len();
                prop_assert!(batch.len() == 1 || rows <= budget, "{rows} rows");
            }
        }
    }

    #[test]
    fn sequences_of_one_prompt_share_its_rows() {
        let sequences = [sequence(&[1, 2], &[3, 4], 1.0), sequence(&[5], &[6], 0.5), sequence(&[1, 2], &[7, 8, 9], 1.0)];
        let order = by_prompt(vec![0, 1, 2], |i| sequences[i].prompt);
        assert_eq!(order, [0, 2, 1]);
        let ordered: Vec<&Sequence> = order.iter().map(|i| &sequences[*i]).collect();
        let packed = Packed::new(&ordered, true);
        assert_eq!(packed.batch.tokens, [1, 2, 3, 7, 8, 5]);
        let segment = |start: usize, len: usize, prefix: Option<usize>| Segment { start, len, prefix };
        let expected = [segment(0, 2, None), segment(2, 1, Some(0)), segment(3, 2, Some(0)), segment(5, 1, None), segment(6, 0, Some(3))];
        assert_eq!(packed.batch.segments, expected);
        let rows: Vec<(usize, u32, f32)> = packed.batch.targets.iter().map(|t| (t.row, t.token, t.temperature)).collect();
        assert_eq!(rows, [(1, 3, 1.0), (2, 4, 1.0), (1, 7, 1.0), (3, 8, 1.0), (4, 9, 1.0), (5, 6, 0.5), (5, 6, 1.0)]);
        assert_eq!(packed.owners[6], Owner { sequence: 2, token: 0, unit_temperature: true });
    }
}
