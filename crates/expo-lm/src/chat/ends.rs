//! How an assistant's turn ends: what the template writes behind its content, and the stop token there.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

use super::renderer::{Renderer, unused, unused_two};
use super::{Content, Conversation, Message};
use crate::error::{Error, Result};
use crate::marked::MarkedText;

/// Roles that may follow an assistant's turn.
const FOLLOWERS: [&str; 2] = ["user", "tool"];

/// How a turn ends.
pub(super) struct End {
    /// The byte of the finished conversation at which its content ends, as far as it can be told.
    pub(super) content: usize,
    /// That up to which the template's text is taken.
    pub(super) cut: usize,
    /// What the template writes there once the conversation goes on.
    pub(super) then: String,
    /// A stop token that it never writes.
    pub(super) token: Option<u32>,
    /// Whether the template leaves out the content beside calls of tools.
    pub(super) content_is_left_out: bool,
}

/// What a template writes behind the content of a turn.
#[derive(Default)]
struct Tail {
    /// `None` where it can't be told.
    text: Option<String>,
    /// As [`End::content_is_left_out`].
    content_is_left_out: bool,
}

/// What is known of how a template ends turns.
#[derive(Default)]
pub(super) struct Ends {
    /// What the template was found to write behind contents.
    tails: Mutex<BTreeSet<String>>,
    /// What ends a turn that the template leaves open, before a user's turn and before a tool's.
    before: [OnceLock<String>; 2],
}

impl Ends {
    /// How turn `index`, the last of `with`, ends in `whole`; it begins at `start`.
    pub(super) fn find(&self, renderer: &Renderer, with: &Conversation, index: usize, whole: &MarkedText, start: usize) -> Result<End> {
        let tokenizer = renderer.folder.tokenizer()?;
        let stops: Vec<String> = renderer.folder.eos_token_ids.iter().filter_map(|id| tokenizer.id_to_token(*id)).collect();
        let stop_strings = || stops.iter().map(String::as_str);
        let Tail { text: tail, content_is_left_out } = self.tail(renderer, with, index, whole.text())?;
        let content =
            tail.filter(|tail| whole.text().ends_with(tail.as_str())).map_or(start, |tail| (whole.text().len() - tail.len()).max(start));
        if let Some(stop) = whole.find_token(stop_strings(), content) {
            return Ok(End { content, cut: stop.end, then: String::new(), token: None, content_is_left_out });
        }
        let cut = content + whole.text()[content..].trim_end().len();
        let followers = if with.messages[index].calls_tools() { [1, 0].as_slice() } else { &[0] };
        for follower in followers {
            let known = self.before[*follower].get().cloned();
            let found = known.or_else(|| end_before(renderer, with, index, FOLLOWERS[*follower], &whole.text()[content..cut], &stops));
            if let Some(then) = found {
                let then = self.before[*follower].get_or_init(|| then).clone();
                return Ok(End { content, cut, then, token: None, content_is_left_out });
            }
        }
        if let Some(other) = whole.find_token(tokenizer.special_tokens().strings(), content) {
            let token = &whole.text()[other];
            let known =
                renderer.folder.eos_token_ids.iter().zip(&stops).map(|(id, stop)| format!("{id} `{stop}`")).collect::<Vec<_>>().join(", ");
            let id = tokenizer.token_to_id(token).unwrap_or_default();
            return Err(renderer.fault(&format!(
                "the chat template ends the assistant's turn with `{token}` (id {id}), which does not end generation (the end-of-sequence tokens are {known}); \
                 add {id} to `eos_token_id` in generation_config.json"
            )));
        }
        let first = renderer.folder.eos_token_ids.first().ok_or_else(|| {
            let message =
                "no end-of-sequence token (`eos_token_id` in generation_config.json or config.json): completions would have no end";
            Error::Invalid(format!("{}: {message}", renderer.folder.origin()))
        })?;
        Ok(End { content, cut, then: String::new(), token: Some(*first), content_is_left_out })
    }

