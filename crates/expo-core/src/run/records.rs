//! What a run records of each step: rows of `completions.jsonl`, what was drawn, and of `batches.jsonl`, what else was trained on. docs/reports.md says what they mean.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::preference::Pair;
use crate::objective::{Group, LossKind, Origin, Sequence};
use crate::observe::Observer;
use crate::run::output::{BATCHES_FILE, COMPLETIONS_FILE, Output};
use crate::task::Task;
use crate::task::shown::{extend, visible};

/// Rows that are made and written at once: those of a step can be many times what it takes to write them.
const ROWS_AT_ONCE: usize = 256;
/// Rollouts and explanations that an observer is told of, of each at most so many.
const TOLD: usize = 8;

/// What the sequences of a step are made of, by the indices in their origins.
pub(crate) struct Names<'a> {
    pub problems: &'a [PreparedProblem],
    pub groups: &'a [Group],
    pub pairs: &'a [Pair],
}

/// What the optimizer steps of one step trained on.
#[derive(Default)]
pub(crate) struct Batches {
    /// Weights of rollouts by group and place in it.
    rollouts: HashMap<(usize, usize), Value>,
    /// Weights of kept explanations by group and place among them, with the answer hidden and shown.
    explanations: HashMap<(usize, usize), Map<String, Value>>,
    /// Rows of `batches.jsonl`.
    rows: Vec<Value>,
}

/// The weight of each token of `sequence` in the whole loss, by term.
fn token_weights(sequence: &Sequence) -> Map<String, Value> {
    sequence.losses.iter().map(|loss| (loss.term.name().to_owned(), loss.weight().into())).collect()
}

impl Batches {
    /// Adds the `sequences` of the optimizer step at `place`, step and update from 1; of documents, pairs and traces at most `limit` each.
    pub(crate) fn add(
        &mut self,
        task: &dyn Task,
        names: &Names,
        (step, update): (usize, usize),
        sequences: &[Sequence],
        limit: Option<usize>,
    ) -> Result<()> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let id = |group: usize| &names.problems[names.groups[group].problem].problem.id;
        for (i, sequence) in sequences.iter().enumerate() {
            let (kind, more) = match sequence.origin {
                Origin::Rollout { group, index } => {
                    self.rollouts.entry((group, index)).or_insert_with(|| token_weights(sequence).into());
                    continue;
                }
                Origin::Explanation { group, index } | Origin::HintedExplanation { group, index } => {
                    self.explanations.entry((group, index)).or_default().extend(token_weights(sequence));
                    continue;
                }
                // Beside its chosen side.
                Origin::Rejected { .. } => continue,
                Origin::Document => ("document", json!({})),
                Origin::ExpertCot { group } => ("expert_cot", json!({"problem": id(group), "group": group})),
                Origin::OffPolicy { group, index } => {
                    let trace = &names.groups[group].off_policy[index];
                    let facts = json!({
                        "problem": id(group), "group": group, "index": index, "extracted": trace.extracted, "correct": trace.correct,
                        "reason": trace.reason, "rewards": trace.rewards, "reward": trace.reward, "advantage": trace.advantage,
                    });
                    ("off_policy", facts)
                }
                Origin::Chosen { pair } => ("pair", json!({"id": names.pairs[pair].id})),
            };
            let count = counts.entry(kind).or_default();
            *count += 1;
            if limit.is_some_and(|limit| *count > limit) {
                continue;
            }
            let mut row = json!({"step": step, "update": update, "kind": kind});
            extend(&mut row, more);
            let prompt = task.decode_with_special_tokens(sequence.prompt)?;
            extend(&mut row, json!({"rendered_prompt": prompt, "prompt_ids": sequence.prompt}));
            let text = |tokens: &[u32]| visible(task, tokens, &task.decode(tokens)?);
            let completion = text(sequence.completion)?;
            let reference = sequence.losses.iter().find_map(|loss| match &loss.kind {
                LossKind::Preference(side) => Some((side.reference, side.other_reference)),
                _ => None,
            });
            extend(
                &mut row,
                match (reference, sequences.get(i + 1)) {
                    (Some((chosen, rejected)), Some(other)) => json!({
                        "chosen": completion, "chosen_ids": sequence.completion, "rejected": text(other.completion)?, "rejected_ids": other.completion,
                        "ref_chosen_logps": chosen, "ref_rejected_logps": rejected,
                    }),
                    _ => json!({"completion": completion, "completion_ids": sequence.completion}),
                },
            );
            if !sequence.trained.is_empty() {
                let spans: Vec<_> = sequence.trained.iter().map(|span| [span.start, span.end]).collect();
                extend(&mut row, json!({"trained": spans}));
            }
            extend(&mut row, json!({"token_weights": token_weights(sequence)}));
            self.rows.push(row);
        }
        Ok(())
    }
}

/// A rollout or explanation by its group and its place in it.
#[derive(Clone, Copy)]
enum Place {
    Rollout(usize, usize),
    Explanation(usize, usize),
}

