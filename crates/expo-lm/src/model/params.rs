//! The parameters: their order, their Hugging Face names, and the way in and out of host tensors.
//!
//! Projections that read the same input are one matrix (q, k and v; gate and up), so that each is one product. On the border they are
//! split into Hugging Face's tensors again.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Backend, HeadLayout};
use crate::models::Name;
use crate::weights::{HostTensor, TensorSource};

/// One parameter: Hugging Face tensors stacked by rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Names and rows (vector: elements) of the stacked tensors.
    pub parts: Vec<(String, usize)>,
    /// Columns; `None` for a vector.
    pub cols: Option<usize>,
}

impl ParamSpec {
    /// Rows of the whole (vector: elements).
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|(_, rows)| rows).sum()
    }
    /// Number of values.
    pub fn count(&self) -> usize {
        self.rows() * self.cols.unwrap_or(1)
    }

    /// Calls `each` with every Hugging Face tensor of `buf`, in f32.
    pub fn export<B: Backend>(&self, backend: B, buf: &B::Buf, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        let mut first = 0;
        for (name, rows) in &self.parts {
            let range = first..first + rows;
            first += rows;
            let (shape, values) = match self.cols {
                Some(cols) => (vec![*rows, cols], backend.read_matrix(range, cols, buf)),
                None => (vec![*rows], backend.read_vector(buf)[range].to_vec()),
            };
            each(name, HostTensor { shape, data: values.into_iter().map(|v| v as f32).collect() })?;
        }
        Ok(())
    }
}

/// Where each parameter of a block is in the flat list.
#[derive(Debug, Clone, Copy)]
pub struct LayerIds {
    /// RMSNorm before attention.
    pub attention_norm: usize,
    /// Query, key and value projections.
    pub qkv: usize,
    /// Their bias.
    pub qkv_bias: Option<usize>,
    /// RMSNorm on query heads and on key heads.
    pub qk_norm: Option<(usize, usize)>,
    /// Attention output projection.
    pub o: usize,
    /// RMSNorm on the attention output projection.
    pub attention_out_norm: Option<usize>,
    /// RMSNorm before the MLP.
    pub mlp_norm: usize,
    /// Gate and up projections.
    pub gate_up: usize,
    /// Down projection.
    pub down: usize,
    /// RMSNorm on the down projection.
    pub mlp_out_norm: Option<usize>,
}

/// The flat list of parameters of a model.
#[derive(Debug, Clone)]
pub struct ParamTable {
    /// Every parameter, in order.
    pub specs: Vec<ParamSpec>,
    /// The blocks'.
    pub layers: Vec<LayerIds>,
    /// Embedding table.
    pub embedding: usize,
    /// Final RMSNorm.
    pub norm: usize,
    /// Output head; the embedding when tied.
    pub head: usize,
}

/// How heads lie in the fused projection.
pub fn head_layout(config: &ModelConfig) -> HeadLayout {
    HeadLayout {
        q_heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        scale: config.attention_scale(),
    }
}

impl ParamTable {
    /// The parameters that `config` implies.
    pub fn new(config: &ModelConfig) -> Self {
        let mut specs: Vec<ParamSpec> = Vec::new();
        let mut add = |cols: Option<usize>, parts: Vec<(String, usize)>| {
            specs.push(ParamSpec { parts, cols });
            specs.len() - 1
        };
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let embedding = add(Some(hidden), vec![("model.embed_tokens.weight".into(), config.vocab_size)]);
        let mut layers = Vec::new();
        let tensors = &config.family.tensors;
        for l in 0..config.num_hidden_layers {
            let part = |name: Name, kind: &str, rows: usize| (format!("model.layers.{l}.{}.{kind}", name.hf), rows);
            let weight = |name: Name, rows: usize| vec![part(name, "weight", rows)];
            let qkv = |kind: &str| tensors.qkv.into_iter().zip([q, kv, kv]).map(|(name, rows)| part(name, kind, rows)).collect();
            layers.push(LayerIds {
                attention_norm: add(None, weight(tensors.attention_norm, hidden)),
                qkv: add(Some(hidden), qkv("weight")),
                qkv_bias: tensors.qkv_bias.then(|| add(None, qkv("bias"))),
                qk_norm: tensors.qk_norm.map(|[q, k]| (add(None, weight(q, config.head_dim)), add(None, weight(k, config.head_dim)))),
                o: add(Some(q), weight(tensors.o, hidden)),
                attention_out_norm: tensors.attention_out_norm.map(|name| add(None, weight(name, hidden))),
                mlp_norm: add(None, weight(tensors.mlp_norm, hidden)),
                gate_up: add(Some(hidden), tensors.gate_up.into_iter().map(|name| part(name, "weight", inner)).collect()),
                down: add(Some(inner), weight(tensors.down, hidden)),
                mlp_out_norm: tensors.mlp_out_norm.map(|name| add(None, weight(name, hidden))),
            });
        }
        let norm = add(None, vec![("model.norm.weight".into(), hidden)]);
        let head =
            if config.tie_word_embeddings { embedding } else { add(Some(hidden), vec![("lm_head.weight".into(), config.vocab_size)]) };
        Self { specs, layers, embedding, norm, head }
    }
}

