//! Thoughts around which templates and models write tags: those that a prompt has begun already, and those of a message.

use super::Message;
use super::message::THOUGHTS;

/// What a prompt holds of the assistant's turn: thoughts that it begins (`<think>\n`), or begins and ends (`<think>\n\n</think>\n\n`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefill {
    /// The byte of the prompt at which it begins.
    pub start: usize,
    /// Whether the thoughts are ended.
    pub closed: bool,
    /// The tags.
    pub tags: Tags,
}

/// The tags around thoughts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tags {
    pub open: String,
    pub close: String,
}

impl Default for Tags {
    fn default() -> Self {
        Self { open: "<think>".into(), close: "</think>".into() }
    }
}

/// The prefill that `prompt` ends with. A tag that is open may also be the assistant's header (`<assistant>`): that is for the template to say.
pub(super) fn prefill(prompt: &str) -> Option<Prefill> {
    let text = prompt.trim_end();
    let brackets = match text.chars().last()? {
        '>' => ('<', '>'),
        ']' => ('[', ']'),
        _ => return None,
    };
    let last = text.rfind(brackets.0)?;
    let inner = &text[last + 1..text.len() - 1];
    let name = inner.strip_prefix('/').unwrap_or(inner);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':')) {
        return None;
    }
    let tag = |slash: &str| format!("{}{slash}{name}{}", brackets.0, brackets.1);
    let tags = Tags { open: tag(""), close: tag("/") };
    if name == inner {
        return Some(Prefill { start: last, closed: false, tags });
    }
    let start = text[..last].trim_end().strip_suffix(&tags.open)?.len();
    Some(Prefill { start, closed: true, tags })
}

/// The thoughts of a message, and what it says behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thoughts {
    /// As a model writes them behind the opening tag.
    pub text: String,
    /// White space between the closing tag and what follows.
    pub gap: String,
    /// What follows.
    pub after: String,
}

/// The thoughts that begin `message`'s content, without the white space of `begun` that a prompt has written behind the opening tag already. Without that tag they
/// are thoughts only where the prompt has it (`is_begun`).
pub(super) fn in_content(message: &Message, tags: &Tags, begun: &str, is_begun: bool) -> Option<Thoughts> {
    let content = message.text();
    let text = content.trim_start();
    let body = match text.strip_prefix(&tags.open) {
        Some(body) => body,
        None if is_begun => &content,
        None => return None,
    };
    let (thoughts, rest) = body.split_once(&tags.close)?;
    let after = rest.trim_start();
    Some(Thoughts {
        text: thoughts.strip_prefix(begun).unwrap_or(thoughts).to_owned(),
        gap: rest[..rest.len() - after.len()].to_owned(),
        after: after.to_owned(),
    })
}

/// Those of a field of their own, as R1 writes them; `None` where there are none or nothing in them.
pub(super) fn in_field(message: &Message) -> Option<Thoughts> {
    let text = THOUGHTS.iter().find_map(|name| message.fields.get(*name)?.as_str().map(str::trim).filter(|text| !text.is_empty()))?;
    Some(Thoughts { text: format!("{text}\n"), gap: "\n\n".into(), after: message.text().trim_start().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefills_of_published_templates() {
        for (prompt, expected) in [
            ("<|im_start|>assistant\n<think>\n", Some((22, false, "</think>"))),
            ("<\u{ff5c}Assistant\u{ff5c}><think>\n", Some((17, false, "</think>"))),
            ("<|im_start|>assistant\n<think>\n\n</think>\n\n", Some((22, true, "</think>"))),
            ("<|assistant|>\n<think></think>", Some((14, true, "</think>"))),
            ("assistant\n<seed:think>", Some((10, false, "</seed:think>"))),
            ("[INST] q [/INST][THINK]", Some((16, false, "[/THINK]"))),
            ("<|im_start|>assistant\n", None),
            ("<|assistant|>", None),
            ("[INST] q [/INST]", None),
            ("<\u{ff5c}Assistant\u{ff5c}></think>", None),
            ("", None),
        ] {
            let found = prefill(prompt).map(|prefill| (prefill.start, prefill.closed, prefill.tags.close));
            assert_eq!(found, expected.map(|(start, closed, close)| (start, closed, close.to_owned())), "{prompt:?}");
        }
    }

    #[test]
    fn thoughts_of_messages() {
        let of = |content: &str, begun: &str| in_content(&Message::new("assistant", content), &Tags::default(), begun, !begun.is_empty());
        let thoughts = |text: &str, gap: &str, after: &str| Some(Thoughts { text: text.into(), gap: gap.into(), after: after.into() });
        assert_eq!(of("<think>\nab\n</think>\n\nans", "\n"), thoughts("ab\n", "\n\n", "ans"));
        assert_eq!(of("<think>\nab\n</think>\n\nans", ""), thoughts("\nab\n", "\n\n", "ans"));
        assert_eq!(of("ab</think>ans", "\n"), thoughts("ab", "", "ans"));
        assert_eq!(of("ab</think>ans", ""), None);
        assert_eq!(of("ans", "\n"), None);
        let mut message = Message::new("assistant", "ans");
        assert_eq!(in_field(&message), None);
        message.fields.insert("thinking".into(), "ab".into());
        assert_eq!(in_field(&message), thoughts("ab\n", "\n\n", "ans"));
    }
}
