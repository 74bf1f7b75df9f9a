//! The filter `wordwrap`, by Python's `textwrap`.

use minijinja::{Error, State, Value};

use super::args::Args;
use super::python::{pay_values, truth};
use super::text::{lines, strict};
use super::unicode;

/// `wordwrap(s, width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True)`.
pub(super) fn filter(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, width, long, separator, hyphens] = args.bind(["s", "width", "break_long_words", "wrapstring", "break_on_hyphens"], 1)?;
    let value = value.unwrap_or_default();
    let text = strict(&value, "splitlines")?;
    let width = args.integer(width.as_ref(), 79)?;
    let separator = match &separator {
        Some(separator) if !separator.is_none() => args.text(separator)?,
        _ => "\n",
    };
    let (long, hyphens) = (long.as_ref().is_none_or(truth), hyphens.as_ref().is_none_or(truth));
    let mut wrapped = Vec::new();
    for line in lines(text, false) {
        let chars: Vec<char> = line.chars().collect();
        pay_values(state, chars.len())?;
        let chunks = if hyphens { hyphenated(&chars) } else { words(&chars) };
        if width <= 0 {
            return args.error(format!("invalid width {width} (must be > 0)"));
        }
        let paragraph = fill(chunks, width as usize, long, hyphens);
        wrapped.push(paragraph.join(separator));
    }
    let text = wrapped.join(separator);
    super::python::pay(state, text.len())?;
    Ok(Value::from(text))
}

fn is_white(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ')
}

fn is_word(c: char) -> bool {
    c == '_' || unicode::is_alpha(c) || unicode::is_numeric(c) || unicode::is_digit(c)
}

fn is_letter(c: char) -> bool {
    is_word(c) && unicode::decimal(c).is_none()
}

fn is_punctuated(c: char) -> bool {
    is_word(c) || "!\"'&.,?".contains(c)
}

/// Words and the white space between them.
fn words(chars: &[char]) -> Vec<&[char]> {
    chars.chunk_by(|a, b| is_white(*a) == is_white(*b)).collect()
}

/// The same with words parted after hyphens and around dashes.
fn hyphenated(chars: &[char]) -> Vec<&[char]> {
    let at = |i: usize| chars.get(i).copied();
    let before = |i: usize, back: usize| i.checked_sub(back).and_then(at);
    let holds = |c: Option<char>, test: fn(char) -> bool| c.is_some_and(test);
    let dash = |i: usize| {
        let length = chars[i..].iter().take_while(|c| **c == '-').count();
        (length >= 2 && holds(at(i + length), is_word)).then_some(length)
    };
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < chars.len() {
        let mut end = start + 1;
        if is_white(chars[start]) {
            while holds(at(end), is_white) {
                end += 1;
            }
        } else if let Some(length) = dash(start).filter(|_| holds(before(start, 1), is_punctuated)) {
            end = start + length;
        } else {
            loop {
                // A hyphen after two letters, or after a letter, a hyphen and a character of a word; two letters follow, with a hyphen between them perhaps.
                let is_hyphen = at(end) == Some('-') && {
                    let two = holds(before(end, 1), is_letter) && holds(before(end, 2), is_letter);
                    let one = holds(before(end, 1), is_punctuated) && before(end, 2) == Some('-') && holds(before(end, 3), is_letter);
                    let next = holds(at(end + 1), is_letter)
                        && (holds(at(end + 2), is_letter) || (at(end + 2) == Some('-') && holds(at(end + 3), is_letter)));
                    (two || one) && next
                };
                if is_hyphen {
                    end += 1;
                    break;
                }
                if at(end).is_none_or(is_white) || (holds(before(end, 1), is_punctuated) && dash(end).is_some()) {
                    break;
                }
                end += 1;
            }
        }
        chunks.push(&chars[start..end]);
        start = end;
    }
    chunks
}

/// Lines of at most `width` characters.
fn fill(chunks: Vec<&[char]>, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let is_blank = |chunk: &[char]| chunk.iter().all(|c| super::python::is_space(*c));
    let mut chunks: Vec<&[char]> = chunks.into_iter().rev().collect();
    let mut lines: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        let mut line: Vec<&[char]> = Vec::new();
        let mut length = 0;
        if !lines.is_empty() && chunks.last().is_some_and(|chunk| is_blank(chunk)) {
            chunks.pop();
        }
        while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.len() <= width) {
            length += chunk.len();
            line.push(chunk);
        }
        if let Some(chunk) = chunks.last_mut().filter(|chunk| chunk.len() > width) {
            let space = width - length;
            if break_long && space > 0 {
                let hyphen = chunk[..space].iter().rposition(|c| *c == '-').filter(|at| chunk[..*at].iter().any(|c| *c != '-'));
                let end = hyphen.filter(|_| hyphens).map_or(space, |at| at + 1);
                let (first, rest) = chunk.split_at(end);
                line.push(first);
                *chunk = rest;
            } else if line.is_empty() {
                line.extend(chunks.pop());
            }
        }
        line.pop_if(|chunk| is_blank(chunk));
        if !line.is_empty() {
            lines.push(line.concat().into_iter().collect());
        }
    }
    lines
}
