//! The CPU engine: [`expo_lm`]'s models on host memory.

pub mod adapter;
pub mod pack;
pub mod pass;

use std::any::Any;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{Config, OptimSection, Optimizer};
use crate::error::{Error, Result};
use crate::objective::loss::{LossKind, Teacher};
use crate::objective::sequence::Sequence;
use crate::policy::pass::{Accumulated, Measured};
use crate::policy::{Accumulation, Lm, Policy};
use expo_lm::generate::{EngineConfig, Generation, Request, TokenEvent, generate};
use expo_lm::load::ModelFolder;
use expo_lm::model::{Gradients, Model, PassSeconds, Workspace};
use expo_lm::optim::{AdamW, AdamWConfig};
use expo_lm::weights::folder::SaveDtype;
use expo_lm::weights::{TensorSet, TensorSource};

/// What the policies of one run share: memory for activations, kept between passes, and the size of these.
#[derive(Clone)]
struct Engine {
    workspace: Arc<Mutex<Workspace>>,
    max_tokens_per_micro_batch: usize,
}

impl Engine {
    fn new(max_tokens_per_micro_batch: usize, gradient_checkpointing: bool) -> Self {
        Self { workspace: Arc::new(Mutex::new(Workspace::new(gradient_checkpointing))), max_tokens_per_micro_batch }
    }

    /// A pass that panicked leaves memory that the next one writes anew.
    fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A model of the CPU engine.
pub struct CpuLm {
    model: Model,
    engine: Engine,
}

impl CpuLm {
    /// `model`, whose passes have at most `max_tokens_per_micro_batch` tokens.
    pub fn new(model: Model, max_tokens_per_micro_batch: usize) -> Self {
        Self { model, engine: Engine::new(max_tokens_per_micro_batch, false) }
    }

    /// Its weights.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

/// The model behind `lm`. Errors: it is of another engine.
pub fn model_of(lm: &dyn Lm) -> Result<&Model> {
    let any: &dyn Any = lm;
    let own = any.downcast_ref::<CpuLm>().map(|lm| &lm.model);
    let of_policy = || any.downcast_ref::<CpuPolicy>().map(|policy| &policy.lm.model);
    own.or_else(of_policy).ok_or_else(|| Error::Engine("these weights are not on the CPU engine, which was to read them".into()))
}

impl Lm for CpuLm {
    fn context(&self) -> usize {
        self.model.config.max_position_embeddings
    }
    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Measured>> {
        pass::score(&self.model, &mut self.engine.workspace(), sequences, self.engine.max_tokens_per_micro_batch)
    }
    fn generate(&self, requests: &[Request], max_num_seqs: usize, on_token: &mut (dyn FnMut(TokenEvent) + Send)) -> Result<Generation> {
        Ok(generate(&self.model, &EngineConfig { max_num_seqs }, requests, on_token)?)
    }
    fn tensors(&self) -> Result<Box<dyn TensorSet + '_>> {
        Ok(Box::new(self.model.tensors()))
    }
    fn restore(&mut self, source: &mut dyn TensorSource) -> Result<()> {
        Ok(self.model.restore(source)?)
    }
    fn save(&self, folder: &ModelFolder, dir: &Path, dtype: SaveDtype) -> Result<()> {
        Ok(folder.save_weights(&self.model, dir, dtype)?)
    }
    fn has_adapter(&self) -> bool {
        self.model.adapter().is_some()
    }
    fn sha256(&self) -> Result<String> {
        Ok(self.model.sha256())
    }
    fn base_sha256(&self) -> Result<Option<String>> {
        Ok(self.model.adapter().map(|_| self.model.base_sha256()))
    }
    fn duplicate(&self) -> Result<Box<dyn Lm>> {
        Ok(Box::new(Self { model: self.model.duplicate(), engine: self.engine.clone() }))
    }
    fn average_in(&mut self, other: &dyn Lm, decay: f32) -> Result<()> {
        self.model.average_in(model_of(other)?, decay);
        Ok(())
    }
    fn copy_from(&mut self, other: &dyn Lm) -> Result<()> {
        self.model.copy_from(model_of(other)?);
        Ok(())
    }
}

/// The CPU engine's policy: a model, its gradients and AdamW.
pub struct CpuPolicy {
    lm: CpuLm,
    gradients: Gradients,
    optimizer: AdamW,
    optim: OptimSection,
    /// Whether the adapter is a new one, which changes nothing yet.
    has_new_adapter: bool,
    notices: Vec<String>,
}

/// The files of AdamW's moments.
const MOMENTS: [&str; 2] = ["adamw_first_moments", "adamw_second_moments"];

impl CpuPolicy {
    /// `model` with the adapter and the optimizer that `config` asks for. Errors: an adapter that doesn't fit the model or can't be read, an option of the
    /// optimizer that names no parameter.
    pub fn new(config: &Config, mut model: Model) -> Result<Self> {
        let mut notices = Vec::new();
        let trained = adapter::attach(config, &mut model, &mut notices)?;
        notices.extend(trained);
        let optim = config.optim.clone();
        Ok(Self {
            gradients: model.new_gradients(),
            optimizer: new_optimizer(&optim, &model)?,
            optim,
            has_new_adapter: model.adapter().is_some() && config.lora.adapter.is_empty(),
            lm: CpuLm { model, engine: Engine::new(config.train.max_tokens_per_micro_batch, config.train.gradient_checkpointing) },
            notices,
        })
    }

