//! The phases of a step, whose seconds are among its metrics.

/// What a step is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Sampling completions of the question alone.
    Rollout,
    /// Verifying rollouts and asking for their external rewards.
    Reward,
    /// Sampling self-explanations.
    Explanation,
    /// Log-probabilities under the reference policy.
    Reference,
    /// Forward passes for metrics only.
    Probe,
    /// Forward, backward and optimizer.
    Train,
    /// Evaluating on held-out data.
    Eval,
    /// Writing weights.
    Save,
}

impl Phase {
    /// Every phase, in the order in which a step goes through them.
    pub const ALL: [Phase; 8] =
        [Phase::Rollout, Phase::Reward, Phase::Explanation, Phase::Reference, Phase::Probe, Phase::Train, Phase::Eval, Phase::Save];

    /// Its name in the metrics (`time/<name>`).
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rollout => "rollout",
            Phase::Reward => "reward",
            Phase::Explanation => "explanation",
            Phase::Reference => "reference",
            Phase::Probe => "probe",
            Phase::Train => "train",
            Phase::Eval => "eval",
            Phase::Save => "save",
        }
    }
}
