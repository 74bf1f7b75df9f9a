//! What the scripts in scripts/parity compare with transformers; JSON on standard output.
//!
//! `parity chat FOLDER CONVERSATIONS.json`: for each conversation (a list of messages), the token ids with and without the prompt for
//! the assistant's turn, or why it is refused. `parity turns FOLDER ROWS.jsonl`: for each row (`messages`, `tools`, `chat_template_kwargs`) each turn of the assistant as training takes it, a line
//! a row. `parity logits FOLDER ADAPTER TOKENS.json OUT`: of each sequence of token ids (a list of lists) the logits of every position, as f32
//! into a file (ADAPTER: a folder in PEFT's format, or `-`). `parity gradients FOLDER TOKENS.json OUT`: of the mean next-token cross-entropy over the sequences, by
//! every weight, as safetensors. `parity save FOLDER ADAPTER OUT`: the model (or, with one, the adapter) written again. `parity greedy FOLDER CONVERSATIONS.json N`: N tokens of each conversation's greedy continuation.
//! `parity templates REQUEST.json`: of each template the text of each conversation, or why it is refused (scripts/parity/templates.py writes the request).

use std::path::Path;
use std::sync::Arc;

use expo_lm::chat::{Chat, ChatSettings, ChatTemplate, Conversation, Message};
use expo_lm::generate::{EngineConfig, Request, SamplingParams, generate};
use expo_lm::load::LoadedModel;
use expo_lm::model::Workspace;
use expo_lm::weights::TensorSet;
use expo_lm::weights::tensor_file::{SaveDtype, TensorFile};
use expo_lm::{LossGradient, PackedBatch, Target};
use serde_json::{Value, json};

/// The date that scripts/parity/turns.py gives transformers.
const DATE_OF_TURNS: i64 = 1_722_038_400;

