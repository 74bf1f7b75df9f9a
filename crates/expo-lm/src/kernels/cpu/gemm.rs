//! The products of linear layers: weights in panels, activations row-major.
//!
//! The forward product reads the weight as it lies, with no packing, for one row (decoding) as for thousands.

use std::ops::Range;

use rayon::prelude::*;

use super::float::{Float, Scratch};
use super::micro::{PANEL, TILE_ROWS, panels_for};
use super::panels::{panels_len, transpose_panel};
use super::product::{K_BLOCK, Product, ROW_BLOCK, SharedMut};

/// Rows of the weight that `backward_input` transposes at once.
const TRANSPOSE_BLOCK: usize = 4 * K_BLOCK;

/// Products of fewer multiply-adds run on the calling thread: waking others would cost more.
const SERIAL_BELOW: usize = 1 << 19;

/// The columns that a linear layer has within a wider row-major matrix: from `first` on, in rows of `stride` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// First column.
    pub first: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl Columns {
    /// All columns of a matrix of `width` columns.
    pub fn whole(width: usize) -> Self {
        Self { first: 0, stride: width }
    }

    /// Whether `m` rows of `width` of these columns lie within `len` elements.
    fn fit(self, m: usize, width: usize, len: usize) -> bool {
        self.first + width <= self.stride && len >= m * self.stride
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

/// `y[m, out] (+)= x[m, in] * W^T`, W in panels; `to` says where y's columns lie.
pub fn linear_forward<F: Float>(
    m: usize,
    inputs: usize,
    outputs: usize,
    x: &[F],
    weight: &[F],
    y: &mut [F],
    to: Columns,
    accumulate: bool,
) {
    assert!(x.len() >= m * inputs && to.fit(m, outputs, y.len()) && weight.len() == panels_len(outputs, inputs));
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
                c: y.at(rows.start * to.stride + to.first + columns.start),
                c_row: to.stride,
                c_panel: PANEL,
                accumulate,
            }
            .run();
        }
    };
    for_each(&tasks(m, outputs.div_ceil(PANEL), inputs), run);
}

/// `dx[m, in] (+)= dy[m, out] * W`, W in panels of the outputs; `from` says where dy's columns lie.
pub fn linear_backward_input<F: Float>(
    m: usize,
    inputs: usize,
    outputs: usize,
    dy: &[F],
    from: Columns,
    weight: &[F],
    dx: &mut [F],
    accumulate: bool,
) {
    assert!(dx.len() >= m * inputs && from.fit(m, outputs, dy.len()) && weight.len() == panels_len(outputs, inputs));
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
                    a: dy.as_ptr().add(rows.start * from.stride + from.first + n0),
                    a_row: from.stride,
                    a_col: 1,
                    b: transposed.as_ptr().add(panels.start * PANEL * n),
                    b_panel: PANEL * n,
                    c: dx.at(rows.start * inputs + columns.start),
                    c_row: inputs,
                    c_panel: PANEL,
                    accumulate: accumulate || n0 > 0,
                }
                .run();
            }
        });
    }
}

/// The cut of a weight's gradient of `rows` (the layer's inputs) x `panels`: every task packs its rows of one operand and its panels of the other, so of
/// the cuts into as many tasks the one is taken that packs least.
fn weight_tasks(rows: usize, panels: usize, k: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let threads = rayon::current_num_threads();
    if threads == 1 || rows * panels * PANEL * k < SERIAL_BELOW {
        return vec![(0..rows, 0..panels)];
    }
    let wanted = 2 * threads;
    let packed = |row_tasks: &usize| rows * wanted.div_ceil(*row_tasks) + panels * PANEL * row_tasks;
    let row_tasks = (1..=wanted).filter(|r| wanted.is_multiple_of(*r)).min_by_key(packed).unwrap_or(1);
    let row_chunk = rows.div_ceil(row_tasks).next_multiple_of(TILE_ROWS);
    let panel_chunk = panels.div_ceil(wanted / row_tasks).next_multiple_of(2);
    let starts = (0..rows).step_by(row_chunk).flat_map(|r| (0..panels).step_by(panel_chunk).map(move |p| (r, p)));
    starts.map(|(r, p)| (r..(r + row_chunk).min(rows), p..(p + panel_chunk).min(panels))).collect()
}

