//! AdamW, fused with gradient scaling in one pass over memory.

use crate::error::Result;
use crate::kernels::{AdamWStep, Backend, Cpu};
use crate::model::{Gradients, LanguageModel, ParamTensors, tensors};
use crate::weights::{HostTensor, TensorSource};

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
        for (i, spec) in model.table.specs.iter().enumerate() {
            let weight_decay = if spec.decays() { weight_decay } else { 0.0 };
            let step = AdamWStep { lr, beta1, beta2, eps, weight_decay, step: self.step, gradient_scale };
            self.backend.adamw(&step, &mut model.params[i], &gradients.bufs[i], &mut self.first[i], &mut self.second[i]);
        }
    }

    /// Calls `each` with every first moment (`second` false) or second moment, in Hugging Face's naming and layout.
    pub fn export(&self, model: &LanguageModel<B>, second: bool, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        model.table.export(self.backend, if second { &self.second } else { &self.first }, each)
    }

    /// Number of updates so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The first and the second moments as tensors under the names of `model`'s parameters.
    pub fn moments<'a>(&'a self, model: &'a LanguageModel<B>) -> [ParamTensors<'a, B>; 2] {
        [&self.first, &self.second].map(|bufs| ParamTensors::new(model, bufs))
    }

    /// Takes over moments that [`AdamW::moments`] wrote after `steps` updates. Errors: a missing tensor, another model's shapes.
    pub fn restore(&mut self, model: &LanguageModel<B>, steps: u64, moments: [&mut dyn TensorSource; 2]) -> Result<()> {
        for (bufs, source) in [&mut self.first, &mut self.second].into_iter().zip(moments) {
            tensors::restore(&model.table, self.backend, bufs, source)?;
        }
        self.step = steps;
        Ok(())
    }
}