/// At most `limit` rollouts and `limit` explanations of `groups`, as many of each question as of another.
fn places(groups: &[Group], limit: Option<usize>) -> Vec<Place> {
    let by_depth = |count: &dyn Fn(&Group) -> usize, place: fn(usize, usize) -> Place| {
        let deepest = groups.iter().map(count).max().unwrap_or(0);
        let all =
            (0..deepest).flat_map(|i| groups.iter().enumerate().filter(move |(_, group)| i < count(group)).map(move |(g, _)| place(g, i)));
        all.take(limit.unwrap_or(usize::MAX)).collect::<Vec<_>>()
    };
    let made = |group: &Group| group.explanations.as_ref().map_or(0, |explanations| explanations.log.len());
    [by_depth(&|group| group.rollouts.len(), Place::Rollout), by_depth(&made, Place::Explanation)].concat()
}

/// Makes rows of `completions.jsonl`.
struct Rows<'a> {
    step: usize,
    task: &'a dyn Task,
    problems: &'a [PreparedProblem],
    groups: &'a [Group],
    batches: &'a Batches,
}

impl Rows<'_> {
    fn of(&self, place: Place) -> Result<Value> {
        let (kind, g, index) = match place {
            Place::Rollout(group, index) => ("rollout", group, index),
            Place::Explanation(group, index) => ("explanation", group, index),
        };
        let group = &self.groups[g];
        let problem = &self.problems[group.problem].problem;
        let mut row = json!({
            "step": self.step, "kind": kind, "group": g, "index": index, "problem": problem.id, "level": problem.level,
            "subject": problem.subject, "question": problem.question, "answer": problem.answer,
        });
        if index == 0 {
            let prompt = if kind == "rollout" { &group.prompt } else { &group.explanation_prompt };
            extend(&mut row, json!({"rendered_prompt": self.task.decode_with_special_tokens(prompt)?, "prompt_ids": prompt}));
        }
        let (facts, position, weights) = match (place, &group.explanations) {
            (Place::Explanation(..), Some(made)) => {
                let logged = &made.log[index];
                let mut facts = json!({
                    "text": visible(self.task, logged.sampled(), &logged.text)?, "completion_ids": logged.sampled(), "outcome": logged.outcome,
                    "extracted": logged.extracted, "correct": logged.correct, "reason": logged.reason, "rewards": logged.rewards,
                    "steps_right": logged.steps_right,
                });
                if logged.sampled.is_some() {
                    extend(&mut facts, json!({"trained_ids": logged.tokens}));
                }
                if let Some(hint) = logged.hint {
                    extend(&mut facts, json!({"hint_information": hint.total, "max_token_information": hint.largest}));
                }
                let kept_before = made.log[..index].iter().filter(|logged| logged.is_kept()).count();
                let weights = self.batches.explanations.get(&(g, kept_before)).filter(|_| logged.is_kept());
                (facts, logged.answer_position, weights.map(|weights| weights.clone().into()))
            }
            _ => {
                let rollout = &group.rollouts[index];
                let facts = json!({
                    "text": visible(self.task, &rollout.tokens, &rollout.text)?, "completion_ids": rollout.tokens,
                    "truncated": rollout.is_truncated(), "extracted": rollout.extracted, "correct": rollout.correct, "unevaluated": rollout.unevaluated,
                    "reason": rollout.reason,
                    "rewards": rollout.rewards, "reward": rollout.reward, "advantage": rollout.advantage,
                });
                (facts, rollout.answer_position, self.batches.rollouts.get(&(g, index)).cloned())
            }
        };
        extend(&mut row, facts);
        if let Some(position) = position {
            extend(&mut row, json!({"answer_position": position}));
        }
        if let Some(weights) = weights {
            extend(&mut row, json!({"token_weights": weights}));
        }
        Ok(row)
    }
}

/// Tells of some of the rollouts and explanations of `step`, and appends what was drawn and trained on to the run's records; of each at most `limit` rows.
pub(crate) fn record(
    output: Option<&mut Output>,
    limit: Option<usize>,
    task: &dyn Task,
    step: usize,
    problems: &[PreparedProblem],
    groups: &[Group],
    batches: &Batches,
    observer: &mut dyn Observer,
) -> Result<()> {
    let rows = Rows { step, task, problems, groups, batches };
    let make = |places: &[Place]| places.iter().map(|place| rows.of(*place)).collect::<Result<Vec<Value>>>();
    observer.on_completions(step, &make(&places(groups, Some(TOLD)))?);
    let Some(output) = output else { return Ok(()) };
    for places in places(groups, limit).chunks(ROWS_AT_ONCE) {
        output.append_rows(COMPLETIONS_FILE, &make(places)?)?;
    }
    if !batches.rows.is_empty() {
        output.append_rows(BATCHES_FILE, &batches.rows)?;
    }
    Ok(())
}
