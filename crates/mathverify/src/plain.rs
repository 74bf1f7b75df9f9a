//! Answers without a delimiter of their own: the last formula, the last expression in plain text, choice letters.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::parse::parse;
use crate::token::Commas;

/// Most formulas tried, from the end, for one that can be read.
const MAX_TRIED: usize = 20;

/// Longest formula, in bytes.
const MAX_FORMULA: usize = 20_000;
/// Most signs without their closing before no more formulas are looked for.
const MAX_MISSES: usize = 500;
/// How far from its end, in bytes, a text is searched for an expression.
const MAX_TAIL: usize = 20_000;

/// The beginning of `text`, at most so many bytes.
pub(crate) fn head(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A formula: ranges of its content and of the whole with its signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Formula {
    pub(crate) content: Range<usize>,
    pub(crate) whole: Range<usize>,
}

/// The formula that begins `text[at..]`, if one does.
pub(crate) fn formula_at(text: &str, at: usize) -> Option<Formula> {
    let rest = &text[at..];
    for (opening, closing, lines) in [("$$", "$$", true), ("$", "$", false), ("\\(", "\\)", false), ("\\[", "\\]", true)] {
        let Some(inside) = rest.strip_prefix(opening).map(|inside| head(inside, MAX_FORMULA)) else { continue };
        let inside = if lines { inside } else { inside.split('\n').next().unwrap_or("") };
        let mut from = 0;
        while let Some(length) = inside[from..].find(closing) {
            let length = from + length;
            // `\$` is an amount.
            if closing.starts_with('$') && inside[..length].ends_with('\\') {
                from = length + 1;
                continue;
            }
            if inside[..length].trim().is_empty() {
                return None;
            }
            let content = at + opening.len();
            // `$2 + $3`: two amounts.
            if opening == "$"
                && text[content + length + 1..].starts_with(|c: char| c.is_ascii_digit())
                && rest[1..].starts_with(|c: char| c.is_ascii_digit())
            {
                return None;
            }
            return Some(Formula { content: content..content + length, whole: at..content + length + closing.len() });
        }
        if opening != "$$" {
            return None;
        }
    }
    if let Some(name) = ["align*", "align", "equation*", "equation", "gather*", "gather", "aligned", "eqnarray*", "multline*"]
        .iter()
        .find(|name| rest.strip_prefix("\\begin{").and_then(|r| r.strip_prefix(**name)).is_some_and(|r| r.starts_with('}')))
    {
        let content = at + "\\begin{}".len() + name.len();
        let length = head(&text[content..], MAX_FORMULA).find(&format!("\\end{{{name}}}"))?;
        return Some(Formula { content: content..content + length, whole: at..content + length + "\\end{}".len() + name.len() });
    }
    None
}

/// All formulas, in order; a fraction without signs around it is one too. Each sign without its closing is looked for once.
pub(crate) fn formulas(text: &str) -> Vec<Formula> {
    static BARE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^-?\\[dt]?frac\{[^{}\n]{1,80}\}\{[^{}\n]{1,80}\}").expect("a valid pattern"));
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut misses = 0;
    while at < bytes.len() {
        if bytes[at] == b'$' && at > 0 && bytes[at - 1] == b'\\' {
            at += 1;
            continue;
        }
        if matches!(bytes[at], b'$' | b'\\') && misses < MAX_MISSES {
            if let Some(formula) = formula_at(text, at) {
                at = formula.whole.end;
                found.push(formula);
                continue;
            }
            misses += usize::from(["$", "\\(", "\\[", "\\begin{"].iter().any(|o| text[at..].starts_with(o)));
            if bytes[at] == b'\\'
                && let Some(fraction) = BARE.find(&text[at..])
            {
                let start = if at > 0 && bytes[at - 1] == b'-' { at - 1 } else { at };
                let range = start..at + fraction.end();
                at = range.end;
                found.push(Formula { content: range.clone(), whole: range });
                continue;
            }
        }
        at += 1;
    }
    found
}

/// Whether what stands between two formulas makes them items of one list.
fn joins(gap: &str) -> bool {
    gap.len() < 20 && matches!(gap.trim(), "," | "and" | "or" | ", and" | ", or" | ",and" | ",or" | ";")
}

/// From the `last` formula back over those joined to it.
fn group_before(text: &str, all: &[Formula], last: usize) -> Range<usize> {
    let mut first = last;
    while first > 0 && joins(&text[all[first - 1].whole.end..all[first].whole.start]) {
        first -= 1;
    }
    first..last + 1
}

/// The content of formulas, joined by commas; of several rows, the last.
pub(crate) fn joined(text: &str, group: &[Formula]) -> String {
    let one = |f: &Formula| {
        let content = text[f.content.clone()].trim();
        if text[f.whole.clone()].starts_with("\\begin") || (content.contains("&=") && !content.contains("\\begin")) {
            let row = content.rsplit("\\\\").map(str::trim).find(|row| !row.is_empty()).unwrap_or(content);
            return row.trim_end_matches(['.', ',']).replace('&', "");
        }
        content.trim_end_matches([',', ';']).to_owned()
    };
    group.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether a value that nothing announces isn't stated at all: it says by how much something is done, numbers a step, or marks an item of a list.
fn is_aside(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].trim_end_matches([' ', '(', '*', '$']);
    let word = before.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or("").to_lowercase();
    let marker = text[range.end..]
        .strip_prefix(['.', ')', ':'])
        .is_some_and(|rest| rest.starts_with(char::is_whitespace) && !rest.trim().is_empty());
    // "Scaling by 2", not "increases by 2".
    let operation = before.trim_end_matches("by").trim_end().rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or("").to_lowercase();
    let operates = word == "by" && ["multipl", "divid", "scal", "add", "subtract", "factor"].iter().any(|stem| operation.starts_with(stem));
    operates
        || matches!(word.as_str(), "than" | "step" | "part" | "case" | "problem" | "question" | "equation" | "example" | "figure")
        || (marker && text[..range.start].trim_end_matches([' ', '*', '#']).ends_with('\n'))
}

/// The last formula that can be read, with those joined to it; the last one if none can.
pub(crate) fn last_formula(text: &str) -> Option<(String, Range<usize>)> {
    let all = formulas(text);
    let mut fallback = None;
    for last in (0..all.len()).rev().take(MAX_TRIED) {
        let group = group_before(text, &all, last);
        let range = all[group.start].whole.start..all[last].whole.end;
        let value = joined(text, &all[group]);
        if value.is_empty() || is_aside(text, &range) {
            continue;
        }
        if parse(&value, Commas::Thousands).is_ok() {
            return Some((value, range));
        }
        fallback = fallback.or(Some((value, range)));
    }
    fallback
}

/// The formulas joined to the one that begins at `at`.
pub(crate) fn formulas_from(text: &str, at: usize) -> Option<(String, usize)> {
    let mut group = vec![formula_at(text, at)?];
    loop {
        let end = group[group.len() - 1].whole.end;
        let rest = &text[end..];
        let Some(next) = rest.find(['$', '\\']).filter(|next| joins(&rest[..*next])) else { break };
        match formula_at(text, end + next) {
            Some(formula) => group.push(formula),
            None => break,
        }
    }
    let value = joined(text, &group);
    Some((value, group[group.len() - 1].whole.end))
}

/// Numbers and arithmetic: in group 1, with signs, thousands separators and a percent sign.
static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(?:[0-9]{1,3}(?:[ ,][0-9]{3})+(?:\.[0-9]+)?|[0-9]+[.,][0-9]+|\.[0-9]+|[0-9]+)";
    Regex::new(&format!(r"(?:^|[\s=*(\[:≈])[$€£¥]?(-?\(*-?{number}(?:\s*[-+*/^×÷]\s*\(*-?{number}\)*|!)*(?:\s*(?:%|[Pp]ercent|pct))?)"))
        .expect("a valid pattern")
});

