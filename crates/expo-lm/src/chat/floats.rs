//! Floats as Python writes and rounds them.

/// Python's `repr` of a float: the shortest digits that give the number back, an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return match number {
            n if n.is_nan() => "nan",
            n if n > 0.0 => "inf",
            _ => "-inf",
        }
        .to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..=15 => format!("{number:?}"),
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// A number's text without its sign, in one of the formats `e`, `f` and `g` (in capitals, too) of so many digits. `alternate`: with a point and zeros in any case.
pub(super) fn digits(number: f64, kind: char, precision: usize, alternate: bool) -> String {
    let number = number.abs();
    let lower = kind.to_ascii_lowercase();
    let text = if !number.is_finite() {
        if number.is_nan() { "nan" } else { "inf" }.to_owned()
    } else if lower == 'e' {
        exponent(&format!("{number:.precision$e}"), alternate && precision == 0)
    } else if lower == 'f' {
        format!("{number:.precision$}") + if alternate && precision == 0 { "." } else { "" }
    } else {
        let precision = precision.max(1);
        let scientific = format!("{number:.*e}", precision - 1);
        let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
        let is_fixed = (-4..precision as i32).contains(&power);
        let text = if is_fixed { format!("{number:.*}", (precision as i32 - 1 - power) as usize) } else { scientific };
        let (mantissa, power) = text.split_once('e').map_or((&*text, None), |(mantissa, power)| (mantissa, Some(power)));
        let mantissa = if alternate || !mantissa.contains('.') { mantissa } else { mantissa.trim_end_matches('0').trim_end_matches('.') };
        power.map_or_else(|| mantissa.to_owned(), |power| exponent(&format!("{mantissa}e{power}"), false))
    };
    if kind.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// Rust's `1e5` as Python's `1e+05`.
fn exponent(text: &str, point: bool) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{mantissa}{}e{sign}{power:0>2}", if point { "." } else { "" })
}

/// `round(number, places)`: to the nearest, a tie to an even digit.
pub(super) fn round(number: f64, places: i64) -> f64 {
    if !number.is_finite() || places > 400 {
        return number;
    }
    if places >= 0 {
        return format!("{number:.*}", places as usize).parse().unwrap_or(number);
    }
    let scale = 10f64.powi(places.max(-400).abs() as i32);
    let rounded = (number / scale).round_ties_even() * scale;
    if scale.is_finite() { rounded } else { 0.0f64.copysign(number) }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (0.1, "0.1"),
            (0.0, "0.0"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
        }
    }
}
