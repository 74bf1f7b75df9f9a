//! Rewards of a completion: is the final answer right, is it where it should be.

use std::collections::BTreeMap;

use mathverify::{Delimiter, ExtractConfig, Outcome, VerifyConfig, extract, verify};

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
}

impl Rewards {
    /// `expected` is the delimiter that the prompts ask for: its answers go before those of the others, and the format reward is for it alone.
    pub fn new(section: RewardSection, expected: Delimiter) -> Self {
        let mut extraction = ExtractConfig::announced();
        extraction.delimiters.sort_by_key(|delimiter| *delimiter != expected);
        Self { section, expected, extraction }
    }

    /// `correctness`: 1 when the extracted answer equals the problem's. `format`: 1 when an answer follows the expected delimiter.
    pub fn verify(&self, problem: &Problem, completion: &str) -> Verdict {
        let found = extract(completion, &self.extraction).into_iter().next();
        let config = VerifyConfig { numeric_tolerance: self.section.numeric_tolerance, ..VerifyConfig::default() };
        let correct = found.as_ref().is_some_and(|c| verify(&problem.answer, &c.value, &config).outcome == Outcome::Equal);
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
        let section = RewardSection { correctness: 1.0, format: 0.5, numeric_tolerance: 0.0 };
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
        let rewards = Rewards::new(RewardSection { correctness: 0.0, format: 0.0, numeric_tolerance: 0.1 }, Delimiter::Boxed);
        let verdict = rewards.verify(&problem("100"), "\\boxed{105}");
        assert!(verdict.correct, "counted whatever its weight, within the tolerance");
        assert!(verdict.rewards.is_empty() && verdict.reward == 0.0);
    }
}
