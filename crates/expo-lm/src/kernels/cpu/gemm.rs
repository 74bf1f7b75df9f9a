//! Matrix products around the tile: weights in panels, activations row-major.
//!
//! A weight of a linear layer, `[out, in]` in Hugging Face's layout, is kept as `ceil(out / 16)` panels of `[in][16]` (missing rows are zero).
//! The forward product reads it as it lies, with no packing, for one row (decoding) as for thousands. Gradients and optimizer state have
//! the same layout. Sums over k run in blocks of `K_BLOCK`, in order, so that each output element's order of summation is fixed.

use std::ops::Range;

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::micro::{PANEL, TILE_ROWS, Tile, panels_for};

/// Length of the sums kept in registers: a panel of that length is 16 KiB of f32 and stays in the first-level cache.
const K_BLOCK: usize = 256;

/// Rows of A packed at once: 120 x 256 f32 are 120 KiB, which stay in the second-level cache.
const ROW_BLOCK: usize = 10 * TILE_ROWS;

/// Rows of the weight that `backward_input` transposes at once.
const TRANSPOSE_BLOCK: usize = 4 * K_BLOCK;

/// Products of fewer multiply-adds run on the calling thread: waking others would cost more.
const SERIAL_BELOW: usize = 1 << 19;

/// Elements of a panelled matrix of `rows` x `cols`.
pub fn panels_len(rows: usize, cols: usize) -> usize {
    rows.div_ceil(PANEL) * PANEL * cols
}

/// From `[rows, cols]` row-major to panels.
pub fn to_panels<F: Float>(rows: usize, cols: usize, source: &[f32], panels: &mut [F]) {
    assert_eq!(source.len(), rows * cols);
    assert_eq!(panels.len(), panels_len(rows, cols));
    panels.fill(F::ZERO);
    for (row, values) in source.chunks_exact(cols.max(1)).enumerate() {
        let base = row / PANEL * PANEL * cols + row % PANEL;
        for (col, value) in values.iter().enumerate() {
            panels[base + col * PANEL] = F::of(f64::from(*value));
        }
    }
}

