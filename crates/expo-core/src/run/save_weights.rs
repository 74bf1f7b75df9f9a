//! How weights become a model folder.

use std::path::Path;

use crate::error::Result;
use crate::policy::Lm;

type WriteFolder = dyn Fn(&dyn Lm, &Path) -> Result<()> + Send + Sync;

/// How weights become a model folder.
pub struct SaveWeights {
    write: Box<WriteFolder>,
    /// Bytes of what lies beside the weights.
    pub(crate) side_bytes: u64,
}

impl SaveWeights {
    /// By `write`, which gets weights and the folder's path; the folder is complete once it stands there. What it writes beside the weights takes `side_bytes`.
    pub fn new(side_bytes: u64, write: impl Fn(&dyn Lm, &Path) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { write: Box::new(write), side_bytes }
    }

    /// Writes `lm` at `path`.
    pub(crate) fn write(&self, lm: &dyn Lm, path: &Path) -> Result<()> {
        (self.write)(lm, path)
    }
}
