//! Adapters against finite differences, against the merged model, and in generation.

use std::sync::Arc;

use super::*;
use crate::batch::{LossGradient, PackedBatch};
use crate::config::ModelConfig;
use crate::generate::{EngineConfig, Generated, Request, SamplingParams, generate};
use crate::kernels::{Backend, Cpu};
use crate::model::tests::{batch, layers, loss, sandwich, tiny};
use crate::model::{LanguageModel, Model, Workspace, WorkspaceOn};
use crate::models::{qwen2, qwen3};
use crate::optim::{AdamW, AdamWConfig};

fn options(lora_dropout: f64, target_modules: &[TargetModule]) -> LoraConfig {
    LoraConfig { r: 3, lora_alpha: 5.0, lora_dropout, target_modules: target_modules.to_vec(), use_rslora: true }
}

/// A random model with a random adapter, B included.
fn adapted<B: Backend>(config: ModelConfig, lora: LoraConfig) -> LanguageModel<B> {
    let mut model = LanguageModel::<B>::random(config, 0.4, 1);
    model.add_adapter(lora, "test", 2).unwrap();
    let backend = model.backend;
    let specs = model.trained_specs().to_vec();
    for (i, spec) in specs.iter().enumerate() {
        let values: Vec<f32> = (0..spec.count()).map(|j| ((i * 31 + j * 2_654_435_761) % 200) as f32 / 250.0 - 0.4).collect();
        model.trained_mut()[i] = backend.matrix(spec.rows(), spec.cols.unwrap(), &values);
    }
    model
}

fn family() -> Vec<ModelConfig> {
    vec![
        tiny(),
        ModelConfig { family: &qwen2::FAMILY, tie_word_embeddings: false, num_key_value_heads: 1, ..tiny() },
        ModelConfig { family: &qwen3::FAMILY, head_dim: 18, layers: layers(&[Some(9), None]), ..tiny() },
        sandwich(),
    ]
}

const SEED: u64 = 77;

/// The loss in a pass with gradients, so with dropout where there is some; and the gradients.
fn pass(model: &LanguageModel<Cpu<f64>>, workspace: &mut WorkspaceOn<Cpu<f64>>) -> (f64, Vec<Vec<f64>>) {
    let mut gradients = model.new_gradients();
    let weight = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * 0.2 * (0.2 * log_prob).exp();
    workspace.dropout_seed = SEED;
    let scores = model.forward_backward(workspace, &batch(), &mut gradients, LossGradient::PerToken(&weight)).unwrap();
    assert_ne!(workspace.dropout_seed, SEED, "the next pass drops others");
    (loss(&scores), gradients.bufs)
}

#[test]
fn gradients_agree_with_finite_differences() {
    let some = [TargetModule::K, TargetModule::V, TargetModule::Up];
    for (config, modules) in family().into_iter().zip([&TargetModule::ALL[..], &some, &TargetModule::ALL, &TargetModule::ALL]) {
        for dropout in [0.0, 0.3] {
            let mut model = adapted::<Cpu<f64>>(config.clone(), options(dropout, modules));
            let mut workspace = WorkspaceOn::default();
            let (_, gradients) = pass(&model, &mut workspace);
            assert_eq!(gradients.len(), 2 * 2 * modules.len());
            for (p, gradients) in gradients.iter().enumerate() {
                let len = model.trained()[p].len();
                for i in (0..len).step_by((len / 2).max(1) | 1) {
                    let (old, h) = (model.trained()[p][i], 1e-5);
                    let mut at = |value: f64| {
                        model.trained_mut()[p][i] = value;
                        pass(&model, &mut workspace).0
                    };
                    let expected = (at(old + h) - at(old - h)) / (2.0 * h);
                    at(old);
                    let (found, name) = (gradients[i], &model.trained_specs()[p].parts[0].0);
                    assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{name}[{i}]: {found}, expected {expected}");
                }
            }
            let largest = gradients.iter().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
            assert!(largest > 0.1, "nothing to compare: {largest}");
        }
    }
}

