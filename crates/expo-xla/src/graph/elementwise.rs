//! Constants and elementwise operations.

use super::op::{Binary, Direction, Op, Unary};
use super::{ElementType, Error, Graph, Literal, Result, Value};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Graph {
            $($(#[$doc])* pub fn $name(&mut self, x: Value) -> Result<Value> { self.unary(Unary::$op, x) })*
        }
    };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Graph {
            $($(#[$doc])* pub fn $name(&mut self, a: Value, b: Value) -> Result<Value> { self.binary(Binary::$op, a, b) })*
        }
    };
}

unary! {
    /// |x|
    abs => Abs;
    /// x rounded up.
    ceil => Ceil;
    /// cos x
    cosine => Cosine;
    /// e^x
    exponential => Exponential;
    /// e^x - 1
    exponential_minus_one => ExponentialMinusOne;
    /// x rounded down.
    floor => Floor;
    /// Whether x is neither infinite nor NaN.
    is_finite => IsFinite;
    /// ln x
    log => Log;
    /// ln (1 + x)
    log_plus_one => LogPlusOne;
    /// 1 / (1 + e^-x)
    logistic => Logistic;
    /// -x
    negate => Negate;
    /// Not, bit by bit.
    not => Not;
    /// 1 / sqrt x
    rsqrt => Rsqrt;
    /// -1, 0 or 1.
    sign => Sign;
    /// sin x
    sine => Sine;
    /// sqrt x
    sqrt => Sqrt;
    /// tanh x
    tanh => Tanh;
}

binary! {
    /// a + b
    add => Add;
    /// a and b, bit by bit.
    and => And;
    /// a / b
    divide => Divide;
    /// The larger of a and b.
    maximum => Maximum;
    /// The smaller of a and b.
    minimum => Minimum;
    /// a b
    multiply => Multiply;
    /// a or b, bit by bit.
    or => Or;
    /// a^b
    power => Power;
    /// What a / b leaves, with the sign of a.
    remainder => Remainder;
    /// a - b
    subtract => Subtract;
}

impl Graph {
    /// A constant. Errors: values that are not of the type, or not as many.
    pub fn constant(&mut self, literal: Literal, element: ElementType, shape: &[usize]) -> Result<Value> {
        literal.check(&super::Shape::new(element, shape))?;
        self.push_one(Op::Constant(literal), &[], element, shape)
    }

    /// A constant scalar.
    pub fn scalar(&mut self, value: f64, element: ElementType) -> Result<Value> {
        self.constant(Literal::Splat(value), element, &[])
    }

    /// One value everywhere.
    pub fn full(&mut self, value: f64, element: ElementType, shape: &[usize]) -> Result<Value> {
        let scalar = self.scalar(value, element)?;
        self.broadcast_in_dim(scalar, shape, &[])
    }

    /// One value everywhere, in the type of another tensor.
    pub fn full_like(&mut self, value: f64, like: Value) -> Result<Value> {
        let ty = self.shape(like).clone();
        self.full(value, ty.element, &ty.dimensions)
    }

    /// 0, 1, 2, ... along `dimension`. Errors: booleans; a dimension that the shape doesn't have.
    pub fn iota(&mut self, dimension: usize, element: ElementType, shape: &[usize]) -> Result<Value> {
        if dimension >= shape.len() || element == ElementType::Pred {
            return Err(Error::new("iota", format!("dimension {dimension} of {}", super::Shape::new(element, shape))));
        }
        self.push_one(Op::Iota(dimension), &[], element, shape)
    }

    /// An elementwise function of one operand. Errors: an element type that it is not made for.
    pub fn unary(&mut self, op: Unary, x: Value) -> Result<Value> {
        let ty = self.shape(x).clone();
        let fits = match op {
            Unary::Abs | Unary::Negate | Unary::Sign => ty.element.is_float() || ty.element == ElementType::S32,
            Unary::Not => !ty.element.is_float(),
            _ => ty.element.is_float(),
        };
        if !fits {
            return Err(Error::new(op.name(), format!("not of {ty}")));
        }
        let element = if op == Unary::IsFinite { ElementType::Pred } else { ty.element };
        self.push_one(Op::Unary(op), &[x], element, &ty.dimensions)
    }

    /// An elementwise function of two operands of one type. Errors: two types; an element type that it is not made
    /// for.
    pub fn binary(&mut self, op: Binary, a: Value, b: Value) -> Result<Value> {
        let ty = self.same(op.name(), a, b)?.clone();
        let fits = match op {
            Binary::And | Binary::Or => !ty.element.is_float(),
            _ => ty.element != ElementType::Pred,
        };
        if !fits {
            return Err(Error::new(op.name(), format!("not of {ty}")));
        }
        self.push_one(Op::Binary(op), &[a, b], ty.element, &ty.dimensions)
    }

    /// Whether a and b are in this order. Errors: two types.
    pub fn compare(&mut self, direction: Direction, a: Value, b: Value) -> Result<Value> {
        let shape = self.same("compare", a, b)?.dimensions.clone();
        self.push_one(Op::Compare(direction), &[a, b], ElementType::Pred, &shape)
    }

    /// `a` where `predicate` is true, else `b`. Errors: a predicate that is not Boolean, shapes that differ.
    pub fn select(&mut self, predicate: Value, a: Value, b: Value) -> Result<Value> {
        let ty = self.same("select", a, b)?.clone();
        let by = self.shape(predicate);
        if by.element != ElementType::Pred || by.dimensions != ty.dimensions {
            return Err(Error::new("select", format!("predicate {by} of {ty}")));
        }
        self.push_one(Op::Select, &[predicate, a, b], ty.element, &ty.dimensions)
    }

    /// x in another element type; itself where it is of that type.
    pub fn convert(&mut self, x: Value, element: ElementType) -> Result<Value> {
        if self.element(x) == element {
            return Ok(x);
        }
        let shape = self.dims(x).to_vec();
        self.push_one(Op::Convert, &[x], element, &shape)
    }

    /// An elementwise function of x and a number, which is rounded to x's type.
    pub fn with_scalar(&mut self, op: Binary, x: Value, number: f64) -> Result<Value> {
        let number = self.full_like(number, x)?;
        self.binary(op, x, number)
    }

    /// Compares x with a number, which is rounded to x's type.
    pub fn compare_scalar(&mut self, direction: Direction, x: Value, number: f64) -> Result<Value> {
        let number = self.full_like(number, x)?;
        self.compare(direction, x, number)
    }

    /// `number * x`
    pub fn scale(&mut self, x: Value, number: f64) -> Result<Value> {
        self.with_scalar(Binary::Multiply, x, number)
    }

    /// x sigmoid(x)
    pub fn silu(&mut self, x: Value) -> Result<Value> {
        let gate = self.logistic(x)?;
        self.multiply(x, gate)
    }

    /// The type of two operands that are of one.
    fn same(&self, op: &str, a: Value, b: Value) -> Result<&super::Shape> {
        let (x, y) = (self.shape(a), self.shape(b));
        if x == y { Ok(x) } else { Err(Error::new(op, format!("{x} and {y} are not of one type"))) }
    }
}
