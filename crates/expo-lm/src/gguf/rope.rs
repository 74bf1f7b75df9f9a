//! RoPE's metadata in a GGUF file as Hugging Face's parameters.

use serde_json::{Map, Value as Json, json};

use super::dequantize::dequantize;
use super::file::GgufFile;
use crate::config::{ModelConfig, RopeScaling};
use crate::error::{Error, Result};

/// Puts base and scaling of the architecture `arch` into `map`, a `config.json`. What llama.cpp computes with is in its `llama-model.cpp` (the metadata) and
/// `ggml`'s `rope_yarn` (cos and sin times `attn_factor * (1 + 0.1 ln factor)`). Errors: a scaling that isn't supported, by the metadata's name.
pub(super) fn read(file: &GgufFile, arch: &str, map: &mut Map<String, Json>) -> Result<()> {
    let key = |name: &str| format!("{arch}.rope.{name}");
    let number = |name: &str| file.number(&key(name));
    if let Some(theta) = number("freq_base")? {
        map.insert("rope_theta".into(), json!(shortest(theta)));
    }
    let refuse = |name: &str, found: f64, expected: &str| Error::Unsupported {
        what: "RoPE scaling",
        message: format!(
            "`{}` = {} in {}, expected {expected}; use the model's Hugging Face folder instead",
            key(name),
            shortest(found),
            file.path.display()
        ),
    };
    // Files of 2023 have the factor under another name. 0 stands for no scaling.
    let factor = match number("scaling.factor")? {
        None => number("scale_linear")?,
        factor => factor,
    };
    let factor = factor.filter(|factor| *factor != 0.0);
    // As llama.cpp: a factor alone is that of the linear kind.
    let kind = file.string(&key("scaling.type"))?.unwrap_or(if factor.is_some() { "linear" } else { "none" });
    let attention = number("scaling.attn_factor")?.unwrap_or(1.0);
    let is_yarn = kind == "yarn";
    // Values that change nothing; for others llama.cpp's versions differ, or Hugging Face has no name.
    let neutral = [
        ("scaling.attn_factor", 1.0, !is_yarn),
        ("scaling.yarn_attn_factor", 1.0, true),
        ("scaling.yarn_ext_factor", if is_yarn { 1.0 } else { 0.0 }, true),
        ("scaling.yarn_log_multiplier", 0.0, true),
    ];
    for (name, value, _) in neutral.into_iter().filter(|(.., applies)| *applies) {
        // Below 0: whatever the kind has.
        if let Some(found) = number(name)?.filter(|found| *found != value && !(name == "scaling.yarn_ext_factor" && *found < 0.0)) {
            return Err(refuse(name, found, &format!("{value} beside `{}` = \"{kind}\"", key("scaling.type"))));
        }
    }
    match kind {
        "none" => Ok(()),
        "linear" | "yarn" => {
            let mut scaling = json!({"rope_type": kind, "factor": factor.map(shortest)});
            if let Some(original) = file.integer(&key("scaling.original_context_length"))? {
                scaling["original_max_position_embeddings"] = json!(original);
            }
            if is_yarn {
                for (name, hf) in [("scaling.yarn_beta_fast", "beta_fast"), ("scaling.yarn_beta_slow", "beta_slow")] {
                    if let Some(beta) = number(name)? {
                        scaling[hf] = json!(shortest(beta));
                    }
                }
                if attention != 1.0 {
                    let factor =
                        factor.ok_or_else(|| Error::file(&file.path, format!("lacks the metadata `{}`", key("scaling.factor"))))?;
                    scaling["attention_factor"] = json!(shortest(attention) * (1.0 + 0.1 * shortest(factor).ln()));
                }
            }
            map.insert("rope_scaling".into(), scaling);
            Ok(())
        }
        other => {
            let message = format!("`{other}` in {}; supported: none, linear, yarn, and llama3 by its factors", file.path.display());
            Err(Error::Unsupported { what: "RoPE scaling", message })
        }
    }
}

/// The f64 with the shortest decimal spelling that rounds to the same f32.
pub(super) fn shortest(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// llama.cpp stores Llama 3's scaling as one divisor a frequency. They are matched against the published parameters (Llama 3.1:
/// factor 8; 3.2: factor 32; both with low 1, high 4, context 8192), since a divisor alone doesn't give all four back.
pub(super) fn llama3_scaling(file: &GgufFile, config: &ModelConfig) -> Result<Option<RopeScaling>> {
    let Some(info) = file.tensors.get("rope_freqs.weight") else { return Ok(None) };
    let divisors = dequantize(info.kind, file.data(info));
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    let theta = config.ropes()[0].map_or(1.0, |rope| rope.theta);
    let (low, high, context) = (1.0, 4.0, 8192.0);
    let expected = (0..config.head_dim / 2).map(|i| {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf((2 * i) as f64 / config.head_dim as f64);
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
    Ok(Some(RopeScaling::Llama3 {
        factor: f64::from(factor),
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: context as usize,
    }))
}
