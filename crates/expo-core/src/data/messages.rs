//! Chat messages in rows: lists of objects with `role` and `content`, as Hugging Face's data sets have them.

use expo_lm::chat::{Conversation, Message};
use expo_lm::json::kind;
use serde_json::Value;

use super::rows::{Row, scalar};
use super::shown::shown;
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

/// The text or messages of `field`; `None` when it is absent or null. Errors: an empty list, a message that isn't one or has
/// more than text in its content.
pub fn said(row: &Row<'_>, field: &str) -> Result<Option<Said>> {
    let Some(value) = row.get(field) else { return Ok(None) };
    if let Some(text) = scalar(value) {
        return Ok(Some(Said::Text(text)));
    }
    let Value::Array(items) = value else {
        return Err(row.error(format!("field `{field}` is {}; expected text or a list of messages", kind(value))));
    };
    row.refuse_wide(field)?;
    if items.is_empty() {
        return Err(row.error(format!("field `{field}` is an empty list")));
    }
    let messages = items
        .iter()
        .enumerate()
        .map(|(i, item)| Message::from_json(item).map_err(|problem| row.error(format!("field `{field}`, message {}: {problem}", i + 1))));
    Ok(Some(Said::Messages(messages.collect::<Result<_>>()?)))
}

/// What a row gives the chat template beside messages: `tools` and `chat_template_kwargs`.
pub fn context(row: &Row<'_>) -> Result<Conversation> {
    Conversation::context(row.get("tools"), row.get("chat_template_kwargs")).map_err(|problem| row.error(problem))
}

/// The same of a problem, whose field `tools` may be something else than a list of tools: then it is a field like any other.
pub fn problem_context(row: &Row<'_>) -> Result<Conversation> {
    let is_list = |tools: &&Value| tools.is_array() || tools.as_str().is_some_and(|text| text.trim_start().starts_with('['));
    Conversation::context(row.get("tools").filter(is_list), row.get("chat_template_kwargs")).map_err(|problem| row.error(problem))
}

/// What is wrong with `messages` as a conversation that ends with what the assistant said.
pub fn ends_with_assistant(messages: &[Message]) -> Result<(), String> {
    match messages.last() {
        None => Err("has no message".into()),
        Some(last) if last.role != "assistant" => Err(format!("ends with a message by \"{}\"; expected \"assistant\"", shown(&last.role))),
        Some(last) if last.is_empty() => Err("ends with an empty message".into()),
        Some(_) => Ok(()),
    }
}
