//! `expo-rl score`: log-probabilities of given completions.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use expo_core::data::{read_text, shown};
use expo_lm::PackedBatch;
use expo_lm::chat::{Chat, Conversation, Message, Turn};
use expo_lm::load::LoadedModel;
use expo_lm::model::{Model, Workspace};
use serde_json::Value;

use crate::output::{self, JsonRow};
use crate::policy::{self, ChatArgs, ModelArgs};
use crate::progress::Progress;
use crate::sampling::at_least_one;

/// Write each row of a JSON-lines file with `logprobs` added: one natural-log probability per completion token, at temperature 1.
///
/// A row has `prompt` and `completion` as text (the prompt goes through the chat template as a user's turn, the completion is
/// encoded as it stands; the string of a special token is plain text in both), or `prompt_ids` and `completion_ids`, which are used unchanged. Or it has
/// `messages`, a conversation: then its last turn is scored, with the tokens that training takes, which are added as `completion_ids`.
#[derive(Debug, clap::Args)]
pub struct Score {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON-lines file with the rows.
    #[arg(long, value_name = "FILE.jsonl")]
    data: PathBuf,
    /// File to write; it appears when all rows are done.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Encode prompts as they stand, without chat template; the strings of special tokens are these tokens, in completions, too.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    chat: ChatArgs,
    /// Most tokens of a batch (at least one row).
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    max_tokens_per_batch: usize,
}

/// One row and its tokens.
struct Row {
    line: usize,
    fields: JsonRow,
    prompt: Vec<u32>,
    completion: Vec<u32>,
    /// The tokens of the completion that are told of.
    told: Vec<Range<usize>>,
}

impl Score {
    /// Reads all rows, scores them, writes the file.
    pub fn run(self) -> anyhow::Result<()> {
        output::check_writable(&self.out)?;
        let text = read_text(&self.data, "JSON lines, one object a line")?;
        let LoadedModel { model, folder } = self.model.load()?;
        let chat = self.chat.chat(Arc::new(folder))?;
        let mut rows = vec![];
        let mut notices = BTreeSet::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let row = self
                .read_row(&model, &chat, index + 1, line, &mut notices)
                .map_err(|e| anyhow!("{}:{}: {}", self.data.display(), index + 1, output::describe(&e)))?;
            rows.push(row);
        }
        if rows.is_empty() {
            bail!("{}: no rows; expected one JSON object a line", self.data.display());
        }
        policy::tell(&notices.into_iter().collect::<Vec<_>>());
        output::write_atomically(&self.out, |writer| score_rows(&model, &self.data, rows, self.max_tokens_per_batch, writer))
    }

    fn read_row(&self, model: &Model, chat: &Chat, line: usize, text: &str, notices: &mut BTreeSet<String>) -> anyhow::Result<Row> {
        let mut fields = JsonRow::read(text)?;
        if let Some(messages) = fields.get("messages") {
            let turn = last_turn(chat, &messages, &fields)?;
            notices.extend(turn.notices);
            fields.set("completion_ids", &turn.completion)?;
            return checked(model, Row { line, fields, prompt: turn.prompt, completion: turn.completion, told: turn.trained });
        }
        let tokenizer = || chat.folder().tokenizer();
        let prompt = match (fields.get("prompt_ids"), fields.text("prompt")?) {
            (Some(ids), _) => token_ids(model, "prompt_ids", &ids)?,
            (None, Some(prompt)) => {
                if self.raw {
                    tokenizer()?.encode(&prompt, true)?
                } else {
                    chat.encode_prompt(&policy::question(None, &prompt))?
                }
            }
            (None, None) => bail!("expected a field `prompt` (text), `prompt_ids` (token ids) or `messages` (a conversation)"),
        };
        let completion = match (fields.get("completion_ids"), fields.text("completion")?) {
            (Some(ids), _) => token_ids(model, "completion_ids", &ids)?,
            (None, Some(completion)) => {
                let tokenizer = tokenizer()?;
                if self.raw { tokenizer.encode(&completion, false)? } else { tokenizer.encode_plain(&completion)? }
            }
            (None, None) => bail!("expected a field `completion` (text) or `completion_ids` (token ids)"),
        };
        checked(model, Row { line, fields, prompt, completion, told: Vec::new() })
    }
}

