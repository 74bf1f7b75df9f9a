//! `expo-rl bench`: how fast the engine runs here, beside the rate of its own matrix product.

mod dpo;
mod generate;
mod grpo;
mod train;

use std::io::Write;
use std::time::Instant;

use anyhow::bail;
use expo_lm::config::{ModelConfig, shape_names};
use expo_lm::kernels::{self, Backend, Cpu, LinearShape};
use expo_lm::model::{Model, PassSeconds};
use serde_json::{Value, json};

use crate::policy;
use crate::sampling::at_least_one;

/// Measure training, generation, or steps of GRPO or DPO: rates, seconds by phase, share of the rate that a matrix product reaches, peak memory.
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
        /// Compute activations again in the backward pass instead of keeping them.
        #[arg(long)]
        gradient_checkpointing: bool,
        /// AdamW with its state in 8 bits.
        #[arg(long)]
        adamw_8bit: bool,
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
    /// Whole steps of GRPO by the trainer: rollouts, rewards, forward, backward, AdamW.
    Grpo {
        #[command(flatten)]
        common: Common,
        /// Questions a step.
        #[arg(long, value_name = "P", default_value_t = 8, value_parser = at_least_one)]
        prompts: usize,
        /// Completions a question.
        #[arg(long, value_name = "G", default_value_t = 8, value_parser = at_least_one)]
        group: usize,
        /// Tokens of a prompt.
        #[arg(long, value_name = "L", default_value_t = 64, value_parser = at_least_one)]
        prompt: usize,
        /// Most new tokens of a completion.
        #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
        new: usize,
        /// Completions all of full length, or of geometric lengths with a mean near 128 (below it where --new cuts them).
        #[arg(long, value_enum, default_value_t = Lengths::Fixed)]
        lengths: Lengths,
        /// Most tokens of a micro-batch.
        #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
        max_tokens_per_micro_batch: usize,
    },
    /// Steps of DPO on pairs that share their prompt: reference, forward, backward, AdamW.
    Dpo {
        #[command(flatten)]
        common: Common,
        /// Pairs a step.
        #[arg(long, value_name = "P", default_value_t = 64, value_parser = at_least_one)]
        pairs: usize,
        /// Tokens of a prompt.
        #[arg(long, value_name = "L", default_value_t = 64, value_parser = at_least_one)]
        prompt: usize,
        /// Tokens of each side.
        #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
        new: usize,
        /// The reference's log-probabilities: computed in every step, or known.
        #[arg(long = "ref", value_enum, default_value_t = Reference::Live)]
        reference: Reference,
        /// Most tokens of a micro-batch.
        #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
        max_tokens_per_micro_batch: usize,
    },
}

/// Lengths of GRPO's completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Lengths {
    Fixed,
    Varied,
}

/// Where DPO's reference log-probabilities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reference {
    Live,
    Cached,
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
pub(crate) struct Run {
    seconds: f64,
    phases: Vec<(String, f64)>,
}

