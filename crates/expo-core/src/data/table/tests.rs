use super::*;
use crate::config::Config;
use crate::config::{DataSection, OnBadRow};
use crate::data::generator::Split;
use crate::data::{GoldCheck, ProblemSet, load_problems};
use proptest::prelude::*;

fn golds() -> GoldCheck {
    GoldCheck::of(&Config::default())
}

/// A table in a file of this name.
fn table(name: &str, content: &[u8]) -> Result<Table> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    let mut table = Table::read(&path);
    // The folder's name differs from run to run.
    if let Ok(table) = &mut table {
        table.path = name.into();
    }
    table
}

/// Each row as `NUMBER:JSON`, or its error.
fn rows(name: &str, content: &[u8]) -> Vec<String> {
    let table = match table(name, content) {
        Ok(table) => table,
        Err(error) => return vec![error.to_string()],
    };
    table
        .rows()
        .map(|row| match row {
            Ok(row) => format!("{}:{}", row.place().number(), serde_json::Value::Object(row.fields)),
            Err(Bad::Row(error) | Bad::File(error)) => error.to_string(),
        })
        .collect()
}

#[test]
fn the_name_says_how_a_file_is_read() {
    let lines = b"{\"a\": 1}\n\n{\"a\": 2}\n";
    for name in ["t.jsonl", "t.ndjson", "t.JSONL", "t.json"] {
        assert_eq!(rows(name, lines), ["1:{\"a\":1}", "3:{\"a\":2}"], "{name}");
    }
    assert_eq!(rows("t.json", b"\xef\xbb\xbf [{\"a\": 1},\n {\"a\": [2]}]"), ["1:{\"a\":1}", "2:{\"a\":[2]}"]);
    assert_eq!(rows("t.csv", b"a,b\n1,\"x, \"\"y\"\"\nz\"\n"), ["2:{\"a\":\"1\",\"b\":\"x, \\\"y\\\"\\nz\"}"]);
    // Other separators, by the line of names; a byte-order mark and line ends of Windows.
    for (name, content) in [
        ("t.csv", "\u{feff}\"a, or b\";c\r\n\"1;2\";x,y\r\n"),
        ("t.tsv", "\"a, or b\"\tc\n1;2\tx,y\n"),
        ("t.csv", "\n\"a, or b\"|c\n1;2|x,y\n"),
    ] {
        let found = rows(name, content.as_bytes());
        assert_eq!(found[0].split_once(':').unwrap().1, "{\"a, or b\":\"1;2\",\"c\":\"x,y\"}", "{content}");
    }
    assert_eq!(rows("t.csv", b"a,b;c\n1,2;3\n"), ["2:{\"a\":\"1\",\"b;c\":\"2;3\"}"]);
    for name in ["t.txt", "t", "t.jsonl.gz", "t.parquet.tmp"] {
        let error = &rows(name, lines)[0];
        assert!(error.contains(&format!("{name}: the end of a data file's name")) && error.contains(".parquet"), "{error}");
    }
}

