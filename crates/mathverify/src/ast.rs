//! What an answer is read as.

use std::fmt;

use num_rational::BigRational;

/// Functions with a known value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Arccot,
    Sinh,
    Cosh,
    Tanh,
    Coth,
    Arcsinh,
    Arccosh,
    Arctanh,
    Exp,
    Ln,
    /// Base and argument.
    Log,
    Abs,
    Floor,
    Ceil,
    Factorial,
    DoubleFactorial,
    Binomial,
    Gcd,
    Lcm,
    Min,
    Max,
    Re,
    Im,
}

impl Function {
    /// By its LaTeX or plain name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        use Function::*;
        Some(match name {
            "sin" => Sin,
            "cos" => Cos,
            "tan" | "tg" => Tan,
            "cot" | "ctg" | "cotg" => Cot,
            "sec" => Sec,
            "csc" | "cosec" => Csc,
            "arcsin" | "asin" => Arcsin,
            "arccos" | "acos" => Arccos,
            "arctan" | "atan" | "arctg" => Arctan,
            "arccot" | "acot" | "arcctg" => Arccot,
            "sinh" | "sh" => Sinh,
            "cosh" | "ch" => Cosh,
            "tanh" | "th" => Tanh,
            "coth" => Coth,
            "arcsinh" | "arsinh" | "asinh" => Arcsinh,
            "arccosh" | "arcosh" | "acosh" => Arccosh,
            "arctanh" | "artanh" | "atanh" => Arctanh,
            "exp" => Exp,
            "ln" => Ln,
            "log" | "lg" => Log,
            "abs" => Abs,
            "floor" => Floor,
            "ceil" => Ceil,
            "gcd" => Gcd,
            "lcm" => Lcm,
            "min" => Min,
            "max" => Max,
            "Re" => Re,
            "Im" => Im,
            _ => return None,
        })
    }

    /// Whether arguments come only in parentheses, so that `max` isn't applied to whatever follows.
    pub(crate) fn takes_list(self) -> bool {
        matches!(self, Self::Gcd | Self::Lcm | Self::Min | Self::Max)
    }

    /// The inverse, for `\sin^{-1}`.
    pub(crate) fn inverse(self) -> Option<Self> {
        use Function::*;
        Some(match self {
            Sin => Arcsin,
            Cos => Arccos,
            Tan => Arctan,
            Cot => Arccot,
            Sinh => Arcsinh,
            Cosh => Arccosh,
            Tanh => Arctanh,
            _ => return None,
        })
    }
}

/// Relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Approximately,
    In,
    /// Another one, by name; equal only to itself.
    Other(&'static str),
}

impl Relation {
    /// The same relation with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    pub(crate) fn is_inequality(self) -> bool {
        matches!(self, Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual)
    }
}

/// An interval's end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) value: Expr,
    pub(crate) open: bool,
}

