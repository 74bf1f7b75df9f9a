//! Measures a case's differences: on a plugin, or by the plain evaluation alone.

use expo_xla::client::{Client, CompileOptions, Executable};
use expo_xla::grad::gradient;
use expo_xla::graph::{Array, Graph, Literal, Value};
use expo_xla::{ElementType, Program};

use super::cases::Case;

/// What can go wrong: the message.
pub type Outcome<T> = Result<T, String>;

/// Largest absolute differences.
#[derive(Debug, Clone, Copy)]
pub struct Differences {
    /// Of the outputs and derivatives from those of the plain evaluation.
    pub value: f64,
    /// Of the derivatives from finite differences; none where there are no derivatives.
    pub rule: Option<f64>,
    /// Number of derivatives compared.
    pub compared: usize,
}

impl Differences {
    /// Whether all are as small as rounding makes them.
    pub fn passes(&self, case: &Case) -> bool {
        self.value < 1e-12 && self.rule.is_none_or(|d| d < case.tolerance)
    }
}

/// Where programs run.
pub enum On<'a> {
    /// On a plugin's devices.
    Plugin(&'a Client),
    /// On the host, by [`Graph::evaluate`].
    Host,
}

/// Inputs or outputs: `[replica][number][element]`.
type Lists = Vec<Vec<Vec<f64>>>;

