//! A fuzzer without instrumentation: mutations of known inputs, seeded.
//!
//! `cargo run --release -p mathverify --example mutate -- TARGET EXECUTIONS SEED [FILE ...]`, TARGET being `extract`, `parse`, `verify` or `grade`. The corpus
//! is `tests/pairs.tsv` and the lines of the files. Prints inputs that panic (the exit code is then 1), and the slowest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mathverify::{ExtractConfig, Kind, VerifyConfig, extract, grade, verify};

/// What mutations insert.
const TOKENS: [&str; 72] = [
    "\\frac",
    "\\sqrt",
    "\\boxed{",
    "\\fbox{",
    "\\left",
    "\\right",
    "\\text{",
    "\\mathrm{",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "\\begin{align*}",
    "\\begin{cases}",
    "\\begin{array}{cc}",
    "\\end{array}",
    "\\binom",
    "\\sum_{k=1}^{",
    "\\prod_{n=1}^{99999999}",
    "\\int",
    "\\lim",
    "\\log_",
    "\\ln",
    "\\sin",
    "\\tan^{-1}",
    "\\arcsin",
    "\\cosh",
    "\\pm",
    "\\mp",
    "\\cup",
    "\\cap",
    "\\setminus",
    "\\infty",
    "\\in",
    "\\mathbb{R}",
    "\\emptyset",
    "\\lfloor",
    "\\rceil",
    "\\%",
    "\\$",
    "^\\circ",
    "\\cdot",
    "\\times 10^{",
    "\\overline{",
    "\\operatorname{",
    "\\le",
    "\\neq",
    "\\quad",
    "\\\\",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "|",
    "$",
    "$$",
    "^",
    "_",
    "!",
    "=",
    "<",
    ",",
    ":",
    "9^{9^9}",
    "1e999999",
    "0.00000000000000000001",
    "####",
    "the answer is ",
    "Final Answer: ",
    "**",
    "i",
    "½",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// A boundary of characters in `text`.
fn place(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One to six changes: insert a token or a character, cut out, repeat, splice with another of the corpus.
fn mutate(random: &mut Random, corpus: &[String]) -> String {
    let mut text = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let (a, b) = (place(random, &text), place(random, &text));
        let (a, b) = (a.min(b), a.max(b));
        match random.below(8) {
            0..=2 => text.insert_str(a, TOKENS[random.below(TOKENS.len())]),
            3 => text.insert(a, char::from(random.below(95) as u8 + 32)),
            4 => text.insert(a, char::from_u32(random.below(0x3000) as u32).unwrap_or('x')),
            5 => text.replace_range(a..b, ""),
            6 => {
                // Rarely many times: deep nesting and long chains.
                let times = if random.below(200) == 0 { 3000 } else { 2 + random.below(4) };
                let part = text[a..b].chars().take(40).collect::<String>();
                text.insert_str(b, &part.repeat(times));
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let (c, d) = (place(random, other), place(random, other));
                text.replace_range(a..b, &other[c.min(d)..c.max(d)]);
            }
        }
        if text.len() > 200_000 {
            break;
        }
    }
    text
}

/// One execution.
fn execute(target: &str, first: &str, second: &str, seed: usize) {
    let mut extraction = ExtractConfig::default();
    let mut config = VerifyConfig::default();
    if seed & 1 == 1 {
        config = VerifyConfig { strict: false, allow_set_relation: true, percent_as_fraction: true, units: true, ..config };
    }
    match target {
        "extract" => {
            if seed & 6 == 6 {
                extraction.kinds.push(Kind::String);
            }
            for candidate in extract(first, &extraction) {
                assert!(first.get(candidate.range).is_some() && !candidate.value.is_empty());
            }
        }
        // The other side is trivial, so that nearly all of the time goes into reading this one.
        "parse" => drop(verify(first, "x", &config)),
        "verify" => drop(verify(first, second, &config)),
        "grade" if seed & 4 == 4 => drop(grade(first, &format!("so ${first}=\\boxed{{{second}}}$."), &extraction, &config)),
        "grade" => drop(grade(first, second, &extraction, &config)),
        other => panic!("target {other:?}: expected extract, parse, verify or grade"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: mutate extract|parse|verify|grade EXECUTIONS SEED [FILE ...]";
    let [target, executions, seed, files @ ..] = &args[..] else { panic!("{usage}") };
    let executions: usize = executions.parse().expect(usage);
    let mut random = Random(seed.parse().expect(usage));

    let mut corpus = vec![];
    for line in include_str!("../tests/pairs.tsv").lines().skip(1) {
        corpus.extend(line.split('\t').skip(2).take(2).map(String::from));
    }
    for path in files {
        corpus.extend(std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")).lines().map(String::from));
    }

    execute(target, "1", "1", 0);
    let (mut panics, mut total, mut slow) = (0, Duration::ZERO, Vec::<(Duration, String, String, usize)>::new());
    for _ in 0..executions {
        let first = mutate(&mut random, &corpus);
        let second = if random.below(2) == 0 { mutate(&mut random, &corpus) } else { corpus[random.below(corpus.len())].clone() };
        let seed = random.below(8);
        let start = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| execute(target, &first, &second, seed)));
        let took = start.elapsed();
        total += took;
        if done.is_err() {
            panics += 1;
            println!("panic: {first:?} {second:?} {seed}");
        }
        if slow.len() < 30 || took > slow[29].0 {
            slow.push((took, first, second, seed));
            slow.sort_by_key(|entry| std::cmp::Reverse(entry.0));
            slow.truncate(30);
        }
    }
    // Without what the machine did meanwhile: the best of five.
    for (took, first, second, seed) in &mut slow {
        let again = (0..5).map(|_| {
            let start = Instant::now();
            let _ = catch_unwind(AssertUnwindSafe(|| execute(target, first, second, *seed)));
            start.elapsed()
        });
        *took = again.min().expect("five");
    }
    slow.sort_by_key(|entry| std::cmp::Reverse(entry.0));
    println!("{target}: {executions} executions, {panics} panics, {:?} on average, worst:", total / executions.max(1) as u32);
    for (took, first, second, _) in slow.iter().take(5) {
        let [first, second] = [first, second].map(|text| text.chars().take(300).collect::<String>());
        println!("  {took:?}: {first:?} {second:?}");
    }
    if panics > 0 {
        std::process::exit(1);
    }
}
