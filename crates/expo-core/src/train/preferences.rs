//! The preference pairs of a run as tokens: from preference files, and which of them come in which step.

use std::collections::BTreeSet;
use std::ops::Range;

use expo_lm::chat::FieldCheck;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::{Resumable, from_state, to_state};
use super::order::Order;
use super::task::{Task, bytes_of, exceeds};
use crate::config::{Config, OnBadRow};
use crate::data::{Bad, BadRows, Preference};
use crate::error::{Error, Result};
use crate::objective::preference::{Pair, Reference};
use crate::rollout::seed::Purpose;

/// Pairs in the run's order.
pub struct PairFeed {
    pairs: Vec<Pair>,
    plan: Plan,
    /// Whether the pairs can be read again, and are not the policy's.
    from_files: bool,
}

enum Plan {
    /// All pairs, pass after pass.
    Passes(Order),
    /// Each pair once, spread evenly over these steps.
    Once(Range<usize>),
}

impl PairFeed {
    /// Pass after pass over `pairs` (at least one), shuffled anew for each where `data.shuffle` says so.
    pub fn passes(pairs: Vec<Pair>, config: &Config) -> Self {
        let order = Order::new(pairs.len(), config.data.shuffle, config.train.seed, Purpose::Pairs);
        Self { pairs, plan: Plan::Passes(order), from_files: false }
    }

    /// The same of pairs from preference files.
    pub fn of_files(pairs: Vec<Pair>, config: &Config) -> Self {
        Self { from_files: true, ..Self::passes(pairs, config) }
    }

    /// Each of `pairs` once in `steps`.
    pub fn once(pairs: Vec<Pair>, steps: Range<usize>) -> Self {
        Self { pairs, plan: Plan::Once(steps), from_files: false }
    }

