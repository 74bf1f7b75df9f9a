//! Inputs made to take long: each ends soon, without a panic, and never as equal.

use std::time::{Duration, Instant};

use mathverify::{ExtractConfig, Outcome, VerifyConfig, grade, verify};

/// Far above what any of them takes (milliseconds), far below a hang.
const LIMIT: Duration = Duration::from_millis(500);

fn hostile() -> Vec<(&'static str, String)> {
    let n = 1_000_000;
    vec![
        ("parentheses", "(".repeat(n)),
        ("closed parentheses", format!("{}1{}", "(".repeat(n), ")".repeat(n))),
        ("ten megabytes of braces", "{".repeat(10 << 20)),
        ("nested boxes", "\\boxed{".repeat(n)),
        ("nested fractions", format!("{}1{}", "\\frac{1}{".repeat(20_000), "}".repeat(20_000))),
        ("nested roots", format!("{}2{}", "\\sqrt{".repeat(20_000), "}".repeat(20_000))),
        ("unary minus", format!("{}1", "-".repeat(n))),
        ("factorials", format!("3{}", "!".repeat(10_000))),
        ("a tower", "9^{9^{9^9}}".to_owned()),
        ("a taller tower", format!("{}2{}", "2^{".repeat(5_000), "}".repeat(5_000))),
        ("a long power chain", format!("2{}", "^2".repeat(100_000))),
        ("a large factorial", "(10^{9})!".to_owned()),
        ("a large binomial", "\\binom{10^{12}}{5\\cdot 10^{11}}".to_owned()),
        ("a large sum", "\\sum_{k=1}^{10^{12}} k".to_owned()),
        ("sums in sums", format!("{}1", "\\sum_{k=1}^{1000}".repeat(50))),
        ("a large expansion", "(a+b+c+d+e+f+g+h)^{50}-1".to_owned()),
        ("expansions of expansions", "((((x+y)^{30}+1)^{30}+1)^{30}+1)^{30}".to_owned()),
        ("a long sum", vec!["x"; 200_000].join("+")),
        ("a long product of sums", "(x+1)".repeat(5_000)),
        ("many plus or minus", format!("1{}", "\\pm 1".repeat(60))),
        ("a large set", format!("\\{{{}\\}}", (0..100_000).map(|i| i.to_string()).collect::<Vec<_>>().join(","))),
        ("a large matrix", format!("\\begin{{pmatrix}}{}\\end{{pmatrix}}", "1&2\\\\".repeat(100_000))),
        ("a determinant", format!("\\begin{{vmatrix}}{}\\end{{vmatrix}}", format!("{}x\\\\", "x+1&".repeat(29)).repeat(30))),
        ("digits", "7".repeat(5_000_000)),
        ("digits after a point", format!("0.{}", "3".repeat(5_000_000))),
        ("an exponent", "1e999999999999".to_owned()),
        ("a small exponent", "10^{-999999999999}".to_owned()),
        ("a root of a root", "\\sqrt[1000000007]{2}".to_owned()),
        ("dollars", "$".repeat(n)),
        ("phrases", "the final answer is ".repeat(50_000)),
        ("words", "and or ".repeat(200_000)),
        ("commands", "\\frac".repeat(200_000)),
        ("environments", "\\begin{pmatrix}".repeat(50_000)),
        ("absolute values", "|".repeat(n)),
        ("units", format!("5\\text{{ {} }}", "cm ".repeat(200_000))),
        ("combining characters", "e\u{301}".repeat(200_000)),
        ("relations", format!("x{}", "<x".repeat(100_000))),
        ("unions", vec!["[0,1]"; 20_000].join("\\cup")),
        ("sines", format!("{}x{}", "\\sin(".repeat(10_000), ")".repeat(10_000))),
    ]
}

#[test]
fn hostile_input_ends_soon() {
    let mut slow = vec![];
    for (name, input) in hostile() {
        for gold in ["12", "x^2+1", "\\{1,2\\}"] {
            let ways: [(&str, &dyn Fn() -> Outcome); 3] = [
                ("as the answer", &|| verify(gold, &input, &VerifyConfig::default()).outcome),
                ("as the gold", &|| verify(&input, gold, &VerifyConfig::default()).outcome),
                ("as text", &|| grade(gold, &input, &ExtractConfig::default(), &VerifyConfig::default()).0.outcome),
            ];
            for (way, judge) in ways {
                let start = Instant::now();
                let outcome = judge();
                let took = start.elapsed();
                assert_ne!(outcome, Outcome::Equal, "{name} {way} against {gold}");
                if took > LIMIT {
                    slow.push(format!("{name} {way} against {gold}: {took:?}"));
                }
            }
        }
        // Both sides at once, the second a little longer.
        let start = Instant::now();
        verify(&input, &format!("{input}+1"), &VerifyConfig::default());
        if start.elapsed() > LIMIT {
            slow.push(format!("{name} against its like: {:?}", start.elapsed()));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn what_cannot_be_computed_is_undecided() {
    for (gold, answer) in [
        ("12", "9^{9^{9^9}}"),
        ("9^{9^{9^9}}", "9^{9^{9^8}}"),
        ("12", &"{".repeat(10 << 20)),
        ("12", &"(".repeat(1_000_000)),
        ("12", &format!("{}12{}", "(".repeat(1_000_000), ")".repeat(1_000_000))),
    ] {
        let verdict = verify(gold, answer, &VerifyConfig::default());
        assert_eq!(verdict.outcome, Outcome::Undecided, "{gold} {}: {}", answer.chars().take(20).collect::<String>(), verdict.reason);
    }
}

/// The budget counts operations: the same verdict whatever else the machine does.
#[test]
fn threads_agree() {
    let inputs: Vec<String> = hostile().into_iter().map(|(_, input)| input).filter(|input| input.len() < 20_000).collect();
    let judge = || inputs.iter().map(|input| verify("x^2+1", input, &VerifyConfig::default())).collect::<Vec<_>>();
    let alone = judge();
    std::thread::scope(|scope| {
        for thread in [0; 4].map(|_| scope.spawn(judge)) {
            assert!(thread.join().expect("no panic") == alone);
        }
    });
}
