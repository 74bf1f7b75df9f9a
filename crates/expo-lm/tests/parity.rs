//! The engine against PyTorch and transformers, on the models that scripts/fixtures/make_models.py made.

use std::path::PathBuf;

use expo_lm::config::ConfigFile;
use expo_lm::generate::{EngineConfig, Request, SamplingParams, generate};
use expo_lm::model::{Gradients, Model, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};
use expo_lm::weights::safetensors::SafetensorsSource;
use expo_lm::weights::{HostTensor, TensorSource};
use expo_lm::{LossGradient, PackedBatch, Result, Target};

const MODELS: [&str; 7] = ["qwen2", "llama", "qwen3", "mistral", "yarn", "linear", "gemma3"];

/// The models with an optimizer's trace.
const TRAINED: [&str; 2] = ["qwen2", "llama"];

/// As in make_models.py.
const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
const LEARNING_RATE: f64 = 1e-2;

struct Fixture {
    model: Model,
    reference: SafetensorsSource<'static>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
        let path = folder.join("config.json");
        let config = ConfigFile::parse(&std::fs::read(&path).expect("config.json"), &path).expect("supported").config;
        let model = Model::load(config, &mut SafetensorsSource::open(&folder).expect("weights")).expect("model");
        let bytes: &'static [u8] = std::fs::read(folder.join("reference.safetensors")).expect("reference").leak();
        Self { model, reference: SafetensorsSource::from_bytes("reference.safetensors", bytes).expect("reference") }
    }

    fn values(&mut self, name: &str) -> Vec<f32> {
        self.reference.tensor(name).expect("readable").unwrap_or_else(|| panic!("no {name}")).data
    }

    /// The packed sequences, without targets.
    fn sequences(&mut self) -> PackedBatch {
        let tokens: Vec<u32> = self.values("tokens").iter().map(|v| *v as u32).collect();
        let offsets = self.values("offsets");
        let mut batch = PackedBatch::new();
        for range in offsets.windows(2) {
            batch.push_segment(None, &tokens[range[0] as usize..range[1] as usize]);
        }
        batch
    }

    /// The packed sequences, every next token a target.
    fn next_token_batch(&mut self) -> PackedBatch {
        let mut batch = self.sequences();
        for segment in &batch.segments {
            let rows = segment.start..segment.start + segment.len - 1;
            batch.targets.extend(rows.map(|row| Target { row, token: batch.tokens[row + 1], temperature: 1.0 }));
        }
        batch
    }
}

/// The tensors of the reference whose names begin with `prefix`.
struct Prefixed<'a>(&'a mut SafetensorsSource<'static>, String);

