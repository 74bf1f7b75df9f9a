//! Python's view of MiniJinja's values: types, text, truth, order and membership. Chat templates are written for Jinja2, whose values are Python's.

use std::cmp::Ordering;
use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value};

use super::errors::{kind_error, undefined};
use super::floats::float;
use super::objects::{Bound, Generator, Group, Namespace, Range, Tool, View};

/// Deepest nesting of what is printed or compared.
const DEPTH: usize = 200;

/// What a value is in Python.
pub(super) enum Py<'a> {
    Undefined,
    None,
    Bool(bool),
    Int,
    Float(f64),
    Text(&'a str),
    List,
    Tuple,
    Dict,
    Range(&'a Range),
    View(&'a View),
    Generator(&'a Generator),
    Namespace(&'a Namespace),
    /// Functions, methods and other objects without a value.
    Other,
}

pub(super) fn kind(value: &Value) -> Py<'_> {
    match value.kind() {
        ValueKind::Undefined => Py::Undefined,
        ValueKind::None => Py::None,
        ValueKind::Bool => Py::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => Py::Int,
        ValueKind::Number => Py::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        ValueKind::String => value.as_str().map_or(Py::Other, Py::Text),
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() || value.downcast_object_ref::<Group>().is_some() => Py::Tuple,
        ValueKind::Seq | ValueKind::Iterable => value.downcast_object_ref().map_or(Py::List, Py::Range),
        ValueKind::Map => Py::Dict,
        _ => {
            let view = value.downcast_object_ref().map(Py::View);
            let generator = || value.downcast_object_ref().map(Py::Generator);
            let namespace = || value.downcast_object_ref().map(Py::Namespace);
            view.or_else(generator).or_else(namespace).unwrap_or(Py::Other)
        }
    }
}

/// The name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match kind(value) {
        Py::Undefined => "Undefined",
        Py::None => "NoneType",
        Py::Bool(_) => "bool",
        Py::Int => "int",
        Py::Float(_) => "float",
        Py::Text(_) => "str",
        Py::List => "list",
        Py::Tuple => "tuple",
        Py::Dict => "dict",
        Py::Range(_) => "range",
        Py::View(view) => view.name(),
        Py::Generator(_) => "generator",
        Py::Namespace(_) => "Namespace",
        Py::Other => "object",
    }
}

/// `bool(value)`.
pub(super) fn truth(value: &Value) -> bool {
    value.is_true()
}

/// `str.isspace` of one character.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// `str.isprintable` of one character.
pub(super) fn is_printable(c: char) -> bool {
    // Rust escapes by the same categories of Unicode, and leaves combining characters after another one alone.
    let mut buffer = ['a'; 2].iter().collect::<String>();
    buffer.pop();
    buffer.push(c);
    matches!(c, '\'' | '"' | '\\') || buffer.escape_debug().count() == 2
}

/// Pays for so many bytes that are made.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(1 + bytes as u64 / 64)
}

/// Pays for so many values that are made.
pub(super) fn pay_values(state: &State, values: usize) -> Result<(), Error> {
    state.consume_fuel(1 + values as u64 / 2)
}

/// `str(value)`.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    match kind(value) {
        Py::Undefined => Ok(String::new()),
        Py::Text(text) => {
            pay(state, text.len())?;
            Ok(text.to_owned())
        }
        _ => repr(state, value),
    }
}

/// `repr(value)`.
pub(super) fn repr(state: &State, value: &Value) -> Result<String, Error> {
    let mut writer = Repr { state, out: String::new(), paid: 0 };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Repr<'a, 'b, 'env> {
    state: &'a State<'b, 'env>,
    out: String,
    /// Bytes of `out` that were paid for.
    paid: usize,
}

