//! The methods of `str`, with Python's character sets.

use std::collections::BTreeSet;

use minijinja::value::Tuple;
use minijinja::{Error, State, Value};

use super::args::Args;
use super::errors::{kind_error, undefined};
use super::python::{Py, is_printable, is_space, items, kind, pay, pay_values};
use super::unicode;

/// Calls a method of `text`, which is the text of `value`.
pub(super) fn method(state: &mut State, value: &Value, text: &str, args: &Args) -> Result<Value, Error> {
    let simple = |out: String| {
        args.bind([], 0)?;
        Ok(Value::from(out))
    };
    let holds = |holds: bool| {
        args.bind([], 0)?;
        Ok(Value::from(holds))
    };
    let all = |holds_of: fn(char) -> bool| holds(!text.is_empty() && text.chars().all(holds_of));
    match args.name() {
        "upper" => simple(text.to_uppercase()),
        "lower" => simple(text.to_lowercase()),
        "casefold" => simple(text.chars().map(unicode::fold).collect()),
        "swapcase" => simple(swapped(text)),
        "capitalize" => simple(capitalized(text)),
        "title" => simple(titled(text)),
        "isalpha" => all(unicode::is_alpha),
        "isdecimal" => all(|c| unicode::decimal(c).is_some()),
        "isdigit" => all(unicode::is_digit),
        "isnumeric" => all(unicode::is_numeric),
        "isalnum" => all(|c| unicode::is_alpha(c) || unicode::is_digit(c) || unicode::is_numeric(c)),
        "isspace" => all(is_space),
        "isprintable" => holds(text.chars().all(is_printable)),
        "isascii" => holds(text.is_ascii()),
        "islower" => holds(text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title(c))),
        "isupper" => holds(text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title(c))),
        "istitle" => holds(is_titled(text)),
        "isidentifier" => holds(is_identifier(text)),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(["chars"], 0)?;
            strip(args, text, chars.as_ref()).map(Value::from)
        }
        "split" | "rsplit" => split(state, text, args),
        "splitlines" => {
            let [keep] = args.bind(["keepends"], 0)?;
            let lines = lines(text, args.flag(keep.as_ref()));
            pay_values(state, lines.len())?;
            Ok(lines.into_iter().map(Value::from).collect())
        }
        "partition" | "rpartition" => {
            let [separator] = args.bind(["sep"], 1)?;
            let separator = separator.unwrap_or_default();
            let separator = args.text(&separator)?;
            if separator.is_empty() {
                return args.error("empty separator");
            }
            let from_left = args.name() == "partition";
            let found = if from_left { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if from_left => [text, "", ""],
                None => ["", "", text],
            };
            Ok(Value::from(Tuple::from(parts.map(Value::from))))
        }
        "removeprefix" | "removesuffix" => {
            let [part] = args.bind(["part"], 1)?;
            let part = part.unwrap_or_default();
            let part = args.text(&part)?;
            let rest = if args.name() == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        "startswith" | "endswith" => affix(state, text, args),
        "find" | "rfind" | "index" | "rindex" | "count" => find(text, args),
        "replace" => {
            if !args.named.is_empty() {
                return args.error("takes no keyword arguments");
            }
            let [old, new, count] = args.bind(["old", "new", "count"], 2)?;
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            replace(state, text, args.text(&old)?, args.text(&new)?, args.integer(count.as_ref(), -1)?).map(Value::from)
        }
        "ljust" | "rjust" | "center" | "zfill" => pad(state, text, args),
        "expandtabs" => {
            let [size] = args.bind(["tabsize"], 0)?;
            expand(state, text, args.integer(size.as_ref(), 8)?).map(Value::from)
        }
        _ => args.unknown(value),
    }
}

fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

