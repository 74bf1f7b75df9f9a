//! `expo-rl data`: problems of the built-in generator as JSON lines; what is in data, and what is wrong with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use expo_core::data::generator::{Split, problems};
use expo_core::data::{GoldCheck, Problem, Problems, Rows, Survey};

use crate::{output, policy, session};

/// How many fields are told.
const MOST_FIELDS: usize = 30;

/// Make data, or check what is in it.
#[derive(Debug, clap::Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DataCommand {
    Make(Make),
    Check(Check),
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

/// Check data before a run: rows, fields, how they are read, levels, duplicates, rows that can't be used, and known answers that nothing could be equal to.
///
/// The exit code is 1 where there are such rows or answers, or no rows at all, and 2 where a file can't be read. Rows are read as `[data]` says; how
/// answers are compared is said by `[reward]`. Files of preferences (`chosen`, `rejected`) and documents (`messages`, or `prompt` and `completion`) are
/// recognised by the fields of their first row.
#[derive(Debug, clap::Args)]
struct Check {
    /// Files (.jsonl, .json, .csv, .tsv, .parquet) or hub data sets (the split `train`, or `data.split`) [default: data.train of the configuration].
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<String>,
    /// Configuration file whose `[data]` and `[reward]` are used.
    #[arg(long, value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Override an option, such as `data.answer_field=target` (repeatable).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SplitArg {
    /// For training.
    Train,
    /// For evaluation: never drawn for training or pretraining.
    HeldOut,
}

impl Data {
    /// Writes the problems, or tells what was found. Returns the exit code.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            DataCommand::Make(make) => make.run().map(|()| ExitCode::SUCCESS),
            // 1 says that there is something bad, so that an error is 2.
            DataCommand::Check(check) => check.run().or_else(|error| {
                output::tell!("error: {}", output::describe(&error));
                Ok(ExitCode::from(2))
            }),
        }
    }
}

impl Make {
    fn run(&self) -> anyhow::Result<()> {
        let split = match self.split {
            SplitArg::Train => Split::Train,
            SplitArg::HeldOut => Split::HeldOut,
        };
        let problems = problems(&self.level, self.n, self.seed, split)?;
        match &self.out {
            Some(path) => output::write_atomically(path, |writer| write_rows(writer, &problems)),
            None => write_rows(&mut std::io::BufWriter::new(std::io::stdout().lock()), &problems),
        }
    }
}

impl Check {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let config = session::read_config(self.config.as_deref(), &self.overrides)?;
        let sources = if self.files.is_empty() { &config.data.train.0 } else { &self.files };
        let golds = GoldCheck::of(&config);
        let mut is_bad = false;
        let mut out = std::io::stdout().lock();
        for source in sources {
            if source.starts_with("generator:") {
                writeln!(out, "{source}: built-in problems; nothing to check")?;
                continue;
            }
            let survey = Survey::of(source, &config.data, &golds)?;
            policy::tell(&survey.notices);
            is_bad |= survey.is_bad();
            out.write_all(told(&survey).as_bytes())?;
        }
        Ok(ExitCode::from(u8::from(is_bad)))
    }
}

/// What a survey found, in lines.
fn told(survey: &Survey) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let mut text: String = survey.files.iter().map(|(name, rows)| format!("{name}: {rows} rows\n")).collect();
    let mut line = |name: &str, value: String| text += &format!("  {name}: {value}\n");
    let fields = survey.fields.iter().map(|(name, count, kinds)| {
        let kinds: Vec<&str> = kinds.iter().copied().collect();
        format!("{} ({count}: {})", expo_core::data::shown(name), if kinds.is_empty() { "null".to_owned() } else { kinds.join(" or ") })
    });
    line("fields", list(&mut fields.take(MOST_FIELDS)));
    match &survey.rows {
        Rows::None => line("found", "no rows".to_owned()),
        Rows::Preferences(count) => line("read as", format!("preferences: {count} can be used")),
        Rows::Documents(count) => line("read as", format!("documents: {count} can be used")),
        Rows::Problems(problems) => {
            let Problems { formats, usable, unanswered, expert_cots, levels, duplicates, contradicting, bad_golds, golds } = problems;
            let formats = list(&mut formats.iter().map(|(format, count)| format!("{format} ({count})")));
            line("read as", format!("problems: {}", if formats.is_empty() { "none" } else { &formats }));
            line("different questions", usable.to_string());
            line("expert chains of thought", expert_cots.to_string());
            line("levels", list(&mut levels.iter().map(|(level, count)| format!("{level} ({count})"))));
            line("questions that came before", format!("{duplicates}, {contradicting} of them with another answer"));
            line("rows without an answer", unanswered.to_string());
            let reasons = if bad_golds.count > 0 { format!(": {}", bad_golds.reasons()) } else { String::new() };
            line("known answers that can't be paid", format!("{} of {golds}{reasons}", bad_golds.count));
        }
    }
    line("rows that can't be used", survey.bad_rows.1.clone().unwrap_or_else(|| "0".to_owned()));
    text
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
