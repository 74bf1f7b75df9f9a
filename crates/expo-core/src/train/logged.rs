//! What a run logs of its completions: rows of `completions.jsonl`, which an observer sees, too.

use serde_json::{Value, json};

use super::problems::PreparedProblem;
use crate::objective::Group;

/// Rows of at most `limit` rollouts and `limit` explanations of `groups`, as many of each question as of another.
pub fn completion_rows(step: usize, problems: &[PreparedProblem], groups: &[Group], limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let deepest = groups.iter().map(|group| group.rollouts.len()).max().unwrap_or(0);
    let rollouts = (0..deepest).flat_map(|i| groups.iter().filter_map(move |group| group.rollouts.get(i).map(|rollout| (group, rollout))));
    for (group, rollout) in rollouts.take(limit) {
        let problem = &problems[group.problem].problem;
        rows.push(json!({
            "step": step, "kind": "rollout", "problem": problem.id, "level": problem.level, "subject": problem.subject,
            "question": problem.question, "answer": problem.answer, "text": rollout.text, "truncated": rollout.is_truncated(),
            "correct": rollout.correct, "rewards": rollout.rewards, "reward": rollout.reward, "advantage": rollout.advantage,
        }));
    }
    let explained = || groups.iter().filter_map(|group| group.explanations.as_ref().map(|explanations| (group, explanations)));
    let deepest = explained().map(|(_, explanations)| explanations.log.len()).max().unwrap_or(0);
    let explanations = (0..deepest).flat_map(|i| explained().filter_map(move |(group, made)| made.log.get(i).map(|entry| (group, entry))));
    for (group, logged) in explanations.take(limit) {
        let problem = &problems[group.problem].problem;
        rows.push(json!({
            "step": step, "kind": "explanation", "problem": problem.id, "level": problem.level, "subject": problem.subject,
            "question": problem.question, "answer": problem.answer, "text": logged.text, "outcome": logged.outcome,
            "correct": logged.correct, "rewards": logged.rewards, "steps_right": logged.steps_right,
        }));
    }
    rows
}
