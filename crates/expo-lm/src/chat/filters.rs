//! Jinja2's filters on text and numbers, and the list of all.

use minijinja::{Environment, Error, State, Value};

use super::args::{Args, Operation, native};
use super::callables::bound;
use super::errors::{kind_error, undefined};
use super::floats::round;
use super::numbers::{as_float, parse_float, parse_int, truncated};
use super::objects::{Generator, Shown, View};
use super::python::text as soft;
use super::python::{self, Py, items, kind, length, pay, pay_values, truth, type_name};
use super::text::{self, strict};
use super::{json, printf, sequences, unicode};

/// The filters by their names.
const ALL: [(&str, Operation); 52] = [
    ("abs", absolute),
    ("attr", attribute),
    ("batch", sequences::batch),
    ("capitalize", |state, args| one(args).and_then(|value| Ok(Value::from(text::capitalized(&soft(state, &value)?))))),
    ("center", center),
    ("count", |_, args| length(&one(args)?).map(Value::from)),
    ("d", default),
    ("default", default),
    ("dictsort", sequences::dictsort),
    ("e", escape),
    ("escape", escape),
    ("filesizeformat", file_size),
    ("first", sequences::first),
    ("float", to_float),
    ("forceescape", force_escape),
    ("format", printf::filter),
    ("groupby", sequences::groupby),
    ("indent", indent),
    ("int", to_int),
    ("items", pairs),
    ("join", sequences::join),
    ("last", sequences::last),
    ("length", |_, args| length(&one(args)?).map(Value::from)),
    ("list", |state, args| items(state, &one(args)?).map(Value::from)),
    ("lower", |state, args| Ok(Value::from(soft(state, &one(args)?)?.to_lowercase()))),
    ("map", sequences::map),
    ("max", |state, args| sequences::extreme(state, args, true)),
    ("min", |state, args| sequences::extreme(state, args, false)),
    ("pprint", pprint),
    ("reject", |state, args| sequences::select(state, args, false, false)),
    ("rejectattr", |state, args| sequences::select(state, args, false, true)),
    ("replace", replace),
    ("reverse", sequences::reverse),
    ("round", rounded),
    ("safe", safe),
    ("select", |state, args| sequences::select(state, args, true, false)),
    ("selectattr", |state, args| sequences::select(state, args, true, true)),
    ("slice", sequences::slice),
    ("sort", sequences::sort),
    ("string", |state, args| soft(state, &one(args)?).map(Value::from)),
    ("striptags", strip_tags),
    ("sum", sequences::sum),
    ("title", title),
    ("tojson", json::filter),
    ("trim", trim),
    ("truncate", truncate),
    ("unique", sequences::unique),
    ("upper", |state, args| Ok(Value::from(soft(state, &one(args)?)?.to_uppercase()))),
    ("urlencode", url_encode),
    ("wordcount", word_count),
    ("wordwrap", super::wrap::filter),
    ("xmlattr", xml_attributes),
];

/// Their names.
pub(super) const NAMES: &[&str] = &{
    let mut names = [""; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        names[i] = ALL[i].0;
        i += 1;
    }
    names
};

/// Gives an environment these filters and no others.
pub(super) fn add(environment: &mut Environment<'static>) {
    for name in ["bool", "chain", "lines", "split", "zip"] {
        environment.remove_filter(name);
    }
    for (name, operation) in ALL {
        environment.add_filter(name, native(name, operation));
    }
}

/// The only argument.
fn one(args: &Args) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    Ok(value.unwrap_or_default())
}

fn absolute(_: &mut State, args: &Args) -> Result<Value, Error> {
    let value = one(args)?;
    match kind(&value) {
        Py::Bool(value) => Ok(Value::from(i64::from(value))),
        Py::Int => Ok(i128::try_from(value.clone()).map_or(value, |number| Value::from(number.abs()))),
        Py::Float(number) => Ok(Value::from(number.abs())),
        Py::Undefined => undefined(&value),
        _ => kind_error(format!("bad operand type for abs(): '{}'", type_name(&value))),
    }
}

fn attribute(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [object, name] = args.bind(["obj", "name"], 2)?;
    let (object, name) = (object.unwrap_or_default(), name.unwrap_or_default());
    let name = args.text(&name)?;
    match kind(&object) {
        Py::Namespace(_) | Py::Other => object.get_attr(name),
        // Items of a dict are not its attributes.
        _ => Ok(bound(&object, name).unwrap_or(Value::UNDEFINED)),
    }
}

