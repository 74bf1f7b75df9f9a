//! The operations: StableHLO's names and their attributes.

use std::fmt;
use std::rc::Rc;

use super::{Graph, Literal, OpId, Result, Value};

/// Elementwise functions of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// |x|
    Abs,
    /// Rounds up.
    Ceil,
    /// cos x
    Cosine,
    /// e^x
    Exponential,
    /// e^x - 1
    ExponentialMinusOne,
    /// Rounds down.
    Floor,
    /// Whether neither infinite nor NaN.
    IsFinite,
    /// ln x
    Log,
    /// ln (1 + x)
    LogPlusOne,
    /// 1 / (1 + e^-x)
    Logistic,
    /// -x
    Negate,
    /// Not, bit by bit.
    Not,
    /// 1 / sqrt x
    Rsqrt,
    /// -1, 0 or 1.
    Sign,
    /// sin x
    Sine,
    /// sqrt x
    Sqrt,
    /// tanh x
    Tanh,
}

impl Unary {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Abs,
        Self::Ceil,
        Self::Cosine,
        Self::Exponential,
        Self::ExponentialMinusOne,
        Self::Floor,
        Self::IsFinite,
        Self::Log,
        Self::LogPlusOne,
        Self::Logistic,
        Self::Negate,
        Self::Not,
        Self::Rsqrt,
        Self::Sign,
        Self::Sine,
        Self::Sqrt,
        Self::Tanh,
    ];

    /// StableHLO's name without the dialect.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Ceil => "ceil",
            Self::Cosine => "cosine",
            Self::Exponential => "exponential",
            Self::ExponentialMinusOne => "exponential_minus_one",
            Self::Floor => "floor",
            Self::IsFinite => "is_finite",
            Self::Log => "log",
            Self::LogPlusOne => "log_plus_one",
            Self::Logistic => "logistic",
            Self::Negate => "negate",
            Self::Not => "not",
            Self::Rsqrt => "rsqrt",
            Self::Sign => "sign",
            Self::Sine => "sine",
            Self::Sqrt => "sqrt",
            Self::Tanh => "tanh",
        }
    }
}

/// Elementwise functions of two operands of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// Sum.
    Add,
    /// And, bit by bit.
    And,
    /// Quotient.
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// Product.
    Multiply,
    /// Or, bit by bit.
    Or,
    /// x^y
    Power,
    /// What a division leaves, with the sign of the dividend.
    Remainder,
    /// Difference.
    Subtract,
}

impl Binary {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Add,
        Self::And,
        Self::Divide,
        Self::Maximum,
        Self::Minimum,
        Self::Multiply,
        Self::Or,
        Self::Power,
        Self::Remainder,
        Self::Subtract,
    ];

    /// StableHLO's name without the dialect.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::And => "and",
            Self::Divide => "divide",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Multiply => "multiply",
            Self::Or => "or",
            Self::Power => "power",
            Self::Remainder => "remainder",
            Self::Subtract => "subtract",
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Equal.
    Eq,
    /// Unequal.
    Ne,
    /// Greater or equal.
    Ge,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Less.
    Lt,
}

impl Direction {
    /// StableHLO's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "EQ",
            Self::Ne => "NE",
            Self::Ge => "GE",
            Self::Gt => "GT",
            Self::Le => "LE",
            Self::Lt => "LT",
        }
    }
}

/// What a reduction, or a collective one, does with two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    /// Sum.
    Add,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
}

impl Reducer {
    /// The elementwise function.
    pub fn binary(self) -> Binary {
        match self {
            Self::Add => Binary::Add,
            Self::Maximum => Binary::Maximum,
            Self::Minimum => Binary::Minimum,
        }
    }
}

/// How precisely a product's operands are taken. Always written, since a device is free otherwise: NVIDIA's
/// multiplies f32 as TF32 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The device's fastest: exact for bf16 operands, not for f32.
    Default,
    /// All bits of the operands.
    Highest,
}

/// The dimensions of a product: `batch` ones are paired and kept, `contracting` ones are paired and summed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DotDimensions {
    /// Batch dimensions of the left and of the right operand.
    pub batch: [Vec<usize>; 2],
    /// Summed dimensions of the left and of the right operand.
    pub contracting: [Vec<usize>; 2],
}

/// Groups of replicas that talk to each other, all of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaGroups(pub Vec<Vec<usize>>);

impl ReplicaGroups {
    /// All replicas in one group.
    pub fn all(replicas: usize) -> Self {
        Self(vec![(0..replicas).collect()])
    }

    /// Replicas of a group.
    pub fn size(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }
}

/// A call of something that the plugin knows and StableHLO does not.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomCall {
    /// Name of the target.
    pub target: String,
    /// What the target wants to know: text for API versions up to 3, the inside of an MLIR dictionary for 4 (typed
    /// FFI).
    pub backend_config: String,
    /// Version of the calling convention.
    pub api_version: u32,
    /// Must not be removed or merged.
    pub has_side_effect: bool,
}

