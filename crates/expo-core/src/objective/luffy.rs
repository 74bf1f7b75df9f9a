//! LUFFY (Yan et al., "Learning to Reason under Off-Policy Guidance", arXiv 2504.14945): GRPO with traces of another policy in the group.

use super::group::Group;
use super::grpo::Grpo;
use super::recipe::{BatchSource, Drawn, GroupSources, Recipe, Sources};
use super::sequence::Sequence;
use crate::config::{Config, LuffyTrace};

/// Mixed-policy GRPO with policy shaping.
///
/// - Drawn: what GRPO draws, and traces tau_j of another policy pi_phi: the expert chain of thought from the data, or self-explanations, which the policy wrote
///   with the answer shown.
/// - Scored: traces are rewarded like rollouts and are members of the group: `A = (R - mean(G_on + G_off)) / std(G_on + G_off)`.
/// - Loss: GRPO's on the rollouts; on a trace's tokens `-f(pi / pi_phi) A` without a clip, with `f(x) = x / (x + gamma)` and pi_phi taken as 1
///   ([`terms::shaped_policy_gradient`](super::terms::shaped_policy_gradient)). The denominators count both.
pub struct Luffy {
    grpo: Grpo,
    trace: LuffyTrace,
}

impl Luffy {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { grpo: Grpo::new(config), trace: config.luffy.trace }
    }
}

impl Recipe for Luffy {
    fn sources(&self) -> Sources {
        let groups =
            GroupSources { explanations: self.trace == LuffyTrace::Explanation, expert: self.trace == LuffyTrace::Expert, traces: true };
        Sources { batch: BatchSource::Groups(groups), ..self.grpo.sources() }
    }

    fn score(&self, groups: &mut [Group]) {
        self.grpo.score(groups);
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, beta_exp: f64) -> Vec<Sequence<'a>> {
        self.grpo.sequences(drawn, beta_exp)
    }
}
