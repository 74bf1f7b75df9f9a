//! Every recipe by its name.

use super::recipe::Recipe;
use super::{dpo, exp_dpo, exp_grpo, grpo, grpo_sft_gt_cot, luffy, sft, star};
use crate::config::{Config, RecipeName};

/// The recipe that `config` names.
pub fn recipe(config: &Config) -> Box<dyn Recipe> {
    match config.train.recipe {
        RecipeName::Grpo => Box::new(grpo::Grpo::new(config)),
        RecipeName::ExpGrpo => Box::new(exp_grpo::ExpGrpo::new(config)),
        RecipeName::GrpoSftGtCot => Box::new(grpo_sft_gt_cot::GrpoSftGtCot::new(config)),
        RecipeName::Luffy => Box::new(luffy::Luffy::new(config)),
        RecipeName::Dpo => Box::new(dpo::Dpo::new(config)),
        RecipeName::ExpDpo => Box::new(exp_dpo::ExpDpo::new(config)),
        RecipeName::Star => Box::new(star::Star::new(config)),
        RecipeName::Sft => Box::new(sft::Sft::new(config)),
    }
}
