//! `expo-rl data make`: problems of the built-in generator as JSON lines.

use std::io::Write;
use std::path::PathBuf;

use expo_core::data::Problem;
use expo_core::data::generator::{Split, problems};

use crate::output;

/// Make data.
#[derive(Debug, clap::Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DataCommand {
    Make(Make),
}

/// Make problems of the built-in division generator, as JSON lines with `id`, `question`, `answer`, `solution` (expert chain of thought) and `level`.
#[derive(Debug, clap::Args)]
struct Make {
    /// Level, 1 (easiest) to 5; several: `--level 1,5`; default: all in turn.
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=5))]
    level: Vec<u32>,
    /// Number of problems.
    #[arg(short, value_name = "N", default_value_t = 100)]
    n: usize,
    /// Seed: the same one gives the same problems.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Which side of the generator's fixed partition to draw from.
    #[arg(long, value_enum, default_value_t = SplitArg::Train)]
    split: SplitArg,
    /// File to write (default: standard output).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SplitArg {
    /// For training.
    Train,
    /// For evaluation: never drawn for training or pretraining.
    HeldOut,
}

impl Data {
    /// Writes the problems.
    pub fn run(self) -> anyhow::Result<()> {
        let DataCommand::Make(make) = self.command;
        let split = match make.split {
            SplitArg::Train => Split::Train,
            SplitArg::HeldOut => Split::HeldOut,
        };
        let problems = problems(&make.level, make.n, make.seed, split)?;
        match &make.out {
            Some(path) => output::write_atomically(path, |writer| write_rows(writer, &problems)),
            None => write_rows(&mut std::io::BufWriter::new(std::io::stdout().lock()), &problems),
        }
    }
}

fn write_rows(writer: &mut dyn Write, problems: &[Problem]) -> anyhow::Result<()> {
    for problem in problems {
        let row = serde_json::json!({
            "id": problem.id,
            "question": problem.question,
            "answer": problem.answer,
            "solution": problem.expert_cot,
            "level": problem.level,
        });
        writeln!(writer, "{row}")?;
    }
    Ok(writer.flush()?)
}
