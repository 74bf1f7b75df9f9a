//! Adapters against PEFT, on those that scripts/fixtures/make_lora.py made; their files in and out.

use std::path::{Path, PathBuf};

use expo_lm::load::LoadedModel;
use expo_lm::lora::peft::base_model;
use expo_lm::lora::{LoraConfig, TargetModule};
use expo_lm::model::{Model, Workspace};
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::safetensors::SafetensorsSource;
use expo_lm::weights::tensor_file::TensorFile;
use expo_lm::weights::{HostTensor, TensorSource};
use expo_lm::{LossGradient, PackedBatch, Target};
use serde_json::{Value, json};

const ADAPTERS: [&str; 6] = ["all-linear", "rslora", "paths", "patterns", "layers", "gemma3"];

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn base(name: &str) -> LoadedModel {
    LoadedModel::load(fixtures("models").join(name).to_str().expect("UTF-8")).expect("the base")
}

fn adapted(adapter: &Path) -> Model {
    adapted_base("qwen2", adapter)
}

fn adapted_base(name: &str, adapter: &Path) -> Model {
    let mut model = base(name).model;
    model.load_adapter(adapter).unwrap_or_else(|e| panic!("{e}"));
    model
}

/// The reference, its sequences, and every next token a target.
fn reference(name: &str) -> (SafetensorsSource<'static>, PackedBatch) {
    let mut source = SafetensorsSource::open_file(&fixtures("lora").join(name).join("reference.safetensors")).expect("reference");
    let mut values = |name: &str| source.tensor(name).expect("readable").expect("there").data;
    let (tokens, offsets) = (values("tokens"), values("offsets"));
    let mut batch = PackedBatch::new();
    for range in offsets.windows(2) {
        let tokens: Vec<u32> = tokens[range[0] as usize..range[1] as usize].iter().map(|t| *t as u32).collect();
        let start = batch.tokens.len();
        batch.push_segment(None, &tokens);
        batch.targets.extend(tokens[1..].iter().enumerate().map(|(i, token)| Target { row: start + i, token: *token, temperature: 1.0 }));
    }
    (source, batch)
}

#[test]
fn logits_and_gradients_are_those_of_peft() {
    for name in ADAPTERS {
        let base = if name == "gemma3" { "gemma3" } else { "qwen2" };
        let model = adapted_base(base, &fixtures("lora").join(name));
        let (mut source, batch) = reference(name);
        let rows: Vec<usize> = (0..batch.tokens.len()).collect();
        let logits = model.logits(&mut Workspace::default(), &batch, &rows).expect("runs");
        let expected = source.tensor("logits").expect("readable").expect("there").data;
        let worst = logits.iter().zip(&expected).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
        println!("{name}: largest difference of a logit: {worst:.1e}");
        assert!(logits.len() == expected.len() && worst < 1e-4, "{name}: {worst}");

        let (mut gradients, count) = (model.new_gradients(), batch.targets.len() as f64);
        let loss = |_: usize, _: f64| -1.0 / count;
        // Without the dropout of the adapter's options, which PEFT has off in evaluation: the passes with gradients would have it.
        let config = LoraConfig { lora_dropout: 0.0, ..model.adapter().expect("loaded").config().clone() };
        let undropped = with_options(base, &model, config);
        undropped.forward_backward(&mut Workspace::default(), &batch, &mut gradients, LossGradient::PerToken(&loss)).expect("runs");
        let (mut worst, mut tensors) = (0f64, 0);
        gradients
            .export(&undropped, &mut |tensor, found| {
                let expected = source.tensor(&format!("grad.{tensor}"))?.unwrap_or_else(|| panic!("no gradient of {tensor}"));
                assert_eq!(found.shape, expected.shape, "{tensor}");
                let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
                let difference = norm(&mut found.data.iter().zip(&expected.data).map(|(a, b)| f64::from(*a) - f64::from(*b)));
                let relative = difference / norm(&mut expected.data.iter().map(|v| f64::from(*v)));
                assert!(relative < 1e-4, "{name} {tensor}: {relative}");
                (worst, tensors) = (worst.max(relative), tensors + 1);
                Ok(())
            })
            .expect("exported");
        println!("{name}: {tensors} tensors, largest relative difference of a gradient: {worst:.1e}");
        assert_eq!(tensors, source.names().filter(|n| n.starts_with("grad.")).count(), "{name}");
    }
}

