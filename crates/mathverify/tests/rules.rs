//! The rules for answers, each with relatives of the cases that they were made after: `rules.tsv`.
//!
//! Columns: rule; verdict; gold; text. Verdicts: `right`; `wrong` (different or undecided); `unworked` (equal, but not worked out). Each text is judged with
//! answers that have to be announced, as a reward is, and with those that don't. A `⏎` stands for a new line.

use mathverify::{ExtractConfig, Outcome, Verdict, VerifyConfig, grade};

const TABLE: &str = include_str!("rules.tsv");

fn judged(verdict: &Verdict) -> &'static str {
    match verdict.outcome {
        Outcome::Equal if verdict.unevaluated => "unworked",
        Outcome::Equal => "right",
        _ => "wrong",
    }
}

#[test]
fn every_text_has_its_verdict() {
    let mut failures = vec![];
    let mut rows = 0;
    for (index, line) in TABLE.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [rule, expected, gold, text] = fields[..] else { panic!("line {}: {} columns", index + 1, fields.len()) };
        assert!(matches!(expected, "right" | "wrong" | "unworked"), "line {}: verdict {expected:?}", index + 1);
        let text = text.replace('⏎', "\n");
        rows += 1;
        for (path, extraction) in [("announced", ExtractConfig::announced()), ("any", ExtractConfig::default())] {
            // What only looks like an announcement is none; without one, a number is a number.
            if rule == "announced" && expected == "wrong" && path == "any" {
                continue;
            }
            let (verdict, found) = grade(gold, &text, &extraction, &VerifyConfig::default());
            if judged(&verdict) != expected {
                failures.push(format!(
                    "{}: {rule}: {gold} | {text:?} ({path}): expected {expected}, found {:?}, {}: {}; {} and {}",
                    index + 1,
                    found.map(|c| c.value),
                    judged(&verdict),
                    verdict.reason,
                    verdict.gold_parsed,
                    verdict.prediction_parsed
                ));
            }
        }
    }
    assert!(rows >= 250, "{rows} rows");
    assert!(failures.is_empty(), "{} of {rows} rows, each judged twice:\n{}", failures.len(), failures.join("\n"));
}
