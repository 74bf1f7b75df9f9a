//! The adapter of a run: put on the start policy, described.

use std::path::Path;

use crate::config::{Config, LoraSection};
use crate::error::{Error, Result};
use crate::rollout::seed::{Purpose, derive};
use expo_lm::lora::{LoraConfig, TargetModule};
use expo_lm::model::Model;

/// Puts the adapter that `config` asks for on `model`, and says what is trained then; `None` where all weights are. `notices` gets what is to be told of the
/// adapter's files. Errors: an adapter that doesn't fit the model, or can't be read.
pub(crate) fn attach(config: &Config, model: &mut Model, notices: &mut Vec<String>) -> Result<Option<String>> {
    let LoraSection { r, lora_alpha, lora_dropout, target_modules, use_rslora, adapter } = &config.lora;
    if !adapter.is_empty() {
        notices.extend(model.load_adapter(Path::new(adapter))?);
    } else if *r > 0 {
        let target_modules =
            TargetModule::parse_all(&target_modules.0).map_err(|message| Error::Unsuited(format!("lora.target_modules: {message}")))?;
        let options = LoraConfig { r: *r, lora_alpha: *lora_alpha, lora_dropout: *lora_dropout, target_modules, use_rslora: *use_rslora };
        model.add_adapter(options, &config.model.path, derive(config.train.seed, Purpose::Adapter, &[]))?;
    }
    let Some(adapter) = model.adapter() else { return Ok(None) };
    let LoraConfig { target_modules, .. } = adapter.config();
    let rank = match adapter.ranks() {
        (one, same) if one == same => one.to_string(),
        (smallest, largest) => format!("{smallest} to {largest}"),
    };
    let modules: Vec<&str> = target_modules.iter().map(|module| module.name()).collect();
    Ok(Some(format!(
        "LoRA of rank {rank} on {}: {} trained parameters beside {} frozen ones",
        modules.join(", "),
        model.num_trained_parameters(),
        model.num_parameters()
    )))
}
