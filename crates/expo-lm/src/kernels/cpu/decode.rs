//! Attention of one new token a sequence over a paged KV cache.
//!
//! A page holds [`PAGE`] tokens of one layer as panels of the matrix product's tile: keys as `[kv_head][head_dim][PAGE]` (the lanes are the tokens),
//! values as `[kv_head][head_dim / 16][PAGE][16]` (the lanes are the elements, missing ones zero). So both products are the tile's, with the query heads
//! that share the keys as its rows. Each sequence's sums run over its own tokens, page by page: its result doesn't depend on the others.

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::memory::prefetch;
use super::micro::{PANEL, TILE_ROWS, Tile};
use super::product::{SharedMut, pack_transposed};
use super::rows::{exp_sum, maximum, vectorized};
use crate::kernels::{CacheSlot, CachedSequence, HeadLayout, PAGE};

/// Attention of fewer multiply-adds runs on the calling thread.
const SERIAL_BELOW: usize = 1 << 17;

// A page of keys is one panel.
const _: () = assert!(PAGE == PANEL);

/// Elements of a page for all key (or value) heads of one layer.
pub fn page_len(layout: HeadLayout) -> usize {
    layout.kv_heads * head_len(layout)
}

/// Elements of one head in a page.
fn head_len(layout: HeadLayout) -> usize {
    layout.head_dim.next_multiple_of(PANEL) * PAGE
}

/// Writes the keys and values of `rows` of `qkv` into their slots.
pub fn write<F: Float>(layout: HeadLayout, qkv: &[F], slots: &[CacheSlot], keys: &mut [F], values: &mut [F]) {
    let (row, dim) = (layout.row(), layout.head_dim);
    for slot in slots {
        // A place outside its page would be another's; pages and rows outside their buffers fail by themselves.
        assert!(slot.offset < PAGE);
        for h in 0..layout.kv_heads {
            let at = slot.page as usize * page_len(layout) + h * head_len(layout);
            let key = &qkv[slot.row * row + layout.key(h)..][..dim];
            let keys = keys[at..at + head_len(layout)].iter_mut().skip(slot.offset).step_by(PAGE);
            keys.zip(key).for_each(|(to, from)| *to = *from);
            let value = &qkv[slot.row * row + layout.value(h)..][..dim];
            let values = values[at..at + head_len(layout)].chunks_exact_mut(PAGE * PANEL);
            for (value, panel) in value.chunks(PANEL).zip(values) {
                panel[slot.offset * PANEL..][..value.len()].copy_from_slice(value);
            }
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
    let shared = SharedMut::new(out);
    let run = |task: usize| {
        let (i, kv_head) = (task / layout.kv_heads, task % layout.kv_heads);
        // Query heads in tiles, since a tile has so many rows at most.
        for first in (0..group).step_by(TILE_ROWS) {
            let heads = TILE_ROWS.min(group - first);
            let head = kv_head * group + first;
            let queries = &qkv[i * row + head * dim..][..heads * dim];
            // SAFETY: the length was asserted; each task has its own sequence and heads.
            let out = unsafe { std::slice::from_raw_parts_mut(shared.at(i * out_row + head * dim), heads * dim) };
            attend(layout, window, queries, &sequences[i], kv_head, keys, values, out);
        }
    };
    let count = sequences.len() * layout.kv_heads;
    let work: usize = sequences.iter().map(|s| s.len).sum::<usize>() * layout.q_heads * dim;
    if work < SERIAL_BELOW {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().for_each(run);
    }
}

/// The query heads `[heads][dim]` of one sequence that share key/value head `kv_head`.
fn attend<F: Float>(
    layout: HeadLayout,
    window: Option<usize>,
    queries: &[F],
    sequence: &CachedSequence<'_>,
    kv_head: usize,
    keys: &[F],
    values: &[F],
    out: &mut [F],
) {
    let dim = layout.head_dim;
    let (heads, wide) = (queries.len() / dim, dim.next_multiple_of(PANEL));
    let scale = F::of(layout.scale);
    let kernel = F::tile_kernel();
    let first = window.map_or(0, |w| sequence.len.saturating_sub(w));
    let first_page = first / PAGE;
    let pages = &sequence.pages[first_page..sequence.len.div_ceil(PAGE)];
    let padded = pages.len() * PAGE;
    let seen = first - first_page * PAGE..sequence.len - first_page * PAGE;
    // Queries, then probabilities, as the tile's left operand: all heads of an element (a token) side by side.
    let mut left = Scratch::<F>::new(heads * dim.max(padded));
    let mut scores = Scratch::<F>::new(heads * padded);
    let mut sums = Scratch::<F>::new(heads * wide);
    interleave(queries, dim, &mut left);
    let head_of = |page: u32| page as usize * page_len(layout) + kv_head * head_len(layout);
    for (p, page) in pages.iter().enumerate() {
        // The pages lie apart, in memory: the values of this one and the keys of the next are fetched while its scores are computed.
        prefetch(&values[head_of(*page)..][..head_len(layout)]);
        if let Some(next) = pages.get(p + 1) {
            prefetch(&keys[head_of(*next)..][..dim * PAGE]);
        }
        let keys = &keys[head_of(*page)..][..dim * PAGE];
        let c = scores[p * PAGE..].as_mut_ptr();
        let tile = Tile { k: dim, a: left.as_ptr(), b: keys.as_ptr(), b_panel: 0, c, c_row: padded, c_panel: 0, accumulate: false };
        // SAFETY: `left` holds dim x heads elements, the page dim x 16, and row h of C is `scores[h * padded + p * 16..][..16]`.
        unsafe { kernel(heads, 1, &tile) };
    }
    vectorized(
        #[inline(always)]
        || {
            for scores in scores[..heads * padded].chunks_exact_mut(padded) {
                let seen = &mut scores[seen.clone()];
                let shift = maximum(seen) * scale;
                let inverse = F::ONE / exp_sum(seen, scale, shift);
                seen.iter_mut().for_each(|p| *p *= inverse);
            }
        },
    );
    interleave(&scores[..heads * padded], padded, &mut left);
    // Pairs of panels, as the tile takes them.
    for pair in (0..wide).step_by(2 * PANEL) {
        let panels = 2.min((wide - pair) / PANEL);
        for (p, page) in pages.iter().enumerate() {
            let tokens = seen.start.max(p * PAGE)..seen.end.min((p + 1) * PAGE);
            let values = &values[head_of(*page) + pair * PAGE..][..panels * PAGE * PANEL];
            let (a, b) = (&left[tokens.start * heads..], &values[(tokens.start - p * PAGE) * PANEL..]);
            let tile = Tile {
                k: tokens.len(),
                a: a.as_ptr(),
                b: b.as_ptr(),
                b_panel: PAGE * PANEL,
                c: sums[pair..].as_mut_ptr(),
                c_row: wide,
                c_panel: PANEL,
                accumulate: p > 0,
            };
            // SAFETY: `left` holds the heads of these tokens, the page their values in both panels, and row h of C is `sums[h * wide + pair..]`.
            unsafe { kernel(heads, panels, &tile) };
        }
    }
    for (out, sums) in out.chunks_exact_mut(dim).zip(sums.chunks_exact(wide)) {
        out.copy_from_slice(&sums[..dim]);
    }
}

/// From rows of `width` to `[width][rows]`.
fn interleave<F: Float>(rows: &[F], width: usize, out: &mut [F]) {
    let count = rows.len() / width;
    // SAFETY: the slice covers `count` rows of `width`.
    unsafe { pack_transposed(rows.as_ptr(), width, count, width, &mut out[..count * width]) };
}