#[test]
fn dropout_is_for_training_alone() {
    let model = adapted::<Cpu<f64>>(tiny(), options(0.3, &TargetModule::ALL));
    let none = adapted::<Cpu<f64>>(tiny(), options(0.0, &TargetModule::ALL));
    let mut workspace = WorkspaceOn::default();
    let (dropped, gradients) = pass(&model, &mut workspace);
    let (whole, _) = pass(&none, &mut workspace);
    assert!((dropped - whole).abs() > 1e-3, "{dropped}, {whole}");
    assert!((loss(&model.score(&mut workspace, &batch()).unwrap()) - whole).abs() < 1e-12);
    // Another seed, another loss; computed again in the backward pass, the same masks.
    let mut gradients_again = model.new_gradients();
    let weight = |_: usize, _: f64| 0.0;
    let next = model.forward_backward(&mut workspace, &batch(), &mut gradients_again, LossGradient::PerToken(&weight)).unwrap();
    assert!((loss(&next) - dropped).abs() > 1e-3);
    assert_eq!(pass(&model, &mut WorkspaceOn::new(true)), (dropped, gradients));
}

#[test]
fn a_new_adapter_changes_nothing_and_a_merged_one_everything() {
    for config in family() {
        let base = LanguageModel::<Cpu<f64>>::random(config.clone(), 0.4, 1);
        let scores = |model: &LanguageModel<Cpu<f64>>| model.score(&mut WorkspaceOn::default(), &batch()).unwrap();
        let mut fresh = base.duplicate();
        fresh.add_adapter(options(0.0, &TargetModule::ALL), "test", 3).unwrap();
        assert_eq!(scores(&fresh), scores(&base));
        assert!(fresh.add_adapter(options(0.0, &TargetModule::ALL), "test", 3).is_err());

        let mut model = adapted::<Cpu<f64>>(config, options(0.0, &TargetModule::ALL));
        let (expected, shared) = (scores(&model), model.without_adapter());
        assert_eq!(scores(&shared), scores(&base));
        model.merge_adapter().unwrap();
        assert!(model.adapter().is_none() && model.merge_adapter().is_err());
        let worst = scores(&model).iter().zip(&expected).map(|(a, b)| (a.log_prob - b.log_prob).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-4, "{worst}");
        let moved = expected.iter().zip(scores(&base)).map(|(a, b)| (a.log_prob - b.log_prob).abs()).fold(0.0, f64::max);
        assert!(moved > 0.1, "the adapter does nothing: {moved}");
        assert_eq!(scores(&shared), scores(&base), "what shared the weights keeps them");
    }
}

