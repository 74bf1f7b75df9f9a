//! Sampling solutions of problems and counting the right ones.

use expo_lm::generate::{EngineConfig, FinishReason, Request, SamplingParams, generate};
use expo_lm::model::Model;

use super::pass_at_k;
use crate::data::Problem;
use crate::error::{Error, Result};
use crate::rollout::seed::{Purpose, derive};
use crate::train::Task;

/// How often one problem was solved.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// The problem's level.
    pub level: Option<u32>,
    /// The problem's subject.
    pub subject: Option<String>,
    /// Number of samples.
    pub samples: usize,
    /// How many of them are right.
    pub correct: usize,
    /// Tokens of all samples.
    pub tokens: usize,
    /// How many of them were cut off by the length limit.
    pub truncated: usize,
}

/// A mean over problems.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Number of problems.
    pub problems: usize,
    /// The mean.
    pub mean: f64,
    /// Its standard error over problems (0 for fewer than two).
    pub standard_error: f64,
}

/// Draws `samples` solutions of every problem and counts the right ones. A problem's samples depend on `seed` and its place in the list, not on what
/// is decoded beside it. `on_progress` is told the number of finished samples.
/// Errors: a prompt longer than the model's context (by the problem's id).
pub fn solve(
    model: &Model,
    task: &dyn Task,
    problems: &[Problem],
    samples: usize,
    sampling: &SamplingParams,
    seed: u64,
    max_num_seqs: usize,
    on_progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<Solved>> {
    let mut requests = Vec::with_capacity(problems.len());
    for (index, problem) in problems.iter().enumerate() {
        let prompt = task.question(problem)?;
        let context = model.config.max_position_embeddings;
        if prompt.len() >= context {
            let message = format!(
                "{}: the prompt has {} tokens, but the model's context is {context}; shorten or remove it",
                problem.id,
                prompt.len()
            );
            return Err(Error::Run(message));
        }
        let seeds = (0..samples as u64).map(|sample| derive(seed, Purpose::Evaluation, &[index as u64, sample])).collect();
        requests.push(Request { prompt, seeds, sampling: sampling.clone() });
    }
    let mut lengths = vec![0; problems.len() * samples];
    let mut finished = 0;
    let generated = generate(model, &EngineConfig { max_num_seqs }, &requests, &mut |event| {
        let length = &mut lengths[event.request * samples + event.sample];
        *length += 1;
        if *length == sampling.max_new_tokens || sampling.stop_token_ids.contains(&event.token) {
            finished += 1;
            on_progress(finished);
        }
    })?;
    let mut solved = Vec::with_capacity(problems.len());
    for (problem, completions) in problems.iter().zip(generated.completions) {
        let mut result = Solved { level: problem.level, subject: problem.subject.clone(), samples, correct: 0, tokens: 0, truncated: 0 };
        let mut texts = Vec::with_capacity(completions.len());
        for completion in completions {
            // As in training: a stop token that the tokenizer doesn't count as special must not become part of the answer.
            let body = completion.tokens.len() - usize::from(completion.finish == FinishReason::Stop);
            texts.push(task.decode(&completion.tokens[..body])?);
            result.tokens += completion.tokens.len();
            result.truncated += usize::from(completion.finish == FinishReason::Length);
        }
        let texts: Vec<_> = texts.iter().map(|text| (problem, text.as_str())).collect();
        result.correct = task.verify(&texts).iter().filter(|verdict| verdict.correct).count();
        solved.push(result);
    }
    Ok(solved)
}

/// Mean pass@k over problems with its standard error.
pub fn estimate<'a>(solved: impl IntoIterator<Item = &'a Solved>, k: usize) -> Estimate {
    let rates: Vec<f64> = solved.into_iter().map(|s| pass_at_k(s.samples, s.correct, k)).collect();
    let n = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / n.max(1.0);
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Estimate { problems: rates.len(), mean, standard_error: if rates.len() < 2 { 0.0 } else { (variance / n).sqrt() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_mean_over_problems() {
        let solved = |correct| Solved { level: None, subject: None, samples: 4, correct, tokens: 0, truncated: 0 };
        let all = [solved(0), solved(1), solved(2), solved(4)];
        let one = estimate(&all, 1);
        assert!((one.mean - 1.75 / 4.0).abs() < 1e-12);
        // Sample standard deviation of 0, 1/4, 1/2, 1, over the root of 4.
        assert!((one.standard_error - (0.546_875f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12, "{}", one.standard_error);
        assert_eq!(estimate(&all, 4).mean, 0.75);
        assert_eq!(estimate(&all[..1], 4), Estimate { problems: 1, mean: 0.0, standard_error: 0.0 });
    }
}
