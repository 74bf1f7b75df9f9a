//! Reading supervised documents.

use std::collections::BTreeMap;

use super::Document;
use super::bad_rows::{Bad, BadRows};
use super::files::Selection;
use super::messages::{Said, context, ends_with_assistant, said};
use super::rows::Row;
use super::sources;
use super::table::Table;
use crate::config::{OnBadRow, Turns};
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

/// The documents of `source`, a file or a hub data set (its split `train`), with `prompt` and `completion` or with `messages`, of which `turns` are trained on.
/// Errors: a file that can't be read or got or is empty, a malformed or incomplete row (with file and line) where such are refused, no row that can be used.
pub fn read_documents(source: &str, on_bad_row: OnBadRow, turns: Turns) -> Result<DocumentSet> {
    let found = sources::find(source, Selection { config: "", split: "train" })?;
    let mut set = DocumentSet { notices: found.notice.into_iter().collect(), ..DocumentSet::default() };
    let mut bad = BadRows::new(on_bad_row);
    for file in &found.files {
        let table = Table::read(&file.path)?;
        set.hashes.insert(file.name.clone(), table.sha256.clone());
        for row in table.rows() {
            set.documents.extend(bad.sift(row.and_then(|row| document(&row, turns).map_err(Bad::Row)))?);
        }
    }
    let notice = bad.notice().map(|notice| format!("{source}: {notice}"));
    if set.documents.is_empty() {
        return Err(Error::Data(notice.unwrap_or_else(|| format!("{source}: no rows; expected documents"))));
    }
    set.notices.extend(notice);
    Ok(set)
}

/// The document of a row: `messages`, or the messages of `prompt` and `completion`.
fn document(row: &Row<'_>, turns: Turns) -> Result<Document> {
    let advice = "each row of rehearsal.data needs `prompt` and `completion`, or `messages`";
    let context = context(row)?;
    if let Some(messages) = said(row, "messages")? {
        let Said::Messages(messages) = messages else {
            return Err(row.error("field `messages` is text; expected a list of messages"));
        };
        ends_with_assistant(&messages).map_err(|problem| row.error(format!("field `messages` {problem}")))?;
        if messages.len() == 1 {
            return Err(row.error("field `messages` has no message before the assistant's"));
        }
        return checked(row, Document { id: row.id(), conversation: context.with(messages), prompt: 1 }, turns);
    }
    let part = |field: &str| match said(row, field)? {
        None => Err(row.missing(field, advice)),
        Some(Said::Text(text)) if text.trim().is_empty() => Err(row.error(format!("field `{field}` is empty"))),
        Some(part) => Ok(part),
    };
    let mut messages = part("prompt")?.by("user");
    let prompt = messages.len();
    let completion = part("completion")?.by("assistant");
    ends_with_assistant(&completion).map_err(|problem| row.error(format!("field `completion` {problem}")))?;
    if completion.len() > 1 && turns == Turns::Last {
        let message = format!(
            "field `completion` has {} messages; expected the assistant's alone, or rehearsal.turns = \"all\" to train on each turn of the assistant in it",
            completion.len()
        );
        return Err(row.error(message));
    }
    messages.extend(completion);
    checked(row, Document { id: row.id(), conversation: context.with(messages), prompt }, turns)
}

