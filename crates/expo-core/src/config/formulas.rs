//! Formulas behind options, and the papers that they are from: what `expo-rl docs OPTION` shows beside an option's own documentation.

/// What an option is in a formula.
#[derive(Debug)]
pub(super) struct Formula {
    /// `section.option`.
    pub option: &'static str,
    /// The formula in plain letters; empty: the paper alone.
    pub formula: &'static str,
    /// Where it is from: a name and, of a paper on arXiv, its number.
    pub source: &'static str,
}

const fn formula(option: &'static str, formula: &'static str, source: &'static str) -> Formula {
    Formula { option, formula, source }
}

const GRPO: &str = "GRPO, arXiv 2402.03300";
const EXPO: &str = "ExPO, arXiv 2507.02834";
const SURROGATE: &str = "L = -min(rho A, clip(rho, 1 - epsilon, 1 + epsilon_high) A), rho = pi / pi_old";
const EXP_TERM: &str = "L = L_policy - beta E_q[mean_c[mean_t log pi(c_t | q, c_<t)]], c an explanation written with the answer shown";
const SYNC: &str = "pi_ref <- alpha pi + (1 - alpha) pi_ref";
const COSINE: &str =
    "r = max + (min - max) (1 - cos(pi length / cosine_max_len)) / 2 of a right completion, the ends swapped of a wrong one";

