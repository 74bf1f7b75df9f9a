//! Operators that [`super::expression`] makes calls of.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::args::{Args, Operation, native};
use super::callables::bound;
use super::errors::{kind_error, undefined};
use super::numbers::as_float;
use super::objects::{Namespace, Range};
use super::printf;
use super::python::{self, Py, contains, kind, order, pay, pay_values, text, type_name};

/// Most items of a list that is not made: more than a range may have, and what takes little memory when it is made all the same.
const MOST_ITEMS: usize = 1 << 18;

/// The operators by the names of their functions.
pub(super) const ALL: [(&str, Operation); 17] = [
    ("__eq__", |state, args| match &args.positional[..] {
        [a, b] => python::equal(state, a, b).map(Value::from),
        _ => args.error("takes two arguments"),
    }),
    ("__key__", |state, args| match &args.positional[..] {
        [key] => python::check_key(state, key).map(|()| key.clone()),
        _ => args.error("takes one argument"),
    }),
    ("__bounded__", bounded),
    ("__mod__", modulo),
    ("__concat__", concat),
    ("__lt__", |state, args| compare(state, args, "<", Ordering::is_lt)),
    ("__le__", |state, args| compare(state, args, "<=", Ordering::is_le)),
    ("__gt__", |state, args| compare(state, args, ">", Ordering::is_gt)),
    ("__ge__", |state, args| compare(state, args, ">=", Ordering::is_ge)),
    ("__in__", |state, args| match &args.positional[..] {
        [item, container] => contains(state, container, item).map(Value::from),
        _ => args.error("takes two arguments"),
    }),
    ("__slice__", slice),
    ("__iter__", iterate),
    ("__pos__", |_, args| signed(args, false)),
    ("__neg__", |_, args| signed(args, true)),
    ("__getattr__", attribute),
    ("__getitem__", item),
    ("__setattr__", set_attribute),
];

/// Gives an environment the operators.
pub(super) fn add(environment: &mut Environment<'static>) {
    for (name, operation) in ALL {
        environment.add_function(name, native(name, operation));
    }
}

/// A sum or a product. MiniJinja makes the items of a repeated or joined list when they are asked for, and then without asking whether that is paid for: so
/// there may not be many.
fn bounded(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value] = &args.positional[..] else { return args.error("takes one argument") };
    if value.kind() == ValueKind::Iterable && value.len().is_none_or(|length| length > MOST_ITEMS) {
        state.consume_fuel(u64::MAX)?;
    }
    Ok(value.clone())
}

fn modulo(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [left, right] = &args.positional[..] else { return args.error("takes two arguments") };
    match (kind(left), kind(right)) {
        (Py::Text(format), _) => printf::format(state, format, right).map(Value::from),
        (Py::Undefined, _) => undefined(left),
        (_, Py::Undefined) => undefined(right),
        // MiniJinja's own operator, which has no other way in.
        (Py::Bool(_) | Py::Int | Py::Float(_), Py::Bool(_) | Py::Int | Py::Float(_)) => remainder(left, right),
        _ => kind_error(format!("unsupported operand type(s) for %: '{}' and '{}'", type_name(left), type_name(right))),
    }
}

/// Python's remainder, which has the sign of the divisor.
pub(super) fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Ok(a), Ok(b)) = (i128::try_from(left.clone()), i128::try_from(right.clone()))
        && !matches!(kind(left), Py::Float(_))
        && !matches!(kind(right), Py::Float(_))
    {
        return match a.checked_rem(b) {
            Some(0) => Ok(Value::from(0)),
            Some(rest) => Ok(Value::from(if (rest < 0) == (b < 0) { rest } else { rest + b })),
            None if b == 0 => kind_error("integer modulo by zero"),
            None => Ok(Value::from(0)),
        };
    }
    let (a, b) = (as_float(left), as_float(right));
    if b == 0.0 {
        return kind_error("float modulo by zero");
    }
    let rest = a % b;
    Ok(Value::from(match rest {
        0.0 => 0.0f64.copysign(b),
        rest if (rest < 0.0) == (b < 0.0) => rest,
        rest => rest + b,
    }))
}

fn concat(state: &mut State, args: &Args) -> Result<Value, Error> {
    let mut out = String::new();
    for value in &args.positional {
        out += &text(state, value)?;
    }
    pay(state, out.len())?;
    Ok(Value::from(out))
}

fn compare(state: &mut State, args: &Args, operator: &str, holds: fn(Ordering) -> bool) -> Result<Value, Error> {
    let [left, right] = &args.positional[..] else { return args.error("takes two arguments") };
    let is_nan = |value: &Value| matches!(kind(value), Py::Float(number) if number.is_nan());
    let ordering = order(state, left, right, operator)?;
    Ok(Value::from(holds(ordering) && !is_nan(left) && !is_nan(right)))
}

fn iterate(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value] = &args.positional[..] else { return args.error("takes one argument") };
    match kind(value) {
        Py::Undefined | Py::Text(_) | Py::List | Py::Tuple | Py::Dict | Py::Range(_) => Ok(value.clone()),
        _ => python::items(state, value).map(Value::from),
    }
}

