//! A [`ModelConfig`] written as Hugging Face's `config.json`, in the spelling that transformers 4, transformers 5 and vLLM all read.

use serde_json::{Map, Value, json};

use super::{Architecture, ModelConfig, RopeScaling};

impl ModelConfig {
    /// The `config.json` that this configuration was read from, all its keys kept, with the RoPE options in the older spelling:
    /// transformers 4 would silently ignore transformers 5's `rope_parameters`, while 5 reads both. `tie_word_embeddings` is what the weights say.
    pub fn portable_json(&self, read: &Map<String, Value>) -> Map<String, Value> {
        let mut map = read.clone();
        if map.shift_remove("rope_parameters").is_some() {
            map.insert("rope_theta".to_owned(), json!(self.rope.theta));
            map.insert("rope_scaling".to_owned(), rope_scaling(&self.rope.scaling));
        }
        if map.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false) != self.tie_word_embeddings {
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
        put("architectures", json!([self.architecture.class_name()]));
        put("model_type", json!(self.architecture.model_type()));
        put("vocab_size", json!(self.vocab_size));
        put("hidden_size", json!(self.hidden_size));
        put("intermediate_size", json!(self.intermediate_size));
        put("num_hidden_layers", json!(self.num_hidden_layers));
        put("num_attention_heads", json!(self.num_attention_heads));
        put("num_key_value_heads", json!(self.num_key_value_heads));
        // Qwen2's class documents no such option; its modelling code reads it all the same.
        if self.architecture != Architecture::Qwen2 || self.head_dim * self.num_attention_heads != self.hidden_size {
            put("head_dim", json!(self.head_dim));
        }
        put("hidden_act", json!("silu"));
        put("max_position_embeddings", json!(self.max_position_embeddings));
        put("rms_norm_eps", json!(self.rms_norm_eps));
        put("tie_word_embeddings", json!(self.tie_word_embeddings));
        put("attention_bias", json!(false));
        put("attention_dropout", json!(0.0));
        put("rope_theta", json!(self.rope.theta));
        put("rope_scaling", rope_scaling(&self.rope.scaling));
        let window = self.sliding_window.iter().flatten().next().copied();
        match self.architecture {
            Architecture::Llama => put("mlp_bias", json!(false)),
            Architecture::Mistral => put("sliding_window", json!(window)),
            Architecture::Qwen2 | Architecture::Qwen3 => {
                put("use_sliding_window", json!(window.is_some()));
                put("sliding_window", json!(window));
                // Leading full layers, for readers that don't know `layer_types`.
                put("max_window_layers", json!(self.sliding_window.iter().take_while(|w| w.is_none()).count()));
                let kind = |w: &Option<usize>| if w.is_some() { "sliding_attention" } else { "full_attention" };
                put("layer_types", self.sliding_window.iter().map(kind).collect());
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