fn swapped(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        if c.is_uppercase() {
            out.push_str(&lower_at(text, at, c));
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// The lower case of the character at `at`; that of a sigma depends on whether a word ends there.
fn lower_at(text: &str, at: usize, c: char) -> String {
    if c != '\u{3a3}' {
        return c.to_lowercase().collect();
    }
    // What may stand between the letters of a word; nobody writes more of them than this.
    let is_passed = |c: &char| matches!(c, '\'' | '.' | ':' | '^' | '`' | '\u{ad}' | '\u{b7}' | '\u{2019}' | '\u{300}'..='\u{36f}');
    let before = text[..at].chars().rev().take(64).find(|c| !is_passed(c)).is_some_and(is_cased);
    let after = text[at + c.len_utf8()..].chars().take(64).find(|c| !is_passed(c)).is_some_and(is_cased);
    if before && !after { "\u{3c2}" } else { "\u{3c3}" }.to_owned()
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        let lower = text.to_lowercase();
        let skipped = first.to_lowercase().map(char::len_utf8).sum::<usize>();
        unicode::title(first) + &lower[skipped..]
    })
}

fn titled(text: &str) -> String {
    let mut out = String::new();
    let mut after_cased = false;
    for (at, c) in text.char_indices() {
        if after_cased {
            out.push_str(&lower_at(text, at, c));
        } else {
            out.push_str(&unicode::title(c));
        }
        after_cased = is_cased(c);
    }
    out
}

fn is_titled(text: &str) -> bool {
    let (mut any, mut after_cased) = (false, false);
    for c in text.chars() {
        if c.is_uppercase() || is_title(c) {
            if after_cased {
                return false;
            }
            (any, after_cased) = (true, true);
        } else if c.is_lowercase() {
            if !after_cased {
                return false;
            }
            any = true;
        } else {
            after_cased = false;
        }
    }
    any
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || unicode::is_alpha(c)) && chars.all(|c| c == '_' || c.is_alphanumeric())
}

/// `strip`, `lstrip` and `rstrip`.
pub(super) fn strip<'t>(args: &Args, text: &'t str, chars: Option<&Value>) -> Result<&'t str, Error> {
    let chars: Option<BTreeSet<char>> = match chars {
        Some(chars) if !chars.is_none() => Some(args.text(chars)?.chars().collect()),
        _ => None,
    };
    let goes = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
    Ok(match args.name() {
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => text.trim_matches(goes),
    })
}

fn split(state: &State, text: &str, args: &Args) -> Result<Value, Error> {
    let [separator, most] = args.bind(["sep", "maxsplit"], 0)?;
    let most = usize::try_from(args.integer(most.as_ref(), -1)?).unwrap_or(usize::MAX);
    let from_left = args.name() == "split";
    let mut parts: Vec<&str> = Vec::new();
    match separator.filter(|separator| !separator.is_none()) {
        Some(separator) => {
            let separator = args.text(&separator)?;
            if separator.is_empty() {
                return args.error("empty separator");
            }
            pay_values(state, text.matches(separator).count().min(most))?;
            let limit = most.saturating_add(1);
            if from_left { parts.extend(text.splitn(limit, separator)) } else { parts.extend(text.rsplitn(limit, separator)) }
        }
        None => {
            pay_values(state, text.split(is_space).count())?;
            let mut rest = if from_left { text.trim_start_matches(is_space) } else { text.trim_end_matches(is_space) };
            while !rest.is_empty() {
                let cut = if parts.len() == most {
                    None
                } else if from_left {
                    rest.find(is_space)
                } else {
                    rest.rfind(is_space)
                };
                let Some(at) = cut else { break };
                if from_left {
                    parts.push(&rest[..at]);
                    rest = rest[at..].trim_start_matches(is_space);
                } else {
                    let after = at + rest[at..].chars().next().map_or(0, char::len_utf8);
                    parts.push(&rest[after..]);
                    rest = rest[..at].trim_end_matches(is_space);
                }
            }
            if !rest.is_empty() {
                // What is left over keeps the white space at its other end.
                parts.push(if parts.len() < most { rest.trim_matches(is_space) } else { rest });
            }
        }
    }
    if !from_left {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// `str.splitlines`.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let ends = |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let length = if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(0, char::len_utf8) };
        lines.push(&rest[..if keep { at + length } else { at }]);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Where a search in so many characters begins and ends.
pub(super) fn bounds(args: &Args, length: usize, start: Option<&Value>, stop: Option<&Value>) -> Result<(usize, usize), Error> {
    let bound = |value: Option<&Value>, default: usize| -> Result<usize, Error> {
        let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(default) };
        let at = args.integer(Some(value), 0)?;
        Ok(if at < 0 { length.saturating_sub(at.unsigned_abs() as usize) } else { at as usize })
    };
    Ok((bound(start, 0)?, bound(stop, length)?.min(length)))
}

/// The part of `text` between two characters, and the first one's number. None: it begins past its end.
fn part<'t>(text: &'t str, args: &Args, start: Option<&Value>, stop: Option<&Value>) -> Result<Option<(&'t str, usize)>, Error> {
    let (start, stop) = bounds(args, text.chars().count(), start, stop)?;
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let is_there = start <= stop && start <= text.chars().count();
    Ok(is_there.then(|| (&text[byte(start)..byte(stop)], start)))
}

