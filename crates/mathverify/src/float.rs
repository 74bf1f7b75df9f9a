//! Values in high precision: complex numbers of 256 bits, at a point given for the variables.

use std::collections::HashMap;

use astro_float_num::{BigFloat, Consts, RoundingMode, Sign};
use num_bigint::{BigInt, Sign as IntegerSign};
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};

use crate::ast::{Expr, Function};
use crate::exact::{Budget, exact, factorial, substitute};

const P: usize = 256;
const RM: RoundingMode = RoundingMode::None;
/// A sum whose terms cancel in as many leading bits is zero.
const CANCELLED: i64 = 110;

/// A complex number.
#[derive(Debug, Clone)]
pub(crate) struct Complex {
    pub(crate) re: BigFloat,
    pub(crate) im: BigFloat,
}

/// `n` as a float.
pub(crate) fn from_rational(n: &BigRational) -> BigFloat {
    from_integer(n.numer()).div(&from_integer(n.denom()), P, RM)
}

fn from_integer(n: &BigInt) -> BigFloat {
    let (sign, magnitude) = (n.sign(), n.magnitude());
    if magnitude.is_zero() {
        return BigFloat::new(P);
    }
    // With the top bit of the top word set, as a normal mantissa has it.
    let shift = (64 - magnitude.bits() % 64) % 64;
    let words = (magnitude << shift).to_u64_digits();
    let sign = if sign == IntegerSign::Minus { Sign::Neg } else { Sign::Pos };
    BigFloat::from_words(&words, sign, i32::try_from(magnitude.bits()).unwrap_or(i32::MAX))
}

/// The nearest `f64`, infinite beyond its range.
pub(crate) fn to_f64(x: &BigFloat) -> f64 {
    match (x.as_raw_parts(), x.is_zero()) {
        (_, true) => 0.0,
        (Some((words, _, sign, exponent, _)), _) => {
            let top = words.last().copied().unwrap_or(0) as f64 / 2f64.powi(64);
            let size = top * 2f64.powi(exponent.clamp(-1100, 1100));
            if sign == Sign::Neg { -size } else { size }
        }
        (None, _) => f64::NAN,
    }
}

/// The rational number that a float is, if it isn't too large or small.
pub(crate) fn to_rational(x: &BigFloat) -> Option<BigRational> {
    let (words, _, sign, exponent, _) = x.as_raw_parts()?;
    if x.is_zero() {
        return Some(BigRational::zero());
    }
    let digits: Vec<u32> = words.iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]).collect();
    let sign = if sign == Sign::Neg { IntegerSign::Minus } else { IntegerSign::Plus };
    let shift = i64::from(exponent) - 64 * words.len() as i64;
    if shift.abs() > 4096 {
        return None;
    }
    let (value, one) = (BigInt::from_slice(sign, &digits), BigInt::from(1));
    Some(if shift < 0 {
        BigRational::new(value, one << shift.unsigned_abs())
    } else {
        BigRational::from_integer(value << shift.unsigned_abs())
    })
}

/// Position of the leading bit; a very negative number for zero.
pub(crate) fn magnitude(x: &BigFloat) -> i64 {
    if x.is_zero() { i64::MIN / 2 } else { x.exponent().map_or(i64::MAX / 2, i64::from) }
}

/// How two numbers compare, given the precision they were computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    Same,
    Apart,
    Unclear,
}

/// Whether `a` and `b` agree in 130 leading bits, or differ clearly.
pub(crate) fn close(a: &Complex, b: &Complex) -> Close {
    let size = [&a.re, &a.im, &b.re, &b.im].into_iter().map(magnitude).max().unwrap_or(0);
    let gap = magnitude(&a.re.sub(&b.re, P, RM)).max(magnitude(&a.im.sub(&b.im, P, RM)));
    if gap <= i64::MIN / 2 {
        return Close::Same;
    }
    match size - gap {
        lost if lost >= 130 => Close::Same,
        lost if lost <= 115 => Close::Apart,
        _ => Close::Unclear,
    }
}

/// Constants like pi to the precision they were asked for; made when first needed, for that takes longer than most comparisons.
#[derive(Debug, Default)]
pub(crate) struct Constants(Option<Consts>);

impl Constants {
    /// `None`: no memory.
    fn get(&mut self) -> Option<&mut Consts> {
        if self.0.is_none() {
            self.0 = Consts::new().ok();
        }
        self.0.as_mut()
    }
}

