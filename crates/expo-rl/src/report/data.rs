//! The data that the page's script draws from.

use std::collections::BTreeMap;

use expo_core::analysis::runs::{Arm, Completions, Curve, ELAPSED, Run};
use expo_core::logs::completions::{CompletionRow, DrawnRow};
use expo_core::objective::ExplanationOutcome;
use serde::Serialize;
use serde_json::{Value, json};

/// Most points of one curve: about as many as a wide screen can show.
const MOST_POINTS: u64 = 400;

/// Curves of every metric by arm, and the completions.
pub fn of(runs: &[Run], arms: &[Arm], completions: &[Completions]) -> Value {
    let width = Curve::bin_width(runs, MOST_POINTS);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| &run.metrics) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let metrics = names.iter().map(|name| {
        let curves = arms.iter().enumerate().filter_map(|(place, arm)| curve(&Curve::of(runs, arm, name, width), place));
        json!({"name": name, "curves": curves.collect::<Vec<_>>()})
    });
    let rows = completions.iter().enumerate().flat_map(|(run, completions)| completions.rows.iter().map(move |row| completion(run, row)));
    json!({
        "arms": arms.iter().map(|arm| json!({"label": arm.label, "runs": arm.runs})).collect::<Vec<_>>(),
        "runs": runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(),
        "bin": width,
        "elapsed": ELAPSED,
        "metrics": metrics.collect::<Vec<_>>(),
        "completions": {"total": completions.iter().map(|c| c.total).sum::<usize>(), "rows": rows.collect::<Vec<_>>()},
    })
}

/// A curve as columns; `None` where the arm hasn't the metric.
fn curve(curve: &Curve, arm: usize) -> Option<Value> {
    if curve.points.is_empty() {
        return None;
    }
    let column = |of: fn(&expo_core::analysis::runs::Point) -> Option<f64>| -> Vec<Option<f64>> {
        curve.points.iter().map(|point| of(point).map(rounded)).collect()
    };
    let mut value = json!({"arm": arm, "steps": column(|p| Some(p.step)), "mean": column(|p| Some(p.mean))});
    // A single run is its own mean.
    if curve.runs.len() > 1 {
        value["deviation"] = json!(column(|p| p.deviation));
        let run = |(run, points): &(usize, Vec<(f64, f64)>)| {
            let (steps, values): (Vec<f64>, Vec<f64>) = points.iter().map(|(step, value)| (rounded(*step), rounded(*value))).unzip();
            json!({"run": run, "steps": steps, "values": values})
        };
        value["runs"] = curve.runs.iter().map(run).collect();
    }
    Some(value)
}

/// To five significant digits: more can't be seen, and the file stays small.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// What the browser shows of a logged completion; of what is absent it shows nothing.
#[derive(Serialize)]
struct Shown<'a> {
    step: u64,
    kind: &'static str,
    problem: &'a str,
    question: &'a str,
    answer: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    correct: bool,
    rewards: &'a BTreeMap<String, Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advantage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<ExplanationOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps_right: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint_information: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_token_information: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_position: Option<f64>,
    group: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    extracted: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rendered_prompt: Option<&'a str>,
    run: usize,
}

fn completion(run: usize, row: &CompletionRow) -> Value {
    let question = row.drawn.question();
    let (rewards, kind, extracted, reason) = match &row.drawn {
        DrawnRow::Rollout(row) => (&row.rewards, "rollout", row.extracted.as_deref(), row.reason.as_str()),
        DrawnRow::Explanation(row) => (&row.rewards, "explanation", row.extracted.as_deref(), row.reason.as_str()),
    };
    let (rollout, explanation) = match &row.drawn {
        DrawnRow::Rollout(row) => (Some(row), None),
        DrawnRow::Explanation(row) => (None, Some(row)),
    };
    json!(Shown {
        step: row.step,
        kind,
        problem: &question.problem,
        question: &question.question,
        answer: &question.answer,
        text: row.drawn.text(),
        level: question.level,
        subject: question.subject.as_deref(),
        truncated: rollout.map(|row| row.truncated),
        correct: row.drawn.is_correct(),
        rewards,
        reward: rollout.and_then(|row| row.reward),
        advantage: rollout.and_then(|row| row.advantage),
        outcome: explanation.and_then(|row| row.outcome),
        steps_right: explanation.and_then(|row| row.steps_right),
        hint_information: explanation.and_then(|row| row.hint_information),
        max_token_information: explanation.and_then(|row| row.max_token_information),
        answer_position: rollout.and_then(|row| row.answer_position).or(explanation.and_then(|row| row.answer_position)),
        group: question.group,
        extracted,
        reason,
        rendered_prompt: question.prompt.as_ref().map(|prompt| prompt.rendered_prompt.as_str()),
        run,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_columns_by_arm() {
        let run = |values: [f64; 2]| Run { metrics: vec![("m".into(), vec![(1, values[0]), (2, values[1])])], ..Run::default() };
        let runs = [run([0.123456789, 1.0]), run([0.123456789, 4.0]), run([5.0, 6.0])];
        let arms = [Arm { label: "a".into(), runs: vec![0, 1] }, Arm { label: "b".into(), runs: vec![2] }];
        let data = of(&runs, &arms, &[]);
        let curves = &data["metrics"][0]["curves"];
        assert_eq!(curves[0]["mean"], json!([0.12346, 2.5]));
        assert_eq!(curves[0]["deviation"], json!([0.0, 2.1213]));
        assert_eq!(curves[0]["runs"][1], json!({"run": 1, "steps": [1.0, 2.0], "values": [0.12346, 4.0]}));
        assert_eq!(curves[1], json!({"arm": 1, "steps": [1.0, 2.0], "mean": [5.0, 6.0]}));
    }
}
