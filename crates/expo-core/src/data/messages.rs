//! Chat messages in rows: lists of objects with `role` and `content`, as Hugging Face's data sets have them.

use expo_lm::chat::Message;
use serde_json::Value;

use super::rows::{Row, kind, scalar, shown};
use crate::error::Result;

/// What a field of a conversation holds.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// Text alone.
    Text(String),
    /// Messages, at least one.
    Messages(Vec<Message>),
}

impl Said {
    /// As messages: text is one turn by `role`.
    pub fn by(self, role: &str) -> Vec<Message> {
        match self {
            Self::Text(text) => vec![Message::new(role, text)],
            Self::Messages(messages) => messages,
        }
    }
}

/// The text or messages of `field`; `None` when it is absent or null. Errors: an empty list, a message that isn't one or has more than text.
pub fn said(row: &Row<'_>, field: &str) -> Result<Option<Said>> {
    let Some(value) = row.get(field) else { return Ok(None) };
    if let Some(text) = scalar(value) {
        return Ok(Some(Said::Text(text)));
    }
    let Value::Array(items) = value else {
        return Err(row.error(format!("field `{field}` is {}; expected text or a list of messages", kind(value))));
    };
    if items.is_empty() {
        return Err(row.error(format!("field `{field}` is an empty list")));
    }
    let messages = items
        .iter()
        .enumerate()
        .map(|(i, item)| message(item).map_err(|problem| row.error(format!("field `{field}`, message {}: {problem}", i + 1))));
    Ok(Some(Said::Messages(messages.collect::<Result<_>>()?)))
}

fn message(item: &Value) -> Result<Message, String> {
    let role = item.get("role").and_then(Value::as_str);
    let role = role.filter(|role| !role.is_empty()).ok_or("has no `role`; expected {\"role\": ..., \"content\": ...}")?;
    // Leaving them out would be training on another conversation.
    if item.get("tool_calls").is_some_and(|calls| !calls.is_null() && calls.as_array().is_none_or(|calls| !calls.is_empty())) {
        return Err("has `tool_calls`, which are not supported".into());
    }
    match item.get("content") {
        Some(Value::String(content)) => Ok(Message::new(role, content.clone())),
        None | Some(Value::Null) => Err("has no `content`".into()),
        Some(other) => Err(format!("`content` is {}; expected text", kind(other))),
    }
}

/// What is wrong with `messages` as a conversation that ends with what the assistant said.
pub fn ends_with_assistant(messages: &[Message]) -> Result<(), String> {
    match messages.last() {
        None => Err("has no message".into()),
        Some(last) if last.role != "assistant" => Err(format!("ends with a message by \"{}\"; expected \"assistant\"", shown(&last.role))),
        Some(last) if last.content.trim().is_empty() => Err("ends with an empty message".into()),
        Some(_) => Ok(()),
    }
}
