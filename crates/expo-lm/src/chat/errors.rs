//! Python's errors.

use minijinja::{Error, ErrorKind, Value};

/// A `TypeError` or `ValueError`.
pub(super) fn kind_error<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// What Jinja2 says of a value that isn't there.
pub(super) fn undefined<T>(value: &Value) -> Result<T, Error> {
    // MiniJinja knows which expression it came from, and says so where that is looked into.
    Err(value.get_attr("x").err().unwrap_or_else(|| ErrorKind::UndefinedError.into()))
}
