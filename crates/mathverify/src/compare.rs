//! Comparing answers of any form: lists, tuples, sets, relations, matrices, words.

use crate::ast::{Expr, Relation};
use crate::chain::is_name;
use crate::config::Outcome;
use crate::parse::negate;
use crate::scalar::{Comparison, Decision};
use crate::words;

/// Most items of a list that are compared in any order.
const MAX_ITEMS: usize = 400;

/// Most forms in which one value may be given.
const MAX_FORMS: usize = 4;

fn is_equation(e: &Expr) -> bool {
    matches!(e, Expr::Chain(_, relations) if relations.iter().all(|r| matches!(r, Relation::Equal | Relation::Approximately | Relation::In)))
}

fn is_assignment(e: &Expr) -> bool {
    is_equation(e) && matches!(e, Expr::Chain(terms, _) if is_name(&terms[0]) || (terms.len() > 2 && is_name(&terms[terms.len() - 2])))
}

/// The unknown of an equation like `2x = 10`, which has to be solved for it: its only one, and no side of its own.
fn unsolved(e: &Expr) -> Option<String> {
    let Expr::Chain(terms, relations) = e else { return None };
    let symbols = e.symbols();
    if terms.len() != 2 || relations != &[Relation::Equal] || symbols.len() != 1 || terms.iter().any(is_name) {
        return None;
    }
    let opaque = e.any(&|e| matches!(e, Expr::Opaque(..) | Expr::Text(_)));
    (!opaque && terms[1].symbols().is_empty()).then(|| symbols.into_iter().next()).flatten()
}

fn last_term(e: &Expr) -> Expr {
    match e {
        Expr::Chain(terms, _) => terms.last().cloned().unwrap_or_else(|| e.clone()),
        _ => e.clone(),
    }
}

/// A chain without what only approximates an exact value before it; an assignment's first and last terms alone.
fn tidy_chain(e: &Expr) -> Expr {
    let Expr::Chain(terms, relations) = e else { return e.clone() };
    let end = match relations.iter().position(|r| *r == Relation::Approximately) {
        Some(at) if at > 0 => at,
        _ => relations.len(),
    };
    let chain = Expr::Chain(terms[..=end].to_vec(), relations[..end].to_vec());
    if is_assignment(&chain) {
        let name = if is_name(&terms[0]) { &terms[0] } else { &terms[end - 1] };
        Expr::Chain(vec![name.clone(), terms[end].clone()], vec![relations[end - 1]])
    } else {
        chain
    }
}

/// `e` for the upper or the lower signs.
fn with_sign(e: &Expr, upper: bool) -> Expr {
    match e {
        Expr::PlusMinus(plus, a) => {
            let a = with_sign(a, upper);
            if *plus == upper { a } else { negate(a) }
        }
        other => other.map(&mut |part| with_sign(part, upper)),
    }
}

/// Plus-minus written out, inside of lists and sets as further items.
fn expand_signs(e: &Expr) -> Expr {
    let signed = |e: &Expr| e.any(&|e| matches!(e, Expr::PlusMinus(..)));
    if !signed(e) {
        return e.clone();
    }
    let both = |e: &Expr| if signed(e) { vec![with_sign(e, true), with_sign(e, false)] } else { vec![e.clone()] };
    match e {
        Expr::List(all) => Expr::List(all.iter().flat_map(both).collect()),
        Expr::Set(all) => Expr::Set(all.iter().flat_map(both).collect()),
        other => Expr::List(both(other)),
    }
}

/// Items of a list, set or tuple, and whether their order counts.
fn items(e: &Expr) -> Option<(&[Expr], bool)> {
    match e {
        Expr::List(all) | Expr::Set(all) => Some((all, false)),
        Expr::Tuple(all) => Some((all, true)),
        _ => None,
    }
}

