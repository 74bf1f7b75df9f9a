//! Adapters in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;

use super::adapter::Adapted;
pub use super::options::base_model;
use super::options::{AdapterFile, to_map};
use super::{Adapter, TargetModule, targets};
use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::model::LanguageModel;
use crate::model::params;
use crate::models::BlockTensors;
use crate::weights::folder::FolderWriter;
use crate::weights::names::{Name, NamedWeights};
use crate::weights::safetensors::SafetensorsSource;
use crate::weights::tensor_file::{SaveDtype, safetensors_header};
use crate::weights::{HostTensor, TensorSource};

/// The file with an adapter's options.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file with its matrices.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Where the header of that file has the SHA-256 of the weights that the adapter belongs to; PEFT leaves it alone.
const BASE_SHA256: &str = "expo_rl.base_sha256";

/// Whether `dir` holds an adapter and no model.
pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG_FILE).is_file() && !dir.join("config.json").exists()
}

/// What makes a model of the adapter in `dir`, whatever its kind.
pub(super) fn merge_command(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "python -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('{dir}').merge_and_unload().save_pretrained('merged')\", and load \
         the folder `merged`"
    )
}

/// What an adapter's file holds, by the ends of its names.
#[derive(Default)]
struct Contents {
    /// A's and B's: layer, module and letter to the stored name.
    matrices: BTreeMap<(usize, TargetModule, char), String>,
    /// What stands before `layers` in the base's own names (`model.`).
    root: String,
    /// Copies of the base's tensors: the base's name and the stored one.
    copies: Vec<(String, String)>,
    /// Everything else.
    others: Vec<String>,
}

impl Contents {
    /// Errors: two tensors that are the same matrix.
    fn read(source: &SafetensorsSource<'_>, tensors: &BlockTensors) -> Result<Self> {
        let mut names: Vec<&str> = source.names().collect();
        names.sort_unstable();
        let mut contents = Self { root: "model.".to_owned(), ..Self::default() };
        for name in names {
            if let Some((layer, module, letter)) = matrix(name, tensors) {
                let own = name.split('.').filter(|part| *part != "_orig_mod").collect::<Vec<_>>().join(".");
                let own = own.strip_prefix("base_model.model.").unwrap_or(&own);
                if let Some(at) = own.find("layers.") {
                    contents.root = own[..at].to_owned();
                }
                if let Some(first) = contents.matrices.insert((layer, module, letter), name.to_owned()) {
                    return Err(Error::Invalid(format!(
                        "{}: `{first}` and `{name}` are the same matrix of one adapter; save one adapter alone",
                        source.describe()
                    )));
                }
                continue;
            }
            // PEFT puts a name of the adapter in where a module is saved whole.
            let plain: Vec<&str> = name.split('.').filter(|part| !["modules_to_save", "default"].contains(part)).collect();
            match Name::parse(&plain.join(".")).filter(|_| !name.contains("lora_")) {
                Some(parsed) => contents.copies.push((parsed.own(), name.to_owned())),
                None => contents.others.push(name.to_owned()),
            }
        }
        Ok(contents)
    }
}

/// Layer, module and letter of the name of a matrix.
fn matrix(name: &str, tensors: &BlockTensors) -> Option<(usize, TargetModule, char)> {
    let parts: Vec<&str> = name.split('.').filter(|part| *part != "_orig_mod").collect();
    let at = parts.iter().position(|part| *part == "layers")?;
    let letter_at = parts.iter().position(|part| part.starts_with("lora_")).filter(|letter| *letter > at + 1)?;
    let path = parts[at + 2..letter_at].join(".");
    let module = TargetModule::ALL.into_iter().find(|module| module.path(tensors) == path)?;
    let (layer, rest) = (parts[at + 1], &parts[letter_at + 1..]);
    let letter = match parts[letter_at] {
        "lora_A" => 'A',
        "lora_B" => 'B',
        _ => return None,
    };
    // Saved with `save_pretrained`, or with the name of the adapter in it.
    matches!(rest, ["weight"] | [_, "weight"]).then_some(())?;
    Some((layer.parse().ok()?, module, letter))
}

