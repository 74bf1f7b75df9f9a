//! From a sweep's file to its runs, everything checked before anything starts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use expo_core::config::{Config, Init};
use toml::Value;

use super::file::{ArmEntry, EvalEntry, ReportEntry, SweepFile, options};

/// Everything that is to be done.
#[derive(Debug)]
pub struct Plan {
    /// After the sweep's file.
    pub name: String,
    /// The arms in the file's order, those of axes in the order of their values.
    pub arms: Vec<Arm>,
    /// Every arm's runs, one a seed.
    pub runs: Vec<Run>,
    /// The evaluations.
    pub evals: Vec<EvalEntry>,
    /// What is reported of `metrics.jsonl`.
    pub report: ReportEntry,
}

/// Runs that differ in their seed alone.
#[derive(Debug)]
pub struct Arm {
    /// What it is called in tables.
    pub name: String,
    /// The `[[arm]]` that it comes from.
    pub entry: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its options, `section.option=value` each, all but the seed.
    pub overrides: Vec<String>,
    /// Whether it is trained.
    pub trains: bool,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// Its arm's place.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    /// Its folder within the sweep's: `ARM/seed-S`.
    pub folder: PathBuf,
    /// Its configuration, resolved.
    pub config: Config,
}

/// Something to do in a run's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// `expo-rl train`.
    Train,
    /// `expo-rl eval` by the evaluation at this place.
    Evaluate(usize),
}

