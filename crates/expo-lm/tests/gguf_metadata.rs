//! Metadata of GGUF files that are made here: what is used, what is told, what is refused; files in parts; pre-tokenizers.

use std::path::{Path, PathBuf};

use expo_lm::config::RopeScaling;
use expo_lm::error::Error;
use expo_lm::gguf::{Imported, import};
use expo_lm::load::LoadedModel;
use expo_lm::models::llama;
use expo_lm::weights::folder::SaveDtype;

/// A metadata value.
#[derive(Clone)]
enum Meta {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(&'static str),
    Texts(Vec<String>),
    U32s(Vec<u32>),
}
use Meta::{Bool, F32, Text, Texts, U32, U32s};

/// Name, dimensions (innermost first) and values of a tensor.
type Tensor = (String, Vec<u64>, Vec<f32>);

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A whole file, version 3.
fn gguf(metadata: &[(String, Meta)], tensors: &[Tensor]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        let kind = |out: &mut Vec<u8>, code: u32| out.extend(code.to_le_bytes());
        match value {
            U32(n) => (kind(&mut out, 4), out.extend(n.to_le_bytes())).1,
            F32(n) => (kind(&mut out, 6), out.extend(n.to_le_bytes())).1,
            Bool(b) => (kind(&mut out, 7), out.push(u8::from(*b))).1,
            Text(t) => (kind(&mut out, 8), text(&mut out, t)).1,
            Texts(list) => {
                kind(&mut out, 9);
                kind(&mut out, 8);
                out.extend((list.len() as u64).to_le_bytes());
                list.iter().for_each(|t| text(&mut out, t));
            }
            U32s(list) => {
                kind(&mut out, 9);
                kind(&mut out, 4);
                out.extend((list.len() as u64).to_le_bytes());
                list.iter().for_each(|n| out.extend(n.to_le_bytes()));
            }
        }
    }
    let mut offset = 0u64;
    for (name, dimensions, data) in tensors {
        text(&mut out, name);
        out.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(0u32.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += (4 * data.len() as u64).next_multiple_of(32);
    }
    for (.., data) in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        data.iter().for_each(|value| out.extend(value.to_le_bytes()));
    }
    out
}

const HIDDEN: u64 = 8;
const INNER: u64 = 16;
const LAYERS: u32 = 2;

/// What a small model of architecture `arch` says of itself.
fn metadata(arch: &'static str) -> Vec<(String, Meta)> {
    let tokens: Vec<String> = ('a'..='p').map(String::from).collect();
    let of_arch = [
        ("context_length", U32(64)),
        ("embedding_length", U32(HIDDEN as u32)),
        ("block_count", U32(LAYERS)),
        ("feed_forward_length", U32(INNER as u32)),
        ("attention.head_count", U32(2)),
        ("attention.head_count_kv", U32(1)),
        ("attention.layer_norm_rms_epsilon", F32(1e-5)),
        ("rope.freq_base", F32(10_000.0)),
    ];
    let mut all = vec![("general.architecture".to_owned(), Text(arch))];
    all.extend(of_arch.map(|(key, value)| (format!("{arch}.{key}"), value)));
    all.extend([
        ("tokenizer.ggml.model".to_owned(), Text("gpt2")),
        ("tokenizer.ggml.pre".to_owned(), Text("qwen2")),
        ("tokenizer.ggml.tokens".to_owned(), Texts(tokens)),
        ("tokenizer.ggml.merges".to_owned(), Texts(vec![])),
        ("tokenizer.ggml.eos_token_id".to_owned(), U32(0)),
    ]);
    all
}

fn tensors(arch: &str, layers: u32) -> Vec<Tensor> {
    let is_gemma = arch == "gemma3";
    // Two heads, which there are narrower than their share of the width.
    let head = if is_gemma { HIDDEN / 4 } else { HIDDEN / 2 };
    let norms =
        [("attn_q_norm", vec![head]), ("attn_k_norm", vec![head]), ("post_attention_norm", vec![HIDDEN]), ("post_ffw_norm", vec![HIDDEN])];
    let mut all = vec![];
    let mut add = |name: String, dimensions: &[u64]| {
        let count: u64 = dimensions.iter().product();
        all.push((name, dimensions.to_vec(), (0..count).map(|i| (i % 7) as f32 / 8.0).collect()));
    };
    add("token_embd.weight".into(), &[HIDDEN, 16]);
    add("output_norm.weight".into(), &[HIDDEN]);
    for l in 0..layers {
        let common = [
            ("attn_norm", vec![HIDDEN]),
            ("attn_q", vec![HIDDEN, 2 * head]),
            ("attn_k", vec![HIDDEN, head]),
            ("attn_v", vec![HIDDEN, head]),
            ("attn_output", vec![2 * head, HIDDEN]),
            ("ffn_norm", vec![HIDDEN]),
            ("ffn_gate", vec![HIDDEN, INNER]),
            ("ffn_up", vec![HIDDEN, INNER]),
            ("ffn_down", vec![INNER, HIDDEN]),
        ];
        for (name, dimensions) in common.iter().chain(norms.iter().filter(|_| is_gemma)) {
            add(format!("blk.{l}.{name}.weight"), dimensions);
        }
    }
    all
}

