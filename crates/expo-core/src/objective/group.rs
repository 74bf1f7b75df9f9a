//! What is drawn for one question: its rollouts with their rewards, its explanations, its expert chain of thought.

use std::collections::BTreeMap;
use std::fmt;

use super::policy_gradient::Advantages;
use expo_lm::generate::FinishReason;
use expo_lm::tokenizer::tokens_before;
use serde::{Deserialize, Serialize};

/// One problem of a step with everything drawn for it.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Index into the training problems.
    pub problem: usize,
    /// The question alone, through the chat template.
    pub prompt: Vec<u32>,
    /// The question with the answer shown, through the chat template.
    pub explanation_prompt: Vec<u32>,
    /// G completions of the question alone.
    pub rollouts: Vec<Rollout>,
    /// Completions that the policy did not sample from the question but that join the group (LUFFY).
    pub off_policy: Vec<Rollout>,
    /// Self-explanations, when the recipe draws them for this question.
    pub explanations: Option<Explanations>,
    /// Expert chain of thought with the answer and the end of sequence, where the data has one and it is used.
    pub expert: Option<Vec<u32>>,
}

impl Group {
    /// Every rollout is wrong (by the correctness reward alone).
    pub fn all_wrong(&self) -> bool {
        self.rollouts.iter().all(|rollout| !rollout.correct)
    }

    /// Every rollout is right.
    pub fn all_right(&self) -> bool {
        self.rollouts.iter().all(|rollout| rollout.correct)
    }

    /// The fraction of its rollouts that are right.
    pub fn pass_rate(&self) -> f64 {
        let right = self.rollouts.iter().filter(|rollout| rollout.correct).count();
        right as f64 / self.rollouts.len().max(1) as f64
    }

    /// All that are compared with each other: its rollouts, then the off-policy completions.
    pub fn samples(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.iter().chain(&self.off_policy)
    }

    /// The same, to be changed.
    pub fn samples_mut(&mut self) -> impl Iterator<Item = &mut Rollout> {
        self.rollouts.iter_mut().chain(&mut self.off_policy)
    }

    /// Whether no two of its samples have different rewards: compared with each other they teach nothing.
    pub fn has_equal_rewards(&self) -> bool {
        let mut rewards = self.samples().filter_map(|sample| sample.reward);
        let first = rewards.next();
        rewards.all(|reward| Some(reward) == first)
    }

    /// The prompt that `rollout`, one of its own, is trained behind.
    pub fn prompt_of<'a>(&'a self, rollout: &'a Rollout) -> &'a [u32] {
        rollout.prompt.as_deref().unwrap_or(&self.prompt)
    }

    /// The explanations that passed the filters.
    pub fn kept_explanations(&self) -> &[Explanation] {
        self.explanations.as_ref().map_or(&[], |explanations| &explanations.kept)
    }
}

/// A scored completion of the question alone.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// The prompt that it is trained behind, where that is not the question alone.
    pub prompt: Option<Vec<u32>>,
    /// Sampled tokens, the stop token included.
    pub tokens: Vec<u32>,
    /// Their text, without the stop token.
    pub text: String,
    /// For each token but the stop token the byte of `text` at which its text ends.
    pub text_ends: Vec<usize>,
    /// Log-probabilities that the sampler drew with; empty where the policy did not sample it.
    pub sampler_log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Rewards by name, unweighted; `None` where one does not apply to this sample.
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Weighted sum of the rewards that apply; `None` where none does: the group's statistics and the loss leave the sample out.
    pub reward: Option<f64>,
    /// Whether the final answer is right.
    pub correct: bool,
    /// Whether it is equal to the known one but not worked out.
    pub unevaluated: bool,
    /// Byte of `text` where the final answer's delimiter begins, when there is an answer.
    pub answer_start: Option<usize>,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Why the answer is judged so, in words.
    pub reason: String,
    /// Where the known answer first stands, as a share of `text`; `None` where it doesn't.
    pub answer_position: Option<f64>,
    /// Advantage, once scored.
    pub advantage: f64,
    /// Advantages of its tokens, where each has its own.
    pub token_advantages: Option<Vec<f64>>,
    /// Training-path log-probabilities before the first optimizer step; `None`: the training forward's own, detached.
    pub old_log_probs: Option<Vec<f64>>,
    /// The reference policy's log-probabilities at the rollout temperature, when KL needs them.
    pub reference_log_probs: Option<Vec<f64>>,
}

