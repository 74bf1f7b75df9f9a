//! Properties of `verify` and `grade` over generated answers. `PROPTEST_CASES` sets how many.

use mathverify::{ExtractConfig, Outcome, VerifyConfig, extract, grade, normalize, verify};
use proptest::prelude::*;

fn outcome(gold: &str, prediction: &str) -> Outcome {
    verify(gold, prediction, &VerifyConfig::default()).outcome
}

fn graded(gold: &str, text: &str) -> Outcome {
    grade(gold, text, &ExtractConfig::default(), &VerifyConfig::default()).0.outcome
}

/// Tokens with single spaces between them, so that spacing can be varied without splitting a number or joining two.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0u32..2000).prop_map(|n| n.to_string()),
        (0u32..100, 1u32..100).prop_map(|(a, b)| format!("{a}.{b}")),
        (1u32..20, 2u32..20).prop_map(|(a, b)| format!("\\frac {{ {a} }} {{ {b} }}")),
        "[abnxyz]",
        Just("\\pi".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} + {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("( {a} ) - ( {b} )")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("( {a} ) \\cdot ( {b} )")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("\\frac {{ {a} }} {{ {b} }}")),
            (inner.clone(), 1u32..5).prop_map(|(a, n)| format!("( {a} ) ^ {{ {n} }}")),
            inner.clone().prop_map(|a| format!("\\sqrt {{ {a} }}")),
            inner.prop_map(|a| format!("\\sin ( {a} )")),
        ]
    })
}

/// Whole answers: expressions and what is built of them.
fn answer() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => expression(),
        1 => (expression(), expression()).prop_map(|(a, b)| format!("( {a} , {b} )")),
        1 => (expression(), expression()).prop_map(|(a, b)| format!("\\{{ {a} , {b} \\}}")),
        1 => (0i32..20, 21i32..40).prop_map(|(a, b)| format!("[ {a} , {b} )")),
        1 => expression().prop_map(|a| format!("x = {a}")),
        1 => (0i32..20).prop_map(|a| format!("x \\le {a}")),
        1 => (expression(), expression()).prop_map(|(a, b)| format!("\\begin{{pmatrix}} {a} \\\\ {b} \\end{{pmatrix}}")),
        1 => "[A-Z][a-z]{2,8}".prop_map(|word| format!("\\text{{{word}}}")),
    ]
}

/// An answer with a value somewhere, so that there is something to be equal: `\frac{x}{0}` is not.
fn sound() -> impl Strategy<Value = String> {
    answer().prop_filter("has no value", |a| outcome(a, a) == Outcome::Equal)
}

/// Text with much of what means something to the parser.
fn soup() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        r"\\(frac|sqrt|boxed|left|right|text|begin|end|binom|sum|log|pm|cup|infty|overline|operatorname|mathbb)",
        r"[{}()\[\]$\\^_|!,;:.%&=<>+*/ -]",
        "[0-9]{1,4}",
        "[a-zA-Z]",
        r"(answer is|Final Answer:|####|\*\*|and|or|\{pmatrix\}|\{array\}|\{align\})",
        r"\PC",
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn reflexive(a in answer()) {
        // Undecided where it has no value.
        prop_assert_ne!(outcome(&a, &a), Outcome::Different);
    }

    #[test]
    fn simple_answers_equal_themselves(a in prop_oneof![(-999i32..999).prop_map(|n| n.to_string()), "[1-9]x \\+ [1-9]y", r"\\sqrt\{[1-9][0-9]?\}"]) {
        prop_assert_eq!(outcome(&a, &a), Outcome::Equal);
    }

    /// Documented as symmetric for expressions; relations follow the gold's form.
    #[test]
    fn symmetric(a in expression(), b in expression()) {
        prop_assert_eq!(outcome(&a, &b), outcome(&b, &a));
    }

    #[test]
    fn spacing_does_not_matter(a in sound(), spaces in proptest::collection::vec("( |  |\\\\, |\\\\; |~)", 1..8)) {
        let mut next = spaces.iter().cycle();
        let spaced: String = a.split(' ').flat_map(|token| [token, next.next().expect("cycles")]).collect();
        prop_assert_eq!(outcome(&a, &spaced), Outcome::Equal, "{}", spaced);
        prop_assert_eq!(outcome(&spaced, &a), Outcome::Equal, "{}", spaced);
    }

    #[test]
    fn sized_brackets_do_not_matter(a in sound()) {
        let mut sized = a.clone();
        for (plain, left) in [("( ", "\\left( "), (" )", " \\right)"), ("[ ", "\\left[ "), ("\\{ ", "\\left\\{ "), (" \\}", " \\right\\}")] {
            sized = sized.replace(plain, left);
        }
        prop_assert_eq!(outcome(&a, &sized), Outcome::Equal, "{}", sized);
    }

    #[test]
    fn kinds_of_fraction_do_not_matter(a in sound()) {
        for other in ["\\dfrac", "\\tfrac", "\\cfrac"] {
            let written = a.replace("\\frac", other);
            prop_assert_eq!(outcome(&a, &written), Outcome::Equal, "{}", written);
        }
    }

    #[test]
    fn dollars_do_not_matter(a in sound()) {
        prop_assert_eq!(outcome(&a, &format!("${a}$")), Outcome::Equal);
        prop_assert_eq!(outcome(&format!("${a}$"), &a), Outcome::Equal);
    }

    #[test]
    fn a_box_does_not_matter(a in sound(), b in answer()) {
        prop_assert_eq!(graded(&a, &format!("We get $\\boxed{{{a}}}$.")), Outcome::Equal);
        prop_assert_eq!(graded(&format!("\\boxed{{{a}}}"), &format!("\\boxed{{{a}}}")), Outcome::Equal);
        prop_assert_eq!(graded(&a, &format!("\\boxed{{{b}}}")), outcome(&a, &b));
    }

    #[test]
    fn another_integer_is_different(a in -100_000i64..100_000, b in -100_000i64..100_000) {
        let expected = if a == b { Outcome::Equal } else { Outcome::Different };
        prop_assert_eq!(outcome(&a.to_string(), &b.to_string()), expected);
        prop_assert_eq!(outcome(&format!("\\frac{{{a}}}{{7}}"), &format!("{b}/7")), expected);
        prop_assert_eq!(outcome(&format!("x + {}", a.abs()), &format!("{}+x", b.abs())) == Outcome::Equal, a.abs() == b.abs());
    }

    /// Nothing else than the sum passes for the sum.
    #[test]
    fn sums(a in 0i64..10_000, b in 0i64..10_000, off in 1i64..10) {
        prop_assert_eq!(outcome(&(a + b).to_string(), &format!("{a} + {b}")), Outcome::Equal);
        prop_assert_eq!(outcome(&(a + b + off).to_string(), &format!("{a} + {b}")), Outcome::Different);
    }

    #[test]
    fn any_text_is_taken(a in soup(), b in soup()) {
        let _ = normalize(&a);
        for candidate in extract(&a, &ExtractConfig::default()) {
            prop_assert!(a.get(candidate.range).is_some());
        }
        outcome(&a, &b);
        graded(&a, &b);
    }

    #[test]
    fn any_characters_are_taken(a in "\\PC{0,60}", b in "(?s).{0,60}") {
        outcome(&a, &b);
        graded(&a, &b);
    }
}