impl Plan {
    /// Reads the file at `path` and checks every configuration.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = SweepFile::read(path)?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let beside = path.parent().unwrap_or(Path::new(""));
        Self::of(file, name, beside).with_context(|| path.display().to_string())
    }

    fn of(file: SweepFile, name: String, beside: &Path) -> anyhow::Result<Self> {
        let arms = arms(&file, beside)?;
        let mut runs = Vec::new();
        for (place, (arm, seeds)) in arms.iter().enumerate() {
            ensure!(!seeds.is_empty(), "arm {:?}: no seeds; give at least one, such as seeds = [0, 1, 2]", arm.name);
            let folder = PathBuf::from(file_name(&arm.name));
            let known = |run: &Run| run.arm != place && run.folder.starts_with(&folder);
            ensure!(!runs.iter().any(known), "arm {:?}: another arm has the same folder {}; rename one", arm.name, folder.display());
            for (i, seed) in seeds.iter().enumerate() {
                ensure!(!seeds[..i].contains(seed), "arm {:?}: seed {seed} is named twice", arm.name);
                let config = Config::load(&arm.config, &arm.overrides_with(*seed)).with_context(|| format!("arm {:?}", arm.name))?;
                runs.push(Run { arm: place, seed: *seed, folder: folder.join(format!("seed-{seed}")), config });
            }
        }
        let plan = Self { name, arms: arms.into_iter().map(|(arm, _)| arm).collect(), runs, evals: file.evals, report: file.report };
        plan.check_evals(&file.arms)?;
        Ok(plan)
    }

    /// The tasks of a run, in order.
    pub fn tasks(&self, run: &Run) -> Vec<Task> {
        let evals = self.evals.iter().enumerate().filter(|(_, eval)| self.applies(eval, run)).map(|(place, _)| Task::Evaluate(place));
        self.arms[run.arm].trains.then_some(Task::Train).into_iter().chain(evals).collect()
    }

    /// Steps of a run's training.
    pub fn steps(&self, run: &Run) -> usize {
        if self.arms[run.arm].trains { run.config.train.steps } else { 0 }
    }

    /// Whether `eval` is made of `run`.
    pub fn applies(&self, eval: &EvalEntry, run: &Run) -> bool {
        eval.arms.is_empty() || eval.arms.contains(&self.arms[run.arm].entry)
    }

    /// The arguments of `expo-rl train`; `folder` is the run's.
    pub fn train_arguments(&self, run: &Run, folder: &Path) -> Vec<String> {
        let arm = &self.arms[run.arm];
        let mut arguments = vec!["train".to_owned(), text(&arm.config), "--out".to_owned(), text(folder)];
        push_overrides(&mut arguments, arm.overrides_with(run.seed));
        arguments
    }

    /// The arguments of `expo-rl eval` but for `--model` and `--json`.
    pub fn eval_arguments(&self, run: &Run, eval: &EvalEntry) -> Vec<String> {
        let arm = &self.arms[run.arm];
        let ks: Vec<String> = eval.k.iter().map(usize::to_string).collect();
        let mut arguments = vec!["eval".to_owned()];
        let mut push = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        push("--data", eval.data.clone());
        push("--samples", eval.samples.to_string());
        push("--k", ks.join(","));
        push("--temperature", eval.temperature.to_string());
        push("--seed", eval.seed.to_string());
        let max_new_tokens = eval.max_new_tokens.unwrap_or(run.config.rollout.max_new_tokens);
        push("--max-new-tokens", max_new_tokens.to_string());
        if let Some(by) = &eval.by {
            push("--by", by.clone());
        }
        if let Some(limit) = eval.limit {
            push("--limit", limit.to_string());
        }
        push("--config", text(&arm.config));
        push_overrides(&mut arguments, arm.overrides_with(run.seed));
        // Checked with the plan.
        push_overrides(&mut arguments, options(&eval.set).map(render).unwrap_or_default());
        arguments
    }

    /// The arguments that name `run`'s policy to `expo-rl eval`: trained, or the start policy of an arm that is not; `folder` is the run's.
    pub fn model_arguments(&self, run: &Run, folder: &Path) -> Vec<String> {
        let (config, trained) = (&run.config, self.arms[run.arm].trains.then(|| text(&folder.join("model"))));
        let is_lora = config.lora.r > 0 || !config.lora.adapter.is_empty();
        let (model, adapter) = match trained {
            Some(trained) if is_lora => (config.model.path.clone(), Some(trained)),
            Some(trained) => (trained, None),
            None => (config.model.path.clone(), Some(config.lora.adapter.clone()).filter(|adapter| !adapter.is_empty())),
        };
        let adapter = adapter.into_iter().flat_map(|adapter| ["--adapter".to_owned(), adapter]);
        ["--model".to_owned(), model].into_iter().chain(adapter).collect()
    }

    fn check_evals(&self, entries: &[ArmEntry]) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        for eval in &self.evals {
            let name = &eval.name;
            ensure!(names.insert(file_name(name)), "eval {name:?}: another one has this name");
            let largest = eval.k.iter().max().copied().unwrap_or(0);
            ensure!(!eval.k.is_empty() && !eval.k.contains(&0), "eval {name:?}: k: found {:?}, expected numbers at least 1", eval.k);
            ensure!(
                largest <= eval.samples,
                "eval {name:?}: k = {largest} needs at least as many samples, found samples = {}",
                eval.samples
            );
            for arm in &eval.arms {
                let known = entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
                ensure!(known.contains(&arm.as_str()), "eval {name:?}: no arm is named {arm:?}; the arms are {}", known.join(", "));
            }
            let set = options(&eval.set).map(render).with_context(|| format!("eval {name:?}: set"))?;
            for run in self.runs.iter().filter(|run| self.applies(eval, run)) {
                let arm = &self.arms[run.arm];
                let overrides = [arm.overrides_with(run.seed), set.clone()].concat();
                Config::load(&arm.config, &overrides).with_context(|| format!("eval {name:?} of arm {:?}", arm.name))?;
                ensure!(
                    arm.trains || run.config.model.init == Init::Pretrained,
                    "arm {:?}: model.init = \"random\" without training: there is nothing to evaluate",
                    arm.name
                );
            }
        }
        let idle = self.runs.iter().find(|run| self.tasks(run).is_empty());
        if let Some(run) = idle {
            bail!("arm {:?}: train = false and no evaluation: nothing to do", self.arms[run.arm].name);
        }
        Ok(())
    }
}

impl Arm {
    /// Its options with the seed.
    fn overrides_with(&self, seed: u64) -> Vec<String> {
        self.overrides.iter().cloned().chain([format!("train.seed={seed}")]).collect()
    }
}

