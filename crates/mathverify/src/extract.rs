//! Finding the final answer by its delimiter.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::{boxes, plain};

/// What announces an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// `\boxed{...}` or `\fbox{...}`.
    Boxed,
    /// `#### ` and the rest of the line, as in GSM8K.
    Hashes,
    /// "the answer is", "the final answer is", "answer:", up to the end of the formula, sentence or line.
    Phrase,
    /// Nothing: the last formula in `$ $`, `$$ $$`, `\( \)`, `\[ \]` or an environment like `align`.
    Formula,
    /// Nothing: the last number or arithmetic expression in plain text.
    Expression,
    /// A choice letter standing alone.
    Choice,
}

/// What may be extracted, with Math-Verify's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Formulas: boxes, `$ $` and kin.
    Latex,
    /// Numbers and arithmetic in plain text.
    Expr,
    /// Choice letters.
    String,
}

/// An answer found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The answer as written, without its delimiter, trimmed; not empty.
    pub value: String,
    /// What announced it.
    pub delimiter: Delimiter,
    /// Byte range from where the delimiter begins (an opening `$`, `\(` or `\[` around a box included) to the end of the answer. Cutting
    /// the text at `range.start` leaves the reasoning alone.
    pub range: Range<usize>,
}

/// Which delimiters and kinds count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractConfig {
    /// Delimiters in order of priority.
    pub delimiters: Vec<Delimiter>,
    /// What may be extracted.
    pub kinds: Vec<Kind>,
    /// The answers that [`Kind::String`] looks for.
    pub choices: Vec<String>,
}

impl Default for ExtractConfig {
    /// Formulas and plain expressions: boxes, then hashes, then phrases, then the last formula, then the last expression.
    fn default() -> Self {
        let delimiters = [Delimiter::Boxed, Delimiter::Hashes, Delimiter::Phrase, Delimiter::Formula, Delimiter::Expression];
        Self {
            delimiters: delimiters.to_vec(),
            kinds: vec![Kind::Latex, Kind::Expr],
            choices: ["A", "B", "C", "D", "E"].map(String::from).to_vec(),
        }
    }
}

impl ExtractConfig {
    /// Only answers that are announced: boxes, then hashes, then phrases.
    pub fn announced() -> Self {
        Self { delimiters: vec![Delimiter::Boxed, Delimiter::Hashes, Delimiter::Phrase], ..Self::default() }
    }

    /// With `boxed_match_priority` as in Math-Verify: negative, boxes don't count; 0, they go first; otherwise behind what a phrase announces.
    pub fn with_boxed_priority(mut self, priority: i64) -> Self {
        self.delimiters.retain(|d| *d != Delimiter::Boxed);
        if priority >= 0 {
            let behind = self.delimiters.iter().rposition(|d| matches!(d, Delimiter::Hashes | Delimiter::Phrase)).map_or(0, |i| i + 1);
            self.delimiters.insert(if priority == 0 { 0 } else { behind }, Delimiter::Boxed);
        }
        self
    }
}

/// Longest text, in bytes, of which all is searched; of longer ones the end.
const MAX_TEXT: usize = 1_000_000;
/// Most words, behind "the answer is", that are an answer as a whole.
const MAX_WORDS: usize = 3;

