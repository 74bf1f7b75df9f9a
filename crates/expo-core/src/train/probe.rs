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
    let sequence = |prompt, completion| Sequence {
        origin: Origin::ExpertCot,
        prompt,
        completion,
        temperature: 1.0,
        losses: Vec::new(),
        partner: None,
    };

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::objective::{Draws, Explanation, Explanations};
    use crate::train::problems::prepare;
    use crate::train::testing::{CharTask, END, problems, tiny_model};
    use expo_lm::PackedBatch;
    use expo_lm::generate::FinishReason;

    /// log pi(last `answer` tokens of `completion` | `prompt`, the rest).
    fn tail(model: &Model, prompt: &[u32], completion: &[u32], answer: usize) -> f64 {
        let mut batch = PackedBatch::new();
        batch.push(prompt, completion, 1.0);
        let scores = model.score(&mut Workspace::default(), &batch).unwrap();
        scores[scores.len() - answer..].iter().map(|score| score.log_prob).sum()
    }

    #[test]
    fn both_properties_by_hand() {
        let (task, model) = (CharTask::new(), tiny_model(3));
        let mut config = Config::default();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (20, 20);
        let mut questions = problems(3);
        questions[0].answer = "15".into();
        let draws = Draws { rollouts: true, explanations: true, ..Draws::default() };
        let prepared = prepare(&config, &task, draws, questions, 128).unwrap().prepared;
        let rollout = |text: &str, finish: FinishReason| {
            let mut tokens = task.encode(text).unwrap();
            if finish == FinishReason::Stop {
                tokens.push(END);
            }
            Rollout {
                sampler_log_probs: vec![-1.0; tokens.len()],
                tokens,
                text: text.into(),
                finish,
                rewards: Default::default(),
                reward: Some(0.0),
                correct: false,
                answer_start: text.find('#'),
                advantage: 0.0,
                old_log_probs: None,
                reference_log_probs: None,
            }
        };
        let group = |problem: usize, rollout: Rollout, explanation: &str| {
            let tokens = task.encode(explanation).unwrap();
            let kept = vec![Explanation { thought: explanation.find('#').unwrap(), tokens, reference_log_probs: None }];
            Group {
                problem,
                prompt: prepared[problem].prompt.clone(),
                explanation_prompt: prepared[problem].explanation_prompt.clone(),
                rollouts: vec![rollout],
                explanations: Some(Explanations { kept, ..Explanations::default() }),
                expert: None,
            }
        };
        let groups = [
            // The rollout has an answer, another one; then one that ended without, and one that was cut off.
            group(0, rollout("1+2#7", FinishReason::Stop), "3*5#15"),
            group(1, rollout("1+2", FinishReason::Stop), "1#2"),
            group(2, rollout("1+2+", FinishReason::Length), "1+1#3"),
        ];
        let measured = measure(&task, &model, &mut Workspace::default(), &prepared, &groups, 8, true, 30).unwrap();
        let gain = |problem: usize, own: &str, explained: &str, answer: usize| {
            let log_prob = |text: &str| tail(&model, &prepared[problem].prompt, &task.encode(text).unwrap(), answer);
            log_prob(explained) - log_prob(own)
        };
        let gains = [gain(0, "1+2#15", "3*5#15", 2), gain(1, "1+2#2", "1#2", 1), gain(2, "1+2+#3", "1+1#3", 1)];
        assert!((measured.answer_gain.unwrap() - mean(&gains)).abs() < 1e-5, "{measured:?} {gains:?}");

        let nll: Vec<f64> = (0..3)
            .map(|problem| {
                let mut expert = task.encode(["1*2#15", "2*3#2", "3*4#3"][problem]).unwrap();
                expert.push(END);
                -tail(&model, &prepared[problem].prompt, &expert, expert.len()) / expert.len() as f64
            })
            .collect();
        assert!((measured.nll_expert.unwrap() - mean(&nll)).abs() < 1e-5, "{measured:?} {nll:?}");

        let one = measure(&task, &model, &mut Workspace::default(), &prepared, &groups, 1, true, 30).unwrap();
        assert!((one.answer_gain.unwrap() - gains[0]).abs() < 1e-5);
    }
}