impl Repr<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        pay(self.state, self.out.len() - std::mem::replace(&mut self.paid, self.out.len()))?;
        if depth > DEPTH {
            return kind_error("a value is nested too deeply to be printed");
        }
        match kind(value) {
            Py::Undefined => self.out.push_str("Undefined"),
            Py::None => self.out.push_str("None"),
            Py::Bool(true) => self.out.push_str("True"),
            Py::Bool(false) => self.out.push_str("False"),
            Py::Float(number) => self.out.push_str(&float(number)),
            Py::Text(text) => {
                pay(self.state, text.len())?;
                quote(&mut self.out, text, false);
            }
            Py::List => self.items("[", "]", value.try_iter()?, depth)?,
            Py::Tuple => {
                let one = value.len() == Some(1);
                self.items("(", if one { ",)" } else { ")" }, value.try_iter()?, depth)?;
            }
            Py::Dict if is_macro(value) => self.out.extend(["<Macro '", value.get_attr("name")?.as_str().unwrap_or_default(), "'>"]),
            Py::Dict => {
                self.out.push('{');
                for (i, key) in value.try_iter()?.enumerate() {
                    self.out.push_str(if i > 0 { ", " } else { "" });
                    self.value(&key, depth + 1)?;
                    self.out.push_str(": ");
                    self.value(&value.get_item(&key)?, depth + 1)?;
                }
                self.out.push('}');
            }
            Py::View(view) => {
                self.out.extend([view.name(), "(["]);
                self.items("", "])", view.values().into_iter(), depth)?;
            }
            Py::Namespace(namespace) => {
                self.out.push_str("<Namespace ");
                self.value(&Value::from_pairs(namespace.pairs()), depth + 1)?;
                self.out.push('>');
            }
            Py::Other if value.kind() == ValueKind::Plain && value.downcast_object_ref::<Bound>().is_none() => {
                self.out.push_str("<function>")
            }
            Py::Int | Py::Range(_) | Py::Generator(_) | Py::Other => self.out += &value.to_string(),
        }
        Ok(())
    }

    fn items(&mut self, open: &str, close: &str, items: impl Iterator<Item = Value>, depth: usize) -> Result<(), Error> {
        self.out.push_str(open);
        for (i, item) in items.enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.value(&item, depth + 1)?;
        }
        self.out.push_str(close);
        Ok(())
    }
}

/// `repr` of a string, or `ascii` of it.
pub(super) fn quote(out: &mut String, text: &str, ascii: bool) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == '\\' || c == quote => out.extend(['\\', c]),
            c if c.is_ascii_graphic() || c == ' ' || (!ascii && !c.is_ascii() && is_printable(c)) => out.push(c),
            c => {
                let code = c as u32;
                *out += &match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// What `{{ value }}` writes.
pub(super) fn format_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let written = match kind(value) {
        Py::Undefined => Ok(()),
        Py::Text(text) => out.write_str(text),
        _ => out.write_str(&repr(state, value)?),
    };
    Ok(written?)
}

/// The items that `list(value)` has.
pub(super) fn items(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    let items = match kind(value) {
        Py::Undefined => Vec::new(),
        Py::Text(text) => {
            pay_values(state, text.chars().count())?;
            return Ok(text.chars().map(Value::from).collect());
        }
        Py::List | Py::Tuple | Py::Dict | Py::Range(_) => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                if items.len() % 64 == 0 {
                    pay_values(state, 64)?;
                }
                items.push(item);
            }
            return Ok(items);
        }
        Py::View(view) => view.values(),
        Py::Generator(generator) => generator.take(),
        _ => return kind_error(format!("'{}' object is not iterable", type_name(value))),
    };
    pay_values(state, items.len())?;
    Ok(items)
}

/// `len(value)`.
pub(super) fn length(value: &Value) -> Result<usize, Error> {
    match kind(value) {
        Py::Undefined => Ok(0),
        Py::Text(text) => Ok(text.chars().count()),
        Py::View(view) => Ok(view.of.len().unwrap_or(0)),
        Py::List | Py::Tuple | Py::Dict | Py::Range(_) => Ok(value.len().unwrap_or(0)),
        _ => kind_error(format!("object of type '{}' has no len()", type_name(value))),
    }
}