/// The answers of `text`, at most one a delimiter, in the configuration's order of priority: the first is the one to use. For each
/// delimiter the last occurrence counts:
/// - of boxes, the last closed group, and of nested ones the outermost; boxes with a comma, "and" or up to four words of one sentence
///   between them are one group, whose value is theirs joined by commas;
/// - "the final answer is ... I hope it is correct" goes before boxes that it follows;
/// - of phrases, the formulas behind it, or else the rest of the sentence;
/// - a formula and an expression without delimiters go by their place: the one that ends last first.
///
/// A delimiter whose last occurrence is empty has no answer, and an empty box also ends the search for answers without delimiters.
pub fn extract(text: &str, config: &ExtractConfig) -> Vec<Candidate> {
    let mut skipped = text.len().saturating_sub(MAX_TEXT);
    while !text.is_char_boundary(skipped) {
        skipped += 1;
    }
    let text = &text[skipped..];
    let (latex, expr) = (config.kinds.contains(&Kind::Latex), config.kinds.contains(&Kind::Expr));
    let mut found: Vec<Candidate> = Vec::new();
    if config.kinds.contains(&Kind::String)
        && let Some(range) = plain::choice(text, &config.choices)
    {
        found.push(Candidate { value: text[range.clone()].to_owned(), delimiter: Delimiter::Choice, range });
    }
    let mut empty_box = false;
    for delimiter in &config.delimiters {
        let announced = matches!(delimiter, Delimiter::Boxed | Delimiter::Hashes | Delimiter::Phrase);
        if !announced && (empty_box || found.iter().any(|c| !matches!(c.delimiter, Delimiter::Formula | Delimiter::Expression))) {
            continue;
        }
        let answer = match delimiter {
            Delimiter::Boxed if latex => last_box(text),
            Delimiter::Hashes if latex || expr => last_hashes(text).map(|(value, range)| (text[value].to_owned(), range)),
            Delimiter::Phrase if latex || expr => last_phrase(text),
            Delimiter::Formula if latex => plain::last_formula(text),
            Delimiter::Expression if expr => plain::last_expression(text).map(|range| (text[range.clone()].to_owned(), range)),
            _ => None,
        };
        let Some((value, range)) = answer else { continue };
        let value = value.trim();
        if value.is_empty() {
            empty_box |= *delimiter == Delimiter::Boxed;
            continue;
        }
        found.push(Candidate { value: value.to_owned(), delimiter: *delimiter, range });
    }
    if let Some(i) = found.iter().position(|c| c.delimiter == Delimiter::Formula)
        && let Some(next) = found.get(i + 1)
        && next.delimiter == Delimiter::Expression
        && next.range.end > found[i].range.end
    {
        found.swap(i, i + 1);
    }
    // "The final answer is 5. I hope it is correct." goes with the boxes: the later of the two first.
    if let Some(phrase) = found.iter().position(|c| c.delimiter == Delimiter::Phrase)
        && phrase > 0
        && found[phrase - 1].delimiter == Delimiter::Boxed
        && found[phrase].range.end > found[phrase - 1].range.end
        && text[found[phrase].range.end..].trim_start_matches(['.', ' ', '$', '*', '\n']).starts_with("I hope")
    {
        found.swap(phrase - 1, phrase);
    }
    for candidate in &mut found {
        candidate.range = candidate.range.start + skipped..candidate.range.end + skipped;
    }
    found
}

