//! From TOML text and `--set` overrides to a checked [`Config`]; every problem is found before any is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::option::{OneOrMore, OptionValue, show};
use super::unknown::{is_near_section, keys_within, unknown_key, unknown_option, unknown_section, unknown_table};
use super::{Config, OptionSpec, SectionSpec, TableSpec, check, foreign_names};
use crate::error::{Error, Result};

/// One value given by the user: where it stands, and what it is.
struct Given {
    /// `FILE:LINE` or `--set`.
    location: String,
    value: toml::Value,
}

impl Config {
    /// Reads the file at `path`, applies `overrides` (`section.key=value`, the value as TOML or as a bare string; `section.key=` takes back what the file has, so
    /// that the default holds) and checks everything. What is worth telling stands in [`Config::reading`].
    /// Errors: the file can't be read, or [`Error::Config`] with all problems found.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Error::file(path, line, "is not UTF-8 text; expected a TOML configuration")
        })?;
        Self::from_toml(&text, &path.display().to_string(), overrides)
    }

    /// The same from a text; `name` stands for the file in messages.
    pub fn from_toml(text: &str, name: &str, overrides: &[String]) -> Result<Self> {
        let sections = Self::sections();
        let mut problems = vec![];
        let mut given = match read_text(text, name, &sections, &mut problems) {
            Ok(given) => given,
            // Not TOML at all: nothing else can be said of the file.
            Err(problem) => return Err(Error::Config(vec![problem])),
        };
        let mut config = Self::default();
        let mut overridden = BTreeSet::new();
        for text in overrides {
            match read_override(text, &sections, &mut config.reading.notices) {
                Ok((key, value)) => {
                    overridden.insert(format!("{}.{}", key.0, key.1));
                    match value {
                        Some(value) => drop(given.insert(key, value)),
                        None => drop(given.remove(&key)),
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        for (one, other) in [("epochs", "steps"), ("steps", "epochs")] {
            // They say the same: an override of one takes back the other.
            if overridden.contains(&format!("train.{one}")) && !overridden.contains(&format!("train.{other}")) {
                given.remove(&("train".to_owned(), other.to_owned()));
            }
        }
        for ((section, option), Given { location, value }) in &given {
            if let Err(expected) = config.set(section, option, value) {
                let expected = match foreign_names::value(&format!("{section}.{option}"), value) {
                    // It says more than the likeliest slip of the pen does.
                    Some(known) => format!("{}; {known}", expected.split(" (did you mean").next().unwrap_or_default()),
                    None => expected,
                };
                problems.push(format!("{location}: {section}.{option}: found {}, expected {expected}", show(value)));
            }
        }
        let locate = |key: &str| {
            let (section, option) = key.split_once('.')?;
            given.get(&(section.to_owned(), option.to_owned())).map(|given| given.location.clone())
        };
        check::contradictions(&config, name, &locate, &|key| overridden.contains(key), &mut problems);
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        config.reading.given = given.into_keys().map(|(section, option)| format!("{section}.{option}")).collect();
        Ok(config)
    }

    /// Checks a configuration made by a program for contradictions between its options.
    pub fn validate(&self) -> Result<()> {
        let mut problems = vec![];
        check::contradictions(self, "configuration", &|_| None, &|_| false, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }
}

type GivenOptions = BTreeMap<(String, String), Given>;

/// Every known `section.key` of the text with its line; unknown names go to `problems`. `Err`: the text is not TOML.
fn read_text(text: &str, name: &str, sections: &[SectionSpec], problems: &mut Vec<String>) -> Result<GivenOptions, String> {
    let line_of = |offset: usize| text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
    let syntax_error = |e: toml::de::Error| {
        let line = e.span().map_or_else(String::new, |span| format!(":{}", line_of(span.start)));
        let reason = match e.message() {
            // Of i128, which TOML's numbers are read as first.
            message if message.starts_with("invalid type: integer") => format!("a number is too large; expected at most {}", i64::MAX),
            message => message.replace('\n', ", "),
        };
        format!("{name}{line}: not valid TOML: {reason}")
    };
    let spans = toml::de::DeTable::parse(text).map_err(syntax_error)?;
    let values: toml::Table = toml::from_str(text).map_err(syntax_error)?;
    let locate = |start: usize| format!("{name}:{}", line_of(start));
    let mut given = GivenOptions::new();
    for (section, entry) in spans.get_ref() {
        let location = locate(section.span().start);
        let section = section.get_ref().as_ref();
        let Some(table) = entry.get_ref().as_table() else {
            problems.push(format!("{location}: {}", unknown_key(section, Some(&show(&values[section])), sections)));
            continue;
        };
        let Some(spec) = sections.iter().find(|s| s.name == section) else {
            let keys = keys_within(section, table, &values[section], &locate);
            problems.extend(unknown_table(&keys, is_near_section(section, sections), sections, || {
                format!("{location}: {}", unknown_section(section, sections))
            }));
            continue;
        };
        for (key, entry) in table {
            let location = locate(key.span().start);
            let key = key.get_ref().as_ref();
            let value = &values[section][key];
            let Some(option) = spec.options.iter().find(|o| o.name == key) else {
                let unknown = || format!("{location}: {}", unknown_option(section, &spec.options, key, Some(&show(value)), sections));
                match entry.get_ref().as_table() {
                    Some(table) => {
                        let keys = keys_within(&format!("{section}.{key}"), table, value, &locate);
                        problems.extend(unknown_table(&keys, false, sections, unknown));
                    }
                    None => problems.push(unknown()),
                }
                continue;
            };
            let (Some(tables), Some(entry)) = (&option.tables, entry.get_ref().as_table()) else {
                given.insert((section.to_owned(), key.to_owned()), Given { location, value: value.clone() });
                continue;
            };
            read_tables(&format!("{section}.{key}"), tables, entry, value, &locate, sections, &mut given, problems);
        }
    }
    Ok(given)
}

/// Every known option of the tables by name in `entry` (`value` with its lines), the option at `path`; the rest goes to `problems`.
fn read_tables(
    path: &str,
    spec: &TableSpec,
    entry: &toml::de::DeTable,
    value: &toml::Value,
    locate: &dyn Fn(usize) -> String,
    sections: &[SectionSpec],
    given: &mut GivenOptions,
    problems: &mut Vec<String>,
) {
    let (section, option) = path.split_once('.').expect("section.option");
    for (name, entry) in entry {
        let location = locate(name.span().start);
        let name = name.get_ref().as_ref();
        let (value, table) = (&value[name], entry.get_ref().as_table());
        let found = match table {
            None => Some(show(value)),
            Some(_) if !is_table_name(name) => Some(format!("a table named {name:?}")),
            Some(table) if table.is_empty() => Some("an empty table".to_owned()),
            Some(_) => None,
        };
        if let Some(found) = found {
            let options = spec.options.iter().map(|o| o.name).collect::<Vec<_>>().join(", ");
            problems
                .push(format!("{location}: {path}.{name}: found {found}, expected [{path}.NAME], {TABLE_NAME}, with some of {options}"));
            continue;
        }
        for key in table.into_iter().flat_map(|table| table.keys()) {
            let location = locate(key.span().start);
            let key = key.get_ref().as_ref();
            if spec.options.iter().any(|o| o.name == key) {
                given.insert((section.to_owned(), format!("{option}.{name}.{key}")), Given { location, value: value[key].clone() });
            } else {
                problems.push(format!("{location}: {}", unknown_option(&format!("{path}.{name}"), &spec.options, key, None, sections)));
            }
        }
    }
}

/// What [`is_table_name`] asks for.
const TABLE_NAME: &str = "NAME of letters, digits, _ and -";

/// Whether a table may have this name: it becomes part of the names of options and metrics.
fn is_table_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// An override: the option, and its value, or `None` where the default is to hold.
type Override = ((String, String), Option<Given>);

/// Reads `section.key=value`. The value is TOML where it reads as TOML of the option's kind, else a bare string, whose backslashes stand for themselves: in
/// `\boxed` or `C:\new` they do. Where TOML would read one as an escape, `notices` says that it wasn't.
fn read_override(text: &str, sections: &[SectionSpec], notices: &mut Vec<String>) -> Result<Override, String> {
    let fail = |message: String| format!("--set {text}: {message}");
    let (key, value) = text.split_once('=').ok_or_else(|| fail("expected section.key=value, such as train.steps=100".into()))?;
    let (key, value) = (key.trim(), value.trim());
    let shown = Some(value).filter(|value| !value.is_empty());
    let (section, option) = key.split_once('.').ok_or_else(|| fail(unknown_key(key, shown, sections)))?;
    let spec = sections.iter().find(|s| s.name == section).ok_or_else(|| {
        let key = (String::new(), key.to_owned(), value.to_owned());
        let unknown = unknown_table(&[key], is_near_section(section, sections), sections, || unknown_section(section, sections));
        fail(unknown.concat().trim_start_matches(": ").to_owned())
    })?;
    let known = find_option(spec, option, shown, sections).map_err(fail)?;
    let key = (section.to_owned(), option.to_owned());
    if value.is_empty() {
        return Ok((key, None));
    }
    let parsed = format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    let value = match parsed {
        // `--set data.train=2024` means the file of that name.
        Some(parsed) if known.type_name == String::TYPE_NAME && !parsed.is_str() => None,
        Some(parsed) if known.type_name == OneOrMore::TYPE_NAME && !parsed.is_str() && !parsed.is_array() => None,
        parsed => parsed,
    }
    .unwrap_or_else(|| {
        if let Some(escape) = toml_escape(value) {
            notices.push(format!(
                "--set {section}.{option}: `{escape}` stands for itself there, a backslash and what follows; for TOML's escapes put the value \
                 in double quotes, as in --set '{section}.{option}=\"...{escape}...\"'"
            ));
        }
        toml::Value::String(value.to_owned())
    });
    Ok((key, Some(Given { location: "--set".to_owned(), value })))
}

/// The first escape of TOML's in `text`, such as `\n`.
fn toml_escape(text: &str) -> Option<&str> {
    text.match_indices('\\').map(|(start, _)| start).find_map(|start| {
        let after = text[start + 1..].chars().next()?;
        matches!(after, 'b' | 't' | 'n' | 'f' | 'r' | 'e' | 'u' | 'U' | 'x' | '"' | '\\').then(|| &text[start..=start + after.len_utf8()])
    })
}

/// The option `path` of a section: its name, or `option.NAME.KEY` within tables by name.
fn find_option<'a>(spec: &'a SectionSpec, path: &str, value: Option<&str>, sections: &[SectionSpec]) -> Result<&'a OptionSpec, String> {
    let section = spec.name;
    let unknown = || unknown_option(section, &spec.options, path, value, sections);
    let (option, within) = path.split_once('.').map_or((path, None), |(option, within)| (option, Some(within)));
    let known = spec.options.iter().find(|o| o.name == option).ok_or_else(unknown)?;
    match (&known.tables, within.and_then(|within| within.split_once('.'))) {
        (None, _) if within.is_none() => Ok(known),
        (None, _) => Err(unknown()),
        (Some(tables), Some((name, key))) if is_table_name(name) => {
            let path = format!("{section}.{option}.{name}");
            tables.options.iter().find(|o| o.name == key).ok_or_else(|| unknown_option(&path, &tables.options, key, None, sections))
        }
        (Some(_), _) => Err(format!("expected {section}.{option}.NAME.KEY=value, {TABLE_NAME}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, overrides: &[&str]) -> Vec<String> {
        let overrides: Vec<_> = overrides.iter().map(|s| (*s).to_owned()).collect();
        match Config::from_toml(text, "c.toml", &overrides) {
            Err(Error::Config(problems)) => problems,
            Err(other) => panic!("unexpected error {other}"),
            Ok(_) => vec![],
        }
    }

    #[test]
    fn empty_file_is_the_default() {
        assert_eq!(Config::from_toml("", "c.toml", &[]).unwrap(), Config::default());
    }

    #[test]
    fn values_are_read() {
        let text = "[train]\nsteps = 7\nrecipe = \"grpo\"\n[exp]\nleak_phrases = [\"x\"]\ntemperature = 1\n[grpo]\nepsilon_high = 0.28\n[data]\nlevels = [1, 5]\n";
        let config = Config::from_toml(text, "c.toml", &[]).unwrap();
        assert_eq!(config.train.steps, 7);
        assert_eq!(config.train.recipe, RecipeName::Grpo);
        assert_eq!(config.exp.leak_phrases, ["x"]);
        assert_eq!(config.grpo.epsilon_high, Some(0.28));
        assert_eq!(*config.data.levels, [1, 5]);
    }

    #[test]
    fn all_problems_are_reported_together() {
        let text = "stepss = 3\n[trian]\nx = 1\n[train]\nstep = 5\nsteps = 0\nsave_every = -1\nrecipe = \"exp-gpro\"\nlearning_rate = 1.0\n[rollout]\ntop_p = \"high\"\nmin_p = 1.5\n[exp]\nleak_phrases = [1]\n";
        let found = problems(text, &["train.seed=-3", "rollout.nothing_like_it=1", "nonsense"]);
        let expected = [
            "c.toml:1: unknown key stepss outside of any section; did you mean train.steps?",
            "c.toml:2: unknown section [trian]; did you mean [train]?",
            "c.toml:5: unknown key train.step; did you mean train.steps?",
            "c.toml:6: train.steps: found 0, expected a whole number at least 1",
            "c.toml:7: train.save_every: found -1, expected a whole number at least 0",
            "c.toml:8: train.recipe: found \"exp-gpro\", expected one of \"grpo\", \"exp-grpo\", \"grpo-sft-gt-cot\", \"luffy\", \"dpo\", \"exp-dpo\", \"star\", \"sft\" (did you mean \"exp-grpo\"?)",
            "c.toml:9: unknown key train.learning_rate; did you mean optim.learning_rate?",
            "c.toml:11: rollout.top_p: found \"high\", expected a number above 0 and at most 1",
            "c.toml:12: rollout.min_p: found 1.5, expected a number at least 0 and below 1",
            "c.toml:14: exp.leak_phrases: found [1], expected a list of strings, each a string in quotes",
            "--set: train.seed: found -3, expected a whole number at least 0",
            "--set nonsense: expected section.key=value, such as train.steps=100",
        ];
        for message in expected {
            assert!(found.iter().any(|f| f == message), "missing {message:?} in {found:#?}");
        }
        assert!(
            found
                .iter()
                .any(|f| f
                    .starts_with("--set rollout.nothing_like_it=1: unknown key rollout.nothing_like_it; [rollout] has num_generations"))
        );
        assert_eq!(found.len(), expected.len() + 1, "{found:#?}");
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let found = problems("[train]\nsteps = = 3\n", &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("c.toml:2: not valid TOML: ") && !found[0].contains('\n'), "{found:?}");
    }

    #[test]
    fn overrides_win_and_may_be_bare() {
        let overrides = [
            "train.steps=9",
            "model.path=some/folder",
            "data.train=2024",
            "train.recipe=grpo",
            "data.levels=[5]",
            "prompt.system=\"a = b\"",
        ];
        let config = Config::from_toml("[train]\nsteps = 7\n", "c.toml", &overrides.map(str::to_owned)).unwrap();
        assert_eq!(config.train.steps, 9);
        assert_eq!(config.model.path, "some/folder");
        assert_eq!(config.data.train, "2024".into());
        assert_eq!(config.train.recipe, RecipeName::Grpo);
        assert_eq!(*config.data.levels, [5]);
        assert_eq!(config.prompt.system, "a = b");
    }

    #[test]
    fn an_empty_override_takes_back_what_the_file_has() {
        let text = "[rehearsal]\ndata = \"generator:division\"\ndocuments_per_step = 4\n[grpo]\ndelta = 4\n[exp]\nschedule = \"linear\"\nbeta_end = 0.5\n";
        let read = |overrides: &[&str]| Config::from_toml(text, "c.toml", &overrides.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        // What depends on it in the file alone is no contradiction then.
        for off in ["rehearsal.data=", "rehearsal.data=\"\""] {
            assert_eq!(read(&[off]).unwrap().rehearsal.data, "");
        }
        let config = read(&["grpo.delta=", "exp.schedule="]).unwrap();
        assert_eq!((config.grpo.delta, config.exp.schedule), (None, crate::config::BetaSchedule::Constant));
        assert!(!config.reading.given.contains("grpo.delta") && config.reading.given.contains("rehearsal.data"));
        let error = read(&["rehearsal.data=", "rehearsal.weight=2"]).unwrap_err().to_string();
        assert!(error.contains("--set: rehearsal.weight: set, but rehearsal.data is empty"), "{error}");
    }

    #[test]
    fn steps_and_epochs_replace_each_other() {
        let read = |text: &str, over: &str| {
            let train = Config::from_toml(text, "c.toml", &[over.to_owned()]).unwrap().train;
            (train.steps, train.epochs)
        };
        assert_eq!(read("[train]\nsteps = 7", "train.epochs=2"), (100, Some(2.0)));
        assert_eq!(read("[train]\nepochs = 2", "train.steps=7"), (7, None));
        assert_eq!(read("[train]\nepochs = 2", "train.seed=7"), (100, Some(2.0)));
        let found = problems("", &["train.epochs=2", "train.steps=7"]);
        assert_eq!(found, ["--set: train.epochs: set beside train.steps = 7, which says the same another way; give one of the two"]);
        let mut config = Config::from_toml("[train]\nepochs = 1.5\nprompts_per_step = 8", "c.toml", &[]).unwrap();
        config.set_steps(31);
        assert_eq!(config.train.steps, 6);
        config.train.epochs = Some(0.001);
        config.set_steps(31);
        assert_eq!(config.train.steps, 1);
        config.train.epochs = None;
        config.set_steps(1000);
        assert_eq!(config.train.steps, 1);
    }

    #[test]
    fn backslashes_of_bare_overrides_stand_for_themselves_and_that_is_told() {
        let read = |text: &str| {
            let config = Config::from_toml("", "c.toml", &[text.to_owned()]).unwrap();
            (config.prompt.answer_suffix, config.reading.notices)
        };
        let told = "--set prompt.answer_suffix: `\\n` stands for itself there";
        let (suffix, notices) = read("prompt.answer_suffix=\\n#### {{answer}}");
        assert!(suffix == "\\n#### {{answer}}" && notices.len() == 1 && notices[0].starts_with(told), "{notices:?}");
        assert_eq!(read("prompt.answer_suffix=\"\\n#### {{answer}}\""), ("\n#### {{answer}}".to_owned(), vec![]));
        assert_eq!(read("prompt.answer_suffix='\\boxed{ {{answer}} }'"), ("\\boxed{ {{answer}} }".to_owned(), vec![]));
        assert_eq!(read("prompt.answer_suffix=#### {{answer}}").1, Vec::<String>::new());
    }

    #[test]
    fn tables_by_name() {
        let text =
            "[reward.external.judge]\ncommand = [\"judge\", \"--fast\"]\nweight = 0.5\n[reward.external.style]\nurl = \"http://x\"\n";
        let config =
            Config::from_toml(text, "c.toml", &["reward.external.judge.weight=0.25".into(), "reward.external.style.max_retries=0".into()]);
        let external = config.unwrap().reward.external;
        assert_eq!(external.keys().collect::<Vec<_>>(), ["judge", "style"]);
        let (judge, style) = (&external["judge"], &external["style"]);
        assert_eq!((judge.weight, &judge.command[..], judge.url.as_str()), (0.25, &["judge".to_owned(), "--fast".into()][..], ""));
        assert_eq!((style.weight, style.max_retries, style.url.as_str()), (1.0, 0, "http://x"));
    }

    #[test]
    fn mistakes_in_tables_by_name_are_located() {
        let text = "[reward.external.judge]\ncommand = \"judge --fast\"\ntimeuot = 3\nseed = 1\n[reward.external.\"a b\"]\nurl = \"http://x\"\n\
                    [reward.external.none]\n[reward.external]\nweight = 2\n";
        let found = problems(text, &["reward.external.judge=1", "reward.external.judge.wieght=1", "reward.correctness.x.y=1"]);
        let expected = [
            "c.toml:2: reward.external.judge.command: found \"judge --fast\", expected a list of strings",
            "c.toml:3: unknown key reward.external.judge.timeuot; did you mean reward.external.judge.timeout?",
            "c.toml:4: unknown key reward.external.judge.seed; did you mean train.seed?",
            "c.toml:5: reward.external.a b: found a table named \"a b\", expected [reward.external.NAME], NAME of letters, digits, _ and -, with",
            "c.toml:7: reward.external.none: found an empty table, expected [reward.external.NAME]",
            "c.toml:9: reward.external.weight: found 2, expected [reward.external.NAME]",
            "--set reward.external.judge=1: expected reward.external.NAME.KEY=value",
            "--set reward.external.judge.wieght=1: unknown key reward.external.judge.wieght; did you mean reward.external.judge.weight?",
            "--set reward.correctness.x.y=1: unknown key reward.correctness.x.y",
        ];
        for message in expected {
            assert!(found.iter().any(|f| f.starts_with(message)), "missing {message:?} in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        assert_eq!(problems("[reward]\nexternal = 3\n", &[]), ["c.toml:2: reward.external: found 3, expected tables by name"]);
    }

    #[test]
    fn variables_of_the_chat_template() {
        let read = |text: &str, overrides: &[String]| Config::from_toml(text, "c.toml", overrides).unwrap().prompt.chat_template_kwargs.0;
        let expected = serde_json::json!({"enable_thinking": false, "effort": "low"});
        let text = "[prompt.chat_template_kwargs]\nenable_thinking = false\neffort = \"low\"\n";
        assert_eq!(serde_json::Value::Object(read(text, &[])), expected);
        let over = "prompt.chat_template_kwargs={ enable_thinking = false, effort = \"low\" }".to_owned();
        assert_eq!(serde_json::Value::Object(read("", &[over])), expected);
        let found = problems("[prompt]\nchat_template_kwargs = { tools = 1 }\n", &["prompt.chat_template_kwargs=3"]);
        assert!(
            found.iter().any(|f| f.contains("found 3, expected a table of variables, such as { enable_thinking = false }")),
            "{found:?}"
        );
        let found = problems("[prompt]\nchat_template_kwargs = { tools = 1 }\n", &[]);
        assert!(found[0].contains("expected a table of variables without `tools`, which the chat template is given anyway"), "{found:?}");
    }

    #[test]
    fn one_name_or_several() {
        let read = |text: &str| Config::from_toml("", "c.toml", &[format!("data.train={text}")]).unwrap().data.train;
        assert_eq!(read("a.csv").0, ["a.csv"]);
        assert_eq!(read("[\"a.csv\", \"b/c\"]").0, ["a.csv", "b/c"]);
        let config = Config::from_toml("[data]\ntrain = [\"a\", \"b\"]\nweights = [1, 0.5]", "c.toml", &[]).unwrap();
        assert_eq!((config.data.train.0.len(), config.data.weights), (2, vec![1.0, 0.5]));
        let found = problems("[data]\ntrain = [1]\nweights = [-1]", &[]);
        assert!(found.iter().any(|f| f == "c.toml:2: data.train: found [1], expected a string or a list of strings"), "{found:?}");
        assert!(found.iter().any(|f| f.contains("expected a list of numbers, each a number at least 0")), "{found:?}");
    }

    use super::super::RecipeName;

    #[test]
    fn every_default_is_within_its_range_and_reads_back() {
        for section in Config::sections() {
            for option in &section.options {
                if option.default == "unset" {
                    continue;
                }
                let text = format!("[{}]\n{} = {}\n", section.name, option.name, option.default);
                let value: toml::Table = text.parse().unwrap();
                let mut config = Config::default();
                config.set(section.name, option.name, &value[section.name][option.name]).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_eq!(config, Config::default(), "{text}");
            }
        }
    }
}
