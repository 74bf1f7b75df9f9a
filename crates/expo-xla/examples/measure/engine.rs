//! Times of attention and head, forward and backward in f32, beside those of expo-lm's engine, in turns: this process's processor time, which
//! what else runs on the machine changes least.

use expo_lm::kernels::{Backend, Cpu, HeadGradients, HeadLayout};
use expo_lm::{LossGradient, ScoreGradient, Segment, Target};
use expo_xla::ElementType::F32;
use expo_xla::client::{Buffer, Client, CompileOptions, Executable};

use super::programs::{self, HEADS, Scores, WIDTH};

/// Pairs of runs of each size.
const PAIRS: usize = 5;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5) * 0.4
    };
    (0..count).map(|_| next()).collect()
}

fn zeros(count: usize) -> Vec<f32> {
    vec![0.0; count]
}

/// Seconds of processor time of all threads of this process so far, in steps of 10 ms (Linux).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses: utime and stime are the fields 14 and 15 of all.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Middle values of the processor seconds of the program and of the engine, and of their ratio.
fn pairs(name: &str, executable: &Executable, inputs: &[Buffer], mut engine: impl FnMut()) -> Result<(), expo_xla::Error> {
    let program = || -> Result<(), expo_xla::Error> {
        let outputs = executable.execute(&inputs.iter().collect::<Vec<_>>())?;
        outputs.iter().try_for_each(Buffer::wait)
    };
    let (mut times, mut ratios) = ([vec![], vec![]], vec![]);
    program()?;
    engine();
    for _ in 0..PAIRS {
        let start = processor_seconds();
        program()?;
        let middle = processor_seconds();
        engine();
        let (first, second) = (middle - start, processor_seconds() - middle);
        times[0].push(first);
        times[1].push(second);
        ratios.push(first / second);
    }
    let middle = |list: &mut Vec<f64>| {
        list.sort_by(f64::total_cmp);
        list[list.len() / 2]
    };
    let (program, engine, ratio) = (middle(&mut times[0]), middle(&mut times[1]), middle(&mut ratios));
    println!(
        "{name:<40} program {program:>6.2} s, engine {engine:>6.2} s, ratio {ratio:.2}, from {:.2} to {:.2}",
        ratios[0],
        ratios[PAIRS - 1]
    );
    Ok(())
}

/// Prints the times.
pub fn time(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    for length in [1024, 2048] {
        attention(client, length)?;
    }
    for (rows, vocab) in [(2048, 512), (128, 151_936)] {
        head(client, rows, vocab)?;
    }
    Ok(())
}

fn attention(client: &Client, length: usize) -> Result<(), Box<dyn std::error::Error>> {
    let (q_heads, kv_heads, head_dim) = HEADS;
    let executable = client.compile(&programs::attention(Scores::Blocks, 1, length, F32)?, &CompileOptions::default())?;
    let device = &client.devices()[0];
    let (q, kv) = ([1, length, q_heads, head_dim], [1, length, kv_heads, head_dim]);
    let (queries, keys) = (numbers(q.iter().product(), 1), numbers(kv.iter().product(), 2));
    let inputs = [
        client.buffer("q", &queries, &q, device)?,
        client.buffer("k", &keys, &kv, device)?,
        client.buffer("v", &keys, &kv, device)?,
        client.buffer("segments", &vec![0i32; length], &[1, length], device)?,
        client.buffer("cotangent", &queries, &q, device)?,
    ];
    let layout = HeadLayout { q_heads, kv_heads, head_dim, scale: 1.0 / (head_dim as f64).sqrt() };
    let segments = [Segment { start: 0, len: length, prefix: None }];
    let backend = Cpu::<f32>::default();
    let qkv = numbers(length * layout.row(), 3);
    let (mut out, mut lse, mut dqkv) = (zeros(queries.len()), zeros(length * q_heads), zeros(qkv.len()));
    pairs(&format!("attention, 1 x {length}"), &executable, &inputs, || {
        backend.attention(layout, &segments, None, &qkv, &mut out, &mut lse);
        backend.attention_backward(layout, &segments, None, &qkv, &out, &lse, &queries, &mut dqkv);
    })?;
    Ok(())
}

fn head(client: &Client, rows: usize, vocab: usize) -> Result<(), Box<dyn std::error::Error>> {
    let executable = client.compile(&programs::head(rows, vocab, F32, true)?, &CompileOptions::default())?;
    let device = &client.devices()[0];
    let (hidden, weight) = (numbers(rows * WIDTH, 1), numbers(vocab * WIDTH, 2));
    let tokens: Vec<i32> = (0..rows).map(|i| (i * 7 % vocab) as i32).collect();
    let inputs = [
        client.buffer("hidden", &hidden, &[rows, WIDTH], device)?,
        client.buffer("weight", &weight, &[vocab, WIDTH], device)?,
        client.buffer("tokens", &tokens, &[rows], device)?,
        client.buffer("temperatures", &vec![1f32; rows], &[rows], device)?,
        client.buffer("by_log_prob", &vec![0.5f32; rows], &[rows], device)?,
        client.buffer("by_entropy", &vec![0f32; rows], &[rows], device)?,
    ];
    let backend = Cpu::<f32>::default();
    let matrix = backend.matrix(vocab, WIDTH, &weight);
    let target = |(row, token): (usize, &i32)| Target { row, token: *token as u32, temperature: 1.0 };
    let targets: Vec<Target> = tokens.iter().enumerate().map(target).collect();
    let (mut dhidden, mut dweight) = (zeros(hidden.len()), zeros(matrix.len()));
    pairs(&format!("head, {rows} rows, vocabulary {vocab}"), &executable, &inputs, || {
        dhidden.fill(0.0);
        dweight.fill(0.0);
        let by = |_: usize, _: f64| ScoreGradient::by_log_prob(0.5).log_prob;
        let gradients = HeadGradients { loss: LossGradient::PerToken(&by), dhidden: &mut dhidden, dweight: Some(&mut dweight) };
        backend.score_backward(WIDTH, vocab, &hidden, &matrix, &targets, None, gradients);
    })?;
    Ok(())
}