/// The values of the last group of boxes, joined by commas if they differ.
fn last_box(text: &str) -> Option<(String, Range<usize>)> {
    let (contents, range) = boxes::last_group(text)?;
    let mut values: Vec<&str> = Vec::new();
    for content in contents {
        let value = text[content].trim();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if values.contains(&"") {
        values.clear();
    }
    Some((values.join(", "), range))
}

fn last_hashes(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let at = text.rfind("####")?;
    let value = at + 4;
    let start = text[..at].trim_end_matches('#').len();
    let end = text[value..].find('\n').map_or(text.len(), |n| value + n);
    let end = value + text[value..end].trim_end().len();
    Some((value..end, start..end))
}

fn last_phrase(text: &str) -> Option<(String, Range<usize>)> {
    static PHRASE: LazyLock<Regex> = LazyLock::new(|| {
        let subject = r"(?i)\b(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+to\s+[^.\n$\\]{0,60}?)?";
        Regex::new(&format!(r"{subject}(?:\s+is\b|\s+should\s+be\b|\s*\**\s*:)\s*[:=]?[\s*]*")).expect("a valid pattern")
    });
    let found = PHRASE.find_iter(text).last()?;
    let (start, value) = (found.start(), found.end());
    let rest = &text[value..];
    // `$18` is an amount: the other `$` has to be in the same line.
    if let Some((answer, end)) = plain::formulas_from(text, value) {
        return Some((answer, start..end));
    }
    let mut end = rest.find('\n').unwrap_or(rest.len());
    let sentence = rest[..end].char_indices().find(|(i, c)| {
        let next = rest[i + c.len_utf8()..end].chars().next();
        matches!(c, '.' | '!' | '?') && next.is_none_or(char::is_whitespace)
    });
    if let Some((i, _)) = sentence {
        end = i;
    }
    let end = value + rest[..end].trim_end_matches(|c: char| c.is_whitespace() || c == '*').len();
    let mut value = value;
    // "Answer: the largest number is 34."
    if let Some(at) = text[value..end].rfind(" is ") {
        let tail = value + at + 4;
        value = tail + (text[tail..end].len() - text[tail..end].trim_start().len());
        if let Some((answer, end)) = plain::formulas_from(text, value) {
            return Some((answer, start..end));
        }
    }
    let sentence = &text[value..end];
    if sentence.split_whitespace().filter(|w| w.chars().filter(|c| c.is_alphabetic()).count() > 1).count() > MAX_WORDS
        && !sentence.contains(" or ")
    {
        // An answer within an explanation: its formula or first number.
        if let Some(inner) = sentence.find(['$', '\\'])
            && let Some((answer, end)) = plain::formulas_from(text, value + inner)
        {
            return Some((answer, start..end));
        }
        if let Some(inner) = plain::first_expression(sentence) {
            return Some((sentence[inner.clone()].to_owned(), start..value + inner.end));
        }
    }
    Some((sentence.to_owned(), start..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Option<(String, String)> {
        let best = extract(text, &ExtractConfig::announced()).into_iter().next()?;
        Some((best.value, text[..best.range.start].to_owned()))
    }
    fn some(value: &str, before: &str) -> Option<(String, String)> {
        Some((value.to_owned(), before.to_owned()))
    }

    #[test]
    fn boxes() {
        assert_eq!(one(r"so $x=\boxed{\frac{1}{2}}$."), some(r"\frac{1}{2}", "so $x="));
        assert_eq!(one(r"so $\boxed{7}$."), some("7", "so "));
        assert_eq!(one(r"\boxed{1} then \[ \boxed {2}. \]"), some("2", r"\boxed{1} then "));
        assert_eq!(one(r"\fbox{a\}b}"), some(r"a\}b", ""));
        assert_eq!(one(r"\boxed{\boxed{3}}"), some(r"\boxed{3}", ""));
        assert_eq!(one(r"\boxed{1} and \boxed{2"), some("1", ""), "an open box is none");
        assert_eq!(one(r"{ \boxed{3}"), some("3", "{ "));
        assert_eq!(one(r"} \boxed{3}"), some("3", "} "));
        assert_eq!(one(r"\boxed{}"), None);
        assert_eq!(one(r"so $\boxed 2$"), some("2", "so "), "without braces, the next token");
        assert_eq!(one(r"\boxed{1} and \boxed{2}, or \boxed{1}"), some("1, 2", ""), "a group");
        assert_eq!(one(r"\boxed{1}. Now \boxed{2}"), some("2", r"\boxed{1}. Now "));
    }

    #[test]
    fn hashes() {
        assert_eq!(one("48:6*8=48-0;#### 786"), some("786", "48:6*8=48-0;"));
        assert_eq!(one("a\n#### $1,234 \nmore"), some("$1,234", "a\n"));
        assert_eq!(one("##### 5"), some("5", ""));
        assert_eq!(one("#### 5\n#### 6"), some("6", "#### 5\n"));
        assert_eq!(one("####"), None);
        assert_eq!(one("### 5"), None);
    }

    #[test]
    fn phrases() {
        assert_eq!(one("So the answer is 3.5. Good."), some("3.5", "So "));
        assert_eq!(one("The Final Answer is: **18 dollars**\nBye"), some("18 dollars", ""));
        assert_eq!(one("the answer is $\\frac{1}{2}$. And"), some("\\frac{1}{2}", ""));
        assert_eq!(one("the answer is $18."), some("$18", ""));
        assert_eq!(one("the answer is not clear; the answer is 4"), some("4", "the answer is not clear; "));
        assert_eq!(one("The answer is"), None);
        assert_eq!(one("the answers are 4"), None);
    }

    #[test]
    fn priority_is_the_configuration_s() {
        let text = r"\boxed{1}, the answer is 2
#### 3";
        let values = |delimiters: &[Delimiter]| {
            let found = extract(text, &ExtractConfig { delimiters: delimiters.to_vec(), ..ExtractConfig::default() });
            found.into_iter().map(|c| c.value).collect::<Vec<_>>()
        };
        use Delimiter::*;
        assert_eq!(values(&[Boxed, Hashes, Phrase]), ["1", "3", "2"]);
        assert_eq!(values(&[Phrase, Hashes]), ["2", "3"]);
        assert_eq!(values(&[]), Vec::<String>::new());
    }

    #[test]
    fn deep_nesting_takes_linear_time() {
        let start = std::time::Instant::now();
        extract(&r"\boxed{".repeat(300_000), &ExtractConfig::default());
        extract(&"the answer is ".repeat(200_000), &ExtractConfig::default());
        extract(&"#".repeat(2_000_000), &ExtractConfig::default());
        assert!(start.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in r"(\\boxed|\\fbox|####|the answer is|[{}$#\\ .\n*aé0-9]|\PC){0,40}") {
            for c in extract(&text, &ExtractConfig::default()) {
                prop_assert!(text.get(c.range.clone()).is_some());
                prop_assert!(!c.value.is_empty());
            }
        }
        #[test]
        fn what_was_written_is_found(reasoning in "[a-z0-9 =+]{0,30}", value in "[0-9a-z]{1,8}") {
            for (suffix, delimiter) in [(format!("#### {value}"), Delimiter::Hashes), (format!("\\boxed{{{value}}}"), Delimiter::Boxed), (format!("\nThe answer is {value}."), Delimiter::Phrase)] {
                let found = extract(&format!("{reasoning}{suffix}"), &ExtractConfig::announced());
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(&found[0].value, &value);
                prop_assert_eq!(found[0].delimiter, delimiter);
            }
        }
    }
}
