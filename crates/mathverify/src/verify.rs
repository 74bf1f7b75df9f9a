//! Comparing a prediction with the known answer.

use std::collections::BTreeMap;

use num_traits::{Signed, Zero};

use crate::ast::Expr;
use crate::choices::labelled;
use crate::config::{Outcome, Verdict, VerifyConfig};
use crate::exact::{Budget, exact};
use crate::extract::{Candidate, ExtractConfig, extract};
use crate::float::Constants;
use crate::normalize::normalize;
use crate::number::Number;
use crate::numerals;
use crate::parse::{Answer, parse};
use crate::scalar::Comparison;
use crate::token::Commas;
use crate::vocabulary::is_wrapper;
use crate::words;
use crate::worked::is_worked_out;

/// Longest answer, in bytes, that is looked at.
const MAX_LENGTH: usize = 1_000_000;

/// Extracts the final answer of `text`, and that of `gold` if it holds a formula in `$ $` or a box, and compares them. The second value is
/// the prediction's candidate, `None` if the text has no answer.
pub fn grade(gold: &str, text: &str, extraction: &ExtractConfig, config: &VerifyConfig) -> (Verdict, Option<Candidate>) {
    let inner = delimited(gold);
    let gold = inner.as_deref().unwrap_or(gold);
    match extract(text, extraction).into_iter().next() {
        Some(found) => {
            // Where the gold has several items, so may the answer have, each in its box.
            if let Some(together) = found.together.as_deref().filter(|_| several(gold)) {
                let verdict = verify(gold, together, config);
                if verdict.outcome == Outcome::Equal {
                    return (verdict, Some(Candidate { value: together.to_owned(), ..found }));
                }
            }
            (verify(gold, &found.value, config), Some(found))
        }
        None => (undecided("no answer found in the text"), None),
    }
}

/// Whether a known answer has several items.
fn several(gold: &str) -> bool {
    let items =
        |commas| parse(gold, commas).is_ok_and(|a| a.expr.any(&|e| matches!(e, Expr::List(_) | Expr::Set(_) | Expr::PlusMinus(..))));
    items(Commas::Thousands) || items(Commas::Separators)
}

/// The final answer of a known answer that is a text with a formula in `$ $` or a box.
pub(crate) fn delimited(gold: &str) -> Option<String> {
    let delimited = ["$", "\\boxed", "\\fbox", "\\(", "\\["].iter().any(|d| gold.contains(d));
    delimited.then(|| extract(gold, &ExtractConfig::default()).into_iter().next()).flatten().map(|candidate| candidate.items().to_owned())
}

fn undecided(reason: &'static str) -> Verdict {
    Verdict { outcome: Outcome::Undecided, reason, unevaluated: false, gold_parsed: String::new(), prediction_parsed: String::new() }
}

/// Compares `prediction` with `gold`, the known answer. In this order: the same text after [`normalize`]; the same number; then both are
/// read as mathematics and compared by their form (lists, tuples, sets, intervals, relations, matrices, words) down to values, which
/// are compared exactly where they are rational, and else in 256 bits at several points.
///
/// Not symmetric where Math-Verify isn't: an equation given for a value counts by its right side, and so does a gold assignment, but not a
/// gold equation like `2x + z = 1`.
pub fn verify(gold: &str, prediction: &str, config: &VerifyConfig) -> Verdict {
    if gold.len().max(prediction.len()) > MAX_LENGTH {
        return undecided("an answer is too long to be looked at");
    }
    if let Some((gold, prediction)) = narrowed(gold, prediction) {
        return verify(&gold, &prediction, config);
    }
    let (gold, prediction) = match (labelled(gold), labelled(prediction)) {
        (Some(a), Some(b)) => {
            let decision = match a.letter == b.letter {
                true => (Outcome::Equal, "the same choice"),
                false => (Outcome::Different, "another choice"),
            };
            return verdict(decision, a.letter.to_owned(), b.letter.to_owned());
        }
        (Some(a), None) if !a.content.is_empty() => (a.content, prediction),
        (None, Some(b)) if !b.content.is_empty() => (gold, b.content),
        _ => (gold, prediction),
    };
    if let Some(found) = in_words(gold, prediction, config) {
        return found;
    }
    let (gold_text, prediction_text) = (normalize(gold), normalize(prediction));
    let (decision, parsed) = compare(gold, prediction, &gold_text, &prediction_text, config);
    // What is the gold's own text, or a number without a division, is worked out.
    let written = gold_text == prediction_text || (Number::parse(&prediction_text).is_some() && !prediction_text.contains(['/', '\\']));
    let unevaluated = decision.0 == Outcome::Equal && !written && !worked_out(gold, prediction, config);
    let (gold_parsed, prediction_parsed) = match parsed {
        Some((gold, prediction)) => (gold.to_string(), prediction.to_string()),
        None => (gold_text, prediction_text),
    };
    Verdict { unevaluated, ..verdict(decision, gold_parsed, prediction_parsed) }
}

