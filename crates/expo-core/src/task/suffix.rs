//! Delimiter and answer as tokens, and where the answer stands among them.

use super::Task;
use crate::data::Problem;
use crate::error::Result;
use expo_lm::tokenizer::tokens_before;

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
    let (_, ends) = task.decode_with_ends(&tokens)?;
    let first = tokens_before(&ends, start);
    let mut last = tokens_before(&ends, end);
    if last < tokens.len() && ends[..last].last().is_none_or(|text| *text < end) {
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
}
