//! The meaning of every operation in plain Rust: slow, without a plugin, for tests.

use std::collections::HashMap;

use super::op::{Binary, Direction, DotDimensions, Op, Reducer, ReplicaGroups, Unary};
use super::{BlockId, ElementType, Error, Graph, Literal, OpData, Result, Shape, Value};

/// A tensor on the host. Elements are held as f64, rounded to their type.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Element type and dimensions.
    pub shape: Shape,
    /// Elements, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// A tensor of these elements. Errors: not as many as the shape says.
    pub fn new(element: ElementType, dimensions: &[usize], data: Vec<f64>) -> Result<Self> {
        let shape = Shape::new(element, dimensions);
        if shape.elements() != Some(data.len()) {
            return Err(Error::new("evaluate", format!("{} elements are no {shape}", data.len())));
        }
        Ok(Self::rounded(shape, data))
    }

    fn rounded(shape: Shape, mut data: Vec<f64>) -> Self {
        let element = shape.element;
        data.iter_mut().for_each(|x| *x = round(*x, element));
        Self { shape, data }
    }

    /// Elements by their indices.
    fn by(shape: Shape, mut element: impl FnMut(&[usize]) -> f64) -> Self {
        let dimensions = shape.dimensions.clone();
        let count: usize = dimensions.iter().product();
        let mut at = vec![0; dimensions.len()];
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(element(&at));
            for d in (0..at.len()).rev() {
                at[d] += 1;
                if at[d] < dimensions[d] {
                    break;
                }
                at[d] = 0;
            }
        }
        Self::rounded(shape, data)
    }

    fn at(&self, index: &[usize]) -> f64 {
        self.data[self.offset(index)]
    }

    fn offset(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.shape.dimensions).fold(0, |offset, (i, size)| offset * size + i)
    }

    /// Where a slice of `sizes` at indices that may lie outside begins.
    fn start(&self, indices: &[&Self], sizes: &[usize]) -> Vec<usize> {
        let clamped = |((index, size), of): ((&&Self, &usize), &usize)| (index.data[0].max(0.0) as usize).min(of - size);
        indices.iter().zip(sizes).zip(&self.shape.dimensions).map(clamped).collect()
    }
}

fn round(x: f64, element: ElementType) -> f64 {
    match element {
        ElementType::F64 => x,
        ElementType::F32 => f64::from(x as f32),
        ElementType::Bf16 => half::bf16::from_f64(x).to_f64(),
        ElementType::F16 => half::f16::from_f64(x).to_f64(),
        ElementType::Pred => f64::from(u8::from(x != 0.0)),
        _ => x.trunc(),
    }
}

impl Graph {
    /// The values of `outputs` for inputs `[replica][parameter]`: `[replica][output]`.
    ///
    /// Errors: inputs that don't fit the parameters; a custom call, whose meaning is not known here.
    pub fn evaluate(&self, inputs: &[Vec<Array>], outputs: &[Value]) -> Result<Vec<Vec<Array>>> {
        let mut graph = self.clone();
        graph.block_mut(BlockId(0)).results = outputs.to_vec();
        graph.clean(BlockId(0));
        let parameters = &graph.blocks[0].arguments;
        let fits =
            |list: &Vec<Array>| list.len() == parameters.len() && list.iter().zip(parameters).all(|(a, p)| a.shape == *self.shape(*p));
        if inputs.len() != self.replicas || !inputs.iter().all(fits) {
            return Err(Error::new("evaluate", "the inputs don't fit the parameters"));
        }
        let arguments = (0..parameters.len()).map(|p| inputs.iter().map(|list| list[p].clone()).collect()).collect();
        let results = graph.run(BlockId(0), arguments)?;
        Ok((0..self.replicas).map(|r| results.iter().map(|values| values[r].clone()).collect()).collect())
    }

