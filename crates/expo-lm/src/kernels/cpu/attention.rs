//! Causal grouped-query attention over packed sequences, forward and backward, in tiles of query rows.
//!
//! A task is one sequence and one key/value head with all the query heads that share it. Its keys and values are packed once; each tile's
//! scores live in scratch memory of `TILE_QUERIES x keys`, so memory grows with the length, not with its square (arXiv 2205.14135's idea,
//! with whole rows instead of an online softmax). The backward pass recomputes the probabilities from the saved log-sum-exp.

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::gemm::{Product, SharedMut};
use super::micro::PANEL;
use super::rows::{dot, exp_sum, maximum, vectorized};
use crate::kernels::HeadLayout;

/// Query rows of a tile.
const TILE_QUERIES: usize = 48;

/// One sequence and one key/value head.
struct Task {
    start: usize,
    len: usize,
    kv_head: usize,
}

fn for_tasks(layout: HeadLayout, offsets: &[usize], run: impl Fn(Task) + Sync + Send) {
    let sequences = offsets.len() - 1;
    let task = |i: usize| {
        let (s, kv_head) = (i / layout.kv_heads, i % layout.kv_heads);
        Task { start: offsets[s], len: offsets[s + 1] - offsets[s], kv_head }
    };
    let run = |task: Task| {
        if task.len > 0 {
            run(task);
        }
    };
    let count = sequences * layout.kv_heads;
    if offsets[sequences] * layout.row() < 1 << 13 {
        (0..count).for_each(|i| run(task(i)));
    } else {
        (0..count).into_par_iter().for_each(|i| run(task(i)));
    }
}

/// Rows `[len][width]` at `stride` to panels whose lanes are the rows: `[ceil(len / 16)][width][16]`, missing rows zero.
fn pack_lanes_are_rows<F: Float>(len: usize, width: usize, source: &[F], stride: usize, out: &mut [F]) {
    for (panel, out) in out.chunks_exact_mut(width * PANEL).take(len.div_ceil(PANEL)).enumerate() {
        let rows = PANEL.min(len - panel * PANEL);
        if rows < PANEL {
            out.fill(F::ZERO);
        }
        for l in 0..rows {
            let row = &source[(panel * PANEL + l) * stride..][..width];
            for (i, value) in row.iter().enumerate() {
                out[i * PANEL + l] = *value;
            }
        }
    }
}

/// Rows `[len][width]` at `stride` to panels whose lanes are the columns: `[ceil(width / 16)][len][16]`, missing columns zero.
fn pack_lanes_are_columns<F: Float>(len: usize, width: usize, source: &[F], stride: usize, out: &mut [F]) {
    for (panel, out) in out.chunks_exact_mut(len * PANEL).take(width.div_ceil(PANEL)).enumerate() {
        let columns = PANEL.min(width - panel * PANEL);
        for (row, out) in out.chunks_exact_mut(PANEL).enumerate() {
            out[..columns].copy_from_slice(&source[row * stride + panel * PANEL..][..columns]);
            out[columns..].fill(F::ZERO);
        }
    }
}

/// The tiles of a sequence: query rows, and the keys that any of them may see (from a multiple of 16).
fn tiles(len: usize, window: Option<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..len).step_by(TILE_QUERIES).map(move |q0| {
        let q1 = (q0 + TILE_QUERIES).min(len);
        (q0, q1, first_key(q0, window) / PANEL * PANEL)
    })
}

/// The first key that query `q` sees.
fn first_key(q: usize, window: Option<usize>) -> usize {
    window.map_or(0, |w| (q + 1).saturating_sub(w))
}

