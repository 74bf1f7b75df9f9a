//! Which preference pairs come in which step.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::order::Order;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::objective::preference::{Pair, Reference};
use crate::resume::{Resumable, from_state, to_state};
use crate::rollout::seed::Purpose;

/// Pairs in the run's order.
pub struct PairFeed {
    pairs: Vec<Pair>,
    order: PairOrder,
    /// Whether the pairs can be read again, and are not the policy's.
    from_files: bool,
}

enum PairOrder {
    /// All pairs, pass after pass.
    Passes(Order),
    /// Each pair once, spread evenly over these steps.
    Once(Range<usize>),
}

impl PairFeed {
    /// Pass after pass over `pairs` (at least one), shuffled anew for each where `data.shuffle` says so.
    pub fn passes(pairs: Vec<Pair>, config: &Config) -> Self {
        let order = Order::new(pairs.len(), config.data.shuffle, config.train.seed, Purpose::Pairs);
        Self { pairs, order: PairOrder::Passes(order), from_files: false }
    }

    /// The same of pairs from preference files.
    pub fn of_files(pairs: Vec<Pair>, config: &Config) -> Self {
        Self { from_files: true, ..Self::passes(pairs, config) }
    }

    /// Each of `pairs` once in `steps`.
    pub fn once(pairs: Vec<Pair>, steps: Range<usize>) -> Self {
        Self { pairs, order: PairOrder::Once(steps), from_files: false }
    }

    /// The pairs of `step`: `count` of them, or the step's share.
    pub fn draw(&mut self, step: usize, count: usize) -> Vec<Pair> {
        match &mut self.order {
            PairOrder::Passes(order) => (step * count..(step + 1) * count).map(|position| self.pairs[order.at(position)].clone()).collect(),
            // Where making them anew failed, there are none for later steps.
            PairOrder::Once(steps) if !steps.contains(&step) => Vec::new(),
            PairOrder::Once(steps) => {
                let (place, total) = (step - steps.start, self.pairs.len());
                self.pairs[place * total / steps.len()..(place + 1) * total / steps.len()].to_vec()
            }
        }
    }

    /// Every pair.
    pub fn pairs_mut(&mut self) -> &mut [Pair] {
        &mut self.pairs
    }

    /// Number of pairs.
    pub fn count(&self) -> usize {
        self.pairs.len()
    }
}

/// What a checkpoint holds of pairs.
#[derive(Serialize, Deserialize)]
enum FeedState {
    /// Pairs from files: what the reference says of each, in order.
    References(Vec<Reference>),
    /// Pairs that the policy made, pass after pass.
    Passes { pairs: Vec<Pair>, shuffle: Option<u64> },
    /// Pairs that the policy made, once in these steps.
    Once { pairs: Vec<Pair>, steps: Range<usize> },
}

/// The pairs of a run, which may not be made yet.
impl Resumable for Option<PairFeed> {
    fn state(&self) -> Result<Value> {
        let state = self.as_ref().map(|PairFeed { pairs, order, from_files }| match order {
            _ if *from_files => FeedState::References(pairs.iter().map(|pair| pair.reference).collect()),
            PairOrder::Passes(order) => FeedState::Passes { pairs: pairs.clone(), shuffle: order.shuffle() },
            PairOrder::Once(steps) => FeedState::Once { pairs: pairs.clone(), steps: steps.clone() },
        });
        to_state(&state)
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let made = |pairs, order| Some(PairFeed { pairs, order, from_files: false });
        match (from_state(state)?, self) {
            (Some(FeedState::References(references)), Some(feed)) if references.len() == feed.pairs.len() => {
                for (pair, reference) in feed.pairs.iter_mut().zip(references) {
                    pair.reference = reference;
                }
            }
            (Some(FeedState::References(references)), feed) => {
                let found = feed.as_ref().map_or(0, PairFeed::count);
                return Err(Error::Checkpoint(format!("{} pairs from files, but now there are {found}", references.len())));
            }
            (Some(FeedState::Passes { pairs, shuffle }), feed) => {
                let order = Order::shuffled_by(pairs.len(), shuffle);
                *feed = made(pairs, PairOrder::Passes(order));
            }
            (Some(FeedState::Once { pairs, steps }), feed) => *feed = made(pairs, PairOrder::Once(steps)),
            (None, feed) => *feed = None,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnBadRow;
    use crate::feed::preferences::encode;
    use crate::testing::run::{CharTask, preferences};

    #[test]
    fn a_block_of_steps_shares_its_pairs() {
        let pairs = encode("p.jsonl", OnBadRow::Refuse, &CharTask::new(), &preferences(7), 128).unwrap().pairs;
        let mut feed = PairFeed::once(pairs.clone(), 4..7);
        let drawn: Vec<Pair> = (4..7).flat_map(|step| feed.draw(step, 99)).collect();
        assert_eq!(drawn, pairs);
        assert_eq!((4..7).map(|step| feed.draw(step, 99).len()).collect::<Vec<_>>(), [2, 2, 3]);
        // Fewer pairs than steps: some have none.
        assert_eq!((0..4).map(|step| PairFeed::once(pairs[..1].to_vec(), 0..4).draw(step, 1).len()).sum::<usize>(), 1);
        let mut feed = PairFeed::passes(pairs, &Config::default());
        let mut ids: Vec<String> = (0..2).flat_map(|step| feed.draw(step, 7)).map(|pair| pair.id).collect();
        assert_ne!(ids[..7], ids[7..]);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }
}
