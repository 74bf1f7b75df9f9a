//! Intervals, unions and other sets of real numbers; relations against them and among themselves.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use astro_float_num::BigFloat;
use num_rational::BigRational;

use crate::ast::{Expr, Relation};
use crate::config::Outcome;
use crate::float::{Close, Evaluator, close, constant, to_f64, to_rational};
use crate::scalar::{Comparison, Decision};

/// An end of a piece: an expression and its value, infinite ones as such.
#[derive(Debug, Clone)]
struct Bound {
    expr: Expr,
    value: f64,
    precise: Option<BigFloat>,
    open: bool,
}

/// A piece of the real line.
#[derive(Debug, Clone)]
struct Piece {
    from: Bound,
    to: Bound,
}

impl Bound {
    fn infinite(negative: bool) -> Self {
        let expr = if negative { Expr::Negative(Expr::Infinity.boxed()) } else { Expr::Infinity };
        Self { expr, value: if negative { f64::NEG_INFINITY } else { f64::INFINITY }, precise: None, open: true }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (&self.precise, &other.precise) {
            (Some(a), Some(b)) => {
                let zero = BigFloat::new(64);
                let pair = |x: &BigFloat| crate::float::Complex { re: x.clone(), im: zero.clone() };
                if close(&pair(a), &pair(b)) == Close::Same { Ordering::Equal } else { a.partial_cmp(b).unwrap_or(Ordering::Equal) }
            }
            _ => self.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal),
        }
    }
}

/// Sorted, with pieces that overlap or touch joined.
fn tidy(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.retain(|p| match p.from.order(&p.to) {
        Ordering::Less => true,
        Ordering::Equal => !p.from.open && !p.to.open,
        Ordering::Greater => false,
    });
    pieces.sort_by(|a, b| a.from.order(&b.from).then(a.from.open.cmp(&b.from.open)));
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        if let Some(last) = out.last_mut() {
            let touching = match piece.from.order(&last.to) {
                Ordering::Less => true,
                Ordering::Equal => !(piece.from.open && last.to.open),
                Ordering::Greater => false,
            };
            if touching {
                match piece.to.order(&last.to) {
                    Ordering::Greater => last.to = piece.to,
                    Ordering::Equal => last.to.open &= piece.to.open,
                    Ordering::Less => {}
                }
                continue;
            }
        }
        out.push(piece);
    }
    out
}

/// What lies between the pieces of a tidy set.
fn complement(pieces: &[Piece]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut from = Bound::infinite(true);
    for piece in pieces {
        let to = Bound { open: !piece.from.open, ..piece.from.clone() };
        if piece.from.value != f64::NEG_INFINITY {
            out.push(Piece { from, to });
        }
        from = Bound { open: !piece.to.open, ..piece.to.clone() };
    }
    if from.value != f64::INFINITY {
        out.push(Piece { from, to: Bound::infinite(false) });
    }
    tidy(out)
}

fn intersection(a: &[Piece], b: &[Piece]) -> Vec<Piece> {
    let mut outside = complement(a);
    outside.extend(complement(b));
    complement(&tidy(outside))
}

