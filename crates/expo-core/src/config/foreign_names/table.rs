//! The names: what they are here, or why there is nothing like them.

use super::names::Here::{self, Maps, None, Same};
use super::names::{ForeignName, ForeignValue, Library};

const fn trl(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Trl, name, here }
}
const fn peft(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Peft, name, here }
}
const fn unsloth(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Unsloth, name, here }
}
const fn verl(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Verl, name, here }
}
const fn vllm(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Vllm, name, here }
}

const fn torch(name: &'static str, here: Here) -> ForeignName {
    ForeignName { library: Library::Torch, name, here }
}

const NO_VLLM: &str =
    "completions are drawn by this program's own engine, in the same process and from the same weights; there is no server to set up";
const NO_HALF: &str = "training computes in 32-bit floats; train.save_dtype says what the saved model is written in";
const NO_QUANTISED: &str = "weights are not quantised for training; lora.r saves gradients and optimizer state, optim.name = \"adamw_8bit\" saves most of that state, \
    train.gradient_checkpointing saves activations";
const ONE_PROCESS: &str = "a run is one process that uses all cores (--threads N for fewer)";
const NO_CRITIC: &str = "there is no critic (value model): advantages come from groups of completions (grpo.adv_estimator)";
const NO_TRUNCATION: &str = "problems and documents that exceed the model's context are left out whole and counted; none is cut";
const NO_TRACKER: &str = "a run writes metrics.jsonl and TensorBoard event files (train.tensorboard) in its folder; `expo-rl report` makes a page of them, \
    scripts/to_wandb.py hands them to Weights & Biases";
const OWN_REWARD: &str = "`[reward.external.NAME]` with command = [\"python\", \"reward.py\"] asks a program of yours (docs/rewards.md)";
const MICRO_BATCH: &str = "a step is split into micro-batches by tokens, not by rows, and its gradient is the same whatever their number; lower it where memory is short";
const BATCH: &str = "prompts a step, each with rollout.num_generations completions: per_device_train_batch_size * gradient_accumulation_steps * processes / num_generations";
const ANSWER_ONLY: &str = "cross-entropy is always on completions alone (rehearsal.turns says on which turns)";

