//! A [`ModelConfig`] written as Hugging Face's `config.json`, in the spelling that transformers 4, transformers 5 and vLLM all read.

use serde_json::{Map, Value, json};

use super::rope::{FULL, SLIDING};
use super::{ModelConfig, RopeScaling};
use crate::models::{AttentionScale, RopeOptions, Windows};

impl ModelConfig {
    /// The `config.json` that this configuration was read from, all its keys kept, with the RoPE options in the older spelling:
    /// transformers 4 would silently ignore transformers 5's `rope_parameters`, while 5 reads both. `tie_word_embeddings` is what the weights say.
    pub fn portable_json(&self, read: &Map<String, Value>) -> Map<String, Value> {
        let mut map = read.clone();
        if map.shift_remove("rope_parameters").is_some() {
            map.extend(self.rope_json());
        }
        let ties = map.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(self.family.options.tie_word_embeddings);
        if ties != self.tie_word_embeddings {
            map.insert("tie_word_embeddings".to_owned(), json!(self.tie_word_embeddings));
        }
        map
    }

    /// `config.json` for this model (without a dtype, which belongs to the weights that it is saved with).
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            map.insert(key.to_owned(), value);
        };
        let options = self.family.options;
        put("architectures", json!([self.family.class_name]));
        put("model_type", json!(self.family.model_type));
        put("vocab_size", json!(self.vocab_size));
        put("hidden_size", json!(self.hidden_size));
        put("intermediate_size", json!(self.intermediate_size));
        put("num_hidden_layers", json!(self.num_hidden_layers));
        put("num_attention_heads", json!(self.num_attention_heads));
        put("num_key_value_heads", json!(self.num_key_value_heads));
        // Modelling code reads it all the same where the class documents no such option.
        if options.documents_head_dim || self.head_dim * self.num_attention_heads != self.hidden_size {
            put("head_dim", json!(self.head_dim));
        }
        if let AttentionScale::Key { key, default } = options.attention_scale {
            put(key, json!(self.query_pre_attn_scalar.unwrap_or(default)));
        }
        put(options.activation, json!(self.activation().names()[0]));
        put("max_position_embeddings", json!(self.max_position_embeddings));
        put("rms_norm_eps", json!(self.rms_norm_eps));
        put("tie_word_embeddings", json!(self.tie_word_embeddings));
        put("attention_dropout", json!(0.0));
        options.off.iter().for_each(|key| put(key, json!(false)));
        self.rope_json().into_iter().for_each(|(key, value)| put(&key, value));
        let slides: Vec<bool> = self.layers.iter().map(|layer| layer.window.is_some()).collect();
        let window = self.layers.iter().find_map(|layer| layer.window);
        let types = || slides.iter().map(|slides| if *slides { SLIDING } else { FULL }).collect::<Value>();
        match options.windows {
            Windows::Never => {}
            Windows::Every { .. } => put("sliding_window", json!(window)),
            Windows::Switched { .. } => {
                put("use_sliding_window", json!(window.is_some()));
                put("sliding_window", json!(window));
                // Leading full layers, for readers that don't know `layer_types`.
                put("max_window_layers", json!(slides.iter().take_while(|slides| !**slides).count()));
                put("layer_types", types());
            }
            Windows::Pattern { window: default, .. } => {
                put("sliding_window", json!(window.unwrap_or(default)));
                // The same for readers that don't know `layer_types`, where there is such a period.
                let is_period = |n: &usize| slides.iter().enumerate().all(|(i, slides)| *slides != (i + 1).is_multiple_of(*n));
                if let Some(period) = (1..=slides.len() + 1).find(is_period) {
                    put("sliding_window_pattern", json!(period));
                }
                put("layer_types", types());
            }
        }
        put("initializer_range", json!(0.02));
        put("use_cache", json!(true));
        put("bos_token_id", json!(self.bos_token_id));
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        put("eos_token_id", eos);
        map
    }

    /// The options of RoPE in transformers 4's spelling.
    fn rope_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let [full, sliding] = self.ropes();
        if let Some(rope) = full.or(sliding) {
            map.insert("rope_theta".to_owned(), json!(rope.theta));
            map.insert("rope_scaling".to_owned(), rope_scaling(&rope.scaling));
        }
        if let (RopeOptions::ByLayerType { key, .. }, Some(rope)) = (self.family.options.rope, sliding) {
            map.insert(key.to_owned(), json!(rope.theta));
        }
        map
    }
}

fn rope_scaling(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::Default => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, attention_factor, original_max_position_embeddings, truncate } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "attention_factor": attention_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
            "truncate": truncate,
        }),
    }
}