impl Comparison<'_> {
    /// Whether `e` is written as a set of real numbers other than by its elements.
    pub(crate) fn is_real_set(&self, e: &Expr) -> bool {
        matches!(e, Expr::Interval(..) | Expr::Union(_) | Expr::Intersection(_) | Expr::Difference(..) | Expr::Domain('R') | Expr::Such(..))
    }

    fn bound(&mut self, e: &Expr, open: bool) -> Option<Bound> {
        match e {
            Expr::Infinity => return Some(Bound::infinite(false)),
            Expr::Negative(a) if **a == Expr::Infinity => return Some(Bound::infinite(true)),
            _ => {}
        }
        let value = constant(e, &mut self.consts, &mut self.budget)?;
        value.im.is_zero().then(|| Bound { expr: e.clone(), value: to_f64(&value.re), precise: Some(value.re), open })
    }

    /// The pieces of a set with constant ends. `None`: another kind of set.
    fn pieces(&mut self, e: &Expr) -> Option<Vec<Piece>> {
        self.budget.spend(5)?;
        Some(match e {
            Expr::Interval(a, b) => tidy(vec![Piece { from: self.bound(&a.value, a.open)?, to: self.bound(&b.value, b.open)? }]),
            // Among sets, `(a, b)` is an open interval.
            Expr::Tuple(all) if all.len() == 2 => tidy(vec![Piece { from: self.bound(&all[0], true)?, to: self.bound(&all[1], true)? }]),
            Expr::Set(all) => {
                let mut pieces = Vec::new();
                for point in all {
                    let point = self.bound(point, false)?;
                    pieces.push(Piece { from: point.clone(), to: point });
                }
                tidy(pieces)
            }
            Expr::Union(all) | Expr::List(all) => {
                let mut pieces = Vec::new();
                for part in all {
                    pieces.extend(self.pieces(part)?);
                }
                tidy(pieces)
            }
            Expr::Intersection(all) => {
                let mut pieces = complement(&[]);
                for part in all {
                    pieces = intersection(&pieces, &self.pieces(part)?);
                }
                pieces
            }
            Expr::Difference(a, b) => {
                let (a, b) = (self.pieces(a)?, self.pieces(b)?);
                intersection(&a, &complement(&b))
            }
            Expr::Domain('R') => complement(&[]),
            // `x < 3`, and `{x : x < 3}`.
            Expr::Chain(..) => self.solved(e)?,
            Expr::Such(_, conditions) => {
                let mut pieces = complement(&[]);
                for condition in conditions {
                    pieces = intersection(&pieces, &self.pieces(condition)?);
                }
                pieces
            }
            _ => return None,
        })
    }

    /// The numbers for which a chain like `1 < x <= 2` or `x \in S` holds, where it can be read off.
    fn solved(&mut self, e: &Expr) -> Option<Vec<Piece>> {
        let Expr::Chain(terms, relations) = e else { return None };
        let unknown = |e: &Expr| matches!(e, Expr::Symbol(_) | Expr::Opaque(..));
        let mut pieces = complement(&[]);
        for (i, relation) in relations.iter().enumerate() {
            let (name, relation, other) = match (unknown(&terms[i]), unknown(&terms[i + 1])) {
                (true, false) => (&terms[i], *relation, &terms[i + 1]),
                (false, true) => (&terms[i + 1], relation.flipped(), &terms[i]),
                _ => return None,
            };
            if terms.iter().any(|t| unknown(t) && t != name) {
                return None;
            }
            let below = |to: Bound| vec![Piece { from: Bound::infinite(true), to }];
            let above = |from: Bound| vec![Piece { from, to: Bound::infinite(false) }];
            let part = match relation {
                Relation::Less => below(self.bound(other, true)?),
                Relation::LessEqual => below(self.bound(other, false)?),
                Relation::Greater => above(self.bound(other, true)?),
                Relation::GreaterEqual => above(self.bound(other, false)?),
                Relation::NotEqual => {
                    let point = self.bound(other, false)?;
                    complement(&[Piece { from: point.clone(), to: point }])
                }
                Relation::In => self.pieces(other)?,
                _ => return None,
            };
            pieces = intersection(&pieces, &tidy(part));
        }
        Some(pieces)
    }

    /// Two sets of which at least one is written with intervals and the like.
    pub(crate) fn real_sets(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        let fits = |e: &Expr| !matches!(e, Expr::List(_));
        if !fits(gold) || !fits(prediction) {
            // `(1, 2)` may be a pair: two values against an open interval.
            if let (Expr::Interval(a, b), Expr::List(all)) | (Expr::List(all), Expr::Interval(a, b)) = (gold, prediction)
                && a.open
                && b.open
            {
                return self.ordered(&[a.value.clone(), b.value.clone()], all);
            }
        }
        match (self.pieces(gold), self.pieces(prediction)) {
            (Some(a), Some(b)) => self.same_pieces(&a, &b),
            _ => match (gold, prediction) {
                (Expr::Interval(a, b), Expr::Interval(c, d)) => {
                    if (a.open, b.open) != (c.open, d.open) {
                        return (Outcome::Different, "ends open and closed otherwise");
                    }
                    self.ordered(&[a.value.clone(), b.value.clone()], &[c.value.clone(), d.value.clone()])
                }
                (Expr::Union(a), Expr::Union(b)) | (Expr::Intersection(a), Expr::Intersection(b)) => self.unordered(a, b, true),
                (Expr::Difference(a, b), Expr::Difference(c, d)) => {
                    self.ordered(&[(**a).clone(), (**b).clone()], &[(**c).clone(), (**d).clone()])
                }
                (Expr::Such(a, all), Expr::Such(b, others)) => match self.answers(a, b) {
                    (Outcome::Equal, _) => self.unordered(all, others, true),
                    other => other,
                },
                (Expr::Interval(..), Expr::Union(_)) | (Expr::Union(_), Expr::Interval(..)) => {
                    (Outcome::Undecided, "sets that can't be compared")
                }
                _ if self.is_real_set(gold) != self.is_real_set(prediction) => {
                    (Outcome::Different, "a set of intervals and something else")
                }
                _ => (Outcome::Undecided, "sets that can't be compared"),
            },
        }
    }

    fn same_pieces(&mut self, a: &[Piece], b: &[Piece]) -> Decision {
        if a.len() != b.len() {
            return (Outcome::Different, "other numbers of intervals");
        }
        for (x, y) in a.iter().zip(b) {
            if (x.from.open, x.to.open) != (y.from.open, y.to.open) {
                return (Outcome::Different, "ends open and closed otherwise");
            }
            for (p, q) in [(&x.from, &y.from), (&x.to, &y.to)] {
                match self.scalars(&p.expr, &q.expr) {
                    (Outcome::Equal, _) => {}
                    (Outcome::Different, _) => return (Outcome::Different, "other ends of intervals"),
                    undecided => return undecided,
                }
            }
        }
        (Outcome::Equal, "the same intervals")
    }

    /// A relation against the set of its solutions.
    pub(crate) fn relation_with_set(&mut self, chain: &Expr, set: &Expr) -> Decision {
        let Expr::Chain(terms, relations) = chain else { return (Outcome::Undecided, "no relation") };
        let as_set = self.is_real_set(set) || matches!(set, Expr::Tuple(all) if all.len() == 2) || matches!(set, Expr::Set(_));
        let ordered = relations.iter().all(|r| r.is_inequality() || *r == Relation::NotEqual || *r == Relation::In);
        if !as_set || !ordered {
            return (Outcome::Different, "a relation and something else");
        }
        let Some(pieces) = self.pieces(set) else { return (Outcome::Undecided, "a set that can't be compared with a relation") };
        if let Some(solved) = self.pieces(chain) {
            return self.same_pieces(&solved, &pieces);
        }
        self.sampled(terms, relations, &pieces)
    }

    /// A relation in one unknown against pieces of the real line, at many numbers in, beside and outside of these.
    fn sampled(&mut self, terms: &[Expr], relations: &[Relation], pieces: &[Piece]) -> Decision {
        // One unknown, which may be written as `f(x)`.
        let mut unknowns: BTreeSet<String> = BTreeSet::new();
        let renamed: Vec<Expr> = terms.iter().map(|t| name_unknown(t, &mut unknowns)).collect();
        let names: BTreeSet<String> = renamed.iter().flat_map(Expr::symbols).collect();
        let [name] = names.iter().collect::<Vec<_>>()[..] else {
            return (Outcome::Undecided, "a relation of several unknowns and a set");
        };
        for (at, inside) in samples(pieces) {
            let point = HashMap::from([(name.clone(), at)]);
            match self.holds(&renamed, relations, &point) {
                Some(holds) if holds == inside => {}
                Some(_) => return (Outcome::Different, "a number that only one side holds for"),
                None if !inside => {}
                None => return (Outcome::Undecided, self.exhausted("a relation that can't be evaluated")),
            }
        }
        (Outcome::Equal, "holds for the same of many numbers")
    }

    /// Whether a chain holds at a point.
    fn holds(&mut self, terms: &[Expr], relations: &[Relation], point: &HashMap<String, BigRational>) -> Option<bool> {
        let mut values = Vec::new();
        for term in terms {
            let mut evaluator = Evaluator { point, real: true, imaginary: None, consts: &mut self.consts, budget: &mut self.budget };
            values.push(evaluator.value(term).filter(|v| v.im.is_zero())?);
        }
        let mut all = true;
        for (i, relation) in relations.iter().enumerate() {
            let (a, b) = (&values[i], &values[i + 1]);
            let order = if close(a, b) == Close::Same { Ordering::Equal } else { a.re.partial_cmp(&b.re)? };
            all &= match relation {
                Relation::Less => order.is_lt(),
                Relation::LessEqual => order.is_le(),
                Relation::Greater => order.is_gt(),
                Relation::GreaterEqual => order.is_ge(),
                Relation::NotEqual => order.is_ne(),
                _ => return None,
            };
        }
        Some(all)
    }

    /// Two chains of relations.
    pub(crate) fn relations(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        let (Some(a), Some(b)) = (pairs(gold), pairs(prediction)) else { return (Outcome::Undecided, "no relations") };
        if let (Some(x), Some(y)) = (self.solved(gold), self.solved(prediction)) {
            if gold.symbols() != prediction.symbols() {
                return (Outcome::Different, "relations of other unknowns");
            }
            return self.same_pieces(&x, &y);
        }
        let inequalities = |e: &Expr| matches!(e, Expr::Chain(_, relations) if relations.iter().all(|r| r.is_inequality()));
        if inequalities(gold) && inequalities(prediction) && gold.symbols() == prediction.symbols() {
            for (solved, other) in [(gold, prediction), (prediction, gold)] {
                if let (Some(pieces), Expr::Chain(terms, relations)) = (self.solved(solved), other) {
                    return self.sampled(terms, relations, &pieces);
                }
            }
        }
        if a.len() != b.len() {
            return (Outcome::Undecided, "chains of relations of other lengths");
        }
        for (x, y) in a.iter().zip(&b) {
            let decision = self.pair(x, y);
            if decision.0 != Outcome::Equal {
                return decision;
            }
        }
        (Outcome::Equal, "the same relations")
    }

    fn pair(&mut self, a: &Pair<'_>, b: &Pair<'_>) -> Decision {
        let kind = |r: Relation| if r == Relation::Approximately { Relation::Equal } else { r };
        let (r, s) = (kind(a.relation), kind(b.relation));
        let sides = [self.answers_if_values(a.left, b.left), self.answers_if_values(a.right, b.right)];
        if r == s && sides.iter().all(|d| d.0 == Outcome::Equal) {
            return (Outcome::Equal, "relations of the same sides");
        }
        if !r.is_inequality() && !matches!(r, Relation::Equal | Relation::NotEqual) || r.is_inequality() != s.is_inequality() {
            return (Outcome::Different, "other relations");
        }
        // Constants are always multiples of each other: `f(2) < f(1)` says something of two unknowns.
        let mut unknowns = BTreeSet::new();
        let constant = [a.left, a.right, b.left, b.right].iter().all(|side| side.symbols().is_empty());
        let mut named = |e: &Expr| if constant { name_unknown(e, &mut unknowns) } else { e.clone() };
        let [left, right, other_left, other_right] = [a.left, a.right, b.left, b.right].map(&mut named);
        if constant && unknowns.is_empty() {
            return (Outcome::Different, "other relations");
        }
        let (mut d, mut e) = (Expr::difference(left, right), Expr::difference(other_left, other_right));
        if !r.is_inequality() {
            if r != s {
                return (Outcome::Different, "other relations");
            }
            (d, e) = (numerator(&d), numerator(&e));
        }
        match self.proportional(&d, &e) {
            Some(same_sign) if !r.is_inequality() || s == if same_sign { r } else { r.flipped() } => {
                (Outcome::Equal, "differences of their sides are multiples of each other")
            }
            _ if self.budget.left == 0 => (Outcome::Undecided, "the budget is spent"),
            _ => (Outcome::Different, "other relations"),
        }
    }

    fn answers_if_values(&mut self, a: &Expr, b: &Expr) -> Decision {
        if a == b { (Outcome::Equal, "the same expression") } else { self.answers(a, b) }
    }
}

