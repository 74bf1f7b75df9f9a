//! The smallest parts of an expression: numbers, names, commands, brackets.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Num, Pow, ToPrimitive, Zero};

use crate::ast::{End, Expr, Function};
use crate::parse::{Parsed, Parser};
use crate::token::{Spaced, Token};
use crate::vocabulary::is_currency;
use crate::words::{Class, class};

/// Largest power of ten in scientific notation.
const MAX_EXPONENT: i64 = 5_000;

/// `digits` with an optional point and exponent, exactly.
pub(crate) fn decimal(digits: &str) -> Parsed<Expr> {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], digits[at + 1..].parse::<i64>().map_err(|_| "an exponent that can't be read")?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let value = BigInt::from_str_radix(if all.is_empty() { "0" } else { &all }, 10).map_err(|_| "a number that can't be read")?;
    let exponent = exponent - fraction.len() as i64;
    if exponent.abs() > MAX_EXPONENT {
        return Err("a power of ten too large");
    }
    let scale = Pow::pow(BigInt::from(10), exponent.unsigned_abs());
    let value = if exponent < 0 { BigRational::new(value, scale) } else { BigRational::from_integer(value * scale) };
    Ok(if mantissa.contains('.') { Expr::Decimal(value, (-exponent).max(0) as usize) } else { Expr::Number(value) })
}

/// Names of bases.
fn number_word(word: &str) -> Option<Expr> {
    let names = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let value = names.iter().position(|n| *n == word).map(|i| i as i64 + 2).or((word == "sixteen").then_some(16));
    value.map(Expr::integer)
}

/// Whether words in lower case say what the value behind them is, as "the answer is" does and "it is not" doesn't.
fn is_label(words: &str) -> bool {
    let all: Vec<&str> = words.split(' ').collect();
    let copula = all.last().is_some_and(|word| class(word) == Some(Class::Copula));
    copula && !all.iter().any(|word| matches!(class(word), Some(Class::Negation | Class::Denial | Class::Condition)))
}

/// Expanded along the first row.
fn determinant(rows: &[Vec<Expr>]) -> Expr {
    if let [row] = rows {
        return row[0].clone();
    }
    let minor = |j: usize| -> Vec<Vec<Expr>> {
        rows[1..].iter().map(|row| row.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, e)| e.clone()).collect()).collect()
    };
    let term = |(j, entry): (usize, &Expr)| {
        let product = Expr::Product(vec![entry.clone(), determinant(&minor(j))]);
        if j % 2 == 0 { product } else { Expr::Negative(product.boxed()) }
    };
    Expr::Sum(rows[0].iter().enumerate().map(term).collect())
}

impl<'a> Parser<'a> {
    pub(crate) fn atom(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek() else { return Err("it ends too early") };
        self.at += 1;
        match token {
            Token::Number(digits) => self.number(digits),
            Token::Letter(name) => self.letter(name),
            Token::Word(word) => self.words(word),
            Token::Command(name) => self.command(name),
            Token::Begin(name) => self.nested(|p| p.environment(name)),
            Token::Sign('{') => {
                let inner = self.brackets(|p| p.items())?;
                self.expect('}')?;
                match inner.len() {
                    0 => Err("an empty group"),
                    1 => Ok(inner.into_iter().next().expect("one")),
                    _ => Ok(Expr::List(inner)),
                }
            }
            Token::Sign(open @ ('(' | '[')) => self.round_or_square(*open),
            Token::Sign('L') => self.set(),
            Token::Sign(side @ ('|' | '<')) => {
                self.bars += 1;
                let (depth, in_set) = (self.bars, std::mem::take(&mut self.in_set));
                let inner = self.nested(|p| p.sum());
                self.in_set = in_set;
                self.bars = depth - 1;
                let inner = inner?;
                self.expect(if *side == '|' { '|' } else { '>' })?;
                Ok(Expr::Call(Function::Abs, vec![inner]))
            }
            _ => Err("a sign where a value was expected"),
        }
    }

