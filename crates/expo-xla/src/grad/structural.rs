//! Rules of the operations that move, multiply and reduce, and of those between replicas.

use crate::graph::{Direction, DotDimensions, Error, Graph, Op, Reducer, Result, Value};

/// What is said of an operation that reverse mode can't go through.
pub(super) const NO_RULE: &str = "has no reverse rule, and the loss depends on it";

/// The cotangents of the operands `x` of `op`, from that of its one result. Errors: it has no rule.
pub(super) fn rule(g: &mut Graph, op: &Op, x: &[Value], ct: Value, wanted: &[bool]) -> Result<Vec<Option<Value>>> {
    let shape = x.first().map_or(vec![], |x| g.dims(*x).to_vec());
    let first = match op {
        Op::DotGeneral(dimensions, _) => return dot(g, dimensions, [x[0], x[1]], ct, wanted),
        Op::Reduce(reducer, dimensions) => reduce(g, *reducer, dimensions, x[0], ct)?,
        Op::BroadcastInDim(dimensions) => {
            // Summed over what was repeated: new dimensions, and those that had size 1.
            let to = g.dims(ct).to_vec();
            let kept = |d: &usize| dimensions.iter().position(|k| k == d).is_some_and(|i| shape[i] == to[*d]);
            let repeated: Vec<usize> = (0..to.len()).filter(|d| !kept(d)).collect();
            let sum = g.sum(ct, &repeated)?;
            g.reshape(sum, &shape)?
        }
        Op::Reshape => g.reshape(ct, &shape)?,
        Op::Transpose(permutation) => {
            let mut inverse = vec![0; permutation.len()];
            permutation.iter().enumerate().for_each(|(i, d)| inverse[*d] = i);
            g.transpose(ct, &inverse)?
        }
        Op::Reverse(dimensions) => g.reverse(ct, dimensions)?,
        Op::Slice([start, _, strides]) => {
            let taken = g.dims(ct).to_vec();
            if taken.contains(&0) {
                return Ok(vec![None]);
            }
            let high: Vec<usize> = (0..shape.len()).map(|d| shape[d] - start[d] - (taken[d] - 1) * strides[d] - 1).collect();
            let interior: Vec<usize> = strides.iter().map(|s| s - 1).collect();
            let zero = g.scalar(0.0, g.element(ct))?;
            g.pad(ct, zero, start, &high, &interior)?
        }
        Op::DynamicSlice(_) => {
            let zeros = g.full(0.0, g.element(ct), &shape)?;
            g.dynamic_update_slice(zeros, ct, &x[1..])?
        }
        Op::DynamicUpdateSlice => {
            let update = g.dims(x[1]).to_vec();
            let of_update = if wanted[1] { Some(g.dynamic_slice(ct, &x[2..], &update)?) } else { None };
            let zeros = g.full(0.0, g.element(ct), &update)?;
            let of_whole = if wanted[0] { Some(g.dynamic_update_slice(ct, zeros, &x[2..])?) } else { None };
            return Ok([vec![of_whole, of_update], vec![None; x.len() - 2]].concat());
        }
        Op::Concatenate(dimension) => {
            let mut start = 0;
            let part = |(operand, wanted): (&Value, &bool)| {
                let size = g.dims(*operand)[*dimension];
                start += size;
                if *wanted { g.slice_in_dim(ct, *dimension, start - size, start).map(Some) } else { Ok(None) }
            };
            return x.iter().zip(wanted).map(part).collect();
        }
        Op::Pad([low, _, interior]) => return pad(g, low, interior, x[0], ct, wanted),
        Op::Gather => {
            let sums = g.scatter_add(shape[0], x[1], ct)?;
            return Ok(vec![Some(sums), None]);
        }
        Op::ScatterUnique => return scatter(g, x, ct, wanted),
        Op::AllReduce(Reducer::Add, groups) => g.all_reduce(Reducer::Add, ct, groups)?,
        Op::AllGather(dimension, groups) => g.reduce_scatter(Reducer::Add, ct, *dimension, groups)?,
        Op::ReduceScatter(Reducer::Add, dimension, groups) => g.all_gather(ct, *dimension, groups)?,
        other => return Err(Error::new(other.name(), NO_RULE)),
    };
    Ok([vec![Some(first)], vec![None; x.len() - 1]].concat())
}

