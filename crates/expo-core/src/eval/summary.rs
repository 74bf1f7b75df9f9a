//! From the solved problems to figures.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bootstrap, Estimate, Solved, estimate};
use crate::data::{Problem, first_of};
use crate::error::{Error, Result};
use crate::metrics::Accuracy;

/// What one policy does on a set of problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Number of problems.
    pub problems: usize,
    /// Each metric (`pass@1`, ..., `maj@n`) with its estimate, in order.
    pub metrics: Vec<(Accuracy, Estimate)>,
    /// Samples that were cut off, of all.
    pub truncated_fraction: f64,
    /// Mean length of a sample in tokens.
    pub mean_length: f64,
}

/// Problems with the same value of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// The value; `-` for problems without one.
    pub value: String,
    /// The problems' places in their list.
    pub places: Vec<usize>,
}

/// Each metric of `solved`, one value a problem: pass@1 (the mean accuracy of the samples), pass@k for each of `ks` that is no more than the samples of
/// every problem, and, with several samples of each, `maj@n`: whether the majority vote of all n is right.
pub fn metric_values(solved: &[&Solved], ks: &[usize]) -> Vec<(Accuracy, Vec<f64>)> {
    let fewest = solved.iter().map(|one| one.samples.len()).min().unwrap_or(0);
    let ks: BTreeSet<usize> = ks.iter().copied().chain([1]).filter(|k| (1..=fewest).contains(k)).collect();
    let mut metrics: Vec<(Accuracy, Vec<f64>)> =
        ks.into_iter().map(|k| (Accuracy::PassAt(k), solved.iter().map(|one| one.pass_at_k(k)).collect())).collect();
    if fewest > 1 {
        metrics.push((Accuracy::MajorityAt(fewest), solved.iter().map(|one| f64::from(u8::from(one.majority_correct))).collect()));
    }
    metrics
}

/// The figures of `solved`.
pub fn summarize(solved: &[&Solved], ks: &[usize], bootstrap: &Bootstrap) -> Summary {
    let samples = solved.iter().map(|one| one.samples.len()).sum::<usize>().max(1) as f64;
    Summary {
        problems: solved.len(),
        metrics: metric_values(solved, ks).into_iter().map(|(accuracy, values)| (accuracy, estimate(&values, bootstrap))).collect(),
        truncated_fraction: solved.iter().map(|one| one.truncated()).sum::<usize>() as f64 / samples,
        mean_length: solved.iter().map(|one| one.tokens()).sum::<usize>() as f64 / samples,
    }
}

/// `a` minus `b`, which solved the same problems, in each metric that both have: the mean of the differences of each problem, so that what makes problems
/// hard or easy for both cancels.
pub fn differences(a: &[&Solved], b: &[&Solved], ks: &[usize], bootstrap: &Bootstrap) -> Vec<(Accuracy, Estimate)> {
    assert_eq!(a.len(), b.len(), "differences of other problems");
    let others = metric_values(b, ks);
    let paired = |(accuracy, values): (Accuracy, Vec<f64>)| {
        let (_, others) = others.iter().find(|(other, _)| *other == accuracy)?;
        let differences: Vec<f64> = values.iter().zip(others).map(|(a, b)| a - b).collect();
        Some((accuracy, estimate(&differences, bootstrap)))
    };
    metric_values(a, ks).into_iter().filter_map(paired).collect()
}

