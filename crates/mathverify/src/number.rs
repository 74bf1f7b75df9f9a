//! Exact rational numbers of any size, as far as comparing them needs.

/// Longest product, in digits, that [`Number::equals`] computes: schoolbook multiplication stays in bounded time.
const MAX_DIGITS: usize = 4096;

/// `numerator / denominator` with a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    numerator: Decimal,
    /// Not zero.
    denominator: Decimal,
}

/// `digits * 10^exponent`, without leading or trailing zeros: each value has one form (zero: no digits, exponent 0).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// `digits`: values 0 to 9, most significant first.
    fn new(digits: &[u8], exponent: i64) -> Self {
        let first = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
        let last = digits.iter().rposition(|d| *d != 0).map_or(first, |i| i + 1);
        if first >= last {
            return Self { digits: Vec::new(), exponent: 0 };
        }
        Self { digits: digits[first..last].to_vec(), exponent: exponent + (digits.len() - last) as i64 }
    }

    /// `123`, `1,234,567`, `12.5`, `.5`, `5.`
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let grouped = whole.contains(',');
        let mut groups = whole.split(',');
        let well_grouped = groups.next().is_some_and(|g| (1..=3).contains(&g.len())) && groups.all(|g| g.len() == 3);
        if grouped && !well_grouped {
            return None;
        }
        let mut digits = Vec::with_capacity(text.len());
        for byte in whole.bytes().filter(|b| *b != b',').chain(fraction.bytes()) {
            digits.push(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        (!digits.is_empty()).then(|| Self::new(&digits, -(fraction.len() as i64)))
    }

    fn from_u128(value: u128) -> Self {
        let digits: Vec<u8> = value.to_string().bytes().map(|b| b - b'0').collect();
        Self::new(&digits, 0)
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn is_one(&self) -> bool {
        self.digits == [1] && self.exponent == 0
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = vec![0u32; self.digits.len() + other.digits.len()];
        for (i, a) in self.digits.iter().rev().enumerate() {
            let mut carry = 0;
            for (j, b) in other.digits.iter().rev().enumerate() {
                let sum = product[i + j] + u32::from(*a) * u32::from(*b) + carry;
                (product[i + j], carry) = (sum % 10, sum / 10);
            }
            product[i + other.digits.len()] += carry;
        }
        let digits: Vec<u8> = product.iter().rev().map(|d| *d as u8).collect();
        Self::new(&digits, self.exponent + other.exponent)
    }
}

impl Number {
    /// Reads a normalised answer: an integer or decimal (thousands separators allowed), `a/b`, `\frac{a}{b}`, `n\frac{a}{b}` as a mixed
    /// number, each with signs. `None`: not a number in one of these forms, or a zero denominator.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = sign(text);
        let (whole, numerator, denominator) = if let Some((whole, fraction)) = text.split_once("\\frac{") {
            let (numerator, denominator) = fraction.strip_suffix('}')?.split_once("}{")?;
            (whole, numerator, denominator)
        } else if let Some((numerator, denominator)) = text.split_once('/') {
            ("", numerator, denominator)
        } else {
            ("", text, "1")
        };
        if !whole.is_empty() {
            return Self::mixed(negative, whole, numerator, denominator);
        }
        let ((n, numerator), (d, denominator)) = (sign(numerator), sign(denominator));
        if denominator.starts_with(['+', '-']) || (n && !text.contains(['/', '\\'])) {
            return None;
        }
        let (numerator, denominator) = (Decimal::parse(numerator)?, Decimal::parse(denominator)?);
        if denominator.is_zero() {
            return None;
        }
        let negative = (negative ^ n ^ d) && !numerator.is_zero();
        Some(Self { negative, numerator, denominator })
    }

    fn mixed(negative: bool, whole: &str, numerator: &str, denominator: &str) -> Option<Self> {
        let part = |text: &str| (text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u128>().ok())?;
        let (whole, numerator, denominator) = (part(whole)?, part(numerator)?, part(denominator)?);
        if denominator == 0 {
            return None;
        }
        // Each is below 10^18, so this is below 2 * 10^36.
        let numerator = Decimal::from_u128(whole * denominator + numerator);
        Some(Self { negative: negative && !numerator.is_zero(), numerator, denominator: Decimal::from_u128(denominator) })
    }

    /// Exact equality; `None` when the fractions are too long to multiply out.
    pub(crate) fn equals(&self, other: &Self) -> Option<bool> {
        if self.negative != other.negative {
            return Some(false);
        }
        if self.denominator == other.denominator {
            return Some(self.numerator == other.numerator);
        }
        let product = |a: &Decimal, b: &Decimal| {
            if a.is_one() || b.is_one() {
                return Some(if a.is_one() { b.clone() } else { a.clone() });
            }
            (a.digits.len().max(b.digits.len()) <= MAX_DIGITS).then(|| a.times(b))
        };
        Some(product(&self.numerator, &other.denominator)? == product(&other.numerator, &self.denominator)?)
    }
}

