//! AdamW's moments as named tensors: to be written, and read back to the bit.

use std::borrow::Cow;

use super::{AdamW, Moments};
use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::model::LanguageModel;
use crate::model::params::{self, ParamSpec, load_state};
use crate::weights::{HostTensor, TensorSet, TensorSource};

/// All first or all second moments. In full they are named and laid out as their parameters. In 8 bits a parameter has two vectors, in the order of memory,
/// under the name of its first tensor: `.codes` (whole numbers from 0 to 255) and `.scales` (one for each block of codes).
pub struct MomentTensors<'a, B: Backend> {
    backend: B,
    specs: Cow<'a, [ParamSpec]>,
    moments: Cow<'a, [Moments<B>]>,
    second: bool,
}

/// The names of codes and scales.
fn names(spec: &ParamSpec) -> [String; 2] {
    ["codes", "scales"].map(|what| format!("{}.{what}", spec.parts[0].0))
}

impl<B: Backend> TensorSet for MomentTensors<'_, B> {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let of = |(spec, moments): (&ParamSpec, &Moments<B>)| match moments {
            Moments::Full(_) => params::shapes(std::slice::from_ref(spec)),
            Moments::EightBit(both) => {
                let lengths = self.backend.read_quantized(&both[usize::from(self.second)]).map(|values| vec![values.len()]);
                names(spec).into_iter().zip(lengths).collect()
            }
        };
        self.specs.iter().zip(self.moments.iter()).flat_map(of).collect()
    }
    fn export(&self, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        for (spec, moments) in self.specs.iter().zip(self.moments.iter()) {
            match moments {
                Moments::Full(both) => spec.export(self.backend, &both[usize::from(self.second)], each)?,
                Moments::EightBit(both) => {
                    for (name, data) in names(spec).iter().zip(self.backend.read_quantized(&both[usize::from(self.second)])) {
                        each(name, HostTensor { shape: vec![data.len()], data })?;
                    }
                }
            }
        }
        Ok(())
    }
    fn copied(&self) -> Box<dyn TensorSet> {
        let (specs, moments) = (self.specs.to_vec().into(), self.moments.to_vec().into());
        Box::new(MomentTensors::<'static, B> { backend: self.backend, specs, moments, second: self.second })
    }
}

impl<B: Backend> AdamW<B> {
    /// The first and the second moments as named tensors.
    pub fn moments<'a>(&'a self, model: &'a LanguageModel<B>) -> [MomentTensors<'a, B>; 2] {
        [false, true].map(|second| MomentTensors {
            backend: self.backend,
            specs: model.trained_specs().into(),
            moments: (&self.moments[..]).into(),
            second,
        })
    }

    /// Takes over moments that [`AdamW::moments`] wrote after `steps` updates. Errors: a missing tensor, another model's shapes, moments in full where this
    /// optimizer has them in 8 bits or the other way round.
    pub fn restore(&mut self, model: &LanguageModel<B>, steps: u64, sources: [&mut dyn TensorSource; 2]) -> Result<()> {
        for (which, source) in sources.into_iter().enumerate() {
            for (spec, moments) in model.trained_specs().iter().zip(&mut self.moments) {
                match moments {
                    Moments::Full(both) => both[which] = load_state(self.backend, spec, source)?,
                    Moments::EightBit(both) => {
                        let mut read = |name: &str| {
                            let tensor = source.tensor(name)?;
                            let missing = || Error::Invalid(format!("{}: no tensor {name}, which 8-bit moments have", source.describe()));
                            tensor.ok_or_else(missing)
                        };
                        let [codes, scales] = names(spec);
                        let [codes, scales] = [read(&codes)?, read(&scales)?];
                        if !self.backend.write_quantized(&codes.data, &scales.data, &mut both[which]) {
                            let message =
                                format!("{}: the 8-bit moments of {} are not those of this model", source.describe(), spec.parts[0].0);
                            return Err(Error::Invalid(message));
                        }
                    }
                }
            }
        }
        self.step = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::{Gradients, Model};
    use crate::optim::AdamWConfig;
    use crate::optim::tests::{CONFIG, large_model};

    fn tensors(set: &dyn TensorSet) -> HashMap<String, HostTensor> {
        let (mut all, mut announced) = (HashMap::new(), Vec::new());
        set.export(&mut |name, tensor| {
            announced.push((name.to_owned(), tensor.shape.clone()));
            all.insert(name.to_owned(), tensor);
            Ok(())
        })
        .unwrap();
        assert_eq!(announced, set.shapes());
        all
    }

    fn weights(model: &Model) -> HashMap<String, HostTensor> {
        tensors(&model.tensors())
    }

    /// Gradients that differ from step to step.
    fn gradients(model: &Model, step: u64) -> Gradients<crate::kernels::Cpu<f32>> {
        let mut source = weights(&Model::random(model.config.clone(), 0.05, 100 + step));
        Gradients::load(model, &mut source).unwrap()
    }

    #[test]
    fn an_optimizer_goes_on_to_the_bit_in_full_and_in_eight_bits() {
        for make in [AdamW::new, AdamW::new_8bit] as [fn(&Model, AdamWConfig) -> AdamW; 2] {
            let mut model = large_model();
            let mut optimizer = make(&model, CONFIG);
            let step = |model: &mut Model, optimizer: &mut AdamW, steps: std::ops::Range<u64>| {
                for i in steps {
                    let gradients = gradients(model, i);
                    optimizer.step(model, &gradients, 1e-2, 1.0);
                }
            };
            step(&mut model, &mut optimizer, 0..3);
            // A copy does not follow the original.
            let copied = optimizer.moments(&model).map(|set| set.copied());
            let (mut stored, steps) = (weights(&model), optimizer.steps());
            step(&mut model, &mut optimizer, 3..6);

            let mut other = large_model();
            other.restore(&mut stored).unwrap();
            let mut restored = make(&other, CONFIG);
            let [mut first, mut second] = copied.map(|set| tensors(set.as_ref()));
            restored.restore(&other, steps, [&mut first, &mut second]).unwrap();
            step(&mut other, &mut restored, 3..6);
            assert!(weights(&model) == weights(&other));
            for (a, b) in optimizer.moments(&model).iter().zip(restored.moments(&other)) {
                assert!(tensors(a) == tensors(&b));
            }
        }
    }

    #[test]
    fn moments_of_another_kind_are_refused() {
        let model = large_model();
        let [mut first, mut second] = AdamW::new(&model, CONFIG).moments(&model).map(|set| tensors(&set));
        let mut eight = AdamW::new_8bit(&model, CONFIG);
        let message = eight.restore(&model, 1, [&mut first, &mut second]).unwrap_err().to_string();
        assert!(message.contains(".codes, which 8-bit moments have"), "{message}");
        let [mut first, mut second] = eight.moments(&model).map(|set| tensors(&set));
        let codes = first.keys().find(|name| name.ends_with(".codes")).unwrap().clone();
        first.get_mut(&codes).unwrap().data[0] = 255.5;
        let message = eight.restore(&model, 1, [&mut first, &mut second]).unwrap_err().to_string();
        assert!(message.contains("are not those of this model"), "{message}");
    }
}
