//! JSON files and values, for messages that say what was found.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The object that the file `path` holds.
pub(crate) fn object(json: &[u8], path: &Path) -> Result<Map<String, Value>> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::file(path, "holds JSON, but no object; expected {...}")),
        Err(e) => Err(Error::file(path, format!("is not valid JSON ({e}); download or write it again"))),
    }
}

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_object_is_refused() {
        let message = |json: &str| object(json.as_bytes(), Path::new("config.json")).unwrap_err().to_string();
        assert_eq!(message("[1]"), "config.json: holds JSON, but no object; expected {...}");
        assert!(message("{").starts_with("config.json: is not valid JSON (") && message("{").ends_with("; download or write it again"));
        assert_eq!(object(b"{\"a\": 1}", Path::new("config.json")).unwrap()["a"], 1);
    }
}
