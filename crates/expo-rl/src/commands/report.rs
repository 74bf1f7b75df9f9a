//! `expo-rl report`: one HTML file of any number of runs.

use std::path::PathBuf;

use anyhow::bail;
use expo_core::analysis::runs;

use crate::output;
use crate::output::tell;
use crate::report;

/// Make a report of runs, finished or not: one HTML file that opens anywhere, without a network.
///
/// Curves of all runs (mean and standard deviation over the runs that differ in their seed alone), tables by level, ExPO's two properties over time, timings by
/// phase, completions and explanations beside each other, and what differs between the configurations. How to read it: docs/reports.md.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Folders of runs, or folders below which runs lie.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE.html", default_value = "report.html")]
    out: PathBuf,
    /// Title of the page.
    #[arg(long, value_name = "TEXT", default_value = "Training report")]
    title: String,
    /// Logged completions and explanations of each run to put into the file, of evenly spread steps.
    #[arg(long, value_name = "N", default_value_t = 300)]
    completions: usize,
}

impl Report {
    /// Reads, writes, and says what was wrong with the runs.
    pub fn run(self) -> anyhow::Result<()> {
        output::check_writable(&self.out)?;
        let (runs, without) = runs::read(&self.runs)?;
        if runs.is_empty() {
            let folders: Vec<String> = without.iter().map(|folder| folder.display().to_string()).collect();
            bail!("{}: no run in it; expected a folder with metrics.jsonl, as `expo-rl train` writes it", folders.join(", "));
        }
        let count = runs.len();
        let report = report::Report::new(runs, without, self.completions);
        for notice in report.notices() {
            tell!("note: {notice}");
        }
        let html = report.html(&self.title)?;
        output::write_atomically(&self.out, |writer| Ok(writer.write_all(html.as_bytes())?))?;
        tell!("{}: {count} {}", self.out.display(), if count == 1 { "run" } else { "runs" });
        Ok(())
    }
}