/// Every formula, in the order of the options.
pub(super) const FORMULAS: &[Formula] = &[
    formula("lora.r", "y = x W^T + (lora_alpha / r) (x A^T) B^T, A of [r, in], B of [out, r]", "LoRA, arXiv 2106.09685"),
    formula("lora.lora_alpha", "y = x W^T + (lora_alpha / r) (x A^T) B^T", "LoRA, arXiv 2106.09685"),
    formula("lora.use_rslora", "scale = lora_alpha / sqrt(r)", "rsLoRA, arXiv 2312.03732"),
    formula(
        "reward.length",
        "r = 0.5 - (length - shortest) / (longest - shortest), at most 0 of a wrong completion",
        "Kimi k1.5, arXiv 2501.12599",
    ),
    formula("reward.cosine", COSINE, "arXiv 2502.03373"),
    formula("reward.cosine_max_len", COSINE, "arXiv 2502.03373"),
    formula(
        "reward.soft_overlong_punishment",
        "r = 0 up to L_max - L_cache tokens, then ((L_max - L_cache) - length) / L_cache, at least -1",
        "DAPO, arXiv 2503.14476",
    ),
    formula(
        "reward.answer_likelihood",
        "r = pi(a* | q, c), c the completion's own reasoning, a* the known answer",
        "VeriFree, arXiv 2505.21493",
    ),
    formula("grpo.epsilon", SURROGATE, GRPO),
    formula("grpo.epsilon_high", SURROGATE, "DAPO, arXiv 2503.14476"),
    formula(
        "grpo.delta",
        "rho is at most delta where A < 0, in the first product of min(rho A, clip(rho, ...) A)",
        "INTELLECT-2, arXiv 2505.07291",
    ),
    formula("grpo.importance_sampling_level", "sequence: rho = (pi(y | q) / pi_old(y | q))^(1 / |y|)", "GSPO, arXiv 2507.18071"),
    formula("grpo.beta", "L = L_policy + beta KL(pi || pi_ref); k3: exp(d) - d - 1, d = log pi_ref - log pi", GRPO),
    formula(
        "grpo.kl_estimator",
        "d = log pi_ref - log pi; k1: -d, k2: d^2 / 2, k3: exp(d) - d - 1",
        "Schulman 2020, Approximating KL divergence",
    ),
    formula("grpo.sync_ref_model", SYNC, "TR-DPO, arXiv 2404.09656"),
    formula("grpo.ref_model_mixup_alpha", SYNC, "TR-DPO, arXiv 2404.09656"),
    formula("grpo.entropy_coef", "L = L_policy - entropy_coef mean_t H(pi(. | q, y_<t))", ""),
    formula(
        "grpo.adv_estimator",
        "A = (R - b) / s; b by grpo: mean of the group; rloo: mean of the others in it; reinforce_plus_plus: mean of the batch",
        "arXiv 2402.03300, 2402.14740, 2501.03262",
    ),
    formula(
        "grpo.scale_rewards",
        "A = (R - b) / s; s by group: std of the group + 1e-4; batch: std of the batch + 1e-4; none: 1",
        "Dr. GRPO, arXiv 2503.20783",
    ),
    formula(
        "grpo.loss_type",
        "grpo: mean_y mean_t; bnpo, dapo, cispo: sum_y sum_t / tokens; dr_grpo: sum_y sum_t / (sequences max_new_tokens)",
        "arXiv 2402.03300, 2503.14476, 2503.20783, 2506.13585",
    ),
    formula("grpo.filter_groups", "questions are drawn until prompts_per_step groups have 0 < right < G", "DAPO, arXiv 2503.14476"),
    formula(
        "grpo.importance_sampling_cap",
        "L is weighted by min(pi_trainer / pi_sampler, cap)",
        "Yao et al. 2025, Your efficient RL framework secretly brings you off-policy RL training",
    ),
    formula("dpo.beta", "L = -log sigmoid(beta (log pi/pi_ref (chosen) - log pi/pi_ref (rejected)))", "DPO, arXiv 2305.18290"),
    formula(
        "dpo.loss_type",
        "m = log pi/pi_ref (chosen) - log pi/pi_ref (rejected); sigmoid: -log sigmoid(beta m); ipo: (m - 1 / (2 beta))^2 per token; hinge: max(0, 1 - beta m)",
        "arXiv 2305.18290, 2310.12036, 2309.06657, 2403.00409",
    ),
    formula(
        "dpo.label_smoothing",
        "L = -(1 - e) log sigmoid(beta m) - e log sigmoid(-beta m)",
        "Mitchell 2023, A note on DPO with noisy preferences",
    ),
    formula("dpo.rpo_alpha", "L = L_pair - rpo_alpha mean_t log pi(chosen_t)", "RPO, arXiv 2404.19733"),
    formula("dpo.sync_ref_model", SYNC, "TR-DPO, arXiv 2404.09656"),
    formula("dpo.ref_model_mixup_alpha", SYNC, "TR-DPO, arXiv 2404.09656"),
    formula("dpo.chosen", "chosen: c ~ pi(. | q, a*); rejected: y ~ pi(. | q), its answer wrong; the loss sees both behind q alone", EXPO),
    formula("exp.beta", EXP_TERM, EXPO),
    formula("exp.schedule", "beta(s) = beta_end + (beta - beta_end) f(s / steps), f from 1 to 0", ""),
    formula("exp.denominator", "E_q over all questions of the step, or over those with an explanation kept", EXPO),
    formula("exp.token_reduction", "sum: log pi(c, a* | q) itself; mean: divided by its number of tokens", EXPO),
    formula("exp.average_decay", "explainer <- decay explainer + (1 - decay) pi, once a step", ""),
    formula("exp.max_token_information", "max_t log pi(c_t | q, a*, c_<t) - log pi(c_t | q, c_<t)", ""),
    formula("exp.hinted_kl_beta", "L = ... + hinted_kl_beta KL(pi || pi_0) on explanations with the answer shown", ""),
    formula("luffy.gamma", "f(x) = x / (x + gamma) in place of the ratio, on tokens of another policy", "LUFFY, arXiv 2504.14945"),
    formula("star.rationalize", "where y ~ pi(. | q) is wrong, c ~ pi(. | q, a*) is trained on behind q", "STaR, arXiv 2203.14465"),
    formula(
        "optim.name",
        "m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - lr (m^ / (sqrt(v^) + e) + decay w)",
        "arXiv 1711.05101, 2110.02861",
    ),
    formula("optim.weight_decay", "w <- w - learning_rate weight_decay w, apart from the gradient", "AdamW, arXiv 1711.05101"),
    formula("eval.pass_at_k", "pass@k = 1 - C(n - c, k) / C(n, k), c of n samples right", "arXiv 2107.03374"),
];
