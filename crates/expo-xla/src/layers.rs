//! A loop over layers whose parameters are stacked: `[layers, ...]`. The program holds one layer's operations,
//! whatever their number.
//!
//! The backward is a second loop, in which the layer is traced once more. What it needs of the forward pass is loaded
//! from stacks that the first loop writes, if a gradient is asked for at all.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::grad::{vjp, zero_cotangent};
use crate::graph::{Asked, ElementType, Error, Graph, Op, OpId, Result, Shape, Value};

/// What the forward pass keeps for the backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Each layer's input alone; the layer is computed again (activation recomputation, arXiv 1604.06174). A barrier
    /// stops the compiler from merging this with the forward pass.
    Inputs,
    /// The results of products, reductions, loops and collectives that the backward uses; what lies between them is
    /// computed again.
    Products,
}

/// The loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// Number of layers.
    pub count: usize,
    /// What is kept.
    pub keep: Keep,
}

/// A layer: from its number (s32), parameters and inputs to its outputs, which are of the inputs' types.
type Body = dyn Fn(&mut Graph, Value, &[Value], &[Value]) -> Result<Vec<Value>>;

impl Layers {
    /// Runs `x` through the layers. `body` gets a layer's number (s32), its part of each of `stacked` (`[layers,
    /// ...]`), and the values that go from layer to layer; values from outside can be used in it, and get their
    /// gradients. It is called several times and must do the same each time.
    ///
    /// Errors: no layers; something stacked that is not of so many; those of `body`.
    pub fn emit(
        &self,
        g: &mut Graph,
        stacked: &[Value],
        x: &[Value],
        body: impl Fn(&mut Graph, Value, &[Value], &[Value]) -> Result<Vec<Value>> + 'static,
    ) -> Result<Vec<Value>> {
        if self.count == 0 {
            return Err(Error::new("layers", "there are none"));
        }
        if let Some(wrong) = stacked.iter().find(|v| g.dims(**v).first() != Some(&self.count)) {
            return Err(Error::new("layers", format!("{} is not stacked for {} layers", g.shape(*wrong), self.count)));
        }
        let (mut captured, mut names) = (vec![], vec![]);
        let out = g.while_loop(self.count, x, |g, index, carried| {
            let parameters = part(g, stacked, index)?;
            let out = body(g, index, &parameters, carried)?;
            captured = g.captured_floats(stacked, &out);
            names = op_names(g, g.current_ops());
            Ok(out)
        })?;
        let tape = Tape { layers: *self, stacked: stacked.to_vec(), x: x.to_vec(), captured, names, body: Rc::new(body) };
        let inputs = [x, stacked, &tape.captured].concat();
        g.rule("layers", &inputs, &out, move |g, asked| tape.backward(g, asked))
    }
}

/// Layer `index` of everything stacked.
fn part(g: &mut Graph, stacked: &[Value], index: Value) -> Result<Vec<Value>> {
    stacked.iter().map(|v| g.dynamic_index(*v, index)).collect()
}

fn op_names(g: &Graph, ops: &[OpId]) -> Vec<&'static str> {
    ops.iter().map(|id| g.data(*id).op.name()).collect()
}

struct Tape {
    layers: Layers,
    stacked: Vec<Value>,
    x: Vec<Value>,
    captured: Vec<Value>,
    /// Names of a layer's operations, in order.
    names: Vec<&'static str>,
    body: Rc<Body>,
}

/// A value of a layer's forward pass, the same in every trace of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// An input.
    Input(usize),
    /// Result of the operation with this number.
    Result(usize, usize),
}

/// One trace of a layer in the block that is being built.
struct Trace {
    parameters: Vec<Value>,
    inputs: Vec<Value>,
    out: Vec<Value>,
    ops: Vec<OpId>,
}

impl Trace {
    fn value(&self, g: &Graph, place: Place) -> Value {
        match place {
            Place::Input(i) => self.inputs[i],
            Place::Result(op, i) => g.data(self.ops[op]).results[i],
        }
    }
}

impl Tape {
    fn trace(&self, g: &mut Graph, index: Value, inputs: &[Value]) -> Result<Trace> {
        let before = g.current_ops().len();
        let parameters = part(g, &self.stacked, index)?;
        let out = (self.body)(g, index, &parameters, inputs)?;
        let names = op_names(g, &g.current_ops()[before..]);
        if names != self.names {
            return Err(Error::new("layers", format!("the layer is not the same in two traces: {:?}, then {names:?}", self.names)));
        }
        Ok(Trace { parameters, inputs: inputs.to_vec(), out, ops: g.current_ops()[before..].to_vec() })
    }

