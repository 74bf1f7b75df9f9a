//! Compiles StableHLO programs for devices that are only described, and tells what came of it: time, planned memory,
//! the kernels that XLA chose.
//!
//!     compile_ahead PLUGIN.so TARGET.txtpb TOPOLOGY [--replicas N] [--dump DIR] [--flag NAME=VALUE]... PROGRAM.mlir...
//!
//! TOPOLOGY is `1x1x8` for one machine with eight GPUs. scripts/compile-h100.sh calls it with what it needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use expo_xla::Program;
use expo_xla::client::{CompileOptions, MemoryNumbers, Plugin, Topology, Value};

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn run() -> Result<()> {
    const USAGE: &str =
        "usage: compile_ahead PLUGIN.so TARGET.txtpb TOPOLOGY [--replicas N] [--dump DIR] [--flag NAME=VALUE]... PROGRAM.mlir...";
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("{what} is missing. {USAGE}"));
    let (plugin, target, topology) = (next("PLUGIN.so")?, next("TARGET.txtpb")?, next("TOPOLOGY")?);
    let (mut options, mut dump, mut programs) = (CompileOptions::default(), None, Vec::new());
    while let Ok(argument) = next("") {
        match argument.as_str() {
            "--replicas" => options.replicas = next("N")?.parse()?,
            "--dump" => dump = Some(PathBuf::from(next("DIR")?)),
            "--flag" => {
                let flag = next("NAME=VALUE")?;
                let (name, value) = flag.split_once('=').ok_or("--flag takes NAME=VALUE")?;
                options = options.flag(name, parse(value));
            }
            _ => programs.push(PathBuf::from(argument)),
        }
    }
    if programs.is_empty() {
        return Err(USAGE.into());
    }
    let description = std::fs::read_to_string(&target).map_err(|error| format!("{target}: {error}"))?;
    let plugin = Plugin::load(plugin.as_ref())?;
    let topology = plugin.topology("", &[("target_config", description.as_str().into()), ("topology", topology.as_str().into())])?;
    println!("{} x {}", topology.devices().len(), topology.devices().first().map_or("no device", |device| &device.kind));
    programs.iter().try_for_each(|path| compile(&topology, path, &options, dump.as_deref()))
}

fn compile(topology: &Topology, path: &Path, options: &CompileOptions, dump: Option<&Path>) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut options = options.clone();
    if let Some(folder) = dump {
        let folder = folder.join(&name);
        options = options.flag("xla_dump_to", folder.to_string_lossy().as_ref()).flag("xla_dump_hlo_as_text", true);
    }
    let start = Instant::now();
    let compiled = topology.compile(&Program::new(&name, text), &options, Duration::from_secs(3600))?;
    let elapsed = start.elapsed();
    let MemoryNumbers { generated_code, arguments, outputs, aliased, temporary, peak } = compiled.memory()?;
    let mb = |bytes: i64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!("{name}: {:.1} s, serialised {}", elapsed.as_secs_f64(), mb(compiled.serialize()?.len() as i64));
    println!(
        "  memory: peak {}; arguments {}, outputs {} (of these in arguments' place {}), temporary {}, code {}",
        mb(peak),
        mb(arguments),
        mb(outputs),
        mb(aliased),
        mb(temporary),
        mb(generated_code)
    );
    if let Ok(cost) = compiled.cost() {
        let value =
            |wanted: &str| cost.iter().find(|(name, _)| name == wanted).map_or_else(|| "?".to_owned(), |(_, value)| value.to_string());
        println!("  XLA's estimate: {} floating-point operations, {} bytes accessed", value("flops"), value("bytes accessed"));
    }
    if let Some(folder) = dump {
        for (kernel, count) in kernels(&folder.join(&name))? {
            println!("  {count:5} x {kernel}");
        }
    }
    Ok(())
}

/// A flag's value as the type that it looks like.
fn parse(value: &str) -> Value {
    match (value.parse::<bool>(), value.parse::<i64>()) {
        (Ok(boolean), _) => boolean.into(),
        (_, Ok(integer)) => integer.into(),
        _ => value.into(),
    }
}

/// What the optimised program's instructions are: library calls by their target, fusions by their kind, collectives.
fn kernels(folder: &Path) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("after_optimizations.txt")) {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            let after = |key: &str| line.split_once(key).map(|(_, rest)| rest.split('"').next().unwrap_or_default());
            let kernel = if let Some(target) = after("custom_call_target=\"") {
                format!("custom call {target}")
            } else if line.contains(" fusion(") {
                format!("fusion {}", after("\"kind\":\"").unwrap_or("of the generic emitter"))
            } else if let Some(collective) = ["all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"]
                .into_iter()
                .find(|name| line.contains(&format!(" {name}(")) || line.contains(&format!(" {name}-start(")))
            {
                collective.to_owned()
            } else if let Some(plain) = [" while(", " sort(", " scatter("].into_iter().find(|name| line.contains(name)) {
                plain.trim_matches([' ', '(']).to_owned()
            } else {
                continue;
            };
            *counts.entry(kernel).or_insert(0) += 1;
        }
    }
    Ok(counts)
}
