//! What makes a known answer one that nobody can be paid for.

use std::fmt;

use crate::config::{Outcome, VerifyConfig};
use crate::normalize::normalize;
use crate::parse::parse;
use crate::token::Commas;
use crate::verify::{delimited, undefined, verify};
use crate::words::{Class, class};

/// What is wrong with a known answer as data. Its text says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GoldProblem {
    /// Nothing, or nothing but spaces and punctuation.
    Empty,
    /// A stand-in such as "n/a", "none" or "see solution".
    Missing,
    /// A sentence, or several: only the same words would be equal to it.
    Sentence,
    /// Words that are read as a product of their letters.
    ProductOfWords,
    /// Neither mathematics that can be read nor words: only the same text would be equal to it.
    Unreadable,
    /// No value, as `0/0`: nothing is equal to it.
    Undefined,
    /// It isn't found equal to itself, for instance because it is too long or too costly to compare.
    NotItself,
}

impl fmt::Display for GoldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty; give the final answer, or leave the row out",
            Self::Missing => "it says that there is no answer; give the final answer, or leave the row out",
            Self::Sentence => {
                "it is a sentence, which only the same words would be equal to; give the final answer alone, or mark it in the text (`#### 4`, `\\boxed{4}`)"
            }
            Self::ProductOfWords => "its words are read as a product of letters; give the final answer alone, or put words in `\\text{}`",
            Self::Unreadable => "it can't be read as mathematics, so that only the same text would be equal to it; write it in LaTeX or plain text",
            Self::Undefined => "it has no value (a division by zero), so that nothing is equal to it; correct it, or leave the row out",
            Self::NotItself => "it isn't found equal to itself; write it shorter or simpler, or leave the row out",
        })
    }
}

/// Most words that are a name or a short description.
const MAX_WORDS: usize = 6;

/// What is wrong with a known answer; `None`: nothing. Mathematics, names and other short words, choice letters, yes and no, and
/// numbers with units have no problem.
pub fn check_gold(gold: &str, config: &VerifyConfig) -> Option<GoldProblem> {
    let inner = delimited(gold);
    let gold = inner.as_deref().unwrap_or(gold);
    let text = normalize(&gold.replace("\\boxed", "").replace("\\fbox", ""));
    if !text.chars().any(|c| c.is_alphanumeric() || !c.is_ascii()) && !text.contains("\\{") {
        // A lone dash or question mark stands for nothing, too.
        return Some(if text.chars().all(|c| "{}[]()".contains(c)) { GoldProblem::Empty } else { GoldProblem::Missing });
    }
    if is_missing(gold) {
        return Some(GoldProblem::Missing);
    }
    let words = words(gold);
    if is_sentence(&words) {
        return Some(GoldProblem::Sentence);
    }
    match parse(gold, Commas::Thousands).or_else(|_| parse(gold, Commas::Separators)) {
        Ok(answer) if undefined(&answer.expr) => return Some(GoldProblem::Undefined),
        Ok(_) if words.len() > 1 && words.iter().all(|w| w.chars().count() < 4) && words.iter().any(|w| class(w).is_some()) => {
            return Some(GoldProblem::ProductOfWords);
        }
        Ok(_) => {}
        Err(_) if words.is_empty() || gold.contains(['\\', '{', '^', '_']) => return Some(GoldProblem::Unreadable),
        Err(_) => {}
    }
    (verify(gold, gold, config).outcome != Outcome::Equal).then_some(GoldProblem::NotItself)
}

/// The words of a text in lower case: runs of two letters or more, and "I", outside of the names of commands and of formulas.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            let name = rest[1..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |n| n + 1);
            // What `\begin` names is no word.
            let named = matches!(&rest[1..name], "begin" | "end" | "color" | "textcolor");
            rest = &rest[name.max(1)..];
            if named {
                rest = rest.find('}').map_or("", |n| &rest[n + 1..]);
            } else if name == 1 {
                rest = rest.chars().next().map_or("", |c| &rest[c.len_utf8()..]);
            }
            continue;
        }
        if c.is_alphabetic() {
            let length = rest.find(|c: char| !c.is_alphabetic() && c != '\'' && c != '’').unwrap_or(rest.len());
            if rest[..length].chars().count() > 1 || &rest[..length] == "I" {
                found.push(rest[..length].to_lowercase());
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
    }
    found
}

