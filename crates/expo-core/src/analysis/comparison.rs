//! The paper's comparison of positive samples (arXiv 2507.02834, Table 1 and Fig. 2) on problems of the user's: the policy's own chain of thought, its
//! self-explanations, and the expert's.

use std::ops::Range;

use serde::Serialize;

use super::Analysis;
use super::overlap::rouge_l;
use super::score::{Scored, Thought, score};
use crate::draw::hints::answer_position;
use crate::error::Result;
use crate::objective::group::ExplanationOutcome;
use crate::statistics::{mean, standard_error};
use expo_lm::tokenizer::tokens_before;

/// A chain of thought with its answer, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cot {
    /// The completion, without the stop token.
    pub text: String,
    /// Whether it reaches the right answer.
    pub correct: bool,
    /// Whether every step is right; `None` where the task has no checker of steps, and of the expert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_right: Option<bool>,
    /// Whether the length limit cut it off.
    pub truncated: bool,
    /// Its length, stop token included.
    pub tokens: usize,
    /// Property 1: its negative log-likelihood per token under the policy, the answer hidden, in nats.
    pub nll: f64,
    /// Property 2: log pi(a* | q, c), summed over the answer's tokens, in nats.
    pub answer_log_prob: f64,
    /// By how much `answer_log_prob` is above that of the policy's own chain of thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_gain: Option<f64>,
    /// ROUGE-L with the policy's own chain of thought, answers left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_with_own: Option<f64>,
    /// ROUGE-L with the expert's, answers left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_with_expert: Option<f64>,
    /// Of an explanation: `kept`, `replaced` (its answer by the right one), or the filter that drops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ExplanationOutcome>,
    /// Of an explanation: whether it gives away that the answer was shown (`exp.leak_phrases`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<bool>,
    /// Of an explanation: what its tokens owe to the answer that was shown, the sum of log pi(c_t | q, a*, c_<t) - log pi(c_t | q, c_<t), in nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint_information: Option<f64>,
    /// Of an explanation: the largest of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_information: Option<f64>,
    /// Where the right answer first stands, as a share of the text; `None` where it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_position: Option<f64>,
}

/// One problem with all that is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProblemRow {
    /// The problem's id.
    pub id: String,
    /// Its level.
    pub level: Option<u32>,
    /// Its subject.
    pub subject: Option<String>,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The policy's completion of the question alone.
    pub own: Cot,
    /// Its explanations, written with the answer shown.
    pub explanations: Vec<Cot>,
    /// The expert's chain of thought, where the data has one that fits the context.
    pub expert: Option<Cot>,
}

impl ProblemRow {
    /// The explanations that pass the filters: those that would be trained on.
    pub fn kept(&self) -> impl Iterator<Item = &Cot> {
        self.explanations.iter().filter(|cot| cot.outcome.is_some_and(ExplanationOutcome::is_kept))
    }
}

/// A mean over problems with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProblemMean {
    /// The mean.
    pub mean: f64,
    /// Its standard error over problems; 0 of one.
    pub standard_error: f64,
    /// Number of problems.
    pub problems: usize,
}

impl ProblemMean {
    /// Of one value a problem; `None` of none.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        (!values.is_empty()).then(|| Self { mean: mean(&values), standard_error: standard_error(&values), problems: values.len() })
    }
}

/// What chains of thought of one source have in common. Each figure is a mean over a problem's chains of thought, then over problems.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceSummary {
    /// `own`, `explanation` or `expert`.
    pub source: &'static str,
    /// Property 1; of explanations, of those that are kept.
    pub nll: Option<ProblemMean>,
    /// log pi(a* | q, c); of explanations, of those that are kept.
    pub answer_log_prob: Option<ProblemMean>,
    /// Property 2; of explanations, of those that are kept.
    pub answer_gain: Option<ProblemMean>,
    /// Fraction whose answer gain is above 0.
    pub gains: Option<ProblemMean>,
    /// Fraction that reaches the right answer.
    pub correct: Option<ProblemMean>,
    /// Fraction with every step right.
    pub steps_right: Option<ProblemMean>,
    /// Fraction that gives the hint away by one of `exp.leak_phrases`.
    pub leak: Option<ProblemMean>,
    /// What the kept explanations owe to the hint, summed over tokens.
    pub hint_information: Option<ProblemMean>,
    /// The largest of one token.
    pub max_token_information: Option<ProblemMean>,
    /// Where the answer first stands in those that reach it; of explanations, in those that are kept.
    pub answer_position: Option<ProblemMean>,
    /// Fraction that passes the filters.
    pub kept: Option<ProblemMean>,
    /// Fraction cut off.
    pub truncated: Option<ProblemMean>,
    /// Length in tokens.
    pub tokens: Option<ProblemMean>,
    /// ROUGE-L with the policy's own.
    pub overlap_with_own: Option<ProblemMean>,
    /// ROUGE-L with the expert's.
    pub overlap_with_expert: Option<ProblemMean>,
}

