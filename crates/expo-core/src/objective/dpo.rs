//! DPO (Rafailov et al., arXiv 2305.18290) and its variants, on pairs from preference files.

use super::preference::Preferences;
use super::sft::Rehearsal;
use super::{Drawn, Draws, PairSource, Recipe, Sequence};
use crate::config::Config;

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
    fn draws(&self) -> Draws {
        Draws { pairs: Some(PairSource::File), documents: self.rehearsal.documents(), ..Draws::default() }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        let mut sequences = self.preferences.sequences(&drawn.pairs);
        sequences.extend(self.rehearsal.sequences(&drawn.documents));
        sequences
    }
}
