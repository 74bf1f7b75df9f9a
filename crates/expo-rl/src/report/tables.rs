//! The page's tables of arms.

use std::collections::BTreeSet;

use expo_core::analysis::runs::{self, Arm, ELAPSED, Run};
use expo_core::metrics::Name;
use expo_core::observe::Phase;
use expo_core::reward::RewardName;
use expo_core::statistics::{mean, std_dev};
use serde::Serialize;
use serde_json::Value;

/// A table as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// What it is of; may be empty.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// The first cell of a row is its name.
    pub rows: Vec<Vec<String>>,
}

/// An arm's seconds a step by phase, for a bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    label: String,
    total: String,
    parts: Vec<Part>,
}

/// A phase's part of a bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Part {
    name: &'static str,
    /// Number of its colour.
    colour: usize,
    /// Of the longest bar, in percent.
    percent: f64,
    seconds: String,
}

/// Metrics of the summary: name, heading.
const SUMMARY: [(Name, &str); 9] = [
    (Name::RewardMean, "reward"),
    (Name::Reward(RewardName::Correctness), "right"),
    (Name::GroupsAllWrong, "groups all wrong"),
    (Name::RewardsAccuracies, "pairs in order"),
    (Name::ExpNllExplanation, "NLL explanation"),
    (Name::ExpNllExpert, "NLL expert"),
    (Name::ExpAnswerGain, "answer gain"),
    (Name::Entropy, "entropy"),
    (Name::TimeStep, "s / step"),
];

/// Each arm at the end of its runs.
pub fn summary(runs: &[Run], arms: &[Arm]) -> Table {
    let has = |name: &str| runs.iter().any(|run| run.metric(name).is_some());
    // Evaluations by their names, those by level excepted: they have tables of their own.
    let names: BTreeSet<&str> = runs.iter().flat_map(|run| &run.metrics).map(|(name, _)| name.as_str()).collect();
    let mut evaluations: Vec<&str> = names.into_iter().filter(|name| name.starts_with("eval") && !name.contains("level")).collect();
    // What was right first, how long it was last: a narrow window shows the first columns.
    evaluations.sort_by_key(|name| name.contains("completions/"));
    let evaluations = evaluations.into_iter().map(|name| (name.to_owned(), name));
    let columns: Vec<(String, &str)> =
        evaluations.chain(SUMMARY.map(|(name, title)| (name.to_string(), title))).filter(|(name, _)| has(name)).collect();
    let seeds = |arm: &Arm| {
        let seeds = arm.runs.iter().filter_map(|&run| runs[run].info.get("seed")).map(Value::to_string).collect::<Vec<_>>();
        if seeds.is_empty() { "-".to_owned() } else { seeds.join(", ") }
    };
    let steps = |arm: &Arm| {
        let steps: BTreeSet<usize> = arm.runs.iter().map(|&run| runs[run].steps).collect();
        steps.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
    };
    let minutes = |arm: &Arm| mean_and_deviation(arm.runs.iter().filter_map(|&run| Some(runs[run].metric(ELAPSED)?.last()?.1 / 60.0)));
    // Arms beside each other: there are fewer of them than metrics, so that the table is not wider than the page.
    let row = |title: &str, of: &dyn Fn(&Arm) -> String| std::iter::once(title.to_owned()).chain(arms.iter().map(of)).collect::<Vec<_>>();
    let mut rows = vec![row("runs", &|arm| arm.runs.len().to_string()), row("seeds", &seeds), row("steps", &steps)];
    rows.extend(
        columns
            .iter()
            .map(|(name, title)| row(title, &|arm| mean_and_deviation(arm.runs.iter().filter_map(|&run| runs[run].final_mean(name))))),
    );
    rows.push(row("minutes", &minutes));
    Table {
        title: String::new(),
        note: "Mean over the last tenth of the steps (of what is measured more seldom, the last value), then over runs; ± standard deviation over runs.".into(),
        head: std::iter::once(String::new()).chain(arms.iter().map(|arm| arm.label.clone())).collect(),
        rows,
    }
}

/// What differs between arms.
pub fn differences(runs: &[Run], arms: &[Arm]) -> Table {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cell =
        |values: &Vec<Value>| if values.is_empty() { "-".to_owned() } else { values.iter().map(shown).collect::<Vec<_>>().join(", ") };
    let rows = runs::differences(runs, arms);
    Table {
        title: "What differs".into(),
        note: String::new(),
        head: std::iter::once("option".to_owned()).chain(arms.iter().map(|arm| arm.label.clone())).collect(),
        rows: rows.iter().map(|row| std::iter::once(row.key.clone()).chain(row.values.iter().map(cell)).collect()).collect(),
    }
}

