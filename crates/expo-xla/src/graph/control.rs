//! Loops, barriers, calls of what the plugin knows, and parts with a backward of their own.

use std::collections::HashMap;
use std::rc::Rc;

use super::op::{Asked, CustomCall, Op, Rule};
use super::{Block, BlockId, ElementType, Error, Graph, Literal, OpId, Open, Result, Shape, Value};

impl Graph {
    /// Runs `body` `trips` times. It gets the number of the trip (s32, from 0) and the carried values, and returns
    /// the next ones, of the same types. Values from outside can be used in it. Returns the values carried last.
    ///
    /// Errors: a carried value that changes its type.
    pub fn while_loop(
        &mut self,
        trips: usize,
        initial: &[Value],
        body: impl FnOnce(&mut Self, Value, &[Value]) -> Result<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let bad = |message: String| Err(Error::new("while", message));
        if i32::try_from(trips).is_err() {
            return bad(format!("{trips} trips are more than a 32-bit counter counts"));
        }
        let zero = self.scalar(0.0, ElementType::S32)?;
        self.blocks.push(Block::default());
        let block = BlockId(self.blocks.len() as u32 - 1);
        self.open.push(Open { block, cursor: None });
        let index = self.argument(block, Shape::new(ElementType::S32, &[]));
        let carried: Vec<Value> = initial.iter().map(|v| self.argument(block, self.shape(*v).clone())).collect();
        let traced = body(self, index, &carried).and_then(|next| {
            let one = self.scalar(1.0, ElementType::S32)?;
            let counted = self.add(index, one)?;
            Ok((next, counted))
        });
        self.open.pop();
        let (next, counted) = traced?;
        if next.len() != initial.len() {
            return bad(format!("the body returns {} values for {} carried ones", next.len(), initial.len()));
        }
        for (i, (before, after)) in initial.iter().zip(&next).enumerate() {
            if self.shape(*before) != self.shape(*after) {
                return bad(format!("carried value {i} is {} before and {} after the body", self.shape(*before), self.shape(*after)));
            }
        }
        self.block_mut(block).results = std::iter::once(counted).chain(next).collect();
        self.clean(block);
        let captured = self.capture(block);
        let operands: Vec<Value> = std::iter::once(zero).chain(initial.iter().copied()).chain(captured).collect();
        let types = operands.iter().map(|v| self.shape(*v).clone()).collect();
        let results = self.push(Op::While(trips), &operands, types, Some(block))?;
        Ok(results[1..=initial.len()].to_vec())
    }

    /// Makes a finished block depend on its arguments alone: constants from outside are copied into it, other values
    /// become arguments that it returns unchanged. Returns those values.
    fn capture(&mut self, block: BlockId) -> Vec<Value> {
        let mut inside: HashMap<Value, Value> = HashMap::new();
        let mut captured = vec![];
        let ops = self.blocks[block.0 as usize].ops.clone();
        let mut copies = vec![];
        let mut renamed = |graph: &mut Self, value: Value| {
            if graph.values[value.0 as usize].block == block {
                return value;
            }
            if let Some(known) = inside.get(&value) {
                return *known;
            }
            let ty = graph.shape(value).clone();
            let maker = graph.maker(value).map(|op| graph.data(op)).filter(|data| data.operands.is_empty() && data.body.is_none());
            let new = if let Some(op) = maker.filter(|data| matches!(data.op, Op::Constant(_) | Op::Iota(_))).map(|data| data.op.clone()) {
                let id = OpId(graph.ops.len() as u32);
                let new = graph.value(block, ty, Some(id));
                graph.ops.push(super::OpData { op, operands: vec![], results: vec![new], body: None });
                copies.push(id);
                new
            } else {
                captured.push(value);
                graph.argument(block, ty)
            };
            inside.insert(value, new);
            new
        };
        for id in &ops {
            for i in 0..self.data(*id).operands.len() {
                let new = renamed(self, self.data(*id).operands[i]);
                self.ops[id.0 as usize].operands[i] = new;
            }
        }
        for i in 0..self.blocks[block.0 as usize].results.len() {
            let new = renamed(self, self.blocks[block.0 as usize].results[i]);
            self.block_mut(block).results[i] = new;
        }
        let returned: Vec<Value> = captured.iter().map(|value| inside[value]).collect();
        copies.extend(ops);
        let block = self.block_mut(block);
        block.ops = copies;
        block.results.extend(returned);
        captured
    }

    /// The operands, across which the compiler neither moves nor merges anything.
    pub fn optimization_barrier(&mut self, operands: &[Value]) -> Result<Vec<Value>> {
        let types = operands.iter().map(|v| self.shape(*v).clone()).collect();
        self.push(Op::OptimizationBarrier, operands, types, None)
    }

    /// A call of a function that the plugin has by this name.
    pub fn custom_call(&mut self, call: CustomCall, operands: &[Value], results: Vec<Shape>) -> Result<Vec<Value>> {
        self.push(Op::CustomCall(call), operands, results, None)
    }

    /// Gives a part of the graph, from `inputs` to `outputs`, a backward of its own. The values returned stand for
    /// `outputs`, and are what is to be used from here on: no derivative goes through the part itself.
    ///
    /// `backward` gets the cotangents of the outputs, and returns those of the inputs that are wanted.
    pub fn rule(
        &mut self,
        name: &'static str,
        inputs: &[Value],
        outputs: &[Value],
        backward: impl Fn(&mut Self, &Asked<'_>) -> Result<Vec<Option<Value>>> + 'static,
    ) -> Result<Vec<Value>> {
        let types = outputs.iter().map(|v| self.shape(*v).clone()).collect();
        let rule = Rule { name, inputs: inputs.len(), backward: Rc::new(backward) };
        self.push(Op::Rule(rule), &[inputs, outputs].concat(), types, None)
    }

    /// Makes a rule's results stand for other values, of the same types, which are made before it.
    pub(crate) fn redirect(&mut self, op: OpId, outputs: &[Value]) {
        let data = &mut self.ops[op.0 as usize];
        if let Op::Rule(rule) = &data.op {
            data.operands.truncate(rule.inputs);
            data.operands.extend(outputs);
        }
    }

    /// A table of whole numbers.
    pub fn integers(&mut self, values: &[i64], shape: &[usize]) -> Result<Value> {
        self.constant(Literal::Integers(values.to_vec()), ElementType::S32, shape)
    }
}