/// The chat of a model's folder, with `settings`.
fn chat(loaded: LoadedModel, settings: ChatSettings) -> Chat {
    Chat::new(Arc::new(loaded.folder), settings)
}

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["chat", folder, conversations] => {
            // Templates and tokenizers are compared on folders without weights; the model itself is not used.
            let chat = chat(LoadedModel::random(folder, 0)?, ChatSettings::now());
            let conversations: Vec<Vec<Message>> = serde_json::from_slice(&std::fs::read(conversations)?)?;
            let encode = |messages: &Vec<Message>| -> Result<Value, AnyError> {
                let conversation = messages.clone().into();
                let finished = chat.folder().tokenizer()?.encode_marked(&chat.whole(&conversation)?)?;
                Ok(json!([chat.encode_prompt(&conversation)?, finished]))
            };
            let or_error = |messages: &Vec<Message>| encode(messages).unwrap_or_else(|error| json!({"error": error.to_string()}));
            println!("{}", Value::Array(conversations.iter().map(or_error).collect()));
        }
        ["turns", folder, rows] => {
            let chat = chat(LoadedModel::random(folder, 0)?, ChatSettings { date: DATE_OF_TURNS, ..ChatSettings::default() });
            for line in std::fs::read_to_string(rows)?.lines() {
                let row: Value = serde_json::from_str(line)?;
                let messages: Vec<Message> = serde_json::from_value(row["messages"].clone())?;
                let context = Conversation::context(row.get("tools"), row.get("chat_template_kwargs"))?;
                let conversation = context.with(messages);
                let turns = (1..conversation.messages.len()).filter(|i| conversation.messages[*i].role == "assistant");
                let turn = |i: usize| match chat.turn(&conversation, i) {
                    Ok(turn) => json!({"message": i, "prompt": turn.prompt, "completion": turn.completion, "notices": turn.notices,
                        "trained": turn.trained.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>()}),
                    Err(error) => json!({"message": i, "error": error.to_string()}),
                };
                println!("{}", Value::Array(turns.map(turn).collect()));
            }
        }
        ["logits", folder, adapter, tokens, out] => {
            let mut model = LoadedModel::load(folder)?.model;
            if *adapter != "-" {
                model.load_adapter(Path::new(adapter))?;
            }
            let mut batch = PackedBatch::new();
            for sequence in serde_json::from_slice::<Vec<Vec<u32>>>(&std::fs::read(tokens)?)? {
                batch.push_segment(None, &sequence);
            }
            let rows: Vec<usize> = (0..batch.tokens.len()).collect();
            let logits = model.logits(&mut Workspace::default(), &batch, &rows)?;
            std::fs::write(out, logits.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect::<Vec<u8>>())?;
        }
        ["gradients", folder, tokens, out] => {
            let model = LoadedModel::load(folder)?.model;
            let mut batch = PackedBatch::new();
            for sequence in serde_json::from_slice::<Vec<Vec<u32>>>(&std::fs::read(tokens)?)? {
                let start = batch.tokens.len();
                batch.push_segment(None, &sequence);
                let next = sequence.iter().enumerate().skip(1);
                batch.targets.extend(next.map(|(i, token)| Target { row: start + i - 1, token: *token, temperature: 1.0 }));
            }
            let (mut gradients, count) = (model.new_gradients(), batch.targets.len() as f64);
            model.forward_backward(&mut Workspace::default(), &batch, &mut gradients, LossGradient::PerToken(&|_, _| -1.0 / count))?;
            let (path, shapes) = (Path::new(out), model.tensors().shapes());
            let mut file = TensorFile::create(path, path, &shapes, SaveDtype::F32)?;
            gradients.export(&model, &mut |name, tensor| file.push(name, &tensor))?;
            file.finish()?;
        }
        ["save", folder, adapter, out] => {
            let mut loaded = LoadedModel::load(folder)?;
            if *adapter != "-" {
                loaded.model.load_adapter(Path::new(adapter))?;
            }
            loaded.save(Path::new(out), SaveDtype::F32)?;
        }
        ["greedy", folder, conversations, n] => {
            let loaded = LoadedModel::load(folder)?;
            let conversations: Vec<Vec<Message>> = serde_json::from_slice(&std::fs::read(conversations)?)?;
            let sampling = SamplingParams {
                temperature: 0.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                max_new_tokens: n.parse()?,
                stop_token_ids: loaded.eos_token_ids.clone(),
            };
            let LoadedModel { model, folder } = loaded;
            let chat = Chat::new(Arc::new(folder), ChatSettings::now());
            let requests = conversations.into_iter().map(|messages| -> Result<Request, AnyError> {
                let prompt = chat.encode_prompt(&messages.into())?;
                Ok(Request { prompt, seeds: vec![0], sampling: sampling.clone() })
            });
            let requests = requests.collect::<Result<Vec<_>, _>>()?;
            let results = generate(&model, &EngineConfig { max_num_seqs: 8 }, &requests, &mut |_| {})?.completions;
            println!("{}", json!(results.iter().map(|samples| &samples[0].tokens).collect::<Vec<_>>()));
        }
        ["templates", request] => {
            let request: Value = serde_json::from_slice(&std::fs::read(request)?)?;
            let each = |template: &Value| -> Value {
                let cases = request["cases"].as_array().into_iter().flatten();
                cases
                    .map(|case| render(template, case, &request["unix_seconds"]).unwrap_or_else(|e| json!({"error": e.to_string()})))
                    .collect()
            };
            println!("{}", request["templates"].as_array().into_iter().flatten().map(each).collect::<Value>());
        }
        _ => return Err(
            "usage: parity chat FOLDER FILE | turns FOLDER FILE | logits FOLDER ADAPTER FILE OUT | gradients FOLDER FILE OUT | save FOLDER ADAPTER OUT | \
             greedy FOLDER FILE N | templates FILE"
                .into(),
        ),
    }
    Ok(())
}

/// The text of one conversation.
fn render(template: &Value, case: &Value, unix_seconds: &Value) -> Result<Value, AnyError> {
    let mut variables = template["special_tokens"].as_object().cloned().unwrap_or_default();
    variables.extend(case["variables"].as_object().cloned().unwrap_or_default());
    let chat = ChatTemplate::new(template["source"].as_str().unwrap_or_default(), Path::new("template"), variables)?;
    let settings = ChatSettings { date: unix_seconds.as_i64().unwrap_or_default(), ..ChatSettings::default() };
    let tools = Some(&case["tools"]).filter(|tools| !tools.is_null());
    Ok(json!({"text": chat.render_json(&case["messages"], tools, case["add_generation_prompt"] == true, &settings)?}))
}
