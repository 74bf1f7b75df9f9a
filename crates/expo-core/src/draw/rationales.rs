//! STaR's outer iterations: the documents that the policy makes for the next steps, and the start of their fine-tuning.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{RestartFrom, StarSection};
use crate::data::Problem;
use crate::error::Result;
use crate::feed::order::Order;
use crate::metrics::StepMetrics;
use crate::objective::{EncodedDocument, Group};
use crate::observe::Observer;
use crate::resume::{Resumable, from_state, to_state};
use crate::rollout::seed::{Purpose, derive};
use crate::run::records::visible;
use crate::run::step::Clock;
use crate::run::trainer::{Trainer, new_optimizer};
use crate::task::Task;

/// The name of the file in a run's folder that keeps the documents that the policy made.
pub(crate) const DOCUMENTS_FILE: &str = "documents.jsonl";

/// A rationale that reaches its answer.
#[derive(Debug, Clone, PartialEq)]
struct Rationale {
    document: EncodedDocument,
    text: String,
    /// Whether the answer was shown when it was written.
    rationalized: bool,
}

/// What is kept of one question: of its solutions, or, where there are none, of its explanations, the first ones of different text.
fn of_group(task: &dyn Task, options: &StarSection, group: &Group) -> Result<Vec<Rationale>> {
    let own = group.rollouts.iter().filter(|rollout| rollout.is_solution()).map(|rollout| &rollout.tokens);
    let explained = group.kept_explanations().iter().map(|explanation| &explanation.tokens);
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Rationale> = Vec::new();
    for (tokens, rationalized) in own.map(|tokens| (tokens, false)).chain(explained.map(|tokens| (tokens, true))) {
        let text = task.decode(&tokens[..tokens.len() - 1])?;
        let is_wanted = kept.first().is_none_or(|first| first.rationalized == rationalized);
        if is_wanted && kept.len() < options.max_per_problem && seen.insert(text.clone()) {
            let document = EncodedDocument::whole(group.prompt.clone(), tokens.clone());
            kept.push(Rationale { document, text, rationalized });
        }
    }
    Ok(kept)
}

impl Rationale {
    /// Its row in a file of documents; `prompt` is the user's turn, `step` (from 1) the first of the iteration.
    fn to_json(&self, task: &dyn Task, iteration: usize, step: usize, problem: &Problem) -> Result<Value> {
        let EncodedDocument { prompt, completion, .. } = &self.document;
        Ok(json!({
            "iteration": iteration, "id": problem.id, "prompt": task.question_text(problem)?, "completion": visible(task, completion, &self.text)?,
            "answer": problem.answer, "from": if self.rationalized { "rationalization" } else { "rollout" }, "step": step,
            "rendered_prompt": task.decode_with_special_tokens(prompt)?, "prompt_ids": prompt, "completion_ids": completion,
        }))
    }
}

/// The documents of one outer iteration.
pub(crate) struct Rationales {
    documents: Vec<EncodedDocument>,
    order: Option<Order>,
    /// Its first step.
    start: usize,
    /// Questions with a right rollout that ended, with a rationalization instead, and with neither.
    questions: [usize; 3],
}

impl Rationales {
    /// The `count` documents of `step`; none where none was kept.
    fn draw(&mut self, step: usize, count: usize) -> Vec<EncodedDocument> {
        let Some(order) = &mut self.order else { return Vec::new() };
        let place = step - self.start;
        (place * count..(place + 1) * count).map(|position| self.documents[order.at(position)].clone()).collect()
    }

    /// What became of the iteration's questions, at its first step.
    pub(crate) fn report(&self, step: usize, metrics: &mut StepMetrics) {
        if step == self.start {
            let total = self.questions.iter().sum::<usize>().max(1) as f64;
            for (name, count) in ["star/correct", "star/rationalized", "star/dropped"].into_iter().zip(self.questions) {
                metrics.set(name, count as f64 / total);
            }
            metrics.set("star/documents", self.documents.len() as f64);
        }
    }
}

/// What a checkpoint holds of an outer iteration's documents.
#[derive(Serialize, Deserialize)]
struct State {
    documents: Vec<EncodedDocument>,
    shuffle: Option<u64>,
    start: usize,
    questions: [usize; 3],
}

/// The documents of a run, which may not be made yet.
impl Resumable for Option<Rationales> {
    fn state(&self) -> Result<Value> {
        let state = self.as_ref().map(|Rationales { documents, order, start, questions }| State {
            documents: documents.clone(),
            shuffle: order.as_ref().and_then(Order::shuffle),
            start: *start,
            questions: *questions,
        });
        to_state(&state)
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        *self = from_state::<Option<State>>(state)?.map(|State { documents, shuffle, start, questions }| {
            let order = (!documents.is_empty()).then(|| Order::shuffled_by(documents.len(), shuffle));
            Rationales { documents, order, start, questions }
        });
        Ok(())
    }
}

