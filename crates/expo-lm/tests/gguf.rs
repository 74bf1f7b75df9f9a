//! GGUF files against the models that they were made from (scripts/fixtures/make_gguf.py).

use std::path::{Path, PathBuf};

use expo_lm::chat::{ChatSettings, Message};
use expo_lm::config::{Rope, RopeScaling};
use expo_lm::gguf::import;
use expo_lm::load::LoadedModel;
use expo_lm::models::{gemma3, llama, qwen2, qwen3};
use expo_lm::weights::TensorSource;
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::safetensors::SafetensorsSource;
use half::{bf16, f16};
use proptest::prelude::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn imported(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("dir");
    let out = dir.path().join("model");
    import(&fixtures().join(format!("gguf/{name}.gguf")), &out, SaveDtype::F32).expect("import");
    (dir, out)
}

/// Every tensor of the original model, after `rounding`, is in the import; tables over the vocabulary have more rows there.
fn compare_weights(name: &str, folder: &Path, rounding: impl Fn(&str, f32) -> f32) {
    let mut original = SafetensorsSource::open(&fixtures().join("models").join(name)).expect("original");
    let mut import = SafetensorsSource::open(folder).expect("import");
    let names: Vec<String> = original.names().map(str::to_owned).collect();
    assert_eq!(names.len(), import.names().count());
    for name in names {
        let expected = original.tensor(&name).expect("readable").expect("there");
        let found = import.tensor(&name).expect("readable").unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(found.shape[1..], expected.shape[1..], "{name}");
        let expected: Vec<f32> = expected.data.iter().map(|v| rounding(&name, *v)).collect();
        assert!(found.data.starts_with(&expected), "{name}");
    }
}

fn compare_tokens(name: &str, loaded: &LoadedModel) {
    let tokens: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("gguf/tokens.json")).expect("tokens.json")).expect("JSON");
    let cases = tokens[name].as_array().expect("cases");
    assert!(cases.len() > 5);
    for case in cases {
        let text = case["text"].as_str().expect("text");
        let ids: Vec<u32> = case["ids"].as_array().expect("ids").iter().map(|id| id.as_u64().expect("id") as u32).collect();
        let tokenizer = loaded.tokenizer().expect("tokenizer");
        assert_eq!(tokenizer.encode(text, false).expect("encode"), ids, "{name}: {text:?}");
        if !text.contains('\u{301}') {
            assert_eq!(tokenizer.decode(&ids, false).expect("decode"), text, "{name}");
        }
    }
}

#[test]
fn llama_with_permuted_rows_and_a_sentencepiece_tokenizer() {
    let (_dir, folder) = imported("llama");
    compare_weights("llama", &folder, |_, v| v);
    let loaded = LoadedModel::load(folder.to_str().expect("path")).expect("loads");
    let config = &loaded.model.config;
    assert_eq!((config.family, config.vocab_size, config.head_dim), (&llama::FAMILY, 350, 8));
    assert_eq!((config.rms_norm_eps, config.tie_word_embeddings), (1e-5, false));
    let scaling = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
    assert!(config.layers.iter().all(|layer| layer.rope == Rope { theta: 5e5, scaling: scaling.clone() }));
    assert_eq!(loaded.eos_token_ids, [2]);
    compare_tokens("llama", &loaded);
    let text = loaded.chat().expect("template").render(&[Message::new("user", "hi")], false, &ChatSettings::default()).expect("render");
    assert_eq!(text, "<s>[user]hi</s>");
    let tokenizer = loaded.tokenizer().expect("tokenizer");
    assert_eq!(tokenizer.encode("the", true).expect("encode")[0], 1, "llama's tokenizer puts a BOS first when asked to");
    assert_eq!(tokenizer.encode(&text, false).expect("encode")[0], 1);
}

#[test]
fn qwen2_in_half_precision_with_a_byte_level_tokenizer() {
    let (_dir, folder) = imported("qwen2");
    compare_weights("qwen2", &folder, |name, v| match name {
        name if name.contains("norm") || name.ends_with("bias") => v,
        name if name.contains("mlp") => bf16::from_f32(v).to_f32(),
        _ => f16::from_f32(v).to_f32(),
    });
    let loaded = LoadedModel::load(folder.to_str().expect("path")).expect("loads");
    assert_eq!(loaded.model.config.family, &qwen2::FAMILY);
    assert!(loaded.model.config.tie_word_embeddings && loaded.chat.is_none());
    compare_tokens("qwen2", &loaded);
}