/// What a rule's backward is asked: cotangents in, cotangents out.
pub struct Asked<'a> {
    /// The rule's operation.
    pub op: OpId,
    /// Cotangents of its results; `None` where the loss doesn't depend on one.
    pub cotangents: &'a [Option<Value>],
    /// Which operands' cotangents are wanted.
    pub wanted: &'a [bool],
}

/// The backward of a part of the graph, given by hand: from the cotangents of its results to those of its inputs, in
/// their order.
#[derive(Clone)]
pub struct Rule {
    /// What it is the rule of.
    pub name: &'static str,
    /// Number of inputs among the operands; the others are what the results stand for.
    pub(crate) inputs: usize,
    /// Emits the backward.
    pub(crate) backward: Rc<Backward>,
}

/// The function that emits a rule's backward.
pub type Backward = dyn Fn(&mut Graph, &Asked<'_>) -> Result<Vec<Option<Value>>>;

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({})", self.name)
    }
}

/// An operation with its attributes; operands and results are beside it.
#[derive(Debug, Clone)]
pub enum Op {
    /// A constant.
    Constant(Literal),
    /// Counts along a dimension.
    Iota(usize),
    /// Elementwise, one operand.
    Unary(Unary),
    /// Elementwise, two operands.
    Binary(Binary),
    /// Elementwise comparison.
    Compare(Direction),
    /// `predicate ? a : b`, elementwise.
    Select,
    /// Another element type.
    Convert,
    /// Product.
    DotGeneral(DotDimensions, Precision),
    /// Reduction over dimensions.
    Reduce(Reducer, Vec<usize>),
    /// Operand dimension `i` becomes result dimension `dimensions[i]`; the others repeat.
    BroadcastInDim(Vec<usize>),
    /// The same elements in another shape.
    Reshape,
    /// Result dimension `i` is operand dimension `permutation[i]`.
    Transpose(Vec<usize>),
    /// `start`, `limit` and `stride` of every dimension.
    Slice([Vec<usize>; 3]),
    /// Slice of fixed sizes at indices that are operands (clamped so that it lies inside).
    DynamicSlice(Vec<usize>),
    /// The operand with a slice replaced, at indices that are operands (clamped likewise).
    DynamicUpdateSlice,
    /// Operands one after the other along a dimension.
    Concatenate(usize),
    /// Low, high and interior padding of every dimension.
    Pad([Vec<usize>; 3]),
    /// Mirrors dimensions.
    Reverse(Vec<usize>),
    /// Rows of the first operand at indices `[n]` (clamped).
    Gather,
    /// The first operand with rows replaced at indices `[n]` that differ from each other; rows with indices outside
    /// are dropped.
    ScatterUnique,
    /// Sorts all operands along their one dimension by the first, stably.
    Sort,
    /// A loop whose first operand counts from 0 to this.
    While(usize),
    /// Its results are its operands, and nothing is moved or merged across it.
    OptimizationBarrier,
    /// See [`CustomCall`].
    CustomCall(CustomCall),
    /// Reduction over the replicas of a group.
    AllReduce(Reducer, ReplicaGroups),
    /// Concatenation of a group's tensors along a dimension.
    AllGather(usize, ReplicaGroups),
    /// Reduction over a group, of which each replica keeps its part along a dimension.
    ReduceScatter(Reducer, usize, ReplicaGroups),
    /// Not an operation of the program: its results are its last operands, with a backward of their own.
    Rule(Rule),
}

impl Op {
    /// StableHLO's name without the dialect.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Iota(_) => "iota",
            Self::Unary(op) => op.name(),
            Self::Binary(op) => op.name(),
            Self::Compare(_) => "compare",
            Self::Select => "select",
            Self::Convert => "convert",
            Self::DotGeneral(..) => "dot_general",
            Self::Reduce(..) => "reduce",
            Self::BroadcastInDim(_) => "broadcast_in_dim",
            Self::Reshape => "reshape",
            Self::Transpose(_) => "transpose",
            Self::Slice(_) => "slice",
            Self::DynamicSlice(_) => "dynamic_slice",
            Self::DynamicUpdateSlice => "dynamic_update_slice",
            Self::Concatenate(_) => "concatenate",
            Self::Pad(_) => "pad",
            Self::Reverse(_) => "reverse",
            Self::Gather => "gather",
            Self::ScatterUnique => "scatter",
            Self::Sort => "sort",
            Self::While(_) => "while",
            Self::OptimizationBarrier => "optimization_barrier",
            Self::CustomCall(_) => "custom_call",
            Self::AllReduce(..) => "all_reduce",
            Self::AllGather(..) => "all_gather",
            Self::ReduceScatter(..) => "reduce_scatter",
            Self::Rule(rule) => rule.name,
        }
    }
}
