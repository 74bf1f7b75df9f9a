//! A GGUF file's metadata read as a model configuration.

use serde_json::{Map, json};

use super::file::GgufFile;
use super::rope;
use crate::config::{ConfigFile, ModelConfig};
use crate::error::{Error, Result};
use crate::models::{AttentionScale, FAMILIES, Gguf};

/// The configuration, and what a user should know.
pub(super) fn read(file: &GgufFile) -> Result<(ModelConfig, Vec<String>)> {
    let arch = file.needed("general.architecture", file.string("general.architecture")?)?;
    let readable = || FAMILIES.iter().filter_map(|family| Some((*family, family.gguf?)));
    let Some((family, gguf)) = readable().find(|(_, gguf)| gguf.architecture == arch) else {
        let known: Vec<_> = readable().map(|(_, gguf)| gguf.architecture).collect();
        let message = format!("`{arch}` in {}; supported in GGUF files: {}", file.path.display(), known.join(", "));
        return Err(Error::Unsupported { what: "architecture", message });
    };
    let key = |name: &str| format!("{arch}.{name}");
    let integer = |name: &str| file.integer(&key(name));
    let needed = |name: &str| -> Result<u64> { file.needed(&key(name), integer(name)?) };
    if integer("expert_count")?.is_some_and(|n| n > 0) {
        return Err(Error::Unsupported { what: "model", message: format!("a mixture of experts in {}", file.path.display()) });
    }
    let embedding = file.tensors.get("token_embd.weight");
    let embedding = embedding.ok_or_else(|| Error::file(&file.path, "lacks the tensor `token_embd.weight`"))?;

    let mut map = Map::new();
    map.insert("architectures".into(), json!([family.class_name]));
    map.insert("vocab_size".into(), json!(embedding.shape[0]));
    map.insert("hidden_size".into(), json!(needed("embedding_length")?));
    map.insert("intermediate_size".into(), json!(needed("feed_forward_length")?));
    map.insert("num_hidden_layers".into(), json!(needed("block_count")?));
    let heads = needed("attention.head_count")?;
    map.insert("num_attention_heads".into(), json!(heads));
    map.insert("num_key_value_heads".into(), json!(integer("attention.head_count_kv")?.unwrap_or(heads)));
    if let Some(size) = integer("attention.key_length")? {
        map.insert("head_dim".into(), json!(size));
    }
    map.insert("max_position_embeddings".into(), json!(needed("context_length")?));
    let eps = key("attention.layer_norm_rms_epsilon");
    // Written as f32: 1e-5 comes back as 9.999999747e-6, which is what its shortest f32 spelling undoes.
    map.insert("rms_norm_eps".into(), json!(rope::shortest(file.needed(&eps, file.number(&eps)?)?)));
    map.insert("tie_word_embeddings".into(), json!(!file.tensors.contains_key("output.weight")));
    // These architectures' windows are metadata of their own, where llama.cpp has them at all.
    map.insert("sliding_window".into(), json!(null));
    for (name, option) in gguf.keys {
        if let Some(value) = file.number(&key(name))? {
            map.insert((*option).into(), json!(rope::shortest(value)));
        }
    }
    let id = |name: &str| file.integer(&format!("tokenizer.ggml.{name}"));
    map.insert("bos_token_id".into(), json!(id("bos_token_id")?));
    let mut eos: Vec<u64> = [id("eos_token_id")?, id("eot_token_id")?].into_iter().flatten().collect();
    eos.dedup();
    map.insert("eos_token_id".into(), json!(eos));

    // As llama.cpp has it, which tells some models from others by their layers.
    if let AttentionScale::Key { key: option, .. } = family.options.attention_scale {
        let by_width = gguf.scaled_by_width.contains(&needed("block_count")?);
        let size = if by_width { needed("embedding_length")? / heads.max(1) } else { needed("attention.key_length")? };
        map.insert(option.into(), json!(size));
    }
    rope::read(file, arch, &mut map)?;
    let ConfigFile { mut config, mut notices } = ConfigFile::from_map(&map, &file.path)?;
    if let Some(n) = integer("rope.dimension_count")?.filter(|n| *n != config.head_dim as u64) {
        let message = format!("{n} of a head's {} dimensions in {}", config.head_dim, file.path.display());
        return Err(Error::Unsupported { what: "partial rotary embedding", message });
    }
    if let Some(n) = integer("attention.value_length")?.filter(|n| *n != config.head_dim as u64) {
        let message = format!("values of {n} beside keys of {} in {}", config.head_dim, file.path.display());
        return Err(Error::Unsupported { what: "head size", message });
    }
    if let Some(scaling) = rope::llama3_scaling(file, &config)? {
        config.layers.iter_mut().filter(|layer| layer.window.is_none()).for_each(|layer| layer.rope.scaling = scaling.clone());
    }
    notices.extend(unknown_metadata(file, &gguf)?);
    Ok((config, notices))
}

/// Metadata of an architecture that is read here, or says nothing of the computation.
const KNOWN: [&str; 26] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    // Of the norm that these architectures don't have; converters write it beside the other.
    "attention.layer_norm_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "vocab_size",
];

/// Metadata that llama.cpp computes with and that has no counterpart here, with the values that change nothing.
const CHANGES_THE_MODEL: [(&str, &[f64]); 13] = [
    ("attention.causal", &[1.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.scale", &[0.0]),
    ("attention.temperature_length", &[0.0]),
    ("attention.temperature_scale", &[0.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("final_logit_softcapping", &[0.0]),
    ("interleave_moe_layer_step", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("use_parallel_residual", &[0.0]),
];

/// What to tell of the architecture's metadata that isn't known here. Errors: some of it changes what the model computes, by its name.
fn unknown_metadata(file: &GgufFile, gguf: &Gguf) -> Result<Option<String>> {
    let prefix = format!("{}.", gguf.architecture);
    let is_known = |name: &str| KNOWN.contains(&name) || gguf.keys.iter().any(|(key, _)| *key == name);
    let mut unknown: Vec<&str> = file.keys().filter(|key| key.strip_prefix(&prefix).is_some_and(|name| !is_known(name))).collect();
    unknown.sort_unstable();
    let mut told = Vec::new();
    for key in unknown {
        let name = key.strip_prefix(&prefix).unwrap_or(key);
        let Some((_, neutral)) = CHANGES_THE_MODEL.iter().find(|(other, _)| *other == name) else {
            told.push(format!("`{key}`"));
            continue;
        };
        if !file.scalar(key)?.is_some_and(|value| neutral.contains(&value)) {
            let message = format!("`{key}` in {}, which changes what the model computes; use another file of it", file.path.display());
            return Err(Error::Unsupported { what: "metadata", message });
        }
    }
    Ok((!told.is_empty()).then(|| format!("metadata that is not known here was passed over: {}", told.join(", "))))
}
