//! Sampling solutions of problems and judging them.

use expo_lm::generate::{EngineConfig, Request, SamplingParams, generate};
use expo_lm::model::Model;

use super::completions::Keep;
use super::{majority, pass_at_k};
use crate::data::Problem;
use crate::error::{Error, Result};
use crate::rollout::seed::{Purpose, derive};
use crate::task::Task;
use crate::task::exceeds;

/// How problems are sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Samples of each problem.
    pub samples: usize,
    /// How they are drawn.
    pub sampling: SamplingParams,
    /// Seed of the samples.
    pub seed: u64,
    /// Most samples decoded at once; changes nothing but speed and memory.
    pub max_num_seqs: usize,
}

/// One sample of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens, the stop token included.
    pub tokens: usize,
    /// Cut off by the length limit or the context.
    pub truncated: bool,
    /// Its final answer as written.
    pub answer: Option<String>,
    /// Whether that is right.
    pub correct: bool,
}

/// The samples of one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// At least one.
    pub samples: Vec<Sample>,
    /// Whether the answer that most of them give is right; see [`majority`].
    pub majority_correct: bool,
}

/// A sample before it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its text, without the stop token.
    pub text: String,
    /// Its length in tokens, the stop token included.
    pub tokens: usize,
    /// Cut off by the length limit or the context.
    pub truncated: bool,
}

impl Solved {
    /// Judges the samples of `problem`.
    pub fn judge(task: &dyn Task, problem: &Problem, drafts: Vec<Draft>) -> Self {
        let texts: Vec<_> = drafts.iter().map(|draft| (problem, draft.text.as_str())).collect();
        let verdicts = task.verify(&texts);
        let answers: Vec<Option<&str>> = verdicts.iter().map(|verdict| verdict.extracted.as_deref()).collect();
        let majority = majority(&answers, |a, b| task.same_answer(a, b));
        let majority_correct = majority.is_some_and(|place| verdicts[place].correct);
        let sample = |(draft, verdict): (Draft, crate::reward::Verdict)| Sample {
            text: draft.text,
            tokens: draft.tokens,
            truncated: draft.truncated,
            answer: verdict.extracted,
            correct: verdict.correct,
        };
        Self { samples: drafts.into_iter().zip(verdicts).map(sample).collect(), majority_correct }
    }

    /// Number of right samples.
    pub fn correct(&self) -> usize {
        self.samples.iter().filter(|sample| sample.correct).count()
    }

    /// Unbiased estimate of pass@k. Panics when `k` is above the number of samples.
    pub fn pass_at_k(&self, k: usize) -> f64 {
        pass_at_k(self.samples.len(), self.correct(), k)
    }

    /// Tokens of all samples.
    pub fn tokens(&self) -> usize {
        self.samples.iter().map(|sample| sample.tokens).sum()
    }

    /// Number of samples that were cut off.
    pub fn truncated(&self) -> usize {
        self.samples.iter().filter(|sample| sample.truncated).count()
    }
}

