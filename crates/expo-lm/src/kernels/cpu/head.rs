//! The output head: log-probabilities, entropies and their gradients, in chunks of rows, so that `[tokens, vocab]` never exists.

use rayon::prelude::*;

use super::float::Float;
use super::gemm::{linear_backward_input, linear_backward_weight, linear_forward};
use super::rows::{maximum, vectorized};
use crate::batch::{Target, TokenScore};
use crate::kernels::HeadGradients;

/// Logits kept at once: 2^25 f32 are 128 MiB.
const CHUNK_ELEMENTS: usize = 1 << 25;

/// Scores `targets` from `hidden[row]` (already normalised); with `gradients`, also runs the backward pass.
/// Consecutive targets of one row (at different temperatures) are allowed.
pub fn score<F: Float>(
    width: usize,
    vocab: usize,
    hidden: &[F],
    weight: &[F],
    targets: &[Target],
    mut gradients: Option<HeadGradients<'_, Vec<F>>>,
) -> Vec<TokenScore> {
    let chunk = (CHUNK_ELEMENTS / vocab).clamp(16, 2048).min(targets.len().max(1));
    let mut rows = vec![F::ZERO; chunk * width];
    let mut logits = vec![F::ZERO; chunk * vocab];
    let mut scores = Vec::with_capacity(targets.len());
    for (c, targets) in targets.chunks(chunk).enumerate() {
        let m = targets.len();
        for (target, row) in targets.iter().zip(rows.chunks_exact_mut(width)) {
            row.copy_from_slice(&hidden[target.row * width..][..width]);
        }
        linear_forward(m, width, vocab, &rows, weight, &mut logits, false);
        let each = |(i, (target, logits)): (usize, (&Target, &mut [F]))| {
            let weight = gradients.as_ref().map(|g| g.weight);
            vectorized(
                #[inline(always)]
                || score_row(target, logits, |log_prob| weight.map(|w| w(c * chunk + i, log_prob))),
            )
        };
        let chunk_scores: Vec<TokenScore> = if m * vocab < 1 << 14 {
            targets.iter().zip(logits.chunks_exact_mut(vocab)).enumerate().map(each).collect()
        } else {
            targets.par_iter().zip(logits.par_chunks_exact_mut(vocab)).enumerate().map(each).collect()
        };
        scores.extend(chunk_scores);
        if let Some(g) = gradients.as_mut() {
            linear_backward_weight(m, width, vocab, &logits, &rows, g.dweight);
            linear_backward_input(m, width, vocab, &logits, weight, &mut rows);
            for (target, row) in targets.iter().zip(rows.chunks_exact(width)) {
                for (d, r) in g.dhidden[target.row * width..][..width].iter_mut().zip(row) {
                    *d += *r;
                }
            }
        }
    }
    scores
}

/// Score of one row of logits. If `gradient` answers d(loss)/d(log_prob), the logits are replaced by their gradient:
/// `d/dz_j = g / T * (1[j = target] - p_j)`.
#[inline(always)]
fn score_row<F: Float>(target: &Target, logits: &mut [F], gradient: impl FnOnce(f64) -> Option<f64>) -> TokenScore {
    let scale = F::of(1.0 / f64::from(target.temperature));
    let shift = maximum(logits) * scale;
    let chosen = (logits[target.token as usize] * scale - shift).f64();
    let mut sums = [F::ZERO; 16];
    let mut weighted = [F::ZERO; 16];
    let mut chunks = logits.chunks_exact_mut(16);
    for z in &mut chunks {
        for l in 0..16 {
            let centred = z[l].mul_add(scale, -shift);
            let e = centred.exp();
            sums[l] += e;
            // exp may round to 0 where `centred` is infinite; 0 * inf would be NaN.
            weighted[l] += if e > F::ZERO { e * centred } else { F::ZERO };
            z[l] = e;
        }
    }
    for (l, z) in chunks.into_remainder().iter_mut().enumerate() {
        let centred = z.mul_add(scale, -shift);
        *z = centred.exp();
        sums[l] += *z;
        weighted[l] += if *z > F::ZERO { *z * centred } else { F::ZERO };
    }
    let sum = super::rows::sum_lanes(&sums).f64();
    let log_sum = sum.ln();
    let log_prob = chosen - log_sum;
    let entropy = log_sum - super::rows::sum_lanes(&weighted).f64() / sum;
    if let Some(g) = gradient(log_prob) {
        let g = g / f64::from(target.temperature);
        let factor = F::of(-g / sum);
        logits.iter_mut().for_each(|z| *z *= factor);
        logits[target.token as usize] += F::of(g);
    }
    TokenScore { log_prob, entropy }
}
