//! An adapter: its matrices, where each belongs, and what a pass needs of them.

use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{LoraConfig, TargetModule};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Backend, Dropout, LowRank, LowRankShape};
use crate::model::params::{ParamSpec, head_layout};
use crate::model::{LanguageModel, Projection, copies};

/// Low-rank matrices A and B for some linear layers of every block, with the names that PEFT gives them.
pub struct Adapter<B: Backend> {
    backend: B,
    config: LoraConfig,
    base_name: String,
    parts: Vec<Part>,
    /// A and B of every part of block 0, then of block 1, and so on.
    pub(crate) specs: Vec<ParamSpec>,
    pub(crate) params: Vec<B::Buf>,
    /// Hash of the weights that it belongs to, once it is known.
    pub(crate) base_sha256: OnceLock<String>,
}

/// One adapted layer of every block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// Its place among the adapter's parts.
    index: usize,
    module: TargetModule,
    inputs: usize,
    outputs: usize,
    /// First of its columns in the engine's product.
    first: usize,
    /// Columns of the whole product.
    stride: usize,
}

impl Part {
    fn new(index: usize, module: TargetModule, config: &ModelConfig) -> Self {
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
        Self { index, module, inputs, outputs, first, stride }
    }

    /// The engine's product that it is a part of.
    pub(super) fn projection(&self) -> Projection {
        self.module.projection()
    }
}

impl<B: Backend> Adapter<B> {
    /// Parts and specs that `config` implies for a model; the matrices come from `params`.
    pub(super) fn build(
        model: &LanguageModel<B>,
        config: LoraConfig,
        base_name: &str,
        params: impl FnOnce(&[ParamSpec]) -> Result<Vec<B::Buf>>,
    ) -> Result<Self> {
        config.check()?;
        let parts: Vec<Part> =
            config.target_modules.iter().enumerate().map(|(index, module)| Part::new(index, *module, &model.config)).collect();
        let mut specs = Vec::new();
        for l in 0..model.config.num_hidden_layers {
            for part in &parts {
                let name = format!("base_model.model.model.layers.{l}.{}.{}", part.module.parent(), part.module.name());
                let mut add = |which: &str, rows: usize, cols: usize| {
                    specs.push(ParamSpec { parts: vec![(format!("{name}.{which}.weight"), rows)], cols: Some(cols) });
                };
                add("lora_A", config.r, part.inputs);
                add("lora_B", part.outputs, config.r);
            }
        }
        let params = params(&specs)?;
        Ok(Self { backend: model.backend, config, base_name: base_name.to_owned(), parts, specs, params, base_sha256: OnceLock::new() })
    }

    /// Its options.
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
            parts: self.parts.clone(),
            specs: self.specs.clone(),
            params: copies(self.backend, &self.params),
            base_sha256: self.base_sha256.clone(),
        }
    }

    /// The adapted layers that one of the engine's products holds.
    pub(crate) fn parts(&self, projection: Projection) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.projection() == projection)
    }

    /// All adapted layers of a block.
    pub(super) fn all_parts(&self) -> &[Part] {
        &self.parts
    }

    /// Elements of the widest input of an adapted layer.
    pub(crate) fn widest_input(&self) -> usize {
        self.parts.iter().map(|part| part.inputs).max().unwrap_or(0)
    }

    /// The product of `part` over `rows` rows.
    pub(crate) fn shape(&self, part: &Part, rows: usize) -> LowRankShape {
        let Part { inputs, outputs, first, stride, .. } = *part;
        LowRankShape { rows, inputs, rank: self.config.r, outputs, first, stride, scale: self.config.scaling() }
    }

    /// A's place in the list of block `l`; B's is the next.
    fn at(&self, l: usize, part: &Part) -> usize {
        2 * (l * self.parts.len() + part.index)
    }

    /// The matrices of `part` in block `l`.
    pub(crate) fn weights(&self, l: usize, part: &Part) -> LowRank<'_, B::Buf> {
        let at = self.at(l, part);
        LowRank { a: &self.params[at], b: &self.params[at + 1] }
    }

    /// Their gradients within those of the whole adapter.
    pub(crate) fn gradients<'g>(&self, gradients: &'g mut [B::Buf], l: usize, part: &Part) -> [&'g mut B::Buf; 2] {
        let at = self.at(l, part);
        let [a, b] = &mut gradients[at..at + 2] else { unreachable!("two matrices a part") };
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
        self.adapter = Some(Adapter::build(self, config, base_name, draw)?);
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
