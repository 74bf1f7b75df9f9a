//! An adapter merged into the weights: `W + scale * B A`.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::model::LanguageModel;

impl<B: Backend> LanguageModel<B> {
    /// Adds the adapter's products to the weights and takes the adapter off: the same policy up to rounding, as one model. Sums are made in f64 and
    /// rounded once. Errors: no adapter.
    pub fn merge_adapter(&mut self) -> Result<()> {
        let Some(adapter) = self.adapter.take() else {
            return Err(Error::Invalid("there is no adapter to merge".to_owned()));
        };
        let b = self.backend;
        for l in 0..self.config.num_hidden_layers {
            for part in adapter.all_parts(l) {
                let s = adapter.shape(part, 0);
                let weight = self.projection(l, part.projection(), 0).1;
                let matrices = adapter.weights(part);
                let (a, up) = (b.read_matrix(0..s.rank, s.inputs, matrices.a), b.read_matrix(0..s.outputs, s.rank, matrices.b));
                let mut whole = b.read_matrix(0..s.stride, s.inputs, &self.params[weight]);
                let rows = whole[s.first * s.inputs..][..s.outputs * s.inputs].par_chunks_exact_mut(s.inputs);
                rows.zip(up.par_chunks_exact(s.rank)).for_each(|(row, up)| {
                    for (up, a) in up.iter().zip(a.chunks_exact(s.inputs)) {
                        row.iter_mut().zip(a).for_each(|(w, a)| *w += s.scale * up * a);
                    }
                });
                let whole: Vec<f32> = whole.into_iter().map(|w| w as f32).collect();
                self.params_mut()[weight] = b.matrix(s.stride, s.inputs, &whole);
            }
        }
        Ok(())
    }
}