/// What some problems come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Number of problems.
    pub problems: usize,
    /// Own, explanation and, where there is one, expert.
    pub sources: Vec<SourceSummary>,
    /// NLL of the expert's chain of thought minus that of the kept explanations, paired by problem: above 0 where explanations are likelier.
    pub nll_expert_minus_explanation: Option<ProblemMean>,
    /// Fraction of these problems where it is above 0.
    pub explanation_likelier: Option<ProblemMean>,
    /// Answer gain of the kept explanations minus that of the expert's chain of thought, paired by problem.
    pub gain_explanation_minus_expert: Option<ProblemMean>,
}

impl Comparison {
    /// Of `rows`.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a ProblemRow>) -> Self {
        let rows: Vec<&ProblemRow> = rows.into_iter().collect();
        let mut sources = vec![
            summary("own", &rows, |row| vec![&row.own], |row| vec![&row.own]),
            summary("explanation", &rows, |row| row.explanations.iter().collect(), |row| row.kept().collect()),
        ];
        if rows.iter().any(|row| row.expert.is_some()) {
            let expert = |row: &'a ProblemRow| row.expert.iter().collect::<Vec<_>>();
            sources.push(summary("expert", &rows, expert, expert));
        }
        let paired = |of: fn(&Cot) -> Option<f64>| -> Vec<(f64, f64)> {
            let pair = |row: &ProblemRow| {
                let kept: Vec<f64> = row.kept().filter_map(of).collect();
                Some(((!kept.is_empty()).then(|| mean(&kept))?, of(row.expert.as_ref()?)?))
            };
            rows.iter().filter_map(|row| pair(row)).collect()
        };
        let nll: Vec<f64> = paired(|cot| Some(cot.nll)).iter().map(|(explanation, expert)| expert - explanation).collect();
        Self {
            problems: rows.len(),
            sources,
            nll_expert_minus_explanation: ProblemMean::of(nll.iter().copied()),
            explanation_likelier: ProblemMean::of(nll.iter().map(|difference| f64::from(u8::from(*difference > 0.0)))),
            gain_explanation_minus_expert: ProblemMean::of(
                paired(|cot| cot.answer_gain).iter().map(|(explanation, expert)| explanation - expert),
            ),
        }
    }
}

