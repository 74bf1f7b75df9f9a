//! Gradient checks of the whole model in f64 against finite differences, one option of the family at a time.

use super::*;
use crate::batch::{DistributionTarget, Divergence, ScoreGradient, Segment, Target};
use crate::config::{Activation, Family, LayerAttention, Mlp, Rope, RopeScaling};
use crate::models::{BlockTensors, EmbeddingScale, Name, llama, qwen2, qwen3};

/// Biases and norms of queries and keys at once.
pub(crate) static BIASES_AND_NORMS: Family = Family { tensors: BlockTensors { qkv_bias: true, ..qwen3::FAMILY.tensors }, ..qwen3::FAMILY };

/// Norms before and after both halves of a block, with factors of 1 + weight.
pub(crate) static SANDWICH: Family = Family {
    tensors: BlockTensors {
        attention_out_norm: Some(llama::TENSORS.mlp_norm),
        mlp_norm: Name { hf: "before_mlp_norm", gguf: "before_mlp_norm" },
        mlp_out_norm: Some(Name { hf: "after_mlp_norm", gguf: "after_mlp_norm" }),
        ..qwen3::FAMILY.tensors
    },
    norm_offset: 1.0,
    embedding_scale: EmbeddingScale::RootOfWidth,
    ..qwen3::FAMILY
};

/// Layers with these windows; those with one have another RoPE.
pub(crate) fn layers(windows: &[Option<usize>]) -> Vec<LayerAttention> {
    let rope = |window: Option<usize>| match window {
        None => Rope::plain(100.0),
        Some(_) => Rope { theta: 30.0, scaling: RopeScaling::Linear { factor: 2.0 } },
    };
    windows.iter().map(|window| LayerAttention { window: *window, rope: rope(*window) }).collect()
}

/// Everything in which families differ.
pub(crate) fn sandwich() -> ModelConfig {
    let mlp = Mlp::Dense(Activation::GeluTanh);
    ModelConfig { family: &SANDWICH, mlp, query_pre_attn_scalar: Some(3), layers: layers(&[Some(5), None]), ..tiny() }
}

pub(crate) fn tiny() -> ModelConfig {
    ModelConfig {
        family: &llama::FAMILY,
        vocab_size: 19,
        hidden_size: 12,
        intermediate_size: 20,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        rms_norm_eps: 1e-5,
        mlp: Mlp::Dense(Activation::Silu),
        query_pre_attn_scalar: None,
        tie_word_embeddings: true,
        max_position_embeddings: 256,
        layers: layers(&[None; 2]),
        bos_token_id: None,
        eos_token_ids: vec![],
    }
}

pub(crate) fn batch() -> PackedBatch {
    let mut batch = PackedBatch::new();
    let tokens = |n: usize, seed: usize| -> Vec<u32> { (0..n).map(|i| ((i * 7 + seed * 5 + i * i) % 19) as u32).collect() };
    batch.push(&tokens(3, 1), &tokens(4, 2), 1.0);
    batch.push(&tokens(1, 3), &tokens(1, 4), 0.7);
    // Longer than two tiles of queries.
    batch.push(&tokens(40, 5), &tokens(70, 6), 1.3);
    batch.targets.insert(0, Target { row: 0, token: 3, temperature: 1.0 });
    // Two continuations of one prompt, which is longer than a panel of keys and ends inside one.
    push_group(&mut batch, &tokens(21, 7), &[&tokens(5, 8), &tokens(60, 9)]);
    batch
}

/// Appends a prompt once and its completions, every completion token but a last one that predicts nothing; all of them are targets.
fn push_group(batch: &mut PackedBatch, prompt: &[u32], completions: &[&[u32]]) {
    let prompt = batch.push_segment(None, prompt);
    for completion in completions {
        let own = batch.push_segment(Some(prompt), &completion[..completion.len() - 1]);
        let last = batch.segments[prompt].start + batch.segments[prompt].len - 1;
        let rows = std::iter::once(last).chain(batch.segments[own].start..);
        batch.targets.extend(rows.zip(*completion).map(|(row, token)| Target { row, token: *token, temperature: 1.0 }));
    }
}

