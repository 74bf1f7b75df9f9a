//! Operations between the replicas of a program. Each runs on data of its own; a group's replicas meet here, and all
//! of them must come.

use super::op::{Op, Reducer, ReplicaGroups};
use super::{Error, Graph, Result, Value};

impl Graph {
    /// The reduction of x over the replicas of each group. Errors: groups that are not the program's replicas, each
    /// once, in groups of one size.
    pub fn all_reduce(&mut self, reducer: Reducer, x: Value, groups: &ReplicaGroups) -> Result<Value> {
        self.check_groups("all_reduce", groups)?;
        let ty = self.shape(x).clone();
        self.push_one(Op::AllReduce(reducer, groups.clone()), &[x], ty.element, &ty.dimensions)
    }

    /// The group's tensors one after the other along a dimension. Errors: as [`Graph::all_reduce`]; a dimension that
    /// x doesn't have.
    pub fn all_gather(&mut self, x: Value, dimension: usize, groups: &ReplicaGroups) -> Result<Value> {
        self.check_groups("all_gather", groups)?;
        let ty = self.shape(x).clone();
        let mut shape = ty.dimensions.clone();
        match shape.get_mut(dimension) {
            Some(size) => *size *= groups.size(),
            None => return Err(Error::new("all_gather", format!("dimension {dimension} of {ty}"))),
        }
        self.push_one(Op::AllGather(dimension, groups.clone()), &[x], ty.element, &shape)
    }

    /// The reduction of x over each group, of which replica i of the group keeps part i along a dimension.
    /// Errors: as [`Graph::all_reduce`]; a dimension that the group's size does not divide.
    pub fn reduce_scatter(&mut self, reducer: Reducer, x: Value, dimension: usize, groups: &ReplicaGroups) -> Result<Value> {
        self.check_groups("reduce_scatter", groups)?;
        let ty = self.shape(x).clone();
        let mut shape = ty.dimensions.clone();
        match shape.get_mut(dimension) {
            Some(size) if size.is_multiple_of(groups.size()) => *size /= groups.size(),
            _ => return Err(Error::new("reduce_scatter", format!("dimension {dimension} of {ty} in {} parts", groups.size()))),
        }
        self.push_one(Op::ReduceScatter(reducer, dimension, groups.clone()), &[x], ty.element, &shape)
    }

    fn check_groups(&self, op: &str, groups: &ReplicaGroups) -> Result<()> {
        let mut all: Vec<usize> = groups.0.concat();
        all.sort_unstable();
        if groups.0.iter().any(|g| g.len() != groups.size()) || !all.iter().copied().eq(0..self.replicas()) {
            let message = format!(
                "groups {:?}: groups of one size are needed that hold the replicas 0 to {} once each",
                groups.0,
                self.replicas() - 1
            );
            return Err(Error::new(op, message));
        }
        Ok(())
    }
}
