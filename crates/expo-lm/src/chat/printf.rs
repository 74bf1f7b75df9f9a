//! Python's two ways of formatting: `format % values` and `format.format(...)`.

use minijinja::{Error, State, Value};

use super::args::Args;
use super::errors::kind_error;
use super::numbers::{Spec, width};
use super::python::{Py, items, kind, pay, quote, repr, text, type_name};

/// `format % values`.
pub(super) fn format(state: &mut State, format: &str, values: &Value) -> Result<String, Error> {
    let is_tuple = matches!(kind(values), Py::Tuple);
    let is_mapping = matches!(kind(values), Py::Dict);
    let mut rest = if is_tuple { items(state, values)? } else { vec![values.clone()] }.into_iter();
    let mut used_key = false;
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut key = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            let (mut depth, mut name) = (1, String::new());
            for c in chars.by_ref() {
                depth += i32::from(c == '(') - i32::from(c == ')');
                if depth == 0 {
                    break;
                }
                name.push(c);
            }
            if depth > 0 {
                return kind_error("incomplete format key");
            }
            if !is_mapping {
                return kind_error("format requires a mapping");
            }
            used_key = true;
            let value = values.get_item(&Value::from(name.as_str()))?;
            if value.is_undefined() {
                return kind_error(format!("%: there is no key '{name}'"));
            }
            key = Some(value);
        }
        let mut next = |rest: &mut std::vec::IntoIter<Value>| {
            key.take().or_else(|| rest.next()).map_or_else(|| kind_error("not enough arguments for format string"), Ok)
        };
        let mut spec = Spec::default();
        let (mut left, mut zero) = (false, false);
        while let Some(flag) = chars.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => left = true,
                '+' => spec.sign = '+',
                ' ' if spec.sign != '+' => spec.sign = ' ',
                '#' => spec.alternate = true,
                '0' => zero = true,
                _ => {}
            }
        }
        let mut number = |rest: &mut std::vec::IntoIter<Value>| -> Result<Option<i64>, Error> {
            if chars.next_if_eq(&'*').is_some() {
                let value = rest.next().map_or_else(|| kind_error("not enough arguments for format string"), Ok)?;
                let number = i64::try_from(value).or_else(|_| kind_error("* wants int"))?;
                return width(&number.unsigned_abs().to_string()).map(|_| Some(number));
            }
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() { Ok(None) } else { Ok(Some(width(&digits)? as i64)) }
        };
        let wide = number(&mut rest)?.unwrap_or(0);
        left |= wide < 0;
        spec.width = wide.unsigned_abs() as usize;
        let precision = if chars.next_if_eq(&'.').is_some() {
            let mut number = |rest: &mut std::vec::IntoIter<Value>| -> Result<usize, Error> {
                if chars.next_if_eq(&'*').is_some() {
                    let value = rest.next().map_or_else(|| kind_error("not enough arguments for format string"), Ok)?;
                    let number = i64::try_from(value).or_else(|_| kind_error("* wants int"))?;
                    return width(&number.max(0).to_string());
                }
                let mut digits = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                if digits.is_empty() { Ok(0) } else { width(&digits) }
            };
            Some(number(&mut rest)?)
        } else {
            None
        };
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        let Some(code) = chars.next() else { return kind_error("incomplete format") };
        spec.align = Some(if left { '<' } else { '>' });
        let is_number = !matches!(code, 's' | 'r' | 'a' | 'c' | '%');
        if zero && !left && is_number {
            (spec.fill, spec.align) = ('0', Some('='));
        }
        if code == '%' {
            out.push('%');
            continue;
        }
        let value = next(&mut rest)?;
        out += &match code {
            's' | 'r' | 'a' => {
                let shown = converted(state, &value, code)?;
                spec.precision = precision;
                spec.format(state, &Value::from(shown))?
            }
            'c' => {
                let shown = match kind(&value) {
                    Py::Text(text) if text.chars().count() == 1 => text.to_owned(),
                    Py::Int | Py::Bool(_) => Spec { kind: Some('c'), ..Spec::default() }.integer(state, &value)?,
                    _ => return kind_error("%c requires int or char"),
                };
                spec.format(state, &Value::from(shown))?
            }
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                let whole = match kind(&value) {
                    Py::Int | Py::Bool(_) => value.clone(),
                    Py::Float(number) if !matches!(code, 'x' | 'X' | 'o') => super::numbers::truncated(number)?,
                    _ => return kind_error(format!("%{code} format: a number is required, not {}", type_name(&value))),
                };
                spec.kind = Some(if matches!(code, 'i' | 'u') { 'd' } else { code });
                let text = spec_with_digits(&spec, precision, &whole)?;
                spec.pad(state, &text.0, &text.1, &text.2, '>')?
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                if !matches!(kind(&value), Py::Int | Py::Bool(_) | Py::Float(_)) {
                    return kind_error(format!("must be real number, not {}", type_name(&value)));
                }
                (spec.kind, spec.precision) = (Some(code), precision);
                spec.format(state, &value)?
            }
            code => return kind_error(format!("unsupported format character '{code}' (0x{:x})", code as u32)),
        };
        pay(state, spec.width)?;
    }
    let is_rest_fine = is_mapping || used_key || matches!(kind(values), Py::List | Py::Range(_) | Py::Undefined) && rest.len() == 1;
    if rest.next().is_some() && !is_rest_fine {
        return kind_error("not all arguments converted during string formatting");
    }
    pay(state, out.len())?;
    Ok(out)
}