fn center(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, width] = args.bind(["value", "width"], 1)?;
    let value = soft(state, &value.unwrap_or_default())?;
    let width = width.unwrap_or_else(|| Value::from(80));
    text::method(state, &Value::UNDEFINED, &value, &Args::new("center", vec![width]))
}

fn default(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, default, boolean] = args.bind(["value", "default_value", "boolean"], 1)?;
    let value = value.unwrap_or_default();
    if value.is_undefined() || (args.flag(boolean.as_ref()) && !truth(&value)) {
        return Ok(default.unwrap_or_else(|| Value::from("")));
    }
    Ok(value)
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&#34;")
}

fn escape(state: &mut State, args: &Args) -> Result<Value, Error> {
    let value = one(args)?;
    if value.is_safe() { Ok(value) } else { force_escape(state, args) }
}

fn force_escape(state: &mut State, args: &Args) -> Result<Value, Error> {
    let value = soft(state, &one(args)?)?;
    pay(state, value.len() * 5)?;
    Ok(Value::from_safe_string(escaped(&value)))
}

fn safe(state: &mut State, args: &Args) -> Result<Value, Error> {
    Ok(Value::from_safe_string(soft(state, &one(args)?)?))
}

fn strip_tags(state: &mut State, args: &Args) -> Result<Value, Error> {
    let mut value = soft(state, &one(args)?)?;
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
        let mut out = String::new();
        let mut rest = value.as_str();
        while let Some(at) = rest.find(open) {
            let Some(end) = rest[at..].find(close) else { break };
            out.push_str(&rest[..at]);
            rest = &rest[at + end + close.len()..];
        }
        value = out + rest;
    }
    let words: Vec<&str> = value.split(python::is_space).filter(|word| !word.is_empty()).collect();
    let text = words.join(" ");
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\""), ("&amp;", "&")];
    Ok(Value::from(plain.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain))))
}

fn file_size(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, binary] = args.bind(["value", "binary"], 1)?;
    let value = value.unwrap_or_default();
    let bytes = match kind(&value) {
        Py::Text(text) => parse_float(text),
        Py::Bool(_) | Py::Int | Py::Float(_) => Some(as_float(&value)),
        _ => None,
    };
    let Some(bytes) = bytes else { return args.error(format!("could not convert '{}' to float", type_name(&value))) };
    let binary = args.flag(binary.as_ref());
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    Ok(Value::from(if bytes == 1.0 {
        "1 Byte".to_owned()
    } else if bytes < base {
        format!("{} Bytes", bytes as i64)
    } else {
        let mut unit = base * base;
        let mut prefixes = "kMGTPEZY".chars().peekable();
        let mut prefix = prefixes.next().unwrap_or('k');
        while bytes >= unit && prefixes.peek().is_some() {
            unit *= base;
            prefix = prefixes.next().unwrap_or('Y');
        }
        let prefix = if binary { format!("{}i", prefix.to_ascii_uppercase()) } else { prefix.to_string() };
        format!("{:.1} {prefix}B", base * bytes / unit)
    }))
}

fn to_float(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, default] = args.bind(["value", "default"], 1)?;
    let value = value.unwrap_or_default();
    let number = match kind(&value) {
        Py::Undefined => return undefined(&value),
        Py::Text(text) => parse_float(text),
        Py::Bool(value) => Some(f64::from(value)),
        Py::Int | Py::Float(_) => Some(as_float(&value)),
        _ => None,
    };
    Ok(number.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

fn to_int(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, default, base] = args.bind(["value", "default", "base"], 1)?;
    let value = value.unwrap_or_default();
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = args.integer(base.as_ref(), 10)?;
    match kind(&value) {
        Py::Undefined => undefined(&value),
        Py::Text(text) => {
            let whole = match u32::try_from(base) {
                Ok(base @ (0 | 2..=36)) => parse_int(text, base)?,
                _ => None,
            };
            match whole.or_else(|| parse_float(text).map(Value::from)) {
                Some(number) => match kind(&number) {
                    Py::Float(number) if number.is_infinite() || number.is_nan() => Ok(default),
                    Py::Float(number) => truncated(number),
                    _ => Ok(number),
                },
                None => Ok(default),
            }
        }
        Py::Bool(value) => Ok(Value::from(i64::from(value))),
        Py::Int => Ok(value),
        Py::Float(number) if !number.is_finite() => Ok(default),
        Py::Float(number) => truncated(number),
        _ => Ok(default),
    }
}

