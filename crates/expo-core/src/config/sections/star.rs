//! STaR: its outer iterations.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// STaR (recipe `star`, arXiv 2203.14465): outer iterations, each of which lets the policy write rationales and then fine-tunes on those that reach the answer. Rationales are sampled as `[rollout]` says, those
    /// with the answer shown as `[exp]` says.
    StarSection {
        /// Steps of an outer iteration. At the first of them rationales are written for `every` times `train.prompts_per_step` questions; each step trains on `train.prompts_per_step` of the documents kept, pass after pass.
        every: usize = 50, in 1..;
        /// Where each iteration's fine-tuning starts.
        restart_from: RestartFrom = RestartFrom::Initial;
        /// Let the policy try questions without a right rollout that ended again, with the answer shown (rationalization).
        rationalize: bool = true;
        /// Most documents kept of one question, each of another text; beyond the paper's 1 with several `rollout.num_generations` or `exp.num_explanations`.
        max_per_problem: usize = 1, in 1..;
    }
}

choice! {
    /// Where fine-tuning starts.
    RestartFrom {
        /// From the run's initial policy, with a new optimizer and a new schedule of the learning rate: the paper's way, against overfitting.
        Initial = "initial",
        /// From the policy as the iteration before left it.
        Current = "current",
    }
}
