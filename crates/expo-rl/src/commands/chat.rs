//! `expo-rl chat`: a conversation with a model, its answers written as they come.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use expo_lm::chat::{Chat as ModelChat, Conversation, Message};
use expo_lm::generate::{EngineConfig, FinishReason, Request, SamplingParams, generate};
use expo_lm::load::LoadedModel;
use expo_lm::model::Model;
use serde_json::Value;

use super::generate::Printer;
use crate::output::{self, tell};
use crate::policy::{self, ChatArgs};
use crate::sampling::SamplingArgs;

/// Talk with a model: each line is a turn of yours, the answer comes as it is written.
///
/// Lines that begin with / are commands; /help lists them. A line that ends with \\ goes on in the next one. With standard input from a pipe each of its lines is a turn.
#[derive(Debug, clap::Args)]
pub struct Chat {
    /// Hugging Face folder, hub name (owner/model), `embedded:tiny`, an adapter's folder (PEFT), or the folder of a run.
    #[arg(value_name = "MODEL", required_unless_present = "adapter")]
    model: Option<String>,
    /// LoRA adapter to put on it: a folder in PEFT's format. Without MODEL, on the model that it names.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// System message [default: of a run's folder its `prompt.system`].
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    chat: ChatArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

const HELP: &str = "\
/prompt        the last prompt as the model saw it, with its special tokens and the ids of all tokens
/reset         begin anew; the system message stays
/retry         draw the last answer once more
/system TEXT   set the system message (nothing: none) and begin anew
/history       the conversation so far
/help          this list
/quit          leave (so does the end of input)";

impl Chat {
    /// Talks until the input ends.
    pub fn run(self) -> anyhow::Result<()> {
        let prompts = self.model.as_deref().map(|model| run_prompts(Path::new(model))).unwrap_or_default();
        let LoadedModel { model, folder } = policy::load_policy(self.model.as_deref(), self.adapter.as_deref())?;
        let chat = self.chat.chat(Arc::new(folder))?;
        // Both are told now, not after the first question.
        chat.template()?;
        chat.folder().tokenizer()?;
        if let Some(question) = prompts.question.filter(|question| question != "{{question}}") {
            policy::tell(&[format!("the run put its questions as {question:?}; what you write is taken as it is")]);
        }
        let system = self.system.or(prompts.system).filter(|system| !system.is_empty());
        let seed = self.sampling.draws.seed;
        let sampling = self.sampling.params(chat.folder().eos_token_ids.clone());
        let mut talk = Talk { model: &model, chat: &chat, sampling, seed, system, turns: Vec::new(), last_prompt: None };
        let terminal = std::io::stdin().is_terminal();
        if terminal {
            tell!("{}; /help lists the commands, /quit leaves", chat.folder().origin());
        }
        let mut lines = std::io::stdin().lock().lines();
        while let Some(turn) = read_turn(&mut lines, terminal)? {
            let told = match turn.trim() {
                "" => Ok(()),
                "/quit" | "/exit" | "/bye" => break,
                command if command.starts_with('/') => talk.command(command),
                _ => talk.say(&turn),
            };
            match told {
                Ok(()) => {}
                Err(error) if output::is_broken_pipe(&error) => return Err(error),
                // Someone who sits there can go on; a script should know.
                Err(error) if terminal => tell!("error: {}", output::describe(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The prompts of a run, where there is one in the folder.
#[derive(Debug, Default)]
struct RunPrompts {
    system: Option<String>,
    question: Option<String>,
}

fn run_prompts(folder: &Path) -> RunPrompts {
    let run = std::fs::read(folder.join("run.json")).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let prompt = |name: &str| Some(run.as_ref()?["config"]["prompt"][name].as_str()?.to_owned());
    RunPrompts { system: prompt("system"), question: prompt("question") }
}

/// The next turn: a line, with those that it goes on in. `None`: the input has ended.
fn read_turn(lines: &mut impl Iterator<Item = std::io::Result<String>>, terminal: bool) -> anyhow::Result<Option<String>> {
    let mut turn = String::new();
    let mut mark = "> ";
    loop {
        if terminal {
            // On standard error, where it does not mix with answers that go to a file.
            let mut stderr = std::io::stderr();
            let _ = stderr.write_all(mark.as_bytes()).and_then(|()| stderr.flush());
        }
        let Some(line) = lines.next().transpose().map_err(|e| anyhow::anyhow!("standard input: cannot read: {e}"))? else {
            return Ok(Some(turn).filter(|turn| !turn.is_empty()));
        };
        match line.strip_suffix('\\') {
            Some(part) => turn = turn + part + "\n",
            None => return Ok(Some(turn + &line)),
        }
        mark = ". ";
    }
}

/// A conversation with a model.
struct Talk<'a> {
    model: &'a Model,
    chat: &'a ModelChat,
    sampling: SamplingParams,
    /// Of the next answer.
    seed: u64,
    system: Option<String>,
    /// User and assistant in turn; ends with the assistant's.
    turns: Vec<(&'static str, String)>,
    last_prompt: Option<Vec<u32>>,
}

impl Talk<'_> {
    /// Does what a line that begins with / asks for. Errors: there is no such command; those of an answer.
    fn command(&mut self, line: &str) -> anyhow::Result<()> {
        let (name, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(name, rest)| (name, rest.trim()));
        match name {
            "/help" | "/?" => write_out(HELP),
            "/reset" | "/clear" => {
                self.turns.clear();
                Ok(())
            }
            "/system" => {
                self.system = Some(rest.to_owned()).filter(|system| !system.is_empty());
                self.turns.clear();
                Ok(())
            }
            "/history" => {
                let told: Vec<_> = self.turns().map(|(role, text)| format!("[{role}] {text}")).collect();
                write_out(&told.join("\n"))
            }
            "/prompt" => self.show_prompt(),
            "/retry" => {
                self.turns.pop();
                match self.turns.pop() {
                    Some((_, question)) => self.say(&question),
                    None => anyhow::bail!("nothing to answer once more"),
                }
            }
            _ => anyhow::bail!("no command {name}; /help lists them"),
        }
    }

    /// The system message and all turns: role and text.
    fn turns(&self) -> impl Iterator<Item = (&str, &str)> {
        let system = self.system.iter().map(|system| ("system", system.as_str()));
        system.chain(self.turns.iter().map(|(role, text)| (*role, text.as_str())))
    }

    fn conversation(&self) -> Conversation {
        self.turns().map(|(role, text)| Message::new(role, text)).collect::<Vec<_>>().into()
    }

    /// Adds a turn of the user, and the answer to it, written as it comes. Errors: the conversation exceeds the context, or the template refuses it; then the
    /// turn is not part of it.
    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.turns.push(("user", text.to_owned()));
        let answer = self.answer();
        match answer {
            Ok(answer) => {
                self.turns.push(("assistant", answer));
                Ok(())
            }
            Err(error) => {
                self.turns.pop();
                Err(error)
            }
        }
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let start = Instant::now();
        let prompt = self.chat.encode_prompt(&self.conversation())?;
        let context = self.model.config.max_position_embeddings;
        if prompt.len() >= context {
            anyhow::bail!("the conversation has {} tokens, and the model's context is {context}; /reset begins anew", prompt.len());
        }
        self.last_prompt = Some(prompt.clone());
        let tokenizer = self.chat.folder().tokenizer()?;
        let mut printer = Printer::new(tokenizer, &self.sampling, 1, std::io::stdout());
        let (mut failed, mut first) = (None, None);
        let request = Request { prompt, seeds: vec![self.seed], sampling: self.sampling.clone() };
        // Each answer has a stream of its own.
        self.seed = self.seed.wrapping_add(1);
        let generation = generate(self.model, &EngineConfig { max_num_seqs: 1 }, &[request], &mut |event| {
            first.get_or_insert_with(|| start.elapsed());
            if failed.is_none() {
                failed = printer.token(event).err();
            }
        })?;
        failed.map_or_else(|| printer.finish(), Err)?;
        let generated = &generation.completions[0][0];
        if std::io::stderr().is_terminal() {
            let (seconds, first) = (start.elapsed().as_secs_f64(), first.unwrap_or_default().as_secs_f64());
            let end = if generated.finish == FinishReason::Length { "; cut at its length limit (--max-new-tokens)" } else { "" };
            let tokens = generated.tokens.len();
            tell!("[{tokens} tokens, the first after {first:.2} s, {:.0} a second{end}]", tokens as f64 / seconds.max(1e-9));
        }
        let stops = &self.sampling.stop_token_ids;
        let end = generated.tokens.len() - usize::from(generated.tokens.last().is_some_and(|token| stops.contains(token)));
        Ok(tokenizer.decode(&generated.tokens[..end], true)?)
    }

    /// Writes the last prompt: its text with special tokens, then every token with its id.
    fn show_prompt(&self) -> anyhow::Result<()> {
        let Some(prompt) = &self.last_prompt else { anyhow::bail!("nothing was asked yet") };
        let tokenizer = self.chat.folder().tokenizer()?;
        let each =
            prompt.iter().map(|id| Ok(format!("{id} {:?}", tokenizer.decode(&[*id], false)?))).collect::<anyhow::Result<Vec<_>>>()?;
        write_out(&format!("{}\n{} tokens: {}", tokenizer.decode(prompt, false)?, prompt.len(), each.join(", ")))
    }
}

fn write_out(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{text}").and_then(|()| out.flush())?)
}
