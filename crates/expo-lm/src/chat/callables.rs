//! What can be called: methods that were looked up, joiners; and cyclers, which have methods of their own.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};

use super::args::Args;
use super::errors::kind_error;
use super::methods;
use super::objects::{Bound, Tool, lock};
use super::python::type_name;

impl Object for Bound {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        methods::named(state, &self.object, self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {} of {} object>", self.name, type_name(&self.object))
    }
}

impl Object for Tool {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (&**self, key.as_str()?) {
            (Self::Joiner { separator, .. }, "sep") => Some(separator.clone()),
            (Self::Joiner { used, .. }, "used") => Some(Value::from(*lock(used))),
            (Self::Cycler { items, at }, "current") => items.get_item_by_index(*lock(at)).ok(),
            (Self::Cycler { items, .. }, "items") => Some(items.clone()),
            (Self::Cycler { at, .. }, "pos") => Some(Value::from(*lock(at))),
            _ => None,
        }
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        Args::new("a joiner", args.to_vec()).bind([], 0)?;
        match &**self {
            Self::Joiner { separator, used } => {
                Ok(if std::mem::replace(&mut *lock(used), true) { separator.clone() } else { Value::from("") })
            }
            Self::Cycler { .. } => kind_error("'Cycler' object is not callable"),
        }
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, args: &[Value]) -> Result<Value, Error> {
        Args::new("a cycler's method", args.to_vec()).bind([], 0)?;
        match (&**self, name) {
            (Self::Cycler { items, at }, "next") => {
                let mut at = lock(at);
                let current = items.get_item_by_index(*at)?;
                *at = (*at + 1) % items.len().unwrap_or(1);
                Ok(current)
            }
            (Self::Cycler { at, .. }, "reset") => {
                *lock(at) = 0;
                Ok(Value::from(()))
            }
            _ => Err(minijinja::ErrorKind::UnknownMethod.into()),
        }
    }
}

/// A value's method by its name, where it has one.
pub(super) fn bound(object: &Value, name: &str) -> Option<Value> {
    let name = methods::of(object).iter().find(|method| **method == name)?;
    // The sandbox gives none that changes its value.
    if methods::CHANGING.contains(name) {
        return Some(Value::UNDEFINED);
    }
    Some(Value::from_object(Bound { object: object.clone(), name }))
}