/// Errors: `document` has no turn that may be trained on.
fn checked(row: &Row<'_>, document: Document, turns: Turns) -> Result<Document> {
    if document.turns(turns).is_empty() {
        return Err(row.error("no turn of the assistant is left to train on (`trainable` is false, or `weight` 0)"));
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expo_lm::chat::Message;
    use serde_json::json;

    fn read_turns(text: &str, on_bad_row: OnBadRow, turns: Turns) -> Result<DocumentSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.jsonl");
        std::fs::write(&path, text).unwrap();
        read_documents(path.to_str().unwrap(), on_bad_row, turns)
    }

    fn read(text: &str, on_bad_row: OnBadRow) -> Result<DocumentSet> {
        read_turns(text, on_bad_row, Turns::Last)
    }

    #[test]
    fn prompts_with_completions_and_conversations() {
        let text = r#"{"prompt": "6*7=", "completion": 42}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}
{"prompt": [{"role": "user", "content": "u"}], "completion": [{"role": "assistant", "content": "a", "tool_calls": null}]}
"#;
        let set = read(text, OnBadRow::Refuse).unwrap();
        let turns = vec![Message::new("system", "s"), Message::new("user", "u"), Message::new("assistant", "a")];
        let conversation = Document { id: "".into(), conversation: turns.into(), prompt: 1 };
        let expected = [Document::new("6*7=", "42"), conversation, Document::new("u", "a")];
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
            ("{\"messages\": [{\"role\": 18446744073709551616}]}", "field `messages.0.role` is an integer beyond 64 bits"),
            ("{\"prompt\": \"a\", \"completion\": Infinity}", "field `completion` is Infinity"),
            ("{\"messages\": \"x\"}", "field `messages` is text"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}]}", "ends with a message by \"user\"; expected \"assistant\""),
            ("{\"messages\": [{\"role\": \"assistant\", \"content\": \"u\"}]}", "no message before"),
            ("{\"messages\": [{\"role\": \"user\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}", "message 1: has no `content`"),
            ("{\"messages\": [{\"content\": \"u\"}]}", "message 1: has no `role`"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}", "message 1: `content`, part 1: has no `type`"),
            (
                "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", \"content\": null}]}",
                "message 2: has no `content`",
            ),
            (
                "{\"prompt\": \"p\", \"completion\": [{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0}]}",
                "no turn of the assistant is left",
            ),
            ("{\"prompt\": \"p\", \"completion\": \"c\", \"tools\": \"hammer\"}", "field `tools` is a string; expected a list"),
            ("{\"prompt\": \"p\", \"completion\": \"c\", \"chat_template_kwargs\": [1]}", "field `chat_template_kwargs` is a list"),
            (
                "{\"prompt\": \"p\", \"completion\": \"c\", \"chat_template_kwargs\": {\"tools\": 1}}",
                "has `tools`, which the chat template is given",
            ),
            (
                "{\"prompt\": \"p\", \"completion\": [{\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
                "has 3 messages; expected the assistant's alone, or rehearsal.turns = \"all\"",
            ),
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

    #[test]
    fn fields_tools_and_turns() {
        let call = json!([{"function": {"name": "f", "arguments": {"x": 1}}}]);
        let messages = json!([
            {"role": "user", "content": "u", "name": "n"},
            {"role": "assistant", "content": null, "tool_calls": call, "weight": 1},
            {"role": "tool", "content": "1", "tool_call_id": "i"},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}], "reasoning_content": "r"},
            {"role": "user", "content": "v"},
            {"role": "assistant", "content": "b", "trainable": false},
            {"role": "user", "content": "w"},
            {"role": "assistant", "content": "c"},
        ]);
        let tools = json!([{"type": "function"}]);
        let row = json!({"messages": messages, "tools": tools.to_string(), "chat_template_kwargs": {"enable_thinking": false, "x": null}});
        let set = read_turns(&row.to_string(), OnBadRow::Refuse, Turns::All).unwrap();
        let document = &set.documents[0];
        let conversation = &document.conversation;
        assert_eq!(conversation.tools, Some(tools));
        assert_eq!(serde_json::Value::Object(conversation.chat_template_kwargs.clone()), json!({"enable_thinking": false}));
        assert_eq!((document.turns(Turns::All), document.turns(Turns::Last)), (vec![1, 3, 7], vec![7]));
        let fields = |i: usize| conversation.messages[i].fields.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!([0, 1, 2, 3].map(fields), ["name", "tool_calls", "tool_call_id", "reasoning_content"]);
        // A prompt's turns are never trained on.
        let row = json!({"prompt": messages.as_array().unwrap()[..4], "completion": messages.as_array().unwrap()[7..]});
        assert_eq!(read_turns(&row.to_string(), OnBadRow::Refuse, Turns::All).unwrap().documents[0].turns(Turns::All), [4]);
    }
}
