//! Rows by index: gathering them, and adding to them in a fixed order.

use super::op::{Direction, Op};
use super::{ElementType, Error, Graph, Result, Value};

impl Graph {
    /// Rows of `table` `[n, ...]` at `indices` `[m]` (s32, clamped to the table): `[m, ...]`. Errors: other shapes or
    /// an empty table.
    pub fn gather(&mut self, table: Value, indices: Value) -> Result<Value> {
        let (ty, by) = (self.shape(table).clone(), self.shape(indices).clone());
        if ty.rank() == 0 || ty.dimensions[0] == 0 || by.rank() != 1 || by.element != ElementType::S32 {
            return Err(Error::new("gather", format!("rows of {ty} at {by}: a table of rows and a list of i32 are needed")));
        }
        let shape = [&by.dimensions[..], &ty.dimensions[1..]].concat();
        self.push_one(Op::Gather, &[table, indices], ty.element, &shape)
    }

    /// `table` `[n, ...]` with the rows at `indices` `[m]` replaced by `rows` `[m, ...]`. The indices must differ
    /// from each other; those outside the table drop their row. Errors: other shapes.
    pub fn scatter_unique(&mut self, table: Value, indices: Value, rows: Value) -> Result<Value> {
        let (ty, by, with) = (self.shape(table).clone(), self.shape(indices).clone(), self.shape(rows).clone());
        let fits = ty.rank() > 0
            && by.rank() == 1
            && by.element == ElementType::S32
            && with.element == ty.element
            && with.dimensions == [&by.dimensions[..], &ty.dimensions[1..]].concat();
        if !fits {
            return Err(Error::new("scatter", format!("{with} at {by} into {ty}")));
        }
        self.push_one(Op::ScatterUnique, &[table, indices, rows], ty.element, &ty.dimensions)
    }

    /// Sorts the lists `keys` and `others` together by `keys`, ascending, equal ones in their order. Errors: no
    /// lists, or of several lengths.
    pub fn sort(&mut self, keys: Value, others: &[Value]) -> Result<Vec<Value>> {
        let operands = [&[keys], others].concat();
        let types: Vec<_> = operands.iter().map(|v| self.shape(*v).clone()).collect();
        if types.iter().any(|ty| ty.rank() != 1 || ty.dimensions != types[0].dimensions) {
            return Err(Error::new("sort", format!("{}: lists of one length are needed", self.shapes(&operands))));
        }
        self.push(Op::Sort, &operands, types, None)
    }

    /// Zeros `[n, ...]` to whose row `indices[i]` (s32, clamped) row `i` of `rows` `[m, ...]` is added, for every
    /// `i`: the backward of [`Graph::gather`].
    ///
    /// Without atomics, so that the sums have one order on every device: the rows are sorted by index (stably); each
    /// then collects the sum of those from itself to the last of the same index by doubling (after pass p, of the 2^p
    /// next ones), which adds as a balanced tree does; the first row of each index holds its sum, and is written
    /// once. `ceil(log2 m)` passes over `[m, ...]`.
    ///
    /// Errors: other shapes, or not floats.
    pub fn scatter_add(&mut self, n: usize, indices: Value, rows: Value) -> Result<Value> {
        let (by, ty) = (self.shape(indices).clone(), self.shape(rows).clone());
        if by.rank() != 1
            || by.element != ElementType::S32
            || ty.rank() == 0
            || ty.dimensions[0] != by.dimensions[0]
            || !ty.element.is_float()
            || n == 0
        {
            return Err(Error::new("scatter_add", format!("{ty} at {by} into {n} rows")));
        }
        let result = self.sorted_sums(n, indices, rows)?;
        let rule = self.rule("scatter_add", &[rows], &[result], move |g, asked| {
            let cotangent = asked.cotangents[0].map(|ct| g.gather(ct, indices)).transpose()?;
            Ok(vec![cotangent])
        })?;
        Ok(rule[0])
    }

    fn sorted_sums(&mut self, n: usize, indices: Value, rows: Value) -> Result<Value> {
        let ty = self.shape(rows).clone();
        let m = ty.dimensions[0];
        let table = self.full(0.0, ty.element, &[&[n], &ty.dimensions[1..]].concat())?;
        if m == 0 {
            return Ok(table);
        }
        let low = self.full(0.0, ElementType::S32, &[m])?;
        let high = self.full((n - 1) as f64, ElementType::S32, &[m])?;
        let indices = self.maximum(indices, low)?;
        let indices = self.minimum(indices, high)?;
        let order = self.iota(0, ElementType::S32, &[m])?;
        let sorted = self.sort(indices, &[order])?;
        let (keys, order) = (sorted[0], sorted[1]);
        let rows = self.gather(rows, order)?;
        let passes = m.next_power_of_two().trailing_zeros() as usize;
        // Behind the last row: an index that no row has, so that it is never added.
        let beyond = self.scalar(-1.0, ElementType::S32)?;
        let padded_keys = self.pad(keys, beyond, &[0], &[m], &[0])?;
        let one = self.scalar(1.0, ElementType::S32)?;
        let sums = self.while_loop(passes, &[one, rows], |g, _, carried| {
            let (step, sums) = (carried[0], carried[1]);
            let other_keys = g.dynamic_slice(padded_keys, &[step], &[m])?;
            let same = g.compare(Direction::Eq, keys, other_keys)?;
            let zero = g.scalar(0.0, ElementType::S32)?;
            let padded = g.pad_high(sums, 0, m, 0.0)?;
            let mut at = vec![zero; ty.rank()];
            at[0] = step;
            let others = g.dynamic_slice(padded, &at, &ty.dimensions)?;
            let none = g.full_like(0.0, others)?;
            let same = g.broadcast_trailing(same, &ty.dimensions)?;
            let others = g.select(same, others, none)?;
            Ok(vec![g.add(step, step)?, g.add(sums, others)?])
        })?[1];
        // The first of each index; the others get places behind the table, each its own.
        let before = {
            let start = self.slice_in_dim(padded_keys, 0, 0, m - 1)?;
            let first = self.full(-1.0, ElementType::S32, &[1])?;
            self.concatenate(&[first, start], 0)?
        };
        let first = self.compare(Direction::Ne, keys, before)?;
        let counted = self.iota(0, ElementType::S32, &[m])?;
        let beyond = self.full(n as f64, ElementType::S32, &[m])?;
        let beyond = self.add(counted, beyond)?;
        let places = self.select(first, keys, beyond)?;
        self.scatter_unique(table, places, sums)
    }
}
