//! Tokens that the files beside `tokenizer.json` name, in the order in which transformers 5 adds them to it: those of `added_tokens_decoder` (older:
//! `added_tokens.json`) by their ids, then the named special tokens (`eos_token` and its like), then further special ones.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::MOST_ADDED;

/// The named special tokens that every model has the same names for, in transformers' order.
pub(crate) const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Those of them that no text begins or ends with: nothing is padded, masked or classified here.
const UNNEEDED: [&str; 5] = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Parts of the names of further ones that stand for images and sounds, which nothing here reads (`image_token`, `boi_token`, `audio_bos_token`).
const MEDIA: [&str; 8] = ["image", "video", "audio", "vision", "boi", "eoi", "boa", "eoa"];

const CONFIG: &str = "tokenizer_config.json";
const OLDER: &str = "special_tokens_map.json";
const OLDEST: &str = "added_tokens.json";

/// A token that a file names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SideToken {
    pub token: AddedToken,
    /// The id that the file gives it.
    pub id: Option<u32>,
    /// The file, and the key in it.
    pub from: String,
    /// Whether it has no name but such that nothing here writes or stops at (`pad_token`, `mask_token`, `image_token`).
    pub is_unneeded: bool,
}

/// What the files beside `tokenizer.json` say about tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct SideTokens {
    /// In the order in which they are added.
    pub tokens: Vec<SideToken>,
    /// `bos_token` and its like as text, for chat templates and the end of generation.
    pub special: Map<String, Value>,
}

