//! JSON as Python's `json` module reads and writes it: integers of any size, and `NaN`, `Infinity` and `-Infinity` among the numbers.
//!
//! A [`Value`] holds neither. An integer beyond 64 bits becomes text, its digits; a number that is not finite becomes null. [`Unheld`] says where.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize as _;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Map, Number, Value};

use super::shown::shown;

/// A list in a list in ...: more than any data set needs. serde_json's own bound.
const MOST_DEPTH: usize = 128;

/// How deep a message follows a path.
const TOLD_DEPTH: usize = 8;

/// What a row has that a [`Value`] can't hold, by its path (`a.b` is field `b` of the object `a`, `a.0` the first entry of the list `a`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unheld {
    /// What became null, and what it is, to be said behind the path: "is NaN".
    pub null: BTreeMap<String, String>,
    /// Integers beyond 64 bits, which became text.
    pub wide: Vec<String>,
}

impl Unheld {
    /// Of an array of `count` items: of each its own.
    pub fn of_items(self, count: usize) -> Vec<Self> {
        let mut items = vec![Self::default(); count];
        // An item that is itself such a number has no path of its own.
        let place = |path: &str| path.split_once('.').and_then(|(place, rest)| Some((place.parse::<usize>().ok()?, rest.to_owned())));
        for (path, found) in self.null {
            if let Some((item, path)) = place(&path).and_then(|(place, path)| Some((items.get_mut(place)?, path))) {
                item.null.insert(path, found);
            }
        }
        for path in self.wide {
            if let Some((item, path)) = place(&path).and_then(|(place, path)| Some((items.get_mut(place)?, path))) {
                item.wide.push(path);
            }
        }
        items
    }
}

/// A value, and what it doesn't hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The value.
    pub value: Value,
    /// What it doesn't hold.
    pub unheld: Unheld,
}

/// Fields in order, each value as it is written.
pub type Written = Vec<(String, Box<RawValue>)>;

/// Text that isn't JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Malformed {
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
    /// The value at hand: names in objects, places in arrays, from the top.
    pub path: Vec<String>,
    /// What is wrong there.
    pub reason: String,
}

impl Malformed {
    /// The message, without the line. `of_rows`: the text is an array of rows.
    pub fn message(&self, of_rows: bool) -> String {
        let (row, path) = match self.path.split_first() {
            Some((place, path)) if of_rows => (place.parse::<usize>().ok().map(|place| format!("row {}", place + 1)), path),
            _ => (None, self.path.as_slice()),
        };
        let path = &path[..path.len().min(TOLD_DEPTH)];
        let field = (!path.is_empty()).then(|| format!("field `{}`", shown(&path.join("."))));
        let place: Vec<String> = row.into_iter().chain(field).collect();
        let place = if place.is_empty() { String::new() } else { format!(" ({})", place.join(", ")) };
        format!("malformed JSON at column {}{place}: {}", self.column, self.reason)
    }
}

/// The value that `text` is. Of a key that comes twice the last value counts.
pub fn parse(text: &str) -> Result<Parsed, Malformed> {
    let source = Source::new(text);
    let mut unheld = Unheld::default();
    let value = source.value(&source.text, &mut Vec::new(), &mut unheld)?;
    Ok(Parsed { value, unheld })
}

/// The fields of the object that `text` is, each as it is written (what is not finite as null). `None`: it is JSON, but no object.
pub fn written(text: &str) -> Result<Option<Written>, Malformed> {
    let source = Source::new(text);
    let members = match source.parts(&source.text)? {
        Parts::Object(members) => members,
        Parts::Array(_) | Parts::Scalar(_) => return Ok(None),
    };
    // Every value is looked into: what stands in it may be malformed in ways that its end doesn't show.
    for (name, raw) in &members {
        source.value(raw.get(), &mut vec![name.clone()], &mut Unheld::default())?;
    }
    Ok(Some(members.into_iter().map(|(name, raw)| (name, raw.to_owned())).collect()))
}

