//! The packed batch: sequences laid end to end without padding, and the positions that are scored.

/// Sequences laid end to end (no padding anywhere), with the tokens whose log-probability is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PackedBatch {
    /// Token ids of all sequences, one after the other.
    pub tokens: Vec<u32>,
    /// `offsets[i]..offsets[i + 1]` is sequence `i`; starts with 0 and ends with `tokens.len()`.
    pub offsets: Vec<usize>,
    /// What is scored, in ascending order of `row`.
    pub targets: Vec<Target>,
}

/// One scored token: the distribution predicted at `row` is asked for the log-probability of `token`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Index into [`PackedBatch::tokens`] of the position that predicts (the one before the target token).
    pub row: usize,
    /// The token whose log-probability is wanted.
    pub token: u32,
    /// The logits are divided by this before the softmax (1 for cross-entropy).
    pub temperature: f32,
}

/// What the model says of one [`Target`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenScore {
    /// Natural log-probability of the target token, logits divided by the target's temperature.
    pub log_prob: f64,
    /// Entropy of that distribution in nats.
    pub entropy: f64,
}

impl PackedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { tokens: Vec::new(), offsets: vec![0], targets: Vec::new() }
    }

    /// Appends `prompt` + `completion` as one sequence whose completion tokens are all scored at `temperature`.
    /// Returns the range of its targets in [`PackedBatch::targets`]. The first token of a sequence can't be scored, so an
    /// empty prompt loses the first completion token's target.
    pub fn push(&mut self, prompt: &[u32], completion: &[u32], temperature: f32) -> std::ops::Range<usize> {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let start = self.tokens.len();
        let first_target = self.targets.len();
        self.tokens.extend_from_slice(prompt);
        self.tokens.extend_from_slice(completion);
        self.offsets.push(self.tokens.len());
        for (i, &token) in completion.iter().enumerate() {
            if let Some(row) = (start + prompt.len() + i).checked_sub(1).filter(|row| *row >= start) {
                self.targets.push(Target { row, token, temperature });
            }
        }
        first_target..self.targets.len()
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }
}