/// `+value` and `-value`.
fn signed(args: &Args, negative: bool) -> Result<Value, Error> {
    let [value] = &args.positional[..] else { return args.error("takes one argument") };
    let sign = if negative { -1 } else { 1 };
    match kind(value) {
        Py::Bool(value) => Ok(Value::from(sign * i64::from(value))),
        Py::Float(number) => Ok(Value::from(f64::from(sign as i32) * number)),
        Py::Int if !negative => Ok(value.clone()),
        Py::Int => match i128::try_from(value.clone()).ok().and_then(i128::checked_neg) {
            Some(number) => Ok(Value::from(number)),
            None => kind_error(format!("-{value} is too large")),
        },
        Py::Undefined => undefined(value),
        _ => kind_error(format!("bad operand type for unary {}: '{}'", if negative { '-' } else { '+' }, type_name(value))),
    }
}

/// An attribute whose name a method of Python's has.
fn attribute(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [object, name] = &args.positional[..] else { return args.error("takes two arguments") };
    match bound(object, args.text(name)?) {
        Some(method) => Ok(method),
        None => object.get_attr(args.text(name)?),
    }
}

/// An item whose key a method of Python's has for its name.
fn item(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [object, key] = &args.positional[..] else { return args.error("takes two arguments") };
    let found = object.get_item(key)?;
    Ok(if found.is_undefined() { bound(object, args.text(key)?).unwrap_or(found) } else { found })
}

fn set_attribute(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [object, name, value] = &args.positional[..] else { return args.error("takes three arguments") };
    let Some(namespace) = object.downcast_object_ref::<Namespace>() else {
        return kind_error(format!("only a namespace's attributes can be set, not those of '{}'", type_name(object)));
    };
    namespace.set(args.text(name)?, value.clone())?;
    Ok(Value::from(()))
}

fn slice(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [object, start, stop, step] = &args.positional[..] else { return args.error("takes four arguments") };
    let bounds = [start, stop, step].map(|value| match kind(value) {
        Py::None => Ok(None),
        Py::Int | Py::Bool(_) => Ok(Some(i64::try_from(value.clone()).unwrap_or(i64::MAX))),
        _ => kind_error(format!("slice indices must be integers or None, not '{}'", type_name(value))),
    });
    let is_sliced = matches!(kind(object), Py::Text(_) | Py::List | Py::Tuple | Py::Range(_));
    if !is_sliced {
        return if object.is_undefined() {
            undefined(object)
        } else {
            kind_error(format!("'{}' object is not subscriptable with a slice", type_name(object)))
        };
    }
    let [start, stop, step] = bounds;
    let (start, stop, step) = (start?, stop?, step?);
    if step == Some(0) {
        return kind_error("slice step cannot be zero");
    }
    let step = step.unwrap_or(1);
    let indices = |length: usize| indices(length as i64, start, stop, step);
    match kind(object) {
        Py::Text(text) => {
            pay(state, text.len())?;
            let chars: Vec<char> = text.chars().collect();
            Ok(Value::from(indices(chars.len()).map(|at| chars[at]).collect::<String>()))
        }
        Py::Range(range) => {
            let (first, end) = bounds_of(range.len() as i64, start, stop, step);
            let number = |at: i64| range.start.saturating_add(at.saturating_mul(range.step));
            Ok(Value::from_object(Range { start: number(first), stop: number(end), step: range.step.saturating_mul(step) }))
        }
        Py::Tuple => {
            let items = python::items(state, object)?;
            Ok(Value::from(minijinja::value::Tuple::from(indices(items.len()).map(|at| items[at].clone()).collect::<Vec<_>>())))
        }
        _ => {
            let items = python::items(state, object)?;
            pay_values(state, items.len())?;
            Ok(Value::from(indices(items.len()).map(|at| items[at].clone()).collect::<Vec<_>>()))
        }
    }
}

/// Where a slice of so many items begins and ends.
fn bounds_of(length: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> (i64, i64) {
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: i64| if bound < 0 { bound.saturating_add(length).max(low) } else { bound.min(high) };
    let (first, end) = if step > 0 { (low, high) } else { (high, low) };
    (start.map_or(first, clamp), stop.map_or(end, clamp))
}

fn indices(length: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let (start, stop) = bounds_of(length, start, stop, step);
    let count = Range { start, stop, step }.len();
    (0..count).map(move |i| (start + i as i64 * step) as usize)
}

/// `left + right`, for sums.
pub(super) fn plus(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let number = |value: &Value| i128::try_from(value.clone()).ok().filter(|_| !matches!(kind(value), Py::Float(_)));
    match (kind(left), kind(right)) {
        (Py::Bool(_) | Py::Int | Py::Float(_), Py::Bool(_) | Py::Int | Py::Float(_)) => match (number(left), number(right)) {
            (Some(a), Some(b)) => a.checked_add(b).map_or_else(|| kind_error("sum: the total is too large"), |sum| Ok(Value::from(sum))),
            _ => Ok(Value::from(as_float(left) + as_float(right))),
        },
        (Py::List, Py::List) | (Py::Tuple, Py::Tuple) => {
            let mut all = python::items(state, left)?;
            all.extend(python::items(state, right)?);
            Ok(if left.is_tuple() { Value::from(minijinja::value::Tuple::from(all)) } else { Value::from(all) })
        }
        (_, Py::Undefined) => undefined(right),
        _ => kind_error(format!("unsupported operand type(s) for +: '{}' and '{}'", type_name(left), type_name(right))),
    }
}