fn indent(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, width, first, blank] = args.bind(["s", "width", "first", "blank"], 1)?;
    let value = value.unwrap_or_default();
    let indention = match &width {
        Some(width) if width.as_str().is_some() => args.text(width)?.to_owned(),
        width => {
            let width = usize::try_from(args.integer(width.as_ref(), 4)?).unwrap_or(0);
            pay(state, width)?;
            " ".repeat(width)
        }
    };
    // Jinja2 adds a line break before it splits into lines.
    let source = strict(&value, "splitlines")?.to_owned() + "\n";
    let lines = text::lines(&source, false);
    pay(state, source.len().saturating_add(lines.len().saturating_mul(indention.len())))?;
    let blank = args.flag(blank.as_ref());
    let mut out = if args.flag(first.as_ref()) { indention.clone() } else { String::new() };
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
            out.push_str(if blank || !line.is_empty() { &indention } else { "" });
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn pairs(state: &mut State, args: &Args) -> Result<Value, Error> {
    let value = one(args)?;
    pay_values(state, value.len().unwrap_or(0))?;
    match kind(&value) {
        Py::Undefined => Ok(Generator::value(Vec::new())),
        Py::Dict => Ok(Generator::value(View { of: value, shown: Shown::Items }.values())),
        _ => kind_error("items: can only get item pairs from a mapping"),
    }
}

fn pprint(state: &mut State, args: &Args) -> Result<Value, Error> {
    let text = python::repr(state, &one(args)?)?;
    if text.chars().count() > 80 || text.contains('{') {
        return args.error("lays out dicts and long values, which is not supported; use `tojson`");
    }
    Ok(Value::from(text))
}

fn replace(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, old, new, count] = args.bind(["s", "old", "new", "count"], 3)?;
    let [value, old, new] = [value, old, new].map(|value| soft(state, &value.unwrap_or_default()));
    let count = match count {
        Some(count) if !count.is_none() => args.integer(Some(&count), -1)?,
        _ => -1,
    };
    text::replace(state, &value?, &old?, &new?, count).map(Value::from)
}

fn rounded(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, precision, method] = args.bind(["value", "precision", "method"], 1)?;
    let value = value.unwrap_or_default();
    let places = args.integer(precision.as_ref(), 0)?;
    let method = method.unwrap_or_else(|| Value::from("common"));
    let number = match kind(&value) {
        Py::Bool(_) | Py::Int | Py::Float(_) => as_float(&value),
        Py::Undefined => return undefined(&value),
        _ => return kind_error(format!("type {} doesn't define __round__ method", type_name(&value))),
    };
    match args.text(&method)? {
        "common" if matches!(kind(&value), Py::Float(_)) => Ok(Value::from(round(number, places))),
        "common" if places >= 0 => Ok(if let Py::Bool(value) = kind(&value) { Value::from(i64::from(value)) } else { value }),
        "common" => {
            let (Ok(number), Some(scale)) =
                (i128::try_from(value), u32::try_from(places.unsigned_abs()).ok().and_then(|places| 10i128.checked_pow(places)))
            else {
                return Ok(Value::from(0));
            };
            let (quotient, rest) = (number.div_euclid(scale), number.rem_euclid(scale));
            let up = rest * 2 > scale || (rest * 2 == scale && quotient % 2 != 0);
            Ok(Value::from((quotient + i128::from(up)) * scale))
        }
        method @ ("ceil" | "floor") => {
            let scale = 10f64.powi(places.clamp(-400, 400) as i32);
            let scaled = number * scale;
            Ok(Value::from(if method == "ceil" { scaled.ceil() } else { scaled.floor() } / scale))
        }
        _ => args.error("method must be common, ceil or floor"),
    }
}

