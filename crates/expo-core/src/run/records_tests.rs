//! What the records of runs hold: every batch can be put together again from them alone, and what explanations owe to the hint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::config::Config;
use crate::data::generator::{self, Division, Split};
use crate::metrics::StepMetrics;
use crate::objective::LossKind;
use crate::objective::sequence::Sequence;
use crate::observe::Observer;
use crate::policy::cpu::pass;
use crate::run::data::TrainData;
use crate::run::trainer::Trainer;
use crate::task::Task;
use crate::task::chat::ChatTask;
use crate::testing::trained_tiny;
use expo_lm::load::LoadedModel;
use expo_lm::model::{Model, Workspace};

/// One sequence of a batch.
#[derive(Debug, Clone, PartialEq)]
struct Trained {
    prompt: Vec<u32>,
    completion: Vec<u32>,
    /// The weight of each token, by term.
    weights: BTreeMap<String, f64>,
    advantage: Option<f64>,
    /// The reference's log-probability of a side of a pair.
    reference: Option<f64>,
}

/// Batches by step and update.
type Batches = BTreeMap<(usize, usize), Vec<Trained>>;

/// In an order of their own: a loss is a sum.
fn sorted(mut batches: Batches) -> Batches {
    batches.values_mut().for_each(|batch| batch.sort_by_key(|sequence| format!("{sequence:?}")));
    batches
}

/// Keeps what a run trains on.
#[derive(Default)]
struct Witness {
    batches: Batches,
    steps: Vec<StepMetrics>,
}

impl Observer for Witness {
    fn on_batch(&mut self, step: usize, update: usize, sequences: &[Sequence]) {
        let of = |sequence: &Sequence| {
            let find = |of: fn(&LossKind) -> Option<f64>| sequence.losses.iter().find_map(|loss| of(&loss.kind));
            Trained {
                prompt: sequence.prompt.to_vec(),
                completion: sequence.completion.to_vec(),
                weights: sequence.losses.iter().map(|loss| (loss.term.name().to_owned(), loss.coefficient * loss.token_weight)).collect(),
                advantage: find(|kind| if let LossKind::PolicyGradient(pg) = kind { Some(pg.advantages.at(0)) } else { None }),
                reference: find(|kind| if let LossKind::Preference(side) = kind { Some(side.reference) } else { None }),
            }
        };
        self.batches.insert((step, update), sequences.iter().map(of).collect());
    }
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.steps.push(metrics.clone());
    }
}

fn rows(out: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(row: &Value, name: &str) -> Vec<u32> {
    row[name].as_array().unwrap_or_else(|| panic!("no {name} in {row}")).iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn number(row: &Value, name: &str) -> usize {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name} in {row}")) as usize
}

fn weights(row: &Value) -> BTreeMap<String, f64> {
    row["token_weights"].as_object().unwrap().iter().map(|(term, weight)| (term.clone(), weight.as_f64().unwrap())).collect()
}

/// Every batch of the run in `out`, as docs/reports.md says that they are put together.
fn rebuilt(out: &Path) -> Batches {
    let mut batches = Batches::new();
    for row in rows(out, "batches.jsonl") {
        let side = |name: &str, reference: &str| Trained {
            prompt: ids(&row, "prompt_ids"),
            completion: ids(&row, name),
            weights: weights(&row),
            advantage: row["advantage"].as_f64().filter(|_| row["token_weights"].get("policy_gradient").is_some()),
            reference: row[reference].as_f64(),
        };
        let batch = batches.entry((number(&row, "step"), number(&row, "update"))).or_default();
        if row["kind"] == "pair" {
            batch.push(side("chosen_ids", "ref_chosen_logps"));
            let rejected = side("rejected_ids", "ref_rejected_logps");
            batch.push(Trained { weights: BTreeMap::from([("preference".to_owned(), rejected.weights["preference"])]), ..rejected });
        } else {
            batch.push(side("completion_ids", ""));
        }
    }
    let run: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    let updates = number(&run["config"]["train"], "num_iterations");
    let mut prompts: BTreeMap<(usize, String, usize), Vec<u32>> = BTreeMap::new();
    for row in rows(out, "completions.jsonl") {
        let (step, group, kind) = (number(&row, "step"), number(&row, "group"), row["kind"].as_str().unwrap());
        if row["index"] == 0 {
            prompts.insert((step, kind.to_owned(), group), ids(&row, "prompt_ids"));
        }
        if row.get("token_weights").is_none() {
            continue;
        }
        let weights = weights(&row);
        let completion = ids(&row, if row.get("trained_ids").is_some() { "trained_ids" } else { "completion_ids" });
        let advantage = row["advantage"].as_f64().filter(|_| weights.contains_key("policy_gradient"));
        // The answer is hidden but for the KL on hinted prompts.
        let (hinted, usual): (BTreeMap<_, _>, BTreeMap<_, _>) = weights.into_iter().partition(|(term, _)| term == "hinted_kl");
        let with_hint = (!hinted.is_empty()).then_some((hinted, "explanation"));
        for (weights, from) in std::iter::once((usual, "rollout")).chain(with_hint) {
            let prompt = prompts[&(step, from.to_owned(), group)].clone();
            let trained = Trained { prompt, completion: completion.clone(), weights, advantage, reference: None };
            (1..=updates).for_each(|update| batches.entry((step, update)).or_default().push(trained.clone()));
        }
    }
    batches
}

/// A run of a configuration of the repository, cut short, on the model in the binary.
fn run(name: &str, sets: &[&str], out: &Path) -> (Witness, Model) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{name}.toml"))).unwrap();
    let usual = ["train.steps=2", "train.prompts_per_step=3", "rollout.max_new_tokens=48", "data.generate=64", "train.tensorboard=false"];
    let sets: Vec<String> =
        usual.iter().chain(sets).filter(|set| name != "sft-tiny" || !set.starts_with("data")).map(|set| (*set).into()).collect();
    let config = Config::from_toml(&text, name, &sets).unwrap_or_else(|e| panic!("{name}: {e}"));
    let data = TrainData::load(&config).unwrap();
    let mut trainer = Trainer::new(config, trained_tiny(), data, Some(out)).unwrap();
    let mut witness = Witness::default();
    trainer.run(&mut witness).unwrap_or_else(|e| panic!("{name}: {e}"));
    (witness, trainer.into_model().unwrap())
}

