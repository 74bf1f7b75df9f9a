//! Low-rank adapters: training a few matrices beside a frozen model.

use super::super::option::{Bounds, OneOrMore, OptionSpec, OptionValue, Section, section};

section! {
    /// LoRA (arXiv 2106.09685) with PEFT's names: the model stays as it is, low-rank matrices beside its linear layers are trained, with any recipe. The run's `model`
    /// and `checkpoints` are then adapters in PEFT's format. Usual learning rates are about ten times those of full fine-tuning.
    LoraSection {
        /// Rank of a new adapter. 0: none, all weights are trained (or `adapter` goes on).
        r: usize = 0, in 0..=65_536;
        /// The adapter's product is scaled by this over `r`.
        lora_alpha: f64 = 32.0, in Bounds::positive();
        /// Chance of an element of an adapted layer's input to be dropped on its way into the adapter; in training passes only, never in sampling or scoring.
        lora_dropout: f64 = 0.0, in 0.0..1.0;
        /// The adapted layers: `"all-linear"`, or some of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`.
        target_modules: OneOrMore = "all-linear".into();
        /// Scale by alpha / sqrt(`r`) (rsLoRA, arXiv 2312.03732) instead of alpha / `r`.
        use_rslora: bool = false;
        /// Go on with the adapter in this folder (PEFT's format), with its own options. It is then the initial policy and the reference.
        adapter: String = String::new();
    }
}
