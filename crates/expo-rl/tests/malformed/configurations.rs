//! Configurations.

use crate::{Case, check};

#[test]
fn configurations() {
    let cases: [(&[u8], &str); 33] = [
        (b"[train\nsteps = 3\n", "1 problem in the configuration:\n  FOLDER/c.toml:1: not valid TOML: unclosed table, expected `]`"),
        (b"[train]\nsteps = 3\nsteps = 4\n", "1 problem in the configuration:\n  FOLDER/c.toml:3: not valid TOML: duplicate key"),
        (
            b"steps = 3\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:1: unknown key steps outside of any section; did you mean train.steps?",
        ),
        (
            b"[train]\nsteps = \"ten\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: train.steps: found \"ten\", expected a whole number at least 1",
        ),
        (
            b"[train]\nsteps = 0\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: train.steps: found 0, expected a whole number at least 1",
        ),
        (
            b"[train]\nsteps = 99999999999999999999\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: not valid TOML: a number is too large; expected at most 9223372036854775807",
        ),
        (b"[train]\nstep = 3\n", "1 problem in the configuration:\n  FOLDER/c.toml:2: unknown key train.step; did you mean train.steps?"),
        (b"[trian]\nsteps = 3\n", "1 problem in the configuration:\n  FOLDER/c.toml:1: unknown section [trian]; did you mean [train]?"),
        (
            b"[train]\nwatchdog = 3\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: unknown key train.watchdog; [train] has recipe, steps, epochs, prompts_per_step, num_iterations, max_tokens_per_micro_batch, gradient_checkpointing, save_every, save_total_limit, save_async, save_dtype, name, seed, log_completions, tensorboard",
        ),
        (
            b"[train]\nrecipe = \"ppo\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: train.recipe: found \"ppo\", expected one of \"grpo\", \"exp-grpo\", \"grpo-sft-gt-cot\", \"luffy\", \"dpo\", \"exp-dpo\", \"star\", \"sft\"; of ppo: there is no critic; recipe \"grpo\" has its clipped loss",
        ),
        (
            b"[optim]\nlearning_rate = nan\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: optim.learning_rate: found nan, expected a number at least 0",
        ),
        (
            b"[rollout]\ntemperature = 0\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: rollout.temperature: found 0, expected a number above 0",
        ),
        (
            b"[rollout]\nnum_generations = 1\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: rollout.num_generations: found 1, but recipe exp-grpo compares the completions of a question with each other; expected at least 2 (usual: 8), or grpo.adv_estimator = \"reinforce_plus_plus\", which compares with the whole batch",
        ),
        (
            b"[data]\ntrain = []\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: data.train: empty; name a file (.jsonl, .json, .csv, .parquet), a hub data set or \"generator:division\"",
        ),
        (
            b"[data]\ntrain = \"generator:multiplication\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: data.train: found \"generator:multiplication\", but the only generator is \"generator:division\"",
        ),
        (
            b"[data]\ntrain = \"../../../etc/passwd\"\n",
            "../../../etc/passwd: the end of a data file's name says how to read it: .jsonl (or .ndjson), .json, .csv (or .tsv) or .parquet",
        ),
        (
            b"[data]\nweights = [1, 2]\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: data.weights: found 2 weights, but data.train names 1; give one for each",
        ),
        (
            b"[data]\nlevels = [6]\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: data.levels: found 6, but the generator has levels 1 to 5",
        ),
        (
            b"[prompt]\nquestion = \"{{ question\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: prompt.question: not a valid template: unexpected end of input, expected end of variable block",
        ),
        (
            b"[prompt]\nquestion = \"{{ answer }}\"\n",
            "2 problems in the configuration:\n  FOLDER/c.toml:2: prompt.question: the template never shows {{question}}\n  FOLDER/c.toml:2: prompt.question: the template shows {{answer}}, which rollouts must not see; only prompt.explanation may",
        ),
        (
            b"[prompt]\nanswer_suffix = \"so {{ answer }}\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: prompt.answer_suffix: renders as \"so 42\", where no answer can be found again; use `#### {{answer}}`, `\\boxed{ {{answer}} }` or `The answer is {{answer}}`",
        ),
        (
            b"[lora]\nr = 8\ntarget_modules = [\"x_proj\"]\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:3: lora.target_modules: unknown target module \"x_proj\"; valid are \"all-linear\" alone, or some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        (b"[model]\npath = 3\n", "1 problem in the configuration:\n  FOLDER/c.toml:2: model.path: found 3, expected a string in quotes"),
        (
            b"[model]\npath = \"no/such/model\"\n",
            "no/such/model: does not exist; give a model folder, or a hub name of the form owner/model",
        ),
        (
            b"[model]\npath = \"embedded:huge\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: model.path: found \"embedded:huge\", but the only embedded model is \"embedded:tiny\"",
        ),
        (
            b"[reward.external.own]\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:1: reward.external.own: found an empty table, expected [reward.external.NAME], NAME of letters, digits, _ and -, with some of weight, command, url, api_key_env, timeout, max_retries, on_failure",
        ),
        (
            b"[reward.external.own]\ncommand = \"python x.py\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: reward.external.own.command: found \"python x.py\", expected a list of strings",
        ),
        (
            b"[reward.external.own]\nurl = \"http://user:key@host/\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: reward.external.own.url: holds a user name or key, which would be written into run.json; put a key into an environment variable and name that with `api_key_env`",
        ),
        (
            b"[grpo]\nepsilon = 2\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: grpo.epsilon: found 2, expected a number at least 0 and below 1",
        ),
        (
            b"[train]\nrecipe = \"dpo\"\n[dpo]\nbeta = 0\n",
            "2 problems in the configuration:\n  FOLDER/c.toml:4: dpo.beta: found 0, expected a number above 0\n  FOLDER/c.toml:2: data.train: found \"generator:division\", but recipe dpo trains on preference files (`prompt`, `chosen`, `rejected`); name one, or use recipe exp-dpo, which makes its pairs",
        ),
        (
            b"[eval]\nmetric_for_best_model = \"eval/pass@1\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: eval.metric_for_best_model: set, but there is nothing to evaluate on; name held-out problems with eval.data, or remove it",
        ),
        (
            b"[watchdog]\nnon_finite = \"explode\"\n",
            "1 problem in the configuration:\n  FOLDER/c.toml:2: unknown key watchdog.non_finite; did you mean watchdog.on_non_finite?",
        ),
        (b"[train]\n# \xff\n", "FOLDER/c.toml:2: is not UTF-8 text; expected a TOML configuration"),
    ];
    for (content, message) in cases {
        let args = ["train", "FOLDER/c.toml", "--out", "FOLDER/run", "--set", "train.save_every=1"];
        check(&Case { files: &[("c.toml", content)], args: &args, message });
    }
}
