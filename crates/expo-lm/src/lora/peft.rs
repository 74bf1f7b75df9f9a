//! Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Adapter, LoraConfig, TargetModule};
use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::load::object;
use crate::model::LanguageModel;
use crate::model::params;
use crate::weights::HostTensor;
use crate::weights::folder::FolderWriter;
use crate::weights::safetensors::SafetensorsSource;
use crate::weights::tensor_file::{SaveDtype, safetensors_header};

/// The file with an adapter's options.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file with its matrices.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Where the header of that file has the SHA-256 of the weights that the adapter belongs to; PEFT leaves it alone.
const BASE_SHA256: &str = "expo_rl.base_sha256";

/// Options that change what an adapter computes and that this engine doesn't have: set, they are refused by name.
const UNSUPPORTED: [&str; 19] = [
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "exclude_modules",
    "target_parameters",
    "trainable_token_indices",
    "fan_in_fan_out",
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

/// Initialisations that leave the base's weights as they are; others change them, so that the adapter alone would not be the policy.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What `adapter_config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterFile {
    /// The adapter's options.
    pub config: LoraConfig,
    /// `base_model_name_or_path`; empty where it has none.
    pub base_name: String,
}

impl AdapterFile {
    /// Reads the options in the folder `dir`. Errors: no such file; other kinds of adapters and options that are not supported, by name.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG_FILE);
        if !path.is_file() {
            return Err(Error::file(&path, "does not exist; an adapter is a folder in PEFT's format, with this file in it"));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        Self::from_map(&object(&bytes, &path)?).map_err(|message| Error::file(&path, message))
    }

    fn from_map(map: &Map<String, Value>) -> Result<Self, String> {
        let of = |key: &str| map.get(key).filter(|value| !value.is_null());
        let text = |key: &str| of(key).and_then(Value::as_str);
        match of("peft_type") {
            Some(Value::String(kind)) if kind == "LORA" => {}
            Some(kind) => return Err(format!("peft_type is {kind}; only \"LORA\" is supported")),
            None => return Err("has no peft_type; expected \"LORA\"".to_owned()),
        }
        if let Some(task) = of("task_type").filter(|task| task.as_str() != Some("CAUSAL_LM")) {
            return Err(format!("task_type is {task}; only \"CAUSAL_LM\" is supported"));
        }
        if let Some(bias) = of("bias").filter(|bias| bias.as_str() != Some("none")) {
            return Err(format!("bias is {bias}; only \"none\" is supported (biases are frozen)"));
        }
        let empty = |value: &Value| match value {
            Value::Bool(set) => !set,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        if let Some((key, value)) = UNSUPPORTED.iter().find_map(|key| Some((key, of(key).filter(|value| !empty(value))?))) {
            return Err(format!("{key} is {value}, which is not supported; merge the adapter with PEFT and load the merged model"));
        }
        let start = of("init_lora_weights").filter(|start| !start.is_boolean());
        if let Some(start) = start.filter(|start| !start.as_str().is_some_and(|name| PLAIN_INITIALISATIONS.contains(&name))) {
            return Err(format!(
                "init_lora_weights is {start}, which changes the base's weights; merge the adapter with PEFT and load the merged model"
            ));
        }
        let names: Vec<&str> = match of("target_modules") {
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().unwrap_or("?")).collect(),
            // Several names as one string are a regular expression to PEFT.
            Some(Value::String(name)) => vec![name],
            _ => Vec::new(),
        };
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
        let config = LoraConfig {
            r: usize::try_from(r).unwrap_or(usize::MAX),
            lora_alpha: number("lora_alpha", None)?,
            lora_dropout: number("lora_dropout", Some(0.0))?,
            target_modules: TargetModule::parse_all(&names).map_err(|message| format!("target_modules: {message}"))?,
            use_rslora: flag("use_rslora")?,
        };
        config.check().map_err(|error| error.to_string())?;
        Ok(Self { config, base_name: text("base_model_name_or_path").unwrap_or_default().to_owned() })
    }

    /// The file's content, in PEFT's names.
    fn to_map(&self) -> Map<String, Value> {
        let LoraConfig { r, lora_alpha, lora_dropout, target_modules, use_rslora } = &self.config;
        let whole = (lora_alpha.fract() == 0.0 && lora_alpha.abs() < 1e15).then_some(*lora_alpha as i64);
        let fields = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base_name,
            "revision": null,
            "inference_mode": true,
            "r": r,
            // PEFT's type is a whole number.
            "lora_alpha": whole.map_or_else(|| Value::from(*lora_alpha), Value::from),
            "lora_dropout": lora_dropout,
            "target_modules": target_modules.iter().map(|module| module.name()).collect::<Vec<_>>(),
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
}

/// Whether `dir` holds an adapter and no model.
pub(crate) fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG_FILE).is_file() && !dir.join("config.json").exists()
}

