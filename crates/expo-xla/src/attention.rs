//! Causal attention in blocks, forward and backward: memory is linear in the length, since the scores of one pair of
//! blocks at a time exist (FlashAttention, arXiv 2205.14135, algorithm 1; FlashAttention-2, arXiv 2307.08691, for the
//! backward from the log-sum-exp).
//!
//! The pairs of a block of queries and a block of keys that causality and the window allow are listed when the
//! program is built, and one loop goes through the list: its trip count is fixed, and what the mask would remove
//! whole is never computed.

use crate::graph::{Asked, Binary, Direction, DotDimensions, ElementType, Error, Graph, Reducer, Result, Value, accumulator};

/// Stands for a score that is masked, and for the maximum of none: finite, so that differences of two are numbers.
const MASKED: f64 = -1e30;

/// How rows attend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Scores are multiplied by this.
    pub scale: f64,
    /// With W, a token sees itself and the W - 1 tokens before it.
    pub window: Option<usize>,
    /// Rows of a block. Scores of a block's square exist at once for every sequence and head.
    pub block: usize,
}

impl Attention {
    /// Causal attention of `q` `[batch, length, heads, size]` over `k` and `v` `[batch, length, kv_heads, size]`,
    /// within the segments of each row of `segments` `[batch, length]` (s32). Query head h reads key/value head `h /
    /// (heads / kv_heads)`. A negative segment is padding: it sees nothing, is seen by nothing, and gives zeros. The
    /// result `[batch, length, heads, size]` is f32 for bf16 operands.
    ///
    /// Errors: shapes that don't fit together; a block or window of 0.
    pub fn emit(&self, g: &mut Graph, q: Value, k: Value, v: Value, segments: Value) -> Result<Value> {
        let shape = self.check(g, q, k, v, segments)?;
        let Shape { batch, length, kv_heads, group, size, .. } = shape;
        let beyond = shape.padded() - length;
        // Heads before rows, so that products are plain ones; rows up to whole blocks.
        let q = g.reshape(q, &[batch, length, kv_heads, group, size])?;
        let q = g.transpose(q, &[0, 2, 3, 1, 4])?;
        let q = g.pad_high(q, 3, beyond, 0.0)?;
        let rows = |g: &mut Graph, x: Value| {
            let x = g.transpose(x, &[0, 2, 1, 3])?;
            g.pad_high(x, 2, beyond, 0.0)
        };
        let (k, v) = (rows(g, k)?, rows(g, v)?);
        let segments = g.pad_high(segments, 1, beyond, -1.0)?;
        let blocks = Blocks { options: *self, shape, segments };
        let (out, lse) = blocks.forward(g, q, k, v)?;
        let result = g.rule("attention", &[q, k, v], &[out], move |g, asked| blocks.backward(g, [q, k, v], out, lse, asked))?[0];
        let result = g.slice_in_dim(result, 3, 0, length)?;
        let result = g.transpose(result, &[0, 3, 1, 2, 4])?;
        g.reshape(result, &[batch, length, kv_heads * group, size])
    }

    fn check(&self, g: &Graph, q: Value, k: Value, v: Value, segments: Value) -> Result<Shape> {
        let fail = || {
            let [q, k, v, s] = [q, k, v, segments].map(|x| g.shape(x).to_string());
            let options = format!("block {}, window {:?}", self.block, self.window);
            Error::new(
                "attention",
                format!("q {q}, k {k}, v {v}, segments {s}, {options}: [batch, length, heads, size] by a whole number of heads each"),
            )
        };
        let &[batch, length, heads, size] = g.dims(q) else { return Err(fail()) };
        let &[_, _, kv_heads, _] = g.dims(k) else { return Err(fail()) };
        let fits = g.dims(k) == [batch, length, kv_heads, size]
            && g.shape(k) == g.shape(v)
            && g.element(q) == g.element(k)
            && g.element(q).is_float()
            && g.dims(segments) == [batch, length]
            && g.element(segments) == ElementType::S32
            && kv_heads > 0
            && heads.is_multiple_of(kv_heads)
            && length > 0
            && self.block > 0
            && self.window != Some(0);
        if !fits {
            return Err(fail());
        }
        let block = self.block.min(length);
        Ok(Shape { batch, length, kv_heads, group: heads / kv_heads, size, block })
    }
}

