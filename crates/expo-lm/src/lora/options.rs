//! `adapter_config.json` in PEFT's names: what is used, what has no effect on a finished adapter, what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::peft::{CONFIG_FILE, merge_command};
use super::targets::{Modules, Patterns, Targets};
use super::{Adapter, LoraConfig, MAX_RANK};
use crate::error::{Error, Result};
use crate::hub;
use crate::json::object;
use crate::kernels::Backend;

/// Options that change what an adapter computes and that this engine doesn't have: set, they are refused by name.
const UNSUPPORTED: [&str; 13] = [
    "use_dora",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "megatron_config",
];

/// Options that are read, or that say nothing about what a finished adapter computes. A linear layer has no `fan_in_fan_out`: PEFT turns it off.
const KNOWN: [&str; 30] = [
    "peft_type",
    "task_type",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "auto_mapping",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "bias",
    "fan_in_fan_out",
    "init_lora_weights",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "runtime_config",
    "qalora_group_size",
    "megatron_core",
    "ensure_weight_tying",
    "modules_to_tie",
];

/// Initialisations that leave the base's weights as they are; others change them, so that the adapter alone would not be the policy.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What `adapter_config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdapterFile {
    /// Rank and scale of modules that no pattern names; its `target_modules` is empty until the model is known.
    pub config: LoraConfig,
    pub targets: Targets,
    pub ranks: Patterns<usize>,
    pub alphas: Patterns<f64>,
    /// `base_model_name_or_path`; empty where it has none.
    pub base_name: String,
    /// What a user should know.
    pub notices: Vec<String>,
}

impl AdapterFile {
    /// Reads the options in the folder `dir`. Errors: no such file; other kinds of adapters and options that are not supported, by name.
    pub fn read(dir: &Path) -> Result<Self> {
        let (path, map) = read_map(dir)?;
        Self::from_map(&map, &merge_command(dir)).map_err(|message| Error::file(&path, message))
    }

    /// `merge` is the command that makes a model of the adapter.
    pub fn from_map(map: &Map<String, Value>, merge: &str) -> Result<Self, String> {
        let of = |key: &str| map.get(key).filter(|value| !value.is_null());
        match of("peft_type") {
            Some(Value::String(kind)) if kind == "LORA" => {}
            Some(kind) => return Err(format!("peft_type is {kind}; only \"LORA\" is supported; merge it with PEFT: {merge}")),
            None => return Err("has no peft_type; expected \"LORA\"".to_owned()),
        }
        if let Some(task) = of("task_type").filter(|task| task.as_str() != Some("CAUSAL_LM")) {
            return Err(format!("task_type is {task}; only \"CAUSAL_LM\" is supported"));
        }
        if let Some(bias) = of("bias").filter(|bias| bias.as_str() != Some("none")) {
            return Err(format!("bias is {bias}; only \"none\" is supported (biases are frozen); merge it with PEFT: {merge}"));
        }
        let is_empty = |value: &Value| match value {
            Value::Bool(set) => !set,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        if let Some((key, value)) = UNSUPPORTED.iter().find_map(|key| Some((key, of(key).filter(|value| !is_empty(value))?))) {
            return Err(format!("{key} is {value}, which is not supported; merge it with PEFT: {merge}"));
        }
        let start = of("init_lora_weights").filter(|start| !start.is_boolean());
        if let Some(start) = start.filter(|start| !start.as_str().is_some_and(|name| PLAIN_INITIALISATIONS.contains(&name))) {
            return Err(format!("init_lora_weights is {start}, which changes the base's weights; merge it with PEFT: {merge}"));
        }
        let number = |key: &str, default: Option<f64>| match of(key) {
            Some(value) => value.as_f64().ok_or_else(|| format!("{key} is {value}, expected a number")),
            None => default.ok_or_else(|| format!("has no {key}")),
        };
        let r = of("r")
            .and_then(Value::as_u64)
            .ok_or_else(|| format!("r is {}, expected a whole number", map.get("r").unwrap_or(&Value::Null)))?;
        let flag = |key: &str| match of(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{key} is {value}, expected true or false")),
        };
        flag("fan_in_fan_out")?;
        let config = LoraConfig {
            r: usize::try_from(r).unwrap_or(usize::MAX),
            lora_alpha: number("lora_alpha", None)?,
            lora_dropout: number("lora_dropout", Some(0.0))?,
            target_modules: Vec::new(),
            use_rslora: flag("use_rslora")?,
        };
        config.check_numbers().map_err(|error| error.to_string())?;
        let ranks = pattern(of("rank_pattern"), "rank_pattern", "a rank from 1 to 65536", |value| {
            usize::try_from(value.as_u64()?).ok().filter(|rank| (1..=MAX_RANK).contains(rank))
        })?;
        let alphas =
            pattern(of("alpha_pattern"), "alpha_pattern", "a number above 0", |value| value.as_f64().filter(|alpha| *alpha > 0.0))?;
        let target_modules = match of("target_modules") {
            Some(value) => modules("target_modules", value)?,
            None => return Err("has no target_modules; expected names of modules, a regular expression or \"all-linear\"".to_owned()),
        };
        let targets = Targets {
            target_modules,
            exclude_modules: of("exclude_modules")
                .filter(|value| !is_empty(value))
                .map(|value| modules("exclude_modules", value))
                .transpose()?,
            modules_to_save: names("modules_to_save", of("modules_to_save"))?,
            layers_to_transform: layers(of("layers_to_transform"))?,
            layers_pattern: names("layers_pattern", of("layers_pattern"))?,
        };
        let known = |key: &String| KNOWN.contains(&key.as_str()) || UNSUPPORTED.contains(&key.as_str());
        let unknown: Vec<String> = map
            .iter()
            .filter(|(key, value)| !known(key) && !value.is_null() && !is_empty(value))
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        let notices = match unknown.is_empty() {
            true => Vec::new(),
            false => vec![format!("{CONFIG_FILE} has options that are not known and not used: {}", unknown.join(", "))],
        };
        let base_name = of("base_model_name_or_path").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { config, targets, ranks, alphas, base_name, notices })
    }
}

