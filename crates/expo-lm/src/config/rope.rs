//! How layers attend: windows and RoPE, in the spellings of transformers 4 and 5.

use serde_json::{Map, Value};

use super::read::{Reader, whole};
use super::{LayerAttention, Rope, RopeScaling};
use crate::error::{Error, Result};
use crate::models::{RopeOptions, Windows};

/// transformers' names of the kinds of layers, which are also the keys of RoPE's parameters by kind.
pub(super) const FULL: &str = "full_attention";
pub(super) const SLIDING: &str = "sliding_attention";

impl Reader<'_> {
    /// How each of `layers` layers attends.
    pub(super) fn layers(&mut self, layers: usize, max_position_embeddings: usize) -> Result<Vec<LayerAttention>> {
        let [full, sliding] = self.ropes(max_position_embeddings)?;
        let windows = self.windows(layers)?;
        let of = |window: Option<usize>| LayerAttention { window, rope: if window.is_some() { &sliding } else { &full }.clone() };
        Ok(windows.into_iter().map(of).collect())
    }

    /// The RoPE of layers with full attention, and of those with a window.
    fn ropes(&mut self, max_position_embeddings: usize) -> Result<[Rope; 2]> {
        for key in ["rope_scaling", "rope_parameters"] {
            if let Some(value) = self.map.get(key).filter(|v| !v.is_null() && !v.is_object()) {
                return Err(self.wrong(key, "an object or null", value));
            }
        }
        let object = |key: &str| self.map.get(key).and_then(Value::as_object).filter(|map| !map.is_empty());
        match self.family.options.rope {
            RopeOptions::One(default) => {
                // transformers 5's `rope_parameters`, or the older `rope_scaling`.
                let options = object("rope_scaling").or(object("rope_parameters")).cloned().unwrap_or_default();
                if let Some((layer, _)) = options.iter().find(|(_, v)| v.is_object()) {
                    let class = self.family.class_name;
                    return Err(Error::Unsupported {
                        what: "rope_parameters",
                        message: format!("one set a layer type (`{layer}`); {class} has one for all layers"),
                    });
                }
                let rope = self.rope(&options, "rope_theta", default, max_position_embeddings)?;
                Ok([rope.clone(), rope])
            }
            RopeOptions::ByLayerType { full, key, sliding } => {
                let parameters = object("rope_parameters").cloned().unwrap_or_default();
                if let Some((name, found)) =
                    parameters.iter().find(|(name, v)| ![FULL, SLIDING].contains(&name.as_str()) || !v.is_object() && !v.is_null())
                {
                    let message = format!("`rope_parameters` has `{name}` = {found}; expected an object for each of {FULL} and {SLIDING}");
                    return Err(Error::file(&self.path, message));
                }
                let of = |layer: &str| parameters.get(layer).and_then(Value::as_object).cloned().unwrap_or_default();
                let [mut of_full, of_sliding] = [of(FULL), of(SLIDING)];
                of_full.extend(object("rope_scaling").cloned().unwrap_or_default());
                let full = self.rope(&of_full, "rope_theta", full, max_position_embeddings)?;
                let sliding = self.rope(&of_sliding, key, sliding, max_position_embeddings)?;
                if sliding.scaling != RopeScaling::Default {
                    let message = format!("of {SLIDING} (in {}); only {FULL} may have one", self.path.display());
                    return Err(Error::Unsupported { what: "RoPE scaling", message });
                }
                Ok([full, sliding])
            }
        }
    }

    /// The RoPE that `options` say, with the base under `theta_key` of the whole file where they have none.
    fn rope(&mut self, options: &Map<String, Value>, theta_key: &str, default: f64, max_position_embeddings: usize) -> Result<Rope> {
        let number = |key: &str| -> Result<Option<f64>> {
            match options.get(key) {
                None | Some(Value::Null) => Ok(None),
                Some(v) => v.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number", v)),
            }
        };
        if let Some(factor) = number("partial_rotary_factor")?.filter(|factor| *factor != 1.0) {
            return self.refuse("partial_rotary_factor", format!("{factor}; only whole heads are rotated (1.0)"));
        }
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
            None => self.optional_number(theta_key)?,
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
            Some(theta) => positive(theta_key, theta)?,
            None => {
                self.notices.push(format!("`{theta_key}` is missing; using the architecture's default, {default}"));
                default
            }
        };
        Ok(Rope { theta, scaling })
    }

    /// The window of each layer.
    fn windows(&mut self, layers: usize) -> Result<Vec<Option<usize>>> {
        let types = self.layer_types(layers)?;
        let windows = self.family.options.windows;
        let default = match windows {
            Windows::Never => return Ok(vec![None; layers]),
            Windows::Every { window } | Windows::Switched { window, .. } | Windows::Pattern { window, .. } => window,
        };
        let window = match self.map.get("sliding_window") {
            Some(Value::Null) => None,
            Some(value) => match whole(value).filter(|n| *n > 0) {
                Some(n) => Some(n),
                None => return Err(self.wrong("sliding_window", "a positive integer or null", value)),
            },
            None => Some(default),
        };
        if !self.map.contains_key("sliding_window") && !matches!(windows, Windows::Switched { .. }) {
            self.notices.push(format!("`sliding_window` is missing; using the architecture's default, {default}"));
        }
        let by_types = |otherwise: &dyn Fn(usize) -> bool| {
            (0..layers).map(|i| types.as_ref().map_or(otherwise(i), |types| types[i])).collect::<Vec<_>>()
        };
        let slides = match windows {
            Windows::Never | Windows::Every { .. } => return Ok(vec![window; layers]),
            Windows::Switched { first, .. } => {
                let first = match self.map.get("max_window_layers") {
                    None | Some(Value::Null) => first,
                    Some(value) => whole(value).ok_or_else(|| self.wrong("max_window_layers", "an integer", value))?,
                };
                let window = if self.optional_bool("use_sliding_window")?.unwrap_or(false) { window } else { None };
                if window.is_none() && types.as_ref().is_some_and(|t| t.contains(&true)) {
                    let message =
                        "`layer_types` has sliding layers, but `use_sliding_window` is false or `sliding_window` null; make them agree";
                    return Err(Error::file(&self.path, message));
                }
                if window.is_none() {
                    return Ok(vec![None; layers]);
                }
                by_types(&|i| i >= first)
            }
            Windows::Pattern { period, .. } => {
                let period = self.optional_size("sliding_window_pattern")?.unwrap_or(period);
                let slides = by_types(&|i| !(i + 1).is_multiple_of(period));
                if window.is_none() && slides.contains(&true) {
                    return Err(Error::file(&self.path, "`sliding_window` is null, but some layers slide; give it a positive integer"));
                }
                slides
            }
        };
        Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
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
            Some(FULL) => Ok(false),
            Some(SLIDING) => Ok(true),
            _ => Err(Error::Unsupported { what: "layer type", message: format!("{kind}; supported: {FULL}, {SLIDING}") }),
        });
        kinds.collect::<Result<Vec<_>>>().map(Some)
    }
}

/// YaRN's multiplier of cos and sin (arXiv 2309.00071, equation 22, and DeepSeek's `mscale`), as transformers computes it.
fn yarn_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let get_mscale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    match (mscale.filter(|m| *m != 0.0), mscale_all_dim.filter(|m| *m != 0.0)) {
        (Some(mscale), Some(all)) => get_mscale(mscale) / get_mscale(all),
        _ => get_mscale(1.0),
    }
}
