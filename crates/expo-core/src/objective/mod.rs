//! Objectives: every algorithm is a recipe with three answers: what is drawn, how it is scored, which loss terms use it.
//!
//! The loss is a sum of terms ([`Term`]), each with its own per-token weights and its own denominator, fixed for the whole
//! optimizer step before its first micro-batch.

pub mod advantage;
pub mod denominator;
pub mod dpo;
pub mod exp_dpo;
pub mod exp_grpo;
pub mod group;
pub mod grpo;
pub mod grpo_sft_gt_cot;
mod loss;
pub mod luffy;
mod policy_gradient;
pub mod preference;
pub mod sft;
pub mod star;
pub mod terms;
pub mod unread;

pub use group::{Explanation, Explanations, Group, HintInformation, LoggedExplanation, OUTCOMES, Rollout};
pub use loss::{KlLoss, LossKind, Scores, SequenceLoss, SequenceValue, TokenLocal};
pub use policy_gradient::PolicyGradient;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Recipe as RecipeName};
use expo_lm::ScoreGradient;

/// What a recipe wants drawn for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Draws {
    /// Rollouts of the question alone.
    pub rollouts: bool,
    /// Self-explanations, written with the answer shown.
    pub explanations: bool,
    /// Expert chains of thought, read from the data.
    pub expert: bool,
    /// Explanations and expert chains of thought join the groups of rollouts.
    pub off_policy: bool,
    /// Supervised documents an optimizer step.
    pub documents: usize,
    /// Preference pairs, and where they come from.
    pub pairs: Option<PairSource>,
    /// Documents made of rollouts and explanations that reach the answer.
    pub rationales: bool,
}

impl Draws {
    /// Whether rollouts are compared with each other and trained on, rather than made into pairs or documents.
    pub fn scores_rollouts(&self) -> bool {
        self.rollouts && self.pairs.is_none() && !self.rationales
    }
}

/// Where preference pairs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairSource {
    /// From preference files.
    File,
    /// From the policy: of its rollouts and explanations, or the data's expert chains of thought.
    Policy,
}

/// A supervised document as tokens, or one sequence of a document that takes several; the loss is on the completion alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EncodedDocument {
    /// Chat template up to the assistant's turn.
    pub prompt: Vec<u32>,
    /// The assistant's turn, end-of-sequence included; with several turns all between the first and the last of them, too.
    pub completion: Vec<u32>,
    /// The tokens of the completion that the loss is on; empty: all of them.
    #[serde(default)]
    pub trained: Vec<Range<usize>>,
    /// Whether it is of the same document as the one before it.
    #[serde(default)]
    pub continues: bool,
}

impl EncodedDocument {
    /// A document whose whole completion is trained on.
    pub fn whole(prompt: Vec<u32>, completion: Vec<u32>) -> Self {
        Self { prompt, completion, ..Self::default() }
    }

    /// Tokens of prompt and completion.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens that the loss is on.
    pub fn trained_tokens(&self) -> usize {
        trained_tokens(&self.completion, &self.trained)
    }
}

/// Number of tokens of `completion` that the loss is on; `trained` empty: all of them.
pub fn trained_tokens(completion: &[u32], trained: &[Range<usize>]) -> usize {
    if trained.is_empty() { completion.len() } else { trained.iter().map(Range::len).sum() }
}

/// Everything drawn for one optimizer step.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// One group a question.
    pub groups: Vec<Group>,
    /// Documents (rehearsal, SFT).
    pub documents: Vec<EncodedDocument>,
    /// Preference pairs.
    pub pairs: Vec<preference::Pair>,
    /// Documents that the policy made (STaR).
    pub rationales: Vec<EncodedDocument>,
}

/// One algorithm.
pub trait Recipe: Send + Sync {
    /// What is drawn.
    fn draws(&self) -> Draws;
    /// How it is scored: fills in the advantages of the rollouts.
    fn score(&self, groups: &mut [Group]) {
        let _ = groups;
    }
    /// Which loss terms use it. `beta_exp` is the explanation term's weight at this step.
    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>>;
}

/// The recipe that `config` names.
pub fn recipe(config: &Config) -> Box<dyn Recipe> {
    match config.train.recipe {
        RecipeName::Grpo => Box::new(grpo::Grpo::new(config)),
        RecipeName::ExpGrpo => Box::new(exp_grpo::ExpGrpo::new(config)),
        RecipeName::GrpoSftGtCot => Box::new(grpo_sft_gt_cot::GrpoSftGtCot::new(config)),
        RecipeName::Luffy => Box::new(luffy::Luffy::new(config)),
        RecipeName::Dpo => Box::new(dpo::Dpo::new(config)),
        RecipeName::ExpDpo => Box::new(exp_dpo::ExpDpo::new(config)),
        RecipeName::Star => Box::new(star::Star::new(config)),
        RecipeName::Sft => Box::new(sft::Sft::new(config)),
    }
}

/// A summand of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Clipped policy gradient on rollouts.
    PolicyGradient,
    /// KL to the reference on rollouts.
    Kl,
    /// Entropy of the policy on rollouts.
    Entropy,
    /// Cross-entropy on self-explanations, answer hidden.
    Explanation,
    /// Cross-entropy on expert chains of thought.
    ExpertCot,
    /// KL to the reference on self-explanations, answer shown.
    HintedKl,
    /// Cross-entropy on rehearsal documents.
    Rehearsal,
    /// Cross-entropy on the documents of SFT and STaR.
    Documents,
    /// Preference of a chosen over a rejected completion.
    Preference,
    /// Cross-entropy on the chosen completions of pairs.
    ChosenSft,
}

