//! A `tokenizer.json` rebuilt from a GGUF file's vocabulary, as transformers has it for the same model.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::file::{GgufFile, Value};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::vocab_merges::QWEN2_PATTERN;

/// Llama 3's pre-tokenizer pattern.
const LLAMA3_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// That of Mistral's Tekken, as its `tokenizer.json` has it.
const TEKKEN_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// GGUF's kinds of tokens.
mod kind {
    pub const UNKNOWN: i128 = 2;
    pub const CONTROL: i128 = 3;
    pub const USER_DEFINED: i128 = 4;
    pub const UNUSED: i128 = 5;
}

pub(super) struct BuiltTokenizer {
    pub tokenizer_json: Map<String, Json>,
    pub tokenizer_config: Map<String, Json>,
    pub notices: Vec<String>,
}

struct Vocabulary<'a> {
    file: &'a GgufFile,
    tokens: Vec<&'a str>,
    kinds: Vec<i128>,
}

/// Builds both tokenizer files. Errors: a tokenizer that isn't supported, by name; a vocabulary that doesn't fit the model.
pub(super) fn build(file: &GgufFile, config: &ModelConfig) -> Result<BuiltTokenizer> {
    let vocabulary = Vocabulary::read(file)?;
    let mut notices = Vec::new();
    let key = "tokenizer.ggml.model";
    let (mut json, adds_bos) = match file.needed(key, file.string(key)?)? {
        "gpt2" => vocabulary.byte_level(&mut notices)?,
        "llama" => (vocabulary.sentence_piece()?, true),
        other => {
            let message = format!("`{other}` in {}; supported: gpt2, llama", file.path.display());
            return Err(Error::Unsupported { what: "tokenizer", message });
        }
    };
    let flag = |name: &str| file.bool(&format!("tokenizer.ggml.{name}"));
    let bos = flag("add_bos_token")?.unwrap_or(adds_bos).then(|| vocabulary.special("bos_token_id")).transpose()?.flatten();
    let eos = flag("add_eos_token")?.unwrap_or(false).then(|| vocabulary.special("eos_token_id")).transpose()?.flatten();
    if bos.is_some() || eos.is_some() {
        json.insert("post_processor".into(), template_processor(bos, eos));
    }
    // Proves that what was built is a tokenizer, and that it fits the model.
    let tokenizer = Tokenizer::from_bytes(Json::Object(json.clone()).to_string().as_bytes(), Path::new("tokenizer.json"))?;
    tokenizer.check_vocab_size(config.vocab_size)?;
    Ok(BuiltTokenizer { tokenizer_json: json, tokenizer_config: vocabulary.tokenizer_config(config)?, notices })
}

impl<'a> Vocabulary<'a> {
    fn read(file: &'a GgufFile) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let tokens = strings(file, key)?;
        if tokens.is_empty() {
            return Err(Error::file(&file.path, format!("lacks the metadata `{key}`")));
        }
        let key = "tokenizer.ggml.token_type";
        let kinds = match file.array(key)? {
            None => vec![1; tokens.len()],
            Some(list) => list.iter().map(|v| integer(v).ok_or_else(|| file.wrong(key, "a list of integers"))).collect::<Result<_>>()?,
        };
        if kinds.len() != tokens.len() {
            return Err(Error::file(&file.path, format!("has {} tokens and {} token types", tokens.len(), kinds.len())));
        }
        Ok(Self { file, tokens, kinds })
    }

    /// Token text to id. Rows that only pad the embedding are left out.
    fn vocab(&self) -> Map<String, Json> {
        let is_padding = |id: usize| self.kinds[id] == kind::UNUSED && self.tokens[id] == format!("[PAD{id}]");
        (0..self.tokens.len()).filter(|id| !is_padding(*id)).map(|id| (self.tokens[id].to_owned(), id.into())).collect()
    }

