//! Decimals without an end: `0.\overline{3}`, `0.\dot{3}`, `0.(3)`, `0.3̅` and `0.333...`.

/// Most digits of a cycle that is looked for in digits.
const MAX_CYCLE: usize = 12;

/// A decimal without an end.
pub(crate) struct Repeating {
    /// The digits before the cycle, with their point.
    pub(crate) start: String,
    /// The digits that repeat.
    pub(crate) cycle: String,
    /// Bytes of the notation behind the digits.
    pub(crate) length: usize,
}

/// What repeats behind `digits`, which have a point, if `rest` says so; `Err`: it goes on, but not in a way that can be told.
pub(crate) fn repeating(digits: &str, rest: &str) -> Result<Option<Repeating>, &'static str> {
    let found = |start: &str, cycle: &str, length| Ok(Some(Repeating { start: start.to_owned(), cycle: cycle.to_owned(), length }));
    for opening in ["\\overline{", "\\bar{", "\\dot{", "("] {
        let Some(inside) = rest.strip_prefix(opening) else { continue };
        let Some(length) = inside.find(if opening == "(" { ')' } else { '}' }) else { return Ok(None) };
        let mut cycle = inside[..length].trim().to_owned();
        let mut length = opening.len() + length + 1;
        // `\dot{1}4285\dot{7}`: from the first dot to the second.
        if opening == "\\dot{"
            && let Some(second) = rest[length..].find("\\dot{")
            && let Some(end) = rest[length + second..].find('}')
        {
            cycle.push_str(&rest[length..length + second]);
            cycle.push_str(&rest[length + second + opening.len()..length + second + end]);
            length += second + end + 1;
        }
        if cycle.is_empty() || !cycle.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        // `0.5(20)` within a longer text is a product.
        if opening == "(" && !digits.ends_with('.') && !rest[length..].trim().is_empty() {
            return Ok(None);
        }
        return found(digits, &cycle, length);
    }
    if rest.starts_with('\u{305}') {
        let (start, last) = digits.split_at(digits.len() - 1);
        let (mut cycle, mut length) = (last.to_owned(), '\u{305}'.len_utf8());
        while let Some(digit) = rest[length..].chars().next().filter(char::is_ascii_digit)
            && rest[length + 1..].starts_with('\u{305}')
        {
            cycle.push(digit);
            length += 1 + '\u{305}'.len_utf8();
        }
        return if last == "." { Ok(None) } else { found(start, &cycle, length) };
    }
    let Some(dots) = ["...", "…", "\\ldots", "\\dots", "\\cdots"].into_iter().find(|dots| rest.starts_with(dots)) else {
        return Ok(None);
    };
    let point = digits.find('.').map_or(0, |at| at + 1);
    let places = &digits[point..];
    // The shortest cycle that is there twice at the end; a digit alone three times, since any number may end in a pair.
    for size in 1..=MAX_CYCLE.min(places.len() / 2) {
        let cycle = &places[places.len() - size..];
        let times = if size == 1 { 3 } else { 2 };
        if places.len() >= size * times && places.as_bytes().rchunks(size).take(times).all(|chunk| chunk == cycle.as_bytes()) {
            let mut start = digits;
            while let Some(shorter) = start.strip_suffix(cycle).filter(|shorter| shorter.len() >= point) {
                start = shorter;
            }
            return found(start, cycle, dots.len());
        }
    }
    Err("a decimal that goes on in a way that can't be told")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        for (digits, rest, expected) in [
            ("0.", r"\overline{3}", Some(("0.", "3"))),
            ("0.1", r"\overline{6}", Some(("0.1", "6"))),
            ("0.", r"\dot{3}", Some(("0.", "3"))),
            ("0.", r"\dot{1}4285\dot{7}", Some(("0.", "142857"))),
            ("0.", "(27)", Some(("0.", "27"))),
            ("0.3", "\u{305}", Some(("0.", "3"))),
            ("0.2", "\u{305}7\u{305}", Some(("0.", "27"))),
            ("0.333", "...", Some(("0.", "3"))),
            ("0.1666", "…", Some(("0.1", "6"))),
            ("0.142857142857", r"\ldots", Some(("0.", "142857"))),
            ("0.5", "", None),
            ("0.5", "(x)", None),
        ] {
            let found = repeating(digits, rest).unwrap().map(|r| (r.start, r.cycle));
            assert_eq!(found.as_ref().map(|(a, b)| (a.as_str(), b.as_str())), expected, "{digits}{rest}");
        }
        assert!(repeating("3.14159", "...").is_err());
        assert!(repeating("2.66", "...").is_err(), "twice is no evidence");
    }
}
