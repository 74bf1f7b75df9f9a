//! Attention of one new token a sequence over a paged KV cache.
//!
//! A page holds [`PAGE`] tokens of one layer: keys as `[kv_head][head_dim][PAGE]`, values as `[kv_head][PAGE][head_dim]`, so that both
//! products run over contiguous vectors. Each sequence's sums run over its own tokens in order: its result doesn't depend on the others.

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::gemm::SharedMut;
use super::rows::{exp_sum, maximum, vectorized};
use crate::kernels::{CacheSlot, CachedSequence, HeadLayout, PAGE};

/// Elements of a page for all key (or value) heads of one layer.
pub fn page_len(layout: HeadLayout) -> usize {
    layout.kv_heads * layout.head_dim * PAGE
}

/// Writes the keys and values of `rows` of `qkv` into their slots.
pub fn write<F: Float>(layout: HeadLayout, qkv: &[F], slots: &[CacheSlot], keys: &mut [F], values: &mut [F]) {
    let (row, dim) = (layout.row(), layout.head_dim);
    for slot in slots {
        // A place outside its page would be another's; pages and rows outside their buffers fail by themselves.
        assert!(slot.offset < PAGE);
        let page = slot.page as usize * page_len(layout);
        for h in 0..layout.kv_heads {
            let key = &qkv[slot.row * row + layout.key(h)..][..dim];
            let at = page + h * dim * PAGE + slot.offset;
            for (i, k) in key.iter().enumerate() {
                keys[at + i * PAGE] = *k;
            }
            let at = page + (h * PAGE + slot.offset) * dim;
            values[at..at + dim].copy_from_slice(&qkv[slot.row * row + layout.value(h)..][..dim]);
        }
    }
}

/// Copies whole page `from` to `to` (a partly filled page that two sequences would both write).
pub fn copy_page<F: Float>(layout: HeadLayout, from: u32, to: u32, pool: &mut [F]) {
    let len = page_len(layout);
    pool.copy_within(from as usize * len..(from as usize + 1) * len, to as usize * len);
}

/// Row `i` of `qkv` is the newest token of `sequences[i]`, already written to the cache; `out[i]` gets its attention.
pub fn attention<F: Float>(
    layout: HeadLayout,
    window: Option<usize>,
    qkv: &[F],
    sequences: &[CachedSequence<'_>],
    keys: &[F],
    values: &[F],
    out: &mut [F],
) {
    let (row, dim, group) = (layout.row(), layout.head_dim, layout.q_heads / layout.kv_heads);
    let out_row = layout.q_heads * dim;
    assert!(qkv.len() >= sequences.len() * row && out.len() >= sequences.len() * out_row && layout.q_heads.is_multiple_of(layout.kv_heads));
    let scale = F::of(1.0 / (dim as f64).sqrt());
    let shared = SharedMut::new(out);
    let run = |task: usize| {
        let (i, kv_head) = (task / layout.kv_heads, task % layout.kv_heads);
        let sequence = sequences[i];
        let first = window.map_or(0, |w| sequence.len.saturating_sub(w));
        let first_page = first / PAGE;
        let pages = &sequence.pages[first_page..sequence.len.div_ceil(PAGE)];
        let padded = pages.len() * PAGE;
        let mut scores = Scratch::<F>::new(group * padded);
        vectorized(
            #[inline(always)]
            || {
                for (p, page) in pages.iter().enumerate() {
                    let keys = &keys[*page as usize * page_len(layout) + kv_head * dim * PAGE..][..dim * PAGE];
                    for g in 0..group {
                        let q = &qkv[i * row + (kv_head * group + g) * dim..][..dim];
                        let mut sums = [F::ZERO; PAGE];
                        for (q, k) in q.iter().zip(keys.chunks_exact(PAGE)) {
                            for l in 0..PAGE {
                                sums[l] = q.mul_add(k[l], sums[l]);
                            }
                        }
                        scores[g * padded + p * PAGE..][..PAGE].copy_from_slice(&sums);
                    }
                }
                let seen = first - first_page * PAGE..sequence.len - first_page * PAGE;
                for g in 0..group {
                    let scores = &mut scores[g * padded..(g + 1) * padded];
                    let seen = &mut scores[seen.clone()];
                    let shift = maximum(seen) * scale;
                    let inverse = F::ONE / exp_sum(seen, scale, shift);
                    seen.iter_mut().for_each(|p| *p *= inverse);
                    // SAFETY: the length was asserted; each task has its own sequence and heads.
                    let out = unsafe { std::slice::from_raw_parts_mut(shared.at(i * out_row + (kv_head * group + g) * dim), dim) };
                    out.fill(F::ZERO);
                }
                for (p, page) in pages.iter().enumerate() {
                    let values = &values[*page as usize * page_len(layout) + kv_head * dim * PAGE..][..dim * PAGE];
                    let tokens = seen.start.max(p * PAGE)..seen.end.min((p + 1) * PAGE);
                    for g in 0..group {
                        // SAFETY: as above.
                        let out = unsafe { std::slice::from_raw_parts_mut(shared.at(i * out_row + (kv_head * group + g) * dim), dim) };
                        for t in tokens.clone() {
                            let weight = scores[g * padded + t];
                            for (o, v) in out.iter_mut().zip(&values[(t - p * PAGE) * dim..][..dim]) {
                                *o = weight.mul_add(*v, *o);
                            }
                        }
                    }
                }
            },
        );
    };
    let count = sequences.len() * layout.kv_heads;
    let work: usize = sequences.iter().map(|s| s.len).sum::<usize>() * layout.q_heads * dim;
    if work < 1 << 17 {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().for_each(run);
    }
}
