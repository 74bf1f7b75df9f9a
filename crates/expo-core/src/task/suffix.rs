//! Where an answer stands among tokens: behind a chain of thought, in a completion.

use super::Task;
use crate::data::Problem;
use crate::error::Result;

/// The number of leading `tokens` whose text ends at or before byte `end` of the whole text (a token across `end` is not among them).
pub fn tokens_before(task: &dyn Task, tokens: &[u32], end: usize) -> Result<usize> {
    prefix_before(tokens.len(), end, |count| Ok(task.decode(&tokens[..count])?.len()))
}

/// The largest count of at most `tokens` whose text, `length(count)` bytes, ends at or before `end`.
fn prefix_before(tokens: usize, end: usize, length: impl Fn(usize) -> Result<usize>) -> Result<usize> {
    // The text of a prefix grows with its length, so the boundary can be found by halving...
    let (mut inside, mut outside) = (0, tokens + 1);
    while outside - inside > 1 {
        let middle = (inside + outside) / 2;
        if length(middle)? <= end { inside = middle } else { outside = middle }
    }
    // ...but for a prefix that ends inside a character: its replacement characters can be longer than the character.
    const MOST_TOKENS_OF_A_CHARACTER: usize = 16;
    for longer in inside + 1..=(inside + MOST_TOKENS_OF_A_CHARACTER).min(tokens) {
        if length(longer)? <= end {
            inside = longer;
        }
    }
    Ok(inside)
}

/// Delimiter and answer as tokens, to be appended to a chain of thought.
#[derive(Debug, Clone, PartialEq)]
pub struct Suffix {
    /// Tokens of the rendered `answer_suffix`.
    pub tokens: Vec<u32>,
    /// Those of them that hold the answer itself.
    pub answer: std::ops::Range<usize>,
}

/// Encodes `problem`'s answer suffix. Tokens that the answer shares with the delimiter count as the answer's.
pub fn suffix(task: &dyn Task, problem: &Problem) -> Result<Suffix> {
    let text = task.answer_suffix(problem)?;
    let tokens = task.encode(&text)?;
    let start = text.rfind(problem.answer.trim()).unwrap_or(0);
    let end = start + problem.answer.trim().len();
    let first = tokens_before(task, &tokens, start)?;
    let mut last = tokens_before(task, &tokens, end)?;
    if last < tokens.len() && task.decode(&tokens[..last])?.len() < end {
        last += 1;
    }
    Ok(Suffix { answer: first..last.max(first + 1).min(tokens.len()), tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run::{CharTask, problems};

    #[test]
    fn the_answer_s_tokens_are_found_in_its_suffix() {
        let mut problem = problems(1).remove(0);
        problem.answer = "12".into();
        let suffix = suffix(&CharTask::new(), &problem).unwrap();
        assert_eq!(suffix.tokens.len(), 3);
        assert_eq!(suffix.answer, 1..3);
    }

    #[test]
    fn tokens_before_a_byte() {
        let task = CharTask::new();
        let tokens = task.encode("1+2#3").unwrap();
        assert_eq!([0, 1, 3, 5].map(|end| tokens_before(&task, &tokens, end).unwrap()), [0, 1, 3, 5]);
    }

    #[test]
    fn a_character_of_several_tokens_before_the_cut_stays_whole() {
        for thought in ["é", "😀", "ab😀", "xé", "👨‍👩‍👧"] {
            // One token a byte.
            let bytes = format!("{thought}#7").into_bytes();
            let length = |count: usize| Ok(String::from_utf8_lossy(&bytes[..count]).len());
            assert_eq!(prefix_before(bytes.len(), thought.len(), length).unwrap(), thought.len(), "{thought}");
        }
    }
}
