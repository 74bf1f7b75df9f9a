//! Whether an answer is worked out: a numeral, as the gold is, and not arithmetic with the same value.

use crate::ast::{Function, Relation};
use crate::parse::parse_value;
use crate::token::{Commas, Spaced, Token, tokenize};
use crate::words::{Class, class};

/// Longest answer, in bytes, that is looked at.
const MAX_LENGTH: usize = 4_000;

/// What an answer leaves to be computed, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operations(u16);

impl Operations {
    const SUM: u16 = 1;
    const PRODUCT: u16 = 2;
    /// A division that comes out whole, or of decimals.
    const QUOTIENT: u16 = 4;
    const POWER: u16 = 8;
    const ROOT: u16 = 16;
    /// Pi, e, infinity.
    const CONSTANT: u16 = 32;
    const IMAGINARY: u16 = 64;
    /// Functions, factorials, absolute values, series.
    const FUNCTION: u16 = 128;
    /// Digits in another base than ten.
    const BASE: u16 = 256;

    /// Whether an answer with these needs no more work than the gold with those.
    fn within(self, gold: Self) -> bool {
        let mut allowed = gold.0;
        // Roots may be written as powers, and stand beside a sign of multiplication, as constants do.
        if allowed & (Self::ROOT | Self::POWER) != 0 {
            allowed |= Self::POWER | Self::ROOT;
        }
        if allowed & (Self::ROOT | Self::CONSTANT | Self::IMAGINARY | Self::POWER) != 0 {
            allowed |= Self::PRODUCT;
        }
        self.0 & !allowed == 0
    }
}

/// One side of an answer.
struct Side<'a> {
    tokens: &'a [Spaced],
    /// `None`: it has unknowns, or words alone.
    operations: Option<Operations>,
}

/// The items of an answer, each with its sides; `None`: it isn't numbers, or several of them.
fn items<'a>(tokens: &'a [Spaced]) -> Option<Vec<Vec<Side<'a>>>> {
    let mut items = vec![vec![]];
    let mut from = 0;
    let mut nesting = 0usize;
    for (at, Spaced { token, .. }) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{' | 'L') => nesting += 1,
            Token::Sign(')' | ']' | '}' | 'R') => nesting = nesting.saturating_sub(1),
            Token::Relation(Relation::Equal | Relation::Approximately | Relation::Other("to" | "sim")) if nesting == 0 => {
                items.last_mut()?.push(side(&tokens[from..at]));
                from = at + 1;
            }
            // An item of a list, of a tuple or of a set.
            Token::Comma | Token::Semicolon | Token::Junction if nesting <= 1 => {
                items.last_mut()?.push(side(&tokens[from..at]));
                items.push(vec![]);
                from = at + 1;
            }
            Token::Begin(_) | Token::End | Token::Sign('n' | '&') | Token::Relation(_) => return None,
            Token::Command(name) if matches!(name.as_str(), "cup" | "cap" | "setminus" | "pm" | "mp" | "emptyset" | "varnothing") => {
                return None;
            }
            _ => {}
        }
    }
    items.last_mut()?.push(side(&tokens[from..]));
    for item in &mut items {
        item.retain(|side| !side.tokens.is_empty());
    }
    items.retain(|item| !item.is_empty());
    Some(items)
}

fn side(tokens: &[Spaced]) -> Side<'_> {
    Side { tokens, operations: operations(tokens) }
}

/// The number that stands at `at`, alone or in braces, and where it ends.
fn plain(tokens: &[Spaced], at: usize) -> Option<(&str, usize)> {
    match (&tokens.get(at)?.token, tokens.get(at + 1).map(|t| &t.token), tokens.get(at + 2).map(|t| &t.token)) {
        (Token::Number(digits), ..) => Some((digits, at + 1)),
        (Token::Sign('{'), Some(Token::Number(digits)), Some(Token::Sign('}'))) => Some((digits, at + 3)),
        _ => None,
    }
}

/// Whether a quotient is left to be computed: it is whole, or has decimals.
fn divides(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(_), Ok(0 | 1)) => false,
        (Ok(a), Ok(b)) => a % b == 0,
        _ => a.contains('.') || b.contains('.'),
    }
}