/// `out[row, q_head * head_dim..]` = attention of that row; `lse[row * q_heads + q_head]` = log-sum-exp of its scaled scores.
/// `window`: a query sees itself and the `window - 1` keys before it.
pub fn forward<F: Float>(layout: HeadLayout, offsets: &[usize], window: Option<usize>, qkv: &[F], out: &mut [F], lse: &mut [F]) {
    let (row, dim, group) = (layout.row(), layout.head_dim, layout.q_heads / layout.kv_heads);
    let out_row = layout.q_heads * dim;
    let total = offsets[offsets.len() - 1];
    assert!(offsets.is_sorted() && layout.q_heads.is_multiple_of(layout.kv_heads));
    assert!(qkv.len() >= total * row && out.len() >= total * out_row && lse.len() >= total * layout.q_heads);
    let scale = F::of(1.0 / (dim as f64).sqrt());
    let (out, lse) = (SharedMut::new(out), SharedMut::new(lse));
    for_tasks(layout, offsets, |task| {
        let Task { start, len, kv_head } = task;
        let padded = len.next_multiple_of(PANEL);
        let mut keys = Scratch::<F>::new(padded * dim);
        let mut values = Scratch::<F>::new(len * dim.next_multiple_of(PANEL));
        let mut scores = Scratch::<F>::new(TILE_QUERIES * padded);
        pack_lanes_are_rows(len, dim, &qkv[start * row + layout.key(kv_head)..], row, &mut keys);
        pack_lanes_are_columns(len, dim, &qkv[start * row + layout.value(kv_head)..], row, &mut values);
        for head in kv_head * group..(kv_head + 1) * group {
            for (q0, q1, k0) in tiles(len, window) {
                let (m, n) = (q1 - q0, q1 - k0);
                let stride = n.next_multiple_of(PANEL);
                // SAFETY: q, k, v and out lie inside buffers whose lengths were asserted; this task alone writes its heads' columns.
                unsafe {
                    let q = qkv.as_ptr().add((start + q0) * row + head * dim);
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
                                *lse.at((start + q0 + i) * layout.q_heads + head) = shift + F::of(sum.f64().ln());
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
                        b_panel: len * PANEL,
                        c: out.at((start + q0) * out_row + head * dim),
                        c_row: out_row,
                        c_panel: PANEL,
                        accumulate: false,
                    }
                    .run();
                }
            }
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
    offsets: &[usize],
    window: Option<usize>,
    qkv: &[F],
    out: &[F],
    lse: &[F],
    dout: &[F],
    dqkv: &mut [F],
) {
    let (row, dim, group) = (layout.row(), layout.head_dim, layout.q_heads / layout.kv_heads);
    let (out_row, wide) = (layout.q_heads * dim, dim.next_multiple_of(PANEL));
    let total = offsets[offsets.len() - 1];
    assert!(offsets.is_sorted() && layout.q_heads.is_multiple_of(layout.kv_heads));
    assert!(qkv.len() >= total * row && dqkv.len() >= total * row && lse.len() >= total * layout.q_heads);
    assert!(out.len() >= total * out_row && dout.len() >= total * out_row);
    let scale = F::of(1.0 / (dim as f64).sqrt());
    let dqkv = SharedMut::new(dqkv);
    for_tasks(layout, offsets, |task| {
        let Task { start, len, kv_head } = task;
        let padded = len.next_multiple_of(PANEL);
        let mut keys = Scratch::<F>::new(padded * dim);
        let mut values = Scratch::<F>::new(padded * dim);
        let mut key_rows = Scratch::<F>::new(len * wide);
        let mut tile_rows = Scratch::<F>::new(2 * TILE_QUERIES * wide);
        let mut probabilities = Scratch::<F>::new(TILE_QUERIES * padded);
        let mut dscores = Scratch::<F>::new(TILE_QUERIES * padded);
        let mut dkv = Scratch::<F>::new(2 * len * wide);
        dkv[..2 * len * wide].fill(F::ZERO);
        let (dkeys, dvalues) = dkv.split_at_mut(len * wide);
        let (key, value) = (start * row + layout.key(kv_head), start * row + layout.value(kv_head));
        pack_lanes_are_rows(len, dim, &qkv[key..], row, &mut keys);
        pack_lanes_are_rows(len, dim, &qkv[value..], row, &mut values);
        pack_lanes_are_columns(len, dim, &qkv[key..], row, &mut key_rows);
        for head in kv_head * group..(kv_head + 1) * group {
            for (q0, q1, k0) in tiles(len, window) {
                let (m, n) = (q1 - q0, q1 - k0);
                let stride = n.next_multiple_of(PANEL);
                let q_at = (start + q0) * row + head * dim;
                let o_at = (start + q0) * out_row + head * dim;
                let (q_rows, do_rows) = tile_rows.split_at_mut(TILE_QUERIES * wide);
                pack_lanes_are_columns(m, dim, &qkv[q_at..], row, q_rows);
                pack_lanes_are_columns(m, dim, &dout[o_at..], out_row, do_rows);
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
                                exp_sum(&mut p[from..to], scale, lse[(start + q0 + i) * layout.q_heads + head]);
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
                        b_panel: len * PANEL,
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
        for i in 0..len {
            for (at, sums) in [(key, &dkeys), (value, &dvalues)] {
                // SAFETY: inside dqkv; this task alone writes this head's keys and values.
                let target = unsafe { std::slice::from_raw_parts_mut(dqkv.at(at + i * row), dim) };
                target.copy_from_slice(&sums[i * wide..i * wide + dim]);
            }
        }
    });
}