    fn added_tokens(&self) -> Json {
        let ids = (0..self.tokens.len()).filter(|id| [kind::UNKNOWN, kind::CONTROL, kind::USER_DEFINED].contains(&self.kinds[*id]));
        ids.map(|id| {
            json!({"id": id, "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                   "special": self.kinds[id] != kind::USER_DEFINED})
        })
        .collect()
    }

    /// GPT-2's kind of tokenizer, and whether it puts a BOS first when the file doesn't say.
    fn byte_level(&self, notices: &mut Vec<String>) -> Result<(Map<String, Json>, bool)> {
        let name = self.file.string("tokenizer.ggml.pre")?;
        let byte_level =
            |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let split = |pattern: &str| {
            let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
            json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
        };
        let digits = json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)]});
        let (normalizer, pre_tokenizer, ignore_merges, adds_bos) = match name.unwrap_or("default") {
            "llama-bpe" | "llama3" | "llama-v3" => (Json::Null, split(LLAMA3_PATTERN), true, true),
            "smaug-bpe" => (Json::Null, split(LLAMA3_PATTERN), false, false),
            "qwen2" | "deepseek-r1-qwen" => (json!({"type": "NFC"}), split(QWEN2_PATTERN), false, false),
            "tekken" => (Json::Null, split(TEKKEN_PATTERN), true, false),
            "smollm" => (Json::Null, digits, false, false),
            "default" | "gpt-2" => (Json::Null, byte_level(true), false, false),
            other => {
                let message = format!(
                    "`{other}` in {}; supported: smollm, qwen2, deepseek-r1-qwen, llama-bpe, smaug-bpe, tekken, gpt-2, default; use the model's Hugging Face \
                     folder instead, which has its own tokenizer.json",
                    self.file.path.display()
                );
                return Err(Error::Unsupported { what: "pre-tokenizer", message });
            }
        };
        if name.is_none() {
            notices.push("the file names no pre-tokenizer (`tokenizer.ggml.pre`); GPT-2's is used, check the token ids".to_owned());
        }
        let merges = strings(self.file, "tokenizer.ggml.merges")?;
        let model = json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges, "vocab": self.vocab(), "merges": merges,
        });
        let decoder = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
        Ok((self.tokenizer_json(normalizer, pre_tokenizer, decoder, model), adds_bos))
    }

    /// SentencePiece BPE as transformers converts it for Llama 2 and Mistral: spaces as U+2581, bytes as fallback.
    fn sentence_piece(&self) -> Result<Map<String, Json>> {
        let key = "tokenizer.ggml.scores";
        let scores = self.file.needed(key, self.file.array(key)?)?;
        let scores: Option<Vec<f64>> = scores.iter().map(|v| if let Value::Float(f) = v { Some(*f) } else { None }).collect();
        let scores = scores.filter(|s| s.len() == self.tokens.len()).ok_or_else(|| self.file.wrong(key, "one number a token"))?;
        let prefix = self.file.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
        let normalizer = match prefix {
            true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"}, replace]}),
            false => replace,
        };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let unknown = (0..self.tokens.len()).find(|id| self.kinds[*id] == kind::UNKNOWN).map(|id| self.tokens[id]);
        let model = json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": self.vocab(), "merges": self.merges(&scores),
        });
        Ok(self.tokenizer_json(normalizer, Json::Null, json!({"type": "Sequence", "decoders": decoders}), model))
    }

    /// The merges that SentencePiece's scores imply: every way to split a token in two tokens, best score first.
    fn merges(&self, scores: &[f64]) -> Vec<String> {
        let ids: HashMap<&str, usize> = self.tokens.iter().enumerate().map(|(id, token)| (*token, id)).collect();
        let mut merges = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            let mut splits: Vec<_> = splits.filter_map(|(l, r)| Some((*ids.get(l)?, *ids.get(r)?, l, r))).collect();
            splits.sort_by_key(|(l, r, ..)| (*l, *r));
            // A space would be read as the separator of the pair; such tokens are added tokens, never merged.
            merges.extend(splits.into_iter().filter(|_| !token.contains(' ')).map(|(_, _, l, r)| (scores[id], l, r)));
        }
        let length = |text: &str| text.chars().count();
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (length(b.1), length(b.2)).cmp(&(length(a.1), length(a.2)))));
        merges.into_iter().map(|(_, l, r)| format!("{l} {r}")).collect()
    }

    fn tokenizer_json(&self, normalizer: Json, pre_tokenizer: Json, decoder: Json, model: Json) -> Map<String, Json> {
        let mut map = Map::new();
        map.insert("version".into(), json!("1.0"));
        map.insert("truncation".into(), Json::Null);
        map.insert("padding".into(), Json::Null);
        map.insert("added_tokens".into(), self.added_tokens());
        map.insert("normalizer".into(), normalizer);
        map.insert("pre_tokenizer".into(), pre_tokenizer);
        map.insert("post_processor".into(), Json::Null);
        map.insert("decoder".into(), decoder);
        map.insert("model".into(), model);
        map
    }

    /// The special token whose id the metadata names, and that id.
    fn special(&self, key: &str) -> Result<Option<(&'a str, u64)>> {
        let key = format!("tokenizer.ggml.{key}");
        let Some(id) = self.file.integer(&key)? else { return Ok(None) };
        match usize::try_from(id).ok().and_then(|i| self.tokens.get(i)) {
            Some(token) => Ok(Some((token, id))),
            None => Err(self.file.wrong(&key, &format!("under the vocabulary's size, {}", self.tokens.len()))),
        }
    }

    fn tokenizer_config(&self, config: &ModelConfig) -> Result<Map<String, Json>> {
        let mut map = Map::new();
        // The class that reads any tokenizer.json as it is.
        map.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        // Without it that class also returns token types in transformers 4, which these models refuse.
        map.insert("model_input_names".into(), json!(["input_ids", "attention_mask"]));
        let names = ["bos_token", "eos_token", "unk_token", "pad_token"];
        let keys = ["bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"];
        for (name, key) in names.into_iter().zip(keys) {
            if let Some((token, _)) = self.special(key)? {
                map.insert(name.into(), json!(token));
            }
        }
        map.insert("clean_up_tokenization_spaces".into(), json!(false));
        map.insert("model_max_length".into(), json!(config.max_position_embeddings));
        if let Some(template) = self.file.string("tokenizer.chat_template")? {
            map.insert("chat_template".into(), json!(template));
        }
        Ok(map)
    }
}