    /// `[value][replica]`, of arguments and of results.
    fn run(&self, block: BlockId, arguments: Vec<Vec<Array>>) -> Result<Vec<Vec<Array>>> {
        let block = &self.blocks[block.0 as usize];
        let mut known: HashMap<Value, Vec<Array>> = block.arguments.iter().copied().zip(arguments).collect();
        for id in &block.ops {
            let data = self.data(*id);
            let operands: Vec<&Vec<Array>> = data.operands.iter().map(|v| &known[v]).collect();
            let results = match (&data.op, data.body) {
                (Op::While(trips), Some(body)) => {
                    let mut carried: Vec<Vec<Array>> = operands.into_iter().cloned().collect();
                    for _ in 0..*trips {
                        carried = self.run(body, carried)?;
                    }
                    carried
                }
                (Op::AllReduce(..) | Op::AllGather(..) | Op::ReduceScatter(..), _) => vec![self.collective(data, operands[0])],
                _ => {
                    let mut results = vec![vec![]; data.results.len()];
                    for r in 0..self.replicas {
                        let one: Vec<&Array> = operands.iter().map(|o| &o[r]).collect();
                        for (list, array) in results.iter_mut().zip(self.local(data, &one)?) {
                            list.push(array);
                        }
                    }
                    results
                }
            };
            known.extend(data.results.iter().copied().zip(results));
        }
        Ok(block.results.iter().map(|v| known[v].clone()).collect())
    }

    fn collective(&self, data: &OpData, x: &[Array]) -> Vec<Array> {
        let shape = self.shape(data.results[0]).clone();
        let members = |groups: &ReplicaGroups, r: usize| groups.0.iter().find(|g| g.contains(&r)).cloned().unwrap_or_default();
        let one = |r: usize| match &data.op {
            Op::AllGather(dimension, groups) => {
                let members = members(groups, r);
                let size = x[0].shape.dimensions[*dimension];
                Array::by(shape.clone(), |at| {
                    let mut from = at.to_vec();
                    from[*dimension] %= size;
                    x[members[at[*dimension] / size]].at(&from)
                })
            }
            Op::AllReduce(reducer, groups) | Op::ReduceScatter(reducer, _, groups) => {
                let members = members(groups, r);
                let place = members.iter().position(|m| *m == r).unwrap_or_default();
                Array::by(shape.clone(), |at| {
                    let mut from = at.to_vec();
                    if let Op::ReduceScatter(_, dimension, _) = &data.op {
                        from[*dimension] += place * shape.dimensions[*dimension];
                    }
                    reduced(*reducer, members.iter().map(|m| x[*m].at(&from)))
                })
            }
            _ => x[r].clone(),
        };
        (0..x.len()).map(one).collect()
    }

