//! Verdicts and rewards of a step's samples.

use super::hints::answer_position;
use super::probe;
use super::sampling::verify;
use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::group::Group;
use crate::observe::{Observer, Phase};
use crate::policy::Lm;
use crate::reward::{AnswerScore, Completion, Listener, Question, Rewards, Scored};
use crate::task::Task;

/// What rewards of `step` say, and whether they are still wanted.
pub struct Rewarding<'a> {
    /// The step that is told.
    pub step: usize,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
}

impl Listener for Rewarding<'_> {
    fn notice(&mut self, notice: String) {
        self.observer.on_notice(self.step, &notice);
    }
    fn is_stopping(&mut self) -> bool {
        let stopping = self.observer.should_stop();
        if stopping {
            // Whoever waits for the stop is told that it was heard.
            self.observer.on_phase(self.step, Phase::Reward);
        }
        stopping
    }
}

/// Verifies and rewards every sample of `groups`, which `policy` wrote.
pub fn reward(
    rewards: &mut Rewards,
    task: &dyn Task,
    policy: &dyn Lm,
    problems: &[PreparedProblem],
    groups: &mut [Group],
    listener: &mut dyn Listener,
) -> Result<()> {
    let verdicts = verify(task, problems, groups);
    for (sample, verdict) in groups.iter_mut().flat_map(Group::samples_mut).zip(&verdicts) {
        (sample.correct, sample.unevaluated, sample.answer_start) = (verdict.correct, verdict.unevaluated, verdict.answer_start);
        (sample.extracted, sample.reason) = (verdict.extracted.clone(), verdict.reason.clone());
    }
    for group in groups.iter_mut() {
        let answer = &problems[group.problem].problem.answer;
        for sample in group.samples_mut() {
            let extracted = sample.extracted.as_deref().filter(|_| sample.correct);
            sample.answer_position = answer_position(&sample.text, answer, extracted);
        }
    }
    let answers: Vec<Option<AnswerScore>> = match rewards.ask_for_answers() {
        true => probe::answers_behind_samples(policy, problems, groups)?.into_iter().map(Some).collect(),
        false => vec![None; verdicts.len()],
    };
    let mut judged = verdicts.iter().zip(answers);
    let mut questions = Vec::with_capacity(groups.len());
    for group in &*groups {
        let completions = group.samples().zip(&mut judged).map(|(sample, (verdict, answer))| Completion {
            text: &sample.text,
            tokens: sample.tokens.len(),
            truncated: sample.is_truncated(),
            verdict,
            answer,
        });
        questions.push(Question {
            problem: &problems[group.problem].problem,
            prompt: task.decode(&group.prompt)?,
            completions: completions.collect(),
        });
    }
    let scored: Vec<Scored> = rewards.score(&questions, listener)?.concat();
    for (sample, scored) in groups.iter_mut().flat_map(Group::samples_mut).zip(scored) {
        (sample.rewards, sample.reward) = (scored.rewards, scored.reward);
    }
    Ok(())
}