    /// Derivatives behind a trace: of inputs, parameters and captured values, for those that are wanted.
    fn derive(&self, g: &mut Graph, trace: &Trace, cotangents: &[Option<Value>], wanted: &[bool]) -> Result<Vec<Option<Value>>> {
        let all = [&trace.inputs[..], &trace.parameters, &self.captured].concat();
        // Inputs always, since a gradient goes through them to the layers before.
        let wrt = |i: usize| i < self.x.len() || wanted[i];
        let list: Vec<Value> = (0..all.len()).filter(|i| wrt(*i)).map(|i| all[i]).collect();
        let outputs: Vec<(Value, Value)> = trace.out.iter().zip(cotangents).filter_map(|(v, ct)| ct.map(|ct| (*v, ct))).collect();
        let mut found = vjp(g, &outputs, &list)?.into_iter();
        Ok((0..all.len()).map(|i| if wrt(i) { found.next().flatten() } else { None }).collect())
    }

    fn backward(&self, g: &mut Graph, asked: &Asked<'_>) -> Result<Vec<Option<Value>>> {
        let kept = match self.layers.keep {
            Keep::Inputs => self.x.iter().enumerate().map(|(i, x)| (Place::Input(i), g.shape(*x).clone())).collect(),
            Keep::Products => self.products(g, asked)?,
        };
        let stacks = g.before(asked.op, |g| self.save(g, &kept))?;
        let kept: Vec<Place> = kept.into_iter().map(|(place, _)| place).collect();
        g.redirect(asked.op, &stacks[..self.x.len()]);
        let stacks = &stacks[self.x.len()..];
        // Carried: cotangents of the inputs, gradients of what is stacked and of what is captured; floats alone.
        let inputs = [&self.x[..], &self.stacked, &self.captured].concat();
        let carried_input = |g: &Graph, i: usize| if i < self.x.len() { g.element(self.x[i]).is_float() } else { asked.wanted[i] };
        let places: Vec<usize> = (0..inputs.len()).filter(|i| carried_input(g, *i)).collect();
        let mut initial = vec![];
        for i in &places {
            let given = asked.cotangents.get(*i).copied().flatten();
            initial.push(given.map_or_else(|| zero_cotangent(g, inputs[*i]), Ok)?);
        }
        let done = g.while_loop(self.layers.count, &initial, |g, trip, carried| {
            let last = g.scalar(self.layers.count as f64 - 1.0, ElementType::S32)?;
            let index = g.subtract(last, trip)?;
            let mut loaded = vec![];
            for stack in stacks {
                loaded.push(g.dynamic_index(*stack, index)?);
            }
            if self.layers.keep == Keep::Inputs {
                loaded = g.optimization_barrier(&loaded)?;
            }
            let mut again = vec![];
            for (i, x) in self.x.iter().enumerate() {
                let known = kept.iter().position(|place| *place == Place::Input(i));
                again.push(known.map_or_else(|| zeros(g, *x), |k| Ok(loaded[k]))?);
            }
            let trace = self.trace(g, index, &again)?;
            let mut cotangents = vec![None; self.x.len()];
            for (i, value) in places.iter().zip(carried).filter(|(i, _)| **i < self.x.len()) {
                cotangents[*i] = Some(*value);
            }
            let found = self.derive(g, &trace, &cotangents, asked.wanted)?;
            // Instead of what was computed again, what was kept.
            let mut instead = HashMap::new();
            for (place, value) in kept.iter().zip(&loaded) {
                if let Place::Result(..) = place {
                    instead.insert(g.behind(trace.value(g, *place)), *value);
                }
            }
            let ops = g.current_ops().to_vec();
            g.replace_operands(&ops, &instead);
            let mut next = vec![];
            for (i, old) in places.iter().zip(carried) {
                next.push(match found[*i] {
                    Some(new) if *i < self.x.len() => new,
                    None if *i < self.x.len() => zero_cotangent(g, self.x[*i])?,
                    Some(new) if *i < self.x.len() + self.stacked.len() => g.dynamic_update_index(*old, new, index)?,
                    Some(new) => g.add(*old, new)?,
                    None => *old,
                });
            }
            Ok(next)
        })?;
        let mut result = vec![None; inputs.len()];
        for (i, value) in places.into_iter().zip(done) {
            result[i] = Some(value);
        }
        Ok(result)
    }

