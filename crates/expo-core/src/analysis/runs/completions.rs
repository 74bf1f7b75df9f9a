//! `completions.jsonl` of a run: counts over all rows, and a bounded number of rows to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::lines::each_row;
use crate::error::Result;
use crate::logs::COMPLETIONS_FILE;
use crate::logs::completions::{CompletionRow, DrawnRow};

/// What a run logged of its completions and explanations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completions {
    /// Number of rows in the file.
    pub total: usize,
    /// Some of them, as they are: all of evenly spread steps, the first and the last among them.
    pub rows: Vec<CompletionRow>,
    /// Rollouts by level, in the first and in the last quarter of the run's steps.
    pub levels: BTreeMap<u64, LevelCount>,
    /// What a reader should know of lines left out.
    pub notices: Vec<String>,
}

/// Logged rollouts of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelCount {
    /// In the first quarter of the steps: how many, and how many of them are right.
    pub first: (usize, usize),
    /// In the last quarter likewise.
    pub last: (usize, usize),
}

impl Completions {
    /// Reads the file in a run's `folder`, keeping about `most` rows (those of one step, if they are more): where it has more, of each kind the first
    /// `OF_A_STEP` of a step, which are of as many questions as they can be. Where there is no file there are no rows.
    pub fn read(folder: &Path, most: usize) -> Result<Self> {
        let path = folder.join(COMPLETIONS_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        // Of each step the rollouts and the explanations.
        let mut kinds: BTreeMap<(u64, bool), usize> = BTreeMap::new();
        let mut rollouts: BTreeMap<(u64, u64), (usize, usize)> = BTreeMap::new();
        let notices = each_row(&path, |row: CompletionRow| {
            *kinds.entry((row.step, is_rollout(&row))).or_default() += 1;
            if let (DrawnRow::Rollout(rollout), Some(level)) = (&row.drawn, row.drawn.question().level) {
                let count = rollouts.entry((row.step, level.into())).or_default();
                count.0 += 1;
                count.1 += usize::from(rollout.correct);
            }
        })?;
        let mut result = Self { total: kinds.values().sum(), notices, ..Self::default() };
        let last = kinds.last_key_value().map_or(0, |((step, _), _)| *step);
        for ((step, level), (count, right)) in rollouts {
            let counts = result.levels.entry(level).or_default();
            let add = |to: &mut (usize, usize)| *to = (to.0 + count, to.1 + right);
            if step.saturating_mul(4) <= last.max(4) {
                add(&mut counts.first);
            }
            if step.saturating_mul(4) > last.saturating_mul(3) {
                add(&mut counts.last);
            }
        }
        let of_a_step = if result.total <= most { usize::MAX } else { OF_A_STEP };
        let mut steps: BTreeMap<u64, usize> = BTreeMap::new();
        for ((step, _), count) in &kinds {
            *steps.entry(*step).or_default() += (*count).min(of_a_step);
        }
        let chosen = spread(&steps, most);
        if !chosen.is_empty() {
            let mut taken: BTreeMap<(u64, bool), usize> = BTreeMap::new();
            // The notices are those of the first reading.
            each_row(&path, |row: CompletionRow| {
                if chosen.contains(&row.step) {
                    let taken = taken.entry((row.step, is_rollout(&row))).or_default();
                    *taken += 1;
                    if *taken <= of_a_step {
                        result.rows.push(row);
                    }
                }
            })?;
        }
        Ok(result)
    }
}

/// Most rows of one kind that are kept of a step.
const OF_A_STEP: usize = 8;

fn is_rollout(row: &CompletionRow) -> bool {
    matches!(row.drawn, DrawnRow::Rollout(_))
}

/// Evenly spread steps whose rows come to about `most`, the last always among them.
fn spread(steps: &BTreeMap<u64, usize>, most: usize) -> BTreeSet<u64> {
    let total: usize = steps.values().sum();
    if total <= most {
        return steps.keys().copied().collect();
    }
    let all: Vec<u64> = steps.keys().copied().collect();
    let count = if most == 0 { 0 } else { (all.len() * most / total).max(1) };
    (0..count).map(|i| all[if count == 1 { all.len() - 1 } else { i * (all.len() - 1) / (count - 1) }]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_level_and_thinned_by_step() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Completions::read(folder.path(), 10).unwrap(), Completions::default());
        let mut text = String::new();
        for step in 1..=8 {
            for (level, correct) in [(1, true), (5, step == 8)] {
                text +=
                    &format!("{{\"step\": {step}, \"kind\": \"rollout\", \"level\": {level}, \"correct\": {correct}, \"text\": \"t\"}}\n");
            }
            text += &format!("{{\"step\": {step}, \"kind\": \"explanation\", \"level\": 5}}\n");
        }
        std::fs::write(folder.path().join("completions.jsonl"), text + "{\"step\": 9").unwrap();
        let read = Completions::read(folder.path(), 100).unwrap();
        assert_eq!((read.total, read.rows.len(), read.notices.len()), (24, 24, 1));
        assert_eq!(read.levels[&1], LevelCount { first: (2, 2), last: (2, 2) });
        assert_eq!(read.levels[&5], LevelCount { first: (2, 0), last: (2, 1) });
        let steps = |most: usize| -> Vec<u64> {
            let rows = Completions::read(folder.path(), most).unwrap().rows;
            rows.iter().map(|row| row.step).collect::<BTreeSet<_>>().into_iter().collect()
        };
        assert_eq!((steps(9), steps(3), steps(1), steps(0)), (vec![1, 4, 8], vec![8], vec![8], vec![]));
    }

    #[test]
    fn of_a_step_with_many_rows_the_first_of_each_kind_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for step in 1..=10 {
            for (kind, count) in [("rollout", 100), ("explanation", 5)] {
                (0..count).for_each(|i| {
                    text += &format!("{{\"step\": {step}, \"kind\": \"{kind}\", \"index\": {i}, \"correct\": true, \"level\": 1}}\n")
                });
            }
        }
        std::fs::write(folder.path().join("completions.jsonl"), text).unwrap();
        let of = |most: usize| {
            let read = Completions::read(folder.path(), most).unwrap();
            let steps: BTreeSet<u64> = read.rows.iter().map(|row| row.step).collect();
            let largest = read.rows.iter().map(|row| row.drawn.question().index).max();
            assert_eq!((read.total, read.levels[&1].first), (1050, (200, 200)));
            (read.rows.len(), steps.into_iter().collect::<Vec<_>>(), largest)
        };
        assert_eq!(of(40), (39, vec![1, 5, 10], Some(7)));
        assert_eq!(of(130), (130, (1..=10).collect(), Some(7)));
        assert_eq!(of(1050), (1050, (1..=10).collect(), Some(99)));
    }

    #[test]
    fn a_run_of_one_step_is_both_its_first_and_its_last_quarter() {
        let folder = tempfile::tempdir().unwrap();
        let row = "{\"step\": 1, \"kind\": \"rollout\", \"level\": 2, \"correct\": true}\n";
        std::fs::write(folder.path().join("completions.jsonl"), row).unwrap();
        let read = Completions::read(folder.path(), 1).unwrap();
        assert_eq!(read.levels[&2], LevelCount { first: (1, 1), last: (1, 1) });
    }
}
