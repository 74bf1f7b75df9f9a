//! RL post-training of reasoning language models with self-explanations (ExPO), in one binary.
//!
//! Arguments, progress and reports only: no mathematics here. Exit codes: 0 done, 1 an error (told in a line or two), 2 wrong usage;
//! `verify` has its own; a run that a
//! signal stopped has 128 and the signal's number.
// They panic where nobody reads; see `output::tell`.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod chart;
mod commands;
mod devices;
mod live;
mod output;
mod policy;
mod progress;
mod report;
mod sampling;
mod session;
mod signals;
mod sweep;
mod table;
mod watch;

use clap::Parser;
use expo_core::provenance::{self, Build};

use crate::output::tell;

/// Weights and activations in huge pages, where the system has them.
#[global_allocator]
static ALLOCATOR: expo_lm::kernels::cpu::memory::Allocator = expo_lm::kernels::cpu::memory::Allocator;

/// RL post-training of reasoning language models with self-explanations (ExPO).
#[derive(Debug, Parser)]
#[command(name = "expo-rl", version = env!("EXPO_RL_VERSION"), max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: commands::Command,
    /// Number of threads (default: all cores). Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // The reader of our output has left (`expo-rl ... | head`): nothing to say, and nobody to say it to.
        Err(error) if output::is_broken_pipe(&error) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tell!("error: {}", output::describe(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// Stack of a worker thread: that of the main thread on most systems, since commands run on a worker.
const STACK_BYTES: usize = 8 << 20;

fn run(cli: Cli) -> anyhow::Result<std::process::ExitCode> {
    provenance::set(Build {
        commit: env!("EXPO_RL_COMMIT"),
        target: env!("EXPO_RL_TARGET"),
        features: env!("EXPO_RL_FEATURES").split_whitespace().collect(),
    });
    // 0: all cores.
    let threads = cli.threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES).build_global()?;
    // On a worker a kernel's parallel loop begins at once; from outside, each would be handed over to the pool and waited for.
    rayon::scope(|_| cli.command.run())
}
