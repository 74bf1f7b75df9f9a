//! Cutting an answer into tokens: LaTeX, plain text and common Unicode signs.

use crate::ast::Relation;
use crate::repeating::repeating;
use crate::vocabulary::{self, command_of, is_greek, is_unit, plain_word};
use crate::words::class;

/// Longest text, in bytes, that is read as mathematics.
pub(crate) const MAX_LENGTH: usize = 20_000;
/// Most digits of one number in an expression.
const MAX_DIGITS: usize = 4_000;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Digits, perhaps with a point and an exponent; no separators.
    Number(String),
    /// A letter, Latin or Greek (by its name).
    Letter(String),
    /// A command without its backslash, or a function's name in plain text.
    Command(String),
    /// A word of text.
    Word(String),
    Relation(Relation),
    /// Any of `+ - * / ^ _ ! ' % & : | ( ) [ ] { }` and `°`; `<` `>` for the sides of a sized `|`; `L` `R` for `\{` `\}`; `n` for a new row.
    Sign(char),
    Comma,
    Semicolon,
    /// "and", "or".
    Junction,
    Begin(String),
    End,
}

/// A token and whether space precedes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spaced {
    pub(crate) token: Token,
    pub(crate) spaced: bool,
}

/// How commas in numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commas {
    /// `1,234` outside of brackets is one number.
    Thousands,
    /// Commas separate, except `{,}` and `,\!`.
    Separators,
}

pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
    commas: Commas,
    /// Open brackets.
    nesting: usize,
    pub(crate) out: Vec<Spaced>,
    pub(crate) spaced: bool,
}

/// The tokens of `text`.
pub(crate) fn tokenize(text: &str, commas: Commas) -> Result<Vec<Spaced>, &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("too long to be read as mathematics");
    }
    let mut lexer = Lexer { text, at: 0, commas, nesting: 0, out: Vec::new(), spaced: false };
    lexer.run(false, 0)?;
    Ok(lexer.out)
}

impl<'a> Lexer<'a> {
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn push(&mut self, token: Token) {
        self.out.push(Spaced { token, spaced: std::mem::take(&mut self.spaced) });
    }