/// `item in container`.
pub(super) fn contains(state: &State, container: &Value, item: &Value) -> Result<bool, Error> {
    match (kind(container), kind(item)) {
        (Py::Text(text), Py::Text(part)) => {
            pay(state, text.len())?;
            Ok(text.contains(part))
        }
        (Py::Text(_), _) => kind_error(format!("'in <string>' requires string as left operand, not {}", type_name(item))),
        (Py::Dict, Py::List | Py::Dict) => kind_error(format!("unhashable type: '{}'", type_name(item))),
        // A namespace's and other maps' own keys.
        (Py::Dict, _) => Ok(container.as_object().is_some_and(|map| map.get_value(item).is_some())),
        (Py::Namespace(_) | Py::Other | Py::None | Py::Bool(_) | Py::Int | Py::Float(_), _) => {
            kind_error(format!("argument of type '{}' is not iterable", type_name(container)))
        }
        _ => {
            for each in items(state, container)? {
                if equal(state, &each, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// `a == b`.
pub(super) fn equal(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    equal_within(state, a, b, 0)
}

fn equal_within(state: &State, a: &Value, b: &Value, depth: usize) -> Result<bool, Error> {
    state.consume_fuel(1)?;
    if depth > DEPTH {
        return kind_error("a value is nested too deeply to be compared");
    }
    match (kind(a), kind(b)) {
        (Py::Text(a), Py::Text(b)) => {
            pay(state, if a.len() == b.len() { a.len() } else { 0 })?;
            Ok(a == b)
        }
        (Py::List, Py::List) | (Py::Tuple, Py::Tuple) => {
            let list = |value: &Value| value.downcast_object_ref::<Vec<Value>>().map(std::ptr::from_ref);
            if list(a).is_some() && list(a) == list(b) {
                return Ok(true);
            }
            if a.len() != b.len() {
                return Ok(false);
            }
            for (x, y) in a.try_iter()?.zip(b.try_iter()?) {
                if !equal_within(state, &x, &y, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Py::List, Py::Tuple) | (Py::Tuple, Py::List) => Ok(false),
        (Py::Dict, Py::Dict) if !is_macro(a) && !is_macro(b) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for key in a.try_iter()? {
                let found = b.as_object().and_then(|map| map.get_value(&key));
                let Some(found) = found else { return Ok(false) };
                if !equal_within(state, &a.get_item(&key)?, &found, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(a == b),
    }
}

/// Looks whether a value can be a key of a dict. Errors: Python's, of lists and dicts.
pub(super) fn check_key(state: &State, key: &Value) -> Result<(), Error> {
    check_key_within(state, key, 0)
}

fn check_key_within(state: &State, key: &Value, depth: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    match kind(key) {
        Py::List | Py::Dict => kind_error(format!("unhashable type: '{}'", type_name(key))),
        Py::Tuple if depth > DEPTH => kind_error("a key is nested too deeply"),
        Py::Tuple => key.try_iter()?.try_for_each(|part| check_key_within(state, &part, depth + 1)),
        _ => Ok(()),
    }
}

/// How two values stand to each other in Python's order. `operator` is for the message that they don't.
pub(super) fn order(state: &State, a: &Value, b: &Value, operator: &str) -> Result<Ordering, Error> {
    order_within(state, a, b, operator, 0)
}

fn order_within(state: &State, a: &Value, b: &Value, operator: &str, depth: usize) -> Result<Ordering, Error> {
    state.consume_fuel(1)?;
    let is_number = |value: &Value| matches!(kind(value), Py::Bool(_) | Py::Int | Py::Float(_));
    match (kind(a), kind(b)) {
        (Py::Undefined, _) => undefined(a),
        (_, Py::Undefined) => undefined(b),
        (Py::Text(a), Py::Text(b)) => {
            pay(state, a.len().min(b.len()))?;
            Ok(a.cmp(b))
        }
        (Py::List, Py::List) | (Py::Tuple, Py::Tuple) if depth < DEPTH => {
            for (x, y) in a.try_iter()?.zip(b.try_iter()?) {
                if !equal_within(state, &x, &y, depth + 1)? {
                    return order_within(state, &x, &y, operator, depth + 1);
                }
                state.consume_fuel(1)?;
            }
            Ok(length(a)?.cmp(&length(b)?))
        }
        _ if is_number(a) && is_number(b) => Ok(a.cmp(b)),
        _ => kind_error(format!("'{operator}' not supported between instances of '{}' and '{}'", type_name(a), type_name(b))),
    }
}

/// `sorted(items, key=..., reverse=...)`, of items with their keys.
pub(super) fn sort(state: &State, items: &mut [(Value, Value)], reverse: bool) -> Result<(), Error> {
    let mut failure = None;
    items.sort_by(|(a, _), (b, _)| {
        let (a, b) = if reverse { (b, a) } else { (a, b) };
        if failure.is_some() {
            return Ordering::Equal;
        }
        order(state, a, b, "<").unwrap_or_else(|error| {
            failure = Some(error);
            Ordering::Equal
        })
    });
    failure.map_or(Ok(()), Err)
}

/// Whether a value is one that Python calls a function.
pub(super) fn is_callable(value: &Value) -> bool {
    value.downcast_object_ref::<Bound>().is_some()
        || value.downcast_object_ref::<Tool>().is_some_and(Tool::is_callable)
        || (value.kind() == ValueKind::Plain && matches!(kind(value), Py::Other))
        || is_macro(value)
}

/// Whether a value is a macro, which MiniJinja shows as a map.
pub(super) fn is_macro(value: &Value) -> bool {
    /// Takes what a macro's text begins with, and stops at anything else.
    struct Beginning(&'static str);
    impl Write for Beginning {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let length = text.len().min(self.0.len());
            let fits = self.0.as_bytes()[..length] == text.as_bytes()[..length];
            self.0 = &self.0[length..];
            if fits && !self.0.is_empty() { Ok(()) } else { Err(std::fmt::Error) }
        }
    }
    let mut beginning = Beginning("<macro ");
    value.kind() == ValueKind::Map && write!(beginning, "{value}").is_err() && beginning.0.is_empty()
}