fn operations(tokens: &[Spaced]) -> Option<Operations> {
    use Operations as O;
    // `5 + 0i` is written out, as complex numbers are.
    let token = |at: usize| tokens.get(at).map(|t| &t.token);
    let length = tokens.len();
    let imaginary = length >= 4
        && matches!(token(length - 1), Some(Token::Letter(i)) if i == "i")
        && matches!(token(length - 2), Some(Token::Number(zero)) if zero == "0")
        && matches!(token(length - 3), Some(Token::Sign('+' | '-')));
    let tokens = if imaginary { &tokens[..length - 3] } else { tokens };
    let mut found = 0;
    let mut values = 0;
    let mut at = 0;
    let ends_value = |token: Option<&Token>| {
        matches!(token, Some(Token::Number(_) | Token::Letter(_) | Token::Word(_) | Token::Sign(')' | '}' | '%' | '!' | '°' | '|')))
            || matches!(token, Some(Token::Command(name)) if name == "pi")
    };
    while at < tokens.len() {
        let before = at.checked_sub(1).and_then(token);
        match &tokens[at].token {
            Token::Number(digits) => {
                values += 1;
                // 3(4), (2)(6).
                if matches!(token(at + 1), Some(Token::Sign('('))) || matches!(before, Some(Token::Sign(')'))) {
                    found |= O::PRODUCT;
                }
                if matches!(token(at + 1), Some(Token::Sign('/')))
                    && let Some((other, _)) = plain(tokens, at + 2)
                    && divides(digits, other)
                {
                    found |= O::QUOTIENT;
                }
                // 10^6 is how a number of this size is written.
                if matches!(token(at + 1), Some(Token::Sign('^'))) && digits == "10" && plain_exponent(tokens, at + 2).is_some() {
                    at = plain_exponent(tokens, at + 2)?;
                    continue;
                }
            }
            Token::Sign('(') if matches!(before, Some(Token::Sign(')'))) => found |= O::PRODUCT,
            Token::Sign('+' | '-') if ends_value(before) => found |= O::SUM,
            Token::Sign('*') => {
                let scientific = matches!(token(at + 1), Some(Token::Number(ten)) if ten == "10")
                    && matches!(token(at + 2), Some(Token::Sign('^')))
                    && matches!(before, Some(Token::Number(_)));
                if !scientific {
                    found |= O::PRODUCT;
                }
            }
            Token::Sign('^') if token(at + 1) == Some(&Token::Sign('°')) => {}
            Token::Sign('^') if matches!(before, Some(Token::Word(_))) => {
                // A unit's power.
                at = plain_exponent(tokens, at + 1).unwrap_or(at + 1);
                continue;
            }
            Token::Sign('^') => found |= O::POWER,
            Token::Sign('_') => match plain(tokens, at + 1) {
                Some(("10", end)) => {
                    at = end;
                    continue;
                }
                _ => found |= O::BASE,
            },
            Token::Sign('!' | '|' | '<' | '>') => found |= O::FUNCTION,
            Token::Letter(name) if name == "i" => {
                values += 1;
                found |= O::IMAGINARY;
            }
            Token::Letter(name) if name == "e" => {
                values += 1;
                found |= O::CONSTANT;
            }
            Token::Letter(_) => return None,
            Token::Word(word) if word != "times" && class(&word.to_lowercase()) == Some(Class::Operation) => found |= O::FUNCTION,
            Token::Command(name) => match name.as_str() {
                "frac" | "dfrac" | "tfrac" | "cfrac" => {
                    if let Some((a, next)) = plain(tokens, at + 1)
                        && let Some((b, _)) = plain(tokens, next)
                        && divides(a, b)
                    {
                        found |= O::QUOTIENT;
                    }
                }
                "pi" | "infty" => {
                    values += 1;
                    found |= O::CONSTANT;
                }
                "sqrt" | "root" => found |= O::ROOT,
                "overline" | "boxed" | "fbox" | "phantom" | "ensuremath" => {}
                name if Function::named(name).is_some() => found |= O::FUNCTION,
                "binom" | "dbinom" | "tbinom" | "sum" | "prod" | "lfloor" | "rfloor" | "lceil" | "rceil" | "pmod" | "bmod" | "mod"
                | "int" | "choose" => found |= O::FUNCTION,
                _ => return None,
            },
            _ => {}
        }
        at += 1;
    }
    (values > 0).then_some(Operations(found))
}

/// Whether a side is a name: letters, words, subscripts, arguments.
fn names(tokens: &[Spaced]) -> bool {
    tokens.iter().all(|t| {
        matches!(
            t.token,
            Token::Letter(_)
                | Token::Word(_)
                | Token::Sign('_' | '{' | '}' | '(' | ')' | '\'' | '|')
                | Token::Number(_)
                | Token::Command(_)
        )
    }) && !matches!(tokens.first().map(|t| &t.token), Some(Token::Number(_)))
}

/// Where an exponent that is a whole number ends.
fn plain_exponent(tokens: &[Spaced], at: usize) -> Option<usize> {
    if let Some((_, end)) = plain(tokens, at) {
        return Some(end);
    }
    let token = |at: usize| tokens.get(at).map(|t| &t.token);
    match (token(at), token(at + 1), token(at + 2), token(at + 3)) {
        (Some(Token::Sign('{')), Some(Token::Sign('-' | '+')), Some(Token::Number(_)), Some(Token::Sign('}'))) => Some(at + 4),
        (Some(Token::Sign('-')), Some(Token::Number(_)), ..) => Some(at + 2),
        _ => None,
    }
}

/// Whether `prediction`, which has been found equal to `gold`, is worked out as far as `gold` is. Only golds that are numbers, or several of
/// them, ask for it. `same`: whether a side of a chain, as a value of its own, is what the gold says.
pub(crate) fn is_worked_out(gold: &str, prediction: &str, same: &mut dyn FnMut(&crate::ast::Expr) -> bool) -> bool {
    if gold.len().max(prediction.len()) > MAX_LENGTH {
        return true;
    }
    let (Ok(gold), Ok(prediction)) = (tokenize(gold, Commas::Thousands), tokenize(prediction, Commas::Thousands)) else { return true };
    let prediction = crate::remarks::without_remarks(prediction);
    let Some(gold) = items(&gold) else { return true };
    let mut allowed = 0;
    for item in &gold {
        let mut plain = item.iter().filter_map(|side| side.operations);
        let Some(first) = plain.next() else { return true };
        allowed |= plain.fold(first.0, |all, more| all | more.0);
        // `2x + z = 1` is no number with a name.
        if item.iter().any(|side| side.operations.is_none() && !names(side.tokens)) {
            return true;
        }
    }
    if allowed & (Operations::FUNCTION | Operations::BASE | Operations::POWER | Operations::QUOTIENT) != 0 {
        return true;
    }
    let Some(items) = items(&prediction) else { return true };
    // Words alone have no operations, and are no arithmetic.
    let single = gold.len() == 1 && items.len() == 1;
    items.iter().all(|item| match &item[..] {
        [only] => only.operations.is_none_or(|o| o.within(Operations(allowed))),
        sides => sides.iter().any(|side| {
            side.operations.is_some_and(|o| o.within(Operations(allowed)))
                && (!single || parse_value(side.tokens).is_some_and(|value| same(&value)))
        }),
    })
}
