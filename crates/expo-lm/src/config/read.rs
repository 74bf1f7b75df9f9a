//! Hugging Face's `config.json` read into a [`ModelConfig`]: both spellings of every option, the defaults of each architecture's
//! configuration class in transformers, and a refusal by name of whatever this crate doesn't compute.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Activation, Mlp, ModelConfig};
use crate::error::{Error, Result};
use crate::json::object;
use crate::models::{AttentionScale, FAMILIES, Family, RopeOptions, classes};

/// Published models have some hundred layers at most.
const MOST_LAYERS: usize = 4096;

/// Options that change what a model computes in some family, with the values (0 is `false`) that change nothing there. Those that a family neither defines nor
/// ignores are refused.
const CHANGES_THE_MODEL: [(&str, &[f64]); 11] = [
    ("attention_bias", &[0.0]),
    ("attention_multiplier", &[]),
    ("attn_logit_softcapping", &[]),
    ("embedding_multiplier", &[1.0]),
    ("final_logit_softcapping", &[]),
    ("logits_scaling", &[1.0]),
    ("mlp_bias", &[0.0]),
    ("query_pre_attn_scalar", &[]),
    ("residual_multiplier", &[1.0]),
    ("rope_local_base_freq", &[]),
    ("use_bidirectional_attention", &[0.0]),
];

/// A `config.json` that has been read and understood.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// What the model is.
    pub config: ModelConfig,
    /// What a user should know: defaults that were filled in, options without effect here.
    pub notices: Vec<String>,
}

impl ConfigFile {
    /// Reads `json`, the content of the file `path` (used in messages only).
    /// Errors: malformed JSON, a missing or mistyped key, an unsupported architecture or option.
    pub fn parse(json: &[u8], path: &Path) -> Result<Self> {
        Self::from_map(&object(json, path)?, path)
    }

    /// The same for JSON that has been parsed already.
    pub fn from_map(map: &Map<String, Value>, path: &Path) -> Result<Self> {
        let mut reader = Reader { map, family: family(map, path)?, path: path.to_owned(), notices: Vec::new() };
        let config = reader.read()?;
        Ok(Self { config, notices: reader.notices })
    }
}

/// What saves the text part of a model that also sees images as a model of `part`. `from_pretrained` of that class alone would draw its weights at random.
fn text_part_command(part: &Family, path: &Path) -> String {
    let (class, folder) = (part.class_name, path.parent().unwrap_or(Path::new(".")).display());
    format!(
        "python -c \"import transformers as t; m = t.AutoModelForImageTextToText.from_pretrained('{folder}'); x = t.{class}(m.config.text_config); \
         x.model, x.lm_head = m.model.language_model, m.lm_head; x.save_pretrained('text'); \
         t.AutoTokenizer.from_pretrained('{folder}').save_pretrained('text')\", and use the folder `text`"
    )
}

/// One pass over the keys of a `config.json`. A JSON `null` counts as absent except where a class's default differs from "none".
pub(super) struct Reader<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) family: &'static Family,
    pub(super) path: PathBuf,
    pub(super) notices: Vec<String>,
}

/// The family that `map` names.
fn family(map: &Map<String, Value>, path: &Path) -> Result<&'static Family> {
    let supported = || classes(|_| true);
    let known = |found: &str, name: fn(&Family) -> &str| FAMILIES.into_iter().find(|family| name(family) == found);
    let find = |found: &str, name: fn(&Family) -> &str| {
        known(found, name).ok_or_else(|| {
            let part = map.get("text_config").and_then(|text| known(text.get("model_type")?.as_str()?, |family| family.model_type));
            let instead = match part {
                Some(part) => {
                    format!("its text part is a {}, which has to be saved by itself: {}", part.class_name, text_part_command(part, path))
                }
                None => format!("supported: {}", supported()),
            };
            Error::Unsupported { what: "architecture", message: format!("{} says `{found}`; {instead}", path.display()) }
        })
    };
    if let Some(list) = map.get("architectures").and_then(Value::as_array).filter(|list| !list.is_empty()) {
        return find(list[0].as_str().unwrap_or_default(), |family| family.class_name);
    }
    match map.get("model_type").and_then(Value::as_str) {
        Some(name) => find(name, |family| family.model_type),
        None => Err(Error::file(path, format!("has neither `architectures` nor `model_type`; supported: {}", supported()))),
    }
}