/// Reads every parameter of `specs` from `source`; `hint` is what a wrong shape may come from.
pub fn load<B: Backend>(backend: B, specs: &[ParamSpec], source: &mut dyn TensorSource, hint: &str) -> Result<Vec<B::Buf>> {
    specs.iter().map(|spec| load_param(backend, spec, source, hint)).collect()
}

/// Name and shape of every tensor of `specs`, in the order of [`export`].
pub fn shapes(specs: &[ParamSpec]) -> Vec<(String, Vec<usize>)> {
    let of = |spec: &ParamSpec| {
        let cols = spec.cols;
        spec.parts.iter().map(move |(name, rows)| (name.clone(), std::iter::once(*rows).chain(cols).collect())).collect::<Vec<_>>()
    };
    specs.iter().flat_map(of).collect()
}

/// Calls `each` with every tensor of `bufs` (weights, gradients or moments), in f32.
pub fn export<B: Backend>(
    backend: B,
    specs: &[ParamSpec],
    bufs: &[B::Buf],
    each: &mut dyn FnMut(&str, HostTensor) -> Result<()>,
) -> Result<()> {
    specs.iter().zip(bufs).try_for_each(|(spec, buf)| spec.export(backend, buf, each))
}

fn load_param<B: Backend>(backend: B, spec: &ParamSpec, source: &mut dyn TensorSource, hint: &str) -> Result<B::Buf> {
    read_param(backend, spec, source, hint, true)
}

/// The same for state of a run, taken as it is: a second moment may have overflown, and a run that goes on has to have it so.
pub(crate) fn load_state<B: Backend>(backend: B, spec: &ParamSpec, source: &mut dyn TensorSource) -> Result<B::Buf> {
    read_param(backend, spec, source, "the run's state and its model must belong together", false)
}

fn read_param<B: Backend>(backend: B, spec: &ParamSpec, source: &mut dyn TensorSource, hint: &str, finite_only: bool) -> Result<B::Buf> {
    let mut values: Vec<f32> = Vec::new();
    for (name, rows) in &spec.parts {
        let expected: Vec<usize> = std::iter::once(*rows).chain(spec.cols).collect();
        let tensor = source
            .tensor(name)?
            .ok_or_else(|| Error::Invalid(format!("{}: no tensor {name} (expected with shape {expected:?}); {hint}", source.describe())))?;
        if tensor.shape != expected {
            let found = &tensor.shape;
            return Err(Error::Invalid(format!("{}: tensor {name} has shape {found:?}, expected {expected:?}; {hint}", source.describe())));
        }
        if let Some(at) = tensor.data.iter().position(|v| finite_only && !v.is_finite()) {
            let value = tensor.data[at];
            return Err(Error::Invalid(format!(
                "{}: tensor {name} holds {value} at element {at}; the weights are damaged",
                source.describe()
            )));
        }
        if spec.parts.len() == 1 {
            values = tensor.data;
        } else {
            values.extend_from_slice(&tensor.data);
        }
    }
    Ok(match spec.cols {
        Some(cols) => backend.matrix(spec.rows(), cols, &values),
        None => backend.vector(&values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()),
    })
}
