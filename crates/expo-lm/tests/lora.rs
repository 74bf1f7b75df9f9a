//! Adapters against PEFT, on those that scripts/fixtures/make_lora.py made; their files in and out.

use std::path::{Path, PathBuf};

use expo_lm::load::LoadedModel;
use expo_lm::lora::{LoraConfig, TargetModule};
use expo_lm::model::{Model, Workspace};
use expo_lm::weights::TensorSource;
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::safetensors::SafetensorsSource;
use expo_lm::{LossGradient, PackedBatch, Target};
use serde_json::Value;

const ADAPTERS: [&str; 2] = ["all-linear", "rslora"];

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn base(name: &str) -> LoadedModel {
    LoadedModel::load(fixtures("models").join(name).to_str().expect("UTF-8")).expect("the base")
}

fn adapted(adapter: &Path) -> Model {
    let mut model = base("qwen2").model;
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
        let model = adapted(&fixtures("lora").join(name));
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
        let undropped = with_options(&model, config);
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
fn with_options(model: &Model, config: LoraConfig) -> Model {
    let dir = tempfile::tempdir().expect("dir");
    let target = dir.path().join("adapter");
    base("qwen2").folder.save_weights(model, &target, SaveDtype::F32).expect("saved");
    let path = target.join("adapter_config.json");
    let mut written: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    written["lora_dropout"] = config.lora_dropout.into();
    std::fs::write(&path, written.to_string()).expect("write");
    let model = adapted(&target);
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
        (config.num_hidden_layers, config.sliding_window) = (layers, vec![None; layers]);
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
