//! `expo-rl import`: a GGUF file becomes a Hugging Face folder.

use std::path::PathBuf;

use expo_lm::weights::folder::SaveDtype;

use crate::output::tell;

/// Turn a GGUF file (llama, qwen2, qwen3 or gemma3 architecture) into a Hugging Face folder: weights, config, tokenizer, chat template.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The GGUF file; of a model in parts any of them, the others beside it.
    #[arg(value_name = "FILE.gguf")]
    file: PathBuf,
    /// Folder to make; it must not exist yet, or be empty.
    #[arg(value_name = "OUT_DIR")]
    out_dir: PathBuf,
    /// Number format of the weights.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

/// Number format of the weights of a written folder.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Dtype {
    /// Exactly the weights, as 32-bit floats.
    F32,
    /// Half the size, rounded.
    Bf16,
}

impl From<Dtype> for SaveDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

impl Import {
    /// Imports and says what came out.
    pub fn run(self) -> anyhow::Result<()> {
        let imported = expo_lm::gguf::import(&self.file, &self.out_dir, self.dtype.into())?;
        for notice in &imported.notices {
            tell!("note: {notice}");
        }
        let config = &imported.config;
        tell!(
            "{}: {} tensors, {} layers, hidden size {}, vocabulary {}",
            self.out_dir.display(),
            imported.tensors,
            config.num_hidden_layers,
            config.hidden_size,
            config.vocab_size
        );
        Ok(())
    }
}