/// Whether words make a sentence: a verb or a pronoun among at least three of them, or more than a name or a description has.
fn is_sentence(words: &[String]) -> bool {
    let speaks = |w: &String| matches!(class(w), Some(Class::Pronoun | Class::Verb | Class::Copula | Class::Clause));
    words.len() > MAX_WORDS || (words.len() >= 3 && words.iter().any(speaks))
}

/// Whether a text says that there is no answer. Words in `\text{}` were meant as an answer, as `\text{none}`.
fn is_missing(text: &str) -> bool {
    let lower = text.trim().trim_matches(['.', '*', '"', '\'', '(', ')', '[', ']', '<', '>', '$', ' ']).to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| c.is_whitespace() || c == '-' || c == '_').filter(|w| !w.is_empty()).collect();
    match words[..] {
        [one] => matches!(
            one,
            "n/a" | "na" | "n.a" | "none" | "null" | "nil" | "nan" | "tbd" | "todo" | "unknown" | "missing" | "omitted" | "proof"
        ),
        ["see", ..] => words.len() <= MAX_WORDS,
        ["no", "answer" | "data"] | ["to", "be", "determined"] | ["proof", "omitted" | "below" | "above"] => true,
        ["not", state] | ["answer", "not", state] => {
            matches!(state, "available" | "applicable" | "provided" | "given" | "found" | "known" | "specified")
        }
        ["answer" | "answers", "may" | "will" | "can", "vary"] | ["answer" | "answers", "vary"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gold: &str) -> Option<GoldProblem> {
        check_gold(gold, &VerifyConfig::default())
    }

    #[test]
    fn known_answers_without_a_problem() {
        for gold in [
            "5",
            "-3.5",
            "1,234",
            "$18",
            r"\frac12",
            r"3\frac{1}{2}",
            r"x=5",
            r"2x+z=1",
            "(1,2)",
            r"\{1,2\}",
            "[0,1)",
            r"\emptyset",
            r"\{\}",
            r"\text{east}",
            r"\text{Monday}",
            "Monday",
            "Evelyn",
            "John Smith",
            r"\text{June 20}",
            r"\text{Softball, Kickball, Picnic}",
            "C",
            "(B)",
            r"\text{(C)}",
            r"\textbf{(C)}\ 17",
            "yes",
            "No",
            "true",
            "False",
            "no",
            "no solution",
            r"\text{none}",
            "all real numbers",
            "12 noon",
            "3:45 p.m.",
            "10 apples and 5 pears",
            "5 or 6",
            r"14 \text{ right triangles}",
            r"25\text{ square units}",
            "5 km in total",
            "x^2+2x+1",
            r"\begin{pmatrix}1\\2\end{pmatrix}",
            r"\boxed{5}",
            "$5$",
            "9^{9^{9}}",
            "the blue one",
            "cat",
            "AB",
            r"\angle ABC",
        ] {
            assert_eq!(check(gold), None, "{gold}");
        }
    }

    #[test]
    fn known_answers_with_a_problem() {
        use GoldProblem::*;
        for (gold, expected) in [
            ("", Empty),
            ("  ", Empty),
            (r"\boxed{}", Empty),
            ("-", Missing),
            ("?", Missing),
            ("n/a", Missing),
            ("N/A", Missing),
            ("None", Missing),
            ("null", Missing),
            ("See solution.", Missing),
            ("see above", Missing),
            ("not available", Missing),
            ("Answers will vary.", Missing),
            ("We do it. 4", Sentence),
            ("The answer is 5.", Sentence),
            ("Natalia sold 48/2 = <<48/2=24>>24 clips in May.", Sentence),
            (r"\text{The function is continuous}", Sentence),
            ("It is so", Sentence),
            ("we do", ProductOfWords),
            (r"\frac{1}{", Unreadable),
            (r"\sqrt{", Unreadable),
            ("((1,2)", Unreadable),
            ("0/0", Undefined),
            (r"\frac{5}{0}", Undefined),
        ] {
            assert_eq!(check(gold), Some(expected), "{gold}");
        }
    }

    #[test]
    fn a_problem_says_what_to_do() {
        for problem in [GoldProblem::Empty, GoldProblem::Missing, GoldProblem::Sentence, GoldProblem::Undefined] {
            assert!(problem.to_string().contains(';'), "{problem}");
        }
    }
}
