//! Numbers as Python reads and writes them.

use minijinja::{Error, State, Value};

use super::errors::kind_error;
use super::floats::{digits, float};
use super::python::{Py, kind, pay, type_name};

/// Longest width or precision of a format.
const MOST_WIDTH: usize = 9999;

/// `float(value)` of a number.
pub(super) fn as_float(value: &Value) -> f64 {
    // MiniJinja gives none for a bool, nor for an integer that a float only comes near to.
    match kind(value) {
        Py::Bool(value) => f64::from(value),
        Py::Float(number) => number,
        _ => value.to_string().parse().unwrap_or(f64::NAN),
    }
}

/// `float(text)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = plain_digits(text)?;
    let unsigned = text.trim_start_matches(['+', '-']);
    let named = ["inf", "infinity", "nan"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if !named && (unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))) {
        return None;
    }
    text.parse().ok()
}

/// `int(number)` of a float. Errors: one that has none, or one that is too large here.
pub(super) fn truncated(number: f64) -> Result<Value, Error> {
    if !number.is_finite() {
        return kind_error("cannot convert float infinity or NaN to integer");
    }
    if number.abs() >= i128::MAX as f64 {
        return kind_error("int: a number of more than 38 digits is not supported");
    }
    Ok(Value::from(number.trunc() as i128))
}

/// `int(text, base)`. None: not a number. Errors: one that is too large here.
pub(super) fn parse_int(text: &str, base: u32) -> Result<Option<Value>, Error> {
    let Some(text) = plain_digits(text) else { return Ok(None) };
    let (negative, mut digits) = text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(&text)), |rest| (true, rest));
    let mut base = base;
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let prefixed = match prefix.as_deref() {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 0,
    };
    if prefixed != 0 && (base == 0 || base == prefixed) {
        (base, digits) = (prefixed, &digits[2..]);
    } else if base == 0 {
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
            return Ok(None);
        }
        base = 10;
    }
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Ok(None);
    }
    match i128::from_str_radix(digits, base) {
        Ok(number) => Ok(Some(Value::from(if negative { -number } else { number }))),
        Err(_) => kind_error("int: a number of more than 38 digits is not supported"),
    }
}

/// The text of a number without white space around it or underscores between digits, with ASCII's digits. None: underscores stand elsewhere.
fn plain_digits(text: &str) -> Option<String> {
    let text: Vec<char> = text.trim_matches(super::python::is_space).chars().collect();
    let mut out = String::new();
    for (i, &c) in text.iter().enumerate() {
        let is_digit = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
        match c {
            '_' if i > 0 && is_digit(text.get(i - 1)) && is_digit(text.get(i + 1)) => {}
            '_' => return None,
            c => out.push(super::unicode::decimal(c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)),
        }
    }
    Some(out)
}

/// A format specification of `str.format`, or a conversion of `%`.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) fill: char,
    /// `<`, `>`, `^`, `=`; none: the type's own.
    pub(super) align: Option<char>,
    /// `+`, `-` or a space.
    pub(super) sign: char,
    pub(super) alternate: bool,
    pub(super) width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

impl Default for Spec {
    fn default() -> Self {
        Self { fill: ' ', align: None, sign: '-', alternate: false, width: 0, grouping: None, precision: None, kind: None }
    }
}

/// A width or precision. Errors: one that only makes work.
pub(super) fn width(text: &str) -> Result<usize, Error> {
    match text.parse() {
        Ok(width) if width <= MOST_WIDTH => Ok(width),
        _ => kind_error(format!("a width or precision of {text} in a format; expected at most {MOST_WIDTH}")),
    }
}

