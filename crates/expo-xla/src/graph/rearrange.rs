//! Operations that move elements and change none.

use super::op::Op;
use super::{ElementType, Error, Graph, Result, Value};

impl Graph {
    /// Repeats x: its dimension `i` is the result's dimension `dimensions[i]`, and has its size or 1.
    /// Errors: dimensions that are not as many, not ascending, or whose sizes don't fit.
    pub fn broadcast_in_dim(&mut self, x: Value, shape: &[usize], dimensions: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        if ty.dimensions == shape && dimensions.iter().copied().eq(0..shape.len()) {
            return Ok(x);
        }
        let fits = dimensions.len() == ty.rank()
            && dimensions.windows(2).all(|d| d[0] < d[1])
            && dimensions.iter().zip(&ty.dimensions).all(|(d, size)| shape.get(*d).is_some_and(|to| size == to || *size == 1));
        if !fits {
            return Err(Error::new("broadcast_in_dim", format!("{ty} into {shape:?} by dimensions {dimensions:?}")));
        }
        self.push_one(Op::BroadcastInDim(dimensions.to_vec()), &[x], ty.element, shape)
    }

    /// Repeats x along new dimensions in front of its own.
    pub fn broadcast_leading(&mut self, x: Value, shape: &[usize]) -> Result<Value> {
        let rank = self.shape(x).rank();
        let first = shape
            .len()
            .checked_sub(rank)
            .ok_or_else(|| Error::new("broadcast_in_dim", format!("{} into {shape:?}, which has fewer dimensions", self.shape(x))))?;
        self.broadcast_in_dim(x, shape, &(first..shape.len()).collect::<Vec<_>>())
    }

    /// Repeats x along new dimensions behind its own.
    pub fn broadcast_trailing(&mut self, x: Value, shape: &[usize]) -> Result<Value> {
        let rank = self.shape(x).rank();
        self.broadcast_in_dim(x, shape, &(0..rank).collect::<Vec<_>>())
    }

