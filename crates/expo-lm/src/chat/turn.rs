//! An assistant's turn as tokens: what of it a model is trained on, and behind which prompt.
//!
//! With R(m, g) for what the template writes of messages m, g for the generation prompt: the prompt of turn k is P = R(m_<k, true), the finished
//! conversation W = R(m_<=k, false). Where W begins with P the turn is the rest of W. Where P has begun thoughts that W has otherwise, or not at all, the turn
//! is the message's thoughts, the closing tag and what W has of its content. It ends behind the first stop token that the template writes behind the content.
//! Prompt and turn are encoded apart, as a model goes on from its prompt.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

use super::thought::{self, Prefill, Tags, Thoughts};
use super::{ChatSettings, ChatTemplate, Content, Conversation, MarkedRendering, Message};
use crate::error::{Error, Result};
use crate::load::ModelFolder;
use crate::marked::MarkedText;

/// A turn as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The conversation before it, up to where the model goes on.
    pub prompt: Vec<u32>,
    /// The turn up to its stop token.
    pub completion: Vec<u32>,
    /// The tokens of the completion that are trained, as the template's `{% generation %}` blocks say; empty: all of them.
    pub trained: Vec<Range<usize>>,
    /// What a user should know, once.
    pub notices: BTreeSet<String>,
}

/// A model's chat template and tokenizer, and what of a run every rendering sees.
pub struct Chat {
    folder: Arc<ModelFolder>,
    settings: ChatSettings,
    /// What the template was found to write behind contents.
    tails: Mutex<BTreeSet<String>>,
    /// What ends a turn that the template leaves open, before a user's turn and before a tool's.
    ends_before: [OnceLock<String>; 2],
    has_generation_blocks: OnceLock<bool>,
}

/// Roles that may follow an assistant's turn.
const FOLLOWERS: [&str; 2] = ["user", "tool"];

/// A turn as text.
struct Written {
    prompt: MarkedText,
    completion: MarkedText,
    /// The stop token behind it that no template writes.
    added: Option<u32>,
    /// What the template's generation blocks wrote, in bytes of the completion.
    generated: Option<Vec<Range<usize>>>,
    notices: BTreeSet<String>,
}

/// Where a turn's own text begins in the finished conversation, and what stands before it.
struct Beginning {
    /// A byte of the finished conversation.
    at: usize,
    /// Thoughts that the template leaves out.
    before: MarkedText,
    notice: Option<&'static str>,
}

/// How a turn ends.
struct End {
    /// The byte of the finished conversation at which its content ends, as far as it can be told.
    content: usize,
    /// That up to which the template's text is taken.
    cut: usize,
    /// What the template writes there once the conversation goes on.
    then: String,
    /// A stop token that it never writes.
    token: Option<u32>,
    /// Whether the template leaves out the content beside calls of tools.
    content_is_left_out: bool,
}

/// What a template writes behind the content of a turn.
#[derive(Default)]
struct Tail {
    /// `None` where it can't be told.
    text: Option<String>,
    /// As [`End::content_is_left_out`].
    content_is_left_out: bool,
}

const LEFT_OUT: &str = "the chat template leaves out the thoughts of the last turn: the messages' own are trained on, in front of what it writes of their content";

impl Chat {
    /// Of a model's template and tokenizer with these settings.
    pub fn new(folder: Arc<ModelFolder>, settings: ChatSettings) -> Self {
        Self { folder, settings, tails: Mutex::default(), ends_before: Default::default(), has_generation_blocks: OnceLock::new() }
    }

    /// The model's files.
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// What every rendering sees.
    pub fn settings(&self) -> &ChatSettings {
        &self.settings
    }

