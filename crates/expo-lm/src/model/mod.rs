//! The model: parameters, forward, backward, and what is asked of them.

mod backward;
mod forward;
mod hash;
pub(crate) mod params;
mod products;
mod projection;
pub(crate) mod rope;
pub(crate) mod tensors;
#[cfg(test)]
pub(crate) mod tests;
mod workspace;

use std::sync::Arc;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::{DistributionTarget, LossGradient, PackedBatch, TokenScore};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Backend, Cpu, HeadGradients, HeadScores, LinearShape, Teacher};
use crate::lora::Adapter;
use crate::weights::{HostTensor, TensorSource};

pub(crate) use params::head_layout;
use params::{ParamSpec, ParamTable};
pub(crate) use products::Projection;

/// A decoder-only language model on a backend.
pub struct LanguageModel<B: Backend> {
    /// Shape and options.
    pub config: ModelConfig,
    pub(crate) backend: B,
    pub(crate) table: ParamTable,
    /// The weights without the adapter: those of several policies at once where each has an adapter of its own, or none.
    pub(crate) params: Arc<Vec<B::Buf>>,
    /// The low-rank adapter (LoRA), which is then all that training changes.
    pub(crate) adapter: Option<Adapter<B>>,
}

/// The model that users run: fp32 on the CPU.
pub type Model = LanguageModel<Cpu<f32>>;

/// Activation memory for [`Model`].
pub type Workspace = workspace::Workspace<Cpu<f32>>;

pub use tensors::ParamTensors;
pub use workspace::PassSeconds;
pub(crate) use workspace::{Keep, Workspace as WorkspaceOn};

/// Gradients of every parameter that training changes (the adapter's, or all), accumulated by [`LanguageModel::forward_backward`].
pub struct Gradients<B: Backend = Cpu<f32>> {
    pub(crate) backend: B,
    pub(crate) bufs: Vec<B::Buf>,
}

/// Distributions that a pass draws a model's own towards: those of a teacher for the same tokens behind another prompt (self-distillation from a hinted
/// prompt) or with other weights (the initial ones, an average). The teacher gets no gradient, and may be the model itself.
///
/// ```
/// # use expo_lm::{DistributionTarget, Divergence, LossGradient, PackedBatch, Result, model::{Distillation, Model, Workspace}};
/// # fn pass(model: &Model, teacher: &Model, prompt: &[u32], hinted: &[u32], completion: &[u32]) -> Result<f64> {
/// let (mut own, mut its) = (PackedBatch::new(), PackedBatch::new());
/// own.push(prompt, completion, 1.0);
/// its.push(hinted, completion, 1.0);
/// let mut workspace = Workspace::default();
/// let hidden = teacher.hidden_states(&mut workspace, &its)?;
/// let divergence = Divergence { alpha: 0.5, cap: None };
/// let weight = 1.0 / completion.len() as f64;
/// let target = |i| DistributionTarget { target: i, teacher_row: i, divergence, weight };
/// let targets: Vec<DistributionTarget> = (0..completion.len()).map(target).collect();
/// let distillation = Distillation { teacher, hidden: &hidden, targets: &targets };
/// let (mut gradients, no_other_loss) = (model.new_gradients(), LossGradient::PerToken(&|_, _| 0.0));
/// let scores = model.forward_backward_distilling(&mut workspace, &own, &mut gradients, no_other_loss, Some(&distillation))?;
/// # Ok(
/// scores.divergences.iter().map(|divergence| weight * divergence).sum::<f64>()
/// # )
/// # }
/// ```
pub struct Distillation<'a, B: Backend = Cpu<f32>> {
    /// Whose head makes logits of the hidden states. Of the same vocabulary as the student, not necessarily of its width.
    pub teacher: &'a LanguageModel<B>,
    /// The teacher's final hidden rows, normalised, as [`LanguageModel::hidden_states`] gives them: `[n, the teacher's hidden size]`, row-major.
    pub hidden: &'a [f32],
    /// Which targets of the student's batch are drawn to which rows: in the order of the batch's targets, at most one each. They use their target's temperature.
    pub targets: &'a [DistributionTarget],
}

impl<B: Backend> LanguageModel<B> {
    /// Reads every parameter from `source`. Errors: a missing tensor, a shape mismatch, a non-finite value (each by name).
    pub fn load(config: ModelConfig, source: &mut dyn TensorSource) -> Result<Self> {
        let (backend, table) = (B::default(), ParamTable::new(&config));
        let params = Arc::new(params::load(backend, &table.specs, source, "config.json and the weights must be of the same model")?);
        Ok(Self { config, backend, table, params, adapter: None })
    }

