//! Arguments as Python binds them.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use super::errors::kind_error;
use super::python::{truth, type_name};

/// What a template's operation is made of.
pub(super) type Operation = fn(&mut State, &Args) -> Result<Value, Error>;

/// The arguments of a call; a filter's or test's value is the first.
pub(super) struct Args {
    /// What is called, for messages.
    name: &'static str,
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
}

/// An [`Operation`] as MiniJinja calls it.
pub(super) fn native(name: &'static str, operation: Operation) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> {
    move |state: &mut State, values: Rest<ValueOrKwargs>| operation(state, &Args::new(name, values.into_values()))
}

impl Args {
    pub(super) fn new(name: &'static str, mut positional: Vec<Value>) -> Self {
        let mut named = Vec::new();
        if positional.last().is_some_and(Value::is_kwargs) {
            let kwargs = positional.pop().and_then(|last| Kwargs::try_from(last).ok());
            for kwargs in kwargs.iter() {
                named.extend(kwargs.args().filter_map(|key| Some((key.to_owned(), kwargs.peek::<Value>(key).ok()?))));
            }
        }
        Self { name, positional, named }
    }

    /// Arguments by name alone.
    pub(super) fn named(name: &'static str, named: Vec<(String, Value)>) -> Self {
        Self { name, positional: Vec::new(), named }
    }

    /// What is called.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// An error about this call.
    pub(super) fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{}: {message}", self.name)))
    }

    /// The arguments by `names`, of which the first `required` have no default.
    pub(super) fn bind<const N: usize>(&self, names: [&str; N], required: usize) -> Result<[Option<Value>; N], Error> {
        if self.positional.len() > N {
            return self.error(format!("takes {N} arguments, but {} were given", self.positional.len()));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(&self.positional) {
            *slot = Some(value.clone());
        }
        for (key, value) in &self.named {
            let Some(at) = names.iter().position(|name| name == key) else { return self.error(format!("has no argument `{key}`")) };
            if bound[at].replace(value.clone()).is_some() {
                return self.error(format!("the argument `{key}` is given twice"));
            }
        }
        match bound.iter().take(required).position(Option::is_none) {
            Some(missing) => self.error(format!("the argument `{}` is missing", names[missing])),
            None => Ok(bound),
        }
    }

    /// A whole number that `value` has to be.
    pub(super) fn integer(&self, value: Option<&Value>, default: i64) -> Result<i64, Error> {
        match value {
            None => Ok(default),
            Some(value) if value.is_integer() || value.kind() == minijinja::value::ValueKind::Bool => {
                i64::try_from(value.clone()).or_else(|_| self.error(format!("{value} is too large")))
            }
            Some(value) => self.error(format!("expected an integer, found '{}'", type_name(value))),
        }
    }

    /// A string that `value` has to be.
    pub(super) fn text<'v>(&self, value: &'v Value) -> Result<&'v str, Error> {
        value.as_str().map_or_else(|| self.error(format!("expected a string, found '{}'", type_name(value))), Ok)
    }

    /// Whether `value` holds, where it is given.
    pub(super) fn flag(&self, value: Option<&Value>) -> bool {
        value.is_some_and(truth)
    }

    /// A method or attribute that doesn't exist.
    pub(super) fn unknown<T>(&self, value: &Value) -> Result<T, Error> {
        kind_error(format!("'{}' object has no attribute '{}'", type_name(value), self.name))
    }
}
