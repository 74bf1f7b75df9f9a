//! Values of a column as JSON, as pyarrow's `to_pylist` and Python's `str` show them.

use chrono::{DateTime, NaiveTime};
use num_bigint::BigInt;
use parquet::data_type::Int96;
use serde_json::{Number, Value};

use super::schema::Meaning;

/// From 1970 back to the first day of Julian dates, and nanoseconds in a day.
const JULIAN_1970: i64 = 2_440_588;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// A value, or what it is that JSON doesn't hold, to be said behind the field: "is NaN".
pub type Converted = Result<Value, String>;

/// A 32- or 64-bit integer; `bits` of them.
pub fn integer(value: i64, bits: u32, meaning: &Meaning) -> Converted {
    let date = |days: i64| days.checked_mul(86_400).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match meaning {
        Meaning::Unsigned if bits == 32 => Ok(Value::from(value as u32)),
        Meaning::Unsigned => Ok(Value::from(value as u64)),
        Meaning::Decimal(scale) => Ok(decimal(&value.to_string(), *scale)),
        Meaning::Date => match date(value) {
            Some(date) => Ok(date.format("%Y-%m-%d").to_string().into()),
            None => Err(format!("is the day {value} from 1970 on, which is no date")),
        },
        Meaning::Time(per_second) => {
            let (seconds, rest) = (value.div_euclid(*per_second), value.rem_euclid(*per_second));
            let nanos = rest * (1_000_000_000 / per_second);
            let seconds = u32::try_from(seconds).ok();
            match seconds.and_then(|seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos as u32)) {
                Some(time) => Ok(format!("{}{}", time.format("%H:%M:%S"), fraction(nanos)).into()),
                None => Err(format!("is {value} since midnight, which is no time of a day")),
            }
        }
        Meaning::Timestamp(per_second, utc) => timestamp(value, *per_second, *utc),
        Meaning::None(name) => Err(no_form(name)),
        Meaning::Plain | Meaning::Uuid | Meaning::Half => Ok(Value::from(value)),
    }
}

/// A timestamp in the format of Impala and old Spark: nanoseconds in a day, and the day.
pub fn int96(value: &Int96, meaning: &Meaning) -> Converted {
    if let Meaning::None(name) = meaning {
        return Err(no_form(name));
    }
    let [low, high, day] = value.data() else { return Err("is damaged".into()) };
    let nanos = (i64::from(*high) << 32) | i64::from(*low);
    let since = (i64::from(*day) - JULIAN_1970).checked_mul(NANOS_PER_DAY).and_then(|days| days.checked_add(nanos));
    since.ok_or_else(|| format!("is the Julian day {day}, which is no date")).and_then(|nanos| timestamp(nanos, 1_000_000_000, false))
}

fn timestamp(value: i64, per_second: i64, utc: bool) -> Converted {
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    match DateTime::from_timestamp(value.div_euclid(per_second), nanos as u32) {
        Some(time) => {
            let zone = if utc { "+00:00" } else { "" };
            Ok(format!("{}{}{zone}", time.format("%Y-%m-%d %H:%M:%S"), fraction(nanos)).into())
        }
        None => Err(format!("is {value} from 1970 on, which is no date")),
    }
}

/// The part of a second as Python writes it: none, or six digits (nine where they are needed).
fn fraction(nanos: i64) -> String {
    match nanos {
        0 => String::new(),
        nanos if nanos % 1000 == 0 => format!(".{:06}", nanos / 1000),
        nanos => format!(".{nanos:09}"),
    }
}

/// A float of 32 or 64 bits.
pub fn float(value: f64, meaning: &Meaning) -> Converted {
    match meaning {
        Meaning::None(name) => Err(no_form(name)),
        _ => Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("is {value}").replace("inf", "Infinity")),
    }
}

/// Bytes, of a fixed number or not.
pub fn bytes(bytes: &[u8], meaning: &Meaning) -> Converted {
    match meaning {
        Meaning::Decimal(scale) => Ok(decimal(&BigInt::from_signed_bytes_be(bytes).to_string(), *scale)),
        Meaning::Uuid if bytes.len() == 16 => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into())
        }
        Meaning::Half => match bytes {
            [low, high] => float(half::f16::from_le_bytes([*low, *high]).to_f64(), meaning),
            _ => Err("is a float of 16 bits in another number of bytes".into()),
        },
        Meaning::None(name) => Err(no_form(name)),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(format!("is {} bytes of binary data, not UTF-8 text", bytes.len())),
        },
    }
}

fn no_form(name: &str) -> String {
    format!("has the type {name}, which is not read")
}

/// `unscaled` with a point before its last `scale` digits.
fn decimal(unscaled: &str, scale: i32) -> Value {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Value::String(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal("-5", 2), "-0.05");
        assert_eq!(decimal("12300", 2), "123.00");
        assert_eq!(decimal("7", 0), "7");
        assert_eq!(bytes(&[0xff, 0x85], &Meaning::Decimal(1)).unwrap(), "-12.3");
    }

    #[test]
    fn times_are_those_of_python() {
        let micros = Meaning::Timestamp(1_000_000, true);
        assert_eq!(integer(1_722_081_600_000_000, 64, &micros).unwrap(), "2024-07-27 12:00:00+00:00");
        assert_eq!(integer(-1, 64, &Meaning::Timestamp(1_000_000_000, false)).unwrap(), "1969-12-31 23:59:59.999999999");
        assert_eq!(integer(-719_162, 32, &Meaning::Date).unwrap(), "0001-01-01");
        assert_eq!(integer(43_200_500, 32, &Meaning::Time(1000)).unwrap(), "12:00:00.500000");
        for (value, meaning) in [(i64::MAX, Meaning::Timestamp(1000, true)), (i64::MAX, Meaning::Date), (-1, Meaning::Time(1000))] {
            assert!(integer(value, 64, &meaning).unwrap_err().contains("which is no"));
        }
        let mut impala = Int96::new();
        impala.set_data(0, 0, 2_440_589);
        assert_eq!(int96(&impala, &Meaning::Plain).unwrap(), "1970-01-02 00:00:00");
    }

    #[test]
    fn what_json_does_not_hold_is_said() {
        assert_eq!(float(f64::NEG_INFINITY, &Meaning::Plain).unwrap_err(), "is -Infinity");
        assert_eq!(float(f64::NAN, &Meaning::Plain).unwrap_err(), "is NaN");
        assert_eq!(bytes(b"\xff\xd8", &Meaning::Plain).unwrap_err(), "is 2 bytes of binary data, not UTF-8 text");
        assert_eq!(integer(-1, 32, &Meaning::Unsigned).unwrap(), u32::MAX);
        assert_eq!(integer(-1, 64, &Meaning::Unsigned).unwrap(), u64::MAX);
        let uuid = bytes(&(0..16).collect::<Vec<u8>>(), &Meaning::Uuid).unwrap();
        assert_eq!(uuid, "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
