//! ExP-DPO (Zhou, Li, Zhang, Liu, "ExPO", arXiv 2507.02834): DPO on self-explanations over the policy's own completions.

use super::dpo::Dpo;
use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::Sequence;
use crate::config::{ChosenSide, Config};

/// DPO's loss with y_w = (c~, a*), c~ drawn from pi(. | q, a*) and the answer hidden, and y_l drawn from pi(. | q).
///
/// - Drawn: rollouts of the question alone; self-explanations with the answer shown, or the data's expert chains of thought (the baseline). Offline
///   (`exp.every = 0`) once, by the initial policy; online every N steps, by the current one.
/// - Scored: a rollout is right or wrong by the verifier; an explanation passes its filters. Each kept one is paired with one rollout.
/// - Loss: DPO's.
pub struct ExpDpo {
    dpo: Dpo,
    chosen: ChosenSide,
}

impl ExpDpo {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { dpo: Dpo::new(config), chosen: config.dpo.chosen }
    }
}

impl Recipe for ExpDpo {
    fn sources(&self) -> Sources {
        let groups =
            GroupSources { explanations: self.chosen == ChosenSide::Explanation, expert: self.chosen == ChosenSide::Expert, traces: false };
        Sources { batch: BatchSource::MadePairs(groups), ..self.dpo.sources() }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>> {
        self.dpo.sequences(drawn, beta_exp)
    }
}
