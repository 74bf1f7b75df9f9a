//! Answers with the letter of a choice: "(C) 17", "C. 17", `\textbf{(C)}\ 17`.

use std::sync::LazyLock;

use regex::Regex;

/// The letter of a choice, and what stands behind it, perhaps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labelled<'a> {
    pub(crate) letter: &'a str,
    pub(crate) content: &'a str,
}

/// Reads an answer as a choice: a letter in brackets or with a mark behind it and then its content, or a letter alone, perhaps behind
/// "option" or "choice".
pub(crate) fn labelled(answer: &str) -> Option<Labelled<'_>> {
    static CHOICE: LazyLock<Regex> = LazyLock::new(|| {
        let font = r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|bf|rm)";
        let space = r"(?:\s|~|\\[ ,;:!]|\\quad|\\qquad|\$)*";
        Regex::new(&format!(
            r"^\s*\**\$?(?:{font}\s*\{{|\{{)?\s*(?:(?i:option|choice|answer)\s+)?(?:\(\s*([A-H])\s*\)|([A-H])(\)|\.|:|[\s}}*$]*$))[\s~}}]*[.:]?\**{space}"
        ))
        .expect("a valid pattern")
    });
    let found = CHOICE.captures(answer)?;
    let letter = found.get(1).or(found.get(2))?.as_str();
    // The closing brace of `\text{(C) 17}` is the content's.
    let content = answer[found.get(0)?.end()..].trim().trim_matches('$').trim();
    let content = if content.matches('}').count() == content.matches('{').count() + 1 { content.strip_suffix('}')? } else { content };
    // "A.M.", "C: the set" are words, and `A:B` is a ratio.
    let marked = found.get(3).is_some_and(|mark| matches!(mark.as_str(), "." | ":"));
    if marked && content.starts_with(|c: char| c.is_ascii_uppercase()) && content.len() <= 3 {
        return None;
    }
    Some(Labelled { letter, content: content.trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        for (answer, expected) in [
            ("(C) 12", Some(("C", "12"))),
            ("(C) $17$", Some(("C", "17"))),
            ("C) 17", Some(("C", "17"))),
            ("C. 17", Some(("C", "17"))),
            ("C: 17", Some(("C", "17"))),
            (r"\textbf{(C)}\ 17", Some(("C", "17"))),
            (r"\text{(C) } 17", Some(("C", "17"))),
            (r"\text{C. } 17", Some(("C", "17"))),
            (r"\mathrm{(C)}\ 17", Some(("C", "17"))),
            (r"\text{(C) 17 apples}", Some(("C", "17 apples"))),
            ("(C)", Some(("C", ""))),
            ("C", Some(("C", ""))),
            (r"\text{C}", Some(("C", ""))),
            ("**C**", Some(("C", ""))),
            ("Option C", Some(("C", ""))),
            ("A:B", None),
            ("Canada", None),
            ("(C, D)", None),
            ("CD", None),
            ("C = 5", None),
            ("5", None),
        ] {
            assert_eq!(labelled(answer).map(|c| (c.letter, c.content)), expected, "{answer}");
        }
    }
}
