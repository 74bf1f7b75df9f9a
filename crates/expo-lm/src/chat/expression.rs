//! Jinja2's expressions, written as MiniJinja reads them.
//!
//! Where an operator does something else on Python's values than on MiniJinja's, it becomes a call of one of [`super::operators`]: `a % b` is
//! `__mod__(a, b)`. Everything else is copied, token by token, so that lines stay the same.

use std::collections::BTreeSet;

use super::lexer::{Fault, Kind, Token};
use super::strings::unescaped;
use super::{filters, methods, tests};

/// Most expressions in one another.
const DEPTH: usize = 70;

/// Longest operand that becomes an argument.
const OPERAND: usize = 1 << 14;

/// Most arguments that one call gets.
const ARGUMENTS: usize = 500;

/// Most terms of a sum of lists that MiniJinja sees as one.
const TERMS: usize = 8;

/// Filters, functions and methods that chat templates can't have here, and what to do.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("random", "it gives another item each time; take `first`"),
    ("lipsum", "it gives another text each time; write the text itself"),
    ("urlize", "it writes HTML; write the text itself"),
    ("encode", "templates have no bytes; write the text itself"),
    ("maketrans", "use `replace`"),
    ("translate", "use `replace`"),
];

/// Reads a tag's tokens.
pub(super) struct Expressions<'t, 's> {
    tokens: &'t [Token<'s>],
    at: usize,
    /// The line that is written.
    pub(super) line: usize,
    depth: usize,
    /// Whether an unknown filter or test is an error only where it is used, as under a condition.
    is_conditional: bool,
    /// Names of variables that were read.
    pub(super) names: BTreeSet<String>,
}

