//! Rules of the operations that treat each element by itself.

use super::as_cotangent;
use crate::graph::{Binary, Direction, Graph, Op, Result, Unary, Value};

type Found = Result<Option<Vec<Option<Value>>>>;

/// The rule of `op`, which made `y` of `x`; `None` if this room has none. `ct` is the cotangent of `y`.
pub(super) fn rule(g: &mut Graph, op: &Op, x: &[Value], y: Value, ct: Value, wanted: &[bool]) -> Found {
    let found = match op {
        Op::Unary(op) => vec![unary(g, *op, x[0], y, ct)?],
        Op::Binary(op) => return binary(g, *op, [x[0], x[1]], y, ct, wanted),
        Op::Convert => vec![Some(ct)],
        Op::Select => {
            let zero = g.full_like(0.0, ct)?;
            let first = if wanted[1] { Some(g.select(x[0], ct, zero)?) } else { None };
            let second = if wanted[2] { Some(g.select(x[0], zero, ct)?) } else { None };
            vec![None, first, second]
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// `ct` times dy/dx; `None` where that is 0 almost everywhere.
fn unary(g: &mut Graph, op: Unary, x: Value, y: Value, ct: Value) -> Result<Option<Value>> {
    let (x, y) = (as_cotangent(g, x)?, if op == Unary::IsFinite { y } else { as_cotangent(g, y)? });
    let found = match op {
        Unary::Ceil | Unary::Floor | Unary::IsFinite | Unary::Not | Unary::Sign => return Ok(None),
        Unary::Negate => g.negate(ct)?,
        Unary::Abs => {
            let sign = g.sign(x)?;
            g.multiply(ct, sign)?
        }
        Unary::Exponential => g.multiply(ct, y)?,
        Unary::ExponentialMinusOne => {
            let slope = g.with_scalar(Binary::Add, y, 1.0)?;
            g.multiply(ct, slope)?
        }
        Unary::Log => g.divide(ct, x)?,
        Unary::LogPlusOne => {
            let inside = g.with_scalar(Binary::Add, x, 1.0)?;
            g.divide(ct, inside)?
        }
        Unary::Sine => {
            let slope = g.cosine(x)?;
            g.multiply(ct, slope)?
        }
        Unary::Cosine => {
            let slope = g.sine(x)?;
            let product = g.multiply(ct, slope)?;
            g.negate(product)?
        }
        // y' = y (1 - y)
        Unary::Logistic => {
            let square = g.multiply(y, y)?;
            let slope = g.subtract(y, square)?;
            g.multiply(ct, slope)?
        }
        // y' = 1 - y^2
        Unary::Tanh => {
            let square = g.multiply(y, y)?;
            let one = g.full_like(1.0, y)?;
            let slope = g.subtract(one, square)?;
            g.multiply(ct, slope)?
        }
        // y' = 1 / 2y
        Unary::Sqrt => {
            let half = g.scale(ct, 0.5)?;
            g.divide(half, y)?
        }
        // y' = -y^3 / 2
        Unary::Rsqrt => {
            let square = g.multiply(y, y)?;
            let cube = g.multiply(square, y)?;
            let slope = g.scale(cube, -0.5)?;
            g.multiply(ct, slope)?
        }
    };
    Ok(Some(found))
}

fn binary(g: &mut Graph, op: Binary, x: [Value; 2], y: Value, ct: Value, wanted: &[bool]) -> Found {
    let each = |g: &mut Graph, slope: &dyn Fn(&mut Graph, usize) -> Result<Value>| -> Found {
        let first = if wanted[0] { Some(slope(g, 0)?) } else { None };
        let second = if wanted[1] { Some(slope(g, 1)?) } else { None };
        Ok(Some(vec![first, second]))
    };
    match op {
        Binary::And | Binary::Or => Ok(Some(vec![None, None])),
        Binary::Add => Ok(Some(vec![Some(ct), Some(ct)])),
        Binary::Subtract => each(g, &|g, i| if i == 0 { Ok(ct) } else { g.negate(ct) }),
        Binary::Multiply => each(g, &|g, i| {
            let other = as_cotangent(g, x[1 - i])?;
            g.multiply(ct, other)
        }),
        Binary::Divide => each(g, &|g, i| {
            let by = as_cotangent(g, x[1])?;
            let quotient = g.divide(ct, by)?;
            if i == 0 {
                return Ok(quotient);
            }
            let y = as_cotangent(g, y)?;
            let product = g.multiply(quotient, y)?;
            g.negate(product)
        }),
        // Where both are equal, each gets half.
        Binary::Maximum | Binary::Minimum => each(g, &|g, i| {
            let greater = (op == Binary::Maximum) == (i == 0);
            let wins = g.compare(if greater { Direction::Gt } else { Direction::Lt }, x[0], x[1])?;
            let equal = g.compare(Direction::Eq, x[0], x[1])?;
            let (half, zero) = (g.scale(ct, 0.5)?, g.full_like(0.0, ct)?);
            let tie = g.select(equal, half, zero)?;
            g.select(wins, ct, tie)
        }),
        // d(a^b) = b a^(b-1) da + a^b ln a db, the last 0 where a is 0
        Binary::Power => each(g, &|g, i| {
            let (a, b) = (as_cotangent(g, x[0])?, as_cotangent(g, x[1])?);
            if i == 0 {
                let less = g.with_scalar(Binary::Subtract, b, 1.0)?;
                let power = g.power(a, less)?;
                let slope = g.multiply(b, power)?;
                return g.multiply(ct, slope);
            }
            let zero = g.compare_scalar(Direction::Eq, a, 0.0)?;
            let one = g.full_like(1.0, a)?;
            let positive = g.select(zero, one, a)?;
            let (log, y) = (g.log(positive)?, as_cotangent(g, y)?);
            let slope = g.multiply(y, log)?;
            g.multiply(ct, slope)
        }),
        // a - b trunc(a / b), whose quotient is constant almost everywhere
        Binary::Remainder => each(g, &|g, i| {
            if i == 0 {
                return Ok(ct);
            }
            let (a, b, y) = (as_cotangent(g, x[0])?, as_cotangent(g, x[1])?, as_cotangent(g, y)?);
            let whole = g.subtract(a, y)?;
            let quotient = g.divide(whole, b)?;
            let product = g.multiply(ct, quotient)?;
            g.negate(product)
        }),
    }
}
