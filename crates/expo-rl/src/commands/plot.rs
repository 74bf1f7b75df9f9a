//! `expo-rl plot`: a metric of any number of runs as a picture.

use std::path::PathBuf;

use anyhow::bail;
use expo_core::analysis::runs::{self, Curve, Run};

use crate::chart::{Chart, Line, Picture};
use crate::output;
use crate::output::tell;
use crate::sampling::at_least_one;

/// Draw metrics of runs against the step, as SVG or PNG: mean and standard deviation over the runs that differ in their seed alone.
#[derive(Debug, clap::Args)]
pub struct Plot {
    /// Folders of runs, or folders below which runs lie.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Metric to draw (docs/metrics.md); several in one picture: `--metric exp/nll_explanation --metric exp/nll_expert`.
    #[arg(long = "metric", value_name = "M", required = true)]
    metrics: Vec<String>,
    /// File to write; its ending says the format.
    #[arg(long, value_name = "FILE.svg|FILE.png")]
    out: PathBuf,
    /// Average over bins of N steps.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    bin: usize,
    /// Title of the picture [default: none].
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    title: String,
    /// Width and height in pixels.
    #[arg(long, value_name = "WxH", default_value = "900x540", value_parser = size)]
    size: (u32, u32),
}

/// `WIDTHxHEIGHT`.
fn size(text: &str) -> Result<(u32, u32), String> {
    const ALLOWED: std::ops::RangeInclusive<u32> = 200..=8000;
    let parts = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parts
        .filter(|(width, height)| ALLOWED.contains(width) && ALLOWED.contains(height))
        .ok_or_else(|| format!("expected WIDTHxHEIGHT, each from {} to {}", ALLOWED.start(), ALLOWED.end()))
}

impl Plot {
    /// Reads and draws.
    pub fn run(self) -> anyhow::Result<()> {
        let picture = Picture::of(&self.out)?;
        output::check_writable(&self.out)?;
        let (runs, empty) = runs::read(&self.runs)?;
        for folder in &empty {
            tell!("note: {}: no run in it", folder.display());
        }
        for (run, notice) in runs.iter().flat_map(|run| run.notices.iter().map(move |notice| (run, notice))) {
            tell!("note: {}: {notice}", run.name);
        }
        let arms = runs::arms(&runs);
        let mut lines = Vec::new();
        for (dash, metric) in self.metrics.iter().enumerate() {
            let before = lines.len();
            for (colour, arm) in arms.iter().enumerate() {
                let curve = Curve::of(&runs, arm, metric, self.bin as u64);
                let label = match (self.metrics.len(), arms.len()) {
                    (1, _) => arm.label.clone(),
                    (_, 1) => metric.clone(),
                    _ => format!("{}, {metric}", arm.label),
                };
                let points: Vec<_> = curve.points.iter().map(|p| (p.step, p.mean, p.deviation)).collect();
                if !points.is_empty() {
                    lines.push(Line { label, colour, dash, points });
                }
            }
            if lines.len() == before {
                bail!("no run has the metric `{metric}`; {}", there_are(&runs));
            }
        }
        let y_label = if let [metric] = &self.metrics[..] { metric.clone() } else { String::new() };
        let chart = Chart { title: self.title, x_label: "step".into(), y_label, lines };
        picture.write(&chart, &self.out, self.size)
    }
}

/// The metrics that there are, for a message.
fn there_are(runs: &[Run]) -> String {
    let mut names: Vec<&str> = runs.iter().flat_map(|run| &run.metrics).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { "no step in any of them".to_owned() } else { format!("there are: {}", names.join(", ")) }
}
