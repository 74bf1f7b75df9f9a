//! From runs' figures to tables and curves: mean and standard deviation over an arm's seeds.

use std::collections::BTreeSet;

use expo_core::objective::advantage::{mean, std_dev};

use super::figures::Figures;
use super::plan::Plan;

/// A figure of an arm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// The seeds that have it, each with its value.
    pub values: Vec<(u64, f64)>,
    /// Number of seeds that should.
    pub seeds: usize,
}

/// A table of figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// What its rows are.
    pub first: String,
    /// What its columns are.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// A figure of an arm against the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name of the metric; of an evaluation `NAME/pass@K`, of a group of problems `NAME/pass@K/GROUP`.
    pub metric: String,
    /// The arm.
    pub arm: String,
    /// By ascending step.
    pub points: Vec<(usize, Cell)>,
}

/// What all problems are called beside groups of them.
const ALL: &str = "all";

impl Cell {
    /// The mean over the seeds.
    pub fn mean(&self) -> f64 {
        mean(&self.numbers())
    }

    /// The standard deviation (N-1) over the seeds; `None` of fewer than two.
    pub fn deviation(&self) -> Option<f64> {
        (self.values.len() > 1).then(|| std_dev(&self.numbers()))
    }

    fn numbers(&self) -> Vec<f64> {
        self.values.iter().map(|(_, value)| *value).collect()
    }

    /// As it stands in a table.
    pub fn text(&self) -> String {
        let text = match (self.values.len(), self.deviation()) {
            (0, _) => return "-".to_owned(),
            (_, None) => format!("{:.3}", self.mean()),
            (_, Some(deviation)) => format!("{:.3} ± {deviation:.3}", self.mean()),
        };
        if self.values.len() < self.seeds { format!("{text} ({} of {} seeds)", self.values.len(), self.seeds) } else { text }
    }
}

/// The figures of all runs, in the plan's order; those of a failed run are what it has.
pub struct Results<'a> {
    plan: &'a Plan,
    figures: &'a [Figures],
}

impl<'a> Results<'a> {
    /// Of the plan's runs.
    pub fn new(plan: &'a Plan, figures: &'a [Figures]) -> Self {
        Self { plan, figures }
    }

    /// A figure of the arm's runs.
    fn cell(&self, arm: usize, value: impl Fn(&Figures) -> Option<f64>) -> Cell {
        let runs = || self.plan.runs.iter().zip(self.figures).filter(|(run, _)| run.arm == arm);
        Cell { values: runs().filter_map(|(run, figures)| Some((run.seed, value(figures)?))).collect(), seeds: runs().count() }
    }

    fn pass_at_k(&self, arm: usize, eval: usize, step: usize, k: usize, group: Option<&str>) -> Cell {
        self.cell(arm, |figures| {
            let all = figures.evals.get(&(eval, step))?;
            all.iter().find(|one| one.k == k && one.group.as_deref() == group).map(|one| one.value)
        })
    }

    /// Steps of the arm's runs at the end.
    fn last_step(&self, arm: usize) -> usize {
        let run = self.plan.runs.iter().find(|run| run.arm == arm);
        run.map_or(0, |run| run.last_step(self.plan.arms[arm].trains))
    }

    /// The arms that an evaluation is made of.
    fn arms_of(&self, eval: usize) -> Vec<usize> {
        let applies = |arm: &usize| self.plan.runs.iter().any(|run| run.arm == *arm && self.plan.applies(&self.plan.evals[eval], run));
        (0..self.plan.arms.len()).filter(applies).collect()
    }

    /// The groups that an evaluation reports by, in its order, then all problems.
    fn groups(&self, eval: usize) -> Vec<Option<String>> {
        let mut groups: Vec<Option<String>> = Vec::new();
        let found = self.figures.iter().flat_map(|figures| &figures.evals).filter(|((of, _), _)| *of == eval).flat_map(|(_, all)| all);
        for group in found.map(|one| &one.group).filter(|group| group.is_some()) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        groups.push(None);
        groups
    }

    /// The steps at which an evaluation was made of any run.
    fn steps(&self, eval: usize) -> Vec<usize> {
        let steps: BTreeSet<usize> =
            self.figures.iter().flat_map(|figures| figures.evals.keys()).filter(|(of, _)| *of == eval).map(|(_, step)| *step).collect();
        steps.into_iter().collect()
    }

