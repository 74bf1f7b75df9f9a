//! GGUF files (llama.cpp's format, versions 2 and 3) turned into Hugging Face folders.

mod config;
mod dequantize;
mod file;
mod rope;
mod tensors;
mod tokenizer;

use std::path::Path;

use serde_json::Map;

use crate::config::ModelConfig;
use crate::error::Result;
use crate::generation_config;
use crate::weights::folder::{FolderWriter, SaveDtype};
use file::GgufFile;

/// What [`import`] has done.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The model's shape.
    pub config: ModelConfig,
    /// Number of tensors written.
    pub tensors: usize,
    /// What a user should know (defaults that were filled in).
    pub notices: Vec<String>,
}

/// Turns the GGUF file at `path` (of a model in parts any of them, the others beside it) into the Hugging Face folder `out_dir` (which must not exist or be empty): weights, `config.json`,
/// `generation_config.json`, `tokenizer.json` and `tokenizer_config.json` with the chat template. With [`SaveDtype::F32`] the
/// weights are exactly the dequantised ones.
/// Errors: not a GGUF file, an offset outside it, an architecture, tensor type or tokenizer that isn't supported (by name), a tensor
/// that is missing, unknown or of the wrong shape, `out_dir` can't be written.
pub fn import(path: &Path, out_dir: &Path, dtype: SaveDtype) -> Result<Imported> {
    let file = GgufFile::open(path)?;
    let (config, mut notices) = config::read(&file)?;
    let plan = tensors::plan(&file, &config)?;
    let tokenizer = tokenizer::build(&file, &config)?;
    notices.extend(tokenizer.notices);

    let folder = FolderWriter::create(out_dir)?;
    let specs: Vec<_> = plan.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
    let mut weights = folder.weights(&specs, dtype);
    for tensor in &plan {
        weights.push(&tensor.name, &tensor.read(&file)?)?;
    }
    weights.finish()?;
    folder.write_config(&config.to_json(), dtype)?;
    folder.write_json("generation_config.json", &generation_config::to_json(config.bos_token_id, &config.eos_token_ids))?;
    write_tokenizer(&folder, &tokenizer.tokenizer_json, &tokenizer.tokenizer_config)?;
    folder.finish()?;
    Ok(Imported { config, tensors: specs.len(), notices })
}

type Json = Map<String, serde_json::Value>;

fn write_tokenizer(folder: &FolderWriter, tokenizer: &Json, config: &Json) -> Result<()> {
    folder.write_json("tokenizer.json", tokenizer)?;
    folder.write_json("tokenizer_config.json", config)
}