    /// What the template writes of the last turn of `with` behind its content (and its calls of tools). Errors: it leaves out the content, or the calls.
    fn tail(&self, renderer: &Renderer, with: &Conversation, index: usize, whole: &str) -> Result<Tail> {
        let message = &with.messages[index];
        let text = message.text();
        if message.is_empty() {
            return Ok(Tail::default());
        }
        let tails = || self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |tail: &&String| whole.strip_suffix(tail.as_str()).is_some_and(|before| before.trim_end().ends_with(text.trim()));
        if !message.calls_tools()
            && let Some(tail) = tails().iter().filter(fits).max_by_key(|tail| tail.len())
        {
            return Ok(Tail { text: Some(tail.clone()), content_is_left_out: false });
        }
        let [in_content, in_calls] = unused_two(with);
        let mut marked = message.clone();
        let has_content = !text.trim().is_empty();
        match &mut marked.content {
            Content::Text(text) if has_content => text.push(in_content),
            Content::Parts(parts) if has_content => {
                if let Some(Value::String(text)) = parts.last_mut().and_then(|part| part.get_mut("text")) {
                    text.push(in_content);
                }
            }
            _ => {}
        }
        mark_calls(&mut marked, in_calls);
        let Ok(written) = renderer.written(&with.replace(index, marked)) else { return Ok(Tail::default()) };
        let leaves_out = |mark: char| !written.contains(mark);
        let fault = |what: &str| {
            Err(renderer.fault(&format!(
                "the chat template leaves out {what} of the assistant's message; take a template that writes it, or leave the row out \
                 (data.on_bad_row = \"skip\")"
            )))
        };
        let tail = written.rsplit([in_content, in_calls]).next().unwrap_or_default().to_owned();
        match message.calls_tools() {
            true if leaves_out(in_calls) => fault("`tool_calls`"),
            true => Ok(Tail { text: Some(tail), content_is_left_out: has_content && leaves_out(in_content) }),
            false if leaves_out(in_content) => fault("the content"),
            false => {
                tails().insert(tail.clone());
                Ok(Tail { text: Some(tail), content_is_left_out: false })
            }
        }
    }
}

/// The stop token that the template writes behind turn `index` before a turn by `role`, with the white space before it; `tail` is what it writes behind the
/// content in any case.
fn end_before(renderer: &Renderer, with: &Conversation, index: usize, role: &str, tail: &str, stops: &[String]) -> Option<String> {
    let (mark, message) = (unused(with), &with.messages[index]);
    let mut marked = message.clone();
    match message.calls_tools() {
        true => mark_calls(&mut marked, mark),
        false => marked.content = Content::Text(format!("{}{mark}", message.text())),
    }
    let written = renderer.written(&with.replace(index, marked).and(Message::new(role, format!("{mark}1")))).ok()?;
    let mut parts = written.rsplit(mark);
    let between = parts.nth(1)?;
    let between = between.strip_prefix(tail).unwrap_or(between);
    let stop = MarkedText::trusted(between.to_owned()).find_token(stops.iter().map(String::as_str), 0)?;
    between[..stop.start].trim().is_empty().then(|| between[..stop.end].to_owned())
}

/// Appends `mark` to every string in the functions that `message` calls.
fn mark_calls(message: &mut Message, mark: char) {
    for call in message.fields.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_function = call.get("function").is_some_and(Value::is_object);
        let function = if is_function { &mut call["function"] } else { call };
        // Templates may ask for their form.
        let parts = function.as_object_mut().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "id" | "type"));
        parts.for_each(|(_, part)| append(part, mark));
    }
}

/// Appends `mark` to every string in `value`.
fn append(value: &mut Value, mark: char) {
    match value {
        Value::String(text) => text.push(mark),
        Value::Array(items) => items.iter_mut().for_each(|item| append(item, mark)),
        Value::Object(fields) => fields.values_mut().for_each(|field| append(field, mark)),
        _ => {}
    }
}
