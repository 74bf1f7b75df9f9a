//! Python's objects that MiniJinja's values don't have: ranges, views of a dict, generators, namespaces, bound methods, joiners and cyclers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value};

use super::errors::kind_error;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `range(start, stop, step)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) stop: i64,
    /// Not 0.
    pub(super) step: i64,
}

impl Range {
    /// How many numbers it has.
    pub(super) fn len(&self) -> usize {
        let (start, stop, step) = (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let distance = if step > 0 { stop - start } else { start - stop };
        if distance <= 0 { 0 } else { ((distance - 1) / step.abs() + 1) as usize }
    }

    fn item(&self, at: usize) -> Value {
        Value::from(self.start.saturating_add((at as i64).saturating_mul(self.step)))
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str();
        match name {
            Some("start") => Some(Value::from(self.start)),
            Some("stop") => Some(Value::from(self.stop)),
            Some("step") => Some(Value::from(self.step)),
            Some(_) => None,
            None => key.as_usize().filter(|at| *at < self.len()).map(|at| self.item(at)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "range({}, {})", self.start, self.stop),
            step => write!(f, "range({}, {}, {step})", self.start, self.stop),
        }
    }
}

/// What a view of a dict shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Keys,
    Values,
    Items,
}

/// `dict.keys()`, `dict.values()`, `dict.items()`.
#[derive(Debug)]
pub(super) struct View {
    pub(super) of: Value,
    pub(super) shown: Shown,
}

impl View {
    pub(super) fn name(&self) -> &'static str {
        match self.shown {
            Shown::Keys => "dict_keys",
            Shown::Values => "dict_values",
            Shown::Items => "dict_items",
        }
    }

    pub(super) fn values(&self) -> Vec<Value> {
        self.iter().collect()
    }

    fn iter(&self) -> impl Iterator<Item = Value> + Send + Sync + use<> {
        let shown = self.shown;
        let pairs = self.of.as_object().and_then(|map| map.try_iter_pairs()).into_iter().flatten();
        pairs.map(move |(key, value)| match shown {
            Shown::Keys => key,
            Shown::Values => value,
            Shown::Items => Value::from(minijinja::value::Tuple::from([key, value])),
        })
    }
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // One after the other: loops in one another hold no copies.
        Enumerator::Iter(Box::new(self.iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.of.len()
    }
}

/// What a filter such as `map` gives: its items come once, and it is true whether there are any or not.
#[derive(Debug)]
pub(super) struct Generator(Mutex<std::vec::IntoIter<Value>>);

impl Generator {
    pub(super) fn value(items: Vec<Value>) -> Value {
        Value::from_object(Self(Mutex::new(items.into_iter())))
    }

    /// The items that are left.
    pub(super) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *lock(&self.0)).collect()
    }

    /// The next item.
    pub(super) fn next(&self) -> Option<Value> {
        lock(&self.0).next()
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.take())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<generator object>")
    }
}

/// `namespace(...)`: the one object whose attributes can be set.
#[derive(Default)]
pub(super) struct Namespace(Mutex<Vec<(String, Value)>>);

impl Namespace {
    /// Sets an attribute. Errors: a name that transformers refuses.
    pub(super) fn set(&self, name: &str, value: Value) -> Result<(), Error> {
        if name.starts_with('_') {
            return kind_error(format!("a namespace can't have the attribute `{name}`, which begins with an underscore; rename it"));
        }
        let mut pairs = lock(&self.0);
        match pairs.iter_mut().find(|(key, _)| key == name) {
            Some(pair) => pair.1 = value,
            None => pairs.push((name.to_owned(), value)),
        }
        Ok(())
    }

    pub(super) fn pairs(&self) -> Vec<(String, Value)> {
        lock(&self.0).clone()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Namespace>")
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        lock(&self.0).iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// A method that was looked up and not called.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) object: Value,
    pub(super) name: &'static str,
}

/// A group of `groupby`: a tuple whose parts have names.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) grouper: Value,
    pub(super) list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// `joiner(...)` and `cycler(...)`.
#[derive(Debug)]
pub(super) enum Tool {
    Joiner {
        separator: Value,
        used: Mutex<bool>,
    },
    /// `items` is a list, which all that ask for it share.
    Cycler {
        items: Value,
        at: Mutex<usize>,
    },
}

impl Tool {
    pub(super) fn is_callable(&self) -> bool {
        matches!(self, Self::Joiner { .. })
    }
}
