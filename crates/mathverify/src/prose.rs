//! A value in running text: where it ends, and what of a sentence it is.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::choices::labelled;
use crate::numerals;
use crate::parse::parse;
use crate::plain;
use crate::token::{Commas, Token};
use crate::vocabulary::{MARK_SIGNS, plain_word};
use crate::words::{Class, class};

/// Longest sentence, in bytes, that is read.
const MAX_SENTENCE: usize = 2_000;
/// Most words of a sentence that are tried as one value.
const MAX_WORDS: usize = 24;
/// Most words, behind "the answer is", that are an answer as a whole.
const MAX_PHRASE: usize = 3;

/// Whether a value is denied: "not 10".
fn is_denied(value: &str) -> bool {
    let word = value.trim_start_matches(['*', '_', ' ', '"', '$', '(']);
    let first = word.split(|c: char| !c.is_alphabetic()).next().unwrap_or("").to_lowercase();
    // "no solution" is an answer, and so may be "false".
    matches!(class(&first), Some(Class::Negation | Class::Denial)) && !matches!(first.as_str(), "no" | "neither" | "false" | "impossible")
}

/// What an announcement that ends at `from` announces, and where that ends; in the outer `None` there is nothing, the inner one is a value
/// that is denied, or asked for.
pub(crate) fn value(text: &str, from: usize) -> Option<(Option<String>, usize)> {
    value_at(text, from, 3)
}

/// `depth`: how often a value may be in parts.
fn value_at(text: &str, from: usize, depth: usize) -> Option<(Option<String>, usize)> {
    let rest = &text[from..];
    let skipped =
        rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '`' | '"' | '“' | '}' | ':')).len();
    let start = from + skipped;
    if rest[..skipped].contains('\n') && rest[..skipped].matches('\n').count() > 3 {
        return None;
    }
    if start == text.len() {
        return None;
    }
    // `$18` is an amount: the other `$` has to be in the same line.
    if let Some((answer, end)) = plain::formulas_from(text, start) {
        // "$x$ = 5", "$10\pi$ ≈ 31.4".
        let behind = &text[end..];
        let gap = behind.len() - behind.trim_start_matches([' ', '*']).len();
        if depth > 0
            && let Some(sign) = ["=", "≈", "\\approx"].into_iter().find(|sign| behind[gap..].starts_with(sign))
            && let Some((Some(more), end)) = value_at(text, end + gap + sign.len(), depth - 1)
        {
            return Some((Some(format!("{answer} {sign} {more}")), end));
        }
        return Some((Some(answer), end));
    }
    let end = sentence_end(text, start);
    if text[end..].starts_with('?') {
        return Some((None, end));
    }
    let sentence = text[start..end]
        .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '`' | '"' | '”') || MARK_SIGNS.contains(&c));
    let end = start + sentence.len();
    if sentence.is_empty() {
        return None;
    }
    if is_denied(sentence) {
        return Some((None, end));
    }
    // "(C) $17$".
    if let Some(choice) = labelled(sentence) {
        let behind = text[start..].find(choice.content).filter(|_| !choice.content.is_empty()).map(|at| start + at);
        if let Some((content, end)) = text[start..end].find('$').and_then(|at| plain::formulas_from(text, start + at)) {
            return Some((Some(format!("({}) {content}", choice.letter)), end));
        }
        let content = behind.map(|_| choice.content).unwrap_or("");
        return Some((Some(if content.is_empty() { choice.letter.to_owned() } else { format!("({}) {content}", choice.letter) }), end));
    }
    // "the largest number is 34": the words before a copula name the value.
    if depth > 0
        && let Some(at) = sentence.find(" is ")
        && sentence.starts_with(char::is_alphabetic)
        && !sentence[..at]
            .split(|c: char| !c.is_alphabetic())
            .any(|w| matches!(class(&w.to_lowercase()), Some(Class::Clause | Class::Condition)) && w != "that")
        && !is_denied(&sentence[at + 4..])
        && class(sentence.split(' ').next().unwrap_or("")) != Some(Class::Negation)
    {
        return value_at(text, start + at + 4, depth - 1);
    }
    Some((Some(reading(sentence).to_owned()), end))
}

