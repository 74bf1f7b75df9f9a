//! The model: parameters, forward, backward, and what is asked of them.
//!
//! (interface draft; being filled in on branch `engine`)

use crate::batch::{PackedBatch, TokenScore};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::weights::{HostTensor, TensorSource};

/// A decoder-only language model (fp32 weights on the CPU).
pub struct Model {
    /// Shape and options.
    pub config: ModelConfig,
}

/// Gradients of every parameter of a [`Model`], accumulated by [`Model::forward_backward`].
pub struct Gradients {}

/// Reusable memory for activations: allocated when a larger batch comes, kept otherwise.
#[derive(Default)]
pub struct Workspace {}

impl Model {
    /// Reads every parameter from `source`. Errors: a missing tensor, a shape mismatch, a non-finite value (each by name).
    pub fn load(config: ModelConfig, source: &mut dyn TensorSource) -> Result<Self> {
        let _ = source;
        Ok(Self { config })
    }
    /// Random initialisation: normal with `std` (Hugging Face's 0.02), norms 1, biases 0.
    pub fn random(config: ModelConfig, std: f32, seed: u64) -> Self {
        let _ = (std, seed);
        Self { config }
    }
    /// Calls `each` with every tensor in Hugging Face's naming and layout.
    pub fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        let _ = each;
        todo!()
    }
    /// Number of parameters (a tied head counted once).
    pub fn num_parameters(&self) -> usize {
        todo!()
    }
    /// Zeroed gradients for this model.
    pub fn new_gradients(&self) -> Gradients {
        todo!()
    }
    /// Independent copy of the weights (a reference policy, an average).
    pub fn duplicate(&self) -> Self {
        todo!()
    }
    /// `self = decay * self + (1 - decay) * other`: a moving average of weights.
    pub fn average_in(&mut self, other: &Model, decay: f32) {
        let _ = (other, decay);
        todo!()
    }
    /// Log-probability and entropy of every target of `batch`. No gradient.
    pub fn score(&self, workspace: &mut Workspace, batch: &PackedBatch) -> Result<Vec<TokenScore>> {
        let _ = (workspace, batch);
        todo!()
    }
    /// Forward and backward. `weight(i, log_prob)` is d(loss)/d(log_prob of target i), asked once the target's log-probability
    /// is known; gradients are *added* to `gradients`. Returns the scores of the forward pass.
    pub fn forward_backward(
        &self,
        workspace: &mut Workspace,
        batch: &PackedBatch,
        gradients: &mut Gradients,
        weight: &(dyn Fn(usize, f64) -> f64 + Sync),
    ) -> Result<Vec<TokenScore>> {
        let _ = (workspace, batch, gradients, weight);
        todo!()
    }
}

impl Gradients {
    /// Sets every gradient to zero.
    pub fn zero(&mut self) {
        todo!()
    }
    /// Global L2 norm.
    pub fn norm(&self) -> f64 {
        todo!()
    }
}

/// AdamW (arXiv 1711.05101), as PyTorch computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; not applied to norms and biases.
    pub weight_decay: f64,
}

/// AdamW's state: both moments of every parameter, and the step count.
pub struct AdamW {}

impl AdamW {
    /// Zero moments for `model`.
    pub fn new(model: &Model, config: AdamWConfig) -> Self {
        let _ = (model, config);
        todo!()
    }
    /// One update with learning rate `lr`; every gradient is multiplied by `gradient_scale` first (clipping: min(1, max_norm / norm)).
    pub fn step(&mut self, model: &mut Model, gradients: &Gradients, lr: f64, gradient_scale: f64) {
        let _ = (model, gradients, lr, gradient_scale);
        todo!()
    }
}