/// A loss that is not linear in the log-probabilities, so that the weights depend on them.
pub(crate) fn loss(scores: &[TokenScore]) -> f64 {
    scores.iter().enumerate().map(|(i, s)| (1.0 + i as f64 * 0.1) * (0.2 * s.log_prob).exp()).sum()
}

fn check_gradients(config: ModelConfig) {
    let offset = config.family.norm_offset;
    let mut model = LanguageModel::<Cpu<f64>>::random(config, 0.4, 1);
    for param in model.params_mut() {
        param.iter_mut().enumerate().for_each(|(i, p)| *p += if *p == 0.0 && offset == 0.0 { 0.0 } else { 0.01 * (i % 7) as f64 });
    }
    for id in model.table.layers.iter().filter_map(|l| l.qkv_bias).collect::<Vec<_>>() {
        model.params_mut()[id].iter_mut().enumerate().for_each(|(i, p)| *p = 0.1 * (i % 5) as f64 - 0.2);
    }
    let batch = batch();
    let mut workspace = WorkspaceOn::default();
    let mut gradients = model.new_gradients();
    let weight = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * 0.2 * (0.2 * log_prob).exp();
    let scores = model.forward_backward(&mut workspace, &batch, &mut gradients, LossGradient::PerToken(&weight)).unwrap();
    let scored = model.score(&mut workspace, &batch).unwrap();
    assert!(scores.iter().zip(&scored).all(|(a, b)| (a.log_prob - b.log_prob).abs() < 1e-12));
    let mut checked = 0;
    for p in 0..model.params.len() {
        let len = model.params[p].len();
        for i in (0..len).step_by((len / 8).max(1) | 1) {
            let old = model.params[p][i];
            let h = 1e-5;
            let mut at = |value: f64| {
                model.params_mut()[p][i] = value;
                loss(&model.score(&mut workspace, &batch).unwrap())
            };
            let expected = (at(old + h) - at(old - h)) / (2.0 * h);
            at(old);
            let found = gradients.bufs[p][i];
            // Padding of the panels has no effect and must get no gradient.
            assert!(
                (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                "{}[{i}]: {found}, expected {expected}",
                model.table.specs[p].parts[0].0
            );
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} elements were checked");
}

#[test]
fn gradients_llama() {
    check_gradients(tiny());
}

#[test]
fn gradients_untied_head_and_wide_heads() {
    check_gradients(ModelConfig { tie_word_embeddings: false, head_dim: 18, num_key_value_heads: 1, ..tiny() });
}

#[test]
fn gradients_qkv_bias() {
    check_gradients(ModelConfig { family: &qwen2::FAMILY, ..tiny() });
}

#[test]
fn gradients_qk_norm() {
    check_gradients(ModelConfig { family: &qwen3::FAMILY, ..tiny() });
}

#[test]
fn gradients_sliding_window() {
    check_gradients(ModelConfig { layers: layers(&[Some(5), Some(33)]), ..tiny() });
}

#[test]
fn gradients_gelu() {
    check_gradients(ModelConfig { mlp: Mlp::Dense(Activation::GeluTanh), ..tiny() });
}

#[test]
fn gradients_two_ropes_and_a_scale_of_its_own() {
    check_gradients(ModelConfig { layers: layers(&[Some(5), None]), query_pre_attn_scalar: Some(3), ..tiny() });
}

#[test]
fn gradients_norms_after_and_a_scaled_embedding() {
    check_gradients(sandwich());
    check_gradients(ModelConfig { tie_word_embeddings: false, ..sandwich() });
}

/// The packing of a batch changes neither scores nor gradients: all sequences at once, or one by one.
#[test]
fn packing_does_not_matter() {
    let model = Model::random(tiny(), 0.3, 2);
    let sequences: [(&[u32], &[u32]); 3] = [(&[1, 2, 3], &[4, 5]), (&[6], &[7, 8, 9, 10, 11]), (&[1, 1], &[2])];
    let mut workspace = Workspace::default();
    let weight = |_: usize, log_prob: f64| -log_prob.exp();
    let mut together = PackedBatch::new();
    let (mut all, mut parts) = (model.new_gradients(), model.new_gradients());
    let mut single_scores = Vec::new();
    for (prompt, completion) in sequences {
        together.push(prompt, completion, 1.0);
        let mut one = PackedBatch::new();
        one.push(prompt, completion, 1.0);
        single_scores.extend(model.forward_backward(&mut workspace, &one, &mut parts, LossGradient::PerToken(&weight)).unwrap());
    }
    let scores = model.forward_backward(&mut workspace, &together, &mut all, LossGradient::PerToken(&weight)).unwrap();
    assert_eq!(scores, single_scores, "scores have the same bits");
    let norm = all.norm();
    for (a, b) in all.bufs.iter().flatten().zip(parts.bufs.iter().flatten()) {
        assert!((a - b).abs() < 1e-5 * norm as f32);
    }
}

/// A prompt that its completions share gives the scores of the same sequences apart, to the bit, and their gradients.
#[test]
fn a_shared_prompt_changes_nothing() {
    for config in [tiny(), sandwich(), ModelConfig { layers: layers(&[Some(7), None]), head_dim: 18, ..tiny() }] {
        let model = Model::random(config, 0.3, 3);
        let tokens = |n: usize, seed: usize| -> Vec<u32> { (0..n).map(|i| ((i * 5 + seed * 3 + i * i) % 19) as u32).collect() };
        for prompt_len in [1, 15, 16, 50] {
            let prompt = tokens(prompt_len, 1);
            let completions = [tokens(1, 2), tokens(30, 3), tokens(70, 4), tokens(2, 5)];
            let (mut shared, mut apart) = (PackedBatch::new(), PackedBatch::new());
            push_group(&mut shared, &prompt, &completions.each_ref().map(|c| &c[..]));
            for completion in &completions {
                apart.push(&prompt, completion, 1.0);
            }
            assert!(shared.tokens.len() < apart.tokens.len());
            let weight = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.01) * (0.3 * log_prob).exp();
            let run = |batch: &PackedBatch| {
                let mut gradients = model.new_gradients();
                let scores = model.forward_backward(&mut Workspace::default(), batch, &mut gradients, LossGradient::PerToken(&weight));
                (scores.unwrap(), gradients)
            };
            let ((scores, ours), (expected_scores, expected)) = (run(&shared), run(&apart));
            assert_eq!(scores, expected_scores, "prompt of {prompt_len}");
            let norm = expected.norm() as f32;
            for (a, b) in ours.bufs.iter().flatten().zip(expected.bufs.iter().flatten()) {
                assert!((a - b).abs() < 1e-5 * norm, "{a} against {b}");
            }
        }
    }
}

/// A loss that sees the whole batch gives the gradients of the same loss token by token.
#[test]
fn losses_of_the_whole_batch() {
    let model = Model::random(tiny(), 0.3, 4);
    let batch = batch();
    let per_token = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.01) * (0.3 * log_prob).exp();
    let per_batch = |scores: &[TokenScore]| {
        scores.iter().enumerate().map(|(i, s)| ScoreGradient::by_log_prob(per_token(i, s.log_prob))).collect::<Vec<_>>()
    };
    let run = |loss: LossGradient| {
        let mut gradients = model.new_gradients();
        let scores = model.forward_backward(&mut Workspace::default(), &batch, &mut gradients, loss).unwrap();
        (scores, gradients)
    };
    let (a, b) = (run(LossGradient::PerToken(&per_token)), run(LossGradient::PerBatch(&per_batch)));
    assert_eq!(a.0, b.0);
    assert_eq!(a.1.bufs, b.1.bufs);
}

