//! Parts of a run that change from step to step, to JSON and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// A part of a run that changes from step to step.
pub trait Resumable {
    /// What has changed since the part was made from the configuration and the data.
    fn state(&self) -> Result<Value>;
    /// Takes over what [`Resumable::state`] returned. Errors: it is not of that form.
    fn restore(&mut self, state: Value) -> Result<()>;
}

/// `value` as JSON.
pub(crate) fn to_state(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::Checkpoint(format!("checkpoint: a part of the run has no JSON form: {e}")))
}

/// A value back from JSON.
pub(crate) fn from_state<T: DeserializeOwned>(state: Value) -> Result<T> {
    serde_json::from_value(state).map_err(|e| Error::Checkpoint(format!("a part of the run's state can't be read: {e}")))
}

macro_rules! plain_value {
    ($($ty:ty),+) => {$(
        impl Resumable for $ty {
            fn state(&self) -> Result<Value> {
                to_state(self)
            }
            fn restore(&mut self, state: Value) -> Result<()> {
                *self = from_state(state)?;
                Ok(())
            }
        }
    )+};
}
plain_value!(usize, bool);

/// A part that the configuration may leave out; whether it does is the same before and after.
impl<T: Resumable> Resumable for Option<T> {
    fn state(&self) -> Result<Value> {
        self.as_ref().map_or(Ok(Value::Null), T::state)
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        match (self, state) {
            (None, Value::Null) => Ok(()),
            (Some(part), state) => part.restore(state),
            (None, _) => Err(Error::Checkpoint("the run's state has a part that this configuration leaves out".into())),
        }
    }
}
