//! Cutting an answer into tokens: LaTeX, plain text and common Unicode signs.

use crate::ast::Relation;

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
    /// `3,14` is 3.14.
    Decimal,
}

const SKIPPED: [&str; 24] = [
    "displaystyle",
    "textstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "Biggl",
    "Biggr",
    "bf",
    "rm",
    "it",
    "hspace",
    "thinspace",
    "enspace",
];
const WRAPPERS: [&str; 16] = [
    "text",
    "textbf",
    "textit",
    "textrm",
    "textnormal",
    "textsf",
    "texttt",
    "mbox",
    "hbox",
    "mathrm",
    "mathbf",
    "mathit",
    "mathsf",
    "operatorname",
    "boldsymbol",
    "emph",
];
const GREEK: [&str; 30] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Omega",
    "Phi",
    "ell",
];
const UNICODE: [(char, &str); 24] = [
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('θ', "theta"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('φ', "phi"),
    ('ω', "omega"),
    ('π', "pi"),
    ('∞', "infty"),
    ('√', "sqrt"),
    ('∪', "cup"),
    ('∩', "cap"),
    ('∅', "emptyset"),
    ('ℝ', "R"),
    ('ℤ', "Z"),
    ('ℕ', "N"),
    ('±', "pm"),
    ('∓', "mp"),
];

/// Words that stand for signs, units and the like, in running text without `\text`.
fn plain_word(word: &str) -> Option<Token> {
    if crate::ast::Function::named(word).is_some() && word.len() > 2 || matches!(word, "ln" | "lg" | "sqrt" | "pi") {
        return Some(Token::Command(word.to_owned()));
    }
    Some(match word {
        "and" | "or" | "And" | "Or" | "AND" | "OR" => Token::Junction,
        "oo" | "inf" | "infinity" | "Infinity" | "infty" => Token::Command("infty".into()),
        "percent" | "Percent" | "percentage" | "pct" => Token::Sign('%'),
        "degrees" | "degree" | "deg" => Token::Sign('°'),
        "times" => Token::Sign('*'),
        "NaN" | "nan" | "NAN" | "undefined" => Token::Word("nan".into()),
        "cm" | "mm" | "km" | "kg" | "mg" | "ml" | "mL" | "ft" | "mi" | "hr" | "hrs" | "min" | "sec" | "mph" | "lb" | "lbs" | "oz"
        | "sq" | "cu" | "am" | "pm" | "AM" | "PM" | "in" | "is" => Token::Word(word.to_owned()),
        _ if word.chars().count() >= 4 => Token::Word(word.to_owned()),
        _ => return None,
    })
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    commas: Commas,
    /// Open brackets.
    nesting: usize,
    out: Vec<Spaced>,
    spaced: bool,
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
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token) {
        self.out.push(Spaced { token, spaced: std::mem::take(&mut self.spaced) });
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
                self.letters(words);
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
            '≈' => Token::Relation(Relation::Approximately),
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
            '²' | '³' => {
                self.push(Token::Sign('^'));
                Token::Number(if c == '²' { "2" } else { "3" }.into())
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
            c => match UNICODE.iter().find(|(sign, _)| *sign == c) {
                Some((_, name)) => return self.named(name, 0),
                None if c.is_alphabetic() => Token::Letter(c.to_string()),
                None => return Err("a character without a meaning here"),
            },
        };
        self.push(token);
        Ok(())
    }

    fn letters(&mut self, words: bool) {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..length];
        if matches!(rest.get(..3), Some("a.m" | "p.m" | "A.M" | "P.M")) {
            self.at += 3;
            return self.push(Token::Word(format!("{}m", &word.to_ascii_lowercase()[..1])));
        }
        self.at += length;
        // Minutes and seconds, not minimum and secant.
        let measured = words || matches!(self.out.last().map(|t| &t.token), Some(Token::Number(_)));
        if measured && matches!(word, "min" | "sec" | "th" | "deg") && !self.rest().starts_with('(') {
            self.push(Token::Word(word.to_owned()));
        } else if let Some(token) = plain_word(word) {
            self.push(token);
        } else if words && length > 1 {
            self.push(Token::Word(word.to_owned()));
        } else {
            word.chars().for_each(|c| self.push(Token::Letter(c.to_string())));
        }
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
            if !point && rest.starts_with('.') && !rest.starts_with("..") && (is_digit(rest, 1) || rest[1..].starts_with("\\overline")) {
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
            let decimal =
                self.commas == Commas::Decimal && separator.len() <= 3 && separator != "\\," && separator != "\\ " && is_digit(group, 0);
            if decimal && self.nesting == 0 {
                point = true;
                digits.push('.');
            } else if !(grouped && (separator != "," || (self.commas == Commas::Thousands && self.nesting == 0))) {
                break;
            }
            self.at += separator.len();
        }
        if digits.len() > MAX_DIGITS {
            return Err("a number too long for an expression");
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
    fn group(&mut self) -> Option<&'a str> {
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
        if SKIPPED.contains(&name) {
            self.spaced = true;
            return Ok(());
        }
        if WRAPPERS.contains(&name) {
            let Some(content) = self.group() else { return Ok(()) };
            let spaced = self.spaced;
            let mut inner = Lexer { text: content, at: 0, commas: self.commas, nesting: 0, out: Vec::new(), spaced };
            inner.run(true, depth + 1)?;
            let behind = matches!(self.out.last().map(|t| &t.token), Some(Token::Number(_) | Token::Sign(')' | '}')));
            if let [Spaced { token, .. }] = &mut inner.out[..]
                && let Token::Letter(letter) = token
                && behind
                && (name.starts_with(['t', 'h']) || name == "mathrm")
                && !matches!(letter.as_str(), "e" | "i")
            {
                // A unit: `5\text{ m}`.
                *token = Token::Word(std::mem::take(letter));
            }
            self.out.append(&mut inner.out);
            self.spaced = true;
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
            "approx" | "simeq" | "thickapprox" | "doteq" => Token::Relation(Approximately),
            "in" => Token::Relation(In),
            "equiv" => Token::Relation(Other("equiv")),
            "sim" => Token::Relation(Other("sim")),
            "cong" => Token::Relation(Other("cong")),
            "to" | "rightarrow" | "mapsto" | "longrightarrow" => Token::Relation(Other("to")),
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
            name if GREEK.contains(&name) => Token::Letter(name.to_owned()),
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
