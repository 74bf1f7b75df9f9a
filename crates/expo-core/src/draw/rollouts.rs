//! What a step draws and measures before its first update: rollouts, expert texts, explanations, reference log-probabilities, properties.

use std::ops::Range;

use crate::config::{Config, ExplainQuestions, Explainer as Writer, OldLogProbs, RolloutSection};
use crate::draw::explain::{Learner, Making};
use crate::draw::hints::answer_position;
use crate::draw::probe::{self, Properties};
use crate::error::{Error, Result};
use crate::feed::problems::PreparedProblem;
use crate::objective::{Group, Origin, Rollout as RolloutSample, Sequence};
use crate::observe::{Observer, Phase};
use crate::policy::cpu::pass::{self, Measured};
use crate::reward::{AnswerScore, Completion, Listener, Question, Scored, Verdict};
use crate::rollout::Rollout;
use crate::rollout::seed::{Purpose, derive};
use crate::run::lora;
use crate::run::reference::MovingReference;
use crate::run::step::Clock;
use crate::run::trainer::Trainer;
use crate::task::Task;
use expo_lm::generate::{FinishReason, Request, SamplingParams};
use expo_lm::model::{Model, Workspace};

/// What rewards of `step` say, and whether they are still wanted.
struct Rewarding<'a> {
    step: usize,
    observer: &'a mut dyn Observer,
}

impl Listener for Rewarding<'_> {
    fn notice(&mut self, notice: String) {
        self.observer.on_notice(self.step, &notice);
    }
    fn is_stopping(&mut self) -> bool {
        let stopping = self.observer.should_stop();
        if stopping {
            // Whoever waits for the stop is told that it was heard.
            self.observer.on_phase(self.step, Phase::Reward);
        }
        stopping
    }
}

impl Trainer {
    /// The problems at `positions` of the run's order, as indices.
    fn problems_at(&mut self, positions: Range<usize>) -> Vec<usize> {
        let Some(order) = &mut self.order else { return Vec::new() };
        positions.map(|position| order.at(position)).collect()
    }

