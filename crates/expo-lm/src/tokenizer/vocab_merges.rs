//! A `tokenizer.json` made of `vocab.json` and `merges.txt`, as transformers makes it for the two classes whose tokenizers follow from these files alone.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::json::object;

/// Qwen2's pre-tokenizer pattern: Llama 3's, with digits one by one.
pub(crate) const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const END_OF_TEXT: &str = "<|endoftext|>";

/// A tokenizer class of transformers that is the same for all models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Gpt2,
    Qwen2,
}

impl Class {
    /// The class that `tokenizer_class` names, else that of the model's type.
    pub fn of(tokenizer_class: Option<&str>, model_type: Option<&str>) -> Option<Self> {
        match (tokenizer_class.map(|name| name.trim_end_matches("Fast")), model_type) {
            // transformers takes Qwen2's whatever the class says.
            (Some("Qwen2Tokenizer"), _) | (_, Some("qwen2")) | (None, Some("qwen3")) => Some(Self::Qwen2),
            (Some("GPT2Tokenizer"), _) => Some(Self::Gpt2),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "GPT2Tokenizer",
            Self::Qwen2 => "Qwen2Tokenizer",
        }
    }

    /// Its special tokens where `tokenizer_config.json` has none.
    pub fn defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Gpt2 => &[("bos_token", END_OF_TEXT), ("eos_token", END_OF_TEXT), ("unk_token", END_OF_TEXT)],
            Self::Qwen2 => &[("eos_token", END_OF_TEXT), ("unk_token", END_OF_TEXT), ("pad_token", END_OF_TEXT)],
        }
    }
}

/// The content of `tokenizer.json`. `folder` is for messages. Errors: a file that is not of its form, by name and line.
pub(crate) fn build(class: Class, vocab: &[u8], merges: &[u8], config: &Map<String, Value>, folder: &Path) -> Result<Vec<u8>> {
    let vocab = object(vocab, &folder.join("vocab.json"))?;
    let path = folder.join("merges.txt");
    let text =
        std::str::from_utf8(merges).map_err(|e| Error::file(&path, format!("is not UTF-8 text ({e}); download or write it again")))?;
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#version") || line.is_empty() {
            continue;
        }
        match line.split_once(' ').filter(|(_, right)| !right.contains(' ')) {
            Some((left, right)) => pairs.push(json!([left, right])),
            None => return Err(Error::file(&path, format!("line {}: {line:?}; expected two parts with a space between them", number + 1))),
        }
    }
    let prefix = config.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(false);
    let byte_level = |prefix: bool, use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": use_regex});
    let (normalizer, pre_tokenizer) = match class {
        Class::Gpt2 => (Value::Null, byte_level(prefix, true)),
        Class::Qwen2 => {
            let split = json!({"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": false});
            (json!({"type": "NFC"}), json!({"type": "Sequence", "pretokenizers": [split, byte_level(prefix, false)]}))
        }
    };
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": null, "decoder": byte_level(true, true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": pairs,
        },
    });
    Ok(json.to_string().into_bytes())
}

/// The processor that puts a BOS before a text or an EOS behind it, for a class that is told to by `add_bos_token` or `add_eos_token`; `None`: neither.
pub(crate) fn post_processor(config: &Map<String, Value>, special: &Map<String, Value>, id: impl Fn(&str) -> Option<u32>) -> Option<Value> {
    let wanted = |flag: &str, key: &str| {
        let text = config.get(flag).and_then(Value::as_bool).filter(|set| *set).and_then(|_| special.get(key)?.as_str())?;
        Some((text.to_owned(), id(text)?))
    };
    let (bos, eos) = (wanted("add_bos_token", "bos_token"), wanted("add_eos_token", "eos_token"));
    if bos.is_none() && eos.is_none() {
        return None;
    }
    let piece = |token: &Option<(String, u32)>| {
        token.iter().map(|(text, _)| json!({"SpecialToken": {"id": text, "type_id": 0}})).collect::<Vec<_>>()
    };
    let single = [piece(&bos), vec![json!({"Sequence": {"id": "A", "type_id": 0}})], piece(&eos)].concat();
    let mut tokens = Map::new();
    for (text, id) in bos.into_iter().chain(eos) {
        tokens.insert(text.clone(), json!({"id": text, "ids": [id], "tokens": [text]}));
    }
    let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]);
    Some(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}))
}
