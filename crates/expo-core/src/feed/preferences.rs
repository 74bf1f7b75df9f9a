//! Preference files as tokens.

use std::collections::BTreeSet;

use expo_lm::chat::FieldCheck;

use crate::config::OnBadRow;
use crate::data::{Bad, BadRows, Preference};
use crate::error::{Error, Result};
use crate::objective::preference::Pair;
use crate::task::{Task, bytes_of, exceeds};

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
        let named = |side: &str, error: Error| Bad::Row(Error::row(&preference.id, Error::Template(format!("side `{side}`: {error}"))));
        let side = |name: &str, turns| task.continuation(&preference.prompt, turns).map_err(|error| named(name, error));
        let read = side("chosen", &preference.chosen).and_then(|chosen| {
            let rejected = side("rejected", &preference.rejected)?;
            match chosen.0 == rejected.0 {
                true => {
                    let alike = "the chat template writes both sides alike, so neither is preferred";
                    Err(Bad::Row(Error::row(&preference.id, Error::Template(alike.into()))))
                }
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
        return Err(Error::Data(format!(
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
    use crate::testing::run::{CharTask, END, preferences};

    #[test]
    fn rows_that_the_template_rewrites_are_named_and_refused_or_counted() {
        let mut rows = preferences(4);
        rows[1].prompt.messages[0] = expo_lm::chat::Message::new("user", ";1");
        let encode = |on_bad_row, context| encode("p.jsonl", on_bad_row, &CharTask::new(), &rows, context);
        let error = encode(OnBadRow::Refuse, 128).unwrap_err();
        assert!(matches!(&error, Error::Row { id, .. } if id == "test-1"), "{error:?}");
        let error = error.to_string();
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