/// Sign, prefix and digits of a whole number, with zeros up to the precision.
fn spec_with_digits(spec: &Spec, precision: Option<usize>, value: &Value) -> Result<(String, String, String), Error> {
    let (negative, size) = match i128::try_from(value.clone()) {
        Ok(number) => (number < 0, number.unsigned_abs()),
        Err(_) => (false, u128::try_from(value.clone())?),
    };
    let (prefix, digits) = match spec.kind {
        Some('x') => ("0x", format!("{size:x}")),
        Some('X') => ("0X", format!("{size:X}")),
        Some('o') => ("0o", format!("{size:o}")),
        _ => ("", size.to_string()),
    };
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (_, '-') => "",
        (_, '+') => "+",
        _ => " ",
    };
    let prefix = if spec.alternate { prefix } else { "" };
    Ok((sign.to_owned(), prefix.to_owned(), format!("{digits:0>width$}", width = precision.unwrap_or(0))))
}

/// `str`, `repr` or `ascii` of a value.
fn converted(state: &State, value: &Value, conversion: char) -> Result<String, Error> {
    match (conversion, kind(value)) {
        ('s', _) => text(state, value),
        ('a', _) => {
            let shown = repr(state, value)?;
            if let Py::Text(text) = kind(value) {
                let mut out = String::new();
                quote(&mut out, text, true);
                return Ok(out);
            }
            Ok(shown.chars().map(|c| if c.is_ascii() { c.to_string() } else { ascii(c) }).collect())
        }
        _ => repr(state, value),
    }
}

fn ascii(c: char) -> String {
    let mut out = String::new();
    quote(&mut out, &c.to_string(), true);
    out[1..out.len() - 1].to_owned()
}

/// `format.format(...)`.
pub(super) fn str_format(state: &mut State, format: &str, args: &Args) -> Result<Value, Error> {
    let mut counter = Some(0);
    let out = fields(state, format, args, &mut counter, 0)?;
    pay(state, out.len())?;
    Ok(Value::from(out))
}

fn fields(state: &mut State, format: &str, args: &Args, counter: &mut Option<usize>, depth: usize) -> Result<String, Error> {
    if depth > 2 {
        return kind_error("Max string recursion exceeded");
    }
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return kind_error("Single '}' encountered in format string");
        }
        let mut open = 1;
        let end = rest.find(|c| {
            open += i32::from(c == '{') - i32::from(c == '}');
            open == 0
        });
        let Some(end) = end else { return kind_error("expected '}' before end of string") };
        let field = &rest[..end];
        rest = &rest[end + 1..];
        let (head, spec) = field.split_once(':').unwrap_or((field, ""));
        let (path, conversion) = head.split_once('!').map_or((head, None), |(path, conversion)| (path, Some(conversion)));
        let value = field_value(path, args, counter)?;
        let value = match conversion {
            None => value,
            Some(code @ ("r" | "s" | "a")) => Value::from(converted(state, &value, code.chars().next().unwrap_or('s'))?),
            Some(code) => return kind_error(format!("unknown conversion specifier {code}")),
        };
        let spec = fields(state, spec, args, counter, depth + 1)?;
        out += &Spec::parse(&spec)?.format(state, &value)?;
    }
    out.push_str(rest);
    Ok(out)
}

fn field_value(path: &str, args: &Args, counter: &mut Option<usize>) -> Result<Value, Error> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, mut rest) = path.split_at(end);
    let position = match (name, &mut *counter) {
        ("", Some(next)) => {
            *next += 1;
            Some(*next - 1)
        }
        ("", None) => return kind_error("cannot switch from manual field specification to automatic field numbering"),
        (name, next) if name.bytes().all(|b| b.is_ascii_digit()) => {
            if next.is_some_and(|next| next > 0) {
                return kind_error("cannot switch from automatic field numbering to manual field specification");
            }
            *counter = None;
            Some(name.parse().unwrap_or(usize::MAX))
        }
        _ => None,
    };
    let found = match position {
        Some(at) => args.positional.get(at).cloned(),
        None => args.named.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
    };
    let Some(mut value) = found else { return kind_error(format!("format: there is no argument for the field '{{{name}}}'")) };
    while !rest.is_empty() {
        let key;
        if let Some(attribute) = rest.strip_prefix('.') {
            let end = attribute.find(['.', '[']).unwrap_or(attribute.len());
            (key, rest) = attribute.split_at(end);
            value = value.get_attr(key)?;
        } else {
            let Some((item, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) else {
                return kind_error("expected ']' in a format's field");
            };
            (key, rest) = (item, after);
            let index = key.parse::<i64>().map_or_else(|_| Value::from(key), Value::from);
            value = value.get_item(&index)?;
        }
    }
    Ok(value)
}

/// Jinja2's filter `format`.
pub(super) fn filter(state: &mut State, args: &Args) -> Result<Value, Error> {
    let Some((value, rest)) = args.positional.split_first() else { return args.error("takes a value") };
    if !rest.is_empty() && !args.named.is_empty() {
        return args.error("can't handle positional and keyword arguments at the same time");
    }
    let values = if args.named.is_empty() {
        Value::from(minijinja::value::Tuple::from(rest.to_vec()))
    } else {
        Value::from_pairs(args.named.clone())
    };
    let template = text(state, value)?;
    format(state, &template, &values).map(Value::from)
}