    /// Every table.
    pub fn tables(&self) -> Vec<Table> {
        let name = |arm: &usize| self.plan.arms[*arm].name.clone();
        let mut tables = Vec::new();
        for (place, eval) in self.plan.evals.iter().enumerate() {
            let (arms, groups) = (self.arms_of(place), self.groups(place));
            let column = |group: &Option<String>| match (&eval.by, group) {
                (Some(by), Some(value)) => format!("{by} {value}"),
                _ => ALL.to_owned(),
            };
            for k in &eval.k {
                let row = |arm: &usize| {
                    let cells = groups.iter().map(|group| self.pass_at_k(*arm, place, self.last_step(*arm), *k, group.as_deref()));
                    (name(arm), cells.collect())
                };
                tables.push(Table {
                    title: format!("{}: pass@{k}", eval.name),
                    first: "arm".into(),
                    columns: groups.iter().map(column).collect(),
                    rows: arms.iter().map(row).collect(),
                });
                if eval.checkpoints {
                    let row =
                        |step: &usize| (step.to_string(), arms.iter().map(|arm| self.pass_at_k(*arm, place, *step, *k, None)).collect());
                    tables.push(Table {
                        title: format!("{}: pass@{k} against step", eval.name),
                        first: "step".into(),
                        columns: arms.iter().map(name).collect(),
                        rows: self.steps(place).iter().map(row).collect(),
                    });
                }
            }
        }
        for metric in &self.plan.report.against_step {
            let arms: Vec<usize> = (0..self.plan.arms.len()).filter(|arm| self.plan.arms[*arm].trains).collect();
            let points = self.figures.iter().filter_map(|figures| figures.metrics.get(metric)).flatten();
            let steps: BTreeSet<usize> = points.map(|(step, _)| *step).collect();
            let row =
                |step: &usize| (step.to_string(), arms.iter().map(|arm| self.cell(*arm, |figures| at(figures, metric, *step))).collect());
            tables.push(Table {
                title: format!("{metric} against step"),
                first: "step".into(),
                columns: arms.iter().map(name).collect(),
                rows: steps.iter().map(row).collect(),
            });
        }
        let metrics = &self.plan.report.metrics;
        if !metrics.is_empty() {
            let row = |arm: usize| {
                let cell = |metric: &String| self.cell(arm, |figures| figures.at_the_end(metric, self.last_step(arm)));
                (name(&arm), metrics.iter().map(cell).collect())
            };
            let trained = (0..self.plan.arms.len()).filter(|arm| self.plan.arms[*arm].trains);
            tables.push(Table {
                title: "Metrics at the end of training (mean over the last tenth of the steps)".into(),
                first: "arm".into(),
                columns: metrics.clone(),
                rows: trained.map(row).collect(),
            });
        }
        tables
    }

    /// Every curve.
    pub fn curves(&self) -> Vec<Curve> {
        let mut curves = Vec::new();
        for (place, eval) in self.plan.evals.iter().enumerate().filter(|(_, eval)| eval.checkpoints) {
            for (k, group) in eval.k.iter().flat_map(|k| self.groups(place).into_iter().map(move |group| (*k, group))) {
                let suffix = group.as_ref().map_or_else(String::new, |group| format!("/{group}"));
                for arm in self.arms_of(place) {
                    let points = self.steps(place).into_iter().map(|step| (step, self.pass_at_k(arm, place, step, k, group.as_deref())));
                    curves.push((format!("{}/pass@{k}{suffix}", eval.name), arm, points.collect::<Vec<_>>()));
                }
            }
        }
        for metric in &self.plan.report.curves {
            for arm in 0..self.plan.arms.len() {
                let points = (0..=self.last_step(arm)).map(|step| (step, self.cell(arm, |figures| at(figures, metric, step))));
                curves.push((metric.clone(), arm, points.collect()));
            }
        }
        let curve = |(metric, arm, points): (String, usize, Vec<(usize, Cell)>)| {
            let points: Vec<_> = points.into_iter().filter(|(_, cell)| !cell.values.is_empty()).collect();
            (!points.is_empty()).then(|| Curve { metric, arm: self.plan.arms[arm].name.clone(), points })
        };
        curves.into_iter().filter_map(curve).collect()
    }
}

/// A metric at a step.
fn at(figures: &Figures, metric: &str, step: usize) -> Option<f64> {
    let points = figures.metrics.get(metric)?;
    points.binary_search_by_key(&step, |(step, _)| *step).ok().map(|place| points[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_tells_mean_deviation_and_missing_seeds() {
        let cell = |values: &[f64], seeds: usize| Cell { values: (0..).zip(values.iter().copied()).collect(), seeds };
        assert_eq!(cell(&[0.25, 0.5, 0.75], 3).text(), "0.500 ± 0.250");
        assert_eq!(cell(&[0.25, 0.75], 3).text(), "0.500 ± 0.354 (2 of 3 seeds)");
        assert_eq!(cell(&[0.25], 1).text(), "0.250");
        assert_eq!(cell(&[], 3).text(), "-");
    }
}
