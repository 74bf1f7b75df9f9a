//! SwiGLU, rotary embedding, bias, embedding rows and AdamW: one pass over memory each.

use super::float::Float;
use super::micro::PANEL;
use super::product::SharedMut;
use super::rows::{for_row_ranges, reduce_rows, vectorized};
use crate::kernels::{AdamWStep, HeadLayout};

/// `out[row, i] = silu(gate) * up`, where `gate_up` rows are `[gate | up]` of `2 * width` (arXiv 2002.05202).
pub fn swiglu_forward<F: Float>(rows: usize, width: usize, gate_up: &[F], out: &mut [F]) {
    assert!(gate_up.len() >= rows * 2 * width && out.len() >= rows * width);
    let out = SharedMut::new(out);
    for_row_ranges(rows, 2 * width, |range| {
        vectorized(
            #[inline(always)]
            || {
                for row in range {
                    let (gate, up) = gate_up[row * 2 * width..(row + 1) * 2 * width].split_at(width);
                    // SAFETY: the length was asserted; each row belongs to one task.
                    let out = unsafe { std::slice::from_raw_parts_mut(out.at(row * width), width) };
                    for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
                        *o = *g / (F::ONE + (-*g).exp()) * *u;
                    }
                }
            },
        )
    });
}

/// Backward of [`swiglu_forward`]; `dgate_up` is overwritten.
pub fn swiglu_backward<F: Float>(rows: usize, width: usize, gate_up: &[F], dout: &[F], dgate_up: &mut [F]) {
    assert!(gate_up.len() >= rows * 2 * width && dout.len() >= rows * width && dgate_up.len() >= rows * 2 * width);
    let dgate_up = SharedMut::new(dgate_up);
    for_row_ranges(rows, 2 * width, |range| {
        vectorized(
            #[inline(always)]
            || {
                for row in range {
                    let (gate, up) = gate_up[row * 2 * width..(row + 1) * 2 * width].split_at(width);
                    let dout = &dout[row * width..(row + 1) * width];
                    // SAFETY: the length was asserted; each row belongs to one task.
                    let d = unsafe { std::slice::from_raw_parts_mut(dgate_up.at(row * 2 * width), 2 * width) };
                    let (dgate, dup) = d.split_at_mut(width);
                    for i in 0..width {
                        let sigmoid = F::ONE / (F::ONE + (-gate[i]).exp());
                        let silu = gate[i] * sigmoid;
                        dup[i] = dout[i] * silu;
                        dgate[i] = dout[i] * up[i] * (sigmoid + silu * (F::ONE - sigmoid));
                    }
                }
            },
        )
    });
}

/// Rotates the first `heads` heads of each row of `qkv` in place, halves paired as in Hugging Face (arXiv 2104.09864).
/// `table[position]` is `head_dim / 2` cosines, then as many sines; `inverse` rotates back (the backward pass).
pub fn rope<F: Float>(layout: HeadLayout, positions: &[u32], table: &[F], qkv: &mut [F], inverse: bool) {
    let (stride, heads, dim) = (layout.row(), layout.q_heads + layout.kv_heads, layout.head_dim);
    let half = dim / 2;
    assert!(qkv.len() >= positions.len() * stride && dim.is_multiple_of(2));
    let qkv = SharedMut::new(qkv);
    for_row_ranges(positions.len(), stride, |range| {
        vectorized(
            #[inline(always)]
            || {
                for row in range {
                    let at = positions[row] as usize * dim;
                    let (cos, sin) = table[at..at + dim].split_at(half);
                    for h in 0..heads {
                        // SAFETY: the length was asserted; each row belongs to one task.
                        let x = unsafe { std::slice::from_raw_parts_mut(qkv.at(row * stride + h * dim), dim) };
                        let (a, b) = x.split_at_mut(half);
                        for i in 0..half {
                            let s = if inverse { -sin[i] } else { sin[i] };
                            let (x0, x1) = (a[i], b[i]);
                            a[i] = x0 * cos[i] - x1 * s;
                            b[i] = x1 * cos[i] + x0 * s;
                        }
                    }
                }
            },
        )
    });
}

