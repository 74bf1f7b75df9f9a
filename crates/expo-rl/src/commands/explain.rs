//! `expo-rl explain`: self-explanations with their checks.

use std::io::Write;
use std::path::PathBuf;

use expo_core::analysis::{ExplainRow, ExplainSummary};

use crate::output;
use crate::policy::ModelArgs;
use crate::sampling::at_least_one;
use crate::session::{self, AnalysisArgs};
use crate::table;

/// Let a policy explain known answers, and write each explanation with its checks.
///
/// A row has `id`, `question`, `answer`, `explanation`, its checks (`outcome` of the filters of `[exp]`, `correct`, `leak`, `truncated`, `tokens`, `steps_right`) and
/// ExPO's two properties: `nll`, its negative log-likelihood per token with the answer hidden, beside `own_nll` of a completion of the question alone (`own`,
/// `own_correct`); and `answer_gain`, by how much more likely than after that completion it makes the right answer (nats). Leaks: `hint_information`, what its tokens
/// owe to the answer that was shown (nats), `max_token_information` of one token, and `answer_position`, where the answer first stands (beside `own_answer_position`).
/// `expo-rl pairs --explanations` makes a preference file of such rows, filtered as you like. Prompts and sampling are those of a configuration.
#[derive(Debug, clap::Args)]
pub struct Explain {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// File to write; it appears when all problems are done.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Explanations of each problem [default: exp.num_explanations].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    samples: Option<usize>,
}

impl Explain {
    /// Explains, measures, writes.
    pub fn run(self) -> anyhow::Result<()> {
        output::check_writable(&self.out)?;
        let mut rows: Vec<ExplainRow> = Vec::new();
        session::explain("explain", &self.analysis, &self.model, self.samples, |analysis, part| {
            let explained = analysis.explanations(part)?;
            let count = explained.len();
            rows.extend(explained);
            Ok(count)
        })?;
        output::write_atomically(&self.out, |writer| {
            for row in &rows {
                serde_json::to_writer(&mut *writer, row)?;
                writer.write_all(b"\n")?;
            }
            Ok(())
        })?;
        let summary = ExplainSummary::of(&rows);
        let head = ["explanations", "kept", "answer reached", "leak", "NLL", "NLL own", "answer gain", "hint"].map(str::to_owned);
        let number = |value: f64| if value.is_finite() { format!("{value:.3}") } else { "-".to_owned() };
        let ExplainSummary { made: _, kept, correct, leak, nll, own_nll, answer_gain, hint_information } = summary;
        let rates = [kept, correct, leak, nll, own_nll, answer_gain, hint_information].map(number);
        let row: Vec<String> = std::iter::once(summary.made.to_string()).chain(rates).collect();
        Ok(std::io::stdout().lock().write_all(table::render(&head, &[row]).as_bytes())?)
    }
}