/// Every arm with its seeds.
fn arms(file: &SweepFile, beside: &Path) -> anyhow::Result<Vec<(Arm, Vec<u64>)>> {
    let implied = || {
        let name = file.base.as_ref().and_then(|base| base.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
        ArmEntry { name: name.unwrap_or_default(), config: None, set: toml::Table::new(), seeds: None, train: true }
    };
    let entries = if file.arms.is_empty() { vec![implied()] } else { file.arms.clone() };
    let shared = options(&file.set).context("set")?;
    let combinations = combinations(&options(&file.axes).context("axes")?)?;
    let mut arms = Vec::new();
    for entry in entries {
        let Some(config) = entry.config.as_ref().or(file.base.as_ref()) else {
            bail!("arm {:?}: no configuration; give it `config`, or the file `base`", entry.name);
        };
        ensure!(!entry.name.trim().is_empty(), "an arm without a name");
        let own = options(&entry.set).with_context(|| format!("arm {:?}: set", entry.name))?;
        for values in &combinations {
            let parts: Vec<String> = values.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
            let name = if file.arms.is_empty() && !parts.is_empty() {
                parts.join(" ")
            } else {
                [&[entry.name.clone()][..], &parts[..]].concat().join(" ")
            };
            let mut given: Vec<(String, Value)> = Vec::new();
            for (key, value) in [&shared, &own, values].into_iter().flatten() {
                given.retain(|(other, _)| other != key);
                given.push((key.clone(), value.clone()));
            }
            ensure!(!given.iter().any(|(key, _)| key == "train.seed"), "arm {name:?}: train.seed is set; use seeds = [...] instead");
            let arm = Arm { name, entry: entry.name.clone(), config: beside.join(config), overrides: render(given), trains: entry.train };
            arms.push((arm, entry.seeds.clone().unwrap_or_else(|| file.seeds.clone())));
        }
    }
    Ok(arms)
}

/// Every combination of the axes' values, the last axis running fastest; without axes the empty one.
fn combinations(axes: &[(String, Value)]) -> anyhow::Result<Vec<Vec<(String, Value)>>> {
    let mut all = vec![vec![]];
    for (key, values) in axes {
        let Some(values) = values.as_array().filter(|values| !values.is_empty()) else {
            bail!("axes: {key}: found {values}, expected a list of values, such as [0, 0.5, 1]");
        };
        all = all
            .into_iter()
            .flat_map(|before| values.iter().map(move |value| [&before[..], &[(key.clone(), value.clone())]].concat()))
            .collect();
    }
    Ok(all)
}

/// Options as `--set` takes them.
fn render(options: Vec<(String, Value)>) -> Vec<String> {
    options.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// A value in a name: text without quotation marks.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A name as that of a folder or file.
pub fn file_name(name: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '=' | '+' | ',' | '.');
    let text: String = name.chars().map(|c| if keep(c) { c } else { '-' }).collect();
    // Not `.`, `..` or a hidden folder.
    if text.starts_with('.') { format!("-{text}") } else { text }
}

fn push_overrides(arguments: &mut Vec<String>, overrides: Vec<String>) {
    arguments.extend(overrides.into_iter().flat_map(|one| ["--set".to_owned(), one]));
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> anyhow::Result<Plan> {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        Plan::of(toml::from_str(text).unwrap(), "s".into(), &configs)
    }

    const BASE: &str = "base = \"exp-grpo-tiny.toml\"\n";

    #[test]
    fn arms_axes_and_seeds_multiply() {
        let text = format!(
            "{BASE}seeds = [0, 7]\n[set]\ntrain.steps = 9\n[axes]\nexp.beta = [0, 0.5]\nexp.explainer = [\"initial\"]\n\
             [[arm]]\nname = \"a b\"\nset.train.steps = 3\n[[arm]]\nname = \"c\"\nseeds = [1]\n"
        );
        let plan = plan(&text).unwrap();
        let names: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
        let parts = |name: &str, beta: &str| format!("{name} exp.beta={beta} exp.explainer=initial");
        assert_eq!(names, [parts("a b", "0"), parts("a b", "0.5"), parts("c", "0"), parts("c", "0.5")]);
        let runs: Vec<(usize, u64)> = plan.runs.iter().map(|run| (run.arm, run.seed)).collect();
        assert_eq!(runs, [(0, 0), (0, 7), (1, 0), (1, 7), (2, 1), (3, 1)]);
        let run = &plan.runs[3];
        assert_eq!(run.folder, Path::new("a-b-exp.beta=0.5-exp.explainer=initial/seed-7"));
        assert_eq!((run.config.train.steps, run.config.train.seed, run.config.exp.beta), (3, 7, 0.5));
        assert_eq!(plan.runs[4].config.train.steps, 9);
        let arguments = plan.train_arguments(run, Path::new("out"));
        let sets: Vec<&str> = arguments.iter().filter(|text| text.contains('=')).map(String::as_str).collect();
        assert_eq!(sets, ["train.steps=3", "exp.beta=0.5", "exp.explainer=\"initial\"", "train.seed=7"]);
        // Without arms the axes alone are the name; without axes, too, the base's.
        let alone = |axes: &str| super::tests::plan(&format!("{BASE}{axes}")).unwrap().arms[0].name.clone();
        assert_eq!((alone("[axes]\nexp.beta = [1]\n"), alone("")), ("exp.beta=1".to_owned(), "exp-grpo-tiny".to_owned()));
    }

    #[test]
    fn a_run_is_trained_then_evaluated() {
        let eval =
            |name: &str, more: &str| format!("[[eval]]\nname = \"{name}\"\ndata = \"generator:division\"\nsamples = 4\nk = [4]\n{more}\n");
        let text = format!(
            "{BASE}[set]\ntrain.steps = 7\n[[arm]]\nname = \"base\"\ntrain = false\n[[arm]]\nname = \"a\"\n{}{}",
            eval("all", ""),
            eval("some", "arms = [\"a\"]\nset.data.levels = [1]\nby = \"level\"\nlimit = 5")
        );
        let plan = plan(&text).unwrap();
        assert_eq!(plan.tasks(&plan.runs[0]), [Task::Evaluate(0)]);
        assert_eq!(plan.tasks(&plan.runs[1]), [Task::Train, Task::Evaluate(0), Task::Evaluate(1)]);
        let run = &plan.runs[1];
        let models = [&plan.runs[0], run].map(|run| plan.model_arguments(run, Path::new("f")).join(" "));
        assert_eq!(models, ["--model embedded:tiny", "--model f/model"]);
        let arguments = plan.eval_arguments(run, &plan.evals[1]).join(" ");
        for part in ["--k 4 ", "--samples 4", "--by level", "--limit 5", "--temperature 0.7", "--max-new-tokens 96", "--set train.steps=7"]
        {
            assert!(arguments.contains(part), "{part}: {arguments}");
        }
        assert!(arguments.ends_with("--set train.seed=0 --set data.levels=[1]"), "{arguments}");
    }

    #[test]
    fn an_adapter_is_evaluated_on_its_base() {
        let eval = "[[eval]]\nname = \"e\"\ndata = \"generator:division\"\nsamples = 1\nk = [1]\n";
        let arms = "[[arm]]\nname = \"a\"\nset.lora.r = 4\n[[arm]]\nname = \"b\"\ntrain = false\nset.lora.adapter = \"given\"\n";
        let plan = plan(&format!("{BASE}{arms}{eval}")).unwrap();
        let models: Vec<String> = plan.runs.iter().map(|run| plan.model_arguments(run, Path::new("f")).join(" ")).collect();
        assert_eq!(models, ["--model embedded:tiny --adapter f/model", "--model embedded:tiny --adapter given"]);
    }

    #[test]
    fn what_can_t_run_is_refused() {
        let eval = "[[eval]]\nname = \"e\"\ndata = \"generator:division\"\nsamples = 2\n";
        for (text, part) in [
            (format!("{BASE}[set]\nexp.betta = 1"), "arm \"exp-grpo-tiny\": 1 problem in the configuration:"),
            (format!("{BASE}[set]\ntrain.seed = 1"), "train.seed is set"),
            (format!("{BASE}seeds = []"), "no seeds"),
            (format!("{BASE}seeds = [1, 1]"), "seed 1 is named twice"),
            (format!("{BASE}[axes]\nexp.beta = 1"), "axes: exp.beta: found 1, expected a list"),
            (format!("{BASE}[[arm]]\nname = \"a b\"\n[[arm]]\nname = \"a-b\""), "the same folder a-b"),
            (format!("{BASE}[[arm]]\nname = \"a\"\ntrain = false"), "nothing to do"),
            ("[[arm]]\nname = \"a\"".to_owned(), "no configuration"),
            (format!("{BASE}{eval}k = [4]"), "k = 4 needs at least as many samples"),
            (format!("{BASE}{eval}k = []"), "expected numbers at least 1"),
            (format!("{BASE}{eval}k = [1]\narms = [\"x\"]"), "no arm is named \"x\""),
            (format!("{BASE}{eval}k = [1]\nset.data.levels = [9]"), "eval \"e\" of arm"),
            ("base = \"nothing.toml\"".to_owned(), "nothing.toml"),
        ] {
            let message = crate::output::describe(&plan(&text).unwrap_err());
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}