/// The problems by `field`: `level`, `subject`, or another one of their rows; in the order of numbers where all are, else of the alphabet.
/// Errors: no problem has such a field (those that there are are named).
pub fn subsets(problems: &[Problem], field: &str) -> Result<Vec<Subset>> {
    let value = |problem: &Problem| match field {
        "level" => problem.level_name.clone().or(problem.level.map(|level| level.to_string())),
        "subject" => problem.subject.clone(),
        other => problem.extra.get(other).cloned(),
    };
    let mut by_value: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for (place, problem) in problems.iter().enumerate() {
        by_value.entry(value(problem)).or_default().push(place);
    }
    if by_value.keys().all(Option::is_none) {
        let known = |name: &'static str, there: bool| there.then(|| name.to_owned());
        let named = [
            known("level", problems.iter().any(|problem| problem.level.is_some())),
            known("subject", problems.iter().any(|problem| problem.subject.is_some())),
        ];
        let others: BTreeSet<&String> = problems.iter().flat_map(|problem| problem.extra.keys()).collect();
        let there = first_of(named.into_iter().flatten().chain(others.into_iter().cloned()));
        return Err(Error::Unsuited(format!("no problem has a field `{field}` to report by; fields that there are: {there}")));
    }
    let mut subsets: Vec<Subset> =
        by_value.into_iter().map(|(value, places)| Subset { value: value.unwrap_or_else(|| "-".to_owned()), places }).collect();
    // Numbers by size, then texts; levels that are words as data.levels has them; `-` last.
    subsets.sort_by(|a, b| {
        let level = |subset: &Subset| problems[subset.places[0]].level.filter(|_| field == "level").map(f64::from);
        let rank = |subset: &Subset| level(subset).or(subset.value.parse::<f64>().ok());
        let key = |subset: &Subset| (subset.value == "-", rank(subset).is_none());
        let number = |subset: &Subset| rank(subset).unwrap_or(0.0);
        key(a).cmp(&key(b)).then(number(a).total_cmp(&number(b))).then_with(|| a.value.cmp(&b.value))
    });
    Ok(subsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Sample;

    fn solved(correct: usize, samples: usize, majority_correct: bool) -> Solved {
        let sample = |i| Sample { text: String::new(), tokens: 3, truncated: i == 0, answer: None, correct: i < correct };
        Solved { samples: (0..samples).map(sample).collect(), majority_correct }
    }

    #[test]
    fn metrics_are_means_over_problems() {
        let all = [solved(0, 4, false), solved(1, 4, false), solved(2, 4, true), solved(4, 4, true)];
        let summary = summarize(&all.iter().collect::<Vec<_>>(), &[4, 8], &Bootstrap::default());
        let found: Vec<(Accuracy, f64)> = summary.metrics.iter().map(|(accuracy, estimate)| (*accuracy, estimate.mean)).collect();
        assert_eq!(found, [(Accuracy::PassAt(1), 7.0 / 16.0), (Accuracy::PassAt(4), 0.75), (Accuracy::MajorityAt(4), 0.5)]);
        assert_eq!((summary.problems, summary.truncated_fraction, summary.mean_length), (4, 0.25, 3.0));
    }

    #[test]
    fn differences_are_paired() {
        // One is right where the other is, and once more: a difference without the spread of the problems.
        let (a, b): (Vec<Solved>, Vec<Solved>) =
            (0..40).map(|i| (solved(usize::from(i % 2 == 0 || i == 1), 1, false), solved(usize::from(i % 2 == 0), 1, false))).unzip();
        let (a, b): (Vec<&Solved>, Vec<&Solved>) = (a.iter().collect(), b.iter().collect());
        let difference = differences(&a, &b, &[1], &Bootstrap::default());
        assert_eq!((difference.len(), difference[0].0, difference[0].1.mean), (1, Accuracy::PassAt(1), 1.0 / 40.0));
        let alone = summarize(&a, &[1], &Bootstrap::default()).metrics[0].1;
        assert!(difference[0].1.high - difference[0].1.low < 0.3 * (alone.high - alone.low), "{difference:?} {alone:?}");
        // Of other numbers of samples only pass@1 is common.
        let four = solved(1, 4, true);
        let common = differences(&vec![&four; 40], &b, &[1, 4], &Bootstrap::default());
        assert_eq!(common.iter().map(|(accuracy, _)| *accuracy).collect::<Vec<_>>(), [Accuracy::PassAt(1)]);
    }

    #[test]
    fn subsets_by_any_field_in_order() {
        let mut problems = crate::testing::run::problems(4);
        for (problem, (level, kind)) in problems.iter_mut().zip([(Some(10), "b"), (Some(2), "a"), (None, "b"), (Some(2), "a")]) {
            problem.level = level;
            problem.extra.insert("kind".into(), kind.into());
        }
        let of = |field| subsets(&problems, field).map(|all| all.into_iter().map(|g| (g.value, g.places)).collect::<Vec<_>>());
        let expected =
            |all: &[(&str, &[usize])]| all.iter().map(|(value, places)| ((*value).to_owned(), places.to_vec())).collect::<Vec<_>>();
        assert_eq!(of("level").unwrap(), expected(&[("2", &[1, 3]), ("10", &[0]), ("-", &[2])]));
        assert_eq!(of("kind").unwrap(), expected(&[("a", &[1, 3]), ("b", &[0, 2])]));
        let message = of("topic").unwrap_err().to_string();
        assert!(message.contains("`topic`") && message.ends_with("level, kind"), "{message}");
    }
}
