//! What Python prints: chat templates are written for Jinja2, whose values are Python's.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};

use super::limits;

/// Prints constants and floats as Python's `str` does, everything else as MiniJinja does.
pub(super) fn format_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match (value.kind(), f64::try_from(value.clone())) {
        (ValueKind::Bool, _) => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        (ValueKind::None, _) => Ok(out.write_str("None")?),
        (ValueKind::Number, Ok(number)) if !value.is_integer() => Ok(out.write_str(&float(number))?),
        _ if limits::is_container(value) => Ok(out.write_str(&limits::text(state, value)?)?),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// `str.isspace` of one character.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// `json.dumps(value, ensure_ascii=False, ...)` with the options that transformers' `tojson` has.
/// Its work is paid for as it goes: indentation can be far larger than what is written.
pub(super) fn to_json(state: &State, value: &Value, options: &Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.map(|n| n.min(64));
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    if options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson(ensure_ascii=true) is not implemented"));
    }
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some(separators) = options.get::<Option<Vec<String>>>("separators")? {
        match <[String; 2]>::try_from(separators) {
            Ok(pair) => [item, key] = pair,
            Err(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators have to be two strings")),
        }
    }
    options.assert_all_used()?;
    let mut writer = Json { state, out: String::new(), paid: 0, indent, sort_keys, item, key };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Json<'a, 'env> {
    state: &'a State<'a, 'env>,
    out: String,
    /// Bytes of `out` that fuel was spent for.
    paid: usize,
    indent: Option<usize>,
    sort_keys: bool,
    item: String,
    key: String,
}

impl Json<'_, '_> {
    /// Spends fuel for what was written since: an instruction's for each value, and for the bytes as MiniJinja does.
    fn pay(&mut self) -> Result<(), Error> {
        let bytes = self.out.len() - std::mem::replace(&mut self.paid, self.out.len());
        self.state.consume_fuel(1 + (bytes / 64) as u64)
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > 128 {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: nested too deeply"));
        }
        self.pay()?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => self.out.push_str(&float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut entries = Vec::new();
                for key in value.try_iter()? {
                    entries.push((key.to_string(), value.get_item(&key)?));
                }
                if self.sort_keys {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.container('{', '}', entries.len(), depth, |json, i| {
                    json.string(&entries[i].0);
                    json.out.push_str(&json.key.clone());
                    json.value(&entries[i].1, depth + 1)
                })?;
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.container('[', ']', items.len(), depth, |json, i| json.value(&items[i], depth + 1))?;
            }
            other => return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: {other} is not JSON serializable"))),
        }
        Ok(())
    }

    fn container(
        &mut self,
        open: char,
        close: char,
        length: usize,
        depth: usize,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for i in 0..length {
            if i > 0 {
                self.out.push_str(&self.item.clone());
            }
            self.new_line(depth + 1);
            each(self, i)?;
        }
        if length > 0 {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, text: &str) {
        // serde_json escapes exactly what Python does without `ensure_ascii`.
        self.out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Python's `repr` of a float: the shortest digits that give the number back, an exponent below 1e-4 and from 1e16 on.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return match number {
            n if n.is_nan() => "NaN",
            n if n > 0.0 => "Infinity",
            _ => "-Infinity",
        }
        .to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..=15 => format!("{number:?}"),
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (0.1, "0.1"),
            (0.0, "0.0"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
        }
    }
}
