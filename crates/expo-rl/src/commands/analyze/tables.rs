//! The comparison as tables: a head and rows each.

use std::collections::BTreeMap;

use expo_core::analysis::{Comparison, ProblemMean, SourceSummary};

/// A head and rows.
pub type Table = (Vec<String>, Vec<Vec<String>>);
type Measure = (&'static str, fn(&SourceSummary) -> Option<ProblemMean>);

const MEASURES: [Measure; 15] = [
    ("NLL per token (nats)", |source| source.nll),
    ("log pi(a* | q, c) (nats)", |source| source.answer_log_prob),
    ("answer gain over own (nats)", |source| source.answer_gain),
    ("gain above 0", |source| source.gains),
    ("reaches the answer", |source| source.correct),
    ("every step right", |source| source.steps_right),
    ("information from the hint (nats)", |source| source.hint_information),
    ("largest of one token (nats)", |source| source.max_token_information),
    ("answer first stands at (share)", |source| source.answer_position),
    ("leaks the hint by a phrase", |source| source.leak),
    ("kept by the filters", |source| source.kept),
    ("cut off", |source| source.truncated),
    ("tokens", |source| source.tokens),
    ("overlap with own (ROUGE-L)", |source| source.overlap_with_own),
    ("overlap with expert (ROUGE-L)", |source| source.overlap_with_expert),
];

/// `0.123 ± 0.004`, or `-` where nothing was measured.
pub fn cell(estimate: Option<ProblemMean>) -> String {
    // Rounded before it is written: no -0.000.
    let rounded = |value: f64| (value * 1e3).round() / 1e3 + 0.0;
    estimate.map_or_else(|| "-".to_owned(), |e| format!("{:.3} ± {:.3}", rounded(e.mean), e.standard_error))
}

/// All problems: measure by source, and the paired differences.
pub fn comparison(comparison: &Comparison) -> Vec<Table> {
    let title = |source: &SourceSummary| match source.source {
        "own" => "own completion".to_owned(),
        "explanation" => "self-explanation".to_owned(),
        other => other.to_owned(),
    };
    let head: Vec<String> =
        std::iter::once(format!("{} problems", comparison.problems)).chain(comparison.sources.iter().map(title)).collect();
    let row = |(name, of): &Measure| {
        let estimates: Vec<Option<ProblemMean>> = comparison.sources.iter().map(of).collect();
        estimates
            .iter()
            .any(Option::is_some)
            .then(|| std::iter::once((*name).to_owned()).chain(estimates.into_iter().map(cell)).collect::<Vec<_>>())
    };
    let rows: Vec<Vec<String>> = MEASURES.iter().filter_map(row).collect();
    let mut tables = vec![(head, rows)];
    let paired = [
        ("NLL per token, expert minus self-explanation", comparison.nll_expert_minus_explanation),
        ("self-explanations likelier than the expert's, fraction of problems", comparison.explanation_likelier),
        ("answer gain, self-explanation minus expert", comparison.gain_explanation_minus_expert),
    ];
    let paired: Vec<Vec<String>> = paired
        .into_iter()
        .filter_map(|(name, estimate)| Some(vec![name.to_owned(), cell(Some(estimate?)), estimate?.problems.to_string()]))
        .collect();
    if !paired.is_empty() {
        tables.push((["paired by problem", "mean", "problems"].map(str::to_owned).to_vec(), paired));
    }
    tables
}

/// The properties level by level.
pub fn levels(levels: &BTreeMap<u32, Comparison>) -> Table {
    let has_expert = levels.values().any(|comparison| comparison.sources.len() > 2);
    let mut head = vec!["level", "problems", "NLL own", "NLL explanation"];
    head.extend(has_expert.then_some("NLL expert"));
    head.push("answer gain explanation");
    head.extend(has_expert.then_some("answer gain expert"));
    head.extend(["own right", "explanation right"]);
    let row = |(level, comparison): (&u32, &Comparison)| {
        let of = |source: usize, of: fn(&SourceSummary) -> Option<ProblemMean>| cell(comparison.sources.get(source).and_then(of));
        let mut row = vec![level.to_string(), comparison.problems.to_string(), of(0, |s| s.nll), of(1, |s| s.nll)];
        row.extend(has_expert.then(|| of(2, |s| s.nll)));
        row.push(of(1, |s| s.answer_gain));
        row.extend(has_expert.then(|| of(2, |s| s.answer_gain)));
        row.extend([of(0, |s| s.correct), of(1, |s| s.correct)]);
        row
    };
    (head.into_iter().map(str::to_owned).collect(), levels.iter().map(row).collect())
}