/// Evaluates expressions at a point.
pub(crate) struct Evaluator<'a> {
    pub(crate) point: &'a HashMap<String, BigRational>,
    /// Values of `sqrt(-1)`, `log(-1)` and the like are missing; the even root of a negative number doesn't exist.
    pub(crate) real: bool,
    /// An imaginary part for all variables, so that a point lies off the real line.
    pub(crate) imaginary: Option<BigRational>,
    pub(crate) consts: &'a mut Constants,
    pub(crate) budget: &'a mut Budget,
}

impl Evaluator<'_> {
    fn real_value(x: BigFloat) -> Option<Complex> {
        (!x.is_nan() && !x.is_inf()).then(|| Complex { re: x, im: BigFloat::new(P) })
    }

    fn integer(n: i64) -> Complex {
        Complex { re: from_integer(&n.into()), im: BigFloat::new(P) }
    }

    /// The value; `None` where there is none, or it can't be computed within bounds.
    pub(crate) fn value(&mut self, e: &Expr) -> Option<Complex> {
        self.budget.spend(2)?;
        let value = match e {
            Expr::Number(n) | Expr::Decimal(n, _) => Self::real_value(from_rational(n))?,
            Expr::Pi => Self::real_value(self.pi()?)?,
            Expr::E => Self::real_value(BigFloat::from_word(1, P).exp(P, RM, self.consts.get()?))?,
            Expr::I => Complex { re: BigFloat::new(P), im: BigFloat::from_word(1, P) },
            Expr::Symbol(name) => {
                let at = self.point.get(name)?;
                let im = self.imaginary.as_ref().map_or(BigFloat::new(P), |im| from_rational(&(im * at)));
                Complex { re: from_rational(at), im }
            }
            Expr::Negative(a) => {
                let a = self.value(a)?;
                Complex { re: a.re.neg(), im: a.im.neg() }
            }
            Expr::Sum(all) => {
                let mut sum = Self::integer(0);
                for part in all {
                    let part = self.value(part)?;
                    sum = Complex { re: add(&sum.re, &part.re), im: add(&sum.im, &part.im) };
                }
                sum
            }
            Expr::Product(all) => {
                let mut product = Self::integer(1);
                for part in all {
                    let part = self.value(part)?;
                    product = mul(&product, &part);
                }
                product
            }
            Expr::Quotient(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                div(&a, &b)?
            }
            Expr::Percent(a) => {
                let a = self.value(a)?;
                div(&a, &Self::integer(100))?
            }
            Expr::Degrees(a) => {
                let a = self.value(a)?;
                let pi = Self::real_value(self.pi()?)?;
                div(&mul(&a, &pi), &Self::integer(180))?
            }
            Expr::Ratio(all) if all.len() == 2 => {
                let (a, b) = (self.value(&all[0])?, self.value(&all[1])?);
                div(&a, &b)?
            }
            Expr::Power(a, b) => self.power(a, b)?,
            Expr::Root(n, a) => self.root(n, a)?,
            Expr::Call(function, arguments) => self.call(*function, arguments)?,
            Expr::Series { product, variable, from, to, body } => self.series(*product, variable, from, to, body)?,
            Expr::Opaque(name, arguments) => self.opaque(name, arguments)?,
            _ => return None,
        };
        let fine = [&value.re, &value.im].into_iter().all(|x| !x.is_nan() && !x.is_inf());
        fine.then_some(value)
    }

    fn pi(&mut self) -> Option<BigFloat> {
        Some(self.consts.get()?.pi(P, RM))
    }

    fn power(&mut self, a: &Expr, b: &Expr) -> Option<Complex> {
        let mut constant = Budget { left: self.budget.left.min(500) };
        let exponent = exact(b, &mut constant);
        if let Some(n) = &exponent
            && n.is_integer()
        {
            let n = n.to_integer().to_i64().filter(|n| n.abs() < 1 << 31)?;
            let base = self.value(a)?;
            return integer_power(&base, n, self.budget);
        }
        if *a == Expr::E {
            let b = self.value(b)?;
            return self.exp(&b);
        }
        let (a, b) = (self.value(a)?, self.value(b)?);
        self.general_power(&a, &b)
    }

    fn general_power(&mut self, a: &Complex, b: &Complex) -> Option<Complex> {
        if a.re.is_zero() && a.im.is_zero() {
            return (b.re.is_positive() && !b.re.is_zero()).then(|| Self::integer(0));
        }
        // A whole exponent at this point.
        if b.im.is_zero() && b.re.is_int() && magnitude(&b.re) < 31 {
            return integer_power(a, to_f64(&b.re) as i64, self.budget);
        }
        let log = self.ln(a)?;
        self.exp(&mul(&log, b))
    }

    fn root(&mut self, n: &Expr, a: &Expr) -> Option<Complex> {
        let mut constant = Budget { left: self.budget.left.min(500) };
        let index = exact(n, &mut constant);
        self.budget.spend(6)?;
        let radicand = self.value(a)?;
        if let Some(n) = index.as_ref().filter(|n| n.is_integer()).and_then(|n| n.to_integer().to_i64())
            && radicand.im.is_zero()
        {
            let negative = radicand.re.is_negative() && !radicand.re.is_zero();
            if radicand.re.is_zero() {
                return (n > 0).then(|| Self::integer(0));
            }
            if n == 2 && !negative {
                return Self::real_value(radicand.re.sqrt(P, RM));
            }
            if n == 2 && !self.real {
                return Some(Complex { re: BigFloat::new(P), im: radicand.re.neg().sqrt(P, RM) });
            }
            if n % 2 != 0 && negative {
                let inverse = Self::real_value(from_rational(&BigRational::new(1.into(), n.into())))?;
                let root = self.general_power(&Complex { re: radicand.re.neg(), im: BigFloat::new(P) }, &inverse)?;
                return Some(Complex { re: root.re.neg(), im: BigFloat::new(P) });
            }
        }
        let index = self.value(n)?;
        let inverse = div(&Self::integer(1), &index)?;
        self.general_power(&radicand, &inverse)
    }

    fn exp(&mut self, z: &Complex) -> Option<Complex> {
        self.budget.spend(if z.im.is_zero() { 25 } else { 70 })?;
        if magnitude(&z.re) > 24 || magnitude(&z.im) > 60 {
            return None;
        }
        let size = z.re.exp(P, RM, self.consts.get()?);
        if z.im.is_zero() {
            return Self::real_value(size);
        }
        let (cos, sin) = (z.im.cos(P, RM, self.consts.get()?), z.im.sin(P, RM, self.consts.get()?));
        Some(Complex { re: size.mul(&cos, P, RM), im: size.mul(&sin, P, RM) })
    }

    fn ln(&mut self, z: &Complex) -> Option<Complex> {
        self.budget.spend(if z.im.is_zero() { 40 } else { 90 })?;
        if z.im.is_zero() {
            if z.re.is_zero() || (self.real && z.re.is_negative()) {
                return None;
            }
            let log = z.re.abs().ln(P, RM, self.consts.get()?);
            return Some(Complex { re: log, im: if z.re.is_negative() { self.pi()? } else { BigFloat::new(P) } });
        }
        let size = hypot(z).ln(P, RM, self.consts.get()?);
        Some(Complex { re: size, im: self.angle(z)? })
    }

    /// The argument of `z`, which isn't real.
    fn angle(&mut self, z: &Complex) -> Option<BigFloat> {
        let half = self.pi()?.div(&BigFloat::from_word(2, P), P, RM);
        if z.re.is_zero() {
            return Some(if z.im.is_negative() { half.neg() } else { half });
        }
        let angle = z.im.div(&z.re, P, RM).atan(P, RM, self.consts.get()?);
        Some(match (z.re.is_negative(), z.im.is_negative()) {
            (false, _) => angle,
            (true, false) => angle.add(&self.pi()?, P, RM),
            (true, true) => angle.sub(&self.pi()?, P, RM),
        })
    }

    /// Sine and cosine.
    fn sin_cos(&mut self, z: &Complex) -> Option<(Complex, Complex)> {
        self.budget.spend(60)?;
        if magnitude(&z.re) > 60 || magnitude(&z.im) > 24 {
            return None;
        }
        let (mut sin, mut cos) = (z.re.sin(P, RM, self.consts.get()?), z.re.cos(P, RM, self.consts.get()?));
        // Multiples of a quarter turn: what is left of pi's rounding is no value.
        for x in [&mut sin, &mut cos] {
            if magnitude(x) < -CANCELLED && magnitude(&z.re) > 0 {
                *x = BigFloat::new(P);
            }
        }
        if z.im.is_zero() {
            return Some((Self::real_value(sin)?, Self::real_value(cos)?));
        }
        let (sinh, cosh) = (z.im.sinh(P, RM, self.consts.get()?), z.im.cosh(P, RM, self.consts.get()?));
        Some((
            Complex { re: sin.mul(&cosh, P, RM), im: cos.mul(&sinh, P, RM) },
            Complex { re: cos.mul(&cosh, P, RM), im: sin.mul(&sinh, P, RM).neg() },
        ))
    }

    fn call(&mut self, function: Function, arguments: &[Expr]) -> Option<Complex> {
        use Function::*;
        let one = Self::integer(1);
        let z = self.value(arguments.first()?)?;
        let second = match arguments.get(1) {
            Some(second) => Some(self.value(second)?),
            None => None,
        };
        let real = |z: &Complex| z.im.is_zero().then(|| z.re.clone());
        Some(match function {
            Sin => self.sin_cos(&z)?.0,
            Cos => self.sin_cos(&z)?.1,
            Tan | Cot | Sec | Csc => {
                let (sin, cos) = self.sin_cos(&z)?;
                match function {
                    Tan => div(&sin, &cos)?,
                    Cot => div(&cos, &sin)?,
                    Sec => div(&one, &cos)?,
                    _ => div(&one, &sin)?,
                }
            }
            Sinh | Cosh | Tanh | Coth => {
                let (up, down) = (self.exp(&z)?, self.exp(&Complex { re: z.re.neg(), im: z.im.neg() })?);
                let difference = Complex { re: add(&up.re, &down.re.neg()), im: add(&up.im, &down.im.neg()) };
                let sum = Complex { re: add(&up.re, &down.re), im: add(&up.im, &down.im) };
                match function {
                    Sinh => div(&difference, &Self::integer(2))?,
                    Cosh => div(&sum, &Self::integer(2))?,
                    Tanh => div(&difference, &sum)?,
                    _ => div(&sum, &difference)?,
                }
            }
            Arcsin | Arccos | Arctan | Arccot | Arcsinh | Arccosh | Arctanh => {
                let x = real(&z)?;
                self.budget.spend(40)?;
                Self::real_value(match function {
                    Arcsin => x.asin(P, RM, self.consts.get()?),
                    Arccos => x.acos(P, RM, self.consts.get()?),
                    Arctan => x.atan(P, RM, self.consts.get()?),
                    Arccot => self.pi()?.div(&BigFloat::from_word(2, P), P, RM).sub(&x.atan(P, RM, self.consts.get()?), P, RM),
                    Arcsinh => x.asinh(P, RM, self.consts.get()?),
                    Arccosh => x.acosh(P, RM, self.consts.get()?),
                    _ => x.atanh(P, RM, self.consts.get()?),
                })?
            }
            Exp => self.exp(&z)?,
            Ln => self.ln(&z)?,
            Log => {
                let (base, argument) = (self.ln(&z)?, self.ln(&second?)?);
                div(&argument, &base)?
            }
            Abs => Self::real_value(if z.im.is_zero() { z.re.abs() } else { hypot(&z) })?,
            Floor | Ceil => {
                let x = real(&z)?;
                // A whole number but for rounding.
                let nearest = x.add(&BigFloat::from_f64(0.5, P), P, RM).floor();
                if magnitude(&x.sub(&nearest, P, RM)) < -CANCELLED {
                    Self::real_value(nearest)?
                } else {
                    Self::real_value(if function == Floor { x.floor() } else { x.ceil() })?
                }
            }
            Factorial | DoubleFactorial => {
                let n = whole(&z)?;
                let step = if function == Factorial { 1 } else { 2 };
                Self::real_value(from_integer(&factorial(&BigRational::from_integer(n.into()), step, self.budget)?))?
            }
            Binomial => {
                let k = whole(&second?)?;
                let mut out = one;
                for i in 0..k {
                    self.budget.spend(2)?;
                    let top = Complex { re: z.re.sub(&from_integer(&i.into()), P, RM), im: z.im.clone() };
                    out = div(&mul(&out, &top), &Self::integer(i + 1))?;
                }
                out
            }
            Min | Max | Gcd | Lcm => {
                let mut best = real(&z)?;
                if matches!(function, Gcd | Lcm) {
                    return None;
                }
                for other in arguments.iter().skip(1) {
                    let other = self.value(other)?;
                    let other = real(&other)?;
                    best = if function == Min { best.min(&other) } else { best.max(&other) };
                }
                Self::real_value(best)?
            }
            Re => Self::real_value(z.re)?,
            Im => Self::real_value(z.im)?,
        })
    }

    fn series(&mut self, product: bool, variable: &str, from: &Expr, to: &Expr, body: &Expr) -> Option<Complex> {
        let (from, to) = (self.value(from)?, self.value(to)?);
        let bound = |z: &Complex| (z.im.is_zero() && z.re.is_int() && magnitude(&z.re) < 31).then(|| to_f64(&z.re) as i64);
        let (from, to) = (bound(&from)?, bound(&to)?);
        let mut out = Self::integer(i64::from(product));
        for k in from..=to {
            let term = self.value(&substitute(body, variable, &Expr::integer(k)))?;
            out = if product { mul(&out, &term) } else { Complex { re: add(&out.re, &term.re), im: add(&out.im, &term.im) } };
        }
        Some(out)
    }

    /// A value that depends on nothing but the name and the arguments' values.
    fn opaque(&mut self, name: &str, arguments: &[Expr]) -> Option<Complex> {
        let mut state = hash(name);
        for argument in arguments {
            let value = self.value(argument)?;
            for x in [to_f64(&value.re), to_f64(&value.im)] {
                // Nine digits: the same whichever way the argument was computed.
                state = mix(state ^ hash(&format!("{x:.8e}").replace("-0.00000000e0", "0.00000000e0")));
            }
        }
        Some(Complex { re: from_rational(&unit_rational(state)), im: BigFloat::new(P) })
    }
}

