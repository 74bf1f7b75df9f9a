//! Reading preferences, in the forms that TRL reads: text, messages, and whole conversations in which the prompt is implicit.

use std::collections::BTreeMap;

use expo_lm::chat::Message;

use super::Preference;
use super::bad_rows::{Bad, BadRows};
use super::files::Selection;
use super::messages::{Said, context, ends_with_assistant, said};
use super::rows::Row;
use super::shown::shown;
use super::sources;
use super::table::Table;
use crate::config::DataSection;
use crate::error::{Error, Result};

/// Preferences and where they came from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreferenceSet {
    /// At least one.
    pub preferences: Vec<Preference>,
    /// Number of rows left out, as `data.on_bad_row` allows.
    pub skipped: usize,
    /// SHA-256 of each file, by its name as given or on the hub.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the rows were read.
    pub notices: Vec<String>,
}

/// The preferences of `source`, a file or a hub data set (`data.config`, `data.split`, by default `train`).
///
/// A row has `prompt`, `chosen` and `rejected`, each text or a list of messages. Where `chosen` and `rejected` are messages and `prompt` is absent or
/// text, what both begin with is the prompt; where both begin with the prompt's messages, these are taken away.
/// Errors: a file that can't be read or got, a bad row (with file and line) where `data.on_bad_row` refuses such, no row that can be used. A row is bad
/// with a missing field, an empty or equal side, a side whose last role is not the assistant's, or no prompt.
pub fn read_preferences(source: &str, section: &DataSection) -> Result<PreferenceSet> {
    let selection = Selection { config: &section.config, split: section.split.as_deref().unwrap_or("train") };
    let found = sources::find(source, selection)?;
    let mut set = PreferenceSet { notices: found.notice.into_iter().collect(), ..PreferenceSet::default() };
    let mut bad = BadRows::new(section.on_bad_row);
    for file in &found.files {
        let table = Table::read(&file.path)?;
        set.hashes.insert(file.name.clone(), table.sha256.clone());
        for row in table.rows() {
            set.preferences.extend(bad.sift(row.and_then(|row| preference(&row).map_err(Bad::Row)))?);
        }
    }
    let notice = bad.notice().map(|notice| format!("{source}: {notice}"));
    if set.preferences.is_empty() {
        return Err(Error::Data(notice.unwrap_or_else(|| format!("{source}: no rows; expected preferences"))));
    }
    set.skipped = bad.count();
    set.notices.extend(notice);
    Ok(set)
}

fn preference(row: &Row<'_>) -> Result<Preference> {
    let advice = "a preference needs `prompt`, `chosen` and `rejected`, or `chosen` and `rejected` as whole conversations";
    let side = |field: &str| match said(row, field)? {
        None => Err(row.missing(field, advice)),
        Some(Said::Text(text)) if text.trim().is_empty() => Err(row.error(format!("field `{field}` is empty"))),
        Some(side) => Ok(side),
    };
    let context = context(row)?;
    let prompt = said(row, "prompt")?;
    let (chosen, rejected) = (side("chosen")?, side("rejected")?);
    let conversations = matches!((&chosen, &rejected), (Said::Messages(_), Said::Messages(_)));
    let (mut chosen, mut rejected) = (chosen.by("assistant"), rejected.by("assistant"));
    for (field, messages) in [("chosen", &chosen), ("rejected", &rejected)] {
        ends_with_assistant(messages).map_err(|problem| row.error(format!("field `{field}` {problem}")))?;
    }
    if alike(&chosen, &rejected) {
        return Err(row.error("fields `chosen` and `rejected` are equal, so neither is preferred"));
    }
    let prompt = match prompt {
        Some(Said::Messages(prompt)) => {
            if chosen.starts_with(&prompt) && rejected.starts_with(&prompt) {
                chosen.drain(..prompt.len());
                rejected.drain(..prompt.len());
            }
            prompt
        }
        other => {
            let common = if conversations { chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count() } else { 0 };
            rejected.drain(..common);
            let implicit: Vec<Message> = chosen.drain(..common).collect();
            match other {
                _ if !implicit.is_empty() => implicit,
                Some(Said::Text(text)) if !text.trim().is_empty() => vec![Message::new("user", text)],
                Some(_) => return Err(row.error("field `prompt` is empty")),
                None if conversations => {
                    return Err(row.error("`chosen` and `rejected` have no beginning in common, and there is no `prompt`"));
                }
                None => return Err(row.missing("prompt", advice)),
            }
        }
    };
    for (field, side) in [("chosen", &chosen), ("rejected", &rejected)] {
        match side.first() {
            None => return Err(row.error(format!("field `{field}` is the beginning of the other side: it has no turn of its own"))),
            Some(first) if first.role != "assistant" => {
                let message =
                    format!("the two sides part at a message by \"{}\" in `{field}`; expected one by \"assistant\"", shown(&first.role));
                return Err(row.error(message));
            }
            Some(_) => {}
        }
    }
    for (field, side) in [("chosen", &chosen), ("rejected", &rejected)] {
        if !side.iter().any(|message| message.role == "assistant" && message.trainable) {
            return Err(row.error(format!("field `{field}` has no turn to train on (`trainable` is false, or `weight` 0)")));
        }
    }
    Ok(Preference { id: row.id(), prompt: context.with(prompt), chosen, rejected })
}

