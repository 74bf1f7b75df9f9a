//! What the scripts in scripts/parity compare with transformers; JSON on standard output.
//!
//! `parity chat FOLDER CONVERSATIONS.json`: for each conversation (a list of messages), the token ids with and without the prompt for
//! the assistant's turn. `parity logits FOLDER ADAPTER TOKENS.json OUT`: of each sequence of token ids (a list of lists) the logits of every position, as f32
//! into a file (ADAPTER: a folder in PEFT's format, or `-`). `parity greedy FOLDER CONVERSATIONS.json N`: N tokens of each conversation's greedy continuation.

use std::path::Path;

use expo_lm::PackedBatch;
use expo_lm::chat::Message;
use expo_lm::generate::{EngineConfig, Request, SamplingParams, generate};
use expo_lm::load::LoadedModel;
use expo_lm::model::Workspace;
use serde_json::{Value, json};

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["chat", folder, conversations] => {
            // Templates and tokenizers are compared on folders without weights; the model itself is not used.
            let loaded = LoadedModel::random(folder, 0)?;
            let encode = |messages: &Value, prompt: bool| -> Result<Vec<u32>, AnyError> {
                // Messages with more than text, such as calls of tools, are not for training; their templates are compared all the same.
                let plain = |message: &Value| message.as_object().is_some_and(|fields| fields.len() == 2) && message["content"].is_string();
                if messages.as_array().is_some_and(|messages| messages.iter().all(plain)) {
                    return Ok(loaded.encode_chat(&serde_json::from_value::<Vec<Message>>(messages.clone())?, prompt)?);
                }
                Ok(loaded.tokenizer()?.encode(&loaded.chat()?.render_json(messages, None, prompt)?, false)?)
            };
            let conversations: Vec<Value> = serde_json::from_slice(&std::fs::read(conversations)?)?;
            let ids = conversations.iter().map(|c| Ok(json!([encode(c, true)?, encode(c, false)?])));
            println!("{}", Value::Array(ids.collect::<Result<_, AnyError>>()?));
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
            let requests = conversations.iter().map(|messages| -> Result<Request, AnyError> {
                let prompt = loaded.encode_chat(messages, true)?;
                Ok(Request { prompt, seeds: vec![0], sampling: sampling.clone() })
            });
            let requests = requests.collect::<Result<Vec<_>, _>>()?;
            let results = generate(&loaded.model, &EngineConfig { max_num_seqs: 8 }, &requests, &mut |_| {})?.completions;
            println!("{}", json!(results.iter().map(|samples| &samples[0].tokens).collect::<Vec<_>>()));
        }
        _ => return Err("usage: parity chat FOLDER FILE | parity logits FOLDER ADAPTER FILE OUT | parity greedy FOLDER FILE N".into()),
    }
    Ok(())
}
