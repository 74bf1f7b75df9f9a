//! Groups of completions of the question alone.

use crate::config::RolloutSection;
use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::group::{Group, Rollout};
use crate::reward::Verdict;
use crate::rollout::SampledCompletion;
use crate::task::Task;
use expo_lm::generate::{FinishReason, Request, SamplingParams};

/// Requests for completions of the questions of `indices`. `seed` gives the seed of a sample from its slot in `indices`, its problem and its number.
pub fn requests(
    task: &dyn Task,
    problems: &[PreparedProblem],
    indices: &[usize],
    options: &RolloutSection,
    seed: &dyn Fn(usize, usize, u64) -> u64,
) -> Vec<Request> {
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
    indices.iter().enumerate().map(request).collect()
}

/// The groups of the questions of `indices` from their `completions`; they are neither verified nor rewarded yet.
pub fn groups(
    task: &dyn Task,
    problems: &[PreparedProblem],
    indices: &[usize],
    completions: Vec<Vec<SampledCompletion>>,
) -> Result<Vec<Group>> {
    let mut groups = Vec::with_capacity(indices.len());
    for (index, samples) in indices.iter().zip(completions) {
        let mut rollouts = Vec::with_capacity(samples.len());
        for sample in samples {
            let body = sample.tokens.len() - usize::from(sample.finish == FinishReason::Stop);
            let decoded = task.decode_with_ends(&sample.tokens[..body])?;
            rollouts.push(Rollout::new(sample.tokens, decoded, sample.log_probs, sample.finish));
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
pub fn verify(task: &dyn Task, problems: &[PreparedProblem], groups: &[Group]) -> Vec<Verdict> {
    let problem = |group: &Group| &problems[group.problem].problem;
    let texts = groups.iter().flat_map(|group| group.samples().map(move |sample| (problem(group), sample.text.as_str())));
    task.verify(&texts.collect::<Vec<_>>())
}