/// Whether two sides are the same but for white space around the messages.
fn alike(one: &[Message], other: &[Message]) -> bool {
    let same = |(a, b): (&Message, &Message)| a.with_text(a.text().trim()) == b.with_text(b.text().trim());
    one.len() == other.len() && one.iter().zip(other).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnBadRow;
    use serde_json::{Value, json};

    fn read(rows: &[Value], on_bad_row: OnBadRow) -> Result<PreferenceSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        read_preferences(path.to_str().unwrap(), &DataSection { on_bad_row, ..DataSection::default() })
    }
    fn turns(turns: &[(&str, &str)]) -> Value {
        turns.iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
    }
    const USER: (&str, &str) = ("user", "6*7?");
    const RIGHT: (&str, &str) = ("assistant", "42");
    const WRONG: (&str, &str) = ("assistant", "41");

    #[test]
    fn all_forms_say_the_same() {
        let rows = [
            json!({"prompt": "6*7?", "chosen": "42", "rejected": "41"}),
            json!({"prompt": turns(&[USER]), "chosen": turns(&[RIGHT]), "rejected": turns(&[WRONG])}),
            json!({"chosen": turns(&[USER, RIGHT]), "rejected": turns(&[USER, WRONG])}),
            // A prompt beside whole conversations (UltraFeedback), as text and as messages.
            json!({"prompt": "6*7?", "chosen": turns(&[USER, RIGHT]), "rejected": turns(&[USER, WRONG]), "score": 3}),
            json!({"prompt": turns(&[USER]), "chosen": turns(&[USER, RIGHT]), "rejected": turns(&[USER, WRONG])}),
            json!({"prompt": turns(&[USER]), "chosen": "42", "rejected": "41"}),
            json!({"prompt": "6*7?", "chosen": turns(&[RIGHT]), "rejected": turns(&[WRONG])}),
        ];
        let set = read(&rows, OnBadRow::Refuse).unwrap();
        for (i, preference) in set.preferences.iter().enumerate() {
            let expected = Preference {
                id: format!("p.jsonl:{}", i + 1),
                prompt: vec![Message::new(USER.0, USER.1)].into(),
                chosen: vec![Message::new(RIGHT.0, RIGHT.1)],
                rejected: vec![Message::new(WRONG.0, WRONG.1)],
            };
            assert_eq!(*preference, expected);
        }
        assert_eq!((set.preferences.len(), set.skipped, set.notices.len(), set.hashes.len()), (rows.len(), 0, 0, 1));
    }

    #[test]
    fn conversations_of_several_turns() {
        let chosen = [("system", "s"), USER, RIGHT, ("user", "why?"), ("assistant", "because")];
        let rejected = [("system", "s"), USER, RIGHT, ("user", "why?"), ("assistant", "so"), ("user", "no"), ("assistant", "yes")];
        let row = json!({"chosen": turns(&chosen), "rejected": turns(&rejected)});
        let preference = &read(&[row], OnBadRow::Refuse).unwrap().preferences[0];
        assert_eq!((preference.prompt.messages.len(), preference.chosen.len(), preference.rejected.len()), (4, 1, 3));
    }

    #[test]
    fn sides_that_differ_in_a_field_alone_differ() {
        let side = |thoughts: &str| json!([{"role": "assistant", "content": "42", "reasoning_content": thoughts}]);
        let row =
            |rejected: &str| json!({"prompt": "6*7?", "chosen": side("a"), "rejected": side(rejected), "chat_template_kwargs": {"x": 1}});
        let preference = &read(&[row("b")], OnBadRow::Refuse).unwrap().preferences[0];
        assert_eq!([&preference.chosen[0], &preference.rejected[0]].map(|side| side.fields["reasoning_content"].clone()), ["a", "b"]);
        assert_eq!(preference.prompt.chat_template_kwargs["x"], 1);
        assert!(read(&[row("a")], OnBadRow::Refuse).unwrap_err().to_string().contains("are equal"));
    }

    #[test]
    fn bad_rows_are_named_and_refused_or_counted() {
        let good = json!({"prompt": "6*7?", "chosen": "42", "rejected": "41"});
        let cases = [
            (json!({"prompt": "6*7?", "chosen": "42", "rejected": "42 "}), "are equal"),
            (json!({"prompt": "6*7?", "chosen": turns(&[RIGHT]), "rejected": "42"}), "are equal"),
            (json!({"prompt": "6*7?", "chosen": " ", "rejected": "41"}), "field `chosen` is empty"),
            (json!({"prompt": "6*7?", "chosen": "42", "rejected": []}), "field `rejected` is an empty list"),
            (json!({"prompt": "6*7?", "chosen": "42", "rejected": turns(&[("assistant", " ")])}), "`rejected` ends with an empty message"),
            (json!({"prompt": "6*7?", "chosen": "42"}), "field `rejected` is missing"),
            (json!({"prompt": "6*7?", "chosen": null, "rejected": "41"}), "field `chosen` is missing"),
            (json!({"chosen": "42", "rejected": "41"}), "field `prompt` is missing"),
            (json!({"prompt": "", "chosen": "42", "rejected": "41"}), "field `prompt` is empty"),
            (json!({"prompt": "6*7?", "chosen": {"a": 1}, "rejected": "41"}), "field `chosen` is an object"),
            (
                json!({"chosen": turns(&[USER, RIGHT]), "rejected": turns(&[USER, RIGHT, USER])}),
                "`rejected` ends with a message by \"user\"",
            ),
            (json!({"chosen": turns(&[USER, RIGHT]), "rejected": turns(&[("user", "x"), WRONG])}), "no beginning in common"),
            (json!({"chosen": turns(&[USER, RIGHT]), "rejected": turns(&[USER, RIGHT, USER, WRONG])}), "field `chosen` is the beginning"),
            (
                json!({"chosen": turns(&[USER, RIGHT, USER, RIGHT]), "rejected": turns(&[USER, RIGHT, ("user", "x"), RIGHT])}),
                "part at a message by \"user\"",
            ),
        ];
        for (row, expected) in cases {
            let rows = [good.clone(), row.clone(), good.clone()];
            let error = read(&rows, OnBadRow::Refuse).unwrap_err().to_string();
            assert!(error.contains("p.jsonl:2: ") && error.contains(expected), "{error}");
            let set = read(&rows, OnBadRow::Skip).unwrap();
            assert_eq!((set.preferences.len(), set.skipped), (2, 1));
            assert!(set.notices.len() == 1 && set.notices[0].contains(expected), "{:?}", set.notices);
            assert!(read(&[row], OnBadRow::Skip).unwrap_err().to_string().contains(expected));
        }
    }
}
