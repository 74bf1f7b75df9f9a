//! A whole transformer from this crate's parts against expo-lm's f64 engine and against finite differences.

#[path = "support/transformer.rs"]
mod parts;
mod support;

use std::collections::HashMap;

use expo_lm::config::{Activation, LayerAttention, Mlp, ModelConfig, Rope};
use expo_lm::kernels::Cpu;
use expo_lm::model::LanguageModel;
use expo_lm::models::llama;
use expo_lm::weights::HostTensor;
use expo_lm::{LossGradient, PackedBatch, ScoreGradient, TokenScore};
use expo_xla::ElementType::{Bf16, F32, F64, S32};
use expo_xla::client::CompileOptions;
use expo_xla::grad::gradient;
use expo_xla::graph::accumulator;
use expo_xla::graph::{Array, Graph, Literal, Value};
use expo_xla::head::{Head, Targets};
use expo_xla::layers::Keep;
use parts::{Transformer, integers};

const BATCH: usize = 2;
const LENGTH: usize = 12;
/// Row, first place, tokens; prompts of two tokens, and the rest of each sequence scored.
const SEQUENCES: [(usize, usize, &[u32]); 3] =
    [(0, 0, &[3, 1, 4, 1, 5]), (0, 5, &[9, 2, 6, 5]), (1, 0, &[8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 0])];
const TEMPERATURES: [f32; 3] = [1.0, 0.5, 1.25];

fn shape(window: Option<usize>, keep: Keep) -> Transformer {
    Transformer {
        vocab: 11,
        width: 8,
        inner: 12,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        size: 4,
        eps: 1e-5,
        theta: 100.0,
        window,
        block: 5,
        keep,
        element: F64,
        operands: F64,
    }
}

fn engine(t: &Transformer) -> (LanguageModel<Cpu<f64>>, HashMap<String, HostTensor>) {
    let config = ModelConfig {
        family: &llama::FAMILY,
        vocab_size: t.vocab,
        hidden_size: t.width,
        intermediate_size: t.inner,
        num_hidden_layers: t.layers,
        num_attention_heads: t.heads,
        num_key_value_heads: t.kv_heads,
        head_dim: t.size,
        rms_norm_eps: t.eps,
        mlp: Mlp::Dense(Activation::Silu),
        query_pre_attn_scalar: None,
        tie_word_embeddings: false,
        max_position_embeddings: 64,
        layers: vec![LayerAttention { window: t.window, rope: Rope::plain(t.theta) }; t.layers],
        bos_token_id: None,
        eos_token_ids: vec![],
    };
    let mut tensors = HashMap::new();
    let mut collect = |name: &str, mut tensor: HostTensor| {
        if name.contains("norm") {
            // Not all ones.
            tensor.data.iter_mut().enumerate().for_each(|(i, w)| *w += 0.125 * (i % 5) as f32 - 0.25);
        }
        tensors.insert(name.to_owned(), tensor);
        Ok(())
    };
    LanguageModel::<Cpu<f64>>::random(config.clone(), 0.4, 7).export(&mut collect).unwrap();
    (LanguageModel::load(config, &mut tensors.clone()).unwrap(), tensors)
}

