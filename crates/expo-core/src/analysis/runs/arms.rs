//! Runs put together: those whose configurations and data are the same but for `train.seed` form one arm.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::run::Run;

/// Runs that differ in their seed alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// What tells it from the other arms.
    pub label: String,
    /// Its runs, as places in the list that it was made of.
    pub runs: Vec<usize>,
}

/// An option, or another entry of `run.json`, that is not the same in all runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `section.option`; what is not an option has its name in `run.json`.
    pub key: String,
    /// For each arm the values of its runs, each once; none where it is not there.
    pub values: Vec<Vec<Value>>,
}

/// The option that arms don't differ in.
const SEED: &str = "train.seed";
/// Entries of `run.json` beside the configuration that are worth comparing.
const BESIDE: [&str; 4] = ["version", "instruction_set", "problems", "data_sha256"];

/// The arms of `runs`, in the order of their first runs. A run without a configuration is an arm of its own.
pub fn arms(runs: &[Run]) -> Vec<Arm> {
    let mut arms: Vec<(BTreeMap<String, Value>, Arm)> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        let identity = identity(run);
        match arms.iter_mut().find(|(other, _)| !identity.is_empty() && *other == identity) {
            Some((_, arm)) => arm.runs.push(place),
            None => arms.push((identity, Arm { label: String::new(), runs: vec![place] })),
        }
    }
    let labels = labels(runs, &arms);
    arms.into_iter().zip(labels).map(|((_, arm), label)| Arm { label, ..arm }).collect()
}

/// Everything in which `arms` differ, seeds included.
pub fn differences(runs: &[Run], arms: &[Arm]) -> Vec<Difference> {
    let flat: Vec<BTreeMap<String, Value>> = runs.iter().map(flatten_run).collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let of_arm = |arm: &Arm, key: &str| {
        let mut values: Vec<Value> = Vec::new();
        for value in arm.runs.iter().filter_map(|&run| flat[run].get(key)) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        values
    };
    // A run of which nothing is known differs in nothing.
    let known: Vec<_> = flat.iter().filter(|run| !run.is_empty()).collect();
    let differs = |key: &&&String| known.iter().any(|run| run.get(**key) != known[0].get(**key));
    let row = |key: &String| Difference { key: key.clone(), values: arms.iter().map(|arm| of_arm(arm, key)).collect() };
    keys.iter().filter(differs).map(|key| row(key)).collect()
}

/// What has to be equal in an arm's runs; empty where the configuration is not known.
fn identity(run: &Run) -> BTreeMap<String, Value> {
    let Some(config) = run.config() else { return BTreeMap::new() };
    let mut flat = flatten(config);
    flat.remove(SEED);
    if let Some(hashes) = run.info.get("data_sha256") {
        flat.insert("data_sha256".into(), hashes.clone());
    }
    flat
}

fn flatten_run(run: &Run) -> BTreeMap<String, Value> {
    let mut flat = run.config().map(flatten).unwrap_or_default();
    let beside: Map<String, Value> = BESIDE.iter().filter_map(|name| Some(((*name).to_owned(), run.info.get(*name)?.clone()))).collect();
    flat.extend(flatten(&Value::Object(beside)));
    flat
}

/// Nested objects as one level of dotted names.
fn flatten(value: &Value) -> BTreeMap<String, Value> {
    fn add(prefix: &str, value: &Value, flat: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(entries) if !entries.is_empty() || prefix.is_empty() => {
                for (name, value) in entries {
                    add(&if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") }, value, flat);
                }
            }
            other => drop(flat.insert(prefix.to_owned(), other.clone())),
        }
    }
    let mut flat = BTreeMap::new();
    add("", value, &mut flat);
    flat
}

/// A value as it is shown: text without quotation marks.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The folder that holds an arm's runs and no other's, as a sweep makes it; else the name of its first run.
fn names(runs: &[Run], arms: &[(BTreeMap<String, Value>, Arm)]) -> Vec<String> {
    let folder = |run: usize| runs[run].name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let name = |(place, (_, arm)): (usize, &(BTreeMap<String, Value>, Arm))| {
        let own = folder(arm.runs[0]);
        let elsewhere = |other: &Arm| other.runs.iter().all(|&run| folder(run) != own);
        let others = arms.iter().enumerate().filter(|(other, _)| *other != place);
        let is_its = arm.runs.len() > 1 && !own.is_empty() && arm.runs.iter().all(|&run| folder(run) == own);
        if is_its && others.map(|(_, (_, arm))| arm).all(elsewhere) { own.to_owned() } else { runs[arm.runs[0]].name.clone() }
    };
    arms.iter().enumerate().map(name).collect()
}

