//! What is said about an answer beside it: "17 (not 18)", "10 because 4 + 6 = 10", "17/3, or about 5.67".

use crate::ast::Relation;
use crate::exact::{Budget, exact};
use crate::parse::parse_value;
use crate::token::{Spaced, Token};
use crate::words::{Class, class};

/// Most tokens of a text in which remarks are looked for: beyond it is no sentence.
const MAX_TOKENS: usize = 400;

fn word(token: Option<&Spaced>) -> Option<Class> {
    match token.map(|t| &t.token) {
        Some(Token::Word(word)) => class(&word.to_lowercase()),
        _ => None,
    }
}

fn is_value(token: &Token) -> bool {
    matches!(token, Token::Number(_) | Token::Letter(_) | Token::Sign(')' | '}' | ']' | '%' | '°' | 'R'))
        || matches!(token, Token::Command(name) if name == "pi" || name == "infty")
}

/// `tokens` without remarks: brackets with words behind a value, explanations ("because ...", ", which is ..."), places and times
/// ("17 km in 2 hours"). What restates the value is joined to it by a relation: "ten (10)", "17/3, or about 5.67".
pub(crate) fn without_remarks(tokens: Vec<Spaced>) -> Vec<Spaced> {
    let speaks = tokens.iter().any(|t| matches!(t.token, Token::Word(_) | Token::Sign('(') | Token::Relation(_)));
    if !speaks || tokens.len() > MAX_TOKENS {
        return tokens;
    }
    let mut out: Vec<Spaced> = Vec::with_capacity(tokens.len());
    let mut nesting = 0usize;
    // Whether a value came, and whether a word behind it, at the outermost level.
    let (mut value, mut unit) = (false, false);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if nesting == 0 {
            let class = word(Some(token));
            let ends = match class {
                // "5 and so on" says more than 5.
                Some(Class::Clause) => value && !matches!(out.last().map(|t| &t.token), Some(Token::Junction)),
                // "17 km in 2 hours": a further quantity.
                Some(Class::Preposition) => value && unit && matches!(tokens.get(at + 1).map(|t| &t.token), Some(Token::Number(_))),
                _ => false,
            };
            // ", which ...", ", reached after ...": no further item behind a number.
            let apart = value
                && token.token == Token::Comma
                && matches!(tokens.get(at + 1).map(|t| &t.token), Some(Token::Word(_)))
                && !matches!(word(tokens.get(at + 1)), Some(Class::Hedge))
                && out.first().is_some_and(|t| !matches!(t.token, Token::Word(_)));
            if ends || apart {
                break;
            }
            if let Some((tokens, length)) = value.then(|| fraction_in_words(&tokens[at..])).flatten() {
                out.extend(tokens);
                at += length;
                continue;
            }
            if let Some((relation, length)) = value.then(|| restated(&tokens[at..])).flatten() {
                out.push(Spaced { token: Token::Relation(relation), spaced: true });
                at += length;
                unit = false;
                continue;
            }
            if token.token == Token::Sign('(')
                && value
                && token.spaced
                && let Some(length) = tokens[at..].iter().position(|t| t.token == Token::Sign(')'))
            {
                let inside = &tokens[at + 1..at + length];
                match remark(&out, inside) {
                    Remark::Restates(relation) => {
                        out.push(Spaced { token: Token::Relation(relation), spaced: true });
                        out.extend(inside.iter().filter(|t| !matches!(word(Some(t)), Some(Class::Hedge))).cloned());
                        at += length + 1;
                        continue;
                    }
                    Remark::Aside => {
                        at += length + 1;
                        continue;
                    }
                    Remark::None => {}
                }
            }
        }
        match &token.token {
            Token::Sign('(' | '[' | '{' | 'L') | Token::Begin(_) => nesting += 1,
            Token::Sign(')' | ']' | '}' | 'R') | Token::End => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting == 0 {
            unit |= value && matches!(token.token, Token::Word(_));
            value |= is_value(&token.token) || matches!(token.token, Token::Word(_));
        }
        out.push(token.clone());
        at += 1;
    }
    out
}

