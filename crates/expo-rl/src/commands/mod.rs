//! One file per command: its arguments and what it does.

mod docs;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Docs(docs::Docs),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Docs(args) => args.run(),
        }
    }
}
