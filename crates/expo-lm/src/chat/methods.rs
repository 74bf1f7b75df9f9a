//! The methods of Python's strings, lists, tuples, dicts and numbers.

use minijinja::{Error, ErrorKind, State, Value};

use super::args::Args;
use super::errors::kind_error;
use super::objects::{Shown, View};
use super::printf;
use super::python::{Py, equal, items, kind, pay, pay_values, type_name};
use super::text;

const STRING: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const LIST: &[&str] = &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const TUPLE: &[&str] = &["count", "index"];
const DICT: &[&str] = &["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const NUMBER: &[&str] = &["as_integer_ratio", "bit_count", "bit_length", "conjugate", "is_integer", "hex"];

/// Methods that change what they are called on: transformers' sandbox refuses them.
pub(super) const CHANGING: &[&str] =
    &["append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"];

/// The names that any of them has.
pub(super) const NAMES: &[&str] = &[
    "append",
    "capitalize",
    "casefold",
    "center",
    "clear",
    "copy",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "extend",
    "find",
    "format",
    "format_map",
    "fromkeys",
    "get",
    "index",
    "insert",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "items",
    "join",
    "keys",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "pop",
    "popitem",
    "remove",
    "removeprefix",
    "removesuffix",
    "replace",
    "reverse",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "setdefault",
    "sort",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "update",
    "upper",
    "values",
    "zfill",
];

/// The names of a value's methods.
pub(super) fn of(value: &Value) -> &'static [&'static str] {
    match kind(value) {
        Py::Text(_) => STRING,
        Py::List => LIST,
        Py::Tuple | Py::Range(_) => TUPLE,
        Py::Dict => DICT,
        Py::Bool(_) | Py::Int | Py::Float(_) => NUMBER,
        _ => &[],
    }
}

/// Calls the method `name` of a value, where it is one of Python's.
pub(super) fn named(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match of(value).iter().find(|method| **method == name) {
        Some(name) => call(state, value, &Args::new(name, args.to_vec())),
        // MiniJinja goes on to what the value holds under this name.
        None => Err(ErrorKind::UnknownMethod.into()),
    }
}

/// Calls a value's method.
pub(super) fn call(state: &mut State, value: &Value, args: &Args) -> Result<Value, Error> {
    let name = args.name();
    if !of(value).contains(&name) {
        return args.unknown(value);
    }
    if CHANGING.contains(&name) {
        return kind_error(format!("'{}.{name}' changes its value, which chat templates may not; make a new value", type_name(value)));
    }
    match kind(value) {
        Py::Text(string) => string_method(state, value, string, args),
        Py::Dict => dict_method(state, value, args),
        Py::Bool(_) | Py::Int | Py::Float(_) => number_method(value, args),
        _ => list_method(state, value, args),
    }
}

fn string_method(state: &mut State, value: &Value, string: &str, args: &Args) -> Result<Value, Error> {
    pay(state, string.len())?;
    match args.name() {
        "join" => {
            let [list] = args.bind(["iterable"], 1)?;
            let mut out = String::new();
            for (i, item) in items(state, &list.unwrap_or_default())?.iter().enumerate() {
                let Py::Text(item) = kind(item) else {
                    return args.error(format!("sequence item {i}: expected str instance, {} found", type_name(item)));
                };
                pay(state, string.len() + item.len())?;
                out.push_str(if i > 0 { string } else { "" });
                out.push_str(item);
            }
            Ok(Value::from(out))
        }
        "format" => printf::str_format(state, string, args),
        "format_map" => {
            let [map] = args.bind(["mapping"], 1)?;
            let pairs = View { of: map.unwrap_or_default(), shown: Shown::Items }.values();
            let pairs = pairs
                .iter()
                .filter_map(|pair| Some((pair.get_item_by_index(0).ok()?.as_str()?.to_owned(), pair.get_item_by_index(1).ok()?)));
            printf::str_format(state, string, &Args::named("format_map", pairs.collect()))
        }
        "encode" | "maketrans" | "translate" => {
            args.error("this method of str is not supported in a chat template here; write the text with other methods")
        }
        _ => text::method(state, value, string, args),
    }
}

fn dict_method(state: &mut State, value: &Value, args: &Args) -> Result<Value, Error> {
    let view = |shown| {
        args.bind([], 0)?;
        Ok(Value::from_object(View { of: value.clone(), shown }))
    };
    match args.name() {
        "items" => view(Shown::Items),
        "keys" => view(Shown::Keys),
        "values" => view(Shown::Values),
        "get" => {
            if !args.named.is_empty() {
                return args.error("takes no keyword arguments");
            }
            let [key, default] = args.bind(["key", "default"], 1)?;
            let key = key.unwrap_or_default();
            if matches!(kind(&key), Py::List | Py::Dict) {
                return kind_error(format!("unhashable type: '{}'", type_name(&key)));
            }
            let found = value.as_object().and_then(|map| map.get_value(&key));
            Ok(found.or(default).unwrap_or_else(|| Value::from(())))
        }
        "copy" => {
            args.bind([], 0)?;
            pay_values(state, value.len().unwrap_or(0))?;
            Ok(value.clone())
        }
        _ => {
            let [keys, default] = args.bind(["iterable", "value"], 1)?;
            let default = default.unwrap_or_else(|| Value::from(()));
            Ok(Value::from_pairs(items(state, &keys.unwrap_or_default())?.into_iter().map(|key| (key, default.clone()))))
        }
    }
}

fn list_method(state: &mut State, value: &Value, args: &Args) -> Result<Value, Error> {
    let all = items(state, value)?;
    match args.name() {
        "copy" => {
            args.bind([], 0)?;
            Ok(Value::from(all))
        }
        "count" => {
            let [item] = args.bind(["value"], 1)?;
            let item = item.unwrap_or_default();
            let mut count = 0;
            for each in &all {
                count += usize::from(equal(state, each, &item)?);
            }
            Ok(Value::from(count))
        }
        _ => {
            let [item, start, stop] = args.bind(["value", "start", "stop"], 1)?;
            let (start, stop) = text::bounds(args, all.len(), start.as_ref(), stop.as_ref())?;
            let item = item.unwrap_or_default();
            for (at, each) in all.iter().enumerate().take(stop).skip(start) {
                if equal(state, each, &item)? {
                    return Ok(Value::from(at));
                }
            }
            args.error("the value is not in the list")
        }
    }
}

fn number_method(value: &Value, args: &Args) -> Result<Value, Error> {
    args.bind([], 0)?;
    match (args.name(), kind(value)) {
        ("is_integer", Py::Float(number)) => Ok(Value::from(number.is_finite() && number.fract() == 0.0)),
        ("bit_length", Py::Int | Py::Bool(_)) => {
            let size = i128::try_from(value.clone())?.unsigned_abs();
            Ok(Value::from(128 - size.leading_zeros()))
        }
        ("bit_count", Py::Int | Py::Bool(_)) => Ok(Value::from(i128::try_from(value.clone())?.unsigned_abs().count_ones())),
        ("conjugate", _) => Ok(value.clone()),
        _ => args.error("this method of numbers is not supported"),
    }
}
