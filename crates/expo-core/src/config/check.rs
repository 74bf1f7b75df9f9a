//! Contradictions between options, each of which is fine by itself.

mod dpo;
mod eval;
mod grpo;
mod lora;
mod luffy;
mod report;
mod reward;
mod star;
mod watchdog;

use super::*;
use crate::error::Error;
use crate::prompt::{Templates, compile};
use report::{Locate, Report};

/// Finds every contradiction; `name` stands for the configuration where no option concerned was given.
/// `overridden` says of an option whether an override has set it, or taken it back.
pub(super) fn contradictions(config: &Config, name: &str, locate: Locate, overridden: &dyn Fn(&str) -> bool, problems: &mut Vec<String>) {
    let mut report = Report { name, locate, overridden, problems };
    sampling(config, &mut report);
    reward::check(config, &mut report);
    grpo::check(config, &mut report);
    terms(config, &mut report);
    dpo::check(config, &mut report);
    star::check(config, &mut report);
    luffy::check(config, &mut report);
    eval::check(config, &mut report);
    lora::check(config, &mut report);
    unused(config, &mut report);
    templates(config, &mut report);
    data(config, &mut report);
    watchdog::check(config, &mut report);
}

fn sampling(config: &Config, report: &mut Report) {
    let recipe = config.train.recipe;
    if !recipe.has_policy_gradient() {
        return;
    }
    let rollout = &config.rollout;
    let truncations = [
        ("rollout.top_k", rollout.top_k > 0, rollout.top_k.show(), "0"),
        ("rollout.top_p", rollout.top_p < 1.0, rollout.top_p.show(), "1"),
        ("rollout.min_p", rollout.min_p > 0.0, rollout.min_p.show(), "0"),
    ];
    for (key, truncated, found, expected) in truncations {
        if truncated {
            let message = format!(
                "found {found}, but recipe {recipe} needs {expected}: truncated sampling biases the policy gradient (exp.{} may be set for explanations)",
                &key["rollout.".len()..]
            );
            report.add(&[key], message);
        }
    }
    if rollout.num_generations < 2 {
        grpo::single_generation(config, report);
    }
}

fn terms(config: &Config, report: &mut Report) {
    let exp = &config.exp;
    if exp.explainer == ExplainedBy::Average && exp.every == 0 {
        report.add(
            &["exp.explainer", "exp.every"],
            "\"average\" contradicts exp.every = 0: explanations made once are the initial policy's; use explainer = \"initial\" or every = 1".into(),
        );
    }
    if exp.max_tokens > 0 && exp.max_tokens < exp.min_tokens {
        report.add(
            &["exp.max_tokens", "exp.min_tokens"],
            format!("found {}, below exp.min_tokens = {}: no explanation could be kept", exp.max_tokens, exp.min_tokens),
        );
    }
    if exp.min_tokens > exp.max_new_tokens {
        report.add(
            &["exp.min_tokens", "exp.max_new_tokens"],
            format!("found {}, above exp.max_new_tokens = {}: no explanation could be kept", exp.min_tokens, exp.max_new_tokens),
        );
    }
    let rehearsal = &config.rehearsal;
    if rehearsal.data.is_empty() {
        if config.train.recipe == RecipeName::Sft {
            report.add(
                &["rehearsal.data", "train.recipe"],
                "recipe sft trains on these documents, but none are named; give a file, a hub data set or \"generator:division\"".into(),
            );
        } else if let Some(key) =
            ["rehearsal.weight", "rehearsal.documents_per_step"].into_iter().find(|key| report.wanted(key, &["rehearsal.data"]))
        {
            report.add(&[key], "set, but rehearsal.data is empty; name the documents, or remove the option".into());
        }
    } else if rehearsal.weight == 0.0 {
        report.add(&["rehearsal.weight"], "found 0 with rehearsal.data set; set rehearsal.data = \"\" to turn rehearsal off".into());
    }
}

