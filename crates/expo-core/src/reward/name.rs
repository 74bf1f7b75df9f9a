//! Names of rewards.

use std::fmt;

/// The name of a reward: its column in `rewards`, its metric `reward/NAME`, and of one of ours the option with its weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RewardName {
    /// Whether the answer is right.
    Correctness,
    /// Whether the answer is announced as it should be.
    Format,
    /// Kimi k1.5's length reward.
    Length,
    /// The cosine length reward.
    Cosine,
    /// DAPO's punishment of long completions.
    SoftOverlongPunishment,
    /// How likely the policy finds the known answer behind a completion's reasoning.
    AnswerLikelihood,
    /// An external one, by the name that the configuration gives it.
    External(String),
}

impl RewardName {
    /// All but the external ones.
    pub const OWN: [RewardName; 6] = [
        RewardName::Correctness,
        RewardName::Format,
        RewardName::Length,
        RewardName::Cosine,
        RewardName::SoftOverlongPunishment,
        RewardName::AnswerLikelihood,
    ];

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match self {
            RewardName::Correctness => "correctness",
            RewardName::Format => "format",
            RewardName::Length => "length",
            RewardName::Cosine => "cosine",
            RewardName::SoftOverlongPunishment => "soft_overlong_punishment",
            RewardName::AnswerLikelihood => "answer_likelihood",
            RewardName::External(name) => name,
        }
    }
}

/// One of ours where it is called so; else an external one.
impl From<&str> for RewardName {
    fn from(text: &str) -> Self {
        Self::OWN.into_iter().find(|name| name.as_str() == text).unwrap_or_else(|| RewardName::External(text.to_owned()))
    }
}

impl fmt::Display for RewardName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
