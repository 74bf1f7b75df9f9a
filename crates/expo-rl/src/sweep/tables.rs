//! From runs' figures to tables and curves: mean and standard deviation over an arm's seeds.

use std::collections::BTreeSet;

use expo_core::statistics::{mean, std_dev};

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
    /// Name of the metric.
    pub metric: String,
    /// The arm.
    pub arm: String,
    /// By ascending step.
    pub points: Vec<(u64, Cell)>,
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

    fn pass_at_k(&self, arm: usize, eval: usize, k: usize, group: Option<&str>) -> Cell {
        self.cell(arm, |figures| {
            let all = figures.evals.get(&eval)?;
            all.iter().find(|one| one.k == k && one.group.as_deref() == group).map(|one| one.value)
        })
    }

    /// The steps at which any run has a metric.
    fn steps(&self, metric: &str) -> BTreeSet<u64> {
        self.figures.iter().flat_map(|figures| figures.points(metric)).map(|(step, _)| *step).collect()
    }

    /// A metric of the arm's runs at a step.
    fn at(&self, arm: usize, metric: &str, step: u64) -> Cell {
        self.cell(arm, |figures| {
            let points = figures.points(metric);
            points.binary_search_by_key(&step, |(step, _)| *step).ok().map(|place| points[place].1)
        })
    }

    /// The arms that an evaluation is made of.
    fn arms_of(&self, eval: usize) -> Vec<usize> {
        let applies = |arm: &usize| self.plan.runs.iter().any(|run| run.arm == *arm && self.plan.applies(&self.plan.evals[eval], run));
        (0..self.plan.arms.len()).filter(applies).collect()
    }

    /// The groups that an evaluation reports by, in its order, then all problems.
    fn groups(&self, eval: usize) -> Vec<Option<String>> {
        let mut groups: Vec<Option<String>> = Vec::new();
        let found = self.figures.iter().filter_map(|figures| figures.evals.get(&eval)).flatten();
        for group in found.map(|one| &one.group).filter(|group| group.is_some()) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        groups.push(None);
        groups
    }

    /// Every table.
    pub fn tables(&self) -> Vec<Table> {
        let name = |arm: &usize| self.plan.arms[*arm].name.clone();
        let mut tables = Vec::new();
        for (place, eval) in self.plan.evals.iter().enumerate() {
            let (arms, groups) = (self.arms_of(place), self.groups(place));
            let column = |group: &Option<String>| group.clone().unwrap_or_else(|| ALL.to_owned());
            for k in &eval.k {
                let row = |arm: &usize| {
                    let cells = groups.iter().map(|group| self.pass_at_k(*arm, place, *k, group.as_deref()));
                    (name(arm), cells.collect())
                };
                tables.push(Table {
                    title: format!("{}: pass@{k}", eval.name),
                    first: "arm".into(),
                    columns: groups.iter().map(column).collect(),
                    rows: arms.iter().map(row).collect(),
                });
            }
        }
        for metric in &self.plan.report.against_step {
            let arms: Vec<usize> = (0..self.plan.arms.len()).filter(|arm| self.plan.arms[*arm].trains).collect();
            let row = |step: u64| (step.to_string(), arms.iter().map(|arm| self.at(*arm, metric, step)).collect());
            tables.push(Table {
                title: format!("{metric} against step"),
                first: "step".into(),
                columns: arms.iter().map(name).collect(),
                rows: self.steps(metric).into_iter().map(row).collect(),
            });
        }
        let metrics = &self.plan.report.metrics;
        if !metrics.is_empty() {
            let row = |arm: usize| {
                let cell = |metric: &String| self.cell(arm, |figures| figures.trained.as_ref()?.final_mean(metric));
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
        for metric in &self.plan.report.curves {
            let steps = self.steps(metric);
            for (place, arm) in self.plan.arms.iter().enumerate() {
                let points = steps.iter().map(|step| (*step, self.at(place, metric, *step)));
                let points: Vec<_> = points.filter(|(_, cell)| !cell.values.is_empty()).collect();
                if !points.is_empty() {
                    curves.push(Curve { metric: metric.clone(), arm: arm.name.clone(), points });
                }
            }
        }
        curves
    }
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
