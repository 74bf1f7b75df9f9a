//! What `check_gold` says of the known answers of files.
//!
//! `cargo run --release -p mathverify --example golds -- FILE.jsonl ...`: rows with `answer`; of GSM8K's, what stands behind `####`. Prints each
//! answer with a problem, and counts.

use std::collections::BTreeMap;

use mathverify::{VerifyConfig, check_gold};
use serde_json::Value;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    assert!(!paths.is_empty(), "usage: golds FILE.jsonl ...");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (mut rows, mut problems) = (0, BTreeMap::<String, usize>::new());
        for (index, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}:{}: {e}", index + 1));
            let answer = row["answer"].as_str().unwrap_or_else(|| panic!("{path}:{}: no `answer`", index + 1));
            let gold = answer.rsplit("####").next().unwrap_or(answer);
            rows += 1;
            if let Some(problem) = check_gold(gold, &VerifyConfig::default()) {
                *problems.entry(format!("{problem:?}")).or_default() += 1;
                println!("  {path}:{}: {gold:?}: {problem}", index + 1);
            }
        }
        println!("{path}: {rows} rows, problems: {problems:?}");
    }
}
