//! LUFFY: traces of another policy.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// LUFFY (recipe `luffy`, arXiv 2504.14945): traces that the policy did not sample from the question join the question's group of rollouts. They are rewarded with them and in their advantages; the loss has no clip on them.
    LuffySection {
        /// Where the traces come from.
        trace: LuffyTrace = LuffyTrace::Expert;
        /// gamma of policy shaping: a token of a trace, of probability p, has the loss -f(p) * advantage with f(p) = p / (p + gamma), so that improbable tokens keep a gradient.
        gamma: f64 = 0.1, in Bounds::positive();
    }
}

choice! {
    /// Where the traces come from.
    LuffyTrace {
        /// The data's expert chain of thought, one a question where the data has it.
        Expert = "expert",
        /// The policy's own explanations of the answer that it was shown (`[exp]`), the answer hidden.
        Explanation = "explanation",
    }
}
