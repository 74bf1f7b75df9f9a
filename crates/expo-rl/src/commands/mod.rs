//! One file per command: its arguments and what it does.

use std::process::ExitCode;

mod analyze;
mod bench;
mod chat;
mod completions;
mod data;
mod devices;
mod docs;
mod dry_run;
mod eval;
mod explain;
mod generate;
mod import;
mod merge;
mod pairs;
mod plot;
mod quickstart;
mod report;
mod score;
mod sweep;
mod train;
mod verify;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Quickstart(quickstart::Quickstart),
    Train(train::Train),
    Sweep(sweep::Sweep),
    Eval(eval::Eval),
    Generate(generate::Generate),
    Chat(chat::Chat),
    Score(score::Score),
    Explain(explain::Explain),
    Pairs(pairs::Pairs),
    Analyze(analyze::Analyze),
    Report(report::Report),
    Plot(plot::Plot),
    Verify(verify::Verify),
    Import(import::Import),
    Merge(merge::Merge),
    Data(data::Data),
    Devices(devices::Devices),
    Bench(bench::Bench),
    Docs(docs::Docs),
    Completions(completions::Completions),
}

impl Command {
    /// Runs the command. Returns the exit code.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Quickstart(args) => args.run()?,
            Self::Train(args) => return args.run(),
            Self::Sweep(args) => return args.run(),
            Self::Eval(args) => args.run()?,
            Self::Generate(args) => args.run()?,
            Self::Chat(args) => args.run()?,
            Self::Score(args) => args.run()?,
            Self::Explain(args) => args.run()?,
            Self::Pairs(args) => args.run()?,
            Self::Analyze(args) => args.run()?,
            Self::Report(args) => args.run()?,
            Self::Plot(args) => args.run()?,
            Self::Verify(args) => return args.run(),
            Self::Import(args) => args.run()?,
            Self::Merge(args) => args.run()?,
            Self::Data(args) => return args.run(),
            Self::Devices(args) => return args.run(),
            Self::Bench(args) => args.run()?,
            Self::Docs(args) => args.run()?,
            Self::Completions(args) => args.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
