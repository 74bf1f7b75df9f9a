//! Products and reductions.

use super::op::{DotDimensions, Op, Precision, Reducer};
use super::{ElementType, Error, Graph, Result, Value, accumulator};

impl Graph {
    /// The product of two tensors. The result's dimensions are the batch ones, then what is left of `a`, then what is
    /// left of `b`. It is in f32 where the operands are bf16 (their products are exact in it, and are summed in it),
    /// else in the operands' type; the precision written is [`Precision::Default`] for bf16 and
    /// [`Precision::Highest`] otherwise.
    ///
    /// Errors: two element types, or not floats; paired dimensions that don't exist, repeat, or differ in size.
    pub fn dot_general(&mut self, a: Value, b: Value, dimensions: &DotDimensions) -> Result<Value> {
        let precision = if self.element(a) != accumulator(self.element(a)) { Precision::Default } else { Precision::Highest };
        self.dot_general_with(a, b, dimensions, precision)
    }

    /// [`Graph::dot_general`] with a precision of the caller's.
    pub fn dot_general_with(&mut self, a: Value, b: Value, dimensions: &DotDimensions, precision: Precision) -> Result<Value> {
        let (x, y) = (self.shape(a).clone(), self.shape(b).clone());
        let (batch, contracting) = (&dimensions.batch, &dimensions.contracting);
        let lists = [[&batch[0], &contracting[0]], [&batch[1], &contracting[1]]];
        let free = |lists: [&Vec<usize>; 2], rank: usize| -> Option<Vec<usize>> {
            let mut used: Vec<usize> = lists[0].iter().chain(lists[1]).copied().collect();
            let free = (0..rank).filter(|d| !used.contains(d)).collect();
            used.sort_unstable();
            (used.windows(2).all(|d| d[0] < d[1]) && used.iter().all(|d| *d < rank)).then_some(free)
        };
        let paired = [batch, contracting].iter().all(|[l, r]| {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| x.dimensions.get(*l).is_some_and(|size| y.dimensions.get(*r) == Some(size)))
        });
        let ([Some(left), Some(right)], true, true) =
            ([free(lists[0], x.rank()), free(lists[1], y.rank())], paired, x.element == y.element && x.element.is_float())
        else {
            return Err(Error::new("dot_general", format!("{x} by {y}: batch {batch:?}, contracting {contracting:?}")));
        };
        let sizes = |dims: &[usize], shape: &[usize]| dims.iter().map(|d| shape[*d]).collect::<Vec<_>>();
        let shape = [sizes(&batch[0], &x.dimensions), sizes(&left, &x.dimensions), sizes(&right, &y.dimensions)].concat();
        self.push_one(Op::DotGeneral(dimensions.clone(), precision), &[a, b], accumulator(x.element), &shape)
    }

    /// `x w^T` over the last dimension of both, as a linear layer with weight `[out, in]` does.
    pub fn linear(&mut self, x: Value, weight: Value) -> Result<Value> {
        let (last, of) = (self.shape(x).rank(), self.shape(weight).rank());
        if last == 0 || of != 2 {
            return Err(Error::new(
                "dot_general",
                format!("{} by {}: a linear layer's weight is [out, in]", self.shape(x), self.shape(weight)),
            ));
        }
        self.dot_general(x, weight, &DotDimensions { batch: [vec![], vec![]], contracting: [vec![last - 1], vec![1]] })
    }

    /// Reduces dimensions away. Sums of bf16 are to be converted first: the result has x's type.
    /// Errors: dimensions that x doesn't have, or that repeat; booleans.
    pub fn reduce(&mut self, reducer: Reducer, x: Value, dimensions: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        let mut sorted = dimensions.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|d| d[0] == d[1]) || sorted.iter().any(|d| *d >= ty.rank()) || ty.element == ElementType::Pred {
            return Err(Error::new("reduce", format!("{ty} over dimensions {dimensions:?}")));
        }
        if sorted.is_empty() {
            return Ok(x);
        }
        let initial = match (reducer, ty.element) {
            (Reducer::Add, _) => 0.0,
            (Reducer::Maximum, ElementType::S32) => f64::from(i32::MIN),
            (Reducer::Maximum, ElementType::U32) => 0.0,
            (Reducer::Maximum, _) => f64::NEG_INFINITY,
            (Reducer::Minimum, ElementType::S32) => f64::from(i32::MAX),
            (Reducer::Minimum, ElementType::U32) => f64::from(u32::MAX),
            (Reducer::Minimum, _) => f64::INFINITY,
        };
        let initial = self.scalar(initial, ty.element)?;
        let shape: Vec<usize> = (0..ty.rank()).filter(|d| !sorted.contains(d)).map(|d| ty.dimensions[d]).collect();
        self.push_one(Op::Reduce(reducer, sorted), &[x, initial], ty.element, &shape)
    }

    /// The sum over dimensions.
    pub fn sum(&mut self, x: Value, dimensions: &[usize]) -> Result<Value> {
        self.reduce(Reducer::Add, x, dimensions)
    }

    /// The sum of all elements.
    pub fn sum_all(&mut self, x: Value) -> Result<Value> {
        let all: Vec<usize> = (0..self.shape(x).rank()).collect();
        self.sum(x, &all)
    }
}
