//! The sections of the file, one struct each. Defaults and ranges stand beside each option's documentation.

mod data;
mod dpo;
mod eval;
mod explain;
mod grpo;
mod lora;
mod luffy;
mod reward;
mod star;
mod train;
mod watchdog;

pub use data::{Curriculum, DataFormat, DataSection, ExpertCotFormat, Init, ModelSection, OnBadRow, PromptSection, RolloutSection};
pub use dpo::{ChosenSide, DpoSection, PairLoss, RejectedSide};
pub use eval::EvalSection;
pub use explain::{BetaSchedule, ExpDenominator, ExpSection, ExplainQuestions, ExplainedBy, OnMismatch, TokenReduction};
pub use grpo::{AdvantageEstimator, GrpoSection, ImportanceSamplingLevel, KlEstimator, LossType, OldLogProbs, ScaleRewards};
pub use lora::LoraSection;
pub use luffy::{LuffySection, LuffyTrace};
pub use reward::{ExternalRewardSection, LikelihoodForm, OnFailure, RewardSection, Unevaluated};
pub use star::{RestartFrom, StarSection};
pub use train::{LrSchedule, OptimSection, Optimizer, RecipeName, RehearsalSection, SaveDtype, TrainSection, Turns};
pub use watchdog::{WatchdogPolicy, WatchdogSection};
