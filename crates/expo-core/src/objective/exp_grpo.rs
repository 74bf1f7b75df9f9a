//! ExP-GRPO (Zhou, Li, Zhang, Liu, "ExPO", arXiv 2507.02834): GRPO plus the likelihood of self-explanations.

use super::denominator::ExplanationWeights;
use super::group::Group;
use super::grpo::Grpo;
use super::loss::{LossKind, SequenceLoss};
use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::{Origin, Sequence};
use super::term::Term;
use crate::config::{Config, ExpSection, KlEstimator};

/// `J(theta) = GRPO(theta) + beta_exp * E[log pi_theta(c~, a* | q)]`, with c~ drawn from pi(. | q, a*).
///
/// - Drawn: what GRPO draws, and self-explanations of the question with its answer shown.
/// - Scored: rollouts as in GRPO; an explanation is no member of the group and gets no advantage.
/// - Loss: GRPO's, plus `beta_exp` times cross-entropy on the explanations with the answer *hidden*; as an option KL to the
///   initial policy on them with the answer shown, against forgetting how to explain.
pub struct ExpGrpo {
    grpo: Grpo,
    options: ExpSection,
}

impl ExpGrpo {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { grpo: Grpo::new(config), options: config.exp.clone() }
    }
}

impl Recipe for ExpGrpo {
    fn sources(&self) -> Sources {
        Sources { batch: BatchSource::Groups(GroupSources { explanations: true, ..GroupSources::default() }), ..self.grpo.sources() }
    }

    fn has_explanation_term(&self) -> bool {
        true
    }

    fn score(&self, groups: &mut [Group]) {
        self.grpo.score(groups);
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>> {
        let mut sequences = self.grpo.sequences(drawn, beta_exp);
        let kept = drawn.groups.iter().map(|group| group.kept_explanations().len());
        let weights = ExplanationWeights::new(self.options.token_reduction, self.options.denominator, kept);
        for (g, group) in drawn.groups.iter().enumerate() {
            let kept = group.kept_explanations();
            for (index, explanation) in kept.iter().enumerate() {
                let token_weight = weights.token_weight(explanation.tokens.len(), kept.len());
                sequences.push(Sequence {
                    origin: Origin::Explanation { group: g, index },
                    losses: vec![SequenceLoss {
                        term: Term::Explanation,
                        coefficient: beta_exp,
                        token_weight,
                        kind: LossKind::CrossEntropy,
                    }],
                    ..Sequence::measured(&group.prompt, &explanation.tokens, 1.0)
                });
                if let Some(reference) = &explanation.reference_log_probs {
                    sequences.push(Sequence {
                        origin: Origin::HintedExplanation { group: g, index },
                        losses: vec![SequenceLoss {
                            term: Term::HintedKl,
                            coefficient: self.options.hinted_kl_beta,
                            token_weight,
                            kind: LossKind::Kl { estimator: KlEstimator::K3, reference },
                        }],
                        ..Sequence::measured(&group.explanation_prompt, &explanation.tokens, 1.0)
                    });
                }
            }
        }
        sequences
    }
}
