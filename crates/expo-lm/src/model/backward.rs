//! The backward pass over the blocks, after the head's. Normalised inputs and SwiGLU outputs are recomputed: cheap, and half the memory.

use super::workspace::{Keep, Workspace};
use super::{Gradients, LanguageModel, head_layout};
use crate::batch::Segment;
use crate::kernels::{Backend, LinearShape, NormShape};

impl<B: Backend> LanguageModel<B> {
    /// From the gradient of the final normalised rows (in `workspace.backward.hidden`) to the gradients of every parameter, which are added to.
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
        let Workspace { residual, layers, hidden, inner, final_inv, backward, rope, .. } = workspace;
        let (Some(hidden), Some(inner), Some(final_inv), Some(d), Some(rope)) = (hidden, inner, final_inv, backward, rope) else {
            unreachable!("forward with `keep` fills every buffer");
        };
        let layout = head_layout(config);
        let (width, intermediate, attention) = (config.hidden_size, config.intermediate_size, layout.q_heads * layout.head_dim);
        let whole = NormShape::whole(rows, width);
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
            &mut grads[norm],
        );
        for (l, ids) in self.table.layers.iter().enumerate().rev() {
            let window = config.sliding_window[l];
            let act = match keep {
                Keep::Everything => {
                    let act = &mut layers[l];
                    b.swiglu(rows, intermediate, &act.gate_up, inner);
                    act
                }
                _ => {
                    let act = &mut layers[0];
                    self.block(l, positions, &residual[l], act, hidden, inner, rope, &mut |_, qkv, out, lse| {
                        b.attention(layout, segments, window, qkv, out, lse);
                    });
                    act
                }
            };
            // MLP: residual += down(swiglu(gate_up(norm(middle))))
            let shape = LinearShape { rows, inputs: intermediate, outputs: width };
            b.linear_backward_weight(shape, &d.residual, inner, &mut grads[ids.down]);
            b.linear_backward_input(shape, &d.residual, &self.params[ids.down], &mut d.inner);
            b.swiglu_backward(rows, intermediate, &act.gate_up, &d.inner, &mut d.gate_up);
            b.rms_norm(whole, &act.middle, &self.params[ids.post_norm], config.rms_norm_eps, hidden, &mut act.post_inv);
            let shape = LinearShape { rows, inputs: width, outputs: 2 * intermediate };
            b.linear_backward_weight(shape, &d.gate_up, hidden, &mut grads[ids.gate_up]);
            b.linear_backward_input(shape, &d.gate_up, &self.params[ids.gate_up], &mut d.hidden);
            let weight = &self.params[ids.post_norm];
            b.rms_norm_backward(whole, &d.hidden, &act.middle, weight, &act.post_inv, &mut d.residual, &mut grads[ids.post_norm]);
            // Attention: residual += o(attention(rope(qkv(norm(residual)))))
            let shape = LinearShape { rows, inputs: attention, outputs: width };
            b.linear_backward_weight(shape, &d.residual, &act.attention, &mut grads[ids.o]);
            b.linear_backward_input(shape, &d.residual, &self.params[ids.o], &mut d.attention);
            b.attention_backward(layout, segments, window, &act.qkv, &act.attention, &act.lse, &d.attention, &mut d.qkv);
            b.rope(layout, positions, rope, &mut d.qkv, true);
            if let Some((q, k)) = ids.qk_norm {
                let [q_shape, k_shape] = self.qk_norm_shapes(rows);
                b.rms_norm_backward_in_place(q_shape, &mut d.qkv, &act.qkv_raw, &self.params[q], &act.qk_inv.0, &mut grads[q]);
                b.rms_norm_backward_in_place(k_shape, &mut d.qkv, &act.qkv_raw, &self.params[k], &act.qk_inv.1, &mut grads[k]);
            }
            if let Some(bias) = ids.qkv_bias {
                b.bias_backward(rows, &d.qkv, &mut grads[bias]);
            }
            b.rms_norm(whole, &residual[l], &self.params[ids.input_norm], config.rms_norm_eps, hidden, &mut act.input_inv);
            let shape = LinearShape { rows, inputs: width, outputs: layout.row() };
            b.linear_backward_weight(shape, &d.qkv, hidden, &mut grads[ids.qkv]);
            b.linear_backward_input(shape, &d.qkv, &self.params[ids.qkv], &mut d.hidden);
            let weight = &self.params[ids.input_norm];
            b.rms_norm_backward(whole, &d.hidden, &residual[l], weight, &act.input_inv, &mut d.residual, &mut grads[ids.input_norm]);
        }
        b.embedding_backward(width, tokens, &d.residual, &mut grads[self.table.embedding]);
    }
}