/// The part of a sentence that is its value.
fn reading(sentence: &str) -> &str {
    // What is said of the answer is no answer: "correct, since 5 > 3", "found by adding 1 and 2". Its first word is left, an announcement of last
    // resort. A sentence that names the value begins otherwise: "that he has 10", "Janet makes 18".
    let first = sentence.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    let names = first.starts_with(char::is_uppercase)
        || matches!(
            class(first),
            Some(Class::Article | Class::Pronoun | Class::Hedge | Class::Negation | Class::Comparison | Class::Range)
        )
        || class(first) == Some(Class::Operation)
        || first == "negative"
        || matches!(first, "that" | "for" | "which" | "as" | "obviously" | "clearly")
        || plain_word(first).is_some_and(|token| !matches!(token, Token::Word(_)))
        || numerals::number(first).is_some();
    if !names && first.len() >= 4 && first.chars().all(char::is_alphabetic) && sentence.contains(|c: char| c.is_ascii_digit()) {
        return first;
    }
    if numerals::number(sentence).is_some() {
        return sentence;
    }
    let words = sentence.split_whitespace().filter(|w| w.chars().filter(|c| c.is_alphabetic()).count() > 1).count();
    let opens = sentence
        .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '–' | '(' | '[' | '\\' | '$' | '€' | '£' | '.' | '√' | 'π'));
    if words <= MAX_PHRASE || parse(sentence, Commas::Thousands).is_ok_and(|a| opens && !matches!(a.expr, crate::ast::Expr::Text(_))) {
        return sentence;
    }
    if opens {
        // The longest beginning that can be read, unless what follows it makes another value of it.
        let mut ends: Vec<usize> = sentence.match_indices(' ').map(|(at, _)| at).take(MAX_WORDS).collect();
        ends.reverse();
        for end in ends {
            let (head, tail) = sentence.split_at(end);
            let next = tail.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_lowercase();
            let changes = matches!(next.as_str(), "or" | "and")
                || next.starts_with(|c: char| c.is_ascii_digit())
                || matches!(
                    class(&next),
                    Some(
                        Class::Negation
                            | Class::Comparison
                            | Class::Operation
                            | Class::Range
                            | Class::Denial
                            | Class::Condition
                            | Class::Copula
                    )
                )
                || crate::words::scale(&next).is_some()
                || tail.trim_start().starts_with(['+', '-', '*', '/', '^', '=', '<', '>', '≈', '×']);
            if !changes && parse(head.trim_end_matches([',', ';', ':']), Commas::Thousands).is_ok() {
                return head.trim_end_matches([',', ';', ':']);
            }
        }
        return sentence;
    }
    if sentence.contains(" or ") || sentence.split_whitespace().any(|w| class(&w.to_lowercase()) == Some(Class::Negation)) {
        return sentence;
    }
    // An answer within an explanation: its formula or first number.
    if let Some(inner) = sentence.find(['$', '\\'])
        && let Some(formula) = plain::formula_at(sentence, inner)
    {
        return &sentence[formula.content];
    }
    plain::first_expression(sentence).map_or(sentence, |inner| &sentence[inner])
}

/// Where the sentence that begins at `from` ends: before its full stop, or at the end of the line.
fn sentence_end(text: &str, from: usize) -> usize {
    let rest = plain::head(&text[from..], MAX_SENTENCE);
    let line = rest.find('\n').unwrap_or(rest.len());
    let rest = &rest[..line];
    let bytes = rest.as_bytes();
    for (i, c) in rest.char_indices() {
        if !matches!(c, '.' | '!' | '?' | '。' | '<') {
            continue;
        }
        if c == '<' {
            // A tag, or a special token.
            if rest[i + 1..].starts_with(['|', '/']) {
                return from + i;
            }
            continue;
        }
        let next = rest[i + c.len_utf8()..].chars().next();
        let closed = next.is_none_or(|n| n.is_whitespace() || matches!(n, '*' | '_' | '"' | '”' | ')' | '`'));
        if !closed && c != '。' {
            continue;
        }
        // "0.333..." goes on for ever.
        if c == '.' && i >= 2 && &bytes[i - 2..i] == b".." {
            return from + i + 1;
        }
        let before = &rest[..i];
        let word = before.rsplit(|c: char| !c.is_alphabetic() && c != '.').next().unwrap_or("").to_lowercase();
        let behind = rest[i + 1..].trim_start();
        if c == '.' && !behind.is_empty() {
            // An abbreviation, or the letter of a choice.
            let letter = before.trim_start_matches(['(', '*']).len() == 1 && before.ends_with(|c: char| c.is_ascii_uppercase());
            if letter || matches!(word.as_str(), "rs" | "approx" | "ca" | "no" | "i.e" | "e.g" | "eq" | "dr" | "mr" | "mrs" | "st") {
                continue;
            }
        }
        // "5! = 120".
        if c == '!' && behind.starts_with(['=', '+', '-', '*', '/', '^', '<', '>', '≈', '×', '\\']) {
            continue;
        }
        return from + i;
    }
    from + line
}

/// The value at the end of `range`: a formula, a choice or a number, with up to three words behind it.
pub(crate) fn subject(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    static VALUE: LazyLock<Regex> = LazyLock::new(|| {
        let number = r"-?[$€£]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?";
        Regex::new(&format!(
            r"(?:^|[\s*_(,:])((?:{number}(?:\s*/\s*[0-9]+)?%?(?:\s+[a-z]{{2,}}){{0,3}})|(?:(?i:option|choice)\s+)?\(?[A-H]\)?)[*_\s]*$"
        ))
        .expect("a valid pattern")
    });
    let before = text[range.clone()].trim_end_matches([' ', '*', '_', ',']);
    let end = range.start + before.len();
    for (sign, opening) in [("$$", "$$"), ("$", "$"), ("\\)", "\\("), ("\\]", "\\[")] {
        let Some(inside) = before.strip_suffix(sign) else { continue };
        let start = range.start + inside.rfind(opening)?;
        return plain::formula_at(text, start).filter(|f| f.whole.end == end).map(|f| f.whole);
    }
    let found = VALUE.captures(before)?.get(1)?;
    let start = range.start + found.start();
    // The words behind a number are nouns: "17 apples", not "17 of which".
    let nouns = found.as_str().split_whitespace().skip(1).all(|w| class(&w.to_lowercase()).is_none() || w == "of");
    // "not 17 is", "neither 17 is".
    let sentence = text[range.start..start].rsplit(['.', '!', '?', '\n']).next().unwrap_or("").to_lowercase();
    let denied =
        sentence.split(|c: char| !c.is_alphabetic()).any(|w| class(w) == Some(Class::Negation) || matches!(w, "if" | "maybe" | "whether"));
    (nouns && !denied).then_some(start..range.start + found.end())
}
