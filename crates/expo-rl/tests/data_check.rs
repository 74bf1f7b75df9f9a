//! Data as Python and spreadsheets write it, from files to what is trained and judged; `expo-rl data check`.

mod support;

use std::path::Path;

use support::{expo_rl, fail, rows, succeed, text};

fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The known answers of a file, as an evaluation keeps them.
fn golds(folder: &Path, data: &str) -> Vec<String> {
    let out = folder.join("completions.jsonl");
    let _ = std::fs::remove_file(&out);
    succeed(["eval", "--model", "embedded:tiny", "--data", data, "--max-new-tokens", "1", "--completions", out.to_str().unwrap()]);
    rows(&out).iter().map(|row| row["answer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn numbers_are_read_as_python_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let numbers = ["12345678901234567890123", "18446744073709551617", "-9223372036854775809", "1e22", "0.1000000000000000055"];
    let lines: String = numbers.iter().map(|n| format!("{{\"question\": \"{n}?\", \"answer\": {n}, \"score\": NaN}}\n")).collect();
    let expected = ["12345678901234567890123", "18446744073709551617", "-9223372036854775809", "1e+22", "0.1"];
    assert_eq!(golds(folder, &file(folder, "n.jsonl", &lines)), expected);
    let array = format!("[{}]", lines.trim().replace('\n', ",\n"));
    assert_eq!(golds(folder, &file(folder, "n.json", array)), expected);

    // `verify` writes every other field back as it was.
    let rows = "{\"id\": 12345678901234567890123, \"gold\": 12345678901234567890123, \"answer\": \"\\\\boxed{12345678901234567890123}\", \"x\": [1.10, NaN]}\n";
    let (data, out) = (file(folder, "v.jsonl", rows), folder.join("v.out.jsonl"));
    succeed(["verify", "--data", &data, "--out", out.to_str().unwrap()]);
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(
        written.starts_with("{\"id\":12345678901234567890123,") && written.contains("\"x\":[1.10, null],\"correct\":true"),
        "{written}"
    );
}

#[test]
fn a_check_tells_all_that_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = file(folder, "g.csv", "question;answer;level\n12/3?;4;easy\n9/3?;3;hard\n");
    let told = succeed(["data", "check", &good, "--set", "data.levels=[\"easy\", \"hard\"]"]);
    for part in [
        "g.csv: 2 rows",
        "question (2: a string)",
        "read as: problems: fields (2)",
        "levels: easy (1), hard (1)",
        "rows that can't be used: 0",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let bad = file(
        folder,
        "b.jsonl",
        "{\"question\": \"12/3?\", \"answer\": \"see solution\"}\n{\"question\": \"\"}\n{\"question\": \"1?\", \"answer\": NaN}\n",
    );
    let output = expo_rl(["data", "check", &good, &bad, "--set", "data.level_field=none"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in
        ["can't be paid: 1 of 1: b.jsonl:1 \"see solution\": it says", "b.jsonl:2: field `question` is empty", "field `answer` is NaN"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(expo_rl(["data", "check", "no/such.jsonl"]).status.code(), Some(2));
}

#[test]
fn answers_that_cannot_pay_stop_a_run_unless_they_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = format!(
        "data.train={}",
        file(folder.path(), "p.jsonl", "{\"question\": \"12/3?\", \"answer\": \"0/0\"}\n{\"question\": \"9/3?\", \"answer\": \"3\"}\n")
    );
    let sets = ["train.steps=1", "train.prompts_per_step=1", "rollout.num_generations=2", "data.levels=[]", &data];
    let mut args = vec!["train", "configs/grpo-tiny.toml", "--out", out.to_str().unwrap()];
    sets.iter().for_each(|set| args.extend(["--set", set]));
    fail(args.clone(), &["1 of 2 known answers can't be paid", "p.jsonl:1 \"0/0\"", "data.on_bad_row"]);
    assert!(!out.exists());
    args.extend(["--set", "data.on_bad_row=skip"]);
    let output = expo_rl(args);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("rows left out as data.on_bad_row says: 1 of 2 known answers"), "{told}");
}