/// The content of `adapter_config.json` for an adapter, in PEFT's names.
pub(super) fn to_map<B: Backend>(adapter: &Adapter<B>) -> Map<String, Value> {
    let LoraConfig { r, lora_alpha, lora_dropout, target_modules, use_rslora } = adapter.config();
    // PEFT's type is a whole number.
    let number = |alpha: f64| if alpha.fract() == 0.0 && alpha.abs() < 1e15 { json!(alpha as i64) } else { json!(alpha) };
    let (mut paths, mut ranks, mut alphas) = (Vec::new(), Map::new(), Map::new());
    for (path, rank, alpha) in adapter.modules() {
        if rank != *r {
            ranks.insert(path.clone(), rank.into());
        }
        if alpha != *lora_alpha {
            alphas.insert(path.clone(), number(alpha));
        }
        paths.push(path);
    }
    let targets = match adapter.is_in_every_layer() {
        true => target_modules.iter().map(|module| module.name().to_owned()).collect(),
        false => paths,
    };
    let fields = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": adapter.base_name(),
        "revision": null,
        "inference_mode": true,
        "r": r,
        "lora_alpha": number(*lora_alpha),
        "lora_dropout": lora_dropout,
        "target_modules": targets,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "use_rslora": use_rslora,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "modules_to_save": null,
        "use_dora": false,
    });
    match fields {
        Value::Object(map) => map,
        _ => unreachable!("an object"),
    }
}

/// The base of the adapter in the folder `dir` as a name to load: where `base_model_name_or_path` is a path, the folder that it means as seen from here, from
/// the adapter's folder or from the one that it lies in; else a hub name, or one of the binary's models.
/// Errors: those of reading `adapter_config.json`; it names no base, or one that isn't there.
pub fn base_model(dir: &Path) -> Result<String> {
    let (path, map) = read_map(dir)?;
    let name = map.get("base_model_name_or_path").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Error::file(&path, "names no base (`base_model_name_or_path`); give the model that the adapter belongs to as --model"));
    }
    let parent = std::path::absolute(dir).ok().and_then(|dir| dir.parent().map(Path::to_owned)).unwrap_or_default();
    let places = [PathBuf::new(), dir.to_owned(), parent].map(|place| place.join(name));
    if let Some(found) = places.iter().find(|place| place.is_dir() && place.join("config.json").is_file()) {
        return found
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::file(&path, "its base lies in a folder whose name is not UTF-8 text"));
    }
    if hub::is_hub_name(name) || name.starts_with("embedded:") {
        return Ok(name.to_owned());
    }
    Err(Error::file(
        &path,
        format!("names the base {name:?}, which is no folder with a model here; give the model that the adapter belongs to as --model"),
    ))
}

fn read_map(dir: &Path) -> Result<(PathBuf, Map<String, Value>)> {
    let path = dir.join(CONFIG_FILE);
    if !path.is_file() {
        return Err(Error::file(&path, "does not exist; an adapter is a folder in PEFT's format, with this file in it"));
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let map = object(&bytes, &path)?;
    Ok((path, map))
}

/// Names of modules: a list, or one regular expression.
fn modules(key: &str, value: &Value) -> Result<Modules, String> {
    match value {
        Value::String(text) => Ok(Modules::of_text(text)),
        list => names(key, Some(list)).map(Modules::Names),
    }
}

/// A list of texts, or one.
fn names(key: &str, value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = |value: &Value| format!("{key} is {value}, expected names of modules");
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(one)) if one.is_empty() => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(list @ Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(list))).collect(),
        Some(other) => Err(wrong(other)),
    }
}

/// Numbers of layers: one, or a list.
fn layers(value: Option<&Value>) -> Result<Option<Vec<usize>>, String> {
    let Some(value) = value else { return Ok(None) };
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let numbers = match value {
        Value::Array(items) => items.iter().map(number).collect::<Option<Vec<_>>>(),
        one => number(one).map(|n| vec![n]),
    };
    numbers.map(Some).ok_or_else(|| format!("layers_to_transform is {value}, expected numbers of layers"))
}

fn pattern<T>(value: Option<&Value>, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Patterns<T>, String> {
    let map = match value {
        None => return Ok(Patterns(Vec::new())),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(format!("{key} is {other}, expected an object of modules and values")),
    };
    let entry = |(name, value): (&String, &Value)| {
        Ok((name.clone(), read(value).ok_or_else(|| format!("{key}: {name:?} has {value}, expected {expected}"))?))
    };
    map.iter().map(entry).collect::<Result<_, String>>().map(Patterns)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