/// Computing activations again changes no bit, whatever ran in the workspace before.
#[test]
fn gradient_checkpointing_changes_nothing() {
    for config in [tiny(), sandwich(), ModelConfig { family: &BIASES_AND_NORMS, layers: layers(&[Some(5), None]), ..tiny() }] {
        let model = Model::random(config, 0.3, 5);
        let batch = batch();
        let weight = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.01) * (0.3 * log_prob).exp();
        let mut workspace = Workspace::default();
        let mut run = |gradient_checkpointing: bool| {
            workspace.gradient_checkpointing = gradient_checkpointing;
            let mut gradients = model.new_gradients();
            let scores = model.forward_backward(&mut workspace, &batch, &mut gradients, LossGradient::PerToken(&weight)).unwrap();
            (scores, gradients.bufs)
        };
        let expected = run(false);
        assert_eq!(run(true), expected);
        assert_eq!(run(false), expected);
        let mut fresh = Workspace::new(true);
        model.forward_backward(&mut fresh, &batch, &mut model.new_gradients(), LossGradient::PerToken(&weight)).unwrap();
        assert_eq!(fresh.layers.len(), 1);
    }
}

/// Distributions beside a loss that is not linear, by all weights, against central differences: the teacher is another prompt to the same weights, which stay as
/// they were where the student's are moved.
fn check_distillation(alpha: f64, cap: Option<f64>, per_batch: bool) {
    let mut model = LanguageModel::<Cpu<f64>>::random(tiny(), 0.4, 6);
    let tokens = |n: usize, seed: usize| -> Vec<u32> { (0..n).map(|i| ((i * 7 + seed * 5 + i * i) % 19) as u32).collect() };
    let (mut batch, mut hinted) = (PackedBatch::new(), PackedBatch::new());
    for (prompt, completion, temperature) in [(3, 9, 1.0), (1, 5, 0.7), (10, 20, 1.3)] {
        batch.push(&tokens(prompt, 1), &tokens(completion, 2), temperature);
        hinted.push(&tokens(prompt + 6, 3), &tokens(completion, 2), 1.0);
    }
    let mut workspace = WorkspaceOn::default();
    let hidden = model.hidden_states(&mut workspace, &hinted).unwrap();
    assert_eq!(hidden.len(), hinted.targets.len() * model.config.hidden_size);
    let (divergence, weight) = (Divergence { alpha, cap }, |i: usize| 0.3 + 0.1 * (i % 4) as f64);
    // Not all of them, and from the last row to the first.
    let chosen = (0..batch.targets.len()).filter(|i| i % 6 != 1);
    let target = |i: usize| DistributionTarget { target: i, teacher_row: batch.targets.len() - 1 - i, divergence, weight: weight(i) };
    let targets: Vec<DistributionTarget> = chosen.map(target).collect();
    let value = |scores: &HeadScores| {
        let distilled: f64 = scores.divergences.iter().zip(&targets).map(|(d, target)| target.weight * d).sum();
        loss(&scores.tokens) + distilled
    };
    let per_token = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * 0.2 * (0.2 * log_prob).exp();
    let of_batch = |scores: &[TokenScore]| {
        scores.iter().enumerate().map(|(i, s)| ScoreGradient::by_log_prob(per_token(i, s.log_prob))).collect::<Vec<_>>()
    };
    let mut gradients = model.new_gradients();
    let by = if per_batch { LossGradient::PerBatch(&of_batch) } else { LossGradient::PerToken(&per_token) };
    // The teacher is the model itself.
    let itself = Distillation { teacher: &model, hidden: &hidden, targets: &targets };
    let scores = model.forward_backward_distilling(&mut workspace, &batch, &mut gradients, by, Some(&itself)).unwrap();
    let scored = model.score_distilling(&mut workspace, &batch, Some(&itself)).unwrap();
    assert_eq!(scores.divergences, scored.divergences);
    let most = scores.divergences.iter().copied().fold(0.0, f64::max);
    match cap {
        None => assert!(most > 0.1, "nothing to learn: {most}"),
        Some(cap) => {
            let capped = scores.divergences.iter().filter(|d| **d == cap).count();
            assert!(capped > 2 && capped + 2 < targets.len(), "{capped} of {} are capped", targets.len());
        }
    }
    let unmoved = model.duplicate();
    let teacher = Distillation { teacher: &unmoved, hidden: &hidden, targets: &targets };
    let mut plain = model.new_gradients();
    model.forward_backward(&mut workspace, &batch, &mut plain, LossGradient::PerToken(&per_token)).unwrap();
    let mut differ = 0;
    for p in 0..model.params.len() {
        let len = model.params[p].len();
        for i in (0..len).step_by((len / 8).max(1) | 1) {
            let old = model.params[p][i];
            let h = 1e-5;
            let mut at = |moved: f64| {
                model.params_mut()[p][i] = moved;
                value(&model.score_distilling(&mut workspace, &batch, Some(&teacher)).unwrap())
            };
            let expected = (at(old + h) - at(old - h)) / (2.0 * h);
            at(old);
            let found = gradients.bufs[p][i];
            assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "parameter {p}[{i}]: {found}, expected {expected}");
            differ += usize::from((found - plain.bufs[p][i]).abs() > 1e-3);
        }
    }
    assert!(differ > 40, "the distillation moves {differ} of the checked elements");
}

