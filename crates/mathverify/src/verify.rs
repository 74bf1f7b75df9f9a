//! Comparing a prediction with the known answer.

use crate::config::{Outcome, Verdict, VerifyConfig};
use crate::extract::{Candidate, ExtractConfig, extract};
use crate::normalize::normalize;
use crate::number::Number;

/// Extracts the final answer of `text`, and that of `gold` if it holds a formula in `$ $` or a box, and compares them. The second value is
/// the prediction's candidate, `None` if the text has no answer.
pub fn grade(gold: &str, text: &str, extraction: &ExtractConfig, config: &VerifyConfig) -> (Verdict, Option<Candidate>) {
    let delimited = gold.contains(['$', '\\']).then(|| extract(gold, extraction).into_iter().next()).flatten();
    let gold = delimited.as_ref().map_or(gold, |c| &c.value);
    match extract(text, extraction).into_iter().next() {
        Some(found) => (verify(gold, &found.value, config), Some(found)),
        None => {
            let verdict = Verdict {
                outcome: Outcome::Undecided,
                reason: "no answer found in the text",
                gold_parsed: normalize(gold),
                prediction_parsed: String::new(),
            };
            (verdict, None)
        }
    }
}

/// Compares `prediction` with `gold`, the known answer: the same text after [`normalize`], or the same rational number.
pub fn verify(gold: &str, prediction: &str, config: &VerifyConfig) -> Verdict {
    let (gold, prediction) = (normalize(gold), normalize(prediction));
    let (outcome, reason) = compare(&gold, &prediction, config);
    Verdict { outcome, reason, gold_parsed: gold, prediction_parsed: prediction }
}

fn compare(gold: &str, prediction: &str, config: &VerifyConfig) -> (Outcome, &'static str) {
    if gold.is_empty() || prediction.is_empty() {
        return (Outcome::Undecided, "an answer is empty");
    }
    if gold == prediction {
        return (Outcome::Equal, "the same text");
    }
    let (Some(gold), Some(prediction)) = (Number::parse(gold), Number::parse(prediction)) else {
        return (Outcome::Undecided, "other texts, not both numbers");
    };
    if gold.equals(&prediction) == Some(true) {
        return (Outcome::Equal, "the same number");
    }
    if config.numeric_tolerance > 0.0 {
        let (gold, prediction) = (gold.to_f64(), prediction.to_f64());
        if gold.is_finite() && (gold - prediction).abs() <= config.numeric_tolerance * gold.abs() {
            return (Outcome::Equal, "numbers within the tolerance");
        }
    }
    match gold.equals(&prediction) {
        Some(_) => (Outcome::Different, "other numbers"),
        None => (Outcome::Undecided, "fractions too long to compare"),
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
        let at = |gold: &str, prediction: &str, numeric_tolerance| {
            verify(gold, prediction, &VerifyConfig { numeric_tolerance, ..VerifyConfig::default() }).outcome
        };
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