/// Text in which null stands for numbers that are not finite.
struct Source<'a> {
    original: &'a str,
    text: Cow<'a, str>,
    /// Where these nulls stand in `text`, and what stood there; in order.
    replaced: Vec<(usize, &'static str)>,
}

/// What a value consists of.
enum Parts<'t> {
    Object(Vec<(String, &'t RawValue)>),
    Array(Vec<&'t RawValue>),
    Scalar(&'t str),
}

impl<'a> Source<'a> {
    fn new(original: &'a str) -> Self {
        let mut source = Self { original, text: Cow::Borrowed(original), replaced: Vec::new() };
        if !original.contains("NaN") && !original.contains("Infinity") {
            return source;
        }
        let (mut text, mut copied, mut at) = (String::new(), 0, 0);
        while let Some(found) = original[at..].find(['"', 'N', 'I', '-']) {
            at += found;
            let rest = &original[at..];
            let Some(name) = ["NaN", "Infinity", "-Infinity"].into_iter().find(|name| rest.starts_with(name)) else {
                at += if rest.starts_with('"') { string_length(rest.as_bytes()) } else { 1 };
                continue;
            };
            text += &original[copied..at];
            source.replaced.push((text.len(), name));
            text += "null";
            at += name.len();
            copied = at;
        }
        text += &original[copied..];
        if !source.replaced.is_empty() {
            source.text = Cow::Owned(text);
        }
        source
    }

    /// Where `part`, a slice of the text, begins in it.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.text.as_ptr() as usize
    }

    fn value(&self, text: &str, path: &mut Vec<String>, unheld: &mut Unheld) -> Result<Value, Malformed> {
        if path.len() > MOST_DEPTH {
            return Err(self.malformed(self.offset(text), format!("nested more than {MOST_DEPTH} deep")));
        }
        Ok(match self.parts(text)? {
            Parts::Object(members) => {
                let mut object = Map::new();
                for (name, raw) in members {
                    path.push(name);
                    let value = self.value(raw.get(), path, unheld)?;
                    object.insert(path.pop().unwrap_or_default(), value);
                }
                Value::Object(object)
            }
            Parts::Array(items) => {
                let mut array = Vec::with_capacity(items.len());
                for (i, raw) in items.iter().enumerate() {
                    path.push(i.to_string());
                    array.push(self.value(raw.get(), path, unheld)?);
                    path.pop();
                }
                Value::Array(array)
            }
            Parts::Scalar(text) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => number(text).unwrap_or_else(|other| {
                match other {
                    Unfit::Wide => unheld.wide.push(path.join(".")),
                    Unfit::Infinite => {
                        unheld.null.insert(path.join("."), format!("is {}, which no floating-point number holds", shown(text)));
                    }
                }
                if let Unfit::Wide = other { Value::String(text.to_owned()) } else { Value::Null }
            }),
            Parts::Scalar(text) => {
                if let Ok(found) = self.replaced.binary_search_by_key(&self.offset(text), |(offset, _)| *offset) {
                    unheld.null.insert(path.join("."), format!("is {}", self.replaced[found].1));
                }
                serde_json::from_str(text).map_err(|e| self.error(text, &e))?
            }
        })
    }

    /// What `text`, a slice of the text, consists of.
    fn parts<'t>(&self, text: &'t str) -> Result<Parts<'t>, Malformed> {
        let mut reader = Deserializer::from_str(text);
        let parts = match text.trim_start_matches([' ', '\t', '\r', '\n']).as_bytes().first() {
            Some(b'{') => reader.deserialize_map(Members).map(Parts::Object),
            Some(b'[') => Vec::deserialize(&mut reader).map(Parts::Array),
            _ => <&RawValue>::deserialize(&mut reader).map(|raw| Parts::Scalar(raw.get())),
        };
        parts.and_then(|parts| reader.end().map(|()| parts)).map_err(|e| self.error(text, &e))
    }

    /// serde_json's error in `text`, a slice of the text.
    fn error(&self, text: &str, error: &serde_json::Error) -> Malformed {
        let line_start = match error.line() {
            0 | 1 => 0,
            line => text.match_indices('\n').nth(line - 2).map_or(0, |(at, _)| at + 1),
        };
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        self.malformed(self.offset(text) + line_start + error.column().saturating_sub(1), reason.to_owned())
    }

    /// An error at `offset` of the text, told by its place in the original.
    fn malformed(&self, offset: usize, reason: String) -> Malformed {
        let path = path_at(&self.text.as_bytes()[..offset.min(self.text.len())]);
        let before = self.replaced.iter().take_while(|(at, _)| *at < offset);
        let shift: isize = before.map(|(_, name)| name.len() as isize - "null".len() as isize).sum();
        let offset = offset.saturating_add_signed(shift).min(self.original.len());
        let before = &self.original.as_bytes()[..offset];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Malformed { line, column: offset - line_start + 1, path, reason }
    }
}