#[test]
fn gradients_distillation() {
    for alpha in [0.0, 0.25, 0.5, 1.0] {
        check_distillation(alpha, None, false);
        // A part of the targets has more.
        check_distillation(alpha, Some(if alpha == 0.25 { 0.15 } else { 0.3 }), alpha == 0.5);
    }
}

/// The same prompt and weights: no divergence and no gradient at all, however the batches are packed; other weights, or another prompt, give some.
#[test]
fn nothing_is_learnt_from_oneself() {
    let model = Model::random(tiny(), 0.3, 7);
    let mut workspace = Workspace::default();
    let batch = batch();
    let mut packed_otherwise = PackedBatch::new();
    packed_otherwise.push(&[4, 4, 4], &[5, 6], 1.0);
    let shift = packed_otherwise.tokens.len();
    let first = packed_otherwise.segments.len();
    for segment in &batch.segments {
        packed_otherwise.push_segment(segment.prefix.map(|p| p + first), &batch.tokens[segment.start..][..segment.len]);
    }
    packed_otherwise.targets = batch.targets.iter().map(|t| Target { row: t.row + shift, ..*t }).collect();
    let hidden = model.hidden_states(&mut workspace, &packed_otherwise).unwrap();
    for alpha in [0.0, 0.25, 0.5, 1.0] {
        let target = |i| DistributionTarget { target: i, teacher_row: i, divergence: Divergence { alpha, cap: None }, weight: 1.0 };
        let targets: Vec<DistributionTarget> = (0..batch.targets.len()).map(target).collect();
        let mut run = |teacher: &Model| {
            let mut gradients = model.new_gradients();
            let distillation = Distillation { teacher, hidden: &hidden, targets: &targets };
            let none = LossGradient::PerToken(&|_, _| 0.0);
            let scores = model.forward_backward_distilling(&mut workspace, &batch, &mut gradients, none, Some(&distillation)).unwrap();
            (scores.divergences.into_iter().sum::<f64>(), gradients.norm())
        };
        assert_eq!(run(&model), (0.0, 0.0), "alpha {alpha}");
        let (divergence, norm) = run(&Model::random(tiny(), 0.3, 8));
        assert!(divergence > 0.1 && norm > 0.1, "alpha {alpha}: {divergence}, {norm}");
    }
}

