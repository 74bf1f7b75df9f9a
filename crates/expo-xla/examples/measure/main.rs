//! Measures the parts on a plugin:
//!
//!     cargo run --release -p expo-xla --example measure -- memory PLUGIN
//!     cargo run --release -p expo-xla --example measure -- time PLUGIN
//!     cargo run --release -p expo-xla --example measure -- write FOLDER
//!
//! `memory` prints what XLA plans, `time` the times beside those of expo-lm's engine, taken in turns; `write` writes
//! the programs, for a compiler elsewhere.

mod engine;
mod programs;
#[path = "../../tests/support/transformer.rs"]
mod transformer;

use std::time::Instant;

use expo_xla::ElementType::{Bf16, F32};
use expo_xla::Program;
use expo_xla::client::{Client, CompileOptions, Limits, Plugin};
use expo_xla::layers::Keep;
use programs::Scores;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Qwen2.5's vocabulary, and a small one.
const VOCABULARIES: [usize; 2] = [512, 151_936];
const LENGTHS: [usize; 5] = [512, 1024, 2048, 4096, 8192];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let client = |path: &str| -> Result<Client, expo_xla::Error> { Plugin::load(path.as_ref())?.client(&[], Limits::default()) };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["memory", plugin] => memory(&client(plugin)?),
        ["time", plugin] => engine::time(&client(plugin)?),
        ["write", folder] => write(folder.as_ref()),
        _ => Err("memory PLUGIN, time PLUGIN or write FOLDER".into()),
    }
}

fn line(client: &Client, name: &str, program: &Program) -> Outcome {
    let start = Instant::now();
    let executable = client.compile(program, &CompileOptions::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let memory = executable.compiled().memory()?;
    let mb = |bytes: i64| bytes as f64 / 1e6;
    let (arguments, outputs, temporary) = (mb(memory.arguments), mb(memory.outputs), mb(memory.temporary));
    println!("{name:<60} {arguments:>9.1} {outputs:>9.1} {temporary:>9.1} {seconds:>6.1} {:>6}", program.text.len() / 1000);
    Ok(())
}

fn memory(client: &Client) -> Outcome {
    println!("{:<60} {:>9} {:>9} {:>9} {:>6} {:>6}", "", "args MB", "outs MB", "temp MB", "s", "kB");
    for operands in [F32, Bf16] {
        for length in LENGTHS {
            let program = programs::attention(Scores::Blocks, 1, length, operands)?;
            line(client, &format!("attention {}, 1 x {length}", operands.name()), &program)?;
        }
    }
    for length in LENGTHS {
        line(client, &format!("attention f32, whole scores, 1 x {length}"), &programs::attention(Scores::Whole, 1, length, F32)?)?;
    }
    for vocab in VOCABULARIES {
        for one_pass in [false, true] {
            for rows in LENGTHS {
                let pass = if one_pass { "one pass" } else { "scores, then gradient" };
                let name = format!("head f32, {pass}, {rows} rows, vocabulary {vocab}, chunks of {}", programs::chunk(vocab).min(rows));
                line(client, &name, &programs::head(rows, vocab, F32, one_pass)?)?;
            }
        }
    }
    for keep in [Keep::Inputs, Keep::Products] {
        for length in LENGTHS {
            let model = programs::model(24, 512, keep, F32);
            let name = format!("24 layers, vocabulary 512, {keep:?} kept, 1 x {length}");
            line(client, &name, &programs::whole_model(&model, 1, length)?)?;
        }
    }
    Ok(())
}

fn write(folder: &std::path::Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    for (name, program) in [
        ("attention-bf16-8x2048", programs::attention(Scores::Blocks, 8, 2048, Bf16)?),
        ("attention-f32-8x2048", programs::attention(Scores::Blocks, 8, 2048, F32)?),
        ("head-bf16-16384-151936", programs::head(16384, 151_936, Bf16, true)?),
        ("head-scores-bf16-16384-151936", programs::head(16384, 151_936, Bf16, false)?),
        ("model-bf16-inputs-8x2048", programs::whole_model(&programs::model(24, 151_936, Keep::Inputs, Bf16), 8, 2048)?),
        ("model-bf16-products-8x2048", programs::whole_model(&programs::model(24, 151_936, Keep::Products, Bf16), 8, 2048)?),
    ] {
        std::fs::write(folder.join(format!("{name}.mlir")), &program.text)?;
        println!("{name}.mlir: {} kB", program.text.len() / 1000);
    }
    Ok(())
}