    /// The same elements in another shape. Errors: another number of elements.
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        if ty.dimensions == shape {
            return Ok(x);
        }
        if ty.dimensions.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(Error::new("reshape", format!("{ty} into {shape:?}, which has another number of elements")));
        }
        self.push_one(Op::Reshape, &[x], ty.element, shape)
    }

    /// Reorders dimensions: the result's dimension `i` is x's dimension `permutation[i]`. Errors: no permutation of
    /// x's dimensions.
    pub fn transpose(&mut self, x: Value, permutation: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..ty.rank()) {
            return Err(Error::new("transpose", format!("{ty} by {permutation:?}")));
        }
        if permutation.is_sorted() {
            return Ok(x);
        }
        let shape: Vec<usize> = permutation.iter().map(|d| ty.dimensions[*d]).collect();
        self.push_one(Op::Transpose(permutation.to_vec()), &[x], ty.element, &shape)
    }

    /// The elements from `start` to before `limit` of every dimension, in steps of `strides`. Errors: bounds outside
    /// x.
    pub fn slice(&mut self, x: Value, start: &[usize], limit: &[usize], strides: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        let inside = |d: usize| start[d] <= limit[d] && limit[d] <= ty.dimensions[d] && strides[d] > 0;
        if [start, limit, strides].iter().any(|list| list.len() != ty.rank()) || !(0..ty.rank()).all(inside) {
            return Err(Error::new("slice", format!("{start:?} to {limit:?} by {strides:?} of {ty}")));
        }
        let shape: Vec<usize> = (0..ty.rank()).map(|d| (limit[d] - start[d]).div_ceil(strides[d])).collect();
        if shape == ty.dimensions {
            return Ok(x);
        }
        let bounds = [start.to_vec(), limit.to_vec(), strides.to_vec()];
        self.push_one(Op::Slice(bounds), &[x], ty.element, &shape)
    }

    /// [`Graph::slice`] of one dimension.
    pub fn slice_in_dim(&mut self, x: Value, dimension: usize, start: usize, limit: usize) -> Result<Value> {
        let shape = self.dims(x).to_vec();
        if dimension >= shape.len() {
            return Err(Error::new("slice", format!("dimension {dimension} of {}", self.shape(x))));
        }
        let (mut from, mut to) = (vec![0; shape.len()], shape.clone());
        (from[dimension], to[dimension]) = (start, limit);
        self.slice(x, &from, &to, &vec![1; shape.len()])
    }

    /// The slice of `sizes` at scalar `indices`, one for each dimension; clamped so that it lies inside. Errors:
    /// sizes above x's, other counts.
    pub fn dynamic_slice(&mut self, x: Value, indices: &[Value], sizes: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        self.check_indices("dynamic_slice", x, indices)?;
        if sizes.len() != ty.rank() || sizes.iter().zip(&ty.dimensions).any(|(size, of)| size > of) {
            return Err(Error::new("dynamic_slice", format!("sizes {sizes:?} of {ty}")));
        }
        let operands = [&[x], indices].concat();
        self.push_one(Op::DynamicSlice(sizes.to_vec()), &operands, ty.element, sizes)
    }

    /// x with the slice at scalar `indices` replaced by `update`; clamped likewise. Errors: an update that is larger
    /// or of another type.
    pub fn dynamic_update_slice(&mut self, x: Value, update: Value, indices: &[Value]) -> Result<Value> {
        let (ty, by) = (self.shape(x).clone(), self.shape(update).clone());
        self.check_indices("dynamic_update_slice", x, indices)?;
        if by.element != ty.element || by.rank() != ty.rank() || by.dimensions.iter().zip(&ty.dimensions).any(|(size, of)| size > of) {
            return Err(Error::new("dynamic_update_slice", format!("{by} into {ty}")));
        }
        let operands = [&[x, update], indices].concat();
        self.push_one(Op::DynamicUpdateSlice, &operands, ty.element, &ty.dimensions)
    }

    /// Slice number `index` of x's first dimension, without that dimension.
    pub fn dynamic_index(&mut self, x: Value, index: Value) -> Result<Value> {
        let shape = self.dims(x).to_vec();
        if shape.is_empty() {
            return Err(Error::new("dynamic_slice", format!("no dimension to index in {}", self.shape(x))));
        }
        let indices = self.leading_index(index, shape.len())?;
        let sizes = [&[1], &shape[1..]].concat();
        let slice = self.dynamic_slice(x, &indices, &sizes)?;
        self.reshape(slice, &shape[1..])
    }

    /// x with slice number `index` of its first dimension replaced.
    pub fn dynamic_update_index(&mut self, x: Value, update: Value, index: Value) -> Result<Value> {
        let indices = self.leading_index(index, self.shape(x).rank())?;
        let shape = [&[1], self.dims(update)].concat();
        let update = self.reshape(update, &shape)?;
        self.dynamic_update_slice(x, update, &indices)
    }

    fn leading_index(&mut self, index: Value, rank: usize) -> Result<Vec<Value>> {
        let zero = self.scalar(0.0, self.element(index))?;
        let mut indices = vec![zero; rank];
        if let Some(first) = indices.first_mut() {
            *first = index;
        }
        Ok(indices)
    }

    fn check_indices(&self, op: &str, x: Value, indices: &[Value]) -> Result<()> {
        let whole = |v: &Value| self.dims(*v).is_empty() && matches!(self.element(*v), ElementType::S32 | ElementType::U32);
        let one_type = indices.windows(2).all(|pair| self.element(pair[0]) == self.element(pair[1]));
        if indices.len() == self.shape(x).rank() && indices.iter().all(whole) && one_type {
            return Ok(());
        }
        Err(Error::new(op, format!("indices {} of {}: one whole number for each dimension is needed", self.shapes(indices), self.shape(x))))
    }

    /// Tensors one after the other along a dimension. Errors: none at all; shapes that differ elsewhere; several
    /// element types.
    pub fn concatenate(&mut self, operands: &[Value], dimension: usize) -> Result<Value> {
        let types: Vec<_> = operands.iter().map(|v| self.shape(*v).clone()).collect();
        let fits = types.first().is_some_and(|first| {
            let outside = |shape: &[usize]| shape.iter().enumerate().filter(|(d, _)| *d != dimension).map(|(_, s)| *s).collect::<Vec<_>>();
            dimension < first.rank()
                && types.iter().all(|ty| {
                    ty.element == first.element && ty.rank() == first.rank() && outside(&ty.dimensions) == outside(&first.dimensions)
                })
        });
        if !fits {
            return Err(Error::new("concatenate", format!("{} along dimension {dimension}", self.shapes(operands))));
        }
        if let [only] = operands {
            return Ok(*only);
        }
        let mut shape = types[0].dimensions.clone();
        shape[dimension] = types.iter().map(|ty| ty.dimensions[dimension]).sum();
        self.push_one(Op::Concatenate(dimension), operands, types[0].element, &shape)
    }

    /// x with `low` elements of `value` before, `high` behind, and `interior` between the elements of each dimension.
    /// Errors: a value that is no scalar of x's type; lists of another length.
    pub fn pad(&mut self, x: Value, value: Value, low: &[usize], high: &[usize], interior: &[usize]) -> Result<Value> {
        let (ty, with) = (self.shape(x).clone(), self.shape(value).clone());
        if [low, high, interior].iter().any(|list| list.len() != ty.rank()) || with.element != ty.element || with.rank() != 0 {
            return Err(Error::new("pad", format!("{ty} with {with}, low {low:?}, high {high:?}, interior {interior:?}")));
        }
        let size = |d: usize| low[d] + high[d] + ty.dimensions[d] + ty.dimensions[d].saturating_sub(1) * interior[d];
        let shape: Vec<usize> = (0..ty.rank()).map(size).collect();
        if shape == ty.dimensions {
            return Ok(x);
        }
        let padding = [low.to_vec(), high.to_vec(), interior.to_vec()];
        self.push_one(Op::Pad(padding), &[x, value], ty.element, &shape)
    }

    /// x with `high` elements of a number behind those of one dimension.
    pub fn pad_high(&mut self, x: Value, dimension: usize, high: usize, number: f64) -> Result<Value> {
        let value = self.scalar(number, self.element(x))?;
        let none = vec![0; self.shape(x).rank()];
        let mut behind = none.clone();
        match behind.get_mut(dimension) {
            Some(place) => *place = high,
            None => return Err(Error::new("pad", format!("dimension {dimension} of {}", self.shape(x)))),
        }
        self.pad(x, value, &none, &behind, &none)
    }

    /// x with dimensions mirrored. Errors: dimensions that x doesn't have.
    pub fn reverse(&mut self, x: Value, dimensions: &[usize]) -> Result<Value> {
        let ty = self.shape(x).clone();
        if dimensions.iter().any(|d| *d >= ty.rank()) {
            return Err(Error::new("reverse", format!("dimensions {dimensions:?} of {ty}")));
        }
        self.push_one(Op::Reverse(dimensions.to_vec()), &[x], ty.element, &ty.dimensions)
    }
}
