//! The backward pass over the blocks, after the head's. Normalised inputs and gated units' outputs are recomputed: cheap, and half the memory.

use super::workspace::{Keep, NormInput, Workspace};
use super::{Gradients, LanguageModel, Projection, head_layout};
use crate::batch::Segment;
use crate::kernels::Backend;

impl<B: Backend> LanguageModel<B> {
    /// From the gradient of the final normalised rows (in `workspace.backward.hidden`) to the gradients of every parameter that
    /// training changes, which are added to; those of frozen weights are not computed.
    /// The workspace holds the forward pass of the same `tokens` with `keep`; without every block's activations, each block is run forward once more
    /// from its residual stream before it goes backward (arXiv 1604.06174).
    pub(crate) fn backward(
        &self,
        workspace: &mut Workspace<B>,
        tokens: &[u32],
        positions: &[u32],
        segments: &[Segment],
        keep: Keep,
        gradients: &mut Gradients<B>,
    ) {
        let (b, config, rows) = (self.backend, &self.config, tokens.len());
        let Workspace { residual, layers, hidden, inner, final_inv, backward, rope, low_rank, .. } = workspace;
        let (Some(hidden), Some(inner), Some(final_inv), Some(d), Some(rope)) = (hidden, inner, final_inv, backward, rope) else {
            unreachable!("forward with `keep` fills every buffer");
        };
        let layout = head_layout(config);
        let (width, intermediate) = (config.hidden_size, config.intermediate_size);
        let whole = self.norm_shape(rows);
        let grads = &mut gradients.bufs;
        b.clear(&mut d.residual, rows * width);
        let norm = self.table.norm;
        b.rms_norm_backward(
            whole,
            &d.hidden,
            &residual[self.table.layers.len()],
            &self.params[norm],
            final_inv,
            &mut d.residual,
            self.base_gradient(grads, norm),
        );
        for (l, ids) in self.table.layers.iter().enumerate().rev() {
            let window = config.layers[l].window;
            let act = match keep {
                Keep::Everything => {
                    let act = &mut layers[l];
                    b.glu(config.activation(), rows, intermediate, &act.gate_up, inner);
                    act
                }
                _ => {
                    let act = &mut layers[0];
                    self.block(l, positions, &residual[l], act, hidden, inner, low_rank, rope, &mut |_, qkv, out, lse| {
                        b.attention(layout, segments, window, qkv, out, lse);
                    });
                    if let Some(norm) = ids.mlp_out_norm {
                        self.project(l, Projection::Down, rows, inner, low_rank, &mut act.mlp_out.x, false);
                        let NormInput { x, inv } = &mut act.mlp_out;
                        b.rms_norm(whole, x, &self.params[norm], config.rms_norm_eps, hidden, inv);
                    }
                    act
                }
            };
            // MLP: residual += norm(down(glu(gate_up(norm(middle)))))
            let dout = self.out_norm_backward(ids.mlp_out_norm, &act.mlp_out, &d.residual, &mut d.hidden, rows, grads);
            self.project_backward(l, Projection::Down, rows, dout, inner, low_rank, grads, Some(&mut d.inner));
            b.glu_backward(config.activation(), rows, intermediate, &act.gate_up, &d.inner, &mut d.gate_up);
            b.rms_norm(whole, &act.middle, &self.params[ids.mlp_norm], config.rms_norm_eps, hidden, &mut act.mlp_inv);
            self.project_backward(l, Projection::GateUp, rows, &d.gate_up, hidden, low_rank, grads, Some(&mut d.hidden));
            let (weight, dweight) = (&self.params[ids.mlp_norm], self.base_gradient(grads, ids.mlp_norm));
            b.rms_norm_backward(whole, &d.hidden, &act.middle, weight, &act.mlp_inv, &mut d.residual, dweight);
            // Attention: residual += norm(o(attention(rope(qkv(norm(residual))))))
            let dout = self.out_norm_backward(ids.attention_out_norm, &act.attention_out, &d.residual, &mut d.hidden, rows, grads);
            self.project_backward(l, Projection::O, rows, dout, &act.attention, low_rank, grads, Some(&mut d.attention));
            b.attention_backward(layout, segments, window, &act.qkv, &act.attention, &act.lse, &d.attention, &mut d.qkv);
            b.rope(layout, positions, rope.of(l), &mut d.qkv, true);
            if let Some((q, k)) = ids.qk_norm {
                let [q_shape, k_shape] = self.qk_norm_shapes(rows);
                for (id, shape, inv) in [(q, q_shape, &act.qk_inv.0), (k, k_shape, &act.qk_inv.1)] {
                    let dweight = self.base_gradient(grads, id);
                    b.rms_norm_backward_in_place(shape, &mut d.qkv, &act.qkv_raw, &self.params[id], inv, dweight);
                }
            }
            if let Some(bias) = ids.qkv_bias
                && let Some(dbias) = self.base_gradient(grads, bias)
            {
                b.bias_backward(rows, &d.qkv, dbias);
            }
            b.rms_norm(whole, &residual[l], &self.params[ids.attention_norm], config.rms_norm_eps, hidden, &mut act.attention_inv);
            // Under the first block of a frozen model nothing is trained.
            let dhidden = (l > 0 || self.adapter.is_none()).then_some(&mut d.hidden);
            let goes_on = dhidden.is_some();
            self.project_backward(l, Projection::Qkv, rows, &d.qkv, hidden, low_rank, grads, dhidden);
            if goes_on {
                let (weight, dweight) = (&self.params[ids.attention_norm], self.base_gradient(grads, ids.attention_norm));
                b.rms_norm_backward(whole, &d.hidden, &residual[l], weight, &act.attention_inv, &mut d.residual, dweight);
            }
        }
        if let Some(dtable) = self.base_gradient(grads, self.table.embedding) {
            b.embedding_backward(width, config.embedding_scale(), tokens, &d.residual, dtable);
        }
    }

    /// The gradient of a projection whose output goes through the norm `norm` on its way onto the residual stream: `dresidual` itself without such a norm,
    /// else `scratch`, which is overwritten.
    fn out_norm_backward<'d>(
        &self,
        norm: Option<usize>,
        input: &NormInput<B>,
        dresidual: &'d B::Buf,
        scratch: &'d mut B::Buf,
        rows: usize,
        grads: &mut [B::Buf],
    ) -> &'d B::Buf {
        let Some(norm) = norm else { return dresidual };
        self.backend.clear(scratch, rows * self.config.hidden_size);
        let dweight = self.base_gradient(grads, norm);
        self.backend.rms_norm_backward(self.norm_shape(rows), dresidual, &input.x, &self.params[norm], &input.inv, scratch, dweight);
        scratch
    }
}