const LONG: [&str; 2] = ["rollout.max_new_tokens=96", "exp.max_new_tokens=96"];
const EXPLAINED: [&str; 3] = ["exp.max_new_tokens=48", "data.levels=[1, 2]", "rollout.num_generations=3"];

#[test]
fn every_batch_can_be_put_together_from_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let pair =
        |i: u64| serde_json::json!({"prompt": format!("{}/3?", 3 * i), "chosen": format!("#### {i}"), "rejected": "#### 0"}).to_string();
    std::fs::write(&file, (1..9).map(|i| pair(i) + "\n").collect::<String>()).unwrap();
    let pairs = format!("data.train={}", file.display());
    let several = ["rehearsal.documents_per_step=3", "train.num_iterations=2", "exp.on_mismatch=replace_answer", "exp.hinted_kl_beta=0.1"];
    let cases: [(&str, Vec<&str>, &[&str]); 10] = [
        ("exp-grpo-tiny", vec!["rehearsal.documents_per_step=3"], &["policy_gradient", "explanation", "rehearsal"]),
        ("exp-grpo-tiny", several.to_vec(), &["policy_gradient", "explanation", "rehearsal", "hinted_kl"]),
        ("grpo-sft-gt-cot-tiny", vec!["grpo.beta=0.1", "rehearsal.documents_per_step=2"], &["policy_gradient", "kl", "expert_cot"]),
        ("luffy-tiny", vec!["grpo.exclude_equal_rewards=true", "data.levels=[4, 5]"], &["policy_gradient"]),
        ("star-tiny", vec!["star.every=2", "train.steps=4"], &["documents"]),
        ("exp-dpo-tiny", vec!["dpo.rpo_alpha=0.5", LONG[0], LONG[1], "data.levels=[4, 5]"], &["preference", "sft"]),
        ("exp-dpo-tiny", vec!["exp.every=1", "train.num_iterations=2", LONG[0], LONG[1], "data.levels=[4, 5]"], &["preference"]),
        ("exp-dpo-offline-tiny", vec![LONG[0], LONG[1], "data.levels=[4, 5]", "train.steps=5"], &["preference"]),
        ("sft-tiny", vec!["rehearsal.documents_per_step=5"], &["documents"]),
        ("dpo-tiny", vec![&pairs], &["preference"]),
    ];
    for (i, (name, more, terms)) in cases.into_iter().enumerate() {
        let out = folder.path().join(i.to_string());
        let sets: Vec<&str> =
            EXPLAINED.iter().copied().filter(|_| !name.starts_with("sft") && !name.starts_with("dpo")).chain(more).collect();
        let (witness, _) = run(name, &sets, &out);
        let mut trained = sorted(witness.batches);
        // A step without documents or pairs has nothing to record.
        trained.retain(|_, batch| !batch.is_empty());
        let found = sorted(rebuilt(&out));
        assert_eq!(found.keys().collect::<Vec<_>>(), trained.keys().collect::<Vec<_>>(), "{name}");
        for (place, batch) in &trained {
            assert_eq!(found[place].len(), batch.len(), "{name}: step and update {place:?}");
            for (found, sequence) in found[place].iter().zip(batch) {
                assert_eq!(found, sequence, "{name}: step and update {place:?}");
            }
        }
        let of_terms = trained.values().flatten().flat_map(|sequence| sequence.weights.keys());
        let found: std::collections::BTreeSet<&str> = of_terms.map(String::as_str).collect();
        assert!(terms.iter().all(|term| found.contains(term)), "{name}: {found:?}");
    }
}

