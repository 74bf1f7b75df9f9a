//! A decoder-only transformer from this crate's parts: RMSNorm, RoPE, grouped-query attention, SwiGLU, residuals,
//! head. For tests and measurements.

use expo_xla::ElementType::{self, S32};
use expo_xla::attention::Attention;
use expo_xla::graph::{Binary, Graph, Literal, Result, Value, accumulator};
use expo_xla::layers::{Keep, Layers};

/// Sizes and choices.
#[derive(Debug, Clone, Copy)]
pub struct Transformer {
    pub vocab: usize,
    pub width: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub size: usize,
    pub eps: f64,
    pub theta: f64,
    pub window: Option<usize>,
    pub block: usize,
    pub keep: Keep,
    /// What parameters are.
    pub element: ElementType,
    /// What products' operands are.
    pub operands: ElementType,
}

/// Parameters, the blocks' stacked.
#[derive(Debug, Clone)]
pub struct Parameters {
    pub embedding: Value,
    /// Norm, q/k/v, output, norm, gate/up, down.
    pub stacked: [Value; 6],
    pub norm: Value,
    pub head: Value,
}

impl Transformer {
    /// Names and dimensions of the parameters, in the order of [`Transformer::declare`].
    pub fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (d, l, q) = (self.width, self.layers, self.heads * self.size);
        vec![
            ("embedding", vec![self.vocab, d]),
            ("input_norm", vec![l, d]),
            ("qkv", vec![l, q + 2 * self.kv_heads * self.size, d]),
            ("o", vec![l, d, q]),
            ("post_norm", vec![l, d]),
            ("gate_up", vec![l, 2 * self.inner, d]),
            ("down", vec![l, d, self.inner]),
            ("norm", vec![d]),
            ("head", vec![self.vocab, d]),
        ]
    }

    pub fn declare(&self, g: &mut Graph) -> Result<(Vec<Value>, Parameters)> {
        let mut all = vec![];
        for (name, shape) in self.shapes() {
            all.push(g.parameter(name, self.element, &shape)?);
        }
        let stacked = [all[1], all[2], all[3], all[4], all[5], all[6]];
        Ok((all.clone(), Parameters { embedding: all[0], stacked, norm: all[7], head: all[8] }))
    }

    /// Normalised hidden rows `[batch * length, width]` of `tokens`, `positions` and `segments`, all `[batch,
    /// length]`.
    pub fn hidden(&self, g: &mut Graph, parameters: &Parameters, tokens: Value, positions: Value, segments: Value) -> Result<Value> {
        let shape = g.dims(tokens).to_vec();
        let (batch, length) = (shape[0], shape[1]);
        let flat = g.reshape(tokens, &[batch * length])?;
        let x = g.gather(parameters.embedding, flat)?;
        let x = g.reshape(x, &[batch, length, self.width])?;
        let (cosines, sines) = self.rope_tables(g, positions)?;
        let this = *self;
        let done = Layers { count: self.layers, keep: self.keep }
            .emit(g, &parameters.stacked, &[x], move |g, _, w, x| Ok(vec![this.block(g, w, x[0], segments, cosines, sines)?]))?;
        let hidden = self.norm(g, done[0], parameters.norm)?;
        g.reshape(hidden, &[batch * length, self.width])
    }

    fn block(&self, g: &mut Graph, w: &[Value], x: Value, segments: Value, cosines: Value, sines: Value) -> Result<Value> {
        let shape = g.dims(x).to_vec();
        let (batch, length) = (shape[0], shape[1]);
        let (q, kv) = (self.heads * self.size, self.kv_heads * self.size);
        let h = self.norm(g, x, w[0])?;
        let qkv = self.product(g, h, w[1])?;
        let heads = |g: &mut Graph, from: usize, count: usize| {
            let part = g.slice_in_dim(qkv, 2, from, from + count * self.size)?;
            g.reshape(part, &[batch, length, count, self.size])
        };
        let (queries, keys, values) = (heads(g, 0, self.heads)?, heads(g, q, self.kv_heads)?, heads(g, q + kv, self.kv_heads)?);
        let (queries, keys) = (self.rotate(g, queries, cosines, sines)?, self.rotate(g, keys, cosines, sines)?);
        let attention = Attention { scale: (self.size as f64).powf(-0.5), window: self.window, block: self.block };
        let (queries, keys, values) =
            (g.convert(queries, self.operands)?, g.convert(keys, self.operands)?, g.convert(values, self.operands)?);
        let out = attention.emit(g, queries, keys, values, segments)?;
        let out = g.reshape(out, &[batch, length, q])?;
        let out = self.product(g, out, w[2])?;
        let x = g.add(x, out)?;
        let h = self.norm(g, x, w[3])?;
        let gate_up = self.product(g, h, w[4])?;
        let (gate, up) = (g.slice_in_dim(gate_up, 2, 0, self.inner)?, g.slice_in_dim(gate_up, 2, self.inner, 2 * self.inner)?);
        let gate = g.silu(gate)?;
        let inner = g.multiply(gate, up)?;
        let down = self.product(g, inner, w[5])?;
        g.add(x, down)
    }

    fn product(&self, g: &mut Graph, x: Value, weight: Value) -> Result<Value> {
        let (x, weight) = (g.convert(x, self.operands)?, g.convert(weight, self.operands)?);
        g.linear(x, weight)
    }

    fn norm(&self, g: &mut Graph, x: Value, weight: Value) -> Result<Value> {
        let shape = g.dims(x).to_vec();
        let last = shape.len() - 1;
        let square = g.multiply(x, x)?;
        let sum = g.sum(square, &[last])?;
        let mean = g.scale(sum, 1.0 / self.width as f64)?;
        let mean = g.with_scalar(Binary::Add, mean, self.eps)?;
        let inverse = g.rsqrt(mean)?;
        let inverse = g.broadcast_trailing(inverse, &shape)?;
        let weight = g.broadcast_leading(weight, &shape)?;
        let scaled = g.multiply(x, inverse)?;
        g.multiply(scaled, weight)
    }

    /// Cosines and sines `[batch, length, size / 2]`.
    fn rope_tables(&self, g: &mut Graph, positions: Value) -> Result<(Value, Value)> {
        let element = accumulator(self.element);
        let shape = [g.dims(positions), &[self.size / 2]].concat();
        let frequencies = (0..self.size / 2).map(|i| self.theta.powf(-((2 * i) as f64) / self.size as f64)).collect();
        let frequencies = g.constant(Literal::Floats(frequencies), element, &[self.size / 2])?;
        let frequencies = g.broadcast_leading(frequencies, &shape)?;
        let positions = g.convert(positions, element)?;
        let positions = g.broadcast_trailing(positions, &shape)?;
        let angles = g.multiply(positions, frequencies)?;
        Ok((g.cosine(angles)?, g.sine(angles)?))
    }

    /// `x` is `[batch, length, heads, size]`; its two halves are rotated.
    fn rotate(&self, g: &mut Graph, x: Value, cosines: Value, sines: Value) -> Result<Value> {
        let shape = g.dims(x).to_vec();
        let half = self.size / 2;
        let halves = [shape[0], shape[1], shape[2], half];
        let (a, b) = (g.slice_in_dim(x, 3, 0, half)?, g.slice_in_dim(x, 3, half, self.size)?);
        let (cosines, sines) = (g.broadcast_in_dim(cosines, &halves, &[0, 1, 3])?, g.broadcast_in_dim(sines, &halves, &[0, 1, 3])?);
        let times = |g: &mut Graph, x: Value, y: Value| g.multiply(x, y);
        let (ac, bs, bc, as_) = (times(g, a, cosines)?, times(g, b, sines)?, times(g, b, cosines)?, times(g, a, sines)?);
        let (first, second) = (g.subtract(ac, bs)?, g.add(bc, as_)?);
        g.concatenate(&[first, second], 3)
    }
}

/// Declares whole-number inputs `[batch, length]`.
pub fn integers(g: &mut Graph, name: &str, shape: &[usize]) -> Result<Value> {
    g.parameter(name, S32, shape)
}
