//! STaR (Zelikman, Wu, Mu, Goodman, "STaR: Bootstrapping Reasoning With Reasoning", arXiv 2203.14465): fine-tuning on one's own rationales.

use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::Sequence;
use super::sft::{Rehearsal, on_documents};
use crate::config::Config;

/// In each outer iteration n (algorithm 1): the policy M_{n-1} writes a rationale and an answer for every question; D_n are those whose answer is right. For
/// the other questions it writes one with the answer shown (rationalization); D_n^rat are those that reach it. M_n is M, the initial policy, fine-tuned on
/// both, the answer hidden.
///
/// - Drawn: at the start of an iteration rollouts of its questions, and self-explanations of those without a right one that ended.
/// - Scored: a rollout is right or wrong by the verifier, and no rationale where it was cut off; an explanation passes its filters. What is kept is the iteration's documents.
/// - Loss: that of supervised fine-tuning on the documents.
pub struct Star {
    rationalize: bool,
    rehearsal: Rehearsal,
}

impl Star {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { rationalize: config.star.rationalize, rehearsal: Rehearsal::new(config) }
    }
}

impl Recipe for Star {
    fn sources(&self) -> Sources {
        let groups = GroupSources { explanations: self.rationalize, ..GroupSources::default() };
        Sources { batch: BatchSource::Rationales(groups), documents: self.rehearsal.documents() }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        let mut sequences = on_documents(&drawn.rationales);
        sequences.extend(self.rehearsal.sequences(&drawn.documents));
        sequences
    }
}