fn affix(state: &State, text: &str, args: &Args) -> Result<Value, Error> {
    let [affix, start, stop] = args.bind(["affix", "start", "end"], 1)?;
    let affix = affix.unwrap_or_default();
    let affixes = match kind(&affix) {
        Py::Text(_) => vec![affix],
        Py::Tuple => items(state, &affix)?,
        _ => return args.error("expected a string or a tuple of strings"),
    };
    let Some((text, _)) = part(text, args, start.as_ref(), stop.as_ref())? else { return Ok(Value::from(false)) };
    let mut found = false;
    for affix in &affixes {
        let affix = args.text(affix)?;
        found |= if args.name() == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) };
    }
    Ok(Value::from(found))
}

fn find(text: &str, args: &Args) -> Result<Value, Error> {
    let [needle, start, stop] = args.bind(["sub", "start", "end"], 1)?;
    let needle = needle.unwrap_or_default();
    let needle = args.text(&needle)?;
    let part = part(text, args, start.as_ref(), stop.as_ref())?;
    if args.name() == "count" {
        return Ok(Value::from(
            part.map_or(0, |(text, _)| if needle.is_empty() { text.chars().count() + 1 } else { text.matches(needle).count() }),
        ));
    }
    let found = part.and_then(|(text, from)| {
        let byte = if args.name().starts_with('r') { text.rfind(needle) } else { text.find(needle) };
        byte.map(|byte| from + text[..byte].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if args.name().ends_with("index") => args.error("substring not found"),
        None => Ok(Value::from(-1)),
    }
}

/// `str.replace`, paid for before it is made.
pub(super) fn replace(state: &State, text: &str, old: &str, new: &str, count: i64) -> Result<String, Error> {
    let matches = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(matches);
    pay(state, text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, count))
}

fn pad(state: &State, text: &str, args: &Args) -> Result<Value, Error> {
    let [width, fill] = args.bind(["width", "fillchar"], 1)?;
    let width = usize::try_from(args.integer(width.as_ref(), 0)?).unwrap_or(0);
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    let fill = match fill {
        Some(_) if args.name() == "zfill" => return args.error("takes 1 argument"),
        Some(fill) => args.text(&fill)?.to_owned(),
        None => if args.name() == "zfill" { "0" } else { " " }.to_owned(),
    };
    if fill.chars().count() != 1 {
        return args.error("the fill character must be exactly one character long");
    }
    pay(state, missing.saturating_mul(fill.len()).saturating_add(text.len()))?;
    let filled = |count: usize| fill.repeat(count);
    Ok(Value::from(match args.name() {
        "ljust" => text.to_owned() + &filled(missing),
        "rjust" => filled(missing) + text,
        "zfill" => {
            let sign = text.len() - text.strip_prefix(['+', '-']).unwrap_or(text).len();
            text[..sign].to_owned() + &filled(missing) + &text[sign..]
        }
        // CPython's rule for which side gets the odd one.
        _ => {
            let left = missing / 2 + (missing & width & 1);
            filled(left) + text + &filled(missing - left)
        }
    }))
}

fn expand(state: &State, text: &str, size: i64) -> Result<String, Error> {
    let size = usize::try_from(size).unwrap_or(0);
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                pay(state, spaces)?;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}

/// A string where nothing else will do.
pub(super) fn strict<'v>(value: &'v Value, method: &str) -> Result<&'v str, Error> {
    match kind(value) {
        Py::Text(text) => Ok(text),
        Py::Undefined => undefined(value),
        _ => kind_error(format!("'{}' object has no attribute '{method}'", super::python::type_name(value))),
    }
}
