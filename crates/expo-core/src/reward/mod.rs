//! Rewards of a completion: is the final answer right, is it where it should be.

use std::collections::BTreeMap;

use mathverify::{Delimiter, ExtractConfig, Kind, Outcome, VerifyConfig, grade};

use crate::config::RewardSection;
use crate::data::Problem;

/// What the rewards say of a completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Rewards by name, unweighted; those of weight 0 are absent.
    pub rewards: BTreeMap<String, f64>,
    /// Their weighted sum.
    pub reward: f64,
    /// Whether the final answer is right.
    pub correct: bool,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Byte where the final answer's delimiter begins, when there is an answer.
    pub answer_start: Option<usize>,
}

/// The rewards of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewards {
    section: RewardSection,
    expected: Delimiter,
    extraction: ExtractConfig,
    comparison: VerifyConfig,
}

impl Rewards {
    /// `expected` is the delimiter that the prompts ask for: its answers go before those of the others, and the format reward is for it alone.
    pub fn new(section: RewardSection, expected: Delimiter) -> Self {
        let mut extraction = if section.unannounced { ExtractConfig::default() } else { ExtractConfig::announced() };
        extraction.delimiters.sort_by_key(|delimiter| *delimiter != expected);
        if section.choice_letters {
            extraction.kinds = vec![Kind::String];
        }
        let comparison = VerifyConfig {
            decimals: section.decimals,
            numeric_tolerance: section.numeric_tolerance,
            strict: section.strict,
            allow_set_relation: section.allow_set_relation,
            percent_as_fraction: section.percent_as_fraction,
            units: section.units,
            ..VerifyConfig::default()
        };
        Self { section, expected, extraction, comparison }
    }

    /// `correctness`: 1 when the extracted answer equals the problem's. `format`: 1 when an answer follows the expected delimiter.
    pub fn verify(&self, problem: &Problem, completion: &str) -> Verdict {
        let (judged, found) = grade(&problem.answer, completion, &self.extraction, &self.comparison);
        let correct = judged.outcome == Outcome::Equal;
        let formatted = found.as_ref().is_some_and(|c| c.delimiter == self.expected);
        let all = [("correctness", self.section.correctness, correct), ("format", self.section.format, formatted)];
        let mut verdict = Verdict { correct, ..Verdict::default() };
        for (name, weight, earned) in all.into_iter().filter(|(_, weight, _)| *weight != 0.0) {
            let value = f64::from(u8::from(earned));
            verdict.rewards.insert(name.to_owned(), value);
            verdict.reward += weight * value;
        }
        verdict.answer_start = found.as_ref().map(|c| c.range.start);
        verdict.extracted = found.map(|c| c.value);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(answer: &str) -> Problem {
        Problem {
            id: "x".into(),
            question: "q".into(),
            answer: answer.into(),
            expert_cot: None,
            level: None,
            subject: None,
            extra: BTreeMap::new(),
        }
    }

    #[test]
    fn rewards_by_name_weight_and_delimiter() {
        let section = RewardSection { format: 0.5, ..RewardSection::default() };
        let rewards = Rewards::new(section, Delimiter::Hashes);
        let of = |completion: &str| rewards.verify(&problem("786"), completion);

        let right = of("reasoning;#### 786");
        assert!(right.correct && right.reward == 1.5);
        assert_eq!(right.rewards, BTreeMap::from([("correctness".to_owned(), 1.0), ("format".to_owned(), 1.0)]));
        assert_eq!((right.answer_start, right.extracted.as_deref()), (Some(10), Some("786")));

        let wrong = of("#### 785");
        assert!(!wrong.correct && wrong.reward == 0.5);

        let other = of("The answer is 786.");
        assert!(other.correct && other.reward == 1.0, "right, but not in the expected format");

        assert!(of("first \\boxed{3}, then\n#### 786").correct, "the expected delimiter goes first");
        assert_eq!(
            of("786"),
            Verdict { rewards: BTreeMap::from([("correctness".to_owned(), 0.0), ("format".to_owned(), 0.0)]), ..Verdict::default() }
        );
    }

    #[test]
    fn a_weight_of_zero_leaves_a_reward_out() {
        let rewards =
            Rewards::new(RewardSection { correctness: 0.0, numeric_tolerance: 0.1, ..RewardSection::default() }, Delimiter::Boxed);
        let verdict = rewards.verify(&problem("100"), "\\boxed{105}");
        assert!(verdict.correct, "counted whatever its weight, within the tolerance");
        assert!(verdict.rewards.is_empty() && verdict.reward == 0.0);
    }

    #[test]
    fn answers_are_compared_as_mathematics_by_the_options() {
        let correct = |section: &RewardSection, answer: &str, completion: &str| {
            Rewards::new(section.clone(), Delimiter::Boxed).verify(&problem(answer), completion).correct
        };
        let usual = RewardSection::default();
        for (answer, completion) in
            [("\\frac{1}{2}", "\\boxed{0.5}"), ("(x+1)^2", "\\boxed{x^2+2x+1}"), ("1,2", "$\\boxed{1}$ and $\\boxed{2}$")]
        {
            assert!(correct(&usual, answer, completion), "{answer} {completion}");
        }
        type Case = (&'static str, &'static str, fn(&mut RewardSection));
        let cases: [Case; 7] = [
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
