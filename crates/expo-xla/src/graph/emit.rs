//! A finished graph as StableHLO text. Every operation is in MLIR's generic form, whose spelling changes least
//! between versions.

use std::collections::HashMap;
use std::fmt::Write;

use super::op::{CustomCall, Op, Precision, Reducer, ReplicaGroups};
use super::{BlockId, ElementType, Error, Graph, OpData, Result, Shape, Value};
use crate::program::{Argument, Program};

impl Graph {
    /// The program that computes `results`. `donated` pairs parameters with the number of the result that takes their
    /// memory.
    ///
    /// Errors: inside a loop; a result of a loop's body; a donated value that is no parameter, or whose type is not
    /// the result's.
    pub fn program(&self, name: &str, results: &[Value], donated: &[(Value, usize)]) -> Result<Program> {
        let main = BlockId(0);
        let bad = |message: String| Err(Error::new("program", message));
        if self.open.len() != 1 || results.iter().any(|v| self.values.get(v.0 as usize).is_none_or(|v| v.block != main)) {
            return bad("its results must be values of the program, not of a loop's body".into());
        }
        let mut graph = self.clone();
        graph.block_mut(main).results = results.to_vec();
        graph.clean(main);
        let inputs = graph.blocks[0].arguments.clone();
        let mut donated_to = vec![None; inputs.len()];
        for (value, result) in donated {
            let Some(input) = inputs.iter().position(|v| v == value) else {
                return bad("what is donated is no parameter".into());
            };
            if results.get(*result).is_none_or(|r| self.shape(*r) != self.shape(*value)) {
                let (name, shape) = (&self.names[input], self.shape(*value));
                return bad(format!("{name} ({shape}) is donated to result {result}, which is not of its shape"));
            }
            donated_to[input] = Some(*result);
        }
        let arguments =
            inputs.iter().zip(&self.names).map(|(v, name)| Argument { name: name.clone(), shape: self.shape(*v).clone() }).collect();
        let mut emitter = Emitter { graph: &graph, names: HashMap::new(), constants: HashMap::new(), next: 0, text: String::new() };
        emitter.module(name, &inputs, &donated_to, results);
        Ok(Program::new(name, emitter.text).with_arguments(arguments))
    }
}

struct Emitter<'a> {
    graph: &'a Graph,
    names: HashMap<Value, String>,
    /// Constants of the blocks that are being written, by their text.
    constants: HashMap<String, String>,
    next: usize,
    text: String,
}

