//! Which fields of conversations a template reads: found by what it writes when they are changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ChatSettings, ChatTemplate, Conversation};

/// Further text that no template expects.
const MARKER: &str = "\u{100001}";

/// What is known of the fields of a file, one conversation after the other.
#[derive(Debug, Default)]
pub struct FieldCheck {
    /// By name as it is told: whether the template reads it.
    read: BTreeMap<String, bool>,
}

/// A place of a conversation that a template may read.
enum Field<'a> {
    /// A field of all messages by one role.
    Message(&'a str, &'a str),
    Tools,
    Variable(&'a str),
}

impl Field<'_> {
    fn name(&self) -> String {
        match self {
            Self::Message(role, name) => format!("`{name}` of {role} messages"),
            Self::Tools => "`tools`".into(),
            Self::Variable(name) => format!("`chat_template_kwargs.{name}`"),
        }
    }

    /// The conversation with something else there, and with nothing.
    fn changed(&self, conversation: &Conversation) -> [Conversation; 2] {
        let mut changed = [conversation.clone(), conversation.clone()];
        let [other, without] = &mut changed;
        match self {
            Self::Message(role, name) => {
                let is_its = |message: &&mut super::Message| message.role == *role;
                other.messages.iter_mut().filter(is_its).filter_map(|message| message.fields.get_mut(*name)).for_each(alter);
                without.messages.iter_mut().filter(is_its).for_each(|message| drop(message.fields.shift_remove(*name)));
            }
            Self::Tools => {
                other.tools.iter_mut().for_each(alter);
                without.tools = None;
            }
            Self::Variable(name) => {
                other.chat_template_kwargs.get_mut(*name).into_iter().for_each(alter);
                without.chat_template_kwargs.shift_remove(*name);
            }
        }
        changed
    }
}

/// Makes something else of a value, of the same kind.
fn alter(value: &mut Value) {
    match value {
        Value::Null => *value = MARKER.into(),
        Value::Bool(given) => *given = !*given,
        Value::Number(number) => *value = number.as_f64().map_or(0.0, |number| number + 1.0).into(),
        Value::String(text) => text.push_str(MARKER),
        Value::Array(items) if items.is_empty() => items.push(MARKER.into()),
        Value::Object(fields) if fields.is_empty() => drop(fields.insert(MARKER.into(), MARKER.into())),
        Value::Array(items) => items.iter_mut().for_each(alter),
        Value::Object(fields) => fields.values_mut().for_each(alter),
    }
}

fn fields(conversation: &Conversation) -> Vec<Field<'_>> {
    let of_messages =
        conversation.messages.iter().flat_map(|message| message.fields.keys().map(|name| Field::Message(&message.role, name)));
    let tools = conversation.tools.iter().map(|_| Field::Tools);
    of_messages.chain(tools).chain(conversation.chat_template_kwargs.keys().map(|name| Field::Variable(name))).collect()
}

impl FieldCheck {
    /// Looks at `conversation`'s fields that `template` was not yet seen to read.
    pub fn look(&mut self, template: &ChatTemplate, conversation: &Conversation, settings: &ChatSettings) {
        let unsettled: Vec<Field> = fields(conversation).into_iter().filter(|field| self.read.get(&field.name()) != Some(&true)).collect();
        if unsettled.is_empty() {
            return;
        }
        // A variable may matter for the prompt alone, a field for what is finished alone.
        let write = |conversation: &Conversation| {
            [false, true].map(|prompt| template.render_conversation(conversation, prompt, settings).map(|rendering| rendering.text).ok())
        };
        let as_it_is = write(conversation);
        for field in unsettled {
            let is_read = field.changed(conversation).iter().any(|changed| write(changed) != as_it_is);
            *self.read.entry(field.name()).or_default() |= is_read;
        }
    }

    /// The same for the settings' variables, which are those of every rendering.
    pub fn look_at_variables(&mut self, template: &ChatTemplate, conversation: &Conversation, settings: &ChatSettings) {
        let with = Conversation { chat_template_kwargs: settings.chat_template_kwargs.clone(), ..conversation.clone() };
        self.look(template, &with, &ChatSettings { date: settings.date, ..ChatSettings::default() });
    }

    /// The fields that the template never read.
    pub fn unread(&self) -> Vec<&str> {
        self.read.iter().filter(|(_, read)| !**read).map(|(name, _)| name.as_str()).collect()
    }

    /// What to tell of them.
    pub fn notice(&self) -> Option<String> {
        let unread = self.unread();
        (!unread.is_empty()).then(|| format!("the chat template reads nothing of {}: they change nothing", unread.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn fields_that_a_template_reads_and_others() {
        let source = "{% for m in messages %}{{ m.role }}{% if m.role == 'assistant' and not loop.last %}{{ m.reasoning_content }}{% endif %}{{ m.content }}\
                      {% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{% endfor %}\
                      {% if tools %}T{% endif %}{% if add_generation_prompt and enable_thinking == false %}x{% endif %}";
        let template = ChatTemplate::new(source, Path::new("t"), Map::new()).expect("compiles");
        let read = |value: Value| -> Conversation {
            Conversation {
                messages: serde_json::from_value(value["messages"].clone()).expect("messages"),
                tools: value.get("tools").cloned(),
                chat_template_kwargs: value["kwargs"].as_object().cloned().unwrap_or_default(),
            }
        };
        let mut check = FieldCheck::default();
        let mut look = |value: Value| {
            check.look(&template, &read(value), &ChatSettings::default());
            check.unread().join(", ")
        };
        let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
        let first = json!({"messages": [{"role": "user", "content": "a", "name": "n"}, {"role": "assistant", "content": "b", "reasoning_content": "r", "tool_calls": call}],
            "tools": [{"name": "f"}], "kwargs": {"enable_thinking": false, "other": 1}});
        assert_eq!(look(first), "`chat_template_kwargs.other`, `name` of user messages, `reasoning_content` of assistant messages");
        // Read in another row.
        let second =
            json!({"messages": [{"role": "assistant", "content": "b", "reasoning_content": "r"}, {"role": "user", "content": "a"}]});
        assert_eq!(look(second), "`chat_template_kwargs.other`, `name` of user messages");
        assert!(check.notice().expect("something to tell").contains("`name` of user messages"));
    }
}
