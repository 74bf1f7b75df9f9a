//! Named shapes for measuring without weight files: the sizes of well-known models.

use super::{LayerAttention, Mlp, ModelConfig, Rope};
use crate::models::{AttentionScale, FAMILIES, Family, RopeOptions, Shape, Windows};

/// All shapes with their families, smallest first.
fn shapes() -> Vec<(&'static Family, &'static Shape)> {
    let mut all: Vec<_> = FAMILIES.iter().flat_map(|family| family.shapes.iter().map(|shape| (*family, shape))).collect();
    all.sort_by_key(|(_, shape)| (shape.vocab + shape.layers * (shape.hidden + shape.inner)) * shape.hidden);
    all
}

/// The names that [`ModelConfig::of_shape`] knows, smallest first.
pub fn shape_names() -> impl Iterator<Item = &'static str> {
    shapes().into_iter().map(|(_, shape)| shape.name)
}

impl ModelConfig {
    /// The configuration of a named shape, with a tied head; `None` for a name that [`shape_names`] doesn't list.
    pub fn of_shape(name: &str) -> Option<Self> {
        let (family, shape) = shapes().into_iter().find(|(_, shape)| shape.name == name)?;
        let (num_attention_heads, num_key_value_heads, head_dim) = shape.heads;
        let slides = |i: usize| matches!(family.options.windows, Windows::Pattern { period, .. } if !(i + 1).is_multiple_of(period));
        let layer = |i: usize| match family.options.rope {
            RopeOptions::ByLayerType { sliding, .. } if slides(i) => {
                LayerAttention { window: Some(shape.window), rope: Rope::plain(sliding) }
            }
            _ => LayerAttention { window: slides(i).then_some(shape.window), rope: Rope::plain(shape.theta) },
        };
        Some(Self {
            family,
            vocab_size: shape.vocab,
            hidden_size: shape.hidden,
            intermediate_size: shape.inner,
            num_hidden_layers: shape.layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: 1e-6,
            mlp: Mlp::Dense(family.options.default_activation),
            query_pre_attn_scalar: match family.options.attention_scale {
                AttentionScale::HeadDim => None,
                AttentionScale::Key { default, .. } => Some(default),
            },
            tie_word_embeddings: true,
            max_position_embeddings: shape.context,
            layers: (0..shape.layers).map(layer).collect(),
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
        // Five layers with a window, then one without, and a RoPE for each kind.
        let gemma = ModelConfig::of_shape("gemma-3-270m").unwrap();
        let kinds: Vec<_> = gemma.layers.iter().map(|layer| (layer.window, layer.rope.theta)).collect();
        assert_eq!(
            kinds.chunks(6).map(|six| six.to_vec()).collect::<Vec<_>>(),
            vec![[vec![(Some(512), 1e4); 5], vec![(None, 1e6)]].concat(); 3]
        );
        assert_eq!(ModelConfig::of_shape("medium"), None);
        assert_eq!(shape_names().collect::<Vec<_>>(), ["small", "smollm2-135m", "gemma-3-270m", "qwen2.5-0.5b", "gemma-3-1b"]);
    }

    #[test]
    fn flops_are_twice_the_weights_and_attention() {
        let config = ModelConfig::of_shape("small").unwrap();
        let weights = 8.0 * (256.0 * 384.0 + 256.0 * 256.0 + 3.0 * 256.0 * 768.0) + 256.0 * 512.0;
        assert_eq!(config.forward_flops(0.0), 2.0 * weights);
        assert_eq!(config.forward_flops(10.0) - config.forward_flops(0.0), 8.0 * 4.0 * 10.0 * 256.0);
    }
}
