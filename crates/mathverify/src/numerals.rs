//! Numbers in words: "twelve", "twenty-five", "one hundred and five thousand", "two thirds".

use num_bigint::BigInt;
use num_rational::BigRational;

use crate::words;

/// Longest text, in bytes, that is read as a number in words.
const MAX_LENGTH: usize = 200;

fn small(word: &str) -> Option<u64> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let ones = ONES.iter().position(|w| *w == word).map(|n| n as u64);
    ones.or_else(|| TENS.iter().position(|w| *w == word).map(|n| 10 * (n as u64 + 2)))
}

/// The denominator that an ordinal names: "half", "thirds".
fn part(word: &str) -> Option<u64> {
    let parts = ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    let one = if word == "halves" { "half" } else { word.strip_suffix('s').unwrap_or(word) };
    match one {
        "fourth" => Some(4),
        _ => parts.iter().position(|p| *p == one).map(|i| i as u64 + 2),
    }
}

/// The number at the beginning of a text of words, and the words behind it, in lower case; `None`: it doesn't begin with one.
pub(crate) fn number(text: &str) -> Option<(BigRational, Vec<String>)> {
    if text.len() > MAX_LENGTH || text.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '^' | '=' | '+')) {
        return None;
    }
    let lower = text.to_lowercase();
    let all: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let negative = matches!(all.first(), Some(&("minus" | "negative")));
    let mut at = usize::from(negative);
    // "half", "a half", "a dozen".
    let article = usize::from(matches!(all.get(at), Some(&("a" | "an"))));
    if let Some(word) = all.get(at + article) {
        let value = match part(word) {
            Some(n) if article == 1 || matches!(*word, "half" | "quarter") => Some(BigRational::new(1.into(), n.into())),
            _ => words::scale(word).filter(|_| article == 1).map(|n| BigRational::from_integer(n.into())),
        };
        if let Some(value) = value {
            let rest = all[at + article + 1..].iter().map(|w| (*w).to_owned()).collect();
            return Some((if negative { -value } else { value }, rest));
        }
    }
    let (mut total, mut group): (u64, Option<u64>) = (0, None);
    let mut read = at;
    while let Some(word) = all.get(at) {
        let value = group.unwrap_or(0);
        if let Some(n) = small(word) {
            // "twenty five", "hundred five", but not "two five".
            let fits = match group {
                None => true,
                Some(g) if n < 10 => g % 10 == 0 && (g % 100 >= 20 || g % 100 == 0),
                Some(g) => g % 100 == 0,
            };
            if !fits || (n == 0 && group.is_some()) {
                break;
            }
            group = Some(value + n);
        } else if let Some(scale) = words::scale(word).filter(|_| group.is_some()) {
            let scale = scale as u64;
            if scale == 100 && value < 100 {
                group = Some(value * 100);
            } else {
                total = total.checked_add(value.checked_mul(scale)?)?;
                group = Some(0);
            }
        } else if *word == "and"
            && group.is_some_and(|g| g % 100 == 0 && g + total > 0)
            && all.get(at + 1).is_some_and(|w| small(w).is_some())
        {
            at += 1;
            continue;
        } else {
            break;
        }
        at += 1;
        read = at;
    }
    let mut value = BigRational::from_integer(BigInt::from(total + group?));
    // "two thirds", "one half".
    if let Some(denominator) = all.get(read).and_then(|word| part(word)) {
        value /= BigRational::from_integer(denominator.into());
        read += 1;
    }
    // "two and a half".
    if let [and, one, fraction, ..] = all[read..]
        && and == "and"
        && matches!(one, "a" | "one")
        && let Some(denominator) = part(fraction)
    {
        value += BigRational::new(1.into(), denominator.into());
        read += 3;
    }
    let rest = all[read..].iter().map(|w| (*w).to_owned()).collect();
    Some((if negative { -value } else { value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (text, expected, rest) in [
            ("twelve", "12", ""),
            ("Seventeen", "17", ""),
            ("twenty-five", "25", ""),
            ("one hundred and five", "105", ""),
            ("two thousand three hundred", "2300", ""),
            ("one hundred twenty three thousand four hundred fifty-six", "123456", ""),
            ("five million apples", "5000000", "apples"),
            ("five apples", "5", "apples"),
            ("minus three", "-3", ""),
            ("two thirds", "2/3", ""),
            ("three-quarters", "3/4", ""),
            ("one half", "1/2", ""),
            ("two dozen eggs", "24", "eggs"),
            ("zero", "0", ""),
            ("two and a half", "5/2", ""),
            ("half", "1/2", ""),
            ("a dozen eggs", "12", "eggs"),
        ] {
            let (value, words) = number(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((value.to_string().as_str(), words.join(" ").as_str()), (expected, rest), "{text}");
        }
        for text in ["", "apples", "5", "Evelyn", "hundred", "the one", "x = two"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("two five").map(|n| n.1), Some(vec!["five".to_owned()]));
    }
}
