//! What XLA plans: attention linear in the length, a head without `[tokens, vocab]`, and what recomputation saves.

mod support;

#[allow(dead_code)]
#[path = "../examples/measure/programs.rs"]
mod programs;
#[path = "support/transformer.rs"]
mod transformer;

use expo_xla::ElementType::F32;
use expo_xla::Program;
use expo_xla::client::{Client, CompileOptions};
use expo_xla::layers::Keep;
use programs::Scores;

/// Bytes between arguments and outputs.
fn temporary(client: &Client, program: expo_xla::graph::Result<Program>) -> f64 {
    let executable = client.compile(&program.unwrap(), &CompileOptions::default()).unwrap();
    executable.compiled().memory().unwrap().temporary as f64
}

#[test]
fn attention_is_linear_in_the_length() {
    let Some(client) = support::client("attention_is_linear_in_the_length", &[]) else { return };
    let blocks = [2048, 8192].map(|length| temporary(&client, programs::attention(Scores::Blocks, 1, length, F32)));
    assert!(blocks[1] < 4.0 * blocks[0], "{blocks:?}");
    // The whole matrix of scores is not: the comparison can tell.
    let whole = [512, 2048].map(|length| temporary(&client, programs::attention(Scores::Whole, 1, length, F32)));
    assert!(whole[1] > 12.0 * whole[0] && whole[1] > 20.0 * blocks[0], "{whole:?}");
}

#[test]
fn the_head_has_no_logits_of_all_rows() {
    let Some(client) = support::client("the_head_has_no_logits_of_all_rows", &[]) else { return };
    let vocab = 151_936;
    for one_pass in [false, true] {
        let heads = [1024, 8192].map(|rows| temporary(&client, programs::head(rows, vocab, F32, one_pass)));
        // Logits of all rows would be 5 GB. What grows are hidden rows and their gradients.
        assert!(heads[1] < heads[0] + 5.0 * 4.0 * (8192 * programs::WIDTH) as f64, "{heads:?}");
        assert!(heads[1] < 0.2 * 4.0 * (8192 * vocab) as f64, "{heads:?}");
    }
}

#[test]
fn recomputation_saves_memory() {
    let Some(client) = support::client("recomputation_saves_memory", &[]) else { return };
    let plan = |layers, keep| temporary(&client, programs::whole_model(&programs::model(layers, 512, keep, F32), 1, 1024));
    let inputs = [4, 12].map(|layers| plan(layers, Keep::Inputs));
    let products = [4, 12].map(|layers| plan(layers, Keep::Products));
    // A layer more costs its input alone, or its products too: q, k, v, the attention's output before and after its
    // product, gate and up.
    let row = |widths: usize| 4.0 * 1024.0 * widths as f64;
    let each = |pair: [f64; 2]| (pair[1] - pair[0]) / 8.0;
    assert!((each(inputs) - row(programs::WIDTH)).abs() < 0.05 * row(programs::WIDTH), "{inputs:?}");
    let wide = row(programs::WIDTH + 1152 + 2 * 896 + 2 * 4864);
    assert!((each(products) - wide).abs() < 0.25 * wide, "{} for {wide}: {products:?}", each(products));
}