/// Whether `h:mm` looks like a time.
fn is_clock(all: &[Expr]) -> bool {
    let within = |e: &Expr, from: i64, to: i64| {
        let of = |n: i64| num_rational::BigRational::from_integer(n.into());
        e.literal().is_some_and(|n| n.is_integer() && n >= of(from) && n < of(to))
    };
    matches!(all, [hours, minutes] if within(hours, 0, 25) && within(minutes, 10, 60))
}

/// The entries of a row or column.
fn vector(e: &Expr) -> Option<Vec<Expr>> {
    match e {
        Expr::Matrix(rows) if rows.len() == 1 || rows[0].len() == 1 => Some(rows.iter().flatten().cloned().collect()),
        _ => None,
    }
}

impl Comparison<'_> {
    /// Compares two answers.
    pub(crate) fn answers(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        if self.budget.spend(4).is_none() {
            return (Outcome::Undecided, "the budget is spent");
        }
        // What a known answer says is meant, even where its sides disagree.
        let (gold, prediction) = (self.settled(gold).unwrap_or_else(|_| gold.clone()), self.settled(prediction));
        let prediction = match prediction {
            Ok(prediction) => prediction,
            Err(decision) => return decision,
        };
        let (mut gold, mut prediction) = (tidy_chain(&expand_signs(&gold)), tidy_chain(&expand_signs(&prediction)));
        if is_equation(&prediction) && !is_equation(&gold) {
            if let Expr::Chain(terms, _) = &prediction
                && terms.first() == terms.last()
            {
                return (Outcome::Undecided, "an equation that says nothing");
            }
            if let Some(unknown) = unsolved(&prediction) {
                // Right if the gold is its solution, as of `2x = 2` for 1.
                let solution = Expr::Chain(vec![Expr::Symbol(unknown), gold], vec![Relation::Equal]);
                return match self.relations(&solution, &prediction) {
                    (Outcome::Equal, _) => (Outcome::Equal, "the solution of the equation"),
                    _ => (Outcome::Different, "an equation that isn't solved"),
                };
            }
            prediction = last_term(&prediction);
        } else if is_assignment(&gold) && !is_equation(&prediction) {
            gold = last_term(&gold);
        } else if let (Expr::Chain(a, r), Expr::Chain(b, s)) = (&gold, &prediction)
            && (r.as_slice(), s.as_slice()) == (&[Relation::In], &[Relation::In])
            && a[0] == b[0]
        {
            (gold, prediction) = (last_term(&gold), last_term(&prediction));
        }
        if gold == prediction {
            return (Outcome::Equal, "the same expression");
        }
        self.forms(&strip_name(gold), &strip_name(prediction))
    }

    fn forms(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        let (gold_chain, prediction_chain) = (matches!(gold, Expr::Chain(..)), matches!(prediction, Expr::Chain(..)));
        if gold_chain && prediction_chain {
            return self.relations(gold, prediction);
        }
        if gold_chain != prediction_chain {
            let (chain, other) = if gold_chain { (gold, prediction) } else { (prediction, gold) };
            if gold_chain || self.config.allow_set_relation {
                return self.relation_with_set(chain, other);
            }
            return (Outcome::Different, "a relation and something else");
        }
        let has_matrix = |e: &Expr| e.any(&|e| matches!(e, Expr::Matrix(_))) && items(e).is_none() && !matches!(e, Expr::Opaque(..));
        if has_matrix(gold) || has_matrix(prediction) {
            return self.matrices(gold, prediction);
        }
        if let (Expr::Text(a), Expr::Text(b)) = (gold, prediction) {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            return if letters(a) == letters(b) { (Outcome::Equal, "the same words") } else { (Outcome::Different, "other words") };
        }
        if let (Expr::Text(words), set) | (set, Expr::Text(words)) = (gold, prediction) {
            match (words::set(words), set) {
                (Some(words::Set::Empty), Expr::Set(all)) if all.is_empty() => return (Outcome::Equal, "no solution"),
                (Some(words::Set::Reals), Expr::Domain('R')) => return (Outcome::Equal, "all real numbers"),
                (Some(words::Set::Reals), set) if self.is_real_set(set) => return self.real_sets(&Expr::Domain('R'), set),
                _ => {}
            }
        }
        if matches!(gold, Expr::Text(_)) || matches!(prediction, Expr::Text(_)) {
            return (Outcome::Different, "words and something else");
        }
        if self.is_real_set(gold) || self.is_real_set(prediction) {
            return self.real_sets(gold, prediction);
        }
        match (items(gold), items(prediction)) {
            (Some((a, ordered)), Some((b, also))) => {
                let explicit = |e: &Expr| matches!(e, Expr::Set(_));
                if ordered != also && self.config.strict && (explicit(gold) || explicit(prediction)) {
                    return (Outcome::Different, "a set and a tuple");
                }
                let sets = explicit(gold) || explicit(prediction);
                // Several points are a set of solutions.
                let points = a.iter().chain(b).all(|e| matches!(e, Expr::Tuple(_)));
                match !ordered && !also || (ordered != also && !self.config.strict) {
                    // What is counted twice in a list is there twice.
                    true if !sets && a.len() != b.len() && !points => (Outcome::Different, "other numbers of items"),
                    true => self.unordered(a, b, sets || points),
                    false => self.ordered(a, b),
                }
            }
            (Some((all, _)), None) | (None, Some((all, _))) => match all {
                [one] => {
                    let one = one.clone();
                    if items(gold).is_some() { self.answers(&one, prediction) } else { self.answers(gold, &one) }
                }
                // The same value in several forms; a tuple is no such thing, nor is the same form again.
                all if !all.is_empty()
                    && all.len() <= MAX_FORMS
                    && !all.iter().enumerate().any(|(i, form)| all[..i].contains(form))
                    && !matches!(gold, Expr::Tuple(_))
                    && !matches!(prediction, Expr::Tuple(_)) =>
                {
                    let one = if items(gold).is_some() { prediction } else { gold };
                    for form in all {
                        if self.answers(one, form).0 != Outcome::Equal {
                            return (Outcome::Different, "one value and several");
                        }
                    }
                    (Outcome::Equal, "one value in several forms")
                }
                _ => (Outcome::Different, "one value and several"),
            },
            (None, None) => self.values_with_units(gold, prediction),
        }
    }

    /// Percentages, degrees, ratios and times, else plain values.
    pub(crate) fn values_with_units(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        let percent = |e: &Expr| match e {
            Expr::Percent(a) => Some((**a).clone()),
            _ => None,
        };
        if let (a, b) = (percent(gold), percent(prediction))
            && (a.is_some() || b.is_some())
        {
            if self.config.percent_as_fraction && a.is_some() != b.is_some() {
                let decision = self.scalars(gold, prediction);
                if decision.0 == Outcome::Equal {
                    return decision;
                }
            }
            return self.answers(&a.unwrap_or_else(|| gold.clone()), &b.unwrap_or_else(|| prediction.clone()));
        }
        match (gold, prediction) {
            (Expr::Degrees(a), Expr::Degrees(b)) => return self.scalars(a, b),
            (Expr::Degrees(a), b) | (b, Expr::Degrees(a)) => {
                // As a number of degrees, or as an angle in radians.
                let plain = if matches!(gold, Expr::Degrees(_)) { self.scalars(a, b) } else { self.scalars(b, a) };
                return if plain.0 == Outcome::Equal { plain } else { self.scalars(gold, prediction) };
            }
            (Expr::Ratio(a), Expr::Ratio(b)) if a.len() != b.len() => return (Outcome::Different, "ratios of other lengths"),
            (Expr::Ratio(a), Expr::Ratio(b)) => {
                let whole = |all: &[Expr]| all.iter().all(|e| e.literal().is_some_and(|n| n.is_integer()));
                let one_by_one = self.ordered(a, b);
                let clock = |all: &[Expr]| {
                    let sixty = num_rational::BigRational::from_integer(60.into());
                    let ten = num_rational::BigRational::from_integer(10.into());
                    whole(all)
                        && all[1..].iter().all(|e| e.literal().is_some_and(|n| n < sixty && (n >= ten || num_traits::Zero::is_zero(&n))))
                };
                if one_by_one.0 == Outcome::Equal || (clock(a) && clock(b)) {
                    return one_by_one;
                }
                // The same ratio: each part by the first.
                for (x, y) in a.iter().zip(b).skip(1) {
                    let left = Expr::Product(vec![x.clone(), b[0].clone()]);
                    let right = Expr::Product(vec![y.clone(), a[0].clone()]);
                    let decision = self.scalars(&left, &right);
                    if decision.0 != Outcome::Equal {
                        return decision;
                    }
                }
                return (Outcome::Equal, "the same ratio");
            }
            _ => {}
        }
        if let (Expr::Ratio(all), other) | (other, Expr::Ratio(all)) = (gold, prediction)
            && !matches!(other, Expr::Ratio(_))
            && other.symbols().is_empty()
            && (is_clock(all) || all.len() > 2 || all.iter().skip(1).any(|e| e.literal().is_some_and(|n| num_traits::Zero::is_zero(&n))))
        {
            return (Outcome::Different, "a time or ratio and a number");
        }
        self.scalars(gold, prediction)
    }

    /// Items one by one.
    pub(crate) fn ordered(&mut self, gold: &[Expr], prediction: &[Expr]) -> Decision {
        if gold.len() != prediction.len() {
            return (Outcome::Different, "other numbers of items");
        }
        let mut outcome = (Outcome::Equal, "the same items one by one");
        for (a, b) in gold.iter().zip(prediction) {
            match self.answers(a, b) {
                (Outcome::Equal, _) => {}
                (Outcome::Different, _) => return (Outcome::Different, "another item"),
                undecided => outcome = undecided,
            }
        }
        outcome
    }

    /// Each item of the one has one in the other; `repeated`: which may be one that another has, too, as in sets.
    pub(crate) fn unordered(&mut self, gold: &[Expr], prediction: &[Expr], repeated: bool) -> Decision {
        if gold.len().max(prediction.len()) > MAX_ITEMS {
            return (Outcome::Undecided, "too many items");
        }
        let mut outcome = (Outcome::Equal, "the same items in any order");
        let mut matched = vec![false; prediction.len()];
        for (i, a) in gold.iter().enumerate() {
            let mut found = false;
            let mut unsure = None;
            // An item at the same place is the likeliest.
            let order = std::iter::once(i).filter(|i| *i < prediction.len()).chain((0..prediction.len()).filter(|j| *j != i));
            for j in order.filter(|j| repeated || !matched[*j]).collect::<Vec<_>>() {
                match self.answers(a, &prediction[j]) {
                    (Outcome::Equal, _) => {
                        matched[j] = true;
                        found = true;
                        if gold.len() == prediction.len() {
                            break;
                        }
                    }
                    (Outcome::Undecided, reason) => unsure = Some(reason),
                    _ => {}
                }
            }
            if !found {
                match unsure {
                    Some(reason) => outcome = (Outcome::Undecided, reason),
                    None => return (Outcome::Different, "an item is missing"),
                }
            }
        }
        // Items that weren't reached may be repetitions of others.
        for j in 0..prediction.len() {
            if matched[j] || outcome.0 != Outcome::Equal {
                continue;
            }
            let mut found = false;
            for a in gold {
                found = found || self.answers(a, &prediction[j]).0 == Outcome::Equal;
            }
            if !found {
                return (Outcome::Different, "an item too many");
            }
        }
        outcome
    }

    /// Sums and products of matrices computed, `e` itself otherwise.
    fn matrix(&mut self, e: &Expr) -> Expr {
        match e {
            Expr::Sum(all) if all.iter().all(|e| matches!(e, Expr::Matrix(_) | Expr::Negative(_))) => {
                let mut sum: Option<Vec<Vec<Expr>>> = None;
                for part in all {
                    let part = self.matrix(part);
                    let Expr::Matrix(rows) = part else { return e.clone() };
                    sum = Some(match sum {
                        None => rows,
                        Some(sum) if sum.len() == rows.len() && sum[0].len() == rows[0].len() => {
                            let row = |(a, b): (Vec<Expr>, Vec<Expr>)| a.into_iter().zip(b).map(|(a, b)| Expr::Sum(vec![a, b])).collect();
                            sum.into_iter().zip(rows).map(row).collect()
                        }
                        Some(_) => return e.clone(),
                    });
                }
                sum.map_or(e.clone(), Expr::Matrix)
            }
            Expr::Negative(inner) => match self.matrix(inner) {
                Expr::Matrix(rows) => Expr::Matrix(rows.into_iter().map(|r| r.into_iter().map(negate).collect()).collect()),
                _ => e.clone(),
            },
            Expr::Product(all) if all.iter().any(|e| matches!(e, Expr::Matrix(_))) && all.len() <= 8 => {
                let mut product = all[0].clone();
                for part in &all[1..] {
                    product = match (product, part) {
                        (Expr::Matrix(a), Expr::Matrix(b)) if a[0].len() == b.len() && a.len() * b.len() * b[0].len() <= 512 => {
                            let entry = |row: &Vec<Expr>, j: usize| {
                                Expr::Sum(row.iter().zip(b).map(|(x, other)| Expr::Product(vec![x.clone(), other[j].clone()])).collect())
                            };
                            Expr::Matrix(a.iter().map(|row| (0..b[0].len()).map(|j| entry(row, j)).collect()).collect())
                        }
                        (Expr::Matrix(_), Expr::Matrix(_)) => return e.clone(),
                        (Expr::Matrix(rows), scalar) => scale(&rows, scalar),
                        (scalar, Expr::Matrix(rows)) => scale(rows, &scalar),
                        (a, b) => Expr::Product(vec![a, b.clone()]),
                    };
                    if self.budget.spend(200).is_none() {
                        return e.clone();
                    }
                }
                product
            }
            other => other.clone(),
        }
    }

    fn matrices(&mut self, gold: &Expr, prediction: &Expr) -> Decision {
        match (self.matrix(gold), self.matrix(prediction)) {
            (Expr::Matrix(a), Expr::Matrix(b)) => {
                if a.len() != b.len() || a[0].len() != b[0].len() {
                    return (Outcome::Different, "matrices of other shapes");
                }
                self.ordered(&a.concat(), &b.concat())
            }
            (matrix @ Expr::Matrix(_), Expr::Tuple(entries)) => match vector(&matrix) {
                Some(all) => self.ordered(&all, &entries),
                None => (Outcome::Different, "a matrix and a tuple"),
            },
            (Expr::Tuple(entries), matrix @ Expr::Matrix(_)) => match vector(&matrix) {
                Some(all) => self.ordered(&entries, &all),
                None => (Outcome::Different, "a matrix and a tuple"),
            },
            _ => (Outcome::Different, "a matrix and something else"),
        }
    }
}

fn scale(rows: &[Vec<Expr>], by: &Expr) -> Expr {
    Expr::Matrix(rows.iter().map(|r| r.iter().map(|e| Expr::Product(vec![by.clone(), e.clone()])).collect()).collect())
}

/// `D = (0, 1)` inside of lists keeps its name; a set's name alone is dropped.
fn strip_name(e: Expr) -> Expr {
    match e {
        Expr::Chain(mut terms, relations) if relations == [Relation::In] && is_name(&terms[0]) => terms.remove(1),
        other => other,
    }
}