/// `row`, if the model can score it.
fn checked(model: &Model, row: Row) -> anyhow::Result<Row> {
    if row.prompt.is_empty() {
        bail!("the prompt has no tokens: the first token of a sequence has no log-probability; give at least one");
    }
    let (length, context) = (row.prompt.len() + row.completion.len(), model.config.max_position_embeddings);
    if length > context {
        bail!("{length} tokens, but the model's context is {context}; shorten the row");
    }
    Ok(row)
}

/// The last turn of `messages`; `fields` are the row's.
fn last_turn(chat: &Chat, messages: &Value, fields: &JsonRow) -> anyhow::Result<Turn> {
    let messages = messages.as_array().with_context(|| format!("`messages`: found {}, expected a list", shown(&messages.to_string())))?;
    let read = |(i, item)| Message::from_json(item).map_err(|problem| anyhow!("`messages`, message {}: {problem}", i + 1));
    let messages: Vec<Message> = messages.iter().enumerate().map(read).collect::<anyhow::Result<_>>()?;
    match messages.last() {
        Some(last) if last.role == "assistant" && messages.len() > 1 => {}
        _ => bail!("`messages`: expected at least two messages, the last of them the assistant's"),
    }
    let context = Conversation::context(fields.get("tools").as_ref(), fields.get("chat_template_kwargs").as_ref())
        .map_err(|problem| anyhow!(problem))?;
    Ok(chat.turn(&context.with(messages.clone()), messages.len() - 1)?)
}

fn token_ids(model: &Model, name: &str, value: &Value) -> anyhow::Result<Vec<u32>> {
    let size = model.config.vocab_size;
    let read = |id: &Value| {
        let id = id
            .as_u64()
            .filter(|id| *id < size as u64)
            .with_context(|| format!("`{name}`: found {id}, expected token ids from 0 to {}", size - 1))?;
        Ok(id as u32)
    };
    value
        .as_array()
        .with_context(|| format!("`{name}`: found {}, expected a list of token ids", shown(&value.to_string())))?
        .iter()
        .map(read)
        .collect()
}

fn score_rows(model: &Model, data: &Path, rows: Vec<Row>, max_tokens: usize, writer: &mut dyn Write) -> anyhow::Result<()> {
    let mut progress = Progress::new("score", rows.len(), "row");
    let mut workspace = Workspace::default();
    let (mut done, mut tokens) = (0, 0);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut batch = PackedBatch::new();
        let mut members = vec![];
        while let Some(row) =
            rows.next_if(|row| members.is_empty() || batch.tokens.len() + row.prompt.len() + row.completion.len() <= max_tokens)
        {
            let range = batch.push(&row.prompt, &row.completion, 1.0);
            members.push((row, range));
        }
        let scores = model.score(&mut workspace, &batch)?;
        for (mut row, range) in members {
            let is_told = |place: &usize| row.told.is_empty() || row.told.iter().any(|range| range.contains(place));
            let places = (0..row.completion.len()).filter(is_told);
            let log_probs: Vec<f64> = places.map(|place| scores[range.start + place].log_prob).collect();
            if log_probs.iter().any(|p| !p.is_finite()) {
                bail!("{}:{}: the model gives a log-probability that is not finite", data.display(), row.line);
            }
            tokens += log_probs.len();
            row.fields.set("logprobs", &log_probs)?;
            row.fields.write(writer)?;
            done += 1;
        }
        progress.set(done, String::new());
    }
    progress.finish(&format!("{done} rows, {tokens} completion tokens"));
    Ok(())
}
