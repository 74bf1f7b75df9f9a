//! Conversations as chat templates take them: messages with every field that they came with, tools, and variables of the template.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::json::kind;

/// What was said, in the forms that chat templates know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The message has no `content`, or null, as beside `tool_calls`.
    Absent,
    /// Text.
    Text(String),
    /// A list of `{"type": "text", "text": ...}`.
    Parts(Vec<Value>),
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, ...
    pub role: String,
    /// What was said.
    pub content: Content,
    /// Every further field that isn't null, for the template: `reasoning_content`, `tool_calls`, `name`, ...
    pub fields: Map<String, Value>,
    /// Whether it may be trained on: not with `trainable: false` or `weight: 0`.
    pub trainable: bool,
}

impl Message {
    /// A turn by `role` that is text alone.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: Content::Text(content.into()), fields: Map::new(), trainable: true }
    }

    /// The message that `item` is, `{"role": ..., "content": ..., ...}`. `Err` says what is wrong with it: no role, content that is neither text nor parts of
    /// text, none of it without `tool_calls`, `trainable` or `weight` of another kind.
    pub fn from_json(item: &Value) -> Result<Self, String> {
        let fields = item.as_object().ok_or_else(|| format!("is {}; expected {{\"role\": ..., \"content\": ...}}", kind(item)))?;
        let role = fields.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
        let role = role.ok_or("has no `role`; expected {\"role\": ..., \"content\": ...}")?;
        let content = match fields.get("content") {
            None | Some(Value::Null) => Content::Absent,
            Some(Value::String(text)) => Content::Text(text.clone()),
            Some(Value::Array(parts)) => {
                parts
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, part)| check_part(part).map_err(|what| format!("`content`, part {}: {what}", i + 1)))?;
                Content::Parts(parts.clone())
            }
            Some(other) => return Err(format!("`content` is {}; expected text, or a list of parts with text", kind(other))),
        };
        let trainable = match fields.get("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(trainable)) => *trainable,
            Some(other) => return Err(format!("`trainable` is {other}; expected true or false")),
        };
        let weight = match fields.get("weight") {
            None | Some(Value::Null) => true,
            Some(Value::Number(weight)) if [0.0, 1.0].contains(&weight.as_f64().unwrap_or(f64::NAN)) => weight.as_f64() == Some(1.0),
            Some(other) => return Err(format!("`weight` is {other}; expected 0 or 1")),
        };
        let is_further = |name: &str| !matches!(name, "role" | "content" | "trainable" | "weight");
        let further = fields.iter().filter(|(name, value)| is_further(name) && !value.is_null());
        let message = Self {
            role: role.to_owned(),
            content,
            fields: further.map(|(name, value)| (name.clone(), value.clone())).collect(),
            trainable: trainable && weight,
        };
        if message.content == Content::Absent && !message.calls_tools() {
            return Err("has no `content`".into());
        }
        Ok(message)
    }

    /// The text of its content; nothing where there is none.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Content::Absent => Cow::Borrowed(""),
            Content::Text(text) => Cow::Borrowed(text),
            Content::Parts(parts) => Cow::Owned(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        }
    }

    /// The same message with this text as content.
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        Self { content: Content::Text(text.into()), ..self.clone() }
    }

    /// Whether it has `tool_calls`.
    pub fn calls_tools(&self) -> bool {
        self.fields.get("tool_calls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty())
    }

    /// Whether it says nothing at all: no text but white space, and no calls of tools.
    pub fn is_empty(&self) -> bool {
        self.text().trim().is_empty() && !self.calls_tools()
    }

    /// Bytes of all its text, that of further fields among it.
    pub fn bytes(&self) -> usize {
        self.text().len() + self.fields.values().map(bytes).sum::<usize>()
    }

    /// With all its fields.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("role".into(), self.role.clone().into());
        match &self.content {
            Content::Absent => {}
            Content::Text(text) => drop(object.insert("content".into(), text.clone().into())),
            Content::Parts(parts) => drop(object.insert("content".into(), parts.clone().into())),
        }
        object.extend(self.fields.clone());
        Value::Object(object)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn check_part(part: &Value) -> Result<(), String> {
    match (part["type"].as_str(), &part["text"]) {
        (Some("text"), Value::String(_)) => Ok(()),
        (Some("text"), _) => Err("has no `text`".into()),
        (Some(other), _) => Err(format!("is of type {other:?}; only text can be trained on")),
        (None, _) => Err("has no `type`; expected {\"type\": \"text\", \"text\": ...}".into()),
    }
}

/// Bytes of the strings in a value.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
        _ => 0,
    }
}

/// Names that a template sees anyway, so that no variable may have them.
const TAKEN: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// The first of `variables` that a template's own inputs are called, if there is one.
pub fn taken_variable(variables: &Map<String, Value>) -> Option<&str> {
    variables.keys().map(String::as_str).find(|name| TAKEN.contains(name))
}

/// Messages and what a template is given beside them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The turns.
    pub messages: Vec<Message>,
    /// JSON schemas of tools, as transformers' `tools`.
    pub tools: Option<Value>,
    /// Variables of the template, as transformers' `chat_template_kwargs`; they win over those of the run.
    pub chat_template_kwargs: Map<String, Value>,
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }
}

