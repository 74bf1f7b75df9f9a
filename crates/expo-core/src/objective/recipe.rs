//! What a recipe is: which sources it draws from, how it scores what was drawn, which loss terms use it.

use super::document::EncodedDocument;
use super::group::Group;
use super::preference::Pair;
use super::sequence::Sequence;

/// What is drawn for each question of a step, beside rollouts of the question alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupSources {
    /// Self-explanations, written with the answer shown.
    pub explanations: bool,
    /// Expert chains of thought, read from the data.
    pub expert: bool,
    /// These join the group of the rollouts as traces of another policy.
    pub traces: bool,
}

/// What a step is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchSource {
    /// Nothing beside documents.
    #[default]
    Documents,
    /// Groups of rollouts, which are compared with each other.
    Groups(GroupSources),
    /// Preference pairs from files.
    PairsFromFiles,
    /// Preference pairs that the policy makes, of its rollouts and its explanations or the data's expert chains of thought.
    MadePairs(GroupSources),
    /// Documents that the policy makes, of its rollouts and explanations that reach the answer.
    Rationales(GroupSources),
}

/// Where a recipe's steps come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sources {
    /// What a step is made of.
    pub batch: BatchSource,
    /// Supervised documents an optimizer step.
    pub documents: usize,
}

impl Sources {
    /// What is drawn of each question, where questions are asked at all.
    pub fn groups(self) -> Option<GroupSources> {
        match self.batch {
            BatchSource::Groups(groups) | BatchSource::MadePairs(groups) | BatchSource::Rationales(groups) => Some(groups),
            BatchSource::Documents | BatchSource::PairsFromFiles => None,
        }
    }

    /// Whether a step is made of preference pairs.
    pub fn are_pairs(self) -> bool {
        matches!(self.batch, BatchSource::PairsFromFiles | BatchSource::MadePairs(_))
    }
}

/// Everything drawn for one optimizer step.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// One group a question.
    pub groups: Vec<Group>,
    /// Documents (rehearsal, SFT).
    pub documents: Vec<EncodedDocument>,
    /// Preference pairs.
    pub pairs: Vec<Pair>,
    /// Documents that the policy made (STaR).
    pub rationales: Vec<EncodedDocument>,
}

/// One algorithm.
pub trait Recipe: Send + Sync {
    /// What is drawn.
    fn sources(&self) -> Sources;
    /// How it is scored: fills in the advantages of the rollouts.
    fn score(&self, groups: &mut [Group]) {
        let _ = groups;
    }
    /// Whether the loss has the explanation term, whose weight moves from step to step.
    fn has_explanation_term(&self) -> bool {
        false
    }
    /// Which loss terms use it. `beta_exp` is the explanation term's weight at this step.
    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>>;
}
