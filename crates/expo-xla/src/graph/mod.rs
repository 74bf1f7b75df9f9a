//! A typed graph of StableHLO operations: built in Rust, checked as it is built, written as text for a compiler.
//!
//! Operations have StableHLO's names and meaning. A method that can't give a result says which operation it was, and
//! with which types. Values are handles into the graph that made them; those of a loop's body are of no use outside
//! it.

mod collective;
mod control;
mod elementwise;
mod emit;
mod evaluate;
mod indexed;
mod literal;
mod op;
mod product;
mod rearrange;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub use evaluate::Array;
pub use literal::Literal;
pub use op::{Asked, Backward, Binary, CustomCall, Direction, DotDimensions, Op, Precision, Reducer, ReplicaGroups, Rule, Unary};

pub use crate::element::{ElementType, Shape};

/// What can't be built, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {message}")]
pub struct Error {
    /// The operation.
    pub op: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Error {
    /// An error of an operation.
    pub fn new(op: impl Into<String>, message: impl Into<String>) -> Self {
        Self { op: op.into(), message: message.into() }
    }
}

/// A value or the reason why there is none.
pub type Result<T> = std::result::Result<T, Error>;

/// What sums of products, and cotangents, of an element type are held in: f32 for the short floats.
pub fn accumulator(element: ElementType) -> ElementType {
    if matches!(element, ElementType::Bf16 | ElementType::F16) { ElementType::F32 } else { element }
}

/// A tensor in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);

/// An operation in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(u32);

/// A list of operations: the program, or a loop's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BlockId(u32);

/// What a graph knows of a value.
#[derive(Debug, Clone)]
struct ValueData {
    ty: Shape,
    block: BlockId,
    /// The operation that makes it; none for a block's arguments.
    by: Option<OpId>,
}

/// An operation in its place.
#[derive(Debug, Clone)]
pub(crate) struct OpData {
    pub(crate) op: Op,
    pub(crate) operands: Vec<Value>,
    pub(crate) results: Vec<Value>,
    /// A loop's body.
    body: Option<BlockId>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    arguments: Vec<Value>,
    ops: Vec<OpId>,
    results: Vec<Value>,
}

/// A block that is being built; `cursor` is where the next operation goes, if not to the end.
#[derive(Debug, Clone, Copy)]
struct Open {
    block: BlockId,
    cursor: Option<usize>,
}

/// A program that is being built.
#[derive(Debug, Clone)]
pub struct Graph {
    values: Vec<ValueData>,
    ops: Vec<OpData>,
    blocks: Vec<Block>,
    open: Vec<Open>,
    names: Vec<String>,
    replicas: usize,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty program for one device.
    pub fn new() -> Self {
        Self::for_replicas(1)
    }

    /// An empty program that runs on several devices at once, on data of its own on each.
    pub fn for_replicas(replicas: usize) -> Self {
        let main = Open { block: BlockId(0), cursor: None };
        Self { values: vec![], ops: vec![], blocks: vec![Block::default()], open: vec![main], names: vec![], replicas }
    }

    /// Devices that the program runs on.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// Declares the program's next input. Errors: inside a loop.
    pub fn parameter(&mut self, name: &str, element: ElementType, shape: &[usize]) -> Result<Value> {
        if self.open.len() != 1 {
            return Err(Error::new("parameter", format!("{name} is declared inside a loop")));
        }
        self.names.push(name.to_owned());
        Ok(self.argument(BlockId(0), Shape::new(element, shape)))
    }

    /// A value's type.
    pub fn shape(&self, value: Value) -> &Shape {
        &self.values[value.0 as usize].ty
    }

    /// A value's sizes.
    pub fn dims(&self, value: Value) -> &[usize] {
        &self.shape(value).dimensions
    }

    /// What a value is made of.
    pub fn element(&self, value: Value) -> ElementType {
        self.shape(value).element
    }

    /// Number of operations so far, those that nothing uses included.
    pub fn op_count(&self) -> usize {
        self.ops.len()
    }

