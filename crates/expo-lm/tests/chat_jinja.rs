//! Jinja2's filters, tests, functions, operators and statements, against transformers (scripts/fixtures/make_jinja.py).

use std::path::Path;

use expo_lm::chat::{ChatSettings, ChatTemplate};
use serde_json::Value;

/// Templates that write something else here, by what is in them.
const DIFFERENT: &[&str] = &[
    // Texts of classes and objects that nobody writes out.
    "joiner",
    "{{ cycler }}",
    "{{ namespace }}",
    "'a'|map('upper')|upper",
    "l|reverse|upper",
    "{{ self }}",
    "{{ loop }}{% break %}",
    "m.arguments",
    // An attribute of numbers, an index that is a float, a range compared with a list, and a list for a key: MiniJinja has no place to do it in.
    ".real",
    "{{ l[1.0] }}",
    "{{ range(3) == [0, 1, 2] }}",
    "{{ 'a' * 1.0 }}",
    "{{ {[1]: 2} }}",
];

/// Templates that are refused here, by what is in them.
const REFUSED: &[&str] = &[
    // Integers of more than 38 digits.
    "2 ** 200",
    "big * big * big",
    "10 ** 40",
    "1e300|int",
    "'99999999999999999999999999999999999999999'|int",
    // Bytes and tables of characters; text that is another each time; HTML.
    "maketrans",
    "translate",
    "encode(",
    "random",
    "lipsum",
    "urlize",
    "pprint",
    "autoescape",
    // What macros are given beyond their arguments, names that MiniJinja keeps, strings that are unpacked.
    "varargs",
    "kwargs",
    "set loop",
    "set self",
    "for self",
    "'xy'",
    "dict.fromkeys",
    // Flags and widths of codes that C's strftime doesn't know.
    "strftime_now('[%^",
    "strftime_now('[%5",
    "strftime_now('[%05",
    "1]') }}",
];

#[test]
fn templates_do_what_they_do_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jinja.json");
    let table: Value = serde_json::from_slice(&std::fs::read(path).expect("the table")).expect("JSON");
    let context = table["context"].as_object().expect("a context");
    let settings = ChatSettings { date: table["unix_seconds"].as_i64().expect("a date"), ..ChatSettings::default() };
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.len() > 4500);
    let mut equal = 0;
    let mut unexpected = Vec::new();
    for row in rows {
        let source = row[0].as_str().expect("a template");
        let expected = row[1].as_str();
        let found = ChatTemplate::new(source, Path::new("t.jinja"), context.clone())
            .and_then(|template| template.render_json(&context["messages"], None, false, &settings));
        let holds = |parts: &[&str]| parts.iter().any(|part| source.contains(part));
        match (found, expected) {
            (Ok(found), Some(expected)) if found == expected => equal += 1,
            (Err(_), None) => equal += 1,
            (Ok(_), _) if holds(DIFFERENT) => {}
            (Err(_), _) if holds(REFUSED) => {}
            (found, _) => unexpected.push(format!("{source}: {found:?}, expected {expected:?}")),
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert!(equal * 1000 >= rows.len() * 980, "{equal} of {}", rows.len());
}
