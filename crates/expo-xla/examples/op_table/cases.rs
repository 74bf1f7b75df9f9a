//! One small program for each operation and each rule, in f64.

use expo_xla::ElementType::{F32, F64, S32, U32};
use expo_xla::attention::Attention;
use expo_xla::graph::{Binary, Direction, DotDimensions, Graph, Literal, Reducer, ReplicaGroups, Result, Unary, Value};
use expo_xla::head::{Head, Targets};
use expo_xla::layers::{Keep, Layers};

/// Builds the outputs from the inputs.
type Build = Box<dyn Fn(&mut Graph, &[Value]) -> Result<Vec<Value>>>;

/// A program with inputs drawn from ranges.
pub struct Case {
    /// The operation, and what is special.
    pub name: String,
    /// Dimensions, lower and upper bound of each f64 input.
    pub inputs: Vec<(Vec<usize>, f64, f64)>,
    /// Devices.
    pub replicas: usize,
    /// Whether it has a derivative.
    pub differentiable: bool,
    /// Step of the finite differences: large where a function is linear but rounds.
    pub step: f64,
    /// Most that a derivative may differ from finite differences.
    pub tolerance: f64,
    /// The program.
    pub build: Build,
}

impl Case {
    fn new(name: &str, inputs: &[(&[usize], f64, f64)], build: impl Fn(&mut Graph, &[Value]) -> Result<Vec<Value>> + 'static) -> Self {
        let inputs = inputs.iter().map(|(shape, low, high)| (shape.to_vec(), *low, *high)).collect();
        Self { name: name.into(), inputs, replicas: 1, differentiable: true, step: 3e-4, tolerance: 1e-9, build: Box::new(build) }
    }

    /// With one output, from inputs in [-1, 1].
    pub fn one(name: &str, shapes: &[&[usize]], build: impl Fn(&mut Graph, &[Value]) -> Result<Value> + 'static) -> Self {
        let inputs: Vec<_> = shapes.iter().map(|shape| (*shape, -1.0, 1.0)).collect();
        Self::new(name, &inputs, move |g, x| Ok(vec![build(g, x)?]))
    }

    fn value_only(self) -> Self {
        Self { differentiable: false, ..self }
    }