/// Imports a file of a Llama whose metadata are changed or continued by `more`.
fn import_with(more: &[(&str, Meta)]) -> Result<Imported, Error> {
    import_of("llama", LAYERS, more)
}

fn import_of(arch: &'static str, layers: u32, more: &[(&str, Meta)]) -> Result<Imported, Error> {
    let dir = tempfile::tempdir().expect("dir");
    let mut all = metadata(arch);
    for (key, value) in more {
        all.retain(|(other, _)| other != key);
        all.push(((*key).to_owned(), value.clone()));
    }
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, gguf(&all, &tensors(arch, layers))).expect("write");
    import(&path, &dir.path().join("out"), SaveDtype::F32)
}

fn scaling(more: &[(&str, Meta)]) -> RopeScaling {
    import_with(more).unwrap_or_else(|e| panic!("{e}")).config.layers.remove(0).rope.scaling
}

/// What llama.cpp does with a Gemma 3 whose metadata say no more than its converter writes.
#[test]
fn what_gemma3s_metadata_leave_out_is_as_in_llama_cpp() {
    let window = ("gemma3.attention.sliding_window", U32(16));
    let size = ("gemma3.attention.key_length", U32(HIDDEN as u32 / 4));
    let import_gemma = |layers: u32, more: &[(&str, Meta)]| {
        let given = [window.clone(), size.clone(), ("gemma3.block_count", U32(layers))];
        let all: Vec<_> = given.into_iter().chain(more.iter().cloned()).collect();
        import_of("gemma3", layers, &all).map(|imported| imported.config).map_err(|e| e.to_string())
    };
    let config = import_gemma(7, &[]).expect("imports");
    let windows: Vec<_> = config.layers.iter().map(|layer| (layer.window, layer.rope.theta)).collect();
    assert_eq!(windows, [vec![(Some(16), 1e4); 5], vec![(None, 1e4)], vec![(Some(16), 1e4)]].concat());
    // The root of the head's size, but for the 27B, whose is that of the width over the heads.
    assert_eq!(config.query_pre_attn_scalar, Some(HIDDEN as usize / 4));
    assert_eq!(import_gemma(62, &[]).expect("imports").query_pre_attn_scalar, Some(HIDDEN as usize / 2));
    let swa = import_gemma(2, &[("gemma3.rope.freq_base_swa", F32(500.0)), ("gemma3.attention.sliding_window_pattern", U32(2))]);
    let thetas: Vec<_> = swa.expect("imports").layers.iter().map(|layer| (layer.window, layer.rope.theta)).collect();
    assert_eq!(thetas, [(Some(16), 500.0), (None, 1e4)]);
    let refused = import_gemma(2, &[("gemma3.final_logit_softcapping", F32(30.0))]).expect_err("refused");
    assert!(refused.contains("`gemma3.final_logit_softcapping`"), "{refused}");
}