/// An expression found at `range`, with brackets that don't match and punctuation taken off.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start, range.end);
    loop {
        let piece = &text[start..end];
        let (open, close) = (piece.matches('(').count(), piece.matches(')').count());
        if open > close && piece.starts_with('(') {
            start += 1;
        } else if open > close && piece.starts_with("-(") {
            start += 2;
        } else if close > open && piece.ends_with(')') {
            end -= 1;
        } else {
            return start..end;
        }
    }
}

/// The last expression in plain text.
pub(crate) fn last_expression(text: &str) -> Option<Range<usize>> {
    // Matches may share a space between them: go on from each one's end.
    let mut tail = text.len().saturating_sub(MAX_TAIL);
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let mut last = None;
    for found in EXPRESSION.captures_iter(&text[tail..]) {
        last = found.get(1).map(|m| m.start() + tail..m.end() + tail).filter(|range| !is_aside(text, range)).or(last);
    }
    last.map(|range| trimmed(text, range)).filter(|range| !range.is_empty())
}

/// The first expression in plain text.
pub(crate) fn first_expression(text: &str) -> Option<Range<usize>> {
    EXPRESSION.captures(text)?.get(1).map(|m| trimmed(text, m.range())).filter(|range| !range.is_empty())
}

/// A choice letter that stands alone: behind "final answer is", "answer:" or "answer", at the beginning, or anywhere, in this order of
/// priority. Of a priority the first letter behind the last such phrase ("the answer is B, because A is ..." chooses B), without a phrase
/// the last one.
pub(crate) fn choice(text: &str, choices: &[String]) -> Option<Range<usize>> {
    // Smallest first: priority, how far the phrase is from the end, place of the letter.
    let mut best: Option<((u8, usize, usize), Range<usize>)> = None;
    for choice in choices.iter().filter(|c| !c.is_empty()) {
        for (at, found) in text.match_indices(choice.as_str()) {
            let (before, after) = (&text[..at], &text[at + found.len()..]);
            let opens = before.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '*' | '{' | '[' | ':' | '$'));
            let closes =
                after.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '.' | ',' | ':' | ')' | '*' | '}' | ']' | '$'));
            if !opens || !closes {
                continue;
            }
            let mut window = before.len().saturating_sub(120);
            while !before.is_char_boundary(window) {
                window += 1;
            }
            let near = before[window..].to_ascii_lowercase();
            let phrase = near.rfind("answer");
            let (priority, anchor) = match phrase {
                _ if near.trim_end_matches(['(', ' ', '$']).ends_with("\\boxed{") => (0, Some(at)),
                Some(i) if near[..i].trim_end().ends_with("final") && near[i..].contains("is") => (0, Some(window + i)),
                Some(i) if near[i..].contains(':') => (1, Some(window + i)),
                Some(i) => (2, Some(window + i)),
                None if before.trim_start_matches(['*', '(', ' ', '\n']).is_empty() => (3, None),
                None => (4, None),
            };
            let rank = match anchor {
                Some(anchor) => (priority, text.len() - anchor, at),
                None => (priority, 0, text.len() - at),
            };
            if best.as_ref().is_none_or(|(smallest, _)| rank < *smallest) {
                best = Some((rank, at..at + found.len()));
            }
        }
    }
    let range = best?.1;
    // "A or B": no choice was made.
    let follows = text[range.end..].trim_start();
    let precedes = text[..range.start].trim_end();
    let alternative = |rest: &str| {
        choices.iter().any(|c| rest.trim_start().strip_prefix(c.as_str()).is_some_and(|r| !r.starts_with(char::is_alphanumeric)))
    };
    let before =
        |rest: &str| choices.iter().any(|c| rest.trim_end().strip_suffix(c.as_str()).is_some_and(|r| !r.ends_with(char::is_alphanumeric)));
    let several = ["or ", "and ", ",", "/"].iter().any(|j| follows.strip_prefix(j).is_some_and(alternative))
        || [" or", " and", ",", "/"].iter().any(|j| precedes.strip_suffix(j).is_some_and(before));
    (!several).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_formula_that_can_be_read() {
        let of = |text: &str| last_formula(text).map(|(value, _)| value);
        assert_eq!(of(r"if $x=1$, then \[ y = 2 \] holds").as_deref(), Some("y = 2"));
        assert_eq!(of("$21,16$ or $11$").as_deref(), Some("21,16, 11"));
        assert_eq!(of("$5$ in $)($").as_deref(), Some("5"));
        assert_eq!(of(r"it costs \$5 or $6").as_deref(), None);
        assert_eq!(of("$ \n 9 \n $").as_deref(), None, "an inline formula has one line");
        assert_eq!(of(r"\begin{align*} x &= 1 \\ y &= 2 \end{align*}").as_deref(), Some("y = 2"));
    }

    #[test]
    fn the_last_expression() {
        let of = |text: &'static str| last_expression(text).map(|range| &text[range]);
        for (text, expected) in [
            ("6*7 = 42", Some("42")),
            ("P = (1/2) * (4/3). So 2/3 it is", Some("2/3")),
            ("The price is $1,000.50.", Some("1,000.50")),
            ("is 1 000 now", Some("1 000")),
            ("**73**", Some("73")),
            ("28 percent", Some("28 percent")),
            ("AZYUK2A", None),
            ("", None),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn choices() {
        let all = ["A", "B", "C", "D"].map(String::from);
        let of = |text: &'static str| choice(text, &all).map(|range| &text[range]);
        assert_eq!(of("A. Because B is not valid"), Some("A"));
        assert_eq!(of("It may be A, but the answer is (C)."), Some("C"));
        assert_eq!(of("Final answer is B"), Some("B"));
        assert_eq!(of("The answer is B, because A is 3."), Some("B"));
        assert_eq!(of("The answer is A. No, the answer is (D) since A fails"), Some("D"));
        assert_eq!(of("A or B"), None, "no choice was made");
        assert_eq!(of("ABBA"), None);
    }
}