#[test]
fn distillations_that_do_not_fit_are_refused() {
    let model = Model::random(tiny(), 0.3, 2);
    let mut batch = PackedBatch::new();
    batch.push(&[1, 2, 3], &[4, 5], 1.0);
    let hidden = model.hidden_states(&mut Workspace::default(), &batch).unwrap();
    let good = DistributionTarget { target: 0, teacher_row: 0, divergence: Divergence { alpha: 0.5, cap: None }, weight: 1.0 };
    let message = |hidden: &[f32], targets: &[DistributionTarget], teacher: &Model| {
        let distillation = Distillation { teacher, hidden, targets };
        model.score_distilling(&mut Workspace::default(), &batch, Some(&distillation)).unwrap_err().to_string()
    };
    let of = |targets: &[DistributionTarget]| message(&hidden, targets, &model);
    assert!(of(&[DistributionTarget { target: 2, ..good }]).contains("indices of the batch's 2 targets"));
    assert!(of(&[DistributionTarget { target: 1, ..good }, good]).contains("each larger than the one before"));
    assert!(of(&[good, good]).contains("each larger than the one before"));
    assert!(of(&[DistributionTarget { teacher_row: 2, ..good }]).contains("the teacher has 2 rows"));
    for alpha in [-0.1, 1.1, f64::NAN] {
        assert!(of(&[DistributionTarget { divergence: Divergence { alpha, cap: None }, ..good }]).contains("alpha between 0 and 1"));
    }
    assert!(of(&[DistributionTarget { divergence: Divergence { alpha: 0.5, cap: Some(-1.0) }, ..good }]).contains("cap of 0 or more"));
    assert!(of(&[DistributionTarget { weight: f64::INFINITY, ..good }]).contains("finite weight"));
    assert!(message(&hidden[1..], &[good], &model).contains("not a multiple of its width 12"));
    let other = Model::random(ModelConfig { vocab_size: 20, ..tiny() }, 0.3, 2);
    assert!(message(&hidden, &[good], &other).contains("vocabulary of 20 tokens, the model one of 19"));
}

