//! Model folders: what is saved loads again, and what is wrong with a folder is said in a line.

use std::path::{Path, PathBuf};

use expo_lm::load::LoadedModel;
use expo_lm::weights::TensorSource;
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::safetensors::SafetensorsSource;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn load(folder: &Path) -> expo_lm::Result<LoadedModel> {
    LoadedModel::load(folder.to_str().expect("UTF-8"))
}

fn failure(folder: &Path) -> String {
    let error = load(folder).err().expect("an error").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// A byte-level tokenizer of two tokens and an added one.
fn tokenizer(added_id: u32) -> String {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null,
        "added_tokens": [{"id": added_id, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "<|end|>": added_id}, "merges": []},
    })
    .to_string()
}

/// A copy of the Llama fixture with a tokenizer, to be damaged.
fn copy(added_id: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("dir");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("llama").join(name), dir.path().join(name)).expect("copy");
    }
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer(added_id)).expect("write");
    let config = json!({"eos_token": {"content": "<|end|>"}, "chat_template": "{{ messages[0].content }}{{ eos_token }}"});
    std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).expect("write");
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [9, 2]}"#).expect("write");
    dir
}

fn change_config(folder: &Path, change: impl Fn(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    change(&mut config);
    std::fs::write(path, config.to_string()).expect("write");
}

#[test]
fn a_saved_folder_loads_again_with_everything() {
    let source = copy(7);
    let loaded = load(source.path()).expect("loads");
    assert_eq!(loaded.eos_token_ids, [9, 2, 7], "generation_config.json, config.json, tokenizer_config.json");
    for dtype in [SaveDtype::F32, SaveDtype::Bf16] {
        let dir = tempfile::tempdir().expect("dir");
        let out = dir.path().join("deep/er/model");
        loaded.save(&out, dtype).expect("saved");
        let again = load(&out).expect("loads");
        assert_eq!((&again.model.config, &again.eos_token_ids), (&loaded.model.config, &loaded.eos_token_ids));
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            assert_eq!(std::fs::read(out.join(name)).expect(name), std::fs::read(source.path().join(name)).expect(name));
        }
        let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).expect("config")).expect("JSON");
        assert_eq!(config["torch_dtype"], dtype.torch_name());
        assert_eq!(config["dtype"], Value::Null, "one spelling of the dtype");
        if dtype == SaveDtype::F32 {
            let (mut a, mut b) = (SafetensorsSource::open(source.path()).expect("a"), SafetensorsSource::open(&out).expect("b"));
            let names: Vec<String> = a.names().map(str::to_owned).collect();
            for name in names {
                assert_eq!(a.tensor(&name).expect("a"), b.tensor(&name).expect("b"), "{name}");
            }
        }
        assert_eq!(std::fs::read_dir(out.parent().expect("parent")).expect("list").count(), 1, "no temporary folder is left");
    }
}

#[test]
fn every_kind_of_model_is_saved_in_the_spelling_that_all_readers_know() {
    for name in ["qwen2", "llama", "qwen3", "mistral", "yarn", "linear", "gemma3"] {
        let loaded = load(&fixture(name)).expect("loads");
        let dir = tempfile::tempdir().expect("dir");
        let out = dir.path().join("model");
        loaded.save(&out, SaveDtype::F32).expect("saved");
        assert_eq!(load(&out).expect("loads").model.config, loaded.model.config, "{name}");
        let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).expect("config")).expect("JSON");
        assert!(config["rope_parameters"].is_null() && config["rope_theta"].is_f64(), "{name}: {config}");
    }
}

#[test]
fn a_model_in_memory_is_the_model_in_the_folder() {
    let source = copy(7);
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let contents: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(source.path().join(name)).expect("read")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().copied().zip(contents.iter().map(Vec::as_slice)).collect();
    let loaded = LoadedModel::from_memory(&files).expect("loads");
    assert_eq!(loaded.eos_token_ids, [2, 7]);
    let dir = tempfile::tempdir().expect("dir");
    let out = dir.path().join("model");
    loaded.save(&out, SaveDtype::F32).expect("saved");
    let again = load(&out).expect("loads");
    assert_eq!(again.eos_token_ids, [2, 7], "a generation_config.json was written");
    assert_eq!(again.tokenizer().expect("tokenizer").encode("ab<|end|>", false).expect("ids"), [0, 1, 7]);
    let random = LoadedModel::random_from_memory(&files, 3).expect("random");
    assert_eq!(random.model.num_parameters(), loaded.model.num_parameters());
    assert!(LoadedModel::from_memory(&files[..1]).err().expect("no weights").to_string().contains("model.safetensors"));
}