impl<'t, 's> Expressions<'t, 's> {
    pub(super) fn new(tokens: &'t [Token<'s>], line: usize, is_conditional: bool) -> Self {
        let is_conditional = is_conditional || tokens.iter().skip(1).any(|token| token.is("if"));
        Self { tokens, at: 0, line, depth: 0, is_conditional, names: BTreeSet::new() }
    }

    pub(super) fn next(&self) -> Option<&'t Token<'s>> {
        self.tokens.get(self.at)
    }

    pub(super) fn is(&self, source: &str) -> bool {
        self.next().is_some_and(|token| token.is(source))
    }

    fn is_kind(&self, kind: Kind) -> bool {
        self.next().is_some_and(|token| token.kind == kind)
    }

    /// The next token, written with the line breaks before it.
    pub(super) fn take(&mut self) -> String {
        let Some(token) = self.next() else { return String::new() };
        self.at += 1;
        let mut out = "\n".repeat(token.line.saturating_sub(self.line));
        self.line = self.line.max(token.line);
        out.push_str(token.source);
        out
    }

    /// The same where it is `source`.
    pub(super) fn take_if(&mut self, source: &str) -> Option<String> {
        self.is(source).then(|| self.take())
    }

    pub(super) fn expect(&mut self, source: &str) -> Result<String, Fault> {
        self.take_if(source).map_or_else(|| self.unexpected(&format!("`{source}`")), Ok)
    }

    pub(super) fn name(&mut self) -> Result<String, Fault> {
        if self.is_kind(Kind::Name) { Ok(self.take()) } else { self.unexpected("a name") }
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.at == self.tokens.len() { Ok(()) } else { self.unexpected("the end of the tag") }
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T, Fault> {
        let found = self.next().map_or("the end of the tag".to_owned(), |token| format!("`{}`", token.source));
        self.fault(format!("found {found}, expected {expected}"))
    }

    pub(super) fn fault<T>(&self, message: String) -> Result<T, Fault> {
        Err(Fault { line: self.next().map_or(self.line, |token| token.line), message })
    }

    /// One or more expressions; with a comma they are a tuple. `ends`: a name that ends them.
    pub(super) fn tuple(&mut self, with_condition: bool, ends: &str) -> Result<String, Fault> {
        let first = self.item(with_condition)?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut out = format!("({first}");
        while let Some(comma) = self.take_if(",") {
            out.push_str(&comma);
            if self.next().is_none() || self.is(")") || self.is("]") || self.is(":") || self.is(ends) {
                break;
            }
            out.push_str(&self.item(with_condition)?);
        }
        out.push(')');
        Ok(out)
    }

    fn item(&mut self, with_condition: bool) -> Result<String, Fault> {
        if with_condition { self.expression() } else { self.or() }
    }

    /// An expression with conditions: `a if b else c`.
    pub(super) fn expression(&mut self) -> Result<String, Fault> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fault(format!("an expression nests more than {DEPTH} deep"));
        }
        let mut out = self.or()?;
        while let Some(word) = self.take_if("if") {
            let condition = self.or()?;
            out.extend([" ", &word, " ", &condition]);
            if let Some(word) = self.take_if("else") {
                let other = self.or()?;
                out.extend([" ", &word, " ", &other]);
            }
        }
        self.depth -= 1;
        Ok(out)
    }

    fn or(&mut self) -> Result<String, Fault> {
        let mut out = self.negation()?;
        while self.is("or") || self.is("and") {
            let word = self.take();
            out.extend([" ", &word, " ", &self.negation()?]);
        }
        Ok(out)
    }

    fn negation(&mut self) -> Result<String, Fault> {
        let mut out = String::new();
        while let Some(word) = self.take_if("not") {
            out.extend([&word, " "]);
        }
        Ok(out + &self.comparison()?)
    }

    fn comparison(&mut self) -> Result<String, Fault> {
        let mut left = self.sum()?;
        let mut links = Vec::new();
        loop {
            let negated = self.is("not") && self.tokens.get(self.at + 1).is_some_and(|token| token.is("in"));
            let before = if negated { self.take().replace("not", "") } else { String::new() };
            let Some(operator) = ["==", "!=", "<", "<=", ">", ">=", "in"].into_iter().find(|operator| self.is(operator)) else { break };
            let word = before + &self.take().replace(operator, "");
            let right = self.sum()?;
            let link = match operator {
                // With a text, a number or a constant there is nothing to look into.
                "==" | "!=" if is_constant(&left) || is_constant(&right) => format!("{left}{word} {operator} {right}"),
                "==" => format!("__eq__({left},{word} {right})"),
                "!=" => format!("not __eq__({left},{word} {right})"),
                "in" if negated => format!("not __in__({left},{word} {right})"),
                "in" => format!("__in__({left},{word} {right})"),
                "<" => format!("__lt__({left},{word} {right})"),
                "<=" => format!("__le__({left},{word} {right})"),
                ">" => format!("__gt__({left},{word} {right})"),
                _ => format!("__ge__({left},{word} {right})"),
            };
            links.push(link);
            // Stands in the next comparison again, without its line breaks.
            left = right.replace('\n', " ");
        }
        Ok(match links.len() {
            0 => left,
            1 => links.swap_remove(0),
            _ => format!("(({}))", links.join(") and (")),
        })
    }

    /// Sums of lists are bounded (`__bounded__`) in groups of [`TERMS`]; a sum that has a literal in it is of text or of numbers, or an error.
    fn sum(&mut self) -> Result<String, Fault> {
        let mut out = self.concatenation()?;
        let (mut literal, mut terms, mut number) = (is_literal(&out), 1, 1);
        let (mut is_of_literals, mut is_joined) = (literal, false);
        while self.is("+") || self.is("-") {
            is_joined |= self.is("+");
            let operator = self.take();
            let right = self.concatenation()?;
            literal |= is_literal(&right);
            is_of_literals |= number == 1 && literal;
            if terms == TERMS && !is_of_literals {
                (out, terms) = (format!("__bounded__({out})"), 1);
            }
            out.extend([" ", &operator, " ", &right]);
            (terms, number) = (terms + 1, number + 1);
        }
        Ok(if is_joined && !literal { format!("__bounded__({out})") } else { out })
    }

    fn concatenation(&mut self) -> Result<String, Fault> {
        let mut pieces = vec![self.product()?];
        while let Some(operator) = self.take_if("~") {
            let piece = operator.replace('~', "") + &self.product()?;
            pieces.push(piece);
            if pieces.len() == ARGUMENTS {
                pieces = vec![format!("__concat__({})", pieces.join(", "))];
            }
        }
        Ok(if pieces.len() == 1 { pieces.swap_remove(0) } else { format!("__concat__({})", pieces.join(", ")) })
    }

    /// Products that may be of a list are bounded (`__bounded__`).
    fn product(&mut self) -> Result<String, Fault> {
        let mut out = self.power()?;
        let mut is_repeated = false;
        while let Some(operator) = ["*", "/", "//", "%"].into_iter().find(|operator| self.is(operator)) {
            let word = self.take();
            let right = self.power()?;
            if operator == "%" {
                (out, is_repeated) = (format!("__mod__({out},{} {right})", word.replace('%', "")), false);
            } else {
                let is_plain = is_text(&out) || is_text(&right) || (is_literal(&out) && is_literal(&right));
                is_repeated |= operator == "*" && !is_plain;
                out = format!("{out} {word} {right}");
            }
        }
        Ok(if is_repeated { format!("__bounded__({out})") } else { out })
    }

    fn power(&mut self) -> Result<String, Fault> {
        let mut out = self.signed()?;
        while let Some(operator) = self.take_if("**") {
            out.extend([" ", &operator, " ", &self.signed()?]);
        }
        Ok(out)
    }

    /// An operand with its signs, attributes, calls, filters and tests.
    fn signed(&mut self) -> Result<String, Fault> {
        let mut signs = String::new();
        let (mut count, mut negative) = (0, false);
        while self.is("-") || self.is("+") {
            negative ^= self.is("-");
            count += 1;
            signs.push_str(&self.take().replace('+', ""));
        }
        let is_number = self.is_kind(Kind::Integer) || self.is_kind(Kind::Float);
        let operand = self.postfix()?;
        // A number takes its signs as they are; what they do to other values is Python's.
        self.filtered(match (count, is_number) {
            (0, _) => operand,
            (_, true) => signs + &operand,
            _ => format!("{}{}({operand})", signs.replace('-', ""), if negative { "__neg__" } else { "__pos__" }),
        })
    }

    /// An operand with attributes, items and calls.
    fn postfix(&mut self) -> Result<String, Fault> {
        let mut out = self.primary()?;
        loop {
            if let Some(dot) = self.take_if(".") {
                if !self.is_kind(Kind::Name) && !self.is_kind(Kind::Integer) {
                    return self.unexpected("a name or number");
                }
                let attribute = self.take();
                if self.is("(") {
                    self.check_support(&attribute)?;
                }
                let is_method = methods::NAMES.contains(&attribute.trim()) && !self.is("(");
                if is_method {
                    out = self.call("__getattr__", &out, &format!("{} {:?}", dot.replace('.', ""), attribute.trim()))?;
                } else {
                    out.extend([&*dot, &attribute]);
                }
            } else if self.is("[") {
                out = self.subscript(out)?;
            } else if self.is("(") {
                out += &self.arguments()?;
            } else {
                return Ok(out);
            }
        }
    }

    fn subscript(&mut self, value: String) -> Result<String, Fault> {
        let open = self.take();
        let only_string = self.is_kind(Kind::Text) && self.tokens.get(self.at + 1).is_some_and(|token| token.is("]"));
        let is_method = only_string && self.next().is_some_and(|token| methods::NAMES.contains(&token.source.trim_matches(['\'', '"'])));
        let start = if self.is(":") { None } else { Some(self.tuple(true, "")?) };
        let Some(colon) = self.take_if(":") else {
            let close = self.expect("]")?;
            let key = start.unwrap_or_default();
            return if is_method { self.call("__getitem__", &value, &format!(" {key}")) } else { Ok(value + &open + &key + &close) };
        };
        let mut parts = vec![start.unwrap_or_else(|| "none".to_owned()), colon.replace(':', "")];
        for _ in 0..2 {
            let given = !self.is("]") && !self.is(":") && !self.is(",");
            let part = if given { self.expression()? } else { "none".to_owned() };
            let colon = self.take_if(":").unwrap_or_default();
            parts.extend([part, colon.replace(':', "")]);
        }
        let close = self.expect("]")?.replace(']', "");
        let [start, line, stop, line2, step, line3] = &parts[..] else { return self.unexpected("a slice") };
        self.call("__slice__", &value, &format!(" {start},{line} {stop},{line2} {step}{line3}{close}"))
    }

    /// A call of an operator's function on `value`, with arguments that follow a comma.
    fn call(&self, name: &str, value: &str, rest: &str) -> Result<String, Fault> {
        if value.len() > OPERAND {
            return self.fault(format!("an operand of more than {OPERAND} bytes; set a variable to a part of it"));
        }
        Ok(format!("{name}({value},{rest})"))
    }

    /// Arguments of a call, in parentheses.
    fn arguments(&mut self) -> Result<String, Fault> {
        let mut out = self.expect("(")?;
        while !self.is(")") {
            if self.is("*") || self.is("**") {
                out.push_str(&self.take());
            } else if self.is_kind(Kind::Name) && self.tokens.get(self.at + 1).is_some_and(|token| token.is("=")) {
                out.push_str(&self.take());
                out.push_str(&self.take());
            }
            out.push_str(&self.expression()?);
            match self.take_if(",") {
                Some(comma) => out.push_str(&comma),
                None => break,
            }
        }
        Ok(out + &self.expect(")")?)
    }

    fn filtered(&mut self, operand: String) -> Result<String, Fault> {
        let mut out = operand;
        loop {
            if self.is("|") {
                out += &self.filter()?;
            } else if self.is("is") {
                out = out + " " + &self.test()?;
            } else if self.is("(") {
                out = format!("({out}){}", self.arguments()?);
            } else {
                return Ok(out);
            }
        }
    }

    /// One filter, with the `|` before it.
    pub(super) fn filter(&mut self) -> Result<String, Fault> {
        let bar = self.expect("|")?;
        Ok(bar + &self.filter_call()?)
    }

    /// A filter's name and arguments.
    pub(super) fn filter_call(&mut self) -> Result<String, Fault> {
        let name = self.dotted()?;
        self.check_support(&name)?;
        self.check("filter", &name, filters::NAMES)?;
        Ok(if self.is("(") { name + &self.arguments()? } else { name })
    }

    fn dotted(&mut self) -> Result<String, Fault> {
        let mut name = self.name()?;
        while let Some(dot) = self.take_if(".") {
            name = name + &dot + &self.name()?;
        }
        Ok(name)
    }

    /// Refuses what Jinja2 has and is not supported here.
    fn check_support(&self, name: &str) -> Result<(), Fault> {
        match UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name.trim()) {
            Some((name, why)) => Err(Fault { line: self.line, message: format!("`{name}` is not supported: {why}") }),
            None => Ok(()),
        }
    }

    /// Jinja2 refuses what it doesn't know when a template is compiled, but for what stands under a condition.
    fn check(&self, what: &str, name: &str, known: &[&str]) -> Result<(), Fault> {
        if self.is_conditional || known.contains(&name.trim()) {
            return Ok(());
        }
        Err(Fault { line: self.line, message: format!("unknown {what} `{}`; expected one of Jinja2's", name.trim()) })
    }

    fn test(&mut self) -> Result<String, Fault> {
        let mut out = self.take() + " ";
        if let Some(word) = self.take_if("not") {
            out.extend([&word, " "]);
        }
        let name = self.dotted()?;
        self.check("test", &name, tests::NAMES)?;
        out += &name;
        if self.is("(") {
            return Ok(out + &self.arguments()?);
        }
        let begins = self.next().is_some_and(|token| token.kind != Kind::Operator || matches!(token.source, "[" | "{"));
        if begins && !["else", "or", "and"].iter().any(|word| self.is(word)) {
            if self.is("is") {
                return self.fault("tests can't be chained with `is`; put the first in parentheses".to_owned());
            }
            out = format!("{out}({})", self.postfix()?);
        }
        Ok(out)
    }

    fn primary(&mut self) -> Result<String, Fault> {
        match self.next().map(|token| token.kind) {
            Some(Kind::Name) => {
                if ["and", "or", "not", "in", "is", "if", "else"].iter().any(|word| self.is(word)) {
                    return self.unexpected("an expression");
                }
                let name = self.take();
                if self.is("(") {
                    self.check_support(&name)?;
                }
                if !matches!(name.trim(), "true" | "True" | "false" | "False" | "none" | "None") {
                    self.names.insert(name.trim().to_owned());
                }
                Ok(name)
            }
            Some(Kind::Text) => {
                let mut out = String::new();
                let mut text = String::new();
                while let Some(token) = self.next().filter(|token| token.kind == Kind::Text) {
                    let inside = &token.source[1..token.source.len() - 1];
                    text += &unescaped(inside).map_err(|message| Fault { line: token.line, message })?;
                    out.push_str(&"\n".repeat(token.line.saturating_sub(self.line)));
                    self.line = self.line.max(token.line);
                    self.at += 1;
                }
                out.push('"');
                for c in text.chars() {
                    match c {
                        '"' | '\\' => out.extend(['\\', c]),
                        '\n' => out.push_str("\\n"),
                        c => out.push(c),
                    }
                }
                out.push('"');
                Ok(out)
            }
            Some(Kind::Integer | Kind::Float) => Ok(self.take()),
            _ if self.is("(") => self.parenthesised(),
            _ if self.is("[") => self.list(),
            _ if self.is("{") => self.mapping(),
            _ => self.unexpected("an expression"),
        }
    }

    fn parenthesised(&mut self) -> Result<String, Fault> {
        let open = self.take();
        if let Some(close) = self.take_if(")") {
            return Ok(open + &close);
        }
        let first = self.expression()?;
        let mut out = open + &first;
        while let Some(comma) = self.take_if(",") {
            out.push_str(&comma);
            if self.is(")") {
                break;
            }
            out.push_str(&self.expression()?);
        }
        Ok(out + &self.expect(")")?)
    }

    fn list(&mut self) -> Result<String, Fault> {
        let mut out = self.take();
        while !self.is("]") {
            out.push_str(&self.expression()?);
            match self.take_if(",") {
                Some(comma) => out.push_str(&comma),
                None => break,
            }
        }
        Ok(out + &self.expect("]")?)
    }

    fn mapping(&mut self) -> Result<String, Fault> {
        // A space parts it from the brace of the tag's end or of another mapping.
        let mut out = self.take() + " ";
        while !self.is("}") {
            let key = self.expression()?;
            out.push_str(&if is_constant(&key) { key } else { format!("__key__({key})") });
            out.push_str(&self.expect(":")?);
            out.push_str(&self.expression()?);
            match self.take_if(",") {
                Some(comma) => out.push_str(&comma),
                None => break,
            }
        }
        Ok(out + " " + &self.expect("}")?)
    }
}

/// Whether what was written is one text in quotes.
fn is_text(written: &str) -> bool {
    let Some(inside) = written.trim().strip_prefix('"') else { return false };
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end == Some(inside.len() - 1)
}

/// Whether what was written is one text, number or constant.
fn is_constant(written: &str) -> bool {
    is_literal(written) || matches!(written.trim(), "true" | "True" | "false" | "False" | "none" | "None")
}

/// Whether what was written is one text or number.
fn is_literal(written: &str) -> bool {
    let number = written.trim();
    is_text(written)
        || number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
}
