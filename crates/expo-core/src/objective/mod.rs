//! Objectives: every algorithm is a recipe with three answers: what is drawn, how it is scored, which loss terms use it.
//!
//! The loss is a sum of terms ([`Term`]), each with its own per-token weights and its own denominator, fixed for the whole
//! optimizer step before its first micro-batch.

pub mod advantage;
pub mod denominator;
pub mod document;
pub mod dpo;
pub mod exp_dpo;
pub mod exp_grpo;
pub mod group;
pub mod grpo;
pub mod grpo_sft_gt_cot;
pub mod loss;
pub mod luffy;
pub mod policy_gradient;
pub mod preference;
pub mod recipe;
pub mod registry;
pub mod sequence;
pub mod sft;
pub mod star;
pub mod term;
pub mod terms;
pub mod unread;
pub mod value;

pub use document::{EncodedDocument, trained_tokens};
pub use group::{Explanation, ExplanationOutcome, Explanations, Group, HintInformation, LoggedExplanation, Rollout};
pub use loss::{Divergence, LossKind, OwnTerm, SequenceLoss, Teacher};
pub use policy_gradient::{Advantages, PolicyGradient};
pub use recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
pub use registry::recipe;
pub use sequence::{Origin, Partner, Sequence};
pub use term::Term;
pub use value::{Scores, SequenceValue};