    /// The forward loop once more, which stacks what is kept: outputs, then stacks.
    fn save(&self, g: &mut Graph, kept: &[(Place, Shape)]) -> Result<Vec<Value>> {
        let mut initial = self.x.clone();
        for (_, shape) in kept {
            initial.push(g.full(0.0, shape.element, &[&[self.layers.count], &shape.dimensions[..]].concat())?);
        }
        g.while_loop(self.layers.count, &initial, |g, index, carried| {
            let trace = self.trace(g, index, &carried[..self.x.len()])?;
            let mut next = trace.out.clone();
            for ((place, _), stack) in kept.iter().zip(&carried[self.x.len()..]) {
                let value = trace.value(g, *place);
                next.push(g.dynamic_update_index(*stack, value, index)?);
            }
            Ok(next)
        })
    }

    /// What of the forward pass [`Keep::Products`] keeps: found in a trace of both passes, in a loop that nothing
    /// uses.
    fn products(&self, g: &mut Graph, asked: &Asked<'_>) -> Result<Vec<(Place, Shape)>> {
        let mut kept = vec![];
        g.while_loop(self.layers.count, &self.x, |g, index, carried| {
            let trace = self.trace(g, index, carried)?;
            let mut cotangents = vec![];
            for value in &trace.out {
                cotangents.push(if g.element(*value).is_float() { Some(zero_cotangent(g, *value)?) } else { None });
            }
            let found = self.derive(g, &trace, &cotangents, asked.wanted)?;
            let forward: HashMap<OpId, usize> = trace.ops.iter().enumerate().map(|(i, id)| (*id, i)).collect();
            let own = g.current_ops().iter().filter(|id| !forward.contains_key(id));
            let mut open: Vec<Value> = own.flat_map(|id| g.data(*id).operands.clone()).chain(found.into_iter().flatten()).collect();
            let mut seen = HashSet::new();
            while let Some(value) = open.pop() {
                let value = g.behind(value);
                if !seen.insert(value) {
                    continue;
                }
                if let Some(i) = carried.iter().position(|c| *c == value) {
                    kept.push((Place::Input(i), g.shape(value).clone()));
                }
                let Some(op) = g.maker(value).filter(|op| forward.contains_key(op)) else { continue };
                let data = g.data(op);
                if is_kept(&data.op) {
                    let result = data.results.iter().position(|r| *r == value).unwrap_or_default();
                    kept.push((Place::Result(forward[&op], result), g.shape(value).clone()));
                } else {
                    open.extend(&data.operands);
                }
            }
            Ok(trace.out)
        })?;
        Ok(kept)
    }
}

/// Zeros in place of an input that is not needed.
fn zeros(g: &mut Graph, like: Value) -> Result<Value> {
    let shape = g.shape(like).clone();
    g.full(0.0, shape.element, &shape.dimensions)
}

/// Whether computing a result again costs more than a few operations for each element.
fn is_kept(op: &Op) -> bool {
    matches!(
        op,
        Op::DotGeneral(..)
            | Op::Reduce(..)
            | Op::While(_)
            | Op::Gather
            | Op::ScatterUnique
            | Op::Sort
            | Op::CustomCall(_)
            | Op::AllReduce(..)
            | Op::AllGather(..)
            | Op::ReduceScatter(..)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::grad::gradient;

    #[test]
    fn what_is_no_loop_over_layers_is_told() {
        let mut g = Graph::new();
        let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
        let w = g.parameter("w", ElementType::F32, &[3, 2]).unwrap();
        let layers = Layers { count: 4, keep: Keep::Inputs };
        let wrong = layers.emit(&mut g, &[w], &[x], |_, _, _, x| Ok(x.to_vec())).unwrap_err().to_string();
        assert_eq!(wrong, "layers: 3x2xf32 is not stacked for 4 layers");
        assert!(Layers { count: 0, ..layers }.emit(&mut g, &[], &[x], |_, _, _, x| Ok(x.to_vec())).is_err());
    }

    #[test]
    fn a_layer_that_changes_between_traces_is_told() {
        for keep in [Keep::Inputs, Keep::Products] {
            let mut g = Graph::new();
            let x = g.parameter("x", ElementType::F32, &[2]).unwrap();
            let w = g.parameter("w", ElementType::F32, &[3, 2]).unwrap();
            let calls = Cell::new(0);
            let done = Layers { count: 3, keep }.emit(&mut g, &[w], &[x], move |g, _, w, x| {
                calls.set(calls.get() + 1);
                let y = if calls.get() == 1 { g.sine(x[0])? } else { g.cosine(x[0])? };
                Ok(vec![g.multiply(y, w[0])?])
            });
            let loss = g.sum_all(done.unwrap()[0]).unwrap();
            let message = gradient(&mut g, loss, &[w]).unwrap_err().to_string();
            assert!(message.starts_with("layers: the layer is not the same in two traces"), "{message}");
        }
    }
}
