//! Jinja2's lexer: a template taken apart into text and tags, with white space control done.
//!
//! The rules are those of `jinja2/lexer.py` with `trim_blocks` and `lstrip_blocks`, which transformers sets: a line break right after a block or comment goes
//! away, and so does white space between a line's beginning and a block or comment. `-` and `+` at the inside of a delimiter change that.

use super::python::is_space;

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'s> {
    /// Text to write as it is.
    Text(&'s str),
    /// `{{ ... }}`.
    Expression(Vec<Token<'s>>),
    /// `{% ... %}`.
    Block(Vec<Token<'s>>),
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Text,
    Integer,
    Float,
    Operator,
}

/// A token inside a tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    /// As it stands in the source, with the quotes of a string.
    pub(super) source: &'s str,
    /// Its line, counted from 1.
    pub(super) line: usize,
}

impl Token<'_> {
    /// Whether it is the name or operator `source`.
    pub(super) fn is(&self, source: &str) -> bool {
        matches!(self.kind, Kind::Name | Kind::Operator) && self.source == source
    }
}

/// What is wrong with a template, and in which line (0: not known).
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Takes `source` apart, which has `\n` as its only line break: each part with the line that it begins in, counted from 1.
pub(super) fn parts(source: &str) -> Result<Vec<(usize, Part<'_>)>, Fault> {
    let source = source.strip_suffix('\n').unwrap_or(source);
    let mut lexer = Lexer { source, at: 0, line: 1, starts_line: true, parts: Vec::new() };
    while lexer.part()? {}
    Ok(lexer.parts)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: usize,
    /// Whether the last thing read ended with a line break (or nothing was read).
    starts_line: bool,
    parts: Vec<(usize, Part<'s>)>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { line: self.line, message: message.into() })
    }

    /// Goes on by `bytes`.
    fn pass(&mut self, bytes: usize) {
        let passed = &self.rest()[..bytes];
        self.line += passed.matches('\n').count();
        if let Some(last) = passed.chars().next_back() {
            self.starts_line = last == '\n';
        }
        self.at += bytes;
    }

    /// The text up to a tag, which begins after `length` bytes and whose opening delimiter has `sign`.
    fn text(&mut self, length: usize, sign: Option<char>, is_block: bool) {
        let text = &self.rest()[..length];
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space).len(),
            Some(_) => length,
            None if !is_block => length,
            None => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let indents = (line > 0 || self.starts_line) && text[line..].chars().all(is_space);
                if indents { line } else { length }
            }
        };
        if kept > 0 {
            self.parts.push((self.line, Part::Text(&text[..kept])));
        }
        self.pass(length);
    }

    /// Reads text and the tag after it. Returns whether there was one.
    fn part(&mut self) -> Result<bool, Fault> {
        let rest = self.rest();
        let tag = rest.match_indices('{').find(|&(at, _)| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
        let Some((length, _)) = tag else {
            self.text(rest.len(), Some('+'), false);
            return Ok(false);
        };
        let kind = rest.as_bytes()[length + 1];
        let sign = rest[length + 2..].chars().next().filter(|sign| matches!(sign, '-' | '+'));
        if kind == b'%' {
            let (name, signed) = keyword(&rest[length + 2..], "raw", &["-", ""]).map_or((None, None), |(l, s)| (Some(l), s));
            if let Some(after) = name {
                self.text(length, sign, true);
                self.pass(2 + after);
                if signed == Some('-') {
                    self.skip_space();
                }
                return self.raw().map(|()| true);
            }
        }
        self.text(length, sign, kind != b'{');
        let opening = 2 + sign.map_or(0, char::len_utf8);
        if kind == b'#' {
            let Some(end) = self.rest()[2..].find("#}").map(|end| 2 + end) else {
                // Jinja2 minds an open comment or raw block only where something is in it.
                let is_empty = self.rest().len() == opening;
                return if is_empty { Ok(false) } else { self.fault("missing end of comment") };
            };
            let sign = self.rest()[opening.min(end)..end].chars().next_back().filter(|sign| matches!(sign, '-' | '+'));
            self.pass(end + 2);
            self.close(sign, true);
            return Ok(true);
        }
        self.pass(opening);
        let is_block = kind == b'%';
        let line = self.line;
        let (tokens, sign) = self.tokens(if is_block { "%}" } else { "}}" }, is_block)?;
        self.parts.push((line, if is_block { Part::Block(tokens) } else { Part::Expression(tokens) }));
        self.close(sign, is_block);
        Ok(true)
    }

    /// What a tag's closing delimiter with `sign` does to the white space after it.
    fn close(&mut self, sign: Option<char>, is_block: bool) {
        match sign {
            Some('-') => self.skip_space(),
            None if is_block && self.rest().starts_with('\n') => self.pass(1),
            _ => {}
        }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.pass(rest.len() - rest.trim_start_matches(is_space).len());
    }

    /// The text of a raw block, and its end.
    fn raw(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        let end = rest.match_indices("{%").find_map(|(at, _)| Some((at, keyword(&rest[at + 2..], "endraw", &["+", "-", ""])?)));
        let Some((length, (after, closing))) = end else {
            return if rest.is_empty() { Ok(()) } else { self.fault("missing end of raw block") };
        };
        let sign = rest[length + 2..].chars().next().filter(|sign| matches!(sign, '-' | '+'));
        self.text(length, sign, true);
        self.pass(2 + after);
        self.close(closing, true);
        Ok(())
    }

    /// The tokens of a tag up to `end` and past it, with the sign before it.
    fn tokens(&mut self, end: &str, is_block: bool) -> Result<(Vec<Token<'s>>, Option<char>), Fault> {
        let mut tokens: Vec<Token<'s>> = Vec::new();
        let mut open = Vec::new();
        loop {
            let rest = self.rest();
            if open.is_empty() {
                // Jinja2 takes `+` before the end of a block alone.
                for sign in [None, Some('-'), Some('+').filter(|_| is_block)] {
                    let signed = sign.map_or(Some(rest), |sign: char| rest.strip_prefix(sign));
                    if signed.is_some_and(|rest| rest.starts_with(end)) {
                        self.pass(sign.map_or(0, char::len_utf8) + end.len());
                        return Ok((tokens, sign));
                    }
                }
            }
            let Some(next) = rest.chars().next() else { return self.fault(format!("the tag has no end; expected `{end}`")) };
            if is_space(next) {
                self.pass(next.len_utf8());
                continue;
            }
            let after_dot = self.source[..self.at].ends_with('.');
            let (kind, length) = if next.is_ascii_digit() {
                number(rest, after_dot)
            } else if next.is_alphanumeric() || next == '_' {
                (Kind::Name, rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()))
            } else if matches!(next, '\'' | '"') {
                let Some(length) = quoted(rest, next) else { return self.fault("a string has no end") };
                (Kind::Text, length)
            } else if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                match *operator {
                    "{" => open.push("}"),
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "}" | ")" | "]" if open.pop() != Some(operator) => return self.fault(format!("unexpected `{operator}`")),
                    _ => {}
                }
                (Kind::Operator, operator.len())
            } else {
                return self.fault(format!("unexpected character `{next}`"));
            };
            tokens.push(Token { kind, source: &rest[..length], line: self.line });
            self.pass(length);
        }
    }
}