/// What stands in the rows follows from each other: advantages from rewards, weights from lengths, texts from tokens.
#[test]
fn a_step_of_exp_grpo_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // Some groups have right and wrong rollouts.
    let sets =
        ["rehearsal.documents_per_step=4", "exp.beta=0.5", "rehearsal.weight=0.25", "train.prompts_per_step=6", "data.levels=[3, 4]"];
    run("exp-grpo-tiny", &[&EXPLAINED[..], &LONG, &sets].concat(), &out);
    let completions = rows(&out, "completions.jsonl");
    let of = |kind: &str, group: usize| -> Vec<&Value> {
        completions.iter().filter(|row| row["step"] == 1 && row["kind"] == kind && row["group"] == group).collect()
    };
    let close = |found: &Value, expected: f64| assert!((found.as_f64().unwrap() - expected).abs() < 1e-12, "{found} {expected}");
    let (mut told_apart, mut explained) = (0, 0);
    let tokenizer = trained_tiny().folder;
    let decode = |ids: &[u32], skip: bool| tokenizer.tokenizer().unwrap().decode(ids, skip).unwrap();
    for group in 0..6 {
        let rollouts = of("rollout", group);
        let rewards: Vec<f64> = rollouts.iter().map(|row| row["reward"].as_f64().unwrap()).collect();
        assert_eq!(rewards.len(), 3);
        let mean = rewards.iter().sum::<f64>() / 3.0;
        let std = (rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        told_apart += usize::from(std > 0.0);
        for (row, reward) in rollouts.iter().zip(&rewards) {
            close(&row["advantage"], (reward - mean) / (std + 1e-4));
            let tokens = ids(row, "completion_ids");
            close(&row["token_weights"]["policy_gradient"], 1.0 / (tokens.len() as f64 * 18.0));
            let body = &tokens[..tokens.len() - usize::from(row["truncated"] == false)];
            assert_eq!(row["text"], decode(body, false));
            assert_eq!(row["correct"], row["extracted"] == row["answer"], "{row}");
            assert!(!row["reason"].as_str().unwrap().is_empty());
            assert!(row["correct"] == false || row["answer_position"].is_number(), "{row}");
        }
        let (first, question) = (rollouts[0], rollouts[0]["question"].as_str().unwrap());
        assert_eq!(first["rendered_prompt"], format!("<|user|>{question}<|assistant|>"));
        assert_eq!(decode(&ids(first, "prompt_ids"), false), first["rendered_prompt"].as_str().unwrap());
        let explanations = of("explanation", group);
        let answer = explanations[0]["answer"].as_str().unwrap();
        assert_eq!(explanations[0]["rendered_prompt"], format!("<|user|>{question}[{answer}]<|assistant|>"));
        let kept: Vec<&&Value> = explanations.iter().filter(|row| row["outcome"] == "kept").collect();
        explained += kept.len();
        for row in &kept {
            close(&row["token_weights"]["explanation"], 0.5 / (ids(row, "completion_ids").len() as f64 * kept.len() as f64 * 6.0));
        }
        assert!(explanations.iter().all(|row| row["outcome"] == "kept" || row.get("token_weights").is_none()));
    }
    assert!(told_apart > 0 && explained > 3, "{told_apart} {explained}");
    let documents: Vec<Value> = rows(&out, "batches.jsonl").into_iter().filter(|row| row["step"] == 1).collect();
    assert_eq!(documents.len(), 4);
    for row in &documents {
        let tokens = ids(row, "completion_ids");
        close(&row["token_weights"]["rehearsal"], 0.25 / (tokens.len() as f64 * 4.0));
        assert_eq!(row["completion"], decode(&tokens[..tokens.len() - 1], false));
        assert_eq!(row["rendered_prompt"], decode(&ids(row, "prompt_ids"), false));
    }
}

