//! DPO (Rafailov et al., arXiv 2305.18290) and its variants, on pairs from preference files.

use super::document::trained_tokens;
use super::loss::{LossKind, SequenceLoss};
use super::preference::{Pair, PreferenceLoss, Reference, Side};
use super::recipe::{BatchSource, Drawn, Recipe, Sources};
use super::sequence::{Origin, Partner, Sequence};
use super::sft::Rehearsal;
use super::term::Term;
use crate::config::{Config, DpoSection};

/// Direct preference optimization.
///
/// - Drawn: pairs of a chosen and a rejected completion from preference files (and rehearsal documents, if configured).
/// - Scored: by the pair itself; the reference policy's log-probabilities stand beside it.
/// - Loss: `dpo.loss_type` of the margin between the two sides' log-ratios to the reference, mean over pairs.
pub struct Dpo {
    preferences: Preferences,
    rehearsal: Rehearsal,
}

impl Dpo {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { preferences: Preferences::new(&config.dpo), rehearsal: Rehearsal::new(config) }
    }
}

impl Recipe for Dpo {
    fn sources(&self) -> Sources {
        Sources { batch: BatchSource::PairsFromFiles, documents: self.rehearsal.documents() }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        let mut sequences = self.preferences.sequences(&drawn.pairs);
        sequences.extend(self.rehearsal.sequences(&drawn.documents));
        sequences
    }
}

/// The preference term, and cross-entropy on the chosen sides beside it.
pub struct Preferences {
    loss: PreferenceLoss,
    rpo_alpha: f64,
}

impl Preferences {
    /// The terms as `options` has them.
    pub fn new(options: &DpoSection) -> Self {
        let loss = PreferenceLoss { form: options.loss_type, beta: options.beta, label_smoothing: options.label_smoothing };
        Self { loss, rpo_alpha: options.rpo_alpha }
    }

    /// The sequences of a step's pairs, chosen and rejected side by side. The preference term is the mean over pairs; cross-entropy the mean over all
    /// tokens of the chosen sides (RPO, arXiv 2404.19733, eq. 1, with TRL's normalisation).
    pub fn sequences<'a>(&self, pairs: &'a [Pair]) -> Vec<Sequence<'a>> {
        let pair_weight = 1.0 / pairs.len().max(1) as f64;
        let chosen_weight = 1.0 / pairs.iter().map(|pair| trained_tokens(&pair.chosen, &pair.chosen_trained)).sum::<usize>().max(1) as f64;
        let side = |index: usize, is_chosen: bool| {
            let pair = &pairs[index];
            let Reference { chosen, rejected } = pair.reference;
            let (reference, other_reference) = if is_chosen { (chosen, rejected) } else { (rejected, chosen) };
            let mut losses = vec![SequenceLoss {
                term: Term::Preference,
                coefficient: 1.0,
                token_weight: pair_weight,
                kind: LossKind::Preference(Side { is_chosen, loss: self.loss, reference, other_reference }),
            }];
            if is_chosen && self.rpo_alpha > 0.0 {
                losses.push(SequenceLoss {
                    term: Term::ChosenSft,
                    coefficient: self.rpo_alpha,
                    token_weight: chosen_weight,
                    kind: LossKind::CrossEntropy,
                });
            }
            Sequence {
                origin: if is_chosen { Origin::Chosen { pair: index } } else { Origin::Rejected { pair: index } },
                trained: if is_chosen { &pair.chosen_trained } else { &pair.rejected_trained },
                losses,
                partner: Some(if is_chosen { Partner::Next } else { Partner::Previous }),
                ..Sequence::measured(&pair.prompt, if is_chosen { &pair.chosen } else { &pair.rejected }, 1.0)
            }
        };
        (0..pairs.len()).flat_map(|pair| [side(pair, true), side(pair, false)]).collect()
    }
}
