//! Which GGUF tensor becomes which Hugging Face tensor.

use std::collections::HashSet;

use super::dequantize::dequantize;
use super::file::{GgufFile, TensorInfo};
use crate::config::{Architecture, ModelConfig};
use crate::error::{Error, Result};
use crate::weights::HostTensor;

/// One tensor to write.
pub(super) struct Planned {
    /// Hugging Face's name.
    pub name: String,
    pub shape: Vec<usize>,
    info: TensorInfo,
    /// Heads whose rows llama.cpp has interleaved; `None` where it hasn't.
    interleaved_heads: Option<usize>,
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
        Ok(HostTensor { shape: self.shape.clone(), data })
    }
}

/// Tensors that other programs want and that follow from the configuration.
const REDUNDANT: [&str; 1] = ["rope_freqs.weight"];

/// Everything that `config` needs, in Hugging Face's order. Errors: a tensor is missing, unknown or of another shape.
pub(super) fn plan(file: &GgufFile, config: &ModelConfig) -> Result<Vec<Planned>> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    // llama.cpp rotates neighbouring dimensions for `llama`, and reorders the rows for it; for the others it rotates halves, as HF does.
    let interleaved = config.architecture == Architecture::Llama;
    let (q_heads, kv_heads) = (interleaved.then_some(config.num_attention_heads), interleaved.then_some(config.num_key_value_heads));

    let mut wanted = vec![("token_embd.weight".to_owned(), "model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden], None)];
    for l in 0..config.num_hidden_layers {
        let mut add = |gguf: &str, hf: &str, shape: Vec<usize>, heads: Option<usize>| {
            wanted.push((format!("blk.{l}.{gguf}"), format!("model.layers.{l}.{hf}"), shape, heads));
        };
        add("attn_norm.weight", "input_layernorm.weight", vec![hidden], None);
        for (p, rows, heads) in [("q", q, q_heads), ("k", kv, kv_heads), ("v", kv, None)] {
            add(&format!("attn_{p}.weight"), &format!("self_attn.{p}_proj.weight"), vec![rows, hidden], heads);
            if config.qkv_bias {
                add(&format!("attn_{p}.bias"), &format!("self_attn.{p}_proj.bias"), vec![rows], heads);
            }
        }
        if config.qk_norm {
            add("attn_q_norm.weight", "self_attn.q_norm.weight", vec![config.head_dim], None);
            add("attn_k_norm.weight", "self_attn.k_norm.weight", vec![config.head_dim], None);
        }
        add("attn_output.weight", "self_attn.o_proj.weight", vec![hidden, q], None);
        add("ffn_norm.weight", "post_attention_layernorm.weight", vec![hidden], None);
        add("ffn_gate.weight", "mlp.gate_proj.weight", vec![inner, hidden], None);
        add("ffn_up.weight", "mlp.up_proj.weight", vec![inner, hidden], None);
        add("ffn_down.weight", "mlp.down_proj.weight", vec![hidden, inner], None);
    }
    wanted.push(("output_norm.weight".to_owned(), "model.norm.weight".to_owned(), vec![hidden], None));
    if !config.tie_word_embeddings {
        wanted.push(("output.weight".to_owned(), "lm_head.weight".to_owned(), vec![config.vocab_size, hidden], None));
    }

    let known: HashSet<&str> = wanted.iter().map(|(gguf, ..)| gguf.as_str()).chain(REDUNDANT).collect();
    if let Some(extra) = file.tensors.keys().filter(|name| !known.contains(name.as_str())).min() {
        let message = format!("tensor `{extra}` in {}: {} has none of that name", file.path.display(), config.architecture.class_name());
        return Err(Error::Unsupported { what: "tensor", message });
    }
    let planned = wanted.into_iter().map(|(gguf, name, shape, interleaved_heads)| {
        let info = file.tensors.get(&gguf).ok_or_else(|| Error::file(&file.path, format!("lacks the tensor `{gguf}`")))?;
        if info.shape != shape {
            let message = format!("tensor `{gguf}` has shape {:?}; its metadata makes it {shape:?}", info.shape);
            return Err(Error::file(&file.path, message));
        }
        Ok(Planned { name, shape, info: info.clone(), interleaved_heads })
    });
    planned.collect()
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