impl Reader<'_> {
    fn read(&mut self) -> Result<ModelConfig> {
        self.refuse_unsupported()?;
        let hidden_size = self.size("hidden_size")?;
        let num_hidden_layers = self.size("num_hidden_layers")?;
        // Each has its names and shapes before the weights are looked at.
        if num_hidden_layers > MOST_LAYERS {
            return Err(self.wrong("num_hidden_layers", &format!("at most {MOST_LAYERS}"), &num_hidden_layers.into()));
        }
        let num_attention_heads = self.size("num_attention_heads")?;
        let num_key_value_heads = self.key_value_heads(num_attention_heads)?;
        let head_dim = self.head_dim(hidden_size, num_attention_heads)?;
        let options = self.family.options;
        let max_position_embeddings = match self.optional_size("max_position_embeddings")? {
            Some(n) => n,
            None => self.default_size("max_position_embeddings", options.max_position_embeddings),
        };
        let rms_norm_eps = self.optional_number("rms_norm_eps")?.unwrap_or(1e-6);
        if rms_norm_eps < 0.0 {
            return Err(self.wrong("rms_norm_eps", "a number that isn't negative", &rms_norm_eps.into()));
        }
        let query_pre_attn_scalar = match options.attention_scale {
            AttentionScale::HeadDim => None,
            AttentionScale::Key { key, default } => Some(self.optional_size(key)?.unwrap_or(default)),
        };
        Ok(ModelConfig {
            family: self.family,
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps,
            mlp: self.mlp()?,
            query_pre_attn_scalar,
            tie_word_embeddings: self.optional_bool("tie_word_embeddings")?.unwrap_or(options.tie_word_embeddings),
            max_position_embeddings,
            layers: self.layers(num_hidden_layers, max_position_embeddings)?,
            bos_token_id: self.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: self.token_ids("eos_token_id")?,
        })
    }

    /// Options that change what the model computes and that its family or this crate doesn't have.
    fn refuse_unsupported(&mut self) -> Result<()> {
        if let Some(method) = self.map.get("quantization_config").filter(|v| !v.is_null()) {
            let name = method.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
            return self
                .refuse("quantization_config", format!("weights quantised with `{name}`; use the unquantised model in f32, f16 or bf16"));
        }
        let options = self.family.options;
        let defined = |key: &str| {
            matches!(options.attention_scale, AttentionScale::Key { key: own, .. } if own == key)
                || matches!(options.rope, RopeOptions::ByLayerType { key: own, .. } if own == key)
        };
        for (key, neutral) in CHANGES_THE_MODEL.iter().filter(|(key, _)| !options.ignored.contains(key) && !defined(key)) {
            let found = self.map.get(*key).filter(|v| !v.is_null());
            if let Some(value) = found.filter(|v| !number(v).is_some_and(|n| neutral.contains(&n))) {
                return self.refuse("config option", format!("`{key}` = {value}: {} has no such option here", self.family.class_name));
            }
        }
        if let Some(factor) = self.optional_number("partial_rotary_factor")?.filter(|factor| *factor != 1.0) {
            return self.refuse("partial_rotary_factor", format!("{factor}; only whole heads are rotated (1.0)"));
        }
        if self.map.get("attention_dropout").and_then(Value::as_f64).is_some_and(|p| p > 0.0) {
            self.notices.push("`attention_dropout` is ignored: training runs without dropout".to_owned());
        }
        Ok(())
    }

    /// A block's second half. Errors: one that isn't computed here.
    fn mlp(&self) -> Result<Mlp> {
        let key = self.family.options.activation;
        let mlp = match self.experts() {
            Some(experts) => experts,
            None => match self.map.get(key) {
                None | Some(Value::Null) => Mlp::Dense(self.family.options.default_activation),
                Some(value) => {
                    let name = value.as_str().ok_or_else(|| self.wrong(key, "the name of an activation", value))?;
                    let Some(activation) = Activation::named(name) else {
                        let known = Activation::ALL.map(|activation| activation.names()[0]).join(", ");
                        return self.refuse(key, format!("`{name}`; implemented are: {known}"));
                    };
                    Mlp::Dense(activation)
                }
            },
        };
        match mlp {
            Mlp::Experts { option, count } => {
                self.refuse("config option", format!("`{option}` = {count}: mixtures of experts are not implemented"))
            }
            dense => Ok(dense),
        }
    }

    fn experts(&self) -> Option<Mlp> {
        ["num_experts", "num_local_experts", "n_routed_experts"].into_iter().find_map(|option| {
            let count = self.map.get(option).and_then(whole).filter(|count| *count > 0)?;
            Some(Mlp::Experts { option, count })
        })
    }

    pub(super) fn refuse<T>(&self, what: &'static str, message: String) -> Result<T> {
        Err(Error::Unsupported { what, message: format!("{message} (in {})", self.path.display()) })
    }

    fn key_value_heads(&mut self, heads: usize) -> Result<usize> {
        let n = match (self.map.get("num_key_value_heads"), self.family.options.num_key_value_heads) {
            (Some(Value::Null), _) | (None, None) => heads,
            (Some(_), _) => self.size("num_key_value_heads")?,
            (None, Some(default)) => self.default_size("num_key_value_heads", default),
        };
        if !heads.is_multiple_of(n) {
            return Err(Error::file(&self.path, format!("`num_key_value_heads` = {n} does not divide `num_attention_heads` = {heads}")));
        }
        Ok(n)
    }

    fn head_dim(&mut self, hidden: usize, heads: usize) -> Result<usize> {
        let n = match (self.optional_size("head_dim")?, self.family.options.head_dim.filter(|_| !self.map.contains_key("head_dim"))) {
            (Some(n), _) => n,
            (None, Some(default)) => self.default_size("head_dim", default),
            (None, None) if hidden.is_multiple_of(heads) => hidden / heads,
            (None, None) => {
                let message =
                    format!("`hidden_size` = {hidden} is not a multiple of `num_attention_heads` = {heads}, and there is no `head_dim`");
                return Err(Error::file(&self.path, message));
            }
        };
        if n % 2 != 0 {
            return Err(Error::file(&self.path, format!("a head size of {n} is odd; rotary embedding needs an even one")));
        }
        Ok(n)
    }

    /// An id, a list of ids, or nothing.
    fn token_ids(&self, key: &str) -> Result<Vec<u32>> {
        token_ids(self.map.get(key)).ok_or_else(|| self.wrong(key, "a token id or a list of them", &self.map[key]))
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| Error::file(&self.path, format!("lacks `{key}`")))
    }

    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            // An upper bound far above any real model keeps products of sizes within 64 bits.
            Some(v) => match whole(v).filter(|n| (1..=1 << 31).contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(self.wrong(key, "a positive integer", v)),
            },
        }
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => v.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number", v)),
        }
    }

    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => v.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", v)),
        }
    }

    pub(super) fn default_size(&mut self, key: &str, default: usize) -> usize {
        self.notices.push(format!("`{key}` is missing; using the architecture's default, {default}"));
        default
    }

    pub(super) fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        Error::file(&self.path, format!("`{key}` is {found}; it has to be {expected}"))
    }
}

/// Token ids spelled as nothing, one id or a list; `None` for anything else.
pub(crate) fn token_ids(value: Option<&Value>) -> Option<Vec<u32>> {
    let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(id).collect(),
        Some(v) => Some(vec![id(v)?]),
    }
}

/// A number, or what a flag is as one.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or(value.as_bool().map(f64::from))
}

/// A whole number, also when it is written as `32768.0`.
pub(super) fn whole(value: &Value) -> Option<usize> {
    let number = value.as_f64()?;
    (number >= 0.0 && number.fract() == 0.0 && number <= 9e15).then_some(number as usize)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
