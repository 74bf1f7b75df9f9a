//! `expo-rl verify`, end to end.

mod support;

use serde_json::{Value, json};
use support::{assert_error, expo_rl, names, rows, text};

#[test]
fn one_answer_is_an_exit_code_and_a_reason() {
    for (gold, answer, code, word) in [
        ("18", "so it costs\n#### $18.00", 0, "equal: "),
        ("18", "\\boxed{19}", 1, "different: "),
        ("-3", "-3", 0, "equal: "),
        ("$\\frac{1}{2}$", "The answer is $0.5$.", 0, "equal: "),
        ("18", "", 3, "undecided: "),
        ("", "18", 3, "undecided: "),
    ] {
        let output = expo_rl(["verify", "--gold", gold, "--answer", answer]);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{gold} {answer}: {stdout}{}", text(&output.stderr));
        assert!(stdout.starts_with(word) && stdout.trim().len() > word.len() && stdout.lines().count() == 1, "{stdout:?}");
    }
}

#[test]
fn a_file_is_judged_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["rows.jsonl", "judged.jsonl"].map(|name| folder.path().join(name));
    let given = [
        (json!({"id": 7, "gold": "12", "answer": "The answer is 12."}), json!(true)),
        (json!({"gold": "12", "answer": "\\boxed{13}"}), json!(false)),
        (json!({"gold": "", "answer": "\\boxed{13}"}), Value::Null),
        (json!({"gold": "1/3", "answer": "0.333", "decimals": 3}), json!(true)),
        (json!({"gold": "1/3", "answer": "0.333", "decimals": 6}), json!(false)),
        (json!({"gold": "B", "answer": "Because B is valid", "kinds": ["string"]}), json!(true)),
        (json!({"gold": "$9$", "answer": "final answer is $9$, \\boxed{1}", "boxed_priority": 100}), json!(true)),
        (json!({"gold": "$9$", "answer": "final answer is $9$, \\boxed{1}", "boxed_priority": 0}), json!(false)),
        (json!({"gold": "x+1", "answer": "\\boxed{y+1}", "strict": false}), json!(true)),
        (json!({"gold": "x+1", "answer": "\\boxed{y+1}", "strict": true}), json!(false)),
        (json!({"gold": "[0,1]", "answer": "\\boxed{0\\le x\\le 1}", "allow_set_relation": true}), json!(true)),
        (json!({"gold": "[0,1]", "answer": "\\boxed{0\\le x\\le 1}"}), json!(false)),
    ];
    // More rows than are judged at once, with an empty line among them.
    let lines: Vec<String> = (0..5000).map(|i| given[i % given.len()].0.to_string()).collect();
    std::fs::write(&data, lines.join("\n") + "\n\n").unwrap();
    let output = expo_rl(["verify", "--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("5000 rows: "), "{}", text(&output.stderr));
    let judged = rows(&out);
    assert_eq!(judged.len(), 5000);
    for (i, row) in judged.iter().enumerate() {
        let (input, correct) = &given[i % given.len()];
        assert_eq!(&row["correct"], correct, "{row}");
        assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
        for (name, value) in input.as_object().unwrap() {
            assert_eq!(&row[name], value, "a row keeps its fields");
        }
    }
}

#[test]
fn usage_and_files_that_cannot_be_read_are_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let out = out.to_str().unwrap();
    for args in [
        &["verify"][..],
        &["verify", "--gold", "1"],
        &["verify", "--answer", "1"],
        &["verify", "--data", "x.jsonl"],
        &["verify", "--gold", "1", "--answer", "1", "--data", "x.jsonl", "--out", out],
    ] {
        assert_eq!(expo_rl(args).status.code(), Some(2), "{args:?}");
    }
    for (content, parts) in [
        (None, &["no-such", "cannot read"][..]),
        (Some(""), &["is empty"]),
        (Some("{}"), &[":1:", "`gold`"]),
        (Some("{\"gold\": \"1\"}"), &[":1:", "`answer`"]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\"}\n[1]"), &[":2:", "found JSON, but no object"]),
        (Some("{\"gold\": [1], \"answer\": \"1\"}"), &["`gold`: found [1], expected text"]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\", \"kinds\": [\"latx\"]}"), &["`kinds`", "latx", "\"latex\""]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\", \"kinds\": []}"), &["`kinds`"]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\", \"decimals\": -1}"), &["`decimals`: found -1"]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\", \"strict\": \"yes\"}"), &["`strict`", "true or false"]),
        (Some("{\"gold\": \"1\", \"answer\": \"1\", \"boxed_priority\": 0.5}"), &["`boxed_priority`", "whole number"]),
    ] {
        let data = folder.path().join("no-such.jsonl");
        if let Some(content) = content {
            std::fs::write(&data, content).unwrap();
        }
        let output = expo_rl(["verify", "--data", data.to_str().unwrap(), "--out", out]);
        assert_eq!(output.status.code(), Some(2), "{content:?}");
        assert_error(&text(&output.stderr), parts);
    }
    assert_eq!(names(folder.path()), ["no-such.jsonl"], "nothing is left behind");
}