/// Sum; zero where nearly all bits cancel.
fn add(a: &BigFloat, b: &BigFloat) -> BigFloat {
    let sum = a.add(b, P, RM);
    if !a.is_zero() && !b.is_zero() && magnitude(&sum) < magnitude(a).max(magnitude(b)) - CANCELLED { BigFloat::new(P) } else { sum }
}

fn mul(a: &Complex, b: &Complex) -> Complex {
    if a.im.is_zero() && b.im.is_zero() {
        return Complex { re: a.re.mul(&b.re, P, RM), im: BigFloat::new(P) };
    }
    Complex { re: add(&a.re.mul(&b.re, P, RM), &a.im.mul(&b.im, P, RM).neg()), im: add(&a.re.mul(&b.im, P, RM), &a.im.mul(&b.re, P, RM)) }
}

fn div(a: &Complex, b: &Complex) -> Option<Complex> {
    if b.re.is_zero() && b.im.is_zero() {
        return None;
    }
    if b.im.is_zero() {
        let im = if a.im.is_zero() { BigFloat::new(P) } else { a.im.div(&b.re, P, RM) };
        return Some(Complex { re: a.re.div(&b.re, P, RM), im });
    }
    let size = b.re.mul(&b.re, P, RM).add(&b.im.mul(&b.im, P, RM), P, RM);
    let top = mul(a, &Complex { re: b.re.clone(), im: b.im.neg() });
    Some(Complex { re: top.re.div(&size, P, RM), im: top.im.div(&size, P, RM) })
}