/// Options that were given but have no effect beside the others: likely a mistake.
fn unused(config: &Config, report: &mut Report) {
    if config.exp.schedule == BetaSchedule::Constant && report.wanted("exp.beta_end", &["exp.schedule"]) {
        report.add(
            &["exp.beta_end"],
            "set, but exp.schedule is \"constant\"; set exp.schedule to \"linear\" or \"cosine\", or remove it".into(),
        );
    }
    if config.exp.explainer != ExplainedBy::Average && report.wanted("exp.average_decay", &["exp.explainer"]) {
        report.add(
            &["exp.average_decay"],
            format!("set, but exp.explainer is \"{}\"; set it to \"average\", or remove the decay", config.exp.explainer),
        );
    }
    if config.exp.questions == ExplainQuestions::All && report.wanted("exp.max_pass_rate", &["exp.questions"]) {
        report
            .add(&["exp.max_pass_rate"], "set, but exp.questions is \"all\"; set it to \"failed_groups\", or remove the pass rate".into());
    }
    if config.optim.lr_scheduler_type == LrSchedule::Constant && report.wanted("optim.min_lr_ratio", &["optim.lr_scheduler_type"]) {
        report.add(
            &["optim.min_lr_ratio"],
            "set, but optim.lr_scheduler_type is \"constant\"; set it to \"linear\" or \"cosine\", or remove the ratio".into(),
        );
    }
    if config.optim.warmup_ratio > 0.0 && config.optim.warmup_steps > 0 {
        report.add(
            &["optim.warmup_ratio", "optim.warmup_steps"],
            format!("set beside optim.warmup_steps = {}, which says the same another way; give one of the two", config.optim.warmup_steps),
        );
    }
    if report.given("train.epochs") && report.given("train.steps") {
        report.add(
            &["train.epochs", "train.steps"],
            format!("set beside train.steps = {}, which says the same another way; give one of the two", config.train.steps),
        );
    }
    if config.train.epochs.is_some() && config.train.recipe == RecipeName::Sft && config.rehearsal.data.starts_with("generator:") {
        report.add(&["train.epochs", "rehearsal.data"], format!("set, but {} has no end; give train.steps", config.rehearsal.data));
    }
    if config.optim.weight_decay == 0.0 && report.wanted("optim.no_decay", &["optim.weight_decay"]) {
        report
            .add(&["optim.no_decay"], "set, but optim.weight_decay is 0, so nothing decays; set a weight decay, or remove the list".into());
    }
    if matches!(config.data.format, DataFormat::Gsm8k | DataFormat::Math) {
        for key in ["data.question_field", "data.answer_field", "data.expert_cot_field", "data.level_field", "data.subject_field"] {
            if report.wanted(key, &["data.format"]) {
                report.add(
                    &[key],
                    format!("set, but data.format = \"{}\" fixes the fields; use data.format = \"fields\"", config.data.format),
                );
            }
        }
    }
}

fn templates(config: &Config, report: &mut Report) {
    let prompt = &config.prompt;
    let compiled = match compile(prompt) {
        Ok(compiled) => compiled,
        Err(reason) => return report.add(&["prompt.question", "prompt.explanation", "prompt.answer_suffix"], reason),
    };
    for (name, variables) in compiled.templates {
        let (key, needs_question, shows_answer) = (&*format!("prompt.{name}"), name != "answer_suffix", name != "question");
        let variables = match variables {
            Ok(variables) => variables,
            Err(e) => {
                let detail = e.detail().map_or_else(|| e.kind().to_string(), str::to_owned);
                report.add(&[key], format!("not a valid template: {detail}"));
                continue;
            }
        };
        if needs_question && !variables.contains("question") {
            report.add(&[key], "the template never shows {{question}}".into());
        }
        match (shows_answer, variables.contains("answer")) {
            (true, false) => report.add(&[key], "the template never shows {{answer}}".into()),
            (false, true) => {
                report.add(&[key], "the template shows {{answer}}, which rollouts must not see; only prompt.explanation may".into())
            }
            _ => {}
        }
    }
    // Its own message is for templates that the checks above pass: an answer suffix whose answer can't be found again.
    let key = "prompt.answer_suffix";
    if let Err(Error::Config(found)) = Templates::new(prompt) {
        for message in found.iter().filter_map(|message| message.strip_prefix(key)?.strip_prefix(": renders")) {
            report.add(&[key], format!("renders{message}"));
        }
    }
}

fn data(config: &Config, report: &mut Report) {
    let section = &config.data;
    let generated = section.train.0.iter().any(|source| source.starts_with("generator:"));
    if section.train.0.is_empty() || section.train.0.iter().any(String::is_empty) {
        report.add(&["data.train"], "empty; name a file (.jsonl, .json, .csv, .parquet), a hub data set or \"generator:division\"".into());
    }
    if section.expert_cot_format == ExpertCotFormat::Original && generated {
        report.add(
            &["data.expert_cot_format"],
            "found \"original\", but the generator's chains of thought have no answer in them; use \"prompt\"".into(),
        );
    }
    let wrong_level = section.levels.iter().find(|level| !(1..=5).contains(*level)).filter(|_| !section.levels.has_words());
    if let Some(level) = wrong_level.filter(|_| generated) {
        report.add(&["data.levels"], format!("found {level}, but the generator has levels 1 to 5"));
    }
    let sources = section.train.0.iter().map(|source| ("data.train", source)).chain([("rehearsal.data", &config.rehearsal.data)]);
    for (key, source) in sources {
        if source.strip_prefix("generator:").is_some_and(|name| name != "division") {
            report.add(&[key], format!("found \"{source}\", but the only generator is \"generator:division\""));
        }
    }
    if config.model.path.is_empty() {
        report.add(&["model.path"], "empty; name a model folder, a hub name, or \"embedded:tiny\"".into());
    }
    if let Some(name) = config.model.path.strip_prefix("embedded:").filter(|name| *name != "tiny") {
        report.add(&["model.path"], format!("found \"embedded:{name}\", but the only embedded model is \"embedded:tiny\""));
    }
    mixture(section, report);
}