impl<B: Backend> LanguageModel<B> {
    /// Puts the adapter in the folder `dir` on this model, and returns what a user should know. Errors: options that are not supported; a missing, unknown or
    /// misshapen tensor; a copy of one of the base's tensors that differs from it; an adapter that this software wrote for other weights.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<Vec<String>> {
        self.refuse_second_adapter()?;
        let file = AdapterFile::read(dir)?;
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
        let contents = Contents::read(&source, &self.config.family.tensors)?;
        let mut notices: Vec<String> = file.notices.iter().map(|notice| format!("{}: {notice}", dir.display())).collect();
        let called = if file.base_name.is_empty() { String::new() } else { format!(" (it names {})", file.base_name) };
        let hint = format!("is the adapter for another base?{called}");
        let modules = self.adapted_modules(&file, &contents.root).map_err(|message| Error::file(&dir.join(CONFIG_FILE), message))?;
        let found = |layer: &usize, module: &TargetModule| modules.iter().any(|m| (m.layer, m.module) == (*layer, *module));
        let stray = contents.matrices.iter().find(|((layer, module, _), _)| !found(layer, module)).map(|(_, name)| name);
        if let Some(name) = stray {
            let layers = self.config.num_hidden_layers;
            return Err(Error::file(
                &path,
                format!("tensor {name} is not one of target_modules in the {layers} layers of this model; {hint}"),
            ));
        }
        let merge = merge_command(dir);
        if let Some(name) = contents.others.first() {
            let what = if name.contains("embed_tokens") || name.contains("lm_head") || name.contains("lora_embedding") {
                "the head and the embedding can't be adapted here"
            } else {
                "no part of an adapter's linear layers"
            };
            return Err(Error::file(&path, format!("tensor {name}: {what}; merge it with PEFT: {merge}")));
        }
        notices.extend(self.drop_copies(&mut source, &contents, &file, &merge, &hint)?);
        let stored = contents.matrices.iter().map(|((l, module, letter), name)| {
            let own =
                format!("base_model.model.{}.lora_{letter}.weight", targets::path(&self.config.family.tensors, "model.", *l, *module));
            (own, name.clone())
        });
        let mut matrices = NamedWeights { stored: stored.collect(), source: &mut source };
        let adapter =
            Adapter::build(self, file.config, &modules, &file.base_name, |specs| params::load(self.backend, specs, &mut matrices, &hint))?;
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
        Ok(notices)
    }

    /// The modules of this model that the options mean, with their ranks and alphas; `root` is what stands before `layers` in their paths.
    fn adapted_modules(&self, file: &AdapterFile, root: &str) -> Result<Vec<Adapted>, String> {
        let matcher = file.targets.matcher()?;
        let (ranks, alphas) = (file.ranks.compiled("rank_pattern")?, file.alphas.compiled("alpha_pattern")?);
        let mut modules = Vec::new();
        for layer in 0..self.config.num_hidden_layers {
            for module in TargetModule::ALL {
                let path = targets::path(&self.config.family.tensors, root, layer, module);
                if matcher.adapts(&path, layer) {
                    let rank = ranks.iter().find(|(key, _)| key.matches(&path)).map_or(file.config.r, |(_, rank)| *rank);
                    let alpha = alphas.iter().find(|(key, _)| key.matches(&path)).map_or(file.config.lora_alpha, |(_, alpha)| *alpha);
                    modules.push(Adapted { layer, module, rank, alpha });
                }
            }
        }
        if modules.is_empty() {
            return Err(format!(
                "target_modules, exclude_modules and layers_to_transform leave no module of this model's {} layers; those that can be adapted are {}",
                self.config.num_hidden_layers,
                TargetModule::names()
            ));
        }
        Ok(modules)
    }

    /// Leaves out copies of the base's tensors that PEFT saves beside an adapter (after a change of the vocabulary, with `save_embedding_layers` or
    /// `modules_to_save`). Errors: one of them is not what the base has.
    fn drop_copies(
        &self,
        source: &mut SafetensorsSource<'static>,
        contents: &Contents,
        file: &AdapterFile,
        merge: &str,
        hint: &str,
    ) -> Result<Option<String>> {
        for module in &file.targets.modules_to_save {
            if !contents.copies.iter().any(|(own, _)| own.split('.').any(|part| part == module.rsplit('.').next().unwrap_or(module))) {
                let message =
                    format!("has no tensor of {module:?}, one of modules_to_save in {CONFIG_FILE}; save the adapter anew with PEFT");
                return Err(Error::Invalid(format!("{}: {message}", source.describe())));
            }
        }
        let mut rounded_copies = false;
        for (own, stored) in &contents.copies {
            let refuse = |message: String| Err(Error::Invalid(format!("{}: tensor {stored} {message}", source.describe())));
            let Some(base) = self.base_tensor(own) else {
                return refuse(format!(
                    "is not one of target_modules in the {} layers of this model; {hint}",
                    self.config.num_hidden_layers
                ));
            };
            let shape = source.shape(stored).unwrap_or_default().to_vec();
            if shape != base.shape {
                return refuse(format!(
                    "is a copy of the base's `{own}` with shape {shape:?} instead of {:?}, as after a change of the vocabulary; merge it with PEFT: {merge}",
                    base.shape
                ));
            }
            let dtype = source.dtype(stored);
            let copy = source.tensor(stored)?.map(|tensor| tensor.data).unwrap_or_default();
            let rounded = |value: f32| match dtype {
                Some(Dtype::BF16) => bf16::from_f32(value).to_f32(),
                Some(Dtype::F16) => f16::from_f32(value).to_f32(),
                _ => value,
            };
            rounded_copies |= base.data != copy;
            let differing = base.data.iter().zip(&copy).filter(|(base, copy)| rounded(**base) != **copy).count();
            if differing > 0 {
                return Err(Error::Invalid(format!(
                    "{}: tensor {stored} is a changed copy of the base's `{own}` ({differing} of {} values differ), which an adapter can't have here; merge \
                     it with PEFT: {merge}",
                    source.describe(),
                    copy.len()
                )));
            }
        }
        let names: Vec<String> = contents.copies.iter().map(|(own, _)| format!("`{own}`")).collect();
        let how = if rounded_copies { "unchanged but for their rounding (PEFT computes with the rounded ones)" } else { "unchanged" };
        Ok((!names.is_empty())
            .then(|| format!("{}: its copies of the base's {} are {how}, and left out", source.describe(), names.join(", "))))
    }

    /// One of the weights without the adapter, by its Hugging Face name.
    fn base_tensor(&self, name: &str) -> Option<HostTensor> {
        let name = if name == "lm_head.weight" && self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { name };
        let (spec, buf) =
            self.table.specs.iter().zip(self.params.iter()).find(|(spec, _)| spec.parts.iter().any(|(part, _)| part == name))?;
        let mut found = None;
        let keep = &mut |part: &str, tensor: HostTensor| {
            if part == name {
                found = Some(tensor);
            }
            Ok(())
        };
        spec.export(self.backend, buf, keep).ok()?;
        found
    }

    /// Writes the model's adapter into `folder`, its matrices as f32. Errors: no adapter, those of writing.
    pub(crate) fn write_adapter(&self, folder: &FolderWriter) -> Result<()> {
        let adapter = self.adapter().ok_or_else(|| Error::Invalid("there is no adapter to write".to_owned()))?;
        folder.write_json(CONFIG_FILE, &to_map(adapter))?;
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
