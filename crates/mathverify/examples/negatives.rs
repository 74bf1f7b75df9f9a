//! How often wrong answers are accepted: seeded negatives made of any file of known answers.
//!
//! `cargo run --release -p mathverify --example negatives -- COUNT SEED FILE.jsonl ...`: rows with `answer`; of GSM8K's, what stands behind `####`. One half of
//! the negatives pairs answers of one type (integers, fractions, tuples, ...) of different problems; the other half changes one digit, sign or
//! relation of an answer. Each is judged in a box, as `expo-rl verify` does. Every accepted one is printed: it is a false positive, unless the two are the
//! same after all (`2x` and `2\cdot x`, a changed digit of `0 \cdot 7`), which a reader decides.

use std::collections::BTreeMap;

use mathverify::{ExtractConfig, Outcome, VerifyConfig, grade, normalize};
use serde_json::Value;

/// Numbers of SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// The type of an answer, by what it is written with.
fn kind(answer: &str) -> &'static str {
    let has = |all: &[&str]| all.iter().any(|part| answer.contains(part));
    let bare = answer.trim_start_matches('-');
    if bare.bytes().all(|b| b.is_ascii_digit()) {
        return "integer";
    }
    if has(&["\\begin"]) {
        return "matrix";
    }
    if has(&["\\text", "\\mbox"]) {
        return "words and units";
    }
    if has(&["\\le", "\\ge", "<", ">", "\\in", "\\cup", "\\infty", "["]) {
        return "interval or inequality";
    }
    if has(&["="]) {
        return "equation";
    }
    if has(&["("]) && has(&[","]) {
        return "tuple";
    }
    if has(&[","]) {
        return "list or long number";
    }
    if answer.chars().any(|c| c.is_ascii_alphabetic()) && !has(&["\\frac", "\\sqrt", "\\pi", "\\dfrac", "\\%", "\\$", "^\\circ"]) {
        return "letters";
    }
    if has(&["\\sqrt", "\\pi"]) {
        return "root or pi";
    }
    if has(&["\\frac", "/"]) {
        return "fraction";
    }
    "other"
}

/// `answer` with one digit, sign or relation changed; `None`: it has none.
fn changed(random: &mut SplitMix64, answer: &str) -> Option<(String, &'static str)> {
    const RELATIONS: [(&str, &str); 10] = [
        ("\\le ", "\\ge "),
        ("\\ge ", "\\le "),
        ("\\leq", "\\geq"),
        ("\\geq", "\\leq"),
        ("<", ">"),
        (">", "<"),
        ("[", "("),
        ("(-\\infty", "[-3"),
        ("\\cup", "\\cap"),
        ("\\ne", "="),
    ];
    let digits: Vec<usize> = answer.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
    let signs: Vec<usize> = answer.char_indices().filter(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at).collect();
    let relations: Vec<(&str, &str)> = RELATIONS.into_iter().filter(|(from, _)| answer.contains(from)).collect();
    let ways = [!digits.is_empty(), true, !relations.is_empty()];
    let way = (0..8).map(|_| random.below(3)).find(|way| ways[*way])?;
    Some(match way {
        0 => {
            let at = digits[random.below(digits.len())];
            let old = answer.as_bytes()[at];
            let mut new = b'0' + random.below(9) as u8;
            new += u8::from(new >= old);
            (format!("{}{}{}", &answer[..at], char::from(new), &answer[at + 1..]), "a digit")
        }
        1 if signs.is_empty() => (format!("-{answer}"), "a sign"),
        1 => {
            let at = signs[random.below(signs.len())];
            let new = if answer.as_bytes()[at] == b'+' { '-' } else { '+' };
            (format!("{}{new}{}", &answer[..at], &answer[at + 1..]), "a sign")
        }
        _ => {
            let (from, to) = relations[random.below(relations.len())];
            (answer.replacen(from, to, 1), "a relation")
        }
    })
}

/// Whether a changed sign changes nothing: it is that of 0, or of what isn't shown.
fn of_zero(gold: &str, answer: &str) -> bool {
    let at = gold.bytes().zip(answer.bytes()).take_while(|(a, b)| a == b).count();
    let behind = answer[at..].trim_start_matches(['-', '+', ' ']);
    let zero = behind.starts_with('0') && !behind[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let zeros = gold.bytes().filter(u8::is_ascii_digit).all(|b| b == b'0') && gold.contains('0');
    zero || zeros || answer[..at].trim_end().ends_with("\\phantom")
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: negatives COUNT SEED FILE.jsonl ...";
    let [count, seed, files @ ..] = &args[..] else { panic!("{usage}") };
    let count: usize = count.parse().expect(usage);
    let mut random = SplitMix64(seed.parse().expect(usage));

    let mut golds: Vec<String> = vec![];
    for path in files {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        for (index, line) in text.lines().enumerate() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}:{}: {e}", index + 1));
            let answer = row["answer"].as_str().unwrap_or_else(|| panic!("{path}:{}: no `answer`", index + 1));
            let gold = answer.rsplit("####").next().unwrap_or(answer).trim();
            if !gold.is_empty() {
                golds.push(gold.to_owned());
            }
        }
    }
    golds.sort();
    golds.dedup();
    let mut kinds: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for gold in &golds {
        kinds.entry(kind(gold)).or_default().push(gold);
    }
    kinds.retain(|_, all| all.len() > 1);
    assert!(!kinds.is_empty(), "{usage}; answers of one type are needed");
    let names: Vec<&str> = kinds.keys().copied().collect();

    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut made, mut accepted) = (0, 0);
    while made < count {
        let paired = random.below(2) == 0;
        // Integers are most of the golds: types by turns, so that each is seen.
        let all = &kinds[names[random.below(names.len())]];
        let gold = all[random.below(all.len())];
        let (answer, how) = match paired {
            true => (all[random.below(all.len())].clone(), "another problem's"),
            false => match changed(&mut random, gold) {
                Some(changed) => changed,
                None => continue,
            },
        };
        if normalize(gold) == normalize(&answer) || (how == "a sign" && of_zero(gold, &answer)) {
            continue;
        }
        made += 1;
        let text = format!("Therefore the result is $\\boxed{{{answer}}}$.");
        let (verdict, _) = grade(gold, &text, &ExtractConfig::default(), &VerifyConfig::default());
        let entry = counts.entry(how).or_default();
        entry.0 += 1;
        if verdict.outcome == Outcome::Equal {
            entry.1 += 1;
            accepted += 1;
            println!("  {how}: {gold:?} and {answer:?}: {}", verdict.reason);
        }
    }
    for (how, (made, accepted)) in counts {
        println!("{how}: {made} negatives, {accepted} accepted");
    }
    println!("{} answers, {made} negatives, {accepted} accepted", golds.len());
}
