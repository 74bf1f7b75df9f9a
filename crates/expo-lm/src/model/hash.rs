//! What weights are which: those an adapter belongs to, and a model's own.

use sha2::{Digest, Sha256};

use super::LanguageModel;
use super::params::ParamSpec;
use crate::kernels::Backend;

/// Rows of a matrix that are hashed at once.
const ROWS: usize = 1024;

impl<B: Backend> LanguageModel<B> {
    /// SHA-256 of everything that its results depend on: the configuration (positions, norms and the context are not in the weights),
    /// [`LanguageModel::base_sha256`], and of an adapter its configuration and weights. For comparisons within one version of this crate.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}", self.config));
        hash.update(self.base_sha256());
        if let Some(adapter) = &self.adapter {
            hash.update(format!("{:?}", adapter.config()));
            hash.update(adapter.own_scales().into_iter().flat_map(f64::to_le_bytes).collect::<Vec<_>>());
            for (spec, buf) in adapter.specs.iter().zip(&adapter.params) {
                self.hash_param(spec, buf, &mut hash);
            }
        }
        hex(hash)
    }

    /// SHA-256 of the weights without the adapter: of every tensor its Hugging Face name, shape and values (little-endian f32), in the engine's order.
    pub fn base_sha256(&self) -> String {
        if let Some(adapter) = &self.adapter {
            return adapter.base_sha256.get_or_init(|| self.hash_base()).clone();
        }
        self.hash_base()
    }

    fn hash_base(&self) -> String {
        let mut hash = Sha256::new();
        for (spec, buf) in self.table.specs.iter().zip(self.params.iter()) {
            self.hash_param(spec, buf, &mut hash);
        }
        hex(hash)
    }

    fn hash_param(&self, spec: &ParamSpec, buf: &B::Buf, hash: &mut Sha256) {
        let mut first = 0;
        for (name, rows) in &spec.parts {
            let end = first + rows;
            hash.update(format!("{name} {rows} {}\n", spec.cols.map_or_else(String::new, |cols| cols.to_string())));
            let mut values = |values: &[f64]| hash.update(values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect::<Vec<u8>>());
            match spec.cols {
                // In pieces, so that a large matrix is not held twice.
                Some(cols) => {
                    (first..end).step_by(ROWS).for_each(|row| values(&self.backend.read_matrix(row..(row + ROWS).min(end), cols, buf)))
                }
                None => values(&self.backend.read_vector(buf)[first..end]),
            }
            first = end;
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
