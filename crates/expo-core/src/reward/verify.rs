//! The built-in verifier: is the final answer right, is it where it should be.

use mathverify::{Delimiter, ExtractConfig, Kind, Outcome, VerifyConfig, grade, verify};

use crate::config::{RewardSection, Unevaluated};
use crate::data::Problem;

/// What the verifier says of a completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Whether the final answer is right.
    pub correct: bool,
    /// Whether it is equal to the known one but not worked out (`4+6` for 10); `reward.unevaluated` says whether it is right.
    pub unevaluated: bool,
    /// Whether the final answer follows the delimiter that the prompts ask for.
    pub formatted: bool,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Byte where the final answer's delimiter begins, when there is an answer.
    pub answer_start: Option<usize>,
    /// Why it is judged so, in words.
    pub reason: String,
}

/// How `section` says that answers are compared.
pub fn comparison(section: &RewardSection) -> VerifyConfig {
    VerifyConfig {
        decimals: section.decimals,
        numeric_tolerance: section.numeric_tolerance,
        strict: section.strict,
        allow_set_relation: section.allow_set_relation,
        percent_as_fraction: section.percent_as_fraction,
        units: section.units,
        ..VerifyConfig::default()
    }
}

/// Finds and judges final answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Verifier {
    expected: Delimiter,
    extraction: ExtractConfig,
    comparison: VerifyConfig,
    unevaluated: Unevaluated,
}

impl Verifier {
    /// `expected` is the delimiter that the prompts ask for: only it counts as the format. The last announced answer counts, by whatever delimiter.
    pub fn new(section: &RewardSection, expected: Delimiter) -> Self {
        let mut extraction = if section.unannounced { ExtractConfig::default() } else { ExtractConfig::announced() };
        if section.choice_letters {
            extraction.kinds = vec![Kind::String];
        }
        Self { expected, extraction, comparison: comparison(section), unevaluated: section.unevaluated }
    }

    /// Judges one completion.
    pub fn verify(&self, problem: &Problem, completion: &str) -> Verdict {
        let (judged, found) = grade(&problem.answer, completion, &self.extraction, &self.comparison);
        Verdict {
            correct: judged.outcome == Outcome::Equal && !(judged.unevaluated && self.unevaluated == Unevaluated::Wrong),
            unevaluated: judged.unevaluated,
            formatted: found.as_ref().is_some_and(|c| c.delimiter == self.expected),
            answer_start: found.as_ref().map(|c| c.range.start),
            extracted: found.map(|c| c.value),
            reason: judged.reason.into(),
        }
    }

    /// Whether two final answers, as written, are mathematically equal.
    pub fn same_answer(&self, a: &str, b: &str) -> bool {
        verify(a, b, &self.comparison).outcome == Outcome::Equal
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn problem(answer: &str) -> Problem {
        Problem {
            id: "x".into(),
            question: "q".into(),
            answer: answer.into(),
            expert_cot: None,
            level: None,
            level_name: None,
            subject: None,
            extra: BTreeMap::new(),
            context: Default::default(),
        }
    }

    #[test]
    fn the_expected_delimiter_is_the_format() {
        let verifier = Verifier::new(&RewardSection::default(), Delimiter::Hashes);
        let of = |completion: &str| verifier.verify(&problem("786"), completion);
        let right = of("reasoning;#### 786");
        assert!(right.correct && right.formatted);
        assert_eq!((right.answer_start, right.extracted.as_deref()), (Some(10), Some("786")));
        let wrong = of("#### 785");
        assert!(!wrong.correct && wrong.formatted);
        let other = of("The answer is 786.");
        assert!(other.correct && !other.formatted, "right, but not in the expected format");
        assert!(of("first \\boxed{3}, then\n#### 786").correct, "the last one counts");
        assert!(!of("#### 786\nNo, the answer is 785.").correct, "whatever announces it");
        assert_eq!(of("786"), Verdict { reason: "no answer found in the text".into(), ..Verdict::default() });
    }

    #[test]
    fn two_answers_are_the_same_as_mathematics() {
        let verifier = Verifier::new(&RewardSection::default(), Delimiter::Hashes);
        assert!(verifier.same_answer("\\frac{1}{2}", "0.5") && verifier.same_answer("1,072", "1072"));
        assert!(!verifier.same_answer("3", "4") && !verifier.same_answer("x", ""));
    }

    #[test]
    fn answers_are_compared_as_mathematics_by_the_options() {
        let correct = |section: &RewardSection, answer: &str, completion: &str| {
            Verifier::new(section, Delimiter::Boxed).verify(&problem(answer), completion).correct
        };
        let usual = RewardSection::default();
        for (answer, completion) in
            [("\\frac{1}{2}", "\\boxed{0.5}"), ("(x+1)^2", "\\boxed{x^2+2x+1}"), ("1,2", "$\\boxed{1}$ and $\\boxed{2}$")]
        {
            assert!(correct(&usual, answer, completion), "{answer} {completion}");
        }
        type Case = (&'static str, &'static str, fn(&mut RewardSection));
        let cases: [Case; 8] = [
            ("10", "\\boxed{4+6}", |s| s.unevaluated = Unevaluated::Right),
            ("1/3", "\\boxed{0.333}", |s| s.decimals = 3),
            ("x+1", "\\boxed{y+1}", |s| s.strict = false),
            ("[0,1]", "\\boxed{0\\le x\\le 1}", |s| s.allow_set_relation = true),
            ("28\\%", "\\boxed{0.28}", |s| s.percent_as_fraction = true),
            ("7", "It is 7, of course.", |s| s.unannounced = true),
            ("B", "It is not A; the answer is B.", |s| s.choice_letters = true),
            ("105", "\\boxed{100}", |s| s.numeric_tolerance = 0.1),
        ];
        for (answer, completion, change) in cases {
            let mut section = RewardSection::default();
            assert!(answer == "B" || !correct(&section, answer, completion), "{answer} {completion}");
            change(&mut section);
            assert!(correct(&section, answer, completion), "{answer} {completion}");
        }
        let strict = RewardSection { units: true, ..RewardSection::default() };
        assert!(correct(&usual, "5\\text{ cm}", "\\boxed{5\\text{ m}}") && !correct(&strict, "5\\text{ cm}", "\\boxed{5\\text{ m}}"));
    }
}