    /// The chat template. Errors: the model has none.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.folder.chat()
    }

    /// The conversation up to where the assistant's next turn begins, as text. Errors: the chat template refuses it; no tokenizer or chat template.
    pub fn prompt(&self, conversation: &Conversation) -> Result<MarkedText> {
        Ok(self.render(conversation, true)?.text)
    }

    /// The finished conversation, as text.
    pub fn whole(&self, conversation: &Conversation) -> Result<MarkedText> {
        Ok(self.render(conversation, false)?.text)
    }

    /// The prompt of `conversation` as token ids.
    pub fn encode_prompt(&self, conversation: &Conversation) -> Result<Vec<u32>> {
        self.folder.tokenizer()?.encode_marked(&self.prompt(conversation)?)
    }

    /// What of the assistant's turn `prompt` holds already, such as `<think>\n`; empty: nothing.
    pub fn prefilled<'a>(&self, prompt: &'a str) -> &'a str {
        thought::prefill(prompt).map_or("", |prefill| &prompt[prefill.start..])
    }

    /// The tag with which a model has to end the thoughts that the prompt of `conversation` has begun; `None` where it has begun none.
    pub fn open_thoughts(&self, conversation: &Conversation) -> Result<Option<String>> {
        let prompt = self.prompt(conversation)?;
        let Some(Prefill { tags, closed: false, .. }) = thought::prefill(prompt.text()) else { return Ok(None) };
        // A header such as `<assistant>` has no end before the content.
        let mark = unused(conversation);
        let Ok(whole) = self.written(&conversation.and(Message::new("assistant", mark))) else { return Ok(Some(tags.close)) };
        let is_header =
            whole.strip_prefix(prompt.text()).is_some_and(|rest| !rest.split(mark).next().unwrap_or_default().contains(&tags.close));
        Ok((!is_header).then_some(tags.close))
    }

    /// Turn `index` of `conversation` behind what comes before it. Errors: the template refuses the conversation, writes its beginning otherwise once it goes on,
    /// leaves the message's content out, or ends a turn with a token that is not among the model's end-of-sequence tokens; nothing to train on.
    pub fn turn(&self, conversation: &Conversation, index: usize) -> Result<Turn> {
        let tokenizer = self.folder.tokenizer()?;
        let Written { prompt, completion, added, generated, mut notices } = self.write_turn(conversation, index)?;
        let tokens = tokenizer.encode_with_offsets(&completion)?;
        let mut ids: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
        ids.extend(added);
        if !ids.last().is_some_and(|last| self.folder.eos_token_ids.contains(last)) {
            let message = "the end of turn that the chat template writes is no token of its own to the tokenizer, so a model can't be trained to end there";
            return Err(self.fault(message));
        }
        let mut trained = Vec::new();
        if let Some(spans) = generated {
            let is_in = |(start, end): &(usize, usize)| spans.iter().any(|span| *start < span.end && span.start < *end);
            // A stop token that the template never writes belongs to what is written last.
            let mut flags: Vec<bool> = tokens.iter().map(|(_, offsets)| is_in(offsets)).collect();
            flags.extend(added.map(|_| spans.iter().any(|span| span.end >= completion.text().len())));
            if !flags.contains(&true) {
                return Err(
                    self.fault("the chat template's {% generation %} blocks leave nothing of this turn to train on; correct the template")
                );
            }
            if flags.last() == Some(&false) {
                notices.insert(
                    "a {% generation %} block of the chat template ends before the stop token: models are not trained to end their turns"
                        .into(),
                );
            }
            if flags.contains(&false) {
                trained = ranges(&flags);
            }
        }
        Ok(Turn { prompt: tokenizer.encode_marked(&prompt)?, completion: ids, trained, notices })
    }

    /// The tokens that end an assistant's turn behind its content, the last of them a stop token; `before` is a conversation up to a user's turn, as the model is
    /// asked. Errors: as for [`Self::turn`].
    pub fn end_of_turn(&self, before: &Conversation) -> Result<Vec<u32>> {
        let conversation = before.and(Message::new("assistant", "2"));
        let whole = self.render(&conversation, false)?.text;
        let end = self.end(&conversation, before.messages.len(), &whole, 0)?;
        let text = whole.slice(end.content..end.cut).then(&MarkedText::trusted(end.then));
        let mut ids = self.folder.tokenizer()?.encode_marked(&text)?;
        ids.extend(end.token);
        Ok(ids)
    }

    fn render(&self, conversation: &Conversation, add_generation_prompt: bool) -> Result<MarkedRendering> {
        let special = self.folder.tokenizer()?.special_tokens();
        self.template()?.render_marked(conversation, add_generation_prompt, &self.settings, special)
    }

    /// A finished conversation as the template writes it, special tokens or not.
    fn written(&self, conversation: &Conversation) -> Result<String> {
        Ok(self.template()?.render_conversation(conversation, false, &self.settings)?.text)
    }

    fn write_turn(&self, conversation: &Conversation, index: usize) -> Result<Written> {
        let (before, with) = (conversation.up_to(index), conversation.up_to(index + 1));
        let prompt = self.prompt(&before)?;
        let MarkedRendering { text: whole, generated } = self.render(&with, false)?;
        let beginning = self.beginning(&before, &with, &prompt, &whole)?;
        let end = self.end(&with, index, &whole, beginning.at)?;
        let mut notices: BTreeSet<String> = beginning.notice.iter().map(|notice| (*notice).to_owned()).collect();
        if end.content_is_left_out {
            notices.insert("the chat template leaves out the content of messages with `tool_calls`: it is not trained on".into());
        }
        let thoughts = beginning.before.text().len();
        let completion = beginning.before.then(&whole.slice(beginning.at..end.cut)).then(&MarkedText::trusted(end.then));
        let own = &whole.text()[beginning.at..end.cut];
        if let Some(Prefill { tags, closed: false, .. }) = thought::prefill(prompt.text())
            && own.contains(&tags.open)
        {
            notices.insert(format!(
                "a turn has {} although its prompt ends with it: give thoughts as the chat template reads them",
                tags.open
            ));
        }
        let spans = match generated {
            _ if !self.has_generation_blocks()? => None,
            None => {
                notices.insert(
                    "where the chat template's {% generation %} blocks write can't be told: turns are trained on as a whole".into(),
                );
                None
            }
            Some(generated) => {
                let place = |byte: usize| thoughts + byte.clamp(beginning.at, end.cut) - beginning.at;
                let mut spans: Vec<Range<usize>> = Vec::new();
                for span in generated {
                    // What ends a turn once the conversation goes on belongs to what is written last.
                    let end = if span.end >= end.cut { completion.text().len() } else { place(span.end) };
                    spans.push(place(span.start)..end);
                }
                if spans.iter().any(|span| !span.is_empty()) && thoughts > 0 {
                    spans.push(0..thoughts);
                }
                Some(spans)
            }
        };
        Ok(Written { prompt, completion, added: end.token, generated: spans, notices })
    }

    /// Where in `whole` the turn behind `prompt` begins.
    fn beginning(&self, before: &Conversation, with: &Conversation, prompt: &MarkedText, whole: &MarkedText) -> Result<Beginning> {
        let message = &with.messages[before.messages.len()];
        let prefill = thought::prefill(prompt.text());
        if let Some(rest) = whole.strip_prefix(prompt) {
            let at = prompt.text().len();
            let Some(own) = thought::in_content(message, &Tags::default(), "", false) else { return Ok(Beginning::at(at)) };
            if prefill.is_some() || !self.leaves_out(with, before.messages.len(), &own, rest.text())? {
                return Ok(Beginning::at(at));
            }
            let Some(content) = content_in(rest.text(), &own.after) else { return Err(self.parted(before, with, prompt, whole)) };
            return Ok(Beginning { at: at + content, before: self.thoughts(&own, &Tags::default(), true)?, notice: Some(LEFT_OUT) });
        }
        let Some(prefill) = prefill else { return Err(self.parted(before, with, prompt, whole)) };
        let Some(rest) = whole.strip_prefix(&prompt.slice(0..prefill.start)) else { return Err(self.parted(before, with, prompt, whole)) };
        let (rest, tags) = (rest.text(), &prefill.tags);
        let after_tag = &prompt.text()[prefill.start + tags.open.len()..];
        let own = match prefill.closed {
            true => thought::in_content(message, tags, "", false),
            false => thought::in_content(message, tags, after_tag, true),
        };
        let own = own.or_else(|| thought::in_field(message));
        match (prefill.closed, own) {
            (true, None) => {
                let content = content_in(rest, &message.text()).or_else(|| content_in(without_thoughts(rest, tags)?, &message.text()));
                let at = content.map(|_| rest.rfind(message.text().trim_start()).unwrap_or_default());
                at.map(|at| Beginning::at(prefill.start + at)).ok_or_else(|| self.parted(before, with, prompt, whole))
            }
            (true, Some(_)) => {
                let what = format!(
                    "the prompt ends with thoughts that are over ({:?}), and this message has some",
                    &prompt.text()[prefill.start..]
                );
                Err(self.refusal(before, with, &what, "leave them out"))
            }
            (false, None) => {
                let what = format!(
                    "the prompt ends with {:?}, so that a turn begins with thoughts, and this message has none",
                    &prompt.text()[prefill.start..]
                );
                let advice = format!("give them as `reasoning_content`, or in the content as {}...{}", tags.open, tags.close);
                Err(self.refusal(before, with, &what, &advice))
            }
            (false, Some(own)) => {
                let unbegun = rest.trim_start();
                let unbegun = unbegun.strip_prefix(&tags.open).map_or(unbegun, str::trim_start);
                let thought = own.text.trim();
                if !thought.is_empty() && unbegun.starts_with(thought) && unbegun.contains(&tags.close) {
                    return Ok(Beginning::at(whole.text().len() - unbegun.len()));
                }
                let rest = without_thoughts(rest, tags).unwrap_or(rest);
                let Some(content) = content_in(rest, &own.after) else { return Err(self.parted(before, with, prompt, whole)) };
                let at = whole.text().len() - rest.len() + content;
                Ok(Beginning { at, before: self.thoughts(&own, tags, false)?, notice: Some(LEFT_OUT) })
            }
        }
    }

    /// Whether the template writes nothing of the thoughts `own` of turn `index`, of which `rest` is what it writes.
    fn leaves_out(&self, with: &Conversation, index: usize, own: &Thoughts, rest: &str) -> Result<bool> {
        let thought = own.text.trim();
        if thought.is_empty() || rest.contains(thought) {
            return Ok(false);
        }
        // It may write them otherwise than they stand in the message.
        let (message, mark) = (&with.messages[index], unused(with));
        let marked = message.text().replacen(thought, &format!("{thought}{mark}"), 1);
        Ok(!self.written(&with.replace(index, message.with_text(marked)))?.contains(mark))
    }

    /// Thoughts as a model writes them: what looks like a special token in them is text, their tags are what they are.
    fn thoughts(&self, own: &Thoughts, tags: &Tags, with_open_tag: bool) -> Result<MarkedText> {
        let special = self.folder.tokenizer()?.special_tokens();
        let open = MarkedText::trusted(if with_open_tag { tags.open.clone() } else { String::new() });
        Ok(open.then(&MarkedText::plain(&own.text, special)).then(&MarkedText::trusted(format!("{}{}", tags.close, own.gap))))
    }

    /// How turn `index`, the last of `with`, ends in `whole`; it begins at `start`.
    fn end(&self, with: &Conversation, index: usize, whole: &MarkedText, start: usize) -> Result<End> {
        let tokenizer = self.folder.tokenizer()?;
        let stops: Vec<String> = self.folder.eos_token_ids.iter().filter_map(|id| tokenizer.id_to_token(*id)).collect();
        let stop_strings = || stops.iter().map(String::as_str);
        let Tail { text: tail, content_is_left_out } = self.tail(with, index, whole.text())?;
        let content =
            tail.filter(|tail| whole.text().ends_with(tail.as_str())).map_or(start, |tail| (whole.text().len() - tail.len()).max(start));
        if let Some(stop) = whole.find_token(stop_strings(), content) {
            return Ok(End { content, cut: stop.end, then: String::new(), token: None, content_is_left_out });
        }
        let cut = content + whole.text()[content..].trim_end().len();
        let followers = if with.messages[index].calls_tools() { [1, 0].as_slice() } else { &[0] };
        for follower in followers {
            let known = self.ends_before[*follower].get().cloned();
            let found = known.or_else(|| self.end_before(with, index, FOLLOWERS[*follower], &whole.text()[content..cut], &stops));
            if let Some(then) = found {
                let then = self.ends_before[*follower].get_or_init(|| then).clone();
                return Ok(End { content, cut, then, token: None, content_is_left_out });
            }
        }
        if let Some(other) = whole.find_token(tokenizer.special_tokens().strings(), content) {
            let token = &whole.text()[other];
            let known =
                self.folder.eos_token_ids.iter().zip(&stops).map(|(id, stop)| format!("{id} `{stop}`")).collect::<Vec<_>>().join(", ");
            let id = tokenizer.token_to_id(token).unwrap_or_default();
            return Err(self.fault(&format!(
                "the chat template ends the assistant's turn with `{token}` (id {id}), which does not end generation (the end-of-sequence tokens are {known}); \
                 add {id} to `eos_token_id` in generation_config.json"
            )));
        }
        let first = self.folder.eos_token_ids.first().ok_or_else(|| {
            let message =
                "no end-of-sequence token (`eos_token_id` in generation_config.json or config.json): completions would have no end";
            Error::Invalid(format!("{}: {message}", self.folder.origin()))
        })?;
        Ok(End { content, cut, then: String::new(), token: Some(*first), content_is_left_out })
    }

    /// What the template writes of the last turn of `with` behind its content (and its calls of tools). Errors: it leaves out the content, or the calls.
    fn tail(&self, with: &Conversation, index: usize, whole: &str) -> Result<Tail> {
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
        let Ok(written) = self.written(&with.replace(index, marked)) else { return Ok(Tail::default()) };
        let leaves_out = |mark: char| !written.contains(mark);
        let fault = |what: &str| {
            Err(self.fault(&format!(
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

    /// The stop token that the template writes behind turn `index` before a turn by `role`, with the white space before it; `tail` is what it writes behind the
    /// content in any case.
    fn end_before(&self, with: &Conversation, index: usize, role: &str, tail: &str, stops: &[String]) -> Option<String> {
        let (mark, message) = (unused(with), &with.messages[index]);
        let mut marked = message.clone();
        match message.calls_tools() {
            true => mark_calls(&mut marked, mark),
            false => marked.content = Content::Text(format!("{}{mark}", message.text())),
        }
        let written = self.written(&with.replace(index, marked).and(Message::new(role, format!("{mark}1")))).ok()?;
        let mut parts = written.rsplit(mark);
        let between = parts.nth(1)?;
        let between = between.strip_prefix(tail).unwrap_or(between);
        let stop = MarkedText::trusted(between.to_owned()).find_token(stops.iter().map(String::as_str), 0)?;
        between[..stop.start].trim().is_empty().then(|| between[..stop.end].to_owned())
    }

    /// Whether the template says what is trained. Errors: there is no template.
    fn has_generation_blocks(&self) -> Result<bool> {
        let template = self.template()?;
        Ok(*self.has_generation_blocks.get_or_init(|| {
            let probe = Conversation::from(vec![Message::new("user", "1"), Message::new("assistant", "2")]);
            let rendering = template.render_conversation(&probe, false, &self.settings);
            rendering.is_ok_and(|rendering| rendering.generated.is_none_or(|spans| !spans.is_empty()))
        }))
    }

    fn fault(&self, message: &str) -> Error {
        match self.template() {
            Ok(template) => Error::file(template.path(), message),
            Err(error) => error,
        }
    }

    /// The error of a prompt that is not how the conversation begins once it is finished.
    fn parted(&self, before: &Conversation, with: &Conversation, prompt: &MarkedText, whole: &MarkedText) -> Error {
        let (prompt, whole) = (prompt.text(), whole.text());
        let common = prompt.chars().zip(whole.chars()).take_while(|(a, b)| a == b).count();
        let from = |text: &str| text.chars().skip(common).take(20).collect::<String>();
        let what = format!(
            "the prompt is not a prefix of the conversation as the chat template writes it: after {common} characters the prompt alone has {:?}, the conversation {:?}",
            from(prompt),
            from(whole)
        );
        self.refusal(before, with, &what, "shorten the conversation")
    }

    /// `what` is wrong with the last turn of `with`, with an option that helps where there is one.
    fn refusal(&self, before: &Conversation, with: &Conversation, what: &str, advice: &str) -> Error {
        let option = self
            .helping_option(before, with)
            .map_or(String::new(), |option| format!(", or set prompt.chat_template_kwargs = {{ {option} }}"));
        self.fault(&format!("{what}; {advice}{option}, or leave the row out (data.on_bad_row = \"skip\")"))
    }

    /// A variable of the template with which the prompt is how the conversation begins.
    fn helping_option(&self, before: &Conversation, with: &Conversation) -> Option<String> {
        let switches = ["enable_thinking", "thinking"].into_iter().flat_map(|name| [(name, false), (name, true)]);
        let helps = |(name, value): &(&str, bool)| {
            let mut settings = self.settings.clone();
            settings.chat_template_kwargs.insert((*name).to_owned(), (*value).into());
            let written = |conversation: &Conversation, prompt| {
                Some(self.template().ok()?.render_conversation(conversation, prompt, &settings).ok()?.text)
            };
            let (Some(prompt), Some(whole)) = (written(before, true), written(with, false)) else { return false };
            whole.starts_with(&prompt)
        };
        switches.into_iter().find(helps).map(|(name, value)| format!("{name} = {value}"))
    }
}

impl Beginning {
    fn at(at: usize) -> Self {
        Self { at, before: MarkedText::default(), notice: None }
    }
}

/// Where `content`, without white space around it, begins `rest`; white space may stand before it.
fn content_in(rest: &str, content: &str) -> Option<usize> {
    let text = rest.trim_start();
    text.starts_with(content.trim()).then(|| rest.len() - text.len())
}

/// What follows thoughts with nothing in them; `None` where `rest` does not begin with such.
fn without_thoughts<'a>(rest: &'a str, tags: &Tags) -> Option<&'a str> {
    rest.trim_start().strip_prefix(&tags.open)?.trim_start().strip_prefix(&tags.close)
}

/// A character that is in no message of `conversation`, of those that are given to no text as mark.
fn unused(conversation: &Conversation) -> char {
    unused_two(conversation)[0]
}

/// Two such characters.
fn unused_two(conversation: &Conversation) -> [char; 2] {
    let text = serde_json::to_string(&conversation.messages).unwrap_or_default();
    let mut marks = ('\u{100010}'..='\u{10fffd}').filter(|mark| !text.contains(*mark));
    [marks.next(), marks.next()].map(|mark| mark.unwrap_or('\u{10fffd}'))
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

/// The ranges in which `flags` are set.
fn ranges(flags: &[bool]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (i, _) in flags.iter().enumerate().filter(|(_, flag)| **flag) {
        match ranges.last_mut() {
            Some(last) if last.end == i => last.end = i + 1,
            _ => ranges.push(i..i + 1),
        }
    }
    ranges
}