/// Some rows of a panelled matrix, row-major.
pub fn from_panels<F: Float>(rows: Range<usize>, cols: usize, panels: &[F]) -> Vec<f64> {
    let mut out = vec![0.0; rows.len() * cols];
    for (row, values) in rows.zip(out.chunks_exact_mut(cols.max(1))) {
        let base = row / PANEL * PANEL * cols + row % PANEL;
        for (col, value) in values.iter_mut().enumerate() {
            *value = panels[base + col * PANEL].f64();
        }
    }
    out
}

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
        let kernel = F::tile_kernel();
        let wide = panels_for(self.m);
        let mut packed = Scratch::<F>::new(ROW_BLOCK.min(self.m.next_multiple_of(TILE_ROWS)) * K_BLOCK.min(self.k));
        let mut edge = [F::ZERO; TILE_ROWS * PANEL];
        if self.k == 0 && !self.accumulate {
            for r in 0..self.m {
                for j in 0..self.n {
                    // SAFETY: inside C.
                    unsafe { *self.c.add(r * self.c_row + j / PANEL * self.c_panel + j % PANEL) = F::ZERO };
                }
            }
        }
        for k0 in (0..self.k).step_by(K_BLOCK) {
            let k = K_BLOCK.min(self.k - k0);
            let accumulate = self.accumulate || k0 > 0;
            for m0 in (0..self.m).step_by(ROW_BLOCK) {
                let m = ROW_BLOCK.min(self.m - m0);
                // SAFETY: the addressed parts of A, B and C are inside the operands by the caller's promise.
                unsafe {
                    self.pack_rows(m0, m, k0, k, &mut packed);
                    let full_panels = self.n / PANEL;
                    let mut panel = 0;
                    while panel * PANEL < self.n {
                        let p = if panel + wide <= full_panels { wide } else { 1 };
                        let partial = panel >= full_panels;
                        for t0 in (0..m).step_by(TILE_ROWS) {
                            let rows = TILE_ROWS.min(m - t0);
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
                            if partial {
                                tile.c = edge.as_mut_ptr();
                                tile.c_row = PANEL;
                                tile.accumulate = false;
                                kernel(rows, 1, &tile);
                                for r in 0..rows {
                                    for l in 0..self.n - panel * PANEL {
                                        let out = c.add(r * self.c_row + l);
                                        let sum = edge[r * PANEL + l];
                                        *out = if accumulate { *out + sum } else { sum };
                                    }
                                }
                            } else {
                                kernel(rows, p, &tile);
                            }
                        }
                        panel += p;
                    }
                }
            }
        }
    }

    /// Packs rows `m0..m0 + m` and columns `k0..k0 + k` of A into tiles of `[k][rows of the tile]`.
    ///
    /// # Safety
    /// That part is inside A; `packed` holds `m * k` elements.
    unsafe fn pack_rows(&self, m0: usize, m: usize, k0: usize, k: usize, packed: &mut [F]) {
        for t0 in (0..m).step_by(TILE_ROWS) {
            let rows = TILE_ROWS.min(m - t0);
            let out = &mut packed[t0 * k..(t0 + rows) * k];
            // SAFETY: inside A by the caller's promise.
            unsafe {
                let a = self.a.add((m0 + t0) * self.a_row + k0 * self.a_col);
                if self.a_col == 1 {
                    for r in 0..rows {
                        let row = std::slice::from_raw_parts(a.add(r * self.a_row), k);
                        for (i, value) in row.iter().enumerate() {
                            *out.get_unchecked_mut(i * rows + r) = *value;
                        }
                    }
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

/// Cuts `rows` x `panels` of output into tasks: enough for the threads, each large enough to pay.
fn tasks(rows: usize, panels: usize, k: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let threads = rayon::current_num_threads();
    if threads == 1 || rows * panels * PANEL * k < SERIAL_BELOW {
        return vec![(0..rows, 0..panels)];
    }
    let wanted = 4 * threads;
    let row_chunk =
        if rows >= wanted * TILE_ROWS { rows.div_ceil(wanted).next_multiple_of(TILE_ROWS).max(ROW_BLOCK).min(rows) } else { rows };
    let row_tasks = rows.div_ceil(row_chunk);
    // An even number of panels a task, as tiles take two at once (eight for a single row).
    let panel_chunk = panels.div_ceil(wanted.div_ceil(row_tasks)).next_multiple_of(panels_for(rows));
    let mut out = Vec::new();
    for r in (0..rows).step_by(row_chunk) {
        for p in (0..panels).step_by(panel_chunk) {
            out.push((r..(r + row_chunk).min(rows), p..(p + panel_chunk).min(panels)));
        }
    }
    out
}

/// `y[m, out] (+)= x[m, in] * W^T`, W in panels. `y` has row stride `out`.
pub fn linear_forward<F: Float>(m: usize, inputs: usize, outputs: usize, x: &[F], weight: &[F], y: &mut [F], accumulate: bool) {
    assert!(x.len() >= m * inputs && y.len() >= m * outputs && weight.len() == panels_len(outputs, inputs));
    let y = SharedMut::new(y);
    let run = |(rows, panels): &(Range<usize>, Range<usize>)| {
        let columns = panels.start * PANEL..(panels.end * PANEL).min(outputs);
        // SAFETY: the lengths were asserted above; tasks cover disjoint parts of y.
        unsafe {
            Product {
                m: rows.len(),
                n: columns.len(),
                k: inputs,
                a: x.as_ptr().add(rows.start * inputs),
                a_row: inputs,
                a_col: 1,
                b: weight.as_ptr().add(panels.start * PANEL * inputs),
                b_panel: PANEL * inputs,
                c: y.at(rows.start * outputs + columns.start),
                c_row: outputs,
                c_panel: PANEL,
                accumulate,
            }
            .run();
        }
    };
    for_each(&tasks(m, outputs.div_ceil(PANEL), inputs), run);
}

/// `dx[m, in] = dy[m, out] * W`, W in panels of the outputs.
pub fn linear_backward_input<F: Float>(m: usize, inputs: usize, outputs: usize, dy: &[F], weight: &[F], dx: &mut [F]) {
    assert!(dx.len() >= m * inputs && dy.len() >= m * outputs && weight.len() == panels_len(outputs, inputs));
    let input_panels = inputs.div_ceil(PANEL);
    let mut transposed = Scratch::<F>::new(input_panels * PANEL * TRANSPOSE_BLOCK.min(outputs));
    for n0 in (0..outputs).step_by(TRANSPOSE_BLOCK) {
        let n = TRANSPOSE_BLOCK.min(outputs - n0);
        let pack = |(panel, out): (usize, &mut [F])| transpose_panel(weight, inputs, n0, n, panel, out);
        let parts = transposed[..input_panels * PANEL * n].chunks_exact_mut(PANEL * n).enumerate();
        if n * inputs < SERIAL_BELOW / 4 {
            parts.for_each(pack);
        } else {
            transposed[..input_panels * PANEL * n].par_chunks_exact_mut(PANEL * n).enumerate().for_each(pack);
        }
        let dx = SharedMut::new(dx);
        let transposed = &transposed[..];
        for_each(&tasks(m, input_panels, n), |(rows, panels)| {
            let columns = panels.start * PANEL..(panels.end * PANEL).min(inputs);
            // SAFETY: the lengths were asserted above; tasks cover disjoint parts of dx.
            unsafe {
                Product {
                    m: rows.len(),
                    n: columns.len(),
                    k: n,
                    a: dy.as_ptr().add(rows.start * outputs + n0),
                    a_row: outputs,
                    a_col: 1,
                    b: transposed.as_ptr().add(panels.start * PANEL * n),
                    b_panel: PANEL * n,
                    c: dx.at(rows.start * inputs + columns.start),
                    c_row: inputs,
                    c_panel: PANEL,
                    accumulate: n0 > 0,
                }
                .run();
            }
        });
    }
}

/// Writes rows `n0..n0 + n` of the weight's columns `panel * 16..` as one panel `[n][16]` (columns beyond `inputs` are zero).
fn transpose_panel<F: Float>(weight: &[F], inputs: usize, n0: usize, n: usize, panel: usize, out: &mut [F]) {
    let first = panel * PANEL;
    let columns = PANEL.min(inputs - first);
    if columns < PANEL {
        out.fill(F::ZERO);
    }
    for (i, chunk) in out.chunks_mut(PANEL * PANEL).enumerate() {
        let row0 = n0 + i * PANEL; // a multiple of PANEL, since n0 is
        let source = &weight[row0 * inputs + first * PANEL..row0 * inputs + (first + columns) * PANEL];
        for (j, row) in chunk.chunks_exact_mut(PANEL).enumerate() {
            for (c, value) in row[..columns].iter_mut().enumerate() {
                *value = source[c * PANEL + j];
            }
        }
    }
    debug_assert_eq!(out.len(), n * PANEL);
}

/// `dW += dy[m, out]^T * x[m, in]`, dW in panels of the outputs.
pub fn linear_backward_weight<F: Float>(m: usize, inputs: usize, outputs: usize, dy: &[F], x: &[F], dweight: &mut [F]) {
    assert!(x.len() >= m * inputs && dy.len() >= m * outputs && dweight.len() == panels_len(outputs, inputs));
    let dweight = SharedMut::new(dweight);
    // The output's rows are the layer's inputs, its columns the layer's outputs.
    for_each(&tasks(inputs, outputs.div_ceil(PANEL), m), |(rows, panels)| {
        let mut packed = Scratch::<F>::new(panels.len() * PANEL * K_BLOCK.min(m));
        for m0 in (0..m).step_by(K_BLOCK) {
            let k = K_BLOCK.min(m - m0);
            for (p, out) in panels.clone().zip(packed.chunks_exact_mut(PANEL * k)) {
                let columns = p * PANEL..((p + 1) * PANEL).min(outputs);
                for (i, row) in out.chunks_exact_mut(PANEL).enumerate() {
                    let source = &dy[(m0 + i) * outputs + columns.start..(m0 + i) * outputs + columns.end];
                    row[..source.len()].copy_from_slice(source);
                    row[source.len()..].fill(F::ZERO);
                }
            }
            // SAFETY: the lengths were asserted above; tasks cover disjoint parts of dW, whole panels of it (its padding gets zeros).
            unsafe {
                Product {
                    m: rows.len(),
                    n: panels.len() * PANEL,
                    k,
                    a: x.as_ptr().add(m0 * inputs + rows.start),
                    a_row: 1,
                    a_col: inputs,
                    b: packed.as_ptr(),
                    b_panel: PANEL * k,
                    c: dweight.at((panels.start * inputs + rows.start) * PANEL),
                    c_row: PANEL,
                    c_panel: PANEL * inputs,
                    accumulate: true,
                }
                .run();
            }
        }
    });
}

/// Runs the tasks, on the pool when there are several.
fn for_each<T: Sync>(tasks: &[T], run: impl Fn(&T) + Sync + Send) {
    match tasks {
        [one] => run(one),
        many => many.par_iter().for_each(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 2_654_435_761) % 2000) as f32 / 1000.0 - 1.0).collect()
    }

    fn naive(m: usize, n: usize, k: usize, a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|l| f64::from(a(i, l)) * f64::from(b(l, j))).sum();
            }
        }
        c
    }

    fn close(found: impl IntoIterator<Item = f64>, expected: &[f64], what: &str) {
        for (i, (f, e)) in found.into_iter().zip(expected).enumerate() {
            assert!((f - e).abs() < 2e-4 * (1.0 + e.abs()), "{what}: element {i} is {f}, expected {e}");
        }
    }

    #[test]
    fn products_agree_with_a_naive_loop() {
        for (m, inputs, outputs) in [(1, 3, 5), (1, 300, 130), (3, 17, 16), (13, 64, 33), (50, 520, 40), (130, 31, 1100), (700, 24, 48)] {
            let (x, w, dy) = (values(m * inputs, 1), values(inputs * outputs, 2), values(m * outputs, 3));
            let mut panels = vec![0.0f32; panels_len(outputs, inputs)];
            to_panels(outputs, inputs, &w, &mut panels);
            let what = format!("m {m}, in {inputs}, out {outputs}");

            let mut y = values(m * outputs, 4);
            let y0 = y.clone();
            linear_forward(m, inputs, outputs, &x, &panels, &mut y, true);
            let mut expected = naive(m, outputs, inputs, |i, l| x[i * inputs + l], |l, j| w[j * inputs + l]);
            expected.iter_mut().zip(&y0).for_each(|(e, y)| *e += f64::from(*y));
            close(y.iter().map(|v| f64::from(*v)), &expected, &what);

            let mut dx = vec![9.0f32; m * inputs];
            linear_backward_input(m, inputs, outputs, &dy, &panels, &mut dx);
            let expected = naive(m, inputs, outputs, |i, l| dy[i * outputs + l], |l, j| w[l * inputs + j]);
            close(dx.iter().map(|v| f64::from(*v)), &expected, &what);

            let mut dw = vec![0.0f32; panels.len()];
            linear_backward_weight(m, inputs, outputs, &dy, &x, &mut dw);
            let expected = naive(outputs, inputs, m, |i, l| dy[l * outputs + i], |l, j| x[l * inputs + j]);
            close(from_panels(0..outputs, inputs, &dw), &expected, &what);
        }
    }

    /// A row's result has the same bits alone, among 64, and on any number of threads.
    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let (inputs, outputs) = (600, 272);
        let (x, w) = (values(64 * inputs, 5), values(inputs * outputs, 6));
        let mut panels = vec![0.0f32; panels_len(outputs, inputs)];
        to_panels(outputs, inputs, &w, &mut panels);
        let all = |threads: usize, m: usize, first: usize| {
            let mut y = vec![0.0f32; m * outputs];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| linear_forward(m, inputs, outputs, &x[first * inputs..], &panels, &mut y, false));
            y
        };
        let reference = all(1, 64, 0);
        assert_eq!(all(3, 64, 0), reference);
        for (m, first) in [(1, 0), (1, 63), (2, 10), (5, 20), (13, 7), (40, 24)] {
            assert_eq!(all(2, m, first), reference[first * outputs..(first + m) * outputs], "{m} rows from {first}");
        }
    }
}
