//! A metric of an arm over its steps: mean and standard deviation over the runs, and every run by itself.

use std::collections::BTreeMap;

use super::{Arm, Points, Run};
use crate::statistics::{mean, std_dev};

/// One metric of one arm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Over the runs, by ascending step.
    pub points: Vec<Point>,
    /// Each run that has the metric: its place in the list of runs, and its steps and values.
    pub runs: Vec<(usize, Vec<(f64, f64)>)>,
}

/// A metric at one step, or in a bin of neighbouring steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The step; of a bin, the mean of its measured steps.
    pub step: f64,
    /// Mean over the runs that measured it.
    pub mean: f64,
    /// Standard deviation (N-1) over these runs; `None` where there is one.
    pub deviation: Option<f64>,
    /// How many these are.
    pub runs: usize,
}

impl Curve {
    /// `metric` of `arm`, steps averaged in bins of `width`.
    pub fn of(runs: &[Run], arm: &Arm, metric: &str, width: u64) -> Self {
        let mut curve = Self::default();
        let mut bins: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        for &place in &arm.runs {
            let Some(points) = runs[place].metric(metric).filter(|points| !points.is_empty()) else { continue };
            let binned = bin(points, width);
            for (number, point) in &binned {
                bins.entry(*number).or_default().push(*point);
            }
            curve.runs.push((place, binned.into_values().collect()));
        }
        curve.points = bins.into_values().map(|points| Point::of(&points)).collect();
        curve
    }

    /// The width of bins that leaves at most `most` points of the longest of `runs`.
    pub fn bin_width(runs: &[Run], most: u64) -> u64 {
        let last = |run: &Run| run.metrics.iter().filter_map(|(_, points)| points.last()).map(|(step, _)| *step).max();
        runs.iter().filter_map(last).max().unwrap_or(0).div_ceil(most.max(1)).max(1)
    }
}

impl Point {
    fn of(points: &[(f64, f64)]) -> Self {
        let (steps, values): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let deviation = (values.len() > 1).then(|| std_dev(&values));
        Self { step: mean(&steps), mean: mean(&values), deviation, runs: values.len() }
    }
}

impl Arm {
    /// Over the arm's runs the mean of a metric's sum over the steps, by step.
    pub fn per_step(&self, runs: &[Run], metric: &str) -> Option<f64> {
        let of = |run: &Run| Some(run.metric(metric)?.iter().map(|(_, value)| value).sum::<f64>() / run.steps.max(1) as f64);
        let values: Vec<f64> = self.runs.iter().filter_map(|&run| of(&runs[run])).collect();
        (!values.is_empty()).then(|| mean(&values))
    }

    /// The mean of a metric over all steps of all the arm's runs that have it.
    pub fn mean(&self, runs: &[Run], metric: &str) -> Option<f64> {
        let points = self.runs.iter().filter_map(|&run| runs[run].metric(metric)).flatten();
        let values: Vec<f64> = points.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| mean(&values))
    }
}

impl Run {
    /// Mean of a metric over the last tenth of the run's steps; where it was not measured there, its last value.
    pub fn final_mean(&self, metric: &str) -> Option<f64> {
        let points = self.metric(metric)?;
        let last = self.metrics.iter().filter_map(|(_, points)| points.last()).map(|(step, _)| *step).max()?;
        let values: Vec<f64> =
            points.iter().filter(|(step, _)| step.saturating_mul(10) > last.saturating_mul(9)).map(|(_, value)| *value).collect();
        if values.is_empty() { points.last().map(|(_, value)| *value) } else { Some(mean(&values)) }
    }
}

/// Means of bins of `width` steps by the bin's number: steps 1 to `width` are bin 1, what was measured before the first step (0) is bin 0.
fn bin(points: &Points, width: u64) -> BTreeMap<u64, (f64, f64)> {
    let mut bins: BTreeMap<u64, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (step, value) in points {
        let (steps, values) = bins.entry(step.div_ceil(width)).or_default();
        steps.push(*step as f64);
        values.push(*value);
    }
    bins.into_iter().map(|(number, (steps, values))| (number, (mean(&steps), mean(&values)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(points: &[(u64, f64)]) -> Run {
        Run { metrics: vec![("m".into(), points.to_vec())], ..Run::default() }
    }

    #[test]
    fn mean_and_deviation_over_the_runs_that_have_a_step() {
        let runs = [run(&[(1, 1.0), (2, 2.0), (3, 5.0)]), run(&[(1, 3.0), (2, 4.0)]), Run::default()];
        let arm = Arm { label: "a".into(), runs: vec![0, 1, 2] };
        let curve = Curve::of(&runs, &arm, "m", 1);
        let points: Vec<_> = curve.points.iter().map(|p| (p.step, p.mean, p.runs)).collect();
        assert_eq!(points, [(1.0, 2.0, 2), (2.0, 3.0, 2), (3.0, 5.0, 1)]);
        assert!((curve.points[0].deviation.unwrap() - 2f64.sqrt()).abs() < 1e-12 && curve.points[2].deviation.is_none());
        assert_eq!(curve.runs.iter().map(|(place, points)| (*place, points.len())).collect::<Vec<_>>(), [(0, 3), (1, 2)]);
        assert_eq!(Curve::of(&runs, &arm, "other", 1), Curve::default());
        // Bins: step 0 by itself, then 1 and 2, then 3.
        let runs = [run(&[(0, 9.0), (1, 1.0), (2, 2.0), (3, 5.0)])];
        let binned = Curve::of(&runs, &Arm { label: String::new(), runs: vec![0] }, "m", 2);
        assert_eq!(binned.points.iter().map(|p| (p.step, p.mean)).collect::<Vec<_>>(), [(0.0, 9.0), (1.5, 1.5), (3.0, 5.0)]);
        assert_eq!([1, 2, 3, 400].map(|most| Curve::bin_width(&runs, most)), [3, 2, 1, 1]);
        assert_eq!(Curve::bin_width(&[], 5), 1);
    }

    #[test]
    fn the_last_tenth() {
        let points: Vec<(u64, f64)> = (1..=20).map(|step| (step, step as f64)).collect();
        assert_eq!(run(&points).final_mean("m"), Some(19.5), "steps 19 and 20");
        assert_eq!(run(&[(1, 4.0)]).final_mean("m"), Some(4.0));
        let mut sparse = run(&[(1, 1.0)]);
        sparse.metrics.push(("n".into(), vec![(100, 0.0)]));
        assert_eq!((sparse.final_mean("m"), sparse.final_mean("x")), (Some(1.0), None));
    }
}
