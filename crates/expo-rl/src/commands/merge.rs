//! `expo-rl merge`: a model and its adapter become one model.

use std::path::PathBuf;

use expo_lm::weights::folder::FolderWriter;

use super::import::Dtype;
use crate::output::tell;
use crate::policy;

/// Merge a LoRA adapter into its model: a Hugging Face folder that needs no adapter.
#[derive(Debug, clap::Args)]
pub struct Merge {
    /// The adapter's base: Hugging Face folder, hub name (owner/model), or `embedded:tiny` [default: the model that the adapter names].
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// The adapter: a folder in PEFT's format.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Folder to make; it must not exist yet, or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number format of the weights.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

impl Merge {
    /// Merges and writes the folder.
    pub fn run(self) -> anyhow::Result<()> {
        // Whether the folder can be made is known before the work; dropped, nothing is left of it.
        drop(FolderWriter::create(&self.out)?);
        let mut loaded = policy::load_policy(self.model.as_deref(), Some(&self.adapter))?;
        loaded.model.merge_adapter()?;
        loaded.save(&self.out, self.dtype.into())?;
        tell!("{}: {} parameters", self.out.display(), loaded.model.num_parameters());
        Ok(())
    }
}
