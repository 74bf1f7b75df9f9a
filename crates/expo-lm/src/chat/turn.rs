//! An assistant's turn as tokens: what of it a model is trained on, and behind which prompt.
//!
//! With R(m, g) for what the template writes of messages m, g for the generation prompt: the prompt of turn k is P = R(m_<k, true), the finished
//! conversation W = R(m_<=k, false). Where W begins with P the turn is the rest of W. Where P has begun thoughts that W has otherwise, or not at all, the turn
//! is the message's thoughts, the closing tag and what W has of its content. It ends behind the first stop token that the template writes behind the content.
//! Prompt and turn are encoded apart, as a model goes on from its prompt.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::ends::Ends;
use super::renderer::{Renderer, unused};
use super::thought::{self, Prefill, Tags, Thoughts};
use super::{ChatSettings, ChatTemplate, Conversation, MarkedRendering, Message};
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
    renderer: Renderer,
    ends: Ends,
    has_generation_blocks: OnceLock<bool>,
}

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

const LEFT_OUT: &str = "the chat template leaves out the thoughts of the last turn: the messages' own are trained on, in front of what it writes of their content";

impl Chat {
    /// Of a model's template and tokenizer with these settings.
    pub fn new(folder: Arc<ModelFolder>, settings: ChatSettings) -> Self {
        Self { renderer: Renderer { folder, settings }, ends: Ends::default(), has_generation_blocks: OnceLock::new() }
    }

    /// The model's files.
    pub fn folder(&self) -> &ModelFolder {
        &self.renderer.folder
    }

    /// What every rendering sees.
    pub fn settings(&self) -> &ChatSettings {
        &self.renderer.settings
    }

    /// The chat template. Errors: the model has none.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.renderer.template()
    }

    /// The conversation up to where the assistant's next turn begins, as text. Errors: the chat template refuses it; no tokenizer or chat template.
    pub fn prompt(&self, conversation: &Conversation) -> Result<MarkedText> {
        Ok(self.renderer.render(conversation, true)?.text)
    }

    /// The finished conversation, as text.
    pub fn whole(&self, conversation: &Conversation) -> Result<MarkedText> {
        Ok(self.renderer.render(conversation, false)?.text)
    }

    /// The prompt of `conversation` as token ids.
    pub fn encode_prompt(&self, conversation: &Conversation) -> Result<Vec<u32>> {
        self.folder().tokenizer()?.encode_marked(&self.prompt(conversation)?)
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
        let Ok(whole) = self.renderer.written(&conversation.and(Message::new("assistant", mark))) else { return Ok(Some(tags.close)) };
        let is_header =
            whole.strip_prefix(prompt.text()).is_some_and(|rest| !rest.split(mark).next().unwrap_or_default().contains(&tags.close));
        Ok((!is_header).then_some(tags.close))
    }

    /// Turn `index` of `conversation` behind what comes before it. Errors: the template refuses the conversation, writes its beginning otherwise once it goes on,
    /// leaves the message's content out, or ends a turn with a token that is not among the model's end-of-sequence tokens; nothing to train on.
    pub fn turn(&self, conversation: &Conversation, index: usize) -> Result<Turn> {
        let tokenizer = self.folder().tokenizer()?;
        let Written { prompt, completion, added, generated, mut notices } = self.write_turn(conversation, index)?;
        let tokens = tokenizer.encode_with_offsets(&completion)?;
        let mut ids: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
        ids.extend(added);
        if !ids.last().is_some_and(|last| self.folder().eos_token_ids.contains(last)) {
            let message = "the end of turn that the chat template writes is no token of its own to the tokenizer, so a model can't be trained to end there";
            return Err(self.renderer.fault(message));
        }
        let mut trained = Vec::new();
        if let Some(spans) = generated {
            let is_in = |(start, end): &(usize, usize)| spans.iter().any(|span| *start < span.end && span.start < *end);
            // A stop token that the template never writes belongs to what is written last.
            let mut flags: Vec<bool> = tokens.iter().map(|(_, offsets)| is_in(offsets)).collect();
            flags.extend(added.map(|_| spans.iter().any(|span| span.end >= completion.text().len())));
            if !flags.contains(&true) {
                return Err(self
                    .renderer
                    .fault("the chat template's {% generation %} blocks leave nothing of this turn to train on; correct the template"));
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
        let whole = self.renderer.render(&conversation, false)?.text;
        let end = self.ends.find(&self.renderer, &conversation, before.messages.len(), &whole, 0)?;
        let text = whole.slice(end.content..end.cut).then(&MarkedText::trusted(end.then));
        let mut ids = self.folder().tokenizer()?.encode_marked(&text)?;
        ids.extend(end.token);
        Ok(ids)
    }

    fn write_turn(&self, conversation: &Conversation, index: usize) -> Result<Written> {
        let (before, with) = (conversation.up_to(index), conversation.up_to(index + 1));
        let prompt = self.prompt(&before)?;
        let MarkedRendering { text: whole, generated } = self.renderer.render(&with, false)?;
        let beginning = self.beginning(&before, &with, &prompt, &whole)?;
        let end = self.ends.find(&self.renderer, &with, index, &whole, beginning.at)?;
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
        Ok(!self.renderer.written(&with.replace(index, message.with_text(marked)))?.contains(mark))
    }

    /// Thoughts as a model writes them: what looks like a special token in them is text, their tags are what they are.
    fn thoughts(&self, own: &Thoughts, tags: &Tags, with_open_tag: bool) -> Result<MarkedText> {
        let special = self.folder().tokenizer()?.special_tokens();
        let open = MarkedText::trusted(if with_open_tag { tags.open.clone() } else { String::new() });
        Ok(open.then(&MarkedText::plain(&own.text, special)).then(&MarkedText::trusted(format!("{}{}", tags.close, own.gap))))
    }

    /// Whether the template says what is trained. Errors: there is no template.
    fn has_generation_blocks(&self) -> Result<bool> {
        let template = self.template()?;
        Ok(*self.has_generation_blocks.get_or_init(|| {
            let probe = Conversation::from(vec![Message::new("user", "1"), Message::new("assistant", "2")]);
            let rendering = template.render_conversation(&probe, false, self.settings());
            rendering.is_ok_and(|rendering| rendering.generated.is_none_or(|spans| !spans.is_empty()))
        }))
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
        self.renderer.fault(&format!("{what}; {advice}{option}, or leave the row out (data.on_bad_row = \"skip\")"))
    }

    /// A variable of the template with which the prompt is how the conversation begins.
    fn helping_option(&self, before: &Conversation, with: &Conversation) -> Option<String> {
        let switches = ["enable_thinking", "thinking"].into_iter().flat_map(|name| [(name, false), (name, true)]);
        let helps = |(name, value): &(&str, bool)| {
            let mut settings = self.settings().clone();
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