#[test]
fn a_head_that_is_not_the_embedding_is_saved_as_one() {
    // Llama's fixture has a head of its own; its configuration now says that it hasn't.
    let source = copy(7);
    change_config(source.path(), |config| config["tie_word_embeddings"] = true.into());
    let loaded = load(source.path()).expect("loads");
    assert!(loaded.notices.iter().any(|n| n.contains("`lm_head.weight` is not the embedding")), "{:?}", loaded.notices);
    assert_eq!(loaded.model.base_sha256(), load(&fixture("llama")).expect("loads").model.base_sha256());
    let dir = tempfile::tempdir().expect("dir");
    let out = dir.path().join("model");
    loaded.save(&out, SaveDtype::F32).expect("saved");
    let again = load(&out).expect("loads");
    assert_eq!(again.model.sha256(), loaded.model.sha256());
    assert!(again.notices.is_empty(), "{:?}", again.notices);
}

#[test]
fn without_a_tokenizer_only_ids_work() {
    let loaded = load(&fixture("llama")).expect("loads");
    assert!(loaded.notices.iter().any(|n| n.contains("no tokenizer.json")), "{:?}", loaded.notices);
    assert!(loaded.tokenizer().err().expect("none").to_string().contains("tokenizer.json"));
    assert!(loaded.chat().err().expect("none").to_string().contains("chat template"));
}

#[test]
fn damaged_folders_are_explained() {
    let dir = tempfile::tempdir().expect("dir");
    assert!(failure(&dir.path().join("nothing")).contains("does not exist"));
    assert!(failure(dir.path()).contains("config.json: cannot read"));

    let folder = copy(48);
    let error = failure(folder.path());
    assert!(error.contains("\"<|end|>\" has id 48") && error.contains("`vocab_size` = 48"), "{error}");

    let folder = copy(7);
    change_config(folder.path(), |config| config["intermediate_size"] = 25.into());
    let error = failure(folder.path());
    assert!(error.contains("mlp.gate_proj.weight") && error.contains("[24, 16]") && error.contains("[25, 16]"), "{error}");

    let folder = copy(7);
    change_config(folder.path(), |config| config["num_hidden_layers"] = 4.into());
    assert!(failure(folder.path()).contains("model.layers.3."), "{}", failure(folder.path()));

    let folder = copy(7);
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("read");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, &bytes).expect("write");
    assert!(failure(folder.path()).contains("NaN"), "{}", failure(folder.path()));
    std::fs::write(&weights, &bytes[..end / 2]).expect("write");
    assert!(failure(folder.path()).contains("is not a valid safetensors file"), "{}", failure(folder.path()));
    // Refused before any weight is read: the weights are still cut off.
    change_config(folder.path(), |config| config["rope_parameters"] = json!({"rope_type": "dynamic", "factor": 2.0}));
    assert!(failure(folder.path()).contains("`dynamic`"), "{}", failure(folder.path()));

    let folder = copy(7);
    std::fs::write(folder.path().join("chat_template.jinja"), "{% for %}").expect("write");
    assert!(failure(folder.path()).contains("chat_template.jinja: the chat template does not compile"), "{}", failure(folder.path()));

    let folder = copy(7);
    std::fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id": 480}"#).expect("write");
    assert!(
        failure(folder.path()).contains("the end-of-sequence id 480 (`eos_token_id`")
            && failure(folder.path()).contains("outside the vocabulary of 48"),
        "{}",
        failure(folder.path())
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let loaded = load(&fixture("llama")).expect("loads");
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("file"), "").expect("write");
    let error = loaded.save(&dir.path().join("file/model"), SaveDtype::F32).expect_err("a file is in the way").to_string();
    assert!(error.contains("file") && error.contains("cannot create"), "{error}");
    assert_eq!(std::fs::read(dir.path().join("file")).expect("untouched"), b"");
    let error = loaded.save(&fixture("llama"), SaveDtype::F32).expect_err("exists").to_string();
    assert!(error.contains("exists already and is not empty"), "{error}");
}
