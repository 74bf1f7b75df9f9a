//! Terms within an engine's pass and by coefficients; a stranger's term; a teacher's distributions.

use super::accumulate::{accumulate, by_coefficients};
use super::cpu::CpuPolicy;
use super::pass::Pass;
use super::{Accumulation, Lm, Policy};
use crate::config::{Config, ImportanceSamplingLevel, KlEstimator, LossType, PairLoss, RecipeName as Name};
use crate::objective::loss::{Divergence, LossKind, OwnTerm, SequenceLoss, Teacher};
use crate::objective::preference::{Pair, Reference};
use crate::objective::sequence::Sequence;
use crate::objective::term::Term;
use crate::objective::value::{Scores, SequenceValue};
use crate::objective::{Drawn, EncodedDocument, Explanation, Explanations, Group, Rollout, recipe};
use crate::policy::Teachers;
use crate::testing::run::tiny_model;
use expo_lm::ScoreGradient;
use expo_lm::generate::FinishReason;
use expo_lm::model::{Model, Workspace};

fn policy() -> CpuPolicy {
    let mut config = Config::default();
    config.train.max_tokens_per_micro_batch = 40;
    CpuPolicy::new(&config, tiny_model(21)).unwrap()
}

/// Two groups with everything that recipes draw for one, documents, rationales and pairs.
fn drawn() -> Drawn {
    let numbers = |n: usize, seed: usize| -> Vec<f64> { (0..n).map(|i| -0.3 - ((i * 5 + seed * 3) % 7) as f64 * 0.4).collect() };
    let tokens = |n: usize, seed: usize| -> Vec<u32> { (0..n).map(|i| ((i * 7 + seed * 5) % 19) as u32).collect() };
    let rollout = |n: usize, seed: usize, reward: f64| Rollout {
        reward: Some(reward),
        correct: reward > 0.5,
        old_log_probs: seed.is_multiple_of(2).then(|| numbers(n, seed)),
        reference_log_probs: Some(numbers(n, seed + 1)),
        token_advantages: (seed == 4).then(|| (0..n).map(|i| 0.5 - i as f64 * 0.3).collect()),
        ..Rollout::new(
            tokens(n, seed),
            (String::new(), Vec::new()),
            numbers(n, seed + 2).iter().map(|x| *x as f32).collect(),
            FinishReason::Stop,
        )
    };
    let explanation =
        |n: usize, seed: usize| Explanation { reference_log_probs: Some(numbers(n, seed)), ..Explanation::new(tokens(n, seed), n - 1) };
    let group = |seed: usize| Group {
        prompt: tokens(3, seed),
        explanation_prompt: tokens(5, seed + 9),
        rollouts: vec![rollout(4, seed, 1.0), rollout(2, seed + 1, 0.0), rollout(5, seed + 2, 0.25)],
        off_policy: vec![Rollout {
            reward: Some(1.0),
            ..Rollout::new(tokens(6, seed + 3), (String::new(), Vec::new()), Vec::new(), FinishReason::Stop)
        }],
        explanations: Some(Explanations { kept: vec![explanation(5, seed), explanation(3, seed + 1)], ..Explanations::default() }),
        expert: Some(tokens(4, seed + 6)),
        ..Group::default()
    };
    let document =
        |seed: usize| EncodedDocument { trained: vec![1..2, 3..5], ..EncodedDocument::whole(tokens(2, seed), tokens(6, seed + 1)) };
    let pair = |seed: usize| Pair {
        prompt: tokens(3, seed),
        chosen: tokens(4, seed + 1),
        rejected: tokens(6, seed + 2),
        rejected_trained: vec![0..1, 2..4],
        reference: Reference { chosen: -9.0, rejected: -7.0 },
        ..Pair::default()
    };
    Drawn {
        groups: vec![group(2), group(6)],
        documents: vec![document(1), document(3)],
        pairs: vec![pair(1), pair(4)],
        rationales: vec![document(5)],
    }
}

