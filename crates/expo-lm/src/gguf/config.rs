//! A GGUF file's metadata read as a model configuration.

use serde_json::{Map, json};

use super::dequantize::dequantize;
use super::file::GgufFile;
use crate::config::{Architecture, ConfigFile, ModelConfig};
use crate::error::{Error, Result};

/// The configuration, and what a user should know.
pub(super) fn read(file: &GgufFile) -> Result<(ModelConfig, Vec<String>)> {
    let arch = file.needed("general.architecture", file.string("general.architecture")?)?;
    let architecture = match arch {
        "llama" => Architecture::Llama,
        "qwen2" => Architecture::Qwen2,
        other => {
            let message = format!("`{other}` in {}; supported in GGUF files: llama, qwen2", file.path.display());
            return Err(Error::Unsupported { what: "architecture", message });
        }
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
    map.insert("architectures".into(), json!([architecture.class_name()]));
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
    map.insert("rms_norm_eps".into(), json!(shortest(file.needed(&eps, file.number(&eps)?)?)));
    if let Some(theta) = file.number(&key("rope.freq_base"))? {
        map.insert("rope_theta".into(), json!(shortest(theta)));
    }
    map.insert("tie_word_embeddings".into(), json!(!file.tensors.contains_key("output.weight")));
    map.insert("sliding_window".into(), json!(null));
    let id = |name: &str| file.integer(&format!("tokenizer.ggml.{name}"));
    map.insert("bos_token_id".into(), json!(id("bos_token_id")?));
    let mut eos: Vec<u64> = [id("eos_token_id")?, id("eot_token_id")?].into_iter().flatten().collect();
    eos.dedup();
    map.insert("eos_token_id".into(), json!(eos));

    match file.string(&key("rope.scaling.type"))?.unwrap_or("none") {
        "none" => {}
        kind @ ("linear" | "yarn") => {
            let factor = file.number(&key("rope.scaling.factor"))?;
            let original = integer("rope.scaling.original_context_length")?;
            let mut scaling = json!({"rope_type": kind, "factor": factor.map(shortest)});
            if let Some(original) = original {
                scaling["original_max_position_embeddings"] = json!(original);
            }
            map.insert("rope_scaling".into(), scaling);
        }
        other => {
            let message = format!("`{other}` in {}; supported: none, linear, yarn, and llama3 by its factors", file.path.display());
            return Err(Error::Unsupported { what: "RoPE scaling", message });
        }
    }
    let ConfigFile { mut config, notices } = ConfigFile::from_map(&map, &file.path)?;
    if let Some(n) = integer("rope.dimension_count")?.filter(|n| *n != config.head_dim as u64) {
        let message = format!("{n} of a head's {} dimensions in {}", config.head_dim, file.path.display());
        return Err(Error::Unsupported { what: "partial rotary embedding", message });
    }
    if let Some(n) = integer("attention.value_length")?.filter(|n| *n != config.head_dim as u64) {
        let message = format!("values of {n} beside keys of {} in {}", config.head_dim, file.path.display());
        return Err(Error::Unsupported { what: "head size", message });
    }
    if let Some(info) = file.tensors.get("rope_freqs.weight") {
        config.rope.scaling = llama3_scaling(file, &config, &dequantize(info.kind, file.data(info)))?;
    }
    Ok((config, notices))
}

/// The f64 with the shortest decimal spelling that rounds to the same f32.
fn shortest(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// llama.cpp stores Llama 3's scaling as one divisor a frequency. They are matched against the published parameters (Llama 3.1:
/// factor 8; 3.2: factor 32; both with low 1, high 4, context 8192), since a divisor alone doesn't give all four back.
fn llama3_scaling(file: &GgufFile, config: &ModelConfig, divisors: &[f32]) -> Result<crate::config::RopeScaling> {
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    let (low, high, context) = (1.0, 4.0, 8192.0);
    let expected = (0..config.head_dim / 2).map(|i| {
        let wavelength = 2.0 * std::f64::consts::PI * config.rope.theta.powf((2 * i) as f64 / config.head_dim as f64);
        if wavelength < context / high {
            1.0
        } else if wavelength > context / low {
            f64::from(factor)
        } else {
            let smooth = (context / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / f64::from(factor) + smooth)
        }
    });
    let close = |(found, expected): (&f32, f64)| (f64::from(*found) / expected - 1.0).abs() < 1e-3;
    if divisors.len() != config.head_dim / 2 || !divisors.iter().zip(expected).all(close) {
        let message = format!("the factors in `rope_freqs.weight` of {} are not Llama 3's", file.path.display());
        return Err(Error::Unsupported { what: "RoPE scaling", message });
    }
    Ok(crate::config::RopeScaling::Llama3 {
        factor: f64::from(factor),
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: context as usize,
    })
}
