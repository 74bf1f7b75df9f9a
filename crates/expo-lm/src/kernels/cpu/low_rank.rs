//! The low-rank product beside a linear layer (LoRA), and the dropout of its input.

use super::float::Float;
use super::gemm::{Columns, linear_backward_input, linear_backward_weight, linear_forward};
use super::product::SharedMut;
use super::rows::{for_row_ranges, vectorized};
use crate::kernels::{Dropout, LowRankShape};

/// `h = scale * x * A^T`, `y[columns] += h * B^T`; A is `[rank, inputs]`, B is `[outputs, rank]`, both in panels.
pub fn forward<F: Float>(s: LowRankShape, x: &[F], a: &[F], b: &[F], h: &mut [F], y: &mut [F]) {
    down(s, x, a, h);
    linear_forward(s.rows, s.rank, s.outputs, h, b, y, Columns { first: s.first, stride: s.stride }, true);
}

/// `h = scale * x * A^T`.
fn down<F: Float>(s: LowRankShape, x: &[F], a: &[F], h: &mut [F]) {
    linear_forward(s.rows, s.inputs, s.rank, x, a, h, Columns::whole(s.rank), false);
    scale(s, h);
}

fn scale<F: Float>(s: LowRankShape, h: &mut [F]) {
    let scale = F::of(s.scale);
    h[..s.rows * s.rank].iter_mut().for_each(|h| *h *= scale);
}

/// Backward of [`forward`]: `da`, `db` and `dx` are added to; `h` (computed again) and `dh` are scratch of `rows * rank`.
pub fn backward<F: Float>(
    s: LowRankShape,
    dy: &[F],
    x: &[F],
    a: &[F],
    b: &[F],
    h: &mut [F],
    dh: &mut [F],
    da: &mut [F],
    db: &mut [F],
    dx: Option<&mut [F]>,
) {
    let (columns, whole) = (Columns { first: s.first, stride: s.stride }, Columns::whole(s.rank));
    down(s, x, a, h);
    linear_backward_weight(s.rows, s.rank, s.outputs, dy, columns, h, db);
    linear_backward_input(s.rows, s.rank, s.outputs, dy, columns, b, dh, false);
    scale(s, dh);
    linear_backward_weight(s.rows, s.inputs, s.rank, dh, whole, x, da);
    if let Some(dx) = dx {
        linear_backward_input(s.rows, s.inputs, s.rank, dh, whole, a, dx, true);
    }
}

/// `out[i] (+)= x[i] / (1 - p)` where element i is kept, 0 where it is dropped.
pub fn dropout<F: Float>(dropout: Dropout, x: &[F], out: &mut [F], accumulate: bool) {
    assert_eq!(x.len(), out.len());
    let dropped_below = (dropout.probability * f64::from(u32::MAX)).round() as u32;
    let (low, high) = (dropout.seed as u32, (dropout.seed >> 32) as u32);
    let factor = F::of(1.0 / (1.0 - dropout.probability));
    let shared = SharedMut::new(out);
    for_row_ranges(x.len(), 1, |range| {
        // SAFETY: ranges are disjoint and inside `out`, whose length was asserted.
        let out = unsafe { std::slice::from_raw_parts_mut(shared.at(range.start), range.len()) };
        let first = range.start as u32;
        vectorized(
            #[inline(always)]
            || {
                for (i, (out, x)) in out.iter_mut().zip(&x[range]).enumerate() {
                    let keep = hash(hash(first.wrapping_add(i as u32) ^ low) ^ high) >= dropped_below;
                    let value = if keep { *x * factor } else { F::ZERO };
                    *out = if accumulate { *out + value } else { value };
                }
            },
        );
    });
}