impl Rollout {
    /// A completion that is neither judged nor scored yet, with its text and where that of each token ends, as
    /// [`Task::decode_with_ends`](crate::task::Task::decode_with_ends) gives them.
    pub fn new(tokens: Vec<u32>, (text, text_ends): (String, Vec<usize>), sampler_log_probs: Vec<f32>, finish: FinishReason) -> Self {
        Self {
            prompt: None,
            tokens,
            text,
            text_ends,
            sampler_log_probs,
            finish,
            rewards: BTreeMap::new(),
            reward: None,
            correct: false,
            unevaluated: false,
            answer_start: None,
            extracted: None,
            reason: String::new(),
            answer_position: None,
            advantage: 0.0,
            token_advantages: None,
            old_log_probs: None,
            reference_log_probs: None,
        }
    }

    /// What its tokens weigh in the policy gradient.
    pub fn advantages(&self) -> Advantages<'_> {
        self.token_advantages.as_deref().map_or(Advantages::Sequence(self.advantage), Advantages::Tokens)
    }

    /// Cut off before it ended: by the length limit, or because it was given up.
    pub fn is_truncated(&self) -> bool {
        self.finish != FinishReason::Stop
    }

    /// Number of its tokens before its answer's delimiter; without an answer all of them, the stop token excepted.
    pub fn thought(&self) -> usize {
        let body = self.tokens.len() - usize::from(!self.is_truncated());
        self.answer_start.map_or(body, |start| tokens_before(&self.text_ends, start))
    }

    /// Right, and not cut off: one that was cut off never learnt to end, so it is no example of how a question is solved.
    pub fn is_solution(&self) -> bool {
        self.correct && !self.is_truncated()
    }
}

/// All explanations made for one question, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanations {
    /// How many were sampled.
    pub made: usize,
    /// How many of those had the right final answer.
    pub matched: usize,
    /// How many of those had every step right; `None` where the task has no checker.
    pub steps_right: Option<usize>,
    /// Those that passed the filters.
    pub kept: Vec<Explanation>,
    /// Every explanation, for the log.
    pub log: Vec<LoggedExplanation>,
}

impl Explanations {
    /// Those of `log` that passed the filters, in the order of `kept`.
    pub fn kept_in_log(&mut self) -> impl Iterator<Item = &mut LoggedExplanation> {
        self.log.iter_mut().filter(|logged| logged.is_kept())
    }

    /// Of each of `kept` the leading tokens that were sampled: all, or, of a replaced answer, those before it.
    pub fn kept_as_sampled(&self) -> impl Iterator<Item = &[u32]> {
        let logged = self.log.iter().filter(|logged| logged.is_kept());
        self.kept.iter().zip(logged).map(|(kept, logged)| &kept.tokens[..logged.sampled_count()])
    }
}

/// What can become of an explanation: used as it is, used with another answer, or dropped by a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplanationOutcome {
    /// It is used as it was sampled.
    Kept,
    /// It is used with the right answer in the place of its own.
    Replaced,
    /// The length limit cut it off.
    Truncated,
    /// Its answer is wrong.
    Mismatch,
    /// A special token stands in it.
    SpecialToken,
    /// It gives away that the answer was shown.
    Leak,
    /// It has fewer tokens than `exp.min_tokens`.
    TooShort,
    /// It has more tokens than `exp.max_tokens`.
    TooLong,
    /// It names the answer too early.
    EarlyAnswer,
    /// One of its tokens owes too much to the answer that was shown.
    TokenInformation,
}

impl ExplanationOutcome {
    /// Whether it is trained on.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::Replaced)
    }
}

/// As files have it.
impl fmt::Display for ExplanationOutcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.serialize(f)
    }
}

