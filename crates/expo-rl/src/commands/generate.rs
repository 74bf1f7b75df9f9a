//! `expo-rl generate`: completions of one prompt, written as they come.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use expo_lm::generate::{EngineConfig, Request, SamplingParams, TokenEvent, generate};
use expo_lm::load::LoadedModel;
use expo_lm::tokenizer::{DecodeStream, Tokenizer};

use crate::policy::{self, ChatArgs, ModelArgs};
use crate::sampling::{SamplingArgs, at_least_one};

/// Generate completions of a prompt, streamed to standard output.
#[derive(Debug, clap::Args)]
pub struct Generate {
    #[command(flatten)]
    model: ModelArgs,
    /// The prompt, put through the model's chat template as a user's turn; the string of a special token is plain text in it. `-` reads it from standard input, `@FILE`
    /// from a file; the line break at its end is left out.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// System message.
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt as it stands, without chat template; the strings of special tokens are these tokens.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    chat: ChatArgs,
    /// Number of completions.
    #[arg(short, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    n: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
}

impl Generate {
    /// Generates and prints.
    pub fn run(self) -> anyhow::Result<()> {
        let text = read_prompt(&self.prompt)?;
        let LoadedModel { model, folder } = self.model.load()?;
        let chat = self.chat.chat(Arc::new(folder))?;
        let tokenizer = chat.folder().tokenizer()?;
        let prompt = match self.raw {
            true => tokenizer.encode(&text, true)?,
            false => chat.encode_prompt(&policy::question(self.system.as_deref(), &text))?,
        };
        let seeds: Vec<u64> = (0..self.n as u64).map(|i| self.sampling.draws.seed.wrapping_add(i)).collect();
        let sampling = self.sampling.params(chat.folder().eos_token_ids.clone());
        let request = Request { prompt, seeds, sampling: sampling.clone() };
        let mut printer = Printer::new(tokenizer, &sampling, self.n, std::io::stdout());
        let mut failed = None;
        generate(&model, &EngineConfig { max_num_seqs: self.n.min(64) }, &[request], &mut |event| {
            if failed.is_none() {
                failed = printer.token(event).err();
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => printer.finish(),
        }
    }
}

/// The prompt that `argument` stands for: itself, standard input (`-`) or a file (`@FILE`), without the line break at the end.
fn read_prompt(argument: &str) -> anyhow::Result<String> {
    let (mut text, source) = match argument.strip_prefix('@') {
        _ if argument == "-" => {
            (std::io::read_to_string(std::io::stdin()).context("standard input: cannot read the prompt")?, "standard input")
        }
        Some(path) => {
            let hint = "cannot read the prompt; one that begins with @ comes by --prompt -";
            (std::fs::read_to_string(path).with_context(|| format!("{path}: {hint}"))?, path)
        }
        None => return Ok(argument.to_owned()),
    };
    if text.ends_with('\n') {
        text.pop();
        text.truncate(text.strip_suffix('\r').map_or(text.len(), str::len));
    }
    anyhow::ensure!(!text.is_empty(), "{source}: the prompt is empty");
    Ok(text)
}

/// Prints one sample as its tokens come; the samples decoded beside it wait until it has ended.
pub struct Printer<'a, W> {
    sampling: &'a SamplingParams,
    out: W,
    samples: Vec<Sample<'a>>,
    current: usize,
}

struct Sample<'a> {
    /// `None` once the sample has ended.
    stream: Option<DecodeStream<'a>>,
    tokens: usize,
    /// Text not yet written.
    pending: String,
}

impl<'a, W: Write> Printer<'a, W> {
    /// Prints `n` samples, decoded by `tokenizer`, on `out`.
    pub fn new(tokenizer: &'a Tokenizer, sampling: &'a SamplingParams, n: usize, out: W) -> Self {
        let sample = || Sample { stream: Some(tokenizer.stream(true)), tokens: 0, pending: String::new() };
        Self { sampling, out, samples: (0..n).map(|_| sample()).collect(), current: 0 }
    }

    /// Takes the next token of a sample. Errors: it can't be written.
    pub fn token(&mut self, event: TokenEvent) -> anyhow::Result<()> {
        let sample = &mut self.samples[event.sample];
        if let Some(stream) = &mut sample.stream {
            sample.pending += &stream.push(event.token)?;
        }
        sample.tokens += 1;
        if self.sampling.stop_token_ids.contains(&event.token) || sample.tokens >= self.sampling.max_new_tokens {
            sample.end()?;
        }
        self.advance()
    }

    /// Writes what can be written of the current sample, and of the next ones where it has ended.
    fn advance(&mut self) -> anyhow::Result<()> {
        let count = self.samples.len();
        while let Some(sample) = self.samples.get_mut(self.current) {
            self.out.write_all(std::mem::take(&mut sample.pending).as_bytes())?;
            if sample.stream.is_some() {
                break;
            }
            self.current += 1;
            self.out.write_all(if self.current < count { b"\n\n" } else { b"\n" })?;
        }
        Ok(self.out.flush()?)
    }

    /// Writes what is left: samples that ended with the context.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.samples.iter_mut().try_for_each(Sample::end)?;
        self.advance()
    }
}

impl Sample<'_> {
    fn end(&mut self) -> anyhow::Result<()> {
        if let Some(stream) = self.stream.take() {
            self.pending += &stream.finish()?;
        }
        Ok(())
    }
}
