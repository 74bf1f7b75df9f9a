//! Sums, rotary embedding, bias, embedding rows and AdamW: one pass over memory each.

use super::float::Float;
use super::micro::PANEL;
use super::product::SharedMut;
use super::rows::{for_row_ranges, reduce_rows, vectorized};
use crate::kernels::{AdamWStep, HeadLayout};

/// `to += from`.
pub fn add<F: Float>(from: &[F], to: &mut [F]) {
    assert_eq!(from.len(), to.len());
    let to = SharedMut::new(to);
    for_row_ranges(from.len(), 1, |range| {
        // SAFETY: ranges are disjoint, and inside `to`, whose length was asserted.
        let to = unsafe { std::slice::from_raw_parts_mut(to.at(range.start), range.len()) };
        to.iter_mut().zip(&from[range]).for_each(|(to, from)| *to += *from);
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

/// `out[i] = scale * row tokens[i]` of an embedding table in panels.
pub fn embedding_forward<F: Float>(width: usize, scale: F, tokens: &[u32], table: &[F], out: &mut [F]) {
    for (token, out) in tokens.iter().zip(out.chunks_exact_mut(width)) {
        let base = *token as usize / PANEL * PANEL * width + *token as usize % PANEL;
        for (i, o) in out.iter_mut().enumerate() {
            *o = table[base + i * PANEL] * scale;
        }
    }
}

/// `dtable[tokens[i]] += scale * dout[i]`.
pub fn embedding_backward<F: Float>(width: usize, scale: F, tokens: &[u32], dout: &[F], dtable: &mut [F]) {
    for (token, dout) in tokens.iter().zip(dout.chunks_exact(width)) {
        let base = *token as usize / PANEL * PANEL * width + *token as usize % PANEL;
        for (i, d) in dout.iter().enumerate() {
            dtable[base + i * PANEL] += *d * scale;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// More elements than a task has, the last task's with a rest.
    #[test]
    fn sums_are_those_of_their_elements() {
        let len = if cfg!(miri) { 33_000 } else { 100_003 };
        let from: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let mut to: Vec<f32> = (0..len).map(|i| (i % 10) as f32).collect();
        add(&from, &mut to);
        assert!(to.iter().enumerate().all(|(i, sum)| *sum == (i + i % 10) as f32));
    }

    #[test]
    fn a_scaled_embedding_and_its_gradient() {
        let (vocab, width, scale, tokens) = (40, 3, 2.5, [7u32, 33, 7]);
        let values: Vec<f32> = (0..vocab * width).map(|i| i as f32).collect();
        let mut table = vec![0f64; crate::kernels::cpu::panels::panels_len(vocab, width)];
        crate::kernels::cpu::panels::to_panels(vocab, width, &values, &mut table);
        let mut out = [0f64; 9];
        embedding_forward(width, scale, &tokens, &table, &mut out);
        assert_eq!(out, [21.0, 22.0, 23.0, 99.0, 100.0, 101.0, 21.0, 22.0, 23.0].map(|v| v * scale));
        let mut gradient = vec![0f64; table.len()];
        embedding_backward(width, scale, &tokens, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &mut gradient);
        let rows = crate::kernels::cpu::panels::from_panels(0..vocab, width, &gradient);
        assert_eq!((&rows[21..24], &rows[99..102]), (&[20.0, 25.0, 30.0][..], &[10.0, 12.5, 15.0][..]));
        assert_eq!(rows.iter().filter(|v| **v != 0.0).count(), 6);
    }
}