/// The parameters as this crate's program has them, from tensors named as Hugging Face's.
fn parameters(t: &Transformer, tensors: &HashMap<String, HostTensor>) -> Vec<Vec<f64>> {
    let one = |name: &str| tensors[name].data.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let stacked = |names: &[&str]| {
        let layer = |l: usize| names.iter().flat_map(|name| one(&format!("model.layers.{l}.{name}.weight"))).collect::<Vec<f64>>();
        (0..t.layers).flat_map(layer).collect::<Vec<f64>>()
    };
    vec![
        one("model.embed_tokens.weight"),
        stacked(&["input_layernorm"]),
        stacked(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        stacked(&["self_attn.o_proj"]),
        stacked(&["post_attention_layernorm"]),
        stacked(&["mlp.gate_proj", "mlp.up_proj"]),
        stacked(&["mlp.down_proj"]),
        one("model.norm.weight"),
        one("lm_head.weight"),
    ]
}

/// Coefficients of a loss on log-probabilities and entropies, one pair for each target.
fn coefficients(count: usize) -> Vec<ScoreGradient> {
    (0..count).map(|i| ScoreGradient { log_prob: 0.5 - 0.25 * (i % 4) as f64, entropy: 0.125 * (i % 3) as f64 - 0.1 }).collect()
}

/// The program: loss, log-probabilities, entropies, gradients of all parameters; and its whole-number inputs.
fn program(t: &Transformer) -> (Graph, Vec<Value>, Vec<Vec<i32>>) {
    let mut g = Graph::new();
    let results = (|| {
        let (all, parameters) = t.declare(&mut g)?;
        let tokens = integers(&mut g, "tokens", &[BATCH, LENGTH])?;
        let positions = integers(&mut g, "positions", &[BATCH, LENGTH])?;
        let segments = integers(&mut g, "segments", &[BATCH, LENGTH])?;
        let hidden = t.hidden(&mut g, &parameters, tokens, positions, segments)?;
        let (rows, asked, temperatures) = targets();
        let count = rows.len();
        let rows = g.integers(&rows, &[count])?;
        let hidden = g.gather(hidden, rows)?;
        let asked = g.integers(&asked, &[count])?;
        let (hidden, weight) = (g.convert(hidden, t.operands)?, g.convert(parameters.head, t.operands)?);
        let wide = accumulator(t.operands);
        let temperatures = g.constant(Literal::Floats(temperatures), wide, &[count])?;
        let scores = Head { chunk: 6 }.scores(&mut g, Targets { hidden, weight, tokens: asked, temperatures })?;
        let by = coefficients(count);
        let mut loss = g.scalar(0.0, wide)?;
        let lists =
            [(scores.log_probs, by.iter().map(|c| c.log_prob).collect()), (scores.entropies, by.iter().map(|c| c.entropy).collect())];
        for (scores, list) in lists {
            let by = g.constant(Literal::Floats(list), wide, &[count])?;
            let product = g.multiply(scores, by)?;
            let sum = g.sum_all(product)?;
            loss = g.add(loss, sum)?;
        }
        let gradients = gradient(&mut g, loss, &all)?;
        expo_xla::graph::Result::Ok([vec![loss, scores.log_probs, scores.entropies], gradients].concat())
    })()
    .unwrap();
    let mut inputs = vec![vec![0; BATCH * LENGTH], vec![0; BATCH * LENGTH], vec![-1; BATCH * LENGTH]];
    for (s, (row, start, tokens)) in SEQUENCES.iter().enumerate() {
        for (i, token) in tokens.iter().enumerate() {
            let at = row * LENGTH + start + i;
            (inputs[0][at], inputs[1][at], inputs[2][at]) = (*token as i32, i as i32, s as i32);
        }
    }
    (g, results, inputs)
}

/// Rows, tokens and temperatures of all targets.
fn targets() -> (Vec<i64>, Vec<i64>, Vec<f64>) {
    let mut found = (vec![], vec![], vec![]);
    for ((row, start, tokens), temperature) in SEQUENCES.iter().zip(TEMPERATURES) {
        for i in 2..tokens.len() {
            found.0.push((row * LENGTH + start + i - 1) as i64);
            found.1.push(i64::from(tokens[i]));
            found.2.push(f64::from(temperature));
        }
    }
    found
}

/// Loss, scores, gradients and their norm, as the engine has them.
fn expected(t: &Transformer) -> (Vec<TokenScore>, Vec<Vec<f64>>, f64) {
    let (model, _) = engine(t);
    let mut batch = PackedBatch::new();
    for ((.., tokens), temperature) in SEQUENCES.iter().zip(TEMPERATURES) {
        batch.push(&tokens[..2], &tokens[2..], temperature);
    }
    let mut gradients = model.new_gradients();
    let loss = |scores: &[TokenScore]| coefficients(scores.len());
    let scores = model.forward_backward(&mut Default::default(), &batch, &mut gradients, LossGradient::PerBatch(&loss)).unwrap();
    let mut tensors = HashMap::new();
    let mut collect = |name: &str, tensor: HostTensor| {
        tensors.insert(name.to_owned(), tensor);
        Ok(())
    };
    gradients.export(&model, &mut collect).unwrap();
    (scores, parameters(t, &tensors), gradients.norm())
}

/// Compares `[loss, log-probabilities, entropies, gradients ...]`.
fn compare(t: &Transformer, found: &[Vec<f64>]) {
    let (scores, gradients, norm) = expected(t);
    for (i, score) in scores.iter().enumerate() {
        assert!((found[1][i] - score.log_prob).abs() < 1e-12, "log-probability {i}: {} and {}", found[1][i], score.log_prob);
        assert!((found[2][i] - score.entropy).abs() < 1e-12, "entropy {i}: {} and {}", found[2][i], score.entropy);
    }
    // The engine gives its gradients rounded to f32, but their norm in f64.
    for ((name, _), (a, b)) in t.shapes().iter().zip(found[3..].iter().zip(&gradients)) {
        assert_eq!(a.len(), b.len(), "{name}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 1e-7 * b.abs() + 1e-12, "{name} {i}: {a} and {b}");
        }
    }
    let own = found[3..].iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
    assert!((own - norm).abs() < 1e-12 * norm, "norm {own} and {norm}");
}

const WAYS: [(Option<usize>, Keep); 3] = [(None, Keep::Inputs), (None, Keep::Products), (Some(3), Keep::Inputs)];

/// The program by plain evaluation.
fn on_host(t: &Transformer) -> Vec<Vec<f64>> {
    let (g, results, inputs) = program(t);
    let floats = t.shapes().into_iter().zip(parameters(t, &engine(t).1));
    let mut arrays: Vec<Array> = floats.map(|((_, shape), data)| Array::new(t.element, &shape, data).unwrap()).collect();
    let whole = |list: &Vec<i32>| Array::new(S32, &[BATCH, LENGTH], list.iter().map(|x| f64::from(*x)).collect()).unwrap();
    arrays.extend(inputs.iter().map(whole));
    g.evaluate(&[arrays], &results).unwrap().remove(0).into_iter().map(|array| array.data).collect()
}

#[test]
fn a_transformer_agrees_with_the_engine_in_f64_on_the_host() {
    for (window, keep) in WAYS {
        let t = shape(window, keep);
        compare(&t, &on_host(&t));
    }
}

/// Compares results of bf16 products with those in f64.
fn compare_short(t: &Transformer, found: &[Vec<f64>]) {
    let (scores, gradients, _) = expected(t);
    for (i, score) in scores.iter().enumerate() {
        assert!((found[1][i] - score.log_prob).abs() < 0.1, "log-probability {i}: {} and {}", found[1][i], score.log_prob);
    }
    for ((name, _), (a, b)) in t.shapes().iter().zip(found[3..].iter().zip(&gradients)) {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        assert!(cosine > 0.999, "{name}: cosine {cosine}");
    }
}

#[test]
fn gradients_of_bf16_products_point_where_those_of_f64_do() {
    let t = Transformer { element: F32, operands: Bf16, ..shape(None, Keep::Inputs) };
    compare_short(&t, &on_host(&t));
    let Some(client) = support::client("gradients_of_bf16_products_point_where_those_of_f64_do, on a plugin", &[]) else { return };
    let (g, results, inputs) = program(&t);
    let executable = client.compile(&g.program("transformer", &results, &[]).unwrap(), &CompileOptions::default()).unwrap();
    let device = &client.devices()[0];
    let mut buffers = vec![];
    for ((name, shape), values) in t.shapes().into_iter().zip(parameters(&t, &engine(&t).1)) {
        let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
        buffers.push(client.buffer(name, &values, &shape, device).unwrap());
    }
    buffers.extend(inputs.iter().map(|list| client.buffer("tokens", list, &[BATCH, LENGTH], device).unwrap()));
    let outputs = executable.execute(&buffers.iter().collect::<Vec<_>>()).unwrap();
    let found: Vec<Vec<f64>> = outputs.iter().map(|b| b.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect()).collect();
    compare_short(&t, &found);
}

#[test]
fn a_transformer_agrees_with_the_engine_and_with_finite_differences_on_a_plugin() {
    let test = "a_transformer_agrees_with_the_engine_and_with_finite_differences_on_a_plugin";
    let Some(client) = support::client(test, &[]) else { return };
    let device = &client.devices()[0];
    for (window, keep) in WAYS {
        let t = shape(window, keep);
        let (g, results, inputs) = program(&t);
        let executable = client.compile(&g.program("transformer", &results, &[]).unwrap(), &CompileOptions::default()).unwrap();
        let forward = client.compile(&g.program("loss", &results[..1], &[]).unwrap(), &CompileOptions::default()).unwrap();
        let (shapes, mut values) = (t.shapes(), parameters(&t, &engine(&t).1));
        let float = |p: usize, values: &[f64]| client.buffer(shapes[p].0, values, &shapes[p].1, device).unwrap();
        let mut buffers: Vec<_> = (0..shapes.len()).map(|p| float(p, &values[p])).collect();
        buffers.extend(inputs.iter().map(|list| client.buffer("tokens", list, &[BATCH, LENGTH], device).unwrap()));
        let run = |executable: &expo_xla::client::Executable, buffers: &[expo_xla::client::Buffer]| -> Vec<Vec<f64>> {
            let outputs = executable.execute(&buffers.iter().collect::<Vec<_>>()).unwrap();
            outputs.iter().map(|b| b.to_vec::<f64>().unwrap()).collect()
        };
        let found = run(&executable, &buffers);
        compare(&t, &found);
        let (mut largest, step) = (0f64, 1e-4);
        for p in 0..shapes.len() {
            for i in (0..values[p].len()).step_by(7) {
                let x = values[p][i];
                let mut at = |steps: f64| {
                    values[p][i] = x + steps * step;
                    buffers[p] = float(p, &values[p]);
                    run(&forward, &buffers)[0][0]
                };
                let difference = 8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0));
                at(0.0);
                largest = largest.max((found[3 + p][i] - difference / (12.0 * step)).abs());
            }
        }
        eprintln!("window {window:?}, {keep:?}: largest difference from finite differences {largest:.1e}");
        assert!(largest < 1e-9, "{largest:e}");
    }
}