/// Sizes; `block` is at most the length.
#[derive(Debug, Clone, Copy)]
struct Shape {
    batch: usize,
    length: usize,
    kv_heads: usize,
    group: usize,
    size: usize,
    block: usize,
}

impl Shape {
    fn padded(&self) -> usize {
        self.length.next_multiple_of(self.block)
    }
}

/// One call's loops. Queries are `[batch, kv_heads, group, rows, size]`, keys and values `[batch, kv_heads, rows,
/// size]`.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    options: Attention,
    shape: Shape,
    segments: Value,
}

/// Where a trip's queries and keys begin, and which of them see each other.
struct Pair {
    queries: Value,
    keys: Value,
    /// `[batch, kv_heads, group, block, block]`
    mask: Value,
}

impl Blocks {
    /// First rows of the pairs that are not masked whole, in the order of the queries.
    fn pairs(&self) -> Vec<[i64; 2]> {
        let (block, count) = (self.shape.block, self.shape.padded() / self.shape.block);
        let first = |i: usize| self.options.window.map_or(0, |w| (i * block).saturating_sub(w - 1) / block);
        (0..count).flat_map(|i| (first(i)..=i).map(move |j| [(i * block) as i64, (j * block) as i64])).collect()
    }

    /// Goes through the pairs with carried values.
    fn each_pair(
        &self,
        g: &mut Graph,
        carried: &[Value],
        step: impl FnOnce(&mut Graph, &Pair, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let pairs = self.pairs();
        let table = g.integers(&pairs.concat(), &[pairs.len(), 2])?;
        g.while_loop(pairs.len(), carried, |g, trip, carried| {
            let pair = g.dynamic_index(table, trip)?;
            let start = |g: &mut Graph, i: usize| {
                let one = g.slice_in_dim(pair, 0, i, i + 1)?;
                g.reshape(one, &[])
            };
            let (queries, keys) = (start(g, 0)?, start(g, 1)?);
            let mask = self.mask(g, queries, keys)?;
            step(g, &Pair { queries, keys, mask }, carried)
        })
    }

    fn mask(&self, g: &mut Graph, queries: Value, keys: Value) -> Result<Value> {
        let Shape { batch, kv_heads, group, block, .. } = self.shape;
        let square = [block, block];
        let place = |g: &mut Graph, start: Value, dimension: usize| {
            let offset = g.iota(dimension, ElementType::S32, &square)?;
            let start = g.broadcast_in_dim(start, &square, &[])?;
            g.add(offset, start)
        };
        let (row, column) = (place(g, queries, 0)?, place(g, keys, 1)?);
        let mut seen = g.compare(Direction::Le, column, row)?;
        if let Some(window) = self.options.window {
            let distance = g.subtract(row, column)?;
            let near = g.compare_scalar(Direction::Lt, distance, window as f64)?;
            seen = g.and(seen, near)?;
        }
        let squares = [batch, block, block];
        let zero = g.scalar(0.0, ElementType::S32)?;
        let segment = |g: &mut Graph, start: Value, dimension: usize| {
            let list = g.dynamic_slice(self.segments, &[zero, start], &[batch, block])?;
            g.broadcast_in_dim(list, &squares, &[0, dimension])
        };
        let (mine, other) = (segment(g, queries, 1)?, segment(g, keys, 2)?);
        let same = g.compare(Direction::Eq, mine, other)?;
        let real = g.compare_scalar(Direction::Ge, mine, 0.0)?;
        let seen = g.broadcast_leading(seen, &squares)?;
        let seen = g.and(seen, same)?;
        let seen = g.and(seen, real)?;
        g.broadcast_in_dim(seen, &[batch, kv_heads, group, block, block], &[0, 3, 4])
    }

    /// Rows of a block of x, whose dimension `axis` is the rows.
    fn load(&self, g: &mut Graph, x: Value, axis: usize, start: Value) -> Result<Value> {
        let mut sizes = g.dims(x).to_vec();
        sizes[axis] = self.shape.block;
        let zero = g.scalar(0.0, ElementType::S32)?;
        let mut at = vec![zero; sizes.len()];
        at[axis] = start;
        g.dynamic_slice(x, &at, &sizes)
    }

    fn store(&self, g: &mut Graph, x: Value, axis: usize, start: Value, rows: Value) -> Result<Value> {
        let zero = g.scalar(0.0, ElementType::S32)?;
        let mut at = vec![zero; g.dims(x).len()];
        at[axis] = start;
        g.dynamic_update_slice(x, rows, &at)
    }

    /// Adds rows to a block of x.
    fn accumulate(&self, g: &mut Graph, x: Value, axis: usize, start: Value, rows: Value) -> Result<Value> {
        let old = self.load(g, x, axis, start)?;
        let sum = g.add(old, rows)?;
        self.store(g, x, axis, start, sum)
    }

    /// `scale q k^T` of a pair: `[batch, kv_heads, group, block, block]`.
    fn scores(&self, g: &mut Graph, q: Value, k: Value) -> Result<Value> {
        let scores = g.dot_general(q, k, &pairs_of([4], [3]))?;
        g.scale(scores, self.options.scale)
    }

    /// The output and each row's log-sum-exp.
    fn forward(&self, g: &mut Graph, q: Value, k: Value, v: Value) -> Result<(Value, Value)> {
        let element = g.element(q);
        let wide = accumulator(element);
        let shape = g.dims(q).to_vec();
        let zeros = g.full(0.0, wide, &shape)?;
        let sum = g.full(0.0, wide, &shape[..4])?;
        let maximum = g.full(MASKED, wide, &shape[..4])?;
        let done = self.each_pair(g, &[zeros, maximum, sum], |g, pair, carried| {
            let q = self.load(g, q, 3, pair.queries)?;
            let (k, v) = (self.load(g, k, 2, pair.keys)?, self.load(g, v, 2, pair.keys)?);
            let [out, old, sum] = [0, 1, 2].map(|i| self.load(g, carried[i], 3, pair.queries));
            let (out, old, sum) = (out?, old?, sum?);
            let scores = self.scores(g, q, k)?;
            let masked = g.full_like(MASKED, scores)?;
            let scores = g.select(pair.mask, scores, masked)?;
            let highest = g.reduce(Reducer::Maximum, scores, &[4])?;
            let new = g.maximum(old, highest)?;
            let p = exponential_of_difference(g, scores, new)?;
            let none = g.full_like(0.0, p)?;
            let p = g.select(pair.mask, p, none)?;
            let kept = exponential_of_difference(g, old, new)?;
            let row = g.sum(p, &[4])?;
            let sum = g.multiply(sum, kept)?;
            let sum = g.add(sum, row)?;
            let p = g.convert(p, element)?;
            let product = g.dot_general(p, v, &pairs_of([4], [2]))?;
            let kept = g.broadcast_trailing(kept, g.dims(out).to_vec().as_slice())?;
            let out = g.multiply(out, kept)?;
            let out = g.add(out, product)?;
            let rows = [out, new, sum];
            (0..3).map(|i| self.store(g, carried[i], 3, pair.queries, rows[i])).collect()
        })?;
        // A row that sees nothing has a sum of 0 and keeps its zeros.
        let empty = g.compare_scalar(Direction::Eq, done[2], 0.0)?;
        let one = g.full_like(1.0, done[2])?;
        let sum = g.select(empty, one, done[2])?;
        let by = g.broadcast_trailing(sum, &shape)?;
        let out = g.divide(done[0], by)?;
        let log = g.log(sum)?;
        Ok((out, g.add(done[1], log)?))
    }

    /// With p the probabilities, D = sum(dO * O) of each row: dV = p^T dO, dS = p (dO V^T - D), dQ = scale dS K, dK =
    /// scale dS^T Q.
    fn backward(&self, g: &mut Graph, [q, k, v]: [Value; 3], out: Value, lse: Value, asked: &Asked<'_>) -> Result<Vec<Option<Value>>> {
        let Some(ct) = asked.cotangents[0] else { return Ok(vec![None; 3]) };
        let element = g.element(q);
        let product = g.multiply(ct, out)?;
        let delta = g.sum(product, &[4])?;
        let ct = g.convert(ct, element)?;
        let mut zeros = vec![];
        for x in [q, k, v] {
            let shape = g.dims(x).to_vec();
            zeros.push(g.full(0.0, accumulator(element), &shape)?);
        }
        let done = self.each_pair(g, &zeros, |g, pair, carried| {
            let [q, ct, lse, delta] = [q, ct, lse, delta].map(|x| self.load(g, x, 3, pair.queries));
            let (q, ct, lse, delta) = (q?, ct?, lse?, delta?);
            let (k, v) = (self.load(g, k, 2, pair.keys)?, self.load(g, v, 2, pair.keys)?);
            let scores = self.scores(g, q, k)?;
            let p = exponential_of_difference(g, scores, lse)?;
            let none = g.full_like(0.0, p)?;
            let p = g.select(pair.mask, p, none)?;
            let dp = g.dot_general(ct, v, &pairs_of([4], [3]))?;
            let delta = g.broadcast_trailing(delta, g.dims(p).to_vec().as_slice())?;
            let centred = g.subtract(dp, delta)?;
            let ds = g.multiply(p, centred)?;
            let ds = g.with_scalar(Binary::Multiply, ds, self.options.scale)?;
            let (p, ds) = (g.convert(p, element)?, g.convert(ds, element)?);
            let dq = g.dot_general(ds, k, &pairs_of([4], [2]))?;
            let dk = g.dot_general(ds, q, &pairs_of([2, 3], [2, 3]))?;
            let dv = g.dot_general(p, ct, &pairs_of([2, 3], [2, 3]))?;
            Ok(vec![
                self.accumulate(g, carried[0], 3, pair.queries, dq)?,
                self.accumulate(g, carried[1], 2, pair.keys, dk)?,
                self.accumulate(g, carried[2], 2, pair.keys, dv)?,
            ])
        })?;
        Ok(done.into_iter().map(Some).collect())
    }
}

/// Products of each sequence and key/value head.
fn pairs_of<const N: usize>(left: [usize; N], right: [usize; N]) -> DotDimensions {
    DotDimensions { batch: [vec![0, 1], vec![0, 1]], contracting: [left.to_vec(), right.to_vec()] }
}

/// `exp(x - y)`, y repeated along x's last dimension where it lacks it.
fn exponential_of_difference(g: &mut Graph, x: Value, y: Value) -> Result<Value> {
    let shape = g.dims(x).to_vec();
    let y = g.broadcast_trailing(y, &shape)?;
    let difference = g.subtract(x, y)?;
    g.exponential(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_told() {
        let mut g = Graph::new();
        let q = g.parameter("q", ElementType::F32, &[1, 8, 3, 4]).unwrap();
        let k = g.parameter("k", ElementType::F32, &[1, 8, 2, 4]).unwrap();
        let segments = g.parameter("segments", ElementType::S32, &[1, 8]).unwrap();
        let options = Attention { scale: 1.0, window: None, block: 4 };
        let message = options.emit(&mut g, q, k, k, segments).unwrap_err().to_string();
        assert!(message.starts_with("attention: q 1x8x3x4xf32, k 1x8x2x4xf32, v 1x8x2x4xf32, segments 1x8xi32, block 4"), "{message}");
        assert!(Attention { window: Some(0), ..options }.emit(&mut g, k, k, k, segments).is_err());
        assert!(options.emit(&mut g, k, k, k, segments).is_ok());
    }

    #[test]
    fn pairs_that_the_mask_removes_are_not_computed() {
        let mut g = Graph::new();
        let segments = g.parameter("segments", ElementType::S32, &[1, 8]).unwrap();
        let shape = Shape { batch: 1, length: 8, kv_heads: 1, group: 1, size: 4, block: 2 };
        let pairs = |window| Blocks { options: Attention { scale: 1.0, window, block: 2 }, shape, segments }.pairs();
        assert_eq!(pairs(None).len(), 10);
        // Row 2 sees rows 1 and 2.
        assert_eq!(pairs(Some(2)), [[0, 0], [2, 0], [2, 2], [4, 2], [4, 4], [6, 4], [6, 6]]);
        assert_eq!(pairs(Some(1)), [[0, 0], [2, 2], [4, 4], [6, 6]]);
    }
}
