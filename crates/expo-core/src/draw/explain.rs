//! Self-explanations: made with the answer shown, filtered, kept for as long as the configuration says.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::Value;

use crate::config::{ExpSection, OnMismatch};
use crate::draw::hints::{self, answer_position};
use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::group::{Explanation, ExplanationOutcome, Explanations, HintInformation, LoggedExplanation};
use crate::policy::Lm;
use crate::resume::{Resumable, from_state, to_state};
use crate::reward::BuiltIn;
use crate::rollout::seed::{Purpose, derive};
use crate::rollout::{ByWriter, SampledCompletion};
use crate::task::Task;
use expo_lm::generate::{FinishReason, Request, SamplingParams};
use expo_lm::tokenizer::tokens_before;

/// Makes explanations and holds those that are to be used again.
pub struct Explainer {
    options: ExpSection,
    rewards: BuiltIn,
    run_seed: u64,
    store: HashMap<usize, Explanations>,
}

/// What making explanations took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Making {
    /// Tokens that were sampled.
    pub tokens: usize,
    /// Seconds of passes over explanations that were sampled.
    pub scoring: f64,
}

impl std::ops::AddAssign for Making {
    fn add_assign(&mut self, other: Self) {
        (self.tokens, self.scoring) = (self.tokens + other.tokens, self.scoring + other.scoring);
    }
}

impl Explainer {
    /// With nothing made yet; `rewards` are those to be logged.
    pub fn new(options: ExpSection, rewards: BuiltIn, run_seed: u64) -> Self {
        Self { options, rewards, run_seed, store: HashMap::new() }
    }

    /// Forgets explanations that are due to be made anew at `step` (every `every` steps; never with 0). Returns whether they were due.
    pub fn refresh(&mut self, step: usize) -> bool {
        let due = self.options.every > 0 && step.is_multiple_of(self.options.every);
        if due {
            self.clear();
        }
        due
    }

    /// Forgets all explanations.
    pub fn clear(&mut self) {
        self.store.clear();
    }

    /// The explanations of problem `index`, if made.
    pub fn of(&self, index: usize) -> Option<&Explanations> {
        self.store.get(&index)
    }

    /// Makes the explanations of those of `indices` that have none, written `by` one policy, from which the current one is to learn.
    pub fn make(
        &mut self,
        task: &dyn Task,
        by: &mut ByWriter,
        problems: &[PreparedProblem],
        indices: &[usize],
        step: usize,
    ) -> Result<Making> {
        let mut missing: Vec<usize> = indices.iter().copied().filter(|index| !self.store.contains_key(index)).collect();
        missing.sort_unstable();
        missing.dedup();
        let requests: Vec<Request> = missing.iter().map(|index| self.request(task, &problems[*index], *index, step)).collect();
        let generated = by.sample(requests)?;
        let mut tokens = 0;
        let mut made = Vec::with_capacity(missing.len());
        for (index, samples) in missing.iter().zip(generated) {
            tokens += samples.iter().map(|sample| sample.tokens.len()).sum::<usize>();
            made.push(filter(task, &self.options, &self.rewards, &problems[*index], &samples)?);
        }
        let start = Instant::now();
        let problems: Vec<&PreparedProblem> = missing.iter().map(|index| &problems[*index]).collect();
        let scored = filter_by_information(&self.options, by.lm(), by.writers.current, &problems, &mut made)?;
        self.store.extend(missing.into_iter().zip(made));
        Ok(Making { tokens, scoring: if scored { start.elapsed().as_secs_f64() } else { 0.0 } })
    }

    fn request(&self, task: &dyn Task, problem: &PreparedProblem, index: usize, step: usize) -> Request {
        let options = &self.options;
        let seeds = (0..options.num_explanations as u64)
            .map(|sample| derive(self.run_seed, Purpose::Explanation, &[step as u64, index as u64, sample]))
            .collect();
        Request {
            prompt: problem.explanation_prompt.clone(),
            seeds,
            sampling: SamplingParams {
                temperature: options.temperature as f32,
                top_k: options.top_k,
                top_p: options.top_p as f32,
                min_p: options.min_p as f32,
                max_new_tokens: options.max_new_tokens,
                stop_token_ids: task.stop_token_ids().to_vec(),
            },
        }
    }
}

