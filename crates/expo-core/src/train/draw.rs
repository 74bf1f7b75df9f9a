//! What a step draws and measures before its first update: rollouts, expert texts, explanations, reference log-probabilities, properties.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pass;
use super::probe::{self, Properties};
use super::problems::PreparedProblem;
use super::task::Task;
use super::trainer::{Clock, Trainer};
use crate::config::{ExplainQuestions, Explainer as Writer, OldLogProbs, RolloutSection};
use crate::error::Result;
use crate::objective::{Group, Origin, Rollout as RolloutSample, Sequence};
use crate::reward::{Completion, Question, Verdict};
use crate::rollout::Rollout;
use crate::rollout::seed::{Purpose, derive};
use expo_lm::generate::{FinishReason, Request, SamplingParams};
use expo_lm::model::Model;

impl Trainer {
    /// The problems of `step`, as indices.
    fn problems_of(&mut self, step: usize) -> Vec<usize> {
        let count = self.config.train.prompts_per_step;
        let Some(order) = &mut self.order else { return Vec::new() };
        (step * count..(step + 1) * count).map(|position| order.at(position)).collect()
    }

    /// Samples G completions of each of the step's questions; they are not rewarded yet.
    pub(super) fn draw_rollouts(&mut self, step: usize, clock: &mut Clock) -> Result<Vec<Group>> {
        let indices = self.problems_of(step);
        // The slot tells a problem's visits within one step apart.
        let run_seed = self.config.train.seed;
        let seed =
            |slot: usize, index: usize, sample: u64| derive(run_seed, Purpose::Rollout, &[step as u64, slot as u64, index as u64, sample]);
        let (task, problems) = (self.task.as_ref(), &self.problems.prepared);
        let mut groups = sample_groups(task, self.rollout.as_mut(), &self.model, problems, &indices, &self.config.rollout, &seed)?;
        for rollout in groups.iter_mut().flat_map(|group| &mut group.rollouts) {
            clock.rollout_tokens += rollout.tokens.len();
            if self.config.train.num_iterations > 1 && self.config.grpo.old_log_probs == OldLogProbs::Sampler {
                rollout.old_log_probs = Some(rollout.sampler_log_probs.clone());
            }
        }
        Ok(groups)
    }

    /// Verifies and rewards every rollout of `groups`.
    pub(super) fn reward_rollouts(&mut self, groups: &mut [Group], notify: &mut dyn FnMut(String)) -> Result<()> {
        let Some(rewards) = &mut self.rewards else { return Ok(()) };
        let problems = &self.problems.prepared;
        let problem = |group: &Group| &problems[group.problem].problem;
        let verdicts = verify(self.task.as_ref(), problems, groups);
        let mut judged = verdicts.iter();
        let mut questions = Vec::with_capacity(groups.len());
        for group in &*groups {
            let completions = group.rollouts.iter().zip(&mut judged).map(|(rollout, verdict)| Completion {
                text: &rollout.text,
                tokens: rollout.tokens.len(),
                truncated: rollout.is_truncated(),
                verdict,
            });
            questions.push(Question {
                problem: problem(group),
                prompt: self.task.decode(&group.prompt)?,
                completions: completions.collect(),
            });
        }
        let scored = rewards.score(&questions, notify)?.into_iter().flatten();
        let rollouts = groups.iter_mut().flat_map(|group| &mut group.rollouts);
        for ((rollout, verdict), scored) in rollouts.zip(verdicts).zip(scored) {
            (rollout.correct, rollout.answer_start) = (verdict.correct, verdict.answer_start);
            (rollout.rewards, rollout.reward) = (scored.rewards, scored.reward);
        }
        Ok(())
    }

    /// Whether `group`'s question gets the ExP term.
    fn is_explained(&self, group: &Group) -> bool {
        self.config.exp.questions == ExplainQuestions::All || group.all_wrong()
    }

    pub(super) fn attach_expert(&self, groups: &mut [Group]) {
        for group in groups.iter_mut().filter(|group| self.draws.expert && self.is_explained(group)) {
            group.expert = self.problems.prepared[group.problem].expert.clone();
        }
    }

    /// Makes the explanations that are due and hands every explained group its own.
    pub(super) fn draw_explanations(&mut self, step: usize, groups: &mut [Group], clock: &mut Clock) -> Result<()> {
        let every = self.config.exp.every;
        if self.explainer.refresh(step) && every > 1 {
            // By this step's policy for all problems until the next time; which of their groups will fail is not known yet.
            let until = (step + every).min(self.config.train.steps);
            clock.explanation_tokens += self.explain_ahead(step..until)?;
        }
        let indices: Vec<usize> = groups.iter().filter(|group| self.is_explained(group)).map(|group| group.problem).collect();
        clock.explanation_tokens += self.make_explanations(&indices, step)?;
        for group in groups.iter_mut() {
            if self.is_explained(group) {
                group.explanations = self.explainer.of(group.problem).cloned();
            }
        }
        Ok(())
    }

    /// Returns the number of sampled tokens.
    fn make_explanations(&mut self, indices: &[usize], step: usize) -> Result<usize> {
        let writer = match self.config.exp.explainer {
            Writer::Current => &self.model,
            Writer::Initial => self.initial.as_ref().unwrap_or(&self.model),
            Writer::Average => self.average.as_ref().unwrap_or(&self.model),
        };
        self.explainer.make(self.task.as_ref(), self.rollout.as_mut(), writer, &self.problems.prepared, indices, step)
    }