/// One relation of a chain.
struct Pair<'a> {
    left: &'a Expr,
    relation: Relation,
    right: &'a Expr,
}

/// The relations of a chain; one that only descends is read from its end.
fn pairs(e: &Expr) -> Option<Vec<Pair<'_>>> {
    let Expr::Chain(terms, relations) = e else { return None };
    let descends = relations.iter().all(|r| matches!(r, Relation::Greater | Relation::GreaterEqual));
    let all = relations.iter().enumerate().map(|(i, relation)| Pair { left: &terms[i], relation: *relation, right: &terms[i + 1] });
    Some(if descends {
        all.rev().map(|p| Pair { left: p.right, relation: p.relation.flipped(), right: p.left }).collect()
    } else {
        all.collect()
    })
}

/// The numerator over a common denominator.
fn numerator(e: &Expr) -> Expr {
    fn split(e: &Expr) -> (Expr, Option<Expr>) {
        let times = |a: Expr, b: Option<Expr>| match b {
            Some(b) => Expr::Product(vec![a, b]),
            None => a,
        };
        match e {
            Expr::Quotient(a, b) => {
                let ((n, d), (m, c)) = (split(a), split(b));
                (times(n, c), Some(times(m, d)))
            }
            Expr::Negative(a) => {
                let (n, d) = split(a);
                (Expr::Negative(n.boxed()), d)
            }
            Expr::Product(all) => {
                let parts: Vec<_> = all.iter().map(split).collect();
                let denominators: Vec<Expr> = parts.iter().filter_map(|p| p.1.clone()).collect();
                let numerators = parts.into_iter().map(|p| p.0).collect();
                (Expr::Product(numerators), (!denominators.is_empty()).then_some(Expr::Product(denominators)))
            }
            Expr::Sum(all) => {
                let parts: Vec<_> = all.iter().map(split).collect();
                if parts.iter().all(|p| p.1.is_none()) || parts.len() > 12 {
                    return (e.clone(), None);
                }
                let term = |i: usize| {
                    let others = parts.iter().enumerate().filter(|(j, _)| *j != i).filter_map(|(_, p)| p.1.clone());
                    Expr::Product(std::iter::once(parts[i].0.clone()).chain(others).collect())
                };
                let denominators = parts.iter().filter_map(|p| p.1.clone()).collect();
                (Expr::Sum((0..parts.len()).map(term).collect()), Some(Expr::Product(denominators)))
            }
            other => (other.clone(), None),
        }
    }
    split(e).0
}

