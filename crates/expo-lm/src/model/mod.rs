//! The model: parameters, forward, backward, and what is asked of them.

mod backward;
mod forward;
mod params;
mod rope;
pub(crate) mod tensors;
#[cfg(test)]
pub(crate) mod tests;
mod workspace;

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::{LossGradient, PackedBatch, TokenScore};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Backend, Cpu, HeadGradients, LinearShape};
use crate::weights::{HostTensor, TensorSource};

use params::ParamTable;
pub(crate) use params::head_layout;

/// A decoder-only language model of the Llama family on a backend.
pub struct LanguageModel<B: Backend> {
    /// Shape and options.
    pub config: ModelConfig,
    pub(crate) backend: B,
    pub(crate) table: ParamTable,
    pub(crate) params: Vec<B::Buf>,
}

/// The model that users run: fp32 on the CPU.
pub type Model = LanguageModel<Cpu<f32>>;

/// Activation memory for [`Model`].
pub type Workspace = workspace::Workspace<Cpu<f32>>;

pub use tensors::ParamTensors;
pub use workspace::PassSeconds;
pub(crate) use workspace::{Keep, Workspace as WorkspaceOn};

/// Gradients of every parameter of a model, accumulated by [`LanguageModel::forward_backward`].
pub struct Gradients<B: Backend = Cpu<f32>> {
    pub(crate) backend: B,
    pub(crate) bufs: Vec<B::Buf>,
}

impl<B: Backend> LanguageModel<B> {
    /// Reads every parameter from `source`. Errors: a missing tensor, a shape mismatch, a non-finite value (each by name).
    pub fn load(config: ModelConfig, source: &mut dyn TensorSource) -> Result<Self> {
        let (backend, table) = (B::default(), ParamTable::new(&config));
        let params = table.load(backend, source)?;
        Ok(Self { config, backend, table, params })
    }

    /// Random initialisation: matrices normal with `std` (Hugging Face's default is 0.02), norms 1, biases 0.
    pub fn random(config: ModelConfig, std: f32, seed: u64) -> Self {
        let (backend, table) = (B::default(), ParamTable::new(&config));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || {
            // Box-Muller; one of the pair is enough here.
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32 * std
        };
        let params = table
            .specs
            .iter()
            .map(|spec| match spec.cols {
                Some(cols) => backend.matrix(spec.rows(), cols, &(0..spec.count()).map(|_| normal()).collect::<Vec<_>>()),
                None => backend.vector(&vec![if spec.parts[0].0.ends_with("bias") { 0.0 } else { 1.0 }; spec.rows()]),
            })
            .collect();
        Self { config, backend, table, params }
    }