/// A sampled explanation with its scores and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedExplanation {
    /// Its text, without the stop token.
    pub text: String,
    /// What became of it.
    pub outcome: ExplanationOutcome,
    /// Its tokens as they are trained on where it is kept, and else as sampled.
    pub tokens: Vec<u32>,
    /// Its tokens as sampled, where those are others: its answer is replaced.
    #[serde(default)]
    pub sampled: Option<Vec<u32>>,
    /// Number of leading tokens before the answer's delimiter; all but the stop token where there is no answer.
    pub thought: usize,
    /// Whether its final answer is right.
    pub correct: bool,
    /// The final answer as written.
    #[serde(default)]
    pub extracted: Option<String>,
    /// Why the answer is judged so, in words.
    #[serde(default)]
    pub reason: String,
    /// Whether special tokens stand in it, before the end of turn.
    #[serde(default)]
    pub special_tokens: bool,
    /// Where the known answer first stands, as a share of the text; `None` where it doesn't.
    #[serde(default)]
    pub answer_position: Option<f64>,
    /// What its tokens owe to the answer that was shown, where that is measured.
    #[serde(default)]
    pub hint: Option<HintInformation>,
    /// Whether it gives away that the answer was shown (`exp.leak_phrases`).
    pub leaks: bool,
    /// Cut off by the length limit.
    pub truncated: bool,
    /// Rewards by name, unweighted; the loss doesn't use them.
    pub rewards: BTreeMap<String, f64>,
    /// Whether every step is right; `None` where the task has no checker.
    pub steps_right: Option<bool>,
}

impl LoggedExplanation {
    /// Whether it passed the filters.
    pub fn is_kept(&self) -> bool {
        self.outcome.is_kept()
    }

    /// How many of its leading `tokens` were sampled: all, or, of a replaced answer, those before it.
    pub fn sampled_count(&self) -> usize {
        if self.sampled.is_some() { self.thought } else { self.tokens.len() }
    }

    /// Its tokens as sampled.
    pub fn sampled(&self) -> &[u32] {
        self.sampled.as_ref().unwrap_or(&self.tokens)
    }
}

/// What the tokens of an explanation owe to the answer that was shown: the sum over them, and the largest, of
/// `log pi_w(c_t | q, a*, c_<t) - log pi(c_t | q, c_<t)` at temperature 1, in nats. pi_w wrote it; pi is the policy that is to learn from it. Where the answer is
/// replaced, over the tokens before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HintInformation {
    /// The sum.
    pub total: f64,
    /// The largest of one token.
    pub largest: f64,
}

impl HintInformation {
    /// From the log-probabilities of an explanation's leading tokens with the answer shown, and of all its tokens with the answer hidden; `None` of no token.
    pub fn of<T: Copy + Into<f64>>(shown: &[T], hidden: &[f64]) -> Option<Self> {
        let differences = || shown.iter().zip(hidden).map(|(shown, hidden)| (*shown).into() - hidden);
        let largest = differences().reduce(f64::max)?;
        Some(Self { total: differences().sum(), largest })
    }
}

impl Explanation {
    /// One whose log-probabilities are not known.
    pub fn new(tokens: Vec<u32>, thought: usize) -> Self {
        Self { tokens, thought, reference_log_probs: None, hint_log_probs: None }
    }
}

/// An explanation as trained on: q -> c~ -> a*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The sampled token ids, or, with a replaced answer, those before the delimiter and then the answer suffix; ends with the
    /// end of sequence.
    pub tokens: Vec<u32>,
    /// Number of leading tokens before the answer's delimiter (the chain of thought c~).
    pub thought: usize,
    /// The reference policy's log-probabilities with the answer shown, when the hinted KL needs them.
    pub reference_log_probs: Option<Vec<f64>>,
    /// Log-probabilities at temperature 1 that its writer gave the tokens that it sampled (of a replaced answer those before it), the answer shown; `None` where
    /// they are not known.
    #[serde(default)]
    pub hint_log_probs: Option<Vec<f32>>,
}
