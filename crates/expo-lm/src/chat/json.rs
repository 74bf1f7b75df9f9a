//! `json.dumps`, as transformers' `tojson` calls it.

use minijinja::{Error, State, Value};

use super::args::Args;
use super::errors::kind_error;
use super::floats::float;
use super::python::{Py, items, kind, pay, truth, type_name};

/// Deepest nesting.
const DEPTH: usize = 128;

/// Widest indentation.
const INDENT: usize = 64;

/// The filter `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
/// Its work is paid for as it goes: indentation can be far larger than what is written.
pub(super) fn filter(state: &mut State, args: &Args) -> Result<Value, Error> {
    let [value, ascii, indent, separators, sort_keys] = args.bind(["x", "ensure_ascii", "indent", "separators", "sort_keys"], 1)?;
    let indent = match indent.as_ref().map(|indent| (kind(indent), indent)) {
        None | Some((Py::None, _)) => None,
        Some((Py::Text(text), _)) if text.len() <= INDENT => Some(text.to_owned()),
        Some((Py::Text(_), _)) => return args.error(format!("an indentation of more than {INDENT} bytes")),
        Some((_, indent)) => Some(" ".repeat(args.integer(Some(indent), 0)?.clamp(0, INDENT as i64) as usize)),
    };
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some(separators) = separators.filter(|separators| !separators.is_none()) {
        match &items(state, &separators)?[..] {
            [first, second] => (item, key) = (args.text(first)?.to_owned(), args.text(second)?.to_owned()),
            _ => return args.error("separators have to be two strings"),
        }
    }
    let ascii = ascii.as_ref().is_some_and(truth);
    let sort_keys = sort_keys.as_ref().is_some_and(truth);
    let mut writer = Json { state, out: String::new(), paid: 0, ascii, indent, sort_keys, item, key };
    writer.value(&value.unwrap_or_default(), 0)?;
    Ok(Value::from(writer.out))
}

struct Json<'a, 'b, 'env> {
    state: &'a State<'b, 'env>,
    out: String,
    /// Bytes of `out` that fuel was spent for.
    paid: usize,
    ascii: bool,
    indent: Option<String>,
    sort_keys: bool,
    item: String,
    key: String,
}

impl Json<'_, '_, '_> {
    /// Spends fuel for what was written since: an instruction's for each value, and for the bytes as MiniJinja does.
    fn pay(&mut self) -> Result<(), Error> {
        pay(self.state, self.out.len() - std::mem::replace(&mut self.paid, self.out.len()))
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return kind_error("tojson: nested too deeply");
        }
        self.pay()?;
        match kind(value) {
            Py::None => self.out.push_str("null"),
            Py::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Py::Int => self.out += &value.to_string(),
            Py::Float(number) => self.out.push_str(&json_float(number)),
            Py::Text(text) => self.string(text),
            Py::Dict => {
                let mut entries = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    entries.push((key, item));
                }
                if self.sort_keys {
                    super::python::sort(self.state, &mut entries, false)?;
                }
                self.container('{', '}', entries.len(), depth, |json, i| {
                    let (key, value) = &entries[i];
                    match kind(key) {
                        Py::Text(text) => json.string(text),
                        Py::None => json.out.push_str("\"null\""),
                        Py::Bool(value) => json.out.push_str(if value { "\"true\"" } else { "\"false\"" }),
                        Py::Int => json.out += &format!("\"{key}\""),
                        Py::Float(number) => json.out.extend(["\"", &json_float(number), "\""]),
                        _ => return kind_error(format!("tojson: keys must be str, int, float, bool or None, not {}", type_name(key))),
                    }
                    json.out.push_str(&json.key.clone());
                    json.value(value, depth + 1)
                })?;
            }
            Py::List | Py::Tuple => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.container('[', ']', items.len(), depth, |json, i| json.value(&items[i], depth + 1))?;
            }
            _ => return kind_error(format!("tojson: Object of type {} is not JSON serializable", type_name(value))),
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
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
    }

    fn string(&mut self, text: &str) {
        // serde_json escapes exactly what Python does without `ensure_ascii`.
        let json = serde_json::Value::from(text).to_string();
        if !self.ascii {
            self.out.push_str(&json);
            return;
        }
        for c in json.chars() {
            if c.is_ascii() {
                self.out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    self.out += &format!("\\u{unit:04x}");
                }
            }
        }
    }
}

/// JSON's text of a float, and JavaScript's of those that JSON has none of.
fn json_float(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        n => float(n),
    }
}
