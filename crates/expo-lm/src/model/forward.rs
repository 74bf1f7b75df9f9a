//! The forward pass: one function for training, scoring, prefill and decoding, which differ only in how rows attend.

use super::workspace::{Keep, LayerActivations, LowRankBuffers, Workspace};
use super::{LanguageModel, Projection, head_layout};
use crate::kernels::{Backend, NormShape};

/// How the rows of one block attend: `(layer, rotated qkv, output, log-sum-exp)`.
pub type Attend<'a, B> = dyn FnMut(usize, &<B as Backend>::Buf, &mut <B as Backend>::Buf, &mut <B as Backend>::Buf) + 'a;

impl<B: Backend> LanguageModel<B> {
    /// Runs all blocks and the final norm over `tokens` (one row each, at `positions`). The normalised rows `[tokens, hidden]` are left in
    /// `workspace.hidden`, and what `keep` says in the workspace.
    pub(crate) fn forward(&self, workspace: &mut Workspace<B>, tokens: &[u32], positions: &[u32], keep: Keep, attend: &mut Attend<'_, B>) {
        let (b, config, rows) = (self.backend, &self.config, tokens.len());
        let longest = positions.iter().max().map_or(0, |p| *p as usize + 1);
        workspace.reserve(self, rows, longest, keep);
        let Workspace { residual, layers, hidden, inner, final_inv, rope, low_rank, .. } = workspace;
        let (Some(hidden), Some(inner), Some(final_inv), Some(rope)) = (hidden, inner, final_inv, rope) else {
            unreachable!("reserve fills every buffer");
        };
        b.embedding(config.hidden_size, tokens, &self.params[self.table.embedding], &mut residual[0]);
        for l in 0..self.table.layers.len() {
            let act = &mut layers[if keep == Keep::Everything { l } else { 0 }];
            let (at, next) = if keep == Keep::Nothing { (0, 0) } else { (l, l + 1) };
            self.block(l, positions, &residual[at], act, hidden, inner, low_rank, rope, attend);
            b.copy(&act.middle, &mut residual[next], rows * config.hidden_size);
            self.project(l, Projection::Down, rows, inner, low_rank, &mut residual[next], true);
        }
        let last = if keep == Keep::Nothing { 0 } else { self.table.layers.len() };
        let whole = NormShape::whole(rows, config.hidden_size);
        b.rms_norm(whole, &residual[last], &self.params[self.table.norm], config.rms_norm_eps, hidden, final_inv);
    }

    /// Block `l` from its residual stream to the SwiGLU's output (in `inner`), the activations in between in `act`. What is left of the block is
    /// `act.middle + down(inner)`.
    pub(super) fn block(
        &self,
        l: usize,
        positions: &[u32],
        residual: &B::Buf,
        act: &mut LayerActivations<B>,
        hidden: &mut B::Buf,
        inner: &mut B::Buf,
        low_rank: &mut Option<LowRankBuffers<B>>,
        rope: &B::Buf,
        attend: &mut Attend<'_, B>,
    ) {
        let (b, config, rows, ids) = (self.backend, &self.config, positions.len(), &self.table.layers[l]);
        let layout = head_layout(config);
        let (width, eps) = (config.hidden_size, config.rms_norm_eps);
        let whole = NormShape::whole(rows, width);
        b.rms_norm(whole, residual, &self.params[ids.input_norm], eps, hidden, &mut act.input_inv);
        self.project(l, Projection::Qkv, rows, hidden, low_rank, &mut act.qkv, false);
        if let Some(bias) = ids.qkv_bias {
            b.bias(rows, &self.params[bias], &mut act.qkv);
        }
        if let Some((q, k)) = ids.qk_norm {
            b.copy(&act.qkv, &mut act.qkv_raw, rows * layout.row());
            let [q_shape, k_shape] = self.qk_norm_shapes(rows);
            b.rms_norm(q_shape, &act.qkv_raw, &self.params[q], eps, &mut act.qkv, &mut act.qk_inv.0);
            b.rms_norm(k_shape, &act.qkv_raw, &self.params[k], eps, &mut act.qkv, &mut act.qk_inv.1);
        }
        b.rope(layout, positions, rope, &mut act.qkv, false);
        attend(l, &act.qkv, &mut act.attention, &mut act.lse);
        b.copy(residual, &mut act.middle, rows * width);
        self.project(l, Projection::O, rows, &act.attention, low_rank, &mut act.middle, true);
        b.rms_norm(whole, &act.middle, &self.params[ids.post_norm], eps, hidden, &mut act.post_inv);
        self.project(l, Projection::GateUp, rows, hidden, low_rank, &mut act.gate_up, false);
        b.swiglu(rows, config.intermediate_size, &act.gate_up, inner);
    }

    /// The runs of the q norm and of the k norm in the fused projection.
    pub(crate) fn qk_norm_shapes(&self, rows: usize) -> [NormShape; 2] {
        let layout = head_layout(&self.config);
        let of = |offset, groups| NormShape { rows, stride: layout.row(), offset, groups, width: layout.head_dim };
        [of(0, layout.q_heads), of(layout.key(0), layout.kv_heads)]
    }
}