#[test]
fn training_changes_the_adapter_alone() {
    let mut model = adapted::<Cpu<f32>>(tiny(), options(0.0, &TargetModule::ALL));
    let (before, hash, whole) = (model.duplicate(), model.base_sha256(), model.sha256());
    assert!(Arc::ptr_eq(&before.params, &model.params), "the base is shared");
    assert!(Arc::ptr_eq(&model.without_adapter().params, &model.params));
    // 7 modules of rank 3 in 2 layers.
    let wide = [12 + 24, 12 + 12, 12 + 12, 24 + 12, 12 + 20, 12 + 20, 20 + 12].iter().sum::<usize>();
    assert_eq!(model.num_trained_parameters(), 2 * 3 * wide);
    let mut gradients = model.new_gradients();
    assert_eq!(gradients.bufs.len(), 28);
    let mut optimizer = AdamW::new(&model, AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 });
    model.forward_backward(&mut Workspace::default(), &batch(), &mut gradients, LossGradient::PerToken(&|_, _| -0.1)).unwrap();
    optimizer.step(&mut model, &gradients, 1e-2, 1.0);
    let mut moments = 0;
    optimizer
        .export(&model, false, &mut |name, _| {
            assert!(name.starts_with("base_model.model.model.layers."), "{name}");
            moments += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(moments, 28);
    assert_ne!(before.trained(), model.trained());
    assert_eq!(model.base_sha256(), hash);
    assert_eq!(model.without_adapter().base_sha256(), hash);
    assert!(before.sha256() == whole && model.sha256() != whole && whole != hash);
    // A copy is of the adapter alone, and keeps nothing of what was there.
    let mut copy = before;
    copy.trained_mut()[0][0] = f32::NAN;
    copy.copy_from(&model);
    assert_eq!(copy.trained(), model.trained());
    assert!(Arc::ptr_eq(&copy.params, &model.params));
}

#[test]
fn weights_of_another_are_copied_before_they_change() {
    let base = Model::random(tiny(), 0.4, 1);
    let mut other = base.without_adapter();
    other.params_mut()[0][0] += 1.0;
    assert_ne!(base.params[0][0], other.params[0][0]);
    assert_ne!(base.base_sha256(), other.base_sha256());
    let mut reconfigured = base.without_adapter();
    reconfigured.config.rms_norm_eps *= 2.0;
    assert_eq!(base.base_sha256(), reconfigured.base_sha256());
    assert!(base.sha256() != reconfigured.sha256() && base.sha256() == base.without_adapter().sha256());
}

/// Sampled tokens and log-probs have the same bits alone, in company and on any number of threads, and are those of the training forward.
#[test]
fn generation_has_the_adapter() {
    for config in family() {
        let model = adapted::<Cpu<f32>>(config, options(0.3, &TargetModule::ALL));
        let sampling = SamplingParams { temperature: 0.9, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 18, stop_token_ids: vec![7] };
        let request = |r: usize| Request {
            prompt: (0..1 + 6 * r).map(|i| ((i * 5 + r * 3 + 1) % 19) as u32).collect(),
            seeds: (0..4).map(|s| (r * 10 + s) as u64).collect(),
            sampling: sampling.clone(),
        };
        let requests: Vec<Request> = (0..6).map(request).collect();
        let run = |model: &Model, max_num_seqs: usize, threads: usize, requests: &[Request]| -> Vec<Vec<Generated>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| generate(model, &EngineConfig { max_num_seqs }, requests, &mut |_| {})).unwrap().completions
        };
        let reference = run(&model, 64, 1, &requests);
        assert_eq!(run(&model, 3, 2, &requests), reference);
        assert_eq!(run(&model, 1, 1, &requests[3..4]), reference[3..4]);
        assert_ne!(run(&model.without_adapter(), 64, 1, &requests), reference);
        for (request, samples) in requests.iter().zip(&reference) {
            for sample in samples {
                let mut batch = PackedBatch::new();
                batch.push(&request.prompt, &sample.tokens, 0.9);
                let scores = model.score(&mut Workspace::default(), &batch).unwrap();
                for (score, log_prob) in scores.iter().zip(&sample.log_probs) {
                    assert!((score.log_prob - f64::from(*log_prob)).abs() < 1e-4, "{} against {log_prob}", score.log_prob);
                }
            }
        }
    }
}

/// One workspace serves passes with an adapter, with a larger one and without.
#[test]
fn a_workspace_serves_any_adapter() {
    let small = adapted::<Cpu<f32>>(tiny(), options(0.2, &[TargetModule::Q]));
    let large = adapted::<Cpu<f32>>(tiny(), LoraConfig { r: 9, ..options(0.2, &TargetModule::ALL) });
    let run = |model: &Model, workspace: &mut Workspace| {
        let mut gradients = model.new_gradients();
        workspace.dropout_seed = SEED;
        let scores = model.forward_backward(workspace, &batch(), &mut gradients, LossGradient::PerToken(&|_, _| -0.1)).unwrap();
        (scores, gradients.bufs)
    };
    let mut workspace = Workspace::default();
    for model in [&small, &large, &small.without_adapter(), &small] {
        model.score(&mut workspace, &batch()).unwrap();
        assert_eq!(run(model, &mut workspace), run(model, &mut Workspace::default()));
    }
}

#[test]
fn options_out_of_range_are_named() {
    let mut model = Model::random(tiny(), 0.4, 1);
    let good = options(0.0, &[TargetModule::Q]);
    let cases = [
        (LoraConfig { r: 0, ..good.clone() }, "r is 0"),
        (LoraConfig { lora_alpha: f64::NAN, ..good.clone() }, "lora_alpha is NaN"),
        (LoraConfig { lora_dropout: 1.0, ..good.clone() }, "lora_dropout is 1"),
        (LoraConfig { target_modules: vec![], ..good }, "target_modules is empty"),
    ];
    for (config, expected) in cases {
        let error = model.add_adapter(config, "test", 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(TargetModule::parse_all(&["up_proj", "q_proj", "q_proj"]), Ok(vec![TargetModule::Q, TargetModule::Up]));
    assert_eq!(TargetModule::parse_all(&["all-linear"]), Ok(TargetModule::ALL.to_vec()));
    assert!(TargetModule::parse_all(&["all-linear", "q_proj"]).is_err());
    assert!(TargetModule::parse_all::<&str>(&[]).is_err());
}
