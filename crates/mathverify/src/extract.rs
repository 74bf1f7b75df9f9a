//! Finding the final answer by its delimiter.

use std::ops::Range;

use crate::decisive::{Decisive, decisive};
use crate::{announce, boxes, choices, plain, prose};

/// What announces an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// `\boxed{...}` or `\fbox{...}`.
    Boxed,
    /// `#### ` and the rest of the line, as in GSM8K.
    Hashes,
    /// Prose: "the answer is 5", "Answer: 5", "5 is the answer", a heading "Final Answer" over it.
    Phrase,
    /// `<answer>...</answer>`.
    Tag,
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
    /// The answers of the boxes that stand together in one sentence, joined by commas, where they are several: what is meant where an answer
    /// has several items. `value` is the last one.
    pub together: Option<String>,
    /// What announced it.
    pub delimiter: Delimiter,
    /// Byte range from where the delimiter begins (an opening `$`, `\(` or `\[` around a box included) to the end of the answer. Cutting
    /// the text at `range.start` leaves the reasoning alone.
    pub range: Range<usize>,
}

impl Candidate {
    /// The answer with all its items.
    pub fn items(&self) -> &str {
        self.together.as_deref().unwrap_or(&self.value)
    }
}

/// Which delimiters and kinds count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractConfig {
    /// Delimiters that count. Of those that announce, the last announcement in the text is the answer, unless `prioritized`.
    pub delimiters: Vec<Delimiter>,
    /// Whether an earlier one of `delimiters` goes before a later one, wherever they stand in the text.
    pub prioritized: bool,
    /// What may be extracted.
    pub kinds: Vec<Kind>,
    /// The answers that [`Kind::String`] looks for.
    pub choices: Vec<String>,
}

/// The delimiters that announce.
const ANNOUNCING: [Delimiter; 4] = [Delimiter::Boxed, Delimiter::Hashes, Delimiter::Phrase, Delimiter::Tag];

impl Default for ExtractConfig {
    /// Formulas and plain expressions: what is announced, then the last formula or expression.
    fn default() -> Self {
        let mut delimiters = ANNOUNCING.to_vec();
        delimiters.extend([Delimiter::Formula, Delimiter::Expression]);
        Self {
            delimiters,
            prioritized: false,
            kinds: vec![Kind::Latex, Kind::Expr],
            choices: ["A", "B", "C", "D", "E"].map(String::from).to_vec(),
        }
    }
}

impl ExtractConfig {
    /// Only answers that are announced: by boxes, hashes, prose or a tag.
    pub fn announced() -> Self {
        Self { delimiters: ANNOUNCING.to_vec(), ..Self::default() }
    }

    /// With `boxed_match_priority` as in Math-Verify: negative, boxes don't count; 0, they go first; otherwise behind what a phrase announces.
    pub fn with_boxed_priority(mut self, priority: i64) -> Self {
        self.prioritized = true;
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

/// An announcement.
#[derive(Debug, Clone)]
struct Found {
    delimiter: Delimiter,
    /// Empty: it announces nothing, as `\boxed{}` does, a box that is cut off, or "the answer is not 5".
    value: String,
    together: Option<String>,
    range: Range<usize>,
}

impl Found {
    /// Whether the value looks like an answer whatever the question is: it has a digit, a formula or the letter of a choice. Words alone may be
    /// an answer, and may also be what is said about one ("this answer is clear").
    fn is_strong(&self) -> bool {
        if self.delimiter == Delimiter::Boxed {
            return !self.value.is_empty();
        }
        let value = &self.value;
        let heading =
            self.delimiter == Delimiter::Hashes && value.starts_with(|c: char| c.is_alphabetic()) && choices::labelled(value).is_none();
        !heading && (value.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '$')) || choices::labelled(value).is_some())
    }
}

