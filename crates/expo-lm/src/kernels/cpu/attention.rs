//! Causal grouped-query attention over packed sequences, forward and backward, in tiles of query rows.
//!
//! A task is one key/value head of a family (a sequence and the segments that continue it) with all the query heads that share it. Keys and values
//! are packed once, those of a prefix once for all its continuations; each tile's scores live in scratch memory of `TILE_QUERIES x keys`, so memory
//! grows with the length, not with its square (arXiv 2205.14135's idea, with whole rows instead of an online softmax). The backward pass
//! recomputes the probabilities from the saved log-sum-exp.

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::micro::PANEL;
use super::product::{Product, SharedMut};
use super::rows::{dot, exp_sum, maximum, vectorized};
use crate::batch::Segment;
use crate::kernels::HeadLayout;

/// Query rows of a tile.
const TILE_QUERIES: usize = 48;

/// A sequence and the segments that continue it.
struct Family {
    root: Segment,
    continuations: Vec<Segment>,
}

impl Family {
    fn all(segments: &[Segment]) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        let mut of_segment = Vec::with_capacity(segments.len());
        for segment in segments {
            match segment.prefix {
                None => {
                    of_segment.push(families.len());
                    families.push(Family { root: *segment, continuations: Vec::new() });
                }
                Some(prefix) => {
                    let family = of_segment[prefix];
                    of_segment.push(family);
                    families[family].continuations.push(*segment);
                }
            }
        }
        families
    }

    /// Tokens of its longest sequence.
    fn longest(&self) -> usize {
        self.root.len + self.continuations.iter().map(|s| s.len).max().unwrap_or(0)
    }
}

/// Runs `run(family, kv_head)` for all of them.
fn for_tasks(layout: HeadLayout, segments: &[Segment], run: impl Fn(&Family, usize) + Sync + Send) {
    let families = Family::all(segments);
    let count = families.len() * layout.kv_heads;
    let rows: usize = segments.iter().map(|s| s.len).sum();
    let run = |i: usize| run(&families[i / layout.kv_heads], i % layout.kv_heads);
    if rows * layout.row() < 1 << 13 {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().for_each(run);
    }
}

/// Writes `len` rows of `width` at `stride` as tokens `first..` of panels whose lanes are the tokens: `[tokens / 16][width][16]`. Lanes after the last
/// token of its panel become zero.
fn pack_lanes_are_rows<F: Float>(first: usize, len: usize, width: usize, source: &[F], stride: usize, out: &mut [F]) {
    for token in first..(first + len).next_multiple_of(PANEL) {
        let out = out[token / PANEL * width * PANEL..][..width * PANEL].iter_mut().skip(token % PANEL).step_by(PANEL);
        match source.get((token - first) * stride..).filter(|_| token < first + len) {
            Some(row) => out.zip(row).for_each(|(out, value)| *out = *value),
            None => out.for_each(|out| *out = F::ZERO),
        }
    }
}

/// Writes `len` rows of `width` at `stride` as tokens `first..` of panels whose lanes are the columns, `[width / 16][tokens][16]` with room for `room`
/// tokens in each; missing columns become zero.
fn pack_lanes_are_columns<F: Float>(first: usize, len: usize, room: usize, width: usize, source: &[F], stride: usize, out: &mut [F]) {
    for (panel, out) in out.chunks_exact_mut(room * PANEL).take(width.div_ceil(PANEL)).enumerate() {
        let columns = PANEL.min(width - panel * PANEL);
        for (row, out) in out[first * PANEL..(first + len) * PANEL].chunks_exact_mut(PANEL).enumerate() {
            let source = &source[row * stride + panel * PANEL..][..columns];
            // A whole row of known length is copied in registers.
            if let Ok(source) = <&[F; PANEL]>::try_from(source) {
                out.copy_from_slice(source);
            } else {
                out[..columns].copy_from_slice(source);
                out[columns..].fill(F::ZERO);
            }
        }
    }
}

