//! Tokens that only the files beside `tokenizer.json` name, and tokenizers without it, against what scripts/fixtures/make_tokens.py had from transformers.

use std::path::Path;

use expo_lm::load::LoadedModel;
use serde_json::{Map, Value, json};

const CONFIG: &str = include_str!("../../../assets/tiny/config.json");
const TOKENIZER: &str = include_str!("../../../assets/tiny/tokenizer.json");

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens.json");
    serde_json::from_slice(&std::fs::read(path).expect("the fixture")).expect("JSON")
}

/// A random model of `vocab_size` ids with these files.
fn load(files: &Map<String, Value>, vocab_size: usize, model_type: &str) -> Result<LoadedModel, String> {
    let mut config: Value = serde_json::from_str(CONFIG).expect("JSON");
    config["vocab_size"] = vocab_size.into();
    config["eos_token_id"] = Value::Null;
    config["model_type"] = model_type.into();
    config["architectures"] = json!([if model_type == "qwen2" { "Qwen2ForCausalLM" } else { "LlamaForCausalLM" }]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut contents: Vec<(String, String)> = files.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    contents.push(("config.json".to_owned(), config.to_string()));
    let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    LoadedModel::random_from_memory(&files, 1).map_err(|error| error.to_string())
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

#[test]
fn tokens_of_other_files_are_those_of_transformers() {
    let fixture = fixture();
    let text = fixture["text"].as_str().expect("text");
    let rows = fixture["rows"].as_array().expect("rows");
    assert!(rows.len() >= 19);
    for row in rows {
        let name = &row["name"];
        let mut files = row["files"].as_object().expect("files").clone();
        if row["base"] == "tiny" {
            files.insert("tokenizer.json".into(), TOKENIZER.into());
        } else {
            files.insert("vocab.json".into(), fixture["vocab"].clone());
            files.insert("merges.txt".into(), fixture["merges"].clone());
        }
        let loaded = load(&files, 400, row["model_type"].as_str().expect("a type")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tokenizer = loaded.tokenizer().unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = tokenizer.encode(text, false).expect("encodes");
        assert_eq!(found, ids(&row["ids"]), "{name}");
        assert_eq!(tokenizer.encode(text, true).expect("encodes"), ids(&row["with_special"]), "{name}");
        assert_eq!(tokenizer.decode(&found, true).expect("decodes"), row["decoded"].as_str().expect("text"), "{name}");
        let eos: Vec<u32> = row["eos"].as_u64().map(|id| id as u32).into_iter().collect();
        assert_eq!(loaded.eos_token_ids, eos, "{name}");
        let gap = loaded.notices.iter().any(|n| n.contains("gives \"<a>\" the id 65; as in transformers, it has the id 34 of its place"));
        assert_eq!(gap, name == "ids with a gap", "{name}: {:?}", loaded.notices);
        assert_eq!(loaded.notices.iter().any(|n| n.contains("made of vocab.json and merges.txt")), row["base"] != "tiny", "{name}");
    }
}

fn with(files: Value) -> Map<String, Value> {
    let mut files = files.as_object().expect("files").clone();
    files.insert("tokenizer.json".into(), TOKENIZER.into());
    files
}

fn token(content: &str) -> Value {
    json!({"content": content, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false, "special": true})
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let refused = |files: Value, vocab_size: usize, expected: &str| {
        let error = load(&with(files), vocab_size, "llama").err().unwrap_or_else(|| panic!("{expected}"));
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    let decoder = |entries: Value| json!({"tokenizer_config.json": {"added_tokens_decoder": entries}});
    let taken = "tokenizer_config.json (`added_tokens_decoder`) gives \"<a>\" the id 7, which tokenizer.json has for \"1\"";
    refused(decoder(json!({"7": token("<a>")})), 40, taken);
    refused(json!({"added_tokens.json": {"<a>": 7}}), 40, "added_tokens.json gives \"<a>\" the id 7, which tokenizer.json has for \"1\"");
    refused(json!({"added_tokens.json": {"<a>": 33, "<b>": 33}}), 40, "gives the id 33 to \"<a>\" and to \"<b>\"");
    refused(
        decoder(json!({"33": token("<a>")})),
        33,
        "token \"<a>\" has id 33 (named by tokenizer_config.json (`added_tokens_decoder`)), but config.json has `vocab_size` = 33",
    );
    refused(
        json!({"tokenizer_config.json": {"eos_token": "<e>"}}),
        33,
        "token \"<e>\" has id 33 (named by tokenizer_config.json (`eos_token`))",
    );
    refused(decoder(json!({"x": token("<a>")})), 40, "`added_tokens_decoder` has \"x\"; expected token ids");
    refused(decoder(json!([])), 40, "`added_tokens_decoder` is []; expected an object of ids and tokens");
    refused(decoder(json!({"33": "<a>"})), 40, "`added_tokens_decoder`, id 33 is \"<a>\"; expected a token with `content`");
    refused(json!({"tokenizer_config.json": {"eos_token": 5}}), 40, "tokenizer_config.json: `eos_token` is 5; expected a token or null");
    refused(
        json!({"tokenizer_config.json": {"eos_token": "x".repeat(300)}}),
        40,
        "a token has 300 bytes (it begins with \"xxxxxxxxxxxxxxxxxxxx\")",
    );
    // What nothing here writes is left out, and told.
    let loaded = load(&with(json!({"tokenizer_config.json": {"pad_token": "<p>"}})), 33, "llama").expect("loads");
    assert_eq!(loaded.tokenizer().expect("tokenizer").token_to_id("<p>"), None);
    assert!(
        loaded.notices.iter().any(|n| n.contains("\"<p>\", which would get the id 33, outside the vocabulary of 33")),
        "{:?}",
        loaded.notices
    );
    // A vocabulary with a hole, in which the next place is taken.
    let holes = json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "added_tokens": [],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                  "byte_fallback": false, "vocab": {"a": 0, "b": 2}, "merges": []}});
    let mut files = with(json!({"tokenizer_config.json": {"eos_token": "<e>"}}));
    files.insert("tokenizer.json".into(), holes);
    let error = load(&files, 40, "llama").err().expect("refused");
    assert!(
        error.contains("(`eos_token`) adds \"<e>\", whose place in the vocabulary is that of \"b\"; add it to tokenizer.json"),
        "{error}"
    );
}

/// Text models share tokenizers with models that see images: `<image_soft_token>` of Gemma 3 has an id behind the last row of the 1B's embedding.
#[test]
fn tokens_of_images_and_padding_without_a_row_are_left_out() {
    let with_token = |key: &str, id: u32| {
        let mut tokenizer: Value = serde_json::from_str(TOKENIZER).expect("JSON");
        let mut added = token("<x>");
        added["id"] = id.into();
        tokenizer["added_tokens"].as_array_mut().expect("a list").push(added);
        let decoder = json!({id.to_string(): token("<x>")});
        let mut files = with(json!({"tokenizer_config.json": {"added_tokens_decoder": decoder, key: "<x>"}}));
        files.insert("tokenizer.json".into(), tokenizer);
        files
    };
    for key in ["image_token", "boi_token", "audio_bos_token", "pad_token"] {
        let loaded = load(&with_token(key, 33), 33, "llama").unwrap_or_else(|e| panic!("{key}: {e}"));
        let tokenizer = loaded.tokenizer().expect("tokenizer");
        assert_eq!((tokenizer.token_to_id("<x>"), tokenizer.id_bound()), (None, 33), "{key}");
        assert!(loaded.notices.iter().any(|n| n.contains("\"<x>\", which would get the id 33")), "{key}: {:?}", loaded.notices);
        // With a row of its own it is a token like any other.
        let loaded = load(&with_token(key, 33), 34, "llama").expect(key);
        assert_eq!(loaded.tokenizer().expect("tokenizer").token_to_id("<x>"), Some(33), "{key}");
    }
    // Others are missed when they are gone, and so is one that also ends texts.
    for key in ["imagine_token", "eos_token"] {
        assert!(load(&with_token(key, 33), 33, "llama").err().expect(key).contains("token \"<x>\" has id 33"));
    }
    let mut files = with_token("pad_token", 33);
    files["tokenizer_config.json"]["eos_token"] = "<x>".into();
    assert!(load(&files, 33, "llama").err().expect("refused").contains("token \"<x>\" has id 33"));
}

#[test]
fn what_makes_a_tokenizer_is_said() {
    let command = "make it with: pip install transformers";
    for (name, class, packages) in
        [("tokenizer.model", "LlamaTokenizer", " sentencepiece protobuf &&"), ("vocab.json", "CLIPTokenizer", " &&")]
    {
        let mut files = Map::new();
        files.insert(name.into(), "x".into());
        files.insert("merges.txt".into(), "#version: 0.2\n".into());
        files.insert("tokenizer_config.json".into(), json!({"tokenizer_class": class}));
        let loaded = load(&files, 40, "llama").expect("works with ids");
        let expected = format!("has {name} but no tokenizer.json; {command}{packages}");
        assert!(loaded.notices.iter().any(|n| n.contains(&expected)), "{:?}", loaded.notices);
        let error = loaded.tokenizer().err().expect("none").to_string();
        assert!(error.contains(&expected) && error.contains("AutoTokenizer.from_pretrained("), "{error}");
    }
    let mut files = Map::new();
    files.insert("vocab.json".into(), json!({"a": 0, "b": 1, "ab": 2}));
    files.insert("merges.txt".into(), "#version: 0.2\na b\nab\n".into());
    files.insert("tokenizer_config.json".into(), json!({"tokenizer_class": "GPT2Tokenizer"}));
    let error = load(&files, 40, "llama").err().expect("refused");
    assert!(error.ends_with("merges.txt: line 3: \"ab\"; expected two parts with a space between them"), "{error}");
}