/// The answers of `text`; the first is the one to use. Behind a thought (`</think>`) only what follows it counts, in `<answer>` only its content; a
/// thought or a tag that isn't closed has no answer. What is announced goes first:
/// - the last announcement counts, and of one inside of another the inner; one of words alone only where no other has a number, formula or
///   choice;
/// - of boxes, the last closed one, and of nested ones the outermost; boxes with a comma, "and" or up to four words of one sentence between them
///   are also a group ([`Candidate::together`]);
/// - of prose, the formulas that follow, or else the value at the beginning of the sentence.
///
/// Without an announcement: of the last formula and the last expression the one that ends last. An announcement without an answer (`\boxed{}`, a
/// box that is cut off, "the answer is not 5") that is the last one, is the end of it: there is none.
pub fn extract(text: &str, config: &ExtractConfig) -> Vec<Candidate> {
    let mut skipped = text.len().saturating_sub(MAX_TEXT);
    while !text.is_char_boundary(skipped) {
        skipped += 1;
    }
    let text = &text[skipped..];
    let (part, tag) = match decisive(text) {
        Decisive::Unfinished => return Vec::new(),
        Decisive::Part(part) => (part, None),
        Decisive::Tagged { content, start } if config.delimiters.contains(&Delimiter::Tag) => (content, Some(start)),
        Decisive::Tagged { content, .. } => (content, None),
    };
    let offset = skipped + part.start;
    let mut found = in_part(&text[part.clone()], config);
    if let Some(start) = tag {
        // Nothing announces within the tag: its content is the answer.
        let content = text[part.clone()].trim();
        let announced = found.first().is_some_and(|c| ANNOUNCING.contains(&c.delimiter));
        if !announced && !content.is_empty() && (content.len() <= MAX_TAGGED || found.is_empty()) {
            found.insert(0, Candidate { value: tagged(content), together: None, delimiter: Delimiter::Tag, range: 0..part.len() });
        }
        for candidate in &mut found {
            candidate.delimiter = Delimiter::Tag;
            candidate.range = start + skipped..candidate.range.end + offset;
        }
        return found;
    }
    for candidate in &mut found {
        candidate.range = candidate.range.start + offset..candidate.range.end + offset;
    }
    found
}

/// The answer that a tag's content is: the value of its sentence, or its last one where it has several lines.
fn tagged(content: &str) -> String {
    let sentence = content.starts_with(|c: char| c.is_alphabetic()) && content.contains(|c: char| c.is_ascii_digit() || c == '$');
    let last = content.lines().last().unwrap_or(content);
    match prose::value(content, content.len() - last.len()) {
        Some((Some(value), _)) if sentence => value,
        _ => content.to_owned(),
    }
}

/// Longest content of a tag, in bytes, that is an answer as a whole.
const MAX_TAGGED: usize = 120;

fn in_part(text: &str, config: &ExtractConfig) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    if config.kinds.contains(&Kind::String)
        && let Some(range) = plain::choice(text, &config.choices)
    {
        found.push(Candidate { value: text[range.clone()].to_owned(), together: None, delimiter: Delimiter::Choice, range });
    }
    let mut announced = announced(text, config);
    if config.prioritized {
        announced.sort_by_key(|found| config.delimiters.iter().position(|d| *d == found.delimiter));
        // "The final answer is 5. I hope it is correct." goes with the boxes: the later of the two first.
        if let [boxed, phrase, ..] = &announced[..]
            && (boxed.delimiter, phrase.delimiter) == (Delimiter::Boxed, Delimiter::Phrase)
            && phrase.range.end > boxed.range.end
            && text[phrase.range.end..].trim_start_matches(['.', ' ', '$', '*', '\n']).starts_with("I hope")
        {
            announced.swap(0, 1);
        }
        let empty_box = announced.iter().any(|f| f.delimiter == Delimiter::Boxed && f.value.is_empty());
        announced.retain(|f| !f.value.is_empty());
        if announced.is_empty() && empty_box {
            return found;
        }
    } else if announced.first().is_some_and(|last| last.value.is_empty()) {
        return found;
    }
    announced.retain(|f| !f.value.is_empty());
    found.extend(announced.into_iter().map(|f| Candidate { value: f.value, together: f.together, delimiter: f.delimiter, range: f.range }));
    if found.is_empty() {
        found.extend(unannounced(text, config));
    }
    found
}