/// Every name, grouped by subject.
pub(super) const NAMES: &[ForeignName] = &[
    // Length of the run, batches.
    trl("num_train_epochs", Same("train.epochs")),
    trl("max_steps", Maps(&["train.steps"], "the same number; for TRL's -1 give train.epochs instead")),
    trl("per_device_train_batch_size", Maps(&["train.prompts_per_step"], BATCH)),
    trl("gradient_accumulation_steps", Maps(&["train.prompts_per_step", "train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    trl("generation_batch_size", Maps(&["train.prompts_per_step"], "in prompts: generation_batch_size / num_generations")),
    trl("steps_per_generation", Maps(&["train.num_iterations"], "a rollout batch is not divided: each optimizer step uses all of it")),
    trl("auto_find_batch_size", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    trl("num_iterations", Same("train.num_iterations")),
    trl("seed", Same("train.seed")),
    trl("data_seed", Maps(&["train.seed"], "one seed for everything random")),
    // Model.
    trl("model_name_or_path", Same("model.path")),
    trl("model_init_kwargs", None("a model is loaded as its config.json says")),
    trl("torch_dtype", None(NO_HALF)),
    trl("dtype", None(NO_HALF)),
    trl("bf16", None(NO_HALF)),
    trl("fp16", None(NO_HALF)),
    trl("tf32", None(NO_HALF)),
    trl(
        "attn_implementation",
        None("there is one attention, in tiles as FlashAttention; its memory grows with the length, not with its square"),
    ),
    trl("trust_remote_code", None("no code is taken from model folders; docs/models.md lists what is read")),
    trl("disable_dropout", Maps(&["lora.lora_dropout"], "the model itself has none; 0 is the default")),
    trl("torch_compile", None("kernels are compiled beforehand")),
    trl("use_liger_kernel", None("the head is computed in chunks in any case, so that [tokens, vocabulary] never exists")),
    trl("gradient_checkpointing", Same("train.gradient_checkpointing")),
    trl("activation_checkpointing", Same("train.gradient_checkpointing")),
    trl("gradient_checkpointing_kwargs", Maps(&["train.gradient_checkpointing"], "true or false; it has no further options")),
    trl("activation_offloading", Maps(&["train.gradient_checkpointing"], "activations are kept or computed again, never moved elsewhere")),
    // Completions.
    trl("num_generations", Same("rollout.num_generations")),
    trl("num_generations_eval", Same("eval.num_samples")),
    trl(
        "max_completion_length",
        Maps(&["rollout.max_new_tokens", "exp.max_new_tokens"], "the same number, for completions and for explanations"),
    ),
    trl("response_length", Same("rollout.max_new_tokens")),
    trl("max_prompt_length", None(NO_TRUNCATION)),
    trl("max_length", None(NO_TRUNCATION)),
    trl("truncation_mode", None(NO_TRUNCATION)),
    trl("repetition_penalty", None("completions are drawn from the policy as it is: what is drawn otherwise biases the policy gradient")),
    trl("generation_kwargs", Maps(&["rollout.temperature", "rollout.max_new_tokens"], "the options of [rollout], one by one")),
    trl("cache_implementation", None("the KV cache is paged")),
    trl("use_vllm", None(NO_VLLM)),
    trl("vllm_mode", None(NO_VLLM)),
    trl("vllm_server_host", None(NO_VLLM)),
    trl("vllm_server_base_url", None(NO_VLLM)),
    trl(
        "vllm_gpu_memory_utilization",
        Maps(&["rollout.max_num_seqs"], "there is no vLLM; fewer sequences decoded at once take less memory"),
    ),
    trl("vllm_tensor_parallel_size", None(NO_VLLM)),
    trl(
        "vllm_importance_sampling_correction",
        Maps(&["grpo.importance_sampling_cap"], "a number turns it on; unset, it is on where sampler and trainer differ"),
    ),
    trl("vllm_importance_sampling_cap", Same("grpo.importance_sampling_cap")),
    trl("vllm_importance_sampling_clip_max", Same("grpo.importance_sampling_cap")),
    trl("use_transformers_paged", None(NO_VLLM)),
    // Rewards.
    trl("reward_funcs", Maps(&["reward.correctness", "reward.format", "reward.external"], OWN_REWARD)),
    trl("reward_weights", Maps(&["reward.correctness", "reward.format"], "each reward's own option is its weight")),
    trl("reward_model_path", Maps(&["reward.external"], "serve the model and give its url, or a command (docs/rewards.md)")),
    trl("multi_objective_aggregation", None("rewards are weighted and added up, then normalised")),
    // The loss.
    trl("kl_coef", Same("grpo.beta")),
    trl("init_kl_coef", Same("grpo.beta")),
    trl("cliprange", Same("grpo.epsilon")),
    trl("num_ppo_epochs", Same("train.num_iterations")),
    trl("rloo_k", Same("rollout.num_generations")),
    trl("top_entropy_quantile", None("the policy gradient is on all tokens; grpo.entropy_coef is the bonus that there is")),
    trl("use_bias_correction_kl", None("KL is corrected by no weight; with train.num_iterations = 1 the weight would be 1")),
    trl("sapo_temperature_neg", None("SAPO's soft gate is not here; the clipped losses are grpo.loss_type's")),
    trl("loss_weights", Maps(&["dpo.rpo_alpha"], "the second weight of loss_type = [\"sigmoid\", \"sft\"]")),
    trl(
        "reference_free",
        None("DPO's losses here are against a reference; it is the initial policy and costs nothing where it is precomputed"),
    ),
    trl(
        "ref_model",
        Maps(
            &["grpo.sync_ref_model", "dpo.sync_ref_model"],
            "the reference is the initial policy, or follows the policy with sync_ref_model",
        ),
    ),
    // The optimizer.
    trl("optim", Maps(&["optim.name"], "\"adamw\" for adamw_torch and its kin, \"adamw_8bit\" for adamw_bnb_8bit and paged_adamw_8bit")),
    trl("num_warmup_steps", Same("optim.warmup_steps")),
    trl("lr_scheduler_kwargs", Maps(&["optim.min_lr_ratio"], "min_lr_rate by the same number; min_lr divided by the learning rate")),
    trl("neftune_noise_alpha", None("no noise is added to embeddings")),
    // What is saved, shown, evaluated.
    trl("output_dir", None("the run's folder is an argument: expo-rl train CONFIG.toml --out DIR")),
    trl("overwrite_output_dir", None("a run's folder is never written over; remove it, or give another --out")),
    trl("save_steps", Same("train.save_every")),
    trl("save_strategy", Maps(&["train.save_every"], "checkpoints come every N steps; 0: only the one at the end")),
    trl("save_only_model", None("a checkpoint holds all that a run needs to go on; the model alone is in the run's model folder")),
    trl("push_to_hub", None("upload the run's model folder by `hf upload`")),
    trl("resume_from_checkpoint", None("expo-rl train CONFIG.toml --out DIR --resume goes on with the newest checkpoint")),
    trl("load_best_model_at_end", Maps(&["eval.metric_for_best_model"], "the best model is kept as model-best in the run's folder")),
    trl("eval_steps", Same("eval.every")),
    trl("eval_strategy", Maps(&["eval.every"], "evaluation comes every N steps; 0: never")),
    trl("eval_on_start", Same("eval.at_start")),
    trl(
        "per_device_eval_batch_size",
        Maps(&["rollout.max_num_seqs"], "as many sequences are decoded at once in evaluation as in rollouts"),
    ),
    trl("early_stopping_callback", Maps(&["eval.early_stopping_patience"], "evaluations without progress before the run stops")),
    trl("logging_steps", None("every step is a row of metrics.jsonl")),
    trl("logging_dir", Maps(&["train.tensorboard"], "event files lie in the run's folder, under tensorboard")),
    trl("report_to", Maps(&["train.tensorboard"], NO_TRACKER)),
    trl("run_name", Same("train.name")),
    trl("num_completions_to_print", Same("train.log_completions")),
    trl("dataloader_num_workers", None("data is read once, before the first step")),
    trl("dataloader_drop_last", None("a pass that does not fill a step is filled up from the next pass")),
    trl("ddp_backend", None(ONE_PROCESS)),
    trl("fsdp", None(ONE_PROCESS)),
    trl("deepspeed", None(ONE_PROCESS)),
    // Data.
    trl("dataset_name", Maps(&["data.train", "rehearsal.data"], "a hub name or a file; documents for sft are rehearsal.data")),
    trl("dataset_config", Same("data.config")),
    trl("dataset_train_split", Same("data.split")),
    trl("dataset_test_split", Same("eval.split")),
    trl("dataset_text_field", None("documents have prompt and completion, or chat messages (docs/data.md)")),
    trl("shuffle_dataset", Same("data.shuffle")),
    trl("packing", None("sequences are always packed, and never see each other")),
    trl("padding_free", None("sequences are always packed, and never see each other")),
    trl("completion_only_loss", None(ANSWER_ONLY)),
    trl("assistant_only_loss", Maps(&["rehearsal.turns"], "\"all\" for every assistant turn")),
    trl("system_prompt", Same("prompt.system")),
    // Adapters.
    peft("rank", Same("lora.r")),
    peft("lora_r", Same("lora.r")),
    peft("lora_rank", Same("lora.r")),
    peft("alpha", Same("lora.lora_alpha")),
    peft("dropout", Same("lora.lora_dropout")),
    peft("lora_target_modules", Same("lora.target_modules")),
    peft("use_peft", Maps(&["lora.r"], "a rank above 0 makes an adapter")),
    peft("use_dora", None("DoRA is not here; lora.use_rslora is")),
    peft("modules_to_save", None("an adapter trains its own matrices alone")),
    peft("bias", None("biases are not trained beside an adapter")),
    peft("init_lora_weights", None("A is drawn at random, B is 0, as PEFT's default")),
    peft("layers_to_transform", None("a new adapter is in all layers; lora.target_modules says at which of their products")),
    peft("rank_pattern", None("a new adapter has one rank; adapters made by PEFT with it are read (lora.adapter)")),
    // Unsloth.
    unsloth("model_name", Same("model.path")),
    unsloth("max_seq_length", None(NO_TRUNCATION)),
    unsloth("load_in_4bit", None(NO_QUANTISED)),
    unsloth("load_in_8bit", None(NO_QUANTISED)),
    unsloth("load_in_16bit", None(NO_HALF)),
    unsloth("full_finetuning", Maps(&["lora.r"], "0, the default: all weights are trained")),
    unsloth("fast_inference", None(NO_VLLM)),
    unsloth("max_lora_rank", Maps(&["lora.r"], "the rank itself; there is no limit to set beforehand")),
    unsloth("gpu_memory_utilization", Maps(&["rollout.max_num_seqs"], "fewer sequences decoded at once take less memory")),
    unsloth("use_gradient_checkpointing", Maps(&["train.gradient_checkpointing"], "true for \"unsloth\"")),
    unsloth("random_state", Same("train.seed")),
    unsloth("loftq_config", None("weights are not quantised, so there is no error of it to start from")),
    unsloth("unsloth_num_chunks", None("the head is computed in chunks in any case")),
    // vLLM's and OpenAI's words for sampling.
    vllm("max_tokens", Same("rollout.max_new_tokens")),
    vllm("max_model_len", None(NO_TRUNCATION)),
    vllm("presence_penalty", None("completions are drawn from the policy as it is")),
    vllm("frequency_penalty", None("completions are drawn from the policy as it is")),
    vllm("stop", None("a completion ends with the model's own end tokens (generation_config.json)")),
    vllm("tensor_parallel_size", None(ONE_PROCESS)),
    // PyTorch.
    torch("lr", Same("optim.learning_rate")),
    torch("num_epochs", Same("train.epochs")),
    torch("num_steps", Same("train.steps")),
    torch("batch_size", Maps(&["train.prompts_per_step", "rehearsal.documents_per_step"], "problems and documents of an optimizer step")),
    torch(
        "train_batch_size",
        Maps(&["train.prompts_per_step", "rehearsal.documents_per_step"], "problems and documents of an optimizer step"),
    ),
    torch("micro_batch_size", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    torch("betas", Maps(&["optim.adam_beta1", "optim.adam_beta2"], "one option each")),
    torch("eps", Same("optim.adam_epsilon")),
    torch("clip_grad_norm", Same("optim.max_grad_norm")),
    torch("lr_scheduler", Same("optim.lr_scheduler_type")),
    torch("device", None("`expo-rl devices` shows what there is")),
    // verl.
    verl("actor_rollout_ref.model.path", Same("model.path")),
    verl("actor_rollout_ref.model.lora_rank", Same("lora.r")),
    verl("actor_rollout_ref.model.lora_alpha", Same("lora.lora_alpha")),
    verl("actor_rollout_ref.model.target_modules", Same("lora.target_modules")),
    verl("actor_rollout_ref.model.enable_gradient_checkpointing", Same("train.gradient_checkpointing")),
    verl("actor_rollout_ref.model.use_remove_padding", None("sequences are always packed")),
    verl("actor_rollout_ref.actor.strategy", None(ONE_PROCESS)),
    verl("actor_rollout_ref.actor.fsdp_config", None(ONE_PROCESS)),
    verl("actor_rollout_ref.actor.fsdp_config.param_offload", None(ONE_PROCESS)),
    verl("actor_rollout_ref.actor.fsdp_config.optimizer_offload", None(ONE_PROCESS)),
    verl(
        "actor_rollout_ref.actor.ppo_mini_batch_size",
        Maps(&["train.num_iterations"], "a rollout batch is not divided: train.prompts_per_step is the optimizer's batch, too"),
    ),
    verl("actor_rollout_ref.actor.ppo_micro_batch_size", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.actor.ppo_max_token_len_per_gpu", Same("train.max_tokens_per_micro_batch")),
    verl("actor_rollout_ref.actor.use_dynamic_bsz", Maps(&["train.max_tokens_per_micro_batch"], "micro-batches are always by tokens")),
    verl("actor_rollout_ref.actor.ppo_epochs", Same("train.num_iterations")),
    verl("actor_rollout_ref.actor.clip_ratio", Same("grpo.epsilon")),
    verl("actor_rollout_ref.actor.clip_ratio_low", Same("grpo.epsilon")),
    verl("actor_rollout_ref.actor.clip_ratio_high", Same("grpo.epsilon_high")),
    verl("actor_rollout_ref.actor.clip_ratio_c", Maps(&["grpo.delta"], "the same bound of the ratio where the advantage is negative")),
    verl(
        "actor_rollout_ref.actor.loss_agg_mode",
        Maps(&["grpo.loss_type"], "token-mean: \"dapo\"; seq-mean-token-mean: \"grpo\"; seq-mean-token-sum-norm: \"dr_grpo\""),
    ),
    verl(
        "actor_rollout_ref.actor.policy_loss.loss_mode",
        Maps(
            &["grpo.importance_sampling_level", "grpo.loss_type"],
            "gspo: importance_sampling_level = \"sequence\"; cispo: loss_type = \"cispo\"; \
            clip_cov, kl_cov and gpg are not here",
        ),
    ),
    verl("actor_rollout_ref.actor.entropy_coeff", Same("grpo.entropy_coef")),
    verl("actor_rollout_ref.actor.use_kl_loss", Maps(&["grpo.beta"], "above 0: KL is in the loss")),
    verl("actor_rollout_ref.actor.kl_loss_coef", Same("grpo.beta")),
    verl("actor_rollout_ref.actor.kl_loss_type", Maps(&["grpo.kl_estimator"], "low_var_kl: \"k3\"; mse: \"k2\"; kl (k1) can't be a loss")),
    verl("actor_rollout_ref.actor.grad_clip", Same("optim.max_grad_norm")),
    verl("actor_rollout_ref.actor.optim.lr", Same("optim.learning_rate")),
    verl("actor_rollout_ref.actor.optim.lr_warmup_steps", Same("optim.warmup_steps")),
    verl("actor_rollout_ref.actor.optim.lr_warmup_steps_ratio", Same("optim.warmup_ratio")),
    verl("actor_rollout_ref.actor.optim.weight_decay", Same("optim.weight_decay")),
    verl("actor_rollout_ref.actor.optim.min_lr_ratio", Same("optim.min_lr_ratio")),
    verl("actor_rollout_ref.actor.optim.warmup_style", Same("optim.lr_scheduler_type")),
    verl("actor_rollout_ref.actor.optim.lr_scheduler_type", Same("optim.lr_scheduler_type")),
    verl("actor_rollout_ref.actor.optim.total_training_steps", Same("train.steps")),
    verl("actor_rollout_ref.actor.checkpoint.async_save", Same("train.save_async")),
    verl("actor_rollout_ref.ref.log_prob_micro_batch_size", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.ref.fsdp_config.param_offload", None(ONE_PROCESS)),
    verl("actor_rollout_ref.rollout.name", None(NO_VLLM)),
    verl("actor_rollout_ref.rollout.mode", None(NO_VLLM)),
    verl("actor_rollout_ref.rollout.n", Same("rollout.num_generations")),
    verl("actor_rollout_ref.rollout.temperature", Same("rollout.temperature")),
    verl("actor_rollout_ref.rollout.top_p", Same("rollout.top_p")),
    verl("actor_rollout_ref.rollout.top_k", Maps(&["rollout.top_k"], "0 for verl's -1")),
    verl("actor_rollout_ref.rollout.response_length", Same("rollout.max_new_tokens")),
    verl("actor_rollout_ref.rollout.prompt_length", None(NO_TRUNCATION)),
    verl("actor_rollout_ref.rollout.max_num_seqs", Same("rollout.max_num_seqs")),
    verl(
        "actor_rollout_ref.rollout.gpu_memory_utilization",
        Maps(&["rollout.max_num_seqs"], "fewer sequences decoded at once take less memory"),
    ),
    verl("actor_rollout_ref.rollout.tensor_model_parallel_size", None(ONE_PROCESS)),
    verl("actor_rollout_ref.rollout.enforce_eager", None(NO_VLLM)),
    verl("actor_rollout_ref.rollout.log_prob_micro_batch_size", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu", Maps(&["train.max_tokens_per_micro_batch"], MICRO_BATCH)),
    verl("actor_rollout_ref.rollout.calculate_log_probs", Maps(&["grpo.old_log_probs"], "\"sampler\" takes those of the sampler")),
    verl("actor_rollout_ref.rollout.val_kwargs.n", Same("eval.num_samples")),
    verl("actor_rollout_ref.rollout.val_kwargs.temperature", Same("eval.temperature")),
    verl("algorithm.adv_estimator", Maps(&["grpo.adv_estimator"], "the same words but gae, which needs a critic")),
    verl("algorithm.norm_adv_by_std_in_grpo", Maps(&["grpo.scale_rewards"], "\"group\" for true, \"none\" for false")),
    verl("algorithm.use_kl_in_reward", Same("grpo.use_kl_in_reward")),
    verl("algorithm.kl_penalty", Maps(&["grpo.kl_estimator"], "kl: \"k1\"; mse: \"k2\"; low_var_kl: \"k3\"")),
    verl("algorithm.kl_ctrl.kl_coef", Same("grpo.beta")),
    verl("algorithm.kl_ctrl.type", Maps(&["grpo.beta"], "the coefficient is fixed; watchdog.max_kl watches over KL")),
    verl(
        "algorithm.kl_ctrl.target_kl",
        Maps(&["watchdog.max_kl"], "the coefficient does not adapt; a run can stop or go back where KL exceeds it"),
    ),
    verl("algorithm.gamma", None("one reward for a whole completion, not discounted")),
    verl("algorithm.lam", None(NO_CRITIC)),
    verl("algorithm.filter_groups.enable", Same("grpo.filter_groups")),
    verl("algorithm.filter_groups.max_num_gen_batches", Same("grpo.max_num_gen_batches")),
    verl("algorithm.filter_groups.metric", None("groups are told apart by the whole reward")),
    verl("critic.optim.lr", None(NO_CRITIC)),
    verl("critic.model.path", None(NO_CRITIC)),
    verl("critic.ppo_mini_batch_size", None(NO_CRITIC)),
    verl("critic", None(NO_CRITIC)),
    verl("data.train_files", Same("data.train")),
    verl("data.val_files", Same("eval.data")),
    verl("data.train_batch_size", Same("train.prompts_per_step")),
    verl(
        "data.gen_batch_size",
        Maps(&["train.prompts_per_step", "grpo.max_num_gen_batches"], "dynamic sampling draws this many prompts at a time"),
    ),
    verl("data.val_batch_size", Maps(&["rollout.max_num_seqs"], "as many sequences are decoded at once in evaluation as in rollouts")),
    verl("data.max_prompt_length", None(NO_TRUNCATION)),
    verl(
        "data.max_response_length",
        Maps(&["rollout.max_new_tokens", "exp.max_new_tokens"], "the same number, for completions and for explanations"),
    ),
    verl("data.prompt_key", Same("data.question_field")),
    verl(
        "data.reward_fn_key",
        None("one set of rewards for all problems; a program of yours (reward.external) sees the whole row's fields"),
    ),
    verl("data.filter_overlong_prompts", None(NO_TRUNCATION)),
    verl("data.truncation", None(NO_TRUNCATION)),
    verl("data.apply_chat_template_kwargs", Same("prompt.chat_template_kwargs")),
    verl("reward_model.enable", Maps(&["reward.external"], "serve the model and give its url, or a command (docs/rewards.md)")),
    verl(
        "reward_model.reward_manager",
        Maps(&["reward.correctness", "reward.soft_overlong_punishment"], "rewards are options of [reward], each with a weight"),
    ),
    verl("reward_model.overlong_buffer.len", Same("reward.soft_punish_cache")),
    verl("reward_model.overlong_buffer.penalty_factor", Same("reward.soft_overlong_punishment")),
    verl("custom_reward_function.path", Maps(&["reward.external"], OWN_REWARD)),
    verl("custom_reward_function.name", Maps(&["reward.external"], OWN_REWARD)),
    verl("trainer.total_epochs", Same("train.epochs")),
    verl("trainer.total_training_steps", Same("train.steps")),
    verl("trainer.save_freq", Maps(&["train.save_every"], "the same number; 0 for verl's -1")),
    verl("trainer.test_freq", Maps(&["eval.every"], "the same number; 0 for verl's -1")),
    verl("trainer.val_before_train", Same("eval.at_start")),
    verl("trainer.max_actor_ckpt_to_keep", Same("train.save_total_limit")),
    verl("trainer.logger", Maps(&["train.tensorboard"], NO_TRACKER)),
    verl("trainer.project_name", None("the run's folder is its name: expo-rl train CONFIG.toml --out runs/NAME")),
    verl("trainer.experiment_name", Same("train.name")),
    verl("trainer.default_local_dir", None("the run's folder is an argument: expo-rl train CONFIG.toml --out DIR")),
    verl("trainer.resume_mode", None("expo-rl train CONFIG.toml --out DIR --resume goes on with the newest checkpoint")),
    verl("trainer.n_gpus_per_node", None(ONE_PROCESS)),
    verl("trainer.nnodes", None(ONE_PROCESS)),
    verl("trainer.critic_warmup", None(NO_CRITIC)),
    verl("trainer.log_val_generations", Maps(&["train.log_completions"], "completions of every step are in completions.jsonl")),
];

const fn value(
    option: &'static str,
    names: &'static [&'static str],
    settings: &'static [(&'static str, &'static str)],
    note: &'static str,
) -> ForeignValue {
    ForeignValue { option, names, settings, note }
}

/// Algorithms and other words that are values elsewhere.
pub(super) const VALUES: &[ForeignValue] = &[
    value("train.recipe", &["expo", "exp"], &[("train.recipe", "\"exp-grpo\"")], "or \"exp-dpo\", its preference form"),
    value(
        "train.recipe",
        &["gspo"],
        &[
            ("train.recipe", "\"grpo\""),
            ("grpo.importance_sampling_level", "\"sequence\""),
            ("grpo.epsilon", "3e-4"),
            ("grpo.epsilon_high", "4e-4"),
        ],
        "configs/gspo-tiny.toml",
    ),
    value(
        "train.recipe",
        &["dapo"],
        &[("train.recipe", "\"grpo\""), ("grpo.loss_type", "\"dapo\""), ("grpo.epsilon_high", "0.28"), ("grpo.filter_groups", "true")],
        "configs/dapo-tiny.toml has the soft overlong punishment, too",
    ),
    value(
        "train.recipe",
        &["dr_grpo", "drgrpo"],
        &[("train.recipe", "\"grpo\""), ("grpo.loss_type", "\"dr_grpo\""), ("grpo.scale_rewards", "\"none\"")],
        "configs/dr-grpo-tiny.toml",
    ),
    value("train.recipe", &["bnpo"], &[("train.recipe", "\"grpo\""), ("grpo.loss_type", "\"bnpo\"")], ""),
    value(
        "train.recipe",
        &["rloo"],
        &[("train.recipe", "\"grpo\""), ("grpo.adv_estimator", "\"rloo\"")],
        "configs/rloo-tiny.toml has KL in the reward, too",
    ),
    value(
        "train.recipe",
        &["reinforce_plus_plus", "reinforce++", "rpp"],
        &[("train.recipe", "\"grpo\""), ("grpo.adv_estimator", "\"reinforce_plus_plus\"")],
        "",
    ),
    value(
        "train.recipe",
        &["reinforce_plus_plus_baseline", "reinforce++_baseline"],
        &[("train.recipe", "\"grpo\""), ("grpo.adv_estimator", "\"reinforce_plus_plus_baseline\"")],
        "",
    ),
    value(
        "train.recipe",
        &["cispo"],
        &[("train.recipe", "\"grpo\""), ("grpo.loss_type", "\"cispo\""), ("grpo.epsilon_high", "5.0")],
        "configs/cispo-tiny.toml",
    ),
    value(
        "train.recipe",
        &["verifree", "nover"],
        &[
            ("train.recipe", "\"grpo\""),
            ("reward.correctness", "0.0"),
            ("reward.answer_likelihood", "1.0"),
            ("grpo.adv_estimator", "\"rloo\""),
        ],
        "configs/verifree-tiny.toml",
    ),
    value(
        "train.recipe",
        &["rft", "raft", "rejection_sampling", "best_of_n", "rest_em"],
        &[("train.recipe", "\"star\""), ("star.rationalize", "false")],
        "",
    ),
    value("train.recipe", &["pretrain", "clm", "lm", "finetune", "fine_tuning"], &[("train.recipe", "\"sft\"")], "with rehearsal.data"),
    value("train.recipe", &["lora", "peft"], &[("lora.r", "16")], "an adapter goes with any recipe"),
    value("train.recipe", &["qlora"], &[("lora.r", "16")], "an adapter goes with any recipe; weights are not quantised"),
    value("train.recipe", &["ipo"], &[("train.recipe", "\"dpo\""), ("dpo.loss_type", "\"ipo\"")], ""),
    value("train.recipe", &["slic", "slic_hf", "hinge"], &[("train.recipe", "\"dpo\""), ("dpo.loss_type", "\"hinge\"")], ""),
    value("train.recipe", &["rpo"], &[("train.recipe", "\"dpo\""), ("dpo.rpo_alpha", "1.0")], ""),
    value("train.recipe", &["cdpo"], &[("train.recipe", "\"dpo\""), ("dpo.label_smoothing", "0.1")], ""),
    value(
        "train.recipe",
        &["online_dpo", "iterative_dpo", "nash_md", "xpo"],
        &[],
        "pairs that the policy makes as it learns are recipe \"exp-dpo\": its explanations over its own wrong completions, every exp.every steps",
    ),
    value("train.recipe", &["ppo", "vapo", "gae", "a2c", "actor_critic"], &[], "there is no critic; recipe \"grpo\" has its clipped loss"),
    value(
        "train.recipe",
        &["reinforce", "remax", "opo", "gpg"],
        &[],
        "the nearest that there is: recipe \"grpo\" with grpo.adv_estimator = \"rloo\"",
    ),
    value(
        "train.recipe",
        &["sapo", "vespo", "gmpo", "luspo", "clip_cov", "kl_cov"],
        &[],
        "this loss is not here; grpo.loss_type lists those that are",
    ),
    value(
        "train.recipe",
        &["orpo", "simpo", "cpo"],
        &[],
        "there is no loss without a reference; recipe \"dpo\" has those that are here, by dpo.loss_type",
    ),
    value("train.recipe", &["kto", "bco"], &[], "there is no loss on single completions; pairs of them are recipe \"dpo\""),
    value(
        "train.recipe",
        &["gkd", "distillation", "minillm", "gold"],
        &[],
        "there is no teacher's distribution here; a teacher's texts are documents for \"sft\"",
    ),
    value(
        "train.recipe",
        &["reward", "reward_model", "reward_modeling", "prm"],
        &[],
        "reward models are not trained here; reward.external asks one that is served",
    ),
    value("grpo.loss_type", &["gspo", "gspo_token"], &[("grpo.importance_sampling_level", "\"sequence\"")], ""),
    value("grpo.loss_type", &["token_mean"], &[("grpo.loss_type", "\"dapo\"")], ""),
    value("grpo.loss_type", &["seq_mean_token_mean"], &[("grpo.loss_type", "\"grpo\"")], ""),
    value("grpo.loss_type", &["seq_mean_token_sum_norm", "drgrpo"], &[("grpo.loss_type", "\"dr_grpo\"")], ""),
    value("grpo.loss_type", &["sapo", "vespo", "luspo"], &[], "this loss is not here"),
    value("grpo.adv_estimator", &["gae"], &[], NO_CRITIC),
    value("grpo.adv_estimator", &["rloo_vectorized"], &[("grpo.adv_estimator", "\"rloo\"")], ""),
    value("grpo.adv_estimator", &["grpo_vectorized"], &[("grpo.adv_estimator", "\"grpo\"")], ""),
    value("grpo.adv_estimator", &["reinforce++"], &[("grpo.adv_estimator", "\"reinforce_plus_plus\"")], ""),
    value("grpo.adv_estimator", &["remax", "opo", "gpg", "grpo_passk"], &[], "this estimator is not here"),
    value("grpo.scale_rewards", &["true"], &[("grpo.scale_rewards", "\"group\"")], ""),
    value("grpo.scale_rewards", &["false"], &[("grpo.scale_rewards", "\"none\"")], ""),
    value("grpo.kl_estimator", &["kl"], &[("grpo.kl_estimator", "\"k1\""), ("grpo.use_kl_in_reward", "true"), ("grpo.beta", "0.001")], ""),
    value("grpo.kl_estimator", &["mse"], &[("grpo.kl_estimator", "\"k2\"")], ""),
    value("grpo.kl_estimator", &["low_var_kl"], &[("grpo.kl_estimator", "\"k3\"")], ""),
    value("grpo.kl_estimator", &["abs", "full"], &[], "this estimator is not here"),
    value("dpo.loss_type", &["slic"], &[("dpo.loss_type", "\"hinge\"")], ""),
    value("dpo.loss_type", &["sft"], &[("dpo.rpo_alpha", "1.0")], "beside another loss"),
    value("optim.name", &["adamw_torch", "adamw_torch_fused", "adamw_hf", "adam"], &[("optim.name", "\"adamw\"")], ""),
    value("optim.name", &["adamw_bnb_8bit", "paged_adamw_8bit", "paged_adamw"], &[("optim.name", "\"adamw_8bit\"")], ""),
    value("optim.name", &["sgd", "lion", "muon", "adafactor", "sophia"], &[], "AdamW is the optimizer here"),
    value(
        "optim.lr_scheduler_type",
        &["constant_with_warmup"],
        &[("optim.lr_scheduler_type", "\"constant\""), ("optim.warmup_ratio", "0.03")],
        "",
    ),
    value(
        "optim.lr_scheduler_type",
        &["cosine_with_min_lr"],
        &[("optim.lr_scheduler_type", "\"cosine\""), ("optim.min_lr_ratio", "0.1")],
        "",
    ),
    value(
        "optim.lr_scheduler_type",
        &["cosine_with_restarts", "polynomial", "inverse_sqrt", "warmup_stable_decay"],
        &[],
        "this schedule is not here",
    ),
    value("train.save_dtype", &["bfloat16", "torch.bfloat16"], &[("train.save_dtype", "\"bf16\"")], ""),
    value("train.save_dtype", &["float32", "fp32", "torch.float32", "float"], &[("train.save_dtype", "\"f32\"")], ""),
    value(
        "train.save_dtype",
        &["float16", "fp16", "f16", "half"],
        &[],
        "16-bit floats with 5 bits of exponent can't hold every weight; \"bf16\" can, more coarsely",
    ),
    value("train.gradient_checkpointing", &["unsloth"], &[("train.gradient_checkpointing", "true")], ""),
    value("data.format", &["json", "jsonl", "csv", "parquet"], &[("data.format", "\"auto\"")], "a file's kind is known by its name"),
];
