//! The run: recipe, length, what is saved, rehearsal, and the optimizer.

use expo_lm::optim::NO_DECAY;

use super::super::option::{Bounds, OptionSpec, OptionValue, Section, choice, section};

section! {
    /// The run.
    TrainSection {
        /// What is drawn, how it is scored, which loss terms use it.
        recipe: RecipeName = RecipeName::ExpGrpo;
        /// Number of rollout batches (`sft`, `star`: of batches of documents).
        steps: usize = 100, in 1..;
        /// Number of steps as passes over the problems (`sft`: documents, `dpo`: preferences) that were read, rounded up to whole steps; 0.5 is half of them. Instead of `steps`. Problems that are
        /// left out later, since they exceed the model's context, count; further questions that dynamic sampling draws don't.
        epochs: Option<f64> = None, in Bounds::positive();
        /// Problems per step (`dpo`, and `exp-dpo` with `exp.every = 0`: pairs; `star`: also documents).
        prompts_per_step: usize = 8, in 1..;
        /// Optimizer steps per rollout batch (TRL's name): the whole batch is used anew in each.
        num_iterations: usize = 1, in 1..;
        /// Most tokens of a micro-batch (at least one sequence). This is gradient accumulation, by tokens: a step's sequences are split into as many micro-batches as it takes, and since every loss term's denominator is that of the whole step, the gradient is the same (to 1e-5) whatever the number.
        max_tokens_per_micro_batch: usize = 4096, in 1..;
        /// Keep only each block's input for the backward pass and compute its other activations again: less memory, about a third more time in passes.
        gradient_checkpointing: bool = false;
        /// Write a checkpoint every N steps, from which the run can go on (0: none on the way). At its end, and when it is stopped by a signal, a run always writes one.
        save_every: usize = 100;
        /// Number of checkpoints that are kept, the newest ones (0: all). Two: if the newest is damaged, there is one before it.
        save_total_limit: usize = 2;
        /// Write checkpoints while training goes on, from a copy of the weights and the optimizer's state (12 bytes a parameter); off: training waits.
        save_async: bool = true;
        /// Number format of the saved model's weights; what a run goes on from is 32-bit in any case.
        save_dtype: SaveDtype = SaveDtype::Bf16;
        /// What reports and plots call the run, and those that differ from it in their seed alone (empty: the options in which it differs from others).
        name: String = String::new();
        /// Seed of everything random in the run.
        seed: u64 = 0;
        /// Rollouts, explanations, documents and pairs of each step written to `completions.jsonl` and `batches.jsonl`, of each at most this many (unset: all, so that the
        /// files hold what was trained on; 0: none). [reports.md](reports.md#records) says what is in them.
        log_completions: Option<usize> = None;
        /// Write the metrics as TensorBoard event files, too (`tensorboard/` in the run's folder).
        tensorboard: bool = true;
    }
}

choice! {
    /// A training algorithm: a sum of loss terms.
    RecipeName {
        /// Policy gradient on rollouts.
        Grpo = "grpo",
        /// The same plus cross-entropy on self-explanations, the answer hidden.
        ExpGrpo = "exp-grpo",
        /// The same plus cross-entropy on the data's expert chains of thought.
        GrpoSftGtCot = "grpo-sft-gt-cot",
        /// Policy gradient on rollouts and on traces of another policy in their groups, expert chains of thought or self-explanations (`[luffy]`).
        Luffy = "luffy",
        /// Preference of the chosen over the rejected side, pairs from the preference files of `data.train`.
        Dpo = "dpo",
        /// The same with pairs that the policy makes: self-explanations, the answer hidden, over its own completions.
        ExpDpo = "exp-dpo",
        /// Cross-entropy on rationales of the policy that reach the answer, by itself or with the answer shown; sampled anew at every outer iteration (`[star]`).
        Star = "star",
        /// Cross-entropy on the documents of `[rehearsal]` alone.
        Sft = "sft",
    }
}

