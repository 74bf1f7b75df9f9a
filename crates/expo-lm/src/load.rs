//! A model with everything around it: from a local folder, the hub or memory, and back into a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::chat::{ChatTemplate, template_in_config};
use crate::config::{ConfigFile, ModelConfig};
use crate::error::{Error, Result};
use crate::generation_config;
use crate::hub;
use crate::json::object;
use crate::lora::peft;
use crate::model::Model;
use crate::side_files::{NAMED_TEMPLATES, SIDE_FILES, is_side_file};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::added::SideTokens;
use crate::tokenizer::vocab_merges;
use crate::weights::TensorSet;
use crate::weights::folder::{FolderWriter, SaveDtype};
use crate::weights::names;
use crate::weights::safetensors::{SINGLE_FILE, SafetensorsSource};

/// The standard deviation of Hugging Face's initialisation where `config.json` has no `initializer_range`.
const DEFAULT_INITIALIZER_RANGE: f64 = 0.02;

/// A model with everything around it.
pub struct LoadedModel {
    /// The network and its weights.
    pub model: Model,
    /// Tokenizer, chat template and the rest. Apart from `model`, so that a trainer can own the weights while others keep this.
    pub folder: ModelFolder,
}

impl std::ops::Deref for LoadedModel {
    type Target = ModelFolder;
    fn deref(&self) -> &ModelFolder {
        &self.folder
    }
}

/// What a model's folder holds beside the weights: tokenizer, chat template, end-of-sequence ids, and the files that are written back.
pub struct ModelFolder {
    /// `None` for a folder without `tokenizer.json` (or `vocab.json` and `merges.txt` of a known class): such a model works on token ids only.
    pub tokenizer: Option<Tokenizer>,
    /// `None` where no file has a template (base models).
    pub chat: Option<ChatTemplate>,
    /// Every id that ends a sequence: those of `generation_config.json`, `config.json` and `tokenizer_config.json`.
    pub eos_token_ids: Vec<u32>,
    /// What a user should know about how the files were read.
    pub notices: Vec<String>,
    files: ModelFiles,
}

impl LoadedModel {
    /// Loads a local folder or, if there is no such folder and the name has the form `owner/model`, a model from the hub.
    /// A local folder never touches the network. Everything but the weights is checked before any weight is read.
    pub fn load(path_or_hub_name: &str) -> Result<Self> {
        Self::assemble(ModelFiles::open(path_or_hub_name)?, Weights::Stored)
    }

    /// Loads a model whose files lie in memory, by their names in a folder (`config.json`, `model.safetensors`, ...).
    pub fn from_memory(files: &[(&str, &[u8])]) -> Result<Self> {
        let weights = files.iter().find(|(name, _)| *name == SINGLE_FILE);
        let (name, bytes) = weights.ok_or_else(|| Error::Invalid(format!("the files in memory lack {SINGLE_FILE}")))?;
        let mut source = SafetensorsSource::from_bytes(name, bytes)?;
        Self::assemble(ModelFiles::from_memory(files)?, Weights::Given(&mut source))
    }

    /// Everything but the weights from a folder or the hub; weights drawn at random (normal, standard deviation `initializer_range`).
    pub fn random(path_or_hub_name: &str, seed: u64) -> Result<Self> {
        Self::assemble(ModelFiles::open(path_or_hub_name)?, Weights::Random(seed))
    }

    /// The same with the files in memory.
    pub fn random_from_memory(files: &[(&str, &[u8])], seed: u64) -> Result<Self> {
        Self::assemble(ModelFiles::from_memory(files)?, Weights::Random(seed))
    }