impl<B: Backend> LanguageModel<B> {
    /// Puts the adapter in the folder `dir` on this model. Errors: those of [`AdapterFile::read`]; a missing, unknown or misshapen tensor; an adapter that
    /// this software wrote for other weights.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<()> {
        self.refuse_second_adapter()?;
        let AdapterFile { config, base_name } = AdapterFile::read(dir)?;
        let path = dir.join(WEIGHTS_FILE);
        if !path.is_file() {
            let other = if dir.join("adapter_model.bin").exists() {
                "; adapter_model.bin can't be read: save the adapter anew with PEFT"
            } else {
                ""
            };
            return Err(Error::file(&path, format!("does not exist; the folder lacks the adapter's weights{other}")));
        }
        let mut source = SafetensorsSource::open_file(&path)?;
        let called = if base_name.is_empty() { String::new() } else { format!(" (it names {base_name})") };
        let hint = format!("is the adapter for another base?{called}");
        let adapter = Adapter::build(self, config, &base_name, |specs| {
            // Which tensors there are says most about what the adapter is.
            let known = |name: &str| specs.iter().any(|spec| spec.parts[0].0 == name);
            if let Some(name) = source.names().filter(|name| !known(name)).min() {
                let layers = self.config.num_hidden_layers;
                return Err(Error::file(
                    &path,
                    format!("tensor {name} is not one of target_modules in the {layers} layers of this model; {hint}"),
                ));
            }
            params::load(self.backend, specs, &mut source, &hint)
        })?;
        if let Some(expected) = source.metadata(BASE_SHA256) {
            let found = self.base_sha256();
            if expected != found {
                let short = |hash: &str| hash.chars().take(16).collect::<String>();
                return Err(Error::file(
                    &path,
                    format!(
                        "the adapter was trained on weights with SHA-256 {}..., those of this model have {}...; give the base that it was trained on{called}",
                        short(expected),
                        short(&found)
                    ),
                ));
            }
            // What is known need not be computed again.
            let _ = adapter.base_sha256.set(found);
        }
        self.adapter = Some(adapter);
        Ok(())
    }

    /// Writes the model's adapter into `folder`, its matrices as f32. Errors: no adapter, those of writing.
    pub(crate) fn write_adapter(&self, folder: &FolderWriter) -> Result<()> {
        let adapter = self.adapter().ok_or_else(|| Error::Invalid("there is no adapter to write".to_owned()))?;
        let file = AdapterFile { config: adapter.config().clone(), base_name: adapter.base_name().to_owned() };
        folder.write_json(CONFIG_FILE, &file.to_map())?;
        let mut tensors: Vec<(String, HostTensor)> = Vec::new();
        self.export(&mut |name, tensor| {
            tensors.push((name.to_owned(), tensor));
            Ok(())
        })?;
        let specs: Vec<(String, Vec<usize>)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let mut bytes = safetensors_header(&specs, SaveDtype::F32, &[(BASE_SHA256, &self.base_sha256())]);
        bytes.extend(tensors.iter().flat_map(|(_, tensor)| &tensor.data).flat_map(|value| value.to_le_bytes()));
        folder.write_file(WEIGHTS_FILE, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl Fn(&mut Map<String, Value>)) -> Result<AdapterFile, String> {
        // As PEFT 0.21 writes it, but for options that are off.
        let Value::Object(mut map) = json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "some/base", "bias": "none", "eva_config": null,
            "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_to_transform": null,
            "lora_alpha": 32, "lora_bias": false, "lora_dropout": 0.05, "modules_to_save": null, "peft_type": "LORA", "r": 16,
            "rank_pattern": {}, "target_modules": ["v_proj", "q_proj"], "task_type": "CAUSAL_LM", "use_dora": false, "use_rslora": false,
        }) else {
            unreachable!()
        };
        change(&mut map);
        AdapterFile::from_map(&map)
    }

    #[test]
    fn peft_s_file_is_read_and_written() {
        let file = read(|_| {}).unwrap();
        let config = LoraConfig {
            r: 16,
            lora_alpha: 32.0,
            lora_dropout: 0.05,
            target_modules: vec![TargetModule::Q, TargetModule::V],
            use_rslora: false,
        };
        assert_eq!(file, AdapterFile { config, base_name: "some/base".into() });
        assert_eq!(AdapterFile::from_map(&file.to_map()).unwrap(), file);
        assert_eq!(file.to_map()["lora_alpha"].to_string(), "32");
        assert_eq!(file.config.scaling(), 2.0);
        assert_eq!(LoraConfig { use_rslora: true, ..file.config }.scaling(), 8.0);
        let all = read(|map| drop(map.insert("target_modules".into(), "all-linear".into()))).unwrap();
        assert_eq!(all.config.target_modules, TargetModule::ALL);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let cases: [(&str, Value, &str); 18] = [
            ("peft_type", "LOHA".into(), "peft_type is \"LOHA\"; only \"LORA\""),
            ("peft_type", Value::Null, "has no peft_type"),
            ("task_type", "SEQ_CLS".into(), "task_type is \"SEQ_CLS\""),
            ("bias", "all".into(), "bias is \"all\"; only \"none\""),
            ("use_dora", true.into(), "use_dora is true, which is not supported"),
            ("modules_to_save", json!(["lm_head"]), "modules_to_save is [\"lm_head\"], which is not supported"),
            ("rank_pattern", json!({"q_proj": 4}), "rank_pattern is {\"q_proj\":4}"),
            ("alpha_pattern", json!({"q_proj": 4}), "alpha_pattern is"),
            ("init_lora_weights", "pissa".into(), "init_lora_weights is \"pissa\", which changes the base's weights"),
            (
                "target_modules",
                json!(["q_proj", "qproj"]),
                "unknown target module \"qproj\"; valid are \"all-linear\" alone, or some of q_proj, k_proj",
            ),
            ("target_modules", json!(["lm_head"]), "\"lm_head\" can't be adapted"),
            ("target_modules", ".*_proj".into(), "unknown target module \".*_proj\""),
            ("r", 0.into(), "r is 0, expected a rank of at least 1"),
            ("r", (1u64 << 60).into(), "r is 1152921504606846976, expected a rank of at most 65536"),
            ("r", (-1).into(), "r is -1, expected a whole number"),
            ("use_rslora", "yes".into(), "use_rslora is \"yes\", expected true or false"),
            ("r", "x".into(), "r is \"x\", expected a whole number"),
            ("lora_dropout", 1.5.into(), "lora_dropout is 1.5"),
        ];
        for (key, value, expected) in cases {
            let error = read(|map| drop(map.insert(key.into(), value.clone()))).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{key}: {error}");
        }
    }
}
