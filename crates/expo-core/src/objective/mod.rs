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
mod policy_gradient;
pub mod preference;
pub mod sft;
pub mod terms;

pub use group::{Explanation, Explanations, Group, LoggedExplanation, OUTCOMES, Rollout};
pub use policy_gradient::PolicyGradient;

use crate::config::{Config, Recipe as RecipeName};
use terms::{Surrogate, TokenLoss};

/// What a recipe wants drawn for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Draws {
    /// Rollouts of the question alone.
    pub rollouts: bool,
    /// Self-explanations, written with the answer shown.
    pub explanations: bool,
    /// Expert chains of thought, read from the data.
    pub expert: bool,
    /// Supervised documents an optimizer step.
    pub documents: usize,
    /// Preference pairs, and where they come from.
    pub pairs: Option<PairSource>,
}

/// Where preference pairs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairSource {
    /// From preference files.
    File,
    /// From the policy: of its rollouts and explanations, or the data's expert chains of thought.
    Policy,
}

/// A supervised document as tokens; the loss is on the completion alone.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedDocument {
    /// Chat template up to the assistant's turn.
    pub prompt: Vec<u32>,
    /// The assistant's turn, end-of-sequence included.
    pub completion: Vec<u32>,
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
        RecipeName::Dpo => Box::new(dpo::Dpo::new(config)),
        RecipeName::ExpDpo => Box::new(exp_dpo::ExpDpo::new(config)),
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
    /// Cross-entropy on self-explanations, answer hidden.
    Explanation,
    /// Cross-entropy on expert chains of thought.
    ExpertCot,
    /// KL to the reference on self-explanations, answer shown.
    HintedKl,
    /// Cross-entropy on rehearsal documents.
    Rehearsal,
    /// Cross-entropy on the documents of SFT.
    Documents,
    /// Preference of a chosen over a rejected completion.
    Preference,
    /// Cross-entropy on the chosen completions of pairs.
    ChosenSft,
}

impl Term {
    /// Every term.
    pub const ALL: [Term; 9] = [
        Term::PolicyGradient,
        Term::Kl,
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
    /// A self-explanation with the answer hidden.
    Explanation,
    /// A self-explanation with the answer shown.
    HintedExplanation,
    /// An expert chain of thought.
    ExpertCot,
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
    /// Scored tokens.
    pub completion: &'a [u32],
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

    /// d(whole loss) / d(log-prob of completion token `token`), from that log-probability alone; only for a sequence that
    /// [is token-local](Sequence::is_token_local).
    pub fn derivative(&self, token: usize, log_prob: f64) -> f64 {
        let of = |loss: &SequenceLoss| Some(loss.weight() * loss.kind.token_local()?.token_loss(token, log_prob).derivative);
        self.losses.iter().filter_map(of).sum()
    }

    /// d(whole loss) / d(log-prob) of every completion token, from all of them and those of the partner.
    pub fn derivatives(&self, log_probs: &[f64], partner: Option<&[f64]>) -> Vec<f64> {
        let mut sum = vec![0.0; log_probs.len()];
        for loss in &self.losses {
            for (sum, derivative) in sum.iter_mut().zip(loss.kind.evaluate(log_probs, partner).derivatives) {
                *sum += loss.weight() * derivative;
            }
        }
        sum
    }
}

/// One term's use of a sequence: every completion token weighs `coefficient * token_weight`.
#[derive(Debug, Clone)]
pub struct SequenceLoss<'a> {
    /// Which summand of the loss it belongs to.
    pub term: Term,
    /// The term's factor in the loss (beta_exp, the KL coefficient, ...); not part of the `loss/<term>` metric.
    pub coefficient: f64,
    /// The denominators' part of the weight of each token, the same for the whole optimizer step.
    pub token_weight: f64,
    /// The function of the log-probability.
    pub kind: LossKind<'a>,
}

/// The function of a completion's log-probabilities that a term takes.
#[derive(Debug, Clone)]
pub enum LossKind<'a> {
    /// The [`Surrogate`]'s function, summed over tokens.
    PolicyGradient(PolicyGradient<'a>),
    /// [`terms::cross_entropy`], summed over tokens.
    CrossEntropy,
    /// KL to the reference, whose log-probability of each completion token is given, summed over tokens.
    Kl {
        /// [`terms::kl_k3`] or [`terms::kl_k2`].
        estimator: KlLoss,
        /// The reference's log-probabilities.
        reference: &'a [f64],
    },
    /// [`preference::PreferenceLoss`] of the sequence and its [partner](Sequence::partner).
    Preference(preference::Side),
}

/// The estimator of a KL term: a function of a token's log-probability and the reference's.
pub type KlLoss = fn(f64, f64) -> TokenLoss;

/// A term's value for one sequence, unweighted.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceValue {
    /// The value; a pair's is that of its chosen side, the rejected side's is 0.
    pub value: f64,
    /// d(value of the pair or of the sequence) / d(log-prob) of each completion token.
    pub derivatives: Vec<f64>,
}

/// A loss that is a sum over tokens, each a function of its own log-probability.
#[derive(Debug, Clone, Copy)]
pub struct TokenLocal<'a, 'b>(&'b LossKind<'a>);

impl<'a> LossKind<'a> {
    /// The loss as a sum over tokens, if it is one.
    pub fn token_local(&self) -> Option<TokenLocal<'a, '_>> {
        match self {
            LossKind::PolicyGradient(PolicyGradient { surrogate: Surrogate::Sequence(_), .. }) | LossKind::Preference(_) => None,
            LossKind::PolicyGradient(_) | LossKind::CrossEntropy | LossKind::Kl { .. } => Some(TokenLocal(self)),
        }
    }

    /// Value and derivatives from the log-probabilities of the completion's tokens and those of the partner's.
    pub fn evaluate(&self, log_probs: &[f64], partner: Option<&[f64]>) -> SequenceValue {
        match (self, self.token_local()) {
            (LossKind::Preference(side), _) => preference::evaluate(side, log_probs, partner.unwrap_or_default()),
            (LossKind::PolicyGradient(pg @ PolicyGradient { surrogate: Surrogate::Sequence(clip), .. }), _) => {
                pg.sequence_loss(log_probs, *clip)
            }
            (_, Some(local)) => {
                let tokens: Vec<TokenLoss> =
                    log_probs.iter().enumerate().map(|(token, log_prob)| local.token_loss(token, *log_prob)).collect();
                SequenceValue {
                    value: tokens.iter().map(|token| token.value).sum(),
                    derivatives: tokens.into_iter().map(|token| token.derivative).collect(),
                }
            }
            (_, None) => unreachable!("a loss is token-local or matched above"),
        }
    }
}

impl SequenceLoss<'_> {
    /// Weight of each token's loss in the whole loss.
    pub fn weight(&self) -> f64 {
        self.coefficient * self.token_weight
    }

    /// Number of tokens whose policy gradient the clip takes away.
    pub fn clipped(&self, log_probs: &[f64]) -> usize {
        if let LossKind::PolicyGradient(pg) = &self.kind { pg.clipped(log_probs) } else { 0 }
    }
}

impl TokenLocal<'_, '_> {
    /// The loss of completion token `token`, unweighted.
    pub fn token_loss(&self, token: usize, log_prob: f64) -> TokenLoss {
        match self.0 {
            LossKind::CrossEntropy => terms::cross_entropy(log_prob),
            LossKind::Kl { estimator, reference } => estimator(log_prob, reference[token]),
            LossKind::PolicyGradient(pg) => pg.token_loss(token, log_prob),
            LossKind::Preference(_) => unreachable!("not token-local"),
        }
    }
}
