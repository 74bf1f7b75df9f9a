//! The table of hand-written pairs in `pairs.tsv`, and what follows from it.
//!
//! Columns: kind; verdict (`equal`, `different`, `undecided`, or `not-equal` where either of the last two is right); gold; answer; options.
//! Options: `text` (the answer is a whole text to extract from; otherwise it is compared as it stands), `kinds=`, `boxed_priority=`,
//! `decimals=`, `strict=`, `allow_set_relation=`. A `⏎` stands for a new line.

use mathverify::{ExtractConfig, Kind, Outcome, VerifyConfig, grade, verify};

const TABLE: &str = include_str!("pairs.tsv");

struct Row {
    line: usize,
    kind: &'static str,
    verdict: &'static str,
    gold: String,
    answer: String,
    text: bool,
    extraction: ExtractConfig,
    config: VerifyConfig,
}

impl Row {
    fn accepts(&self, outcome: Outcome) -> bool {
        match self.verdict {
            "equal" => outcome == Outcome::Equal,
            "different" => outcome == Outcome::Different,
            "undecided" => outcome == Outcome::Undecided,
            "not-equal" => outcome != Outcome::Equal,
            other => panic!("line {}: verdict {other:?}", self.line),
        }
    }
}

fn table() -> Vec<Row> {
    let lines = TABLE.lines().enumerate().skip(1);
    lines.map(|(index, line)| read(index + 1, line).unwrap_or_else(|problem| panic!("line {}: {problem}", index + 1))).collect()
}

fn read(line: usize, text: &'static str) -> Result<Row, String> {
    let fields: Vec<&str> = text.split('\t').collect();
    let [kind, verdict, gold, answer, options] = fields[..] else { return Err(format!("{} columns", fields.len())) };
    let [gold, answer] = [gold, answer].map(|side| side.replace('⏎', "\n"));
    let mut row =
        Row { line, kind, verdict, gold, answer, text: false, extraction: ExtractConfig::default(), config: VerifyConfig::default() };
    for option in options.split_whitespace() {
        let flag = |value: &str| value.parse::<bool>().map_err(|e| format!("{option}: {e}"));
        match option.split_once('=') {
            None if option == "text" => row.text = true,
            Some(("kinds", "string")) => row.extraction.kinds = vec![Kind::String],
            Some(("boxed_priority", value)) => {
                row.extraction = row.extraction.with_boxed_priority(value.parse().map_err(|e| format!("{option}: {e}"))?);
            }
            Some(("decimals", value)) => row.config.decimals = value.parse().map_err(|e| format!("{option}: {e}"))?,
            Some(("strict", value)) => row.config.strict = flag(value)?,
            Some(("allow_set_relation", value)) => row.config.allow_set_relation = flag(value)?,
            _ => return Err(format!("option {option:?}")),
        }
    }
    Ok(row)
}

#[test]
fn every_pair_has_its_verdict() {
    let rows = table();
    assert!(rows.len() >= 400);
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let verdict = match row.text {
                true => grade(&row.gold, &row.answer, &row.extraction, &row.config).0,
                false => verify(&row.gold, &row.answer, &row.config),
            };
            (!row.accepts(verdict.outcome))
                .then(|| format!("{}: {} | {} | {:?}: expected {}, {verdict:?}", row.line, row.kind, row.gold, row.answer, row.verdict))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} pairs:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

/// A bare answer gets the same verdict from the box at the end of a text.
#[test]
fn a_box_around_the_answer_changes_nothing() {
    let mut failures = vec![];
    for row in table().into_iter().filter(|row| !row.text && row.kind != "bad input" && !row.answer.contains('$')) {
        let text = format!("Adding the two gives 3.5, so $x=2$ holds and the result is\n$$\\boxed{{{}}}.$$", row.answer);
        let (verdict, _) = grade(&row.gold, &text, &ExtractConfig::default(), &row.config);
        if !row.accepts(verdict.outcome) {
            failures.push(format!("{}: {} | {} | {}: expected {}, {verdict:?}", row.line, row.kind, row.gold, row.answer, row.verdict));
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

/// Each gold of the table that has an equal answer equals itself.
#[test]
fn golds_equal_themselves() {
    let failures: Vec<String> = table()
        .iter()
        .filter(|row| row.verdict == "equal" && !row.text)
        .flat_map(|row| [(row.line, &row.gold), (row.line, &row.answer)])
        .filter(|(_, side)| verify(side, side, &VerifyConfig::default()).outcome != Outcome::Equal)
        .map(|(line, side)| format!("{line}: {side}"))
        .collect();
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}
