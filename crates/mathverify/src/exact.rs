//! Exact values: big rationals, with a budget that counts operations by the size of their numbers.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use crate::ast::{Expr, Function};

/// Largest size, in bits, of an exact number.
const MAX_BITS: u64 = 1 << 17;
/// Largest argument of a factorial.
const MAX_FACTORIAL: u64 = 6_000;

/// What a comparison may still spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) left: u64,
}

impl Budget {
    /// Spends `cost`; `None` when there isn't as much left.
    pub(crate) fn spend(&mut self, cost: u64) -> Option<()> {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }
}

fn bits(n: &BigRational) -> u64 {
    n.numer().bits() + n.denom().bits()
}

/// Spends for reducing a fraction of so many bits: the greatest common divisor is quadratic.
fn spend_for_reduction(bits: u64, budget: &mut Budget) -> Option<()> {
    if bits > MAX_BITS {
        return None;
    }
    budget.spend(1 + bits * bits / 32_000)
}

fn times(a: &BigRational, b: &BigRational, budget: &mut Budget) -> Option<BigRational> {
    let (size, other) = (bits(a), bits(b));
    if size + other > MAX_BITS {
        return None;
    }
    if a.is_integer() && b.is_integer() {
        budget.spend(1 + (size / 64 + 1) * (other / 64 + 1) / 256)?;
        return Some(BigRational::from_integer(a.numer() * b.numer()));
    }
    spend_for_reduction(size + other, budget)?;
    Some(a * b)
}

fn plus(a: &BigRational, b: &BigRational, budget: &mut Budget) -> Option<BigRational> {
    let size = bits(a) + bits(b);
    if size > MAX_BITS {
        return None;
    }
    if a.is_integer() && b.is_integer() {
        budget.spend(1 + size / 65_536)?;
        return Some(BigRational::from_integer(a.numer() + b.numer()));
    }
    spend_for_reduction(size, budget)?;
    Some(a + b)
}

fn over(a: &BigRational, b: &BigRational, budget: &mut Budget) -> Option<BigRational> {
    if b.is_zero() {
        return None;
    }
    if a.is_integer() && b.is_integer() {
        budget.spend(1 + (bits(a) / 64 + 1) * (bits(b) / 64 + 1) / 256)?;
        let (quotient, rest) = a.numer().div_rem(b.numer());
        if rest.is_zero() {
            return Some(BigRational::from_integer(quotient));
        }
        if a.is_one() {
            return Some(b.recip());
        }
    }
    spend_for_reduction(bits(a) + bits(b), budget)?;
    Some(a / b)
}

/// The exact value of an expression without variables, as far as it is rational and of bounded size.
pub(crate) fn exact(e: &Expr, budget: &mut Budget) -> Option<BigRational> {
    budget.spend(1)?;
    match e {
        Expr::Number(n) | Expr::Decimal(n, _) => Some(n.clone()),
        Expr::Negative(a) => Some(-exact(a, budget)?),
        Expr::Sum(all) => {
            let mut sum = BigRational::zero();
            for part in all {
                let part = exact(part, budget)?;
                sum = plus(&sum, &part, budget)?;
            }
            Some(sum)
        }
        Expr::Product(all) => {
            let mut product = BigRational::one();
            for part in all {
                let part = exact(part, budget)?;
                product = times(&product, &part, budget)?;
            }
            Some(product)
        }
        Expr::Quotient(a, b) => {
            let (a, b) = (exact(a, budget)?, exact(b, budget)?);
            over(&a, &b, budget)
        }
        Expr::Power(a, b) => power(&exact(a, budget)?, &exact(b, budget)?, budget),
        Expr::Root(n, a) => {
            let (n, a) = (exact(n, budget)?, exact(a, budget)?);
            if !n.is_positive() || !n.is_integer() {
                return None;
            }
            power(&a, &n.recip(), budget).or_else(|| {
                // Odd roots of negative numbers are real.
                let odd = n.is_integer() && n.to_integer().is_odd() && a.is_negative();
                odd.then(|| power(&-&a, &n.recip(), budget).map(|r| -r)).flatten()
            })
        }
        Expr::Percent(a) => Some(exact(a, budget)? / BigRational::from_integer(100.into())),
        Expr::Call(function, arguments) => call(*function, arguments, budget),
        Expr::Series { .. } => series(e, budget, &mut |body, budget| exact(body, budget)),
        _ => None,
    }
}

