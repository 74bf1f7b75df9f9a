//! Weights at the border: named tensors on the host, in and out of files.

pub mod folder;
pub(crate) mod names;
pub mod safetensors;
pub mod tensor_file;

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

/// Named tensors that can be written: weights, or an optimizer's moments.
pub trait TensorSet: Send {
    /// Every name and shape, in the order of [`TensorSet::export`].
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;
    /// Calls `each` with every tensor.
    fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()>;
    /// A copy of its own, which can be written while the original changes.
    fn copied(&self) -> Box<dyn TensorSet>;
}

impl TensorSource for std::collections::HashMap<String, HostTensor> {
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>> {
        Ok(self.get(name).cloned())
    }
    fn describe(&self) -> String {
        "tensors in memory".to_owned()
    }
}