impl TensorSource for Prefixed<'_> {
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>> {
        self.0.tensor(&format!("{}{name}", self.1))
    }
    fn describe(&self) -> String {
        self.1.clone()
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Gradients of the mean cross-entropy, and the loss.
fn gradients(model: &Model, batch: &PackedBatch) -> (Gradients, f64) {
    let mut gradients = model.new_gradients();
    let count = batch.targets.len() as f64;
    let scores = model
        .forward_backward(&mut Workspace::default(), batch, &mut gradients, LossGradient::PerToken(&|_, _| -1.0 / count))
        .expect("runs");
    (gradients, -scores.iter().map(|s| s.log_prob).sum::<f64>() / count)
}

#[test]
fn logits_and_log_probs() {
    for name in MODELS {
        let mut fixture = Fixture::open(name);
        let mut batch = fixture.sequences();
        let vocab = fixture.model.config.vocab_size;
        // Every log-probability of every row: they fix the logits up to a constant a row, on which nothing depends.
        let all = (0..batch.tokens.len()).flat_map(|row| (0..vocab as u32).map(move |token| Target { row, token, temperature: 1.0 }));
        batch.targets = all.collect();
        let scores = fixture.model.score(&mut Workspace::default(), &batch).expect("runs");
        let logits = fixture.values("logits");
        let mut worst = 0f64;
        for (row, scores) in logits.chunks_exact(vocab).zip(scores.chunks_exact(vocab)) {
            let normaliser = row.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln();
            let expected: Vec<f64> = row.iter().map(|v| f64::from(*v) - normaliser).collect();
            let entropy = -expected.iter().map(|l| l.exp() * l).sum::<f64>();
            for (score, expected) in scores.iter().zip(&expected) {
                worst = worst.max((score.log_prob - expected).abs()).max((score.entropy - entropy).abs());
            }
        }
        println!("{name}: largest difference of a log-probability or an entropy: {worst:.1e}");
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

/// Sampling's own path (pages of keys, one token at a time) gives the tokens that the whole sequence gives, over windows and pages.
#[test]
fn greedy_tokens() {
    let mut fixture = Fixture::open("gemma3");
    let mut kinds = std::collections::BTreeSet::new();
    for index in 0..2 {
        let all: Vec<u32> = fixture.values(&format!("greedy.{index}")).iter().map(|v| *v as u32).collect();
        let prompt = fixture.values(&format!("greedy.{index}.prompt"))[0] as usize;
        let sampling = SamplingParams {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_new_tokens: all.len() - prompt,
            stop_token_ids: vec![],
        };
        let request = Request { prompt: all[..prompt].to_vec(), seeds: vec![1], sampling };
        let found = generate(&fixture.model, &EngineConfig { max_num_seqs: 1 }, &[request], &mut |_| {}).expect("runs");
        assert_eq!(found.completions[0][0].tokens, all[prompt..]);
        kinds.extend(all[prompt..].to_vec());
    }
    assert!(kinds.len() > 10, "a model that repeats itself proves little");
}

#[test]
fn loss_and_gradients() {
    for name in MODELS {
        let mut fixture = Fixture::open(name);
        let batch = fixture.next_token_batch();
        let (gradients, _) = gradients(&fixture.model, &batch);
        let global = gradients.norm();
        let (mut worst, mut tensors) = (0f64, 0);
        let reference = &mut fixture.reference;
        let check = &mut |tensor: &str, found: HostTensor| {
            let expected = reference.tensor(&format!("grad.{tensor}"))?.unwrap_or_else(|| panic!("no gradient of {tensor}"));
            assert_eq!(found.shape, expected.shape, "{name} {tensor}");
            let difference = norm(found.data.iter().zip(&expected.data).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let size = norm(expected.data.iter().map(|v| f64::from(*v)));
            // Where the true gradient vanishes (Qwen2's k bias), rounding is all there is: measured against the whole gradient.
            let relative = if size < 1e-6 * global { difference / global } else { difference / size };
            assert!(relative < 1e-4, "{name} {tensor}: {relative}");
            (worst, tensors) = (worst.max(relative), tensors + 1);
            Ok(())
        };
        gradients.export(&fixture.model, check).expect("exported");
        println!("{name}: {tensors} tensors, largest relative difference of a gradient: {worst:.1e}");
        let expected = reference.names().filter(|n| n.starts_with("grad.")).count();
        assert_eq!(tensors, expected, "{name}: tensors compared");
    }
}

#[test]
fn adamw_fed_pytorchs_gradients() {
    for name in TRAINED {
        let mut fixture = Fixture::open(name);
        let mut optimizer = AdamW::new(&fixture.model, ADAMW);
        for step in 0..5 {
            let source = &mut Prefixed(&mut fixture.reference, format!("adamw.grad.{step}."));
            let gradients = Gradients::load(&fixture.model, source).expect("gradients");
            optimizer.step(&mut fixture.model, &gradients, LEARNING_RATE, 1.0);
        }
        for what in ["weight", "exp_avg", "exp_avg_sq"] {
            let mut worst = 0f64;
            let reference = &mut fixture.reference;
            let compare = &mut |tensor: &str, found: HostTensor| {
                let expected = reference.tensor(&format!("adamw.{what}.{tensor}"))?.unwrap_or_else(|| panic!("no {what} of {tensor}"));
                let difference = norm(found.data.iter().zip(&expected.data).map(|(a, b)| f64::from(*a) - f64::from(*b)));
                let relative = difference / norm(expected.data.iter().map(|v| f64::from(*v)));
                assert!(relative < 1e-6, "{name} {what} {tensor}: {relative}");
                worst = worst.max(relative);
                Ok(())
            };
            match what {
                "weight" => fixture.model.export(compare),
                _ => optimizer.export(&fixture.model, what == "exp_avg_sq", compare),
            }
            .expect("exported");
            println!("{name}: largest relative difference of {what}: {worst:.1e}");
        }
    }
}

#[test]
fn five_steps_end_to_end() {
    for name in TRAINED {
        let mut fixture = Fixture::open(name);
        let (batch, expected) = (fixture.next_token_batch(), fixture.values("losses"));
        let mut optimizer = AdamW::new(&fixture.model, ADAMW);
        for (step, expected) in expected.iter().enumerate() {
            let (gradients, loss) = gradients(&fixture.model, &batch);
            println!("{name}: step {step}, loss {loss:.6}, PyTorch {expected:.6}");
            assert!((loss - f64::from(*expected)).abs() < 1e-4, "{name} step {step}: {loss} against {expected}");
            optimizer.step(&mut fixture.model, &gradients, LEARNING_RATE, 1.0);
        }
    }
}
