//! Comparing values: exactly, as decimals, and at points.

use std::collections::{BTreeSet, HashMap};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Pow, Signed, Zero};

use crate::ast::{Expr, Function};
use crate::config::{Outcome, VerifyConfig};
use crate::exact::{Budget, exact, substitute};
use crate::float::{Close, Complex, Constants, Evaluator, close, constant, hash, mix, to_rational, unit_rational};

/// Points that have to agree.
const AGREEING: usize = 4;
/// Points tried.
const TRIED: u64 = 18;

pub(crate) type Decision = (Outcome, &'static str);

/// One comparison: its options and what it may still spend.
pub(crate) struct Comparison<'a> {
    pub(crate) config: &'a VerifyConfig,
    pub(crate) budget: Budget,
    pub(crate) consts: Constants,
}

/// Where expressions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plane {
    Real,
    Complex,
}

impl Comparison<'_> {
    /// Compares two values without sets, relations and the like in them.
    pub(crate) fn scalars(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        let infinite = |e: &Expr| match e {
            Expr::Infinity => Some(false),
            Expr::Negative(a) if **a == Expr::Infinity => Some(true),
            _ => None,
        };
        if let (a, b) = (infinite(gold), infinite(prediction))
            && (a.is_some() || b.is_some())
        {
            return if a == b { (Outcome::Equal, "both infinite") } else { (Outcome::Different, "one is infinite") };
        }
        let symbols: BTreeSet<String> = gold.symbols().union(&prediction.symbols()).cloned().collect();
        let decimal = gold.is_decimal() || prediction.is_decimal();
        if symbols.is_empty() {
            if let (Some(a), Some(b)) = (exact(gold, &mut self.budget), exact(prediction, &mut self.budget)) {
                return self.rationals(&a, &b, decimal);
            }
            let (Some(a), Some(b)) =
                (constant(gold, &mut self.consts, &mut self.budget), constant(prediction, &mut self.consts, &mut self.budget))
            else {
                return (Outcome::Undecided, self.exhausted("a value that can't be computed"));
            };
            if decimal
                && a.im.is_zero()
                && b.im.is_zero()
                && let (Some(a), Some(b)) = (to_rational(&a.re), to_rational(&b.re))
            {
                return self.rationals(&a, &b, true);
            }
            return match close(&a, &b) {
                Close::Same => (Outcome::Equal, "the same value to 39 digits"),
                Close::Unclear => (Outcome::Undecided, "values too close to tell apart"),
                Close::Apart if self.within_tolerance(&a, &b) => (Outcome::Equal, "numbers within the tolerance"),
                Close::Apart => (Outcome::Different, "other values"),
            };
        }
        if let Some(decision) = self.at_whole_points(gold, prediction, &symbols) {
            return decision;
        }
        let complex = |e: &Expr| e.any(&|e| *e == Expr::I);
        if !complex(gold)
            && !complex(prediction)
            && let Some(decision) = self.at_points(gold, prediction, &symbols, Plane::Real)
        {
            return decision;
        }
        self.at_points(gold, prediction, &symbols, Plane::Complex)
            .unwrap_or((Outcome::Undecided, self.exhausted("expressions that can't be evaluated at enough points")))
    }

    /// Rational functions with exact coefficients, compared exactly at whole points up to a million: two that differ and whose degree is
    /// `d` agree at all of them with a probability of at most `(d / 2^20)^POINTS` (Schwartz-Zippel). `None`: one has no exact value there.
    fn at_whole_points(&mut self, a: &Expr, b: &Expr, symbols: &BTreeSet<String>) -> Option<Decision> {
        const POINTS: u64 = 4;
        if Self::whole_points(a) || Self::whole_points(b) {
            return None;
        }
        // What isn't exact shows soon, and its cost isn't charged twice.
        let mut budget = Budget { left: self.budget.left / 4 };
        for k in 0..POINTS {
            let (mut x, mut y) = (a.clone(), b.clone());
            for name in symbols {
                let bits = mix(hash(name) ^ mix(k + 1000));
                let size = (bits >> 44) as i64 + 2;
                let value = Expr::integer(if k % 2 == 1 && bits % 2 == 1 { -size } else { size });
                budget.spend(4)?;
                (x, y) = (substitute(&x, name, &value), substitute(&y, name, &value));
            }
            let (x, y) = (exact(&x, &mut budget)?, exact(&y, &mut budget)?);
            if x != y {
                return Some((Outcome::Different, "other values at a whole point"));
            }
        }
        Some((Outcome::Equal, "the same exact values at several whole points"))
    }

    /// `otherwise`, unless the budget is spent.
    pub(crate) fn exhausted(&self, otherwise: &'static str) -> &'static str {
        if self.budget.left == 0 { "the budget is spent" } else { otherwise }
    }

    fn within_tolerance(&self, a: &Complex, b: &Complex) -> bool {
        match (to_rational(&a.re), to_rational(&b.re)) {
            (Some(x), Some(y)) if a.im.is_zero() && b.im.is_zero() => self.tolerated(&x, &y),
            _ => false,
        }
    }

    fn tolerated(&self, gold: &BigRational, prediction: &BigRational) -> bool {
        let tolerance = BigRational::from_float(self.config.numeric_tolerance).filter(|t| t.is_positive());
        tolerance.is_some_and(|t| (gold - prediction).abs() <= t * gold.abs())
    }

    /// Exact numbers; `decimal`: one of them is written as a decimal and may be rounded.
    pub(crate) fn rationals(&self, a: &BigRational, b: &BigRational, decimal: bool) -> Decision {
        if a == b {
            return (Outcome::Equal, "the same number");
        }
        if decimal {
            let scale = BigRational::from_integer(Pow::pow(BigInt::from(10), self.config.decimals.min(1000)));
            let (gap, half) = ((a - b).abs(), (&scale + &scale).recip());
            // What is smaller than the last place that counts isn't all the same.
            let tiny = a.abs() < scale.recip() || b.abs() < scale.recip();
            let same = (a * &scale).round() == (b * &scale).round() || gap <= half;
            let bound = a.abs().max(b.abs()) * BigRational::new(1.into(), 1_000_000.into());
            if if tiny { !a.is_zero() && !b.is_zero() && gap <= bound } else { same } {
                return (Outcome::Equal, "the same number to the decimals that count");
            }
        }
        if self.tolerated(a, b) {
            return (Outcome::Equal, "numbers within the tolerance");
        }
        (Outcome::Different, "other numbers")
    }

    /// The `k`-th point for `symbols`.
    fn point(symbols: &BTreeSet<String>, k: u64, whole: bool) -> HashMap<String, BigRational> {
        let value = |name: &String| {
            let bits = mix(hash(name) ^ mix(k));
            if whole {
                return BigRational::from_integer((3 + bits % (8 + 2 * k)).into());
            }
            // Sizes from a fraction to hundreds, of both signs.
            let size = [1, 3, 1, 12, 5, 1, 40, 2, 300][(k % 9) as usize];
            let divisor = [1, 1, 4, 1, 1, 9, 1, 1, 1][(k % 9) as usize];
            let magnitude = unit_rational(bits) * BigRational::new(size.into(), divisor.into());
            if k >= 3 && bits % 2 == 1 { -magnitude } else { magnitude }
        };
        symbols.iter().map(|name| (name.clone(), value(name))).collect()
    }

    fn evaluate(&mut self, e: &Expr, point: &HashMap<String, BigRational>, plane: Plane) -> Option<Complex> {
        let imaginary = (plane == Plane::Complex).then(|| BigRational::new(7.into(), 19.into()));
        Evaluator { point, real: plane == Plane::Real, imaginary, consts: &mut self.consts, budget: &mut self.budget }.value(e)
    }

    /// Whether variables stand where only whole numbers make sense.
    fn whole_points(e: &Expr) -> bool {
        e.any(&|e| match e {
            Expr::Call(Function::Factorial | Function::DoubleFactorial | Function::Binomial, _) => true,
            Expr::Series { .. } => true,
            Expr::Power(base, exponent) => {
                matches!(&**base, Expr::Negative(_) | Expr::Number(_))
                    && base.literal().is_some_and(|n| n.is_negative())
                    && !exponent.symbols().is_empty()
            }
            _ => false,
        })
    }

    /// Values of both at the points where both have one. `None`: too few, or the budget is spent.
    fn values(&mut self, a: &Expr, b: &Expr, symbols: &BTreeSet<String>, plane: Plane) -> Option<Vec<(Complex, Complex)>> {
        let whole = Self::whole_points(a) || Self::whole_points(b);
        let plane = if whole { Plane::Real } else { plane };
        let mut found = Vec::with_capacity(AGREEING);
        for k in 0..TRIED {
            let point = Self::point(symbols, k, whole);
            let Some(x) = self.evaluate(a, &point, plane) else { continue };
            let Some(y) = self.evaluate(b, &point, plane) else { continue };
            found.push((x, y));
            // The first three are positive: at least two more of both signs.
            if found.len() >= AGREEING && k >= 4 {
                break;
            }
        }
        (found.len() >= AGREEING - 1 && self.budget.left > 0).then_some(found)
    }

    fn at_points(&mut self, a: &Expr, b: &Expr, symbols: &BTreeSet<String>, plane: Plane) -> Option<Decision> {
        let values = self.values(a, b, symbols, plane)?;
        let found: Vec<Close> = values.iter().map(|(x, y)| close(x, y)).collect();
        Some(if found.contains(&Close::Apart) {
            (Outcome::Different, "other values at a point")
        } else if found.contains(&Close::Unclear) {
            (Outcome::Undecided, "values too close to tell apart")
        } else {
            (Outcome::Equal, "the same values to 39 digits at several points")
        })
    }

    /// The sign of `c` if `a = c b` for a constant `c` other than 0, as far as points show; `None`: there is no such constant, or nothing is
    /// known. `a` and `b` that vanish everywhere have none.
    pub(crate) fn proportional(&mut self, a: &Expr, b: &Expr) -> Option<bool> {
        let symbols: BTreeSet<String> = a.symbols().union(&b.symbols()).cloned().collect();
        let real = self.values(a, b, &symbols, Plane::Real);
        let values = match real {
            Some(values) => values,
            None => self.values(a, b, &symbols, Plane::Complex)?,
        };
        let mut first: Option<&(Complex, Complex)> = None;
        let mut agreeing = 0;
        for pair in &values {
            let zero = |z: &Complex| z.re.is_zero() && z.im.is_zero();
            match (zero(&pair.0), zero(&pair.1)) {
                (true, true) => continue,
                (true, false) | (false, true) => return None,
                _ => {}
            }
            if let Some(first) = first {
                // a / b is the same: a b' = a' b.
                if crate::float::cross(&pair.0, &first.1, &first.0, &pair.1) != Close::Same {
                    return None;
                }
            } else {
                first = Some(pair);
            }
            agreeing += 1;
        }
        let (x, y) = first.filter(|_| agreeing >= 2 || symbols.is_empty())?;
        Some(x.re.is_negative() == y.re.is_negative())
    }
}