/// The same adapter with other options: through a folder, as a user would.
fn with_options(name: &str, model: &Model, config: LoraConfig) -> Model {
    let dir = tempfile::tempdir().expect("dir");
    let target = dir.path().join("adapter");
    base(name).folder.save_weights(model, &target, SaveDtype::F32).expect("saved");
    let path = target.join("adapter_config.json");
    let mut written: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    written["lora_dropout"] = config.lora_dropout.into();
    std::fs::write(&path, written.to_string()).expect("write");
    let model = adapted_base(name, &target);
    assert_eq!(model.adapter().expect("loaded").config(), &config);
    model
}

#[test]
fn a_saved_adapter_is_the_same_adapter() {
    let dir = tempfile::tempdir().expect("dir");
    let loaded = base("qwen2");
    let mut model = adapted(&fixtures("lora/all-linear"));
    let target = dir.path().join("adapter");
    // bf16 is for models: an adapter's weights are never rounded.
    loaded.folder.save_weights(&model, &target, SaveDtype::Bf16).expect("saved");
    assert!(!target.join("config.json").exists() && !target.join("model.safetensors").exists());
    let again = adapted(&target);
    let scores = |model: &Model| model.score(&mut Workspace::default(), &reference("all-linear").1).expect("runs");
    assert_eq!(scores(&again), scores(&model));
    let found = std::fs::read(target.join("adapter_model.safetensors")).expect("read");
    loaded.folder.save_weights(&again, &dir.path().join("again"), SaveDtype::F32).expect("saved");
    assert_eq!(std::fs::read(dir.path().join("again/adapter_model.safetensors")).expect("read"), found);

    // Merged, it is a model like any other.
    model.merge_adapter().expect("merged");
    let merged = dir.path().join("merged");
    loaded.folder.save_weights(&model, &merged, SaveDtype::F32).expect("saved");
    let merged = LoadedModel::load(merged.to_str().expect("UTF-8")).expect("loads").model;
    let worst = scores(&merged).iter().zip(scores(&again)).map(|(a, b)| (a.log_prob - b.log_prob).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn adapters_of_other_bases_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let refused = |mut model: Model, adapter: &Path| {
        let error = model.load_adapter(adapter).expect_err("another base").to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let adapter = fixtures("lora/all-linear");
    // Heads of 8 instead of 4.
    let error = refused(base("llama").model, &adapter);
    assert!(error.contains("q_proj.lora_B.weight has shape [16, 4], expected [32, 4]; is the adapter for another base?"), "{error}");
    assert!(error.contains("tests/fixtures/models/qwen2"), "{error}");
    let mut config = base("qwen2").model.config.clone();
    for (layers, expected) in [(2, "tensor base_model.model.model.layers.2."), (4, "no tensor base_model.model.model.layers.3.")] {
        (config.num_hidden_layers, config.layers) = (layers, vec![config.layers[0].clone(); layers]);
        let error = refused(Model::random(config.clone(), 0.02, 1), &adapter);
        assert!(error.contains(expected) && error.contains("is the adapter for another base?"), "{error}");
    }
    // The same shapes, other weights: known of adapters that were written here.
    let written = dir.path().join("adapter");
    base("qwen2").folder.save_weights(&adapted(&adapter), &written, SaveDtype::F32).expect("saved");
    let same_shapes = || Model::random(base("qwen2").model.config.clone(), 0.02, 1);
    let error = refused(same_shapes(), &written);
    let [right, wrong] = [base("qwen2").model, same_shapes()].map(|model| model.base_sha256()[..16].to_owned());
    assert!(error.contains(&format!("SHA-256 {right}..., those of this model have {wrong}...")), "{error}");
    same_shapes().load_adapter(&adapter).expect("of PEFT's own adapters nothing is known");

    assert!(refused(base("qwen2").model, dir.path()).contains("adapter_config.json: does not exist; an adapter is a folder"));
    let error = LoadedModel::load(written.to_str().expect("UTF-8")).err().expect("no model").to_string();
    assert!(error.contains("is an adapter, not a model"), "{error}");
    std::fs::remove_file(written.join("adapter_model.safetensors")).expect("remove");
    assert!(refused(base("qwen2").model, &written).contains("adapter_model.safetensors: does not exist"));
}

/// The files of the adapter `name`, changed: its options, and its tensors by name.
fn changed(
    name: &str,
    options: impl Fn(&mut Value),
    tensors: impl Fn(&mut Vec<(String, HostTensor)>),
    dtype: SaveDtype,
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("dir");
    let read = |file: &str| std::fs::read(fixtures("lora").join(name).join(file)).expect("read");
    let mut config: Value = serde_json::from_slice(&read("adapter_config.json")).expect("JSON");
    options(&mut config);
    std::fs::write(dir.path().join("adapter_config.json"), config.to_string()).expect("write");
    let bytes = read("adapter_model.safetensors");
    let mut source = SafetensorsSource::from_bytes("a", &bytes).expect("valid");
    let mut names: Vec<String> = source.names().map(str::to_owned).collect();
    names.sort();
    let mut all: Vec<_> = names.into_iter().map(|name| (name.clone(), source.tensor(&name).expect("read").expect("there"))).collect();
    tensors(&mut all);
    let specs: Vec<_> = all.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
    let path = dir.path().join("adapter_model.safetensors");
    let mut file = TensorFile::create(&path, &path, &specs, dtype).expect("create");
    all.iter().for_each(|(name, tensor)| file.push(name, tensor).expect("push"));
    file.finish().expect("finish");
    dir
}

const HEAD_COPY: &str = "base_model.model.lm_head.weight";

#[test]
fn copies_of_the_base_are_left_out_where_they_are_unchanged() {
    let load = |dir: &Path| base("qwen2").model.load_adapter(dir).map_err(|error| error.to_string());
    let told = |notices: &[String], text: &str| assert!(notices.len() == 1 && notices[0].contains(text), "{notices:?}");
    let copies = "its copies of the base's `lm_head.weight`, `model.embed_tokens.weight` are unchanged, and left out";
    told(&load(&fixtures("lora/layers")).expect("loads"), copies);
    let saved = changed("layers", |config| config["modules_to_save"] = json!(["lm_head", "embed_tokens"]), |_| (), SaveDtype::F32);
    told(&load(saved.path()).expect("loads"), copies);
    // As modules that are saved whole are called in a model's own state.
    let named = |all: &mut Vec<(String, HostTensor)>| {
        all.iter_mut().for_each(|(name, _)| {
            *name =
                name.replace("lm_head.weight", "lm_head.modules_to_save.default.weight").replace("lora_A.weight", "lora_A.default.weight");
        })
    };
    told(&load(changed("layers", |_| (), named, SaveDtype::F32).path()).expect("loads"), copies);
    told(&load(changed("layers", |_| (), |_| (), SaveDtype::Bf16).path()).expect("loads"), "are unchanged but for their rounding");

    let change = |tensor: &str, change: &dyn Fn(&mut HostTensor)| {
        let with =
            |all: &mut Vec<(String, HostTensor)>| all.iter_mut().filter(|(name, _)| name == tensor).for_each(|(_, tensor)| change(tensor));
        let error = load(changed("layers", |_| (), with, SaveDtype::F32).path()).expect_err("refused");
        assert!(error.contains("merge it with PEFT: python -c \"from peft import") && !error.contains('\n'), "{error}");
        error
    };
    let error = change(HEAD_COPY, &|tensor| tensor.data[5] += 0.5);
    assert!(error.contains(&format!("tensor {HEAD_COPY} is a changed copy of the base's `lm_head.weight` (1 of ")), "{error}");
    let error = change(HEAD_COPY, &|tensor| {
        tensor.data.extend(vec![0.0; tensor.shape[1]]);
        tensor.shape[0] += 1;
    });
    assert!(error.contains("as after a change of the vocabulary; merge it"), "{error}");

    let renamed = |from: &'static str, to: &'static str| {
        let with = move |all: &mut Vec<(String, HostTensor)>| all.iter_mut().for_each(|(name, _)| *name = name.replace(from, to));
        load(changed("layers", |_| (), with, SaveDtype::F32).path()).expect_err("refused")
    };
    let error = renamed("model.embed_tokens.weight", "model.embed_tokens.lora_embedding_A");
    assert!(error.contains("the head and the embedding can't be adapted here; merge it with PEFT"), "{error}");
    let error = renamed("layers.0.self_attn.q_proj.lora_B.weight", "layers.0.self_attn.q_proj.lora_B.bias");
    assert!(error.contains("q_proj.lora_B.bias: no part of an adapter's linear layers; merge it with PEFT"), "{error}");
    let twice = |all: &mut Vec<(String, HostTensor)>| {
        let (name, tensor) = all.iter().find(|(name, _)| name.contains("lora_A")).expect("some").clone();
        all.push((name.replace("lora_A.weight", "lora_A.other.weight"), tensor));
    };
    let error = load(changed("layers", |_| (), twice, SaveDtype::F32).path()).expect_err("refused");
    assert!(error.contains("are the same matrix of one adapter; save one adapter alone"), "{error}");
    let error = load(changed("layers", |config| config["target_modules"] = json!(["q_proj", "o_proj"]), |_| (), SaveDtype::F32).path());
    assert!(error.expect_err("refused").contains("mlp.gate_proj.lora_A.weight is not one of target_modules"), "a stray matrix");
}

#[test]
fn an_adapter_says_what_its_base_is() {
    let dir = tempfile::tempdir().expect("dir");
    let model = dir.path().join("base");
    std::fs::create_dir_all(dir.path().join("adapter/inner")).expect("dirs");
    let adapter = dir.path().join("adapter");
    let of = |name: &str| {
        let config = json!({"peft_type": "LORA", "base_model_name_or_path": name}).to_string();
        std::fs::write(adapter.join("adapter_config.json"), config).expect("write");
        base_model(&adapter).map_err(|error| error.to_string())
    };
    let missing = of("./base").expect_err("not there yet");
    assert!(
        missing.contains("names the base \"./base\", which is no folder with a model here; give the model") && missing.contains("--model"),
        "{missing}"
    );
    assert!(of("").expect_err("none").contains("names no base (`base_model_name_or_path`); give the model"));
    assert_eq!(of("owner/model"), Ok("owner/model".to_owned()));
    assert_eq!(of("embedded:tiny"), Ok("embedded:tiny".to_owned()));
    // Beside the adapter's folder, in it, and anywhere.
    for folder in [&model, &adapter.join("inner")] {
        std::fs::create_dir_all(folder).expect("dir");
        std::fs::copy(fixtures("models/qwen2/config.json"), folder.join("config.json")).expect("copy");
    }
    for (name, folder) in
        [("./base", dir.path().join("./base")), ("inner", adapter.join("inner")), (model.to_str().expect("UTF-8"), model.clone())]
    {
        assert_eq!(of(name).map(PathBuf::from), Ok(folder));
    }
}

#[test]
fn a_new_adapter_is_drawn_from_its_seed() {
    let config = LoraConfig { r: 2, lora_alpha: 4.0, lora_dropout: 0.0, target_modules: vec![TargetModule::O], use_rslora: false };
    let draw = |seed: u64| {
        let mut model = base("qwen2").model;
        model.add_adapter(config.clone(), "base", seed).expect("added");
        let mut all = Vec::new();
        model
            .export(&mut |name, tensor| {
                // kaiming_uniform(a = sqrt(5)) of [2, 16]: within 1 / sqrt(16).
                let (low, high) = tensor.data.iter().fold((0f32, 0f32), |(low, high), v| (low.min(*v), high.max(*v)));
                match name.contains("lora_A") {
                    true => assert!(low < -0.1 && high > 0.1 && low >= -0.25 && high <= 0.25, "{low} to {high}"),
                    false => assert_eq!((low, high), (0.0, 0.0), "{name}"),
                }
                all.extend(tensor.data);
                Ok(())
            })
            .expect("exported");
        all
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