    /// Calls `each` with every tensor in Hugging Face's naming and layout.
    pub fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        self.table.export(self.backend, &self.params, each)
    }

    /// Number of parameters (a tied head counted once).
    pub fn num_parameters(&self) -> usize {
        self.table.specs.iter().map(params::ParamSpec::count).sum()
    }

    /// Zeroed gradients for this model.
    pub fn new_gradients(&self) -> Gradients<B> {
        let bufs = self.params.iter().map(|p| self.backend.zeros(self.backend.len(p))).collect();
        Gradients { backend: self.backend, bufs }
    }

    /// Independent copy of the weights (a reference policy, an average).
    pub fn duplicate(&self) -> Self {
        let params = tensors::copy(self.backend, &self.params);
        Self { config: self.config.clone(), backend: self.backend, table: self.table.clone(), params }
    }

    /// `self = decay * self + (1 - decay) * other`: a moving average of weights. Both have the same shape.
    pub fn average_in(&mut self, other: &Self, decay: f32) {
        for (to, from) in self.params.iter_mut().zip(&other.params) {
            self.backend.average(from, to, f64::from(decay));
        }
    }

    /// Log-probability and entropy of every target of `batch`. No gradient.
    /// Errors: a token outside the vocabulary, a sequence longer than the context, malformed segments or targets.
    pub fn score(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch) -> Result<Vec<TokenScore>> {
        self.check(batch)?;
        self.forward_packed(workspace, batch, Keep::Nothing);
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let start = Instant::now();
        let scores =
            self.backend.score(self.config.hidden_size, self.config.vocab_size, hidden, &self.params[self.table.head], &batch.targets);
        workspace.seconds.head += start.elapsed().as_secs_f64();
        Ok(scores)
    }

    /// Raw logits `[rows, vocab_size]`, row-major, of some rows of `batch` (its targets are not used): for tests and small inspections, since
    /// nothing is chunked. Errors as [`LanguageModel::score`].
    pub fn logits(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch, rows: &[usize]) -> Result<Vec<f64>> {
        self.check(batch)?;
        if let Some(row) = rows.iter().find(|r| **r >= batch.tokens.len()) {
            return Err(Error::Invalid(format!("logits of row {row} were asked for, but the batch has {} tokens", batch.tokens.len())));
        }
        self.forward_packed(workspace, batch, Keep::Nothing);
        let (b, width, vocab) = (self.backend, self.config.hidden_size, self.config.vocab_size);
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let (mut chosen, mut logits) = (b.zeros(rows.len() * width), b.zeros(rows.len() * vocab));
        b.gather(width, rows, hidden, &mut chosen);
        let shape = LinearShape { rows: rows.len(), inputs: width, outputs: vocab };
        b.linear(shape, &chosen, &self.params[self.table.head], &mut logits, false);
        Ok(b.read_vector(&logits))
    }

    /// Forward and backward of a loss of the targets' log-probabilities; gradients are *added* to `gradients`. Returns the scores of the forward pass.
    /// Errors as [`LanguageModel::score`].
    pub fn forward_backward(
        &self,
        workspace: &mut WorkspaceOn<B>,
        batch: &PackedBatch,
        gradients: &mut Gradients<B>,
        loss: LossGradient<'_>,
    ) -> Result<Vec<TokenScore>> {
        self.check(batch)?;
        let keep = workspace.keep_for_backward();
        let positions = self.forward_packed(workspace, batch, keep);
        let (width, head) = (self.config.hidden_size, self.table.head);
        let start = Instant::now();
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let dhidden = &mut workspace.backward.as_mut().expect("filled by the forward pass").hidden;
        self.backend.clear(dhidden, batch.tokens.len() * width);
        let to = HeadGradients { loss, dhidden, dweight: &mut gradients.bufs[head] };
        let scores = self.backend.score_backward(width, self.config.vocab_size, hidden, &self.params[head], &batch.targets, to);
        let head = start.elapsed().as_secs_f64();
        self.backward(workspace, &batch.tokens, &positions, &batch.segments, keep, gradients);
        workspace.seconds.head += head;
        workspace.seconds.backward += start.elapsed().as_secs_f64() - head;
        Ok(scores)
    }

    /// Forward over packed sequences; returns the positions.
    fn forward_packed(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch, keep: Keep) -> Vec<u32> {
        let start = Instant::now();
        let positions = batch.positions();
        let (backend, layout, windows) = (self.backend, head_layout(&self.config), &self.config.sliding_window);
        self.forward(workspace, &batch.tokens, &positions, keep, &mut |l, qkv, out, lse| {
            backend.attention(layout, &batch.segments, windows[l], qkv, out, lse);
        });
        workspace.seconds.forward += start.elapsed().as_secs_f64();
        positions
    }

    fn check(&self, batch: &PackedBatch) -> Result<()> {
        batch.check(self.config.vocab_size, self.config.max_position_embeddings)
    }
}

impl<B: Backend> Gradients<B> {
    /// Sets every gradient to zero.
    pub fn zero(&mut self) {
        for buf in &mut self.bufs {
            self.backend.clear(buf, self.backend.len(buf));
        }
    }

    /// Global L2 norm; not finite if any gradient is not.
    pub fn norm(&self) -> f64 {
        self.bufs.iter().map(|buf| self.backend.sum_of_squares(buf)).sum::<f64>().sqrt()
    }

    /// Calls `each` with every gradient in Hugging Face's naming and layout.
    pub fn export(&self, model: &LanguageModel<B>, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        model.table.export(self.backend, &self.bufs, each)
    }

    /// Gradients of `model` read from named tensors.
    pub fn load(model: &LanguageModel<B>, source: &mut dyn TensorSource) -> Result<Self> {
        Ok(Self { backend: model.backend, bufs: model.table.load(model.backend, source)? })
    }
}
