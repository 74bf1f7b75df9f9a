//! Named shapes for measuring without weight files: the sizes of well-known models.

use super::{Architecture, ModelConfig, Rope, RopeScaling};

/// A named size.
struct Shape {
    name: &'static str,
    architecture: Architecture,
    vocab: usize,
    hidden: usize,
    inner: usize,
    layers: usize,
    /// Query heads, key/value heads, elements of a head.
    heads: (usize, usize, usize),
    theta: f64,
    context: usize,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "small",
        architecture: Architecture::Qwen2,
        vocab: 512,
        hidden: 256,
        inner: 768,
        layers: 8,
        heads: (8, 2, 32),
        theta: 1e6,
        context: 4096,
    },
    Shape {
        name: "smollm2-135m",
        architecture: Architecture::Llama,
        vocab: 49_152,
        hidden: 576,
        inner: 1536,
        layers: 30,
        heads: (9, 3, 64),
        theta: 1e5,
        context: 8192,
    },
    Shape {
        name: "qwen2.5-0.5b",
        architecture: Architecture::Qwen2,
        vocab: 151_936,
        hidden: 896,
        inner: 4864,
        layers: 24,
        heads: (14, 2, 64),
        theta: 1e6,
        context: 32_768,
    },
];

/// The names that [`ModelConfig::of_shape`] knows, smallest first.
pub fn shape_names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|shape| shape.name)
}

impl ModelConfig {
    /// The configuration of a named shape, with a tied head; `None` for a name that [`shape_names`] doesn't list.
    pub fn of_shape(name: &str) -> Option<Self> {
        let shape = SHAPES.iter().find(|shape| shape.name == name)?;
        let (num_attention_heads, num_key_value_heads, head_dim) = shape.heads;
        Some(Self {
            architecture: shape.architecture,
            vocab_size: shape.vocab,
            hidden_size: shape.hidden,
            intermediate_size: shape.inner,
            num_hidden_layers: shape.layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: 1e-6,
            qkv_bias: shape.architecture == Architecture::Qwen2,
            qk_norm: false,
            tie_word_embeddings: true,
            max_position_embeddings: shape.context,
            rope: Rope { theta: shape.theta, scaling: RopeScaling::Default },
            sliding_window: vec![None; shape.layers],
            bos_token_id: None,
            eos_token_ids: vec![],
        })
    }

    /// Floating-point operations of one token's forward pass: two for each weight of a matrix product (the head's included), and attention
    /// over `context` tokens.
    pub fn forward_flops(&self, context: f64) -> f64 {
        let (hidden, inner) = (self.hidden_size as f64, self.intermediate_size as f64);
        let (q, kv) = ((self.num_attention_heads * self.head_dim) as f64, (self.num_key_value_heads * self.head_dim) as f64);
        let block = hidden * (q + 2.0 * kv) + q * hidden + 3.0 * hidden * inner;
        self.num_hidden_layers as f64 * (2.0 * block + 4.0 * context * q) + 2.0 * hidden * self.vocab_size as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn shapes_are_the_models_that_they_name() {
        let small = ModelConfig::of_shape("small").unwrap();
        assert_eq!(Model::random(small, 0.02, 0).num_parameters(), 6_167_808);
        assert!(shape_names().all(|name| ModelConfig::of_shape(name).is_some()));
        assert_eq!(ModelConfig::of_shape("medium"), None);
        assert_eq!(shape_names().count(), 3);
    }

    #[test]
    fn flops_are_twice_the_weights_and_attention() {
        let config = ModelConfig::of_shape("small").unwrap();
        let weights = 8.0 * (256.0 * 384.0 + 256.0 * 256.0 + 3.0 * 256.0 * 768.0) + 256.0 * 512.0;
        assert_eq!(config.forward_flops(0.0), 2.0 * weights);
        assert_eq!(config.forward_flops(10.0) - config.forward_flops(0.0), 8.0 * 4.0 * 10.0 * 256.0);
    }
}
