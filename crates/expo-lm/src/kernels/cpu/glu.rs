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

/// GELU by its tanh.
struct GeluTanh;

/// `2 sqrt(2 / pi)`
const SLOPE: f64 = 1.595_769_121_605_730_8;
const CUBIC: f64 = 0.044_715;

impl Gate for GeluTanh {
    #[inline(always)]
    fn inner<F: Float>(x: F) -> F {
        x * (x * x).mul_add(F::of(SLOPE * CUBIC), F::of(SLOPE))
    }
    #[inline(always)]
    fn slope<F: Float>(x: F) -> F {
        (x * x).mul_add(F::of(3.0 * SLOPE * CUBIC), F::of(SLOPE))
    }
}

/// `out[row, i] = activation(gate) * up`, where `gate_up` rows are `[gate | up]` of `2 * width`.
pub fn forward<F: Float>(activation: Activation, rows: usize, width: usize, gate_up: &[F], out: &mut [F]) {
    match activation {
        Activation::Silu => forward_of::<F, Silu>(rows, width, gate_up, out),
        Activation::GeluTanh => forward_of::<F, GeluTanh>(rows, width, gate_up, out),
    }
}

/// Backward of [`forward`]; `dgate_up` is overwritten.
pub fn backward<F: Float>(activation: Activation, rows: usize, width: usize, gate_up: &[F], dout: &[F], dgate_up: &mut [F]) {
    match activation {
        Activation::Silu => backward_of::<F, Silu>(rows, width, gate_up, dout, dgate_up),
        Activation::GeluTanh => backward_of::<F, GeluTanh>(rows, width, gate_up, dout, dgate_up),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// From where the sigmoid is 0 to where it is 1, more than a task's elements.
    fn values<F: Float>(count: usize) -> Vec<F> {
        (0..count).map(|i| F::of((i as f64 * 0.618_034).fract() * 24.0 - 12.0)).collect()
    }

    /// The activations as their papers have them.
    fn expected(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        }
    }

    #[test]
    fn activations_are_those_of_their_papers() {
        let (rows, width) = (70, 261);
        for activation in Activation::ALL {
            let gate_up = values::<f32>(rows * 2 * width);
            let mut out = vec![0.0; rows * width];
            forward(activation, rows, width, &gate_up, &mut out);
            for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact(width)) {
                for i in 0..width {
                    let expected = expected(activation, f64::from(row[i])) * f64::from(row[width + i]);
                    assert!(
                        (f64::from(out[i]) - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
                        "{activation:?}({}) = {}",
                        row[i],
                        out[i]
                    );
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (rows, width, h) = (3, 37, 1e-6);
        for activation in Activation::ALL {
            let mut gate_up = values::<f64>(rows * 2 * width);
            let dout: Vec<f64> = (0..rows * width).map(|i| (i % 7) as f64 - 2.5).collect();
            let mut found = vec![f64::NAN; rows * 2 * width];
            backward(activation, rows, width, &gate_up, &dout, &mut found);
            for (i, found) in found.into_iter().enumerate() {
                let mut at = |shift: f64| {
                    let (old, mut out) = (gate_up[i], vec![0.0; rows * width]);
                    gate_up[i] = old + shift;
                    forward(activation, rows, width, &gate_up, &mut out);
                    gate_up[i] = old;
                    out.iter().zip(&dout).map(|(o, d)| o * d).sum::<f64>()
                };
                let expected = (at(h) - at(-h)) / (2.0 * h);
                assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{activation:?} [{i}]: {found}, expected {expected}");
            }
        }
    }

    /// Far outside of any model's range nothing becomes NaN.
    #[test]
    fn large_gates_are_finite() {
        for activation in Activation::ALL {
            let gate_up = [-1e6f32, -300.0, 300.0, 1e6, 1.0, 1.0, 1.0, 1.0];
            let (mut out, mut d) = ([0f32; 4], [0f32; 8]);
            forward(activation, 1, 4, &gate_up, &mut out);
            backward(activation, 1, 4, &gate_up, &[1.0; 4], &mut d);
            assert!(out[..2].iter().all(|v| v.abs() < 1e-20) && out[2..] == [300.0, 1e6], "{activation:?}: {out:?}");
            assert!(d[..2].iter().all(|v| v.abs() < 1e-15) && d[2..4] == [1.0, 1.0], "{activation:?}: {d:?}");
        }
    }
}