impl Term {
    /// Every term.
    pub const ALL: [Term; 10] = [
        Term::PolicyGradient,
        Term::Kl,
        Term::Entropy,
        Term::Explanation,
        Term::ExpertCot,
        Term::HintedKl,
        Term::Rehearsal,
        Term::Documents,
        Term::Preference,
        Term::ChosenSft,
    ];

    /// Its name in the metrics (`loss/<name>`).
    pub fn name(self) -> &'static str {
        match self {
            Term::PolicyGradient => "policy_gradient",
            Term::Kl => "kl",
            Term::Entropy => "entropy",
            Term::Explanation => "explanation",
            Term::ExpertCot => "expert_cot",
            Term::HintedKl => "hinted_kl",
            Term::Rehearsal => "rehearsal",
            Term::Documents => "documents",
            Term::Preference => "preference",
            Term::ChosenSft => "sft",
        }
    }
}

/// What a sequence is, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Rollout `index` of group `group`.
    Rollout {
        /// Index into [`Drawn::groups`].
        group: usize,
        /// Index into [`Group::rollouts`].
        index: usize,
    },
    /// Completion `index` among those of group `group` that the policy did not sample from the question.
    OffPolicy {
        /// Index into [`Drawn::groups`].
        group: usize,
        /// Index into [`Group::off_policy`].
        index: usize,
    },
    /// Kept explanation `index` of group `group`, the answer hidden.
    Explanation {
        /// Index into [`Drawn::groups`].
        group: usize,
        /// Index into [`Group::kept_explanations`].
        index: usize,
    },
    /// The same with the answer shown.
    HintedExplanation {
        /// Index into [`Drawn::groups`].
        group: usize,
        /// Index into [`Group::kept_explanations`].
        index: usize,
    },
    /// The expert chain of thought of group `group`.
    ExpertCot {
        /// Index into [`Drawn::groups`].
        group: usize,
    },
    /// A document.
    Document,
    /// The chosen side of pair `pair`.
    Chosen {
        /// Index of the pair.
        pair: usize,
    },
    /// The rejected side of pair `pair`.
    Rejected {
        /// Index of the pair.
        pair: usize,
    },
}

/// One training sequence and the loss terms that use its completion's tokens.
#[derive(Debug, Clone)]
pub struct Sequence<'a> {
    /// What it is.
    pub origin: Origin,
    /// Context, without loss.
    pub prompt: &'a [u32],
    /// Tokens, of which those in `trained` are scored.
    pub completion: &'a [u32],
    /// Ranges of the completion, in order; empty: all of it.
    pub trained: &'a [Range<usize>],
    /// Logits are divided by it: the rollout temperature for policy gradient and its KL, 1 otherwise.
    pub temperature: f32,
    /// The terms; none: the sequence is only measured.
    pub losses: Vec<SequenceLoss<'a>>,
    /// The other side of a preference, which stands right beside it.
    pub partner: Option<Partner>,
}

/// Where a sequence's partner stands; the two are computed in one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partner {
    /// The sequence after this one.
    Next,
    /// The sequence before this one.
    Previous,
}

impl Sequence<'_> {
    /// The places of the scored tokens in the completion.
    pub fn scored(&self) -> impl Iterator<Item = usize> {
        let whole = std::iter::once(0..self.completion.len()).filter(|_| self.trained.is_empty());
        whole.chain(self.trained.iter().cloned()).flatten()
    }

    /// Whether any of its tokens can have a gradient.
    pub fn needs_gradient(&self) -> bool {
        self.losses.iter().any(|loss| loss.weight() != 0.0 && !matches!(&loss.kind, LossKind::PolicyGradient(pg) if pg.advantage == 0.0))
    }

    /// Number of tokens, prompt and completion.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each token's loss needs that token's log-probability alone.
    pub fn is_token_local(&self) -> bool {
        self.losses.iter().all(|loss| loss.kind.token_local().is_some())
    }

    /// d(whole loss) / d(log-prob of scored token `token`), from that log-probability alone; only for a sequence that
    /// [is token-local](Sequence::is_token_local).
    pub fn derivative(&self, token: usize, log_prob: f64) -> f64 {
        let of = |loss: &SequenceLoss| Some(loss.weight() * loss.kind.token_local()?.token_loss(token, log_prob).derivative);
        self.losses.iter().filter_map(of).sum()
    }

    /// The gradient of the whole loss by the score of every completion token, from all of them and those of the partner.
    pub fn gradients(&self, scores: Scores, partner: Option<Scores>) -> Vec<ScoreGradient> {
        let mut sum = vec![ScoreGradient::default(); scores.log_probs.len()];
        for loss in &self.losses {
            for (sum, gradient) in sum.iter_mut().zip(loss.kind.evaluate(scores, partner).gradients) {
                sum.log_prob += loss.weight() * gradient.log_prob;
                sum.entropy += loss.weight() * gradient.entropy;
            }
        }
        sum
    }
}
