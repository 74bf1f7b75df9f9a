//! The part of a text that decides: what stands behind a thought, and in `<answer>`.

use std::ops::Range;

/// Marks that end a text: special tokens of chat formats, as they look when they are decoded.
const ENDS: [&str; 7] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>", "<end_of_turn>"];

/// What of a text decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decisive {
    /// What stands behind the last thought, or all of it.
    Part(Range<usize>),
    /// The content of the last answer tag, and where the tag begins.
    Tagged { content: Range<usize>, start: usize },
    /// A thought or an answer tag that isn't closed: no answer.
    Unfinished,
}

/// A tag: its name in lower case, whether it closes, and where it is.
struct Tag {
    name: String,
    closes: bool,
    range: Range<usize>,
}

/// The tags of thoughts and answers, `<think>`, `</answer>` and the like, in order.
fn tags(text: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('<') {
        let rest = &text[at + 1..];
        let closes = rest.starts_with('/');
        let name = &rest[usize::from(closes)..];
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(name.len());
        if length == 0 || length > 24 || !name[length..].starts_with('>') {
            continue;
        }
        let end = at + 1 + usize::from(closes) + length + 1;
        found.push(Tag { name: name[..length].to_ascii_lowercase(), closes, range: at..end });
    }
    found
}

/// Whether a tag holds a thought.
fn thinks(name: &str) -> bool {
    ["think", "thought", "reason", "scratchpad", "reflect"].iter().any(|stem| name.starts_with(stem))
}

fn answers(name: &str) -> bool {
    name.ends_with("answer")
}

/// The part of `text` that decides.
pub(crate) fn decisive(text: &str) -> Decisive {
    let end = ENDS.iter().filter_map(|mark| text.find(mark)).filter(|at| !text[..*at].trim().is_empty()).min().unwrap_or(text.len());
    let text = &text[..end];
    let tags = tags(text);
    let mut start = 0;
    if let Some(last) = tags.iter().rfind(|tag| thinks(&tag.name)) {
        if !last.closes {
            return Decisive::Unfinished;
        }
        start = last.range.end;
    }
    let behind: Vec<&Tag> = tags.iter().filter(|tag| tag.range.start >= start && answers(&tag.name)).collect();
    match behind.last() {
        Some(tag) if tag.closes => {
            let opening = behind.iter().rev().find(|other| !other.closes && other.name == tag.name);
            match opening {
                Some(opening) => Decisive::Tagged { content: opening.range.end..tag.range.start, start: opening.range.start },
                // The prompt ended in the opening tag.
                None => Decisive::Part(start..tag.range.start),
            }
        }
        Some(_) => Decisive::Unfinished,
        None => Decisive::Part(start..text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Option<&str> {
        match decisive(text) {
            Decisive::Part(range) => Some(&text[range]),
            Decisive::Tagged { content, .. } => Some(&text[content]),
            Decisive::Unfinished => None,
        }
    }

    #[test]
    fn parts() {
        for (text, expected) in [
            ("a", Some("a")),
            ("<think>a</think>b", Some("b")),
            ("a</think>b", Some("b")),
            ("<think>a", None),
            ("<think>a</think><think>b", None),
            ("<thinking>a</thinking>\nb", Some("\nb")),
            ("<reasoning>a</reasoning><answer>10</answer>", Some("10")),
            ("<answer>10</answer> is it", Some("10")),
            ("<think><answer>3</answer></think> it is 4", Some(" it is 4")),
            ("<answer>1</answer><answer>2</answer>", Some("2")),
            ("<final_answer>2</final_answer>", Some("2")),
            ("<answer>1", None),
            ("10</answer>", Some("10")),
            ("x < 5 and y > 3", Some("x < 5 and y > 3")),
            ("5<|im_end|>\n<|im_start|>user", Some("5")),
            ("<b>5</b>", Some("<b>5</b>")),
        ] {
            assert_eq!(part(text), expected, "{text}");
        }
    }
}