    /// Random initialisation: matrices normal with `std` (Hugging Face's default is 0.02), norms' factors 1, biases 0.
    pub fn random(config: ModelConfig, std: f32, seed: u64) -> Self {
        let (backend, table) = (B::default(), ParamTable::new(&config));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let norm = 1.0 - config.family.norm_offset;
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
                None => backend.vector(&vec![if spec.parts[0].0.ends_with("bias") { 0.0 } else { norm }; spec.rows()]),
            })
            .collect();
        Self { config, backend, table, params: Arc::new(params), adapter: None }
    }

    /// Calls `each` with every tensor that training changes: the adapter's where there is one (named as in PEFT), else all weights (named and laid out as in
    /// Hugging Face's models).
    pub fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        params::export(self.backend, self.trained_specs(), self.trained(), each)
    }

    /// The adapter, if there is one.
    pub fn adapter(&self) -> Option<&Adapter<B>> {
        self.adapter.as_ref()
    }

    /// What training changes: names and shapes.
    pub(crate) fn trained_specs(&self) -> &[ParamSpec] {
        self.adapter.as_ref().map_or(&self.table.specs, |adapter| &adapter.specs)
    }

    /// What training changes.
    pub(crate) fn trained(&self) -> &[B::Buf] {
        self.adapter.as_ref().map_or(&self.params, |adapter| &adapter.params)
    }

    /// What training changes, to be changed.
    pub(crate) fn trained_mut(&mut self) -> &mut [B::Buf] {
        if self.adapter.is_none() {
            return self.params_mut();
        }
        self.adapter.as_mut().map_or(&mut [], |adapter| &mut adapter.params)
    }

    /// The weights without the adapter, to be changed: weights of its own first, where another policy shares them.
    pub(crate) fn params_mut(&mut self) -> &mut Vec<B::Buf> {
        if Arc::get_mut(&mut self.params).is_none() {
            self.params = Arc::new(copies(self.backend, &self.params));
        }
        Arc::get_mut(&mut self.params).expect("nobody else has these")
    }

    /// Number of parameters without the adapter (a tied head counted once).
    pub fn num_parameters(&self) -> usize {
        self.table.specs.iter().map(ParamSpec::count).sum()
    }

    /// Number of parameters that training changes.
    pub fn num_trained_parameters(&self) -> usize {
        self.trained_specs().iter().map(ParamSpec::count).sum()
    }

    /// Zeroed gradients of what training changes.
    pub fn new_gradients(&self) -> Gradients<B> {
        let bufs = self.trained().iter().map(|p| self.backend.zeros(self.backend.len(p))).collect();
        Gradients { backend: self.backend, bufs }
    }

    /// Independent copy (a reference policy, an average): of the adapter, where there is one, the other weights being shared; else of all weights.
    pub fn duplicate(&self) -> Self {
        let (params, adapter) = match &self.adapter {
            Some(adapter) => (self.params.clone(), Some(adapter.duplicate())),
            None => (Arc::new(copies(self.backend, &self.params)), None),
        };
        Self { config: self.config.clone(), backend: self.backend, table: self.table.clone(), params, adapter }
    }

    /// The policy without its adapter; it shares the weights with this one.
    pub fn without_adapter(&self) -> Self {
        let params = self.params.clone();
        Self { config: self.config.clone(), backend: self.backend, table: self.table.clone(), params, adapter: None }
    }

    /// `self = decay * self + (1 - decay) * other` of what training changes: a moving average of weights. Both have the same shape.
    pub fn average_in(&mut self, other: &Self, decay: f32) {
        assert_eq!(self.trained().len(), other.trained().len(), "an average of policies with and without adapter");
        let backend = self.backend;
        for (to, from) in self.trained_mut().iter_mut().zip(other.trained()) {
            backend.average(from, to, f64::from(decay));
        }
    }

    /// Makes what training changes a copy of that of `other`, whatever it held before. Both have the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        assert_eq!(self.trained().len(), other.trained().len(), "a copy between policies with and without adapter");
        let backend = self.backend;
        for (to, from) in self.trained_mut().iter_mut().zip(other.trained()) {
            backend.copy(from, to, backend.len(from));
        }
    }

    /// Log-probability and entropy of every target of `batch`. No gradient.
    /// Errors: a token outside the vocabulary, a sequence longer than the context, malformed segments or targets.
    pub fn score(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch) -> Result<Vec<TokenScore>> {
        Ok(self.score_distilling(workspace, batch, None)?.tokens)
    }

    /// [`LanguageModel::score`], with the divergences of a distillation's targets.
    /// Errors as there; and a distillation that doesn't fit the batch or this model.
    pub fn score_distilling(
        &self,
        workspace: &mut WorkspaceOn<B>,
        batch: &PackedBatch,
        distillation: Option<&Distillation<'_, B>>,
    ) -> Result<HeadScores> {
        self.check(batch)?;
        let teacher = distillation.map(|distillation| self.taught_by(batch, distillation)).transpose()?;
        self.forward_packed(workspace, batch, Keep::Nothing);
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let start = Instant::now();
        let (width, vocab, weight) = (self.config.hidden_size, self.config.vocab_size, &self.params[self.table.head]);
        let scores = self.backend.score(width, vocab, hidden, weight, &batch.targets, teacher.as_ref());
        workspace.seconds.head += start.elapsed().as_secs_f64();
        Ok(scores)
    }

    /// The final hidden rows, normalised, that predict the targets of `batch`: `[targets, hidden]`, row-major, in the order of the targets. No gradient. A row
    /// times the head's weight is a row of logits, so this is what a teacher hands over of its distributions.
    /// Errors as [`LanguageModel::score`].
    pub fn hidden_states(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch) -> Result<Vec<f32>> {
        self.check(batch)?;
        self.forward_packed(workspace, batch, Keep::Nothing);
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let rows: Vec<usize> = batch.targets.iter().map(|target| target.row).collect();
        Ok(self.backend.read_rows(self.config.hidden_size, &rows, hidden))
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

    /// Forward and backward of a loss of the targets' scores; gradients are *added* to `gradients`. Returns the scores of the forward pass.
    /// Errors as [`LanguageModel::score`].
    pub fn forward_backward(
        &self,
        workspace: &mut WorkspaceOn<B>,
        batch: &PackedBatch,
        gradients: &mut Gradients<B>,
        loss: LossGradient<'_>,
    ) -> Result<Vec<TokenScore>> {
        Ok(self.forward_backward_distilling(workspace, batch, gradients, loss, None)?.tokens)
    }

    /// [`LanguageModel::forward_backward`] of a loss of the targets' scores and of a distillation, in one pass.
    /// Errors as [`LanguageModel::score_distilling`].
    pub fn forward_backward_distilling(
        &self,
        workspace: &mut WorkspaceOn<B>,
        batch: &PackedBatch,
        gradients: &mut Gradients<B>,
        loss: LossGradient<'_>,
        distillation: Option<&Distillation<'_, B>>,
    ) -> Result<HeadScores> {
        self.check(batch)?;
        let teacher = distillation.map(|distillation| self.taught_by(batch, distillation)).transpose()?;
        assert_eq!(gradients.bufs.len(), self.trained().len(), "gradients of another model");
        let keep = workspace.keep_for_backward();
        let positions = self.forward_packed(workspace, batch, keep);
        let (width, vocab, head) = (self.config.hidden_size, self.config.vocab_size, self.table.head);
        let start = Instant::now();
        let hidden = workspace.hidden.as_ref().expect("filled by the forward pass");
        let dhidden = &mut workspace.backward.as_mut().expect("filled by the forward pass").hidden;
        self.backend.clear(dhidden, batch.tokens.len() * width);
        let to = HeadGradients { loss, dhidden, dweight: self.base_gradient(&mut gradients.bufs, head) };
        let scores = self.backend.score_backward(width, vocab, hidden, &self.params[head], &batch.targets, teacher.as_ref(), to);
        let head = start.elapsed().as_secs_f64();
        self.backward(workspace, &batch.tokens, &positions, &batch.segments, keep, gradients);
        workspace.seconds.head += head;
        workspace.next_dropout();
        workspace.seconds.backward += start.elapsed().as_secs_f64() - head;
        Ok(scores)
    }

    /// What the head needs of a distillation of this model on `batch`.
    fn taught_by<'a>(&self, batch: &PackedBatch, distillation: &Distillation<'a, B>) -> Result<Teacher<'a, B::Buf>> {
        let Distillation { teacher, hidden, targets } = *distillation;
        let (width, vocab) = (teacher.config.hidden_size, teacher.config.vocab_size);
        if vocab != self.config.vocab_size {
            return Err(Error::Invalid(format!(
                "the teacher has a vocabulary of {vocab} tokens, the model one of {}; distributions are compared token by token",
                self.config.vocab_size
            )));
        }
        if !hidden.len().is_multiple_of(width) {
            let found = hidden.len();
            return Err(Error::Invalid(format!(
                "the teacher's hidden states are {found} numbers, which is not a multiple of its width {width}"
            )));
        }
        batch.check_distributions(targets, hidden.len() / width)?;
        Ok(Teacher { width, hidden, weight: &teacher.params[teacher.table.head], targets })
    }

    /// Forward over packed sequences; returns the positions.
    fn forward_packed(&self, workspace: &mut WorkspaceOn<B>, batch: &PackedBatch, keep: Keep) -> Vec<u32> {
        let start = Instant::now();
        let positions = batch.positions();
        let (backend, layout, layers) = (self.backend, head_layout(&self.config), &self.config.layers);
        self.forward(workspace, &batch.tokens, &positions, keep, &mut |l, qkv, out, lse| {
            backend.attention(layout, &batch.segments, layers[l].window, qkv, out, lse);
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

    /// Calls `each` with every gradient, named and laid out as in [`LanguageModel::export`].
    pub fn export(&self, model: &LanguageModel<B>, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        params::export(self.backend, model.trained_specs(), &self.bufs, each)
    }

    /// Gradients of `model` read from named tensors.
    pub fn load(model: &LanguageModel<B>, source: &mut dyn TensorSource) -> Result<Self> {
        let bufs = params::load(model.backend, model.trained_specs(), source, "gradients and model must belong together")?;
        Ok(Self { backend: model.backend, bufs })
    }
}

/// Copies of buffers.
pub(crate) fn copies<B: Backend>(backend: B, bufs: &[B::Buf]) -> Vec<B::Buf> {
    let copy = |buf: &B::Buf| {
        let mut copy = backend.zeros(backend.len(buf));
        backend.copy(buf, &mut copy, backend.len(buf));
        copy
    };
    bufs.iter().map(copy).collect()
}
