//! `expo-rl devices`: plugins for accelerators and the devices that they have.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use expo_xla::plugins::{Candidate, Origin, Places};

use crate::devices::hardware::{self, Hardware};
use crate::devices::probe::{self, Device, Line};
use crate::devices::watch::{Report, watch};

/// Show the GPUs, TPUs and other devices that PJRT plugins find here.
///
/// A plugin is a shared library by which XLA drives devices. Looked at are: the one that EXPO_RL_PJRT_PLUGIN names,
/// those that scripts/get-pjrt.sh got, and those among the packages of the active Python (`jax_plugins`, `libtpu`).
/// Each is loaded in a process of its own, since it may end that process. Training does not use them yet: every other
/// command computes on the CPU by itself. The exit code is 1 where a plugin that was named does not work.
/// docs/devices.md says more.
#[derive(Debug, clap::Args)]
pub struct Devices {
    /// Look at this plugin alone.
    #[arg(long, value_name = "FILE.so")]
    plugin: Option<PathBuf>,
    /// How long a plugin may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// Probe a plugin in this process, for the parent that asks.
    #[arg(long, value_name = "FILE.so", hide = true, exclusive = true)]
    probe: Option<PathBuf>,
}

impl Devices {
    /// Looks at all plugins and prints what they tell.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.probe {
            return probe::probe(path, std::io::stdout().lock()).map(|()| ExitCode::SUCCESS);
        }
        let places = Places { named: self.plugin, ..Places::of_this_process() };
        let limit = Duration::from_secs(self.timeout.into());
        let mut plugins = Vec::new();
        for candidate in places.find() {
            let report = watch(&["devices", "--probe"], &candidate.path, limit)?;
            // Other libraries lie among Python's packages, too.
            if is_named(&candidate) || !report.lines.iter().any(|line| matches!(line, Line::Error { no_plugin: true, .. })) {
                plugins.push((candidate, report));
            }
        }
        let text = describe(&plugins, &hardware::present(Path::new("/dev")));
        std::io::stdout().lock().write_all(text.as_bytes())?;
        let failed = plugins.iter().any(|(candidate, report)| is_named(candidate) && !works(report));
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn is_named(candidate: &Candidate) -> bool {
    matches!(candidate.origin, Origin::Named | Origin::Variable)
}

fn works(report: &Report) -> bool {
    report.end.is_none() && report.lines.iter().any(|line| matches!(line, Line::Client { .. }))
}

fn describe(plugins: &[(Candidate, Report)], hardware: &[Hardware]) -> String {
    let mut text = String::new();
    for (candidate, report) in plugins {
        let _ = writeln!(text, "{} ({})", candidate.path.display(), candidate.origin);
        for line in &report.lines {
            describe_line(&mut text, line, &candidate.path);
        }
        if let Some(end) = &report.end {
            let _ = writeln!(text, "  {end}");
        }
    }
    let platforms: Vec<String> = plugins.iter().flat_map(|(_, report)| &report.lines).filter_map(platform).collect();
    for Hardware { name, install, .. } in hardware.iter().filter(|kind| !platforms.iter().any(|p| kind.platforms.contains(&p.as_str()))) {
        let _ = writeln!(
            text,
            "{name} is here, but no plugin that drives it. In a Python environment, then active when expo-rl runs: {install}"
        );
    }
    if !platforms.is_empty() {
        text += "Training does not use these devices yet: every command computes on the CPU by itself.\n";
    } else if text.is_empty() {
        text += "no PJRT plugin and no GPU or TPU found; expo-rl computes on the CPU by itself (plugins: scripts/get-pjrt.sh, docs/devices.md)\n";
    }
    text
}

fn describe_line(text: &mut String, line: &Line, path: &Path) {
    let _ = match line {
        Line::Plugin { api, attributes } => {
            let told: String = attributes.iter().map(|(name, value)| format!(", {name} {value}")).collect();
            writeln!(text, "  PJRT C API {api}{told}")
        }
        Line::Client { platform, version, devices } => {
            let _ = writeln!(text, "  platform {platform}: {}", one_line(version));
            // Equal devices, as the CPU's are, on one line.
            for group in devices.chunk_by(|a, b| words(a) == words(b)) {
                let (first, last) = (&group[0], &group[group.len() - 1]);
                let numbers = if group.len() > 1 { format!("devices {} to {}", first.id, last.id) } else { format!("device {}", first.id) };
                let _ = writeln!(text, "  {numbers}: {}", words(first));
            }
            Ok(())
        }
        // The path stands in the line above.
        Line::Error { message, .. } => {
            writeln!(text, "  {}", one_line(message.strip_prefix(&format!("{}: ", path.display())).unwrap_or(message)))
        }
    };
}

