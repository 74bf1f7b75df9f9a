//! What extraction and verification say of the MATH data set.
//!
//! `cargo run --release -p mathverify --example math -- math_train.jsonl math_test.jsonl`: rows with `solution` and `answer`. Prints how many
//! final answers of `solution` are `answer`, how many answers equal themselves, which of as many random pairs of different answers are said to
//! be equal, and how long it took.

use std::time::{Duration, Instant};

use mathverify::{ExtractConfig, Outcome, VerifyConfig, extract, verify};
use serde_json::Value;

/// Numbers of SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Verdicts with the time that they took together and at most.
#[derive(Default)]
struct Timed {
    total: Duration,
    worst: (Duration, String),
    count: u32,
}

impl Timed {
    fn verify(&mut self, gold: &str, answer: &str) -> mathverify::Verdict {
        let start = Instant::now();
        let verdict = verify(gold, answer, &VerifyConfig::default());
        let took = start.elapsed();
        self.total += took;
        self.count += 1;
        if took > self.worst.0 {
            self.worst = (took, format!("{gold} | {answer}"));
        }
        verdict
    }

    fn report(&self) {
        let each = self.total / self.count.max(1);
        println!("    {each:?} each, {:.0} a second on one core; worst {:?}: {}", 1.0 / each.as_secs_f64(), self.worst.0, self.worst.1);
    }
}

fn main() {
    let mut rows = vec![];
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        for (index, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}:{}: {e}", index + 1));
            let field = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{path}:{}: no `{name}`", index + 1)).to_owned();
            rows.push((format!("{path}:{}", index + 1), field("solution"), field("answer")));
        }
    }
    let all = rows.len();
    rows.retain(|(_, _, answer)| !answer.is_empty());
    assert!(rows.len() > 1, "usage: math FILE.jsonl ...; at least two rows with an answer");
    println!("{all} rows, {} with an answer", rows.len());

    let (mut same_text, mut equal) = (0, 0);
    for (place, solution, answer) in &rows {
        let found = extract(solution, &ExtractConfig::default()).into_iter().next().map(|c| c.value);
        if found.as_deref() == Some(answer.trim()) {
            same_text += 1;
            continue;
        }
        let verdict = found.as_deref().map(|found| verify(answer, found, &VerifyConfig::default()));
        equal += usize::from(verdict.is_some_and(|v| v.outcome == Outcome::Equal));
        println!("  {place}: answer {answer:?}, extracted {found:?}");
    }
    println!("extraction: {same_text} of {} are the answer's text, {equal} more are equal to it", rows.len());

    let mut timed = Timed::default();
    let mut right = 0;
    for (place, _, answer) in &rows {
        let verdict = timed.verify(answer, answer);
        match verdict.outcome {
            Outcome::Equal => right += 1,
            _ => println!("  {place}: {answer:?} and itself: {verdict:?}"),
        }
    }
    println!("itself: {right} of {} equal", rows.len());
    timed.report();

    let mut timed = Timed::default();
    let mut random = SplitMix64(1);
    let (mut equal, mut undecided) = (0, 0);
    let mut pairs = 0;
    // Ends even where all answers are the same.
    for _ in 0..rows.len() * 10 {
        let (gold, answer) = (&rows[random.below(rows.len())].2, &rows[random.below(rows.len())].2);
        if gold == answer {
            continue;
        }
        pairs += 1;
        let verdict = timed.verify(gold, answer);
        match verdict.outcome {
            Outcome::Equal => {
                equal += 1;
                println!("  equal: {gold:?} and {answer:?}: {}", verdict.reason);
            }
            Outcome::Different => {}
            Outcome::Undecided => {
                undecided += 1;
                println!("  undecided: {gold:?} and {answer:?}: {}", verdict.reason);
            }
        }
        if pairs == all {
            break;
        }
    }
    println!("pairs of different texts: {pairs}, of them {equal} equal, {undecided} undecided");
    timed.report();
}