fn hypot(z: &Complex) -> BigFloat {
    z.re.mul(&z.re, P, RM).add(&z.im.mul(&z.im, P, RM), P, RM).sqrt(P, RM)
}

fn integer_power(base: &Complex, n: i64, budget: &mut Budget) -> Option<Complex> {
    if base.re.is_zero() && base.im.is_zero() && n <= 0 {
        return (n == 0).then(|| Evaluator::integer(1));
    }
    let (mut square, mut out, mut left) = (base.clone(), Evaluator::integer(1), n.unsigned_abs());
    while left > 0 {
        budget.spend(1)?;
        if left % 2 == 1 {
            out = mul(&out, &square);
        }
        left /= 2;
        if left > 0 {
            square = mul(&square, &square);
        }
    }
    if n < 0 { div(&Evaluator::integer(1), &out) } else { Some(out) }
}

/// A whole number from 0 on, as an argument of a factorial.
fn whole(z: &Complex) -> Option<i64> {
    let fine = z.im.is_zero() && z.re.is_int() && (!z.re.is_negative() || z.re.is_zero()) && magnitude(&z.re) < 20;
    fine.then(|| to_f64(&z.re).round() as i64)
}

/// The mixing of splitmix64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A rational number from 1/2 to 3/2 by the bits of `state`.
pub(crate) fn unit_rational(state: u64) -> BigRational {
    let denominator = 1u64 << 40;
    BigRational::new((denominator / 2 + (state >> 24)).into(), denominator.into())
}

/// The value of an expression without variables, real if nothing in it is complex.
pub(crate) fn constant(e: &Expr, consts: &mut Constants, budget: &mut Budget) -> Option<Complex> {
    let point = HashMap::new();
    Evaluator { point: &point, real: false, imaginary: None, consts, budget }.value(e)
}

/// Whether `a * b` and `c * d` are the same.
pub(crate) fn cross(a: &Complex, b: &Complex, c: &Complex, d: &Complex) -> Close {
    close(&mul(a, b), &mul(c, d))
}