/// Both sides with wide digits and signs, as keyboards for Chinese and Japanese write them, in ASCII; `None`: there are none.
fn narrowed(gold: &str, prediction: &str) -> Option<(String, String)> {
    let wide = |c: char| ('\u{ff01}'..='\u{ff5e}').contains(&c);
    if gold.is_ascii() && prediction.is_ascii() || !gold.chars().chain(prediction.chars()).any(wide) {
        return None;
    }
    let narrow = |text: &str| text.chars().map(|c| if wide(c) { char::from_u32(c as u32 - 0xfee0).unwrap_or(c) } else { c }).collect();
    Some((narrow(gold), narrow(prediction)))
}

fn verdict((outcome, reason): Decision, gold_parsed: String, prediction_parsed: String) -> Verdict {
    Verdict { outcome, reason, unevaluated: false, gold_parsed, prediction_parsed }
}

fn worked_out(gold: &str, prediction: &str, config: &VerifyConfig) -> bool {
    is_worked_out(gold, prediction, &mut |side| {
        let Ok(gold) = parse(gold, Commas::Thousands) else { return false };
        let mut comparison = Comparison { config, budget: Budget { left: config.budget }, consts: Constants::default() };
        comparison.answers(&gold.expr, side).0 == Outcome::Equal
    })
}

/// The verdict where one side is a number in words and the other one in digits; a unit of the gold's words has to be the prediction's.
fn in_words(gold: &str, prediction: &str, config: &VerifyConfig) -> Option<Verdict> {
    let digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
    let bare = |text: &str| text.len() < 200 && !digits(text);
    match (bare(gold), bare(prediction)) {
        (false, true) => {
            let (value, unit) = numerals::number(&without_wrappers(prediction))?;
            // "two lines" are not 2 euros.
            let counted = parse(gold, Commas::Thousands).map(|gold| gold.unit).unwrap_or_default();
            let fits = unit.is_empty() || counted.is_empty() || same_unit(&counted, &unit.join(" "));
            (fits && words::is_unit(&unit)).then(|| verify(gold, &value.to_string(), config)).filter(|v| v.outcome == Outcome::Equal)
        }
        (true, false) => {
            let (value, unit) = numerals::number(&without_wrappers(gold))?;
            unit.is_empty().then(|| verify(&value.to_string(), prediction, config)).filter(|v| v.outcome == Outcome::Equal)
        }
        _ => None,
    }
}

/// Text without `\text{` and kin, and without braces and dollars.
fn without_wrappers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let name = rest[at + 1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - at - 1);
        if !is_wrapper(&rest[at + 1..at + 1 + name]) {
            out.push_str(&rest[at..at + 1 + name]);
        }
        rest = &rest[at + 1 + name..];
    }
    out.push_str(rest);
    out.replace(['{', '}', '$', '*', '~'], " ")
}

