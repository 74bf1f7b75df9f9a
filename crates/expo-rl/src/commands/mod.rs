//! One file per command: its arguments and what it does.

mod data;
mod docs;
mod generate;
mod score;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Generate(generate::Generate),
    Score(score::Score),
    Data(data::Data),
    Docs(docs::Docs),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Generate(args) => args.run(),
            Self::Score(args) => args.run(),
            Self::Data(args) => args.run(),
            Self::Docs(args) => args.run(),
        }
    }
}