/// A bar of seconds a step for each arm that was timed.
pub fn phases(runs: &[Run], arms: &[Arm]) -> Vec<Bar> {
    let of_arm = |arm: &Arm| -> Vec<(usize, &'static str, f64)> {
        let phase = |(place, phase): (usize, &Phase)| Some((place, phase.name(), arm.per_step(runs, &Name::Time(*phase).as_str())?));
        Phase::ALL.iter().enumerate().filter_map(phase).collect()
    };
    let all: Vec<Vec<_>> = arms.iter().map(of_arm).collect();
    let total = |phases: &[(usize, &'static str, f64)]| phases.iter().map(|(.., seconds)| seconds).sum::<f64>();
    let longest = all.iter().map(|phases| total(phases)).fold(0.0, f64::max);
    let part = |(colour, name, seconds): &(usize, &'static str, f64)| Part {
        name,
        colour: *colour,
        percent: (1e4 * seconds / longest).round() / 100.0,
        seconds: number(*seconds),
    };
    let bar = |(arm, phases): (&Arm, &Vec<_>)| Bar {
        label: arm.label.clone(),
        total: number(total(phases)),
        parts: phases.iter().map(part).collect(),
    };
    arms.iter().zip(&all).filter(|(_, phases)| total(phases) > 0.0).map(bar).collect()
}

/// Seconds a step by phase and part, and rates.
pub fn timings(runs: &[Run], arms: &[Arm]) -> Table {
    let parts =
        [Name::TimePrefill, Name::TimeDecode, Name::TimeForward, Name::TimeHead, Name::TimeBackward, Name::TimeOptimizer, Name::TimeStep];
    let part = |name: &str| name.split_once('/').map_or_else(String::new, |(_, part)| part.to_owned());
    let seconds = Phase::ALL.map(Name::Time).into_iter().chain(parts).map(|name| name.to_string());
    let seconds = seconds.map(|name| (format!("{} (s / step)", part(&name)), name, true));
    let rates = [Name::RateRollout, Name::RateExplanation, Name::RateTrain].map(|name| name.to_string());
    let rates = rates.map(|name| (format!("{} (tokens/s)", part(&name)), name, false));
    let row = |(title, metric, is_time): (String, String, bool)| {
        let of_arm = |arm: &Arm| if is_time { arm.per_step(runs, &metric) } else { arm.mean(runs, &metric) };
        let values: Vec<Option<f64>> = arms.iter().map(of_arm).collect();
        let cells = values.iter().map(|value| value.map_or_else(|| "-".to_owned(), number));
        values.iter().any(Option::is_some).then(|| std::iter::once(title).chain(cells).collect())
    };
    Table {
        title: "Seconds and rates".into(),
        note: "Prefill and decode are of sampling; forward, head and backward of all passes.".into(),
        head: std::iter::once(String::new()).chain(arms.iter().map(|arm| arm.label.clone())).collect(),
        rows: seconds.chain(rates).filter_map(row).collect(),
    }
}

/// Which metrics only some arms have: their curves are in fewer colours than one may expect.
pub fn uneven_metrics(runs: &[Run], arms: &[Arm]) -> Option<String> {
    let of_arm = |arm: &Arm| -> BTreeSet<&str> {
        arm.runs
            .iter()
            .flat_map(|&run| &runs[run].metrics)
            .map(|(name, _)| name.as_str())
            .filter(|name| !name.starts_with("time/"))
            .collect()
    };
    let sets: Vec<BTreeSet<&str>> = arms.iter().map(of_arm).filter(|set| !set.is_empty()).collect();
    let all: BTreeSet<&str> = sets.iter().flatten().copied().collect();
    let uneven: Vec<&str> = all.into_iter().filter(|name| sets.iter().any(|set| !set.contains(name))).collect();
    (!uneven.is_empty()).then(|| format!("not every arm has these metrics: {}", families(&uneven).join(", ")))
}

/// Sorted names, those with the same beginning together where they are more than two: `exp/... (12)`.
fn families(names: &[&str]) -> Vec<String> {
    let family = |name: &str| name.split_once('/').map_or(name, |(family, _)| family).to_owned();
    let mut told: Vec<String> = Vec::new();
    for name in names {
        let count = names.iter().filter(|other| family(other) == family(name)).count();
        let text = if count > 2 { format!("{}/... ({count})", family(name)) } else { (*name).to_owned() };
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told
}

/// Mean and standard deviation (N-1) of `values` as text.
pub fn mean_and_deviation(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    match values.len() {
        0 => "-".to_owned(),
        1 => number(values[0]),
        _ => format!("{} ± {}", number(mean(&values)), number(std_dev(&values))),
    }
}

/// Three digits behind the point for what is about 1, fewer for larger, more for smaller numbers.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 0.01 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(reward: &[f64], seconds: f64) -> Run {
        let points = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (i as u64 + 1, *v)).collect();
        let metrics = vec![("reward/mean".into(), points(reward)), ("time/train".into(), points(&vec![seconds; reward.len()]))];
        Run { metrics, steps: reward.len(), ..Run::default() }
    }

    #[test]
    fn arms_in_tables() {
        let runs = [run(&[0.0, 0.25], 2.0), run(&[0.0, 0.75], 4.0), run(&[1.0], 1.0)];
        let arms = [Arm { label: "a".into(), runs: vec![0, 1] }, Arm { label: "b".into(), runs: vec![2] }];
        let table = summary(&runs, &arms);
        assert_eq!(table.head, ["", "a", "b"]);
        let expected =
            [["runs", "2", "1"], ["seeds", "-", "-"], ["steps", "2", "1"], ["reward", "0.500 ± 0.354", "1.000"], ["minutes", "-", "-"]];
        assert_eq!(table.rows, expected);
        let bars = phases(&runs, &arms);
        assert_eq!(
            bars.iter().map(|bar| (bar.total.as_str(), bar.parts[0].percent)).collect::<Vec<_>>(),
            [("3.000", 100.0), ("1.000", 33.33)]
        );
        assert_eq!(timings(&runs, &arms).rows, [["train (s / step)", "3.000", "1.000"]]);
        assert_eq!(uneven_metrics(&runs, &arms), None);
    }

    #[test]
    fn many_names_are_told_by_their_beginning() {
        assert_eq!(families(&["eval/a", "eval/b", "eval/c", "exp/a", "exp/b", "loss"]), ["eval/... (3)", "exp/a", "exp/b", "loss"]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.5, 12.3456, 123.456, 12345.6, 0.00012].map(number), ["0.000", "0.500", "12.346", "123.5", "12346", "1.20e-4"]);
    }
}
