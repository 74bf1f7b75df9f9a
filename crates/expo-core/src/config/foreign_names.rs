//! Names that people bring along from TRL, PEFT, Unsloth, vLLM and verl: what they are here, or why there is nothing like them.
//!
//! They are answers to a mistake, not a second way to write an option.

mod table;

use std::fmt::Write as _;

use table::{NAMES, VALUES};

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// TRL's, and transformers' `TrainingArguments`, on which TRL's options build.
    Trl,
    Peft,
    Unsloth,
    Vllm,
    Verl,
    /// Words of PyTorch and of most training loops.
    Torch,
}

impl Library {
    const ALL: [Self; 6] = [Self::Trl, Self::Peft, Self::Unsloth, Self::Vllm, Self::Verl, Self::Torch];

    fn name(self) -> &'static str {
        match self {
            Self::Trl => "TRL",
            Self::Peft => "PEFT",
            Self::Unsloth => "Unsloth",
            Self::Vllm => "vLLM",
            Self::Verl => "verl",
            Self::Torch => "PyTorch",
        }
    }
}

/// What a name is here. Options are written `section.key`.
#[derive(Debug)]
enum Here {
    /// This option, with the same meaning and the same values.
    Same(&'static str),
    /// These options; how values map.
    Maps(&'static [&'static str], &'static str),
    /// Nothing; why.
    None(&'static str),
}

/// An option of another library.
#[derive(Debug)]
struct ForeignName {
    library: Library,
    /// As it is written there: verl's with its sections.
    name: &'static str,
    here: Here,
}

/// A word that another library has as the value of an option of the same purpose.
#[derive(Debug)]
struct ForeignValue {
    /// The option here.
    option: &'static str,
    /// Its spellings, lower case, with `_` for `-`.
    names: &'static [&'static str],
    /// What does the same here, `section.key` and its value in TOML; empty: nothing does.
    settings: &'static [(&'static str, &'static str)],
    /// More about it; why there is none.
    note: &'static str,
}

/// What the option `path` of another library is here, as the end of a sentence; `path` may have sections in front of the name, or lack those that verl has. A
/// `value` is shown in its place where it is the same here.
pub(super) fn option(path: &str, value: Option<&str>) -> Option<String> {
    let path = path.trim_start_matches('+');
    let found = NAMES.iter().find(|known| known.name == path);
    // Sections of one's own before a name, as in `[train] lr`; else verl's name without its first sections, the actor's before others.
    let found = found.or_else(|| NAMES.iter().filter(|known| ends_with(path, known.name)).max_by_key(|known| known.name.len()));
    let found = found.or_else(|| NAMES.iter().find(|known| ends_with(known.name, path)));
    // A name of verl's in a section of one's own: not of words such as `path` or `name`, which could be anything.
    let last = path.rsplit('.').next().filter(|last| last.contains('_'));
    let found = found.or_else(|| NAMES.iter().find(|known| last.is_some_and(|last| ends_with(known.name, last))))?;
    let (library, name) = (found.library.name(), found.name);
    Some(match &found.here {
        Here::Same(option) => {
            let write = value.map_or_else(String::new, |value| format!(": {option} = {value}"));
            format!("{library}'s {name} is {option} here{write}")
        }
        Here::Maps(options, how) => format!("{library}'s {name} is {} here ({how})", options.join(" and ")),
        Here::None(why) => format!("{library}'s {name} has no counterpart here: {why}"),
    })
}

/// What the option `option` is called by other libraries: "verl's actor_rollout_ref.rollout.n, ..."; empty where none has another name for it.
pub(super) fn names_of(option: &str) -> String {
    let same = |known: &&ForeignName| matches!(known.here, Here::Same(here) if here == option);
    let names: Vec<_> = NAMES.iter().filter(same).map(|known| format!("{}'s {}", known.library.name(), known.name)).collect();
    names.join(", ")
}

/// Whether the last components of `path` are those of `name`.
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.ends_with('.'))
}

/// What the value `found` of the option `option` is called here, as the end of a sentence.
pub(super) fn value(option: &str, found: &toml::Value) -> Option<String> {
    let word = found.as_str().map_or_else(|| found.to_string(), str::to_owned).trim().to_lowercase().replace(['-', ' '], "_");
    let known = VALUES.iter().find(|known| known.option == option && known.names.contains(&word.as_str()))?;
    let shown = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    if known.settings.is_empty() {
        return Some(format!("of {shown}: {}", known.note));
    }
    let note = if known.note.is_empty() { String::new() } else { format!(" ({})", known.note) };
    Some(format!("{shown} is {} here{note}", settings(known.settings, "")))
}

fn settings(settings: &[(&str, &str)], quote: &str) -> String {
    let each: Vec<_> = settings.iter().map(|(option, value)| format!("{quote}{option} = {value}{quote}")).collect();
    each.join(", ")
}

