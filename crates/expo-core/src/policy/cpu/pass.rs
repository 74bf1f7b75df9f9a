//! Passes of the CPU engine over sequences: micro-batches, gradients, and what is measured on the way.

use super::pack::{Owner, Packed, by_prompt, micro_batches};
use crate::error::Result;
use crate::objective::loss::Teacher;
use crate::objective::sequence::{Sequence, partner_of};
use crate::policy::pass::{Accumulated, Measured};
use expo_lm::model::{Distillation, Gradients, Model, Workspace};
use expo_lm::{DistributionTarget, Divergence, LossGradient, ScoreGradient, TokenScore};

/// [`Policy::accumulate`](crate::policy::Policy::accumulate) in micro-batches of at most `budget` tokens; `teaching` gives a teacher's weights.
pub fn accumulate<'a>(
    model: &Model,
    workspace: &mut Workspace,
    gradients: &mut Gradients,
    sequences: &[Sequence],
    (budget, unit_temperature): (usize, bool),
    teaching: &dyn Fn(Teacher) -> Result<&'a Model>,
) -> Result<Accumulated> {
    gradients.zero();
    let mut pass = Accumulated { measured: vec![Measured::default(); sequences.len()], trained_tokens: 0 };
    for (indices, backward, teacher) in kinds(sequences) {
        let teacher = teacher.map(teaching).transpose()?;
        let indices = by_prompt(indices, |i| sequences[i].prompt);
        let ordered: Vec<&Sequence> = indices.iter().map(|i| &sequences[*i]).collect();
        for range in micro_batches(&ordered, budget) {
            let indices = &indices[range.clone()];
            let packed = Packed::new(&ordered[range.clone()], unit_temperature);
            let ordered = &ordered[range];
            let taught = teacher.map(|teacher| Taught::new(teacher, workspace, ordered, &packed)).transpose()?;
            let distillation = taught.as_ref().map(Taught::distillation);
            let scores = if backward {
                pass.trained_tokens += packed.batch.tokens.len();
                let per_token = |target: usize, log_prob: f64| {
                    let owner = packed.owners[target];
                    if owner.unit_temperature { 0.0 } else { ordered[owner.sequence].derivative(owner.token, log_prob) }
                };
                let per_batch = |scores: &[TokenScore]| gradients_by_score(ordered, &packed, scores);
                let loss = match ordered.iter().all(|sequence| sequence.is_token_local()) {
                    true => LossGradient::PerToken(&per_token),
                    false => LossGradient::PerBatch(&per_batch),
                };
                model.forward_backward_distilling(workspace, &packed.batch, gradients, loss, distillation.as_ref())?
            } else {
                model.score_distilling(workspace, &packed.batch, distillation.as_ref())?
            };
            collect(&packed, &scores.tokens, &mut pass.measured, |i| indices[i]);
            for (target, divergence) in taught.iter().flat_map(|taught| &taught.targets).zip(scores.divergences) {
                pass.measured[indices[packed.owners[target.target].sequence]].divergences.push(divergence);
            }
        }
    }
    Ok(pass)
}

/// The indices of `sequences` that are passed alike: with a gradient or only forward, and with the same teacher.
fn kinds(sequences: &[Sequence]) -> Vec<(Vec<usize>, bool, Option<Teacher>)> {
    let mut kinds = Vec::new();
    for backward in [true, false] {
        for teacher in [None, Some(Teacher::Current), Some(Teacher::Initial), Some(Teacher::Average)] {
            let is_of = |sequence: &Sequence| {
                sequence.needs_gradient() == backward && sequence.divergence().map(|(_, divergence)| divergence.teacher) == teacher
            };
            let indices: Vec<usize> = (0..sequences.len()).filter(|i| is_of(&sequences[*i])).collect();
            if !indices.is_empty() {
                kinds.push((indices, backward, teacher));
            }
        }
    }
    kinds
}

/// What a teacher says of a packed batch, each sequence behind the teacher's own prompt.
struct Taught<'a> {
    teacher: &'a Model,
    hidden: Vec<f32>,
    targets: Vec<DistributionTarget>,
}

