//! A model's weights, or other buffers of their shapes, as named tensors: to be written, and read back to the bit.

use super::LanguageModel;
use super::params::{ParamTable, load_state};
use crate::error::Result;
use crate::kernels::Backend;
use crate::weights::{HostTensor, TensorSet, TensorSource};

/// Buffers in the shapes of a model's parameters, in Hugging Face's naming and layout.
pub struct ParamTensors<'a, B: Backend> {
    backend: B,
    table: &'a ParamTable,
    bufs: &'a [B::Buf],
}

impl<'a, B: Backend> ParamTensors<'a, B> {
    /// `bufs` under the names of `model`'s parameters.
    pub(crate) fn new(model: &'a LanguageModel<B>, bufs: &'a [B::Buf]) -> Self {
        Self { backend: model.backend, table: &model.table, bufs }
    }
}

impl<B: Backend> TensorSet for ParamTensors<'_, B> {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.table.shapes()
    }
    fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        self.table.export(self.backend, self.bufs, each)
    }
    fn copied(&self) -> Box<dyn TensorSet> {
        Box::new(Copied { backend: self.backend, table: self.table.clone(), bufs: copy(self.backend, self.bufs) })
    }
}

/// The same with buffers of its own.
struct Copied<B: Backend> {
    backend: B,
    table: ParamTable,
    bufs: Vec<B::Buf>,
}

impl<B: Backend> TensorSet for Copied<B> {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.table.shapes()
    }
    fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        self.table.export(self.backend, &self.bufs, each)
    }
    fn copied(&self) -> Box<dyn TensorSet> {
        Box::new(Self { backend: self.backend, table: self.table.clone(), bufs: copy(self.backend, &self.bufs) })
    }
}

/// Independent copies of `bufs`.
pub(crate) fn copy<B: Backend>(backend: B, bufs: &[B::Buf]) -> Vec<B::Buf> {
    let copy = |from: &B::Buf| {
        let mut to = backend.zeros(backend.len(from));
        backend.copy(from, &mut to, backend.len(from));
        to
    };
    bufs.iter().map(copy).collect()
}

/// Reads `bufs`, which have the shapes of `model`'s parameters, back as [`ParamTensors`] wrote them, one after the other.
/// Errors: a missing tensor, a shape that is not the model's; `bufs` are then in part read.
pub(crate) fn restore<B: Backend>(table: &ParamTable, backend: B, bufs: &mut [B::Buf], source: &mut dyn TensorSource) -> Result<()> {
    for (spec, buf) in table.specs.iter().zip(bufs) {
        *buf = load_state(backend, spec, source)?;
    }
    Ok(())
}

impl<B: Backend> LanguageModel<B> {
    /// The weights as named tensors.
    pub fn tensors(&self) -> ParamTensors<'_, B> {
        ParamTensors::new(self, &self.params)
    }

    /// Takes over weights that [`LanguageModel::tensors`] wrote. Errors: a missing tensor, another model's shapes; the model is then of no use.
    pub fn restore(&mut self, source: &mut dyn TensorSource) -> Result<()> {
        restore(&self.table, self.backend, &mut self.params, source)
    }
}
