//! Values of a page as JSON, by their encoding
//! (<https://github.com/apache/parquet-format/blob/master/Encodings.md>).

use serde_json::{Number, Value};

use super::bits::{Deltas, Runs};
use super::schema::{Kind, Stored};

/// A decoder over a page's bytes, of which it holds only its place in them.
pub enum Values {
    Plain(Plain),
    Dictionary(Runs),
    /// Booleans as runs.
    Runs(Runs),
    Deltas(Deltas),
    /// The lengths first, then all texts from `at` on.
    Lengths {
        lengths: Deltas,
        at: usize,
    },
    /// What a text has in common with the one before it, then the rest of it as above.
    Prefixes {
        prefixes: Deltas,
        lengths: Deltas,
        at: usize,
        last: Vec<u8>,
    },
    /// The first bytes of all numbers, then their second ones, ...
    Split {
        start: usize,
        count: usize,
        next: usize,
    },
}

impl Values {
    /// The values that begin at byte `start` of a page that has `count` at most.
    pub fn new(encoding: i64, page: &[u8], start: usize, count: u64, kind: &Kind) -> Result<Self, String> {
        const NAMES: [&str; 10] = [
            "PLAIN",
            "GROUP_VAR_INT",
            "PLAIN_DICTIONARY",
            "RLE",
            "BIT_PACKED",
            "DELTA_BINARY_PACKED",
            "DELTA_LENGTH_BYTE_ARRAY",
            "DELTA_BYTE_ARRAY",
            "RLE_DICTIONARY",
            "BYTE_STREAM_SPLIT",
        ];
        let bytes = matches!(kind, Kind::Text | Kind::Decimal { stored: Stored::Bytes, .. });
        let deltas = |at: usize| {
            let deltas = Deltas::new(page, at)?;
            if deltas.total > count {
                return Err(format!("says that a page of {count} values has {}", deltas.total));
            }
            Ok(deltas)
        };
        let width = fixed_width(kind);
        Ok(match encoding {
            0 => Self::Plain(Plain::new(start)),
            // A page of nulls may have no values at all.
            2 | 8 => match page.get(start) {
                None => Self::Dictionary(Runs::new(start, start, 0)?),
                Some(width) => Self::Dictionary(Runs::new(start + 1, page.len(), usize::from(*width))?),
            },
            // Its length stands before it.
            3 if *kind == Kind::Bool => Self::Runs(Runs::new((start + 4).min(page.len()), page.len(), 1)?),
            5 if matches!(kind, Kind::Int32 { .. } | Kind::Int64 { .. } | Kind::Decimal { stored: Stored::Int32 | Stored::Int64, .. }) => {
                Self::Deltas(deltas(start)?)
            }
            6 if bytes => {
                let lengths = deltas(start)?;
                Self::Lengths { at: lengths.clone().end(page)?, lengths }
            }
            7 if bytes => {
                let prefixes = deltas(start)?;
                let lengths = deltas(prefixes.clone().end(page)?)?;
                Self::Prefixes { at: lengths.clone().end(page)?, prefixes, lengths, last: Vec::new() }
            }
            9 if width > 0 => Self::Split { start, count: (page.len() - start) / width, next: 0 },
            other => {
                let name = usize::try_from(other).ok().and_then(|i| NAMES.get(i)).unwrap_or(&"unknown");
                return Err(format!("has values in the encoding {name}, which is not read for its type"));
            }
        })
    }

    /// The next value.
    pub fn next(&mut self, page: &[u8], kind: &Kind, dictionary: Option<&[Value]>) -> Result<Value, String> {
        match self {
            Self::Plain(plain) => plain.next(page, kind),
            Self::Dictionary(runs) => {
                let dictionary = dictionary.ok_or("has no dictionary before its values")?;
                let index = runs.next(page)?;
                let value = dictionary.get(index as usize);
                value.cloned().ok_or_else(|| format!("refers to entry {index} of a dictionary of {}", dictionary.len()))
            }
            Self::Runs(runs) => Ok(Value::Bool(runs.next(page)? == 1)),
            Self::Deltas(deltas) => {
                let value = deltas.next(page)?;
                Ok(match kind {
                    Kind::Int32 { .. } | Kind::Decimal { stored: Stored::Int32, .. } => from_int(i64::from(value as i32), kind),
                    _ => from_int(value, kind),
                })
            }
            Self::Lengths { lengths, at } => from_bytes(slice(page, at, lengths.next(page)?)?, kind),
            Self::Prefixes { prefixes, lengths, at, last } => {
                let prefix = usize::try_from(prefixes.next(page)?).ok().filter(|prefix| *prefix <= last.len());
                last.truncate(prefix.ok_or("has a text that begins with more than the one before it")?);
                last.extend_from_slice(slice(page, at, lengths.next(page)?)?);
                from_bytes(last, kind)
            }
            Self::Split { start, count, next } => {
                if next >= count {
                    return Err("has fewer values than it says".into());
                }
                let bytes: Vec<u8> = (0..fixed_width(kind)).map(|byte| page[*start + byte * *count + *next]).collect();
                *next += 1;
                Plain::new(0).next(&bytes, kind)
            }
        }
    }
}

