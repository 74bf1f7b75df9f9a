//! One TOML file describes a run; it is checked as a whole before anything starts.
//!
//! Option names are those of TRL, vLLM and Hugging Face where these have one.

use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub model: ModelSection,
    pub data: DataSection,
    pub prompt: PromptSection,
    pub rollout: RolloutSection,
    pub reward: RewardSection,
    pub train: TrainSection,
    pub grpo: GrpoSection,
    pub exp: ExpSection,
    pub rehearsal: RehearsalSection,
    pub optim: OptimSection,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Folder, hub name, or `embedded:tiny`.
    pub path: String,
    /// `hub`/folder weights as they are, or `random`: initialise from the folder's config.json (pretraining).
    pub init: Init,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    Pretrained,
    Random,
}
impl Default for ModelSection {
    fn default() -> Self {
        Self { path: "embedded:tiny".into(), init: Init::Pretrained }
    }
}

/// `[data]`: problems to train on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// JSON-lines file, or `generator:division` for the built-in one.
    pub train: String,
    /// How rows are read.
    pub format: DataFormat,
    pub question_field: String,
    pub answer_field: String,
    pub expert_cot_field: String,
    pub level_field: String,
    pub subject_field: String,
    /// Keep only these levels (empty: all).
    pub levels: Vec<u32>,
    /// Keep at most this many problems (0: all).
    pub limit: usize,
    /// Number of problems drawn from the generator.
    pub generate: usize,
    /// The generator's seed.
    pub generator_seed: u64,
    pub shuffle: bool,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    Auto,
    Gsm8k,
    Math,
    Fields,
}
impl Default for DataSection {
    fn default() -> Self {
        Self {
            train: "generator:division".into(),
            format: DataFormat::Auto,
            question_field: "question".into(),
            answer_field: "answer".into(),
            expert_cot_field: "solution".into(),
            level_field: "level".into(),
            subject_field: "subject".into(),
            levels: vec![],
            limit: 0,
            generate: 4096,
            generator_seed: 0,
            shuffle: true,
        }
    }
}

/// `[prompt]`: MiniJinja templates with `question`, `answer` (explanation and suffix only), `level`, `subject`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptSection {
    /// System message (empty: none).
    pub system: String,
    /// User turn that asks the question.
    pub question: String,
    /// User turn that shows the answer and asks for an explanation.
    pub explanation: String,
    /// Delimiter and answer as appended to a chain of thought, e.g. `\n#### {{answer}}`.
    pub answer_suffix: String,
}
impl Default for PromptSection {
    fn default() -> Self {
        Self {
            system: String::new(),
            question: "{{question}}".into(),
            explanation: "{{question}}[{{answer}}]".into(),
            answer_suffix: "#### {{answer}}".into(),
        }
    }
}

/// `[rollout]`: completions of the question alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutSection {
    /// G, completions a question.
    pub num_generations: usize,
    pub temperature: f32,
    pub top_k: usize,
    pub top_p: f32,
    pub min_p: f32,
    pub max_new_tokens: usize,
    /// Most sequences decoded at once.
    pub max_num_seqs: usize,
}
impl Default for RolloutSection {
    fn default() -> Self {
        Self { num_generations: 8, temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 256, max_num_seqs: 64 }
    }
}