impl<'a> Taught<'a> {
    fn new(teacher: &'a Model, workspace: &mut Workspace, sequences: &[&Sequence], packed: &Packed) -> Result<Self> {
        let mut hinted = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let prompt = sequence.divergence().map_or(sequence.prompt, |(_, divergence)| divergence.prompt);
            hinted.push(Sequence { trained: sequence.trained, ..Sequence::measured(prompt, sequence.completion, 1.0) });
        }
        let its = Packed::new(&hinted.iter().collect::<Vec<_>>(), false);
        let hidden = teacher.hidden_states(workspace, &its.batch)?;
        // Both batches have their targets in the order of sequences and tokens.
        let own = packed.owners.iter().enumerate().filter(|(_, owner)| !owner.unit_temperature);
        let target = |(teacher_row, (target, owner)): (usize, (usize, &Owner))| {
            let (loss, divergence) = sequences[owner.sequence].divergence()?;
            let measure = Divergence { alpha: divergence.alpha, cap: divergence.cap };
            Some(DistributionTarget { target, teacher_row, divergence: measure, weight: loss.weight() })
        };
        Ok(Self { teacher, hidden, targets: own.enumerate().filter_map(target).collect() })
    }

    fn distillation(&self) -> Distillation<'_> {
        Distillation { teacher: self.teacher, hidden: &self.hidden, targets: &self.targets }
    }
}

/// Log-probabilities of every sequence's completion, without gradients.
pub fn score(model: &Model, workspace: &mut Workspace, sequences: &[Sequence], budget: usize) -> Result<Vec<Measured>> {
    let mut measured = vec![Measured::default(); sequences.len()];
    let indices = by_prompt((0..sequences.len()).collect(), |i| sequences[i].prompt);
    let ordered: Vec<&Sequence> = indices.iter().map(|i| &sequences[*i]).collect();
    for range in micro_batches(&ordered, budget) {
        let packed = Packed::new(&ordered[range.clone()], false);
        let scores = model.score(workspace, &packed.batch)?;
        collect(&packed, &scores, &mut measured, |i| indices[range.start + i]);
    }
    Ok(measured)
}

/// Hands each target's score to its sequence, `measured[index(i)]` for the i-th of the packed ones.
fn collect(packed: &Packed, scores: &[TokenScore], measured: &mut [Measured], index: impl Fn(usize) -> usize) {
    for (owner, score) in packed.owners.iter().zip(scores) {
        let measured = &mut measured[index(owner.sequence)];
        if owner.unit_temperature {
            measured.unit_log_probs.push(score.log_prob);
        } else {
            measured.log_probs.push(score.log_prob);
            measured.entropies.push(score.entropy);
        }
    }
}

