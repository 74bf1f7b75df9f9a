//! Tokenizers on which the tokenizers' crate panics, or that would take all memory: found by `crates/fuzz`, and told as errors.

use std::path::Path;

use expo_lm::tokenizer::Tokenizer;
use serde_json::{Value, json};

const TINY: &str = include_str!("../../../assets/tiny/tokenizer.json");

fn read(json: &str) -> Result<Tokenizer, String> {
    Tokenizer::from_bytes(json.as_bytes(), Path::new("tokenizer.json")).map_err(|e| e.to_string())
}

/// The tiny model's tokenizer with another part.
fn with(part: &str, value: Value) -> String {
    let mut tokenizer: Value = serde_json::from_str(TINY).unwrap();
    tokenizer[part] = value;
    tokenizer.to_string()
}

#[test]
fn malformed_parts_are_errors() {
    let decoder = with("decoder", json!("HERE")).replace("\"HERE\"", "{1: 2}");
    let normalizer = with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}));
    for json in [decoder, normalizer] {
        let error = read(&json).err().expect("refused");
        assert!(error.starts_with("tokenizer.json: can't be read as a tokenizer: "), "{error}");
    }
}

#[test]
fn parts_that_do_not_fit_are_errors() {
    let template = json!({
        "type": "TemplateProcessing", "pair": [], "special_tokens": {},
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    });
    let tokenizer = read(&with("post_processor", template)).unwrap();
    let error = tokenizer.encode("12/3?", true).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer.json: can't encode a text of 5 bytes: a part of it is not of a form that is known"), "{error}");
    let tokenizer = read(&with("decoder", json!({"type": "Strip", "content": "1", "start": 0, "stop": 9}))).unwrap();
    let ids = tokenizer.encode("1", false).unwrap();
    let error = tokenizer.decode(&ids, false).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer.json: can't decode 1 tokens: a part of it is not of a form that is known"), "{error}");
}

#[test]
fn an_added_token_is_not_a_book() {
    let token = |bytes: usize| {
        let mut tokens: Value = serde_json::from_str::<Value>(TINY).unwrap()["added_tokens"].take();
        tokens[1]["content"] = "{".repeat(bytes).into();
        with("added_tokens", tokens)
    };
    read(&token(256)).unwrap();
    let error = read(&token(30_000)).err().expect("refused");
    let expected = "tokenizer.json: an added token has 30000 bytes (it begins with \"{{{{{{{{{{{{{{{{{{{{\"); expected at most 256";
    assert_eq!(error, expected);
}
