//! One TOML file describes a run; it is checked as a whole before anything starts.
//!
//! Option names are those of TRL, vLLM and Hugging Face where these have one. Each option is defined once, in `sections/`: reading,
//! checking ([`Config::load`]) and `docs/configuration.md` ([`markdown`]) come from there.

mod check;
mod docs;
mod foreign_names;
mod formulas;
mod levels;
mod option;
mod read;
mod sections;
mod unknown;

use std::collections::BTreeSet;

use serde::Serialize;

pub use docs::{explain, markdown};
pub use foreign_names::markdown as foreign_names;
pub use levels::Levels;
pub use option::{Bounds, OneOrMore, OptionSpec, OptionValue, Section, TableSpec};
pub use sections::*;

/// Documentation and options of one section.
#[derive(Debug, Clone, PartialEq)]
pub struct SectionSpec {
    /// Name in the file: `[name]`.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionSpec>,
}

/// How a configuration was read. It is no part of what the configuration says: two of them are equal whatever stands here.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The options that a file or an override has given, as `section.key`.
    pub given: BTreeSet<String>,
    /// What is worth telling.
    pub notices: Vec<String>,
}

impl PartialEq for Reading {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

macro_rules! config {
    ($( $(#[doc = $doc:literal])+ $name:ident : $ty:ty ),+ $(,)?) => {
        /// A whole run. `Config::default()` is a valid one; [`Config::load`] reads and checks a file.
        #[derive(Debug, Clone, PartialEq, Default, Serialize)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $name: $ty, )+
            /// How it was read; empty in a configuration made by a program.
            #[serde(skip)]
            pub reading: Reading,
        }
        impl Config {
            /// Every section with its options, in order.
            pub fn sections() -> Vec<SectionSpec> {
                vec![$( SectionSpec { name: stringify!($name), doc: <$ty>::DOC.trim(), options: <$ty>::options() } ),+]
            }
            /// Sets one option that is known to exist (`option.NAME.KEY` within tables by name). `Err` says what was expected.
            fn set(&mut self, section: &str, option: &str, value: &toml::Value) -> Result<(), String> {
                match section {
                    $( stringify!($name) => self.$name.set(option, value), )+
                    _ => unreachable!("no section {section}"),
                }
            }
        }
    };
}

config! {
    /// `[model]`
    model: ModelSection,
    /// `[lora]`
    lora: LoraSection,
    /// `[data]`
    data: DataSection,
    /// `[prompt]`
    prompt: PromptSection,
    /// `[rollout]`
    rollout: RolloutSection,
    /// `[reward]`
    reward: RewardSection,
    /// `[train]`
    train: TrainSection,
    /// `[grpo]`
    grpo: GrpoSection,
    /// `[dpo]`
    dpo: DpoSection,
    /// `[exp]`
    exp: ExpSection,
    /// `[luffy]`
    luffy: LuffySection,
    /// `[star]`
    star: StarSection,
    /// `[rehearsal]`
    rehearsal: RehearsalSection,
    /// `[optim]`
    optim: OptimSection,
    /// `[eval]`
    eval: EvalSection,
    /// `[watchdog]`
    watchdog: WatchdogSection,
}

impl Config {
    /// Documents (`sft`), pairs (`dpo`) or problems that a step takes.
    pub fn rows_per_step(&self) -> usize {
        match self.train.recipe {
            RecipeName::Sft => self.rehearsal.documents_per_step,
            _ => self.train.prompts_per_step,
        }
    }

    /// Sets `train.steps` to what `train.epochs` comes to where there are so many `rows`: whole steps, at least one. Without `train.epochs` nothing happens.
    pub fn set_steps(&mut self, rows: usize) {
        if let Some(epochs) = self.train.epochs {
            let steps = (epochs * rows as f64 / self.rows_per_step() as f64).ceil();
            self.train.steps = (steps as usize).max(1);
        }
    }
}