/// `f(x)` as a variable of its own.
fn name_unknown(e: &Expr, names: &mut BTreeSet<String>) -> Expr {
    match e {
        Expr::Opaque(..) => {
            let name = e.to_string();
            names.insert(name.clone());
            Expr::Symbol(name)
        }
        other => other.map(&mut |part| name_unknown(part, names)),
    }
}

/// Numbers in, beside and outside of pieces, and whether they are in.
fn samples(pieces: &[Piece]) -> Vec<(BigRational, bool)> {
    let mut out = Vec::new();
    let ratio = |a: i64, b: i64| BigRational::new(a.into(), b.into());
    let mut ends = Vec::new();
    for piece in pieces {
        for end in [&piece.from, &piece.to] {
            if let Some(value) = end.precise.as_ref().and_then(to_rational) {
                ends.push(value);
            }
        }
    }
    let mut places: Vec<BigRational> = ends.clone();
    for end in &ends {
        for step in [ratio(1, 1000), ratio(1, 7), ratio(13, 11), ratio(101, 3)] {
            places.push(end - &step);
            places.push(end + &step);
        }
    }
    for pair in ends.windows(2) {
        for part in [ratio(1, 9), ratio(1, 3), ratio(1, 2), ratio(5, 7), ratio(14, 15)] {
            places.push(&pair[0] + (&pair[1] - &pair[0]) * part);
        }
    }
    places.extend([-1_000_000, -7919, -53, -1, 0, 1, 2, 47, 8009, 1_000_003].map(|n| ratio(n, 1)));
    for place in places {
        let inside = pieces.iter().any(|piece| {
            let order = |bound: &Bound| match bound.precise.as_ref().and_then(to_rational) {
                Some(end) => place.cmp(&end),
                None if bound.value < 0.0 => Ordering::Greater,
                None => Ordering::Less,
            };
            let (from, to) = (order(&piece.from), order(&piece.to));
            (from.is_gt() || (from.is_eq() && !piece.from.open)) && (to.is_lt() || (to.is_eq() && !piece.to.open))
        });
        out.push((place, inside));
    }
    out
}
