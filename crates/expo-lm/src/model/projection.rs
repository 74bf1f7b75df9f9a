//! The four products of a block, each with the low-rank products of the adapter beside it, forward and backward.

use super::products::Projection;
use super::workspace::LowRankBuffers;
use super::{LanguageModel, head_layout};
use crate::kernels::{Backend, LinearShape, LowRankGradients};

impl<B: Backend> LanguageModel<B> {
    /// Shape and weight of a product of block `l`.
    pub(crate) fn projection(&self, l: usize, projection: Projection, rows: usize) -> (LinearShape, usize) {
        let (config, ids, layout) = (&self.config, &self.table.layers[l], head_layout(&self.config));
        let (inputs, outputs, weight) = match projection {
            Projection::Qkv => (config.hidden_size, layout.row(), ids.qkv),
            Projection::O => (layout.q_heads * layout.head_dim, config.hidden_size, ids.o),
            Projection::GateUp => (config.hidden_size, 2 * config.intermediate_size, ids.gate_up),
            Projection::Down => (config.intermediate_size, config.hidden_size, ids.down),
        };
        (LinearShape { rows, inputs, outputs }, weight)
    }

    /// Where the gradient of the parameter `id` of the model itself goes; `None` under an adapter.
    pub(super) fn base_gradient<'g>(&self, gradients: &'g mut [B::Buf], id: usize) -> Option<&'g mut B::Buf> {
        self.adapter.is_none().then(|| &mut gradients[id])
    }

    /// `y (+)= x * W^T`, and what the adapter adds to that.
    pub(super) fn project(
        &self,
        l: usize,
        projection: Projection,
        rows: usize,
        x: &B::Buf,
        low_rank: &mut Option<LowRankBuffers<B>>,
        y: &mut B::Buf,
        accumulate: bool,
    ) {
        let (b, (shape, weight)) = (self.backend, self.projection(l, projection, rows));
        b.linear(shape, x, &self.params[weight], y, accumulate);
        let (Some(adapter), Some(buffers)) = (&self.adapter, low_rank) else { return };
        let LowRankBuffers { narrow: [narrow, _], dropped: [dropped, _], dropout_seed } = buffers;
        for part in adapter.parts(l, projection) {
            let x = match adapter.dropout(*dropout_seed, l, part) {
                Some(dropout) => {
                    b.dropout(dropout, rows * shape.inputs, x, dropped);
                    &*dropped
                }
                None => x,
            };
            b.low_rank(adapter.shape(part, rows), x, adapter.weights(part), narrow, y);
        }
    }

    /// Backward of [`LanguageModel::project`]: from `dy` to the gradients of what is trained, which are added to, and to `dx`, which is overwritten.
    pub(super) fn project_backward(
        &self,
        l: usize,
        projection: Projection,
        rows: usize,
        dy: &B::Buf,
        x: &B::Buf,
        low_rank: &mut Option<LowRankBuffers<B>>,
        gradients: &mut [B::Buf],
        mut dx: Option<&mut B::Buf>,
    ) {
        let (b, (shape, weight)) = (self.backend, self.projection(l, projection, rows));
        if let Some(dweight) = self.base_gradient(gradients, weight) {
            b.linear_backward_weight(shape, dy, x, dweight);
        }
        if let Some(dx) = &mut dx {
            b.linear_backward_input(shape, dy, &self.params[weight], dx);
        }
        let (Some(adapter), Some(buffers)) = (&self.adapter, low_rank) else { return };
        let LowRankBuffers { narrow: [narrow, dnarrow], dropped: [dropped, ddropped], dropout_seed } = buffers;
        for part in adapter.parts(l, projection) {
            let low_shape = adapter.shape(part, rows);
            let [a, b_gradient] = adapter.gradients(gradients, part);
            let mut backward = |x: &B::Buf, dx: Option<&mut B::Buf>| {
                let gradients = LowRankGradients { a: &mut *a, b: &mut *b_gradient, dx };
                b.low_rank_backward(low_shape, dy, x, adapter.weights(part), [&mut *narrow, &mut *dnarrow], gradients);
            };
            match adapter.dropout(*dropout_seed, l, part) {
                None => backward(x, dx.as_deref_mut()),
                Some(dropout) => {
                    let len = rows * shape.inputs;
                    b.dropout(dropout, len, x, dropped);
                    b.clear(ddropped, len);
                    backward(dropped, dx.is_some().then_some(&mut *ddropped));
                    if let Some(dx) = &mut dx {
                        b.dropout_backward(dropout, len, ddropped, dx);
                    }
                }
            }
        }
    }
}
