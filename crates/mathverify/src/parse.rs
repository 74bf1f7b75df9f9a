//! Reading tokens as an expression: lists, relations, sums and products. Recursive descent with a limit on depth.

use num_rational::BigRational;
use num_traits::{One, Zero};

use crate::ast::{Expr, Relation};
use crate::remarks::without_remarks;
use crate::token::{Commas, Spaced, Token, tokenize};
use crate::words;

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 60;
/// Most tokens of a value that is looked at by itself.
const MAX_VALUE: usize = 60;
/// Most tokens of an answer.
const MAX_TOKENS: usize = 6_000;

pub(crate) type Parsed<T> = Result<T, &'static str>;

/// An answer as mathematics.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) expr: Expr,
    /// The words behind a value.
    pub(crate) unit: String,
}

/// Reads an answer.
pub(crate) fn parse(text: &str, commas: Commas) -> Parsed<Answer> {
    let tokens = tokenize(text, commas)?;
    if tokens.len() > MAX_TOKENS {
        return Err("too many tokens");
    }
    let tokens = without_remarks(tokens);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, bars: 0, unit: Vec::new(), in_set: false };
    let expr = parser.rows()?;
    while matches!(parser.peek(), Some(Token::Sign('!' | ':' | '\'' | '&'))) {
        parser.at += 1;
    }
    match parser.peek() {
        None => Ok(Answer { expr, unit: parser.unit.join(" ") }),
        Some(_) => Err("something follows that can't be read"),
    }
}

/// Tokens as one value; `None`: they are something else.
pub(crate) fn parse_value(tokens: &[Spaced]) -> Option<Expr> {
    if tokens.is_empty() || tokens.len() > MAX_VALUE {
        return None;
    }
    let mut parser = Parser { tokens, at: 0, depth: 0, bars: 0, unit: Vec::new(), in_set: false };
    let value = parser.sum().ok()?;
    (parser.at == tokens.len()).then_some(value)
}

pub(crate) struct Parser<'a> {
    pub(crate) tokens: &'a [Spaced],
    pub(crate) at: usize,
    pub(crate) depth: usize,
    /// Open `|`.
    pub(crate) bars: usize,
    /// The words behind values.
    pub(crate) unit: Vec<String>,
    /// Between `\{` and `\}`, where `|` and `:` are "such that".
    pub(crate) in_set: bool,
}

