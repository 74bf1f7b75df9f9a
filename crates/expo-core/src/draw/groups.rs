//! Groups of a step: questions with their rollouts, rewarded and scored, and with what the recipe wants beside them.

use std::ops::Range;

use super::explain::{Explainer, Making};
use super::probe::{self, Properties};
use super::rewarding::{Rewarding, reward};
use super::sampling;
use super::{Context, Drawing, Source};
use crate::config::{Config, ExplainQuestions, ExplainedBy, OldLogProbs};
use crate::error::{Error, Result};
use crate::feed::order::Order;
use crate::feed::problems::{PreparedProblem, Problems};
use crate::objective::group::{Group, Rollout};
use crate::objective::recipe::{Drawn, GroupSources};
use crate::objective::sequence::Sequence;
use crate::observe::Phase;
use crate::policy::Lm;
use crate::policy::pass::Measured;
use crate::policy::policies::Writer;
use crate::resume::Resumable;
use crate::reward::{BuiltIn, Rewards};
use crate::rollout::seed::{Purpose, derive};
use expo_lm::generate::FinishReason;

/// Which questions get an explanation or an expert chain of thought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Explained {
    /// All.
    All,
    /// Those whose pass rate is at most this.
    Failed(f64),
    /// Those without a solution among their rollouts.
    Unsolved,
}

impl Explained {
    /// As `config` has it.
    pub fn of(config: &Config) -> Self {
        match config.exp.questions {
            ExplainQuestions::All => Self::All,
            _ => Self::Failed(config.exp.max_pass_rate),
        }
    }

    fn includes(self, group: &Group) -> bool {
        match self {
            Self::All => true,
            Self::Failed(most) => group.pass_rate() <= most,
            Self::Unsolved => !group.rollouts.iter().any(Rollout::is_solution),
        }
    }
}

/// Draws groups by the policy as it is, in the order of a run's problems.
pub struct Groups {
    sources: GroupSources,
    explained: Explained,
    /// Whether rollouts are compared with each other and trained on, rather than made into pairs or documents.
    are_compared: bool,
    problems: Problems,
    order: Order,
    rewards: Rewards,
    explainer: Explainer,
    /// Questions drawn so far.
    questions_drawn: usize,
}

impl Groups {
    /// Groups of `problems`, of which `sets` has the places of their sets in `data.train`. Errors: an order that `config` asks for and the problems don't allow;
    /// external rewards that don't start.
    pub fn new(
        config: &Config,
        sources: GroupSources,
        explained: Explained,
        are_compared: bool,
        problems: Problems,
        sets: &[usize],
    ) -> Result<Self> {
        Ok(Self {
            sources,
            explained,
            are_compared,
            order: Order::of_problems(config, &problems.prepared, sets)?,
            problems,
            rewards: Rewards::new(config)?,
            explainer: Explainer::new(config.exp.clone(), BuiltIn::new(config), config.train.seed),
            questions_drawn: 0,
        })
    }

    /// The problems.
    pub fn prepared(&self) -> &[PreparedProblem] {
        &self.problems.prepared
    }

    /// The problems at `positions` of the run's order, as indices.
    fn at(&mut self, positions: Range<usize>) -> Vec<usize> {
        positions.map(|position| self.order.at(position)).collect()
    }