#[test]
fn every_kind_of_file_gives_the_same_problems() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tables");
    let json = std::fs::read_to_string(fixture.join("rows.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let text = |value: &serde_json::Value| crate::data::rows::scalar(value).unwrap_or_default();
    let csv: String = rows.iter().map(|row| ["question", "answer", "level"].map(|field| text(&row[field])).join(",") + "\n").collect();
    let parquet = std::fs::read(fixture.join("zstd-pages.parquet")).unwrap();
    let load = |name: &str, content: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let section = DataSection { train: path.to_str().unwrap().into(), ..DataSection::default() };
        let ProblemSet { problems, hashes, .. } = load_problems(&section, &golds(), Split::Train).unwrap();
        assert_eq!((problems.len(), hashes.len()), (24, 1));
        problems.into_iter().map(|problem| (problem.question, problem.answer, problem.level)).collect::<Vec<_>>()
    };
    let expected = load("p.jsonl", lines.as_bytes());
    assert_eq!(expected[1], ("What is 1 + 1?".to_owned(), "2".to_owned(), Some(2)));
    assert_eq!(load("p.json", json.as_bytes()), expected);
    assert_eq!(load("p.csv", format!("question,answer,level\n{csv}").as_bytes()), expected);
    assert_eq!(load("p.parquet", &parquet), expected);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases: [(&str, &[u8], &str); 27] = [
        ("e.jsonl", b" \n", "e.jsonl: is empty; expected JSON lines"),
        ("e.json", b"", "e.json: is empty; expected an array"),
        ("e.csv", b"\n\n", "e.csv: is empty; expected CSV"),
        ("e.parquet", b"", "e.parquet: is not a Parquet file"),
        ("u.jsonl", b"{\"a\": 1}\n{\"a\": \"\xff\"}\n", "u.jsonl:2: is not UTF-8 text"),
        ("u.json", b"[\n{\"a\": \"\xff\"}]", "u.json:2: is not UTF-8 text"),
        ("u.csv", b"a,b\n1,2\n1,\xff\n", "u.csv:3: is not UTF-8 text"),
        ("l.jsonl", b"[{\"a\": 1}]", "l.jsonl:1: found a list"),
        ("l.jsonl", b"[", "l.jsonl:1: malformed JSON at column 1: EOF while parsing a list (a JSON array? name the file .json)"),
        ("o.json", b"{\"data\": [1]}", "o.json: is an object; expected an array of objects, or one object a line"),
        ("o.json", b"{\n\"data\": [1]\n}", "o.json: is an object; expected an array"),
        ("o.json", b"7", "o.json: is a number; expected an array"),
        ("o.json", b"[]", "o.json: is an empty array"),
        (
            "o.json",
            b"[{\"a\": 1},\n {\"a\": }]",
            "o.json:2: malformed JSON at column 8 (row 2, field `a`): expected value; expected an array",
        ),
        ("o.json", b"[7]", "o.json: row 1: found a number, expected a JSON object"),
        ("r.csv", b"a,b\n1\n", "r.csv:2: found 1 values, but the line of names has 2"),
        ("r.csv", b"a,b\n\n\"1\n2\",3,4\n", "r.csv:3: found 3 values, but the line of names has 2"),
        ("q.csv", b"a,b\n1,2\n3,\"4\n5,6\n", "q.csv:3: a quote that begins in this row is never closed"),
        ("q.csv", b"a,\"b\n1,2\n", "q.csv:1: a quote that begins in the line of names is never closed"),
        ("s.csv", b"a;b\n1;2;3\n", "s.csv:2: found 3 values, but the line of names has 2 (separated by ';')"),
        ("u.csv", b"\xff\xfea\0,\0b\0\n\0", "u.csv: is UTF-16 text; expected CSV with a line of names in UTF-8: save it so, or convert"),
        ("u.jsonl", b"{\0\"\0a\0\"\0:\0\x31\0}\0", "u.jsonl: is UTF-16LE text; expected JSON lines"),
        ("u.json", b"\0[\0]", "u.json: is UTF-16BE text"),
        ("u.json", b"\xff\xfe\0\0[\0\0\0", "u.json: is UTF-32 text"),
        ("r.jsonl", b"{\"a\": 1, \"b\": 01}", "r.jsonl:1: malformed JSON at column 16 (field `b`): invalid number"),
        ("d.csv", b"a,b,a\n1,2,3\n", "d.csv:1: two columns are named `a`"),
        ("n.csv", b"a,b\n", ""),
    ];
    for (name, content, expected) in cases {
        let found = rows(name, content);
        match expected {
            "" => assert!(found.is_empty(), "{found:?}"),
            _ => assert!(found.len() == 1 && found[0].contains(expected) && !found[0].contains('\n'), "{name}: {found:?}, not {expected}"),
        }
    }
}

#[test]
fn what_json_does_not_hold_is_named_where_it_is_needed() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tables");
    let mut section = DataSection { train: fixture.join("types.parquet").to_str().unwrap().into(), ..DataSection::default() };
    (section.question_field, section.answer_field) = ("large".into(), "deep.image".into());
    let error = load_problems(&section, &golds(), Split::Train).unwrap_err().to_string();
    let expected = "types.parquet: row 1: field `deep.image` is 1 bytes of binary data, not UTF-8 text; expected text or a number";
    assert!(error.ends_with(expected), "{error}");
    section.answer_field = "decimal32".into();
    let error = load_problems(&section, &golds(), Split::Train).unwrap_err().to_string();
    assert!(error.contains("types.parquet: row 2: field `large` is missing"), "{error}");
    section.on_bad_row = OnBadRow::Skip;
    let set = load_problems(&section, &golds(), Split::Train).unwrap();
    assert_eq!((set.problems.len(), set.problems[0].answer.as_str(), set.problems[0].id.as_str()), (1, "-0.05", "types.parquet:1"));
    assert!(set.notices.len() == 1 && set.notices[0].contains("data.on_bad_row says: 1: "), "{:?}", set.notices);
}

#[test]
fn the_hash_is_of_the_file_s_bytes() {
    let table = table("t.csv", b"a\n1\n").unwrap();
    // `printf 'a\n1\n' | sha256sum`
    assert_eq!(table.sha256, "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc");
}

proptest! {
    #[test]
    fn no_text_panics(name in prop::sample::select(vec!["t.jsonl", "t.json", "t.csv"]), text in r#"([a-c,"\n\r\[\]{}:]|\PC){0,40}"#) {
        rows(name, text.as_bytes());
    }
    /// What the csv crate writes comes back.
    #[test]
    fn csv_comes_back(values in prop::collection::vec("[a-c,\"\n\r é]{0,6}", 2..10)) {
        let values = &values[..values.len() / 2 * 2];
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["one", "two"]).unwrap();
        for pair in values.chunks(2) {
            writer.write_record(pair).unwrap();
        }
        let table = table("t.csv", &writer.into_inner().unwrap()).unwrap();
        let read: Vec<String> = table.rows().flat_map(|row| match row {
            Ok(row) => row.fields.values().map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            Err(error) => panic!("{error:?}"),
        }).collect();
        prop_assert_eq!(read, values);
    }
}