impl Emitter<'_> {
    fn module(&mut self, name: &str, inputs: &[Value], donated_to: &[Option<usize>], results: &[Value]) {
        let replicas = self.graph.replicas;
        let _ = writeln!(
            self.text,
            "module @{} attributes {{mhlo.num_partitions = 1 : i32, mhlo.num_replicas = {replicas} : i32}} {{",
            symbol(name)
        );
        let mut list = vec![];
        for (i, (value, donated)) in inputs.iter().zip(donated_to).enumerate() {
            self.names.insert(*value, format!("%arg{i}"));
            let donated = donated.map_or(String::new(), |r| format!(" {{tf.aliasing_output = {r} : i32}}"));
            list.push(format!("%arg{i}: {}{donated}", tensor(self.graph.shape(*value))));
        }
        let outputs = types(results.iter().map(|v| self.graph.shape(*v)));
        let _ = writeln!(self.text, "  func.func public @main({}) -> ({outputs}) {{", list.join(", "));
        self.block(BlockId(0), "func.return", 2);
        self.text.push_str("  }\n}\n");
    }

    /// The operations of a block and what ends it.
    fn block(&mut self, block: BlockId, end: &str, depth: usize) {
        let block = &self.graph.blocks[block.0 as usize];
        for id in &block.ops {
            self.operation(self.graph.data(*id), depth);
        }
        let names = self.list(&block.results);
        let types = types(block.results.iter().map(|v| self.graph.shape(*v)));
        let _ = writeln!(self.text, "{:1$}\"{end}\"({names}) : ({types}) -> ()", "", 2 * depth);
    }

    fn fresh(&mut self) -> String {
        self.next += 1;
        format!("%{}", self.next - 1)
    }

    fn list(&self, values: &[Value]) -> String {
        values.iter().map(|v| self.names[v].as_str()).collect::<Vec<_>>().join(", ")
    }

    fn operation(&mut self, data: &OpData, depth: usize) {
        let graph = self.graph;
        let attributes = attributes(&data.op, data, graph);
        let inputs = types(data.operands.iter().map(|v| graph.shape(*v)));
        let outputs = types(data.results.iter().map(|v| graph.shape(*v)));
        let mut head = format!("\"stablehlo.{}\"({})", data.op.name(), self.list(&data.operands));
        if !attributes.is_empty() {
            let _ = write!(head, " <{{{attributes}}}>");
        }
        if let Op::Constant(_) = data.op {
            let key = format!("{head}{outputs}");
            if let Some(known) = self.constants.get(&key) {
                self.names.insert(data.results[0], known.clone());
                return;
            }
            let name = self.fresh();
            self.constants.insert(key, name.clone());
            let _ = writeln!(self.text, "{:1$}{name} = {head} : () -> {outputs}", "", 2 * depth);
            self.names.insert(data.results[0], name);
            return;
        }
        let indent = " ".repeat(2 * depth);
        let name = self.fresh();
        let left = if data.results.len() == 1 { name.clone() } else { format!("{name}:{}", data.results.len()) };
        let _ = write!(self.text, "{indent}{left} = {head}");
        match &data.op {
            Op::While(trips) => self.loop_regions(*trips, data, depth),
            Op::Reduce(reducer, _) | Op::AllReduce(reducer, _) | Op::ReduceScatter(reducer, ..) => {
                self.reducer(*reducer, graph.element(data.operands[0]), &indent);
            }
            Op::ScatterUnique => {
                let scalar = tensor(&Shape::new(graph.element(data.operands[0]), &[]));
                let (old, new) = (self.fresh(), self.fresh());
                let _ = write!(
                    self.text,
                    " ({{\n{indent}  ^bb0({old}: {scalar}, {new}: {scalar}):\n{indent}    \"stablehlo.return\"({new}) : ({scalar}) -> ()\n{indent}}})"
                );
            }
            Op::Sort => self.comparator(data, &indent),
            _ => {}
        }
        let _ = writeln!(self.text, " : ({inputs}) -> {}", if data.results.len() == 1 { outputs } else { format!("({outputs})") });
        for (i, value) in data.results.iter().enumerate() {
            let name = if data.results.len() == 1 { name.clone() } else { format!("{name}#{i}") };
            self.names.insert(*value, name);
        }
    }

    fn loop_regions(&mut self, trips: usize, data: &OpData, depth: usize) {
        let graph = self.graph;
        let indent = " ".repeat(2 * depth);
        let Some(body) = data.body else { return };
        let arguments = graph.blocks[body.0 as usize].arguments.clone();
        let header = |emitter: &mut Self| {
            let mut list = vec![];
            for value in &arguments {
                let name = emitter.fresh();
                list.push(format!("{name}: {}", tensor(graph.shape(*value))));
                emitter.names.insert(*value, name);
            }
            list.join(", ")
        };
        let list = header(self);
        let (limit, go) = (self.fresh(), self.fresh());
        let (count, scalar) = (self.names[&arguments[0]].clone(), "tensor<i32>");
        let _ = write!(
            self.text,
            " ({{\n{indent}  ^bb0({list}):\n{indent}    {limit} = \"stablehlo.constant\"() <{{value = dense<{trips}> : {scalar}}}> : () -> {scalar}\n\
             {indent}    {go} = \"stablehlo.compare\"({count}, {limit}) <{{compare_type = #stablehlo<comparison_type SIGNED>, \
             comparison_direction = #stablehlo<comparison_direction LT>}}> : ({scalar}, {scalar}) -> tensor<i1>\n\
             {indent}    \"stablehlo.return\"({go}) : (tensor<i1>) -> ()\n{indent}}}, {{\n"
        );
        let list = header(self);
        let _ = writeln!(self.text, "{indent}  ^bb0({list}):");
        let outside = std::mem::take(&mut self.constants);
        self.block(body, "stablehlo.return", depth + 2);
        self.constants = outside;
        let _ = write!(self.text, "{indent}}})");
    }

    fn reducer(&mut self, reducer: Reducer, element: ElementType, indent: &str) {
        let scalar = tensor(&Shape::new(element, &[]));
        let (a, b, c) = (self.fresh(), self.fresh(), self.fresh());
        let name = reducer.binary().name();
        let _ = write!(
            self.text,
            " ({{\n{indent}  ^bb0({a}: {scalar}, {b}: {scalar}):\n{indent}    {c} = \"stablehlo.{name}\"({a}, {b}) : ({scalar}, {scalar}) -> {scalar}\n\
             {indent}    \"stablehlo.return\"({c}) : ({scalar}) -> ()\n{indent}}})"
        );
    }

    fn comparator(&mut self, data: &OpData, indent: &str) {
        let mut list = vec![];
        let mut first = vec![];
        for value in &data.operands {
            let scalar = tensor(&Shape::new(self.graph.element(*value), &[]));
            for _ in 0..2 {
                let name = self.fresh();
                list.push(format!("{name}: {scalar}"));
                first.push(name);
            }
        }
        let element = self.graph.element(data.operands[0]);
        let (scalar, less) = (tensor(&Shape::new(element, &[])), self.fresh());
        let _ = write!(
            self.text,
            " ({{\n{indent}  ^bb0({}):\n{indent}    {less} = \"stablehlo.compare\"({}, {}) <{{compare_type = #stablehlo<comparison_type {}>, \
             comparison_direction = #stablehlo<comparison_direction LT>}}> : ({scalar}, {scalar}) -> tensor<i1>\n\
             {indent}    \"stablehlo.return\"({less}) : (tensor<i1>) -> ()\n{indent}}})",
            list.join(", "),
            first[0],
            first[1],
            comparison(element),
        );
    }
}