/// All names as Markdown: `docs/from-trl.md` is this text.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Coming from TRL, verl or Unsloth\n\n\
         <!-- Generated by `expo-rl docs from-trl`; change crates/expo-core/src/config/foreign_names/table.rs instead. -->\n\n\
         Options here have TRL's names where TRL has one (`num_generations`, `beta`, `epsilon`, `loss_type`, `scale_rewards`, ...), in sections of one TOML file.\n\
         Where a name is another one here, `expo-rl train` says which. This page is what it says. All options: [configuration.md](configuration.md).\n\n",
    );
    text += EXAMPLE_TEXT;
    write!(text, "```toml\n{EXAMPLE}```\n").expect("writing to a string");
    text += "\n## Algorithms and other values\n\n| word | here |\n|---|---|\n";
    for known in VALUES {
        let here = match (known.settings.is_empty(), known.note.is_empty()) {
            (true, _) => format!("nothing: {}", known.note),
            (false, true) => settings(known.settings, "`"),
            (false, false) => format!("{} ({})", settings(known.settings, "`"), known.note),
        };
        let names: Vec<_> = known.names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "| {} as `{}` | {here} |", names.join(", "), known.option).expect("writing to a string");
    }
    for library in Library::ALL {
        write!(text, "\n## {}\n\n| there | here | how |\n|---|---|---|\n", library.name()).expect("writing to a string");
        for known in NAMES.iter().filter(|known| known.library == library) {
            let (here, how) = match &known.here {
                Here::Same(option) => (format!("`{option}`"), "the same"),
                Here::Maps(options, how) => (options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", "), *how),
                Here::None(why) => ("-".to_owned(), *why),
            };
            writeln!(text, "| `{}` | {here} | {how} |", known.name).expect("writing to a string");
        }
    }
    text
}

const EXAMPLE_TEXT: &str = "\
A `GRPOConfig(num_generations=8, max_completion_length=256, learning_rate=1e-5, lr_scheduler_type=\"constant\", num_train_epochs=1, beta=0.0,\n\
loss_type=\"dapo\", per_device_train_batch_size=8, gradient_accumulation_steps=8)` with a `LoraConfig(r=16, lora_alpha=32)` on one device is\n\n";