/// What announces an answer in `text`, the one that counts first: of each delimiter the last one.
fn announced(text: &str, config: &ExtractConfig) -> Vec<Found> {
    let (latex, expr) = (config.kinds.contains(&Kind::Latex), config.kinds.contains(&Kind::Expr));
    let mut found: Vec<Found> = Vec::new();
    for delimiter in &config.delimiters {
        match delimiter {
            Delimiter::Boxed if latex => found.extend(last_box(text)),
            Delimiter::Hashes if latex || expr => found.extend(last_hashes(text)),
            Delimiter::Phrase if latex || expr => {
                let phrases = announce::announcements(text).into_iter().map(|phrase| Found {
                    delimiter: Delimiter::Phrase,
                    value: phrase.value.unwrap_or_default().trim().to_owned(),
                    together: None,
                    range: phrase.range,
                });
                found.extend(last_of(phrases.collect()));
            }
            _ => {}
        }
    }
    // The announcement inside of another one: "The answer is $\boxed{5}$", "#### The answer is 5". A box is never what is around the other.
    let inner = |a: &Found, b: &Found| {
        let within = a.range != b.range && a.range.start >= b.range.start && a.range.end <= b.range.end + 4;
        let overlapping = a.range.start < b.range.end && b.range.start < a.range.end;
        if a.delimiter == Delimiter::Boxed {
            overlapping && b.delimiter != Delimiter::Boxed
        } else {
            within && b.delimiter != Delimiter::Boxed
        }
    };
    let outer: Vec<bool> = found.iter().map(|b| found.iter().any(|a| a.is_strong() && inner(a, b))).collect();
    let mut kept = outer.iter();
    found.retain(|_| !kept.next().copied().unwrap_or(false));
    // What is denied takes nothing back that is announced elsewhere; a box without an answer does.
    let rank = |f: &Found| match (f.is_strong(), f.value.is_empty(), f.delimiter) {
        (true, ..) | (_, true, Delimiter::Boxed) => 0,
        (_, false, _) => 1,
        _ => 2,
    };
    found.sort_by_key(|f| (rank(f), std::cmp::Reverse(f.range.end)));
    found
}

/// The last of announcements, and before it the last one with a number where it has none itself.
fn last_of(mut phrases: Vec<Found>) -> Vec<Found> {
    let Some(last) = phrases.pop() else { return Vec::new() };
    if last.is_strong() {
        return vec![last];
    }
    // What only denies doesn't take back what was announced before: "The answer is 4. It is not ..." is 4, and so is "... the answer is clear".
    match phrases.into_iter().rfind(Found::is_strong) {
        Some(strong) if last.value.is_empty() || !last.is_strong() => {
            vec![strong, last].into_iter().filter(|f| !f.value.is_empty()).collect()
        }
        _ => vec![last],
    }
}

/// Without an announcement: the last formula and the last expression, the one that ends last first.
fn unannounced(text: &str, config: &ExtractConfig) -> Vec<Candidate> {
    let mut found = Vec::new();
    for delimiter in &config.delimiters {
        let answer = match delimiter {
            Delimiter::Formula if config.kinds.contains(&Kind::Latex) => plain::last_formula(text),
            Delimiter::Expression if config.kinds.contains(&Kind::Expr) => {
                plain::last_expression(text).map(|range| (text[range.clone()].to_owned(), range))
            }
            _ => None,
        };
        if let Some((value, range)) = answer.filter(|(value, _)| !value.trim().is_empty()) {
            found.push(Candidate { value: value.trim().to_owned(), together: None, delimiter: *delimiter, range });
        }
    }
    // The text is the answer: "C", "east".
    let whole = text.trim();
    if found.is_empty() && config.delimiters.contains(&Delimiter::Expression) && is_bare(whole) {
        found.push(Candidate { value: whole.to_owned(), together: None, delimiter: Delimiter::Expression, range: 0..text.len() });
    }
    if let [first, second] = &found[..]
        && first.delimiter == Delimiter::Formula
        && second.range.end > first.range.end
    {
        found.swap(0, 1);
    }
    found
}

/// Whether a text is words alone, and few.
fn is_bare(text: &str) -> bool {
    let words = text.split_whitespace().count();
    (1..=3).contains(&words) && text.len() < 60 && text.chars().any(char::is_alphanumeric) && !text.contains(['?', '\\'])
}

