//! Reverse mode: emits, behind the operations of a graph, those that compute derivatives of what they made.
//!
//! The cotangent of a value has its shape, and its type but for bf16, whose cotangents are f32: nothing is rounded
//! between a product's f32 result and the f32 gradient that it is for. Integers and booleans have none. Across
//! replicas the derivative is that of the *sum* over replicas of what is derived.

mod elementwise;
mod structural;

use std::collections::{HashMap, HashSet};

use crate::graph::{Asked, Error, Graph, Op, OpId, Result, Value, accumulator};

/// The gradient of a scalar float by each of `wrt`; zeros where it does not depend on one.
///
/// Errors: a loss that is no scalar float; an operation on the way that has no rule, by name.
pub fn gradient(g: &mut Graph, loss: Value, wrt: &[Value]) -> Result<Vec<Value>> {
    if g.shape(loss).rank() != 0 || !g.element(loss).is_float() {
        return Err(Error::new("gradient", format!("of {}: a scalar float is needed", g.shape(loss))));
    }
    let one = g.scalar(1.0, accumulator(g.element(loss)))?;
    let found = vjp(g, &[(loss, one)], wrt)?;
    wrt.iter().zip(found).map(|(value, ct)| ct.map_or_else(|| zero_cotangent(g, *value), Ok)).collect()
}

/// The vector-Jacobian product: from the cotangents of some values of the block that is being built to those of
/// `wrt`, which may be values of the blocks around it too. `None`: there is no dependence.
///
/// Errors: an operation on the way that has no rule, by name; a cotangent of another shape than its value.
pub fn vjp(g: &mut Graph, outputs: &[(Value, Value)], wrt: &[Value]) -> Result<Vec<Option<Value>>> {
    let ops = g.current_ops().to_vec();
    let mut active: HashSet<Value> = wrt.iter().copied().filter(|v| g.element(*v).is_float()).collect();
    for id in &ops {
        let data = g.data(*id);
        let operands = match &data.op {
            Op::Rule(rule) => &data.operands[..rule.inputs],
            _ => &data.operands[..],
        };
        if operands.iter().any(|v| active.contains(v)) {
            active.extend(data.results.iter().copied().filter(|v| g.element(*v).is_float()));
        }
    }
    let mut cotangents: HashMap<Value, Value> = HashMap::new();
    for (value, cotangent) in outputs {
        if g.dims(*value) != g.dims(*cotangent) {
            return Err(Error::new("vjp", format!("a cotangent {} of {}", g.shape(*cotangent), g.shape(*value))));
        }
        add_to(g, &mut cotangents, *value, *cotangent)?;
    }
    for id in ops.iter().rev() {
        let data = g.data(*id);
        let given: Vec<Option<Value>> = data.results.iter().map(|v| cotangents.get(v).copied().filter(|_| active.contains(v))).collect();
        if given.iter().all(Option::is_none) {
            continue;
        }
        let inputs: Vec<Value> = match &data.op {
            Op::Rule(rule) => data.operands[..rule.inputs].to_vec(),
            _ => data.operands.clone(),
        };
        let wanted: Vec<bool> = inputs.iter().map(|v| active.contains(v)).collect();
        let found = backward(g, *id, &Asked { op: *id, cotangents: &given, wanted: &wanted })?;
        for ((input, wanted), cotangent) in inputs.iter().zip(wanted).zip(found) {
            if let Some(cotangent) = cotangent.filter(|_| wanted) {
                add_to(g, &mut cotangents, *input, cotangent)?;
            }
        }
    }
    Ok(wrt.iter().map(|v| cotangents.get(v).copied()).collect())
}

/// A value as its cotangents are: bf16 as f32.
pub(crate) fn as_cotangent(g: &mut Graph, value: Value) -> Result<Value> {
    let element = accumulator(g.element(value));
    g.convert(value, element)
}

/// The zero cotangent of a value.
pub(crate) fn zero_cotangent(g: &mut Graph, value: Value) -> Result<Value> {
    let ty = g.shape(value).clone();
    g.full(0.0, accumulator(ty.element), &ty.dimensions)
}

fn add_to(g: &mut Graph, cotangents: &mut HashMap<Value, Value>, value: Value, cotangent: Value) -> Result<()> {
    let cotangent = g.convert(cotangent, accumulator(g.element(value)))?;
    let sum = match cotangents.get(&value) {
        Some(old) => g.add(*old, cotangent)?,
        None => cotangent,
    };
    cotangents.insert(value, sum);
    Ok(())
}

