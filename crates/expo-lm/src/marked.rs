//! Text in which what looks like a special token is text: messages may hold anything, but only the chat template writes special tokens.
//!
//! Inside every occurrence of a special token's string a mark is put, a character that no text has. Marks go through the chat template with the messages,
//! and the tokenizer finds no special token where there is one; between its stages, before any text is split or encoded, marks are taken out. So text
//! without such strings is not touched, and all text around them is encoded as it always is.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;

use crate::error::{Error, Result};

/// The strings of a tokenizer's special tokens.
pub struct SpecialTokens {
    strings: Vec<String>,
    searcher: AhoCorasick,
    /// How such a string can begin and end, the whole string not among them.
    beginnings: HashSet<String>,
    endings: HashSet<String>,
    /// The most characters that one has.
    longest: usize,
}

impl SpecialTokens {
    /// Errors: so many strings that they can't be searched for.
    pub fn new(strings: Vec<String>) -> Result<Self> {
        let searcher = AhoCorasick::new(&strings).map_err(|e| Error::Invalid(format!("the special tokens can't be searched for: {e}")))?;
        let cuts = |string: &str| string.char_indices().skip(1).map(|(i, _)| i).collect::<Vec<_>>();
        let beginnings = strings.iter().flat_map(|s| cuts(s).into_iter().map(|i| s[..i].to_owned())).collect();
        let endings = strings.iter().flat_map(|s| cuts(s).into_iter().map(|i| s[i..].to_owned())).collect();
        let longest = strings.iter().map(|string| string.chars().count()).max().unwrap_or(0);
        Ok(Self { strings, searcher, beginnings, endings, longest })
    }

    /// The first special token whose string is in `text`.
    pub fn first_in<'a>(&'a self, text: &str) -> Option<&'a str> {
        self.searcher.find(text).map(|found| self.strings[found.pattern()].as_str())
    }

    /// Where in `text` marks belong: behind the first character of every occurrence.
    fn inside(&self, text: &str) -> Vec<usize> {
        let second = |start: usize| start + text[start..].chars().next().map_or(0, char::len_utf8);
        let mut places: Vec<usize> = self.searcher.find_overlapping_iter(text).map(|found| second(found.start())).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Where `text`, with or without the white space around it, begins with the end of a special token or ends with the beginning of one: what a template
    /// writes beside it might complete the token.
    fn borders(&self, text: &str) -> Vec<usize> {
        let (start, end) = (text.len() - text.trim_start().len(), text.trim_end().len());
        let mut cuts = text[start..].char_indices().skip(1).map(|(i, _)| start + i).chain([text.len()]).take(self.longest);
        let begins = cuts.any(|cut| self.endings.contains(&text[start..cut]));
        let ends = text[..end].char_indices().rev().take(self.longest).any(|(cut, _)| self.beginnings.contains(&text[cut..end]));
        [(begins, start), (ends, end)].into_iter().filter(|(found, _)| *found).map(|(_, place)| place).collect()
    }
}

/// A character that is in none of `texts`.
fn unused<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Option<char> {
    // For private use, so that no special token has it either.
    ('\u{f0000}'..='\u{ffffd}').find(|mark| texts.clone().all(|text| !text.contains(*mark)))
}

/// A text and the places in it across which there are no special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkedText {
    text: String,
    /// Byte offsets, ascending.
    marks: Vec<usize>,
}

impl MarkedText {
    /// Text in which special tokens are what they look like.
    pub fn trusted(text: String) -> Self {
        Self { text, marks: Vec::new() }
    }