    /// Runs `inner` with `|` and `:` having their ordinary meaning.
    fn brackets<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let (bars, in_set) = (std::mem::take(&mut self.bars), std::mem::take(&mut self.in_set));
        let result = self.nested(inner);
        (self.bars, self.in_set) = (bars, in_set);
        result
    }

    fn number(&mut self, digits: &str) -> Parsed<Expr> {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        // Thousands separated by spaces.
        if plain && digits.len() <= 3 && !digits.starts_with('0') {
            let mut joined = digits.to_owned();
            let mut ahead = 0;
            while let Some(next) = self.tokens.get(self.at + ahead)
                && let Token::Number(group) = &next.token
                && next.spaced
                && (group.len() == 3 || (group.len() > 4 && group.as_bytes()[3] == b'.'))
                && group.as_bytes()[..3].iter().all(u8::is_ascii_digit)
            {
                joined.push_str(group);
                ahead += 1;
            }
            if ahead > 0 && self.peek_at(ahead) != Some(&Token::Sign('/')) {
                self.at += ahead;
                return decimal(&joined);
            }
        }
        // `0.\overline{3}`.
        if let Some(Token::Command(name)) = self.peek()
            && name == "overline"
            && let (Some(Token::Sign('{')), Some(Token::Number(cycle)), Some(Token::Sign('}'))) =
                (self.peek_at(1), self.peek_at(2), self.peek_at(3))
            && digits.contains('.')
            && cycle.bytes().all(|b| b.is_ascii_digit())
        {
            self.at += 4;
            let places = digits.len() - digits.find('.').unwrap_or(0) - 1;
            let (Expr::Decimal(start, _), Expr::Number(cycle_value)) = (decimal(digits)?, decimal(cycle)?) else {
                return Err("a repeating decimal that can't be read");
            };
            let scale = crate::parse::power_of_ten(places);
            let nines = crate::parse::power_of_ten(cycle.len()) - BigRational::from_integer(1.into());
            return Ok(Expr::Number(start + cycle_value / nines / scale));
        }
        // `A5_{16}`: digits that letters stand for.
        if self.is_sign('_')
            && self.at >= 2
            && matches!(self.tokens[self.at - 2].token, Token::Letter(_) | Token::Word(_))
            && !self.tokens[self.at - 1].spaced
        {
            return Err("digits with letters in another base");
        }
        // Base notation.
        if (plain || digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')) && self.is_sign('_') {
            self.at += 1;
            let base = self.script()?;
            let base = match base {
                Expr::Text(word) => number_word(&word).ok_or("a base that is no number")?,
                other => other,
            };
            let base = base.literal().filter(|b| b.is_integer()).and_then(|b| b.to_integer().to_u32());
            let base = base.filter(|b| (2..=36).contains(b)).ok_or("a base that is no number from 2 to 36")?;
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let value = BigInt::from_str_radix(&format!("{whole}{fraction}"), base).map_err(|_| "a digit that its base doesn't have")?;
            let scale: BigInt = Pow::pow(BigInt::from(base), fraction.len());
            return Ok(Expr::Number(BigRational::new(value, scale)));
        }
        // Mixed numbers.
        if plain && let Some(fraction) = self.proper_fraction() {
            return match decimal(digits)? {
                Expr::Number(whole) => Ok(Expr::Number(whole + fraction)),
                other => Ok(other),
            };
        }
        if let Some(Token::Number(_)) = self.peek() {
            return Err("two numbers side by side");
        }
        decimal(digits)
    }

    /// `\frac{2}{3}` or ` 2/3` behind a whole number; moves behind it if it is there.
    fn proper_fraction(&mut self) -> Option<BigRational> {
        let integer = |token: Option<&Token>| match token {
            Some(Token::Number(digits)) if digits.len() <= 30 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<BigInt>().ok()
            }
            _ => None,
        };
        let start = self.at;
        let (numerator, denominator) = match self.peek()? {
            Token::Number(_) if self.peek_at(1) == Some(&Token::Sign('/')) => {
                let pair = (integer(self.peek())?, integer(self.peek_at(2))?);
                self.at += 3;
                pair
            }
            Token::Command(name) if matches!(name.as_str(), "frac" | "dfrac" | "tfrac" | "cfrac") => {
                self.at += 1;
                let pair = self.integers();
                if pair.is_none() {
                    self.at = start;
                }
                pair?
            }
            _ => return None,
        };
        if denominator.is_zero() {
            self.at = start;
            return None;
        }
        Some(BigRational::new(numerator, denominator))
    }

    /// The two arguments of a fraction where they are whole numbers; `\frac12` has one digit each.
    fn integers(&mut self) -> Option<(BigInt, BigInt)> {
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() == 2
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !matches!(self.tokens.get(self.at + 1), Some(Spaced { token: Token::Number(_), spaced: true }))
        {
            self.at += 1;
            return Some((digits[..1].parse().ok()?, digits[1..].parse().ok()?));
        }
        // A digit and a group: `\frac1{20}`; two tokens: `\frac 3 8`.
        match (self.argument().ok()?, self.argument().ok()?) {
            (Expr::Number(a), Expr::Number(b)) if a.is_integer() && b.is_integer() => Some((a.to_integer(), b.to_integer())),
            _ => None,
        }
    }

    /// A command's argument: a group, or one token.
    fn argument(&mut self) -> Parsed<Expr> {
        self.nested(|p| {
            if p.is_sign('{') {
                return p.atom();
            }
            if let Some(Token::Number(digits)) = p.peek() {
                p.at += 1;
                return decimal(digits);
            }
            if p.take_sign('-') {
                return Ok(crate::parse::negate(p.argument()?));
            }
            p.atom()
        })
    }

    fn fraction(&mut self) -> Parsed<Expr> {
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() >= 2
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !self.tokens.get(self.at + 1).is_some_and(|t| t.spaced && matches!(t.token, Token::Number(_)))
        {
            self.at += 1;
            let (a, rest) = digits.split_at(1);
            let (b, behind) = if self.is_sign('{') && rest.is_empty() { ("", "") } else { rest.split_at(1) };
            let quotient = Expr::Quotient(decimal(a)?.boxed(), decimal(b)?.boxed());
            return Ok(if behind.is_empty() { quotient } else { Expr::Product(vec![quotient, decimal(behind)?]) });
        }
        let a = self.argument()?;
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() > 1
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !self.tokens[self.at].spaced
        {
            self.at += 1;
            let (b, behind) = digits.split_at(1);
            return Ok(Expr::Product(vec![Expr::Quotient(a.boxed(), decimal(b)?.boxed()), decimal(behind)?]));
        }
        let b = self.argument()?;
        Ok(match (&a, &b) {
            (Expr::Number(x), Expr::Number(y)) if !y.is_zero() => Expr::Number(x / y),
            _ => Expr::Quotient(a.boxed(), b.boxed()),
        })
    }

    fn letter(&mut self, name: &str) -> Parsed<Expr> {
        if name == "i" && !self.is_sign('_') {
            return Ok(Expr::I);
        }
        if name == "e" && !self.is_sign('_') {
            return Ok(Expr::E);
        }
        let symbol = self.subscripted(name.to_owned())?;
        let function = matches!(name, "f" | "g" | "h" | "F" | "G" | "H" | "W");
        if function && self.is_sign('(') && !self.tokens[self.at].spaced {
            self.at += 1;
            let arguments = self.brackets(|p| p.items())?;
            self.expect(')')?;
            return Ok(Expr::Opaque(symbol, arguments));
        }
        Ok(Expr::Symbol(symbol))
    }

    /// Subscripts and primes behind a name, in a form without redundant braces.
    fn subscripted(&mut self, mut name: String) -> Parsed<String> {
        loop {
            if self.take_sign('\'') {
                name.push('\'');
            } else if self.take_sign('_') {
                let script = self.script()?;
                name = format!("{name}_{script}");
            } else {
                return Ok(name);
            }
        }
    }

    fn words(&mut self, first: &str) -> Parsed<Expr> {
        let mut all = first.to_lowercase();
        let hedge = class(&all) == Some(Class::Hedge) || matches!(all.as_str(), "around" | "total" | "the") || is_currency(&all);
        if hedge && self.starts_factor() && !matches!(self.peek(), Some(Token::Letter(_))) {
            return self.power();
        }
        loop {
            match self.peek() {
                // "The answer is 5": what stands before a copula names the value.
                Some(Token::Number(_)) if is_label(&all) => return self.power(),
                Some(Token::Number(digits)) => {
                    all.push(' ');
                    all.push_str(digits);
                }
                Some(Token::Word(word)) => {
                    all.push(' ');
                    all.push_str(&word.to_lowercase());
                }
                Some(Token::Letter(word)) => {
                    all.push(' ');
                    all.push_str(&word.to_lowercase());
                }
                _ => return Ok(Expr::Text(all)),
            }
            self.at += 1;
        }
    }

    fn command(&mut self, name: &str) -> Parsed<Expr> {
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.nested(|p| p.fraction()),
            "sqrt" | "root" => {
                let index = if self.take_sign('[') {
                    let index = self.brackets(|p| p.sum())?;
                    self.expect(']')?;
                    index
                } else {
                    Expr::integer(2)
                };
                let radicand = self.script()?;
                Ok(Expr::Root(index.boxed(), radicand.boxed()))
            }
            "binom" | "dbinom" | "tbinom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                Ok(Expr::Call(Function::Binomial, vec![n, k]))
            }
            // Space as wide as something.
            "phantom" | "hphantom" | "vphantom" => {
                if self.is_sign('{') {
                    self.argument()?;
                } else {
                    // Without braces it is of the next token: the sign of `\phantom -1` doesn't count.
                    let _ = self.take_sign('-') || self.take_sign('+');
                }
                self.signed_factor()
            }
            "pi" => Ok(Expr::Pi),
            "infty" | "infinity" => Ok(Expr::Infinity),
            "emptyset" | "varnothing" => Ok(Expr::Set(Vec::new())),
            "sum" | "prod" => self.nested(|p| p.series(name == "prod")),
            "R" | "Z" | "N" => Ok(Expr::Domain(name.chars().next().unwrap_or('R'))),
            "mathbb" | "Bbb" => match self.script()? {
                Expr::Symbol(name) if name.len() == 1 => Ok(Expr::Domain(name.chars().next().unwrap_or('R'))),
                _ => Err("`\\mathbb` of no letter"),
            },
            "lfloor" => self.until("rfloor", Function::Floor),
            "lceil" => self.until("rceil", Function::Ceil),
            "boxed" | "fbox" | "mathit" | "mathcal" | "vec" | "hat" | "bar" | "overrightarrow" | "overline" | "tilde" | "mathop"
            | "ensuremath" => {
                let inner = self.argument()?;
                Ok(match (name, inner) {
                    ("boxed" | "fbox" | "mathit" | "mathcal" | "mathop" | "ensuremath", inner) => inner,
                    (_, inner) => Expr::Symbol(self.subscripted(format!("{name}({inner})"))?),
                })
            }
            "angle" | "triangle" | "square" | "Box" => {
                let inner = self.power()?;
                Ok(Expr::Opaque(name.to_owned(), vec![inner]))
            }
            "arg" | "det" | "dim" | "deg" | "lim" | "int" | "over" | "choose" | "rfloor" | "rceil" => Err("a command that isn't known"),
            "ldots" | "dots" | "cdots" | "dotsc" => Ok(Expr::Symbol("dots".into())),
            _ => match Function::named(name) {
                Some(function) => self.nested(|p| p.call(function)),
                // Unknown names are variables.
                None => Ok(Expr::Symbol(self.subscripted(format!("\\{name}"))?)),
            },
        }
    }

    fn until(&mut self, closing: &str, function: Function) -> Parsed<Expr> {
        let inner = self.brackets(|p| p.sum())?;
        match self.peek() {
            Some(Token::Command(name)) if name == closing => self.at += 1,
            _ => return Err("a bracket isn't closed"),
        }
        Ok(Expr::Call(function, vec![inner]))
    }

    /// A function with its power and base, and its argument with or without parentheses.
    fn call(&mut self, mut function: Function) -> Parsed<Expr> {
        let mut power = None;
        let mut base = None;
        loop {
            if self.is_sign('^') && power.is_none() {
                self.at += 1;
                power = Some(self.script()?);
            } else if self.is_sign('_') && base.is_none() {
                self.at += 1;
                base = Some(self.script()?);
            } else {
                break;
            }
        }
        if let Some(Expr::Number(n)) = &power
            && *n == BigRational::from_integer((-1).into())
            && let Some(inverse) = function.inverse()
        {
            (function, power) = (inverse, None);
        }
        let mut arguments = if self.take_sign('(') {
            let items = self.brackets(|p| p.items())?;
            self.expect(')')?;
            items
        } else if function.takes_list() {
            if !self.is_sign('L') && !self.is_sign('{') {
                return Err("a function without parentheses");
            }
            match self.atom()? {
                Expr::Set(items) | Expr::List(items) | Expr::Tuple(items) => items,
                other => vec![other],
            }
        } else {
            vec![self.bare_argument()?]
        };
        match function {
            Function::Log => arguments.insert(0, base.unwrap_or(Expr::integer(10))),
            _ if base.is_some() => return Err("a function with a subscript"),
            _ => {}
        }
        let expected = match function {
            Function::Log | Function::Binomial => 2..=2,
            f if f.takes_list() => 1..=64,
            _ => 1..=1,
        };
        if !expected.contains(&arguments.len()) {
            return Err("a function with another number of arguments");
        }
        let call = Expr::Call(function, arguments);
        Ok(match power {
            Some(power) => Expr::Power(call.boxed(), power.boxed()),
            None => call,
        })
    }

    /// `2x` of `\sin 2x \cos y`: factors up to an operator or another function.
    fn bare_argument(&mut self) -> Parsed<Expr> {
        let mut factors = vec![self.signed_factor()?];
        while self.starts_factor() {
            if matches!(self.peek(), Some(Token::Command(name)) if Function::named(name).is_some())
                || self.is_sign('(')
                || self.is_sign('|')
            {
                break;
            }
            factors.push(self.power()?);
        }
        Ok(if factors.len() == 1 { factors.remove(0) } else { Expr::Product(factors) })
    }

    /// `\sum_{k=1}^{n} body`.
    fn series(&mut self, product: bool) -> Parsed<Expr> {
        let (mut lower, mut upper) = (None, None);
        loop {
            if self.take_sign('_') {
                self.expect('{')?;
                lower = Some(self.brackets(|p| {
                    let Some(Token::Letter(name)) = p.peek() else { return Err("a sum without a variable") };
                    p.at += 1;
                    if !matches!(p.peek(), Some(Token::Relation(crate::ast::Relation::Equal))) {
                        return Err("a sum without bounds");
                    }
                    p.at += 1;
                    Ok((name.clone(), p.sum()?))
                })?);
                self.expect('}')?;
            } else if self.take_sign('^') {
                upper = Some(self.script()?);
            } else {
                break;
            }
        }
        let (Some((variable, from)), Some(to)) = (lower, upper) else { return Err("a sum without bounds") };
        let body = self.bare_series_body()?;
        Ok(Expr::Series { product, variable, from: from.boxed(), to: to.boxed(), body: body.boxed() })
    }

    fn bare_series_body(&mut self) -> Parsed<Expr> {
        let mut factors = vec![self.signed_factor()?];
        loop {
            if self.take_sign('*') {
                factors.push(self.signed_factor()?);
            } else if self.starts_factor() {
                factors.push(self.power()?);
            } else {
                break;
            }
        }
        Ok(if factors.len() == 1 { factors.remove(0) } else { Expr::Product(factors) })
    }

    /// Parentheses, tuples, points and intervals.
    fn round_or_square(&mut self, open: char) -> Parsed<Expr> {
        let mut items = self.brackets(|p| p.items())?;
        let close = match self.peek() {
            Some(Token::Sign(close @ (')' | ']'))) => *close,
            _ => return Err("a bracket isn't closed"),
        };
        self.at += 1;
        if items.is_empty() {
            return Err("empty brackets");
        }
        if items.len() == 1 {
            return match (open, close) {
                ('(', ')') | ('[', ']') => Ok(items.remove(0)),
                _ => Err("brackets that don't match"),
            };
        }
        if (open, close) != ('(', ')') && items.len() == 2 {
            let b = items.remove(1);
            let a = items.remove(0);
            return Ok(Expr::Interval(Box::new(End { value: a, open: open == '(' }), Box::new(End { value: b, open: close == ')' })));
        }
        Ok(Expr::Tuple(items))
    }

    /// `\{1, 2\}` and `\{x : x > 0\}`.
    fn set(&mut self) -> Parsed<Expr> {
        let (bars, in_set) = (std::mem::take(&mut self.bars), std::mem::replace(&mut self.in_set, true));
        let result = self.nested(|p| {
            let items = p.items()?;
            if !p.is_sign('|') && !p.is_sign(':') {
                return Ok(Expr::Set(items));
            }
            p.at += 1;
            p.in_set = false;
            let conditions = p.items()?;
            let mut items = items;
            match items.len() {
                1 => Ok(Expr::Such(items.remove(0).boxed(), conditions)),
                _ => Err("a set of several things that satisfy something"),
            }
        });
        (self.bars, self.in_set) = (bars, in_set);
        let set = result?;
        self.expect('R')?;
        Ok(set)
    }

    /// Matrices; other environments are their content.
    fn environment(&mut self, name: &str) -> Parsed<Expr> {
        if matches!(
            name,
            "aligned" | "align" | "alignat" | "gathered" | "gather" | "split" | "eqnarray" | "equation" | "multline" | "displaymath"
        ) {
            let inner = self.brackets(|p| p.rows())?;
            if self.peek() != Some(&Token::End) {
                return Err("an environment isn't closed, or isn't rows of formulas");
            }
            self.at += 1;
            return Ok(inner);
        }
        if !matches!(name, "pmatrix" | "bmatrix" | "matrix" | "vmatrix" | "Bmatrix" | "smallmatrix" | "array" | "cases") {
            return Err("an environment that isn't known");
        }
        if name == "array" && self.is_sign('{') {
            while !self.take_sign('}') {
                self.at += 1;
                if self.peek().is_none() {
                    return Err("an environment isn't closed");
                }
            }
        }
        let mut rows = vec![Vec::new()];
        loop {
            match self.peek() {
                Some(Token::Sign('&')) => self.at += 1,
                Some(Token::Sign('n')) => {
                    self.at += 1;
                    rows.push(Vec::new());
                }
                Some(Token::Command(name)) if name == "hline" => self.at += 1,
                Some(Token::End) => {
                    self.at += 1;
                    break;
                }
                None => return Err("an environment isn't closed"),
                Some(_) => {
                    let (bars, in_set) = (std::mem::take(&mut self.bars), std::mem::take(&mut self.in_set));
                    let entry = self.relation();
                    (self.bars, self.in_set) = (bars, in_set);
                    rows.last_mut().expect("never empty").push(entry?);
                }
            }
        }
        rows.retain(|row| !row.is_empty());
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return Err("a matrix whose rows differ in length");
        }
        if name == "cases" {
            // A system; with conditions beside its rows it would be a function by pieces.
            return if width == 1 { Ok(Expr::List(rows.concat())) } else { Err("a function by pieces") };
        }
        // An array of one entry is only a frame around it.
        if name == "array" && width == 1 && rows.len() == 1 {
            return rows.remove(0).pop().ok_or("an empty array");
        }
        if name == "vmatrix" {
            return if rows.len() == width && width <= 5 {
                Ok(determinant(&rows))
            } else {
                Err("a determinant that isn't square, or is too large")
            };
        }
        Ok(Expr::Matrix(rows))
    }
}