/// One operation's rule: the cotangents of its operands, for those that are wanted.
fn backward(g: &mut Graph, id: OpId, asked: &Asked<'_>) -> Result<Vec<Option<Value>>> {
    let data = g.data(id).clone();
    let found = match &data.op {
        Op::Rule(rule) => {
            let backward = rule.backward.clone();
            backward(g, asked)?
        }
        Op::OptimizationBarrier => asked.cotangents.to_vec(),
        op => {
            // Every other operation that has a rule has one result.
            let [Some(ct)] = *asked.cotangents else {
                return Err(Error::new(op.name(), structural::NO_RULE));
            };
            match elementwise::rule(g, op, &data.operands, data.results[0], ct, asked.wanted)? {
                Some(found) => found,
                None => structural::rule(g, op, &data.operands, ct, asked.wanted)?,
            }
        }
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::graph::{Array, Binary};

    fn derivative(x: &[f64], y: &[f64], build: impl Fn(&mut Graph, Value, Value) -> Result<Value>) -> Result<Vec<f64>> {
        let mut g = Graph::new();
        let a = g.parameter("a", ElementType::F64, &[x.len()])?;
        let b = g.parameter("b", ElementType::F64, &[y.len()])?;
        let out = build(&mut g, a, b)?;
        let loss = g.sum_all(out)?;
        let by = gradient(&mut g, loss, &[a, b])?;
        let inputs = vec![Array::new(ElementType::F64, &[x.len()], x.to_vec())?, Array::new(ElementType::F64, &[y.len()], y.to_vec())?];
        Ok(g.evaluate(&[inputs], &by)?[0].iter().flat_map(|array| array.data.clone()).collect())
    }

    #[test]
    fn equal_values_share_the_derivative_of_the_larger() {
        for op in [Binary::Maximum, Binary::Minimum] {
            assert_eq!(derivative(&[1.0, 3.0], &[1.0, 3.0], |g, a, b| g.binary(op, a, b)).unwrap(), [0.5; 4]);
        }
        let shared = derivative(&[2.0, 1.0, 2.0, 2.0], &[], |g, a, _| g.reduce(crate::graph::Reducer::Maximum, a, &[0])).unwrap();
        assert_eq!(shared, [1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn a_power_of_zero_has_a_derivative() {
        assert_eq!(derivative(&[0.0, 2.0], &[3.0, 2.0], |g, a, b| g.power(a, b)).unwrap()[..3], [0.0, 4.0, 0.0]);
    }

    #[test]
    fn what_the_loss_does_not_depend_on_has_zeros() {
        assert_eq!(derivative(&[1.0], &[5.0, 6.0], |g, a, _| g.negate(a)).unwrap(), [-1.0, 0.0, 0.0]);
    }

    #[test]
    fn an_operation_without_rule_is_told_by_name() {
        let error = derivative(&[1.0], &[1.0], |g, a, b| Ok(g.while_loop(2, &[a], |g, _, c| Ok(vec![g.multiply(c[0], b)?]))?[0]));
        assert_eq!(error.unwrap_err().to_string(), "while: has no reverse rule, and the loss depends on it");
        let mut g = Graph::new();
        let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
        assert_eq!(gradient(&mut g, x, &[x]).unwrap_err().to_string(), "gradient: of 2xf32: a scalar float is needed");
        // Where nothing asks for it, it is no error.
        let found = g.while_loop(2, &[x], |g, _, c| Ok(vec![g.negate(c[0])?])).unwrap();
        let other = g.parameter("y", ElementType::F32, &[2]).unwrap();
        let product = g.multiply(found[0], other).unwrap();
        let loss = g.sum_all(product).unwrap();
        assert_eq!(gradient(&mut g, loss, &[other]).unwrap().len(), 1);
    }

    #[test]
    fn cotangents_of_bf16_are_f32() {
        let mut g = Graph::new();
        let x = g.parameter("x", ElementType::Bf16, &[2, 4]).unwrap();
        let w = g.parameter("w", ElementType::F32, &[3, 4]).unwrap();
        let short = g.convert(w, ElementType::Bf16).unwrap();
        let y = g.linear(x, short).unwrap();
        let square = g.multiply(y, y).unwrap();
        let loss = g.sum_all(square).unwrap();
        for ct in gradient(&mut g, loss, &[x, w]).unwrap() {
            assert_eq!(g.element(ct), ElementType::F32);
        }
        // The gradient of w is the product's f32, not rounded to bf16 on its way.
        let by = gradient(&mut g, loss, &[w]).unwrap();
        let text = g.program("p", &by, &[]).unwrap().text;
        assert_eq!(text.matches("-> tensor<3x4xbf16>").count(), 1, "{text}");
    }
}