impl<'a> Parser<'a> {
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead).map(|t| &t.token)
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub(crate) fn take_sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, sign: char) -> Parsed<()> {
        if self.take_sign(sign) { Ok(()) } else { Err("a bracket isn't closed") }
    }

    /// Runs `inner` one level deeper.
    pub(crate) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err("nested too deeply");
        }
        let depth = self.depth;
        self.depth += 1;
        let result = inner(self);
        self.depth = depth;
        result
    }

    /// Items between separators: semicolons separate groups where commas occur as well.
    pub(crate) fn items(&mut self) -> Parsed<Vec<Expr>> {
        let mut groups: Vec<Vec<Expr>> = vec![Vec::new()];
        let (mut commas, mut semicolons) = (false, false);
        loop {
            match self.peek() {
                Some(Token::Comma | Token::Junction) => {
                    self.at += 1;
                    commas = true;
                    continue;
                }
                Some(Token::Semicolon) => {
                    self.at += 1;
                    semicolons = true;
                    groups.push(Vec::new());
                    continue;
                }
                None
                | Some(Token::Sign(')' | ']' | '}' | 'R' | '>' | '&' | 'n') | Token::Relation(Relation::Other("implies")) | Token::End) => {
                    break;
                }
                Some(Token::Sign('|' | ':')) if self.bars > 0 || self.in_set => break,
                Some(_) => {}
            }
            let item = self.relation()?;
            let group = groups.last_mut().expect("never empty");
            group.push(item);
            if !matches!(
                self.peek(),
                None | Some(
                    Token::Comma
                        | Token::Junction
                        | Token::Semicolon
                        | Token::Sign(')' | ']' | '}' | 'R' | '>' | '&' | 'n' | '|' | ':')
                        | Token::Relation(Relation::Other("implies"))
                        | Token::End
                )
            ) {
                return Err("something follows that can't be read");
            }
        }
        groups.retain(|g| !g.is_empty());
        if commas && semicolons && groups.iter().any(|g| g.len() > 1) {
            return Ok(groups.into_iter().map(|mut g| if g.len() == 1 { g.remove(0) } else { Expr::Tuple(g) }).collect());
        }
        Ok(groups.into_iter().flatten().collect())
    }

    /// One expression, or several as a list.
    pub(crate) fn list(&mut self) -> Parsed<Expr> {
        self.nested(|p| {
            let mut items = p.items()?;
            match items.len() {
                0 => Err("nothing there"),
                1 => Ok(items.remove(0)),
                _ => Ok(Expr::List(items)),
            }
        })
    }

    /// `a = b <= c`.
    pub(crate) fn relation(&mut self) -> Parsed<Expr> {
        let mut terms = Vec::new();
        let mut relations = Vec::new();
        if matches!(self.peek(), Some(Token::Relation(Relation::Equal | Relation::Approximately | Relation::Other("sim" | "to")))) {
            // "= 5".
            self.at += 1;
        }
        let first = self.sets()?;
        terms.push(match self.peek() {
            Some(Token::Command(name)) if name == "over" => {
                self.at += 1;
                Expr::Quotient(first.boxed(), self.sets()?.boxed())
            }
            Some(Token::Command(name)) if name == "choose" => {
                self.at += 1;
                Expr::Call(crate::ast::Function::Binomial, vec![first, self.sets()?])
            }
            _ => first,
        });
        loop {
            self.continued();
            let relation = match self.peek() {
                Some(Token::Relation(Relation::Other("implies"))) => break,
                Some(Token::Relation(relation)) => *relation,
                Some(Token::Sign(':')) if self.peek_at(1) == Some(&Token::Relation(Relation::Equal)) => {
                    self.at += 1;
                    Relation::Equal
                }
                Some(Token::Command(name)) if name == "not" => match self.peek_at(1) {
                    Some(Token::Relation(Relation::Equal)) => {
                        self.at += 1;
                        Relation::NotEqual
                    }
                    _ => return Err("`\\not` before something else than `=`"),
                },
                _ => break,
            };
            self.at += 1;
            // An alignment mark: `&=`, `=&`.
            self.take_sign('&');
            relations.push(relation);
            terms.push(self.sets()?);
        }
        Ok(if relations.is_empty() { terms.remove(0) } else { Expr::Chain(terms, relations) })
    }

    /// Unions, intersections and differences of sets, from the left.
    fn sets(&mut self) -> Parsed<Expr> {
        let first = self.ratio()?;
        let mut unions = vec![first];
        while let Some(Token::Command(name)) = self.peek() {
            match name.as_str() {
                "cup" | "bigcup" => {
                    self.at += 1;
                    unions.push(self.ratio()?);
                }
                "cap" => {
                    self.at += 1;
                    let right = self.ratio()?;
                    match unions.pop() {
                        Some(Expr::Intersection(mut all)) => {
                            all.push(right);
                            unions.push(Expr::Intersection(all));
                        }
                        Some(left) => unions.push(Expr::Intersection(vec![left, right])),
                        None => {}
                    }
                }
                "setminus" | "backslash" | "smallsetminus" => {
                    self.at += 1;
                    let right = self.ratio()?;
                    match unions.pop() {
                        Some(Expr::Difference(left, removed)) => {
                            let removed = match *removed {
                                Expr::Union(mut all) => {
                                    all.push(right);
                                    Expr::Union(all)
                                }
                                one => Expr::Union(vec![one, right]),
                            };
                            unions.push(Expr::Difference(left, removed.boxed()));
                        }
                        Some(left) => unions.push(Expr::Difference(left.boxed(), right.boxed())),
                        None => {}
                    }
                }
                _ => break,
            }
        }
        Ok(if unions.len() == 1 { unions.remove(0) } else { Expr::Union(unions) })
    }

    fn ratio(&mut self) -> Parsed<Expr> {
        let first = self.sum()?;
        let mut all = vec![first];
        while !self.in_set
            && self.is_sign(':')
            && !matches!(self.peek_at(1), None | Some(Token::Relation(_)))
            && !matches!(all.last(), Some(Expr::Text(_)))
        {
            self.at += 1;
            all.push(self.sum()?);
        }
        if self.is_sign(':') && all.len() == 1 && matches!(all[0], Expr::Text(_)) && self.peek_at(1).is_some() {
            // "Area: 5", but not "Not 5: ...".
            if let Expr::Text(label) = &all[0]
                && label.split(' ').any(|word| matches!(words::class(word), Some(words::Class::Negation | words::Class::Denial)))
            {
                return Err("a label that denies");
            }
            self.at += 1;
            return self.sum();
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expr::Ratio(all) })
    }

    /// Terms with signs; a sign before `±` belongs to it.
    pub(crate) fn sum(&mut self) -> Parsed<Expr> {
        let mut terms = Vec::new();
        loop {
            let mut negative = false;
            let mut plus_minus = None;
            let mut signs = 0;
            loop {
                match self.peek() {
                    Some(Token::Sign('-')) => negative = !negative,
                    Some(Token::Sign('+')) => {}
                    Some(Token::Command(name)) if name == "pm" || name == "mp" => plus_minus = Some(name == "pm"),
                    _ => break,
                }
                signs += 1;
                self.at += 1;
            }
            if signs == 0 && !terms.is_empty() {
                break;
            }
            let term = self.product()?;
            let term = match plus_minus {
                Some(plus) => Expr::PlusMinus(plus ^ negative, term.boxed()),
                None if negative => negate(term),
                None => term,
            };
            terms.push(term);
            if !matches!(self.peek(), Some(Token::Sign('+' | '-')))
                && !matches!(self.peek(), Some(Token::Command(name)) if name == "pm" || name == "mp")
            {
                break;
            }
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Expr::Sum(terms) })
    }

    /// Factors with `*`, `/` or nothing between, and unit words behind.
    fn product(&mut self) -> Parsed<Expr> {
        self.nested(Self::factors)
    }

    fn factors(&mut self) -> Parsed<Expr> {
        let mut factors = vec![self.signed_factor()?];
        loop {
            match self.peek() {
                Some(Token::Sign('*')) => {
                    self.at += 1;
                    factors.push(self.signed_factor()?);
                }
                Some(Token::Sign('/')) => {
                    self.at += 1;
                    if let Some(Token::Word(_)) = self.peek() {
                        self.unit_words()?;
                        continue;
                    }
                    let divisor = self.signed_factor()?;
                    let last = factors.pop().expect("never empty");
                    factors.push(match (last.literal(), divisor.literal(), &last, &divisor) {
                        (Some(a), Some(b), Expr::Number(_), Expr::Number(_)) if !b.is_zero() && factors.is_empty() => Expr::Number(a / b),
                        _ => Expr::Quotient(last.boxed(), divisor.boxed()),
                    });
                    // Each division nests the ones before it.
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err("nested too deeply");
                    }
                }
                Some(Token::Word(_)) => {
                    if matches!(factors.last(), Some(Expr::Text(_))) {
                        return Err("words that are no unit");
                    }
                    // "2.5 million".
                    if let Some(scale) = self.scale_word() {
                        factors.push(scale);
                        continue;
                    }
                    self.unit_words()?;
                }
                Some(Token::Command(name)) if matches!(name.as_str(), "pmod" | "bmod" | "mod") => {
                    self.at += 1;
                    let modulus = self.signed_factor()?;
                    let value = if factors.len() == 1 { factors.remove(0) } else { Expr::Product(std::mem::take(&mut factors)) };
                    factors = vec![Expr::Opaque("mod".into(), vec![value, modulus])];
                }
                _ if self.starts_factor() => factors.push(self.power()?),
                _ => break,
            }
        }
        Ok(if factors.len() == 1 { factors.remove(0) } else { Expr::Product(factors) })
    }

    /// Whether a factor can begin here without a sign of multiplication.
    pub(crate) fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Begin(_)) => true,
            Some(Token::Sign('(' | '{' | 'L' | '<')) => true,
            Some(Token::Sign('[')) => true,
            Some(Token::Sign('|')) => self.bars == 0 && !self.in_set,
            Some(Token::Command(name)) => !matches!(
                name.as_str(),
                "cup"
                    | "cap"
                    | "setminus"
                    | "backslash"
                    | "smallsetminus"
                    | "bigcup"
                    | "pm"
                    | "mp"
                    | "not"
                    | "pmod"
                    | "bmod"
                    | "mod"
                    | "rfloor"
                    | "rceil"
                    | "over"
                    | "choose"
            ),
            _ => false,
        }
    }

    /// A factor with signs before it.
    pub(crate) fn signed_factor(&mut self) -> Parsed<Expr> {
        let mut negative = false;
        while let Some(Token::Sign(sign @ ('-' | '+'))) = self.peek() {
            negative ^= *sign == '-';
            self.at += 1;
        }
        let factor = self.power()?;
        Ok(if negative { negate(factor) } else { factor })
    }

    /// An atom with what stands behind it: powers, `!`, `%`, degrees.
    pub(crate) fn power(&mut self) -> Parsed<Expr> {
        let depth = self.depth;
        let result = self.nested(|p| {
            let mut base = p.atom()?;
            loop {
                match p.peek() {
                    Some(Token::Sign('^')) => {
                        p.at += 1;
                        base = p.raise(base)?;
                    }
                    Some(Token::Sign('!')) => {
                        p.at += 1;
                        let double = p.take_sign('!');
                        let function = if double { crate::ast::Function::DoubleFactorial } else { crate::ast::Function::Factorial };
                        base = Expr::Call(function, vec![base]);
                    }
                    Some(Token::Sign('%')) => {
                        p.at += 1;
                        base = Expr::Percent(base.boxed());
                    }
                    Some(Token::Sign('°')) => {
                        p.at += 1;
                        base = Expr::Degrees(base.boxed());
                    }
                    _ => return Ok(base),
                }
                // Each of them nests the ones before it.
                p.depth += 1;
                if p.depth > MAX_DEPTH {
                    return Err("nested too deeply");
                }
            }
        });
        self.depth = depth;
        result
    }

    /// Reads what stands behind `^`.
    fn raise(&mut self, base: Expr) -> Parsed<Expr> {
        if self.take_sign('°') {
            return Ok(Expr::Degrees(base.boxed()));
        }
        if self.is_sign('{') && self.peek_at(1) == Some(&Token::Sign('°')) && self.peek_at(2) == Some(&Token::Sign('}')) {
            self.at += 3;
            return Ok(Expr::Degrees(base.boxed()));
        }
        if self.take_sign('\'') {
            return Ok(prime(base));
        }
        let mut exponent = self.script()?;
        if self.is_sign('^') {
            self.at += 1;
            exponent = self.nested(|p| p.raise(exponent))?;
        }
        Ok(Expr::Power(base.boxed(), exponent.boxed()))
    }

    /// What stands behind `^` or `_`: a group, or a sign and one token.
    pub(crate) fn script(&mut self) -> Parsed<Expr> {
        self.nested(|p| {
            let mut negative = false;
            while let Some(Token::Sign(sign @ ('-' | '+'))) = p.peek() {
                negative ^= *sign == '-';
                p.at += 1;
            }
            let value = match p.peek() {
                // One token: `\log_2 8` has base 2.
                Some(Token::Number(digits)) => {
                    p.at += 1;
                    crate::atom::decimal(digits)?
                }
                _ => p.atom()?,
            };
            Ok(if negative { negate(value) } else { value })
        })
    }
}

