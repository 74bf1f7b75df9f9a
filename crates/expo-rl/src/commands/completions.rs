//! `expo-rl completions`: what a shell needs to complete commands and arguments.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

/// Print a shell's completions of commands and arguments.
///
/// bash: `expo-rl completions bash > ~/.local/share/bash-completion/completions/expo-rl`. zsh: into a file `_expo-rl` in a folder of `$fpath`. fish:
/// `expo-rl completions fish > ~/.config/fish/completions/expo-rl.fish`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script on standard output.
    pub fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "expo-rl", &mut script);
        Ok(std::io::stdout().lock().write_all(&script)?)
    }
}
