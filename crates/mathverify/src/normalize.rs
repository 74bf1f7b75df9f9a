//! Light normalisation: what doesn't change an answer's meaning is taken off.

use crate::number::Number;
use crate::words;

/// Commands whose braces are dropped and content kept.
const UNWRAPPED: [&str; 8] = ["\\textbf{", "\\textit{", "\\textrm{", "\\text{", "\\mathrm{", "\\mathbf{", "\\mbox{", "\\hbox{"];
/// What is dropped anywhere; commands before their prefixes.
const DROPPED: [&str; 15] = ["\\displaystyle", "\\!", "\\,", "\\;", "\\:", "\\ ", "\\(", "\\)", "\\[", "\\]", "\\$", "\\%", "$", "%", "~"];
/// What is written otherwise.
const REWRITTEN: [(&str, &str); 6] =
    [("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("{,}", ","), ("\u{2212}", "-"), ("\u{b0}", "^\\circ")];
/// Units taken off the end of a number.
const UNITS: [&str; 9] = ["^\\circ", "^{\\circ}", "dollars", "dollar", "percent", "degrees", "degree", "\u{20ac}", "\u{a3}"];

/// `answer` without spaces, `$`, `%`, `\left`/`\right`, `\text{}`'s braces, a final period, and with `\frac` for its variants and
/// shorthands (`\frac12`). A unit behind a number (`5\text{ cm}`, `30^\circ`, `18 dollars`) is dropped.
pub fn normalize(answer: &str) -> String {
    let answer = answer.trim().trim_matches('*').trim();
    let mut out = String::with_capacity(answer.len());
    // Where each open brace that wasn't written out began, in `out` and in the answer; start and end in `out` of the last unwrapped group at the
    // outermost level, and its text.
    let mut braces: Vec<Option<(usize, usize)>> = Vec::new();
    let mut text_group = None;
    let mut rest = answer;
    // Behind `\!`, space means nothing.
    let mut tight = false;
    while let Some(c) = rest.chars().next() {
        if c == '\\' || !c.is_ascii_alphanumeric() {
            if let Some(command) = UNWRAPPED.iter().find(|u| rest.starts_with(**u)) {
                rest = &rest[command.len()..];
                braces.push(Some((out.len(), answer.len() - rest.len())));
                continue;
            }
            if let Some((from, to)) = REWRITTEN.iter().find(|(from, _)| rest.starts_with(from)) {
                out.push_str(to);
                rest = &rest[from.len()..];
                continue;
            }
            // `\left(`, but not `\leftarrow`.
            let sized = ["\\left", "\\right"].into_iter().find_map(|side| rest.strip_prefix(side));
            if let Some(after) = sized.filter(|after| !after.starts_with(|c: char| c.is_ascii_alphabetic())) {
                rest = after;
                continue;
            }
            if let Some(dropped) = DROPPED.iter().find(|d| rest.starts_with(**d)) {
                tight |= *dropped == "\\!";
                rest = &rest[dropped.len()..];
                continue;
            }
            if let Some(escaped) = rest.strip_prefix('\\').and_then(|r| r.chars().next()).filter(|e| matches!(e, '{' | '}' | '\\')) {
                out.push('\\');
                out.push(escaped);
                rest = &rest[2..];
                continue;
            }
        }
        rest = &rest[c.len_utf8()..];
        tight &= c.is_whitespace();
        match c {
            '{' => {
                braces.push(None);
                out.push(c);
            }
            '}' => match braces.pop() {
                Some(Some((start, inside))) => {
                    text_group = braces.is_empty().then(|| (start, out.len(), &answer[inside..answer.len() - rest.len() - 1]));
                }
                _ => out.push(c),
            },
            // Only between digits, and before a fraction, does a space mean something: `2 2/3`, `1 000`.
            c if c.is_whitespace() => {
                if out.ends_with(|c: char| c.is_ascii_digit()) && rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
                    out.push(' ');
                }
                // `32, 349` isn't `32,349`.
                let group = rest.trim_start().bytes().take_while(u8::is_ascii_digit).count();
                if group == 3 && !tight && out.strip_suffix(',').is_some_and(|o| o.ends_with(|c: char| c.is_ascii_digit())) {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    if let Some((start, end, words)) = text_group
        && end == out.len()
        && Number::parse(&out[..start]).is_some()
        && names_a_unit(words)
    {
        out.truncate(start);
    }
    let kept = out.trim_end_matches(['.', ',', ';']).len();
    out.truncate(kept);
    if let Some(number) = UNITS.iter().find_map(|unit| out.strip_suffix(unit)).filter(|n| Number::parse(n).is_some()) {
        out.truncate(number.len());
    }
    brace_fractions(&out)
}

/// Whether text behind a number is its unit, and not "or more" or "thousand".
fn names_a_unit(text: &str) -> bool {
    let words: Vec<String> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    text.len() < 200 && !words.iter().any(|w| matches!(w.as_str(), "and" | "or")) && words::is_unit(&words)
}

/// `\frac12` and `\frac1{20}` with the braces that they lack.
fn brace_fractions(text: &str) -> String {
    let mut pieces = text.split("\\frac");
    let mut out = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        out.push_str("\\frac");
        let mut rest = piece;
        for _ in 0..2 {
            let Some(c) = rest.chars().next().filter(char::is_ascii_alphanumeric) else { break };
            out.extend(['{', c, '}']);
            rest = &rest[1..];
        }
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_cases() {
        for (from, to) in [
            (" $ 18 . $", "18"),
            (r"\$1{,}000\!", "1,000"),
            (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
            (r"\dfrac12", r"\frac{1}{2}"),
            (r"\tfrac1{20}", r"\frac{1}{20}"),
            (r"5\text{ cm}", "5"),
            (r"\text{Evelyn}", "Evelyn"),
            (r"x\text{ cm}", "xcm"),
            (r"30^\circ", "30"),
            ("30°", "30"),
            ("18 dollars", "18"),
            (r"10\%", "10"),
            (r"\leftarrow", r"\leftarrow"),
            (r"\{1\}", r"\{1\}"),
            ("**7**.", "7**"),
            ("**7**", "7"),
            ("\u{2212}3", "-3"),
            ("", ""),
        ] {
            assert_eq!(normalize(from), to, "{from}");
        }
    }

    #[test]
    fn long_input_takes_linear_time() {
        let start = std::time::Instant::now();
        for unit in ["\\text{", "\\frac", "{", "}", "\\left", "1,", "\\", "$"] {
            normalize(&unit.repeat(300_000));
        }
        assert!(start.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in r"(\\text\{|\\frac|\\left|[{}$%\\ .,0-9aé]|\PC){0,40}") {
            normalize(&text);
        }
        #[test]
        fn spaces_never_matter(text in "[a-z(),+]{0,20}", at in 0usize..20) {
            let at = at.min(text.len());
            let mut spaced = text.clone();
            spaced.insert(at, ' ');
            prop_assert_eq!(normalize(&text), normalize(&spaced));
        }
    }
}