/// Values one after the other.
pub struct Plain {
    at: usize,
    /// Booleans are bits of the byte at `at`.
    bit: usize,
}

impl Plain {
    /// From byte `at` of a page.
    pub fn new(at: usize) -> Self {
        Self { at, bit: 0 }
    }

    /// The next value.
    pub fn next(&mut self, page: &[u8], kind: &Kind) -> Result<Value, String> {
        if *kind == Kind::Bool {
            let byte = page.get(self.at + self.bit / 8).ok_or("has fewer values than it says")?;
            let value = byte >> (self.bit % 8) & 1 == 1;
            self.bit += 1;
            return Ok(Value::Bool(value));
        }
        let width = match fixed_width(kind) {
            0 => i64::from(u32::from_le_bytes(array(slice(page, &mut self.at, 4)?))),
            width => width as i64,
        };
        let bytes = slice(page, &mut self.at, width)?;
        Ok(match kind {
            Kind::Int32 { .. } | Kind::Decimal { stored: Stored::Int32, .. } => from_int(i64::from(i32::from_le_bytes(array(bytes))), kind),
            Kind::Int64 { .. } | Kind::Decimal { stored: Stored::Int64, .. } => from_int(i64::from_le_bytes(array(bytes)), kind),
            // Through its shortest decimal form: 0.1 is not to become 0.10000000149.
            Kind::Float => from_float(f32::from_le_bytes(array(bytes)).to_string().parse().unwrap_or(f64::NAN)),
            Kind::Double => from_float(f64::from_le_bytes(array(bytes))),
            _ => from_bytes(bytes, kind)?,
        })
    }
}

/// Bytes of a value; 0 where a length stands before it (and for booleans).
fn fixed_width(kind: &Kind) -> usize {
    match kind {
        Kind::Int32 { .. } | Kind::Float | Kind::Decimal { stored: Stored::Int32, .. } => 4,
        Kind::Int64 { .. } | Kind::Double | Kind::Decimal { stored: Stored::Int64, .. } => 8,
        Kind::Decimal { stored: Stored::Fixed(width), .. } => *width,
        Kind::Bool | Kind::Text | Kind::Decimal { stored: Stored::Bytes, .. } => 0,
    }
}

/// `length` bytes of `page` from `at` on, which moves behind them.
fn slice<'a>(page: &'a [u8], at: &mut usize, length: i64) -> Result<&'a [u8], String> {
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
    let bytes = end.and_then(|end| page.get(*at..end)).ok_or("has fewer values than it says")?;
    *at += bytes.len();
    Ok(bytes)
}

/// The first bytes of `bytes`, which has as many at least.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

fn from_int(value: i64, kind: &Kind) -> Value {
    match kind {
        Kind::Int32 { signed: false } => Value::from(value as u32),
        Kind::Int64 { signed: false } => Value::from(value as u64),
        Kind::Decimal { scale, .. } => Value::String(decimal(i128::from(value), *scale)),
        _ => Value::from(value),
    }
}

fn from_float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn from_bytes(bytes: &[u8], kind: &Kind) -> Result<Value, String> {
    match kind {
        Kind::Decimal { scale, .. } => {
            if bytes.is_empty() || bytes.len() > 16 {
                return Err(format!("has a decimal number in {} bytes", bytes.len()));
            }
            // The sign goes on to the left.
            let sign = if bytes[0] >= 128 { -1 } else { 0 };
            let unscaled = bytes.iter().fold(sign, |value: i128, byte| value << 8 | i128::from(*byte));
            Ok(Value::String(decimal(unscaled, *scale)))
        }
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::String(text.to_owned())),
            Err(_) => Err("is not UTF-8 text".into()),
        },
    }
}

/// `unscaled` with a point before its last `scale` digits.
fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(12300, 2), "123.00");
        assert_eq!(decimal(7, 0), "7");
        let kind = Kind::Decimal { scale: 1, stored: Stored::Bytes };
        assert_eq!(from_bytes(&[0xff, 0x85], &kind).unwrap(), "-12.3");
        assert!(from_bytes(&[], &kind).is_err() && from_bytes(&[0; 17], &kind).is_err());
    }

    #[test]
    fn floats_keep_their_shortest_form() {
        let page = 0.1f32.to_le_bytes();
        assert_eq!(Plain::new(0).next(&page, &Kind::Float).unwrap().to_string(), "0.1");
        assert_eq!(Plain::new(0).next(&f32::NAN.to_le_bytes(), &Kind::Float).unwrap(), Value::Null);
    }

    #[test]
    fn unsigned_numbers() {
        let page = u32::MAX.to_le_bytes();
        assert_eq!(Plain::new(0).next(&page, &Kind::Int32 { signed: false }).unwrap(), u32::MAX);
        assert_eq!(Plain::new(0).next(&page, &Kind::Int32 { signed: true }).unwrap(), -1);
    }

    #[test]
    fn an_encoding_that_is_not_read_is_named() {
        let error = Values::new(7, &[], 0, 1, &Kind::Double).err().unwrap();
        assert!(error.contains("DELTA_BYTE_ARRAY"), "{error}");
    }
}