#[test]
fn bad_batches_are_refused() {
    let model = Model::random(tiny(), 0.3, 2);
    let message = |batch: PackedBatch| model.score(&mut Workspace::default(), &batch).unwrap_err().to_string();
    let good =
        |tokens: Vec<u32>| PackedBatch { segments: vec![Segment { start: 0, len: tokens.len(), prefix: None }], tokens, targets: vec![] };
    assert!(message(good(vec![1, 19])).contains("token id 19 is outside the model's vocabulary of 19"));
    assert!(message(good(vec![1; 257])).contains("257 tokens is longer than the model's context of 256"));
    let segment = |start: usize, len: usize, prefix: Option<usize>| Segment { start, len, prefix };
    assert!(message(PackedBatch { segments: vec![segment(0, 1, None)], ..good(vec![1, 2]) }).contains("cover 1 of 2 tokens"));
    assert!(message(PackedBatch { segments: vec![segment(0, 2, Some(0))], ..good(vec![1, 2]) }).contains("an earlier sequence"));
    assert!(message(PackedBatch { targets: vec![Target { row: 2, token: 0, temperature: 1.0 }], ..good(vec![1, 2]) }).contains("row"));
}

#[test]
fn logits_agree_with_scores() {
    let model = Model::random(tiny(), 0.3, 2);
    let mut batch = PackedBatch::new();
    batch.push(&[1, 2, 3], &[4, 5], 1.0);
    batch.push(&[6], &[7], 1.0);
    let mut workspace = Workspace::default();
    let scores = model.score(&mut workspace, &batch).unwrap();
    let rows: Vec<usize> = batch.targets.iter().map(|t| t.row).collect();
    let logits = model.logits(&mut workspace, &batch, &rows).unwrap();
    for ((target, score), row) in batch.targets.iter().zip(&scores).zip(logits.chunks_exact(19)) {
        let log_sum = row.iter().map(|z| z.exp()).sum::<f64>().ln();
        assert!((row[target.token as usize] - log_sum - score.log_prob).abs() < 1e-5);
    }
    assert!(model.logits(&mut workspace, &batch, &[7]).is_err());
}
