//! Jinja2's tests.

use minijinja::{Environment, Error, State, Value};

use super::args::{Args, Operation, native};
use super::errors::{kind_error, undefined};
use super::filters;
use super::operators::remainder;
use super::python::text as soft;
use super::python::{self, Py, contains, equal, kind, order, truth, type_name};
use super::text::method;

const ALL: [(&str, Operation); 39] = [
    ("boolean", |_, args| holds(args, |value| matches!(kind(value), Py::Bool(_)))),
    // An undefined value has a `__call__`, which raises.
    ("callable", |_, args| holds(args, |value| value.is_undefined() || python::is_callable(value))),
    ("defined", |_, args| holds(args, |value| !value.is_undefined())),
    ("divisibleby", divisible),
    ("escaped", |_, args| holds(args, Value::is_safe)),
    ("even", |_, args| parity(args, 0)),
    ("false", |_, args| holds(args, |value| matches!(kind(value), Py::Bool(false)))),
    ("filter", |_, args| known(args, filters::NAMES)),
    ("float", |_, args| holds(args, |value| matches!(kind(value), Py::Float(_)))),
    ("in", |state, args| two(args).and_then(|[value, container]| Ok(Value::from(contains(state, &container, &value)?)))),
    ("integer", |_, args| holds(args, |value| matches!(kind(value), Py::Int))),
    ("iterable", |_, args| holds(args, is_iterable)),
    ("lower", |state, args| cased(state, args, "islower")),
    ("mapping", |_, args| holds(args, |value| matches!(kind(value), Py::Dict) && !python::is_callable(value))),
    ("none", |_, args| holds(args, Value::is_none)),
    ("number", |_, args| holds(args, |value| matches!(kind(value), Py::Bool(_) | Py::Int | Py::Float(_)))),
    ("odd", |_, args| parity(args, 1)),
    ("sameas", |_, args| two(args).map(|[value, other]| Value::from(is_same(&value, &other)))),
    ("sequence", |_, args| holds(args, is_sequence)),
    ("string", |_, args| holds(args, |value| matches!(kind(value), Py::Text(_)))),
    ("test", known_test),
    ("true", |_, args| holds(args, |value| matches!(kind(value), Py::Bool(true)))),
    ("undefined", |_, args| holds(args, Value::is_undefined)),
    ("upper", |state, args| cased(state, args, "isupper")),
    ("==", |state, args| compared(state, args, true)),
    ("eq", |state, args| compared(state, args, true)),
    ("equalto", |state, args| compared(state, args, true)),
    ("!=", |state, args| compared(state, args, false)),
    ("ne", |state, args| compared(state, args, false)),
    (">", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, ">")?.is_gt())))),
    ("gt", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, ">")?.is_gt())))),
    ("greaterthan", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, ">")?.is_gt())))),
    (">=", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, ">=")?.is_ge())))),
    ("ge", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, ">=")?.is_ge())))),
    ("<", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, "<")?.is_lt())))),
    ("lt", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, "<")?.is_lt())))),
    ("lessthan", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, "<")?.is_lt())))),
    ("<=", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, "<=")?.is_le())))),
    ("le", |state, args| two(args).and_then(|[a, b]| Ok(Value::from(order(state, &a, &b, "<=")?.is_le())))),
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

/// Gives an environment these tests and no others.
pub(super) fn add(environment: &mut Environment<'static>) {
    for name in ["endingwith", "int", "safe", "startingwith"] {
        environment.remove_test(name);
    }
    for (name, operation) in ALL {
        environment.add_test(name, move |state: &mut State, values: minijinja::value::Rest<minijinja::value::ValueOrKwargs>| {
            native(name, operation)(state, values).map(|value| truth(&value))
        });
    }
}

/// Whether two values are equal, or whether they are not.
fn compared(state: &State, args: &Args, as_equal: bool) -> Result<Value, Error> {
    let [a, b] = two(args)?;
    Ok(Value::from(equal(state, &a, &b)? == as_equal))
}

fn holds(args: &Args, test: impl Fn(&Value) -> bool) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    Ok(Value::from(test(&value.unwrap_or_default())))
}

fn known_test(_: &mut State, args: &Args) -> Result<Value, Error> {
    known(args, NAMES)
}

fn known(args: &Args, names: &[&str]) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    let value = value.unwrap_or_default();
    match kind(&value) {
        Py::List | Py::Dict | Py::View(_) => kind_error(format!("unhashable type: '{}'", type_name(&value))),
        Py::Text(name) => Ok(Value::from(names.contains(&name))),
        _ => Ok(Value::from(false)),
    }
}

fn two(args: &Args) -> Result<[Value; 2], Error> {
    let [value, other] = args.bind(["value", "other"], 2)?;
    Ok([value.unwrap_or_default(), other.unwrap_or_default()])
}

fn is_iterable(value: &Value) -> bool {
    !matches!(kind(value), Py::None | Py::Bool(_) | Py::Int | Py::Float(_) | Py::Namespace(_) | Py::Other) && !python::is_callable(value)
}

fn is_sequence(value: &Value) -> bool {
    matches!(kind(value), Py::Undefined | Py::Text(_) | Py::List | Py::Tuple | Py::Dict | Py::Range(_)) && !python::is_callable(value)
}

/// Whether Python would have one object for both.
fn is_same(value: &Value, other: &Value) -> bool {
    match (kind(value), kind(other)) {
        (Py::None, Py::None) => true,
        (Py::Bool(a), Py::Bool(b)) => a == b,
        (Py::Int, Py::Int) => value == other && i64::try_from(value.clone()).is_ok_and(|number| (-5..=256).contains(&number)),
        _ => false,
    }
}

fn parity(args: &Args, rest: i64) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    divided(&value.unwrap_or_default(), &Value::from(2)).map(|found| Value::from(found == Value::from(rest)))
}

fn divisible(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, by] = two(args)?;
    divided(&value, &by).map(|rest| Value::from(rest == Value::from(0)))
}

fn divided(value: &Value, by: &Value) -> Result<Value, Error> {
    match (kind(value), kind(by)) {
        (Py::Undefined, _) => undefined(value),
        (Py::Bool(_) | Py::Int | Py::Float(_), Py::Bool(_) | Py::Int | Py::Float(_)) => remainder(value, by),
        _ => kind_error(format!("unsupported operand type(s) for %: '{}' and '{}'", type_name(value), type_name(by))),
    }
}

fn cased(state: &mut State, args: &Args, name: &'static str) -> Result<Value, Error> {
    let [value] = args.bind(["value"], 1)?;
    let text = soft(state, &value.unwrap_or_default())?;
    method(state, &Value::UNDEFINED, &text, &Args::new(name, Vec::new()))
}
