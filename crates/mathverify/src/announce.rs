//! Announcements of an answer in prose, by their grammar: a noun ("answer", or "result" and the like with "final" or "correct"), perhaps what it is
//! the answer to, and a copula or a sign before the value; the value and then "is the answer"; a heading whose next line is the answer.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::{plain, prose};

/// How far from its end, in bytes, a text is searched for announcements.
const MAX_TEXT: usize = 100_000;
/// Longest text, in bytes, between two announcements that is searched for a value before "is the answer".
const MAX_SUBJECT: usize = 200;

/// Bytes before a noun, and behind it, that may belong to its announcement.
const MAX_BEFORE: usize = 90;
const MAX_BEHIND: usize = 200;
/// Most lines, empty ones counted, between a heading and its answer.
const MAX_LINES: usize = 6;
/// Most announcements, from the end, that are read.
const MAX_READ: usize = 40;

/// An announced answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// `None`: the announcement denies its value, or asks for it.
    pub(crate) value: Option<String>,
    /// From the announcement to the end of the value.
    pub(crate) range: Range<usize>,
}

/// Adjectives of an answer that is meant.
const FINALITY: &str =
    r"final|correct|right|best|required|desired|requested|numerical|numeric|simplified|exact|overall|only|complete|full|actual|true";

/// Those that make an announcement of "result", "value" or "option".
const CHOSEN: &str = "final|correct|right|best";

/// A noun that announces, the phrase about what it is an answer to, and what links it to its value.
static FORWARD: LazyLock<Regex> = LazyLock::new(|| {
    let adjectives = format!(r"(?:(?:{FINALITY})[\s*_]+)");
    let strong = r"answers?|respuesta|réponse|reponse|antwort|risposta|resposta|ответ|答案|答え|答";
    let weak = r"results?|solutions?|values?|options?|choices?|totals?|outputs?|conclusions?|responses?|numbers?|expressions?|statements?";
    let about = r"(?:,?\s+(?:to|for|of|in|on|from|at|we|you|i|that|here|which|then|therefore|thus|now)\b[^.:=?!\n$\\]{0,60}?)?,?";
    let modal = r"(?:should|would|will|must|can\s+only|has\s+to|have\s+to|ought\s+to)\s+(?:then\s+|therefore\s+|thus\s+|now\s+)?be";
    let verb = r"(?:comes?|turns?|works?)\s+(?:out\s+)?(?:to\s+be|to|as)|(?:evaluates?|simplifies|reduces|amounts?|boils\s+down)\s+to";
    let copula = format!(r"(?:['’]s|\s+(?:is|was|are|equals|becomes|es|est|ist|é|è|{modal}|{verb}))\b|\s*(?:是|为|は)");
    let adverb = r"(?:\s+(?:therefore|thus|hence|then|so|simply|just|indeed|actually|now|also|still|clearly|given\s+by|equal\s+to|found\s+to\s+be|as\s+follows))*";
    let sign = r"\s*[*_`}]*\s*(?:[:=：≈]|→|->|⟹|\\approx|\s[-–—]\s)";
    Regex::new(&format!(
        r"(?i)(?P<lead>(?:^|[^\p{{L}}\\]))(?P<adjectives>{adjectives}*)(?:(?P<noun>(?:{strong}))|(?P<short>ans)|(?P<weak>{weak}))(?:[*_`}}]|\(s\))*(?:(?P<dot>\.)|{about}(?:{copula})(?:{adverb})\s*[*_`]*\s*:?|{sign})"
    ))
    .expect("a valid pattern")
});

/// "is the answer", behind its value.
static BACKWARD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(
        r"(?i)\s*[*_]*\s*,?\s*(?:is|are|was|must\s+be|should\s+be|would\s+be|will\s+be|gives(?:\s+us)?|has\s+to\s+be)\s+(?:therefore\s+|thus\s+|then\s+|indeed\s+)?(?:the|our|my|your)\s+(?:(?:(?:{FINALITY})\s+)*answer|(?:{CHOSEN})\s+(?:solution|result|option|choice|value))\b"
    ))
    .expect("a valid pattern")
});

/// A line that is a heading over the answer.
static HEADING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(
        r"(?im)^[^\p{{L}}\n$\\(\[]*(?:\\(?:text|textbf|section\*?|subsection\*?|paragraph)\{{)?[*_\s]*(?:the\s+)?(?:(?:(?:{FINALITY})\s+)*answers?|(?:{FINALITY})\s+(?:result|solution|value|response))[*_}}\s:.]*$"
    ))
    .expect("a valid pattern")
});

/// Whether no answer is announced by the noun here: it is a verb ("to answer", "can answer"), something is done with the answer ("we check our
/// answer: ..."), or it is pointed at ("this answer is ...").
fn is_verb(before: &str) -> bool {
    let words: Vec<String> =
        tail(before, 40).split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    let last = words.last().map_or("", String::as_str);
    let done = |w: &String| matches!(w.as_str(), "check" | "checking" | "verify" | "verifying" | "confirm" | "test" | "validate");
    if matches!(last, "this" | "that" | "such" | "whose") || (words.len() > 1 && words[words.len().saturating_sub(3)..].iter().any(done)) {
        return true;
    }
    let word = tail(before, MAX_SUBJECT).trim_end().rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or("").to_lowercase();
    before.ends_with(char::is_whitespace)
        && matches!(word.as_str(), "to" | "can" | "could" | "cannot" | "ll" | "must" | "will" | "we" | "i" | "let" | "us" | "please")
}