/// The explanations that are to be used again.
impl Resumable for Explainer {
    fn state(&self) -> Result<Value> {
        let Self { options: _, rewards: _, run_seed: _, store } = self;
        to_state(&store.iter().collect::<BTreeMap<_, _>>())
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        self.store = from_state(state)?;
        Ok(())
    }
}

/// Applies the filters and the cut between the chain of thought and the final answer.
pub fn filter(
    task: &dyn Task,
    options: &ExpSection,
    rewards: &BuiltIn,
    problem: &PreparedProblem,
    samples: &[SampledCompletion],
) -> Result<Explanations> {
    let mut result = Explanations { made: samples.len(), ..Explanations::default() };
    let body = |sample: &SampledCompletion| sample.tokens.len() - usize::from(sample.finish == FinishReason::Stop);
    let decoded = samples.iter().map(|sample| task.decode_with_ends(&sample.tokens[..body(sample)]));
    let texts: Vec<(String, Vec<usize>)> = decoded.collect::<Result<_>>()?;
    let verdicts = task.verify(&texts.iter().map(|(text, _)| (&problem.problem, text.as_str())).collect::<Vec<_>>());
    let lengths = samples.iter().map(|sample| sample.tokens.len());
    let rewards = rewards.rewards(&verdicts.iter().zip(lengths).collect::<Vec<_>>());
    for (((sample, (text, ends)), verdict), rewards) in samples.iter().zip(texts).zip(&verdicts).zip(rewards) {
        let body = &sample.tokens[..body(sample)];
        result.matched += usize::from(verdict.correct);
        let steps_right = task.steps_right(&problem.problem, &text);
        if let Some(right) = steps_right {
            *result.steps_right.get_or_insert(0) += usize::from(right);
        }
        let thought = verdict.answer_start.map_or(body.len(), |start| tokens_before(&ends, start));
        // What is trained on of it where it is kept.
        let stays = if verdict.correct { body } else { &body[..thought] };
        let special = |tokens: &[u32]| tokens.iter().any(|token| task.is_special(*token));
        let position = answer_position(&text, &problem.problem.answer, verdict.extracted.as_deref().filter(|_| verdict.correct));
        let lower = text.to_lowercase();
        let leaks = options.leak_phrases.iter().any(|phrase| lower.contains(&phrase.to_lowercase()));
        let truncated = sample.finish != FinishReason::Stop;
        let mut tokens = sample.tokens.clone();
        let outcome = if truncated {
            ExplanationOutcome::Truncated
        } else if !verdict.correct && (options.on_mismatch == OnMismatch::Drop || task.is_unfinished_thought(&text)) {
            ExplanationOutcome::Mismatch
        } else if options.drop_special_tokens && special(stays) {
            ExplanationOutcome::SpecialToken
        } else if options.drop_leaks && leaks {
            ExplanationOutcome::Leak
        } else if sample.tokens.len() < options.min_tokens {
            ExplanationOutcome::TooShort
        } else if options.max_tokens > 0 && sample.tokens.len() > options.max_tokens {
            ExplanationOutcome::TooLong
        } else if position.is_some_and(|position| position < options.min_answer_position) {
            ExplanationOutcome::EarlyAnswer
        } else if verdict.correct {
            ExplanationOutcome::Kept
        } else {
            tokens.truncate(thought);
            tokens.extend_from_slice(&problem.suffix.tokens);
            tokens.extend_from_slice(task.end_of_turn()?);
            ExplanationOutcome::Replaced
        };
        let logged = LoggedExplanation {
            special_tokens: special(body),
            text,
            outcome,
            sampled: (outcome == ExplanationOutcome::Replaced).then(|| sample.tokens.clone()),
            tokens,
            thought,
            correct: verdict.correct,
            extracted: verdict.extracted.clone(),
            reason: verdict.reason.clone(),
            answer_position: position,
            hint: None,
            leaks,
            truncated,
            rewards,
            steps_right,
        };
        if logged.is_kept() {
            let mut explanation = Explanation::new(logged.tokens.clone(), thought);
            if hints::sampler_has_unit_temperature(options) {
                explanation.hint_log_probs = Some(sample.log_probs[..logged.sampled_count()].to_vec());
            }
            result.kept.push(explanation);
        }
        result.log.push(logged);
    }
    Ok(result)
}