/// The tiles of queries `first..first + len` of a sequence: its query rows, and the first key that any of them may see (a multiple of 16).
fn tiles(first: usize, len: usize, window: Option<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
    (first..first + len).step_by(TILE_QUERIES).map(move |q0| {
        let q1 = (q0 + TILE_QUERIES).min(first + len);
        (q0, q1, first_key(q0, window) / PANEL * PANEL)
    })
}

/// The first key that query `q` sees.
fn first_key(q: usize, window: Option<usize>) -> usize {
    window.map_or(0, |w| (q + 1).saturating_sub(w))
}

/// `out[row, q_head * head_dim..]` = attention of that row; `lse[row * q_heads + q_head]` = log-sum-exp of its scaled scores.
/// `window`: a query sees itself and the `window - 1` keys before it.
pub fn forward<F: Float>(layout: HeadLayout, segments: &[Segment], window: Option<usize>, qkv: &[F], out: &mut [F], lse: &mut [F]) {
    let (row, dim, group) = (layout.row(), layout.head_dim, layout.q_heads / layout.kv_heads);
    let out_row = layout.q_heads * dim;
    let total = segments.iter().map(|s| s.start + s.len).max().unwrap_or(0);
    assert!(layout.q_heads.is_multiple_of(layout.kv_heads));
    assert!(qkv.len() >= total * row && out.len() >= total * out_row && lse.len() >= total * layout.q_heads);
    let scale = F::of(layout.scale);
    let (out, lse) = (SharedMut::new(out), SharedMut::new(lse));
    for_tasks(layout, segments, |family, kv_head| {
        let longest = family.longest();
        if longest == 0 {
            return;
        }
        let padded = longest.next_multiple_of(PANEL);
        let mut keys = Scratch::<F>::new(padded * dim);
        let mut values = Scratch::<F>::new(longest * dim.next_multiple_of(PANEL));
        let mut scores = Scratch::<F>::new(TILE_QUERIES * padded);
        let mut attend = |segment: &Segment, first: usize| {
            let Segment { start, len, .. } = *segment;
            pack_lanes_are_rows(first, len, dim, &qkv[start * row + layout.key(kv_head)..], row, &mut keys);
            pack_lanes_are_columns(first, len, longest, dim, &qkv[start * row + layout.value(kv_head)..], row, &mut values);
            for head in kv_head * group..(kv_head + 1) * group {
                for (q0, q1, k0) in tiles(first, len, window) {
                    let (m, n, at) = (q1 - q0, q1 - k0, start + q0 - first);
                    let stride = n.next_multiple_of(PANEL);
                    // SAFETY: q, k, v and out lie inside buffers whose lengths were asserted; this task alone writes its heads' columns.
                    unsafe {
                        let q = qkv.as_ptr().add(at * row + head * dim);
                        score_tile(m, n, dim, q, row, &keys[k0 * dim..], &mut scores, stride);
                        vectorized(
                            #[inline(always)]
                            || {
                                for (i, scores) in scores[..m * stride].chunks_exact_mut(stride).enumerate() {
                                    let (from, to) = (first_key(q0 + i, window) - k0, q0 + i + 1 - k0);
                                    scores[..from].fill(F::ZERO);
                                    scores[to..].fill(F::ZERO);
                                    let seen = &mut scores[from..to];
                                    let shift = maximum(seen) * scale;
                                    let sum = exp_sum(seen, scale, shift);
                                    let inverse = F::ONE / sum;
                                    seen.iter_mut().for_each(|p| *p *= inverse);
                                    *lse.at((at + i) * layout.q_heads + head) = shift + F::of(sum.f64().ln());
                                }
                            },
                        );
                        Product {
                            m,
                            n: dim,
                            k: n,
                            a: scores.as_ptr(),
                            a_row: stride,
                            a_col: 1,
                            b: values.as_ptr().add(k0 * PANEL),
                            b_panel: longest * PANEL,
                            c: out.at(at * out_row + head * dim),
                            c_row: out_row,
                            c_panel: PANEL,
                            accumulate: false,
                        }
                        .run();
                    }
                }
            }
        };
        attend(&family.root, 0);
        for segment in &family.continuations {
            attend(segment, family.root.len);
        }
    });
}