/// Whether what is said of the answer is only guessed.
fn is_guess(before: &str) -> bool {
    let sentence = tail(before, MAX_SUBJECT).rsplit(['.', '!', '?', '\n']).next().unwrap_or("").to_lowercase();
    let words: Vec<&str> = sentence.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).collect();
    words.iter().rev().take(4).any(|w| {
        matches!(*w, "maybe" | "perhaps" | "possibly" | "if" | "suppose" | "assume" | "assuming" | "whether" | "unless" | "know" | "knows")
    })
}

/// The nouns, wherever they stand: everything else is looked for around them.
static NOUN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)answer|\bans\b|result|solution|option|choice|value|total|output|conclusion|response|number|expression|statement|respuesta|réponse|reponse|antwort|risposta|resposta|ответ|答")
        .expect("a valid pattern")
});

/// The announcements in `text`, in order of their ends.
pub(crate) fn announcements(text: &str) -> Vec<Announced> {
    let skipped = text.len() - tail(text, MAX_TEXT).len();
    let mut nouns: Vec<Range<usize>> = NOUN.find_iter(&text[skipped..]).map(|noun| noun.start() + skipped..noun.end() + skipped).collect();
    let mut found: Vec<Announced> = Vec::new();
    for noun in nouns.split_off(nouns.len().saturating_sub(MAX_READ)) {
        // From a word's beginning, so that the window's is one, too.
        let mut from = noun.start.saturating_sub(MAX_BEFORE);
        while !text.is_char_boundary(from) || (from > 0 && text[..from].ends_with(char::is_alphanumeric)) {
            from += 1;
        }
        let mut to = (noun.end + MAX_BEHIND).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        let at = |window: Range<usize>| window.start + from..window.end + from;
        if let Some(opening) = opening(text, &text[from..to], &|range| at(range), &noun) {
            let line = plain::head(&text[opening.end..], 2 * MAX_SUBJECT).split('\n').next().unwrap_or("");
            let heading = line.trim_matches(['*', '_', ' ', '#', '`', '}', '\r']).is_empty();
            let read = if heading { below(text, opening.end) } else { prose::value(text, opening.end) };
            let (value, end) = read.unwrap_or((None, opening.end));
            if !asks(text, end) {
                found.push(Announced { value, range: opening.start..end });
            }
            continue;
        }
        let line = text[from..noun.start].rfind('\n').map_or(from, |n| from + n + 1)..to;
        if (line.start == 0 || text[..line.start].ends_with('\n'))
            && let Some(whole) =
                HEADING.find(&text[line.clone()]).filter(|whole| line.start + whole.end() >= noun.end && whole.start() == 0)
        {
            let start = line.start + whole.as_str().len() - whole.as_str().trim_start().len();
            let (value, end) = below(text, line.start + whole.end()).unwrap_or((None, line.start + whole.end()));
            found.push(Announced { value, range: start..end });
            continue;
        }
        if let Some(whole) = BACKWARD.find_iter(&text[from..to]).map(|whole| at(whole.range())).find(|whole| whole.end == noun.end) {
            let mut from = whole.start.saturating_sub(MAX_SUBJECT);
            while !text.is_char_boundary(from) {
                from += 1;
            }
            if !text[whole.end..].trim_start().starts_with('?')
                && let Some(subject) = prose::subject(text, from..whole.start)
            {
                found.push(Announced { value: Some(text[subject.clone()].to_owned()), range: subject.start..whole.end });
            }
        }
    }
    found.sort_by_key(|announced| announced.range.end);
    found
}

/// Whether the sentence that ends at `end` is a question.
fn asks(text: &str, end: usize) -> bool {
    text[end..].trim_start_matches([' ', '*', '_', '$', ')', '"']).starts_with('?')
}

/// The words around `noun` that announce what follows them, if they do.
fn opening(text: &str, window: &str, at: &dyn Fn(Range<usize>) -> Range<usize>, noun: &Range<usize>) -> Option<Range<usize>> {
    let groups = FORWARD.captures_iter(window).find(|groups| {
        let named = groups.name("noun").or(groups.name("short")).or(groups.name("weak"));
        named.is_some_and(|named| at(named.range()).start == noun.start)
    })?;
    let whole = at(groups.get(0)?.range());
    let start = at(groups.name("lead")?.range()).end;
    // "ans." is an abbreviation; a full stop behind "answer" ends a sentence.
    let ends = groups.name("dot").is_some() && groups.name("short").is_none();
    // "The result is 5" may be that of a step, and "the only solution" says how many there are.
    let chosen =
        |all: &str| all.split(|c: char| !c.is_alphabetic()).any(|word| CHOSEN.split('|').any(|chosen| word.eq_ignore_ascii_case(chosen)));
    let step = groups.name("weak").is_some() && !groups.name("adjectives").is_some_and(|all| chosen(all.as_str()));
    let announces = !ends && !step && !is_verb(&text[..start]) && !is_guess(&text[..start]);
    announces.then(|| with_article(text, start)..whole.end)
}

