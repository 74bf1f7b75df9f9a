//! Work by rows: the cut into tasks that all elementwise kernels share, and vector reductions of fixed order.

use std::ops::Range;

use rayon::prelude::*;

use super::float::Float;
use super::micro::PANEL;

/// Elements of a task; with fewer in all, the work stays on the calling thread.
const TASK_ELEMENTS: usize = 1 << 15;

/// Runs `body` compiled for the best instruction set that the processor has. `body` must be `#[inline(always)]` down to its loops.
#[inline(always)]
pub fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Cuts `rows` rows of `cols` elements into ranges whose bounds depend on the shape alone (not on threads), and runs `body` on each.
pub fn for_row_ranges(rows: usize, cols: usize, body: impl Fn(Range<usize>) + Sync + Send) {
    let chunk = (TASK_ELEMENTS / cols.max(1)).max(1);
    if rows <= chunk {
        body(0..rows);
    } else {
        (0..rows.div_ceil(chunk)).into_par_iter().for_each(|i| body(i * chunk..((i + 1) * chunk).min(rows)));
    }
}

/// Sums over rows into `out` (`out += sum over ranges of partial(range)`), in a fixed order: partial sums of fixed ranges, added one after the other.
pub fn reduce_rows<F: Float>(rows: usize, cols: usize, out: &mut [F], partial: impl Fn(Range<usize>, &mut [F]) + Sync + Send) {
    let chunk = (TASK_ELEMENTS / cols.max(1)).max(1);
    let width = out.len();
    let mut partials = vec![F::ZERO; rows.div_ceil(chunk) * width];
    if rows <= chunk {
        partial(0..rows, &mut partials);
    } else {
        let each = |(i, part): (usize, &mut [F])| partial(i * chunk..((i + 1) * chunk).min(rows), part);
        partials.par_chunks_exact_mut(width).enumerate().for_each(each);
    }
    for part in partials.chunks_exact(width) {
        for (o, p) in out.iter_mut().zip(part) {
            *o += *p;
        }
    }
}

/// Dot product in sixteen interleaved partial sums (which vectorise), added up in order.
#[inline(always)]
pub fn dot<F: Float>(a: &[F], b: &[F]) -> F {
    let mut lanes = [F::ZERO; PANEL];
    let (a_chunks, b_chunks) = (a.chunks_exact(PANEL), b.chunks_exact(PANEL));
    let (a_rest, b_rest) = (a_chunks.remainder(), b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for l in 0..PANEL {
            lanes[l] = a[l].mul_add(b[l], lanes[l]);
        }
    }
    for (l, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] = a.mul_add(*b, lanes[l]);
    }
    sum_lanes(&lanes)
}

/// The sum of sixteen lanes by halving.
#[inline(always)]
pub fn sum_lanes<F: Float>(lanes: &[F; PANEL]) -> F {
    let mut lanes = *lanes;
    let mut width = PANEL / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest element (negative infinity when empty).
#[inline(always)]
pub fn maximum<F: Float>(values: &[F]) -> F {
    let mut lanes = [F::NEG_INFINITY; PANEL];
    let chunks = values.chunks_exact(PANEL);
    let rest = chunks.remainder();
    for chunk in chunks {
        for l in 0..PANEL {
            lanes[l] = lanes[l].larger(chunk[l]);
        }
    }
    for (l, v) in rest.iter().enumerate() {
        lanes[l] = lanes[l].larger(*v);
    }
    lanes.iter().fold(F::NEG_INFINITY, |m, v| m.larger(*v))
}

/// `values[i] = exp(values[i] * scale - shift)`; returns the sum.
#[inline(always)]
pub fn exp_sum<F: Float>(values: &mut [F], scale: F, shift: F) -> F {
    let mut lanes = [F::ZERO; PANEL];
    let mut chunks = values.chunks_exact_mut(PANEL);
    for chunk in &mut chunks {
        for l in 0..PANEL {
            let e = chunk[l].mul_add(scale, -shift).exp();
            chunk[l] = e;
            lanes[l] += e;
        }
    }
    for (l, v) in chunks.into_remainder().iter_mut().enumerate() {
        *v = v.mul_add(scale, -shift).exp();
        lanes[l] += *v;
    }
    sum_lanes(&lanes)
}