/// The gradient of the whole loss by the score of every target of a packed batch whose losses are not all token-local.
fn gradients_by_score(sequences: &[&Sequence], packed: &Packed, scores: &[TokenScore]) -> Vec<ScoreGradient> {
    let mut measured = vec![Measured::default(); sequences.len()];
    collect(packed, scores, &mut measured, |i| i);
    let of = |i: usize| sequences[i].gradients(measured[i].scores(), partner_of(sequences[i], i).map(|p| measured[p].scores()));
    let gradients: Vec<Vec<ScoreGradient>> = (0..sequences.len()).map(of).collect();
    let of_target = |owner: &Owner| match owner.unit_temperature {
        true => ScoreGradient::default(),
        false => gradients[owner.sequence][owner.token],
    };
    packed.owners.iter().map(of_target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, DpoSection, RecipeName};
    use crate::objective::dpo::Preferences;
    use crate::objective::preference::{Pair, Reference};
    use crate::objective::sft::{Rehearsal, on_documents};
    use crate::objective::term::Term;
    use crate::objective::{Drawn, EncodedDocument, Explanation, Explanations, Group, Rollout, recipe};
    use crate::policy::pass::Pass;
    use crate::testing::run::tiny_model;
    use expo_lm::generate::FinishReason;
    use expo_lm::optim::{AdamW, AdamWConfig};
    use expo_lm::{PackedBatch, model};

    /// Memory for passes, and gradients.
    struct Trainable {
        workspace: Workspace,
        gradients: Gradients,
    }

    fn forward_backward(
        model: &Model,
        Trainable { workspace, gradients }: &mut Trainable,
        sequences: &[Sequence],
        budget: usize,
        unit_temperature: bool,
    ) -> Result<Pass> {
        let teaching = |_| panic!("nobody teaches");
        Ok(Pass::of(sequences, accumulate(model, workspace, gradients, sequences, (budget, unit_temperature), &teaching)?))
    }

    fn gradients(model: &Model, trainable: &Trainable) -> Vec<f32> {
        let mut all = Vec::new();
        trainable
            .gradients
            .export(model, &mut |_, tensor| {
                all.extend(tensor.data);
                Ok(())
            })
            .unwrap();
        all
    }

    fn trainable(model: &Model) -> Trainable {
        Trainable { workspace: model::Workspace::default(), gradients: model.new_gradients() }
    }

    fn explanation(tokens: &[u32]) -> Explanation {
        Explanation::new(tokens.to_vec(), tokens.len() - 1)
    }

    /// Three questions: rollouts of several lengths and rewards; 2, 0 and 1 explanations kept.
    fn drawn() -> Drawn {
        let rollout = |tokens: &[u32], reward: f64| Rollout {
            reward: Some(reward),
            correct: reward > 0.5,
            ..Rollout::new(tokens.to_vec(), Default::default(), vec![-1.0; tokens.len()], FinishReason::Stop)
        };
        let group = |prompt: &[u32], rollouts: Vec<Rollout>, kept: Vec<Explanation>| Group {
            prompt: prompt.to_vec(),
            explanation_prompt: vec![1],
            rollouts,
            explanations: Some(Explanations { kept, ..Explanations::default() }),
            ..Group::default()
        };
        Drawn {
            groups: vec![
                group(&[1, 2], vec![rollout(&[3, 4, 5], 1.0), rollout(&[6], 0.0)], vec![explanation(&[7, 8, 9]), explanation(&[1, 2])]),
                group(&[4], vec![rollout(&[9, 8], 0.0), rollout(&[7, 7, 7, 7], 0.0)], vec![]),
                group(&[5, 6, 7], vec![rollout(&[2, 3], 0.0), rollout(&[1, 1, 1], 1.0)], vec![explanation(&[3, 2, 1, 0])]),
            ],
            ..Drawn::default()
        }
    }

    #[test]
    fn the_budget_of_micro_batches_changes_nothing() {
        let model = tiny_model(11);
        let mut config = Config::default();
        config.train.recipe = RecipeName::ExpGrpo;
        let recipe = recipe(&config);
        let mut drawn = drawn();
        recipe.score(&mut drawn.groups);
        let sequences = recipe.sequences(&drawn, 0.5);
        let run = |budget| {
            let mut trainable = trainable(&model);
            let pass = forward_backward(&model, &mut trainable, &sequences, budget, true).unwrap();
            (pass, gradients(&model, &trainable))
        };
        let (whole, whole_gradients) = run(10_000);
        assert!(whole_gradients.iter().any(|g| g.abs() > 1e-3), "nothing to compare");
        for budget in [1, 12] {
            let (pass, parts) = run(budget);
            assert!((pass.loss - whole.loss).abs() < 1e-5);
            assert!(pass.trained_tokens >= whole.trained_tokens, "a shared prompt is computed once");
            let difference = parts.iter().zip(&whole_gradients).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-5, "budget {budget}: {difference}");
        }
    }

    #[test]
    fn the_explanation_term_is_cross_entropy_with_weights_by_hand() {
        let model = tiny_model(12);
        let mut config = Config::default();
        config.train.recipe = RecipeName::ExpGrpo;
        let recipe = recipe(&config);
        let mut drawn = drawn();
        // All rewards equal: the policy gradient is nothing, the explanation term is the whole gradient.
        drawn.groups.iter_mut().flat_map(|group| &mut group.rollouts).for_each(|rollout| rollout.reward = Some(0.0));
        recipe.score(&mut drawn.groups);
        let beta = 0.3;
        let mut ours = trainable(&model);
        let pass = forward_backward(&model, &mut ours, &recipe.sequences(&drawn, beta), 10_000, false).unwrap();

        // Mean over an explanation's tokens, over a question's explanations, over all three questions.
        let cases: [(&[u32], &[u32], f64); 3] =
            [(&[1, 2], &[7, 8, 9], 3.0 * 2.0), (&[1, 2], &[1, 2], 2.0 * 2.0), (&[5, 6, 7], &[3, 2, 1, 0], 4.0 * 1.0)];
        let mut by_hand = trainable(&model);
        let mut loss = 0.0;
        for (prompt, completion, denominator) in cases {
            let mut batch = PackedBatch::new();
            batch.push(prompt, completion, 1.0);
            let weight = 1.0 / (denominator * 3.0);
            let scores = model
                .forward_backward(&mut by_hand.workspace, &batch, &mut by_hand.gradients, LossGradient::PerToken(&|_, _| -beta * weight))
                .unwrap();
            loss -= scores.iter().map(|score| score.log_prob * weight).sum::<f64>();
        }
        assert!((pass.terms[&Term::Explanation] - loss).abs() < 1e-6);
        assert!((pass.loss - beta * loss).abs() < 1e-6);
        let difference = gradients(&model, &ours).iter().zip(gradients(&model, &by_hand)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "{difference}");
    }

    /// Turns that are spans of one sequence, and the same turns as sequences of their own.
    #[test]
    fn several_turns_have_one_denominator_and_one_gradient() {
        let model = tiny_model(15);
        let other = EncodedDocument::whole(vec![9], vec![1]);
        let one = EncodedDocument { trained: vec![0..2, 3..6], ..EncodedDocument::whole(vec![1, 2], vec![3, 4, 5, 6, 7, 8]) };
        let turns = [EncodedDocument::whole(vec![1, 2], vec![3, 4]), EncodedDocument::whole(vec![1, 2, 3, 4, 5], vec![6, 7, 8])];
        let [first, second] = turns.clone();
        let spans = [one, other.clone()];
        let apart = [first, EncodedDocument { continues: true, ..second }, other.clone()];
        let mut config = Config::default();
        (config.rehearsal.data, config.rehearsal.weight) = ("d.jsonl".into(), 0.5);
        let rehearsal = Rehearsal::new(&config);
        let nll = |document: &EncodedDocument| -> f64 {
            let scores = score(&model, &mut model::Workspace::default(), &on_documents(std::slice::from_ref(document)), 100).unwrap();
            -scores[0].log_probs.iter().sum::<f64>()
        };
        let [document, single] = [nll(&turns[0]) + nll(&turns[1]), nll(&other)];
        let by_hand = [(document + single) / 6.0, 0.5 * (document / 5.0 + single) / 2.0];
        for (i, expected) in by_hand.into_iter().enumerate() {
            let run = |documents: &[EncodedDocument], budget| {
                let sequences = if i == 0 { on_documents(documents) } else { rehearsal.sequences(documents).collect() };
                let mut trainable = trainable(&model);
                let loss = forward_backward(&model, &mut trainable, &sequences, budget, true).unwrap().loss;
                (loss, gradients(&model, &trainable))
            };
            let (loss, whole) = run(&spans, 100);
            assert!((loss - expected).abs() < 1e-9, "{loss} {expected}");
            assert!(whole.iter().any(|g| g.abs() > 1e-3), "nothing to compare");
            for (documents, budget) in [(&apart[..], 100), (&apart, 1), (&spans, 1)] {
                let (loss, parts) = run(documents, budget);
                assert!((loss - expected).abs() < 1e-9, "{loss} {expected}");
                let difference = parts.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(difference < 1e-6, "{difference}");
            }
        }
    }

    /// DPO's gradient is `d(loss) / d(margin)` times the difference of the two sides' log-likelihood gradients, whatever the micro-batches are.
    #[test]
    fn preference_gradients_by_hand() {
        let model = tiny_model(14);
        let mut workspace = model::Workspace::default();
        let log_prob = |prompt: &[u32], completion: &[u32], workspace: &mut model::Workspace| {
            let mut batch = PackedBatch::new();
            batch.push(prompt, completion, 1.0);
            model.score(workspace, &batch).unwrap().iter().map(|score| score.log_prob).sum::<f64>()
        };
        let pair = |prompt: &[u32], chosen: &[u32], rejected: &[u32]| Pair {
            id: String::new(),
            prompt: prompt.to_vec(),
            chosen: chosen.to_vec(),
            rejected: rejected.to_vec(),
            reference: Reference { chosen: -2.9 * chosen.len() as f64, rejected: -3.2 * rejected.len() as f64 },
            ..Pair::default()
        };
        let pairs = [pair(&[1, 2, 3], &[4, 5, 6], &[7]), pair(&[8], &[9, 1], &[2, 3, 4, 5])];
        let beta = 0.7;
        let mut by_hand = trainable(&model);
        let mut loss = 0.0;
        for pair in &pairs {
            let margin = (log_prob(&pair.prompt, &pair.chosen, &mut workspace) + 2.9 * pair.chosen.len() as f64)
                - (log_prob(&pair.prompt, &pair.rejected, &mut workspace) + 3.2 * pair.rejected.len() as f64);
            loss -= (1.0 / (1.0 + (-beta * margin).exp())).ln() / 2.0;
            let slope = -beta / (1.0 + (beta * margin).exp()) / 2.0;
            for (completion, sign) in [(&pair.chosen, 1.0), (&pair.rejected, -1.0)] {
                let mut batch = PackedBatch::new();
                batch.push(&pair.prompt, completion, 1.0);
                let weight = |_: usize, _: f64| sign * slope;
                let loss = LossGradient::PerToken(&weight);
                model.forward_backward(&mut by_hand.workspace, &batch, &mut by_hand.gradients, loss).unwrap();
            }
        }
        let sequences = Preferences::new(&DpoSection { beta, ..DpoSection::default() }).sequences(&pairs);
        for budget in [1, 9, 1000] {
            let mut ours = trainable(&model);
            let pass = forward_backward(&model, &mut ours, &sequences, budget, false).unwrap();
            assert!((pass.loss - loss).abs() < 1e-5, "budget {budget}: {} against {loss}", pass.loss);
            assert!((pass.terms[&Term::Preference] - loss).abs() < 1e-5);
            let difference =
                gradients(&model, &ours).iter().zip(gradients(&model, &by_hand)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-5, "budget {budget}: {difference}");
        }
    }

    /// The bonus is the entropy of the rollouts' distributions with the policy gradient's weights, and its gradient moves the loss as far as it says: also where
    /// every advantage is 0.
    #[test]
    fn the_entropy_bonus_by_hand_and_by_a_step_along_its_gradient() {
        let mut model = tiny_model(15);
        let mut config = Config::default();
        config.grpo.entropy_coef = 0.3;
        (config.train.recipe, config.rollout.temperature) = (RecipeName::Grpo, 0.8);
        let recipe = recipe(&config);
        let mut drawn = drawn();
        drawn.groups.iter_mut().flat_map(|group| &mut group.rollouts).for_each(|rollout| rollout.reward = Some(0.0));
        recipe.score(&mut drawn.groups);
        let sequences = recipe.sequences(&drawn, 0.0);
        for budget in [10_000, 12] {
            let mut ours = trainable(&model);
            let pass = forward_backward(&model, &mut ours, &sequences, budget, true).unwrap();
            let mut entropy = 0.0;
            for (group, rollout) in drawn.groups.iter().flat_map(|group| group.rollouts.iter().map(move |rollout| (group, rollout))) {
                let mut batch = PackedBatch::new();
                batch.push(&group.prompt, &rollout.tokens, 0.8);
                let scores = model.score(&mut ours.workspace, &batch).unwrap();
                // Mean over a rollout's tokens, then over all six.
                entropy += scores.iter().map(|score| score.entropy).sum::<f64>() / scores.len() as f64 / 6.0;
            }
            assert!((pass.terms[&Term::Entropy] - entropy).abs() < 1e-6, "{} {entropy}", pass.terms[&Term::Entropy]);
            assert!((pass.loss + 0.3 * entropy).abs() < 1e-6);
        }
        let mut ours = trainable(&model);
        let before = forward_backward(&model, &mut ours, &sequences, 10_000, true).unwrap().loss;
        // AdamW's first step moves every weight by the learning rate against its gradient's sign.
        let rate = 1e-4;
        let expected = rate * gradients(&model, &ours).iter().map(|g| f64::from(g.abs())).sum::<f64>();
        let options = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-20, weight_decay: 0.0 };
        AdamW::new(&model, options).step(&mut model, &ours.gradients, rate, 1.0);
        let after = forward_backward(&model, &mut ours, &sequences, 10_000, true).unwrap().loss;
        assert!(expected > 1e-5 && (before - after - expected).abs() < 0.1 * expected, "{before} {after} {expected}");
    }

    #[test]
    fn nll_is_measured_at_temperature_one() {
        let model = tiny_model(13);
        let sequence = |temperature| Sequence::measured(&[1, 2], &[3, 4, 5], temperature);
        let nll = |temperature| {
            forward_backward(&model, &mut trainable(&model), &[sequence(temperature)], 100, true).unwrap().measured[0].clone()
        };
        assert!((nll(0.5).nll() - nll(1.0).nll()).abs() < 1e-6);
        assert!((nll(0.5).log_probs[0] - nll(1.0).log_probs[0]).abs() > 1e-3);
    }
}
