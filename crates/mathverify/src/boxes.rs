//! Boxes: the last one, with those that belong to the same answer.

use std::ops::Range;

/// A box that is closed: ranges of its content and of the whole command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Boxed {
    content: Range<usize>,
    whole: Range<usize>,
}

/// Longest text, in bytes, between boxes of one answer.
const MAX_GAP: usize = 60;
/// Most words between boxes of one answer.
const MAX_WORDS: usize = 4;

/// The outermost closed boxes, in order. One pass with a stack of open braces.
fn boxes(text: &str) -> Vec<Boxed> {
    let bytes = text.as_bytes();
    // For each open brace: where its content starts and, if it is a box's, where the command starts.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    let mut command = None;
    let mut found: Vec<Boxed> = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => {
                let rest = &bytes[i..];
                let length = [&b"\\boxed"[..], b"\\fbox"].iter().find(|name| rest.starts_with(name)).map(|name| name.len());
                command = length.map(|_| i);
                // An escaped character, a brace above all, is no brace; all bytes looked for are ASCII, so no boundary is missed.
                // A doubled backslash may be one that was escaped once too often.
                let escaped = rest.starts_with(b"\\\\boxed") || rest.starts_with(b"\\\\fbox");
                i += length.unwrap_or(if escaped { 1 } else { 2 });
                continue;
            }
            b'{' => open.push((i + 1, command.take())),
            b'}' => {
                command = None;
                if let Some((content, Some(start))) = open.pop() {
                    // The outer one replaces those in it.
                    let inner = found.iter().rposition(|b| b.whole.start < start).map_or(0, |i| i + 1);
                    found.truncate(inner);
                    found.push(Boxed { content: content..i, whole: start..i + 1 });
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                // `\boxed 2`: without braces, the next number or letter.
                if let Some(start) = command.take()
                    && byte.is_ascii_alphanumeric()
                    && bytes[i - 1].is_ascii_whitespace()
                {
                    let length = bytes[i..].iter().take_while(|b| b.is_ascii_digit()).count().max(1);
                    found.push(Boxed { content: i..i + length, whole: start..i + length });
                    i += length;
                    continue;
                }
            }
        }
        i += 1;
    }
    found
}

/// Whether what stands between two boxes makes them parts of one answer: a comma, "and", a few words of one sentence.
fn connects(gap: &str) -> bool {
    if gap.len() > MAX_GAP || gap.contains("\n\n") {
        return false;
    }
    let mut plain = gap.to_owned();
    for dropped in ["\\text", "\\quad", "\\qquad", "\\(", "\\)", "\\[", "\\]", "\\,", "\\;", "\\ ", "\\mbox", "\\textbf"] {
        plain = plain.replace(dropped, " ");
    }
    let plain = plain.replace(['$', '{', '}', '*', '&'], " ");
    let plain = plain.trim();
    let ends = plain
        .char_indices()
        .any(|(i, c)| matches!(c, '.' | '!' | '?') && plain[i + c.len_utf8()..].chars().next().is_none_or(char::is_whitespace));
    // Another form of the same value, or a step to the next.
    let same = ["=", "\\approx", "\\implies", "\\Rightarrow", "\\to", "\\rightarrow", "\\Longrightarrow", "\\iff"]
        .iter()
        .any(|s| plain.starts_with(s));
    let steps = ["then", "so", "hence", "thus", "therefore", "gives", "instead"];
    let same = same || plain.split(|c: char| !c.is_alphanumeric()).any(|w| steps.contains(&w.to_lowercase().as_str()));
    let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 1).count();
    !ends && !same && words <= MAX_WORDS
}

/// The last group of boxes: its contents, and the range from the first box (an opening `$`, `\(` or `\[` before it included) to the end of
/// the last. `None`: no closed box.
pub(crate) fn last_group(text: &str) -> Option<(Vec<Range<usize>>, Range<usize>)> {
    let all = boxes(text);
    let mut first = all.len().checked_sub(1)?;
    while first > 0 && connects(&text[all[first - 1].whole.end..all[first].whole.start]) {
        first -= 1;
    }
    let group = &all[first..];
    let mut range = group[0].whole.start..group[group.len() - 1].whole.end;
    let before = text[..range.start].trim_end();
    for (opening, closing) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        if before.ends_with(opening) && text[group[0].whole.end..].trim_start_matches(['.', ' ', '\n']).starts_with(closing) {
            range.start = before.len() - opening.len();
            break;
        }
    }
    Some((group.iter().map(|b| b.content.clone()).collect(), range))
}

/// Where a box begins that is behind `from` and isn't closed.
pub(crate) fn cut_off(text: &str, from: usize) -> Option<usize> {
    let at = [r"\boxed", r"\fbox"].iter().filter_map(|name| text[from..].rfind(name)).max()? + from;
    let behind = text[at..].trim_start_matches(|c: char| c == '\\' || c.is_ascii_alphabetic()).trim_start();
    (behind.is_empty() || behind.starts_with('{')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> Vec<&str> {
        last_group(text).map_or(Vec::new(), |(all, _)| all.into_iter().map(|c| &text[c]).collect())
    }

    #[test]
    fn groups() {
        assert_eq!(contents(r"\boxed{1}, \boxed{2} and $\boxed{3}$."), ["1", "2", "3"]);
        assert_eq!(contents(r"\boxed{(2,2)} \quad \text{and} \quad \boxed{(6,2)}"), ["(2,2)", "(6,2)"]);
        assert_eq!(contents(r"\boxed{1} papers and \boxed{2} bins"), ["1", "2"]);
        assert_eq!(contents(r"\boxed{1} no no no no no \boxed{2}"), ["2"], "too many words");
        assert_eq!(contents(r"\boxed{1}. Then \boxed{2}"), ["2"], "another sentence");
        assert_eq!(contents(r"\boxed{\frac12} = \boxed{0.5}"), ["0.5"], "another form of the same");
        assert_eq!(contents(r"\boxed{\text{a \boxed{1}}} x"), [r"\text{a \boxed{1}}"], "the outermost");
        assert_eq!(contents("nothing"), [""; 0]);
    }
}
