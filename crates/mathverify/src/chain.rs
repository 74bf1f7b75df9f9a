//! Chains of equal sides: `x = 34/2 = 17`, `17/3 \approx 5.67`.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Pow, Signed};

use crate::ast::{Expr, Relation};
use crate::config::Outcome;
use crate::exact::exact;
use crate::float::{constant, to_rational};
use crate::scalar::{Comparison, Decision};

/// Whether `e` names something, as the left side of `AB = 5` or `(x, y) = (1, 2)` does.
pub(crate) fn is_name(e: &Expr) -> bool {
    match e {
        Expr::Symbol(_) | Expr::Opaque(..) | Expr::Text(_) | Expr::E | Expr::I => true,
        Expr::Product(all) | Expr::Ratio(all) | Expr::Tuple(all) | Expr::List(all) => all.iter().all(is_name),
        Expr::Quotient(a, b) => is_name(a) && is_name(b),
        Expr::Call(_, all) => all.iter().all(is_name),
        _ => false,
    }
}

/// Whether a relation of a chain says that its sides are the same.
fn joins(relation: Relation) -> bool {
    matches!(relation, Relation::Equal | Relation::Approximately | Relation::Other("to" | "sim"))
}

fn approximates(relation: Relation) -> bool {
    matches!(relation, Relation::Approximately | Relation::Other("sim"))
}

/// Whether a side is a value without unknowns.
fn is_value(e: &Expr) -> bool {
    let other = |e: &Expr| {
        matches!(
            e,
            Expr::Symbol(_)
                | Expr::Text(_)
                | Expr::Opaque(..)
                | Expr::PlusMinus(..)
                | Expr::List(_)
                | Expr::Tuple(_)
                | Expr::Set(_)
                | Expr::Interval(..)
                | Expr::Union(_)
                | Expr::Intersection(_)
                | Expr::Difference(..)
                | Expr::Such(..)
                | Expr::Domain(_)
                | Expr::Matrix(_)
                | Expr::Chain(..)
                | Expr::Infinity
        )
    };
    !e.any(&other) && e.symbols().is_empty()
}

/// Decimal places that a side shows, fewer than 0 where it is rounded to tens or more (`1.2 \times 10^3`); `None`: it isn't written as a decimal.
fn places(e: &Expr) -> Option<i64> {
    match e {
        Expr::Decimal(_, places) => Some(*places as i64),
        Expr::Negative(a) | Expr::Percent(a) | Expr::Degrees(a) => places(a),
        Expr::Product(all) => match &all[..] {
            [mantissa, Expr::Power(ten, exponent)] if ten.literal() == Some(BigRational::from_integer(10.into())) => {
                let exponent: i64 = exponent.literal().filter(BigRational::is_integer)?.to_integer().try_into().ok()?;
                Some(places(mantissa)?.saturating_sub(exponent))
            }
            _ => None,
        },
        _ => None,
    }
}

impl Comparison<'_> {
    /// A chain of `=`, `\approx` and `\to` brought to names and one value, which is its exact side; anything else as it is. Errors: sides that
    /// disagree, which is no answer. Sides agree if they are the same, or if one that is written as a decimal or stands behind `\approx` is the
    /// exact one rounded to its own shown places.
    pub(crate) fn settled(&mut self, e: &Expr) -> Result<Expr, Decision> {
        let Expr::Chain(terms, relations) = e else { return Ok(e.clone()) };
        if !relations.iter().copied().all(joins) {
            return Ok(e.clone());
        }
        let values: Vec<usize> = (0..terms.len()).filter(|i| is_value(&terms[*i])).collect();
        let behind = |i: usize| i > 0 && approximates(relations[i - 1]);
        let names: Vec<&Expr> = terms.iter().filter(|t| !is_value(t)).collect();
        let Some(value) = self.exact_side(terms, &values, &behind)? else { return Ok(e.clone()) };
        if names.is_empty() {
            return Ok(value);
        }
        // An assignment's name is the first, or the one right before its values.
        let named = names.iter().find(|name| is_name(name)).copied();
        let sides: Vec<Expr> = match named {
            Some(name) => vec![name.clone(), value],
            None => names.into_iter().cloned().chain([value]).collect(),
        };
        let relations = vec![Relation::Equal; sides.len() - 1];
        Ok(Expr::Chain(sides, relations))
    }

    /// The exact one of the sides at `values`; `None`: there is no value.
    fn exact_side(&mut self, terms: &[Expr], values: &[usize], behind: &dyn Fn(usize) -> bool) -> Result<Option<Expr>, Decision> {
        let shown = |i: &usize| places(&terms[*i]).unwrap_or(0);
        let exact = values.iter().filter(|i| !behind(**i) && places(&terms[**i]).is_none() && !matches!(terms[**i], Expr::Percent(_)));
        // Worked out furthest: the last one that is a number as it stands.
        let chosen = exact
            .clone()
            .rfind(|i| terms[**i].literal().is_some())
            .or(exact.clone().next_back())
            .or(values.iter().filter(|i| !behind(**i)).max_by_key(|i| shown(i)))
            .or(values.iter().max_by_key(|i| shown(i)));
        let Some(chosen) = chosen else { return Ok(None) };
        for i in values.iter().filter(|i| *i != chosen) {
            if self.budget.spend(10).is_none() {
                return Err((Outcome::Undecided, "the budget is spent"));
            }
            let places = places(&terms[*i]).or(behind(*i).then_some(0));
            if !self.agree(&terms[*chosen], &terms[*i], places) {
                return Err((Outcome::Undecided, "sides of an equation that disagree"));
            }
        }
        Ok(Some(terms[*chosen].clone()))
    }

    /// Whether `side` is `exact`, or `exact` rounded to so many places.
    fn agree(&mut self, exact_side: &Expr, side: &Expr, places: Option<i64>) -> bool {
        if exact_side == side || self.values_with_units(exact_side, side).0 == Outcome::Equal {
            return true;
        }
        let rational = |this: &mut Self, e: &Expr| {
            let e = match e {
                Expr::Percent(a) | Expr::Degrees(a) => a,
                other => other,
            };
            exact(e, &mut this.budget).or_else(|| {
                let value = constant(e, &mut this.consts, &mut this.budget)?;
                if value.im.is_zero() { to_rational(&value.re) } else { None }
            })
        };
        let (Some(a), Some(b)) = (rational(self, exact_side), rational(self, side)) else { return false };
        // 50% = 0.5.
        let hundred = BigRational::from_integer(100.into());
        match (exact_side, side) {
            (Expr::Percent(_), Expr::Percent(_)) => {}
            (Expr::Percent(_), _) if a == &b * &hundred => return true,
            (_, Expr::Percent(_)) if b == &a * &hundred => return true,
            _ => {}
        }
        let Some(places) = places.filter(|p| p.abs() <= 1000) else { return false };
        let unit = BigRational::from_integer(Pow::pow(BigInt::from(10), places.unsigned_abs()));
        let unit = if places < 0 { unit } else { unit.recip() };
        (a - b).abs() * BigRational::from_integer(2.into()) <= unit
    }
}
