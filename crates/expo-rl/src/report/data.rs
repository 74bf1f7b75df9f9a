//! The data that the page's script draws from.

use expo_core::analysis::runs::{Arm, Completions, Curve, ELAPSED, Run};
use serde_json::{Map, Value, json};

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

/// What the browser shows of a logged completion.
fn completion(run: usize, row: &Map<String, Value>) -> Value {
    const SHOWN: [&str; 22] = [
        "step",
        "kind",
        "problem",
        "question",
        "answer",
        "text",
        "level",
        "subject",
        "truncated",
        "correct",
        "rewards",
        "reward",
        "advantage",
        "outcome",
        "steps_right",
        "hint_information",
        "max_token_information",
        "answer_position",
        "group",
        "extracted",
        "reason",
        "rendered_prompt",
    ];
    let mut shown: Map<String, Value> =
        SHOWN.iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name).filter(|value| !value.is_null())?.clone()))).collect();
    shown.insert("run".into(), run.into());
    Value::Object(shown)
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