/// Takes one sign off.
fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn equal(a: &str, b: &str) -> Option<bool> {
        Number::parse(a).unwrap_or_else(|| panic!("{a}")).equals(&Number::parse(b).unwrap_or_else(|| panic!("{b}")))
    }

    #[test]
    fn known_numbers() {
        for (a, b) in [
            ("0.50", "1/2"),
            (r"-\frac{1}{2}", r"\frac{-1}{2}"),
            (r"\frac{1}{-2}", "-.5"),
            ("1,234,567.0", "1234567"),
            ("-0", "0"),
            ("007", "7"),
            (r"3\frac{1}{2}", "3.5"),
            ("2.5/0.5", "5"),
            ("5.", "5"),
        ] {
            assert_eq!(equal(a, b), Some(true), "{a} {b}");
        }
        assert_eq!(equal("0.333", "1/3"), Some(false));
        assert_eq!(equal("5", "-5"), Some(false));
        assert_eq!(equal("100", "10"), Some(false));
        for not in
            ["", "-", ".", "x", "1/0", "1,23", ",123", "1234,567", "1/2/3", "--1", "1e5", "3/", r"\frac{1}{2", r"x\frac{1}{2}", "1 2"]
        {
            assert_eq!(Number::parse(not), None, "{not}");
        }
    }

    #[test]
    fn long_numbers() {
        let long = "7".repeat(1_000_000);
        assert_eq!(equal(&long, &format!("{long}.000")), Some(true));
        assert_eq!(equal(&long, &format!("{long}.001")), Some(false));
        assert_eq!(equal(&format!("{long}/3"), &format!("{long}/7")), None);
        assert_eq!(equal(&format!("{}1", "0".repeat(100_000)), "1"), Some(true));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in r"(\\frac\{|\}\{|[-+/.,{}0-9])*|\PC*") {
            if let Some(number) = Number::parse(&text) {
                prop_assert_eq!(number.equals(&number.clone()), Some(true));
            }
        }
        #[test]
        fn fractions_compare_as_in_the_integers(a in -999i64..999, b in 1i64..99, c in -999i64..999, d in 1i64..99, k in 1i64..50) {
            let x = Number::parse(&format!("{a}/{b}")).unwrap();
            let y = Number::parse(&format!("{c}/{d}")).unwrap();
            prop_assert_eq!(x.equals(&y), Some(a * d == c * b));
            prop_assert_eq!(x.equals(&Number::parse(&format!("\\frac{{{}}}{{{}}}", a * k, b * k)).unwrap()), Some(true));
        }
        #[test]
        fn decimals_compare_with_fractions(n in 0u64..1_000_000_000, places in 0usize..9) {
            let padded = format!("{n:010}");
            let (whole, fraction) = padded.split_at(padded.len() - places);
            let decimal = Number::parse(&format!("{whole}.{fraction}")).unwrap();
            prop_assert_eq!(decimal.equals(&Number::parse(&format!("{n}/1{}", "0".repeat(places))).unwrap()), Some(true));
        }
    }
}