type Decision = (Outcome, &'static str);

fn compare(
    gold: &str,
    prediction: &str,
    gold_text: &str,
    prediction_text: &str,
    config: &VerifyConfig,
) -> (Decision, Option<(Expr, Expr)>) {
    if gold_text.is_empty() || prediction_text.is_empty() {
        return ((Outcome::Undecided, "an answer is empty"), None);
    }
    let percent = |text: &str| text.trim_end_matches(['$', ' ', '.', '}', ')']).ends_with(['%', 't', 'e']);
    let percents = config.percent_as_fraction && percent(gold) != percent(prediction);
    if gold_text == prediction_text && !percents {
        if suspicious(prediction_text) && parse(prediction, Commas::Thousands).is_ok_and(|p| undefined(&p.expr)) {
            return ((Outcome::Undecided, "a value that isn't defined"), None);
        }
        if !config.units {
            return ((Outcome::Equal, "the same text"), None);
        }
    }
    let numbers = (Number::parse(gold_text), Number::parse(prediction_text));
    if let (Some(a), Some(b)) = &numbers
        && !percents
        && !config.units
    {
        let rounded = gold_text.contains('.') || prediction_text.contains('.');
        let listed = gold_text.contains(',') || prediction_text.contains(',');
        if a.equals(b) == Some(true) {
            return ((Outcome::Equal, "the same number"), None);
        }
        if gold_text.len().max(prediction_text.len()) > MAX_NUMBER {
            return match a.equals(b) {
                Some(_) => ((Outcome::Different, "other numbers"), None),
                None => ((Outcome::Undecided, "fractions too long to compare"), None),
            };
        }
        if !rounded && !listed && config.numeric_tolerance == 0.0 && a.equals(b) == Some(false) {
            return ((Outcome::Different, "other numbers"), None);
        }
    }
    let (a, b) = match (parse(gold, Commas::Thousands), parse(prediction, Commas::Thousands)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            let alternative = separated(gold, prediction, config);
            if let Some(found) = alternative {
                return found;
            }
            let same = letters(gold_text) == letters(prediction_text) && letters(gold_text).is_some();
            if same {
                return ((Outcome::Equal, "the same words"), None);
            }
            let reason = match (a.err(), b.err()) {
                (Some(_), Some(_)) => "neither can be read as mathematics, and the texts differ",
                (Some(_), None) => "the gold can't be read as mathematics",
                _ => "the prediction can't be read as mathematics",
            };
            return ((Outcome::Undecided, reason), None);
        }
    };
    if undefined(&a.expr) || undefined(&b.expr) {
        return ((Outcome::Undecided, "a value that isn't defined"), Some((a.expr, b.expr)));
    }
    let first = decide(&a, &b, config);
    if first.0 == Outcome::Equal {
        return (first, Some((a.expr, b.expr)));
    }
    if let Some(found) = separated(gold, prediction, config) {
        return found;
    }
    if letters(gold_text).is_some() && letters(gold_text) == letters(prediction_text) {
        return ((Outcome::Equal, "the same words"), Some((a.expr, b.expr)));
    }
    (first, Some((a.expr, b.expr)))
}

/// Longest number, in bytes, that is compared as a decimal that may be rounded.
const MAX_NUMBER: usize = 4_000;

/// A word of at least two letters, in lower case.
fn letters(text: &str) -> Option<String> {
    let word = text.len() > 1 && text.len() < 200 && text.chars().all(|c| c.is_alphabetic());
    word.then(|| text.to_lowercase())
}

/// Whether a text may stand for no value: `0/0`, `NaN`.
fn suspicious(text: &str) -> bool {
    (text.contains('0') && (text.contains('/') || text.contains("\\frac"))) || text.eq_ignore_ascii_case("nan")
}

/// Divisions by zero, and "NaN".
pub(crate) fn undefined(e: &Expr) -> bool {
    let zero = |e: &Expr| exact(e, &mut Budget { left: 200 }).is_some_and(|v| v.is_zero());
    e.any(&|e| match e {
        Expr::Quotient(_, b) => zero(b),
        Expr::Power(a, b) => zero(a) && exact(b, &mut Budget { left: 200 }).is_some_and(|v| !v.is_positive()),
        Expr::Text(words) => words == "nan",
        _ => false,
    })
}

