//! LoRA (arXiv 2106.09685): low-rank matrices beside the linear layers of a frozen model, `y = x W^T + scale * (x A^T) B^T`, in training and generation.
//!
//! The model's weights stay as they are and may belong to several policies at once, each with an adapter of its own or none. Adapters are read and written
//! in PEFT's format ([`peft`]).

mod adapter;
mod merge;
mod options;
pub mod peft;
mod targets;
#[cfg(test)]
mod tests;

pub use adapter::Adapter;

use crate::error::{Error, Result};
use crate::model::Projection;
use crate::models::BlockTensors;

/// The value of `target_modules` that stands for all of them.
pub const ALL_LINEAR: &str = "all-linear";

/// The largest rank: beyond the width of any model, and small enough that no size overflows.
pub const MAX_RANK: usize = 1 << 16;

/// Options of an adapter, with PEFT's names.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The product is scaled by this over `r` (or its root, see `use_rslora`).
    pub lora_alpha: f64,
    /// Chance of an element of an adapted layer's input to be dropped on its way into the adapter, in passes with gradients.
    pub lora_dropout: f64,
    /// The adapted layers of every block, each once.
    pub target_modules: Vec<TargetModule>,
    /// Scale by alpha / sqrt(r) (rsLoRA, arXiv 2312.03732) instead of alpha / r.
    pub use_rslora: bool,
}

impl LoraConfig {
    /// What the low-rank product is multiplied by.
    pub fn scaling(&self) -> f64 {
        self.scaling_of(self.r, self.lora_alpha)
    }

    /// The same for a module with a rank and an alpha of its own.
    pub(crate) fn scaling_of(&self, rank: usize, alpha: f64) -> f64 {
        let r = rank as f64;
        alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Errors: a rank of 0 or above [`MAX_RANK`], no target modules, numbers out of range; each by PEFT's name.
    pub fn check(&self) -> Result<()> {
        if self.target_modules.is_empty() {
            return Err(Error::Invalid(format!("target_modules is empty; expected \"{ALL_LINEAR}\" or some of {}", TargetModule::names())));
        }
        self.check_numbers()
    }

    /// The same without the target modules.
    pub(crate) fn check_numbers(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::Invalid(message));
        if self.r == 0 {
            return invalid("r is 0, expected a rank of at least 1".to_owned());
        }
        if self.r > MAX_RANK {
            return invalid(format!("r is {}, expected a rank of at most {MAX_RANK}", self.r));
        }
        if !self.lora_alpha.is_finite() || self.lora_alpha <= 0.0 {
            return invalid(format!("lora_alpha is {}, expected a number above 0", self.lora_alpha));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return invalid(format!("lora_dropout is {}, expected at least 0 and below 1", self.lora_dropout));
        }
        Ok(())
    }
}

/// A linear layer of a block that can be adapted, by its Hugging Face name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetModule {
    /// `q_proj`
    Q,
    /// `k_proj`
    K,
    /// `v_proj`
    V,
    /// `o_proj`
    O,
    /// `gate_proj`
    Gate,
    /// `up_proj`
    Up,
    /// `down_proj`
    Down,
}

impl TargetModule {
    /// All of them, in the order of a block.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Hugging Face's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Its path in a block of these tensors.
    pub(crate) fn path(self, tensors: &BlockTensors) -> &'static str {
        let ([q, k, v], [gate, up]) = (tensors.qkv, tensors.gate_up);
        match self {
            Self::Q => q,
            Self::K => k,
            Self::V => v,
            Self::O => tensors.o,
            Self::Gate => gate,
            Self::Up => up,
            Self::Down => tensors.down,
        }
        .hf
    }

    /// The engine's product that it is, or is a part of.
    pub(crate) fn projection(self) -> Projection {
        match self {
            Self::Q | Self::K | Self::V => Projection::Qkv,
            Self::O => Projection::O,
            Self::Gate | Self::Up => Projection::GateUp,
            Self::Down => Projection::Down,
        }
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The modules of `names`, in the order of a block; [`ALL_LINEAR`] alone stands for all of them. `Err` says which name is unknown or can't be adapted,
    /// and the valid ones.
    pub fn parse_all<S: AsRef<str>>(names: &[S]) -> Result<Vec<Self>, String> {
        if let [all] = names
            && all.as_ref() == ALL_LINEAR
        {
            return Ok(Self::ALL.to_vec());
        }
        let valid = || format!("valid are \"{ALL_LINEAR}\" alone, or some of {}", Self::names());
        let parse = |name: &S| match name.as_ref() {
            name @ ("lm_head" | "embed_tokens") => Err(format!(
                "\"{name}\" can't be adapted: the head and the embedding are often one matrix and never get gradients here; {}",
                valid()
            )),
            name => {
                Self::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| format!("unknown target module \"{name}\"; {}", valid()))
            }
        };
        let mut modules: Vec<Self> = names.iter().map(parse).collect::<Result<_, _>>()?;
        modules.sort_unstable();
        modules.dedup();
        if modules.is_empty() { Err(format!("no target module; {}", valid())) } else { Ok(modules) }
    }
}