    /// Shapes as messages list them.
    fn shapes(&self, values: &[Value]) -> String {
        values.iter().map(|v| self.shape(*v).to_string()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn data(&self, op: OpId) -> &OpData {
        &self.ops[op.0 as usize]
    }

    /// The operations of the block that is being built, in order.
    pub(crate) fn current_ops(&self) -> &[OpId] {
        &self.blocks[self.current().0 as usize].ops
    }

    /// The operation that makes a value, unless it is a parameter or a loop's argument.
    pub(crate) fn maker(&self, value: Value) -> Option<OpId> {
        self.values[value.0 as usize].by
    }

    /// Whether a value is of the block that is being built, and not of one around it.
    pub(crate) fn is_local(&self, value: Value) -> bool {
        self.values[value.0 as usize].block == self.current()
    }

    /// Floats from outside that the block being built uses, or returns as `results`, but for those in `except`: a
    /// derivative may be asked by them.
    pub(crate) fn captured_floats(&self, except: &[Value], results: &[Value]) -> Vec<Value> {
        let mut seen: HashSet<Value> = except.iter().copied().collect();
        let operands = self.current_ops().iter().flat_map(|id| self.data(*id).operands.iter());
        operands.chain(results).copied().filter(|v| !self.is_local(*v) && self.element(*v).is_float() && seen.insert(*v)).collect()
    }

    fn current(&self) -> BlockId {
        self.open.last().expect("the program is always open").block
    }

    fn block_mut(&mut self, block: BlockId) -> &mut Block {
        &mut self.blocks[block.0 as usize]
    }

    fn argument(&mut self, block: BlockId, ty: Shape) -> Value {
        let value = self.value(block, ty, None);
        self.block_mut(block).arguments.push(value);
        value
    }

    fn value(&mut self, block: BlockId, ty: Shape, by: Option<OpId>) -> Value {
        self.values.push(ValueData { ty, block, by });
        Value(self.values.len() as u32 - 1)
    }

    /// Adds an operation whose operands are known to fit.
    fn push(&mut self, op: Op, operands: &[Value], results: Vec<Shape>, body: Option<BlockId>) -> Result<Vec<Value>> {
        for operand in operands {
            let known = self.values.get(operand.0 as usize).is_some_and(|v| self.open.iter().any(|o| o.block == v.block));
            if !known {
                return Err(Error::new(op.name(), "an operand is of another graph, or of a loop that is finished"));
            }
        }
        let (id, block) = (OpId(self.ops.len() as u32), self.current());
        let results = results.into_iter().map(|ty| self.value(block, ty, Some(id))).collect::<Vec<_>>();
        self.ops.push(OpData { op, operands: operands.to_vec(), results: results.clone(), body });
        let open = self.open.last_mut().expect("the program is always open");
        let list = &mut self.blocks[block.0 as usize].ops;
        match &mut open.cursor {
            Some(at) => {
                list.insert(*at, id);
                *at += 1;
            }
            None => list.push(id),
        }
        Ok(results)
    }

    /// [`Graph::push`] of an operation with one result.
    fn push_one(&mut self, op: Op, operands: &[Value], element: ElementType, shape: &[usize]) -> Result<Value> {
        Ok(self.push(op, operands, vec![Shape::new(element, shape)], None)?[0])
    }

    /// What `emit` adds to the block that is being built goes before `op`, which is in it.
    pub(crate) fn before<T>(&mut self, op: OpId, emit: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let at = self.current_ops().iter().position(|o| *o == op).expect("an operation of this block");
        let open = self.open.last_mut().expect("the program is always open");
        let old = open.cursor.replace(at);
        let result = emit(self);
        self.open.last_mut().expect("the program is always open").cursor = old;
        result
    }

    /// What a value stands for: a rule's result for what it is the result of.
    pub(crate) fn behind(&self, value: Value) -> Value {
        let Some(data) = self.maker(value).map(|op| self.data(op)) else { return value };
        match (&data.op, data.results.iter().position(|r| *r == value)) {
            (Op::Rule(rule), Some(i)) => self.behind(data.operands[rule.inputs + i]),
            _ => value,
        }
    }

    /// Replaces operands of `ops`.
    pub(crate) fn replace_operands(&mut self, ops: &[OpId], by: &HashMap<Value, Value>) {
        for id in ops {
            for i in 0..self.data(*id).operands.len() {
                if let Some(new) = by.get(&self.behind(self.data(*id).operands[i])) {
                    self.ops[id.0 as usize].operands[i] = *new;
                }
            }
        }
    }

    /// Takes out of a finished block what its results don't need, and the rules, which only the reverse mode wants.
    fn clean(&mut self, block: BlockId) {
        let mut stands_for: HashMap<Value, Value> = HashMap::new();
        let resolve = |map: &HashMap<Value, Value>, value: Value| *map.get(&value).unwrap_or(&value);
        let all = std::mem::take(&mut self.block_mut(block).ops);
        let mut kept = Vec::with_capacity(all.len());
        for id in all {
            let data = &mut self.ops[id.0 as usize];
            for operand in &mut data.operands {
                *operand = resolve(&stands_for, *operand);
            }
            match &data.op {
                Op::Rule(rule) => stands_for.extend(data.results.iter().copied().zip(data.operands[rule.inputs..].iter().copied())),
                _ => kept.push(id),
            }
        }
        for value in &mut self.blocks[block.0 as usize].results {
            *value = resolve(&stands_for, *value);
        }
        let mut live: HashSet<Value> = self.blocks[block.0 as usize].results.iter().copied().collect();
        kept = kept
            .into_iter()
            .rev()
            .filter(|id| {
                let data = &self.ops[id.0 as usize];
                let effect = matches!(&data.op, Op::CustomCall(call) if call.has_side_effect);
                let needed = effect || data.results.iter().any(|r| live.contains(r));
                if needed {
                    live.extend(&data.operands);
                }
                needed
            })
            .collect();
        kept.reverse();
        self.block_mut(block).ops = kept;
    }
}
