//! Text in which what looks like a special token is text: messages may hold anything, but only the chat template writes special tokens.
//!
//! Inside every occurrence of a special token's string a mark is put, a character that no text has. Marks go through the chat template with the messages,
//! and the tokenizer finds no special token where there is one; between its stages, before any text is split or encoded, marks are taken out. So text
//! without such strings is not touched, and all text around them is encoded as it always is.

use std::collections::HashSet;
use std::ops::Range;

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

    /// Every string.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        self.strings.iter().map(String::as_str)
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

    /// Whether there is a place across which there are no special tokens.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// What follows `prefix`, if this begins with it.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let text = self.text.strip_prefix(&prefix.text)?.to_owned();
        let before = self.marks.partition_point(|mark| *mark < prefix.text.len());
        let marks = self.marks[before..].iter().map(|mark| mark - prefix.text.len()).collect();
        prefix.marks.iter().filter(|mark| **mark < prefix.text.len()).eq(&self.marks[..before]).then_some(Self { text, marks })
    }

    /// The first special token of `strings` at byte `from` or later, with no mark inside: where it begins and ends. Of several that begin at one place the longest.
    pub fn find_token<'a>(&self, strings: impl Iterator<Item = &'a str>, from: usize) -> Option<Range<usize>> {
        let of = |string: &str| {
            let is_token = |range: &Range<usize>| !self.marks.iter().any(|mark| range.start < *mark && *mark < range.end);
            let places = self.text[from..].match_indices(string).map(|(start, _)| from + start..from + start + string.len());
            places.into_iter().find(is_token)
        };
        strings.filter(|string| !string.is_empty()).filter_map(of).min_by_key(|range| (range.start, std::cmp::Reverse(range.end)))
    }

    /// The part of the text in `range`, whose ends are ends of characters.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let marks = self.marks.iter().filter(|mark| range.contains(mark)).map(|mark| mark - range.start).collect();
        Self { text: self.text[range].to_owned(), marks }
    }

    /// This text and `other` behind it.
    pub fn then(mut self, other: &Self) -> Self {
        self.marks.extend(other.marks.iter().map(|mark| mark + self.text.len()));
        self.text.push_str(&other.text);
        self
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

    /// The same with ranges of `rendered`, which become those of the text without marks.
    pub fn take_out_of(&self, rendered: &str, ranges: Option<Vec<Range<usize>>>) -> (MarkedText, Option<Vec<Range<usize>>>) {
        let moved = |place: usize| place - rendered[..place].matches(self.mark).count() * self.mark.len_utf8();
        let ranges = ranges.map(|ranges| ranges.into_iter().map(|range| moved(range.start)..moved(range.end)).collect());
        (self.take_out(rendered), ranges)
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
    use std::path::Path;

    use super::*;
    use crate::chat::{ChatSettings, ChatTemplate, Conversation, Message};
    use crate::tokenizer::Tokenizer;
    use crate::tokenizer::tests::byte_level;

    fn special() -> SpecialTokens {
        SpecialTokens::new(["<|a|>", "<|ab|>", "</s>"].map(str::to_owned).to_vec()).expect("few strings")
    }

    #[test]
    fn occurrences_and_borders() {
        let special = special();
        assert_eq!(special.inside("x<|a|></s>"), [2, 7]);
        assert!(special.inside("1 < 2 | a > 0").is_empty());
        assert_eq!(special.first_in("12</s><|a|>"), Some("</s>"));
        for (text, borders) in
            [("a <", vec![3]), ("|> b <|a \n", vec![0, 8]), (" > b", vec![1]), ("<b>", vec![]), ("", vec![]), ("s>", vec![0])]
        {
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

    /// Token ids of one user's turn in `template`; `<|end|>` has id 257, every other character its bytes.
    fn ids(template: &str, content: &str) -> Result<Vec<u32>> {
        let tokenizer = byte_level("[]");
        let chat = ChatTemplate::new(template, Path::new("chat_template.jinja"), Default::default())?;
        let conversation = Conversation::from(vec![Message::new("user", content)]);
        tokenizer.encode_marked(&chat.render_marked(&conversation, true, &ChatSettings::now(), tokenizer.special_tokens())?.text)
    }
    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }
    const PLAIN: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}";

    #[test]
    fn special_tokens_are_the_template_s_alone() {
        for content in ["<|end|>", "1 <|end|><|end|> 2", "<|end|", "|end|>", "\u{f0000}<|end|>\u{202e}\0", "", "<|<|end|>end|>"] {
            assert_eq!(ids(PLAIN, content).expect("ids"), [bytes(&format!("user:{content}")), vec![257]].concat(), "{content:?}");
            assert_eq!(byte_level("[]").encode_plain(content).expect("ids"), bytes(content));
        }
        // What two messages, or a message and the template, have of a token each.
        let joined = "{% for m in messages %}{{ m.content | trim }}|end|>{% endfor %}";
        assert_eq!(ids(joined, " <\n").expect("ids"), bytes("<|end|>"));
    }

    #[test]
    fn templates_that_alter_messages() {
        let cases = [
            ("{{ messages[0].content | trim }}<|end|>", "  <|end|>\n", Some("<|end|>")),
            ("{{ messages[0].content.split('</think>')[-1].strip('\\n') }}<|end|>", "a</think>\nb<|end|>", Some("b<|end|>")),
            ("{{ messages[0].content | upper }}<|end|>", "a<|end|>", Some("A<|END|>")),
            ("{{ messages[0].content | replace('a', '') }}<|end|>", "a<|end|>a", Some("<|end|>")),
            ("{% if '</think>' in messages[0].content %}x{% endif %}<|end|>", "<|end|>", Some("")),
            ("{{ messages[0].content[:9] }}<|end|>", "a <|end|> b", None),
            ("{{ messages[0].content | length }}<|end|>", "<|end|>", None),
            ("{{ messages[0].content | replace('<|end|>', '') }}<|end|>", "a<|end|>", None),
            ("{{ messages[0].content | tojson }}<|end|>", "\"<|end|>\"", Some("\"\\\"<|end|>\\\"\"")),
        ];
        for (template, content, expected) in cases {
            match (ids(template, content), expected) {
                (Ok(ids), Some(text)) => assert_eq!(ids, [bytes(text), vec![257]].concat(), "{template}"),
                (Err(error), None) => assert_eq!(
                    error.to_string(),
                    "chat_template.jinja: the chat template alters messages, and one of them has the text of the special token `<|end|>`: it can't be \
                     kept text; remove it from the message"
                ),
                (found, _) => panic!("{template}: {found:?}"),
            }
            // What has no special token is as ever.
            let ordinary = content.replace("<|end|>", "<end>");
            assert_eq!(ids(template, &ordinary).expect("ids").last(), Some(&257), "{template}");
        }
        // A message's border alone is no reason to refuse it.
        assert_eq!(ids("{{ messages[0].content | length }}", "a <").expect("ids"), bytes("3"));
        assert_eq!(ids("{% if messages[0].role == 'user' %}u{% endif %}", "a <").expect("ids"), bytes("u"));
    }

    #[test]
    fn a_role_is_text_too() {
        let tokenizer = byte_level("[]");
        let chat = ChatTemplate::new(PLAIN, Path::new("chat_template.jinja"), Default::default()).expect("compiles");
        let conversation = Conversation::from(vec![Message::new("<|end|>", "1")]);
        let rendered = chat.render_marked(&conversation, true, &ChatSettings::now(), tokenizer.special_tokens()).expect("renders");
        assert_eq!(tokenizer.encode_marked(&rendered.text).expect("ids"), [bytes("<|end|>:1"), vec![257]].concat());
    }

    #[test]
    fn text_that_the_vocabulary_has_only_as_special_token_is_refused() {
        // Whole words, among them a special token's.
        let json = r#"{"version": "1.0", "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"a": 0, "<s>": 1, "?": 2}, "unk_token": "?"}}"#;
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), Path::new("tokenizer.json")).expect("tokenizer");
        assert_eq!(tokenizer.encode("a <s> b", false).expect("ids"), [0, 1, 2]);
        assert_eq!(tokenizer.encode_plain("a b<s>").expect("ids"), [0, 2]);
        let error = tokenizer.encode_plain("a <s>").expect_err("the word's id is the token's").to_string();
        let expected =
            "tokenizer.json: can't encode the text `<s>` as text: the vocabulary has it only as a special token; remove it from the text";
        assert_eq!(error, expected);
    }
}
