//! Tables of the rotary embedding, as Hugging Face's `modeling_rope_utils` computes them.

use std::f64::consts::PI;

use crate::config::{ModelConfig, RopeScaling};

/// Inverse frequencies (`head_dim / 2` of them) and the factor on cosines and sines.
pub fn frequencies(config: &ModelConfig) -> (Vec<f64>, f64) {
    let dim = config.head_dim;
    let base: Vec<f64> = (0..dim / 2).map(|i| config.rope.theta.powf(-((2 * i) as f64) / dim as f64)).collect();
    match &config.rope.scaling {
        RopeScaling::Default => (base, 1.0),
        RopeScaling::Linear { factor } => (base.iter().map(|f| f / factor).collect(), 1.0),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            let context = *original_max_position_embeddings as f64;
            let scaled = base.iter().map(|f| {
                let wavelength = 2.0 * PI / f;
                if wavelength < context / high_freq_factor {
                    *f
                } else if wavelength > context / low_freq_factor {
                    f / factor
                } else {
                    let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            });
            (scaled.collect(), 1.0)
        }
        RopeScaling::Yarn { factor, beta_fast, beta_slow, attention_factor, original_max_position_embeddings, truncate } => {
            let context = *original_max_position_embeddings as f64;
            // The (fractional) dimension that makes `rotations` turns over the original context.
            let dimension = |rotations: f64| dim as f64 * (context / (rotations * 2.0 * PI)).ln() / (2.0 * config.rope.theta.ln());
            let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, mut high) = (low.max(0.0), high.min(dim as f64 - 1.0));
            if low == high {
                high += 0.001;
            }
            let scaled = base.iter().enumerate().map(|(i, f)| {
                let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                f / factor * ramp + f * (1.0 - ramp)
            });
            (scaled.collect(), *attention_factor)
        }
    }
}

/// For each position under `positions`: `head_dim / 2` cosines, then as many sines.
pub fn table(config: &ModelConfig, positions: usize) -> Vec<f64> {
    let (frequencies, factor) = frequencies(config);
    let mut table = Vec::with_capacity(positions * config.head_dim);
    for position in 0..positions {
        table.extend(frequencies.iter().map(|f| (position as f64 * f).cos() * factor));
        table.extend(frequencies.iter().map(|f| (position as f64 * f).sin() * factor));
    }
    table
}