    /// Text in which there are no special tokens.
    pub fn plain(text: &str, special: &SpecialTokens) -> Self {
        Self { marks: special.inside(text), text: text.to_owned() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What follows `prefix`, if this begins with it.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let text = self.text.strip_prefix(&prefix.text)?.to_owned();
        let before = self.marks.partition_point(|mark| *mark < prefix.text.len());
        let marks = self.marks[before..].iter().map(|mark| mark - prefix.text.len()).collect();
        prefix.marks.iter().filter(|mark| **mark < prefix.text.len()).eq(&self.marks[..before]).then_some(Self { text, marks })
    }

    /// The text with a character that it doesn't have itself at each mark, and that character; `None` where there are no marks.
    pub(crate) fn with_marks(&self) -> Result<Option<(String, char)>> {
        if self.marks.is_empty() {
            return Ok(None);
        }
        let mark = unused(std::iter::once(self.text.as_str())).ok_or_else(|| no_mark_left(&self.text))?;
        Ok(Some((insert(&self.text, &self.marks, mark), mark)))
    }
}

/// Messages' texts for a chat template, marked.
pub(crate) struct MarkedTexts {
    /// The texts with marks in them, in order.
    pub texts: Vec<String>,
    mark: char,
    /// A special token that is in one of them; where there is none, marks stand only at borders.
    pub found: Option<String>,
}

impl MarkedTexts {
    /// Marks `texts`; `None` where none of them needs a mark.
    pub fn new(texts: &[&str], special: &SpecialTokens) -> Result<Option<Self>> {
        let places = |text: &&str| {
            let mut places = [special.inside(text), special.borders(text)].concat();
            places.sort_unstable();
            places.dedup();
            places
        };
        let places: Vec<_> = texts.iter().map(places).collect();
        if places.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let found = texts.iter().find_map(|text| special.first_in(text)).map(str::to_owned);
        let mark = unused(texts.iter().copied()).ok_or_else(|| no_mark_left(&texts.concat()))?;
        let texts = texts.iter().zip(&places).map(|(text, places)| insert(text, places, mark)).collect();
        Ok(Some(Self { texts, mark, found }))
    }

    /// What a template made of the marked texts, without their marks.
    pub fn take_out(&self, rendered: &str) -> MarkedText {
        let mut result = MarkedText::default();
        for part in rendered.split_inclusive(self.mark) {
            result.text.push_str(part.trim_end_matches(self.mark));
            if part.ends_with(self.mark) {
                result.marks.push(result.text.len());
            }
        }
        result
    }
}

fn insert(text: &str, places: &[usize], mark: char) -> String {
    let mut marked = String::with_capacity(text.len() + places.len() * mark.len_utf8());
    let mut from = 0;
    for place in places {
        marked.push_str(&text[from..*place]);
        marked.push(mark);
        from = *place;
    }
    marked + &text[from..]
}

fn no_mark_left(text: &str) -> Error {
    Error::Invalid(format!("a text of {} bytes has every character for private use, and the string of a special token", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special() -> SpecialTokens {
        SpecialTokens::new(["<|a|>", "<|ab|>", "</s>"].map(str::to_owned).to_vec()).expect("few strings")
    }

    #[test]
    fn occurrences_and_borders() {
        let special = special();
        assert_eq!(special.inside("x<|a|></s>"), [2, 7]);
        assert!(special.inside("1 < 2 | a > 0").is_empty());
        assert_eq!(special.first_in("12</s><|a|>"), Some("</s>"));
        for (text, borders) in [("a <", vec![3]), ("|> b <|a \n", vec![0, 8]), (" > b", vec![1]), ("<b>", vec![]), ("", vec![]), ("s>", vec![0])] {
            assert_eq!(special.borders(text), borders, "{text:?}");
        }
    }

    #[test]
    fn marks_come_out_where_they_went_in() {
        let special = special();
        let marked = MarkedTexts::new(&["say </s>", "\u{f0000}"], &special).expect("a mark").expect("needed");
        assert_eq!((marked.mark, marked.found.as_deref()), ('\u{f0001}', Some("</s>")));
        let taken = marked.take_out(&format!("</s>{}|{}", marked.texts[1], marked.texts[0]));
        assert_eq!(taken, MarkedText { text: "</s>\u{f0000}|say </s>".into(), marks: vec![14] });
        assert_eq!(taken.with_marks().expect("a mark"), Some(("</s>\u{f0000}|say <\u{f0001}/s>".into(), '\u{f0001}')));
        assert!(MarkedTexts::new(&["a", "b"], &special).expect("none needed").is_none());
        let prefix = MarkedText::trusted("</s>\u{f0000}|say ".into());
        assert_eq!(taken.strip_prefix(&prefix), Some(MarkedText { text: "</s>".into(), marks: vec![1] }));
        assert_eq!(taken.strip_prefix(&MarkedText::trusted("</s>\u{f0000}|say </s>".into())), None);
    }
}
