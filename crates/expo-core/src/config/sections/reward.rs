//! What a rollout earns: built-in rewards, external ones, and how answers are judged.

use std::collections::BTreeMap;

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// Rewards: each option named like a reward is its weight (0: not computed), and a rollout earns the weighted sum (docs/rewards.md). Then how answers are found and compared (by the crate `mathverify`).
    RewardSection {
        /// Weight of correctness: 1 when the extracted answer is mathematically equal to the problem's.
        correctness: f64 = 1.0, in 0.0..;
        /// Weight of format: 1 when an answer could be extracted by the prompt's delimiter.
        format: f64 = 0.0, in 0.0..;
        /// Weight of the linear length reward (arXiv 2501.12599, section 2.3.3; open-r1's `length`): from 0.5 for the shortest of a question's completions down to -0.5 for the longest; a wrong one gets at most 0.
        length: f64 = 0.0, in 0.0..;
        /// Weight of the cosine length reward (arXiv 2502.03373, TRL's `cosine_scaled`): the shorter the better when right, the longer the better when wrong.
        cosine: f64 = 0.0, in 0.0..;
        /// Cosine length reward of a wrong completion of no length.
        cosine_min_value_wrong: f64 = -1.0;
        /// Cosine length reward of a wrong completion of `cosine_max_len`.
        cosine_max_value_wrong: f64 = -0.5;
        /// Cosine length reward of a right completion of `cosine_max_len`.
        cosine_min_value_correct: f64 = 0.5;
        /// Cosine length reward of a right completion of no length.
        cosine_max_value_correct: f64 = 1.0;
        /// Tokens at which the cosine reaches its end; `rollout.max_new_tokens` when unset.
        cosine_max_len: Option<usize> = None, in 1..;
        /// Weight of DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13): 0 up to `max_completion_len` - `soft_punish_cache` tokens, then falling to -1 at `max_completion_len`.
        soft_overlong_punishment: f64 = 0.0, in 0.0..;
        /// L_max of the soft overlong punishment in tokens; `rollout.max_new_tokens` when unset.
        max_completion_len: Option<usize> = None, in 1..;
        /// L_cache of the soft overlong punishment in tokens: the length over which it falls.
        soft_punish_cache: Option<usize> = None, in 1..;
        /// Weight of the answer's likelihood (VeriFree, arXiv 2505.21493): how likely the policy finds the problem's answer behind a completion's own reasoning, which is cut before its final answer and continued
        /// with `prompt.answer_suffix`. It asks no verifier: with `correctness = 0` it can be the only reward.
        answer_likelihood: f64 = 0.0, in 0.0..;
        /// What of that likelihood is the reward.
        answer_likelihood_form: LikelihoodForm = LikelihoodForm::Probability;
        /// Names of rewards that only a right completion gets; for a wrong one they are 0 (external ones are not asked).
        gate_on_correctness: Vec<String> = vec![];
        /// Rewards by a program or an endpoint of yours, each under its name.
        external: BTreeMap<String, ExternalRewardSection> = BTreeMap::new();
        /// Numbers within this relative tolerance match (0: exact).
        numeric_tolerance: f64 = 0.0, in 0.0..1.0;
        /// Where one side is written as a decimal, both are rounded to this many places.
        decimals: u32 = 6, in 0.0..=1000.0;
        /// Names of variables matter, and a set is no tuple.
        strict: bool = true;
        /// An inequality may stand for the set of its solutions where the problem's answer is a set (the other way round it always may).
        allow_set_relation: bool = false;
        /// `28%` is also 0.28, not only 28.
        percent_as_fraction: bool = false;
        /// Where both sides have a unit it has to be the same.
        units: bool = false;
        /// What an answer counts as that is equal to a number but not worked out: `4+6` for 10, `101_2` for 5, `2x = 2` for 1. Where these are right a policy learns to copy the question into the box.
        unevaluated: Unevaluated = Unevaluated::Wrong;
        /// Answers are the choice letters A to E, announced or standing alone.
        choice_letters: bool = false;
        /// In a completion that announces no answer, take the last formula or number for it.
        unannounced: bool = false;
    }
}

section! {
    /// A reward by a command or an endpoint; it is asked once a step for all rollouts (docs/rewards.md). NAME is the reward's name in metrics and logs.
    ExternalRewardSection {
        /// Weight in the sum; below 0 for a penalty (0: not computed).
        weight: f64 = 1.0;
        /// Program and its arguments, started without a shell, once for the whole run: it reads one JSON object a line and answers each with one line.
        command: Vec<String> = vec![];
        /// Or an HTTP endpoint: it is sent a JSON list and answers with a list.
        url: String = String::new();
        /// Environment variable that holds the endpoint's key, sent as `Authorization: Bearer`.
        api_key_env: String = String::new();
        /// Seconds within which all rollouts of a step have to be answered.
        timeout: f64 = 60.0, in Bounds { min: Some((0.0, false)), max: Some((86400.0, true)) };
        /// How often a step's rollouts are sent again: to the command started anew, where it ended or hung; to the endpoint after a pause, where it was not reached, too slow or answered 429 or 5xx.
        max_retries: usize = 2;
        /// What happens when that did not help.
        on_failure: OnFailure = OnFailure::Stop;
    }
}

choice! {
    /// What an answer counts as that is equal but not worked out.
    Unevaluated {
        /// Wrong.
        Wrong = "wrong",
        /// Right, as any other equal answer.
        Right = "right",
    }
}

choice! {
    /// What of the answer's likelihood is the reward.
    LikelihoodForm {
        /// The probability pi(a* | q, c), 0 for a completion that comes to no answer.
        Probability = "probability",
        /// log pi(a* | q, c) in nats, mean over the answer's tokens.
        MeanLogProb = "mean_log_prob",
    }
}

choice! {
    /// What happens when an external reward gives no answer.
    OnFailure {
        /// The run stops with the error.
        Stop = "stop",
        /// The reward is `null` for the rollouts of this step, and a note says so.
        Null = "null",
        /// The step is not trained on, as `skip` in `[watchdog]`.
        Skip = "skip",
        /// The run goes back to its last checkpoint, as `rollback` in `[watchdog]`: for a reward that depends on what it was asked before.
        Rollback = "rollback",
    }
}
