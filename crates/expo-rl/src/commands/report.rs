//! `expo-rl report`: one HTML file of any number of runs.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

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
    /// Write the page anew as runs go on, until all have ended or the command is stopped. The page in the browser reloads itself.
    #[arg(long)]
    watch: bool,
    /// Seconds between two pages of --watch.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), requires = "watch")]
    every: u64,
}

impl Report {
    /// Reads, writes, and says what was wrong with the runs.
    pub fn run(self) -> anyhow::Result<()> {
        output::check_writable(&self.out)?;
        if self.watch {
            return self.watch();
        }
        let (report, count, _) = self.read()?;
        if count == 0 {
            let folders: Vec<String> = self.runs.iter().map(|folder| folder.display().to_string()).collect();
            bail!("{}: no run in it; expected a folder with metrics.jsonl, as `expo-rl train` writes it", folders.join(", "));
        }
        for notice in report.notices() {
            tell!("note: {notice}");
        }
        self.write(&report, None)?;
        tell!("{}: {}", self.out.display(), counted(count));
        Ok(())
    }

    /// The report of what is there now, of how many runs, and what their files were like before they were read.
    fn read(&self) -> anyhow::Result<(report::Report, usize, State)> {
        let (runs, without) = runs::read(&self.runs)?;
        let (count, state) = (runs.len(), state(&runs));
        Ok((report::Report::new(runs, without, self.completions), count, state))
    }

    fn write(&self, report: &report::Report, reload: Option<u64>) -> anyhow::Result<()> {
        let html = report.html(&self.title, reload)?;
        output::write_atomically(&self.out, |writer| Ok(writer.write_all(html.as_bytes())?))
    }

    /// Writes the page again and again; ends with a last one once no run goes on. A run that was killed goes on for ever, as far as can be seen.
    fn watch(&self) -> anyhow::Result<()> {
        let mut seen = None;
        loop {
            let (report, count, now) = self.read()?;
            let goes_on = report.goes_on() || count == 0;
            // Nothing new: the page stays, and the browser shows it once more.
            if seen.as_ref() != Some(&now) || !goes_on {
                self.write(&report, goes_on.then_some(self.every))?;
                if seen.is_none() {
                    tell!("{}: {}; written anew every {} s, Ctrl-C ends that", self.out.display(), counted(count), self.every);
                }
                seen = Some(now);
            }
            if !goes_on {
                tell!("{}: {}, all ended", self.out.display(), counted(count));
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(self.every));
        }
    }
}

fn counted(runs: usize) -> String {
    format!("{runs} {}", if runs == 1 { "run" } else { "runs" })
}

/// Sizes and times of the files of runs: the same where nothing was written.
type State = Vec<(u64, Option<SystemTime>)>;

fn state(runs: &[runs::Run]) -> State {
    let files = runs.iter().flat_map(|run| ["run.json", "metrics.jsonl", "completions.jsonl"].map(|name| run.folder.join(name)));
    files.filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| (metadata.len(), metadata.modified().ok())).collect()
}
