//! Drawing the next token from a row of logits.

use rayon::prelude::*;

use super::float::Float;
use super::rows::{exp_sum, maximum, vectorized};
use crate::kernels::Draw;

/// Draws a token from each row of `[draws, vocab]`; returns it with its log-probability under the distribution drawn from. The logits are overwritten.
pub fn sample<F: Float>(vocab: usize, logits: &mut [F], draws: &[Draw]) -> Vec<(u32, f32)> {
    let each = |(draw, logits): (&Draw, &mut [F])| {
        vectorized(
            #[inline(always)]
            || sample_row(draw, logits),
        )
    };
    let rows = draws.len();
    if rows * vocab < 1 << 14 {
        draws.iter().zip(logits[..rows * vocab].chunks_exact_mut(vocab)).map(each).collect()
    } else {
        draws.par_iter().zip(logits[..rows * vocab].par_chunks_exact_mut(vocab)).map(each).collect()
    }
}

#[inline(always)]
fn sample_row<F: Float>(draw: &Draw, logits: &mut [F]) -> (u32, f32) {
    let top = maximum(logits);
    if draw.temperature == 0.0 {
        let token = logits.iter().position(|z| *z == top).unwrap_or(0);
        let sum = exp_sum(logits, F::ONE, top);
        return (token as u32, -sum.f64().ln() as f32);
    }
    let scale = F::of(1.0 / f64::from(draw.temperature));
    let mut sum = exp_sum(logits, scale, top * scale).f64();
    if draw.top_k > 0 || draw.top_p < 1.0 || draw.min_p > 0.0 {
        sum = truncate(draw, logits, sum);
    }
    // Walk blocks first: their sums are cheap, and only one block is walked token by token.
    const BLOCK: usize = 64;
    let mut left = draw.uniform * sum;
    let mut last = None;
    for (b, block) in logits.chunks(BLOCK).enumerate() {
        let block_sum = block.iter().fold(0.0, |s, p| s + p.f64());
        if left >= block_sum {
            left -= block_sum;
            if let Some(i) = block.iter().rposition(|p| *p > F::ZERO) {
                last = Some(b * BLOCK + i);
            }
            continue;
        }
        for (i, p) in block.iter().enumerate() {
            if *p > F::ZERO {
                last = Some(b * BLOCK + i);
                left -= p.f64();
                if left < 0.0 {
                    break;
                }
            }
        }
        break;
    }
    // Rounding can leave a remainder after the last token: then it is the last possible one.
    let token = last.unwrap_or(0);
    (token as u32, (logits[token].f64().ln() - sum.ln()) as f32)
}

/// Zeroes the tokens outside top-k, then top-p, then min-p (Hugging Face's order); returns the sum of what is left.
/// Ties at a limit are broken towards the lower id.
fn truncate<F: Float>(draw: &Draw, probabilities: &mut [F], sum: f64) -> f64 {
    let mut order: Vec<u32> = (0..probabilities.len() as u32).filter(|i| probabilities[*i as usize] > F::ZERO).collect();
    order.sort_by(|a, b| {
        let (pa, pb) = (probabilities[*a as usize].f64(), probabilities[*b as usize].f64());
        pb.total_cmp(&pa).then(a.cmp(b))
    });
    let mut keep = order.len();
    let mut total = sum;
    if draw.top_k > 0 && draw.top_k < keep {
        keep = draw.top_k;
        total = order[..keep].iter().map(|i| probabilities[*i as usize].f64()).sum();
    }
    if draw.top_p < 1.0 {
        let mut reached = 0.0;
        let enough = order[..keep].iter().position(|i| {
            reached += probabilities[*i as usize].f64();
            reached >= f64::from(draw.top_p) * total
        });
        keep = enough.map_or(keep, |i| i + 1);
    }
    // Of logits that are not finite, none is left.
    if draw.min_p > 0.0
        && let Some(first) = order.first()
    {
        let limit = probabilities[*first as usize].f64() * f64::from(draw.min_p);
        keep = order[..keep].iter().take_while(|i| probabilities[**i as usize].f64() >= limit).count();
    }
    for i in &order[keep..] {
        probabilities[*i as usize] = F::ZERO;
    }
    probabilities.iter().map(|p| p.f64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(uniform: f64) -> Draw {
        Draw { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, uniform }
    }

    const LOGITS: [f32; 5] = [0.0, 1.0, -1.0, 2.0, 0.5];

    fn frequencies(make: impl Fn(f64) -> Draw) -> Vec<f64> {
        let mut counts = vec![0.0; LOGITS.len()];
        let n = 20_000;
        for i in 0..n {
            let (token, log_prob) = sample(5, &mut LOGITS.to_vec(), &[make((i as f64 + 0.5) / n as f64)])[0];
            counts[token as usize] += 1.0 / n as f64;
            assert!(log_prob <= 0.0);
        }
        counts
    }

    #[test]
    fn log_prob_is_that_of_the_distribution_drawn_from() {
        let cases: [fn(f64) -> Draw; 5] = [
            draw,
            |u| Draw { temperature: 0.5, ..draw(u) },
            |u| Draw { top_k: 2, ..draw(u) },
            |u| Draw { top_p: 0.7, ..draw(u) },
            |u| Draw { min_p: 0.3, temperature: 2.0, ..draw(u) },
        ];
        for make in cases {
            let frequencies = frequencies(make);
            for i in 0..200 {
                let (token, log_prob) = sample(5, &mut LOGITS.to_vec(), &[make(i as f64 / 200.0)])[0];
                let expected = frequencies[token as usize];
                assert!((f64::from(log_prob).exp() - expected).abs() < 1e-3, "{:?}: {log_prob} against {expected}", make(0.0));
            }
        }
        let kept = frequencies(|u| Draw { top_k: 2, ..draw(u) });
        assert_eq!(kept.iter().filter(|f| **f > 0.0).count(), 2);
    }

    #[test]
    fn logits_that_are_not_finite_are_no_panic() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for draw in [draw(0.5), Draw { temperature: 0.0, ..draw(0.5) }, Draw { top_k: 2, top_p: 0.5, min_p: 0.5, ..draw(0.5) }] {
                let (token, log_prob) = sample(3, &mut [bad; 3], &[draw])[0];
                assert!(token < 3 && !log_prob.is_finite(), "{bad}: {token}, {log_prob}");
            }
        }
    }

    #[test]
    fn greedy_takes_the_first_maximum() {
        let greedy = Draw { temperature: 0.0, ..draw(0.9) };
        assert_eq!(sample(4, &mut [1.0f32, 3.0, 3.0, 0.0], &[greedy])[0].0, 1);
    }
}
