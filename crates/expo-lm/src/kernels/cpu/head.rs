//! The output head: log-probabilities, entropies and their gradients, in chunks of rows, so that `[tokens, vocab]` never exists.

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::gemm::{Columns, linear_backward_input, linear_backward_weight, linear_forward};
use super::rows::{maximum, vectorized};
use crate::batch::{LossGradient, Target, TokenScore};
use crate::kernels::HeadGradients;

/// Logits kept at once: 2^25 f32 are 128 MiB.
const CHUNK_ELEMENTS: usize = 1 << 25;

/// Rows of fewer logits in all are done on the calling thread.
const SERIAL_BELOW: usize = 1 << 14;

/// Scores `targets` from `hidden[row]` (already normalised); with `gradients`, also runs the backward pass.
/// Several targets of one row (other tokens, other temperatures) are allowed.
pub fn score<F: Float>(
    width: usize,
    vocab: usize,
    hidden: &[F],
    weight: &[F],
    targets: &[Target],
    gradients: Option<HeadGradients<'_, Vec<F>>>,
) -> Vec<TokenScore> {
    // Losses of whole sequences need the whole batch's scores first: one chunk, where it fits, saves computing them twice. Otherwise a chunk stays
    // in the cache.
    let most = match gradients.as_ref().map(|g| &g.loss) {
        Some(LossGradient::PerBatch(_)) => (CHUNK_ELEMENTS / vocab).max(16),
        _ => (CHUNK_ELEMENTS / vocab).clamp(16, 2048),
    };
    score_in_chunks(most, width, vocab, hidden, weight, targets, gradients)
}

/// [`score`] in chunks of at most `most` targets.
fn score_in_chunks<F: Float>(
    most: usize,
    width: usize,
    vocab: usize,
    hidden: &[F],
    weight: &[F],
    targets: &[Target],
    gradients: Option<HeadGradients<'_, Vec<F>>>,
) -> Vec<TokenScore> {
    // Of about equal size, since a small last one would read and write the whole weight for little.
    let chunk = targets.len().div_ceil(targets.len().div_ceil(most).max(1)).max(1);
    let mut head = Head { width, vocab, weight, rows: Scratch::new(chunk * width), logits: Scratch::new(chunk * vocab) };
    let mut rows = Vec::with_capacity(targets.len());
    let Some(mut gradients) = gradients else {
        for targets in targets.chunks(chunk) {
            rows.extend(head.forward(hidden, targets));
        }
        return rows.into_iter().map(|row| row.score).collect();
    };
    let fits = targets.len() <= chunk;
    let all = match &gradients.loss {
        LossGradient::PerToken(_) => None,
        LossGradient::PerBatch(loss) => {
            for targets in targets.chunks(chunk) {
                rows.extend(head.forward(hidden, targets));
            }
            Some(loss(&rows.iter().map(|row| row.score).collect::<Vec<_>>()))
        }
    };
    for (c, targets) in targets.chunks(chunk).enumerate() {
        let first = c * chunk;
        if all.is_none() {
            rows.extend(head.forward(hidden, targets));
        } else if !fits {
            head.forward(hidden, targets);
        }
        let rows = &rows[first..first + targets.len()];
        let derivative = |i: usize, row: &Row| match (&gradients.loss, &all) {
            (_, Some(all)) => all[first + i],
            (LossGradient::PerToken(loss), _) => loss(first + i, row.score.log_prob),
            (LossGradient::PerBatch(_), None) => unreachable!("asked above"),
        };
        let derivatives: Vec<f64> = rows.iter().enumerate().map(|(i, row)| derivative(i, row)).collect();
        head.backward(targets, rows, &derivatives, gradients.dhidden, gradients.dweight.as_deref_mut().map(Vec::as_mut_slice));
    }
    rows.into_iter().map(|row| row.score).collect()
}

/// What the forward pass leaves of a row of logits: its score, and the sum that its exponentials are to be divided by.
struct Row {
    score: TokenScore,
    sum: f64,
}

/// One chunk's memory.
struct Head<'a, F: Float> {
    width: usize,
    vocab: usize,
    weight: &'a [F],
    /// Hidden rows of the chunk's targets, later their gradients.
    rows: Scratch<F>,
    /// Logits, then their exponentials, then their gradients.
    logits: Scratch<F>,
}