/// `dW += dy[m, out]^T * x[m, in]`, dW in panels of the outputs; `from` says where dy's columns lie.
pub fn linear_backward_weight<F: Float>(m: usize, inputs: usize, outputs: usize, dy: &[F], from: Columns, x: &[F], dweight: &mut [F]) {
    assert!(x.len() >= m * inputs && from.fit(m, outputs, dy.len()) && dweight.len() == panels_len(outputs, inputs));
    let dweight = SharedMut::new(dweight);
    // The output's rows are the layer's inputs, its columns the layer's outputs.
    for_each(&weight_tasks(inputs, outputs.div_ceil(PANEL), m), |(rows, panels)| {
        let mut packed = Scratch::<F>::new(panels.len() * PANEL * K_BLOCK.min(m));
        for m0 in (0..m).step_by(K_BLOCK) {
            let k = K_BLOCK.min(m - m0);
            for (p, out) in panels.clone().zip(packed.chunks_exact_mut(PANEL * k)) {
                let columns = p * PANEL..((p + 1) * PANEL).min(outputs);
                for (i, row) in out.chunks_exact_mut(PANEL).enumerate() {
                    let source = &dy[(m0 + i) * from.stride + from.first..][columns.clone()];
                    // A whole row of known length is copied in registers.
                    if let Ok(source) = <&[F; PANEL]>::try_from(source) {
                        row.copy_from_slice(source);
                    } else {
                        row[..source.len()].copy_from_slice(source);
                        row[source.len()..].fill(F::ZERO);
                    }
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
    use super::super::panels::{from_panels, to_panels};
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
            if cfg!(miri) && m * inputs * outputs > 3_000 {
                // Would take it hours.
                continue;
            }
            let (x, w, dy) = (values(m * inputs, 1), values(inputs * outputs, 2), values(m * outputs, 3));
            let mut panels = vec![0.0f32; panels_len(outputs, inputs)];
            to_panels(outputs, inputs, &w, &mut panels);
            let what = format!("m {m}, in {inputs}, out {outputs}");

            let mut y = values(m * outputs, 4);
            let y0 = y.clone();
            linear_forward(m, inputs, outputs, &x, &panels, &mut y, Columns::whole(outputs), true);
            let mut expected = naive(m, outputs, inputs, |i, l| x[i * inputs + l], |l, j| w[j * inputs + l]);
            expected.iter_mut().zip(&y0).for_each(|(e, y)| *e += f64::from(*y));
            close(y.iter().map(|v| f64::from(*v)), &expected, &what);

            let mut dx = vec![9.0f32; m * inputs];
            linear_backward_input(m, inputs, outputs, &dy, Columns::whole(outputs), &panels, &mut dx, false);
            let expected = naive(m, inputs, outputs, |i, l| dy[i * outputs + l], |l, j| w[l * inputs + j]);
            close(dx.iter().map(|v| f64::from(*v)), &expected, &what);

            let mut dw = vec![0.0f32; panels.len()];
            linear_backward_weight(m, inputs, outputs, &dy, Columns::whole(outputs), &x, &mut dw);
            let expected = naive(outputs, inputs, m, |i, l| dy[l * outputs + i], |l, j| x[l * inputs + j]);
            close(from_panels(0..outputs, inputs, &dw), &expected, &what);
        }
    }

    /// A row's result has the same bits alone, among 64, and on any number of threads.
    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        // Miri takes a millionth of the speed.
        let (inputs, outputs) = if cfg!(miri) { (20, 40) } else { (600, 272) };
        let (x, w) = (values(64 * inputs, 5), values(inputs * outputs, 6));
        let mut panels = vec![0.0f32; panels_len(outputs, inputs)];
        to_panels(outputs, inputs, &w, &mut panels);
        let all = |threads: usize, m: usize, first: usize| {
            let mut y = vec![0.0f32; m * outputs];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| linear_forward(m, inputs, outputs, &x[first * inputs..], &panels, &mut y, Columns::whole(outputs), false));
            y
        };
        let reference = all(1, 64, 0);
        assert_eq!(all(3, 64, 0), reference);
        for (m, first) in [(1, 0), (1, 63), (2, 10), (5, 20), (13, 7), (40, 24)] {
            assert_eq!(all(2, m, first), reference[first * outputs..(first + m) * outputs], "{m} rows from {first}");
        }
    }
}