    fn assemble(files: ModelFiles, weights: Weights<'_>) -> Result<Self> {
        let ConfigFile { config, mut notices } = ConfigFile::from_map(&files.config_json, &files.path("config.json"))?;
        notices.extend(files.notice.clone());
        let tokenizer_config = files.json("tokenizer_config.json")?.unwrap_or_default();
        let (tokenizer, special_tokens) = files.tokenizer(&tokenizer_config, config.vocab_size, &mut notices)?;
        match &tokenizer {
            Some(tokenizer) => tokenizer.check_vocab_size(config.vocab_size)?,
            None => notices.push(format!("{} {}: only token ids can be used", files.origin, files.no_tokenizer())),
        }
        let chat = files.chat_template(&tokenizer_config, &special_tokens)?;
        let eos_token_ids = files.eos_token_ids(&config, tokenizer.as_ref(), &special_tokens)?;
        if let Some(id) = eos_token_ids.iter().find(|id| **id as usize >= config.vocab_size) {
            let message = format!(
                "the end-of-sequence id {id} (`eos_token_id` in generation_config.json or config.json, or `eos_token` in tokenizer_config.json) is outside \
                 the vocabulary of {}; correct it",
                config.vocab_size
            );
            return Err(Error::Invalid(format!("{}: {message}", files.origin)));
        }
        if eos_token_ids.is_empty() {
            notices.push("no file names an end-of-sequence token: generation ends only at its length limit".to_owned());
        }
        let model = match weights {
            Weights::Stored => stored_model(config, &mut SafetensorsSource::open(&files.folder)?, &mut notices)?,
            Weights::Given(source) => stored_model(config, source, &mut notices)?,
            Weights::Random(seed) => {
                let std = files.config_json.get("initializer_range").and_then(Value::as_f64).unwrap_or(DEFAULT_INITIALIZER_RANGE);
                Model::random(config, std as f32, seed)
            }
        };
        Ok(Self { model, folder: ModelFolder { tokenizer, chat, eos_token_ids, notices, files } })
    }

    /// Writes this model as a Hugging Face folder, which must not exist or be empty.
    pub fn save(&self, dir: &Path, dtype: SaveDtype) -> Result<()> {
        self.folder.save_weights(&self.model, dir, dtype)
    }
}

/// The model whose weights lie in `source`; `notices` gets what is to be told of their names, and of what is not used.
fn stored_model(mut config: ModelConfig, source: &mut SafetensorsSource<'_>, notices: &mut Vec<String>) -> Result<Model> {
    let mut weights = names::resolve(source, &mut config, notices)?;
    Model::load(config, &mut weights)
}

impl ModelFolder {
    /// The tokenizer, or an error that says what is missing.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Error::Invalid(format!("{} {}; text needs one (token ids work without)", self.files.origin, self.files.no_tokenizer()))
        })
    }

    /// The chat template, or an error that says what is missing.
    pub fn chat(&self) -> Result<&ChatTemplate> {
        self.chat.as_ref().ok_or_else(|| {
            let message = "has no chat template (chat_template.jinja, or `chat_template` in tokenizer_config.json)";
            Error::Invalid(format!("{} {message}", self.files.origin))
        })
    }

    /// Where the model came from, for messages.
    pub fn origin(&self) -> &str {
        &self.files.origin
    }

    /// Bytes of what [`ModelFolder::save_weights`] writes beside the weights, or a little more.
    pub fn side_bytes(&self) -> u64 {
        let written = serde_json::to_vec(&self.files.config_json).map_or(0, |json| 2 * json.len());
        (self.files.side_files.values().map(Vec::len).sum::<usize>() + written) as u64
    }

    /// Writes a Hugging Face folder, which must not exist or be empty, with the weights of `model`: the one that came with this
    /// folder or another of the same configuration (trained on, averaged). Of a model with an adapter, that is a folder in PEFT's format with the adapter
    /// alone, always as f32, and the tokenizer's files.
    pub fn save_weights(&self, model: &Model, dir: &Path, dtype: SaveDtype) -> Result<()> {
        let folder = FolderWriter::create(dir)?;
        if model.adapter().is_some() {
            model.write_adapter(&folder)?;
            // PEFT's folders hold what encodes text, nothing that describes the base.
            for (name, content) in self.files.side_files.iter().filter(|(name, _)| *name != "generation_config.json") {
                folder.write_file(name, content)?;
            }
            return folder.finish();
        }
        let shapes = model.tensors().shapes();
        let mut weights = folder.weights(&shapes, dtype);
        model.export(&mut |name, tensor| weights.push(name, &tensor))?;
        weights.finish()?;
        folder.write_config(&model.config.portable_json(&self.files.config_json), dtype)?;
        for (name, content) in &self.files.side_files {
            folder.write_file(name, content)?;
        }
        if !self.files.side_files.contains_key("generation_config.json") {
            let generation = generation_config::to_json(model.config.bos_token_id, &self.eos_token_ids);
            folder.write_json("generation_config.json", &generation)?;
        }
        folder.finish()
    }
}

