//! Gated units (arXiv 2002.05202): an activation of the gate times the other projection, one pass over memory each way.
//!
//! Every activation is `x * sigmoid(u(x))`, so one loop serves them all; each is compiled with its own `u`.

use super::float::Float;
use super::product::SharedMut;
use super::rows::{for_row_ranges, vectorized};
use crate::models::Activation;

/// What is particular to an activation.
trait Gate {
    /// `u(x)`.
    fn inner<F: Float>(x: F) -> F;
    /// `u'(x)`.
    fn slope<F: Float>(x: F) -> F;
}

/// SiLU.
struct Silu;

impl Gate for Silu {
    #[inline(always)]
    fn inner<F: Float>(x: F) -> F {
        x
    }
    #[inline(always)]
    fn slope<F: Float>(_: F) -> F {
        F::ONE
    }
}

/// `out[row, i] = activation(gate) * up`, where `gate_up` rows are `[gate | up]` of `2 * width`.
pub fn forward<F: Float>(activation: Activation, rows: usize, width: usize, gate_up: &[F], out: &mut [F]) {
    match activation {
        Activation::Silu => forward_of::<F, Silu>(rows, width, gate_up, out),
    }
}

/// Backward of [`forward`]; `dgate_up` is overwritten.
pub fn backward<F: Float>(activation: Activation, rows: usize, width: usize, gate_up: &[F], dout: &[F], dgate_up: &mut [F]) {
    match activation {
        Activation::Silu => backward_of::<F, Silu>(rows, width, gate_up, dout, dgate_up),
    }
}

fn forward_of<F: Float, G: Gate>(rows: usize, width: usize, gate_up: &[F], out: &mut [F]) {
    assert!(gate_up.len() >= rows * 2 * width && out.len() >= rows * width);
    let out = SharedMut::new(out);
    for_row_ranges(rows, 2 * width, |range| {
        vectorized(
            #[inline(always)]
            || {
                for row in range {
                    let (gate, up) = gate_up[row * 2 * width..(row + 1) * 2 * width].split_at(width);
                    // SAFETY: the length was asserted; each row belongs to one task.
                    let out = unsafe { std::slice::from_raw_parts_mut(out.at(row * width), width) };
                    for ((o, g), u) in out.iter_mut().zip(gate).zip(up) {
                        *o = *g / (F::ONE + (-G::inner(*g)).exp()) * *u;
                    }
                }
            },
        )
    });
}

fn backward_of<F: Float, G: Gate>(rows: usize, width: usize, gate_up: &[F], dout: &[F], dgate_up: &mut [F]) {
    assert!(gate_up.len() >= rows * 2 * width && dout.len() >= rows * width && dgate_up.len() >= rows * 2 * width);
    let dgate_up = SharedMut::new(dgate_up);
    for_row_ranges(rows, 2 * width, |range| {
        vectorized(
            #[inline(always)]
            || {
                for row in range {
                    let (gate, up) = gate_up[row * 2 * width..(row + 1) * 2 * width].split_at(width);
                    let dout = &dout[row * width..(row + 1) * width];
                    // SAFETY: the length was asserted; each row belongs to one task.
                    let d = unsafe { std::slice::from_raw_parts_mut(dgate_up.at(row * 2 * width), 2 * width) };
                    let (dgate, dup) = d.split_at_mut(width);
                    for i in 0..width {
                        let sigmoid = F::ONE / (F::ONE + (-G::inner(gate[i])).exp());
                        let value = gate[i] * sigmoid;
                        dup[i] = dout[i] * value;
                        dgate[i] = dout[i] * up[i] * (sigmoid + value * (F::ONE - sigmoid) * G::slope(gate[i]));
                    }
                }
            },
        )
    });
}
