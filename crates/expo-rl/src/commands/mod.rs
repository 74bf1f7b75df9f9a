//! One file per command: its arguments and what it does.

mod data;
mod docs;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Data(data::Data),
    Docs(docs::Docs),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Data(args) => args.run(),
            Self::Docs(args) => args.run(),
        }
    }
}
