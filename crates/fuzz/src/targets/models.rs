//! Models and what lies beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use expo_lm::chat::{ChatSettings, ChatTemplate, Message};
use expo_lm::gguf;
use expo_lm::load::LoadedModel;
use expo_lm::model::Model;
use expo_lm::tokenizer::Tokenizer;
use expo_lm::weights::TensorSource;
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::safetensors::SafetensorsSource;
use serde_json::{Map, Value};

use super::{message, one, part, text, write};
use crate::mutate::Case;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../expo-lm/tests/fixtures").join(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A safetensors file as its header and its data: the length before the header then fits, whatever becomes of it.
fn split(bytes: &[u8]) -> Case {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    vec![("header".to_owned(), bytes[8..end].to_vec()), ("data".to_owned(), bytes[end..].to_vec())]
}

fn joined(case: &Case) -> Vec<u8> {
    let header = part(case, "header");
    [&(header.len() as u64).to_le_bytes(), header, part(case, "data")].concat()
}

/// A file small enough that every byte of it is changed sometimes.
fn small_safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},"c":{"dtype":"F16","shape":[],"data_offsets":[22,24]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[7; 24]].concat()
}

pub fn safetensors_seeds() -> Vec<Case> {
    vec![one("whole", small_safetensors()), split(&small_safetensors()), split(&read("lora/rslora/adapter_model.safetensors"))]
}

pub fn safetensors(_: &Path, case: &Case) -> Result<(), String> {
    let whole = part(case, "whole");
    let bytes = if case.len() == 1 { whole.to_vec() } else { joined(case) };
    let mut source = message(SafetensorsSource::from_bytes("model.safetensors", &bytes))?;
    let names: Vec<String> = source.names().map(str::to_owned).collect();
    names.iter().try_for_each(|name| message(source.tensor(name)).map(drop))
}

pub fn shards_seeds() -> Vec<Case> {
    let index = r#"{"metadata": {"total_size": 24}, "weight_map": {"a": "s1.safetensors", "b": "s1.safetensors", "c": "s1.safetensors"}}"#;
    vec![vec![("model.safetensors.index.json".to_owned(), index.into()), ("s1.safetensors".to_owned(), small_safetensors())]]
}

pub fn shards(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, case);
    let mut source = message(SafetensorsSource::open(folder))?;
    ["a", "b", "c"].iter().try_for_each(|name| message(source.tensor(name)).map(drop))
}

pub fn gguf_seeds() -> Vec<Case> {
    ["qwen2", "llama", "gemma3"].map(|name| one("model.gguf", read(&format!("gguf/{name}.gguf")))).into()
}

pub fn gguf(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, case);
    let out = folder.join("imported");
    let imported = message(gguf::import(&folder.join("model.gguf"), &out, SaveDtype::F32));
    let _ = std::fs::remove_dir_all(&out);
    imported.map(drop)
}

/// What the tokenizers are given to encode.
const TEXT: &str = "12/3? Na\u{ef}ve caf\u{e9} \u{1f600}\n\t <|im_start|>user\u{0}";

pub fn tokenizer_seeds() -> Vec<Case> {
    let mut seeds = vec![one("tokenizer.json", include_bytes!("../../../../assets/tiny/tokenizer.json"))];
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["qwen2", "llama"] {
        let out = folder.path().join(name);
        gguf::import(&fixture(&format!("gguf/{name}.gguf")), &out, SaveDtype::F32).expect("a fixture");
        seeds.push(one("tokenizer.json", std::fs::read(out.join("tokenizer.json")).expect("imported")));
    }
    seeds
}

pub fn tokenizer(_: &Path, case: &Case) -> Result<(), String> {
    let tokenizer = message(Tokenizer::from_bytes(part(case, "tokenizer.json"), Path::new("tokenizer.json")))?;
    for special in [false, true] {
        let ids = message(tokenizer.encode(TEXT, special))?;
        message(tokenizer.decode(&ids, special))?;
    }
    let mut stream = tokenizer.stream(false);
    (0..40).try_for_each(|id| message(stream.push(id)).map(drop))?;
    message(stream.finish()).map(drop)
}

/// A model of 64 ids, for the tokenizer's files.
const SMALL: &str = r#"{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 64, "hidden_size": 4, "intermediate_size": 4,
    "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}"#;