fn power(a: &BigRational, b: &BigRational, budget: &mut Budget) -> Option<BigRational> {
    if a.is_zero() {
        return b.is_positive().then(BigRational::zero).or_else(|| b.is_zero().then(BigRational::one));
    }
    if a.is_one() {
        return Some(BigRational::one());
    }
    let index = b.denom().to_u32()?;
    let exponent = b.numer().to_i64()?;
    let base = if index == 1 {
        a.clone()
    } else {
        if a.is_negative() || index > 64 || bits(a) > 4096 {
            return None;
        }
        budget.spend(20)?;
        let (n, d) = (a.numer().nth_root(index), a.denom().nth_root(index));
        if Pow::pow(&n, index) != *a.numer() || Pow::pow(&d, index) != *a.denom() {
            return None;
        }
        BigRational::new(n, d)
    };
    if base.abs().is_one() {
        return Some(if exponent % 2 == 0 { BigRational::one() } else { base });
    }
    let size = bits(&base).checked_mul(exponent.unsigned_abs())?;
    if size > MAX_BITS {
        return None;
    }
    budget.spend(1 + (size / 64) * (size / 64) / 64)?;
    Some(Pow::pow(base, exponent as i32))
}

/// `n!`, for a whole number that isn't too large.
pub(crate) fn factorial(n: &BigRational, step: u64, budget: &mut Budget) -> Option<BigInt> {
    let n = n.is_integer().then(|| n.to_integer().to_u64()).flatten().filter(|n| *n <= MAX_FACTORIAL)?;
    let (mut out, mut k) = (BigInt::one(), n);
    while k > 1 {
        // As many factors at once as fit a word.
        let mut chunk = 1u64;
        while k > 1
            && let Some(product) = chunk.checked_mul(k)
        {
            (chunk, k) = (product, k.saturating_sub(step));
        }
        budget.spend(1 + out.bits() / 32_768)?;
        out *= chunk;
    }
    Some(out)
}

fn call(function: Function, arguments: &[Expr], budget: &mut Budget) -> Option<BigRational> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(exact(argument, budget)?);
    }
    let integers = || values.iter().map(|v| v.is_integer().then(|| v.to_integer())).collect::<Option<Vec<BigInt>>>();
    let first = values.first()?;
    Some(match function {
        Function::Abs => first.abs(),
        Function::Floor => first.floor(),
        Function::Ceil => first.ceil(),
        Function::Factorial => BigRational::from_integer(factorial(first, 1, budget)?),
        Function::DoubleFactorial => BigRational::from_integer(factorial(first, 2, budget)?),
        Function::Binomial => {
            let (n, k) = (first, values.get(1)?);
            let k = k.is_integer().then(|| k.to_integer().to_i64()).flatten()?;
            if k < 0 {
                return Some(BigRational::zero());
            }
            // From the smaller side.
            let k = match (n - BigRational::from_integer(k.into())).to_i64() {
                Some(other) if n.is_integer() && (0..k).contains(&other) => other,
                _ => k,
            };
            if n.is_integer() {
                // Each of the quotients is a whole number.
                let mut out = BigInt::one();
                for i in 0..k {
                    budget.spend(1 + out.bits() / 16_384)?;
                    out = out * (n.numer() - i) / (i + 1);
                }
                return Some(BigRational::from_integer(out));
            }
            let mut out = BigRational::one();
            for i in 0..k {
                let factor = (n - BigRational::from_integer(i.into())) / BigRational::from_integer((i + 1).into());
                out = times(&out, &factor, budget)?;
            }
            out
        }
        Function::Gcd => BigRational::from_integer(integers()?.into_iter().reduce(|a, b| a.gcd(&b))?),
        Function::Lcm => BigRational::from_integer(integers()?.into_iter().reduce(|a, b| a.lcm(&b))?),
        Function::Min => values.iter().min()?.clone(),
        Function::Max => values.iter().max()?.clone(),
        Function::Re => first.clone(),
        Function::Im => BigRational::zero(),
        Function::Log => {
            // An exact power of the base.
            let (base, argument) = (first, values.get(1)?);
            if !base.is_integer() || *base <= BigRational::one() || !argument.is_positive() || bits(argument) > 4096 {
                return None;
            }
            let negative = *argument < BigRational::one();
            let (mut rest, mut exponent) = (if negative { argument.recip() } else { argument.clone() }, 0i64);
            while rest > BigRational::one() {
                rest = over(&rest, base, budget)?;
                exponent += 1;
            }
            if !rest.is_one() {
                return None;
            }
            BigRational::from_integer(if negative { -exponent } else { exponent }.into())
        }
        Function::Ln => first.is_one().then(BigRational::zero)?,
        Function::Sin | Function::Tan | Function::Sinh | Function::Tanh | Function::Arcsin | Function::Arctan => {
            first.is_zero().then(BigRational::zero)?
        }
        Function::Cos | Function::Cosh | Function::Exp => first.is_zero().then(BigRational::one)?,
        _ => return None,
    })
}

