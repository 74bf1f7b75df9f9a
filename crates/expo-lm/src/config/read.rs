//! Hugging Face's `config.json` read into a [`ModelConfig`]: both spellings of every option, the defaults of each architecture's
//! configuration class in transformers, and a refusal by name of whatever this crate doesn't compute.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Architecture, ModelConfig, Rope, RopeScaling};
use crate::error::{Error, Result};
use crate::json::object;

/// transformers' `default_theta`, used by all four architectures when `config.json` has none.
const DEFAULT_THETA: f64 = 10_000.0;
/// Published models have some hundred layers at most.
const MOST_LAYERS: usize = 4096;

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
        let mut reader = Reader { map, path: path.to_owned(), notices: Vec::new() };
        let config = reader.read()?;
        Ok(Self { config, notices: reader.notices })
    }
}

/// One pass over the keys of a `config.json`. A JSON `null` counts as absent except where a class's default differs from "none".
struct Reader<'a> {
    map: &'a Map<String, Value>,
    path: PathBuf,
    notices: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<ModelConfig> {
        let architecture = self.architecture()?;
        self.refuse_unsupported(architecture)?;
        let hidden_size = self.size("hidden_size")?;
        let num_hidden_layers = self.size("num_hidden_layers")?;
        // Each has its names and shapes before the weights are looked at.
        if num_hidden_layers > MOST_LAYERS {
            return Err(self.wrong("num_hidden_layers", &format!("at most {MOST_LAYERS}"), &num_hidden_layers.into()));
        }
        let num_attention_heads = self.size("num_attention_heads")?;
        let num_key_value_heads = self.key_value_heads(architecture, num_attention_heads)?;
        let head_dim = self.head_dim(architecture, hidden_size, num_attention_heads)?;
        let max_position_embeddings = match self.optional_size("max_position_embeddings")? {
            Some(n) => n,
            None => self.default_size(
                "max_position_embeddings",
                match architecture {
                    Architecture::Llama => 2048,
                    Architecture::Qwen2 | Architecture::Qwen3 => 32_768,
                    Architecture::Mistral => 131_072,
                },
            ),
        };
        let rms_norm_eps = self.optional_number("rms_norm_eps")?.unwrap_or(1e-6);
        if rms_norm_eps < 0.0 {
            return Err(self.wrong("rms_norm_eps", "a number that isn't negative", &rms_norm_eps.into()));
        }
        Ok(ModelConfig {
            architecture,
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps,
            qkv_bias: architecture == Architecture::Qwen2,
            qk_norm: architecture == Architecture::Qwen3,
            tie_word_embeddings: self.optional_bool("tie_word_embeddings")?.unwrap_or(false),
            max_position_embeddings,
            rope: self.rope(max_position_embeddings)?,
            sliding_window: self.sliding_window(architecture, num_hidden_layers)?,
            bos_token_id: self.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: self.token_ids("eos_token_id")?,
        })
    }

    fn architecture(&self) -> Result<Architecture> {
        let supported = || Architecture::ALL.map(Architecture::class_name).join(", ");
        let unsupported = |found: &str| Error::Unsupported {
            what: "architecture",
            message: format!("{} says `{found}`; supported: {}", self.path.display(), supported()),
        };
        if let Some(list) = self.map.get("architectures").and_then(Value::as_array).filter(|list| !list.is_empty()) {
            let name = list[0].as_str().unwrap_or_default();
            return Architecture::ALL.into_iter().find(|a| a.class_name() == name).ok_or_else(|| unsupported(name));
        }
        match self.map.get("model_type").and_then(Value::as_str) {
            Some(name) => Architecture::ALL.into_iter().find(|a| a.model_type() == name).ok_or_else(|| unsupported(name)),
            None => Err(Error::file(&self.path, format!("has neither `architectures` nor `model_type`; supported: {}", supported()))),
        }
    }

    /// Options that change what the model computes and that this crate doesn't have.
    fn refuse_unsupported(&mut self, architecture: Architecture) -> Result<()> {
        let refuse = |what: &'static str, message: String| {
            Err(Error::Unsupported { what, message: format!("{message} (in {})", self.path.display()) })
        };
        if let Some(method) = self.map.get("quantization_config").filter(|v| !v.is_null()) {
            let name = method.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
            return refuse(
                "quantization_config",
                format!("weights quantised with `{name}`; use the unquantised model in f32, f16 or bf16"),
            );
        }
        for key in ["attention_bias", "mlp_bias"] {
            let has_it = architecture != Architecture::Qwen2 && architecture != Architecture::Mistral;
            if has_it && self.map.get(key).is_some_and(|v| v.as_bool() == Some(true)) {
                return refuse("config option", format!("`{key}` = true: {} has no such bias here", architecture.class_name()));
            }
        }
        for key in ["num_experts", "num_local_experts", "n_routed_experts"] {
            if self.map.get(key).and_then(Value::as_u64).is_some_and(|n| n > 0) {
                return refuse("config option", format!("`{key}`: mixtures of experts are not implemented"));
            }
        }
        if let Some(activation) = self.map.get("hidden_act").and_then(Value::as_str).filter(|a| !["silu", "swish"].contains(a)) {
            return refuse("hidden_act", format!("`{activation}`; only `silu` is implemented"));
        }
        let rope = self.rope_map();
        for factor in [self.map.get("partial_rotary_factor"), rope.and_then(|r| r.get("partial_rotary_factor"))].into_iter().flatten() {
            if factor.as_f64().is_some_and(|f| f != 1.0) {
                return refuse("partial_rotary_factor", format!("{factor}; only whole heads are rotated (1.0)"));
            }
        }
        if self.map.get("attention_dropout").and_then(Value::as_f64).is_some_and(|p| p > 0.0) {
            self.notices.push("`attention_dropout` is ignored: training runs without dropout".to_owned());
        }
        Ok(())
    }

    fn key_value_heads(&mut self, architecture: Architecture, heads: usize) -> Result<usize> {
        let n = match (self.map.get("num_key_value_heads"), architecture) {
            (Some(Value::Null), _) | (None, Architecture::Llama) => heads,
            (Some(_), _) => self.size("num_key_value_heads")?,
            (None, Architecture::Qwen2 | Architecture::Qwen3) => self.default_size("num_key_value_heads", 32),
            (None, Architecture::Mistral) => self.default_size("num_key_value_heads", 8),
        };
        if !heads.is_multiple_of(n) {
            return Err(Error::file(&self.path, format!("`num_key_value_heads` = {n} does not divide `num_attention_heads` = {heads}")));
        }
        Ok(n)
    }

    fn head_dim(&mut self, architecture: Architecture, hidden: usize, heads: usize) -> Result<usize> {
        let n = match self.optional_size("head_dim")? {
            Some(n) => n,
            None if architecture == Architecture::Qwen3 && !self.map.contains_key("head_dim") => self.default_size("head_dim", 128),
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
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

    /// The RoPE options: transformers 5's `rope_parameters`, or the older `rope_scaling`.
    fn rope_map(&self) -> Option<&Map<String, Value>> {
        ["rope_scaling", "rope_parameters"]
            .into_iter()
            .filter_map(|key| self.map.get(key).and_then(Value::as_object))
            .find(|map| !map.is_empty())
    }

    fn rope(&mut self, max_position_embeddings: usize) -> Result<Rope> {
        for key in ["rope_scaling", "rope_parameters"] {
            if let Some(value) = self.map.get(key).filter(|v| !v.is_null() && !v.is_object()) {
                return Err(self.wrong(key, "an object or null", value));
            }
        }
        let options = self.rope_map().cloned().unwrap_or_default();
        if let Some((layer, _)) = options.iter().find(|(_, v)| v.is_object()) {
            return Err(Error::Unsupported {
                what: "rope_parameters",
                message: format!("one set a layer type (`{layer}`); one for all layers is implemented"),
            });
        }
        let number = |key: &str| -> Result<Option<f64>> {
            match options.get(key) {
                None | Some(Value::Null) => Ok(None),
                Some(v) => v.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number", v)),
            }
        };
        let positive = |key: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(self.wrong(key, "a positive number", &value.into())),
        };
        let needed = |key: &str| match number(key)? {
            Some(v) => positive(key, v),
            None => Err(Error::file(&self.path, format!("the RoPE scaling lacks `{key}`"))),
        };
        let original = || -> Result<usize> {
            // A top-level value wins over the nested one, as in transformers.
            let value = [self.map.get("original_max_position_embeddings"), options.get("original_max_position_embeddings")];
            match value.into_iter().flatten().find(|v| !v.is_null()) {
                None => Ok(max_position_embeddings),
                Some(v) => {
                    whole(v).filter(|n| *n > 0).ok_or_else(|| self.wrong("original_max_position_embeddings", "a positive integer", v))
                }
            }
        };
        let theta = match number("rope_theta")? {
            Some(theta) => Some(theta),
            None => self.optional_number("rope_theta")?,
        };
        let kind = ["rope_type", "type"].into_iter().find_map(|key| options.get(key)).and_then(Value::as_str).unwrap_or("default");
        let scaling = match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: needed("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: needed("factor")?,
                low_freq_factor: needed("low_freq_factor")?,
                high_freq_factor: needed("high_freq_factor")?,
                original_max_position_embeddings: original()?,
            },
            "yarn" => {
                let original = original()?;
                let factor = match number("factor")? {
                    Some(factor) => positive("factor", factor)?,
                    None => max_position_embeddings as f64 / original as f64,
                };
                let attention_factor = match number("attention_factor")? {
                    Some(value) => positive("attention_factor", value)?,
                    None => yarn_attention_factor(factor, number("mscale")?, number("mscale_all_dim")?),
                };
                // 0 and null both mean the default, as Python's `or` has it.
                let or_default = |key: &str, default: f64| Ok::<f64, Error>(number(key)?.filter(|v| *v != 0.0).unwrap_or(default));
                RopeScaling::Yarn {
                    factor,
                    beta_fast: or_default("beta_fast", 32.0)?,
                    beta_slow: or_default("beta_slow", 1.0)?,
                    attention_factor,
                    original_max_position_embeddings: original,
                    truncate: options.get("truncate").and_then(Value::as_bool).unwrap_or(true),
                }
            }
            other => {
                return Err(Error::Unsupported {
                    what: "RoPE scaling",
                    message: format!("`{other}` (in {}); supported: default, linear, llama3, yarn", self.path.display()),
                });
            }
        };
        let theta = match theta {
            Some(theta) => positive("rope_theta", theta)?,
            None => {
                self.notices.push(format!("`rope_theta` is missing; using the architecture's default, {DEFAULT_THETA}"));
                DEFAULT_THETA
            }
        };
        Ok(Rope { theta, scaling })
    }

    /// Llama has no window; Mistral has one on every layer (4096 unless the file says otherwise); Qwen2 and Qwen3 have one where
    /// `layer_types` says so, else from layer `max_window_layers` on, and only with `use_sliding_window`.
    fn sliding_window(&mut self, architecture: Architecture, layers: usize) -> Result<Vec<Option<usize>>> {
        let window = match self.map.get("sliding_window") {
            Some(Value::Null) => None,
            Some(value) => match whole(value).filter(|n| *n > 0) {
                Some(n) => Some(n),
                None => return Err(self.wrong("sliding_window", "a positive integer or null", value)),
            },
            None => Some(4096),
        };
        let types = self.layer_types(layers)?;
        match architecture {
            Architecture::Llama => Ok(vec![None; layers]),
            Architecture::Mistral => {
                if !self.map.contains_key("sliding_window") {
                    self.notices.push("`sliding_window` is missing; using the architecture's default, 4096".to_owned());
                }
                Ok(vec![window; layers])
            }
            Architecture::Qwen2 | Architecture::Qwen3 => {
                let window = if self.optional_bool("use_sliding_window")?.unwrap_or(false) { window } else { None };
                let first = match self.map.get("max_window_layers") {
                    None | Some(Value::Null) => 28,
                    Some(value) => whole(value).ok_or_else(|| self.wrong("max_window_layers", "an integer", value))?,
                };
                let slides = |i: usize| types.as_ref().map_or(i >= first, |types| types[i]);
                if window.is_none() && types.as_ref().is_some_and(|t| t.contains(&true)) {
                    let message =
                        "`layer_types` has sliding layers, but `use_sliding_window` is false or `sliding_window` null; make them agree";
                    return Err(Error::file(&self.path, message));
                }
                Ok((0..layers).map(|i| window.filter(|_| slides(i))).collect())
            }
        }
    }

    /// `layer_types` as "does this layer slide".
    fn layer_types(&self, layers: usize) -> Result<Option<Vec<bool>>> {
        let Some(value) = self.map.get("layer_types").filter(|v| !v.is_null()) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| self.wrong("layer_types", "a list", value))?;
        if list.len() != layers {
            let message = format!("`layer_types` has {} entries for {layers} layers", list.len());
            return Err(Error::file(&self.path, message));
        }
        let kinds = list.iter().map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(Error::Unsupported { what: "layer type", message: format!("{kind}; supported: full_attention, sliding_attention") }),
        });
        kinds.collect::<Result<Vec<_>>>().map(Some)
    }

    /// An id, a list of ids, or nothing.
    fn token_ids(&self, key: &str) -> Result<Vec<u32>> {
        token_ids(self.map.get(key)).ok_or_else(|| self.wrong(key, "a token id or a list of them", &self.map[key]))
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| Error::file(&self.path, format!("lacks `{key}`")))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            // An upper bound far above any real model keeps products of sizes within 64 bits.
            Some(v) => match whole(v).filter(|n| (1..=1 << 31).contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(self.wrong(key, "a positive integer", v)),
            },
        }
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => v.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number", v)),
        }
    }

    fn optional_bool(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => v.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", v)),
        }
    }

    fn default_size(&mut self, key: &str, default: usize) -> usize {
        self.notices.push(format!("`{key}` is missing; using the architecture's default, {default}"));
        default
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
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

/// A whole number, also when it is written as `32768.0`.
fn whole(value: &Value) -> Option<usize> {
    let number = value.as_f64()?;
    (number >= 0.0 && number.fract() == 0.0 && number <= 9e15).then_some(number as usize)
}

/// YaRN's multiplier of cos and sin (arXiv 2309.00071, equation 22, and DeepSeek's `mscale`), as transformers computes it.
fn yarn_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let get_mscale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    match (mscale.filter(|m| *m != 0.0), mscale_all_dim.filter(|m| *m != 0.0)) {
        (Some(mscale), Some(all)) => get_mscale(mscale) / get_mscale(all),
        _ => get_mscale(1.0),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
