//! Weights at the border: named tensors on the host, in and out of files.

pub mod folder;
pub mod safetensors;

use crate::error::Result;

/// A named tensor on the host, row-major, in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major; its length is the product of `shape`.
    pub data: Vec<f32>,
}

/// Where a model's tensors come from, by their Hugging Face names (`model.layers.0.self_attn.q_proj.weight`).
pub trait TensorSource {
    /// Reads one tensor as f32; `None` when the source has no tensor of that name.
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>>;
    /// A name for error messages (a file or folder).
    fn describe(&self) -> String;
}

impl TensorSource for std::collections::HashMap<String, HostTensor> {
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>> {
        Ok(self.get(name).cloned())
    }
    fn describe(&self) -> String {
        "tensors in memory".to_owned()
    }
}
