//! Completions as files show them.

use super::Task;
use crate::error::Result;

/// Text of a completion's `tokens`, the end of turn left out, with its special tokens visible; `text` is the same without them.
pub fn visible(task: &dyn Task, tokens: &[u32], text: &str) -> Result<String> {
    let body = match tokens.split_last() {
        Some((last, before)) if task.stop_token_ids().contains(last) => before,
        _ => tokens,
    };
    if body.iter().any(|token| task.is_special(*token)) { task.decode_with_special_tokens(body) } else { Ok(text.to_owned()) }
}