    /// Groups of the questions of the step at `place`, drawn by the policy as it is now, rewarded and scored, with their explanations and expert texts and
    /// what the reference says of them; `step` is the one that is told. Places have to come in order, each once.
    pub fn draw_groups(&mut self, place: usize, step: usize, context: &mut Context) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        loop {
            let (before, missing) = (groups.len(), self.missing(context.config, place, &groups)?);
            if missing == 0 {
                break;
            }
            let mut drawn = context.phase(step, Phase::Rollout, |context| self.draw_rollouts(place, before, missing, context))?;
            if self.sources.traces {
                self.draw_traces(place, step, &mut drawn, context)?;
            }
            context.phase(step, Phase::Reward, |context| {
                let Context { task, policies, observer, .. } = context;
                let mut listener = Rewarding { step, observer: &mut **observer };
                reward(&mut self.rewards, *task, policies.current(), &self.problems.prepared, &mut drawn, &mut listener)
            })?;
            groups.append(&mut drawn);
        }
        if self.are_compared {
            score_by_reference(step, &mut groups, context)?;
        }
        context.recipe.score(&mut groups);
        if self.sources.traces {
            return Ok(groups);
        }
        for group in groups.iter_mut().filter(|group| self.sources.expert && self.explained.includes(group)) {
            group.expert = self.problems.prepared[group.problem].expert.clone();
        }
        if self.sources.explanations {
            context.phase(step, Phase::Explanation, |context| self.draw_explanations(place, &mut groups, context))?;
            if self.are_compared && context.config.exp.hinted_kl_beta > 0.0 {
                context.phase(step, Phase::Reference, |context| score_explanations_by_initial(&mut groups, context))?;
            }
        }
        Ok(groups)
    }

    /// How many further questions `step` needs beside the rewarded `groups` that it has drawn. Errors: dynamic sampling has drawn its most.
    fn missing(&self, config: &Config, step: usize, groups: &[Group]) -> Result<usize> {
        let (wanted, grpo) = (config.train.prompts_per_step, &config.grpo);
        // Pairs and documents have no group advantages that equal rewards would make 0.
        if groups.is_empty() || !grpo.filter_groups || !self.are_compared {
            return Ok(wanted - groups.len().min(wanted));
        }
        let found = groups.iter().filter(|group| !group.has_equal_rewards()).count();
        let most = wanted * grpo.max_num_gen_batches;
        if found < wanted && groups.len() >= most {
            return Err(Error::Exhausted(format!(
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
    fn draw_rollouts(&mut self, step: usize, before: usize, count: usize, context: &mut Context) -> Result<Vec<Group>> {
        let indices = self.at(self.questions_drawn..self.questions_drawn + count);
        self.questions_drawn += count;
        let config = context.config;
        // The slot tells a problem's visits within one step apart.
        let seed = |slot: usize, index: usize, sample: u64| {
            derive(config.train.seed, Purpose::Rollout, &[step as u64, (before + slot) as u64, index as u64, sample])
        };
        let problems = &self.problems.prepared;
        let requests = sampling::requests(context.task, problems, &indices, &config.rollout, &seed);
        let completions = context.by(context.current()).sample(requests)?;
        let mut groups = sampling::groups(context.task, problems, &indices, completions)?;
        for rollout in groups.iter_mut().flat_map(|group| &mut group.rollouts) {
            context.clock.rollout_tokens += rollout.tokens.len();
            if config.train.num_iterations > 1 && config.grpo.old_log_probs == OldLogProbs::Sampler {
                rollout.old_log_probs = Some(rollout.sampler_log_probs.iter().map(|log_prob| f64::from(*log_prob)).collect());
            }
        }
        Ok(groups)
    }

    /// Puts the traces of another policy into `groups`, before these are rewarded.
    fn draw_traces(&mut self, place: usize, step: usize, groups: &mut [Group], context: &mut Context) -> Result<()> {
        if self.sources.explanations {
            context.phase(step, Phase::Explanation, |context| self.draw_explanations(place, groups, context))?;
        }
        for group in groups {
            let expert = self.problems.prepared[group.problem].expert.iter().filter(|_| self.sources.expert);
            let traces = group.kept_explanations().iter().map(|explanation| &explanation.tokens).chain(expert);
            let sample = |tokens: &Vec<u32>| {
                let decoded = context.task.decode_with_ends(&tokens[..tokens.len() - 1])?;
                Ok(Rollout::new(tokens.clone(), decoded, Vec::new(), FinishReason::Stop))
            };
            group.off_policy = traces.map(sample).collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Makes the explanations that are due and hands every explained group its own.
    fn draw_explanations(&mut self, step: usize, groups: &mut [Group], context: &mut Context) -> Result<()> {
        let every = context.config.exp.every;
        if self.explainer.refresh(step) && every > 1 {
            // By this step's policy for all problems until the next time; which of their groups will fail is not known yet.
            let until = (step + every).min(context.config.train.steps);
            self.explain_ahead(step..until, context)?;
        }
        let indices: Vec<usize> = groups.iter().filter(|group| self.explained.includes(group)).map(|group| group.problem).collect();
        self.explain(&indices, step, context)?;
        for group in groups.iter_mut().filter(|group| self.explained.includes(group)) {
            group.explanations = self.explainer.of(group.problem).cloned();
        }
        Ok(())
    }

    fn explain(&mut self, indices: &[usize], step: usize, context: &mut Context) -> Result<()> {
        let writer = match context.config.exp.explainer {
            ExplainedBy::Current => context.current(),
            ExplainedBy::Initial => Writer::Initial,
            ExplainedBy::Average => Writer::Average,
        };
        let task = context.task;
        let Making { tokens, scoring } = self.explainer.make(task, &mut context.by(writer), &self.problems.prepared, indices, step)?;
        context.clock.explanation_tokens += tokens;
        context.clock.explanation_scores += scoring;
        Ok(())
    }

    /// Explanations of every problem that `steps` will come to, made now.
    fn explain_ahead(&mut self, steps: Range<usize>, context: &mut Context) -> Result<()> {
        let (now, count) = (steps.start, context.config.train.prompts_per_step);
        let indices = self.at(steps.start * count..steps.end * count);
        self.explain(&indices, now, context)
    }

    /// The most questions that a run of `config` can have drawn.
    pub fn most_questions(config: &Config) -> usize {
        let train = &config.train;
        // STaR draws the questions of a whole outer iteration at once.
        let batches = train.steps.saturating_add(config.star.every).saturating_mul(config.grpo.max_num_gen_batches);
        batches.saturating_mul(train.prompts_per_step)
    }
}

impl Source for Groups {
    fn prepare(&mut self, context: &mut Context) -> Result<Drawing> {
        if self.sources.explanations && context.config.exp.every == 0 {
            context.observer.on_phase(0, Phase::Explanation);
            self.explain_ahead(0..context.config.train.steps, context)?;
        }
        Ok(Drawing::default())
    }

    fn draw(&mut self, step: usize, context: &mut Context) -> Result<Drawing> {
        let groups = self.draw_groups(step, step + 1, context)?;
        Ok(Drawing { drawn: Drawn { groups, ..Drawn::default() }, ..Drawing::default() })
    }

    fn problems(&self) -> &[PreparedProblem] {
        self.prepared()
    }

    fn probe(&self, groups: &[Group], context: &mut Context) -> Result<Properties> {
        // With the expert term, training measures it on every step.
        let with_expert = !self.sources.expert;
        probe::measure(context.policies.current(), &self.problems.prepared, groups, context.config.exp.metrics_problems, with_expert)
    }

    fn parts<'a>(&'a mut self, parts: &mut Vec<(&'static str, &'a mut dyn Resumable)>) {
        // The first four are the same for the same configuration and data.
        let Self { sources: _, explained: _, are_compared: _, problems: _, order, rewards, explainer, questions_drawn } = self;
        let own: [(&'static str, &mut dyn Resumable); 4] =
            [("order", order), ("rewards", rewards), ("explainer", explainer), ("questions_drawn", questions_drawn)];
        parts.extend(own);
    }

    fn close(&mut self) {
        self.rewards.close();
    }
}

/// Log-probabilities of the rollouts under the reference policy where the loss has them, and their old ones where the first training pass can't give them.
fn score_by_reference(step: usize, groups: &mut [Group], context: &mut Context) -> Result<()> {
    let config = context.config;
    if config.grpo.beta > 0.0 {
        context.phase(step, Phase::Reference, |context| {
            let Some(reference) = context.policies.reference() else { return Ok(()) };
            let scores = score_rollouts(reference, groups, config)?;
            for (rollout, score) in rollouts_of(groups).zip(scores) {
                rollout.reference_log_probs = Some(score.log_probs);
            }
            Ok(())
        })?;
    }
    if config.train.num_iterations > 1 && context.policies.policy.has_dropout() {
        context.phase(step, Phase::Reference, |context| {
            if config.grpo.old_log_probs == OldLogProbs::Training {
                let scores = score_rollouts(context.policies.current(), groups, config)?;
                for (rollout, score) in rollouts_of(groups).zip(scores) {
                    rollout.old_log_probs = Some(score.log_probs);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn rollouts_of(groups: &mut [Group]) -> impl Iterator<Item = &mut Rollout> {
    groups.iter_mut().flat_map(|group| &mut group.rollouts)
}

/// Log-probabilities of every rollout of `groups`, in order, under `lm`.
fn score_rollouts(lm: &dyn Lm, groups: &[Group], config: &Config) -> Result<Vec<Measured>> {
    let temperature = config.rollout.temperature as f32;
    let of_group = |group| {
        let group: &Group = group;
        group.rollouts.iter().map(move |rollout| Sequence::measured(group.prompt_of(rollout), &rollout.tokens, temperature))
    };
    lm.score(&groups.iter().flat_map(of_group).collect::<Vec<_>>())
}

/// Log-probabilities of the kept explanations under the initial policy, the answer shown.
fn score_explanations_by_initial(groups: &mut [Group], context: &mut Context) -> Result<()> {
    let Some(initial) = context.policies.initial() else { return Ok(()) };
    let of_group = |group| {
        let group: &Group = group;
        group.kept_explanations().iter().map(|made| Sequence::measured(&group.explanation_prompt, &made.tokens, 1.0))
    };
    let scores = initial.score(&groups.iter().flat_map(of_group).collect::<Vec<_>>())?;
    let explanations = groups.iter_mut().filter_map(|group| group.explanations.as_mut()).flat_map(|made| &mut made.kept);
    for (explanation, score) in explanations.zip(scores) {
        explanation.reference_log_probs = Some(score.log_probs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_up_to_a_pass_rate_are_explained() {
        let group = |right: usize| {
            let rollout =
                |i: usize| Rollout { correct: i < right, ..Rollout::new(vec![1], Default::default(), vec![-1.0], FinishReason::Stop) };
            Group { rollouts: (0..4).map(rollout).collect(), ..Group::default() }
        };
        let explained = |which: Explained| [0, 1, 3].map(|right| which.includes(&group(right)));
        assert_eq!(explained(Explained::Failed(0.0)), [true, false, false]);
        assert_eq!(explained(Explained::Failed(0.25)), [true, true, false]);
        assert_eq!(explained(Explained::Failed(0.8)), [true; 3]);
        assert_eq!(explained(Explained::All), [true; 3]);
        assert_eq!(explained(Explained::Unsolved), [true, false, false]);
    }
}
