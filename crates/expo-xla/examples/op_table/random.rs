//! Operations with drawn shapes and attributes, for what no list of cases thinks of.

use expo_xla::ElementType::S32;
use expo_xla::attention::Attention;
use expo_xla::graph::{DotDimensions, Graph, Literal, Reducer, Result, Value};
use expo_xla::head::{Head, Targets};

use super::cases::Case;

/// A small generator (SplitMix64): the same draws everywhere.
#[derive(Clone)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to below `high`.
    fn range(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low) as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn shape(&mut self, low: usize, high: usize) -> Vec<usize> {
        let rank = self.range(low, high);
        (0..rank).map(|_| self.range(1, 4)).collect()
    }

    fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut list: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            list.swap(i, self.range(0, i + 1));
        }
        list
    }

    /// Some of 0 to `count`, in a drawn order.
    fn some(&mut self, count: usize) -> Vec<usize> {
        let number = self.range(0, count + 1);
        self.permutation(count)[..number].to_vec()
    }

    fn integers(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| low + (self.next() % (high - low) as u64) as i64).collect()
    }
}

/// The case with this number.
pub fn case(number: u64) -> Case {
    let mut draw = Draw(number);
    let families = [dot, reduce, broadcast, reorder, slice, pad, concatenate, dynamic, gather, attention, head];
    let family = families[(number % families.len() as u64) as usize];
    let case = family(&mut draw);
    Case { name: format!("drawn {number}: {}", case.name), ..case }
}

fn one(name: String, shapes: Vec<Vec<usize>>, build: impl Fn(&mut Graph, &[Value]) -> Result<Value> + 'static) -> Case {
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    Case::one(&name, &shapes, build)
}

fn dot(draw: &mut Draw) -> Case {
    let (batch, summed) = (draw.range(0, 3), draw.range(0, 3));
    let sizes: Vec<usize> = (0..batch + summed).map(|_| draw.range(1, 4)).collect();
    let mut side = || {
        let free = draw.range(0, 3);
        let rank = batch + summed + free;
        let places = draw.permutation(rank);
        let mut shape = vec![0; rank];
        places.iter().enumerate().for_each(|(i, place)| shape[*place] = if i < sizes.len() { sizes[i] } else { draw.range(1, 4) });
        (shape, places[..batch].to_vec(), places[batch..batch + summed].to_vec())
    };
    let ((a, batch_a, sum_a), (b, batch_b, sum_b)) = (side(), side());
    let dims = DotDimensions { batch: [batch_a, batch_b], contracting: [sum_a, sum_b] };
    one(format!("dot_general {a:?} {b:?} {dims:?}"), vec![a, b], move |g, x| g.dot_general(x[0], x[1], &dims))
}

fn reduce(draw: &mut Draw) -> Case {
    let shape = draw.shape(1, 5);
    let (dimensions, reducer) = (draw.some(shape.len()), [Reducer::Add, Reducer::Maximum, Reducer::Minimum][draw.range(0, 3)]);
    one(format!("reduce {reducer:?} {shape:?} {dimensions:?}"), vec![shape], move |g, x| g.reduce(reducer, x[0], &dimensions))
}

fn broadcast(draw: &mut Draw) -> Case {
    let to = draw.shape(1, 5);
    let mut dimensions = draw.some(to.len());
    dimensions.sort_unstable();
    let shape: Vec<usize> = dimensions.iter().map(|d| if draw.coin() { 1 } else { to[*d] }).collect();
    one(format!("broadcast_in_dim {shape:?} {to:?} {dimensions:?}"), vec![shape], move |g, x| g.broadcast_in_dim(x[0], &to, &dimensions))
}

fn reorder(draw: &mut Draw) -> Case {
    let shape = draw.shape(1, 5);
    let (permutation, mirrored) = (draw.permutation(shape.len()), draw.some(shape.len()));
    let flat = vec![shape.iter().product()];
    one(format!("transpose, reverse, reshape {shape:?} {permutation:?} {mirrored:?}"), vec![shape], move |g, x| {
        let x = g.transpose(x[0], &permutation)?;
        let x = g.reverse(x, &mirrored)?;
        g.reshape(x, &flat)
    })
}

fn slice(draw: &mut Draw) -> Case {
    let shape: Vec<usize> = (0..draw.range(1, 4)).map(|_| draw.range(1, 7)).collect();
    let start: Vec<usize> = shape.iter().map(|s| draw.range(0, *s)).collect();
    let limit: Vec<usize> = shape.iter().zip(&start).map(|(size, from)| draw.range(from + 1, size + 1)).collect();
    let strides: Vec<usize> = shape.iter().map(|_| draw.range(1, 4)).collect();
    one(format!("slice {shape:?} {start:?} {limit:?} {strides:?}"), vec![shape], move |g, x| g.slice(x[0], &start, &limit, &strides))
}

