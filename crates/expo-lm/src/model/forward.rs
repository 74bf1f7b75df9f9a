//! The forward pass: one function for training, scoring, prefill and decoding, which differ only in how rows attend.

use super::rope::RopeTables;
use super::workspace::{Keep, LayerActivations, LowRankBuffers, NormInput, Workspace};
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
        b.embedding(config.hidden_size, config.embedding_scale(), tokens, &self.params[self.table.embedding], &mut residual[0]);
        for l in 0..self.table.layers.len() {
            let act = &mut layers[if keep == Keep::Everything { l } else { 0 }];
            let (at, next) = if keep == Keep::Nothing { (0, 0) } else { (l, l + 1) };
            self.block(l, positions, &residual[at], act, hidden, inner, low_rank, rope, attend);
            b.copy(&act.middle, &mut residual[next], rows * config.hidden_size);
            let norm = self.table.layers[l].mlp_out_norm;
            self.project_onto(l, Projection::Down, rows, inner, low_rank, norm, &mut act.mlp_out, hidden, &mut residual[next]);
        }
        let last = if keep == Keep::Nothing { 0 } else { self.table.layers.len() };
        b.rms_norm(self.norm_shape(rows), &residual[last], &self.params[self.table.norm], config.rms_norm_eps, hidden, final_inv);
    }

    /// Block `l` from its residual stream to the gated unit's output (in `inner`), the activations in between in `act`. What is left of the block is
    /// `act.middle + norm(down(inner))`, the norm where there is one.
    pub(super) fn block(
        &self,
        l: usize,
        positions: &[u32],
        residual: &B::Buf,
        act: &mut LayerActivations<B>,
        hidden: &mut B::Buf,
        inner: &mut B::Buf,
        low_rank: &mut Option<LowRankBuffers<B>>,
        rope: &RopeTables<B>,
        attend: &mut Attend<'_, B>,
    ) {
        let (b, config, rows, ids) = (self.backend, &self.config, positions.len(), &self.table.layers[l]);
        let layout = head_layout(config);
        let (width, eps) = (config.hidden_size, config.rms_norm_eps);
        let whole = self.norm_shape(rows);
        b.rms_norm(whole, residual, &self.params[ids.attention_norm], eps, hidden, &mut act.attention_inv);
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
        b.rope(layout, positions, rope.of(l), &mut act.qkv, false);
        attend(l, &act.qkv, &mut act.attention, &mut act.lse);
        b.copy(residual, &mut act.middle, rows * width);
        let (norm, input) = (ids.attention_out_norm, &mut act.attention_out);
        self.project_onto(l, Projection::O, rows, &act.attention, low_rank, norm, input, hidden, &mut act.middle);
        b.rms_norm(whole, &act.middle, &self.params[ids.mlp_norm], eps, hidden, &mut act.mlp_inv);
        self.project(l, Projection::GateUp, rows, hidden, low_rank, &mut act.gate_up, false);
        b.glu(config.activation(), rows, config.intermediate_size, &act.gate_up, inner);
    }

    /// `y += project(x)`, through the norm `norm` where there is one: then the projection is kept in `input`, and `normed` is overwritten.
    fn project_onto(
        &self,
        l: usize,
        projection: Projection,
        rows: usize,
        x: &B::Buf,
        low_rank: &mut Option<LowRankBuffers<B>>,
        norm: Option<usize>,
        input: &mut NormInput<B>,
        normed: &mut B::Buf,
        y: &mut B::Buf,
    ) {
        let Some(norm) = norm else { return self.project(l, projection, rows, x, low_rank, y, true) };
        let (b, eps) = (self.backend, self.config.rms_norm_eps);
        self.project(l, projection, rows, x, low_rank, &mut input.x, false);
        b.rms_norm(self.norm_shape(rows), &input.x, &self.params[norm], eps, normed, &mut input.inv);
        b.add(normed, y, rows * self.config.hidden_size);
    }

    /// The norms of whole rows.
    pub(crate) fn norm_shape(&self, rows: usize) -> NormShape {
        NormShape::whole(rows, self.config.hidden_size, self.config.family.norm_offset)
    }

    /// The runs of the q norm and of the k norm in the fused projection.
    pub(crate) fn qk_norm_shapes(&self, rows: usize) -> [NormShape; 2] {
        let layout = head_layout(&self.config);
        let weight_offset = self.config.family.norm_offset;
        let of = |offset, groups| NormShape { rows, stride: layout.row(), offset, groups, width: layout.head_dim, weight_offset };
        [of(0, layout.q_heads), of(layout.key(0), layout.kv_heads)]
    }
}