    /// The pairs of `step`: `count` of them, or the step's share.
    pub fn draw(&mut self, step: usize, count: usize) -> Vec<Pair> {
        match &mut self.plan {
            Plan::Passes(order) => (step * count..(step + 1) * count).map(|position| self.pairs[order.at(position)].clone()).collect(),
            // Where making them anew failed, there are none for later steps.
            Plan::Once(steps) if !steps.contains(&step) => Vec::new(),
            Plan::Once(steps) => {
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
    pub fn len(&self) -> usize {
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
        let state = self.as_ref().map(|PairFeed { pairs, plan, from_files }| match plan {
            _ if *from_files => FeedState::References(pairs.iter().map(|pair| pair.reference).collect()),
            Plan::Passes(order) => FeedState::Passes { pairs: pairs.clone(), shuffle: order.shuffle() },
            Plan::Once(steps) => FeedState::Once { pairs: pairs.clone(), steps: steps.clone() },
        });
        to_state(&state)
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let made = |pairs, plan| Some(PairFeed { pairs, plan, from_files: false });
        match (from_state(state)?, self) {
            (Some(FeedState::References(references)), Some(feed)) if references.len() == feed.pairs.len() => {
                for (pair, reference) in feed.pairs.iter_mut().zip(references) {
                    pair.reference = reference;
                }
            }
            (Some(FeedState::References(references)), feed) => {
                let found = feed.as_ref().map_or(0, PairFeed::len);
                return Err(Error::Run(format!("{} pairs from files, but now there are {found}", references.len())));
            }
            (Some(FeedState::Passes { pairs, shuffle }), feed) => {
                let order = Order::shuffled_by(pairs.len(), shuffle);
                *feed = made(pairs, Plan::Passes(order));
            }
            (Some(FeedState::Once { pairs, steps }), feed) => *feed = made(pairs, Plan::Once(steps)),
            (None, feed) => *feed = None,
        }
        Ok(())
    }
}

/// Preferences as tokens, and how many could not be used.
#[derive(Debug, Default)]
pub struct EncodedPreferences {
    /// Those that fit.
    pub pairs: Vec<Pair>,
    /// How many were left out because a side exceeds the context.
    pub too_long: usize,
    /// How many rows the chat template can't write with the prompt as a prefix, passed over as `data.on_bad_row` says.
    pub skipped: usize,
    /// What to tell of these.
    pub notice: Option<String>,
    /// What else to tell, each once.
    pub told: Vec<String>,
}

/// Encodes `preferences`, read from `source`, for a model with a context of `context` tokens. Errors: a row whose prompt is not a prefix of its conversation, where such are
/// refused; no pair that fits.
pub fn encode(
    source: &str,
    on_bad_row: OnBadRow,
    task: &dyn Task,
    preferences: &[Preference],
    context: usize,
) -> Result<EncodedPreferences> {
    let mut result = EncodedPreferences::default();
    let mut bad = BadRows::new(on_bad_row);
    let (mut told, mut fields) = (BTreeSet::new(), FieldCheck::default());
    for preference in preferences {
        let longest_side = bytes_of(&preference.chosen).max(bytes_of(&preference.rejected));
        if exceeds(preference.prompt.bytes() + longest_side, context) {
            result.too_long += 1;
            continue;
        }
        let named = |side: &str, error: Error| Bad::Row(Error::Run(format!("{}: side `{side}`: {error}", preference.id)));
        let side = |name: &str, turns| task.continuation(&preference.prompt, turns).map_err(|error| named(name, error));
        let read = side("chosen", &preference.chosen).and_then(|chosen| {
            let rejected = side("rejected", &preference.rejected)?;
            match chosen.0 == rejected.0 {
                true => Err(Bad::Row(Error::Run(format!(
                    "{}: the chat template writes both sides alike, so neither is preferred",
                    preference.id
                )))),
                false => Ok((chosen, rejected)),
            }
        });
        let Some(((chosen, of_chosen), (rejected, of_rejected))) = bad.sift(read)? else { continue };
        told.extend(of_chosen.into_iter().chain(of_rejected));
        for side in [&preference.chosen, &preference.rejected] {
            let whole = [&preference.prompt.messages[..], side].concat();
            task.look_at_fields(&preference.prompt.with(whole), &mut fields)?;
        }
        let pair = Pair {
            id: preference.id.clone(),
            prompt: chosen.prompt,
            chosen: chosen.completion,
            rejected: rejected.completion,
            chosen_trained: chosen.trained,
            rejected_trained: rejected.trained,
            reference: Default::default(),
        };
        if pair.len() > context {
            result.too_long += 1;
        } else {
            result.pairs.push(pair);
        }
    }
    (result.skipped, result.notice) = (bad.count(), bad.notice());
    result.told = told.into_iter().chain(fields.notice()).collect();
    if result.pairs.is_empty() {
        return Err(Error::Run(format!(
            "{source}: no preference can be used: {} exceed the model's context of {context} tokens{}",
            result.too_long,
            result.notice.map_or_else(String::new, |notice| format!("; {notice}")),
        )));
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::testing::{CharTask, END, preferences};

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

    #[test]
    fn rows_that_the_template_rewrites_are_named_and_refused_or_counted() {
        let mut rows = preferences(4);
        rows[1].prompt.messages[0] = expo_lm::chat::Message::new("user", ";1");
        let encode = |on_bad_row, context| encode("p.jsonl", on_bad_row, &CharTask::new(), &rows, context);
        let error = encode(OnBadRow::Refuse, 128).unwrap_err().to_string();
        assert_eq!(error, "test-1: side `chosen`: the prompt is not a prefix");
        let encoded = encode(OnBadRow::Skip, 128).unwrap();
        assert_eq!((encoded.pairs.len(), encoded.skipped, encoded.too_long), (3, 1, 0));
        assert!(encoded.notice.unwrap().contains("1: test-1: side"));
        assert!(encoded.pairs.iter().all(|pair| pair.chosen.ends_with(&[END]) && pair.rejected.ends_with(&[END])));
        let error = encode(OnBadRow::Skip, 5).unwrap_err().to_string();
        assert!(
            error.starts_with("p.jsonl: no preference can be used: 3 exceed the model's context of 5 tokens") && error.contains("test-1"),
            "{error}"
        );
    }
}
