//! Jinja2's and transformers' global functions.

use std::sync::Mutex;

use minijinja::{Environment, Error, State, Value};

use super::args::{Args, Operation, native};
use super::errors::kind_error;
use super::objects::{Namespace, Range, Tool};
use super::python::{Py, check_key, items, kind, pay, text};
use super::sequences::pairs;

/// Longest range that transformers' sandbox makes.
const MOST_RANGE: usize = 100_000;

const ALL: [(&str, Operation); 6] = [
    ("cycler", cycler),
    ("dict", |state, args| dict_pairs(state, args).map(Value::from_pairs)),
    ("joiner", joiner),
    ("namespace", namespace),
    ("raise_exception", raise),
    ("range", range),
];

/// Gives an environment these functions and no others.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.remove_global("debug");
    for (name, operation) in ALL {
        environment.add_function(name, native(name, operation));
    }
}

fn raise(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [message] = args.bind(["message"], 1)?;
    kind_error(text(state, &message.unwrap_or_default())?)
}

/// The pairs that `dict(...)` is made of.
fn dict_pairs(state: &State, args: &Args) -> Result<Vec<(Value, Value)>, Error> {
    if args.positional.len() > 1 {
        return args.error("expected at most 1 argument without a name");
    }
    let mut found = Vec::new();
    for value in &args.positional {
        let each = if matches!(kind(value), Py::Dict) { pairs(value) } else { items(state, value)? };
        for pair in each {
            let [key, value] = &items(state, &pair)?[..] else { return args.error("expected pairs of a key and a value") };
            check_key(state, key)?;
            found.push((key.clone(), value.clone()));
        }
    }
    found.extend(args.named.iter().map(|(key, value)| (Value::from(key.as_str()), value.clone())));
    Ok(found)
}

fn namespace(state: &mut State, args: &Args) -> Result<Value, Error> {
    let namespace = Namespace::default();
    for (key, value) in dict_pairs(state, args)? {
        let name = args.text(&key)?;
        pay(state, name.len())?;
        namespace.set(name, value)?;
    }
    Ok(Value::from_object(namespace))
}

fn range(_: &mut State, args: &Args) -> Result<Value, Error> {
    if !args.named.is_empty() {
        return args.error("takes no keyword arguments");
    }
    let numbers = args.positional.iter().map(|value| args.integer(Some(value), 0)).collect::<Result<Vec<_>, _>>()?;
    let range = match numbers[..] {
        [stop] => Range { start: 0, stop, step: 1 },
        [start, stop] => Range { start, stop, step: 1 },
        [_, _, 0] => return args.error("the step must not be zero"),
        [start, stop, step] => Range { start, stop, step },
        _ => return args.error(format!("expected 1 to 3 arguments, got {}", numbers.len())),
    };
    if range.len() > MOST_RANGE {
        return args.error(format!("a range of {} numbers; expected at most {MOST_RANGE}", range.len()));
    }
    Ok(Value::from_object(range))
}

fn joiner(_: &mut State, args: &Args) -> Result<Value, Error> {
    let [separator] = args.bind(["sep"], 0)?;
    let separator = separator.unwrap_or_else(|| Value::from(", "));
    Ok(Value::from_object(Tool::Joiner { separator, used: Mutex::new(false) }))
}

fn cycler(state: &mut State, args: &Args) -> Result<Value, Error> {
    if args.positional.is_empty() || !args.named.is_empty() {
        return args.error("expected at least one item, and no names");
    }
    pay(state, args.positional.len() * 16)?;
    Ok(Value::from_object(Tool::Cycler { items: Value::from(args.positional.clone()), at: Mutex::new(0) }))
}
