//! Generation against the training forward, alone and in company.

use super::*;
use crate::batch::PackedBatch;
use crate::config::ModelConfig;
use crate::model::tests::{layers, sandwich, tiny};
use crate::model::{Model, Workspace};
use crate::models::{qwen2, qwen3};

fn sampling(temperature: f32, max_new_tokens: usize) -> SamplingParams {
    SamplingParams { temperature, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens, stop_token_ids: vec![7] }
}

fn run(model: &Model, max_num_seqs: usize, threads: usize, requests: &[Request]) -> Vec<Vec<Generated>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| generate(model, &EngineConfig { max_num_seqs }, requests, &mut |_| {})).unwrap().completions
}

/// Prompts of 1 to 40 tokens (around the page size), several samples each, some finishing early.
fn requests(temperature: f32) -> Vec<Request> {
    [1usize, 2, 15, 16, 17, 18, 33, 40, 5, 9, 32]
        .iter()
        .enumerate()
        .map(|(r, &len)| Request {
            prompt: (0..len).map(|i| ((i * 5 + r * 3 + 1) % 19) as u32).collect(),
            seeds: (0..6).map(|s| (r * 100 + s) as u64).collect(),
            sampling: sampling(temperature, 20 + 7 * (r % 4)),
        })
        .collect()
}

fn family() -> Vec<ModelConfig> {
    vec![
        tiny(),
        ModelConfig { family: &qwen2::FAMILY, tie_word_embeddings: false, ..tiny() },
        ModelConfig { family: &qwen3::FAMILY, layers: layers(&[Some(9), None]), ..tiny() },
        sandwich(),
    ]
}

/// The sampler's log-probs are those of the training forward, at batch 1 and at batch 64 with mixed lengths.
#[test]
fn log_probs_equal_those_of_the_training_forward() {
    for config in family() {
        let model = Model::random(config, 0.4, 3);
        for (temperature, max_num_seqs) in [(1.0, 64), (0.7, 1), (1.6, 7)] {
            let requests = requests(temperature);
            let mut compared = 0;
            for (request, samples) in requests.iter().zip(run(&model, max_num_seqs, 2, &requests)) {
                for sample in samples {
                    let mut batch = PackedBatch::new();
                    batch.push(&request.prompt, &sample.tokens, temperature);
                    let scores = model.score(&mut Workspace::default(), &batch).unwrap();
                    assert_eq!(scores.len(), sample.log_probs.len());
                    for (score, log_prob) in scores.iter().zip(&sample.log_probs) {
                        assert!((score.log_prob - f64::from(*log_prob)).abs() < 1e-4, "{} against {log_prob}", score.log_prob);
                        compared += 1;
                    }
                }
            }
            assert!(compared > 300, "only {compared} tokens");
        }
    }
}

/// Tokens and log-probs of a sequence have the same bits whatever is decoded beside it, and on any number of threads.
#[test]
fn a_sequence_does_not_depend_on_its_company() {
    for config in family() {
        let model = Model::random(config, 0.4, 4);
        let requests = requests(1.0);
        let reference = run(&model, 64, 1, &requests);
        for (max_num_seqs, threads) in [(1, 1), (5, 2), (64, 3)] {
            assert_eq!(run(&model, max_num_seqs, threads, &requests), reference, "{max_num_seqs} sequences on {threads} threads");
        }
        for (request, expected) in requests.iter().zip(&reference).take(4) {
            for (s, expected) in expected.iter().enumerate() {
                let alone = Request { seeds: vec![request.seeds[s]], ..request.clone() };
                assert_eq!(&run(&model, 1, 1, &[alone])[0][0], expected);
            }
        }
        let finished = reference.iter().flatten().filter(|g| g.finish == FinishReason::Stop).count();
        assert!(finished > 5 && reference.iter().flatten().all(|g| (g.finish == FinishReason::Stop) == (g.tokens.last() == Some(&7))));
    }
}

#[test]
fn greedy_follows_the_scores() {
    let model = Model::random(tiny(), 0.4, 5);
    let request = Request { prompt: vec![3, 1, 4], seeds: vec![0], sampling: sampling(0.0, 12) };
    let generated = run(&model, 1, 1, std::slice::from_ref(&request)).remove(0).remove(0);
    for i in 0..generated.tokens.len() {
        let mut batch = PackedBatch::new();
        let context = [&request.prompt[..], &generated.tokens[..i]].concat();
        for token in 0..19 {
            batch.push(&context, &[token], 1.0);
        }
        let scores = model.score(&mut Workspace::default(), &batch).unwrap();
        let best = (0..19).max_by(|a, b| scores[*a].log_prob.total_cmp(&scores[*b].log_prob)).unwrap();
        assert_eq!(generated.tokens[i], best as u32, "token {i}");
    }
}

#[test]
fn the_context_ends_a_completion() {
    let config = ModelConfig { max_position_embeddings: 24, ..tiny() };
    let model = Model::random(config, 0.1, 6);
    let sampling = SamplingParams { stop_token_ids: vec![], ..sampling(1.0, 100) };
    let request = Request { prompt: vec![2; 20], seeds: vec![1], sampling };
    let generated = &run(&model, 4, 1, std::slice::from_ref(&request))[0][0];
    assert_eq!((generated.tokens.len(), generated.finish), (4, FinishReason::Length));
    let too_long = Request { prompt: vec![2; 24], ..request };
    let error = generate(&model, &EngineConfig { max_num_seqs: 1 }, &[too_long], &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("24 tokens, the model's context is 24"), "{error}");
}

#[test]
fn every_token_is_announced() {
    let model = Model::random(tiny(), 0.4, 7);
    let requests = requests(1.0);
    let mut heard: Vec<Vec<Vec<u32>>> = requests.iter().map(|r| vec![vec![]; r.seeds.len()]).collect();
    let mut on_token = |e: TokenEvent| heard[e.request][e.sample].push(e.token);
    let results = generate(&model, &EngineConfig { max_num_seqs: 8 }, &requests, &mut on_token).unwrap().completions;
    for (heard, results) in heard.iter().flatten().zip(results.iter().flatten()) {
        assert_eq!(heard, &results.tokens);
    }
}