    /// Explanations of every problem that `steps` will come to, made now. Returns the number of sampled tokens.
    pub(super) fn explain_ahead(&mut self, steps: Range<usize>) -> Result<usize> {
        let now = steps.start;
        let indices: Vec<usize> = steps.flat_map(|step| self.problems_of(step)).collect();
        self.make_explanations(&indices, now)
    }

    /// Log-probabilities under the initial policy, for the KL terms.
    pub(super) fn score_reference(&mut self, groups: &mut [Group]) -> Result<()> {
        let Some(initial) = &self.initial else { return Ok(()) };
        let budget = self.config.train.max_tokens_per_micro_batch;
        if self.config.grpo.beta > 0.0 {
            let temperature = self.config.rollout.temperature as f32;
            let sequences: Vec<Sequence> = groups
                .iter()
                .flat_map(|group| group.rollouts.iter().map(|rollout| unused(&group.prompt, &rollout.tokens, temperature)))
                .collect();
            let scores = pass::score(initial, &mut self.trainable.workspace, &sequences, budget)?;
            let rollouts = groups.iter_mut().flat_map(|group| &mut group.rollouts);
            for (rollout, score) in rollouts.zip(scores) {
                rollout.reference_log_probs = Some(score.log_probs);
            }
        }
        if self.config.exp.hinted_kl_beta > 0.0 {
            let sequences: Vec<Sequence> = groups
                .iter()
                .flat_map(|group| group.kept_explanations().iter().map(|made| unused(&group.explanation_prompt, &made.tokens, 1.0)))
                .collect();
            let scores = pass::score(initial, &mut self.trainable.workspace, &sequences, budget)?;
            let explanations = groups.iter_mut().filter_map(|group| group.explanations.as_mut()).flat_map(|made| &mut made.kept);
            for (explanation, score) in explanations.zip(scores) {
                explanation.reference_log_probs = Some(score.log_probs);
            }
        }
        Ok(())
    }

    pub(super) fn probe(&mut self, groups: &[Group]) -> Result<Properties> {
        probe::measure(
            self.task.as_ref(),
            &self.model,
            &mut self.trainable.workspace,
            &self.problems.prepared,
            groups,
            self.config.exp.metrics_problems,
            // With the expert term, training measures it on every step.
            !self.draws.expert,
            self.config.train.max_tokens_per_micro_batch,
        )
    }
}

/// Samples completions of the questions of `indices` from `policy`; they are neither verified nor rewarded yet. `seed` gives the seed of a sample from its
/// slot in `indices`, its problem and its number.
pub(crate) fn sample_groups(
    task: &dyn Task,
    rollout: &mut dyn Rollout,
    policy: &Model,
    problems: &[PreparedProblem],
    indices: &[usize],
    options: &RolloutSection,
    seed: &dyn Fn(usize, usize, u64) -> u64,
) -> Result<Vec<Group>> {
    let request = |(slot, index): (usize, &usize)| Request {
        prompt: problems[*index].prompt.clone(),
        seeds: (0..options.num_generations as u64).map(|sample| seed(slot, *index, sample)).collect(),
        sampling: SamplingParams {
            temperature: options.temperature as f32,
            top_k: options.top_k,
            top_p: options.top_p as f32,
            min_p: options.min_p as f32,
            max_new_tokens: options.max_new_tokens,
            stop_token_ids: task.stop_token_ids().to_vec(),
        },
    };
    let requests: Vec<Request> = indices.iter().enumerate().map(request).collect();
    let generated = rollout.generate(policy, &requests)?;
    let mut groups = Vec::with_capacity(indices.len());
    for (index, samples) in indices.iter().zip(generated) {
        let mut rollouts = Vec::with_capacity(samples.len());
        for sample in samples {
            let body = sample.tokens.len() - usize::from(sample.finish == FinishReason::Stop);
            rollouts.push(RolloutSample {
                text: task.decode(&sample.tokens[..body])?,
                sampler_log_probs: sample.log_probs.iter().map(|log_prob| f64::from(*log_prob)).collect(),
                tokens: sample.tokens,
                finish: sample.finish,
                rewards: BTreeMap::new(),
                reward: None,
                correct: false,
                answer_start: None,
                advantage: 0.0,
                old_log_probs: None,
                reference_log_probs: None,
            });
        }
        let prepared = &problems[*index];
        groups.push(Group {
            problem: *index,
            prompt: prepared.prompt.clone(),
            explanation_prompt: prepared.explanation_prompt.clone(),
            rollouts,
            explanations: None,
            expert: None,
        });
    }
    Ok(groups)
}

/// Judges every rollout of `groups`, in order.
pub(crate) fn verify(task: &dyn Task, problems: &[PreparedProblem], groups: &[Group]) -> Vec<Verdict> {
    let problem = |group: &Group| &problems[group.problem].problem;
    let texts = groups.iter().flat_map(|group| group.rollouts.iter().map(move |rollout| (problem(group), rollout.text.as_str())));
    task.verify(&texts.collect::<Vec<_>>())
}

/// A sequence that is only scored.
fn unused<'a>(prompt: &'a [u32], completion: &'a [u32], temperature: f32) -> Sequence<'a> {
    Sequence { origin: Origin::Document, prompt, completion, temperature, losses: Vec::new(), partner: None }
}