pub fn tokens_seeds() -> Vec<Case> {
    let side = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let tiny = ("tokenizer.json".to_owned(), include_bytes!("../../../../assets/tiny/tokenizer.json").to_vec());
    let newer = r#"{"added_tokens_decoder": {"33": {"content": "<a>", "lstrip": true, "rstrip": false, "normalized": false, "single_word": false,
        "special": true}}, "eos_token": "<e>", "extra_special_tokens": ["<b>", {"content": "<c>"}], "think_token": "<t>"}"#;
    let older = r#"{"eos_token": {"content": "<e>", "lstrip": false}, "additional_special_tokens": ["<b>"], "pad_token": null}"#;
    let vocab = r#"{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}"#;
    vec![
        vec![tiny.clone(), side("tokenizer_config.json", newer)],
        vec![
            tiny,
            side("tokenizer_config.json", "{}"),
            side("special_tokens_map.json", older),
            side("added_tokens.json", r#"{"<x>": 33}"#),
        ],
        vec![
            side("vocab.json", vocab),
            side("merges.txt", "#version: 0.2\na b\n"),
            side("tokenizer_config.json", r#"{"add_bos_token": true}"#),
        ],
    ]
}

pub fn tokens(_: &Path, case: &Case) -> Result<(), String> {
    let mut files: Vec<(&str, &[u8])> = case.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    files.push(("config.json", SMALL.as_bytes()));
    let loaded = message(LoadedModel::random_from_memory(&files, 1))?;
    let tokenizer = message(loaded.tokenizer())?;
    for special in [false, true] {
        let ids = message(tokenizer.encode(TEXT, special))?;
        message(tokenizer.decode(&ids, special))?;
    }
    message(tokenizer.encode_plain("<a><b><e><x>")).map(drop)
}

pub fn template_seeds() -> Vec<Case> {
    let conversations: Vec<Value> = serde_json::from_slice(&read("templates/conversations.json")).expect("a fixture");
    let case = |template: Vec<u8>, conversation: &Value| {
        vec![("chat_template.jinja".to_owned(), template), ("messages.json".to_owned(), conversation.to_string().into_bytes())]
    };
    let names = ["dated", "qwen2_5", "smollm2"];
    let templates = names.into_iter().map(|name| read(&format!("templates/{name}.jinja")));
    let whole = templates.flat_map(|template| [2, 3].map(|i| case(template.clone(), &conversations[i])));
    // One of each of Jinja2's filters, tests, methods and statements.
    let table: Value = serde_json::from_slice(&read("jinja.json")).expect("a fixture");
    let rows = table["rows"].as_array().into_iter().flatten().step_by(7).filter_map(|row| row[0].as_str());
    whole.chain(rows.map(|row| case(row.as_bytes().to_vec(), &conversations[2]))).collect()
}

pub fn template(_: &Path, case: &Case) -> Result<(), String> {
    let mut special = Map::new();
    special.insert("bos_token".into(), "<s>".into());
    special.insert("eos_token".into(), "</s>".into());
    let template = message(ChatTemplate::new(&text(case, "chat_template.jinja"), Path::new("chat_template.jinja"), special))?;
    let messages: Value = message(serde_json::from_slice(part(case, "messages.json")))?;
    message(template.render_json(&messages, None, true, &ChatSettings::default())).map(drop)
}

const MODELS: [&str; 7] = ["gemma3", "linear", "llama", "mistral", "qwen2", "qwen3", "yarn"];

/// Weights of the fixtures, by their folders' names.
static WEIGHTS: LazyLock<BTreeMap<&str, Vec<u8>>> =
    LazyLock::new(|| MODELS.into_iter().map(|name| (name, read(&format!("models/{name}/model.safetensors")))).collect());

pub fn model_seeds() -> Vec<Case> {
    let case = |name: &str| {
        let side = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        vec![
            ("config.json".to_owned(), read(&format!("models/{name}/config.json"))),
            side("generation_config.json", r#"{"eos_token_id": [2, 3], "bos_token_id": 1, "transformers_version": "5.0.0"}"#),
            side("tokenizer_config.json", r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "{{ messages }}"}"#),
            side("special_tokens_map.json", r#"{"unk_token": "<unk>"}"#),
            // Which weights: not changed by more than a mutation that makes it another's, which is refused.
            side("weights", name),
        ]
    };
    // Whose names and shapes are changed.
    let named =
        |name: &str| [vec![("config.json".to_owned(), read(&format!("models/{name}/config.json")))], split(&WEIGHTS[name])].concat();
    MODELS.map(case).into_iter().chain([named("qwen2"), named("qwen3")]).collect()
}

pub fn model(_: &Path, case: &Case) -> Result<(), String> {
    let name = text(case, "weights");
    let joined = (!part(case, "header").is_empty()).then(|| joined(case));
    let weights = joined.as_ref().or_else(|| WEIGHTS.get(name.as_str())).unwrap_or(&WEIGHTS["qwen2"]);
    let mut files: Vec<(&str, &[u8])> = case.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    files.push(("model.safetensors", weights));
    let loaded = message(LoadedModel::from_memory(&files))?;
    if let Ok(chat) = loaded.chat() {
        message(chat.render(&[Message::new("user", "12/3?")], true, &ChatSettings::default()))?;
    }
    Ok(())
}

static BASE: LazyLock<Model> = LazyLock::new(|| {
    let config = read("models/qwen2/config.json");
    LoadedModel::from_memory(&[("config.json", config.as_slice()), ("model.safetensors", WEIGHTS["qwen2"].as_slice())])
        .expect("a fixture")
        .model
});

pub fn adapter_seeds() -> Vec<Case> {
    let case = |name: &str| {
        let mut case = vec![("adapter_config.json".to_owned(), read(&format!("lora/{name}/adapter_config.json")))];
        case.extend(split(&read(&format!("lora/{name}/adapter_model.safetensors"))));
        case
    };
    ["all-linear", "rslora", "patterns", "layers"].map(case).into()
}

pub fn adapter(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, &vec![case[0].clone(), ("adapter_model.safetensors".to_owned(), joined(case))]);
    message(BASE.duplicate().load_adapter(folder)).map(drop)
}
