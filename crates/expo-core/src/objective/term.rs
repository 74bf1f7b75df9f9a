//! The summands of the loss.

/// A summand of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Clipped policy gradient on rollouts.
    PolicyGradient,
    /// KL to the reference on rollouts.
    Kl,
    /// Entropy of the policy on rollouts.
    Entropy,
    /// Cross-entropy on self-explanations, answer hidden.
    Explanation,
    /// Cross-entropy on expert chains of thought.
    ExpertCot,
    /// KL to the reference on self-explanations, answer shown.
    HintedKl,
    /// Cross-entropy on rehearsal documents.
    Rehearsal,
    /// Cross-entropy on the documents of SFT and STaR.
    Documents,
    /// Preference of a chosen over a rejected completion.
    Preference,
    /// Cross-entropy on the chosen completions of pairs.
    ChosenSft,
}

impl Term {
    /// Every term.
    pub const ALL: [Term; 10] = [
        Term::PolicyGradient,
        Term::Kl,
        Term::Entropy,
        Term::Explanation,
        Term::ExpertCot,
        Term::HintedKl,
        Term::Rehearsal,
        Term::Documents,
        Term::Preference,
        Term::ChosenSft,
    ];

    /// Its name in the metrics (`loss/<name>`).
    pub fn name(self) -> &'static str {
        match self {
            Term::PolicyGradient => "policy_gradient",
            Term::Kl => "kl",
            Term::Entropy => "entropy",
            Term::Explanation => "explanation",
            Term::ExpertCot => "expert_cot",
            Term::HintedKl => "hinted_kl",
            Term::Rehearsal => "rehearsal",
            Term::Documents => "documents",
            Term::Preference => "preference",
            Term::ChosenSft => "sft",
        }
    }
}
