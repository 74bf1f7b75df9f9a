//! Reading supervised documents.

use std::collections::BTreeMap;

use super::Document;
use super::messages::{Said, ends_with_assistant, said};
use super::rows::{BadRows, Row};
use super::sources::{self, Selection};
use super::table::{Bad, Table};
use crate::config::OnBadRow;
use crate::error::{Error, Result};

/// Documents and where they came from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DocumentSet {
    /// At least one.
    pub documents: Vec<Document>,
    /// SHA-256 of each file, by its name as given or on the hub.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the rows were read.
    pub notices: Vec<String>,
}

/// The documents of `source`, a file or a hub data set (its split `train`), with `prompt` and `completion` or with `messages`.
/// Errors: a file that can't be read or got or is empty, a malformed or incomplete row (with file and line) where such are refused, no row that can be used.
pub fn read_documents(source: &str, on_bad_row: OnBadRow) -> Result<DocumentSet> {
    let found = sources::find(source, Selection { config: "", split: "train" })?;
    let mut set = DocumentSet { notices: found.notice.into_iter().collect(), ..DocumentSet::default() };
    let mut bad = BadRows::new(on_bad_row);
    for file in &found.files {
        let table = Table::read(&file.path)?;
        set.hashes.insert(file.name.clone(), table.sha256.clone());
        for row in table.rows() {
            set.documents.extend(bad.sift(row.and_then(|row| document(&row).map_err(Bad::Row)))?);
        }
    }
    let notice = bad.notice().map(|notice| format!("{source}: {notice}"));
    if set.documents.is_empty() {
        return Err(Error::Run(notice.unwrap_or_else(|| format!("{source}: no rows; expected documents"))));
    }
    set.notices.extend(notice);
    Ok(set)
}

/// The document of a row: the completion is its `completion`, or the last of its `messages`.
fn document(row: &Row<'_>) -> Result<Document> {
    let advice = "each row of rehearsal.data needs `prompt` and `completion`, or `messages`";
    if let Some(messages) = said(row, "messages")? {
        let Said::Messages(mut prompt) = messages else {
            return Err(row.error("field `messages` is text; expected a list of messages"));
        };
        ends_with_assistant(&prompt).map_err(|problem| row.error(format!("field `messages` {problem}")))?;
        let completion = prompt.pop().map(|last| last.content).unwrap_or_default();
        if prompt.is_empty() {
            return Err(row.error("field `messages` has no message before the assistant's"));
        }
        return Ok(Document { id: row.id(), prompt, completion });
    }
    let part = |field: &str| match said(row, field)? {
        None => Err(row.missing(field, advice)),
        Some(Said::Text(text)) if text.trim().is_empty() => Err(row.error(format!("field `{field}` is empty"))),
        Some(part) => Ok(part),
    };
    let prompt = part("prompt")?.by("user");
    let completion = match part("completion")? {
        Said::Text(text) => text,
        Said::Messages(messages) => match messages.as_slice() {
            [_] => {
                ends_with_assistant(&messages).map_err(|problem| row.error(format!("field `completion` {problem}")))?;
                messages.into_iter().next().map(|message| message.content).unwrap_or_default()
            }
            several => return Err(row.error(format!("field `completion` has {} messages; expected the assistant's alone", several.len()))),
        },
    };
    Ok(Document { id: row.id(), prompt, completion })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expo_lm::chat::Message;

    fn read(text: &str, on_bad_row: OnBadRow) -> Result<DocumentSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.jsonl");
        std::fs::write(&path, text).unwrap();
        read_documents(path.to_str().unwrap(), on_bad_row)
    }

    #[test]
    fn prompts_with_completions_and_conversations() {
        let text = r#"{"prompt": "6*7=", "completion": 42}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}
{"prompt": [{"role": "user", "content": "u"}], "completion": [{"role": "assistant", "content": "a", "tool_calls": null}]}
"#;
        let set = read(text, OnBadRow::Refuse).unwrap();
        let turns = vec![Message::new("system", "s"), Message::new("user", "u")];
        let expected =
            [Document::new("6*7=", "42"), Document { id: "".into(), prompt: turns, completion: "a".into() }, Document::new("u", "a")];
        let numbered = expected.into_iter().enumerate().map(|(i, document)| Document { id: format!("d.jsonl:{}", i + 1), ..document });
        assert_eq!(set.documents, numbered.collect::<Vec<_>>());
        assert!(set.hashes.len() == 1 && set.hashes.values().all(|hash| hash.len() == 64) && set.notices.is_empty());
    }

    #[test]
    fn bad_rows_are_named_and_refused_or_counted() {
        let good = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";
        let cases = [
            ("{\"prompt\": \"6*7=\"}", "field `completion` is missing"),
            ("{\"prompt\": \"6*7=\", \"completion\": \" \"}", "field `completion` is empty"),
            ("{\"messages\": []}", "field `messages` is an empty list"),
            ("{\"messages\": \"x\"}", "field `messages` is text"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}]}", "ends with a message by \"user\"; expected \"assistant\""),
            ("{\"messages\": [{\"role\": \"assistant\", \"content\": \"u\"}]}", "no message before"),
            ("{\"messages\": [{\"role\": \"user\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}", "message 1: has no `content`"),
            ("{\"messages\": [{\"content\": \"u\"}]}", "message 1: has no `role`"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}", "`content` is a list"),
            ("{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{}]}]}", "tool_calls"),
            ("{\"prompt\": \"p\", \"completion\": [{\"role\": \"user\", \"content\": \"u\"}]}", "field `completion` ends with"),
        ];
        for (row, expected) in cases {
            let text = format!("{good}{row}\n{good}");
            let error = read(&text, OnBadRow::Refuse).unwrap_err().to_string();
            assert!(error.contains("d.jsonl:2: ") && error.contains(expected), "{error}");
            let set = read(&text, OnBadRow::Skip).unwrap();
            assert!(set.documents.len() == 2 && set.notices[0].contains(expected), "{:?}", set.notices);
            assert!(read(row, OnBadRow::Skip).unwrap_err().to_string().contains(expected));
        }
    }
}