    fn on(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    [elementwise(), products(), rearranging(), indexed(), control(), collectives(), parts()].into_iter().flatten().collect()
}

fn elementwise() -> Vec<Case> {
    let mut cases = vec![];
    for op in Unary::ALL {
        let (low, high) = match op {
            Unary::Log | Unary::Sqrt | Unary::Rsqrt => (0.2, 3.0),
            Unary::LogPlusOne => (-0.8, 2.0),
            _ => (-2.1, 2.4),
        };
        let case = if op == Unary::Not {
            Case::one("not", &[&[7]], |g, x| {
                let positive = g.compare_scalar(Direction::Gt, x[0], 0.0)?;
                let negative = g.not(positive)?;
                g.convert(negative, F64)
            })
        } else {
            Case::new(op.name(), &[(&[7], low, high)], move |g, x| {
                let y = g.unary(op, x[0])?;
                Ok(vec![g.convert(y, F64)?])
            })
        };
        cases.push(if matches!(op, Unary::Not | Unary::IsFinite) { case.value_only() } else { case });
    }
    for op in Binary::ALL {
        let low = if op == Binary::Power { 0.2 } else { 0.3 };
        cases.push(if matches!(op, Binary::And | Binary::Or) {
            Case::one(op.name(), &[&[7], &[7]], move |g, x| {
                let (a, b) = (g.compare_scalar(Direction::Gt, x[0], 0.0)?, g.compare_scalar(Direction::Lt, x[1], 0.3)?);
                let both = g.binary(op, a, b)?;
                g.convert(both, F64)
            })
            .value_only()
        } else {
            Case::new(op.name(), &[(&[7], low, 2.0), (&[7], low + 0.11, 2.3)], move |g, x| Ok(vec![g.binary(op, x[0], x[1])?]))
        });
    }
    for direction in [Direction::Eq, Direction::Ne, Direction::Ge, Direction::Gt, Direction::Le, Direction::Lt] {
        cases.push(
            Case::one(&format!("compare {}", direction.name()), &[&[7], &[7]], move |g, x| {
                let rounded = [g.floor(x[0])?, g.floor(x[1])?];
                let found = g.compare(direction, rounded[0], rounded[1])?;
                g.convert(found, F64)
            })
            .value_only(),
        );
    }
    cases.push(Case::one("select", &[&[7], &[7]], |g, x| {
        let first = g.compare_scalar(Direction::Gt, x[0], 0.1)?;
        let product = g.multiply(x[0], x[1])?;
        g.select(first, product, x[1])
    }));
    let mut convert = Case::new("convert f64 to f32", &[(&[8], -4.0, 4.0)], |g, x| {
        let short = g.convert(x[0], F32)?;
        Ok(vec![g.convert(short, F64)?])
    });
    // The cotangent goes through f32 too.
    (convert.step, convert.tolerance) = (0.25, 1e-7);
    cases.push(convert);
    cases.push(
        Case::one("convert to integers", &[&[7]], |g, x| {
            let wide = g.scale(x[0], 10.0)?;
            let whole = g.convert(wide, S32)?;
            let twice = g.add(whole, whole)?;
            let positive = g.unary(Unary::Abs, twice)?;
            let unsigned = g.convert(positive, U32)?;
            g.convert(unsigned, F64)
        })
        .value_only(),
    );
    cases.push(Case::one("constant", &[&[2, 2]], |g, x| {
        let list = g.constant(Literal::Floats(vec![1.5, -0.25, 1e-3, 7.0]), F64, &[2, 2])?;
        g.multiply(x[0], list)
    }));
    cases.push(Case::one("iota", &[&[2, 3]], |g, x| {
        let (rows, columns) = (g.iota(0, F64, &[2, 3])?, g.iota(1, F64, &[2, 3])?);
        let sum = g.add(rows, columns)?;
        g.multiply(x[0], sum)
    }));
    cases
}

fn products() -> Vec<Case> {
    let dims = |batch: [&[usize]; 2], contracting: [&[usize]; 2]| DotDimensions {
        batch: batch.map(<[usize]>::to_vec),
        contracting: contracting.map(<[usize]>::to_vec),
    };
    let dot =
        |name: &str, a: &[usize], b: &[usize], dims: DotDimensions| Case::one(name, &[a, b], move |g, x| g.dot_general(x[0], x[1], &dims));
    let mut cases = vec![
        dot("dot_general", &[3, 4], &[4, 2], dims([&[], &[]], [&[1], &[0]])),
        dot("dot_general, batch", &[2, 3, 4], &[2, 5, 4], dims([&[0], &[0]], [&[2], &[2]])),
        dot("dot_general, batch dimensions inside", &[3, 2, 4], &[4, 5, 2], dims([&[1], &[2]], [&[2], &[0]])),
        dot("dot_general, two contracted crosswise", &[3, 4, 2], &[2, 5, 4], dims([&[], &[]], [&[1, 2], &[2, 0]])),
        dot("dot_general, outer product", &[3], &[2], dims([&[], &[]], [&[], &[]])),
        Case::one("linear", &[&[2, 3, 4], &[5, 4]], |g, x| g.linear(x[0], x[1])),
    ];
    for (name, reducer) in [("add", Reducer::Add), ("maximum", Reducer::Maximum), ("minimum", Reducer::Minimum)] {
        cases.push(Case::one(&format!("reduce {name}"), &[&[2, 3, 4]], move |g, x| g.reduce(reducer, x[0], &[0, 2])));
        cases.push(
            Case::one(&format!("reduce {name} of integers"), &[&[9]], move |g, x| {
                let wide = g.scale(x[0], 100.0)?;
                let whole = g.convert(wide, S32)?;
                let reduced = g.reduce(reducer, whole, &[0])?;
                g.convert(reduced, F64)
            })
            .value_only(),
        );
    }
    cases
}

fn rearranging() -> Vec<Case> {
    vec![
        Case::one("broadcast_in_dim", &[&[3, 1]], |g, x| g.broadcast_in_dim(x[0], &[2, 3, 4], &[1, 2])),
        Case::one("broadcast_in_dim of a scalar", &[&[]], |g, x| g.broadcast_in_dim(x[0], &[2, 3], &[])),
        Case::one("reshape", &[&[2, 6]], |g, x| g.reshape(x[0], &[3, 4])),
        Case::one("transpose", &[&[2, 3, 4]], |g, x| g.transpose(x[0], &[2, 0, 1])),
        Case::one("reverse", &[&[2, 3]], |g, x| g.reverse(x[0], &[1])),
        Case::one("slice", &[&[7, 4]], |g, x| g.slice(x[0], &[1, 0], &[6, 3], &[3, 2])),
        Case::one("dynamic_slice", &[&[5, 4]], |g, x| {
            // Beyond the end: clamped.
            let (row, column) = (g.scalar(9.0, S32)?, g.scalar(1.0, S32)?);
            g.dynamic_slice(x[0], &[row, column], &[2, 2])
        }),
        Case::one("dynamic_update_slice", &[&[5, 4], &[2, 2]], |g, x| {
            let (row, column) = (g.scalar(9.0, S32)?, g.scalar(1.0, S32)?);
            g.dynamic_update_slice(x[0], x[1], &[row, column])
        }),
        Case::one("concatenate", &[&[2, 3], &[2, 1], &[2, 2]], |g, x| g.concatenate(x, 1)),
        Case::one("pad", &[&[2, 3], &[]], |g, x| g.pad(x[0], x[1], &[1, 0], &[0, 2], &[2, 1])),
    ]
}

fn indexed() -> Vec<Case> {
    vec![
        Case::one("gather", &[&[4, 3]], |g, x| {
            let indices = g.integers(&[2, 0, 2, -5, 9], &[5])?;
            g.gather(x[0], indices)
        }),
        Case::one("scatter", &[&[4, 3], &[3, 3]], |g, x| {
            let indices = g.integers(&[2, 7, 0], &[3])?;
            g.scatter_unique(x[0], indices, x[1])
        }),
        Case::one("scatter_add", &[&[9, 2]], |g, x| {
            let indices = g.integers(&[2, 0, 2, 2, -5, 9, 2, 0, 2], &[9])?;
            g.scatter_add(4, indices, x[0])
        }),
        Case::one("scatter_add of one row", &[&[1, 2]], |g, x| {
            let indices = g.integers(&[3], &[1])?;
            g.scatter_add(4, indices, x[0])
        }),
        Case::one("sort", &[&[6]], |g, x| {
            let keys = g.integers(&[3, 1, 3, 0, 1, 3], &[6])?;
            let sorted = g.sort(keys, &[x[0]])?;
            let keys = g.convert(sorted[0], F64)?;
            g.add(keys, sorted[1])
        })
        .value_only(),
    ]
}

fn control() -> Vec<Case> {
    vec![
        Case::one("while", &[&[3], &[3]], |g, x| {
            let (x, other) = (x[0], x[1]);
            let done = g.while_loop(4, &[x], |g, trip, carried| {
                let number = g.convert(trip, F64)?;
                let number = g.broadcast_in_dim(number, &[3], &[])?;
                let sum = g.add(carried[0], number)?;
                Ok(vec![g.multiply(sum, other)?])
            })?;
            Ok(done[0])
        })
        .value_only(),
        Case::new("optimization_barrier", &[(&[3], -1.0, 1.0), (&[2], -1.0, 1.0)], |g, x| g.optimization_barrier(x)),
        Case::one("rule", &[&[3]], |g, x| {
            // A cube whose derivative is given by hand.
            let x = x[0];
            let square = g.multiply(x, x)?;
            let cube = g.multiply(square, x)?;
            let done = g.rule("cube", &[x], &[cube], move |g, asked| {
                let Some(ct) = asked.cotangents[0] else { return Ok(vec![None]) };
                let slope = g.scale(square, 3.0)?;
                Ok(vec![Some(g.multiply(ct, slope)?)])
            })?;
            Ok(done[0])
        }),
    ]
}

fn collectives() -> Vec<Case> {
    let pairs = || ReplicaGroups(vec![vec![0, 2], vec![3, 1]]);
    vec![
        Case::one("all_reduce", &[&[3]], |g, x| g.all_reduce(Reducer::Add, x[0], &ReplicaGroups::all(4))).on(4),
        Case::one("all_reduce, two groups", &[&[3]], move |g, x| g.all_reduce(Reducer::Add, x[0], &pairs())).on(4),
        Case::one("all_reduce maximum", &[&[3]], |g, x| g.all_reduce(Reducer::Maximum, x[0], &ReplicaGroups::all(4))).on(4).value_only(),
        Case::one("all_gather", &[&[2, 3]], move |g, x| g.all_gather(x[0], 1, &pairs())).on(4),
        Case::one("reduce_scatter", &[&[2, 4]], |g, x| g.reduce_scatter(Reducer::Add, x[0], 1, &ReplicaGroups::all(4))).on(4),
    ]
}

fn attention(name: &str, options: Attention, kv_heads: usize) -> Case {
    let (batch, length, heads, size) = (2, 7, 4, 3);
    let (q, kv) = ([batch, length, heads, size], [batch, length, kv_heads, size]);
    Case::one(name, &[&q, &kv, &kv], move |g, x| {
        let segments = g.integers(&[0, 0, 0, 1, 1, 1, 1, 5, 5, 5, 5, 5, 5, -1], &[2, 7])?;
        options.emit(g, x[0], x[1], x[2], segments)
    })
}

fn head(name: &str, chunk: usize, one_pass: bool) -> Case {
    let (rows, width, vocab) = (7, 3, 5);
    Case::new(name, &[(&[rows, width], -1.0, 1.0), (&[vocab, width], -2.0, 2.0)], move |g, x| {
        let tokens = g.integers(&[0, 4, 2, 2, 1, 3, 0], &[rows])?;
        let temperatures = g.constant(Literal::Floats(vec![1.0, 0.7, 1.0, 1.3, 1.0, 2.0, 1.0]), F64, &[rows])?;
        let targets = Targets { hidden: x[0], weight: x[1], tokens, temperatures };
        if !one_pass {
            let scores = Head { chunk }.scores(g, targets)?;
            return Ok(vec![scores.log_probs, scores.entropies]);
        }
        let weights = g.constant(Literal::Floats(vec![0.3, -1.0, 0.5, 2.0, 1.0, 0.25, -0.5]), F64, &[rows])?;
        let (loss, _) = Head { chunk }.token_loss(g, targets, &[weights], |g, scores, rows| {
            let ratio = g.exponential(scores.log_probs)?;
            let first = g.multiply(ratio, rows[0])?;
            let second = g.multiply(scores.entropies, scores.entropies)?;
            g.add(first, second)
        })?;
        Ok(vec![loss])
    })
}

fn layers(name: &str, keep: Keep) -> Case {
    let (count, width) = (3, 4);
    Case::one(name, &[&[2, width], &[count, width, width], &[count, width], &[width]], move |g, x| {
        let (shared, numbers) = (x[3], g.integers(&[1, 0], &[2])?);
        let done = Layers { count, keep }.emit(g, &x[1..3], &[x[0], numbers], move |g, _, parameters, x| {
            let product = g.linear(x[0], parameters[0])?;
            let wave = g.tanh(product)?;
            let gain = g.multiply(parameters[1], shared)?;
            let gain = g.broadcast_leading(gain, &[2, width])?;
            let scaled = g.multiply(wave, gain)?;
            let square = g.multiply(scaled, scaled)?;
            let sum = g.sum(square, &[1])?;
            let root = g.with_scalar(Binary::Add, sum, 0.5)?;
            let root = g.rsqrt(root)?;
            let root = g.broadcast_trailing(root, &[2, width])?;
            let new = g.multiply(scaled, root)?;
            // Whole numbers go along, and choose rows.
            let chosen = g.gather(new, x[1])?;
            Ok(vec![g.add(x[0], chosen)?, x[1]])
        })?;
        Ok(done[0])
    })
}

/// Layers of layers.
fn nested_layers(keep: Keep) -> Case {
    let width = 3;
    Case::one(&format!("layers, nested, {keep:?} kept"), &[&[2, width], &[2, 2, width, width]], move |g, x| {
        let done = Layers { count: 2, keep }.emit(g, &x[1..2], &x[..1], move |g, _, parameters, x| {
            let inner = Layers { count: 2, keep }.emit(g, parameters, x, move |g, index, parameters, x| {
                let product = g.linear(x[0], parameters[0])?;
                let wave = g.tanh(product)?;
                let number = g.convert(index, F64)?;
                let number = g.broadcast_in_dim(number, &[2, width], &[])?;
                let shifted = g.add(wave, number)?;
                Ok(vec![g.multiply(shifted, x[0])?])
            })?;
            let sine = g.sine(inner[0])?;
            Ok(vec![g.add(sine, x[0])?])
        })?;
        Ok(done[0])
    })
}

/// Layers whose parameters lie in parts on several devices, and are gathered layer by layer.
fn sharded_layers(keep: Keep) -> Case {
    let (count, width) = (3, 4);
    Case::one(&format!("layers, sharded, {keep:?} kept"), &[&[2, width], &[count, width / 4, width]], move |g, x| {
        let everyone = ReplicaGroups::all(4);
        let done = Layers { count, keep }.emit(g, &x[1..2], &x[..1], move |g, _, parameters, x| {
            let weight = g.all_gather(parameters[0], 0, &everyone)?;
            let product = g.linear(x[0], weight)?;
            let wave = g.tanh(product)?;
            Ok(vec![g.add(x[0], wave)?])
        })?;
        Ok(done[0])
    })
    .on(4)
}

fn parts() -> Vec<Case> {
    let plain = Attention { scale: 0.6, window: None, block: 3 };
    vec![
        attention("attention", plain, 2),
        attention("attention, one block", Attention { block: 64, ..plain }, 4),
        attention("attention, window", Attention { window: Some(2), block: 2, ..plain }, 1),
        head("head, scores", 3, false),
        head("head, one chunk", 64, false),
        head("head, one pass", 3, true),
        layers("layers, inputs kept", Keep::Inputs),
        layers("layers, products kept", Keep::Products),
        nested_layers(Keep::Inputs),
        nested_layers(Keep::Products),
        sharded_layers(Keep::Inputs),
        sharded_layers(Keep::Products),
    ]
}