/// The weights of sets and levels.
fn mixture(section: &DataSection, report: &mut Report) {
    let weights = |key: &'static str, weights: &[f64], of: &str, count: usize, report: &mut Report| {
        if weights.is_empty() {
        } else if weights.len() != count {
            report.add(&[key], format!("found {} weights, but {of} names {count}; give one for each", weights.len()));
        } else if weights.iter().all(|weight| *weight == 0.0) {
            report.add(&[key], "every weight is 0, so nothing would be drawn; set one above 0".into());
        }
    };
    weights("data.weights", &section.weights, "data.train", section.train.0.len(), report);
    let by_level = section.curriculum == Curriculum::LevelWeights;
    if by_level && section.level_weights.is_empty() {
        report.add(
            &["data.level_weights", "data.curriculum"],
            "empty; curriculum \"level_weights\" needs one for each of data.levels, such as [4, 2, 1]".into(),
        );
    }
    if by_level && !section.weights.is_empty() {
        report.add(
            &["data.weights", "data.curriculum"],
            "set beside curriculum \"level_weights\", but problems are drawn by set or by level; remove one of the two".into(),
        );
    }
    for (key, list) in [("data.level_weights", &section.level_weights), ("data.level_weights_end", &section.level_weights_end)] {
        if by_level {
            weights(key, list, "data.levels", section.levels.len(), report);
        } else if !list.is_empty() {
            let message =
                format!("set, but data.curriculum is \"{}\"; set it to \"level_weights\", or remove the weights", section.curriculum);
            report.add(&[key], message);
        }
    }
    let twice = section.levels.iter().enumerate().find(|(i, level)| section.levels[..*i].contains(level));
    if let Some((_, level)) = twice {
        report.add(&["data.levels"], format!("names level {level} twice"));
    }
    if let Some(word) = section.levels.twice() {
        report.add(&["data.levels"], format!("names level \"{word}\" twice"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// The problems of a text, without location.
    pub(super) fn problems(text: &str) -> Vec<String> {
        match Config::from_toml(text, "c.toml", &[]) {
            Err(Error::Config(problems)) => problems,
            Err(other) => panic!("unexpected error {other}"),
            Ok(_) => vec![],
        }
    }

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[rollout]\ntop_p = 0.9", "c.toml:2: rollout.top_p: found 0.9, but recipe exp-grpo needs 1"),
            ("[rollout]\ntop_k = 5", "c.toml:2: rollout.top_k: found 5"),
            ("[rollout]\nmin_p = 0.1", "c.toml:2: rollout.min_p: found 0.1"),
            ("[rollout]\nnum_generations = 1", "c.toml:2: rollout.num_generations: found 1"),
            ("[exp]\nbeta_end = 0.1", "c.toml:2: exp.beta_end: set, but exp.schedule is \"constant\""),
            ("[exp]\nmax_pass_rate = 0.5", "c.toml:2: exp.max_pass_rate: set, but exp.questions is \"all\""),
            ("[exp]\naverage_decay = 0.9", "c.toml:2: exp.average_decay: set, but exp.explainer is \"current\""),
            ("[exp]\nexplainer = \"average\"\nevery = 0", "c.toml:2: exp.explainer: \"average\" contradicts exp.every = 0"),
            ("[exp]\nmin_tokens = 9\nmax_tokens = 5", "c.toml:3: exp.max_tokens: found 5"),
            ("[exp]\nmin_tokens = 900", "c.toml:2: exp.min_tokens: found 900"),
            ("[train]\nrecipe = \"sft\"", "c.toml:2: rehearsal.data: recipe sft trains on these documents"),
            ("[rehearsal]\nweight = 2.0", "c.toml:2: rehearsal.weight: set, but rehearsal.data is empty"),
            ("[rehearsal]\ndata = \"generator:division\"\nweight = 0", "c.toml:3: rehearsal.weight: found 0"),
            ("[watchdog]\non_kl = \"skip\"", "c.toml:2: watchdog.on_kl: set, but watchdog.max_kl is not"),
            ("[watchdog]\nmax_kl = 1.0", "c.toml:2: watchdog.max_kl: set, but with grpo.beta = 0"),
            (
                "[train]\nsave_every = 0\n[watchdog]\non_non_finite = \"rollback\"",
                "c.toml:4: watchdog.on_non_finite: found \"rollback\", but train.save_every = 0",
            ),
            ("[optim]\nmin_lr_ratio = 0.1", "c.toml:2: optim.min_lr_ratio: set"),
            ("[optim]\nwarmup_steps = 2\nwarmup_ratio = 0.1", "c.toml:3: optim.warmup_ratio: set beside optim.warmup_steps = 2"),
            ("[train]\nsteps = 5\nepochs = 2", "c.toml:3: train.epochs: set beside train.steps = 5"),
            (
                "[train]\nrecipe = \"sft\"\nepochs = 1\n[rehearsal]\ndata = \"generator:division\"",
                "c.toml:3: train.epochs: set, but generator:division has no end",
            ),
            ("[optim]\nno_decay = [\"bias\"]", "c.toml:2: optim.no_decay: set, but optim.weight_decay is 0"),
            ("[data]\nformat = \"gsm8k\"\nanswer_field = \"a\"", "c.toml:3: data.answer_field: set"),
            ("[prompt]\nquestion = \"{{question}} {{answer}}\"", "c.toml:2: prompt.question: the template shows {{answer}}"),
            ("[prompt]\nexplanation = \"{{question}}\"", "c.toml:2: prompt.explanation: the template never shows {{answer}}"),
            ("[prompt]\nquestion = \"{{question\"", "c.toml:2: prompt.question: not a valid template"),
            ("[prompt]\nanswer_suffix = \"Result: {{answer}}\"", "c.toml:2: prompt.answer_suffix: renders as \"Result: 42\""),
            ("[data]\nexpert_cot_format = \"original\"", "c.toml:2: data.expert_cot_format: found \"original\""),
            ("[data]\nlevels = [6]", "c.toml:2: data.levels: found 6"),
            ("[data]\ntrain = \"generator:algebra\"", "c.toml:2: data.train: found \"generator:algebra\""),
            ("[data]\ntrain = []", "c.toml:2: data.train: empty"),
            ("[data]\ntrain = [\"a.csv\", \"b.csv\"]\nweights = [1]", "c.toml:3: data.weights: found 1 weights, but data.train names 2"),
            ("[data]\ntrain = [\"a.csv\", \"b.csv\"]\nweights = [0, 0]", "c.toml:3: data.weights: every weight is 0"),
            ("[data]\nlevels = [1, 2, 1]", "c.toml:2: data.levels: names level 1 twice"),
            ("[data]\ntrain = \"p.csv\"\nlevels = [\"easy\", \"Easy\"]", "c.toml:3: data.levels: names level \"Easy\" twice"),
            ("[data]\nlevels = [1, \"easy\"]", "c.toml:2: data.levels: found"),
            ("[data]\nlevel_weights = [1]", "c.toml:2: data.level_weights: set, but data.curriculum is \"off\""),
            ("[data]\ncurriculum = \"level_weights\"", "c.toml:2: data.level_weights: empty"),
            (
                "[data]\nlevels = [1, 2]\ncurriculum = \"level_weights\"\nlevel_weights = [1, 2]\nlevel_weights_end = [1]",
                "c.toml:5: data.level_weights_end: found 1 weights, but data.levels names 2",
            ),
            (
                "[data]\nweights = [1]\nlevels = [1]\ncurriculum = \"level_weights\"\nlevel_weights = [1]",
                "c.toml:2: data.weights: set beside curriculum",
            ),
            ("[model]\npath = \"embedded:huge\"", "c.toml:2: model.path: found \"embedded:huge\""),
        ];
        for (text, expected) in cases {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
    }

    #[test]
    fn what_looks_odd_but_is_fine_passes() {
        for text in [
            "[train]\nsteps = 5\nsave_every = 100",
            "[train]\nrecipe = \"grpo\"\n[exp]\nbeta = 0.5\nschedule = \"linear\"\nbeta_end = 0.1",
            "[train]\nrecipe = \"sft\"\n[rehearsal]\ndata = \"docs.jsonl\"\n[rollout]\ntop_p = 0.5\nnum_generations = 1",
            "[exp]\nbeta = 0\ntop_p = 0.9",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_configuration_made_by_a_program_is_checked_too() {
        Config::default().validate().unwrap();
        let mut config = Config::default();
        config.rollout.top_p = 0.5;
        assert!(config.validate().is_err());
    }
}