/// `-a`, folded for numbers.
pub(crate) fn negate(a: Expr) -> Expr {
    match a {
        Expr::Number(n) => Expr::Number(-n),
        Expr::Decimal(n, places) => Expr::Decimal(-n, places),
        other => Expr::Negative(other.boxed()),
    }
}

/// `f'`.
pub(crate) fn prime(base: Expr) -> Expr {
    match base {
        Expr::Symbol(name) => Expr::Symbol(format!("{name}'")),
        other => Expr::Opaque("prime".into(), vec![other]),
    }
}

/// `10^places`.
pub(crate) fn power_of_ten(places: usize) -> BigRational {
    let mut out = BigRational::one();
    let ten = BigRational::from_integer(10.into());
    for _ in 0..places {
        out *= &ten;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text, Commas::Thousands).map_or_else(|e| format!("error: {e}"), |answer| answer.expr.to_string())
    }

    #[test]
    fn expressions() {
        for (text, expected) in [
            (r"2\frac{2}{3}", "8/3"),
            ("2 2/3", "8/3"),
            ("22/3", "22/3"),
            (r"\frac12x", "((1 / 2) * x)"),
            (r"\frac1{20}", "1/20"),
            (r"\sqrt2+1", "(root(2, 2) + 1)"),
            (r"\sqrt[3]{x}", "root(3, x)"),
            ("1,234,567.5", "2469135/2"),
            ("(1,234)", "(1, 234)"),
            (r"101_2", "5"),
            (r"0.\overline{3}", "1/3"),
            ("2^3^2", "2^3^2"),
            ("-x^2", "-x^2"),
            (r"2\sin b\cos a", "(2 * sin(b) * cos(a))"),
            (r"\sin^{-1}x", "arcsin(x)"),
            (r"\log_2 8", "log(2, 8)"),
            ("|x-|y||", "abs((x + -abs(y)))"),
            ("[0,1)", "[0, 1)"),
            (r"\{1,2\}", "{1, 2}"),
            (r"\{x \mid x>1\}", "{x : x > 1}"),
            ("1<x\\le 2", "1 < x <= 2"),
            ("p=5,q=2;p=7,q=2", "(p = 5, q = 2), (p = 7, q = 2)"),
            ("x=1 or x=2", "x = 1, x = 2"),
            ("3:45", "3:45"),
            (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1, 2][3, 4]]"),
            (r"5\text{ cm}^2", "5"),
            ("60 km/h", "60"),
            (r"30^\circ", "30 degrees"),
            (r"28\%", "28%"),
            (r"1 \pm \sqrt{19}", "(1 + +-root(2, 19))"),
            (r"\sum_{k=1}^{n} k^2", "sum(k^2, k=1..n)"),
            (r"\binom{5}{2}", "binomial(5, 2)"),
            (r"5!", "factorial(5)"),
            ("6.02e23", "602000000000000000000000"),
            ("1 000", "1000"),
            (r"x_{n+1}", "x_(n + 1)"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        for text in ["", "(", "1 2", "x^", r"\frac{1}", "[1,2", r"\begin{pmatrix}1&2\\3\end{pmatrix}", "12_2", "a)"] {
            assert!(parse(text, Commas::Thousands).is_err(), "{text}: {}", read(text));
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        for unit in [
            "(",
            "{",
            "-",
            "|",
            r"\frac",
            r"\sqrt",
            "x^",
            "1/",
            "[",
            r"\{",
            r"\sin",
            "!",
            r"\left(",
            "x'",
            "1,",
            "=",
            r"\sum_{k=1}^2",
            "_",
            r"\text{",
        ] {
            for count in [100, 5_000, 100_000] {
                let text = unit.repeat(count);
                let _ = parse(&text, Commas::Thousands);
                let _ = parse(&format!("x{text}1"), Commas::Separators);
            }
        }
    }
}