fn decide(gold: &Answer, prediction: &Answer, config: &VerifyConfig) -> Decision {
    if config.units && !gold.unit.is_empty() && !prediction.unit.is_empty() && !same_unit(&gold.unit, &prediction.unit) {
        return (Outcome::Different, "other units");
    }
    if other_power(&gold.unit, &prediction.unit) {
        return (Outcome::Different, "other powers of a unit");
    }
    let half = |unit: &str| unit.split(' ').find(|w| matches!(*w, "am" | "pm")).map(str::to_owned);
    if let (Some(a), Some(b)) = (half(&gold.unit), half(&prediction.unit))
        && a != b
    {
        return (Outcome::Different, "before noon and after it");
    }
    let prediction = if config.strict { prediction.expr.clone() } else { renamed(&gold.expr, &prediction.expr) };
    let mut comparison = Comparison { config, budget: Budget { left: config.budget }, consts: Constants::default() };
    comparison.answers(&gold.expr, &prediction)
}

/// Whether both have one unit with a power, the same unit but another power: `cm^2` and `cm^3`.
fn other_power(a: &str, b: &str) -> bool {
    match (a.split_once(" ^"), b.split_once(" ^")) {
        (Some((unit, power)), Some((other, another))) => unit == other && power != another,
        _ => false,
    }
}

/// Whether two units are the same word, plural or not.
fn same_unit(a: &str, b: &str) -> bool {
    let stem = |unit: &str| {
        let unit = unit.trim_end_matches('s').to_owned();
        match unit.as_str() {
            "centimeter" | "centimetre" => "cm".to_owned(),
            "meter" | "metre" => "m".to_owned(),
            "kilometer" | "kilometre" => "km".to_owned(),
            "millimeter" | "millimetre" => "mm".to_owned(),
            "inche" | "inch" => "in".to_owned(),
            "feet" | "foot" => "ft".to_owned(),
            "hour" | "hr" => "h".to_owned(),
            "minute" => "min".to_owned(),
            "second" | "sec" => "s".to_owned(),
            "gram" => "g".to_owned(),
            "kilogram" => "kg".to_owned(),
            "pound" => "lb".to_owned(),
            _ => unit,
        }
    };
    stem(a) == stem(b)
}

/// The prediction with the gold's names of variables, in alphabetical order, where both have as many.
fn renamed(gold: &Expr, prediction: &Expr) -> Expr {
    fn rename(e: &Expr, names: &BTreeMap<String, String>) -> Expr {
        match e {
            Expr::Symbol(name) => Expr::Symbol(names.get(name).unwrap_or(name).clone()),
            other => other.map(&mut |part| rename(part, names)),
        }
    }
    let (to, from) = (gold.symbols(), prediction.symbols());
    if to.len() != from.len() {
        return prediction.clone();
    }
    rename(prediction, &from.into_iter().zip(to).collect())
}

