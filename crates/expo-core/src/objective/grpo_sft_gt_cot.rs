//! GRPO SFT-GT-CoT, the paper's baseline (arXiv 2507.02834, section 5): ExP-GRPO's extra term on the data's expert chain of thought.

use super::denominator::ExplanationWeights;
use super::group::Group;
use super::grpo::Grpo;
use super::loss::{LossKind, SequenceLoss};
use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::{Origin, Sequence};
use super::term::Term;
use crate::config::{Config, ExpSection};

/// GRPO plus `beta_exp` times the log-likelihood of the expert chain of thought and the answer.
///
/// - Drawn: what GRPO draws, and the expert chain of thought from the data, with the prompt's answer format and the end of sequence.
/// - Scored: rollouts as in GRPO.
/// - Loss: GRPO's, plus `beta_exp` times cross-entropy on the expert text.
pub struct GrpoSftGtCot {
    grpo: Grpo,
    options: ExpSection,
}

impl GrpoSftGtCot {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { grpo: Grpo::new(config), options: config.exp.clone() }
    }
}

impl Recipe for GrpoSftGtCot {
    fn sources(&self) -> Sources {
        Sources { batch: BatchSource::Groups(GroupSources { expert: true, ..GroupSources::default() }), ..self.grpo.sources() }
    }

    fn has_explanation_term(&self) -> bool {
        true
    }

    fn score(&self, groups: &mut [Group]) {
        self.grpo.score(groups);
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>> {
        let mut sequences = self.grpo.sequences(drawn, beta_exp);
        let kept = drawn.groups.iter().map(|group| usize::from(group.expert.is_some()));
        let weights = ExplanationWeights::new(self.options.token_reduction, self.options.denominator, kept);
        for (g, group) in drawn.groups.iter().enumerate() {
            if let Some(expert) = &group.expert {
                sequences.push(Sequence {
                    origin: Origin::ExpertCot { group: g },
                    losses: vec![SequenceLoss {
                        term: Term::ExpertCot,
                        coefficient: beta_exp,
                        token_weight: weights.token_weight(expert.len(), 1),
                        kind: LossKind::CrossEntropy,
                    }],
                    ..Sequence::measured(&group.prompt, expert, 1.0)
                });
            }
        }
        sequences
    }
}