/// Jinja2's title case, which is not that of Python's method.
fn title(state: &mut State, args: &Args) -> Result<Value, Error> {
    let value = soft(state, &one(args)?)?;
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let mut chars = word.chars();
        if let Some(first) = chars.next() {
            out.extend(first.to_uppercase());
            out.push_str(&chars.as_str().to_lowercase());
        }
        word.clear();
    };
    for c in value.chars() {
        if python::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<') {
            flush(&mut word, &mut out);
            out.push(c);
        } else {
            word.push(c);
        }
    }
    flush(&mut word, &mut out);
    Ok(Value::from(out))
}

fn trim(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, chars] = args.bind(["value", "chars"], 1)?;
    let value = soft(state, &value.unwrap_or_default())?;
    text::strip(args, &value, chars.as_ref()).map(Value::from)
}

fn truncate(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, length, kill_words, end, leeway] = args.bind(["s", "length", "killwords", "end", "leeway"], 1)?;
    let value = value.unwrap_or_default();
    let length = args.integer(length.as_ref(), 255)?;
    let leeway = args.integer(leeway.as_ref().filter(|leeway| !leeway.is_none()), 5)?;
    let end = end.unwrap_or_else(|| Value::from("..."));
    let end = args.text(&end)?;
    let end_length = end.chars().count() as i64;
    if length < end_length || leeway < 0 {
        return args.error(format!("expected a length of at least {end_length} and a leeway of at least 0"));
    }
    if (python::length(&value)? as i64) <= length.saturating_add(leeway) {
        return Ok(value);
    }
    let text = strict(&value, "rsplit")?;
    pay(state, text.len())?;
    let cut: String = text.chars().take((length - end_length) as usize).collect();
    let kept = if args.flag(kill_words.as_ref()) { &*cut } else { cut.rsplit_once(' ').map_or(&*cut, |(kept, _)| kept) };
    Ok(Value::from(kept.to_owned() + end))
}

/// `urllib.parse.quote`, of a path or of a query's part.
fn quoted(text: &str, in_query: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte.into()),
            b'/' if !in_query => out.push('/'),
            b' ' if in_query => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn url_encode(state: &mut State, args: &Args) -> Result<Value, Error> {
    let value = one(args)?;
    let pairs = match kind(&value) {
        Py::Dict => View { of: value, shown: Shown::Items }.values(),
        Py::List | Py::Tuple | Py::View(_) | Py::Generator(_) | Py::Range(_) => items(state, &value)?,
        _ => {
            let text = soft(state, &value)?;
            pay(state, text.len() * 3)?;
            return Ok(Value::from(quoted(&text, false)));
        }
    };
    let mut parts = Vec::new();
    for pair in pairs {
        let [key, value] = &items(state, &pair)?[..] else { return args.error("expected pairs of a key and a value") };
        let (key, value) = (soft(state, key)?, soft(state, value)?);
        pay(state, (key.len() + value.len()) * 3)?;
        parts.push(format!("{}={}", quoted(&key, true), quoted(&value, true)));
    }
    Ok(Value::from(parts.join("&")))
}

fn word_count(state: &mut State, args: &Args) -> Result<Value, Error> {
    let text = soft(state, &one(args)?)?;
    let in_word = |c: char| c == '_' || unicode::is_alpha(c) || unicode::is_numeric(c) || unicode::is_digit(c);
    Ok(Value::from(text.split(|c| !in_word(c)).filter(|word| !word.is_empty()).count()))
}

fn xml_attributes(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [map, space] = args.bind(["d", "autospace"], 1)?;
    let map = map.unwrap_or_default();
    if !matches!(kind(&map), Py::Dict) {
        return kind_error(format!("'{}' object has no attribute 'items'", type_name(&map)));
    }
    let mut parts = Vec::new();
    for key in items(state, &map)? {
        let value = map.get_item(&key)?;
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let name = args.text(&key)?;
        if name.contains(|c: char| matches!(c, '/' | '>' | '=') || c.is_ascii_whitespace() || c == '\x0b') {
            return args.error(format!("invalid character in attribute name '{name}'"));
        }
        let value = soft(state, &value)?;
        pay(state, (name.len() + value.len()) * 5)?;
        parts.push(format!("{}=\"{}\"", escaped(name), escaped(&value)));
    }
    let text = parts.join(" ");
    let spaced = !text.is_empty() && space.as_ref().is_none_or(truth);
    Ok(Value::from(if spaced { format!(" {text}") } else { text }))
}
