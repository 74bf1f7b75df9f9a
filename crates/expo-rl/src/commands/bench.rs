//! `expo-rl bench`: how fast the engine runs here, beside the rate of its own matrix product.

use std::time::Instant;

use anyhow::bail;
use expo_lm::config::{ModelConfig, shape_names};
use expo_lm::generate::{EngineConfig, GenerationSeconds, Request, SamplingParams, generate};
use expo_lm::kernels::{Backend, Cpu, LinearShape};
use expo_lm::model::{Model, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};
use expo_lm::{LossGradient, PackedBatch, kernels};
use serde_json::{Value, json};

use crate::policy;
use crate::sampling::at_least_one;

/// Measure training or generation: tokens per second, seconds by phase, share of the rate that a matrix product reaches, peak memory.
///
/// Every figure is the median of the runs, after one run that doesn't count.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Training steps: forward, backward, gradient norm and AdamW on packed sequences, every token scored.
    Train {
        #[command(flatten)]
        common: Common,
        /// Sequences.
        #[arg(long, value_name = "B", default_value_t = 8, value_parser = at_least_one)]
        batch: usize,
        /// Tokens of a sequence.
        #[arg(long, value_name = "T", default_value_t = 256, value_parser = at_least_one)]
        seq: usize,
    },
    /// Generation at temperature 0.7, one sample a prompt, all of full length.
    Generate {
        #[command(flatten)]
        common: Common,
        /// Prompts, decoded together.
        #[arg(long, value_name = "B", default_value_t = 8, value_parser = at_least_one)]
        batch: usize,
        /// Tokens of a prompt.
        #[arg(long, value_name = "P", default_value_t = 64, value_parser = at_least_one)]
        prompt: usize,
        /// New tokens a prompt.
        #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
        new: usize,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Hugging Face folder, hub name, or `embedded:tiny`.
    #[arg(long, value_name = "DIR", conflicts_with = "shape")]
    model: Option<String>,
    /// Random weights of a known size: small (6 million parameters), smollm2-135m, qwen2.5-0.5b.
    #[arg(long, value_name = "NAME", default_value = "small", value_parser = clap::builder::PossibleValuesParser::new(shape_names()))]
    shape: String,
    /// Counted runs.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    runs: usize,
    /// Print one line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// One run's seconds: the whole and its phases.
struct Run {
    seconds: f64,
    phases: Vec<(&'static str, f64)>,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Train { common, batch, seq } => {
                let mut model = common.load(seq)?;
                let runs = train(&mut model, batch, seq, common.runs)?;
                let tokens = batch * seq;
                // The backward pass is two products for each one of the forward pass; causal attention sees half the sequence.
                let flops = 3.0 * tokens as f64 * model.config.forward_flops(seq as f64 / 2.0);
                common.report(&model, &runs, &[("tokens_per_s", tokens)], flops)
            }
            What::Generate { common, batch, prompt, new } => {
                let model = common.load(prompt + new)?;
                let runs = generate_runs(&model, batch, prompt, new, common.runs)?;
                let per_prompt = (0..prompt + new).map(|t| model.config.forward_flops(t as f64)).sum::<f64>()
                    - prompt as f64 * 2.0 * (model.config.hidden_size * model.config.vocab_size) as f64;
                common.report(&model, &runs, &[("new_tokens_per_s", batch * new)], batch as f64 * per_prompt)
            }
        }
    }
}

impl Common {
    /// The model, which must take `tokens` tokens.
    fn load(&self, tokens: usize) -> anyhow::Result<Model> {
        let model = match &self.model {
            Some(name) => policy::load(name)?.model,
            None => Model::random(ModelConfig::of_shape(&self.shape).expect("checked by the parser"), 0.02, 0),
        };
        let context = model.config.max_position_embeddings;
        if tokens > context {
            bail!("{tokens} tokens a sequence were asked for, but the model's context is {context}");
        }
        Ok(model)
    }

