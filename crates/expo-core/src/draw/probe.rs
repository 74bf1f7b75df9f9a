//! ExPO's two properties of a positive sample, measured live (arXiv 2507.02834, section 4): forward passes that training itself doesn't
//! make, so only every `exp.metrics_every` steps and on at most `exp.metrics_problems` problems.

use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::{Group, Sequence};
use crate::policy::Lm;
use crate::policy::pass::Measured;
use crate::reward::AnswerScore;
use crate::statistics::mean;
use crate::task::suffix::Suffix;

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
pub fn measure(lm: &dyn Lm, problems: &[PreparedProblem], groups: &[Group], limit: usize, with_expert: bool) -> Result<Properties> {
    let mut properties = Properties::default();
    let experts: Vec<Sequence> = groups
        .iter()
        .filter(|_| with_expert)
        .filter_map(|group| problems[group.problem].expert.as_ref().map(|expert| Sequence::measured(&group.prompt, expert, 1.0)))
        .take(limit)
        .collect();
    if !experts.is_empty() {
        let nll: Vec<f64> = lm.score(&experts)?.iter().map(Measured::nll).collect();
        properties.nll_expert = Some(mean(&nll));
        properties.tokens += experts.iter().map(Sequence::len).sum::<usize>();
    }

    let mut cases = Vec::new();
    for group in groups.iter().filter(|group| !group.kept_explanations().is_empty() && !group.rollouts.is_empty()).take(limit) {
        let suffix = &problems[group.problem].suffix;
        let (explanation, rollout) = (&group.kept_explanations()[0], &group.rollouts[0]);
        let own = &rollout.tokens[..rollout.thought()];
        for thought in [&explanation.tokens[..explanation.thought], own] {
            cases.push(AnswerCase { prompt: &group.prompt, thought, suffix });
        }
    }
    if !cases.is_empty() {
        let answers = answer_log_probs(lm, &cases)?;
        let gains: Vec<f64> = answers.chunks(2).map(|pair| pair[0] - pair[1]).collect();
        properties.answer_gain = Some(mean(&gains));
        properties.tokens += cases.iter().map(|case| case.prompt.len() + case.thought.len() + case.suffix.tokens.len()).sum::<usize>();
    }
    Ok(properties)
}

/// An answer as it is asked for behind a chain of thought.
pub(crate) struct AnswerCase<'a> {
    /// The question alone.
    pub prompt: &'a [u32],
    /// The chain of thought, without delimiter and answer.
    pub thought: &'a [u32],
    /// Delimiter and answer.
    pub suffix: &'a Suffix,
}

/// log pi(a* | q, c) of each of `cases`, summed over the answer's tokens, in nats.
pub(crate) fn answer_log_probs(lm: &dyn Lm, cases: &[AnswerCase]) -> Result<Vec<f64>> {
    let completions: Vec<Vec<u32>> = cases.iter().map(|case| [case.thought, &case.suffix.tokens].concat()).collect();
    let sequences: Vec<Sequence> =
        cases.iter().zip(&completions).map(|(case, completion)| Sequence::measured(case.prompt, completion, 1.0)).collect();
    let scores = lm.score(&sequences)?;
    let answer = |(case, score): (&AnswerCase, Measured)| {
        let (start, answer) = (case.thought.len(), &case.suffix.answer);
        score.log_probs[start + answer.start..start + answer.end].iter().sum()
    };
    Ok(cases.iter().zip(scores).map(answer).collect())
}

/// What the policy says of the known answer behind the own reasoning of every sample of `groups`, in order.
pub(crate) fn answers_behind_samples(lm: &dyn Lm, problems: &[PreparedProblem], groups: &[Group]) -> Result<Vec<AnswerScore>> {
    let mut cases = Vec::new();
    for group in groups {
        let suffix = &problems[group.problem].suffix;
        for sample in group.samples() {
            cases.push(AnswerCase { prompt: &group.prompt, thought: &sample.tokens[..sample.thought()], suffix });
        }
    }
    let log_probs = answer_log_probs(lm, &cases)?;
    let score = |(log_prob, case): (f64, &AnswerCase)| AnswerScore { log_prob, tokens: case.suffix.answer.len() };
    Ok(log_probs.into_iter().zip(&cases).map(score).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::feed::problems::prepare;
    use crate::objective::recipe::GroupSources;
    use crate::objective::{Explanation, Explanations, Rollout};
    use crate::policy::cpu::{CpuLm, model_of};
    use crate::task::Task;
    use crate::testing::run::{CharTask, END, problems, tiny_model};
    use expo_lm::PackedBatch;
    use expo_lm::generate::FinishReason;
    use expo_lm::model::Workspace;

    /// log pi(last `answer` tokens of `completion` | `prompt`, the rest).
    fn tail(lm: &CpuLm, prompt: &[u32], completion: &[u32], answer: usize) -> f64 {
        let mut batch = PackedBatch::new();
        batch.push(prompt, completion, 1.0);
        let scores = model_of(lm).unwrap().score(&mut Workspace::default(), &batch).unwrap();
        scores[scores.len() - answer..].iter().map(|score| score.log_prob).sum()
    }

    #[test]
    fn both_properties_by_hand() {
        let (task, model) = (CharTask::new(), CpuLm::new(tiny_model(3), 30));
        let mut config = Config::default();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (20, 20);
        let mut questions = problems(3);
        questions[0].answer = "15".into();
        let sources = GroupSources { explanations: true, ..GroupSources::default() };
        let prepared = prepare(&config, &task, sources, questions, 128).unwrap().prepared;
        let rollout = |text: &str, finish: FinishReason| {
            let mut tokens = task.encode(text).unwrap();
            if finish == FinishReason::Stop {
                tokens.push(END);
            }
            let log_probs = vec![-1.0; tokens.len()];
            Rollout {
                reward: Some(0.0),
                answer_start: text.find('#'),
                ..Rollout::new(tokens, (text.into(), (1..=text.len()).collect()), log_probs, finish)
            }
        };
        let group = |problem: usize, rollout: Rollout, explanation: &str| {
            let tokens = task.encode(explanation).unwrap();
            let kept = vec![Explanation::new(tokens, explanation.find('#').unwrap())];
            Group {
                problem,
                prompt: prepared[problem].prompt.clone(),
                explanation_prompt: prepared[problem].explanation_prompt.clone(),
                rollouts: vec![rollout],
                explanations: Some(Explanations { kept, ..Explanations::default() }),
                ..Group::default()
            }
        };
        let groups = [
            // The rollout has an answer, another one; then one that ended without, and one that was cut off.
            group(0, rollout("1+2#7", FinishReason::Stop), "3*5#15"),
            group(1, rollout("1+2", FinishReason::Stop), "1#2"),
            group(2, rollout("1+2+", FinishReason::Length), "1+1#3"),
        ];
        let measured = measure(&model, &prepared, &groups, 8, true).unwrap();
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

        // The same answers behind the rollouts alone.
        let answers = answers_behind_samples(&model, &prepared, &groups).unwrap();
        for (i, (text, tokens)) in [("1+2#15", 2), ("1+2#2", 1), ("1+2+#3", 1)].into_iter().enumerate() {
            let expected = tail(&model, &prepared[i].prompt, &task.encode(text).unwrap(), tokens);
            assert!((answers[i].log_prob - expected).abs() < 1e-5 && answers[i].tokens == tokens, "{:?} {expected}", answers[i]);
        }

        let one = measure(&model, &prepared, &groups, 1, true).unwrap();
        assert!((one.answer_gain.unwrap() - gains[0]).abs() < 1e-5);
    }
}
