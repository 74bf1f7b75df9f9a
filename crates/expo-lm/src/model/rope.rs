//! Tables of the rotary embedding, as Hugging Face's `modeling_rope_utils` computes them.

use std::f64::consts::PI;

use crate::config::{LayerAttention, Rope, RopeScaling};
use crate::kernels::Backend;

/// The tables of a model's layers, each once.
pub struct RopeTables<B: Backend> {
    tables: Vec<B::Buf>,
    /// The table of each layer.
    of_layer: Vec<usize>,
}

impl<B: Backend> RopeTables<B> {
    /// Those for heads of `dim` elements at positions under `positions`.
    pub fn new(backend: B, layers: &[LayerAttention], dim: usize, positions: usize) -> Self {
        let (mut ropes, mut of_layer) = (Vec::<&Rope>::new(), Vec::with_capacity(layers.len()));
        for layer in layers {
            let at = ropes.iter().position(|rope| **rope == layer.rope).unwrap_or(ropes.len());
            if at == ropes.len() {
                ropes.push(&layer.rope);
            }
            of_layer.push(at);
        }
        let tables = ropes.into_iter().map(|rope| backend.vector(&table(rope, dim, positions))).collect();
        Self { tables, of_layer }
    }

    /// That of layer `l`.
    pub fn of(&self, l: usize) -> &B::Buf {
        &self.tables[self.of_layer[l]]
    }
}

/// Inverse frequencies (`dim / 2` of them, of heads of `dim` elements) and the factor on cosines and sines.
pub fn frequencies(rope: &Rope, dim: usize) -> (Vec<f64>, f64) {
    let base: Vec<f64> = (0..dim / 2).map(|i| rope.theta.powf(-((2 * i) as f64) / dim as f64)).collect();
    match &rope.scaling {
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
            let dimension = |rotations: f64| dim as f64 * (context / (rotations * 2.0 * PI)).ln() / (2.0 * rope.theta.ln());
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

/// For each position under `positions`: `dim / 2` cosines, then as many sines.
fn table(rope: &Rope, dim: usize, positions: usize) -> Vec<f64> {
    let (frequencies, factor) = frequencies(rope, dim);
    let mut table = Vec::with_capacity(positions * dim);
    for position in 0..positions {
        table.extend(frequencies.iter().map(|f| (position as f64 * f).cos() * factor));
        table.extend(frequencies.iter().map(|f| (position as f64 * f).sin() * factor));
    }
    table
}
