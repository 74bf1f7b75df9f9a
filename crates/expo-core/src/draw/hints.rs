//! What an explanation owes to the answer that was shown: by its tokens' log-probabilities, and by where the answer first stands.

use std::collections::HashMap;

use crate::config::ExpSection;
use crate::error::Result;
use crate::objective::{Group, HintInformation, Origin, Sequence};
use crate::policy::Lm;
use crate::policy::pass::Measured;

/// Whether the sampler's log-probabilities of explanations are those at temperature 1: nothing is left out of the distribution, and a greedy choice has them, too.
pub(crate) fn sampler_has_unit_temperature(options: &ExpSection) -> bool {
    let whole = options.top_k == 0 && options.top_p >= 1.0 && options.min_p == 0.0;
    options.temperature == 0.0 || options.temperature == 1.0 && whole
}

/// Log-probabilities at temperature 1 of each completion behind its prompt under `lm`.
pub(crate) fn log_probs(lm: &dyn Lm, cases: &[(&[u32], &[u32])]) -> Result<Vec<Vec<f64>>> {
    let sequences: Vec<Sequence> = cases.iter().map(|(prompt, completion)| Sequence::measured(prompt, completion, 1.0)).collect();
    Ok(lm.score(&sequences)?.into_iter().map(|measured| measured.log_probs).collect())
}

/// Of the kept explanations of `groups` those that are completions of `sequences`, which have been `measured`: group, place among those kept, and what they owe to
/// the hint.
pub(crate) fn of_trained(groups: &[Group], sequences: &[Sequence], measured: &[Measured]) -> Vec<(usize, usize, HintInformation)> {
    let is_known = |group: &Group| group.kept_explanations().iter().any(|explanation| explanation.hint_log_probs.is_some());
    if !groups.iter().any(is_known) {
        return Vec::new();
    }
    // Whatever the recipe makes of them: equal sequences have equal log-probabilities.
    let hidden: HashMap<(&[u32], &[u32]), &Measured> = sequences
        .iter()
        .zip(measured)
        .filter(|(sequence, _)| !matches!(sequence.origin, Origin::Rollout { .. } | Origin::HintedExplanation { .. }))
        .map(|(sequence, measured)| ((sequence.prompt, sequence.completion), measured))
        .collect();
    let mut found = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        for (index, explanation) in group.kept_explanations().iter().enumerate() {
            let measured = hidden.get(&(&group.prompt[..], &explanation.tokens[..]));
            let shown = explanation.hint_log_probs.as_ref();
            let hint = shown.zip(measured).and_then(|(shown, measured)| HintInformation::of(shown, measured.unit_log_probs()));
            found.extend(hint.map(|hint| (g, index, hint)));
        }
    }
    found
}

/// Where the known answer first stands in `text`, as a share of its characters: `answer` as it is written in the data, or the final answer as `text` writes it where
/// that is right (`extracted`). A number is compared with whole numbers of the text (thousands with or without commas), anything else with whole words. `None`: nowhere.
pub(crate) fn answer_position(text: &str, answer: &str, extracted: Option<&str>) -> Option<f64> {
    let places = [Some(answer), extracted].into_iter().flatten().filter_map(|written| first_place(text, written.trim()));
    let place = places.min()?;
    Some(text[..place].chars().count() as f64 / text.chars().count() as f64)
}

/// The byte at which `answer` first stands in `text`.
fn first_place(text: &str, answer: &str) -> Option<usize> {
    let unsigned = answer.strip_prefix(['-', '\u{2212}']);
    let digits = unsigned.unwrap_or(answer);
    if number_at(digits, 0) == Some(digits.len()) {
        let value = digits.replace(',', "");
        let mut place = 0;
        while let Some(start) = text[place..].find(|c: char| c.is_ascii_digit()).map(|found| place + found) {
            let end = number_at(text, start).unwrap_or(start + 1);
            let sign = text[..start].chars().next_back().filter(|c| matches!(c, '-' | '\u{2212}'));
            if text[start..end].replace(',', "") == value && (unsigned.is_none() || sign.is_some()) {
                return Some(start - sign.filter(|_| unsigned.is_some()).map_or(0, char::len_utf8));
            }
            place = end;
        }
        return None;
    }
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (first, last) = (answer.chars().next(), answer.chars().next_back());
    text.match_indices(answer).map(|(start, _)| start).find(|start| {
        let (before, after) = (text[..*start].chars().next_back(), text[start + answer.len()..].chars().next());
        let is_part_of_a_word = is_word(first) && is_word(before) || is_word(last) && is_word(after);
        !answer.is_empty() && !is_part_of_a_word
    })
}

/// Where the number that begins at byte `start` of `text` ends: digits, groups of three behind commas, decimals. `None`: no digit is there.
fn number_at(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = start + Some(digits(start)).filter(|count| *count > 0)?;
    while bytes.get(end) == Some(&b',') && digits(end + 1) == 3 {
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') {
        let decimals = digits(end + 1);
        end += if decimals > 0 { 1 + decimals } else { 0 };
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_s_first_place() {
        let place = |text: &str, answer: &str| first_place(text, answer);
        // Not within a longer number, of either side.
        assert_eq!(place("14 and 4.5 and 0.4 and 1,400 is 4.", "4"), Some(32));
        assert_eq!(place("1072 or 1,072", "1,072"), Some(0));
        assert_eq!(place("it costs 1,072 dollars", "1072"), Some(9));
        assert_eq!(place("3 - 3 = 0, -3", "-3"), Some(11));
        assert_eq!(place("so 3.50 it is", "3.5"), None);
        assert_eq!(place("a set {1, 2}", "2"), Some(10));
        // Words, formulas, the end of a sentence.
        assert_eq!(place("thorough, then rough", "rough"), Some(15));
        assert_eq!(place("x = \\frac{1}{2}.", "\\frac{1}{2}"), Some(4));
        assert_eq!(place("Bob: B", "B"), Some(5));
        assert_eq!(place("größer als ß", "ß"), Some("größer als ".len()));
        assert_eq!((place("", "4"), place("4", ""), place("4", "-4"), place("9,", "9")), (None, None, None, Some(0)));
    }

    #[test]
    fn the_answer_s_position_is_a_share_of_the_text() {
        assert_eq!(answer_position("éé4é", "4", None), Some(0.5));
        assert_eq!(answer_position("1/2, which is 0.5", "\\frac{1}{2}", Some("0.5")), Some(14.0 / 17.0));
        assert_eq!(answer_position("0.5 or 1/2", "1/2", Some("0.5")), Some(0.0));
        assert_eq!((answer_position("five", "5", None), answer_position("", "5", None)), (None, None));
    }

    #[test]
    fn log_probs_of_the_sampler_are_those_of_temperature_one_only_where_it_draws_so() {
        let of = |change: fn(&mut ExpSection)| {
            let mut options = ExpSection::default();
            change(&mut options);
            sampler_has_unit_temperature(&options)
        };
        assert!(of(|_| ()) && of(|o| o.temperature = 0.0) && of(|o| (o.temperature, o.top_p) = (0.0, 0.5)));
        let others: [fn(&mut ExpSection); 4] = [|o| o.temperature = 0.7, |o| o.top_k = 5, |o| o.top_p = 0.9, |o| o.min_p = 0.1];
        assert!(others.into_iter().all(|change| !of(change)));
    }
}
