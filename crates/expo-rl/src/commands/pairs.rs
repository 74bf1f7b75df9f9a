//! `expo-rl pairs`: preference files from explanations and own completions.

use std::path::PathBuf;

use anyhow::bail;
use expo_core::analysis::{ExplanationFile, PairRows};

use crate::output;
use crate::policy::ModelArgs;
use crate::progress::Progress;
use crate::sampling::at_least_one;
use crate::session::{self, AnalysisArgs};

/// Make a preference file for `recipe = "dpo"`: self-explanations, the answer hidden, over the policy's own completions (ExP-DPO's pairs).
///
/// A row has `id`, `prompt`, `chosen`, `rejected`, and for filtering `answer`, `chosen_from` and `rejected_correct`. `dpo.chosen = "expert"` takes the data's expert
/// chains of thought in place of explanations, `dpo.rejected = "any"` right completions, too. Completions that were cut off or are empty are not used.
#[derive(Debug, clap::Args)]
pub struct Pairs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// File to write; it appears when all problems are done.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Take the explanations of this file of `expo-rl explain`, made from the same data, instead of making some.
    #[arg(long, value_name = "FILE.jsonl")]
    explanations: Option<PathBuf>,
    /// Completions of each question, of which some may be rejected [default: rollout.num_generations].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    samples: Option<usize>,
}

impl Pairs {
    /// Makes the pairs and writes them.
    pub fn run(self) -> anyhow::Result<()> {
        output::check_writable(&self.out)?;
        let mut config = self.analysis.config()?;
        config.rollout.num_generations = self.samples.unwrap_or(config.rollout.num_generations);
        let samples = config.rollout.num_generations + config.exp.num_explanations;
        let file = self.explanations.as_deref().map(ExplanationFile::read).transpose()?;
        let mut all = PairRows::default();
        session::analyse(&config, &self.model, |analysis| {
            let mut progress = Progress::new("pairs", analysis.len(), "problem");
            for part in analysis.parts(samples) {
                let end = part.end;
                let made = analysis.pairs(part, file.as_ref())?;
                all.with_chosen += made.with_chosen;
                all.with_pair += made.with_pair;
                all.rows.extend(made.rows);
                progress.set(end, format!("{} pairs", all.rows.len()));
            }
            progress.finish(&format!(
                "{} pairs; of {} problems, {} have a chosen side, {} a pair",
                all.rows.len(),
                analysis.len(),
                all.with_chosen,
                all.with_pair
            ));
            Ok(())
        })?;
        if all.rows.is_empty() {
            bail!(
                "{}: no pair to write: {} problems have a chosen side, none a completion to reject as well; raise --samples, or see dpo.rejected and the filters of [exp]",
                self.out.display(),
                all.with_chosen
            );
        }
        output::write_atomically(&self.out, |writer| {
            for row in &all.rows {
                writeln!(writer, "{}", serde_json::to_string(row)?)?;
            }
            Ok(())
        })
    }
}