enum Weights<'a> {
    /// In the folder that the other files come from.
    Stored,
    Given(&'a mut SafetensorsSource<'a>),
    Random(u64),
}

/// A model's files apart from its weights.
struct ModelFiles {
    /// What the user called it.
    origin: String,
    /// Where it lies (empty in memory).
    folder: PathBuf,
    config_json: Map<String, Value>,
    side_files: BTreeMap<String, Vec<u8>>,
    notice: Option<String>,
}

impl ModelFiles {
    fn open(path_or_hub_name: &str) -> Result<Self> {
        let local = Path::new(path_or_hub_name);
        let (folder, notice) = if local.is_dir() {
            (local.to_owned(), None)
        } else if local.exists() {
            return Err(Error::file(local, "is a file; a model is a folder with config.json (a GGUF file has to be imported first)"));
        } else if hub::is_hub_name(path_or_hub_name) {
            hub::fetch(path_or_hub_name)?
        } else {
            return Err(Error::file(local, "does not exist; give a model folder, or a hub name of the form owner/model"));
        };
        if peft::is_adapter(&folder) {
            let message = "is an adapter, not a model: give its base as model (--model, model.path) and this folder as adapter (--adapter, lora.adapter), \
                           or merge the two (expo-rl merge)";
            return Err(Error::file(&folder, message));
        }
        let config_path = folder.join("config.json");
        let config = std::fs::read(&config_path).map_err(|e| Error::io("read", &config_path, e))?;
        let mut side_files = BTreeMap::new();
        let mut names: Vec<String> = SIDE_FILES.map(str::to_owned).to_vec();
        if let Ok(entries) = std::fs::read_dir(folder.join(NAMED_TEMPLATES)) {
            let templates = entries.flatten().map(|entry| format!("{NAMED_TEMPLATES}{}", entry.file_name().to_string_lossy()));
            names.extend(templates.filter(|name| is_side_file(name)));
        }
        for name in names {
            let path = folder.join(&name);
            if path.is_file() {
                side_files.insert(name, std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?);
            }
        }
        Ok(Self { origin: path_or_hub_name.to_owned(), config_json: object(&config, &config_path)?, folder, side_files, notice })
    }