/// Every recipe, and every kind of term.
fn configurations() -> Vec<(String, Config)> {
    let mut all = Vec::new();
    let mut add = |recipe: Name, what: &str, change: &dyn Fn(&mut Config)| {
        let mut config = Config::default();
        config.train.recipe = recipe;
        (config.rehearsal.data, config.rehearsal.weight) = ("d.jsonl".into(), 0.4);
        (config.rollout.temperature, config.grpo.beta, config.exp.hinted_kl_beta) = (0.9, 0.2, 0.3);
        change(&mut config);
        all.push((format!("{recipe} {what}"), config));
    };
    for recipe in [Name::Grpo, Name::ExpGrpo, Name::GrpoSftGtCot, Name::Luffy, Name::Dpo, Name::ExpDpo, Name::Star, Name::Sft] {
        add(recipe, "", &|_| ());
    }
    for loss_type in [LossType::Bnpo, LossType::DrGrpo, LossType::Dapo, LossType::Cispo] {
        add(Name::ExpGrpo, "by another loss type", &|config| config.grpo.loss_type = loss_type);
    }
    add(Name::ExpGrpo, "by sequences", &|config| config.grpo.importance_sampling_level = ImportanceSamplingLevel::Sequence);
    add(Name::ExpGrpo, "with k2, entropy and importance weights", &|config| {
        (config.grpo.kl_estimator, config.grpo.entropy_coef) = (Some(KlEstimator::K2), 0.1);
        config.grpo.importance_sampling_cap = Some(1.5);
    });
    for loss_type in [PairLoss::Ipo, PairLoss::SigmoidNorm, PairLoss::Hinge, PairLoss::Robust] {
        add(Name::Dpo, "by another loss", &|config| (config.dpo.loss_type, config.dpo.rpo_alpha) = (loss_type, 0.5));
    }
    all
}

/// The largest difference of two gradients, as a share of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = a.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 1e-4, "nothing to compare");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn terms_within_the_pass_and_by_coefficients_have_one_gradient() {
    let mut largest = 0.0f32;
    for (name, config) in configurations() {
        let recipe = recipe(&config);
        let mut drawn = drawn();
        recipe.score(&mut drawn.groups);
        let sequences = recipe.sequences(&drawn, 0.7);
        let how = Accumulation { unit_temperature: true, ..Accumulation::default() };
        let mut policy = policy();
        let within = accumulate(&mut policy, &sequences, &how).unwrap();
        let gradient = policy.gradient();
        let apart = Pass::of(&sequences, by_coefficients(&mut policy, &sequences, &how, &|_, _| false).unwrap());
        assert_eq!((within.loss, within.terms), (apart.loss, apart.terms), "{name}");
        let found = difference(&gradient, &policy.gradient());
        assert!(found < 1e-5, "{name}: {found}");
        largest = largest.max(found);
        // Some within, some by coefficients.
        by_coefficients(&mut policy, &sequences, &how, &|_, kind| matches!(kind, LossKind::CrossEntropy | LossKind::Kl { .. })).unwrap();
        assert!(difference(&gradient, &policy.gradient()) < 1e-5, "{name}");
        // The other way round: a pair's loss within the pass still needs its other side there.
        by_coefficients(&mut policy, &sequences, &how, &|_, kind| matches!(kind, LossKind::Preference(_))).unwrap();
        assert!(difference(&gradient, &policy.gradient()) < 1e-5, "{name}");
    }
    println!("largest difference of gradients, as a share of the largest value: {largest:e}");
}

/// The square of a completion's mean log-probability, and its entropies.
#[derive(Debug)]
struct Square;

impl OwnTerm for Square {
    fn evaluate(&self, scores: Scores, _: Option<Scores>) -> SequenceValue {
        let count = scores.log_probs.len() as f64;
        let mean = scores.log_probs.iter().sum::<f64>() / count;
        SequenceValue {
            value: mean * mean + scores.entropies.iter().sum::<f64>(),
            gradients: vec![ScoreGradient { log_prob: 2.0 * mean / count, entropy: 1.0 }; scores.log_probs.len()],
        }
    }
}

#[test]
fn a_stranger_s_term_trains_on_any_engine() {
    let kind = LossKind::Own(&Square);
    let losses = vec![SequenceLoss { term: Term::Documents, coefficient: 0.5, token_weight: 0.25, kind }];
    let sequences = [Sequence { losses, ..Sequence::measured(&[1, 2, 3], &[4, 5, 6, 7], 1.0) }];
    let mut policy = policy();
    let within = accumulate(&mut policy, &sequences, &Accumulation::default()).unwrap();
    let gradient = policy.gradient();
    by_coefficients(&mut policy, &sequences, &Accumulation::default(), &|_, _| false).unwrap();
    assert!(difference(&gradient, &policy.gradient()) < 1e-5);
    // A step against the gradient's signs takes from the loss what the gradient says.
    let expected = 1e-4 * gradient.iter().map(|value| f64::from(value.abs())).sum::<f64>();
    policy.apply(1e-4, 1.0).unwrap();
    let after = accumulate(&mut policy, &sequences, &Accumulation::default()).unwrap();
    assert!((within.loss - after.loss - expected).abs() < 0.1 * expected, "{} {} {expected}", within.loss, after.loss);
}

/// log p of every token behind `prompt` and the tokens before each of `completion`.
fn distributions(model: &Model, prompt: &[u32], completion: &[u32], temperature: f64) -> Vec<Vec<f64>> {
    let mut batch = expo_lm::PackedBatch::new();
    batch.push(prompt, completion, 1.0);
    let rows: Vec<usize> = batch.targets.iter().map(|target| target.row).collect();
    let logits = model.logits(&mut Workspace::default(), &batch, &rows).unwrap();
    let of_row = |row: &[f64]| {
        let scaled: Vec<f64> = row.iter().map(|logit| logit / temperature).collect();
        let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + scaled.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
        scaled.iter().map(|logit| logit - log_sum).collect()
    };
    logits.chunks(model.config.vocab_size).map(of_row).collect()
}