/// Draws solutions of every problem and judges them; the result is in the problems' order. A problem's samples depend on the seed and its place in the
/// list, not on what is decoded beside it. With `keep`, problems whose samples are in the completions file already are not sampled again, and every
/// other one is written there when its samples are done. `on_progress` is told the number of samples that are there.
/// Errors: a prompt that fills the model's context (by the problem's id), a completions file that can't be written.
pub fn solve(
    model: &Model,
    task: &dyn Task,
    problems: &[Problem],
    plan: &Plan,
    mut keep: Option<Keep>,
    on_progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<Solved>> {
    let (sampling, context) = (&plan.sampling, model.config.max_position_embeddings);
    let mut solved: Vec<Option<Solved>> = vec![None; problems.len()];
    let (mut requests, mut open) = (Vec::new(), Vec::new());
    for (place, problem) in problems.iter().enumerate() {
        if exceeds(problem.question.len(), context) {
            return Err(Error::Run(too_long(problem, "far more tokens than fit", context)));
        }
        let prompt = task.question(problem)?;
        if prompt.len() >= context {
            return Err(Error::Run(too_long(problem, &format!("{} tokens", prompt.len()), context)));
        }
        if let Some(keep) = &mut keep {
            let drafts = keep.begin(&prompt, plan, place)?;
            solved[place] = drafts.map(|drafts| Solved::judge(task, problem, drafts));
        }
        if let Some(solved) = &solved[place] {
            if let Some(keep) = &mut keep {
                keep.judged(place, problem, plan, solved);
            }
            continue;
        }
        open.push(Open {
            place,
            missing: plan.samples,
            limit: sampling.max_new_tokens.min(context - prompt.len()),
            tokens: vec![Vec::new(); plan.samples],
        });
        let seeds = (0..plan.samples as u64).map(|sample| derive(plan.seed, Purpose::Evaluation, &[place as u64, sample])).collect();
        requests.push(Request { prompt, seeds, sampling: sampling.clone() });
    }
    let mut finished = (problems.len() - requests.len()) * plan.samples;
    on_progress(finished);
    let mut failed = None;
    let engine = EngineConfig { max_num_seqs: plan.max_num_seqs };
    generate(model, &engine, &requests, &mut |event| {
        let one = &mut open[event.request];
        if !one.push(event.sample, event.token, sampling) {
            return;
        }
        finished += 1;
        on_progress(finished);
        if one.missing == 0 && failed.is_none() {
            let done = one.drafts(task, sampling).map(|drafts| Solved::judge(task, &problems[one.place], drafts));
            let kept = done.and_then(|done| {
                if let Some(keep) = &mut keep {
                    keep.write(one.place, &problems[one.place], plan, &done)?;
                }
                solved[one.place] = Some(done);
                Ok(())
            });
            failed = kept.err();
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(solved.into_iter().map(|one| one.expect("every request has ended")).collect()),
    }
}

fn too_long(problem: &Problem, tokens: &str, context: usize) -> String {
    format!("{}: the prompt has {tokens}, but the model's context is {context}; shorten or remove it", problem.id)
}

/// A problem that is being sampled.
struct Open {
    /// Its place in the list.
    place: usize,
    /// Samples that have not ended.
    missing: usize,
    /// Longest sample, by the limit and the context.
    limit: usize,
    /// Tokens of each sample.
    tokens: Vec<Vec<u32>>,
}

impl Open {
    /// Takes a token. Returns whether its sample has ended with it.
    fn push(&mut self, sample: usize, token: u32, sampling: &SamplingParams) -> bool {
        let tokens = &mut self.tokens[sample];
        tokens.push(token);
        let ended = tokens.len() == self.limit || sampling.stop_token_ids.contains(&token);
        self.missing -= usize::from(ended);
        ended
    }

    /// The samples, all of which have ended.
    fn drafts(&mut self, task: &dyn Task, sampling: &SamplingParams) -> Result<Vec<Draft>> {
        let draft = |tokens: Vec<u32>| {
            let stopped = tokens.last().is_some_and(|last| sampling.stop_token_ids.contains(last));
            // As in training: a stop token that the tokenizer doesn't count as special must not become part of the answer.
            let text = task.decode(&tokens[..tokens.len() - usize::from(stopped)])?;
            Ok(Draft { text, tokens: tokens.len(), truncated: !stopped })
        };
        std::mem::take(&mut self.tokens).into_iter().map(draft).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run::{CharTask, END, problems, tiny_model};

    fn plan(samples: usize, max_num_seqs: usize) -> Plan {
        let sampling = SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 12, stop_token_ids: vec![END] };
        Plan { samples, sampling, seed: 5, max_num_seqs }
    }

    #[test]
    fn samples_depend_on_the_seed_and_the_place_alone() {
        let (model, task, problems) = (tiny_model(3), CharTask::new(), problems(9));
        let run = |problems: &[Problem], plan: &Plan| solve(&model, &task, problems, plan, None, &mut |_| ()).unwrap();
        let all = run(&problems, &plan(3, 64));
        assert_eq!(all, run(&problems, &plan(3, 2)));
        assert_eq!(all[..4], run(&problems[..4], &plan(3, 64)));
        assert_ne!(all, run(&problems, &Plan { seed: 6, ..plan(3, 64) }));
        let samples = || all.iter().flat_map(|one| &one.samples);
        assert!(samples().any(|sample| sample.truncated) && samples().any(|sample| !sample.truncated), "{all:?}");
        assert!(samples().all(|sample| if sample.truncated { sample.tokens == 12 } else { sample.tokens <= 12 }), "{all:?}");
        // Fewer samples are the first of more.
        for (few, more) in run(&problems, &plan(2, 64)).iter().zip(&all) {
            assert_eq!(few.samples, more.samples[..2]);
        }
    }

    #[test]
    fn progress_counts_samples_and_long_prompts_are_named() {
        let (model, task, mut problems) = (tiny_model(3), CharTask::new(), problems(4));
        let mut told = Vec::new();
        solve(&model, &task, &problems, &plan(3, 64), None, &mut |done| told.push(done)).unwrap();
        assert_eq!(told, (0..=12).collect::<Vec<_>>());
        problems[2].question = "1".repeat(200);
        let error = solve(&model, &task, &problems, &plan(1, 1), None, &mut |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("test-2: the prompt has 202 tokens, but the model's context is 128"), "{error}");
    }

    #[test]
    fn the_vote_is_judged_by_its_first_answer() {
        let problem = problems(1).remove(0);
        let draft = |text: &str| Draft { text: text.into(), tokens: text.len(), truncated: false };
        let judged = |texts: &[&str]| Solved::judge(&CharTask::new(), &problem, texts.iter().map(|text| draft(text)).collect());
        let right = format!("1#{}", problem.answer);
        let solved = judged(&["1#9999", &right, &right]);
        assert_eq!((solved.correct(), solved.majority_correct), (2, true));
        assert!(!judged(&["1#9999", &right]).majority_correct, "of equally frequent ones the first");
        assert!(!judged(&["1", "2"]).majority_correct);
        assert_eq!(judged(&["1"]).samples[0].answer, None);
    }
}