    fn local(&self, data: &OpData, x: &[&Array]) -> Result<Vec<Array>> {
        if let Op::OptimizationBarrier = data.op {
            return Ok(x.iter().map(|a| (*a).clone()).collect());
        }
        let shape = self.shape(data.results[0]).clone();
        let result = match &data.op {
            Op::Constant(Literal::Splat(value)) => Array::by(shape, |_| *value),
            Op::Constant(Literal::Integers(list)) => Array::rounded(shape, list.iter().map(|v| *v as f64).collect()),
            Op::Constant(Literal::Floats(list)) => Array::rounded(shape, list.clone()),
            Op::Iota(dimension) => Array::by(shape, |at| at[*dimension] as f64),
            Op::Unary(op) => Array::rounded(shape, x[0].data.iter().map(|v| unary(*op, *v, x[0].shape.element)).collect()),
            Op::Binary(op) => Array::rounded(shape, pairs(x).map(|(a, b)| binary(*op, a, b)).collect()),
            Op::Compare(direction) => {
                Array::rounded(shape, pairs(x).map(|(a, b)| f64::from(u8::from(compare(*direction, a, b)))).collect())
            }
            Op::Select => {
                let chosen = (0..x[0].data.len()).map(|i| if x[0].data[i] != 0.0 { x[1].data[i] } else { x[2].data[i] });
                Array::rounded(shape, chosen.collect())
            }
            Op::Convert => Array::rounded(shape, x[0].data.clone()),
            Op::DotGeneral(dimensions, _) => dot(shape, dimensions, x[0], x[1]),
            Op::Reduce(reducer, dimensions) => reduce(shape, *reducer, dimensions, x[0]),
            Op::BroadcastInDim(dimensions) => Array::by(shape, |at| {
                let one = |(d, size): (&usize, &usize)| if *size == 1 { 0 } else { at[*d] };
                x[0].at(&dimensions.iter().zip(&x[0].shape.dimensions).map(one).collect::<Vec<_>>())
            }),
            Op::Reshape => Array { shape, data: x[0].data.clone() },
            Op::Transpose(permutation) => Array::by(shape, |at| {
                let mut from = vec![0; at.len()];
                permutation.iter().zip(at).for_each(|(d, i)| from[*d] = *i);
                x[0].at(&from)
            }),
            Op::Reverse(dimensions) => Array::by(shape, |at| {
                let mut from = at.to_vec();
                dimensions.iter().for_each(|d| from[*d] = x[0].shape.dimensions[*d] - 1 - at[*d]);
                x[0].at(&from)
            }),
            Op::Slice([start, _, strides]) => {
                Array::by(shape, |at| x[0].at(&(0..at.len()).map(|d| start[d] + at[d] * strides[d]).collect::<Vec<_>>()))
            }
            Op::DynamicSlice(sizes) => {
                let start = x[0].start(&x[1..], sizes);
                Array::by(shape, |at| x[0].at(&at.iter().zip(&start).map(|(i, s)| i + s).collect::<Vec<_>>()))
            }
            Op::DynamicUpdateSlice => {
                let sizes = &x[1].shape.dimensions;
                let start = x[0].start(&x[2..], sizes);
                Array::by(shape, |at| {
                    let inside = (0..at.len()).all(|d| (start[d]..start[d] + sizes[d]).contains(&at[d]));
                    if !inside {
                        return x[0].at(at);
                    }
                    x[1].at(&at.iter().zip(&start).map(|(i, s)| i - s).collect::<Vec<_>>())
                })
            }
            Op::Concatenate(dimension) => Array::by(shape, |at| {
                let mut from = at.to_vec();
                for part in x {
                    let size = part.shape.dimensions[*dimension];
                    if from[*dimension] < size {
                        return part.at(&from);
                    }
                    from[*dimension] -= size;
                }
                f64::NAN
            }),
            Op::Pad([low, _, interior]) => Array::by(shape, |at| {
                let from: Option<Vec<usize>> = (0..at.len())
                    .map(|d| {
                        let place = at[d].checked_sub(low[d])?;
                        let step = interior[d] + 1;
                        (place % step == 0 && place / step < x[0].shape.dimensions[d]).then_some(place / step)
                    })
                    .collect();
                from.map_or(x[1].data[0], |from| x[0].at(&from))
            }),
            Op::Gather => Array::by(shape, |at| {
                let row = (x[1].data[at[0]].max(0.0) as usize).min(x[0].shape.dimensions[0] - 1);
                x[0].at(&[&[row], &at[1..]].concat())
            }),
            Op::ScatterUnique => {
                let mut table = x[0].clone();
                let width = table.data.len() / table.shape.dimensions[0].max(1);
                for (i, row) in x[1].data.iter().enumerate() {
                    if (0.0..table.shape.dimensions[0] as f64).contains(row) {
                        table.data[*row as usize * width..][..width].copy_from_slice(&x[2].data[i * width..][..width]);
                    }
                }
                table
            }
            Op::Sort => {
                let mut order: Vec<usize> = (0..x[0].data.len()).collect();
                order.sort_by(|a, b| x[0].data[*a].total_cmp(&x[0].data[*b]));
                let sorted = |a: &&Array| Array { shape: a.shape.clone(), data: order.iter().map(|i| a.data[*i]).collect() };
                return Ok(x.iter().map(sorted).collect());
            }
            other => return Err(Error::new(other.name(), "has no meaning here: it can't be evaluated")),
        };
        Ok(vec![result])
    }
}

fn pairs<'a>(x: &'a [&Array]) -> impl Iterator<Item = (f64, f64)> + 'a {
    x[0].data.iter().copied().zip(x[1].data.iter().copied())
}