/// One of the named tokens: its key, the file that has it, the token.
type Named = (String, &'static str, AddedToken);

impl SideTokens {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, each empty where it isn't there; `defaults` are named tokens that the
    /// tokenizer's class has where no file names them. `Err` names the file's key.
    pub fn read(
        config: &Map<String, Value>,
        older: &Map<String, Value>,
        oldest: &Map<String, Value>,
        defaults: &[(&str, &str)],
    ) -> Result<Self, String> {
        let has_decoder = config.get("added_tokens_decoder").is_some_and(|v| !v.is_null());
        let mut named = named_tokens(config, CONFIG)?;
        let mut extra = Vec::new();
        // The newer name counts, the other only where that is empty.
        for key in ["extra_special_tokens", "additional_special_tokens"] {
            if extra.is_empty() {
                extra = listed(config, key, CONFIG, &mut named)?;
            }
        }
        // transformers reads the older files only where the newer has no list of its own; a named token that no other file has still ends texts here.
        let of_older = named_tokens(older, OLDER)?;
        let mut fallback = Vec::new();
        for (key, file, token) in of_older {
            match named.iter_mut().find(|(found, ..)| *found == key) {
                Some(found) if !has_decoder => *found = (key, file, token),
                None if !has_decoder => named.push((key, file, token)),
                None => fallback.push((key, token)),
                Some(_) => {}
            }
        }
        if !has_decoder {
            for token in listed(older, "extra_special_tokens", OLDER, &mut named)? {
                if !extra.iter().any(|found: &SideToken| found.token.content == token.token.content) {
                    extra.push(token);
                }
            }
            if extra.is_empty() {
                extra = listed(older, "additional_special_tokens", OLDER, &mut named)?;
            }
        }
        for (key, text) in defaults {
            if !config.contains_key(*key) && !named.iter().any(|(found, ..)| found == key) {
                named.push(((*key).to_owned(), "its class", AddedToken::from(*text, true)));
            }
        }
        named.sort_by_key(|(key, ..)| NAMED.iter().position(|known| known == key).unwrap_or(NAMED.len()));

        let mut tokens = match has_decoder {
            true => decoder(&config["added_tokens_decoder"])?,
            false => {
                let standard = named.iter().filter(|(key, ..)| NAMED.contains(&key.as_str())).map(|(.., token)| token.content.as_str());
                let special: Vec<&str> = standard.chain(extra.iter().map(|t| t.token.content.as_str())).collect();
                older_list(oldest, &special)?
            }
        };
        tokens.sort_by_key(|token| token.id);
        let is_named = |content: &str| named.iter().any(|(.., token)| token.content == content);
        let unneeded = |content: &str| {
            let mut names = named.iter().filter(|(.., token)| token.content == content).map(|(key, ..)| key.as_str()).peekable();
            names.peek().is_some() && names.all(is_unneeded)
        };
        for token in &mut tokens {
            if is_named(&token.token.content) {
                token.token.special = true;
            }
            token.is_unneeded = unneeded(&token.token.content);
        }
        let mut special = Map::new();
        for (key, file, token) in &named {
            special.insert(key.clone(), token.content.clone().into());
            if !tokens.iter().any(|found| found.token.content == token.content) {
                let from = if *file == "its class" { format!("its class (`{key}`)") } else { format!("{file} (`{key}`)") };
                tokens.push(SideToken { token: token.clone(), id: None, from, is_unneeded: unneeded(&token.content) });
            }
        }
        for token in extra {
            if !tokens.iter().any(|found| found.token.content == token.token.content) {
                tokens.push(token);
            }
        }
        for (key, token) in fallback {
            special.insert(key, token.content.into());
        }
        special.retain(|key, _| NAMED.contains(&key.as_str()));
        tokens.retain(|token| !token.token.content.is_empty());
        if let Some(long) = tokens.iter().find(|token| token.token.content.len() > MOST_ADDED) {
            let (content, from) = (&long.token.content, &long.from);
            let begin: String = content.chars().take(20).collect();
            return Err(format!("{from}: a token has {} bytes (it begins with {begin:?}); expected at most {MOST_ADDED}", content.len()));
        }
        Ok(Self { tokens, special })
    }

    /// Adds the tokens to `tokenizer`, which a file for `vocab_size` ids belongs to, and returns what is to be told. Errors: a file gives one of them an id that
    /// another token has; all by name.
    pub fn add(&self, tokenizer: &mut tokenizers::Tokenizer, vocab_size: usize) -> Result<Vec<String>, String> {
        let mut notices = Vec::new();
        let before = tokenizer.get_added_tokens_decoder();
        let is_added = |content: &str| before.values().any(|token| token.content == content);
        let declared = |token: &&SideToken| token.id.is_some() || !is_added(&token.token.content);
        let mut tokens: Vec<&SideToken> = self.tokens.iter().filter(declared).collect();
        for token in &tokens {
            let (content, Some(id)) = (&token.token.content, token.id) else { continue };
            if let Some(other) = tokenizer.id_to_token(id).filter(|other| other != content) {
                return Err(format!(
                    "{} gives {content:?} the id {id}, which tokenizer.json has for {other:?}; use the files that belong together, or correct one of them",
                    token.from
                ));
            }
            if let Some(other) = tokens.iter().find(|other| other.id == Some(id) && other.token.content != *content) {
                return Err(format!("{} gives the id {id} to {content:?} and to {:?}; correct it", token.from, other.token.content));
            }
        }
        // Where the tokenizers crate counts on from.
        let size = tokenizer.get_vocab_size(false);
        let mut next = before.keys().max().map_or(size, |max| size.max(*max as usize + 1));
        tokens.retain(|token| {
            if tokenizer.token_to_id(&token.token.content).is_some() {
                return true;
            }
            // Such a token may have been added to a tokenizer whose model was left as it is.
            if token.is_unneeded && next >= vocab_size {
                notices.push(format!(
                    "{} is {:?}, which would get the id {next}, outside the vocabulary of {vocab_size}: left out, since nothing here writes it",
                    token.from, token.token.content
                ));
                return false;
            }
            next += 1;
            true
        });
        let new: Vec<&str> =
            tokens.iter().map(|t| t.token.content.as_str()).filter(|content| tokenizer.token_to_id(content).is_none()).collect();
        let taken = if new.is_empty() { HashMap::new() } else { tokenizer.get_vocab(true) };
        let taken: HashMap<u32, String> = taken.into_iter().map(|(token, id)| (id, token)).collect();
        tokenizer.add_tokens(&tokens.iter().map(|token| token.token.clone()).collect::<Vec<_>>());
        for token in &tokens {
            let found = tokenizer.token_to_id(&token.token.content);
            // A vocabulary with holes in it.
            if let Some(other) = found.filter(|_| new.contains(&token.token.content.as_str())).and_then(|id| taken.get(&id)) {
                let (content, from) = (&token.token.content, &token.from);
                return Err(format!(
                    "{from} adds {content:?}, whose place in the vocabulary is that of {other:?}; add it to tokenizer.json"
                ));
            }
            if let (Some(id), Some(found)) = (token.id, found)
                && id != found
            {
                let content = &token.token.content;
                notices.push(format!(
                    "{} gives {content:?} the id {id}; as in transformers, it has the id {found} of its place in the vocabulary",
                    token.from
                ));
            }
        }
        Ok(notices)
    }

    /// `json`, a `tokenizer.json`, without tokens that a model with `vocab_size` ids has no row for and that nothing here writes: those of images in the
    /// tokenizers that text models share with others, and of padding. [`Self::add`] tells of them.
    pub fn without_rowless<'j>(&self, json: &'j [u8], vocab_size: usize) -> Cow<'j, [u8]> {
        let rowless = |token: &Value| {
            let beyond = token["id"].as_u64().is_some_and(|id| id >= vocab_size as u64);
            beyond && self.tokens.iter().any(|known| known.is_unneeded && token["content"] == known.token.content)
        };
        // The rest may be tens of megabytes, and stays as it is.
        let Ok(mut parts) = serde_json::from_slice::<Parts>(json) else { return json.into() };
        let Some(added) = parts.get("added_tokens") else { return json.into() };
        let Ok(mut tokens) = serde_json::from_str::<Vec<Value>>(added.get()) else { return json.into() };
        let all = tokens.len();
        tokens.retain(|token| !rowless(token));
        match serde_json::value::to_raw_value(&tokens) {
            Ok(kept) if tokens.len() < all => {
                parts.insert("added_tokens".to_owned(), kept);
                serde_json::to_vec(&parts).map_or(json.into(), Cow::Owned)
            }
            _ => json.into(),
        }
    }

    /// Which file names `content`.
    pub fn origin(&self, content: &str) -> Option<&str> {
        self.tokens.iter().find(|token| token.token.content == content).map(|token| token.from.as_str())
    }
}