/// A bijection of 32 bits that mixes them (Wellons' lowbias32), with the 32-bit multiplications that vectorise.
#[inline(always)]
fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::super::panels::{from_panels, panels_len, to_panels};
    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 2_654_435_761) % 2000) as f32 / 1000.0 - 1.0).collect()
    }

    fn panels(rows: usize, cols: usize, values: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; panels_len(rows, cols)];
        to_panels(rows, cols, values, &mut out);
        out
    }

    /// Forward and backward against loops over the definition, in columns of a wider output.
    #[test]
    fn products_agree_with_the_definition() {
        for (rows, inputs, rank, outputs, first) in [(1, 5, 3, 4, 2), (7, 40, 16, 33, 0), (130, 24, 20, 17, 5)] {
            let stride = first + outputs + 3;
            let s = LowRankShape { rows, inputs, rank, outputs, first, stride, scale: 1.5 };
            let (x, a, b) = (values(rows * inputs, 1), values(rank * inputs, 2), values(outputs * rank, 3));
            let (y, dy) = (values(rows * stride, 4), values(rows * stride, 5));
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let (pa, pb) = (panels(rank, inputs, &a), panels(outputs, rank, &b));
            let [x, a, b, dy] = [x, a, b, dy].map(|v| wide(&v));
            let (mut found_y, mut h, mut dh) = (wide(&y), vec![0.0; rows * rank], vec![0.0; rows * rank]);
            forward(s, &x, &pa, &pb, &mut h, &mut found_y);
            let (mut da, mut db, mut dx) = (vec![0.0; pa.len()], vec![0.0; pb.len()], vec![0.25; rows * inputs]);
            backward(s, &dy, &x, &pa, &pb, &mut h, &mut dh, &mut da, &mut db, Some(&mut dx));

            let mut expected_y = wide(&y);
            let (mut expected_a, mut expected_b, mut expected_x) = (vec![0.0; a.len()], vec![0.0; b.len()], vec![0.25; x.len()]);
            for r in 0..rows {
                for k in 0..rank {
                    let h: f64 = (0..inputs).map(|i| 1.5 * x[r * inputs + i] * a[k * inputs + i]).sum();
                    let dh: f64 = (0..outputs).map(|o| 1.5 * dy[r * stride + first + o] * b[o * rank + k]).sum();
                    for o in 0..outputs {
                        expected_y[r * stride + first + o] += h * b[o * rank + k];
                        expected_b[o * rank + k] += dy[r * stride + first + o] * h;
                    }
                    for i in 0..inputs {
                        expected_a[k * inputs + i] += dh * x[r * inputs + i];
                        expected_x[r * inputs + i] += dh * a[k * inputs + i];
                    }
                }
            }
            let close = |found: &[f64], expected: &[f64], what: &str| {
                assert_eq!(found.len(), expected.len());
                let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-9, "{what} of {s:?}: {worst}");
            };
            close(&found_y, &expected_y, "y");
            close(&from_panels(0..rank, inputs, &da), &expected_a, "dA");
            close(&from_panels(0..outputs, rank, &db), &expected_b, "dB");
            close(&dx, &expected_x, "dx");
        }
    }

    #[test]
    fn dropout_drops_the_share_and_keeps_the_mean() {
        let x = vec![1.0f64; 200_000];
        let run = |seed: u64, threads: usize| {
            let mut out = vec![0.0; x.len()];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| dropout(Dropout { seed, probability: 0.1 }, &x, &mut out, false));
            out
        };
        let out = run(7, 1);
        assert_eq!(run(7, 3), out);
        let dropped = |out: &[f64]| out.iter().filter(|v| **v == 0.0).count() as f64 / out.len() as f64;
        // Five standard deviations of a binomial share are 0.0034.
        assert!((dropped(&out) - 0.1).abs() < 0.0034, "{}", dropped(&out));
        assert!(out.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.9).abs() < 1e-12));
        for other in [8, 7 + (1 << 32)] {
            // Two masks of independent seeds agree at 0.9^2 + 0.1^2 of the elements.
            let same = run(other, 2).iter().zip(&out).filter(|(a, b)| a == b).count() as f64 / out.len() as f64;
            assert!((same - 0.82).abs() < 0.005, "{same}");
        }
        // Backward: the same mask, added.
        let mut dx = vec![2.0; x.len()];
        dropout(Dropout { seed: 7, probability: 0.1 }, &x, &mut dx, true);
        assert!(dx.iter().zip(&out).all(|(d, o)| (d - 2.0 - o).abs() < 1e-12));
    }
}