impl Conversation {
    /// What a row gives beside its messages: `tools`, a list or JSON of one, and `chat_template_kwargs`, an object. `Err` says which of them is something else.
    pub fn context(tools: Option<&Value>, chat_template_kwargs: Option<&Value>) -> Result<Self, String> {
        let parsed = tools.and_then(Value::as_str).map(serde_json::from_str::<Value>);
        let tools = match (tools, parsed) {
            (None | Some(Value::Null), _) | (_, Some(Ok(Value::Null))) => None,
            (_, Some(Ok(list @ Value::Array(_)))) => Some(list),
            (Some(list @ Value::Array(_)), _) => Some(list.clone()),
            (Some(value), _) => return Err(format!("field `tools` is {}; expected a list of tools, or JSON of one", kind(value))),
        };
        let chat_template_kwargs: Map<String, Value> = match chat_template_kwargs {
            None | Some(Value::Null) => Map::new(),
            // A structure in a Parquet file has every field that one of its rows has.
            Some(Value::Object(given)) => {
                given.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            Some(value) => return Err(format!("field `chat_template_kwargs` is {}; expected an object", kind(value))),
        };
        if let Some(name) = taken_variable(&chat_template_kwargs) {
            return Err(format!("field `chat_template_kwargs` has `{name}`, which the chat template is given anyway; remove it"));
        }
        // Templates write what they have to say of tools for an empty list, too.
        let tools = tools.filter(|tools| tools.as_array().is_some_and(|tools| !tools.is_empty()));
        Ok(Self { messages: Vec::new(), tools, chat_template_kwargs })
    }

    /// The same with other messages.
    pub fn with(&self, messages: Vec<Message>) -> Self {
        Self { messages, ..self.clone() }
    }

    /// Its first `count` messages, with the same tools and variables.
    pub fn up_to(&self, count: usize) -> Self {
        self.with(self.messages[..count].to_vec())
    }

    /// The same with message `index` changed.
    pub(crate) fn replace(&self, index: usize, message: Message) -> Self {
        let mut changed = self.clone();
        changed.messages[index] = message;
        changed
    }

    /// The same, and `message` behind it.
    pub(crate) fn and(&self, message: Message) -> Self {
        let mut longer = self.clone();
        longer.messages.push(message);
        longer
    }

    /// Bytes of all its text.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(Message::bytes).sum::<usize>() + self.tools.as_ref().map_or(0, bytes)
    }
}

/// What of a run every rendering sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatSettings {
    /// What `strftime_now` takes for the present, in seconds since 1970 (UTC).
    pub date: i64,
    /// Variables of the template, such as `enable_thinking`.
    pub chat_template_kwargs: Map<String, Value>,
}

impl ChatSettings {
    /// Today, and no variables.
    pub fn now() -> Self {
        Self { date: crate::clock::since_1970().as_secs() as i64, chat_template_kwargs: Map::new() }
    }
}

/// Names that thoughts come under; the first is the one that most templates read.
pub(super) const THOUGHTS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Messages as transformers hands them to a template (`_normalize_chat_messages` and `_alias_reasoning_fields` of 5.24): without fields that are null, and with
/// thoughts under both names that templates read.
pub(super) fn as_templates_see(messages: &mut Value) {
    for message in messages.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        message.retain(|_, value| !value.is_null());
        if let Some(thoughts) = THOUGHTS.iter().find_map(|name| message.get(*name)).cloned() {
            message.entry("thinking").or_insert_with(|| thoughts.clone());
            message.insert("reasoning_content".into(), thoughts);
        }
    }
}

/// One part of content that is text.
pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_kept_and_comes_back() {
        let item = json!({"role": "assistant", "content": null, "reasoning_content": "r", "name": null, "weight": 0,
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": null}}}]});
        let message = Message::from_json(&item).expect("a message");
        assert_eq!((message.content.clone(), message.trainable), (Content::Absent, false));
        let expected = json!({"role": "assistant", "reasoning_content": "r", "tool_calls": item["tool_calls"]});
        assert_eq!(message.to_json(), expected);
        assert_eq!(serde_json::from_value::<Message>(expected).expect("a message"), Message { trainable: true, ..message });
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
        let parts = Message::from_json(&parts).expect("a message");
        assert_eq!((parts.text().as_ref(), parts.bytes()), ("ab", 2));
    }

    #[test]
    fn what_is_no_message_is_told() {
        for (item, expected) in [
            (json!("x"), "is a string; expected {\"role\""),
            (json!({"content": "x"}), "has no `role`"),
            (json!({"role": "user"}), "has no `content`"),
            (json!({"role": "assistant", "content": null, "tool_calls": []}), "has no `content`"),
            (json!({"role": "user", "content": 3}), "`content` is a number; expected text, or a list"),
            (json!({"role": "user", "content": ["x"]}), "`content`, part 1: has no `type`"),
            (json!({"role": "user", "content": [{"type": "image"}]}), "`content`, part 1: is of type \"image\"; only text"),
            (json!({"role": "user", "content": "x", "weight": 0.5}), "`weight` is 0.5; expected 0 or 1"),
            (json!({"role": "user", "content": "x", "trainable": "no"}), "`trainable` is \"no\"; expected true or false"),
        ] {
            let error = Message::from_json(&item).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
