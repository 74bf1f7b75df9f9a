//! ExPO's two properties of a positive sample, measured live (arXiv 2507.02834, section 4): forward passes that training itself doesn't
//! make, so only every `exp.metrics_every` steps and on at most `exp.metrics_problems` problems.

use super::pass;
use super::problems::PreparedProblem;
use super::task::{Task, tokens_before};
use crate::error::Result;
use crate::objective::advantage::mean;
use crate::objective::{Group, Origin, Rollout, Sequence};
use expo_lm::model::{Model, Workspace};

/// What was measured; `None` where no problem allowed it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Properties {
    /// Property 1 for comparison: mean NLL per token of expert chains of thought with their answer, in nats.
    pub nll_expert: Option<f64>,
    /// Property 2: `log pi(a* | q, c~) - log pi(a* | q, c)` in nats, mean over problems.
    pub answer_gain: Option<f64>,
    /// Tokens that went through a forward pass for it.
    pub tokens: usize,
}

/// Measures on the first `limit` of `groups` that have an expert chain of thought, and on the first `limit` that have an explanation. The gain compares a problem's
/// first kept explanation with its first rollout.
pub fn measure(
    task: &dyn Task,
    model: &Model,
    workspace: &mut Workspace,
    problems: &[PreparedProblem],
    groups: &[Group],
    limit: usize,
    with_expert: bool,
    budget: usize,
) -> Result<Properties> {
    let mut properties = Properties::default();
    let sequence = |prompt, completion| Sequence { origin: Origin::ExpertCot, prompt, completion, temperature: 1.0, losses: Vec::new() };

    let experts: Vec<Sequence> = groups
        .iter()
        .filter(|_| with_expert)
        .filter_map(|group| problems[group.problem].expert.as_ref().map(|expert| sequence(&group.prompt[..], &expert[..])))
        .take(limit)
        .collect();
    if !experts.is_empty() {
        let nll: Vec<f64> = pass::score(model, workspace, &experts, budget)?.iter().map(pass::Measured::nll).collect();
        properties.nll_expert = Some(mean(&nll));
        properties.tokens += experts.iter().map(Sequence::len).sum::<usize>();
    }

    let mut completions = Vec::new();
    for group in groups.iter().filter(|group| !group.kept_explanations().is_empty() && !group.rollouts.is_empty()).take(limit) {
        let suffix = &problems[group.problem].suffix.tokens;
        let (explanation, rollout) = (&group.kept_explanations()[0], &group.rollouts[0]);
        let own = &rollout.tokens[..own_thought(task, rollout)?];
        for thought in [&explanation.tokens[..explanation.thought], own] {
            completions.push((group, [thought, suffix].concat()));
        }
    }
    if !completions.is_empty() {
        let sequences: Vec<Sequence> = completions.iter().map(|(group, completion)| sequence(&group.prompt[..], &completion[..])).collect();
        let measured = pass::score(model, workspace, &sequences, budget)?;
        let answers: Vec<f64> = completions
            .iter()
            .zip(&measured)
            .map(|((group, completion), measured)| {
                let suffix = &problems[group.problem].suffix;
                let start = completion.len() - suffix.tokens.len();
                measured.log_probs[start + suffix.answer.start..start + suffix.answer.end].iter().sum()
            })
            .collect();
        let gains: Vec<f64> = answers.chunks(2).map(|pair| pair[0] - pair[1]).collect();
        properties.answer_gain = Some(mean(&gains));
        properties.tokens += sequences.iter().map(Sequence::len).sum::<usize>();
    }
    Ok(properties)
}

/// Number of a rollout's tokens before its answer's delimiter; without an answer all of them, the stop token excepted.
fn own_thought(task: &dyn Task, rollout: &Rollout) -> Result<usize> {
    let body = rollout.tokens.len() - usize::from(!rollout.is_truncated());
    match rollout.answer_start {
        Some(start) => tokens_before(task, &rollout.tokens[..body], start),
        None => Ok(body),
    }
}
