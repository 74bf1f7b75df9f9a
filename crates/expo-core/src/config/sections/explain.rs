//! The self-explanation (or expert CoT) term and its metrics.

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// The ExP term (arXiv 2507.02834): cross-entropy on self-explanations (`exp-grpo`) or expert chains of thought (`grpo-sft-gt-cot`), the answer hidden.
    ExpSection {
        /// Weight of the term (beta_exp).
        beta: f64 = 0.04, in 0.0..;
        /// How the weight moves over the run, from `beta` to `beta_end`.
        schedule: BetaSchedule = BetaSchedule::Constant;
        /// Weight at the end of a linear or cosine schedule.
        beta_end: f64 = 0.0, in 0.0..;
        /// Explanations per question.
        num_explanations: usize = 1, in 1..;
        /// Which questions are explained.
        questions: ExplainQuestions = ExplainQuestions::All;
        /// Largest fraction of right rollouts of a question that counts as failed (`questions = "failed_groups"`; 0: all are wrong).
        max_pass_rate: f64 = 0.0, in 0.0..1.0;
        /// Explanations are made every N steps, for all problems until the next time (1: every step; 0: once, by the initial policy, before the first step). With `exp-dpo` so are the pairs: 0 is offline.
        every: usize = 1;
        /// Which policy writes the explanations.
        explainer: ExplainedBy = ExplainedBy::Current;
        /// Decay per step of the moving average (`explainer = "average"`).
        average_decay: f64 = 0.99, in Bounds { min: Some((0.0, false)), max: Some((1.0, false)) };
        /// Denominator of the term.
        denominator: ExpDenominator = ExpDenominator::All;
        /// How the tokens of one explanation are put together.
        token_reduction: TokenReduction = TokenReduction::Mean;
        /// What becomes of an explanation whose answer is not the known one.
        on_mismatch: OnMismatch = OnMismatch::Drop;
        /// Drop explanations that hold special tokens of the vocabulary (such as those that begin and end turns) before the end of turn: what a reader, the
        /// verifier and rewards don't see would be learnt. Turn it off for a model that marks its thoughts by special tokens.
        drop_special_tokens: bool = true;
        /// Drop explanations one token of which is likelier by more than so many nats where the answer is shown (0: no bound). It takes a forward pass over the
        /// explanations that pass the other filters (`time/explanation_scores`).
        max_token_information: f64 = 0.0, in 0.0..;
        /// Drop explanations in which the answer stands before this share of the text (0: no bound).
        min_answer_position: f64 = 0.0, in 0.0..1.0;
        /// Drop explanations that give the hint away by one of `leak_phrases`.
        drop_leaks: bool = true;
        /// Phrases that count as a leak, whatever their case.
        leak_phrases: Vec<String> = vec!["the given answer".into(), "the provided answer".into(), "the answer is given".into()];
        /// Drop explanations shorter than this many tokens (0: no bound).
        min_tokens: usize = 0;
        /// Drop explanations longer than this many tokens (0: no bound).
        max_tokens: usize = 0;
        /// Sampling temperature of explanations.
        temperature: f64 = 1.0, in 0.0..;
        /// Keep the k most likely tokens (0: all).
        top_k: usize = 0;
        /// Nucleus sampling (1: off).
        top_p: f64 = 1.0, in Bounds { min: Some((0.0, false)), max: Some((1.0, true)) };
        /// Least probability relative to the most likely token (0: off).
        min_p: f64 = 0.0, in 0.0..1.0;
        /// Longest explanation in tokens; a truncated one is dropped.
        max_new_tokens: usize = 256, in 1..;
        /// Weight of KL to the initial policy on explanations with the answer shown, against forgetting how to explain (0: off).
        hinted_kl_beta: f64 = 0.0, in 0.0..;
        /// Measure `exp/nll_expert` and `exp/answer_gain` every N steps (0: never).
        metrics_every: usize = 10;
        /// On at most this many problems.
        metrics_problems: usize = 8, in 1..;
    }
}

choice! {
    /// How the weight of the ExP term moves.
    BetaSchedule {
        /// It stays `beta`.
        Constant = "constant",
        /// In a straight line to `beta_end`.
        Linear = "linear",
        /// Along half a cosine to `beta_end`.
        Cosine = "cosine",
    }
}

choice! {
    /// Which questions are explained.
    ExplainQuestions {
        /// Every question.
        All = "all",
        /// Only questions whose rollouts are all wrong, or of which at most `max_pass_rate` are right.
        FailedGroups = "failed_groups",
    }
}

choice! {
    /// Which policy writes the explanations.
    ExplainedBy {
        /// The policy as it is now.
        Current = "current",
        /// The run's initial policy, frozen.
        Initial = "initial",
        /// A moving average of the policy's weights.
        Average = "average",
    }
}

choice! {
    /// Denominator of the ExP term.
    ExpDenominator {
        /// All questions of the optimizer step: one without an explanation counts 0.
        All = "all",
        /// Only the questions that have an explanation.
        Kept = "kept",
    }
}

choice! {
    /// How the tokens of one explanation are put together.
    TokenReduction {
        /// Their mean.
        Mean = "mean",
        /// Their sum: the literal log pi(c, a* | q).
        Sum = "sum",
    }
}

choice! {
    /// What becomes of an explanation whose answer is not the known one.
    OnMismatch {
        /// It is dropped.
        Drop = "drop",
        /// It is cut before the delimiter and continued with `prompt.answer_suffix` and the end of sequence.
        ReplaceAnswer = "replace_answer",
    }
}
