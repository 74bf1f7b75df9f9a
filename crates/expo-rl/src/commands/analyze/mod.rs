//! `expo-rl analyze`: the policy's own chains of thought, its self-explanations and the expert's, compared.

mod judged;
mod tables;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use expo_core::analysis::{Comparison, ProblemRow};
use serde_json::json;

use crate::chart::{Chart, Line, Picture};
use crate::output;
use crate::policy::ModelArgs;
use crate::sampling::at_least_one;
use crate::session::{self, AnalysisArgs};
use crate::table;

use judged::{JudgeArgs, Judged};

/// Measure ExPO's two properties on problems of yours: are a policy's self-explanations likelier than expert chains of thought, and do they make the right answer
/// likelier than its own completions do?
///
/// For each problem: a completion of the question alone, self-explanations (written with the answer shown), and the data's expert chain of thought where it has
/// one. Of each: property 1, negative log-likelihood per token with the answer hidden; property 2, log pi(a* | q, c) and the gain over the policy's own; answer
/// reached, what explanations owe to the hint, where the answer first stands, length, overlap (ROUGE-L). Means are over problems, ± one standard error; properties of explanations are those of the kept ones.
/// docs/reports.md says how to read the tables.
///
/// With --judge-url, a language model counts the correct steps of explanations against those of the other two, both orders, for a win rate.
#[derive(Debug, clap::Args)]
pub struct Analyze {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// Explanations of each problem [default: exp.num_explanations].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    samples: Option<usize>,
    /// Write each problem with all its texts and measurements here.
    #[arg(long, value_name = "FILE.jsonl")]
    out: Option<PathBuf>,
    /// Write the tables as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables as Markdown, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw how NLL per token is distributed over problems: the fraction of chains of thought at or below each value.
    #[arg(long, value_name = "FILE.svg|FILE.png")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    judge: JudgeArgs,
}

impl Analyze {
    /// Samples, measures, judges, reports.
    pub fn run(self) -> anyhow::Result<()> {
        for path in [&self.out, &self.json, &self.markdown, &self.plot].into_iter().flatten() {
            output::check_writable(path)?;
        }
        let picture = self.plot.as_deref().map(Picture::of).transpose()?;
        let judge = self.judge.judge()?;
        let mut rows: Vec<ProblemRow> = Vec::new();
        session::explain("analyze", &self.analysis, &self.model, self.samples, |analysis, part| {
            let compared = analysis.compare(part)?;
            let count = compared.iter().map(|row| row.explanations.len()).sum();
            rows.extend(compared);
            Ok(count)
        })?;
        let judged = judge.map(|judge| judged::judge(&judge, &rows, self.judge.judge_limit));
        self.write(&rows, judged.as_ref(), picture)?;
        // What was measured and judged is written; that the judge stopped is an error all the same.
        judged.and_then(|judged| judged.stopped).map_or(Ok(()), |error| Err(error.into()))
    }

    fn write(&self, rows: &[ProblemRow], judged: Option<&Judged>, picture: Option<Picture>) -> anyhow::Result<()> {
        let whole = Comparison::of(rows);
        let levels: BTreeMap<u32, Comparison> = by_level(rows).into_iter().map(|(level, rows)| (level, Comparison::of(rows))).collect();
        let mut tables = tables::comparison(&whole);
        if levels.len() > 1 {
            tables.push(tables::levels(&levels));
        }
        tables.extend(judged.map(Judged::table));
        let render = |as_text: fn(&[String], &[Vec<String>]) -> String| {
            tables.iter().map(|(head, rows)| as_text(head, rows)).collect::<Vec<_>>().join("\n")
        };
        std::io::stdout().lock().write_all(render(table::render).as_bytes())?;
        if let Some(path) = &self.markdown {
            output::write_atomically(path, |writer| Ok(writer.write_all(render(table::markdown).as_bytes())?))?;
        }
        if let Some(path) = &self.out {
            output::write_atomically(path, |writer| {
                for (place, row) in rows.iter().enumerate() {
                    let mut row = serde_json::to_value(row)?;
                    if let Some(judged) = judged {
                        row["judge"] = judged.of_problem(place);
                    }
                    writeln!(writer, "{row}")?;
                }
                Ok(())
            })?;
        }
        if let Some(path) = &self.json {
            let mut report = json!({"model": self.model.name(), "comparison": whole, "levels": levels});
            if let Some(judged) = judged {
                report["judge"] = judged.to_json();
            }
            output::write_atomically(path, |writer| Ok(writeln!(writer, "{report:#}")?))?;
        }
        match (picture, &self.plot) {
            (Some(picture), Some(path)) => picture.write(&distributions(rows), path, (900, 540)),
            _ => Ok(()),
        }
    }
}

fn by_level(rows: &[ProblemRow]) -> BTreeMap<u32, Vec<&ProblemRow>> {
    let mut levels: BTreeMap<u32, Vec<&ProblemRow>> = BTreeMap::new();
    for row in rows {
        if let Some(level) = row.level {
            levels.entry(level).or_default().push(row);
        }
    }
    levels
}

/// NLL per token of the three sources, as empirical distribution functions.
fn distributions(rows: &[ProblemRow]) -> Chart {
    let own: Vec<f64> = rows.iter().map(|row| row.own.nll).collect();
    let explanations: Vec<f64> = rows.iter().flat_map(|row| row.kept().map(|cot| cot.nll)).collect();
    let expert: Vec<f64> = rows.iter().filter_map(|row| Some(row.expert.as_ref()?.nll)).collect();
    let line = |(colour, (label, mut values)): (usize, (&str, Vec<f64>))| {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let points = values.iter().enumerate().map(|(i, value)| (*value, (i + 1) as f64 / count, None)).collect();
        Line { label: label.to_owned(), colour, dash: 0, points }
    };
    let sources = [("own completions", own), ("self-explanations (kept)", explanations), ("expert chains of thought", expert)];
    Chart {
        title: String::new(),
        x_label: "NLL per token, answer hidden (nats)".into(),
        y_label: "fraction at or below".into(),
        lines: sources.into_iter().filter(|(_, values)| !values.is_empty()).enumerate().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expo_core::analysis::Cot;
    use expo_core::objective::ExplanationOutcome;

    fn cot(nll: f64, outcome: Option<ExplanationOutcome>) -> Cot {
        Cot {
            text: String::new(),
            correct: true,
            steps_right: None,
            truncated: false,
            tokens: 3,
            nll,
            answer_log_prob: -1.0,
            answer_gain: Some(0.5),
            overlap_with_own: None,
            overlap_with_expert: None,
            outcome,
            leak: None,
            hint_information: None,
            max_token_information: None,
            answer_position: None,
        }
    }

    #[test]
    fn distributions_rise_to_one() {
        let row = |nll: f64| ProblemRow {
            id: String::new(),
            level: Some(2),
            subject: None,
            question: String::new(),
            answer: String::new(),
            own: cot(nll, None),
            explanations: vec![cot(nll, Some(ExplanationOutcome::Kept)), cot(99.0, Some(ExplanationOutcome::Leak))],
            expert: None,
        };
        let chart = distributions(&[row(2.0), row(1.0)]);
        assert_eq!(chart.lines.iter().map(|line| line.label.as_str()).collect::<Vec<_>>(), ["own completions", "self-explanations (kept)"]);
        assert_eq!(chart.lines[1].points, [(1.0, 0.5, None), (2.0, 1.0, None)]);
        assert_eq!(by_level(&[row(1.0)]).keys().collect::<Vec<_>>(), [&2]);
    }
}
