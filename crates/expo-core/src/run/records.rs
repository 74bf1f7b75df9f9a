//! What a run records of each step: rows of `completions.jsonl`, what was drawn, and of `batches.jsonl`, what else was trained on. docs/reports.md says what they mean.

use std::collections::{BTreeMap, HashMap};

use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::logs::batches::{BatchKind, BatchRow, TraceRow, TrainedOn};
use crate::logs::completions::{CompletionRow, DrawnRow, ExplanationRow, QuestionRow, RolloutRow};
use crate::logs::weights::TokenWeights;
use crate::logs::{BATCHES_FILE, COMPLETIONS_FILE, RenderedPrompt};
use crate::objective::preference::Pair;
use crate::objective::{Group, LossKind, Origin, Sequence};
use crate::observe::Observer;
use crate::run::output::Output;
use crate::task::Task;
use crate::task::shown::visible;

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
    rollouts: HashMap<(usize, usize), TokenWeights>,
    /// Weights of kept explanations by group and place among them, with the answer hidden and shown.
    explanations: HashMap<(usize, usize), TokenWeights>,
    /// Rows of `batches.jsonl`.
    rows: Vec<BatchRow>,
}

/// `tokens` as the model sees them.
fn rendered(task: &dyn Task, tokens: &[u32]) -> Result<RenderedPrompt> {
    Ok(RenderedPrompt { rendered_prompt: task.decode_with_special_tokens(tokens)?, prompt_ids: tokens.to_vec() })
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
        let id = |group: usize| names.problems[names.groups[group].problem].problem.id.clone();
        for (i, sequence) in sequences.iter().enumerate() {
            let kind = match sequence.origin {
                Origin::Rollout { group, index } => {
                    self.rollouts.entry((group, index)).or_insert_with(|| TokenWeights::of(sequence));
                    continue;
                }
                Origin::Explanation { group, index } | Origin::HintedExplanation { group, index } => {
                    self.explanations.entry((group, index)).or_default().extend(&TokenWeights::of(sequence));
                    continue;
                }
                // Beside its chosen side.
                Origin::Rejected { .. } => continue,
                Origin::Document => BatchKind::Document,
                Origin::ExpertCot { group } => BatchKind::ExpertCot { problem: id(group), group },
                Origin::OffPolicy { group, index } => {
                    let trace = &names.groups[group].off_policy[index];
                    BatchKind::OffPolicy(TraceRow {
                        problem: id(group),
                        group,
                        index,
                        extracted: trace.extracted.clone(),
                        correct: trace.correct,
                        reason: trace.reason.clone(),
                        rewards: trace.rewards.clone(),
                        reward: trace.reward,
                        advantage: Some(trace.advantage),
                    })
                }
                Origin::Chosen { pair } => BatchKind::Pair { id: names.pairs[pair].id.clone() },
            };
            let count = counts.entry(kind.name()).or_default();
            *count += 1;
            if limit.is_some_and(|limit| *count > limit) {
                continue;
            }
            let text = |tokens: &[u32]| visible(task, tokens, &task.decode(tokens)?);
            let (completion, completion_ids) = (text(sequence.completion)?, sequence.completion.to_vec());
            let reference = sequence.losses.iter().find_map(|loss| match &loss.kind {
                LossKind::Preference(side) => Some((side.reference, side.other_reference)),
                _ => None,
            });
            let trained_on = match (reference, sequences.get(i + 1)) {
                (Some((chosen, rejected)), Some(other)) => TrainedOn::Sides {
                    chosen: completion,
                    chosen_ids: completion_ids,
                    rejected: text(other.completion)?,
                    rejected_ids: other.completion.to_vec(),
                    ref_chosen_logps: Some(chosen),
                    ref_rejected_logps: Some(rejected),
                },
                _ => TrainedOn::Completion { completion, completion_ids },
            };
            self.rows.push(BatchRow {
                step,
                update,
                kind,
                prompt: rendered(task, sequence.prompt)?,
                trained_on,
                trained: sequence.trained.iter().map(|span| [span.start, span.end]).collect(),
                token_weights: TokenWeights::of(sequence),
            });
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
    fn of(&self, place: Place) -> Result<CompletionRow> {
        let drawn = match place {
            Place::Rollout(group, index) => DrawnRow::Rollout(self.rollout(group, index)?),
            Place::Explanation(group, index) => DrawnRow::Explanation(self.explanation(group, index)?),
        };
        Ok(CompletionRow { step: self.step as u64, drawn })
    }

    /// The question of group `group`, asked by `prompt`, which stands in the first row.
    fn question(&self, group: usize, index: usize, prompt: &[u32]) -> Result<QuestionRow> {
        let problem = &self.problems[self.groups[group].problem].problem;
        Ok(QuestionRow {
            group,
            index,
            problem: problem.id.clone(),
            level: problem.level,
            subject: problem.subject.clone(),
            question: problem.question.clone(),
            answer: problem.answer.clone(),
            prompt: if index == 0 { Some(rendered(self.task, prompt)?) } else { None },
        })
    }

    fn rollout(&self, group: usize, index: usize) -> Result<RolloutRow> {
        let of = &self.groups[group];
        let rollout = &of.rollouts[index];
        Ok(RolloutRow {
            question: self.question(group, index, &of.prompt)?,
            text: visible(self.task, &rollout.tokens, &rollout.text)?,
            completion_ids: rollout.tokens.clone(),
            truncated: rollout.is_truncated(),
            extracted: rollout.extracted.clone(),
            correct: rollout.correct,
            unevaluated: rollout.unevaluated,
            reason: rollout.reason.clone(),
            rewards: rollout.rewards.clone(),
            reward: rollout.reward,
            advantage: Some(rollout.advantage),
            answer_position: rollout.answer_position,
            token_weights: self.batches.rollouts.get(&(group, index)).cloned(),
        })
    }

    fn explanation(&self, group: usize, index: usize) -> Result<ExplanationRow> {
        let of = &self.groups[group];
        let log = of.explanations.as_ref().map_or(&[][..], |explanations| &explanations.log);
        let logged = &log[index];
        let kept_before = log[..index].iter().filter(|logged| logged.is_kept()).count();
        let weights = self.batches.explanations.get(&(group, kept_before)).filter(|_| logged.is_kept());
        Ok(ExplanationRow {
            question: self.question(group, index, &of.explanation_prompt)?,
            text: visible(self.task, logged.sampled(), &logged.text)?,
            completion_ids: logged.sampled().to_vec(),
            outcome: Some(logged.outcome),
            extracted: logged.extracted.clone(),
            correct: logged.correct,
            reason: logged.reason.clone(),
            rewards: logged.rewards.iter().map(|(name, reward)| (name.clone(), Some(*reward))).collect(),
            steps_right: logged.steps_right,
            trained_ids: logged.sampled.is_some().then(|| logged.tokens.clone()),
            hint_information: logged.hint.map(|hint| hint.total),
            max_token_information: logged.hint.map(|hint| hint.largest),
            answer_position: logged.answer_position,
            token_weights: weights.cloned(),
        })
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
    let make = |places: &[Place]| places.iter().map(|place| rows.of(*place)).collect::<Result<Vec<CompletionRow>>>();
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