/// The end of `text`, at most so many bytes.
fn tail(text: &str, length: usize) -> &str {
    let mut start = text.len().saturating_sub(length);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// `start`, or the beginning of "the" before it.
fn with_article(text: &str, start: usize) -> usize {
    let before = text[..start].trim_end_matches([' ', '\n']);
    match before.char_indices().rev().nth(2) {
        Some((at, _))
            if before[at..].eq_ignore_ascii_case("the")
                && !before[..at].ends_with(|c: char| c.is_alphanumeric())
                && before.len() < start =>
        {
            at
        }
        _ => start,
    }
}

/// The answer below a heading that ends at `from`.
fn below(text: &str, from: usize) -> Option<(Option<String>, usize)> {
    let mut at = from;
    for line in text[from..].split_inclusive('\n').take(MAX_LINES) {
        let bare = line.trim().trim_matches(['*', '_', '#', '`', '-', '=', ' ', '>']);
        if !bare.is_empty() {
            let start = at + line.find(bare).unwrap_or(0);
            // A calculation in words, perhaps of several lines: where it ends.
            if bare.starts_with(|c: char| c.is_alphabetic()) && bare.contains('=') && !bare.contains(['$', '\\']) {
                let paragraph = text[start..].find("\n\n").map_or(text.len(), |n| start + n);
                if let Some(last) = plain::last_expression(&text[start..paragraph]) {
                    return Some((Some(text[start..][last.clone()].to_owned()), start + last.end));
                }
            }
            return prose::value(text, start);
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str) -> Option<String> {
        announcements(text).pop().and_then(|a| a.value)
    }

    #[test]
    fn announcements_by_grammar() {
        for (text, expected) in [
            ("The answer is 17.", Some("17")),
            ("Thus the final answer is $17$.", Some("17")),
            ("### Final Answer\n\n**$18**", Some("$18")),
            ("## Answer\n17", Some("17")),
            ("**Final Answer**\n\\[ 17 \\]", Some("17")),
            ("✅ Final Answer: **73**", Some("73")),
            ("__Answer: 12__", Some("12")),
            ("*Final answer:* *15*", Some("15")),
            ("Final Answer: 17 km", Some("17 km")),
            ("**Answer:** 17", Some("17")),
            ("**Answer**: 17", Some("17")),
            (r"\textbf{Answer:} 17", Some("17")),
            ("Ans. 17", Some("17")),
            ("Ans: 17", Some("17")),
            ("Ans = 17", Some("17")),
            ("answer = 17", Some("17")),
            ("ANSWER: 17", Some("17")),
            ("Answer:17", Some("17")),
            ("Answer - 17", Some("17")),
            ("Answer → 17", Some("17")),
            ("The answer's 17.", Some("17")),
            ("The correct answer would be 17.", Some("17")),
            ("The answer should be 17", Some("17")),
            ("The answer must therefore be 17.", Some("17")),
            ("My answer is therefore 17.", Some("17")),
            ("The answer to part (b) is 17.", Some("17")),
            ("The answer to this question is 17.", Some("17")),
            ("The answer we get is 17.", Some("17")),
            ("The answer comes out to be 17.", Some("17")),
            ("The answer turns out to be 17.", Some("17")),
            ("Thus, 17 is the answer.", Some("17")),
            ("$17$ is the answer, since $30 - 13 = 17$.", Some("$17$")),
            ("So 17 apples is our final answer.", Some("17 apples")),
            ("The correct option is **C**.", Some("C")),
            ("The final result is 17.", Some("17")),
            ("The final answer is:\n\n$$17$$", Some("17")),
            ("The answer is: **$17$**.", Some("17")),
            ("La respuesta es 42.", Some("42")),
            ("Ответ: 42", Some("42")),
            ("答案是 42", Some("42")),
            ("The answer is $x$ = 5.", Some("x = 5")),
            ("The answer is 5! = 120.", Some("5! = 120")),
            ("The answer is: 10!", Some("10")),
            ("The answer is 0.333...", Some("0.333...")),
            ("The answer is 16/2 = 8 apples for each of the people.", Some("16/2 = 8 apples for each of the people")),
            // What announces nothing.
            ("The answer is not 10.", None),
            ("so maybe the answer is 1? Hmm", None),
            ("Is the answer 5?", None),
            ("To answer this, 5 is needed", None),
            ("I don't know the answer; maybe there are 10", None),
            ("17 is not the answer.", None),
            ("What is the answer?", None),
            ("The answers are below.", Some("below")),
            ("No more 5.", None),
        ] {
            assert_eq!(last(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_range_begins_at_the_announcement() {
        let text = "Adding up. So the final answer is 17.";
        let found = announcements(text).pop().unwrap();
        assert_eq!(&text[found.range], "the final answer is 17");
    }
}