fn template_processor(bos: Option<(&str, u64)>, eos: Option<(&str, u64)>) -> Json {
    let special = |token: Option<(&str, u64)>, part: u8| token.map(|(t, _)| json!({"SpecialToken": {"id": t, "type_id": part}}));
    let sequence = |id: &str, part: u8| Some(json!({"Sequence": {"id": id, "type_id": part}}));
    let single: Vec<_> = [special(bos, 0), sequence("A", 0), special(eos, 0)].into_iter().flatten().collect();
    let second = [special(bos, 1), sequence("B", 1), special(eos, 1)].into_iter().flatten();
    let pair: Vec<_> = single.iter().cloned().chain(second).collect();
    let mut tokens = Map::new();
    for (token, id) in [bos, eos].into_iter().flatten() {
        tokens.insert(token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}));
    }
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
}

fn strings<'a>(file: &'a GgufFile, key: &str) -> Result<Vec<&'a str>> {
    let list = file.array(key)?.unwrap_or_default();
    let text = |v: &'a Value| if let Value::String(s) = v { Some(s.as_str()) } else { None };
    list.iter().map(|v| text(v).ok_or_else(|| file.wrong(key, "a list of strings"))).collect()
}

fn integer(value: &Value) -> Option<i128> {
    if let Value::Integer(n) = value { Some(*n) } else { None }
}
