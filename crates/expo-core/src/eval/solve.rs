//! Sampling solutions of problems and judging them.

use crate::rollout::ByWriter;
use expo_lm::generate::{Request, SamplingParams};

use super::completions::Keep;
use super::solved::{Draft, Plan, Solved};
use crate::data::Problem;
use crate::error::{Error, Result};
use crate::rollout::seed::{Purpose, derive};
use crate::task::Task;
use crate::task::exceeds;

/// Draws solutions of every problem `by` one policy and judges them; the result is in the problems' order. A problem's samples depend on the seed and its place in the
/// list, not on what is decoded beside it. With `keep`, problems whose samples are in the completions file already are not sampled again, and every
/// other one is written there when its samples are done. `on_progress` is told the number of samples that are there.
/// Errors: a prompt that fills the model's context (by the problem's id), a completions file that can't be written.
pub fn solve(
    by: &mut ByWriter,
    task: &dyn Task,
    problems: &[Problem],
    plan: &Plan,
    mut keep: Option<Keep>,
    on_progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<Solved>> {
    let (sampling, context) = (&plan.sampling, by.lm().context());
    let mut solved: Vec<Option<Solved>> = vec![None; problems.len()];
    let (mut requests, mut open) = (Vec::new(), Vec::new());
    for (place, problem) in problems.iter().enumerate() {
        if exceeds(problem.question.len(), context) {
            return Err(too_long(problem, "far more tokens than fit", context));
        }
        let prompt = task.question(problem)?;
        if prompt.len() >= context {
            return Err(too_long(problem, &format!("{} tokens", prompt.len()), context));
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
        open.push(Open { place, missing: plan.samples, drafts: vec![None; plan.samples] });
        let seeds = (0..plan.samples as u64).map(|sample| derive(plan.seed, Purpose::Evaluation, &[place as u64, sample])).collect();
        requests.push(Request { prompt, seeds, sampling: sampling.clone() });
    }
    let mut finished = (problems.len() - requests.len()) * plan.samples;
    on_progress(finished);
    let mut failed = None;
    by.sample_telling(requests, &mut |request, sample, tokens| {
        let one = &mut open[request];
        one.missing -= 1;
        match draft(task, sampling, tokens) {
            Ok(draft) => one.drafts[sample] = Some(draft),
            Err(error) => failed = failed.take().or(Some(error)),
        }
        finished += 1;
        on_progress(finished);
        if one.missing == 0 && failed.is_none() {
            let done = Solved::judge(task, &problems[one.place], std::mem::take(&mut one.drafts).into_iter().flatten().collect());
            let kept = keep.as_mut().map_or(Ok(()), |keep| keep.write(one.place, &problems[one.place], plan, &done));
            failed = kept.err();
            solved[one.place] = Some(done);
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(solved.into_iter().map(|one| one.expect("every request has ended")).collect()),
    }
}

fn too_long(problem: &Problem, tokens: &str, context: usize) -> Error {
    Error::row(&problem.id, Error::TooLong(format!("the prompt has {tokens}, but the model's context is {context}; shorten or remove it")))
}

/// A problem that is being sampled.
struct Open {
    /// Its place in the list.
    place: usize,
    /// Samples that have not ended.
    missing: usize,
    /// Those that have.
    drafts: Vec<Option<Draft>>,
}

/// A sample of `tokens` that has ended.
fn draft(task: &dyn Task, sampling: &SamplingParams, tokens: &[u32]) -> Result<Draft> {
    let stopped = tokens.last().is_some_and(|last| sampling.stop_token_ids.contains(last));
    let text = task.decode(&tokens[..tokens.len() - usize::from(stopped)])?;
    Ok(Draft { text, tokens: tokens.len(), truncated: !stopped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cpu::CpuLm;
    use crate::rollout::local::LocalSampler;
    use crate::testing::run::{CharTask, END, problems, tiny_model};

    fn plan(samples: usize) -> Plan {
        let sampling = SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 12, stop_token_ids: vec![END] };
        Plan { samples, sampling, seed: 5 }
    }

    #[test]
    fn samples_depend_on_the_seed_and_the_place_alone() {
        let (model, task, problems) = (CpuLm::new(tiny_model(3), 64), CharTask::new(), problems(9));
        let run = |problems: &[Problem], (plan, max_num_seqs): (&Plan, usize)| {
            let mut sampler = LocalSampler::new(max_num_seqs);
            solve(&mut ByWriter::of(&mut sampler, &model), &task, problems, plan, None, &mut |_| ()).unwrap()
        };
        let all = run(&problems, (&plan(3), 64));
        assert_eq!(all, run(&problems, (&plan(3), 2)));
        assert_eq!(all[..4], run(&problems[..4], (&plan(3), 64)));
        assert_ne!(all, run(&problems, (&Plan { seed: 6, ..plan(3) }, 64)));
        let samples = || all.iter().flat_map(|one| &one.samples);
        assert!(samples().any(|sample| sample.truncated) && samples().any(|sample| !sample.truncated), "{all:?}");
        assert!(samples().all(|sample| if sample.truncated { sample.tokens == 12 } else { sample.tokens <= 12 }), "{all:?}");
        // Fewer samples are the first of more.
        for (few, more) in run(&problems, (&plan(2), 64)).iter().zip(&all) {
            assert_eq!(few.samples, more.samples[..2]);
        }
    }

    #[test]
    fn progress_counts_samples_and_long_prompts_are_named() {
        let (model, task, mut problems) = (CpuLm::new(tiny_model(3), 64), CharTask::new(), problems(4));
        let mut told = Vec::new();
        let mut sampler = LocalSampler::new(64);
        let mut by = ByWriter::of(&mut sampler, &model);
        solve(&mut by, &task, &problems, &plan(3), None, &mut |done| told.push(done)).unwrap();
        assert_eq!(told, (0..=12).collect::<Vec<_>>());
        problems[2].question = "1".repeat(200);
        let error = solve(&mut by, &task, &problems, &plan(1), None, &mut |_| ()).unwrap_err();
        assert!(matches!(&error, Error::Row { id, error } if id == "test-2" && matches!(**error, Error::TooLong(_))), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with("test-2: the prompt has 202 tokens, but the model's context is 128"), "{error}");
    }
}