impl<F: Float> Head<'_, F> {
    /// Scores a chunk; its exponentials stay in `logits`.
    fn forward(&mut self, hidden: &[F], targets: &[Target]) -> Vec<Row> {
        let (width, vocab) = (self.width, self.vocab);
        for (target, row) in targets.iter().zip(self.rows.chunks_exact_mut(width)) {
            row.copy_from_slice(&hidden[target.row * width..][..width]);
        }
        linear_forward(targets.len(), width, vocab, &self.rows, self.weight, &mut self.logits, Columns::whole(vocab), false);
        let each = |(target, logits): (&Target, &mut [F])| {
            vectorized(
                #[inline(always)]
                || exponentials(target, logits),
            )
        };
        let logits = &mut self.logits[..targets.len() * vocab];
        if logits.len() < SERIAL_BELOW {
            targets.iter().zip(logits.chunks_exact_mut(vocab)).map(each).collect()
        } else {
            targets.par_iter().zip(logits.par_chunks_exact_mut(vocab)).map(each).collect()
        }
    }

    /// From d(loss) / d(log-prob) of each target of the chunk that went forward last to the gradients, which are added to.
    fn backward(&mut self, targets: &[Target], rows: &[Row], derivatives: &[f64], dhidden: &mut [F], dweight: Option<&mut [F]>) {
        let (m, width, vocab) = (targets.len(), self.width, self.vocab);
        // d log_prob / dz_j = (1[j = target] - p_j) / T
        let each = |(((target, row), derivative), logits): (((&Target, &Row), &f64), &mut [F])| {
            let g = derivative / f64::from(target.temperature);
            vectorized(
                #[inline(always)]
                || {
                    let factor = F::of(-g / row.sum);
                    logits.iter_mut().for_each(|z| *z *= factor);
                },
            );
            logits[target.token as usize] += F::of(g);
        };
        let logits = &mut self.logits[..m * vocab];
        if logits.len() < SERIAL_BELOW {
            targets.iter().zip(rows).zip(derivatives).zip(logits.chunks_exact_mut(vocab)).for_each(each);
        } else {
            targets.par_iter().zip(rows).zip(derivatives).zip(logits.par_chunks_exact_mut(vocab)).for_each(each);
        }
        let whole = Columns::whole(vocab);
        if let Some(dweight) = dweight {
            linear_backward_weight(m, width, vocab, &self.logits, whole, &self.rows, dweight);
        }
        linear_backward_input(m, width, vocab, &self.logits, whole, self.weight, &mut self.rows, false);
        for (target, row) in targets.iter().zip(self.rows.chunks_exact(width)) {
            for (d, r) in dhidden[target.row * width..][..width].iter_mut().zip(row) {
                *d += *r;
            }
        }
    }
}

/// Score of one row of logits, which are replaced by their exponentials (divided by the temperature, the largest one 1).
#[inline(always)]
fn exponentials<F: Float>(target: &Target, logits: &mut [F]) -> Row {
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
    let entropy = log_sum - super::rows::sum_lanes(&weighted).f64() / sum;
    Row { score: TokenScore { log_prob: chosen - log_sum, entropy }, sum }
}

#[cfg(test)]
mod tests {
    use super::super::panels::{panels_len, to_panels};
    use super::*;

    /// One chunk or several, token by token or for the whole batch: the same scores to the bit, the same gradients but for the order of sums.
    #[test]
    fn chunks_change_nothing() {
        let (width, vocab, rows) = (24, 37, 11);
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0;
        let hidden: Vec<f64> = (0..rows * width).map(value).collect();
        let mut weight = vec![0.0f64; panels_len(vocab, width)];
        to_panels(vocab, width, &(0..vocab * width).map(|i| value(i + 5) as f32).collect::<Vec<_>>(), &mut weight);
        let target = |i: usize| Target {
            row: i * 7 % rows,
            token: (i * 5 % vocab) as u32,
            temperature: if i.is_multiple_of(3) { 0.7 } else { 1.0 },
        };
        let targets: Vec<Target> = (0..23).map(target).collect();
        let per_token = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * (0.3 * log_prob).exp();
        let per_batch = |scores: &[TokenScore]| scores.iter().enumerate().map(|(i, s)| per_token(i, s.log_prob)).collect::<Vec<_>>();
        let run = |most: usize, loss: LossGradient<'_>| {
            let (mut dhidden, mut dweight) = (vec![0.0; hidden.len()], vec![0.0; weight.len()]);
            let gradients = HeadGradients { loss, dhidden: &mut dhidden, dweight: Some(&mut dweight) };
            let scores = score_in_chunks(most, width, vocab, &hidden, &weight, &targets, Some(gradients));
            (scores, dhidden, dweight)
        };
        let (scores, dhidden, dweight) = run(100, LossGradient::PerToken(&per_token));
        assert!(dhidden.iter().chain(&dweight).any(|d| d.abs() > 0.1), "nothing to compare");
        for most in [1, 4, 22, 100] {
            for loss in [LossGradient::PerToken(&per_token), LossGradient::PerBatch(&per_batch)] {
                let found = run(most, loss);
                assert_eq!(found.0, scores, "chunks of {most}");
                let pairs = found.1.iter().zip(&dhidden).chain(found.2.iter().zip(&dweight));
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "chunks of {most}");
            }
        }
        assert_eq!(score_in_chunks(4, width, vocab, &hidden, &weight, &targets, None), scores);
    }
}