    fn from_memory(files: &[(&str, &[u8])]) -> Result<Self> {
        let config = files.iter().find(|(name, _)| *name == "config.json");
        let (_, config) = config.ok_or_else(|| Error::Invalid("the files in memory lack config.json".to_owned()))?;
        let side = files.iter().filter(|(name, _)| is_side_file(name));
        Ok(Self {
            origin: "the model in memory".to_owned(),
            folder: PathBuf::new(),
            config_json: object(config, Path::new("config.json"))?,
            side_files: side.map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect(),
            notice: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn json(&self, name: &str) -> Result<Option<Map<String, Value>>> {
        self.side_files.get(name).map(|content| object(content, &self.path(name))).transpose()
    }

    /// The tokenizer, and `bos_token` and its like as text. The tokens that other files name are added to those of `tokenizer.json`.
    fn tokenizer(
        &self,
        config: &Map<String, Value>,
        vocab_size: usize,
        notices: &mut Vec<String>,
    ) -> Result<(Option<Tokenizer>, Map<String, Value>)> {
        let [older, oldest] = ["special_tokens_map.json", "added_tokens.json"].map(|name| self.json(name));
        let (older, oldest) = (older?.unwrap_or_default(), oldest?.unwrap_or_default());
        let class = self.class(config);
        let file = |name: &str| self.side_files.get(name);
        let (json, path, defaults) = match (file("tokenizer.json"), class, file("vocab.json"), file("merges.txt")) {
            (Some(json), ..) => (json.clone(), self.path("tokenizer.json"), &[][..]),
            (None, Some(class), Some(vocab), Some(merges)) => {
                notices.push(format!("{} has no tokenizer.json: made of vocab.json and merges.txt, as {} is", self.origin, class.name()));
                (vocab_merges::build(class, vocab, merges, config, &self.folder)?, self.path("vocab.json"), class.defaults())
            }
            _ => {
                let side = SideTokens::read(config, &older, &oldest, &[]);
                return Ok((None, side.map_err(|message| Error::file(&self.folder, message))?.special));
            }
        };
        let side = SideTokens::read(config, &older, &oldest, defaults).map_err(|message| Error::file(&self.folder, message))?;
        let special = side.special.clone();
        let (mut tokenizer, told) = Tokenizer::with_tokens(&json, &path, side, vocab_size)?;
        notices.extend(told);
        if !self.side_files.contains_key("tokenizer.json")
            && let Some(processor) = vocab_merges::post_processor(config, &special, |token| tokenizer.token_to_id(token))
        {
            tokenizer.set_post_processor(processor)?;
        }
        Ok((Some(tokenizer), special))
    }

    /// The tokenizer's class, where it is one that `vocab.json` and `merges.txt` make.
    fn class(&self, config: &Map<String, Value>) -> Option<vocab_merges::Class> {
        let text = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let class = text(config, "tokenizer_class").or_else(|| text(&self.config_json, "tokenizer_class"));
        vocab_merges::Class::of(class.as_deref(), text(&self.config_json, "model_type").as_deref())
    }

    /// Why there is no tokenizer, and what makes one.
    fn no_tokenizer(&self) -> String {
        let other = ["tokenizer.model", "vocab.json"].into_iter().find(|name| self.side_files.contains_key(*name));
        let Some(other) = other else { return "has no tokenizer.json".to_owned() };
        let packages = if other == "tokenizer.model" { "transformers sentencepiece protobuf" } else { "transformers" };
        let folder = self.folder.display();
        format!(
            "has {other} but no tokenizer.json; make it with: pip install {packages} && python -c \"from transformers import AutoTokenizer; \
             AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    }

    fn chat_template(&self, tokenizer_config: &Map<String, Value>, special_tokens: &Map<String, Value>) -> Result<Option<ChatTemplate>> {
        let (source, path) = match self.side_files.get("chat_template.jinja") {
            Some(bytes) => {
                let path = self.path("chat_template.jinja");
                let text = String::from_utf8(bytes.clone())
                    .map_err(|e| Error::file(&path, format!("is not UTF-8 text ({e}); download or write it again")))?;
                (Some(text), path)
            }
            None => {
                let path = self.path("tokenizer_config.json");
                let entry = tokenizer_config.get("chat_template").unwrap_or(&Value::Null);
                (template_in_config(entry, &path)?, path)
            }
        };
        source.map(|source| ChatTemplate::new(&source, &path, special_tokens.clone())).transpose()
    }

    fn eos_token_ids(&self, config: &ModelConfig, tokenizer: Option<&Tokenizer>, special: &Map<String, Value>) -> Result<Vec<u32>> {
        let name = "generation_config.json";
        let generation = match self.side_files.get(name) {
            Some(json) => generation_config::eos_token_ids(json, &self.path(name))?,
            None => Vec::new(),
        };
        let token = special.get("eos_token").and_then(Value::as_str);
        let by_name: Vec<u32> = token.and_then(|token| tokenizer?.token_to_id(token)).into_iter().collect();
        Ok(generation_config::merge(&[&generation, &config.eos_token_ids, &by_name]))
    }
}