/// A device but for its number.
fn words(device: &Device) -> String {
    let memory = match device.memory {
        Some(bytes) => format!("{:.1} GB for programs", bytes as f64 / 1e9),
        None => "memory: the plugin does not say".to_owned(),
    };
    let attributes =
        ["compute_capability", "core_count"].iter().filter_map(|&wanted| device.attributes.iter().find(|(name, _)| name == wanted));
    let attributes: String = attributes.map(|(name, value)| format!(", {name} {value}")).collect();
    one_line(&format!("{}, {memory}{attributes}", device.kind))
}

/// Of foreign text: one line, without what moves a terminal's cursor, and not too long.
fn one_line(text: &str) -> String {
    const MOST: usize = 600;
    let plain: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &plain[..end]),
        None => plain,
    }
}

fn platform(line: &Line) -> Option<String> {
    match line {
        Line::Client { platform, .. } => Some(platform.to_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: Vec<Line>, end: Option<&str>) -> (Candidate, Report) {
        (Candidate { path: "/p/plugin.so".into(), origin: Origin::Downloaded }, Report { lines, end: end.map(str::to_owned) })
    }

    fn client(platform: &str) -> Line {
        let device = |id| Device {
            id,
            kind: "NVIDIA H200".to_owned(),
            memory: Some(149_000_000_000),
            attributes: vec![("compute_capability".to_owned(), "9.0".to_owned())],
        };
        Line::Client { platform: platform.to_owned(), version: "cuda 13000".to_owned(), devices: vec![device(0), device(1)] }
    }

    const NVIDIA: Hardware = Hardware { name: "an NVIDIA GPU", platforms: &["cuda", "gpu"], install: "pip install \"jax[cuda13]\"" };

    #[test]
    fn a_machine_without_any_gets_one_line() {
        let text = describe(&[], &[]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("expo-rl computes on the CPU by itself"), "{text}");
    }

    #[test]
    fn what_is_missing_is_told_with_its_command() {
        let text = describe(&[], &[NVIDIA]);
        assert_eq!(
            text,
            "an NVIDIA GPU is here, but no plugin that drives it. In a Python environment, then active when expo-rl runs: pip install \"jax[cuda13]\"\n"
        );
        // A CPU plugin does not drive it; CUDA's does, whatever the case of its name.
        assert!(describe(&[found(vec![client("cpu")], None)], &[NVIDIA]).contains("is here, but no plugin"));
        assert!(!describe(&[found(vec![client("CUDA")], None)], &[NVIDIA]).contains("is here, but no plugin"));
    }

    #[test]
    fn devices_and_failures_are_listed_under_their_plugin() {
        let plugin =
            || Line::Plugin { api: "0.116".to_owned(), attributes: vec![("stablehlo_current_version".to_owned(), "1.20.0".to_owned())] };
        let error = Line::Error { message: "/p/plugin.so: making a client: INTERNAL: no\ndevice \u{1b}[31m".to_owned(), no_plugin: false };
        let text = describe(&[found(vec![plugin(), client("cuda")], None), found(vec![plugin(), error], Some("it ended"))], &[]);
        let expected = "/p/plugin.so (scripts/get-pjrt.sh)
  PJRT C API 0.116, stablehlo_current_version 1.20.0
  platform cuda: cuda 13000
  devices 0 to 1: NVIDIA H200, 149.0 GB for programs, compute_capability 9.0
/p/plugin.so (scripts/get-pjrt.sh)
  PJRT C API 0.116, stablehlo_current_version 1.20.0
  making a client: INTERNAL: no device  [31m
  it ended
Training does not use these devices yet: every command computes on the CPU by itself.
";
        assert_eq!(text, expected);
    }
}
