//! One serial matrix product, cut into tiles.
//!
//! Sums over k run in blocks of `K_BLOCK`, in order, so that each output element's order of summation is fixed, whatever the number of rows.

use super::float::{Float, Scratch};
use super::micro::{PANEL, TALL_TILE_ROWS, TILE_ROWS, Tile, panels_for};

/// Length of the sums kept in registers: a panel of that length is 16 KiB of f32 and stays in the first-level cache.
pub const K_BLOCK: usize = 256;

/// Rows of A packed at once: 120 x 256 f32 are 120 KiB, which stay in the second-level cache.
pub const ROW_BLOCK: usize = 10 * TILE_ROWS;

/// A product whose A has at most this many elements packs all of it (512 KiB of f32) and reads B once from beginning to end, as decoding wants it:
/// there B comes from memory.
const FEW_ELEMENTS: usize = 1 << 17;

/// A pointer that tasks writing disjoint elements may share.
#[derive(Clone, Copy)]
pub struct SharedMut<F>(*mut F);
// SAFETY: only handed to tasks that write disjoint elements and read none that another writes.
unsafe impl<F: Send> Send for SharedMut<F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for SharedMut<F> {}

impl<F> SharedMut<F> {
    /// Of a whole slice; the caller's tasks must stay inside it and disjoint.
    pub fn new(slice: &mut [F]) -> Self {
        Self(slice.as_mut_ptr())
    }
    /// The pointer at element `offset`.
    ///
    /// # Safety
    /// `offset` is inside the slice.
    pub unsafe fn at(&self, offset: usize) -> *mut F {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// One serial product `C[m, n] (+)= A[m, k] * B`, B in panels of the columns.
pub struct Product<F> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of C; the last panel may be partial.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// `A[r][k]` at `a + r * a_row + k * a_col`.
    pub a: *const F,
    /// Distance between rows of A.
    pub a_row: usize,
    /// Distance between columns of A.
    pub a_col: usize,
    /// `B[p][k][l]` at `b + p * b_panel + k * PANEL + l`.
    pub b: *const F,
    /// Distance between panels of B.
    pub b_panel: usize,
    /// `C[r][p * PANEL + l]` at `c + r * c_row + p * c_panel + l`.
    pub c: *mut F,
    /// Distance between rows of C.
    pub c_row: usize,
    /// Distance between panels of C.
    pub c_panel: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl<F: Float> Product<F> {
    /// Runs the product on the calling thread.
    ///
    /// # Safety
    /// A, B (whole panels) and C cover what the strides address; C overlaps neither, and no other thread touches these elements of C.
    pub unsafe fn run(&self) {
        if self.k == 0 && !self.accumulate {
            for r in 0..self.m {
                for j in 0..self.n {
                    // SAFETY: inside C.
                    unsafe { *self.c.add(r * self.c_row + j / PANEL * self.c_panel + j % PANEL) = F::ZERO };
                }
            }
        }
        // Each block of k adds to C in the same order in both arrangements, so they give the same bits.
        if self.m * self.k <= FEW_ELEMENTS {
            let height = self.tile_height(self.m);
            let mut packed = Scratch::<F>::new(self.m * self.k);
            for k0 in (0..self.k).step_by(K_BLOCK) {
                // SAFETY: inside A by the caller's promise.
                unsafe { self.pack_rows(0, self.m, k0, K_BLOCK.min(self.k - k0), height, &mut packed[self.m * k0..]) };
            }
            for (panel, p) in self.panels() {
                for k0 in (0..self.k).step_by(K_BLOCK) {
                    // SAFETY: the caller's promise.
                    unsafe { self.tiles(0, self.m, k0, K_BLOCK.min(self.k - k0), height, panel, p, &packed[self.m * k0..]) };
                }
            }
            return;
        }
        let mut packed = Scratch::<F>::new(ROW_BLOCK.min(self.m) * K_BLOCK.min(self.k));
        for k0 in (0..self.k).step_by(K_BLOCK) {
            let k = K_BLOCK.min(self.k - k0);
            for m0 in (0..self.m).step_by(ROW_BLOCK) {
                let m = ROW_BLOCK.min(self.m - m0);
                let height = self.tile_height(m);
                // SAFETY: inside A by the caller's promise.
                unsafe { self.pack_rows(m0, m, k0, k, height, &mut packed) };
                for (panel, p) in self.panels() {
                    // SAFETY: the caller's promise.
                    unsafe { self.tiles(m0, m, k0, k, height, panel, p, &packed) };
                }
            }
        }
    }

    /// The panels of B in the groups that a tile takes at once: first panel, number of panels.
    fn panels(&self) -> impl Iterator<Item = (usize, usize)> {
        let (wide, full, all) = (panels_for(self.m), self.n / PANEL, self.n.div_ceil(PANEL));
        let grouped = full / wide * wide;
        (0..grouped).step_by(wide).map(move |panel| (panel, wide)).chain((grouped..all).map(|panel| (panel, 1)))
    }

    /// Rows of a tile when `m` rows are cut into as few and as equal tiles as possible: a last tile of one or two rows would wait for its own sums.
    fn tile_height(&self, m: usize) -> usize {
        let most = if panels_for(self.m) == 1 { TALL_TILE_ROWS } else { TILE_ROWS };
        m.div_ceil(m.div_ceil(most).max(1)).max(1)
    }

    /// Runs the tiles of rows `m0..m0 + m`, columns of A `k0..k0 + k` and panels `panel..panel + p`, A being packed in tiles of `height` rows.
    ///
    /// # Safety
    /// As [`Product::run`].
    #[inline]
    unsafe fn tiles(&self, m0: usize, m: usize, k0: usize, k: usize, height: usize, panel: usize, p: usize, packed: &[F]) {
        let kernel = F::tile_kernel();
        let accumulate = self.accumulate || k0 > 0;
        let columns = self.n - panel * PANEL;
        for t0 in (0..m).step_by(height) {
            let rows = height.min(m - t0);
            // SAFETY: the addressed parts of A, B and C are inside the operands by the caller's promise.
            unsafe {
                let c = self.c.add((m0 + t0) * self.c_row + panel * self.c_panel);
                let mut tile = Tile {
                    k,
                    a: packed.as_ptr().add(t0 * k),
                    b: self.b.add(panel * self.b_panel + k0 * PANEL),
                    b_panel: self.b_panel,
                    c,
                    c_row: self.c_row,
                    c_panel: self.c_panel,
                    accumulate,
                };
                if columns >= PANEL {
                    kernel(rows, p, &tile);
                    continue;
                }
                let mut edge = [F::ZERO; TALL_TILE_ROWS * PANEL];
                tile.c = edge.as_mut_ptr();
                tile.c_row = PANEL;
                tile.accumulate = false;
                kernel(rows, 1, &tile);
                for r in 0..rows {
                    for l in 0..columns {
                        let out = c.add(r * self.c_row + l);
                        let sum = edge[r * PANEL + l];
                        *out = if accumulate { *out + sum } else { sum };
                    }
                }
            }
        }
    }

    /// Packs rows `m0..m0 + m` and columns `k0..k0 + k` of A into tiles of `[k][rows of the tile]`, each of `height` rows but the last.
    ///
    /// # Safety
    /// That part is inside A; `packed` holds `m * k` elements.
    unsafe fn pack_rows(&self, m0: usize, m: usize, k0: usize, k: usize, height: usize, packed: &mut [F]) {
        for t0 in (0..m).step_by(height) {
            let rows = height.min(m - t0);
            let out = &mut packed[t0 * k..(t0 + rows) * k];
            // SAFETY: inside A by the caller's promise.
            unsafe {
                let a = self.a.add((m0 + t0) * self.a_row + k0 * self.a_col);
                if self.a_row == 1 {
                    pack_columns(a, self.a_col, rows, out);
                } else if self.a_col == 1 {
                    pack_transposed(a, self.a_row, rows, k, out);
                } else {
                    for (i, values) in out.chunks_exact_mut(rows).enumerate() {
                        for (r, value) in values.iter_mut().enumerate() {
                            *value = *a.add(r * self.a_row + i * self.a_col);
                        }
                    }
                }
            }
        }
    }
}

/// `out[i][r] = a[i * stride + r]`: the tile's rows lie next to each other.
///
/// # Safety
/// `a` covers them.
unsafe fn pack_columns<F: Float>(a: *const F, stride: usize, rows: usize, out: &mut [F]) {
    // SAFETY: the caller's promise.
    unsafe {
        if rows == TILE_ROWS {
            for (i, out) in out.chunks_exact_mut(TILE_ROWS).enumerate() {
                // An array of known length is copied in registers.
                let source: &[F; TILE_ROWS] = &*a.add(i * stride).cast();
                out.copy_from_slice(source);
            }
        } else {
            for (i, out) in out.chunks_exact_mut(rows).enumerate() {
                for (r, out) in out.iter_mut().enumerate() {
                    *out = *a.add(i * stride + r);
                }
            }
        }
    }
}

/// `out[i][r] = a[r * stride + i]`, in blocks of four by four.
///
/// # Safety
/// `a` covers `rows` rows of `k`; `out` has `rows * k` elements.
pub unsafe fn pack_transposed<F: Float>(a: *const F, stride: usize, rows: usize, k: usize, out: &mut [F]) {
    const B: usize = 4;
    assert_eq!(out.len(), rows * k);
    let out = out.as_mut_ptr();
    let (whole_rows, whole_k) = (rows / B * B, k / B * B);
    // SAFETY: the caller's promise for `a`; `out` was asserted.
    unsafe {
        for r in (0..whole_rows).step_by(B) {
            let row = [0, 1, 2, 3].map(|j| a.add((r + j) * stride));
            for i in (0..whole_k).step_by(B) {
                F::transpose_4x4(row.map(|row| row.add(i)), [0, 1, 2, 3].map(|c| out.add((i + c) * rows + r)));
            }
            for i in whole_k..k {
                for (j, row) in row.iter().enumerate() {
                    *out.add(i * rows + r + j) = *row.add(i);
                }
            }
        }
        for r in whole_rows..rows {
            for i in 0..k {
                *out.add(i * rows + r) = *a.add(r * stride + i);
            }
        }
    }
}