/// A run's work: its operations, and how many of what the rate counts.
struct Work {
    flops: f64,
    rate: (&'static str, f64),
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Train { common, batch, seq, gradient_checkpointing, adamw_8bit } => {
                let mut model = common.load(seq)?;
                let runs = train::runs(&mut model, batch, seq, gradient_checkpointing, adamw_8bit, common.runs)?;
                let tokens = (batch * seq) as f64;
                // The backward pass is two products for each one of the forward pass; causal attention sees half the sequence. What is computed again
                // is not counted.
                let flops = 3.0 * tokens * model.config.forward_flops(seq as f64 / 2.0);
                common.report(&model, &runs, Work { flops, rate: ("tokens_per_s", tokens) }, &[])
            }
            What::Generate { common, batch, prompt, new } => {
                let model = common.load(prompt + new)?;
                let runs = generate::runs(&model, batch, prompt, new, common.runs)?;
                let flops = batch as f64 * (body_flops(&model, 0, prompt + new) + new as f64 * head_flops(&model));
                common.report(&model, &runs, Work { flops, rate: ("new_tokens_per_s", (batch * new) as f64) }, &[])
            }
            What::Grpo { common, prompts, group, prompt, new, lengths, max_tokens_per_micro_batch } => {
                let model = common.load(prompt + new)?;
                let shape = grpo::Shape { prompts, group, prompt, new, varied: lengths == Lengths::Varied };
                let grpo::Measured { runs, mean_length, model } = grpo::runs(model, shape, max_tokens_per_micro_batch, common.runs)?;
                // Each prompt once; forward for sampling, three times as much for training.
                let completion = body_flops(&model, prompt, mean_length.round() as usize) + mean_length * head_flops(&model);
                let flops = 4.0 * prompts as f64 * (body_flops(&model, 0, prompt) + group as f64 * completion);
                let new_tokens = prompts as f64 * group as f64 * mean_length;
                let seconds = median(runs.iter().map(|run| run.seconds));
                let more = [("new_tokens_per_s", new_tokens / seconds), ("mean_length", mean_length)];
                common.report(&model, &runs, Work { flops, rate: ("steps_per_s", 1.0) }, &more)
            }
            What::Dpo { common, pairs, prompt, new, reference, max_tokens_per_micro_batch } => {
                let live = reference == Reference::Live;
                let shape = dpo::Shape { pairs, prompt, new, live };
                let (runs, model) = dpo::runs(common.load(prompt + new)?, shape, max_tokens_per_micro_batch, common.runs)?;
                let side = body_flops(&model, prompt, new) + new as f64 * head_flops(&model);
                let flops = if live { 4.0 } else { 3.0 } * pairs as f64 * (body_flops(&model, 0, prompt) + 2.0 * side);
                common.report(&model, &runs, Work { flops, rate: ("steps_per_s", 1.0) }, &[])
            }
        }
    }
}

/// Operations of the blocks over the tokens `first..first + count` of a sequence, forward.
fn body_flops(model: &Model, first: usize, count: usize) -> f64 {
    (first..first + count).map(|t| model.config.forward_flops(t as f64) - head_flops(model)).sum()
}

/// Operations of the head for one token, forward.
fn head_flops(model: &Model) -> f64 {
    2.0 * (model.config.hidden_size * model.config.vocab_size) as f64
}

/// Seconds of the passes by phase.
fn pass_phases(seconds: PassSeconds) -> Vec<(String, f64)> {
    let PassSeconds { forward, head, backward } = seconds;
    [("forward", forward), ("head", head), ("backward", backward)].map(|(name, seconds)| (name.to_owned(), seconds)).to_vec()
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

    fn report(&self, model: &Model, runs: &[Run], work: Work, more: &[(&str, f64)]) -> anyhow::Result<()> {
        let seconds = median(runs.iter().map(|run| run.seconds));
        let ceiling = matrix_product_gflops();
        let gflops = work.flops / seconds / 1e9;
        let mut report = json!({
            "model": self.model.as_deref().unwrap_or(&self.shape),
            "parameters": model.num_parameters(),
            "threads": rayon::current_num_threads(),
            "instruction_set": kernels::instruction_set(),
            "runs": runs.len(),
            "seconds": seconds,
        });
        report[work.rate.0] = json!(work.rate.1 / seconds);
        for (name, value) in more {
            report[*name] = json!(value);
        }
        for (i, (phase, _)) in runs[0].phases.iter().enumerate() {
            report[format!("seconds/{phase}")] = json!(median(runs.iter().map(|run| run.phases[i].1)));
        }
        report["gflops"] = json!(gflops);
        report["ceiling_gflops"] = json!(ceiling);
        report["share_of_ceiling"] = json!(gflops / ceiling);
        report["peak_rss_gib"] = json!(peak_rss_gib());
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{report}")?;
        } else {
            for (key, value) in report.as_object().into_iter().flatten() {
                match value {
                    Value::Number(n) if n.is_f64() => writeln!(out, "{key:<26} {:.4}", n.as_f64().unwrap_or_default())?,
                    Value::String(text) => writeln!(out, "{key:<26} {text}")?,
                    other => writeln!(out, "{key:<26} {other}")?,
                }
            }
        }
        Ok(())
    }
}

/// A token that differs from row to row, in a vocabulary of `vocab`.
fn token(vocab: usize, sequence: usize, position: usize) -> u32 {
    ((position * 7919 + sequence * 104_729) % vocab) as u32
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