#[test]
fn qwen3_with_norms_of_q_and_k() {
    let (_dir, folder) = imported("qwen3");
    compare_weights("qwen3", &folder, |_, v| v);
    let loaded = LoadedModel::load(folder.to_str().expect("path")).expect("loads");
    let config = &loaded.model.config;
    assert_eq!(config.family, &qwen3::FAMILY);
    assert_ne!(config.head_dim * config.num_attention_heads, config.hidden_size);
    compare_tokens("qwen2", &loaded);
}

#[test]
fn gemma3_with_shifted_norms_and_two_ropes() {
    let (_dir, folder) = imported("gemma3");
    // The file has 1 + weight.
    compare_weights("gemma3", &folder, |name, v| if name.contains("norm") { (v + 1.0) - 1.0 } else { v });
    let loaded = LoadedModel::load(folder.to_str().expect("path")).expect("loads");
    let config = &loaded.model.config;
    // As llama.cpp has it, whatever the model says: there is no metadata for it.
    assert_eq!((config.family, config.query_pre_attn_scalar), (&gemma3::FAMILY, Some(config.head_dim)));
    let global = Rope { theta: 500.0, scaling: RopeScaling::Linear { factor: 8.0 } };
    let layers: Vec<_> = config.layers.iter().map(|layer| (layer.window, layer.rope.clone())).collect();
    assert_eq!(layers, [(Some(6), Rope::plain(20.0)), (Some(6), Rope::plain(20.0)), (None, global), (Some(6), Rope::plain(20.0))]);
    compare_tokens("gemma3", &loaded);
}

#[test]
fn what_cannot_be_imported_is_said() {
    let dir = tempfile::tempdir().expect("dir");
    let bytes = std::fs::read(fixtures().join("gguf/qwen2.gguf")).expect("fixture");
    let attempt = |change: &dyn Fn(&mut Vec<u8>)| {
        let (file, mut bytes) = (dir.path().join("m.gguf"), bytes.clone());
        change(&mut bytes);
        std::fs::write(&file, bytes).expect("write");
        let error = import(&file, &dir.path().join("out"), SaveDtype::F32).expect_err("refused").to_string();
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(left, ["m.gguf"], "nothing is left behind");
        error
    };
    // Replaces the first occurrence of a name by another of the same length.
    let rename = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect(from);
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    };
    let tensor_type = |bytes: &mut Vec<u8>| {
        // After the name: the number of dimensions, one dimension, the type.
        let at = bytes.windows(18).position(|w| w == b"output_norm.weight").expect("the tensor") + 18 + 4 + 8;
        bytes[at] = 16;
    };
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 8] = [
        ("does not begin with `GGUF`", &|b| b[0] = b'X'),
        ("is GGUF version 1", &|b| b[4] = 1),
        ("lies outside the file", &|b| b.truncate(b.len() - 100)),
        ("ends in the middle of its header", &|b| b.truncate(500)),
        ("is not a GGUF file", &|b| b.truncate(3)),
        ("architecture: `qwenX`", &rename("qwen2", "qwenX")),
        ("tensor type: IQ2_XXS in `output_norm.weight`", &tensor_type),
        ("lacks the metadata `qwen2.context_length`", &rename("qwen2.context_length", "qwen2.context_lengtX")),
    ];
    for (message, change) in cases {
        let error = attempt(change);
        assert!(error.contains(message) && !error.contains('\n'), "{message}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A damaged file is an error or a model, never a panic or a huge allocation.
    #[test]
    fn damaged_files_never_panic(flips in proptest::collection::vec((0usize..9000, any::<u8>()), 1..4), cut in 0usize..40_000) {
        let mut bytes = std::fs::read(fixtures().join("gguf/qwen2.gguf")).expect("fixture");
        bytes.truncate(cut.max(1000));
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("m.gguf");
        std::fs::write(&file, bytes).expect("write");
        let _ = import(&file, &dir.path().join("out"), SaveDtype::Bf16);
    }
}