    /// Every value of the gradient.
    #[cfg(test)]
    pub(crate) fn gradient(&self) -> Vec<f32> {
        let mut all = Vec::new();
        let each = &mut |_: &str, tensor: expo_lm::weights::HostTensor| {
            all.extend(tensor.data);
            Ok(())
        };
        self.gradients.export(&self.lm.model, each).expect("gradients in memory");
        all
    }

    /// Its weights as they are.
    pub fn into_model(self) -> Model {
        self.lm.model
    }
}

/// The optimizer as `optim` has it, nothing moved yet.
fn new_optimizer(optim: &OptimSection, model: &Model) -> Result<AdamW> {
    let options =
        AdamWConfig { beta1: optim.adam_beta1, beta2: optim.adam_beta2, eps: optim.adam_epsilon, weight_decay: optim.weight_decay };
    let optimizer = match optim.name {
        Optimizer::AdamW => AdamW::new(model, options),
        Optimizer::AdamW8bit => AdamW::new_8bit(model, options),
    };
    Ok(optimizer.with_no_decay(model, &optim.no_decay)?)
}

/// The model behind weights that are kept to teach. Errors: `who` is not kept, or not on this engine.
fn kept<'a>(lm: Option<&'a dyn Lm>, who: &str) -> Result<&'a Model> {
    let missing = || Error::Engine(format!("the {who} is to teach, but this run doesn't keep it"));
    model_of(lm.ok_or_else(missing)?)
}

/// What a policy is asked as any model is its model's to answer.
impl Lm for CpuPolicy {
    fn context(&self) -> usize {
        self.lm.context()
    }
    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Measured>> {
        self.lm.score(sequences)
    }
    fn generate(&self, requests: &[Request], max_num_seqs: usize, on_token: &mut (dyn FnMut(TokenEvent) + Send)) -> Result<Generation> {
        self.lm.generate(requests, max_num_seqs, on_token)
    }
    fn tensors(&self) -> Result<Box<dyn TensorSet + '_>> {
        self.lm.tensors()
    }
    fn restore(&mut self, source: &mut dyn TensorSource) -> Result<()> {
        self.lm.restore(source)
    }
    fn save(&self, folder: &ModelFolder, dir: &Path, dtype: SaveDtype) -> Result<()> {
        self.lm.save(folder, dir, dtype)
    }
    fn has_adapter(&self) -> bool {
        self.lm.has_adapter()
    }
    fn sha256(&self) -> Result<String> {
        self.lm.sha256()
    }
    fn base_sha256(&self) -> Result<Option<String>> {
        self.lm.base_sha256()
    }
    fn duplicate(&self) -> Result<Box<dyn Lm>> {
        self.lm.duplicate()
    }
    fn average_in(&mut self, other: &dyn Lm, decay: f32) -> Result<()> {
        self.lm.average_in(other, decay)
    }
    fn copy_from(&mut self, other: &dyn Lm) -> Result<()> {
        self.lm.copy_from(other)
    }
}

impl Policy for CpuPolicy {
    fn evaluates(&self, _kind: &LossKind) -> bool {
        true
    }
    fn accumulate(&mut self, sequences: &[Sequence], how: &Accumulation) -> Result<Accumulated> {
        let Self { lm, gradients, .. } = self;
        let mut workspace = lm.engine.workspace();
        workspace.dropout_seed = how.dropout_seed;
        let teaching = |teacher: Teacher| match teacher {
            Teacher::Current => Ok(&lm.model),
            Teacher::Initial => kept(how.teachers.initial, "initial policy"),
            Teacher::Average => kept(how.teachers.average, "average of the policy"),
        };
        let layout = (lm.engine.max_tokens_per_micro_batch, how.unit_temperature);
        pass::accumulate(&lm.model, &mut workspace, gradients, sequences, layout, &teaching)
    }
    fn grad_norm(&mut self) -> Result<f64> {
        Ok(self.gradients.norm())
    }
    fn apply(&mut self, learning_rate: f64, scale: f64) -> Result<()> {
        self.optimizer.step(&mut self.lm.model, &self.gradients, learning_rate, scale);
        Ok(())
    }
    fn reset_optimizer(&mut self) -> Result<()> {
        self.optimizer = new_optimizer(&self.optim, &self.lm.model)?;
        Ok(())
    }
    fn optimizer_steps(&self) -> u64 {
        self.optimizer.steps()
    }
    fn moments(&self) -> Result<Vec<(&'static str, Box<dyn TensorSet + '_>)>> {
        let sets = self.optimizer.moments(&self.lm.model);
        Ok(MOMENTS.into_iter().zip(sets).map(|(name, set)| (name, Box::new(set) as Box<dyn TensorSet>)).collect())
    }
    fn restore_moments(&mut self, steps: u64, open: &dyn Fn(&str) -> Result<Box<dyn TensorSource>>) -> Result<()> {
        let [mut first, mut second] = [open(MOMENTS[0])?, open(MOMENTS[1])?];
        Ok(self.optimizer.restore(&self.lm.model, steps, [first.as_mut(), second.as_mut()])?)
    }
    fn start(&self) -> Result<Box<dyn Lm>> {
        let model = if self.has_new_adapter { self.lm.model.without_adapter() } else { self.lm.model.duplicate() };
        Ok(Box::new(CpuLm { model, engine: self.lm.engine.clone() }))
    }
    fn has_dropout(&self) -> bool {
        self.lm.model.adapter().is_some_and(|adapter| adapter.config().lora_dropout > 0.0)
    }
    fn notices(&self) -> Vec<String> {
        self.notices.clone()
    }
    fn take_seconds(&mut self) -> PassSeconds {
        std::mem::take(&mut self.lm.engine.workspace().seconds)
    }
}
