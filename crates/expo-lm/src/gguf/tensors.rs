//! Which GGUF tensor becomes which Hugging Face tensor.

use std::collections::HashSet;

use super::dequantize::dequantize;
use super::file::{GgufFile, TensorInfo};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::models::Name;
use crate::weights::HostTensor;

/// One tensor to write.
pub(super) struct Planned {
    /// Hugging Face's name.
    pub name: String,
    pub shape: Vec<usize>,
    info: TensorInfo,
    /// Heads whose rows llama.cpp has interleaved; `None` where it hasn't.
    interleaved_heads: Option<usize>,
    /// What llama.cpp has added to the values.
    offset: f32,
}

impl Planned {
    /// The tensor as Hugging Face has it.
    pub fn read(&self, file: &GgufFile) -> Result<HostTensor> {
        let mut data = dequantize(self.info.kind, file.data(&self.info));
        if let Some(at) = data.iter().position(|v| !v.is_finite()) {
            return Err(Error::file(
                &file.path,
                format!("tensor for `{}` holds {} at element {at}; the weights are damaged", self.name, data[at]),
            ));
        }
        if let Some(heads) = self.interleaved_heads {
            data = separate_halves(&data, heads, self.shape[0]);
        }
        if self.offset != 0.0 {
            data.iter_mut().for_each(|value| *value -= self.offset);
        }
        Ok(HostTensor { shape: self.shape.clone(), data })
    }
}

/// Tensors that other programs want and that follow from the configuration.
const REDUNDANT: [&str; 1] = ["rope_freqs.weight"];

/// Everything that `config` needs, in Hugging Face's order. Errors: a tensor is missing, unknown or of another shape.
pub(super) fn plan(file: &GgufFile, config: &ModelConfig) -> Result<Vec<Planned>> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let (family, tensors) = (config.family, &config.family.tensors);
    // llama.cpp rotates neighbouring dimensions in some architectures, and reorders the rows for it; in the others it rotates halves, as HF does.
    let interleaved = family.gguf.is_some_and(|gguf| gguf.interleaves_heads);
    let [q_heads, kv_heads] = [config.num_attention_heads, config.num_key_value_heads].map(|heads| interleaved.then_some(heads));
    // Norms' weights are stored with what they are added to.
    let offset = family.norm_offset as f32;

    let mut wanted = vec![Wanted::new("token_embd", "model.embed_tokens", "weight", &[config.vocab_size, hidden])];
    for l in 0..config.num_hidden_layers {
        let part = |name: Name, kind: &str, shape: &[usize]| {
            Wanted::new(&format!("blk.{l}.{}", name.gguf), &format!("model.layers.{l}.{}", name.hf), kind, shape)
        };
        let norm = |name: Name, width: usize| Wanted { offset, ..part(name, "weight", &[width]) };
        wanted.push(norm(tensors.attention_norm, hidden));
        for (name, rows, interleaved_heads) in [(tensors.qkv[0], q, q_heads), (tensors.qkv[1], kv, kv_heads), (tensors.qkv[2], kv, None)] {
            wanted.push(Wanted { interleaved_heads, ..part(name, "weight", &[rows, hidden]) });
            if tensors.qkv_bias {
                wanted.push(Wanted { interleaved_heads, ..part(name, "bias", &[rows]) });
            }
        }
        wanted.extend(tensors.qk_norm.into_iter().flatten().map(|name| norm(name, config.head_dim)));
        wanted.push(part(tensors.o, "weight", &[hidden, q]));
        wanted.extend(tensors.attention_out_norm.map(|name| norm(name, hidden)));
        wanted.push(norm(tensors.mlp_norm, hidden));
        wanted.extend(tensors.gate_up.map(|name| part(name, "weight", &[inner, hidden])));
        wanted.push(part(tensors.down, "weight", &[hidden, inner]));
        wanted.extend(tensors.mlp_out_norm.map(|name| norm(name, hidden)));
    }
    wanted.push(Wanted { offset, ..Wanted::new("output_norm", "model.norm", "weight", &[hidden]) });
    if !config.tie_word_embeddings {
        wanted.push(Wanted::new("output", "lm_head", "weight", &[config.vocab_size, hidden]));
    }

    let known: HashSet<&str> = wanted.iter().map(|wanted| wanted.gguf.as_str()).chain(REDUNDANT).collect();
    if let Some(extra) = file.tensors.keys().filter(|name| !known.contains(name.as_str())).min() {
        let message = format!("tensor `{extra}` in {}: {} has none of that name", file.path.display(), family.class_name);
        return Err(Error::Unsupported { what: "tensor", message });
    }
    let planned = wanted.into_iter().map(|Wanted { gguf, hf, shape, interleaved_heads, offset }| {
        let info = file.tensors.get(&gguf).ok_or_else(|| Error::file(&file.path, format!("lacks the tensor `{gguf}`")))?;
        if info.shape != shape {
            let message = format!("tensor `{gguf}` has shape {:?}; its metadata makes it {shape:?}", info.shape);
            return Err(Error::file(&file.path, message));
        }
        Ok(Planned { name: hf, shape, info: info.clone(), interleaved_heads, offset })
    });
    planned.collect()
}

/// A tensor that the model needs.
struct Wanted {
    gguf: String,
    hf: String,
    shape: Vec<usize>,
    interleaved_heads: Option<usize>,
    offset: f32,
}

impl Wanted {
    /// One that both formats hold in the same way.
    fn new(gguf: &str, hf: &str, kind: &str, shape: &[usize]) -> Self {
        Self { gguf: format!("{gguf}.{kind}"), hf: format!("{hf}.{kind}"), shape: shape.to_vec(), interleaved_heads: None, offset: 0.0 }
    }
}

/// Undoes llama.cpp's row order within each head: there, row 2i + p is Hugging Face's row p * (size / 2) + i.
fn separate_halves(data: &[f32], heads: usize, rows: usize) -> Vec<f32> {
    let (width, size) = (data.len() / rows, rows / heads);
    let mut out = Vec::with_capacity(data.len());
    for head in 0..heads {
        for half in 0..2 {
            for i in 0..size / 2 {
                let row = head * size + 2 * i + half;
                out.extend_from_slice(&data[row * width..(row + 1) * width]);
            }
        }
    }
    out
}
