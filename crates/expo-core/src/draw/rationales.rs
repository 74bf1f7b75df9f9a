//! STaR's outer iterations: the documents that the policy makes for the next steps, and the start of their fine-tuning.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::groups::Groups;
use super::probe::Properties;
use super::{Context, Drawing, Source};
use crate::config::{Config, RestartFrom, StarSection};
use crate::data::Problem;
use crate::error::Result;
use crate::feed::order::Order;
use crate::feed::problems::PreparedProblem;
use crate::logs::RenderedPrompt;
use crate::logs::made::{DocumentOrigin, DocumentRow, MadeRows};
use crate::metrics::{Name, StepMetrics};
use crate::objective::document::EncodedDocument;
use crate::objective::group::Group;
use crate::objective::recipe::Drawn;
use crate::resume::{Resumable, from_state, to_state};
use crate::rollout::seed::{Purpose, derive};
use crate::task::Task;
use crate::task::shown::visible;

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
    fn to_row(&self, task: &dyn Task, iteration: usize, step: usize, problem: &Problem) -> Result<DocumentRow> {
        let EncodedDocument { prompt, completion, .. } = &self.document;
        Ok(DocumentRow {
            iteration,
            id: problem.id.clone(),
            prompt: task.question_text(problem)?,
            completion: visible(task, completion, &self.text)?,
            answer: problem.answer.clone(),
            from: if self.rationalized { DocumentOrigin::Rationalization } else { DocumentOrigin::Rollout },
            step,
            rendered: RenderedPrompt { rendered_prompt: task.decode_with_special_tokens(prompt)?, prompt_ids: prompt.clone() },
            completion_ids: completion.clone(),
        })
    }
}

/// The documents of one outer iteration.
struct Iteration {
    documents: Vec<EncodedDocument>,
    order: Option<Order>,
    /// Its first step.
    start: usize,
    /// Questions with a right rollout that ended, with a rationalization instead, and with neither.
    questions: [usize; 3],
}

