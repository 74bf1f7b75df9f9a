//! Self-explanations with their checks, and ExPO's two properties of each (arXiv 2507.02834, section 4).

use std::ops::Range;

use serde::Serialize;

use super::Analysis;
use super::score::{Thought, score};
use crate::error::Result;
use crate::objective::group::ExplanationOutcome;

/// One self-explanation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainRow {
    /// The problem's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer that was shown.
    pub answer: String,
    /// The explanation as it would be trained on where it is kept, and else as sampled; without the stop token.
    pub explanation: String,
    /// What became of it.
    pub outcome: ExplanationOutcome,
    /// Whether it reaches the answer.
    pub correct: bool,
    /// Whether it gives away that the answer was shown (`exp.leak_phrases`).
    pub leak: bool,
    /// Whether the length limit cut it off.
    pub truncated: bool,
    /// Its length, stop token included.
    pub tokens: usize,
    /// Whether every step is right; `None` where the task has no checker of steps.
    pub steps_right: Option<bool>,
    /// Property 1: its negative log-likelihood per token with the answer hidden, in nats.
    pub nll: f64,
    /// What its tokens owe to the answer that was shown: the sum of log pi(c_t | q, a*, c_<t) - log pi(c_t | q, c_<t), in nats; of a replaced answer, over those before it.
    pub hint_information: Option<f64>,
    /// The largest of its tokens.
    pub max_token_information: Option<f64>,
    /// Where the answer first stands, as a share of the text; `None` where it doesn't.
    pub answer_position: Option<f64>,
    /// A completion of the question alone by the same policy.
    pub own: String,
    /// Whether that one is right.
    pub own_correct: bool,
    /// Its negative log-likelihood per token, in nats.
    pub own_nll: f64,
    /// Where the answer first stands in it.
    pub own_answer_position: Option<f64>,
    /// Property 2: `log pi(a* | q, c~) - log pi(a* | q, c)` in nats, c being the completion of the question alone.
    pub answer_gain: f64,
}

/// What rows have in common.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExplainSummary {
    /// Number of explanations.
    pub made: usize,
    /// Fractions of them: kept (or replaced), reaching the answer, leaking.
    pub kept: f64,
    /// Fraction that reaches the answer.
    pub correct: f64,
    /// Fraction that gives the hint away.
    pub leak: f64,
    /// Means over explanations: NLL of the kept ones, NLL of completions of the question alone, answer gain of the kept ones; not a number where none is kept.
    pub nll: f64,
    /// Mean NLL of the completions of the question alone.
    pub own_nll: f64,
    /// Mean answer gain of the kept ones.
    pub answer_gain: f64,
    /// Mean information from the hint of the kept ones.
    pub hint_information: f64,
}

impl ExplainSummary {
    /// Of `rows`.
    pub fn of(rows: &[ExplainRow]) -> Self {
        let mean = |of: &dyn Fn(&ExplainRow) -> f64, only_kept: bool| {
            let values: Vec<f64> = rows.iter().filter(|row| !only_kept || row.is_kept()).map(of).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let fraction = |of: fn(&ExplainRow) -> bool| mean(&|row| f64::from(u8::from(of(row))), false);
        Self {
            made: rows.len(),
            kept: fraction(ExplainRow::is_kept),
            correct: fraction(|row| row.correct),
            leak: fraction(|row| row.leak),
            nll: mean(&|row| row.nll, true),
            own_nll: mean(&|row| row.own_nll, false),
            answer_gain: mean(&|row| row.answer_gain, true),
            hint_information: mean(&|row| row.hint_information.unwrap_or(f64::NAN), true),
        }
    }
}

impl ExplainRow {
    /// Whether it passes the filters.
    pub fn is_kept(&self) -> bool {
        self.outcome.is_kept()
    }
}

impl Analysis<'_> {
    /// `exp.num_explanations` self-explanations of each problem of `part`, each with a completion of the question alone to compare with (the first of
    /// `rollout.num_generations`).
    pub fn explanations(&mut self, part: Range<usize>) -> Result<Vec<ExplainRow>> {
        let mut groups = self.own_completions(&part.collect::<Vec<_>>())?;
        self.explain_groups(&mut groups)?;
        // The completion of the question alone, then each explanation.
        let mut thoughts: Vec<Thought> = Vec::new();
        for group in &groups {
            let (own, suffix) = (&group.rollouts[0], &self.problems.prepared[group.problem].suffix);
            let length = own.thought();
            thoughts.push(Thought { prompt: &group.prompt, tokens: &own.tokens, length, suffix, hint: None });
            for explanation in group.explanations.iter().flat_map(|made| &made.log) {
                let hint = Some((&group.explanation_prompt[..], explanation.sampled_count()));
                thoughts.push(Thought { prompt: &group.prompt, tokens: &explanation.tokens, length: explanation.thought, suffix, hint });
            }
        }
        let mut measured = score(self.lm, &thoughts)?.into_iter();
        let mut rows = Vec::new();
        for group in &groups {
            let (own, problem) = (&group.rollouts[0], &self.problems.prepared[group.problem].problem);
            let scored_own = measured.next().unwrap_or_default();
            for explanation in group.explanations.iter().flat_map(|made| &made.log) {
                let scored = measured.next().unwrap_or_default();
                let text = match explanation.outcome {
                    ExplanationOutcome::Replaced => self.task.decode(&explanation.tokens[..explanation.tokens.len() - 1])?,
                    _ => explanation.text.clone(),
                };
                rows.push(ExplainRow {
                    id: problem.id.clone(),
                    question: problem.question.clone(),
                    answer: problem.answer.clone(),
                    explanation: text,
                    outcome: explanation.outcome,
                    correct: explanation.correct,
                    leak: explanation.leaks,
                    truncated: explanation.truncated,
                    tokens: explanation.tokens.len(),
                    steps_right: explanation.steps_right,
                    nll: scored.nll,
                    hint_information: scored.hint.map(|hint| hint.total),
                    max_token_information: scored.hint.map(|hint| hint.largest),
                    answer_position: explanation.answer_position,
                    own: own.text.clone(),
                    own_correct: own.correct,
                    own_nll: scored_own.nll,
                    own_answer_position: own.answer_position,
                    answer_gain: scored.answer - scored_own.answer,
                });
            }
        }
        Ok(rows)
    }
}
