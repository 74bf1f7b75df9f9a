//! RMSNorm (arXiv 1910.07467), over whole rows and over heads inside rows (norms of queries and keys).

use std::borrow::Cow;
use std::ops::Range;

use super::float::Float;
use super::product::SharedMut;
use super::rows::{dot, for_row_ranges, reduce_rows, sum_lanes, vectorized};
use crate::kernels::NormShape;

fn check(s: NormShape, x: usize, weight: usize, inv: usize) {
    assert!(x >= s.rows * s.stride && s.offset + s.groups * s.width <= s.stride);
    assert!(weight == s.width && inv >= s.rows * s.groups);
}

/// What multiplies: the weight and its offset.
fn factors<F: Float>(s: NormShape, weight: &[F]) -> Cow<'_, [F]> {
    match s.weight_offset {
        0.0 => Cow::Borrowed(weight),
        offset => weight.iter().map(|w| *w + F::of(offset)).collect(),
    }
}

/// Calls `body(run, elements)` for every normalised run of `rows`, compiled for the best instruction set.
#[inline(always)]
fn for_runs(s: NormShape, rows: Range<usize>, mut body: impl FnMut(usize, Range<usize>)) {
    vectorized(
        #[inline(always)]
        || {
            for row in rows {
                for g in 0..s.groups {
                    let at = row * s.stride + s.offset + g * s.width;
                    body(row * s.groups + g, at..at + s.width);
                }
            }
        },
    );
}

/// `y = x / sqrt(mean(x^2) + eps) * (weight + offset)` for each run; `inv[row * groups + g]` gets the reciprocal root.
/// Elements of `y` outside the runs are left alone.
pub fn forward<F: Float>(s: NormShape, x: &[F], weight: &[F], eps: f64, y: &mut [F], inv: &mut [F]) {
    check(s, x.len().min(y.len()), weight.len(), inv.len());
    let weight = &*factors(s, weight);
    let (y, inv) = (SharedMut::new(y), SharedMut::new(inv));
    for_row_ranges(s.rows, s.stride, |rows| {
        for_runs(
            s,
            rows,
            #[inline(always)]
            |run, at| {
                let x = &x[at.clone()];
                let r = F::ONE / (dot(x, x) / F::of(s.width as f64) + F::of(eps)).sqrt();
                // SAFETY: lengths were checked; each run belongs to one task.
                let y = unsafe {
                    *inv.at(run) = r;
                    std::slice::from_raw_parts_mut(y.at(at.start), s.width)
                };
                for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                    *y = *x * r * *w;
                }
            },
        )
    });
}

/// Backward of [`forward`]: `dx` and, where wanted, `dweight` are added to.
pub fn backward<F: Float>(s: NormShape, dy: &[F], x: &[F], weight: &[F], inv: &[F], dx: &mut [F], dweight: Option<&mut [F]>) {
    check(s, x.len().min(dx.len()).min(dy.len()), weight.len(), inv.len());
    if let Some(dweight) = dweight {
        weight_gradient(s, dy, x, inv, dweight);
    }
    let weight = &*factors(s, weight);
    let dx = SharedMut::new(dx);
    for_row_ranges(s.rows, s.stride, |rows| {
        for_runs(
            s,
            rows,
            #[inline(always)]
            |run, at| {
                let (dy, x, r) = (&dy[at.clone()], &x[at.clone()], inv[run]);
                // SAFETY: lengths were checked; each run belongs to one task.
                let dx = unsafe { std::slice::from_raw_parts_mut(dx.at(at.start), s.width) };
                let c = projection(dy, x, weight, r);
                for (((dx, dy), x), w) in dx.iter_mut().zip(dy).zip(x).zip(weight) {
                    *dx += r * (*dy * *w - *x * c);
                }
            },
        )
    });
}

/// Like [`backward`], but `d` holds dy and is overwritten with dx.
pub fn backward_in_place<F: Float>(s: NormShape, d: &mut [F], x: &[F], weight: &[F], inv: &[F], dweight: Option<&mut [F]>) {
    check(s, x.len().min(d.len()), weight.len(), inv.len());
    if let Some(dweight) = dweight {
        weight_gradient(s, d, x, inv, dweight);
    }
    let weight = &*factors(s, weight);
    let d = SharedMut::new(d);
    for_row_ranges(s.rows, s.stride, |rows| {
        for_runs(
            s,
            rows,
            #[inline(always)]
            |run, at| {
                let (x, r) = (&x[at.clone()], inv[run]);
                // SAFETY: lengths were checked; each run belongs to one task.
                let d = unsafe { std::slice::from_raw_parts_mut(d.at(at.start), s.width) };
                let c = projection(d, x, weight, r);
                for ((d, x), w) in d.iter_mut().zip(x).zip(weight) {
                    *d = r * (*d * *w - *x * c);
                }
            },
        )
    });
}

/// `mean(dy * w * x) * r^2`: how much of the gradient lies along x.
#[inline(always)]
fn projection<F: Float>(dy: &[F], x: &[F], weight: &[F], r: F) -> F {
    let mut lanes = [F::ZERO; 16];
    for (i, ((dy, x), w)) in dy.iter().zip(x).zip(weight).enumerate() {
        lanes[i % 16] = (*dy * *w).mul_add(*x, lanes[i % 16]);
    }
    sum_lanes(&lanes) * r * r / F::of(x.len() as f64)
}

fn weight_gradient<F: Float>(s: NormShape, dy: &[F], x: &[F], inv: &[F], dweight: &mut [F]) {
    reduce_rows(s.rows, s.stride, dweight, |rows, part| {
        for_runs(
            s,
            rows,
            #[inline(always)]
            |run, at| {
                for ((p, dy), x) in part.iter_mut().zip(&dy[at.clone()]).zip(&x[at]) {
                    *p = (*dy * inv[run]).mul_add(*x, *p);
                }
            },
        )
    });
}