/// "out of" between two numbers, and "and a half" behind one: their tokens in signs, and how many say it.
fn fraction_in_words(tokens: &[Spaced]) -> Option<(Vec<Spaced>, usize)> {
    let word = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(word) | Token::Letter(word)) => word.to_lowercase(),
        _ => String::new(),
    };
    let spaced = |token| Spaced { token, spaced: true };
    if word(0) == "out" && word(1) == "of" && matches!(tokens.get(2).map(|t| &t.token), Some(Token::Number(_))) {
        return Some((vec![spaced(Token::Sign('/'))], 2));
    }
    let one = matches!(word(1).as_str(), "a" | "one");
    let denominator = match word(2).as_str() {
        "half" => "2",
        "third" => "3",
        "quarter" | "fourth" => "4",
        _ => return None,
    };
    let mixed = [Token::Command("frac".into()), Token::Number("1".into()), Token::Number(denominator.into())].map(spaced);
    (tokens[0].token == Token::Junction && one).then(|| (mixed.to_vec(), 3))
}

/// "or about", "or", "i.e." before another form of the same value: the relation, and how many tokens say it.
fn restated(tokens: &[Spaced]) -> Option<(Relation, usize)> {
    let comma = usize::from(tokens[0].token == Token::Comma);
    let junction = usize::from(tokens.get(comma).is_some_and(|t| t.token == Token::Junction));
    let next = tokens.get(comma + junction)?;
    if let Token::Relation(relation @ (Relation::Equal | Relation::Approximately)) = next.token
        && comma + junction > 0
    {
        // "seventeen, i.e., 17".
        let behind = usize::from(tokens.get(comma + junction + 1).is_some_and(|t| t.token == Token::Comma));
        return Some((relation, comma + junction + 1 + behind));
    }
    if let (Token::Relation(relation @ Relation::Equal), Some(Token::Comma)) = (&next.token, tokens.get(1).map(|t| &t.token)) {
        return Some((*relation, 2));
    }
    let Token::Word(hedge) = &next.token else { return None };
    let number = matches!(tokens.get(comma + junction + 1).map(|t| &t.token), Some(Token::Number(_)));
    let about = class(&hedge.to_lowercase()) == Some(Class::Hedge) && !matches!(hedge.as_str(), "only" | "just" | "simply");
    (about && number && comma + junction > 0).then_some((Relation::Approximately, comma + junction + 1))
}

enum Remark {
    /// The same value once more.
    Restates(Relation),
    /// Words about it.
    Aside,
    /// A factor, arguments: no remark.
    None,
}

/// What brackets behind `before` say.
fn remark(before: &[Spaced], inside: &[Spaced]) -> Remark {
    let words = inside.iter().filter(|t| matches!(t.token, Token::Word(_))).count();
    let denies = inside.iter().any(|t| matches!(word(Some(t)), Some(Class::Negation | Class::Denial)));
    let hedged = matches!(word(inside.first()), Some(Class::Hedge));
    let spelled = matches!(before.last().map(|t| &t.token), Some(Token::Word(_)));
    let numeral = inside.first().is_some_and(|t| matches!(t.token, Token::Number(_) | Token::Relation(_) | Token::Sign('-')));
    if hedged && !denies {
        return Remark::Restates(Relation::Approximately);
    }
    if words > 0 {
        return Remark::Aside;
    }
    // "ten (10)": words before it, a number in it.
    if spelled && numeral && before.iter().all(|t| matches!(t.token, Token::Word(_))) {
        return Remark::Restates(Relation::Equal);
    }
    if let Some(Token::Relation(relation @ (Relation::Equal | Relation::Approximately))) = inside.first().map(|t| &t.token) {
        return Remark::Restates(*relation);
    }
    // "10 (4 + 6)", as against the product "10 (4)": it has the value that stands before it.
    let value = |tokens: &[Spaced]| parse_value(tokens).and_then(|e| exact(&e, &mut Budget { left: 200 }));
    match (value(before), value(inside)) {
        (Some(a), Some(b)) if a == b => Remark::Restates(Relation::Equal),
        _ => Remark::None,
    }
}