impl Spec {
    /// Reads `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let chars: Vec<char> = text.chars().collect();
        let mut spec = Self::default();
        let mut at = 0;
        let is_align = |at: usize| chars.get(at).copied().filter(|c| matches!(c, '<' | '>' | '^' | '='));
        if let Some(align) = is_align(1) {
            (spec.fill, spec.align, at) = (chars[0], Some(align), 2);
        } else if let Some(align) = is_align(0) {
            (spec.align, at) = (Some(align), 1);
        }
        let mut next = |accepted: &[char]| {
            let found = chars.get(at).copied().filter(|c| accepted.contains(c));
            at += usize::from(found.is_some());
            found
        };
        spec.sign = next(&['+', '-', ' ']).unwrap_or('-');
        spec.alternate = next(&['#']).is_some();
        // Zeros, unless another fill is given; inside of the sign, unless an alignment is.
        let has_fill = is_align(1).is_some();
        if next(&['0']).is_some() {
            spec.fill = if has_fill { spec.fill } else { '0' };
            spec.align = spec.align.or(Some('='));
        }
        let number = |next: &mut dyn FnMut(&[char]) -> Option<char>| {
            let mut digits = String::new();
            while let Some(digit) = next(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
                digits.push(digit);
            }
            digits
        };
        let digits = number(&mut next);
        spec.width = if digits.is_empty() { 0 } else { width(&digits)? };
        spec.grouping = next(&[',', '_']);
        if next(&['.']).is_some() {
            spec.precision = Some(width(&number(&mut next))?);
        }
        spec.kind = next(&['b', 'c', 'd', 'e', 'E', 'f', 'F', 'g', 'G', 'n', 'o', 's', 'x', 'X', '%']);
        if at == chars.len() { Ok(spec) } else { kind_error(format!("invalid format specifier '{text}'")) }
    }

    /// `format(value, spec)`.
    pub(super) fn format(&self, state: &State, value: &Value) -> Result<String, Error> {
        let unknown =
            || kind_error(format!("unknown format code '{}' for object of type '{}'", self.kind.unwrap_or('s'), type_name(value)));
        match (kind(value), self.kind) {
            (Py::Text(text), None | Some('s')) => {
                let text: String = self.precision.map_or_else(|| text.to_owned(), |precision| text.chars().take(precision).collect());
                self.pad(state, "", "", &text, '<')
            }
            (Py::Bool(_) | Py::Int, Some('b' | 'c' | 'd' | 'n' | 'o' | 'x' | 'X')) => self.integer(state, value),
            (Py::Int, None) => self.integer(state, value),
            (Py::Bool(_) | Py::Int | Py::Float(_), Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' | 'n')) | (Py::Float(_), None) => {
                self.float(state, as_float(value))
            }
            (Py::Bool(_), None) if self.width > 0 => self.integer(state, &Value::from(i64::from(value.is_true()))),
            _ if self.kind.is_none() && self.width == 0 && self.precision.is_none() && self.align.is_none() => {
                super::python::text(state, value)
            }
            (Py::Bool(_) | Py::Int | Py::Float(_) | Py::Text(_), _) => unknown(),
            _ => kind_error(format!("unsupported format string passed to {}.__format__", type_name(value))),
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (_, '+') => "+",
            (_, ' ') => " ",
            _ => "",
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, state: &State, value: &Value) -> Result<String, Error> {
        if self.precision.is_some() {
            return kind_error("precision not allowed in integer format specifier");
        }
        let (negative, size) = match i128::try_from(value.clone()) {
            Ok(number) => (number < 0, number.unsigned_abs()),
            Err(_) => (false, u128::try_from(value.clone())?),
        };
        let (prefix, text) = match self.kind {
            Some('b') => ("0b", format!("{size:b}")),
            Some('o') => ("0o", format!("{size:o}")),
            Some('x') => ("0x", format!("{size:x}")),
            Some('X') => ("0X", format!("{size:X}")),
            Some('c') => {
                let c = u32::try_from(size).ok().and_then(char::from_u32).filter(|_| !negative);
                return c.map_or_else(|| kind_error("%c arg not in range(0x110000)"), |c| self.pad(state, "", "", &c.to_string(), '<'));
            }
            _ => ("", size.to_string()),
        };
        let per_group = if prefix.is_empty() { 3 } else { 4 };
        self.pad(state, self.sign(negative), if self.alternate { prefix } else { "" }, &self.grouped(&text, per_group), '>')
    }

    fn float(&self, state: &State, number: f64) -> Result<String, Error> {
        let sign = self.sign(number.is_sign_negative() && !number.is_nan());
        let text = match (self.kind, self.precision) {
            (None, None) => float(number.abs()),
            (None, Some(precision)) => {
                let text = digits(number, 'g', precision, self.alternate);
                // Such a number shows that it is one.
                if number.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
            }
            (Some('%'), precision) => digits(number * 100.0, 'f', precision.unwrap_or(6), self.alternate) + "%",
            (Some('n'), precision) => digits(number, 'g', precision.unwrap_or(6), self.alternate),
            (Some(kind), precision) => digits(number, kind, precision.unwrap_or(6), self.alternate),
        };
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let text = self.grouped(&text[..end], 3) + &text[end..];
        self.pad(state, sign, "", &text, '>')
    }

    fn grouped(&self, digits: &str, per_group: usize) -> String {
        let Some(separator) = self.grouping else { return digits.to_owned() };
        let mut out = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(per_group) {
                out.push(separator);
            }
            out.push(digit);
        }
        out
    }

    /// `sign`, `prefix` and `text` in the width, which is paid for.
    pub(super) fn pad(&self, state: &State, sign: &str, prefix: &str, text: &str, own: char) -> Result<String, Error> {
        pay(state, self.width.max(text.len()))?;
        let missing = self.width.saturating_sub(sign.len() + prefix.len() + text.chars().count());
        let fill = |count: usize| std::iter::repeat_n(self.fill, count).collect::<String>();
        Ok(match self.align.unwrap_or(own) {
            '=' if own == '<' => return kind_error("'=' alignment not allowed in string format specifier"),
            '=' => format!("{sign}{prefix}{}{text}", fill(missing)),
            '<' => format!("{sign}{prefix}{text}{}", fill(missing)),
            '^' => format!("{}{sign}{prefix}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            _ => format!("{}{sign}{prefix}{text}", fill(missing)),
        })
    }
}