impl Iteration {
    /// The `count` documents of `step`; none where none was kept.
    fn draw(&mut self, step: usize, count: usize) -> Vec<EncodedDocument> {
        let Some(order) = &mut self.order else { return Vec::new() };
        let place = step - self.start;
        (place * count..(place + 1) * count).map(|position| self.documents[order.at(position)].clone()).collect()
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
impl Resumable for Option<Iteration> {
    fn state(&self) -> Result<Value> {
        let state = self.as_ref().map(|Iteration { documents, order, start, questions }| State {
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
            Iteration { documents, order, start, questions }
        });
        Ok(())
    }
}

/// Documents that the policy makes at the beginning of each outer iteration, for its steps.
pub struct Rationales {
    groups: Groups,
    /// Steps of an outer iteration.
    every: usize,
    /// Whether outer iterations start from the initial policy.
    restarts: bool,
    iteration: Option<Iteration>,
}

impl Rationales {
    /// Of `groups`, as `config` has it.
    pub fn new(config: &Config, groups: Groups) -> Self {
        Self { groups, every: config.star.every, restarts: config.star.restart_from == RestartFrom::Initial, iteration: None }
    }

    /// Documents of the questions of `steps`, made by the policy as it is now; returns the groups that they were made of and their rows.
    fn make(&mut self, steps: Range<usize>, context: &mut Context) -> Result<(Vec<Group>, Vec<DocumentRow>)> {
        let start = steps.start;
        let number = start / self.every + 1;
        let (task, config) = (context.task, context.config);
        let (mut groups, mut documents, mut questions, mut rows) = (Vec::new(), Vec::new(), [0; 3], Vec::new());
        for place in steps {
            let drawn = self.groups.draw_groups(place, start + 1, context)?;
            for group in &drawn {
                let problem = &self.groups.prepared()[group.problem].problem;
                let kept = of_group(task, &config.star, group)?;
                questions[kept.first().map_or(2, |first| usize::from(first.rationalized))] += 1;
                for rationale in kept {
                    rows.push(rationale.to_row(task, number, start + 1, problem)?);
                    documents.push(rationale.document);
                }
            }
            groups.extend(drawn);
        }
        if documents.is_empty() {
            let count = groups.len();
            let notice = format!("no rationale of {count} questions reaches its answer: nothing is trained on until the next iteration");
            context.observer.on_notice(start + 1, &notice);
        }
        let seed = derive(config.train.seed, Purpose::Documents, &[number as u64]);
        let order = (!documents.is_empty()).then(|| Order::new(documents.len(), config.data.shuffle, seed, Purpose::Documents));
        self.iteration = Some(Iteration { documents, order, start, questions });
        Ok((groups, rows))
    }
}

impl Source for Rationales {
    fn prepare(&mut self, context: &mut Context) -> Result<Drawing> {
        self.groups.prepare(context)
    }

    /// The documents of `step`; and the groups that they were made of, where an outer iteration begins.
    fn draw(&mut self, step: usize, context: &mut Context) -> Result<Drawing> {
        let (mut groups, mut rows) = (Vec::new(), Vec::new());
        if step.is_multiple_of(self.every) {
            let made;
            (groups, made) = self.make(step..(step + self.every).min(context.config.train.steps), context)?;
            rows.push(MadeRows::Documents(made));
            // The policy that wrote them is not the one that learns from them; without any it stays.
            let is_taught = self.iteration.as_ref().is_some_and(|iteration| iteration.order.is_some());
            if self.restarts && is_taught {
                context.policies.return_to_initial()?;
            }
        }
        let count = context.config.train.prompts_per_step;
        let rationales = self.iteration.as_mut().map(|iteration| iteration.draw(step, count)).unwrap_or_default();
        Ok(Drawing { is_barren: rationales.is_empty(), drawn: Drawn { groups, rationales, ..Drawn::default() }, rows })
    }

    fn problems(&self) -> &[PreparedProblem] {
        self.groups.prepared()
    }

    fn probe(&self, groups: &[Group], context: &mut Context) -> Result<Properties> {
        self.groups.probe(groups, context)
    }

    /// What became of the iteration's questions, at its first step.
    fn report(&self, step: usize, metrics: &mut StepMetrics) {
        if let Some(Iteration { documents, questions, .. }) = self.iteration.as_ref().filter(|iteration| iteration.start == step) {
            let total = questions.iter().sum::<usize>().max(1) as f64;
            for (name, count) in [Name::StarCorrect, Name::StarRationalized, Name::StarDropped].into_iter().zip(questions) {
                metrics.set(name, *count as f64 / total);
            }
            metrics.set(Name::StarDocuments, documents.len() as f64);
        }
    }

    fn restarts_every(&self) -> Option<usize> {
        self.restarts.then_some(self.every)
    }

    fn keeps_weights(&self) -> bool {
        false
    }

    fn parts<'a>(&'a mut self, parts: &mut Vec<(&'static str, &'a mut dyn Resumable)>) {
        let Self { groups, every: _, restarts: _, iteration } = self;
        parts.push(("rationales", iteration));
        groups.parts(parts);
    }

    fn close(&mut self) {
        self.groups.close();
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
            ..Rollout::new(tokens(text), (text.into(), Vec::new()), Vec::new(), finish)
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
                let row = rationale.to_row(&CharTask::new(), 2, 5, &problems(1)[0]).unwrap();
                assert_eq!(rationale.document, EncodedDocument::whole(vec![1], tokens(&rationale.text)));
                format!("{} {:?}", row.completion, row.from)
            };
            of_group(&CharTask::new(), &options, group).unwrap().iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(texts(1, &group), ["2#1 Rollout"]);
        assert_eq!(texts(3, &group), ["2#1 Rollout", "3#1 Rollout"]);
        group.rollouts.truncate(2);
        assert_eq!(texts(1, &group), ["5#1 Rationalization"]);
        assert_eq!(texts(9, &group), ["5#1 Rationalization", "6#1 Rationalization"]);
        group.explanations = None;
        assert_eq!(texts(9, &group), Vec::<String>::new());
    }
}
