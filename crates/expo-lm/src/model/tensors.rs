//! A model's weights, or other buffers of their shapes, as named tensors: to be written, and read back to the bit.

use std::borrow::Cow;

use super::LanguageModel;
use super::params::{self, ParamSpec, load_state};
use crate::error::Result;
use crate::kernels::Backend;
use crate::weights::{HostTensor, TensorSet, TensorSource};

/// What training changes of a model, as named tensors: an adapter's with PEFT's names where there is one, else all weights with Hugging Face's.
pub struct ParamTensors<'a, B: Backend> {
    backend: B,
    specs: Cow<'a, [ParamSpec]>,
    bufs: Cow<'a, [B::Buf]>,
}

impl<B: Backend> TensorSet for ParamTensors<'_, B> {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        params::shapes(&self.specs)
    }
    fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        params::export(self.backend, &self.specs, &self.bufs, each)
    }
    fn copied(&self) -> Box<dyn TensorSet> {
        let (specs, bufs) = (self.specs.to_vec().into(), self.bufs.to_vec().into());
        Box::new(ParamTensors::<'static, B> { backend: self.backend, specs, bufs })
    }
}

impl<B: Backend> LanguageModel<B> {
    /// What training changes, as named tensors.
    pub fn tensors(&self) -> ParamTensors<'_, B> {
        ParamTensors { backend: self.backend, specs: self.trained_specs().into(), bufs: self.trained().into() }
    }

    /// Takes over what [`LanguageModel::tensors`] wrote. Errors: a missing tensor, another model's shapes; the model is then of no use.
    pub fn restore(&mut self, source: &mut dyn TensorSource) -> Result<()> {
        let backend = self.backend;
        let specs = self.trained_specs().to_vec();
        for (spec, buf) in specs.iter().zip(self.trained_mut()) {
            *buf = load_state(backend, spec, source)?;
        }
        Ok(())
    }
}