#[test]
fn a_limit_keeps_the_first_of_each_kind_and_none_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let count = |limit: &str| {
        let out = folder.path().join(limit);
        let limit = format!("train.log_completions={limit}");
        run("exp-grpo-tiny", &[&EXPLAINED[..], &["rehearsal.documents_per_step=7", &limit]].concat(), &out);
        let completions = rows(&out, "completions.jsonl");
        let of = |kind: &str| completions.iter().filter(|row| row["kind"] == kind).count();
        assert!(completions.iter().all(|row| row["index"] != 0 || row["prompt_ids"].is_array()));
        (of("rollout"), of("explanation"), rows(&out, "batches.jsonl").len())
    };
    assert_eq!((count("100"), count("4"), count("0")), ((18, 12, 14), (8, 8, 8), (0, 0, 0)));
}

/// The sum and the largest of log-probability differences by forward passes of their own.
fn by_passes(writer: &Model, policy: &Model, shown: &[u32], hidden: &[u32], tokens: &[u32]) -> (f64, f64) {
    let score = |model: &Model, prompt: &[u32]| {
        pass::score(model, &mut Workspace::default(), &[Sequence::measured(prompt, tokens, 1.0)], 1000).unwrap().remove(0).log_probs
    };
    let differences: Vec<f64> = score(writer, shown).iter().zip(score(policy, hidden)).map(|(shown, hidden)| shown - hidden).collect();
    (differences.iter().sum(), differences.iter().copied().fold(f64::MIN, f64::max))
}

/// The kept explanations of `step` in `out` with both prompts.
fn kept(out: &Path, step: usize) -> Vec<(Value, Vec<u32>, Vec<u32>)> {
    let all = rows(out, "completions.jsonl");
    let prompt = |kind: &str, group: &Value| {
        let found = all.iter().find(|row| row["step"] == step && row["kind"] == kind && row["group"] == *group && row["index"] == 0);
        ids(found.unwrap(), "prompt_ids")
    };
    let is_kept = |row: &&Value| row["step"] == step && (row["outcome"] == "kept" || row["outcome"] == "replaced");
    let with_prompts = |row: &Value| (row.clone(), prompt("explanation", &row["group"]), prompt("rollout", &row["group"]));
    all.iter().filter(is_kept).map(with_prompts).collect()
}

#[test]
fn hint_information_is_what_passes_of_their_own_say() {
    let folder = tempfile::tempdir().unwrap();
    let initial = trained_tiny().model;
    // What differs, the step that is looked at, and whether explanations are written by the initial policy then.
    let cases: [(&str, &[&str], usize, bool); 6] = [
        ("exp-grpo-tiny", &["exp.explainer=current", "train.num_iterations=2"], 1, true),
        ("exp-grpo-tiny", &["exp.explainer=current", "exp.temperature=0.7", "exp.top_p=0.95"], 1, true),
        ("exp-grpo-tiny", &["exp.explainer=current", "exp.temperature=0"], 2, false),
        ("exp-grpo-tiny", &["exp.explainer=initial", "exp.on_mismatch=replace_answer"], 2, true),
        ("luffy-tiny", &["luffy.trace=explanation", "rollout.temperature=1.2"], 1, true),
        ("exp-dpo-tiny", &["exp.every=1", "data.levels=[4, 5]"], 1, true),
    ];
    for (i, (name, sets, step, by_initial)) in cases.into_iter().enumerate() {
        let what = format!("{name} {sets:?}");
        let out = folder.path().join(i.to_string());
        let hard = [LONG[0], LONG[1], "data.levels=[2, 3]", "rollout.num_generations=3", "optim.learning_rate=3e-3"];
        let sets = [&hard[..], sets].concat();
        let (witness, _) = run(name, &sets, &out);
        // The policy before the step.
        let policy = match step {
            1 => initial.duplicate(),
            _ => {
                run(
                    name,
                    &[&sets[..], &["train.steps=1", "optim.lr_scheduler_type=constant"]].concat(),
                    &folder.path().join(format!("{i}-before")),
                )
                .1
            }
        };
        let writer = if by_initial { &initial } else { &policy };
        let (mut totals, mut largest) = (Vec::new(), Vec::new());
        for (row, shown, hidden) in kept(&out, step) {
            let tokens = ids(&row, "completion_ids");
            if row["hint_information"].is_null() {
                assert!(name.starts_with("exp-dpo"), "{what}: {row}");
                continue;
            }
            let (total, most) = (row["hint_information"].as_f64().unwrap(), row["max_token_information"].as_f64().unwrap());
            totals.push(total);
            largest.push(most);
            let close = |tokens: &[u32]| {
                let (expected, expected_most) = by_passes(writer, &policy, &shown, &hidden, tokens);
                (total - expected).abs() < 1e-3 && (most - expected_most).abs() < 1e-3
            };
            // Where the answer is replaced, of the tokens before it.
            let found = match row["outcome"] == "kept" {
                true => close(&tokens),
                false => (1..tokens.len()).any(|count| tokens[..count] == ids(&row, "trained_ids")[..count] && close(&tokens[..count])),
            };
            assert!(found, "{what}: {row}");
        }
        assert!(totals.len() > 1, "{what}: {}", totals.len());
        let metrics = &witness.steps[step - 1];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((metrics.get("exp/hint_information").unwrap() - mean(&totals)).abs() < 1e-9, "{what}");
        assert!((metrics.get("exp/max_token_information").unwrap() - mean(&largest)).abs() < 1e-9, "{what}");
        assert_eq!(metrics.get("time/explanation_scores").is_some(), sets.contains(&"exp.temperature=0.7"), "{what}");
    }
}