#[test]
fn ropes_metadata_are_used() {
    assert_eq!(scaling(&[]), RopeScaling::Default);
    assert_eq!(scaling(&[("llama.rope.scaling.factor", F32(0.0))]), RopeScaling::Default);
    let linear = RopeScaling::Linear { factor: 4.0 };
    assert_eq!(scaling(&[("llama.rope.scaling.type", Text("linear")), ("llama.rope.scaling.factor", F32(4.0))]), linear);
    // As llama.cpp takes a factor without a kind, also under its first name.
    assert_eq!(scaling(&[("llama.rope.scaling.factor", F32(4.0))]), linear);
    assert_eq!(scaling(&[("llama.rope.scale_linear", F32(4.0))]), linear);
    let yarn = |more: &[(&'static str, Meta)]| {
        let mut all = vec![
            ("llama.rope.scaling.type", Text("yarn")),
            ("llama.rope.scaling.factor", F32(4.0)),
            ("llama.rope.scaling.original_context_length", U32(16)),
        ];
        all.extend_from_slice(more);
        match scaling(&all) {
            RopeScaling::Yarn { factor, beta_fast, beta_slow, attention_factor, original_max_position_embeddings, .. } => {
                assert_eq!((factor, original_max_position_embeddings), (4.0, 16));
                (beta_fast, beta_slow, attention_factor)
            }
            other => panic!("{other:?}"),
        }
    };
    let usual = 1.0 + 0.1 * 4f64.ln();
    assert_eq!(yarn(&[]), (32.0, 1.0, usual));
    assert_eq!(
        yarn(&[("llama.rope.scaling.yarn_ext_factor", F32(-1.0)), ("llama.rope.scaling.finetuned", Bool(true))]),
        (32.0, 1.0, usual)
    );
    let betas = [("llama.rope.scaling.yarn_beta_fast", F32(24.0)), ("llama.rope.scaling.yarn_beta_slow", F32(2.0))];
    assert_eq!(yarn(&betas), (24.0, 2.0, usual));
    let (.., attention) = yarn(&[("llama.rope.scaling.attn_factor", F32(0.5))]);
    assert!((attention - 0.5 * usual).abs() < 1e-12, "{attention}");
}

#[test]
fn what_changes_the_computation_and_is_not_supported_is_refused_by_name() {
    for (key, value) in [
        ("llama.rope.scaling.attn_factor", F32(0.5)),
        ("llama.rope.scaling.yarn_attn_factor", F32(2.0)),
        ("llama.rope.scaling.yarn_ext_factor", F32(0.5)),
        ("llama.rope.scaling.yarn_log_multiplier", F32(0.1)),
        ("llama.rope.scaling.type", Text("longrope")),
        ("llama.attention.causal", Bool(false)),
        ("llama.attention.clamp_kqv", F32(8.0)),
        ("llama.attention.scale", F32(0.1)),
        ("llama.attn_logit_softcapping", F32(50.0)),
        ("llama.logit_scale", F32(0.5)),
        ("llama.residual_scale", F32(0.2)),
        ("llama.embedding_scale", F32(12.0)),
        ("llama.expert_count", U32(8)),
        ("llama.feed_forward_length", U32s(vec![16, 24])),
        ("llama.attention.head_count_kv", U32s(vec![1, 2])),
        ("tokenizer.ggml.pre", Text("something-new")),
    ] {
        let error = import_with(&[(key, value)]).expect_err(key).to_string();
        let name = if key.ends_with("pre") { "something-new" } else { key };
        let is_named = error.contains(&format!("`{name}`")) || key.ends_with("type") && error.contains("`longrope`");
        assert!(is_named || key.ends_with("expert_count") && error.contains("mixture of experts"), "{key}: {error}");
        assert!(error.contains("m.gguf") && !error.contains('\n'), "{key}: {error}");
    }
}

#[test]
fn neutral_values_equal_lists_and_unknown_metadata_are_read() {
    let neutral = [
        ("llama.attention.causal", Bool(true)),
        ("llama.logit_scale", F32(1.0)),
        ("llama.final_logit_softcapping", F32(0.0)),
        ("llama.rope.scaling.attn_factor", F32(1.0)),
        ("llama.expert_count", U32(0)),
        ("llama.attention.head_count", U32s(vec![2, 2])),
        ("llama.attention.head_count_kv", U32s(vec![1; 2])),
        ("llama.feed_forward_length", U32s(vec![16; 2])),
    ];
    let imported = import_with(&neutral).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((imported.config.num_attention_heads, imported.config.intermediate_size, imported.notices), (2, 16, vec![]));
    let imported = import_with(&[("llama.something_new", U32(3)), ("general.name", Text("x"))]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(imported.notices, ["metadata that is not known here was passed over: `llama.something_new`"]);
}

#[test]
fn pre_tokenizers_split_as_their_models_do() {
    let dir = tempfile::tempdir().expect("dir");
    let pieces = |pre: &'static str, text: &str| {
        let mut all = metadata("qwen2");
        all.retain(|(key, _)| !["tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"].contains(&key.as_str()));
        // Merges across what the pattern separates show where it splits.
        // The first is the end of sequence.
        let tokens = ["E", "1", "2", "a", "B", "/", "12", "aB", "//", ".", "./", "Ġ", "Ġa"].map(str::to_owned);
        all.extend([
            ("tokenizer.ggml.pre".to_owned(), Text(pre)),
            ("tokenizer.ggml.tokens".to_owned(), Texts(tokens.to_vec())),
            ("tokenizer.ggml.merges".to_owned(), Texts(["1 2", "a B", "/ /", ". /", "Ġ a"].map(str::to_owned).to_vec())),
        ]);
        let (path, out) = (dir.path().join("m.gguf"), dir.path().join(pre));
        let mut tensors = tensors("llama", LAYERS);
        for l in 0..LAYERS {
            for (name, rows) in [("q", HIDDEN), ("k", HIDDEN / 2), ("v", HIDDEN / 2)] {
                tensors.push((format!("blk.{l}.attn_{name}.bias"), vec![rows], vec![0.0; rows as usize]));
            }
        }
        std::fs::write(&path, gguf(&all, &tensors)).expect("write");
        if !out.exists() {
            import(&path, &out, SaveDtype::F32).unwrap_or_else(|e| panic!("{pre}: {e}"));
        }
        let loaded = LoadedModel::load(out.to_str().expect("path")).unwrap_or_else(|e| panic!("{pre}: {e}"));
        loaded.tokenizer().expect("tokenizer").encode(text, false).expect("encode").len()
    };
    // Digits one by one but for Llama 3 and Smaug; only Tekken separates a capital that follows a small letter, and takes slashes behind punctuation.
    for (pre, digits, capital) in [("qwen2", 2, 1), ("deepseek-r1-qwen", 2, 1), ("llama-bpe", 1, 1), ("smaug-bpe", 1, 1), ("tekken", 2, 2)]
    {
        assert_eq!([pieces(pre, "12"), pieces(pre, "aB"), pieces(pre, " a")], [digits, capital, 1], "{pre}");
    }
}

/// The model in two files, as llama.cpp names them.
fn split(folder: &Path) -> [PathBuf; 2] {
    let all = tensors("llama", LAYERS);
    let (first, second) = all.split_at(5);
    let of = |part: u32| {
        vec![
            ("split.no".to_owned(), Meta::U32(part)),
            ("split.count".to_owned(), U32(2)),
            ("split.tensors.count".to_owned(), U32(all.len() as u32)),
        ]
    };
    let paths = [1, 2].map(|part| folder.join(format!("m-{part:05}-of-00002.gguf")));
    std::fs::write(&paths[0], gguf(&[metadata("llama"), of(0)].concat(), first)).expect("write");
    std::fs::write(&paths[1], gguf(&of(1), second)).expect("write");
    paths
}

#[test]
fn parts_are_read_together_whichever_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let whole = dir.path().join("whole.gguf");
    std::fs::write(&whole, gguf(&metadata("llama"), &tensors("llama", LAYERS))).expect("write");
    import(&whole, &dir.path().join("whole"), SaveDtype::F32).unwrap_or_else(|e| panic!("{e}"));
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).expect("weights");
    for (i, part) in split(dir.path()).iter().enumerate() {
        let out = format!("part{i}");
        let imported = import(part, &dir.path().join(&out), SaveDtype::F32).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(imported.config.family, &llama::FAMILY);
        assert!(weights(&out) == weights("whole"));
    }
}

#[test]
fn parts_that_do_not_belong_together_are_told() {
    let dir = tempfile::tempdir().expect("dir");
    let refused = |path: &Path| import(path, &dir.path().join("out"), SaveDtype::F32).expect_err("refused").to_string();
    let [first, second] = split(dir.path());
    let renamed = dir.path().join("renamed.gguf");
    std::fs::copy(&first, &renamed).expect("copy");
    let error = refused(&renamed);
    assert!(error.contains("one of 2 parts of a model, but not named NAME-00001-of-00002.gguf") && error.contains("--merge"), "{error}");
    // The first part in the place of the second.
    std::fs::copy(&first, &second).expect("copy");
    let error = refused(&first);
    assert!(error.contains("m-00002-of-00002.gguf") && error.contains("does not say of itself that it is part 2 of 2"), "{error}");
    std::fs::remove_file(&second).expect("remove");
    let error = refused(&first);
    assert!(
        error.contains("m-00002-of-00002.gguf is missing: put it beside this one") && error.contains("llama-gguf-split --merge"),
        "{error}"
    );
}
