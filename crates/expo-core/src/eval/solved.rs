//! Samples of problems, judged.

use expo_lm::generate::SamplingParams;

use super::pass_at_k::pass_at_k;
use super::vote::majority;
use crate::data::Problem;
use crate::reward::Verdict;
use crate::task::Task;

/// How problems are sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Samples of each problem.
    pub samples: usize,
    /// How they are drawn.
    pub sampling: SamplingParams,
    /// Seed of the samples.
    pub seed: u64,
}

/// One sample of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens, the stop token included.
    pub tokens: usize,
    /// Cut off by the length limit or the context.
    pub truncated: bool,
    /// Its final answer as written.
    pub answer: Option<String>,
    /// Whether that is right.
    pub correct: bool,
}

/// The samples of one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// At least one.
    pub samples: Vec<Sample>,
    /// Whether the answer that most of them give is right; see [`majority`].
    pub majority_correct: bool,
}

/// A sample before it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens, the stop token included.
    pub tokens: usize,
    /// Cut off by the length limit or the context.
    pub truncated: bool,
}

impl Solved {
    /// Judges the samples of `problem`.
    pub fn judge(task: &dyn Task, problem: &Problem, drafts: Vec<Draft>) -> Self {
        let texts: Vec<_> = drafts.iter().map(|draft| (problem, draft.text.as_str())).collect();
        let verdicts = task.verify(&texts);
        let answers: Vec<Option<&str>> = verdicts.iter().map(|verdict| verdict.extracted.as_deref()).collect();
        let majority = majority(&answers, |a, b| task.same_answer(a, b));
        let majority_correct = majority.is_some_and(|place| verdicts[place].correct);
        let sample = |(draft, verdict): (Draft, Verdict)| Sample {
            text: draft.text,
            tokens: draft.tokens,
            truncated: draft.truncated,
            answer: verdict.extracted,
            correct: verdict.correct,
        };
        Self { samples: drafts.into_iter().zip(verdicts).map(sample).collect(), majority_correct }
    }

    /// Number of right samples.
    pub fn correct(&self) -> usize {
        self.samples.iter().filter(|sample| sample.correct).count()
    }

    /// Unbiased estimate of pass@k. Panics when `k` is above the number of samples.
    pub fn pass_at_k(&self, k: usize) -> f64 {
        pass_at_k(self.samples.len(), self.correct(), k)
    }

    /// Tokens of all samples.
    pub fn tokens(&self) -> usize {
        self.samples.iter().map(|sample| sample.tokens).sum()
    }

    /// Number of samples that were cut off.
    pub fn truncated(&self) -> usize {
        self.samples.iter().filter(|sample| sample.truncated).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run::{CharTask, problems};

    #[test]
    fn the_vote_is_judged_by_its_first_answer() {
        let problem = problems(1).remove(0);
        let draft = |text: &str| Draft { text: text.into(), tokens: text.len(), truncated: false };
        let judged = |texts: &[&str]| Solved::judge(&CharTask::new(), &problem, texts.iter().map(|text| draft(text)).collect());
        let right = format!("1#{}", problem.answer);
        let solved = judged(&["1#9999", &right, &right]);
        assert_eq!((solved.correct(), solved.majority_correct), (2, true));
        assert!(!judged(&["1#9999", &right]).majority_correct, "of equally frequent ones the first");
        assert!(!judged(&["1", "2"]).majority_correct);
        assert_eq!(judged(&["1"]).samples[0].answer, None);
    }
}