/// A sum or product with constant whole bounds, by the values of its terms.
fn series(e: &Expr, budget: &mut Budget, value: &mut dyn FnMut(&Expr, &mut Budget) -> Option<BigRational>) -> Option<BigRational> {
    let Expr::Series { product, variable, from, to, body } = e else { return None };
    let bound = |e: &Expr, budget: &mut Budget| exact(e, budget).filter(|v| v.is_integer()).and_then(|v| v.to_integer().to_i64());
    let (from, to) = (bound(from, budget)?, bound(to, budget)?);
    let mut out = if *product { BigRational::one() } else { BigRational::zero() };
    for k in from..=to {
        budget.spend(4)?;
        let term = value(&substitute(body, variable, &Expr::integer(k)), budget)?;
        out = if *product { times(&out, &term, budget)? } else { plus(&out, &term, budget)? };
    }
    Some(out)
}

/// `e` with `value` for the variable called `name`.
pub(crate) fn substitute(e: &Expr, name: &str, value: &Expr) -> Expr {
    match e {
        Expr::Symbol(other) if other == name => value.clone(),
        // `i` and `e` are constants except as a sum's index.
        Expr::I if name == "i" => value.clone(),
        Expr::E if name == "e" => value.clone(),
        other => other.map(&mut |part| substitute(part, name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;
    use crate::token::Commas;

    fn value(text: &str, budget: u64) -> Option<String> {
        let answer = parse(text, Commas::Thousands).unwrap_or_else(|e| panic!("{text}: {e}"));
        exact(&answer.expr, &mut Budget { left: budget }).map(|v| v.to_string())
    }

    #[test]
    fn values() {
        for (text, expected) in [
            (r"\frac{3}{4}+\frac14", Some("1")),
            (r"\sqrt{\frac{9}{4}}", Some("3/2")),
            (r"\sqrt2", None),
            (r"\sqrt[3]{-8}", Some("-2")),
            ("4^{-1/2}", Some("1/2")),
            ("0^0", Some("1")),
            (r"\binom{10}{3}", Some("120")),
            (r"\binom{100}{98}", Some("4950")),
            (r"\sum_{k=1}^{100} k", Some("5050")),
            (r"\prod_{i=1}^{5} i", Some("120")),
            (r"\log_2 \frac18", Some("-3")),
            (r"\lfloor -\frac12 \rfloor", Some("-1")),
            ("7!!", Some("105")),
            (r"\gcd(12, 18)", Some("6")),
            ("1/0", None),
            ("9^{9^{9}}", None),
        ] {
            assert_eq!(value(text, 20_000).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_budget_bounds_the_work() {
        let start = std::time::Instant::now();
        for text in [r"\prod_{n=1}^{99999999} 11111", r"\binom{1000000}{500000}", r"\sum_{n=1}^{99999999} \frac1n", "6000!+6000!"] {
            let _ = value(text, 20_000);
        }
        assert_eq!(value(r"\sum_{k=1}^{100} k", 50), None);
        assert!(start.elapsed().as_secs() < 5);
    }
}