/// `scores[m][n] = q * keys^T`, not scaled. `keys` starts at the panel of the first key.
///
/// # Safety
/// `q` covers `m` rows of `dim` at `q_row`.
unsafe fn score_tile<F: Float>(m: usize, n: usize, dim: usize, q: *const F, q_row: usize, keys: &[F], scores: &mut [F], stride: usize) {
    assert!(keys.len() >= n.next_multiple_of(PANEL) * dim && scores.len() >= m * stride);
    // SAFETY: asserted, and the caller's promise for q.
    unsafe {
        Product {
            m,
            n,
            k: dim,
            a: q,
            a_row: q_row,
            a_col: 1,
            b: keys.as_ptr(),
            b_panel: dim * PANEL,
            c: scores.as_mut_ptr(),
            c_row: stride,
            c_panel: PANEL,
            accumulate: false,
        }
        .run();
    }
}

/// Backward of [`forward`]: `dqkv` is overwritten (all of q, k and v).
pub fn backward<F: Float>(
    layout: HeadLayout,
    segments: &[Segment],
    window: Option<usize>,
    qkv: &[F],
    out: &[F],
    lse: &[F],
    dout: &[F],
    dqkv: &mut [F],
) {
    let (row, dim, group) = (layout.row(), layout.head_dim, layout.q_heads / layout.kv_heads);
    let (out_row, wide) = (layout.q_heads * dim, dim.next_multiple_of(PANEL));
    let total = segments.iter().map(|s| s.start + s.len).max().unwrap_or(0);
    assert!(layout.q_heads.is_multiple_of(layout.kv_heads));
    assert!(qkv.len() >= total * row && dqkv.len() >= total * row && lse.len() >= total * layout.q_heads);
    assert!(out.len() >= total * out_row && dout.len() >= total * out_row);
    let scale = F::of(layout.scale);
    let dqkv = SharedMut::new(dqkv);
    for_tasks(layout, segments, |family, kv_head| {
        let longest = family.longest();
        if longest == 0 {
            return;
        }
        let padded = longest.next_multiple_of(PANEL);
        let mut keys = Scratch::<F>::new(padded * dim);
        let mut values = Scratch::<F>::new(padded * dim);
        let mut key_rows = Scratch::<F>::new(longest * wide);
        let mut tile_rows = Scratch::<F>::new(2 * TILE_QUERIES * wide);
        let mut probabilities = Scratch::<F>::new(TILE_QUERIES * padded);
        let mut dscores = Scratch::<F>::new(TILE_QUERIES * padded);
        let mut dkv = Scratch::<F>::new(2 * longest * wide);
        let (dkeys, dvalues) = dkv.split_at_mut(longest * wide);
        let mut attend = |segment: &Segment, first: usize, dkeys: &mut [F], dvalues: &mut [F]| {
            let Segment { start, len, .. } = *segment;
            let (key, value) = (start * row + layout.key(kv_head), start * row + layout.value(kv_head));
            let own = first * wide..(first + len) * wide;
            dkeys[own.clone()].fill(F::ZERO);
            dvalues[own].fill(F::ZERO);
            pack_lanes_are_rows(first, len, dim, &qkv[key..], row, &mut keys);
            pack_lanes_are_rows(first, len, dim, &qkv[value..], row, &mut values);
            pack_lanes_are_columns(first, len, longest, dim, &qkv[key..], row, &mut key_rows);
            for head in kv_head * group..(kv_head + 1) * group {
                for (q0, q1, k0) in tiles(first, len, window) {
                    let (m, n, at) = (q1 - q0, q1 - k0, start + q0 - first);
                    let stride = n.next_multiple_of(PANEL);
                    let q_at = at * row + head * dim;
                    let o_at = at * out_row + head * dim;
                    let (q_rows, do_rows) = tile_rows.split_at_mut(TILE_QUERIES * wide);
                    pack_lanes_are_columns(0, m, m, dim, &qkv[q_at..], row, q_rows);
                    pack_lanes_are_columns(0, m, m, dim, &dout[o_at..], out_row, do_rows);
                    // SAFETY: everything lies inside buffers whose lengths were asserted; this task alone writes its heads' columns.
                    unsafe {
                        score_tile(m, n, dim, qkv.as_ptr().add(q_at), row, &keys[k0 * dim..], &mut probabilities, stride);
                        score_tile(m, n, dim, dout.as_ptr().add(o_at), out_row, &values[k0 * dim..], &mut dscores, stride);
                        vectorized(
                            #[inline(always)]
                            || {
                                for i in 0..m {
                                    let p = &mut probabilities[i * stride..(i + 1) * stride];
                                    let ds = &mut dscores[i * stride..(i + 1) * stride];
                                    let (from, to) = (first_key(q0 + i, window) - k0, q0 + i + 1 - k0);
                                    for outside in [0..from, to..stride] {
                                        p[outside.clone()].fill(F::ZERO);
                                        ds[outside].fill(F::ZERO);
                                    }
                                    let o = o_at + i * out_row;
                                    let d = dot(&dout[o..o + dim], &out[o..o + dim]);
                                    exp_sum(&mut p[from..to], scale, lse[(at + i) * layout.q_heads + head]);
                                    for (ds, p) in ds[from..to].iter_mut().zip(&p[from..to]) {
                                        *ds = *p * (*ds - d) * scale;
                                    }
                                }
                            },
                        );
                        Product {
                            m,
                            n: dim,
                            k: n,
                            a: dscores.as_ptr(),
                            a_row: stride,
                            a_col: 1,
                            b: key_rows.as_ptr().add(k0 * PANEL),
                            b_panel: longest * PANEL,
                            c: dqkv.at(q_at),
                            c_row: row,
                            c_panel: PANEL,
                            accumulate: false,
                        }
                        .run();
                        for (scores, rows, sums) in [(&dscores, &q_rows, &mut *dkeys), (&probabilities, &do_rows, &mut *dvalues)] {
                            Product {
                                m: n,
                                n: dim,
                                k: m,
                                a: scores.as_ptr(),
                                a_row: 1,
                                a_col: stride,
                                b: rows.as_ptr(),
                                b_panel: m * PANEL,
                                c: sums.as_mut_ptr().add(k0 * wide),
                                c_row: wide,
                                c_panel: PANEL,
                                accumulate: true,
                            }
                            .run();
                        }
                    }
                }
            }
        };
        let write = |segment: &Segment, first: usize, dkeys: &[F], dvalues: &[F]| {
            for (row_of, sums) in [(layout.key(kv_head), dkeys), (layout.value(kv_head), dvalues)] {
                for i in 0..segment.len {
                    // SAFETY: inside dqkv; this task alone writes this head's keys and values.
                    let target = unsafe { std::slice::from_raw_parts_mut(dqkv.at((segment.start + i) * row + row_of), dim) };
                    target.copy_from_slice(&sums[(first + i) * wide..][..dim]);
                }
            }
        };
        attend(&family.root, 0, dkeys, dvalues);
        for segment in &family.continuations {
            // Adds to the sums of the prefix; its own are done with it.
            attend(segment, family.root.len, dkeys, dvalues);
            write(segment, family.root.len, dkeys, dvalues);
        }
        write(&family.root, 0, dkeys, dvalues);
    });
}