const EXAMPLE: &str = "\
[model]\n\
path = \"HuggingFaceTB/SmolLM2-135M-Instruct\"\n\
[data]\n\
train = \"openai/gsm8k\"\n\
config = \"main\"\n\
[lora]\n\
r = 16\n\
lora_alpha = 32\n\
[rollout]\n\
num_generations = 8\n\
max_new_tokens = 256\n\
[train]\n\
recipe = \"grpo\"            # or \"exp-grpo\": the same with self-explanations\n\
epochs = 1\n\
prompts_per_step = 8       # 8 * 8 completions / 8 generations\n\
[grpo]\n\
loss_type = \"dapo\"\n\
[optim]\n\
learning_rate = 1e-5\n";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Config;
    use crate::error::Error;

    fn options() -> BTreeSet<String> {
        let sections = Config::sections();
        sections.iter().flat_map(|s| s.options.iter().map(|o| format!("{}.{}", s.name, o.name))).collect()
    }

    fn problems(text: &str, overrides: &[&str]) -> Vec<String> {
        let overrides: Vec<_> = overrides.iter().map(|s| (*s).to_owned()).collect();
        match Config::from_toml(text, "c.toml", &overrides) {
            Err(Error::Config(problems)) => problems,
            Err(other) => panic!("unexpected error {other}"),
            Ok(_) => vec![],
        }
    }

    #[test]
    fn every_target_is_an_option() {
        let options = options();
        for known in NAMES {
            let targets: Vec<&str> = match &known.here {
                Here::Same(option) => vec![option],
                Here::Maps(options, how) => {
                    assert!(!how.is_empty() && !options.is_empty(), "{known:?}");
                    options.to_vec()
                }
                Here::None(why) => {
                    assert!(!why.is_empty(), "{known:?}");
                    vec![]
                }
            };
            for target in targets {
                assert!(options.contains(target), "{}'s {} names {target}, which is no option", known.library.name(), known.name);
            }
        }
        // Options that the explanations name, such as `lora.r`, exist too.
        let texts = NAMES.iter().map(|known| match &known.here {
            Here::Same(_) => "",
            Here::Maps(_, text) | Here::None(text) => text,
        });
        for text in texts.chain(VALUES.iter().map(|known| known.note)) {
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))).map(|word| word.trim_matches('.')) {
                let section = word.split_once('.').map_or("", |(section, _)| section);
                if Config::sections().iter().any(|s| s.name == section) && !word.ends_with(".py") && !word.ends_with(".md") {
                    assert!(options.contains(word) || word.ends_with(".NAME"), "{text:?} names {word}, which is no option");
                }
            }
        }
    }

    #[test]
    fn no_name_is_there_twice_or_is_an_option_itself() {
        let mut seen = BTreeSet::new();
        let options = options();
        for known in NAMES {
            assert!(seen.insert(known.name), "{} is there twice", known.name);
            // Where the name is right and only its section is missing, the nearest option is told anyway.
            assert!(!options.contains(known.name), "{} is an option", known.name);
        }
        let mut words = BTreeSet::new();
        for known in VALUES {
            for name in known.names {
                assert!(words.insert((known.option, *name)), "{} has {name} twice", known.option);
                assert_eq!(*name, name.to_lowercase().replace('-', "_"));
            }
        }
    }

    #[test]
    fn every_value_is_refused_as_it_is_and_its_settings_are_taken() {
        let options = options();
        for known in VALUES {
            assert!(options.contains(known.option), "{known:?}");
            for name in known.names {
                let value = if matches!(*name, "true" | "false") { (*name).to_owned() } else { format!("{name:?}") };
                let found = problems("", &[&format!("{}={value}", known.option)]);
                let expected = if known.settings.is_empty() { known.note } else { known.settings[0].1 };
                assert!(found.iter().any(|f| f.contains("expected") && f.contains(expected)), "{}={value}: {found:?}", known.option);
            }
            // Whatever else they need (a preference file, documents) is told by another message.
            let overrides: Vec<_> = known.settings.iter().map(|(option, value)| format!("{option}={value}")).collect();
            let found = problems("", &overrides.iter().map(String::as_str).collect::<Vec<_>>());
            for (option, _) in known.settings {
                let own = |f: &&String| f.contains(&format!("{option}: found")) || f.contains("unknown");
                assert_eq!(found.iter().find(own), None, "{known:?}");
            }
        }
    }

    /// What people write, in files and on the command line, and the option that the message has to name (or "no counterpart").
    const TRIALS: &[(&str, &str)] = &[
        ("num_train_epochs = 3", "train.epochs = 3"),
        ("max_steps = 200", "train.steps"),
        ("[train]\nmax_steps = 200", "train.steps"),
        ("gradient_accumulation_steps = 4", "train.max_tokens_per_micro_batch"),
        ("[train]\nper_device_train_batch_size = 8", "train.prompts_per_step"),
        ("lr = 0.5", "optim.learning_rate = 0.5"),
        ("[optim]\nlr = 1e-5", "optim.learning_rate"),
        ("[train]\nlr = 1e-5", "optim.learning_rate"),
        ("[lora]\nrank = 8", "lora.r = 8"),
        ("rank = 8", "lora.r"),
        ("[model]\nlora_rank = 8", "lora.r"),
        ("report_to = \"wandb\"", "train.tensorboard"),
        ("report_to = \"wandb\"", "to_wandb.py"),
        ("[train]\nlogging_steps = 1", "no counterpart"),
        ("max_completion_length = 512", "rollout.max_new_tokens"),
        ("[rollout]\nmax_completion_length = 512", "rollout.max_new_tokens"),
        ("[rollout]\nmax_tokens = 512", "rollout.max_new_tokens"),
        ("[rollout]\nn = 8", "rollout.num_generations = 8"),
        ("[actor_rollout_ref.rollout]\nn = 8", "rollout.num_generations"),
        ("[actor_rollout_ref.actor.optim]\nlr = 1e-6", "optim.learning_rate"),
        ("[actor_rollout_ref]\nactor = { optim = { lr = 1e-6 } }", "optim.learning_rate"),
        ("[algorithm]\nadv_estimator = \"rloo\"", "grpo.adv_estimator"),
        ("[algorithm.kl_ctrl]\nkl_coef = 0.001", "grpo.beta = 0.001"),
        ("[trainer]\ntotal_epochs = 15", "train.epochs"),
        ("[trainer]\nn_gpus_per_node = 8", "no counterpart"),
        ("[data]\ntrain_files = \"a.parquet\"", "data.train"),
        ("[data]\ntrain_batch_size = 256", "train.prompts_per_step"),
        ("[data]\nmax_prompt_length = 512", "no counterpart"),
        ("load_in_4bit = true", "no counterpart"),
        ("[model]\nload_in_4bit = true", "no counterpart"),
        ("use_vllm = true", "no counterpart"),
        ("[rollout]\nuse_vllm = true", "no counterpart"),
        ("[GRPOConfig]\nlearning_rate = 1e-6", "optim.learning_rate"),
        ("[GRPOConfig]\nnum_train_epochs = 1", "train.epochs"),
        ("[training_args]\nsave_steps = 50", "train.save_every"),
        ("[train]\nsave_steps = 50", "train.save_every"),
        ("[train]\neval_steps = 50", "eval.every"),
        ("[train]\noutput_dir = \"out\"", "--out"),
        ("[train]\nbf16 = true", "train.save_dtype"),
        ("[lora]\nalpha = 16", "lora.lora_alpha"),
        ("[lora]\nuse_dora = true", "no counterpart"),
        ("[train]\noptim = \"adamw_8bit\"", "optim.name"),
        ("optim = \"adamw_torch\"", "optim.name"),
        ("[train]\nresume_from_checkpoint = true", "--resume"),
        ("[critic.optim]\nlr = 1e-5", "no critic"),
        ("[model]\nmodel_name_or_path = \"x\"", "model.path"),
        ("[train]\nrecipe = \"gspo\"", "grpo.importance_sampling_level = \"sequence\""),
        ("[train]\nrecipe = \"DAPO\"", "grpo.filter_groups = true"),
        ("[train]\nrecipe = \"dr-grpo\"", "grpo.loss_type = \"dr_grpo\""),
        ("[train]\nrecipe = \"rloo\"", "grpo.adv_estimator = \"rloo\""),
        ("[train]\nrecipe = \"reinforce_plus_plus\"", "grpo.adv_estimator = \"reinforce_plus_plus\""),
        ("[train]\nrecipe = \"cispo\"", "grpo.loss_type = \"cispo\""),
        ("[train]\nrecipe = \"ppo\"", "no critic"),
        ("[train]\nrecipe = \"orpo\"", "without a reference"),
        ("[train]\nrecipe = \"GRPO\"", "did you mean \"grpo\""),
        ("[train]\nrecipe = \"exp_grpo\"", "did you mean \"exp-grpo\""),
        ("[optim]\nname = \"paged_adamw_8bit\"", "optim.name = \"adamw_8bit\""),
        ("[optim]\nlr_scheduler_type = \"cosine_with_min_lr\"", "optim.min_lr_ratio"),
        ("[grpo]\nscale_rewards = false", "grpo.scale_rewards = \"none\""),
        ("[grpo]\nloss_type = \"sapo\"", "not here"),
        ("[grpo]\nclip_ratio_high = 0.28", "grpo.epsilon_high"),
        ("[train]\nsave_dtype = \"float16\"", "\"bf16\""),
        ("--set lr=1e-5", "optim.learning_rate"),
        ("--set max_steps=10", "train.steps"),
        ("--set actor_rollout_ref.rollout.n=5", "rollout.num_generations = 5"),
        ("--set algorithm.adv_estimator=gae", "grpo.adv_estimator"),
        ("--set +trainer.total_epochs=3", "train.epochs"),
        ("--set data.max_response_length=1024", "rollout.max_new_tokens"),
        ("--set train.num_train_epochs=2", "train.epochs"),
        ("--set trainer.logger=wandb", "to_wandb.py"),
        ("--set train.recipe=gspo", "importance_sampling_level"),
        ("--set reward_funcs=my.py", "reward.external"),
    ];

    #[test]
    fn names_that_people_bring_along_are_answered() {
        assert!(TRIALS.len() >= 60);
        for (text, expected) in TRIALS {
            let found = match text.strip_prefix("--set ") {
                Some(text) => problems("", &[text]),
                None => problems(text, &[]),
            };
            assert!(found.len() == 1 && found[0].contains(expected), "{text:?}: {found:#?}");
        }
    }

    #[test]
    fn a_whole_foreign_file_is_answered_name_by_name() {
        let text = "[data]\ntrain_files = \"a.parquet\"\n[actor_rollout_ref.actor]\nclip_ratio = 0.2\nmy_own = 1\n[actor_rollout_ref.rollout]\nn = 5\n[trainer]\nsave_freq = 20\n";
        let found = problems(text, &[]);
        let expected = [
            "c.toml:2: unknown key data.train_files; verl's data.train_files is data.train here: data.train = \"a.parquet\"",
            "c.toml:4: unknown key actor_rollout_ref.actor.clip_ratio; verl's actor_rollout_ref.actor.clip_ratio is grpo.epsilon here: grpo.epsilon = 0.2",
            "c.toml:5: unknown key actor_rollout_ref.actor.my_own",
            "c.toml:7: unknown key actor_rollout_ref.rollout.n;",
            "c.toml:9: unknown key trainer.save_freq;",
        ];
        for message in expected {
            assert!(found.iter().any(|f| f.starts_with(message)), "missing {message:?} in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = Config::from_toml(EXAMPLE, "example", &[]).unwrap();
        assert_eq!((config.lora.r, config.train.prompts_per_step, config.train.epochs), (16, 8, Some(1.0)));
    }

    #[test]
    fn the_committed_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/from-trl.md");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == markdown(),
            "docs/from-trl.md differs from the tables; run `cargo run --release -- docs from-trl > docs/from-trl.md`"
        );
    }
}