/// Each operand's cotangent is the product of the result's with the other operand, over the dimensions that are the
/// other operand's alone.
fn dot(g: &mut Graph, dimensions: &DotDimensions, x: [Value; 2], ct: Value, wanted: &[bool]) -> Result<Vec<Option<Value>>> {
    let mut found = vec![None, None];
    let free = |g: &Graph, i: usize| -> Vec<usize> {
        (0..g.shape(x[i]).rank()).filter(|d| !dimensions.batch[i].contains(d) && !dimensions.contracting[i].contains(d)).collect()
    };
    let batch = dimensions.batch[0].len();
    // A product of bf16 has bf16 operands in the backward too.
    let element = g.element(x[0]);
    let ct = g.convert(ct, element)?;
    let (left, right) = (free(g, 0), free(g, 1));
    for i in (0..2).filter(|i| wanted[*i]) {
        let (mine, others, other) = if i == 0 { (&left, &right, 1) } else { (&right, &left, 0) };
        let skipped = if i == 0 { batch + left.len() } else { batch };
        let summed: Vec<usize> = (skipped..skipped + others.len()).collect();
        let pairs = DotDimensions { batch: [(0..batch).collect(), dimensions.batch[other].clone()], contracting: [summed, others.clone()] };
        let product = g.dot_general(ct, x[other], &pairs)?;
        // Its dimensions: batch, mine, then those contracted, in the order in which the other operand has them.
        let mut contracted: Vec<usize> = (0..dimensions.contracting[other].len()).collect();
        contracted.sort_by_key(|k| dimensions.contracting[other][*k]);
        let order: Vec<usize> =
            dimensions.batch[i].iter().chain(mine).copied().chain(contracted.iter().map(|k| dimensions.contracting[i][*k])).collect();
        let permutation: Vec<usize> = (0..order.len()).map(|d| order.iter().position(|o| *o == d).unwrap_or(d)).collect();
        found[i] = Some(g.transpose(product, &permutation)?);
    }
    Ok(found)
}

fn reduce(g: &mut Graph, reducer: Reducer, dimensions: &[usize], x: Value, ct: Value) -> Result<Value> {
    let shape = g.dims(x).to_vec();
    let kept: Vec<usize> = (0..shape.len()).filter(|d| !dimensions.contains(d)).collect();
    let spread = g.broadcast_in_dim(ct, &shape, &kept)?;
    if reducer == Reducer::Add {
        return Ok(spread);
    }
    // Those that are equal to the extreme share its cotangent.
    let extreme = g.reduce(reducer, x, dimensions)?;
    let extreme = g.broadcast_in_dim(extreme, &shape, &kept)?;
    let equal = g.compare(Direction::Eq, x, extreme)?;
    let share = g.convert(equal, g.element(ct))?;
    let count = g.sum(share, dimensions)?;
    let count = g.broadcast_in_dim(count, &shape, &kept)?;
    let each = g.divide(spread, count)?;
    g.multiply(each, share)
}

fn pad(g: &mut Graph, low: &[usize], interior: &[usize], x: Value, ct: Value, wanted: &[bool]) -> Result<Vec<Option<Value>>> {
    let shape = g.dims(x).to_vec();
    let strides: Vec<usize> = interior.iter().map(|i| i + 1).collect();
    let limit: Vec<usize> = (0..shape.len()).map(|d| low[d] + if shape[d] == 0 { 0 } else { (shape[d] - 1) * strides[d] + 1 }).collect();
    let inside = g.slice(ct, low, &limit, &strides)?;
    let of_value = if wanted[1] {
        let (all, inner) = (g.sum_all(ct)?, g.sum_all(inside)?);
        Some(g.subtract(all, inner)?)
    } else {
        None
    };
    Ok(vec![Some(inside), of_value])
}

/// A row that was dropped, since its index is outside, has no cotangent.
fn scatter(g: &mut Graph, x: &[Value], ct: Value, wanted: &[bool]) -> Result<Vec<Option<Value>>> {
    let (n, rows) = (g.dims(x[0])[0], g.dims(x[2]).to_vec());
    let zeros = g.full(0.0, g.element(ct), &rows)?;
    let of_table = if wanted[0] { Some(g.scatter_unique(ct, x[1], zeros)?) } else { None };
    if !wanted[2] {
        return Ok(vec![of_table, None, None]);
    }
    let gathered = g.gather(ct, x[1])?;
    let (above, below) = (g.compare_scalar(Direction::Ge, x[1], 0.0)?, g.compare_scalar(Direction::Lt, x[1], n as f64)?);
    let inside = g.and(above, below)?;
    let inside = g.broadcast_trailing(inside, &rows)?;
    Ok(vec![of_table, None, Some(g.select(inside, gathered, zeros)?)])
}