    fn report(&self, model: &Model, runs: &[Run], rates: &[(&str, usize)], flops: f64) -> anyhow::Result<()> {
        let seconds = median(runs.iter().map(|run| run.seconds));
        let ceiling = matrix_product_gflops();
        let gflops = flops / seconds / 1e9;
        let mut report = json!({
            "model": self.model.as_deref().unwrap_or(&self.shape),
            "parameters": model.num_parameters(),
            "threads": rayon::current_num_threads(),
            "instruction_set": kernels::instruction_set(),
            "runs": runs.len(),
            "seconds": seconds,
        });
        for (name, tokens) in rates {
            report[*name] = json!(*tokens as f64 / seconds);
        }
        for (i, (phase, _)) in runs[0].phases.iter().enumerate() {
            report[format!("seconds/{phase}")] = json!(median(runs.iter().map(|run| run.phases[i].1)));
        }
        report["gflops"] = json!(gflops);
        report["ceiling_gflops"] = json!(ceiling);
        report["share_of_ceiling"] = json!(gflops / ceiling);
        report["peak_rss_gib"] = json!(peak_rss_gib());
        if self.json {
            println!("{report}");
        } else {
            for (key, value) in report.as_object().into_iter().flatten() {
                match value {
                    Value::Number(n) if n.is_f64() => println!("{key:<26} {:.4}", n.as_f64().unwrap_or_default()),
                    Value::String(text) => println!("{key:<26} {text}"),
                    other => println!("{key:<26} {other}"),
                }
            }
        }
        Ok(())
    }
}

/// A token that differs from row to row, in the vocabulary.
fn token(model: &Model, sequence: usize, position: usize) -> u32 {
    ((position * 7919 + sequence * 104_729) % model.config.vocab_size) as u32
}

fn train(model: &mut Model, batch: usize, seq: usize, runs: usize) -> anyhow::Result<Vec<Run>> {
    let mut packed = PackedBatch::new();
    for s in 0..batch {
        let tokens: Vec<u32> = (0..seq).map(|t| token(model, s, t)).collect();
        packed.push(&tokens[..1], &tokens[1..], 1.0);
    }
    let weight = -1.0 / packed.targets.len().max(1) as f64;
    let mut workspace = Workspace::default();
    let mut gradients = model.new_gradients();
    let mut optimizer = AdamW::new(model, AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 });
    let mut measured = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        gradients.zero();
        model.forward_backward(&mut workspace, &packed, &mut gradients, LossGradient::PerToken(&|_, _| weight))?;
        let passes = start.elapsed().as_secs_f64();
        let norm = gradients.norm();
        let normed = start.elapsed().as_secs_f64();
        optimizer.step(model, &gradients, 1e-6, (1.0 / norm).min(1.0));
        let seconds = start.elapsed().as_secs_f64();
        let phases = vec![("forward_backward", passes), ("gradient_norm", normed - passes), ("optimizer", seconds - normed)];
        measured.push(Run { seconds, phases });
    }
    Ok(measured.split_off(1))
}

fn generate_runs(model: &Model, batch: usize, prompt: usize, new: usize, runs: usize) -> anyhow::Result<Vec<Run>> {
    let sampling = SamplingParams { temperature: 0.7, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: new, stop_token_ids: vec![] };
    let requests: Vec<Request> = (0..batch)
        .map(|s| Request { prompt: (0..prompt).map(|t| token(model, s, t)).collect(), seeds: vec![s as u64], sampling: sampling.clone() })
        .collect();
    let mut measured = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        let generation = generate(model, &EngineConfig { max_num_seqs: batch }, &requests, &mut |_| {})?;
        let seconds = start.elapsed().as_secs_f64();
        let GenerationSeconds { prefill, decode } = generation.seconds;
        measured.push(Run { seconds, phases: vec![("prefill", prefill), ("decode", decode)] });
    }
    Ok(measured.split_off(1))
}

/// The rate of a large matrix product by the engine's own kernels, in GFLOP/s: the best of five, since it stands for what the machine can do.
fn matrix_product_gflops() -> f64 {
    const N: usize = 2048;
    let backend = Cpu::<f32>::default();
    let shape = LinearShape { rows: N, inputs: N, outputs: N };
    let (x, weight, mut y) = (backend.zeros(N * N), backend.matrix(N, N, &vec![0.5; N * N]), backend.zeros(N * N));
    let best = (0..5).map(|_| {
        let start = Instant::now();
        backend.linear(shape, &x, &weight, &mut y, false);
        start.elapsed().as_secs_f64()
    });
    2.0 * (N as f64).powi(3) / best.fold(f64::INFINITY, f64::min) / 1e9
}

/// Most memory that this process ever had resident, where the system tells (Linux).
fn peak_rss_gib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / (1 << 20) as f64)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