/// `all`: every chain of thought of the source; `used`: those whose properties count.
fn summary<'a>(
    source: &'static str,
    rows: &[&'a ProblemRow],
    all: impl Fn(&'a ProblemRow) -> Vec<&'a Cot>,
    used: impl Fn(&'a ProblemRow) -> Vec<&'a Cot>,
) -> SourceSummary {
    let estimate = |cots: &dyn Fn(&'a ProblemRow) -> Vec<&'a Cot>, of: &dyn Fn(&Cot) -> Option<f64>| {
        let of_problem = |row: &&'a ProblemRow| {
            let values: Vec<f64> = cots(row).into_iter().filter_map(of).collect();
            (!values.is_empty()).then(|| mean(&values))
        };
        ProblemMean::of(rows.iter().filter_map(of_problem))
    };
    let fraction = |is: bool| f64::from(u8::from(is));
    SourceSummary {
        source,
        nll: estimate(&used, &|cot| Some(cot.nll)),
        answer_log_prob: estimate(&used, &|cot| Some(cot.answer_log_prob)),
        answer_gain: estimate(&used, &|cot| cot.answer_gain),
        gains: estimate(&used, &|cot| cot.answer_gain.map(|gain| fraction(gain > 0.0))),
        correct: estimate(&all, &|cot| Some(fraction(cot.correct))),
        steps_right: estimate(&all, &|cot| cot.steps_right.map(fraction)),
        leak: estimate(&all, &|cot| cot.leak.map(fraction)),
        hint_information: estimate(&used, &|cot| cot.hint_information),
        max_token_information: estimate(&used, &|cot| cot.max_token_information),
        answer_position: estimate(&used, &|cot| cot.answer_position.filter(|_| cot.correct)),
        kept: estimate(&all, &|cot| cot.outcome.map(|outcome| fraction(outcome.is_kept()))),
        truncated: estimate(&all, &|cot| Some(fraction(cot.truncated))),
        tokens: estimate(&all, &|cot| Some(cot.tokens as f64)),
        overlap_with_own: estimate(&used, &|cot| cot.overlap_with_own),
        overlap_with_expert: estimate(&used, &|cot| cot.overlap_with_expert),
    }
}

/// An expert's chain of thought as tokens, and what the verifier says of it.
struct Expert {
    tokens: Vec<u32>,
    text: String,
    correct: bool,
    answer_position: Option<f64>,
    thought: usize,
}

impl Analysis<'_> {
    /// The problems of `part` with a completion of the question alone, `exp.num_explanations` explanations and the expert's chain of thought of each.
    pub fn compare(&mut self, part: Range<usize>) -> Result<Vec<ProblemRow>> {
        let mut groups = self.own_completions(&part.collect::<Vec<_>>())?;
        self.explain_groups(&mut groups)?;
        let experts: Vec<Option<Expert>> = groups.iter().map(|group| self.expert(group.problem)).collect::<Result<_>>()?;
        // Of each problem its own completion, its explanations, and the expert's.
        let mut thoughts: Vec<Thought> = Vec::new();
        for (group, expert) in groups.iter().zip(&experts) {
            let (own, suffix) = (&group.rollouts[0], &self.problems.prepared[group.problem].suffix);
            let mut add = |tokens, length, hint| thoughts.push(Thought { prompt: &group.prompt, tokens, length, suffix, hint });
            add(&own.tokens, own.thought(), None);
            for explanation in group.explanations.iter().flat_map(|made| &made.log) {
                add(&explanation.tokens, explanation.thought, Some((&group.explanation_prompt[..], explanation.sampled_count())));
            }
            expert.iter().for_each(|expert| add(&expert.tokens, expert.thought, None));
        }
        let scores = score(self.lm, &thoughts)?;
        let mut measured = thoughts.iter().zip(scores);
        let mut rows = Vec::new();
        for (group, expert) in groups.iter().zip(&experts) {
            let (own, problem) = (&group.rollouts[0], &self.problems.prepared[group.problem].problem);
            let made = group.explanations.iter().flat_map(|made| &made.log).count();
            let mut of_problem = measured.by_ref().take(1 + made + usize::from(expert.is_some())).collect::<Vec<_>>().into_iter();
            let (own_thought, own_scored) = of_problem.next().expect("one for each completion");
            let expert_thought = expert.as_ref().and_then(|_| of_problem.as_slice().last()).map(|(thought, _)| thought.thought());
            let cot = |text: String, correct: bool, truncated: bool, (thought, scored): (&Thought, Scored), is_own: bool| Cot {
                steps_right: self.task.steps_right(problem, &text),
                text,
                correct,
                truncated,
                tokens: thought.tokens.len(),
                nll: scored.nll,
                answer_log_prob: scored.answer,
                answer_gain: (!is_own).then_some(scored.answer - own_scored.answer),
                overlap_with_own: (!is_own).then(|| rouge_l(thought.thought(), own_thought.thought())),
                overlap_with_expert: expert_thought.map(|expert| rouge_l(thought.thought(), expert)),
                outcome: None,
                leak: None,
                hint_information: scored.hint.map(|hint| hint.total),
                max_token_information: scored.hint.map(|hint| hint.largest),
                answer_position: None,
            };
            let own_cot = cot(own.text.clone(), own.correct, own.is_truncated(), (own_thought, own_scored), true);
            let mut row = ProblemRow {
                id: problem.id.clone(),
                level: problem.level,
                subject: problem.subject.clone(),
                question: problem.question.clone(),
                answer: problem.answer.clone(),
                own: Cot { answer_position: own.answer_position, ..own_cot },
                explanations: Vec::with_capacity(made),
                expert: None,
            };
            for explanation in group.explanations.iter().flat_map(|made| &made.log) {
                let measured = of_problem.next().expect("one for each explanation");
                // As sampled: with a replaced answer every explanation would reach it.
                let made = cot(explanation.text.clone(), explanation.correct, explanation.truncated, measured, false);
                let (outcome, leak, answer_position) = (Some(explanation.outcome), Some(explanation.leaks), explanation.answer_position);
                row.explanations.push(Cot { outcome, leak, answer_position, ..made });
            }
            row.expert = expert.as_ref().zip(of_problem.next()).map(|(expert, measured)| {
                let made = cot(expert.text.clone(), expert.correct, false, measured, false);
                // The checker knows the form in which the policy reasons, not the expert's.
                Cot { overlap_with_expert: None, steps_right: None, answer_position: expert.answer_position, ..made }
            });
            rows.push(row);
        }
        Ok(rows)
    }

    /// The expert's chain of thought of the problem at `index`, where there is one and the right answer behind it fits the context, too.
    fn expert(&self, index: usize) -> Result<Option<Expert>> {
        let prepared = &self.problems.prepared[index];
        let Some(tokens) = prepared.expert.clone() else { return Ok(None) };
        let body = &tokens[..tokens.len() - 1];
        let (text, ends) = self.task.decode_with_ends(body)?;
        let verdict = self.task.verify(&[(&prepared.problem, text.as_str())]).remove(0);
        let thought = verdict.answer_start.map_or(body.len(), |start| tokens_before(&ends, start));
        let fits = prepared.prompt.len() + thought + prepared.suffix.tokens.len() <= self.lm.context();
        let extracted = verdict.extracted.as_deref().filter(|_| verdict.correct);
        let answer_position = answer_position(&text, &prepared.problem.answer, extracted);
        Ok(fits.then_some(Expert { text, correct: verdict.correct, answer_position, thought, tokens }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cpu::CpuLm;
    use crate::testing::run::{CharTask, config, problems, tiny_model};

    #[test]
    fn three_sources_measured_alike() {
        let mut config = config();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (30, 30);
        (config.rollout.num_generations, config.exp.num_explanations) = (1, 2);
        let (model, task) = (CpuLm::new(tiny_model(3), 512), CharTask::new());
        let mut all = problems(6);
        all[5].expert_cot = None;
        let mut analysis = Analysis::new(&config, &model, &task, all.clone()).unwrap();
        let rows = analysis.compare(0..6).unwrap();
        assert_eq!(rows.iter().map(|row| row.explanations.len()).collect::<Vec<_>>(), [2; 6]);
        assert!(rows[..5].iter().all(|row| row.expert.as_ref().is_some_and(|expert| expert.correct)) && rows[5].expert.is_none());
        assert_eq!(rows[0].expert.as_ref().unwrap().text, "1*2#1", "the chain of thought and the prompt's answer");
        // Explanations and own completions are those of `explain`, with the same figures.
        let explained = Analysis::new(&config, &model, &task, all).unwrap().explanations(0..6).unwrap();
        for (row, explained) in rows.iter().flat_map(|row| row.explanations.iter().map(move |cot| (row, cot))).zip(&explained) {
            let (row, cot) = row;
            assert!((cot.nll - explained.nll).abs() < 1e-5 && (row.own.nll - explained.own_nll).abs() < 1e-5);
            assert!((cot.answer_gain.unwrap() - explained.answer_gain).abs() < 1e-4);
            assert_eq!((cot.correct, cot.outcome, row.own.correct), (explained.correct, Some(explained.outcome), explained.own_correct));
        }
        let expert = rows[0].expert.as_ref().unwrap();
        assert!((expert.answer_gain.unwrap() - (expert.answer_log_prob - rows[0].own.answer_log_prob)).abs() < 1e-12);

        let comparison = Comparison::of(&rows);
        assert_eq!(comparison.sources.iter().map(|source| source.source).collect::<Vec<_>>(), ["own", "explanation", "expert"]);
        let [own, explanation, expert] = &comparison.sources[..] else { unreachable!() };
        assert!(own.answer_gain.is_none() && own.leak.is_none() && explanation.kept.unwrap().problems == 6);
        assert_eq!((expert.nll.unwrap().problems, expert.correct.unwrap().mean), (5, 1.0));
        let by_hand: Vec<f64> = rows[..5].iter().map(|row| row.expert.as_ref().unwrap().nll).collect();
        assert_eq!(expert.nll.unwrap().mean, mean(&by_hand));
        assert_eq!(expert.nll.unwrap().standard_error, crate::statistics::std_dev(&by_hand) / 5f64.sqrt());
        assert!(comparison.nll_expert_minus_explanation.unwrap().problems >= 1);
        assert_eq!(Comparison::of(&[]).sources[0].nll, None);
    }
}
