//! An adapter: its matrices, where each belongs, and what a pass needs of them.

use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{LoraConfig, TargetModule, targets};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Backend, Dropout, LowRank, LowRankShape};
use crate::model::params::{ParamSpec, head_layout};
use crate::model::{LanguageModel, Projection, copies};
use crate::models::BlockTensors;

/// Low-rank matrices A and B for some linear layers, with the names that PEFT gives them.
pub struct Adapter<B: Backend> {
    backend: B,
    config: LoraConfig,
    base_name: String,
    /// The base's tensors, which give the layers' names.
    tensors: &'static BlockTensors,
    /// The adapted layers of every block.
    blocks: Vec<Vec<Part>>,
    /// A and B of every part of block 0, then of block 1, and so on.
    pub(crate) specs: Vec<ParamSpec>,
    pub(crate) params: Vec<B::Buf>,
    /// Hash of the weights that it belongs to, once it is known.
    pub(crate) base_sha256: OnceLock<String>,
}

/// A module of a block, with the rank of its matrices and what alpha is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Adapted {
    pub layer: usize,
    pub module: TargetModule,
    pub rank: usize,
    pub alpha: f64,
}

/// One adapted layer of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// A's place among the adapter's matrices; B's is the next.
    at: usize,
    module: TargetModule,
    rank: usize,
    alpha: f64,
    /// What the product is multiplied by.
    scale: f64,
    inputs: usize,
    outputs: usize,
    /// First of its columns in the engine's product.
    first: usize,
    /// Columns of the whole product.
    stride: usize,
}

impl Part {
    fn new(at: usize, adapted: Adapted, lora: &LoraConfig, config: &ModelConfig) -> Self {
        let Adapted { module, rank, alpha, .. } = adapted;
        let layout = head_layout(config);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (layout.q_heads * layout.head_dim, layout.kv_heads * layout.head_dim);
        let (inputs, outputs, first, stride) = match module {
            TargetModule::Q => (hidden, q, 0, layout.row()),
            TargetModule::K => (hidden, kv, layout.key(0), layout.row()),
            TargetModule::V => (hidden, kv, layout.value(0), layout.row()),
            TargetModule::O => (q, hidden, 0, hidden),
            TargetModule::Gate => (hidden, inner, 0, 2 * inner),
            TargetModule::Up => (hidden, inner, inner, 2 * inner),
            TargetModule::Down => (inner, hidden, 0, hidden),
        };
        Self { at, module, rank, alpha, scale: lora.scaling_of(rank, alpha), inputs, outputs, first, stride }
    }

    /// The engine's product that it is a part of.
    pub(super) fn projection(&self) -> Projection {
        self.module.projection()
    }
}

impl<B: Backend> Adapter<B> {
    /// Parts and specs of the modules in `modules`, in the order of blocks and, within one, of [`TargetModule::ALL`]; the matrices come from `params`.
    pub(super) fn build(
        model: &LanguageModel<B>,
        mut config: LoraConfig,
        modules: &[Adapted],
        base_name: &str,
        params: impl FnOnce(&[ParamSpec]) -> Result<Vec<B::Buf>>,
    ) -> Result<Self> {
        config.target_modules = TargetModule::ALL.into_iter().filter(|module| modules.iter().any(|m| m.module == *module)).collect();
        config.check()?;
        let tensors = &model.config.family.tensors;
        let mut blocks = vec![Vec::new(); model.config.num_hidden_layers];
        let mut specs = Vec::new();
        for adapted in modules {
            let part = Part::new(specs.len(), *adapted, &config, &model.config);
            let name = format!("base_model.model.{}", targets::path(tensors, "model.", adapted.layer, adapted.module));
            let mut add = |which: &str, rows: usize, cols: usize| {
                specs.push(ParamSpec { parts: vec![(format!("{name}.{which}.weight"), rows)], cols: Some(cols) });
            };
            add("lora_A", part.rank, part.inputs);
            add("lora_B", part.outputs, part.rank);
            blocks[adapted.layer].push(part);
        }
        let params = params(&specs)?;
        let base_name = base_name.to_owned();
        Ok(Self { backend: model.backend, config, base_name, tensors, blocks, specs, params, base_sha256: OnceLock::new() })
    }

    /// Its options: rank and alpha are those of modules that have none of their own.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// What the model that it belongs to was called (PEFT's `base_model_name_or_path`).
    pub fn base_name(&self) -> &str {
        &self.base_name
    }

