//! The arguments that say how completions are drawn, shared by `eval` and `generate`.

use expo_lm::generate::SamplingParams;

/// Longest completion in tokens, where nothing else is said.
pub const MAX_NEW_TOKENS: usize = 256;

/// How completions are drawn.
#[derive(Debug, Clone, clap::Args)]
pub struct SamplingArgs {
    /// Sampling temperature (0: greedy).
    #[arg(long, value_name = "T", default_value_t = 0.7, value_parser = temperature)]
    temperature: f32,
    #[command(flatten)]
    pub draws: DrawArgs,
}

/// How completions are drawn at any temperature.
#[derive(Debug, Clone, clap::Args)]
pub struct DrawArgs {
    /// Keep the k most likely tokens (0: all).
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Keep the most likely tokens that together reach this probability (1: all).
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = |s: &str| number(s, f32::MIN_POSITIVE, 1.0))]
    top_p: f32,
    /// Keep tokens at least this likely relative to the most likely one (0: all).
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = |s: &str| number(s, 0.0, 1.0))]
    min_p: f32,
    /// Longest completion in tokens [default: 256; of `eval --preset` the preset's].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_new_tokens: Option<usize>,
    /// Seed of the sampling.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArgs {
    /// The engine's parameters; a completion ends with any of `stop_token_ids`.
    pub fn params(&self, stop_token_ids: Vec<u32>) -> SamplingParams {
        self.draws.params(self.temperature, MAX_NEW_TOKENS, stop_token_ids)
    }
}

impl DrawArgs {
    /// The engine's parameters at `temperature`; a completion has at most `max_new_tokens` tokens, unless the arguments say otherwise, and ends with any of
    /// `stop_token_ids`.
    pub fn params(&self, temperature: f32, max_new_tokens: usize, stop_token_ids: Vec<u32>) -> SamplingParams {
        let max_new_tokens = self.max_new_tokens.unwrap_or(max_new_tokens);
        SamplingParams { temperature, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p, max_new_tokens, stop_token_ids }
    }
}

/// A temperature.
pub fn temperature(text: &str) -> Result<f32, String> {
    number(text, 0.0, f32::MAX)
}

/// A finite number from `min` to `max`.
fn number(text: &str, min: f32, max: f32) -> Result<f32, String> {
    let expected = || {
        if max == f32::MAX {
            format!("expected a number at least {min}")
        } else {
            format!("expected a number from {} to {max}", if min == f32::MIN_POSITIVE { "above 0".into() } else { min.to_string() })
        }
    };
    let value: f32 = text.parse().map_err(|_| expected())?;
    if value.is_finite() && (min..=max).contains(&value) { Ok(value) } else { Err(expected()) }
}

/// A whole number of at least 1.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number at least 1".to_owned())
}