/// A string in MLIR's text: what is not plain is a byte in hexadecimal.
fn quoted(text: &str) -> String {
    let byte =
        |b: u8| if (b.is_ascii_graphic() || b == b' ') && !b"\"\\".contains(&b) { char::from(b).to_string() } else { format!("\\{b:02X}") };
    format!("\"{}\"", text.bytes().map(byte).collect::<String>())
}

/// A name behind `@`.
fn symbol(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.bytes().all(plain) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit()) { name.into() } else { quoted(name) }
}

fn tensor(shape: &Shape) -> String {
    format!("tensor<{shape}>")
}

fn types<'a>(types: impl Iterator<Item = &'a Shape>) -> String {
    types.map(tensor).collect::<Vec<_>>().join(", ")
}

fn comparison(element: ElementType) -> &'static str {
    match element {
        ElementType::S8 | ElementType::S32 | ElementType::S64 => "SIGNED",
        ElementType::U8 | ElementType::U32 | ElementType::U64 | ElementType::Pred => "UNSIGNED",
        _ => "FLOAT",
    }
}

/// `array<i64: 1, 2>`
fn array(values: &[usize]) -> String {
    if values.is_empty() { "array<i64>".into() } else { format!("array<i64: {}>", commas(values)) }
}

fn commas(values: &[usize]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn groups(groups: &ReplicaGroups) -> String {
    let rows: Vec<String> = groups.0.iter().map(|g| format!("[{}]", commas(g))).collect();
    format!("dense<[{}]> : tensor<{}x{}xi64>", rows.join(", "), groups.0.len(), groups.size())
}

/// What stands between `<{` and `}>`.
fn attributes(op: &Op, data: &OpData, graph: &Graph) -> String {
    match op {
        Op::Constant(literal) => {
            let ty = graph.shape(data.results[0]);
            format!("value = dense<{}> : {}", literal.dense(ty), tensor(ty))
        }
        Op::Iota(dimension) => format!("iota_dimension = {dimension} : i64"),
        Op::Compare(direction) => format!(
            "compare_type = #stablehlo<comparison_type {}>, comparison_direction = #stablehlo<comparison_direction {}>",
            comparison(graph.element(data.operands[0])),
            direction.name()
        ),
        Op::DotGeneral(dims, precision) => {
            let precision = if *precision == Precision::Highest { "HIGHEST" } else { "DEFAULT" };
            format!(
                "dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [{}], rhs_batching_dimensions = [{}], \
                 lhs_contracting_dimensions = [{}], rhs_contracting_dimensions = [{}]>, \
                 precision_config = [#stablehlo<precision {precision}>, #stablehlo<precision {precision}>]",
                commas(&dims.batch[0]),
                commas(&dims.batch[1]),
                commas(&dims.contracting[0]),
                commas(&dims.contracting[1])
            )
        }
        Op::Reduce(_, dimensions) | Op::Reverse(dimensions) => format!("dimensions = {}", array(dimensions)),
        Op::BroadcastInDim(dimensions) => format!("broadcast_dimensions = {}", array(dimensions)),
        Op::Transpose(permutation) => format!("permutation = {}", array(permutation)),
        Op::Slice([start, limit, strides]) => {
            format!("limit_indices = {}, start_indices = {}, strides = {}", array(limit), array(start), array(strides))
        }
        Op::DynamicSlice(sizes) => format!("slice_sizes = {}", array(sizes)),
        Op::Concatenate(dimension) => format!("dimension = {dimension} : i64"),
        Op::Pad([low, high, interior]) => {
            format!("edge_padding_high = {}, edge_padding_low = {}, interior_padding = {}", array(high), array(low), array(interior))
        }
        Op::Gather => {
            let shape = graph.dims(data.operands[0]);
            let offsets: Vec<usize> = (1..shape.len()).collect();
            format!(
                "dimension_numbers = #stablehlo.gather<offset_dims = [{}], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, \
                 indices_are_sorted = false, slice_sizes = {}",
                commas(&offsets),
                array(&[&[1], &shape[1..]].concat())
            )
        }
        Op::ScatterUnique => {
            let windows: Vec<usize> = (1..graph.dims(data.operands[0]).len()).collect();
            format!(
                "indices_are_sorted = false, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [{}], inserted_window_dims = [0], \
                 scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, unique_indices = true",
                commas(&windows)
            )
        }
        Op::Sort => "dimension = 0 : i64, is_stable = true".into(),
        Op::CustomCall(CustomCall { target, backend_config, api_version, has_side_effect }) => {
            let config = if *api_version == 4 { format!("{{{backend_config}}}") } else { quoted(backend_config) };
            format!(
                "api_version = {api_version} : i32, backend_config = {config}, call_target_name = {}, has_side_effect = {has_side_effect}",
                quoted(target)
            )
        }
        Op::AllReduce(_, g) => format!("replica_groups = {}", groups(g)),
        Op::AllGather(dimension, g) => format!("all_gather_dim = {dimension} : i64, replica_groups = {}", groups(g)),
        Op::ReduceScatter(_, dimension, g) => format!("replica_groups = {}, scatter_dimension = {dimension} : i64", groups(g)),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Convert
        | Op::Reshape
        | Op::DynamicUpdateSlice
        | Op::While(_)
        | Op::OptimizationBarrier
        | Op::Rule(_) => String::new(),
    }
}