    /// Independent copy.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            backend: self.backend,
            config: self.config.clone(),
            base_name: self.base_name.clone(),
            tensors: self.tensors,
            blocks: self.blocks.clone(),
            specs: self.specs.clone(),
            params: copies(self.backend, &self.params),
            base_sha256: self.base_sha256.clone(),
        }
    }

    /// The smallest and the largest rank.
    pub fn ranks(&self) -> (usize, usize) {
        let ranks = || self.all().map(|part| part.rank);
        (ranks().min().unwrap_or(0), ranks().max().unwrap_or(0))
    }

    /// Path, rank and alpha of every adapted layer.
    pub(super) fn modules(&self) -> impl Iterator<Item = (String, usize, f64)> {
        let of = |(l, parts): (usize, &'_ Vec<Part>)| {
            parts.iter().map(|p| (targets::path(self.tensors, "model.", l, p.module), p.rank, p.alpha)).collect::<Vec<_>>()
        };
        self.blocks.iter().enumerate().flat_map(of)
    }

    /// Whether every block has the same adapted layers.
    pub(super) fn is_in_every_layer(&self) -> bool {
        self.blocks.iter().all(|parts| parts.iter().map(|part| part.module).eq(self.config.target_modules.iter().copied()))
    }

    /// What the products of adapted layers are multiplied by, where that isn't the same for all; else nothing.
    pub(crate) fn own_scales(&self) -> Vec<f64> {
        let scales: Vec<f64> = self.all().map(|part| part.scale).collect();
        if scales.iter().all(|scale| *scale == self.config.scaling()) { Vec::new() } else { scales }
    }

    fn all(&self) -> impl Iterator<Item = &Part> {
        self.blocks.iter().flatten()
    }

    /// The adapted layers of block `l` that one of the engine's products holds.
    pub(crate) fn parts(&self, l: usize, projection: Projection) -> impl Iterator<Item = &Part> {
        self.blocks[l].iter().filter(move |part| part.projection() == projection)
    }

    /// All adapted layers of block `l`.
    pub(super) fn all_parts(&self, l: usize) -> &[Part] {
        &self.blocks[l]
    }

    /// Elements of the widest input of an adapted layer.
    pub(crate) fn widest_input(&self) -> usize {
        self.all().map(|part| part.inputs).max().unwrap_or(0)
    }

    /// The product of `part` over `rows` rows.
    pub(crate) fn shape(&self, part: &Part, rows: usize) -> LowRankShape {
        let Part { inputs, outputs, first, stride, rank, scale, .. } = *part;
        LowRankShape { rows, inputs, rank, outputs, first, stride, scale }
    }

    /// The matrices of `part`.
    pub(crate) fn weights(&self, part: &Part) -> LowRank<'_, B::Buf> {
        LowRank { a: &self.params[part.at], b: &self.params[part.at + 1] }
    }

    /// Their gradients within those of the whole adapter.
    pub(crate) fn gradients<'g>(&self, gradients: &'g mut [B::Buf], part: &Part) -> [&'g mut B::Buf; 2] {
        let [a, b] = &mut gradients[part.at..part.at + 2] else { unreachable!("two matrices a part") };
        [a, b]
    }

    /// The dropout of the input of `part` in block `l`, in a pass with the seed `seed` (`None`: without dropout). Each has a mask of its own, as in PEFT.
    pub(crate) fn dropout(&self, seed: Option<u64>, l: usize, part: &Part) -> Option<Dropout> {
        // The kernel hashes the seed; here it only has to differ.
        let own = ((l * TargetModule::ALL.len() + part.module as usize) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(Dropout { seed: seed? ^ own, probability: self.config.lora_dropout })
    }
}

impl<B: Backend> LanguageModel<B> {
    /// Adds a new adapter, which changes nothing yet, as PEFT's: A uniform within 1 / sqrt(inputs), B zero. From then on training changes the adapter alone.
    /// `base_name` is what the model is called. Errors: those of [`LoraConfig::check`], and a model that has an adapter.
    pub fn add_adapter(&mut self, config: LoraConfig, base_name: &str, seed: u64) -> Result<()> {
        self.refuse_second_adapter()?;
        let (backend, mut rng) = (self.backend, ChaCha8Rng::seed_from_u64(seed));
        let draw = |specs: &[ParamSpec]| {
            let matrix = |(i, spec): (usize, &ParamSpec)| {
                let cols = spec.cols.expect("all are matrices");
                let bound = if i.is_multiple_of(2) { 1.0 / (cols as f32).sqrt() } else { 0.0 };
                let values: Vec<f32> = (0..spec.count()).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
                backend.matrix(spec.rows(), cols, &values)
            };
            Ok(specs.iter().enumerate().map(matrix).collect())
        };
        config.check()?;
        let (rank, alpha) = (config.r, config.lora_alpha);
        let of_layer = |layer: usize| config.target_modules.iter().map(move |module| Adapted { layer, module: *module, rank, alpha });
        let modules: Vec<Adapted> = (0..self.config.num_hidden_layers).flat_map(of_layer).collect();
        self.adapter = Some(Adapter::build(self, config.clone(), &modules, base_name, draw)?);
        Ok(())
    }

    /// Whether there is no adapter yet.
    pub(super) fn refuse_second_adapter(&self) -> Result<()> {
        match self.adapter {
            Some(_) => Err(Error::Invalid("the model has an adapter already; a second one can't be put on top".to_owned())),
            None => Ok(()),
        }
    }
}
