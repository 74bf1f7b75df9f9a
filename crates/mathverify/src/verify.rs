//! Comparing a prediction with the known answer.

use crate::normalize::normalize;
use crate::number::Number;

/// How strict the comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VerifyConfig {
    /// Numbers within this distance of the known answer, relative to it, are equal; 0: exact.
    pub numeric_tolerance: f64,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The two are the same answer.
    Equal,
    /// They are not.
    Different,
    /// The rules here can't tell (other expressions than numbers): not counted as correct.
    Undecided,
}

/// Outcome and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What was found.
    pub outcome: Outcome,
    /// The rule that decided, in a few words.
    pub reason: &'static str,
}

/// Compares `prediction` with `gold`, the known answer: the same text after [`normalize`], or the same rational number.
pub fn verify(gold: &str, prediction: &str, config: &VerifyConfig) -> Verdict {
    let verdict = |outcome, reason| Verdict { outcome, reason };
    let (gold, prediction) = (normalize(gold), normalize(prediction));
    if gold.is_empty() || prediction.is_empty() {
        return verdict(Outcome::Undecided, "an answer is empty");
    }
    if gold == prediction {
        return verdict(Outcome::Equal, "the same text");
    }
    let (Some(gold), Some(prediction)) = (Number::parse(&gold), Number::parse(&prediction)) else {
        return verdict(Outcome::Undecided, "other texts, not both numbers");
    };
    if gold.equals(&prediction) == Some(true) {
        return verdict(Outcome::Equal, "the same number");
    }
    if config.numeric_tolerance > 0.0 {
        let (gold, prediction) = (gold.to_f64(), prediction.to_f64());
        if gold.is_finite() && (gold - prediction).abs() <= config.numeric_tolerance * gold.abs() {
            return verdict(Outcome::Equal, "numbers within the tolerance");
        }
    }
    match gold.equals(&prediction) {
        Some(_) => verdict(Outcome::Different, "other numbers"),
        None => verdict(Outcome::Undecided, "fractions too long to compare"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(gold: &str, prediction: &str) -> Outcome {
        verify(gold, prediction, &VerifyConfig::default()).outcome
    }

    #[test]
    fn known_pairs() {
        use Outcome::*;
        for (gold, prediction, expected) in [
            ("18", "$18.00", Equal),
            ("1234", "1,234 dollars.", Equal),
            (r"\frac{1}{2}", "0.5", Equal),
            (r"\dfrac12", r"\frac{2}{4}", Equal),
            (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\dfrac{\pi}{2})", Equal),
            (r"\text{Evelyn}", "Evelyn", Equal),
            ("10", r"10\%", Equal),
            ("18", "19", Different),
            ("1/3", "0.333", Different),
            ("x+1", "1+x", Undecided),
            ("5", "x=5", Undecided),
            ("", "", Undecided),
        ] {
            assert_eq!(outcome(gold, prediction), expected, "{gold} {prediction}");
        }
    }

    #[test]
    fn tolerance_is_relative_to_the_known_answer() {
        let at = |gold: &str, prediction: &str, numeric_tolerance| verify(gold, prediction, &VerifyConfig { numeric_tolerance }).outcome;
        assert_eq!(at("1/3", "0.333", 0.01), Outcome::Equal);
        assert_eq!(at("1/3", "0.3", 0.01), Outcome::Different);
        assert_eq!(at("-200", "-201", 0.01), Outcome::Equal);
        assert_eq!(at("0", "0.001", 0.01), Outcome::Different);
        assert_eq!(at("1", "2", f64::NAN), Outcome::Different);
        let huge = "9".repeat(400);
        assert_eq!(at(&huge, &format!("{huge}1"), 0.01), Outcome::Different, "infinite as floats");
        assert_eq!(at(&huge, "1", 0.01), Outcome::Different);
    }

    proptest! {
        #[test]
        fn anything_equals_itself_and_never_panics(a in r"(\\frac|\\text\{|[-{}$\\0-9a.,/ ]|\PC){1,20}", b in r"\PC{0,20}") {
            prop_assert!(outcome(&a, &b) == outcome(&b, &a));
            if !normalize(&a).is_empty() {
                prop_assert_eq!(outcome(&a, &a), Outcome::Equal);
            }
        }
        #[test]
        fn integers_of_any_size(a in "[1-9][0-9]{0,60}", b in "[1-9][0-9]{0,60}") {
            prop_assert_eq!(outcome(&a, &b) == Outcome::Equal, a == b);
            prop_assert_eq!(outcome(&a, &format!("{a}.0")), Outcome::Equal);
        }
    }
}
