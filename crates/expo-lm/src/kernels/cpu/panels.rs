//! The layout of matrices: panels of sixteen rows.
//!
//! A weight of a linear layer, `[out, in]` in Hugging Face's layout, is kept as `ceil(out / 16)` panels of `[in][16]` (missing rows are zero): what the
//! matrix product's inner tile reads as it lies. Gradients and optimizer state have the same layout.

use std::ops::Range;

use super::float::Float;
use super::micro::PANEL;

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

/// Writes rows `n0..n0 + n` of the weight's columns `panel * 16..` as one panel `[n][16]` (columns beyond `inputs` are zero).
pub fn transpose_panel<F: Float>(weight: &[F], inputs: usize, n0: usize, n: usize, panel: usize, out: &mut [F]) {
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
