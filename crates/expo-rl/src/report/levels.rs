//! Tables by level: of metrics that are measured by level, and of the logged rollouts.

use std::collections::{BTreeMap, BTreeSet};

use expo_core::analysis::runs::{Arm, Completions, LevelCount, Run};

use super::tables::{Table, mean_and_deviation};

/// All that there are.
pub fn tables(runs: &[Run], arms: &[Arm], completions: &[Completions]) -> Vec<Table> {
    let names = Names::of(runs);
    let mut tables = of_metrics(runs, arms, &names);
    tables.extend(of_rollouts(arms, completions, &names));
    tables
}

/// What levels are called.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// As `data.levels` of the runs has it where it has words; where runs differ, by their numbers.
    fn of(runs: &[Run]) -> Self {
        let words = |run: &Run| -> Option<Vec<String>> {
            let levels = run.info.get("config")?.get("data")?.get("levels")?.as_array()?;
            levels.iter().map(|level| level.as_str().map(str::to_owned)).collect()
        };
        let mut named = runs.iter().map(|run| words(run).unwrap_or_default());
        let first = named.next().unwrap_or_default();
        if named.all(|other| other == first) { Self(first) } else { Self::default() }
    }

    fn name(&self, level: u64) -> String {
        let place = level.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.0.get(place)).cloned().unwrap_or_else(|| level.to_string())
    }
}

/// A metric's name without the level in it, and the level: `eval/level-5/pass@4` is 5 of `eval/pass@4`.
fn split_level(name: &str) -> Option<(String, u64)> {
    let start = name.find("level")?;
    let rest = &name[start + "level".len()..];
    let number = rest.trim_start_matches(['-', '_', '=', '/', ' ']);
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let level = number[..digits].parse().ok()?;
    let (before, behind) = (name[..start].trim_end_matches(['/', '_', '-']), number[digits..].trim_start_matches(['/', '_', '-']));
    let base = [before, behind].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    Some((base, level))
}

/// One table for each metric by level: its last value, level by arm.
fn of_metrics(runs: &[Run], arms: &[Arm], level_names: &Names) -> Vec<Table> {
    let mut bases: BTreeMap<String, BTreeMap<u64, BTreeSet<&str>>> = BTreeMap::new();
    for (name, _) in runs.iter().flat_map(|run| &run.metrics) {
        if let Some((base, level)) = split_level(name) {
            bases.entry(base).or_default().entry(level).or_default().insert(name);
        }
    }
    let table = |(base, levels): (String, BTreeMap<u64, BTreeSet<&str>>)| {
        let last = |run: usize, name: &str| Some(runs[run].metric(name)?.last()?.1);
        let cell = |arm: &Arm, names: &BTreeSet<&str>| {
            mean_and_deviation(arm.runs.iter().filter_map(|&run| names.iter().find_map(|name| last(run, name))))
        };
        let row = |(level, names): (&u64, &BTreeSet<&str>)| {
            std::iter::once(level_names.name(*level)).chain(arms.iter().map(|arm| cell(arm, names))).collect()
        };
        Table {
            title: base,
            note: "Last value; ± standard deviation over seeds.".into(),
            head: std::iter::once("level".to_owned()).chain(arms.iter().map(|arm| arm.label.clone())).collect(),
            rows: levels.iter().map(row).collect(),
        }
    };
    bases.into_iter().map(table).collect()
}

/// Fractions of right ones among the logged rollouts.
fn of_rollouts(arms: &[Arm], completions: &[Completions], names: &Names) -> Option<Table> {
    let levels: BTreeSet<u64> = completions.iter().flat_map(|completions| completions.levels.keys().copied()).collect();
    if levels.is_empty() {
        return None;
    }
    let sum = |arm: &Arm, level: u64| {
        let mut sum = LevelCount::default();
        for count in arm.runs.iter().filter_map(|&run| completions[run].levels.get(&level)) {
            sum.first = (sum.first.0 + count.first.0, sum.first.1 + count.first.1);
            sum.last = (sum.last.0 + count.last.0, sum.last.1 + count.last.1);
        }
        sum
    };
    let fraction =
        |(count, right): (usize, usize)| if count == 0 { "-".to_owned() } else { format!("{:.2} of {count}", right as f64 / count as f64) };
    let row = |level: &u64| {
        let cells = arms.iter().flat_map(|arm| {
            let sum = sum(arm, *level);
            [fraction(sum.first), fraction(sum.last)]
        });
        std::iter::once(names.name(*level)).chain(cells).collect()
    };
    let head = arms.iter().flat_map(|arm| ["first", "last"].map(|quarter| format!("{}: {quarter} quarter", arm.label)));
    Some(Table {
        title: "Right among the logged rollouts".into(),
        note: "Training problems, sampled as in training; only the rollouts in completions.jsonl, so coarse.".into(),
        head: std::iter::once("level".to_owned()).chain(head).collect(),
        rows: levels.iter().map(row).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_in_names() {
        let split = |name: &str| split_level(name);
        for name in ["eval/level-5/pass@4", "eval/pass@4/level_5", "eval/pass@4/level=5", "eval/level/5/pass@4", "eval/pass@4/level5"] {
            assert_eq!(split(name), Some(("eval/pass@4".to_owned(), 5)), "{name}");
        }
        assert_eq!((split("level/none"), split("reward/mean")), (None, None));
    }

    #[test]
    fn one_table_a_metric() {
        let run = |last: f64| Run {
            metrics: vec![("eval/level-1/acc".into(), vec![(1, 0.0), (2, last)]), ("loss".into(), vec![(1, 1.0)])],
            ..Run::default()
        };
        let runs = [run(0.25), run(0.75)];
        let arms = [Arm { label: "a".into(), runs: vec![0, 1] }];
        let levels = BTreeMap::from([(1, LevelCount { first: (0, 0), last: (4, 3) })]);
        let completions = [Completions { levels, ..Completions::default() }, Completions::default()];
        let tables = tables(&runs, &arms, &completions);
        assert_eq!((tables.len(), tables[0].title.as_str()), (2, "eval/acc"));
        assert_eq!(tables[0].rows, [["1", "0.500 ± 0.354"]]);
        assert_eq!(tables[1].rows, [["1", "-", "0.75 of 4"]]);
    }
}
