//! The sections of the file, one struct each. Defaults and ranges stand beside each option's documentation.

mod data;
mod dpo;
mod explain;
mod grpo;
mod reward;
mod train;
mod watchdog;

pub use data::{Curriculum, DataFormat, DataSection, ExpertCotFormat, Init, ModelSection, OnBadRow, PromptSection, RolloutSection};
pub use dpo::{ChosenSide, DpoSection, PairLoss, RejectedSide};
pub use explain::{BetaSchedule, ExpDenominator, ExpSection, ExplainQuestions, Explainer, OnMismatch, TokenReduction};
pub use grpo::{AdvantageEstimator, GrpoSection, ImportanceSamplingLevel, KlEstimator, LossType, OldLogProbs, ScaleRewards};
pub use reward::{ExternalRewardSection, OnFailure, RewardSection};
pub use train::{LrSchedule, OptimSection, Recipe, RehearsalSection, SaveDtype, TrainSection};
pub use watchdog::{WatchdogPolicy, WatchdogSection};