/// The length of `{%`'s inside up to and with its end, where it is the one word `name`; and the sign before the end, one of `signs`.
fn keyword(inside: &str, name: &str, signs: &[&str]) -> Option<(usize, Option<char>)> {
    let rest = inside.strip_prefix(['-', '+']).unwrap_or(inside).trim_start_matches(is_space);
    let rest = rest.strip_prefix(name)?.trim_start_matches(is_space);
    let (sign, rest) = signs.iter().find_map(|sign| Some((sign, rest.strip_prefix(sign)?.strip_prefix("%}")?)))?;
    Some((inside.len() - rest.len(), sign.chars().next()))
}

/// The length of the string that `rest` begins with.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The kind and length of the number that `rest` begins with. After a dot it is an index and has no fraction.
fn number(rest: &str, after_dot: bool) -> (Kind, usize) {
    // Digits in groups that single underscores part.
    let digits = |from: usize, is_digit: fn(&u8) -> bool| {
        let bytes = rest.as_bytes();
        let mut at = from;
        while bytes.get(at).is_some_and(is_digit) || (at > from && bytes.get(at) == Some(&b'_') && bytes.get(at + 1).is_some_and(is_digit))
        {
            at += 1;
        }
        at
    };
    let whole = digits(0, u8::is_ascii_digit);
    if !after_dot {
        let fraction = match rest[whole..].strip_prefix('.') {
            Some(_) => digits(whole + 1, u8::is_ascii_digit),
            None => whole,
        };
        let fraction = if fraction == whole + 1 { whole } else { fraction };
        let exponent = rest[fraction..].strip_prefix(['e', 'E']).map(|tail| {
            let from = fraction + 1 + usize::from(tail.starts_with(['+', '-']));
            (from, digits(from, u8::is_ascii_digit))
        });
        match exponent {
            Some((from, end)) if end > from => return (Kind::Float, end),
            _ if fraction > whole => return (Kind::Float, fraction),
            _ => {}
        }
    }
    let radix: Option<fn(&u8) -> bool> = match rest.get(..2) {
        Some("0b" | "0B") => Some(|b| matches!(b, b'0' | b'1')),
        Some("0o" | "0O") => Some(|b| matches!(b, b'0'..=b'7')),
        Some("0x" | "0X") => Some(u8::is_ascii_hexdigit),
        _ => None,
    };
    if let Some(is_digit) = radix {
        let from = 2 + usize::from(rest.as_bytes().get(2) == Some(&b'_'));
        let end = digits(from, is_digit);
        if end > from {
            return (Kind::Integer, end);
        }
    }
    // `007` is three numbers, which nothing accepts.
    (Kind::Integer, if rest.starts_with('0') { digits(0, |b| *b == b'0') } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text and tags of `source`, written so that one sees what was taken away.
    fn shown(source: &str) -> String {
        let tag = |tokens: &[Token]| tokens.iter().map(|token| token.source).collect::<Vec<_>>().join(" ");
        let shown = |part: &Part| match part {
            Part::Text(text) => format!("{text:?}"),
            Part::Expression(tokens) => format!("<{}>", tag(tokens)),
            Part::Block(tokens) => format!("[{}]", tag(tokens)),
        };
        parts(source)
            .map_or_else(|fault| format!("{}: {}", fault.line, fault.message), |parts| parts.iter().map(|(_, part)| shown(part)).collect())
    }

    /// What jinja2 3.1.6 yields for these, by `Environment(trim_blocks=True, lstrip_blocks=True).lex`.
    #[test]
    fn white_space_control() {
        for (source, expected) in [
            ("a\n  {% if x %}\n  b\n", "\"a\\n\"[if x]\"  b\""),
            ("a\n  {%+ if x +%}\n  b", "\"a\\n  \"[if x]\"\\n  b\""),
            ("a \n {%- if x -%} \n\n b", "\"a\"[if x]\"b\""),
            ("a {{ x }}\n", "\"a \"<x>"),
            ("a {{- x -}}\n b", "\"a\"<x>\"b\""),
            ("  {{ x }}", "\"  \"<x>"),
            ("  {# c\n #}\nb", "\"b\""),
            ("a\n {#- c -#} \n b", "\"a\"\"b\""),
            ("{% a %} {% b %}", "[a]\" \"[b]"),
            ("{% a %}\n {% b %}", "[a][b]"),
            ("{% raw %}\n {{ x }} \n {% endraw %}\nb", "\"\\n {{ x }} \\n\"\"b\""),
            ("{%- raw -%} \n {%x%} {%- endraw -%} b", "\"{%x%}\"\"b\""),
            ("a\n\n", "\"a\\n\""),
            ("{{ '}}' ~ \"%}\\\"\" }}", "<'}}' ~ \"%}\\\"\">"),
            ("{{ {'a': {}} }}", "<{ 'a' : { } }>"),
            ("{{ 1.5e3 ~ 1.real ~ a.1.2 ~ 0x1f ~ 1_000 }}", "<1.5e3 ~ 1 . real ~ a . 1 . 2 ~ 0x1f ~ 1_000>"),
            ("{% generation_x %}{%generation%}", "[generation_x][generation]"),
            ("\u{1f}{%- a %}", "[a]"),
        ] {
            assert_eq!(shown(source), expected, "{source:?}");
        }
    }

    #[test]
    fn faults_name_the_line() {
        for (source, expected) in [
            ("\n{# a", "2: missing end of comment"),
            ("\n\n{% raw %}\n{{", "3: missing end of raw block"),
            ("{{ a\n) }}", "2: unexpected `)`"),
            ("{{ [a) }}", "1: unexpected `)`"),
            ("{{ 'a }}", "1: a string has no end"),
            ("{{ a\n", "1: the tag has no end; expected `}}`"),
            ("{{ a ? b }}", "1: unexpected character `?`"),
        ] {
            assert_eq!(shown(source), expected, "{source:?}");
        }
    }
}