fn unary(op: Unary, x: f64, element: ElementType) -> f64 {
    match op {
        Unary::Abs => x.abs(),
        Unary::Ceil => x.ceil(),
        Unary::Cosine => x.cos(),
        Unary::Exponential => x.exp(),
        Unary::ExponentialMinusOne => x.exp_m1(),
        Unary::Floor => x.floor(),
        Unary::IsFinite => f64::from(u8::from(x.is_finite())),
        Unary::Log => x.ln(),
        Unary::LogPlusOne => x.ln_1p(),
        Unary::Logistic => 1.0 / (1.0 + (-x).exp()),
        Unary::Negate => -x,
        Unary::Not if element == ElementType::Pred => f64::from(u8::from(x == 0.0)),
        Unary::Not if element == ElementType::U32 => f64::from(!(x as u32)),
        Unary::Not => f64::from(!(x as i32)),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => x.signum(),
        Unary::Sine => x.sin(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
    }
}

fn binary(op: Binary, a: f64, b: f64) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::And => ((a as i64) & (b as i64)) as f64,
        Binary::Divide => a / b,
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::Multiply => a * b,
        Binary::Or => ((a as i64) | (b as i64)) as f64,
        Binary::Power => a.powf(b),
        Binary::Remainder => a % b,
        Binary::Subtract => a - b,
    }
}

fn compare(direction: Direction, a: f64, b: f64) -> bool {
    match direction {
        Direction::Eq => a == b,
        Direction::Ne => a != b,
        Direction::Ge => a >= b,
        Direction::Gt => a > b,
        Direction::Le => a <= b,
        Direction::Lt => a < b,
    }
}

fn reduced(reducer: Reducer, values: impl Iterator<Item = f64>) -> f64 {
    match reducer {
        Reducer::Add => values.sum(),
        Reducer::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
        Reducer::Minimum => values.fold(f64::INFINITY, f64::min),
    }
}

fn reduce(shape: Shape, reducer: Reducer, dimensions: &[usize], x: &Array) -> Array {
    let inner: Vec<usize> = dimensions.iter().map(|d| x.shape.dimensions[*d]).collect();
    let inside = Array::by(Shape::new(ElementType::F64, &inner), |_| 0.0);
    let kept: Vec<usize> = (0..x.shape.rank()).filter(|d| !dimensions.contains(d)).collect();
    Array::by(shape, |at| {
        let mut values = vec![];
        Array::by(inside.shape.clone(), |within| {
            let mut from = vec![0; x.shape.rank()];
            kept.iter().zip(at).for_each(|(d, i)| from[*d] = *i);
            dimensions.iter().zip(within).for_each(|(d, i)| from[*d] = *i);
            values.push(x.at(&from));
            0.0
        });
        reduced(reducer, values.into_iter())
    })
}

fn dot(shape: Shape, dimensions: &DotDimensions, a: &Array, b: &Array) -> Array {
    let [batch, summed] = [&dimensions.batch, &dimensions.contracting];
    let free =
        |x: &Array, i: usize| -> Vec<usize> { (0..x.shape.rank()).filter(|d| !batch[i].contains(d) && !summed[i].contains(d)).collect() };
    let (left, right) = (free(a, 0), free(b, 1));
    let inner: Vec<usize> = summed[0].iter().map(|d| a.shape.dimensions[*d]).collect();
    Array::by(shape, |at| {
        let mut index = [vec![0; a.shape.rank()], vec![0; b.shape.rank()]];
        for (k, i) in at.iter().enumerate().take(batch[0].len()) {
            (index[0][batch[0][k]], index[1][batch[1][k]]) = (*i, *i);
        }
        let rest = &at[batch[0].len()..];
        left.iter().zip(rest).for_each(|(d, i)| index[0][*d] = *i);
        right.iter().zip(&rest[left.len()..]).for_each(|(d, i)| index[1][*d] = *i);
        let mut sum = 0.0;
        Array::by(Shape::new(ElementType::F64, &inner), |within| {
            for (k, i) in within.iter().enumerate() {
                (index[0][summed[0][k]], index[1][summed[1][k]]) = (*i, *i);
            }
            sum += a.at(&index[0]) * b.at(&index[1]);
            0.0
        });
        sum
    })
}