/// `[reward]`: weights of the rewards by name (0: not computed).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardSection {
    /// Weight of the correctness reward (1 when the extracted answer matches).
    pub correctness: f64,
    /// Weight of the format reward (1 when an answer could be extracted by its delimiter).
    pub format: f64,
    /// Numbers equal within this relative tolerance match (0: exact).
    pub numeric_tolerance: f64,
}
impl Default for RewardSection {
    fn default() -> Self {
        Self { correctness: 1.0, format: 0.0, numeric_tolerance: 0.0 }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSection {
    /// What is drawn, how it is scored, which loss terms use it.
    pub recipe: Recipe,
    /// Optimizer-step batches, i.e. rollout batches.
    pub steps: usize,
    /// Problems a step (SFT: documents a step).
    pub prompts_per_step: usize,
    /// Optimizer steps for each rollout batch (TRL's num_iterations): the batch is reused, in this many passes.
    pub num_iterations: usize,
    /// Most tokens of a micro-batch (at least one sequence).
    pub max_tokens_per_micro_batch: usize,
    /// Write the weights every N steps (0: only at the end).
    pub save_every: usize,
    /// `bf16` or `f32`.
    pub save_dtype: SaveDtype,
    pub seed: u64,
    /// Log this many completions and explanations a step to completions.jsonl (0: none).
    pub log_completions: usize,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    Grpo,
    ExpGrpo,
    GrpoSftGtCot,
    Sft,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaveDtype {
    Bf16,
    F32,
}
impl Default for TrainSection {
    fn default() -> Self {
        Self {
            recipe: Recipe::ExpGrpo,
            steps: 100,
            prompts_per_step: 8,
            num_iterations: 1,
            max_tokens_per_micro_batch: 4096,
            save_every: 0,
            save_dtype: SaveDtype::Bf16,
            seed: 0,
            log_completions: 8,
        }
    }
}

/// `[grpo]`: the policy-gradient term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoSection {
    /// Clip range below 1 (epsilon).
    pub epsilon: f64,
    /// Clip range above 1 (DAPO's clip-higher); `epsilon` when absent.
    pub epsilon_high: Option<f64>,
    /// KL coefficient (TRL's beta); 0 keeps no reference in memory.
    pub beta: f64,
    pub scale_rewards: ScaleRewards,
    pub loss_type: LossType,
    /// Leave truncated completions out of the loss.
    pub mask_truncated_completions: bool,
    /// Where old log-probs come from when a rollout batch gives several optimizer steps.
    pub old_log_probs: OldLogProbs,
    /// Cap of the truncated importance weight between sampler and trainer; absent: on (2.0) only where their precision or weights differ.
    pub importance_sampling_cap: Option<f64>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleRewards {
    Group,
    Batch,
    None,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    Grpo,
    Bnpo,
    DrGrpo,
    Dapo,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldLogProbs {
    Training,
    Sampler,
}
impl Default for GrpoSection {
    fn default() -> Self {
        Self {
            epsilon: 0.2,
            epsilon_high: None,
            beta: 0.0,
            scale_rewards: ScaleRewards::Group,
            loss_type: LossType::Grpo,
            mask_truncated_completions: false,
            old_log_probs: OldLogProbs::Training,
            importance_sampling_cap: None,
        }
    }
}

/// `[exp]`: the self-explanation (or expert CoT) term and its metrics. METHOD: ExP-GRPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpSection {
    /// beta_exp.
    pub beta: f64,
    /// How beta moves over the run.
    pub schedule: BetaSchedule,
    /// Value at the end of the schedule (linear, cosine).
    pub beta_end: f64,
    /// Explanations a question.
    pub num_explanations: usize,
    /// Which questions are explained.
    pub questions: ExplainQuestions,
    /// When explanations are made: every N steps (1: every step; 0: once, before the first step).
    pub every: usize,
    pub explainer: Explainer,
    /// Decay per step of the explainer's moving average (`explainer = "average"`).
    pub average_decay: f64,
    /// Denominator of the term: all questions of the step, or only those with an explanation kept.
    pub denominator: ExpDenominator,
    /// Per explanation: mean over its tokens, or their sum (the literal log pi(c, a*|q)).
    pub token_reduction: TokenReduction,
    /// What becomes of an explanation whose answer is not a*.
    pub on_mismatch: OnMismatch,
    /// Drop explanations that give the hint away ("the given answer is ...").
    pub drop_leaks: bool,
    /// Case-insensitive phrases that count as a leak.
    pub leak_phrases: Vec<String>,
    /// Length bounds in tokens (0: none).
    pub min_tokens: usize,
    pub max_tokens: usize,
    pub temperature: f32,
    pub top_k: usize,
    pub top_p: f32,
    pub min_p: f32,
    pub max_new_tokens: usize,
    /// Weight of KL to the reference on explanation prompts (answer shown), against forgetting how to explain (0: off).
    pub hinted_kl_beta: f64,
    /// nll_expert and answer_gain every N steps (0: never) on at most `metrics_problems` problems.
    pub metrics_every: usize,
    pub metrics_problems: usize,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    Constant,
    Linear,
    Cosine,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplainQuestions {
    All,
    FailedGroups,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explainer {
    Current,
    Initial,
    Average,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpDenominator {
    All,
    Kept,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenReduction {
    Mean,
    Sum,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    Drop,
    ReplaceAnswer,
}
impl Default for ExpSection {
    fn default() -> Self {
        Self {
            beta: 0.04,
            schedule: BetaSchedule::Constant,
            beta_end: 0.0,
            num_explanations: 1,
            questions: ExplainQuestions::All,
            every: 1,
            explainer: Explainer::Current,
            average_decay: 0.99,
            denominator: ExpDenominator::All,
            token_reduction: TokenReduction::Mean,
            on_mismatch: OnMismatch::Drop,
            drop_leaks: true,
            leak_phrases: vec!["the given answer".into(), "the provided answer".into(), "the answer is given".into()],
            min_tokens: 0,
            max_tokens: 0,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_new_tokens: 256,
            hinted_kl_beta: 0.0,
            metrics_every: 10,
            metrics_problems: 8,
        }
    }
}

/// `[rehearsal]`: cross-entropy on documents of the user's, beside every step; and SFT's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RehearsalSection {
    /// JSON-lines file with `prompt` and `completion`, `generator:division` for the pretraining mix, or empty (off).
    pub data: String,
    /// Weight of the term.
    pub weight: f64,
    /// Documents a step.
    pub documents_per_step: usize,
}
impl Default for RehearsalSection {
    fn default() -> Self {
        Self { data: String::new(), weight: 1.0, documents_per_step: 24 }
    }
}

/// `[optim]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimSection {
    pub learning_rate: f64,
    pub lr_scheduler_type: LrSchedule,
    pub warmup_steps: usize,
    /// The schedule's final learning rate as a fraction of `learning_rate`.
    pub min_lr_ratio: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    pub weight_decay: f64,
    /// Global gradient norm is clipped to this (0: off).
    pub max_grad_norm: f64,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    Constant,
    Linear,
    Cosine,
}
impl Default for OptimSection {
    fn default() -> Self {
        Self {
            learning_rate: 1e-6,
            lr_scheduler_type: LrSchedule::Constant,
            warmup_steps: 0,
            min_lr_ratio: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        }
    }
}