    /// The tokens of a command's argument: `words` as for [`Lexer::run`].
    pub(crate) fn inside(&mut self, content: &str, words: bool, depth: usize) -> Result<(), &'static str> {
        let spaced = std::mem::take(&mut self.spaced);
        let mut inner = Lexer { text: content, at: 0, commas: self.commas, nesting: 0, out: Vec::new(), spaced };
        inner.run(words, depth + 1)?;
        self.out.append(&mut inner.out);
        Ok(())
    }

    /// `words`: inside `\text{}`, where letters form words.
    fn run(&mut self, words: bool, depth: usize) -> Result<(), &'static str> {
        if depth > 8 {
            return Err("text nested too deeply");
        }
        while let Some(c) = self.rest().chars().next() {
            if c == '\\' {
                self.command(depth)?;
                continue;
            }
            if c.is_ascii_digit() || (c == '.' && self.rest()[1..].starts_with(|d: char| d.is_ascii_digit())) {
                self.number()?;
                continue;
            }
            if c.is_ascii_alphabetic() {
                self.letters(words)?;
                continue;
            }
            self.at += c.len_utf8();
            self.sign(c)?;
        }
        Ok(())
    }

    fn sign(&mut self, c: char) -> Result<(), &'static str> {
        let next = self.rest().chars().next();
        let token = match c {
            '$' | '€' | '£' | '¥' | '₹' | '~' | '\u{200b}' | '"' | '`' => return Ok(()),
            '.' | '?' => return Ok(()),
            c if c.is_whitespace() => {
                self.spaced = true;
                return Ok(());
            }
            '*' if next == Some('*') => {
                self.at += 1;
                Token::Sign('^')
            }
            '*' | '×' | '·' | '⋅' | '∙' | '•' => Token::Sign('*'),
            '÷' | '∕' | '⁄' => Token::Sign('/'),
            '-' | '−' | '–' | '—' => Token::Sign('-'),
            '<' if next == Some('=') => {
                self.at += 1;
                Token::Relation(Relation::LessEqual)
            }
            '>' if next == Some('=') => {
                self.at += 1;
                Token::Relation(Relation::GreaterEqual)
            }
            '!' if next == Some('=') && !matches!(self.out.last().map(|t| &t.token), Some(Token::Number(_) | Token::Sign(')' | '}'))) => {
                self.at += 1;
                Token::Relation(Relation::NotEqual)
            }
            '=' => {
                if next == Some('=') {
                    self.at += 1;
                }
                Token::Relation(Relation::Equal)
            }
            '<' => Token::Relation(Relation::Less),
            '>' => Token::Relation(Relation::Greater),
            '≤' | '⩽' => Token::Relation(Relation::LessEqual),
            '≥' | '⩾' => Token::Relation(Relation::GreaterEqual),
            '≠' => Token::Relation(Relation::NotEqual),
            '→' => Token::Relation(Relation::Other("to")),
            '⇒' | '⟹' => Token::Relation(Relation::Other("implies")),
            '≈' | '≃' | '≅' => Token::Relation(Relation::Approximately),
            '∈' => Token::Relation(Relation::In),
            '½' | '⅓' | '⅔' | '¼' | '¾' => {
                self.push(Token::Command("frac".into()));
                let (a, b) = match c {
                    '½' => ("1", "2"),
                    '⅓' => ("1", "3"),
                    '⅔' => ("2", "3"),
                    '¼' => ("1", "4"),
                    _ => ("3", "4"),
                };
                self.push(Token::Number(a.into()));
                Token::Number(b.into())
            }
            ',' => Token::Comma,
            ';' => Token::Semicolon,
            '(' | '[' | '{' => {
                self.nesting += 1;
                Token::Sign(c)
            }
            ')' | ']' | '}' => {
                self.nesting = self.nesting.saturating_sub(1);
                Token::Sign(c)
            }
            '+' | '/' | '^' | '_' | '!' | '\'' | '%' | '&' | ':' | '|' | '°' => Token::Sign(c),
            '’' | '′' => Token::Sign('\''),
            c if vocabulary::MARK_SIGNS.contains(&c) => return Ok(()),
            c if vocabulary::script(c).is_some() => return self.script(c),
            c => match command_of(c) {
                Some(name) => return self.named(name, 0),
                None if c.is_alphabetic() => Token::Letter(c.to_string()),
                None => return Err("a character without a meaning here"),
            },
        };
        self.push(token);
        Ok(())
    }

    /// A run of raised or lowered signs: `10⁻³`, `log₂`.
    fn script(&mut self, first: char) -> Result<(), &'static str> {
        let Some((sign, raised)) = vocabulary::script(first) else { return Ok(()) };
        let mut text = String::from(sign);
        while let Some(next) = self.rest().chars().next()
            && let Some((sign, same)) = vocabulary::script(next)
            && same == raised
        {
            text.push(sign);
            self.at += next.len_utf8();
        }
        self.push(Token::Sign(if raised { '^' } else { '_' }));
        self.push(Token::Sign('{'));
        self.inside(&text, false, 0)?;
        self.push(Token::Sign('}'));
        Ok(())
    }

    /// A run of letters. In running text two are a product and three or more a word, if they stand by themselves: those of `2xyz` and
    /// `xyz+1` are factors. In `\text{}` all are words.
    fn letters(&mut self, words: bool) -> Result<(), &'static str> {
        let start = self.at;
        let rest = self.rest();
        let mut length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        if matches!(rest.get(..3), Some("a.m" | "p.m" | "A.M" | "P.M")) {
            self.at += 3;
            self.push(Token::Word(format!("{}m", &rest[..1].to_ascii_lowercase())));
            return Ok(());
        }
        // "That is": the same once more.
        if rest.starts_with("i.e") {
            self.at += 3;
            self.push(Token::Relation(Relation::Equal));
            return Ok(());
        }
        let named = |word: &str| matches!(plain_word(word), Some(Token::Command(_) | Token::Sign(_) | Token::Junction));
        // "twenty-five", "non-negative".
        if length >= 3 && (words || length >= 4) && !named(&rest[..length]) {
            while rest[length..].starts_with('-') {
                let next = rest[length + 1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - length - 1);
                if next < 2 {
                    break;
                }
                length += 1 + next;
            }
        }
        let word = &rest[..length];
        self.at += length;
        let last = self.out.last().map(|t| &t.token);
        let behind_number = matches!(last, Some(Token::Number(_)));
        let spaced = self.spaced;
        let next = self.rest().trim_start().chars().next();
        let lower = word.to_ascii_lowercase();
        if word == "times" {
            let operator = next.is_some_and(|c| c.is_ascii_digit() || matches!(c, '\\' | '('));
            self.push(if operator { Token::Sign('*') } else { Token::Word(lower) });
            return Ok(());
        }
        let operand = next.is_some_and(|c| c.is_ascii_digit() || matches!(c, '\\' | '(' | '$'));
        if operand && let Some(sign) = [("minus", '-'), ("negative", '-'), ("plus", '+')].iter().find(|(name, _)| *name == lower) {
            self.push(Token::Sign(sign.1));
            return Ok(());
        }
        // Minutes and seconds, not minimum and secant.
        if (words || behind_number) && matches!(word, "min" | "sec" | "th" | "deg") && !self.rest().starts_with('(') {
            self.push(Token::Word(word.to_owned()));
            return Ok(());
        }
        // Letters right behind a number are factors, unless they are a unit: `5km`, but `2abcd`.
        let attached = !words && behind_number && !spaced && !is_unit(word) && length < 8;
        if !attached && let Some(token) = plain_word(word) {
            self.push(token);
            return Ok(());
        }
        let is_word = match length {
            _ if words => length > 1,
            _ if attached => false,
            1 if lower == "a" => matches!(last, Some(Token::Word(_))) && self.word_follows(),
            // `5 m`.
            1 => {
                behind_number
                    && spaced
                    && next.is_none_or(|c| matches!(c, '.' | '^' | '²' | '³'))
                    && matches!(word, "m" | "g" | "s" | "h" | "L")
            }
            2 if lower == "no" && self.alone(start) => true,
            2 => class(&lower).is_some() && (matches!(last, Some(Token::Word(_))) || self.word_follows()),
            _ => self.free(start),
        };
        if is_word {
            self.push(Token::Word(word.to_owned()));
        } else {
            word.chars().for_each(|c| self.push(Token::Letter(c.to_string())));
        }
        Ok(())
    }

    /// Whether a word of three letters or more comes next.
    fn word_follows(&self) -> bool {
        let rest = self.rest();
        let next = rest.trim_start();
        let length = next.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(next.len());
        next.len() < rest.len() && length >= 3 && !matches!(plain_word(&next[..length]), Some(Token::Command(_) | Token::Sign(_)))
    }

    /// Whether the letters from `start` are all that the text says.
    fn alone(&self, start: usize) -> bool {
        let empty = |text: &str| text.chars().all(|c| c.is_whitespace() || matches!(c, '.' | '!' | '$' | '*' | '"'));
        empty(&self.text[..start]) && empty(self.rest())
    }

    /// Whether the letters from `start` stand by themselves: between separators, relations, words and the ends, not beside operators.
    fn free(&self, start: usize) -> bool {
        let before = self.text[..start].chars().next_back();
        let rest = self.rest();
        let after = rest.trim_start().chars().next();
        let apart = rest.starts_with(char::is_whitespace);
        let behind = match self.out.last().map(|t| &t.token) {
            None | Some(Token::Comma | Token::Semicolon | Token::Junction | Token::Relation(_) | Token::Word(_)) => true,
            Some(Token::Number(_)) => self.spaced,
            Some(Token::Sign(sign)) => matches!(sign, '(' | '{' | '%' | '°' | ':' | 'n' | 'L'),
            _ => false,
        };
        behind
            && before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '^' | '_'))
            && after.is_none_or(|c| {
                c.is_alphabetic()
                    || matches!(c, ',' | '.' | ';' | ')' | '}' | '!' | '?' | ':' | '$' | '=' | '"')
                    || (apart && (c == '(' || c.is_ascii_digit()))
            })
    }

    /// Digits with separators, a fraction and an exponent.
    fn number(&mut self) -> Result<(), &'static str> {
        let mut digits = String::new();
        let mut point = false;
        loop {
            let rest = self.rest();
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            digits.push_str(&rest[..length]);
            self.at += length;
            let rest = self.rest();
            let is_digit = |rest: &str, i: usize| rest.as_bytes().get(i).is_some_and(u8::is_ascii_digit);
            if !point
                && rest.starts_with('.')
                && !rest.starts_with("..")
                && (is_digit(rest, 1) || ["\\overline{", "\\bar{", "\\dot{", "("].iter().any(|cycle| rest[1..].starts_with(cycle)))
            {
                point = true;
                digits.push('.');
                self.at += 1;
                continue;
            }
            let separator = [",\\! ", ",\\!", "{,}\\!", "{,}", "{, }", " {, }", " {,}", ",\\,", "\\,", "\\ ", ","]
                .into_iter()
                .find(|s| rest.starts_with(s));
            let Some(separator) = separator.filter(|_| !point) else { break };
            let group = &rest[separator.len()..];
            let grouped = (0..3).all(|i| is_digit(group, i)) && !is_digit(group, 3) && !digits.starts_with('0');
            if !(grouped && (separator != "," || (self.commas == Commas::Thousands && self.nesting == 0))) {
                break;
            }
            self.at += separator.len();
        }
        if digits.len() > MAX_DIGITS {
            return Err("a number too long for an expression");
        }
        if point && let Some(found) = repeating(&digits, self.rest())? {
            self.at += found.length;
            self.push(Token::Number(found.start));
            self.push(Token::Command("overline".into()));
            self.push(Token::Sign('{'));
            self.push(Token::Number(found.cycle));
            self.push(Token::Sign('}'));
            return Ok(());
        }
        let rest = self.rest();
        if rest.starts_with(['e', 'E']) {
            let sign = usize::from(rest[1..].starts_with(['+', '-']));
            let exponent = &rest[1 + sign..];
            let length = exponent.find(|c: char| !c.is_ascii_digit()).unwrap_or(exponent.len());
            let ends = !exponent[length..].starts_with(|c: char| c.is_ascii_alphabetic());
            if (1..=4).contains(&length) && ends {
                digits.push_str(&rest[..1 + sign + length]);
                self.at += 1 + sign + length;
            }
        }
        self.push(Token::Number(digits));
        Ok(())
    }

    /// The content of the brace group that begins here, after spaces; moves behind it.
    pub(crate) fn group(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let open = rest.len() - rest.trim_start().len();
        if !rest[open..].starts_with('{') {
            return None;
        }
        let mut depth = 0usize;
        let mut escaped = false;
        for (i, byte) in rest.bytes().enumerate().skip(open) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += i + 1;
                        return Some(&rest[open + 1..i]);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn command(&mut self, depth: usize) -> Result<(), &'static str> {
        self.at += 1;
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        if length == 0 {
            let Some(c) = rest.chars().next() else { return Ok(()) };
            self.at += c.len_utf8();
            // A backslash escaped once too often: `\\frac` outside of anything with rows.
            let rows = self.out.iter().any(|t| matches!(t.token, Token::Begin(_)));
            if c == '\\' && !rows && self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.at -= 1;
                return self.command(depth);
            }
            let token = match c {
                '{' | '}' => {
                    self.nesting = if c == '{' { self.nesting + 1 } else { self.nesting.saturating_sub(1) };
                    Token::Sign(if c == '{' { 'L' } else { 'R' })
                }
                '\\' => {
                    // `\\[2pt]`: space between rows.
                    let rest = self.rest();
                    if rest.starts_with('[')
                        && let Some(end) =
                            rest.find(']').filter(|end| matches!(rest[..*end].get(end - 2..), Some("pt" | "em" | "ex" | "mm" | "cm")))
                    {
                        self.at += end + 1;
                    }
                    Token::Sign('n')
                }
                '|' => Token::Sign('|'),
                '%' | '_' => Token::Sign(c),
                ' ' | ',' | ';' | ':' | '>' => {
                    self.spaced = true;
                    return Ok(());
                }
                _ => return Ok(()),
            };
            self.push(token);
            return Ok(());
        }
        self.at += length;
        self.named(&rest[..length], depth)
    }

    fn named(&mut self, name: &str, depth: usize) -> Result<(), &'static str> {
        use Relation::*;
        if name == "left" || name == "right" {
            let side = if name == "left" { '<' } else { '>' };
            let rest = self.rest();
            let trimmed = rest.trim_start();
            let gap = rest.len() - trimmed.len();
            if trimmed.starts_with('|') {
                self.at += gap + 1;
                self.push(Token::Sign(side));
            } else if trimmed.starts_with('.') {
                self.at += gap + 1;
            }
            return Ok(());
        }
        if self.presented(name, depth)? {
            return Ok(());
        }
        let token = match name {
            "begin" => Token::Begin(self.group().unwrap_or_default().trim_end_matches('*').to_owned()),
            "end" => {
                self.group();
                Token::End
            }
            "lt" => Token::Relation(Less),
            "gt" => Token::Relation(Greater),
            "le" | "leq" | "leqslant" | "leqq" => Token::Relation(LessEqual),
            "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(GreaterEqual),
            "ne" | "neq" => Token::Relation(NotEqual),
            "approx" | "approxeq" | "simeq" | "thickapprox" | "doteq" => Token::Relation(Approximately),
            "in" => Token::Relation(In),
            "equiv" => Token::Relation(Other("equiv")),
            "sim" => Token::Relation(Other("sim")),
            "cong" => Token::Relation(Other("cong")),
            "to" | "rightarrow" | "mapsto" | "longrightarrow" => Token::Relation(Other("to")),
            "implies" | "Rightarrow" | "Longrightarrow" | "iff" | "Leftrightarrow" => Token::Relation(Other("implies")),
            "subset" | "subseteq" => Token::Relation(Other("subset")),
            "notin" => Token::Relation(Other("notin")),
            "perp" => Token::Relation(Other("perp")),
            "parallel" => Token::Relation(Other("parallel")),
            "propto" => Token::Relation(Other("propto")),
            "cdot" | "times" | "ast" | "star" | "cdotp" => Token::Sign('*'),
            "div" => Token::Sign('/'),
            "colon" => Token::Sign(':'),
            "degree" | "circ" => Token::Sign('°'),
            "prime" => Token::Sign('\''),
            "percent" => Token::Sign('%'),
            "langle" => {
                self.nesting += 1;
                Token::Sign('(')
            }
            "rangle" => {
                self.nesting = self.nesting.saturating_sub(1);
                Token::Sign(')')
            }
            "lbrace" => Token::Sign('L'),
            "rbrace" => Token::Sign('R'),
            "lbrack" => Token::Sign('['),
            "rbrack" => Token::Sign(']'),
            "vert" | "mid" => Token::Sign('|'),
            "lvert" => Token::Sign('<'),
            "rvert" => Token::Sign('>'),
            "lor" | "vee" | "land" | "wedge" => Token::Junction,
            "cr" | "newline" => Token::Sign('n'),
            "dollar" | "textdollar" | "pounds" | "euro" => return Ok(()),
            "textasciicircum" => Token::Sign('^'),
            "imath" | "jmath" => Token::Letter(name[..1].to_owned()),
            name if is_greek(name) => Token::Letter(name.to_owned()),
            // `\quadx` for `\quad x`.
            name if name.starts_with("quad") && name.len() > 4 => {
                self.at -= name.len() - 4;
                return Ok(());
            }
            name => Token::Command(name.to_owned()),
        };
        self.push(token);
        Ok(())
    }
}