impl Trainer {
    /// The documents of `step`; and the groups that they were made of, where an outer iteration begins.
    pub(crate) fn draw_rationales(
        &mut self,
        step: usize,
        clock: &mut Clock,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Group>, Vec<EncodedDocument>)> {
        let every = self.config.star.every;
        let mut groups = Vec::new();
        if step.is_multiple_of(every) {
            groups = self.make_rationales(step..(step + every).min(self.config.train.steps), clock, observer)?;
            // The policy that wrote them is not the one that learns from them; without any it stays.
            let is_taught = self.rationales.as_ref().is_some_and(|rationales| rationales.order.is_some());
            if self.restarts()
                && is_taught
                && let Some(initial) = &self.initial
            {
                self.model.copy_from(initial);
                self.optimizer = new_optimizer(&self.config, &self.model)?;
            }
        }
        let count = self.config.train.prompts_per_step;
        Ok((groups, self.rationales.as_mut().map(|rationales| rationales.draw(step, count)).unwrap_or_default()))
    }

    /// Documents of the questions of `steps`, made by the policy as it is now and added to the run's file of documents.
    fn make_rationales(&mut self, steps: Range<usize>, clock: &mut Clock, observer: &mut dyn Observer) -> Result<Vec<Group>> {
        let start = steps.start;
        let iteration = start / self.config.star.every + 1;
        let (mut groups, mut documents, mut questions) = (Vec::new(), Vec::new(), [0; 3]);
        for place in steps {
            let drawn = self.draw_groups(place, start + 1, clock, observer)?;
            let mut rows = Vec::new();
            for group in &drawn {
                let problem = &self.problems.prepared[group.problem].problem;
                let kept = of_group(self.task.as_ref(), &self.config.star, group)?;
                questions[kept.first().map_or(2, |first| usize::from(first.rationalized))] += 1;
                for rationale in kept {
                    rows.push(rationale.to_json(self.task.as_ref(), iteration, start + 1, problem)?);
                    documents.push(rationale.document);
                }
            }
            if let Some(output) = &mut self.output {
                output.append_rows(DOCUMENTS_FILE, &rows)?;
            }
            groups.extend(drawn);
        }
        if documents.is_empty() {
            let count = groups.len();
            let notice = format!("no rationale of {count} questions reaches its answer: nothing is trained on until the next iteration");
            observer.on_notice(start + 1, &notice);
        }
        let seed = derive(self.config.train.seed, Purpose::Documents, &[iteration as u64]);
        let shuffle = self.config.data.shuffle;
        let order = (!documents.is_empty()).then(|| Order::new(documents.len(), shuffle, seed, Purpose::Documents));
        self.rationales = Some(Rationales { documents, order, start, questions });
        Ok(groups)
    }

    /// Whether outer iterations start from the initial policy.
    fn restarts(&self) -> bool {
        self.draws.rationales && self.config.star.restart_from == RestartFrom::Initial
    }

    /// Place and length, in optimizer steps, of the learning rate's schedule: that of the run, or, where each outer iteration starts anew, of the iteration.
    pub(crate) fn schedule_place(&self, step: usize, iteration: usize) -> (usize, usize) {
        let (steps, updates) = (self.config.train.steps, self.config.train.num_iterations);
        if !self.restarts() {
            return (self.optimizer_steps, steps * updates);
        }
        let every = self.config.star.every;
        let start = step / every * every;
        ((step - start) * updates + iteration, every.min(steps - start) * updates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Explanation, Explanations, Rollout};
    use crate::testing::run::{CharTask, END, problems};
    use expo_lm::generate::FinishReason;

    fn tokens(text: &str) -> Vec<u32> {
        [CharTask::new().encode(text).unwrap(), vec![END]].concat()
    }

    #[test]
    fn right_rollouts_come_first_and_rationalizations_only_without_them() {
        let rollout = |text: &str, correct: bool, finish: FinishReason| Rollout {
            correct,
            ..Rollout::new(tokens(text), text.into(), Vec::new(), finish)
        };
        let kept = |text: &str| Explanation::new(tokens(text), 0);
        let mut group = Group {
            prompt: vec![1],
            rollouts: vec![
                rollout("9#9", false, FinishReason::Stop),
                rollout("1#1", true, FinishReason::Length),
                rollout("2#1", true, FinishReason::Stop),
                rollout("2#1", true, FinishReason::Stop),
                rollout("3#1", true, FinishReason::Stop),
            ],
            explanations: Some(Explanations { kept: vec![kept("5#1"), kept("6#1")], ..Explanations::default() }),
            ..Group::default()
        };
        let texts = |max_per_problem: usize, group: &Group| {
            let options = StarSection { max_per_problem, ..StarSection::default() };
            let row = |rationale: &Rationale| {
                let row = rationale.to_json(&CharTask::new(), 2, 5, &problems(1)[0]).unwrap();
                assert_eq!(rationale.document, EncodedDocument::whole(vec![1], tokens(&rationale.text)));
                format!("{} {}", row["completion"].as_str().unwrap(), row["from"].as_str().unwrap())
            };
            of_group(&CharTask::new(), &options, group).unwrap().iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(texts(1, &group), ["2#1 rollout"]);
        assert_eq!(texts(3, &group), ["2#1 rollout", "3#1 rollout"]);
        group.rollouts.truncate(2);
        assert_eq!(texts(1, &group), ["5#1 rationalization"]);
        assert_eq!(texts(9, &group), ["5#1 rationalization", "6#1 rationalization"]);
        group.explanations = None;
        assert_eq!(texts(9, &group), Vec::<String>::new());
    }
}