#[test]
fn explanations_that_owe_more_to_the_hint_than_is_allowed_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let initial = trained_tiny().model;
    for (i, name) in ["exp-grpo-tiny", "star-tiny", "exp-dpo-tiny"].into_iter().enumerate() {
        let of = |bound: &str| {
            let out = folder.path().join(format!("{i}-{bound}"));
            let bound = format!("exp.max_token_information={bound}");
            let sets = ["exp.max_new_tokens=96", "data.levels=[4, 5]", "rollout.num_generations=2", "train.prompts_per_step=6", &bound];
            let more: &[&str] = if name.starts_with("star") { &["star.every=2"] } else { &[] };
            let (witness, _) = run(name, &[&sets[..], more].concat(), &out);
            let rows: Vec<Value> = rows(&out, "completions.jsonl");
            (witness, out, rows.into_iter().filter(|row| row["step"] == 1 && row["kind"] == "explanation").collect::<Vec<_>>())
        };
        let (_, _, all) = of("0");
        let (witness, out, bounded) = of("1.5");
        assert!(witness.steps[0].get("time/explanation_scores").unwrap() <= witness.steps[0].get("time/explanation").unwrap(), "{name}");
        let count = |rows: &[Value], outcome: &str| rows.iter().filter(|row| row["outcome"] == outcome).count();
        let dropped = count(&bounded, "token_information");
        assert!(dropped > 0 && count(&bounded, "kept") > 0, "{name}: {bounded:#?}");
        assert_eq!(count(&all, "kept"), count(&bounded, "kept") + dropped, "{name}");
        for row in &bounded {
            match row["outcome"].as_str().unwrap() {
                "kept" => assert!(row["max_token_information"].as_f64().unwrap() <= 1.5, "{name}: {row}"),
                "token_information" => assert!(row["max_token_information"].as_f64().unwrap() > 1.5, "{name}: {row}"),
                _ => assert!(row.get("max_token_information").is_none()),
            }
        }
        for (row, shown, hidden) in kept(&out, 1) {
            let (total, most) = by_passes(&initial, &initial, &shown, &hidden, &ids(&row, "completion_ids"));
            let found = (row["hint_information"].as_f64().unwrap(), row["max_token_information"].as_f64().unwrap());
            assert!((found.0 - total).abs() < 1e-3 && (found.1 - most).abs() < 1e-3, "{name}: {row} {total} {most}");
        }
    }
}

/// Problems that the model solves by itself: its working owes nothing to the hint, an answer that is only asserted, or put before it, nearly all to it.
#[test]
fn a_planted_leak_stands_out_by_one_token() {
    let LoadedModel { model, folder } = trained_tiny();
    let task = ChatTask::new(&Config::default(), Arc::new(folder)).unwrap();
    for problem in generator::problems(&[2], 8, 0, Split::Train).unwrap() {
        let answer = task.answer_suffix(&problem).unwrap();
        let honest = format!("{}{answer}", Division::parse(&problem.question).unwrap().reasoning());
        let first = format!("{};{honest}", problem.answer);
        let [shown, hidden] = [task.explanation(&problem).unwrap(), task.question(&problem).unwrap()];
        let largest = |text: &str| {
            let tokens = [task.encode(text).unwrap(), task.end_of_turn().unwrap().to_vec()].concat();
            by_passes(&model, &model, &shown, &hidden, &tokens).1
        };
        let [honest, asserted, first] = [&honest, &answer, &first].map(|text| largest(text));
        assert!(honest < 0.1 && asserted > 0.5 && first > 0.5, "{}: {honest} {asserted} {first}", problem.question);
    }
}