impl RecipeName {
    /// Whether it has a policy-gradient term.
    pub(in crate::config) fn has_policy_gradient(self) -> bool {
        !matches!(self, Self::Sft | Self::Dpo | Self::ExpDpo | Self::Star)
    }
}

choice! {
    /// Number format of saved weights.
    SaveDtype {
        /// bfloat16, as models are usually published.
        Bf16 = "bf16",
        /// 32-bit float: what was trained, unrounded.
        F32 = "f32",
    }
}

impl From<SaveDtype> for expo_lm::weights::folder::SaveDtype {
    fn from(dtype: SaveDtype) -> Self {
        match dtype {
            SaveDtype::Bf16 => Self::Bf16,
            SaveDtype::F32 => Self::F32,
        }
    }
}

choice! {
    /// Turns of a conversation.
    Turns {
        /// The last one.
        Last = "last",
        /// Each one behind what comes before it, as the model sees it when it is asked: a message with `trainable` false or `weight` 0 is left out, and a `prompt` of the row's own has none.
        All = "all",
    }
}

section! {
    /// Cross-entropy on documents of your own in every step, against forgetting; for `sft` it is the training data.
    RehearsalSection {
        /// Documents with `prompt` and `completion`, or chat `messages`: a file or hub data set as in `data.train`, `generator:division` for the pretraining mix, or empty (off).
        data: String = String::new();
        /// Weight of the term.
        weight: f64 = 1.0, in 0.0..;
        /// Documents per step.
        documents_per_step: usize = 24, in 1..;
        /// Which of the assistant's turns are trained on, here and in `eval.loss_data`.
        turns: Turns = Turns::Last;
    }
}

section! {
    /// AdamW (arXiv 1711.05101), its schedule and gradient clipping.
    OptimSection {
        /// Number format of the optimizer's state.
        name: Optimizer = Optimizer::AdamW;
        /// Peak learning rate.
        learning_rate: f64 = 1e-6, in 0.0..;
        /// How it moves after the warm-up.
        lr_scheduler_type: LrSchedule = LrSchedule::Constant;
        /// Optimizer steps of linear warm-up from 0.
        warmup_steps: usize = 0;
        /// The same as a fraction of all optimizer steps, rounded up; give one of the two.
        warmup_ratio: f64 = 0.0, in 0.0..=1.0;
        /// Final learning rate of a linear or cosine schedule, as a fraction of `learning_rate` (above 0 with `cosine`: transformers' `cosine_with_min_lr`).
        min_lr_ratio: f64 = 0.0, in 0.0..=1.0;
        /// Decay of the first moment.
        adam_beta1: f64 = 0.9, in 0.0..1.0;
        /// Decay of the second moment.
        adam_beta2: f64 = 0.999, in 0.0..1.0;
        /// Added to the root of the second moment.
        adam_epsilon: f64 = 1e-8, in Bounds::positive();
        /// Decoupled weight decay.
        weight_decay: f64 = 0.0, in 0.0..;
        /// Parameters that do not decay: those with one of these in their Hugging Face name. The default is what transformers' Trainer leaves out; `"embed_tokens"` adds the embeddings, `"lm_head"` the head.
        no_decay: Vec<String> = NO_DECAY.map(str::to_owned).to_vec();
        /// The gradient's global norm is clipped to this (0: off).
        max_grad_norm: f64 = 1.0, in 0.0..;
    }
}

choice! {
    /// The optimizer.
    Optimizer {
        /// Both moments in 32-bit float: 8 bytes a parameter.
        AdamW = "adamw",
        /// Both moments in 8 bits (arXiv 2110.02861, as bitsandbytes): about 2 bytes a parameter, but for the embedding table and small tensors; results differ a little from `adamw`.
        AdamW8bit = "adamw_8bit",
    }
}

choice! {
    /// How the learning rate moves after the warm-up.
    LrSchedule {
        /// It stays.
        Constant = "constant",
        /// In a straight line to its final value.
        Linear = "linear",
        /// Along half a cosine to its final value.
        Cosine = "cosine",
    }
}
