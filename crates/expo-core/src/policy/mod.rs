//! The seam to engines: what a run asks of a language model ([`Lm`]), and of the one that it trains ([`Policy`]).
//!
//! What crosses is sequences with their terms as data ([`Sequence`]), and what was measured of them ([`Measured`]). How sequences are laid out for a pass, where
//! weights lie and which kernels run is the engine's own business: nothing here names one.

pub mod accumulate;
pub mod cpu;
pub mod pass;
pub mod policies;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::path::Path;

use expo_lm::generate::{Generation, Request, TokenEvent};
use expo_lm::load::ModelFolder;
use expo_lm::model::PassSeconds;
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::{TensorSet, TensorSource};

use crate::error::Result;
use crate::objective::loss::LossKind;
use crate::objective::sequence::Sequence;
use pass::{Accumulated, Measured};

/// A language model on some engine, as the initial policy, a reference, an average, the last good weights, and whoever writes explanations are. Copies of one
/// policy share what training doesn't change.
pub trait Lm: Any + Send + Sync {
    /// Longest sequence, prompt and completion, in tokens.
    fn context(&self) -> usize;

    /// Log-probabilities and entropies of the scored tokens of every sequence at its temperature; terms are not looked at. One entry a sequence, in their order.
    /// Errors: a token outside the vocabulary, a sequence that exceeds the context, an engine that fails.
    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Measured>>;

    /// All samples of all requests, `max_num_seqs` sequences at once at most; `on_token` hears of every token as it is drawn. A completion depends only on the
    /// weights, its prompt, its sampling parameters and its seed.
    fn generate(&self, requests: &[Request], max_num_seqs: usize, on_token: &mut (dyn FnMut(TokenEvent) + Send)) -> Result<Generation>;

    /// What training changes, as named tensors on the host: an adapter's with PEFT's names where there is one, else all weights with Hugging Face's.
    fn tensors(&self) -> Result<Box<dyn TensorSet + '_>>;

    /// Takes over what [`Lm::tensors`] gave. Errors: a missing tensor, another model's shapes; the model is then of no use.
    fn restore(&mut self, source: &mut dyn TensorSource) -> Result<()>;

    /// Writes `dir` with these weights and what else `folder` holds, as a Hugging Face folder, or of an adapter one in PEFT's format.
    fn save(&self, folder: &ModelFolder, dir: &Path, dtype: SaveDtype) -> Result<()>;

    /// Whether training changes an adapter alone.
    fn has_adapter(&self) -> bool;

    /// SHA-256 of all weights, for comparisons within one version.
    fn sha256(&self) -> Result<String>;

    /// The same of the frozen weights beneath an adapter; `None` where there is none.
    fn base_sha256(&self) -> Result<Option<String>>;

    /// A copy of its own of what training changes.
    fn duplicate(&self) -> Result<Box<dyn Lm>>;

    /// `self = decay * self + (1 - decay) * other` of what training changes. Errors: `other` is of another engine or shape.
    fn average_in(&mut self, other: &dyn Lm, decay: f32) -> Result<()>;

    /// Makes what training changes a copy of that of `other`. Errors: as for [`Lm::average_in`].
    fn copy_from(&mut self, other: &dyn Lm) -> Result<()>;
}

/// What a pass with gradients is told beside its sequences.
#[derive(Clone, Copy, Default)]
pub struct Accumulation<'a> {
    /// Whether sequences of another temperature than 1 are measured at temperature 1 as well.
    pub unit_temperature: bool,
    /// The seed of dropout, where the policy has some.
    pub dropout_seed: u64,
    /// Who may stand in as a teacher of distributions.
    pub teachers: Teachers<'a>,
}

/// The weights that a target distribution can come from, beside the policy's own.
#[derive(Clone, Copy, Default)]
pub struct Teachers<'a> {
    /// The run's initial policy.
    pub initial: Option<&'a dyn Lm>,
    /// The moving average of the policy.
    pub average: Option<&'a dyn Lm>,
}

/// The language model that a run trains, with its gradients and its optimizer.
pub trait Policy: Lm {
    /// Whether [`Policy::accumulate`] evaluates terms of this kind within its pass. Of others it gets coefficients ([`accumulate`]).
    fn evaluates(&self, kind: &LossKind) -> bool;

    /// Puts the gradient of the whole loss of `sequences` in the place of the one before. Sequences without any gradient only go forward. The weights and denominators in
    /// `sequences` are those of the whole step, so the result does not depend on how the engine parts them, beyond rounding.
    /// Errors: as for [`Lm::score`]; a term that the engine doesn't evaluate.
    fn accumulate(&mut self, sequences: &[Sequence], how: &Accumulation) -> Result<Accumulated>;

    /// Global L2 norm of the gradient; not finite if any value is not.
    fn grad_norm(&mut self) -> Result<f64>;

    /// One optimizer step with the gradient times `scale` (clipping: min(1, max_norm / norm)).
    fn apply(&mut self, learning_rate: f64, scale: f64) -> Result<()>;

    /// An optimizer without memory of earlier steps.
    fn reset_optimizer(&mut self) -> Result<()>;

    /// Updates that the optimizer remembers.
    fn optimizer_steps(&self) -> u64;

    /// The optimizer's tensors, by the name of the file that holds them.
    fn moments(&self) -> Result<Vec<(&'static str, Box<dyn TensorSet + '_>)>>;

    /// Takes over what [`Policy::moments`] gave after `steps` updates; `open` finds a set by its name.
    fn restore_moments(&mut self, steps: u64, open: &dyn Fn(&str) -> Result<Box<dyn TensorSource>>) -> Result<()>;

    /// The policy as it is before any training, as cheaply as it can be kept beside the one that is trained: a new adapter changes nothing yet, so that is the
    /// model without it.
    fn start(&self) -> Result<Box<dyn Lm>>;

    /// Whether passes with gradients give other log-probabilities than those without.
    fn has_dropout(&self) -> bool;

    /// What a user should know of what is trained.
    fn notices(&self) -> Vec<String>;

    /// Where the time of all passes since the last question went.
    fn take_seconds(&mut self) -> PassSeconds;
}
