//! AdamW, fused with gradient scaling in one pass over memory.

use crate::error::Result;
use crate::kernels::{AdamWStep, Backend, Cpu};
use crate::model::params::{self, ParamSpec};
use crate::model::{Gradients, LanguageModel};
use crate::weights::HostTensor;

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

/// AdamW's state: both moments of every parameter that training changes, and the step count.
pub struct AdamW<B: Backend = Cpu<f32>> {
    config: AdamWConfig,
    backend: B,
    first: Vec<B::Buf>,
    second: Vec<B::Buf>,
    step: u64,
}

impl<B: Backend> AdamW<B> {
    /// Zero moments for `model`.
    pub fn new(model: &LanguageModel<B>, config: AdamWConfig) -> Self {
        let [first, second] = [(); 2].map(|()| model.new_gradients().bufs);
        Self { config, backend: model.backend, first, second, step: 0 }
    }

    /// One update with learning rate `lr`; every gradient is multiplied by `gradient_scale` first (clipping: min(1, max_norm / norm)).
    pub fn step(&mut self, model: &mut LanguageModel<B>, gradients: &Gradients<B>, lr: f64, gradient_scale: f64) {
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let decays: Vec<bool> = model.trained_specs().iter().map(ParamSpec::decays).collect();
        for (i, (param, decays)) in model.trained_mut().iter_mut().zip(decays).enumerate() {
            let weight_decay = if decays { weight_decay } else { 0.0 };
            let step = AdamWStep { lr, beta1, beta2, eps, weight_decay, step: self.step, gradient_scale };
            self.backend.adamw(&step, param, &gradients.bufs[i], &mut self.first[i], &mut self.second[i]);
        }
    }

    /// Calls `each` with every first moment (`second` false) or second moment, named and laid out as in [`LanguageModel::export`].
    pub fn export(&self, model: &LanguageModel<B>, second: bool, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        params::export(self.backend, model.trained_specs(), if second { &self.second } else { &self.first }, each)
    }
}
