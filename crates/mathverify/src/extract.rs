//! Finding the final answer by its delimiter.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

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

/// The answers of `text`, at most one a delimiter, in the configuration's order of priority: the first is the one to use. For each
/// delimiter the last occurrence counts (of boxes: the last closed one, and of nested ones the outermost); if that is empty there is none.
pub fn extract(text: &str, config: &ExtractConfig) -> Vec<Candidate> {
    let find = |delimiter: &Delimiter| {
        let (value, range) = match delimiter {
            Delimiter::Boxed => last_box(text)?,
            Delimiter::Hashes => last_hashes(text)?,
            Delimiter::Phrase => last_phrase(text)?,
            Delimiter::Formula | Delimiter::Expression | Delimiter::Choice => return None,
        };
        let value = text[value].trim();
        (!value.is_empty()).then(|| Candidate { value: value.to_owned(), delimiter: *delimiter, range })
    };
    config.delimiters.iter().filter_map(find).collect()
}

/// Ranges of the value and of the whole, for the last box that is closed. One pass with a stack of open braces.
fn last_box(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let bytes = text.as_bytes();
    // For each open brace: where its content starts and, if it is a box's, where the command starts.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    let mut command = None;
    let mut last = None;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => {
                let rest = &bytes[i..];
                let length = [&b"\\boxed"[..], b"\\fbox"].iter().find(|name| rest.starts_with(name)).map(|name| name.len());
                command = length.map(|_| i);
                // An escaped character, a brace above all, is no brace; all bytes looked for are ASCII, so no boundary is missed.
                i += length.unwrap_or(2);
                continue;
            }
            b'{' => open.push((i + 1, command.take())),
            b'}' => {
                command = None;
                if let Some((content, Some(start))) = open.pop() {
                    last = Some((content..i, start..i + 1));
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => command = None,
        }
        i += 1;
    }
    let (value, mut range) = last?;
    let before = text[..range.start].trim_end();
    for (opening, closing) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        if before.ends_with(opening) && text[range.end..].trim_start_matches(['.', ' ', '\n']).starts_with(closing) {
            range.start = before.len() - opening.len();
            break;
        }
    }
    Some((value, range))
}

fn last_hashes(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let at = text.rfind("####")?;
    let value = at + 4;
    let start = text[..at].trim_end_matches('#').len();
    let end = text[value..].find('\n').map_or(text.len(), |n| value + n);
    let end = value + text[value..end].trim_end().len();
    Some((value..end, start..end))
}

fn last_phrase(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    static PHRASE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)\bthe\s+(?:final\s+|correct\s+)?answer\s+is\b\s*[:=]?[\s*]*").expect("a valid pattern"));
    let found = PHRASE.find_iter(text).last()?;
    let (start, value) = (found.start(), found.end());
    let rest = &text[value..];
    for (opening, closing) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        let Some(inside) = rest.strip_prefix(opening) else { continue };
        // `$18` is an amount: the other `$` has to be in the same line.
        if let Some(length) = inside.split('\n').next().unwrap_or("").find(closing) {
            let content = value + opening.len();
            return Some((content..content + length, start..content + length + closing.len()));
        }
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
    Some((value..end, start..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Option<(String, String)> {
        let best = extract(text, &ExtractConfig::default()).into_iter().next()?;
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
        assert_eq!(one(r"\boxed x {5}"), None);
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
        assert_eq!(one("breathe answer is 4"), None);
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
                prop_assert!(text.get(c.range.clone()).is_some_and(|t| t.contains(&c.value)));
                prop_assert!(!c.value.is_empty());
            }
        }
        #[test]
        fn what_was_written_is_found(reasoning in "[a-z0-9 =+]{0,30}", value in "[0-9a-z]{1,8}") {
            for (suffix, delimiter) in [(format!("#### {value}"), Delimiter::Hashes), (format!("\\boxed{{{value}}}"), Delimiter::Boxed), (format!("\nThe answer is {value}."), Delimiter::Phrase)] {
                let found = extract(&format!("{reasoning}{suffix}"), &ExtractConfig::default());
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(&found[0].value, &value);
                prop_assert_eq!(found[0].delimiter, delimiter);
            }
        }
    }
}