    /// Groups of the questions of the step at `place`, drawn by the policy as it is now, rewarded and scored, with their explanations and expert texts and
    /// what the reference says of them; `step` is the one that is told. Places have to come in order, each once.
    pub(crate) fn draw_groups(&mut self, place: usize, step: usize, clock: &mut Clock, observer: &mut dyn Observer) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        loop {
            let (before, missing) = (groups.len(), self.missing_groups(place, &groups)?);
            if missing == 0 {
                break;
            }
            observer.on_phase(step, Phase::Rollout);
            let mut drawn = clock.time(Phase::Rollout, |clock| self.draw_rollouts(place, before, missing, clock))?;
            if self.draws.off_policy {
                self.draw_traces(place, step, &mut drawn, clock, observer)?;
            }
            observer.on_phase(step, Phase::Reward);
            clock.time(Phase::Reward, |_| self.reward_samples(&mut drawn, &mut Rewarding { step, observer: &mut *observer }))?;
            groups.append(&mut drawn);
        }
        // Of preferences the reference is asked about pairs instead.
        let has_kl = self.draws.scores_rollouts();
        if has_kl && self.config.grpo.beta > 0.0 {
            observer.on_phase(step, Phase::Reference);
            clock.time(Phase::Reference, |_| self.score_rollouts_by_reference(&mut groups))?;
        }
        if has_kl && self.config.train.num_iterations > 1 && lora::has_dropout(&self.model) {
            observer.on_phase(step, Phase::Reference);
            clock.time(Phase::Reference, |_| self.score_rollouts_without_dropout(&mut groups))?;
        }
        self.recipe.score(&mut groups);
        if self.draws.off_policy {
            return Ok(groups);
        }
        self.attach_expert(&mut groups);
        if self.draws.explanations {
            observer.on_phase(step, Phase::Explanation);
            clock.time(Phase::Explanation, |clock| self.draw_explanations(place, &mut groups, clock))?;
            if has_kl && self.config.exp.hinted_kl_beta > 0.0 {
                observer.on_phase(step, Phase::Reference);
                clock.time(Phase::Reference, |_| self.score_explanations_by_initial(&mut groups))?;
            }
        }
        Ok(groups)
    }

    /// How many further questions `step` needs beside the rewarded `groups` that it has drawn. Errors: dynamic sampling has drawn its most.
    fn missing_groups(&self, step: usize, groups: &[Group]) -> Result<usize> {
        let (wanted, grpo) = (self.config.train.prompts_per_step, &self.config.grpo);
        // Pairs and documents have no group advantages that equal rewards would make 0.
        if groups.is_empty() || !grpo.filter_groups || !self.draws.scores_rollouts() {
            return Ok(wanted - groups.len().min(wanted));
        }
        let found = groups.iter().filter(|group| !group.has_equal_rewards()).count();
        let most = wanted * grpo.max_num_gen_batches;
        if found < wanted && groups.len() >= most {
            return Err(Error::Run(format!(
                "step {}: grpo.filter_groups: {most} questions (grpo.max_num_gen_batches = {} times train.prompts_per_step = {wanted}) gave {found} groups of \
                 different rewards instead of {wanted}; raise grpo.max_num_gen_batches or rollout.num_generations, take other problems, or turn \
                 grpo.filter_groups off",
                step + 1,
                grpo.max_num_gen_batches
            )));
        }
        Ok((wanted - found).min(most - groups.len()))
    }

    /// Samples G completions of each of the next `count` questions, of which the step has drawn `before` already; they are not rewarded yet.
    pub(crate) fn draw_rollouts(&mut self, step: usize, before: usize, count: usize, clock: &mut Clock) -> Result<Vec<Group>> {
        let indices = self.problems_at(self.questions_drawn..self.questions_drawn + count);
        self.questions_drawn += count;
        // The slot tells a problem's visits within one step apart.
        let run_seed = self.config.train.seed;
        let seed = |slot: usize, index: usize, sample: u64| {
            derive(run_seed, Purpose::Rollout, &[step as u64, (before + slot) as u64, index as u64, sample])
        };
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

    /// Puts the traces of another policy into `groups`, before these are rewarded.
    fn draw_traces(
        &mut self,
        place: usize,
        step: usize,
        groups: &mut [Group],
        clock: &mut Clock,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if self.draws.explanations {
            observer.on_phase(step, Phase::Explanation);
            clock.time(Phase::Explanation, |clock| self.draw_explanations(place, groups, clock))?;
        }
        for group in groups {
            let expert = self.problems.prepared[group.problem].expert.iter().filter(|_| self.draws.expert);
            let traces = group.kept_explanations().iter().map(|explanation| &explanation.tokens).chain(expert);
            let sample = |tokens: &Vec<u32>| {
                let text = self.task.decode(&tokens[..tokens.len() - 1])?;
                Ok(RolloutSample::new(tokens.clone(), text, Vec::new(), FinishReason::Stop))
            };
            group.off_policy = traces.map(sample).collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Verifies and rewards every sample of `groups`.
    fn reward_samples(&mut self, groups: &mut [Group], listener: &mut dyn Listener) -> Result<()> {
        let Some(rewards) = &mut self.rewards else { return Ok(()) };
        let (task, problems) = (self.task.as_ref(), &self.problems.prepared);
        let verdicts = verify(task, problems, groups);
        for (sample, verdict) in groups.iter_mut().flat_map(Group::samples_mut).zip(&verdicts) {
            (sample.correct, sample.unevaluated, sample.answer_start) = (verdict.correct, verdict.unevaluated, verdict.answer_start);
            (sample.extracted, sample.reason) = (verdict.extracted.clone(), verdict.reason.clone());
        }
        for group in groups.iter_mut() {
            let answer = &problems[group.problem].problem.answer;
            for sample in group.samples_mut() {
                let extracted = sample.extracted.as_deref().filter(|_| sample.correct);
                sample.answer_position = answer_position(&sample.text, answer, extracted);
            }
        }
        let answers: Vec<Option<AnswerScore>> = match rewards.ask_for_answers() {
            true => {
                let (workspace, budget) = (&mut self.trainable.workspace, self.config.train.max_tokens_per_micro_batch);
                let answers = probe::answers_behind_samples(task, &self.model, workspace, problems, groups, budget)?;
                answers.into_iter().map(Some).collect()
            }
            false => vec![None; verdicts.len()],
        };
        let mut judged = verdicts.iter().zip(answers);
        let mut questions = Vec::with_capacity(groups.len());
        for group in &*groups {
            let completions = group.samples().zip(&mut judged).map(|(sample, (verdict, answer))| Completion {
                text: &sample.text,
                tokens: sample.tokens.len(),
                truncated: sample.is_truncated(),
                verdict,
                answer,
            });
            questions.push(Question {
                problem: &problems[group.problem].problem,
                prompt: task.decode(&group.prompt)?,
                completions: completions.collect(),
            });
        }
        let scored: Vec<Scored> = rewards.score(&questions, listener)?.concat();
        for (sample, scored) in groups.iter_mut().flat_map(Group::samples_mut).zip(scored) {
            (sample.rewards, sample.reward) = (scored.rewards, scored.reward);
        }
        Ok(())
    }

    /// Whether `group`'s question gets the ExP term, or, where rationales are made, has no rollout that one can be taken from.
    fn is_explained(&self, group: &Group) -> bool {
        let exp = &self.config.exp;
        if self.draws.rationales {
            return !group.rollouts.iter().any(RolloutSample::is_solution);
        }
        exp.questions == ExplainQuestions::All || group.pass_rate() <= exp.max_pass_rate
    }

    fn attach_expert(&self, groups: &mut [Group]) {
        for group in groups.iter_mut().filter(|group| self.draws.expert && self.is_explained(group)) {
            group.expert = self.problems.prepared[group.problem].expert.clone();
        }
    }

    /// Makes the explanations that are due and hands every explained group its own.
    pub(crate) fn draw_explanations(&mut self, step: usize, groups: &mut [Group], clock: &mut Clock) -> Result<()> {
        let every = self.config.exp.every;
        if self.explainer.refresh(step) && every > 1 {
            // By this step's policy for all problems until the next time; which of their groups will fail is not known yet.
            let until = (step + every).min(self.config.train.steps);
            clock.made(self.explain_ahead(step..until)?);
        }
        let indices: Vec<usize> = groups.iter().filter(|group| self.is_explained(group)).map(|group| group.problem).collect();
        clock.made(self.make_explanations(&indices, step)?);
        for group in groups.iter_mut() {
            if self.is_explained(group) {
                group.explanations = self.explainer.of(group.problem).cloned();
            }
        }
        Ok(())
    }

    fn make_explanations(&mut self, indices: &[usize], step: usize) -> Result<Making> {
        let writer = match self.config.exp.explainer {
            Writer::Current => &self.model,
            Writer::Initial => self.initial.as_ref().unwrap_or(&self.model),
            Writer::Average => self.average.as_ref().unwrap_or(&self.model),
        };
        let learner =
            Learner { policy: &self.model, workspace: &mut self.trainable.workspace, budget: self.config.train.max_tokens_per_micro_batch };
        self.explainer.make(self.task.as_ref(), self.rollout.as_mut(), writer, learner, &self.problems.prepared, indices, step)
    }

    /// Explanations of every problem that `steps` will come to, made now.
    pub(crate) fn explain_ahead(&mut self, steps: Range<usize>) -> Result<Making> {
        let now = steps.start;
        let count = self.config.train.prompts_per_step;
        let indices = self.problems_at(steps.start * count..steps.end * count);
        self.make_explanations(&indices, now)
    }

    /// Log-probabilities of the rollouts under the reference policy.
    fn score_rollouts_by_reference(&mut self, groups: &mut [Group]) -> Result<()> {
        let Some(reference) = self.reference.as_ref().map(MovingReference::model).or(self.initial.as_ref()) else { return Ok(()) };
        let scores = score_rollouts(reference, &mut self.trainable.workspace, groups, &self.config)?;
        for (rollout, score) in groups.iter_mut().flat_map(|group| &mut group.rollouts).zip(scores) {
            rollout.reference_log_probs = Some(score.log_probs);
        }
        Ok(())
    }

    /// Old log-probabilities of the rollouts, which the first training pass gives where it has no dropout.
    fn score_rollouts_without_dropout(&mut self, groups: &mut [Group]) -> Result<()> {
        if self.config.grpo.old_log_probs == OldLogProbs::Training {
            let scores = score_rollouts(&self.model, &mut self.trainable.workspace, groups, &self.config)?;
            for (rollout, score) in groups.iter_mut().flat_map(|group| &mut group.rollouts).zip(scores) {
                rollout.old_log_probs = Some(score.log_probs);
            }
        }
        Ok(())
    }

    /// Log-probabilities of the kept explanations under the initial policy, the answer shown.
    fn score_explanations_by_initial(&mut self, groups: &mut [Group]) -> Result<()> {
        let Some(initial) = &self.initial else { return Ok(()) };
        let sequences: Vec<Sequence> = groups
            .iter()
            .flat_map(|group| group.kept_explanations().iter().map(|made| unused(&group.explanation_prompt, &made.tokens, 1.0)))
            .collect();
        let scores = pass::score(initial, &mut self.trainable.workspace, &sequences, self.config.train.max_tokens_per_micro_batch)?;
        let explanations = groups.iter_mut().filter_map(|group| group.explanations.as_mut()).flat_map(|made| &mut made.kept);
        for (explanation, score) in explanations.zip(scores) {
            explanation.reference_log_probs = Some(score.log_probs);
        }
        Ok(())
    }

    pub(crate) fn probe(&mut self, groups: &[Group]) -> Result<Properties> {
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

/// Log-probabilities of every rollout of `groups`, in order, under `model`.
fn score_rollouts(model: &Model, workspace: &mut Workspace, groups: &[Group], config: &Config) -> Result<Vec<Measured>> {
    let temperature = config.rollout.temperature as f32;
    let sequences: Vec<Sequence> =
        groups.iter().flat_map(|group| group.rollouts.iter().map(|rollout| unused(&group.prompt, &rollout.tokens, temperature))).collect();
    pass::score(model, workspace, &sequences, config.train.max_tokens_per_micro_batch)
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
            let text = task.decode(&sample.tokens[..body])?;
            let log_probs = sample.log_probs.iter().map(|log_prob| f64::from(*log_prob)).collect();
            rollouts.push(RolloutSample::new(sample.tokens, text, log_probs, sample.finish));
        }
        let prepared = &problems[*index];
        groups.push(Group {
            problem: *index,
            prompt: prepared.prompt.clone(),
            explanation_prompt: prepared.explanation_prompt.clone(),
            rollouts,
            ..Group::default()
        });
    }
    Ok(groups)
}

/// Judges every sample of `groups`, in order.
pub(crate) fn verify(task: &dyn Task, problems: &[PreparedProblem], groups: &[Group]) -> Vec<Verdict> {
    let problem = |group: &Group| &problems[group.problem].problem;
    let texts = groups.iter().flat_map(|group| group.samples().map(move |sample| (problem(group), sample.text.as_str())));
    task.verify(&texts.collect::<Vec<_>>())
}

/// A sequence that is only scored.
fn unused<'a>(prompt: &'a [u32], completion: &'a [u32], temperature: f32) -> Sequence<'a> {
    Sequence { origin: Origin::Document, prompt, completion, trained: &[], temperature, losses: Vec::new(), partner: None }
}