/// Asks the writer for log-probabilities that the sampler does not know, and, where they are bounded, the learner for those with the answer hidden; drops what
/// exceeds the bound. `made` are the explanations of `problems`. Returns whether a pass was made.
fn filter_by_information(
    options: &ExpSection,
    writer: &dyn Lm,
    learner: &dyn Lm,
    problems: &[&PreparedProblem],
    made: &mut [Explanations],
) -> Result<bool> {
    let bound = options.max_token_information;
    if (bound == 0.0 && options.metrics_every == 0) || made.iter().all(|made| made.kept.is_empty()) {
        return Ok(false);
    }
    let shown_is_known = hints::sampler_has_unit_temperature(options);
    if !shown_is_known {
        let cases = kept_behind(made, problems.iter().map(|problem| &problem.explanation_prompt));
        let shown = hints::log_probs(writer, &cases)?;
        for (explanation, shown) in made.iter_mut().flat_map(|made| &mut made.kept).zip(shown) {
            explanation.hint_log_probs = Some(shown.into_iter().map(|log_prob| log_prob as f32).collect());
        }
    }
    if bound > 0.0 {
        let cases = kept_behind(made, problems.iter().map(|problem| &problem.prompt));
        let mut hidden = hints::log_probs(learner, &cases)?.into_iter();
        for made in made.iter_mut() {
            drop_above(bound, made, hidden.by_ref().take(made.kept.len()).collect());
        }
    }
    Ok(!shown_is_known || bound > 0.0)
}

/// What was sampled of every kept explanation of `made`, behind its prompt.
fn kept_behind<'a>(made: &'a [Explanations], prompts: impl Iterator<Item = &'a Vec<u32>>) -> Vec<(&'a [u32], &'a [u32])> {
    made.iter().zip(prompts).flat_map(|(made, prompt)| made.kept_as_sampled().map(move |tokens| (&prompt[..], tokens))).collect()
}

