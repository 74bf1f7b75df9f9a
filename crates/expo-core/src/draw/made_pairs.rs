//! Pairs that a policy makes (ExP-DPO): what it was drawn for one question, put side by side.

use crate::config::{ChosenSide, DpoSection, RejectedSide};
use crate::data::Problem;
use crate::error::Result;
use crate::logs::RenderedPrompt;
use crate::logs::made::{PairRow, PreferenceRow};
use crate::objective::preference::Pair;
use crate::objective::{Group, Rollout};
use crate::task::Task;
use crate::task::shown::visible;

/// The pairs of one question: its i-th kept explanation (or the expert chain of thought) over the i-th of its completions that may be rejected. Without
/// pairs: none kept, or none to reject.
pub fn of_group(task: &dyn Task, options: &DpoSection, problem: &Problem, group: &Group) -> Result<Vec<MadePair>> {
    let chosen: Vec<&[u32]> = match options.chosen {
        ChosenSide::Explanation => group.kept_explanations().iter().map(|explanation| &explanation.tokens[..]).collect(),
        ChosenSide::Expert => group.expert.as_deref().into_iter().collect(),
    };
    // Of one that was cut off or is empty, a preference file could not say what it is.
    let is_whole = |rollout: &&Rollout| !rollout.is_truncated() && !rollout.text.trim().is_empty();
    let rejected = group.rollouts.iter().filter(is_whole).filter(|rollout| options.rejected == RejectedSide::Any || !rollout.correct);
    let mut pairs = Vec::new();
    for (chosen, rejected) in chosen.into_iter().zip(rejected) {
        let text = task.decode(&chosen[..chosen.len() - 1])?;
        if text.trim() == rejected.text.trim() {
            continue;
        }
        let pair = Pair {
            id: problem.id.clone(),
            prompt: group.prompt.clone(),
            chosen: chosen.to_vec(),
            rejected: rejected.tokens.clone(),
            ..Pair::default()
        };
        pairs.push(MadePair { pair, chosen: text, rejected: rejected.clone() });
    }
    Ok(pairs)
}

/// A pair and what is known of its sides.
#[derive(Debug, Clone)]
pub struct MadePair {
    /// The pair; both sides end with the end of turn.
    pub pair: Pair,
    /// Text of the chosen side.
    pub chosen: String,
    /// The rejected side.
    pub rejected: Rollout,
}

impl MadePair {
    /// Its row in a preference file; `prompt` is the user's turn.
    pub fn to_row(&self, task: &dyn Task, options: &DpoSection, problem: &Problem) -> Result<PreferenceRow> {
        Ok(PreferenceRow {
            id: self.pair.id.clone(),
            prompt: task.question_text(problem)?,
            chosen: self.chosen.clone(),
            rejected: self.rejected.text.clone(),
            answer: problem.answer.clone(),
            chosen_from: options.chosen,
            rejected_correct: self.rejected.correct,
        })
    }

    /// Its row in a run's record of pairs: the same, with what tells how it came about in `step`.
    pub(crate) fn record(&self, task: &dyn Task, options: &DpoSection, problem: &Problem, step: usize) -> Result<PairRow> {
        let Pair { prompt, chosen, rejected, .. } = &self.pair;
        Ok(PairRow {
            preference: PreferenceRow {
                chosen: visible(task, chosen, &self.chosen)?,
                rejected: visible(task, rejected, &self.rejected.text)?,
                ..self.to_row(task, options, problem)?
            },
            rejected_extracted: self.rejected.extracted.clone(),
            rejected_reason: self.rejected.reason.clone(),
            step,
            rendered: RenderedPrompt { rendered_prompt: task.decode_with_special_tokens(prompt)?, prompt_ids: prompt.clone() },
            chosen_ids: chosen.clone(),
            rejected_ids: rejected.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Explanation, Explanations};
    use crate::testing::run::{CharTask, END, problems};
    use expo_lm::generate::FinishReason;

    fn tokens(text: &str) -> Vec<u32> {
        [CharTask::new().encode(text).unwrap(), vec![END]].concat()
    }

    #[test]
    fn explanations_are_paired_with_completions_that_may_be_rejected() {
        let problem = &problems(1)[0];
        let rollout = |text: &str, correct: bool, finish: FinishReason| Rollout {
            correct,
            ..Rollout::new(tokens(text), (text.into(), Vec::new()), Vec::new(), finish)
        };
        let kept = |text: &str| Explanation::new(tokens(text), 0);
        let group = Group {
            problem: 0,
            prompt: vec![1],
            explanation_prompt: vec![2],
            rollouts: vec![
                rollout("1#1", true, FinishReason::Stop),
                rollout("9#9", false, FinishReason::Length),
                rollout("", false, FinishReason::Stop),
                rollout("7#7", false, FinishReason::Stop),
                rollout("8#8", false, FinishReason::Stop),
            ],
            explanations: Some(Explanations { kept: vec![kept("1#1"), kept("2#1"), kept("3#1")], ..Explanations::default() }),
            expert: Some(tokens("5#1")),
            ..Group::default()
        };
        let texts = |options: &DpoSection| {
            let task = CharTask::new();
            let row = |made: &MadePair| made.to_row(&task, options, problem).unwrap();
            let text = |row: PreferenceRow| format!("{} {} {}", row.chosen, row.rejected, row.rejected_correct);
            of_group(&task, options, problem, &group).unwrap().iter().map(|made| text(row(made))).collect::<Vec<_>>()
        };
        let mut options = DpoSection::default();
        assert_eq!(texts(&options), ["1#1 7#7 false", "2#1 8#8 false"]);
        // The first completion equals the first explanation: no preference between the two.
        options.rejected = RejectedSide::Any;
        assert_eq!(texts(&options), ["2#1 7#7 false", "3#1 8#8 false"]);
        options.chosen = ChosenSide::Expert;
        assert_eq!(texts(&options), ["5#1 1#1 true"]);
    }
}