/// The reading in which commas between digits separate: `1,234` is a number, and also two.
fn separated(gold: &str, prediction: &str, config: &VerifyConfig) -> Option<(Decision, Option<(Expr, Expr)>)> {
    let commas = |text: &str| {
        text.len() < 2_000 && text.as_bytes().windows(3).any(|w| w[0].is_ascii_digit() && w[1] == b',' && w[2].is_ascii_digit())
    };
    if !commas(gold) && !commas(prediction) {
        return None;
    }
    let (Ok(a), Ok(b)) = (parse(gold, Commas::Separators), parse(prediction, Commas::Separators)) else { return None };
    if undefined(&a.expr) || undefined(&b.expr) {
        return None;
    }
    let decision = decide(&a, &b, config);
    (decision.0 == Outcome::Equal).then_some((decision, Some((a.expr, b.expr))))
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Different, Equal, Undecided};
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
            ("x+1", "1+x", Equal),
            ("5", "x=5", Equal),
            ("", "", Undecided),
        ] {
            assert_eq!(outcome(gold, prediction), expected, "{gold} {prediction}");
        }
    }

    #[test]
    fn identities() {
        use Outcome::*;
        for (gold, prediction, expected) in [
            (r"\sin^2 x+\cos^2 x", "1", Equal),
            (r"\frac{1}{2004!}", r"\frac{1}{2006!}", Different),
            (r"e^{\pi\sqrt{163}}", "262537412640768744", Different),
            (r"\sqrt2+\sqrt3", r"\sqrt{5+2\sqrt6}", Equal),
            ("x", r"\sqrt{x^2}", Different),
            (r"\frac{x^2-1}{x-1}", "x+1", Equal),
            ("x+10^{-50}", "x", Different),
            (r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k", Equal),
            ("n!", "n(n-1)!", Equal),
            ("2x+4y-3=0", r"y=-\frac12x+\frac34", Equal),
            ("xy=1", r"y=\frac1x", Equal),
            ("x<1", "-x>-1", Equal),
            ("x<1", "-x<-1", Different),
            ("-2<x<2", "|x|<2", Equal),
            (r"1\le|z|\le2", r"[-2,-1]\cup[1,2]", Equal),
            (r"1\le|z|\le2", r"[-2,-1]\cup[1,2)", Different),
            (r"(-\infty,1)\cup(1,\infty)", r"\mathbb{R}\setminus\{1\}", Equal),
        ] {
            assert_eq!(outcome(gold, prediction), expected, "{gold} {prediction}");
        }
    }

    #[test]
    fn bounded() {
        let start = std::time::Instant::now();
        for text in ["9^{9^{9^9}}".to_owned(), "(".repeat(1_000_000), "{".repeat(10_000_000), r"\sum_{k=1}^{99999999}\sin k".to_owned()] {
            assert_eq!(outcome("1", &text), Undecided);
        }
        assert!(start.elapsed().as_secs() < 5);
    }

    #[test]
    fn options() {
        let with = |config: VerifyConfig, gold: &str, prediction: &str| verify(gold, prediction, &config).outcome;
        let plain = VerifyConfig::default();
        let fraction = VerifyConfig { percent_as_fraction: true, ..plain };
        assert_eq!((with(plain, "0.28", r"28\%"), with(fraction, "0.28", r"28\%")), (Different, Equal));
        assert_eq!((with(plain, "28", r"28\%"), with(fraction, "28", r"28\%")), (Equal, Equal));
        let loose = VerifyConfig { strict: false, ..plain };
        assert_eq!((with(plain, "f(x)", "f(y)"), with(loose, "f(x)", "f(y)")), (Different, Equal));
        let sets = VerifyConfig { allow_set_relation: true, ..plain };
        assert_eq!((with(plain, "[-2,7]", r"-2\le x\le7"), with(sets, "[-2,7]", r"-2\le x\le7")), (Different, Equal));
        let units = VerifyConfig { units: true, ..plain };
        assert_eq!((with(plain, r"7\text{ cm}", r"7\text{ m}"), with(units, r"7\text{ cm}", r"7\text{ m}")), (Equal, Different));
        assert_eq!(with(units, r"7\text{ cm}", "7 centimeters"), Equal);
        assert_eq!(with(units, r"7\text{ cm}", "7"), Equal);
        let short = VerifyConfig { decimals: 2, ..plain };
        assert_eq!((with(plain, "1/3", "0.333"), with(short, "1/3", "0.333")), (Different, Equal));
        let poor = VerifyConfig { budget: 10, ..plain };
        assert_eq!(with(poor, r"\sin^2 x+\cos^2 x", "1"), Undecided);
    }

    #[test]
    fn grading_a_text() {
        let of = |gold: &str, text: &str| grade(gold, text, &ExtractConfig::default(), &VerifyConfig::default()).0.outcome;
        assert_eq!(of("$2$", r"so $\boxed{2}$"), Equal);
        assert_eq!(of("1", r"\boxed{1} or \boxed{2}"), Different);
        assert_eq!(of("2", "The answer is 1 or 2 or 3."), Different);
        assert_eq!(of("5", r"5 \boxed{}"), Undecided);
        assert_eq!(of("10455", r"\boxed{255}. The final answer is $10,455$. I hope it is correct."), Equal);
        assert_eq!(of(r"\frac12", "it is 0.5"), Equal);
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
                let verdict = verify(&a, &a, &VerifyConfig::default());
                // A fraction over 0 is nothing that a value could equal.
                prop_assert!(verdict.outcome == Outcome::Equal || verdict.reason == "a value that isn't defined", "{:?}", verdict);
            }
        }
        #[test]
        fn integers_of_any_size(a in "[1-9][0-9]{0,60}", b in "[1-9][0-9]{0,60}") {
            prop_assert_eq!(outcome(&a, &b) == Outcome::Equal, a == b);
            prop_assert_eq!(outcome(&a, &format!("{a}.0")), Outcome::Equal);
        }
    }
}