/// Drops those kept explanations of which one token owes more than `bound` to the hint; `hidden` are their log-probabilities with the answer hidden.
fn drop_above(bound: f64, made: &mut Explanations, hidden: Vec<Vec<f64>>) {
    let shown = made.kept.iter().map(|explanation| explanation.hint_log_probs.as_deref().unwrap_or_default());
    let hints: Vec<Option<HintInformation>> = shown.zip(hidden).map(|(shown, hidden)| HintInformation::of(shown, &hidden)).collect();
    let exceeds = |hint: &Option<HintInformation>| hint.is_some_and(|hint| hint.largest > bound);
    let mut dropped = hints.iter().map(exceeds);
    made.kept.retain(|_| !dropped.next().unwrap_or(false));
    for (logged, hint) in made.kept_in_log().zip(&hints) {
        logged.hint = *hint;
        if exceeds(hint) {
            logged.outcome = ExplanationOutcome::TokenInformation;
            if let Some(sampled) = logged.sampled.take() {
                logged.tokens = sampled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::feed::problems::prepare;
    use crate::objective::EncodedDocument;
    use crate::objective::recipe::GroupSources;
    use crate::policy::Lm;
    use crate::policy::cpu::CpuLm;
    use crate::policy::policies::{Writer, Writers};
    use crate::rollout::{Sampler, Ticket};
    use crate::testing::run::{CharTask, END, problems, tiny_model};

    fn prepared() -> Vec<PreparedProblem> {
        let sources = GroupSources { explanations: true, ..GroupSources::default() };
        let mut config = Config::default();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (20, 20);
        prepare(&config, &CharTask::new(), sources, problems(4), 128).unwrap().prepared
    }

    /// A completion of `text`, ended or cut off.
    fn sample(text: &str, finish: FinishReason) -> SampledCompletion {
        let mut tokens = CharTask::new().encode(text).unwrap();
        if finish == FinishReason::Stop {
            tokens.push(END);
        }
        SampledCompletion { log_probs: vec![-1.0; tokens.len()], tokens, finish, versions: Vec::new(), extra: BTreeMap::new() }
    }

    /// An outcome as files have it.
    fn name(outcome: ExplanationOutcome) -> String {
        serde_json::to_value(outcome).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn filters_and_the_cut() {
        let (task, rewards) = (CharTask::new(), BuiltIn::new(&Config::default()));
        let problem = &prepared()[1]; // 6/3? -> 2
        assert_eq!(problem.problem.answer, "2");
        let samples = [
            sample("2*3=6#2", FinishReason::Stop),
            sample("2*3=7#9", FinishReason::Stop),
            sample("2*3=6#2", FinishReason::Length),
            sample("[6]#2", FinishReason::Stop),
            sample("#2", FinishReason::Stop),
        ];
        let mut options = ExpSection { min_tokens: 4, leak_phrases: vec!["[6]".into()], ..ExpSection::default() };
        let dropped = filter(&task, &options, &rewards, problem, &samples).unwrap();
        let outcomes = |explanations: &Explanations| explanations.log.iter().map(|logged| name(logged.outcome)).collect::<Vec<_>>();
        assert_eq!(outcomes(&dropped), ["kept", "mismatch", "truncated", "leak", "too_short"]);
        assert_eq!((dropped.made, dropped.matched, dropped.kept.len()), (5, 4, 1));
        assert_eq!(dropped.log.iter().map(|logged| logged.rewards["correctness"]).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 1.0, 1.0]);
        // Kept: the sampled ids unchanged; the thought ends where the delimiter begins.
        assert_eq!(dropped.kept[0].tokens, samples[0].tokens);
        assert_eq!(dropped.kept[0].thought, "2*3=6".len());

        options.on_mismatch = OnMismatch::ReplaceAnswer;
        let replaced = filter(&task, &options, &rewards, problem, &samples).unwrap();
        assert_eq!(outcomes(&replaced), ["kept", "replaced", "truncated", "leak", "too_short"]);
        let EncodedDocument { completion, .. } = task.document(&crate::data::Document::new("1", "2*3=7#2")).unwrap().sequences.remove(0);
        assert_eq!(replaced.kept[1].tokens, completion);
        assert_eq!(replaced.kept[1].thought, "2*3=7".len());
    }

    #[test]
    fn special_tokens_inside_and_answers_that_come_early_are_dropped_where_asked() {
        let (task, rewards) = (CharTask::new(), BuiltIn::new(&Config::default()));
        let problem = &prepared()[1]; // 6/3? -> 2
        let with_special = |text: &str, place: usize| {
            let mut sample = sample(text, FinishReason::Stop);
            // The token that begins the assistant's turn.
            sample.tokens.insert(place, END - 1);
            sample.log_probs.insert(place, -2.0);
            sample
        };
        // Within the thought; in the answer, which may be replaced; none, with the answer at the end and at the beginning.
        let samples = [
            with_special("2*3=6#2", 3),
            with_special("2*3=7#9", 6),
            sample("3*3=6-#2", FinishReason::Stop),
            sample("2*3=6#2", FinishReason::Stop),
        ];
        let outcomes = |options: &ExpSection| {
            let made = filter(&task, options, &rewards, problem, &samples).unwrap();
            assert_eq!(made.log.iter().map(|logged| logged.special_tokens).collect::<Vec<_>>(), [true, true, false, false]);
            assert_eq!(
                made.log.iter().map(|logged| logged.answer_position).collect::<Vec<_>>(),
                [Some(0.0), Some(0.0), Some(7.0 / 8.0), Some(0.0)]
            );
            made.log.iter().map(|logged| name(logged.outcome)).collect::<Vec<_>>()
        };
        let replace = ExpSection { on_mismatch: OnMismatch::ReplaceAnswer, ..ExpSection::default() };
        assert_eq!(outcomes(&ExpSection::default()), ["special_token", "mismatch", "kept", "kept"]);
        assert_eq!(outcomes(&replace), ["special_token", "replaced", "kept", "kept"]);
        let options = ExpSection { drop_special_tokens: false, min_answer_position: 0.5, ..replace };
        assert_eq!(outcomes(&options), ["early_answer", "early_answer", "kept", "early_answer"]);
    }

    #[test]
    fn log_probs_with_the_answer_shown_are_of_the_tokens_that_were_sampled() {
        let (task, rewards) = (CharTask::new(), BuiltIn::new(&Config::default()));
        let samples = [sample("2*3=6#2", FinishReason::Stop), sample("2*3=7#9", FinishReason::Stop)];
        let mut options = ExpSection { on_mismatch: OnMismatch::ReplaceAnswer, ..ExpSection::default() };
        let known = |options: &ExpSection| {
            let made = filter(&task, options, &rewards, &prepared()[1], &samples).unwrap();
            assert_eq!(made.kept_as_sampled().map(<[u32]>::len).collect::<Vec<_>>(), [8, 5]);
            assert_eq!((made.log[0].sampled(), made.log[1].sampled()), (&samples[0].tokens[..], &samples[1].tokens[..]));
            made.kept.iter().map(|kept| kept.hint_log_probs.as_ref().map(Vec::len)).collect::<Vec<_>>()
        };
        assert_eq!(known(&options), [Some(8), Some(5)]);
        options.temperature = 0.5;
        assert_eq!(known(&options), [None, None]);
    }

    /// Answers every request alike and counts them.
    #[derive(Default)]
    struct Fake {
        requests: usize,
        seeds: Vec<u64>,
        submitted: Vec<Request>,
    }
    impl Sampler for Fake {
        fn publish(&mut self, _: u64, _: &dyn Lm) -> Result<()> {
            Ok(())
        }
        fn submit(&mut self, _: Writer, requests: Vec<Request>) -> Result<Ticket> {
            self.requests += requests.len();
            self.seeds.extend(requests.iter().flat_map(|request| &request.seeds));
            self.submitted = requests;
            Ok(Ticket(0))
        }
        fn collect(&mut self, _: Ticket, _: &Writers) -> Result<Vec<Vec<SampledCompletion>>> {
            let answers = |request: &Request| request.seeds.iter().map(|_| sample("1#1", FinishReason::Stop)).collect();
            Ok(self.submitted.iter().map(answers).collect())
        }
        fn matches_trainer(&self) -> bool {
            true
        }
    }

    #[test]
    fn explanations_are_kept_until_they_are_due() {
        let (prepared, task, model) = (prepared(), CharTask::new(), CpuLm::new(tiny_model(1), 100));
        for (every, expected) in [(1, [2, 4, 6, 8, 10]), (0, [2, 2, 2, 2, 2]), (3, [2, 2, 2, 4, 4])] {
            let mut explainer =
                Explainer::new(ExpSection { every, num_explanations: 2, ..ExpSection::default() }, BuiltIn::new(&Config::default()), 0);
            let mut sampler = Fake::default();
            for (step, expected) in expected.into_iter().enumerate() {
                explainer.refresh(step);
                // A problem that comes twice in a step is explained once.
                explainer.make(&task, &mut ByWriter::of(&mut sampler, &model), &prepared, &[2, 0, 2], step).unwrap();
                assert_eq!(sampler.requests, expected, "every {every}, step {step}");
                assert_eq!(explainer.of(0).unwrap().made, 2);
                assert!(explainer.of(1).is_none());
            }
            let drawn = sampler.seeds.len();
            sampler.seeds.sort_unstable();
            sampler.seeds.dedup();
            assert_eq!(sampler.seeds.len(), drawn, "two samples share a seed");
        }
    }
}