/// Adds `bias` to every row.
pub fn bias_forward<F: Float>(rows: usize, bias: &[F], y: &mut [F]) {
    for row in y[..rows * bias.len()].chunks_exact_mut(bias.len()) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y += *b;
        }
    }
}

/// `dbias += column sums of dy`.
pub fn bias_backward<F: Float>(rows: usize, dy: &[F], dbias: &mut [F]) {
    let width = dbias.len();
    reduce_rows(rows, width, dbias, |range, part| {
        for row in dy[range.start * width..range.end * width].chunks_exact(width) {
            for (p, d) in part.iter_mut().zip(row) {
                *p += *d;
            }
        }
    });
}

/// `out[i] = row tokens[i]` of an embedding table in panels.
pub fn embedding_forward<F: Float>(width: usize, tokens: &[u32], table: &[F], out: &mut [F]) {
    for (token, out) in tokens.iter().zip(out.chunks_exact_mut(width)) {
        let base = *token as usize / PANEL * PANEL * width + *token as usize % PANEL;
        for (i, o) in out.iter_mut().enumerate() {
            *o = table[base + i * PANEL];
        }
    }
}

/// `dtable[tokens[i]] += dout[i]`.
pub fn embedding_backward<F: Float>(width: usize, tokens: &[u32], dout: &[F], dtable: &mut [F]) {
    for (token, dout) in tokens.iter().zip(dout.chunks_exact(width)) {
        let base = *token as usize / PANEL * PANEL * width + *token as usize % PANEL;
        for (i, d) in dout.iter().enumerate() {
            dtable[base + i * PANEL] += *d;
        }
    }
}

/// The numbers of one AdamW update (arXiv 1711.05101, algorithm 2, in PyTorch's order of operations).
#[derive(Clone, Copy)]
pub struct Update<F> {
    keep: F,
    step: F,
    root: F,
    rest1: F,
    beta2: F,
    rest2: F,
    eps: F,
    scale: F,
}

impl<F: Float> Update<F> {
    /// Those of `s`.
    pub fn new(s: &AdamWStep) -> Self {
        Self {
            keep: F::of(1.0 - s.lr * s.weight_decay),
            step: F::of(s.lr / (1.0 - s.beta1.powi(s.step as i32))),
            root: F::of((1.0 - s.beta2.powi(s.step as i32)).sqrt()),
            rest1: F::of(1.0 - s.beta1),
            beta2: F::of(s.beta2),
            rest2: F::of(1.0 - s.beta2),
            eps: F::of(s.eps),
            scale: F::of(s.gradient_scale),
        }
    }

    /// Updates parameters and moments of the same length; for use inside [`vectorized`].
    #[inline(always)]
    pub fn apply(self, param: &mut [F], gradient: &[F], first: &mut [F], second: &mut [F]) {
        let Self { keep, step, root, rest1, beta2, rest2, eps, scale } = self;
        for (((p, m), v), g) in param.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = *g * scale;
            *p *= keep;
            *m = (g - *m).mul_add(rest1, *m);
            *v = (g * g).mul_add(rest2, *v * beta2);
            *p -= step * *m / (v.sqrt() / root + eps);
        }
    }
}

/// One AdamW update.
pub fn adamw<F: Float>(s: &AdamWStep, param: &mut [F], gradient: &[F], first: &mut [F], second: &mut [F]) {
    let len = param.len();
    assert!(gradient.len() == len && first.len() == len && second.len() == len);
    let (param, first, second) = (SharedMut::new(param), SharedMut::new(first), SharedMut::new(second));
    let update = Update::new(s);
    for_row_ranges(len, 1, |range| {
        // SAFETY: ranges are disjoint and inside the slices, whose lengths were asserted.
        let (p, m, v) = unsafe {
            let (at, n) = (range.start, range.len());
            (
                std::slice::from_raw_parts_mut(param.at(at), n),
                std::slice::from_raw_parts_mut(first.at(at), n),
                std::slice::from_raw_parts_mut(second.at(at), n),
            )
        };
        vectorized(
            #[inline(always)]
            || update.apply(p, &gradient[range], m, v),
        );
    });
}