/// The parts of a `tokenizer.json`, as they are written.
type Parts = std::collections::BTreeMap<String, Box<serde_json::value::RawValue>>;

/// Whether nothing here writes or stops at a token of this name.
fn is_unneeded(name: &str) -> bool {
    UNNEEDED.contains(&name) || !NAMED.contains(&name) && name.split('_').any(|part| MEDIA.contains(&part))
}

/// One more than the largest id.
pub(super) fn id_bound(tokenizer: &tokenizers::Tokenizer) -> usize {
    tokenizer.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
}

/// Keys that end in `_token` and have one.
fn named_tokens(map: &Map<String, Value>, file: &'static str) -> Result<Vec<Named>, String> {
    let mut named = Vec::new();
    for (key, value) in map.iter().filter(|(key, _)| key.ends_with("_token")) {
        match value {
            Value::Null => {}
            Value::String(text) => named.push((key.clone(), file, AddedToken::from(text.as_str(), true))),
            Value::Object(_) if NAMED.contains(&key.as_str()) => {
                named.push((key.clone(), file, token(value, true, || format!("{file}: `{key}`"))?))
            }
            // Flags such as `add_bos_token`, and whatever other tools call so.
            _ if !NAMED.contains(&key.as_str()) => {}
            other => return Err(format!("{file}: `{key}` is {other}; expected a token or null")),
        }
    }
    Ok(named)
}

/// The tokens of a list. Tokens with names of their own, in an object, are added to `named`.
fn listed(map: &Map<String, Value>, key: &str, file: &'static str, named: &mut Vec<Named>) -> Result<Vec<SideToken>, String> {
    let at = || format!("{file}: `{key}`");
    let one = |value: &Value| match value {
        Value::String(text) => Ok(AddedToken::from(text.as_str(), true)),
        other => token(other, file == OLDER, at),
    };
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|value| Ok(SideToken { token: one(value)?, id: None, from: format!("{file} (`{key}`)"), is_unneeded: false }))
            .collect(),
        Some(Value::Object(of_names)) => {
            for (name, value) in of_names {
                let token = one(value)?;
                named.retain(|(found, ..)| found != name);
                named.push((name.clone(), file, token));
            }
            Ok(Vec::new())
        }
        Some(other) => Err(format!("{file}: `{key}` is {other}; expected a list of tokens")),
    }
}

/// `added_tokens_decoder`: ids as text, and their tokens.
fn decoder(value: &Value) -> Result<Vec<SideToken>, String> {
    let key = "added_tokens_decoder";
    let map = value.as_object().ok_or_else(|| format!("{CONFIG}: `{key}` is {value}; expected an object of ids and tokens"))?;
    let entries = map.iter().map(|(id, value)| {
        let number = id.trim().parse::<u32>().map_err(|_| format!("{CONFIG}: `{key}` has {id:?}; expected token ids"))?;
        let token = token(value, false, || format!("{CONFIG}: `{key}`, id {id}"))?;
        Ok(SideToken { token, id: Some(number), from: format!("{CONFIG} (`{key}`)"), is_unneeded: false })
    });
    entries.collect()
}

/// `added_tokens.json`: tokens and their ids.
fn older_list(map: &Map<String, Value>, special: &[&str]) -> Result<Vec<SideToken>, String> {
    let entries = map.iter().map(|(content, id)| {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let number = number.ok_or_else(|| format!("{OLDEST}: the token {content:?} has {id}; expected its id"))?;
        let token = AddedToken::from(content.as_str(), special.contains(&content.as_str()));
        Ok(SideToken { token, id: Some(number), from: OLDEST.to_owned(), is_unneeded: false })
    });
    entries.collect()
}

/// A token as an object: its text as `content`, and flags, which are off where they are missing; `normalized` is then what `special` isn't.
fn token(value: &Value, special: bool, at: impl Fn() -> String) -> Result<AddedToken, String> {
    let content =
        value.get("content").and_then(Value::as_str).ok_or_else(|| format!("{} is {value}; expected a token with `content`", at()))?;
    let flag = |key: &str, default: bool| match value.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(flag) => flag.as_bool().ok_or_else(|| format!("{}: `{key}` is {flag}; expected true or false", at())),
    };
    let special = special || flag("special", false)?;
    Ok(AddedToken {
        content: content.to_owned(),
        single_word: flag("single_word", false)?,
        lstrip: flag("lstrip", false)?,
        rstrip: flag("rstrip", false)?,
        normalized: flag("normalized", !special)?,
        special,
    })
}
