//! Agreement with a careful human's verdicts.
//!
//! `cargo run --release -p mathverify --example grader -- FILE.jsonl`: rows with `gold`, `answer` (a text), `human` (true or false), and perhaps `debatable`
//! (then not counted), `set` and `id`. Each is judged twice: with what `expo-rl verify` extracts, and as a run's reward does, which wants an announced
//! answer that is worked out. Prints every disagreement and, by set, agreement, false positives and false negatives.

use std::collections::BTreeMap;

use mathverify::{ExtractConfig, Outcome, VerifyConfig, grade};
use serde_json::Value;

#[derive(Default)]
struct Counts {
    rows: usize,
    false_positives: usize,
    false_negatives: usize,
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: grader FILE.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (name, extraction) in [("verify", ExtractConfig::default()), ("reward", ExtractConfig::announced())] {
        let mut sets: BTreeMap<String, Counts> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}:{}: {e}", index + 1));
            if row["debatable"] == true {
                continue;
            }
            let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{path}:{}: no `{name}`", index + 1));
            let human = row["human"].as_bool().unwrap_or_else(|| panic!("{path}:{}: no `human`", index + 1));
            let (verdict, found) = grade(field("gold"), field("answer"), &extraction, &VerifyConfig::default());
            let ours = verdict.outcome == Outcome::Equal && !(name == "reward" && verdict.unevaluated);
            for set in [row["set"].as_str().unwrap_or("rows"), "all"] {
                let counts = sets.entry(set.to_owned()).or_default();
                counts.rows += 1;
                counts.false_positives += usize::from(ours && !human);
                counts.false_negatives += usize::from(!ours && human);
            }
            if ours != human {
                let answer: String = field("answer").chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().collect();
                println!(
                    "{name}: {} {} | {} | {answer:?} | {:?}: {}{}; {} and {}",
                    if ours { "false positive" } else { "false negative" },
                    row["id"],
                    field("gold"),
                    found.map(|c| c.value),
                    verdict.reason,
                    if verdict.unevaluated { " (not worked out)" } else { "" },
                    verdict.gold_parsed,
                    verdict.prediction_parsed
                );
            }
        }
        for (set, counts) in sets {
            let agreeing = counts.rows - counts.false_positives - counts.false_negatives;
            println!(
                "{name}: {set}: {agreeing} of {} agree ({:.1}%), {} false positives, {} false negatives",
                counts.rows,
                100.0 * agreeing as f64 / counts.rows.max(1) as f64,
                counts.false_positives,
                counts.false_negatives
            );
        }
    }
}