fn pad(draw: &mut Draw) -> Case {
    let shape = draw.shape(0, 4);
    let [low, high, interior] = [0; 3].map(|_| shape.iter().map(|_| draw.range(0, 3)).collect::<Vec<_>>());
    one(format!("pad {shape:?} {low:?} {high:?} {interior:?}"), vec![shape, vec![]], move |g, x| g.pad(x[0], x[1], &low, &high, &interior))
}

fn concatenate(draw: &mut Draw) -> Case {
    let shape = draw.shape(1, 4);
    let dimension = draw.range(0, shape.len());
    let mut part = || {
        let mut shape = shape.clone();
        shape[dimension] = draw.range(1, 4);
        shape
    };
    let parts: Vec<Vec<usize>> = (0..3).map(|_| part()).collect();
    // One of them twice.
    one(format!("concatenate {parts:?} {dimension}"), parts, move |g, x| g.concatenate(&[x, &x[..1]].concat(), dimension))
}

fn dynamic(draw: &mut Draw) -> Case {
    let shape: Vec<usize> = (0..draw.range(1, 4)).map(|_| draw.range(1, 6)).collect();
    let sizes: Vec<usize> = shape.iter().map(|s| draw.range(1, s + 1)).collect();
    let at = draw.integers(shape.len(), -2, 8);
    let shapes = vec![shape.clone(), sizes.clone()];
    one(format!("dynamic_slice and dynamic_update_slice {shape:?} {sizes:?} {at:?}"), shapes, move |g, x| {
        let mut indices = vec![];
        for i in &at {
            indices.push(g.scalar(*i as f64, S32)?);
        }
        let slice = g.dynamic_slice(x[0], &indices, &sizes)?;
        let product = g.multiply(slice, x[1])?;
        g.dynamic_update_slice(x[0], product, &indices)
    })
}

fn gather(draw: &mut Draw) -> Case {
    let (n, m, width) = (draw.range(1, 6), draw.range(1, 12), draw.range(1, 4));
    let (from, to) = (draw.integers(m, -1, 8), draw.integers(m, -1, 8));
    one(format!("gather and scatter_add {from:?} {to:?} of {n}"), vec![vec![n, width], vec![m, width]], move |g, x| {
        let (from, to) = (g.integers(&from, &[m])?, g.integers(&to, &[m])?);
        let rows = g.gather(x[0], from)?;
        let rows = g.multiply(rows, x[1])?;
        g.scatter_add(n, to, rows)
    })
}

fn attention(draw: &mut Draw) -> Case {
    let (batch, length, kv_heads, group, size) = (draw.range(1, 3), draw.range(1, 9), draw.range(1, 3), draw.range(1, 4), draw.range(1, 4));
    let window = draw.coin().then(|| draw.range(1, 6));
    let options = Attention { scale: 0.7, window, block: draw.range(1, 6) };
    // Segments in any order: what is equal is together, wherever it lies.
    let segments = draw.integers(batch * length, -1, 3);
    let name = format!("attention {options:?} {segments:?} {kv_heads} x {group} heads");
    let (q, kv) = (vec![batch, length, kv_heads * group, size], vec![batch, length, kv_heads, size]);
    one(name, vec![q, kv.clone(), kv], move |g, x| {
        let segments = g.integers(&segments, &[batch, length])?;
        options.emit(g, x[0], x[1], x[2], segments)
    })
}

fn head(draw: &mut Draw) -> Case {
    let (rows, width, vocab, chunk) = (draw.range(1, 8), draw.range(1, 4), draw.range(1, 6), draw.range(1, 9));
    let tokens = draw.integers(rows, 0, vocab as i64);
    one(
        format!("head {rows} rows, vocabulary {vocab}, chunk {chunk}, {tokens:?}"),
        vec![vec![rows, width], vec![vocab, width]],
        move |g, x| {
            let tokens = g.integers(&tokens, &[rows])?;
            let temperatures =
                g.constant(Literal::Floats((0..rows).map(|i| 0.5 + 0.3 * i as f64).collect()), expo_xla::ElementType::F64, &[rows])?;
            let scores = Head { chunk }.scores(g, Targets { hidden: x[0], weight: x[1], tokens, temperatures })?;
            let square = g.multiply(scores.log_probs, scores.log_probs)?;
            g.add(square, scores.entropies)
        },
    )
}