/// Whether an option says what is trained, and not how a run is watched, kept or measured.
fn is_of_training(key: &str) -> bool {
    let beside = ["data_sha256", "train.name", "train.log_completions", "train.tensorboard", "rollout.max_num_seqs"];
    !key.starts_with("eval.") && !key.starts_with("watchdog.") && !key.starts_with("train.save_") && !beside.contains(&key)
}

/// What each arm is called: its `train.name`, where all have one; else the fewest options of training that tell the arms apart, one or two; else their folders' names.
/// Arms that differ in how they are measured alone have the name of their first run beside it.
fn labels(runs: &[Run], arms: &[(BTreeMap<String, Value>, Arm)]) -> Vec<String> {
    let names = || names(runs, arms);
    if arms.iter().any(|(identity, _)| identity.is_empty()) {
        return names();
    }
    let distinct = |labels: &[String]| labels.iter().collect::<BTreeSet<_>>().len();
    let given = |identity: &BTreeMap<String, Value>| identity.get("train.name").map(shown).filter(|name| !name.is_empty());
    if let Some(labels) =
        arms.iter().map(|(identity, _)| given(identity)).collect::<Option<Vec<_>>>().filter(|found| distinct(found) == arms.len())
    {
        return labels;
    }
    if let [(identity, _)] = arms {
        return identity.get("train.recipe").map_or_else(names, |recipe| vec![shown(recipe)]);
    }
    let keys: BTreeSet<&String> = arms.iter().flat_map(|(identity, _)| identity.keys()).collect();
    let differs = |key: &&String| arms.iter().any(|(identity, _)| identity.get(*key) != arms[0].0.get(*key));
    let mut keys: Vec<&String> = keys.into_iter().filter(differs).filter(|key| is_of_training(key)).collect();
    // The recipe first: it says most.
    keys.sort_by_key(|key| *key != "train.recipe");
    let label = |identity: &BTreeMap<String, Value>, keys: &[&String]| {
        let part = |key: &&String| {
            let value = identity.get(*key).map_or_else(|| "-".to_owned(), shown);
            if *key == "train.recipe" { value } else { format!("{key}={value}") }
        };
        keys.iter().map(part).collect::<Vec<_>>().join(", ")
    };
    let of = |chosen: &[&String]| -> Vec<String> { arms.iter().map(|(identity, _)| label(identity, chosen)).collect() };
    /// Longer than this a label is no help.
    const LONGEST: usize = 60;
    let apart = distinct(&of(&keys));
    let tells_apart =
        |labels: &Vec<String>| apart > 1 && distinct(labels) == apart && labels.iter().all(|label| label.chars().count() <= LONGEST);
    let one = keys.iter().map(|key| of(&[key])).find(tells_apart);
    let two =
        || (0..keys.len()).flat_map(|i| (i + 1..keys.len()).map(move |j| (i, j))).map(|(i, j)| of(&[keys[i], keys[j]])).find(tells_apart);
    let Some(labels) = one.or_else(two) else { return names() };
    let same = |label: &String| labels.iter().filter(|other| *other == label).count();
    labels.iter().zip(names()).map(|(label, name)| if same(label) > 1 { format!("{label} ({name})") } else { label.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, config: Value) -> Run {
        let Value::Object(info) = json!({"config": config, "data_sha256": {"d.jsonl": "ab"}, "version": "1"}) else { unreachable!() };
        Run { name: name.into(), info, ..Run::default() }
    }

    fn labels_of(runs: &[Run]) -> Vec<(String, Vec<usize>)> {
        arms(runs).into_iter().map(|arm| (arm.label, arm.runs)).collect()
    }

    #[test]
    fn what_no_two_options_tell_apart_has_the_names_of_its_folders() {
        let config = |a: u8, b: u8, c: u8, seed: u8| json!({"train": {"seed": seed}, "exp": {"a": a, "b": b, "c": c}});
        let arms = |names: [&str; 5]| {
            let configs = [config(0, 0, 0, 0), config(0, 0, 0, 1), config(1, 0, 0, 0), config(0, 1, 0, 0), config(0, 0, 1, 0)];
            let runs: Vec<Run> = names.into_iter().zip(configs).map(|(name, config)| run(name, config)).collect();
            arms(&runs).into_iter().map(|arm| arm.label).collect::<Vec<_>>()
        };
        assert_eq!(arms(["x/A/0", "x/A/1", "x/B/0", "x/C/0", "x/D/0"]), ["x/A", "x/B/0", "x/C/0", "x/D/0"]);
        // Not the arm's alone, or none.
        assert_eq!(arms(["x/0", "x/1", "x/2", "C/0", "D/0"])[0], "x/0");
        assert_eq!(arms(["0", "1", "2", "3", "4"])[0], "0");
    }

    #[test]
    fn seeds_make_an_arm_and_few_options_its_name() {
        let config = |recipe: &str, beta: f64, seed: u64| json!({"train": {"recipe": recipe, "seed": seed}, "exp": {"beta": beta}});
        let mut runs = vec![run("a", config("grpo", 0.1, 0)), run("b", config("exp-grpo", 0.1, 0)), run("c", config("grpo", 0.1, 1))];
        assert_eq!(labels_of(&runs), [("grpo".to_owned(), vec![0, 2]), ("exp-grpo".to_owned(), vec![1])]);
        let table = differences(&runs, &arms(&runs));
        assert_eq!(table.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["train.recipe", "train.seed"]);
        assert_eq!(table[1].values, [vec![json!(0), json!(1)], vec![json!(0)]]);
        runs.push(run("d", config("exp-grpo", 0.5, 0)));
        let labels: Vec<String> = arms(&runs).into_iter().map(|arm| arm.label).collect();
        assert_eq!(labels, ["grpo, exp.beta=0.1", "exp-grpo, exp.beta=0.1", "exp-grpo, exp.beta=0.5"]);
        // Other data under the same name is another arm; nothing in the configuration tells them apart.
        runs.truncate(1);
        runs.push(run("e", config("grpo", 0.1, 1)));
        runs[1].info["data_sha256"] = json!({"d.jsonl": "cd"});
        assert_eq!(labels_of(&runs), [("a".to_owned(), vec![0]), ("e".to_owned(), vec![1])]);
        assert!(differences(&runs, &arms(&runs)).iter().any(|row| row.key == "data_sha256.d.jsonl"));
        assert_eq!(labels_of(&runs[..1]), [("grpo".to_owned(), vec![0])]);
    }

    #[test]
    fn arms_are_named_by_what_is_trained_not_by_how_it_is_measured() {
        let config = |recipe: &str, eval: &str, name: &str| json!({"train": {"recipe": recipe, "seed": 0, "name": name}, "eval": {"data": eval}, "grpo": {"loss_type": "dapo"}});
        let labels = |runs: &[Run]| labels_of(runs).into_iter().map(|(label, _)| label).collect::<Vec<_>>();
        let runs = [run("a", config("grpo", "x.csv", "")), run("b", config("exp-grpo", "y.csv", "")), run("c", config("exp-grpo", "", ""))];
        assert_eq!(labels(&runs[..2]), ["grpo", "exp-grpo"]);
        assert_eq!(labels(&runs), ["grpo", "exp-grpo (b)", "exp-grpo (c)"]);
        assert_eq!(labels(&[runs[1].clone(), runs[2].clone()]), ["b", "c"]);
        // Names that someone gave, where every arm has its own.
        let named = [run("a", config("grpo", "x.csv", "short")), run("b", config("exp-grpo", "", "long"))];
        assert_eq!(labels(&named), ["short", "long"]);
        assert_eq!(labels(&[named[0].clone(), runs[1].clone()]), ["grpo", "exp-grpo"]);
    }

    #[test]
    fn runs_without_a_configuration_stand_alone() {
        let runs = [Run { name: "x".into(), ..Run::default() }, Run { name: "y".into(), ..Run::default() }];
        assert_eq!(labels_of(&runs), [("x".to_owned(), vec![0]), ("y".to_owned(), vec![1])]);
        assert_eq!(differences(&runs, &arms(&runs)), []);
        assert_eq!(differences(&[], &[]), []);
    }
}