/// Distinct values between two bounds, in an order that looks random; another one for each input.
pub fn values(count: usize, low: f64, high: f64, input: usize) -> Vec<f64> {
    let stride = (1..).map(|i| 2 * i * count / 5 + 1).find(|s| gcd(*s, count.max(1)) == 1).unwrap_or(1);
    let shift = [0.5, 0.31, 0.77, 0.13][input % 4];
    (0..count).map(|i| low + (high - low) * ((i * stride % count) as f64 + shift) / count as f64).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The outputs' sum with fixed weights, so that every element counts differently.
pub fn loss(g: &mut Graph, outputs: &[Value]) -> expo_xla::graph::Result<Value> {
    let mut total = g.scalar(0.0, ElementType::F64)?;
    for (i, y) in outputs.iter().enumerate() {
        let shape = g.dims(*y).to_vec();
        let count = shape.iter().product();
        let weights = g.constant(Literal::Floats(values(count, -1.0, 1.0, i + 1)), ElementType::F64, &shape)?;
        let product = g.multiply(*y, weights)?;
        let sum = g.sum_all(product)?;
        total = g.add(total, sum)?;
    }
    Ok(total)
}

/// A case's graph with what it returns: the outputs' weighted sum, its derivatives, the outputs.
struct Made {
    graph: Graph,
    results: Vec<Value>,
}

fn make(case: &Case) -> expo_xla::graph::Result<Made> {
    let mut g = Graph::for_replicas(case.replicas);
    let mut inputs = vec![];
    for (i, (shape, ..)) in case.inputs.iter().enumerate() {
        inputs.push(g.parameter(&format!("x{i}"), ElementType::F64, shape)?);
    }
    let outputs = (case.build)(&mut g, &inputs)?;
    let loss = loss(&mut g, &outputs)?;
    let mut results = vec![loss];
    if case.differentiable {
        results.extend(gradient(&mut g, loss, &inputs)?);
    }
    results.extend(outputs);
    Ok(Made { graph: g, results })
}

/// The case's program: the outputs' weighted sum, where it has them the derivatives of that sum over all replicas,
/// and the outputs.
pub fn program(case: &Case) -> expo_xla::graph::Result<Program> {
    let made = make(case)?;
    made.graph.program(&case.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"), &made.results, &[])
}

/// Compares a case's derivatives with finite differences of fourth order, and everything with the plain evaluation.
pub fn check(on: &On<'_>, case: &Case) -> Outcome<Differences> {
    let made = make(case).map_err(|e| e.to_string())?;
    let executable = match on {
        On::Host => None,
        On::Plugin(client) => {
            let program = program(case).map_err(|e| e.to_string())?;
            Some((
                client,
                client.compile(&program, &CompileOptions::replicas(case.replicas)).map_err(|e| format!("{e}\n{}", program.text))?,
            ))
        }
    };
    let all = made.results.len();
    let run = |inputs: &Lists, results: usize| match &executable {
        Some((client, executable)) => execute(client, executable, case, inputs),
        None => evaluate(&made, case, inputs, results),
    };
    let mut inputs: Lists = (0..case.replicas)
        .map(|r| {
            let one = |(i, (shape, low, high)): (usize, &(Vec<usize>, f64, f64))| values(shape.iter().product(), *low, *high, i + r);
            case.inputs.iter().enumerate().map(one).collect()
        })
        .collect();
    let found = run(&inputs, all)?;
    let value = farthest(&found, &evaluate(&made, case, &inputs, all)?);
    if !case.differentiable {
        return Ok(Differences { value, rule: None, compared: 0 });
    }
    let (mut largest, mut compared) = (0f64, 0);
    for replica in 0..case.replicas {
        for input in 0..inputs[replica].len() {
            for element in 0..inputs[replica][input].len() {
                let x = inputs[replica][input][element];
                let mut at = |steps: f64| -> Outcome<f64> {
                    inputs[replica][input][element] = x + steps * case.step;
                    Ok(run(&inputs, 1)?.iter().map(|outputs| outputs[0][0]).sum())
                };
                let difference = 8.0 * (at(1.0)? - at(-1.0)?) - (at(2.0)? - at(-2.0)?);
                inputs[replica][input][element] = x;
                largest = worse(largest, found[replica][1 + input][element] - difference / (12.0 * case.step));
                compared += 1;
            }
        }
    }
    Ok(Differences { value, rule: Some(largest), compared })
}

/// The larger of a difference so far and another's size; NaN is the largest.
fn worse(largest: f64, difference: f64) -> f64 {
    let size = difference.abs();
    if size.is_nan() || size > largest { size } else { largest }
}

fn farthest(a: &Lists, b: &Lists) -> f64 {
    let all = |lists: &Lists| lists.iter().flatten().flatten().copied().collect::<Vec<_>>();
    let (a, b) = (all(a), all(b));
    assert_eq!(a.len(), b.len(), "as many elements");
    a.iter().zip(&b).fold(0.0, |largest, (a, b)| worse(largest, a - b))
}

/// The first so many results.
fn evaluate(made: &Made, case: &Case, inputs: &Lists, results: usize) -> Outcome<Lists> {
    let failed = |e: expo_xla::graph::Error| e.to_string();
    let mut arrays = vec![];
    for list in inputs {
        let one = |(values, (shape, ..)): (&Vec<f64>, &(Vec<usize>, f64, f64))| Array::new(ElementType::F64, shape, values.clone());
        arrays.push(list.iter().zip(&case.inputs).map(one).collect::<Result<Vec<_>, _>>().map_err(failed)?);
    }
    let outputs = made.graph.evaluate(&arrays, &made.results[..results]).map_err(failed)?;
    Ok(outputs.into_iter().map(|list| list.into_iter().map(|array| array.data).collect()).collect())
}

fn execute(client: &Client, executable: &Executable, case: &Case, inputs: &Lists) -> Outcome<Lists> {
    let failed = |e: expo_xla::Error| e.to_string();
    let mut buffers = vec![];
    for (list, device) in inputs.iter().zip(executable.devices()) {
        let one = |(values, (shape, ..)): (&Vec<f64>, &(Vec<usize>, f64, f64))| client.buffer("input", values, shape, device);
        buffers.push(list.iter().zip(&case.inputs).map(one).collect::<Result<Vec<_>, _>>().map_err(failed)?);
    }
    let lists: Vec<Vec<_>> = buffers.iter().map(|list| list.iter().collect()).collect();
    let lists: Vec<_> = lists.iter().map(Vec::as_slice).collect();
    let outputs = executable.execute_on_all(&lists).map_err(failed)?;
    outputs.iter().map(|list| list.iter().map(|b| b.to_vec::<f64>().map_err(failed)).collect()).collect()
}