/// An expression. Its depth is bounded by the parser's limit, so that recursion over it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Number(BigRational),
    /// A number written with a decimal point: perhaps rounded, to so many places.
    Decimal(BigRational, usize),
    Pi,
    E,
    I,
    Infinity,
    Symbol(String),
    /// Words.
    Text(String),
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Negative(Box<Expr>),
    Quotient(Box<Expr>, Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    /// Index and radicand.
    Root(Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    /// A function about which nothing is known.
    Opaque(String, Vec<Expr>),
    /// A sum, or a product, of `body` over `variable`.
    Series {
        product: bool,
        variable: String,
        from: Box<Expr>,
        to: Box<Expr>,
        body: Box<Expr>,
    },
    /// `true`: plus-minus, `false`: minus-plus.
    PlusMinus(bool, Box<Expr>),
    Percent(Box<Expr>),
    Degrees(Box<Expr>),
    Ratio(Vec<Expr>),
    /// `a, b and c` without brackets.
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Set(Vec<Expr>),
    Interval(Box<End>, Box<End>),
    Union(Vec<Expr>),
    Intersection(Vec<Expr>),
    Difference(Box<Expr>, Box<Expr>),
    /// The values of a variable for which relations hold.
    Such(Box<Expr>, Vec<Expr>),
    /// `R`, `Z`, ...
    Domain(char),
    Matrix(Vec<Vec<Expr>>),
    /// A chain: one relation fewer than terms.
    Chain(Vec<Expr>, Vec<Relation>),
}

impl Expr {
    pub(crate) fn integer(value: i64) -> Self {
        Self::Number(BigRational::from_integer(value.into()))
    }

    pub(crate) fn boxed(self) -> Box<Self> {
        Box::new(self)
    }

    pub(crate) fn difference(a: Self, b: Self) -> Self {
        Self::Sum(vec![a, Self::Negative(b.boxed())])
    }

    /// The number, if it is written as one.
    pub(crate) fn literal(&self) -> Option<BigRational> {
        match self {
            Self::Number(n) | Self::Decimal(n, _) => Some(n.clone()),
            Self::Negative(inner) => inner.literal().map(|n| -n),
            _ => None,
        }
    }

    /// Whether it is a decimal, perhaps with a sign or as a percentage.
    pub(crate) fn is_decimal(&self) -> bool {
        match self {
            Self::Decimal(..) => true,
            Self::Negative(inner) | Self::Percent(inner) | Self::Degrees(inner) => inner.is_decimal(),
            _ => false,
        }
    }

    /// The direct parts.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Number(_)
            | Self::Decimal(..)
            | Self::Pi
            | Self::E
            | Self::I
            | Self::Infinity
            | Self::Symbol(_)
            | Self::Text(_)
            | Self::Domain(_) => Vec::new(),
            Self::Negative(a) | Self::PlusMinus(_, a) | Self::Percent(a) | Self::Degrees(a) => vec![a],
            Self::Quotient(a, b) | Self::Power(a, b) | Self::Root(a, b) | Self::Difference(a, b) => vec![a, b],
            Self::Series { from, to, body, .. } => vec![from, to, body],
            Self::Interval(a, b) => vec![&a.value, &b.value],
            Self::Such(a, all) => std::iter::once(&**a).chain(all).collect(),
            Self::Matrix(rows) => rows.iter().flatten().collect(),
            Self::Sum(all)
            | Self::Product(all)
            | Self::Call(_, all)
            | Self::Opaque(_, all)
            | Self::Ratio(all)
            | Self::List(all)
            | Self::Tuple(all)
            | Self::Set(all)
            | Self::Union(all)
            | Self::Intersection(all)
            | Self::Chain(all, _) => all.iter().collect(),
        }
    }

    /// The same with `change` applied to each direct part.
    pub(crate) fn map(&self, change: &mut dyn FnMut(&Self) -> Self) -> Self {
        let mut one = |e: &Self| Box::new(change(e));
        match self {
            Self::Negative(a) => Self::Negative(one(a)),
            Self::PlusMinus(sign, a) => Self::PlusMinus(*sign, one(a)),
            Self::Percent(a) => Self::Percent(one(a)),
            Self::Degrees(a) => Self::Degrees(one(a)),
            Self::Quotient(a, b) => Self::Quotient(one(a), one(b)),
            Self::Power(a, b) => Self::Power(one(a), one(b)),
            Self::Root(a, b) => Self::Root(one(a), one(b)),
            Self::Difference(a, b) => Self::Difference(one(a), one(b)),
            Self::Series { product, variable, from, to, body } => {
                Self::Series { product: *product, variable: variable.clone(), from: one(from), to: one(to), body: one(body) }
            }
            Self::Interval(a, b) => Self::Interval(
                Box::new(End { value: change(&a.value), open: a.open }),
                Box::new(End { value: change(&b.value), open: b.open }),
            ),
            Self::Such(a, all) => Self::Such(Box::new(change(a)), all.iter().map(change).collect()),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| row.iter().map(&mut *change).collect()).collect()),
            Self::Sum(all) => Self::Sum(all.iter().map(change).collect()),
            Self::Product(all) => Self::Product(all.iter().map(change).collect()),
            Self::Call(function, all) => Self::Call(*function, all.iter().map(change).collect()),
            Self::Opaque(name, all) => Self::Opaque(name.clone(), all.iter().map(change).collect()),
            Self::Ratio(all) => Self::Ratio(all.iter().map(change).collect()),
            Self::List(all) => Self::List(all.iter().map(change).collect()),
            Self::Tuple(all) => Self::Tuple(all.iter().map(change).collect()),
            Self::Set(all) => Self::Set(all.iter().map(change).collect()),
            Self::Union(all) => Self::Union(all.iter().map(change).collect()),
            Self::Intersection(all) => Self::Intersection(all.iter().map(change).collect()),
            Self::Chain(all, relations) => Self::Chain(all.iter().map(change).collect(), relations.clone()),
            leaf => leaf.clone(),
        }
    }

    /// Whether `test` holds for this or any part.
    pub(crate) fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        test(self) || self.parts().into_iter().any(|p| p.any(test))
    }

    /// The names of the variables, in alphabetical order, without those bound by sums.
    pub(crate) fn symbols(&self) -> std::collections::BTreeSet<String> {
        let mut found = std::collections::BTreeSet::new();
        self.collect_symbols(&mut found);
        found
    }

    fn collect_symbols(&self, found: &mut std::collections::BTreeSet<String>) {
        match self {
            Self::Symbol(name) => {
                found.insert(name.clone());
            }
            Self::Series { variable, from, to, body, .. } => {
                let mut inner = body.symbols();
                inner.remove(variable);
                found.extend(inner);
                from.collect_symbols(found);
                to.collect_symbols(found);
            }
            _ => self.parts().into_iter().for_each(|p| p.collect_symbols(found)),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, open: &str, all: &[Expr], between: &str, close: &str| {
            f.write_str(open)?;
            for (i, part) in all.iter().enumerate() {
                write!(f, "{}{part}", if i == 0 { "" } else { between })?;
            }
            f.write_str(close)
        };
        match self {
            Self::Number(n) | Self::Decimal(n, _) => write!(f, "{n}"),
            Self::Pi => f.write_str("pi"),
            Self::E => f.write_str("e"),
            Self::I => f.write_str("i"),
            Self::Infinity => f.write_str("oo"),
            Self::Symbol(name) => f.write_str(name),
            Self::Text(words) => write!(f, "{words:?}"),
            Self::Sum(all) => joined(f, "(", all, " + ", ")"),
            Self::Product(all) => joined(f, "(", all, " * ", ")"),
            Self::Negative(a) => write!(f, "-{a}"),
            Self::Quotient(a, b) => write!(f, "({a} / {b})"),
            Self::Power(a, b) => write!(f, "{a}^{b}"),
            Self::Root(n, a) => write!(f, "root({n}, {a})"),
            Self::Call(function, all) => joined(f, &format!("{function:?}(").to_lowercase(), all, ", ", ")"),
            Self::Opaque(name, all) => joined(f, &format!("{name}("), all, ", ", ")"),
            Self::Series { product, variable, from, to, body } => {
                write!(f, "{}({body}, {variable}={from}..{to})", if *product { "product" } else { "sum" })
            }
            Self::PlusMinus(plus, a) => write!(f, "{}{a}", if *plus { "+-" } else { "-+" }),
            Self::Percent(a) => write!(f, "{a}%"),
            Self::Degrees(a) => write!(f, "{a} degrees"),
            Self::Ratio(all) => joined(f, "", all, ":", ""),
            Self::List(all) => joined(f, "", all, ", ", ""),
            Self::Tuple(all) => joined(f, "(", all, ", ", ")"),
            Self::Set(all) => joined(f, "{", all, ", ", "}"),
            Self::Interval(a, b) => {
                let (open, close) = (if a.open { '(' } else { '[' }, if b.open { ')' } else { ']' });
                write!(f, "{open}{}, {}{close}", a.value, b.value)
            }
            Self::Union(all) => joined(f, "", all, " U ", ""),
            Self::Intersection(all) => joined(f, "", all, " & ", ""),
            Self::Difference(a, b) => write!(f, "{a} \\ {b}"),
            Self::Such(a, all) => joined(f, &format!("{{{a} : "), all, ", ", "}"),
            Self::Domain(name) => write!(f, "{name}"),
            Self::Matrix(rows) => {
                f.write_str("[")?;
                for row in rows {
                    joined(f, "[", row, ", ", "]")?;
                }
                f.write_str("]")
            }
            Self::Chain(terms, relations) => {
                for (i, term) in terms.iter().enumerate() {
                    match i.checked_sub(1).and_then(|i| relations.get(i)) {
                        Some(relation) => {
                            let sign = match relation {
                                Relation::Equal => "=",
                                Relation::NotEqual => "!=",
                                Relation::Less => "<",
                                Relation::LessEqual => "<=",
                                Relation::Greater => ">",
                                Relation::GreaterEqual => ">=",
                                Relation::Approximately => "~",
                                Relation::In => "in",
                                Relation::Other(name) => name,
                            };
                            write!(f, " {sign} {term}")?;
                        }
                        None => write!(f, "{term}")?,
                    }
                }
                Ok(())
            }
        }
    }
}