#[test]
fn a_teacher_s_distributions_by_hand_and_by_a_step() {
    let (prompt, hinted, completion) = ([1, 2, 3], [1, 2, 3, 9, 8], [4, 5, 6, 7]);
    let other = super::cpu::CpuLm::new(tiny_model(22), 64);
    let teachers = Teachers { initial: Some(&other), average: None };
    for (teacher, alpha, temperature) in
        [(Teacher::Current, 0.5, 1.0), (Teacher::Current, 0.0, 0.7), (Teacher::Initial, 1.0, 1.0), (Teacher::Initial, 0.25, 1.3)]
    {
        let mut policy = policy();
        let model = |lm: &dyn Lm| super::cpu::model_of(lm).unwrap().duplicate();
        let (own, its) = (model(&policy), if teacher == Teacher::Current { model(&policy) } else { model(&other) });
        let student = distributions(&own, &prompt, &completion, temperature);
        let taught = distributions(&its, &hinted, &completion, temperature);
        let divergence = |(p, t): (&Vec<f64>, &Vec<f64>)| -> f64 {
            let kl = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a.exp() * (a - b)).sum::<f64>();
            let mixed: Vec<f64> = p.iter().zip(t).map(|(p, t)| ((1.0 - alpha) * p.exp() + alpha * t.exp()).ln()).collect();
            match alpha {
                0.0 => kl(t, p),
                1.0 => kl(p, t),
                _ => (1.0 - alpha) * kl(p, &mixed) + alpha * kl(t, &mixed),
            }
        };
        let by_hand: Vec<f64> = student.iter().zip(&taught).map(divergence).collect();
        let kind = LossKind::Divergence(Divergence { teacher, prompt: &hinted, alpha, cap: None });
        let loss = |kind, token_weight| SequenceLoss { term: Term::Documents, coefficient: 1.0, token_weight, kind };
        // Beside an ordinary term on the same tokens, and a sequence without a teacher.
        let losses = vec![loss(kind, 0.25), loss(LossKind::CrossEntropy, 0.1)];
        let sequences = [
            Sequence { losses: vec![loss(LossKind::CrossEntropy, 0.1)], ..Sequence::measured(&[5], &[6, 6], 1.0) },
            Sequence { losses, ..Sequence::measured(&prompt, &completion, temperature as f32) },
        ];
        let how = Accumulation { unit_temperature: true, teachers, ..Accumulation::default() };
        let before = accumulate(&mut policy, &sequences, &how).unwrap();
        for (found, expected) in before.measured[1].divergences.iter().zip(&by_hand) {
            assert!((found - expected).abs() < 1e-5, "{teacher:?} {alpha}: {found}, by hand {expected}");
        }
        assert_eq!(before.measured[1].divergences.len(), 4);
        if teacher == Teacher::Initial {
            let gradient = policy.gradient();
            let expected = 1e-4 * gradient.iter().map(|value| f64::from(value.abs())).sum::<f64>();
            policy.apply(1e-4, 1.0).unwrap();
            let after = accumulate(&mut policy, &sequences, &how).unwrap();
            assert!((before.loss - after.loss - expected).abs() < 0.1 * expected, "{} {} {expected}", before.loss, after.loss);
        }
    }
    // The same prompt and the same weights: nothing to learn; a cap of 0: nothing counts; nobody kept: said so.
    let mut policy = policy();
    let with = |teacher, prompt, cap| {
        let kind = LossKind::Divergence(Divergence { teacher, prompt, alpha: 0.5, cap });
        vec![SequenceLoss { term: Term::Documents, coefficient: 1.0, token_weight: 1.0, kind }]
    };
    let sequence = |losses| [Sequence { losses, ..Sequence::measured(&prompt, &completion, 1.0) }];
    let pass = accumulate(&mut policy, &sequence(with(Teacher::Current, &prompt[..], None)), &Accumulation::default()).unwrap();
    assert!(pass.loss.abs() < 1e-9 && policy.gradient().iter().all(|value| value.abs() < 1e-6), "{}", pass.loss);
    let pass = accumulate(&mut policy, &sequence(with(Teacher::Current, &hinted[..], Some(0.0))), &Accumulation::default()).unwrap();
    assert!(pass.loss == 0.0 && policy.gradient().iter().all(|value| *value == 0.0));
    let error = accumulate(&mut policy, &sequence(with(Teacher::Average, &hinted[..], None)), &Accumulation::default()).unwrap_err();
    assert!(error.to_string().contains("average of the policy is to teach"), "{error}");
}