/// The path of the value that JSON which begins with `text` is in the middle of.
fn path_at(text: &[u8]) -> Vec<String> {
    /// An array at its n-th entry, or an object at a member, whose name is in quotes.
    enum Level<'t> {
        Array(usize),
        Object { name: &'t [u8], named: bool },
    }
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = if rest[0] == b'"' { string_length(rest) } else { 1 };
        match (rest[0], levels.last_mut()) {
            (b'"', Some(Level::Object { name, named: false })) => *name = &rest[..length],
            (b':', Some(Level::Object { named, .. })) => *named = true,
            (b',', Some(Level::Object { named, name })) => (*name, *named) = (b"", false),
            (b',', Some(Level::Array(place))) => *place += 1,
            (b'{', _) => levels.push(Level::Object { name: b"", named: false }),
            (b'[', _) => levels.push(Level::Array(0)),
            (b'}' | b']', _) => drop(levels.pop()),
            _ => {}
        }
        at += length;
    }
    let name = |level: Level<'_>| match level {
        Level::Array(place) => Some(place.to_string()),
        Level::Object { name, .. } => serde_json::from_slice(name).ok(),
    };
    levels.into_iter().take(MOST_DEPTH).map_while(name).collect()
}

/// The length of the string that `text` begins with, with its quotes; all of `text` where it doesn't end.
fn string_length(text: &[u8]) -> usize {
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// Why a number is none of a [`Value`].
enum Unfit {
    Wide,
    Infinite,
}

/// An integer as it is, another number as the nearest 64-bit float.
fn number(text: &str) -> Result<Value, Unfit> {
    if text.contains(['.', 'e', 'E']) {
        // As Python's `float`: what is too large is infinite.
        return text.parse().ok().and_then(Number::from_f64).map(Value::Number).ok_or(Unfit::Infinite);
    }
    let (signed, unsigned) = (text.parse::<i64>().map(Value::from), text.parse::<u64>().map(Value::from));
    signed.or(unsigned).map_err(|_| Unfit::Wide)
}

/// The members of an object in order.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rows::scalar;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        parse(text).unwrap().value
    }

    #[test]
    fn numbers_are_those_of_python() {
        // `str(json.loads(text))` of Python 3.
        let cases = [
            ("12345678901234567890123", "12345678901234567890123"),
            ("18446744073709551617", "18446744073709551617"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("2.50", "2.5"),
            ("1E5", "100000.0"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("1e22", "1e+22"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("0.1000000000000000055", "0.1"),
            ("3.14159265358979323846", "3.141592653589793"),
            ("0.0001", "0.0001"),
            ("0.00012345", "0.00012345"),
            ("0.00001", "1e-05"),
            ("1.5e-7", "1.5e-07"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1e-400", "0.0"),
        ];
        for (text, expected) in cases {
            assert_eq!(scalar(&value(text)).as_deref(), Some(expected), "{text}");
            assert_eq!(scalar(&value(&format!(" [ {text}\t]"))[0]).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_a_value_does_not_hold_is_told_by_its_path() {
        let parsed = parse(
            r#"{"a": NaN, "b": {"c": [1, -Infinity, 1e400]}, "NaN \" Infinity": "NaN, -Infinity", "n": [12345678901234567890123], "m": null}"#,
        )
        .unwrap();
        let expected = json!({"a": null, "b": {"c": [1, null, null]}, "NaN \" Infinity": "NaN, -Infinity", "n": ["12345678901234567890123"], "m": null});
        assert_eq!(parsed.value, expected);
        let null = [("a", "is NaN"), ("b.c.1", "is -Infinity"), ("b.c.2", "is 1e400, which no floating-point number holds")];
        assert_eq!(parsed.unheld.null, null.map(|(path, found)| (path.to_owned(), found.to_owned())).into());
        assert_eq!(parsed.unheld.wide, ["n.0"]);
        let items = parse(r#"[{"a": 1}, NaN, {"a": NaN, "b": 18446744073709551616}]"#).unwrap().unheld.of_items(3);
        assert_eq!(items[..2], [Unheld::default(), Unheld::default()]);
        assert_eq!((items[2].null["a"].as_str(), items[2].wide.as_slice()), ("is NaN", ["b".to_owned()].as_slice()));
    }

    #[test]
    fn what_is_malformed_is_told_with_line_column_and_field() {
        let cases = [
            (r#"{"question": "#, 1, "malformed JSON at column 13 (field `question`): EOF while parsing a value"),
            (r#"{"q": "a", "extra": {"list": [1, 02]}}"#, 1, "malformed JSON at column 35 (field `extra.list.1`): invalid number"),
            (r#"{"q": "a", "n": nan}"#, 1, "malformed JSON at column 18 (field `n`): expected ident"),
            // NaN is three bytes, the null in its place four.
            (r#"{"a": NaN, "b": -Infinity, "q": 01}"#, 1, "malformed JSON at column 34 (field `q`): invalid number"),
            ("{\"a\": 1,\n\"b\": \"\\ud800\"}", 2, "malformed JSON at column 13 (field `b`): unexpected end of hex escape"),
            (r#"{"a": 1} {"b": 2}"#, 1, "malformed JSON at column 10: trailing characters"),
            ("NaNs", 1, "malformed JSON at column 4: trailing characters"),
            ("", 1, "malformed JSON at column 1: EOF while parsing a value"),
        ];
        for (text, line, expected) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.message(false).as_str()), (line, expected), "{text}");
        }
        let error = parse("[{\"q\": 1},\n {\"q\": 1, \"a\": }]").unwrap_err();
        assert_eq!((error.line, error.message(true).as_str()), (2, "malformed JSON at column 16 (row 2, field `a`): expected value"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(128)).is_ok());
        let error = parse(&nested(100_000)).unwrap_err();
        assert_eq!((error.column, error.reason.as_str()), (130, "nested more than 128 deep"));
        assert!(parse(&"[".repeat(100_000)).unwrap_err().reason.contains("EOF"));
    }

    #[test]
    fn fields_as_they_are_written() {
        let fields = written(r#"{"n": 1234567890123456789012345.10, "x": NaN, "s": [1 , {"y":Infinity}]}"#).unwrap().unwrap();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, raw)| (name.as_str(), raw.get())).collect();
        assert_eq!(fields, [("n", "1234567890123456789012345.10"), ("x", "null"), ("s", r#"[1 , {"y":null}]"#)]);
        assert!(written("[1]").unwrap().is_none() && written(r#"{"a": "\ud800"}"#).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"(NaN|-?Infinity|[\[\]{},:" 0-9eE.+-]|\\u|null|\PC){0,30}"#) {
            let _ = (parse(&text), written(&text));
        }
        /// Whatever serde_json reads is read alike.
        #[test]
        fn values_are_those_of_serde_json(text in r#"\{"(a|NaN|é)": (\[("\PC{0,5}"|-?[0-9]{1,10}|0\.[0-9]{1,20}|null|true), (\{"b": \[\]\}|"x")\]|[1-9][0-9]{0,17})\}"#) {
            if let Ok(expected) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(value(&text), expected);
            }
        }
    }
}