/// The last box, with those of its group; empty where it is empty or cut off.
fn last_box(text: &str) -> Option<Found> {
    let nothing = |range| Found { delimiter: Delimiter::Boxed, value: String::new(), together: None, range };
    let last = boxes::last_group(text);
    if let Some(at) = boxes::cut_off(text, last.as_ref().map_or(0, |(_, range)| range.end)) {
        return Some(nothing(at..at + 1));
    }
    let (contents, range) = last?;
    let mut values: Vec<&str> = Vec::new();
    for content in &contents {
        let value = text[content.clone()].trim();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let (Some(last), false) = (contents.last(), values.contains(&"")) else { return Some(nothing(range)) };
    let together = (values.len() > 1).then(|| values.join(", "));
    Some(Found { delimiter: Delimiter::Boxed, value: text[last.clone()].trim().to_owned(), together, range })
}

fn last_hashes(text: &str) -> Option<Found> {
    let at = text.rfind("####")?;
    let value = at + 4;
    let start = text[..at].trim_end_matches('#').len();
    let end = text[value..].find('\n').map_or(text.len(), |n| value + n);
    let mut end = value + text[value..end].trim_end().len();
    // "#### 10!" is prose; "#### 5! = 120" is not.
    end -= usize::from(text[value..end].ends_with('!'));
    let content = text[value..end].trim().trim_matches('*').trim();
    if content.is_empty() {
        return None;
    }
    Some(Found { delimiter: Delimiter::Hashes, value: content.to_owned(), together: None, range: start..end })
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
        assert_eq!(one(r"\boxed{1} and \boxed{2"), None, "the last one is cut off");
        assert_eq!(one(r"\boxed{1} and \boxed{2. So the answer is 3."), some("3", r"\boxed{1} and \boxed{2. So "));
        assert_eq!(one(r"{ \boxed{3}"), some("3", "{ "));
        assert_eq!(one(r"} \boxed{3}"), some("3", "} "));
        assert_eq!(one(r"\boxed{}"), None);
        assert_eq!(one(r"so $\boxed 2$"), some("2", "so "), "without braces, the next token");
        assert_eq!(one(r"\boxed{1} and \boxed{2}, or \boxed{3}"), some("3", ""), "the range is the group's");
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
        assert_eq!(one("the answers are 4"), some("4", ""));
        assert_eq!(one("The answer is 4. I hope this answer is helpful."), some("4", ""));
        assert_eq!(one("The answer is Monday."), some("Monday", ""));
    }

    #[test]
    fn priority_is_the_configuration_s() {
        let text = r"\boxed{1}, the answer is 2
#### 3";
        let values = |delimiters: &[Delimiter]| {
            let found = extract(text, &ExtractConfig { delimiters: delimiters.to_vec(), prioritized: true, ..ExtractConfig::default() });
            found.into_iter().map(|c| c.value).collect::<Vec<_>>()
        };
        use Delimiter::*;
        assert_eq!(values(&[Boxed, Hashes, Phrase]), ["1", "3", "2"]);
        assert_eq!(values(&[Phrase, Hashes]), ["2", "3"]);
        assert_eq!(values(&[]), Vec::<String>::new());
    }

    #[test]
    fn the_last_announcement_counts() {
        for (text, expected) in [
            (r"\boxed{1}, the answer is 2", "2"),
            (r"The answer is 2. #### 3 \boxed{4}", "4"),
            (r"The answer is $\boxed{5}$.", "5"),
            (r"#### The answer is 5.", "5"),
            (r"\boxed{1} and \boxed{2}", "2"),
            (r"<think>\boxed{1}</think> The answer is 2.", "2"),
            ("<answer>10</answer>", "10"),
            (r"<answer>So it is \boxed{10}.</answer>", "10"),
        ] {
            assert_eq!(one(text).map(|(value, _)| value).as_deref(), Some(expected), "{text}");
        }
        for text in [r"\boxed{1}. Then \boxed{", r"<think>\boxed{1}", "<answer>1", "The answer is not 4."] {
            assert_eq!(extract(text, &ExtractConfig::default()), [], "{text}");
        }
        let several = extract(r"\boxed{1} and \boxed{2}", &ExtractConfig::default()).remove(0);
        assert_eq!((several.items(), several.range.clone()), ("1, 2", 0..23));
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
