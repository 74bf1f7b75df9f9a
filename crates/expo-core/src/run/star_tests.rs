//! Whole runs of STaR on models of a few thousand parameters.

use std::path::Path;

use crate::config::{Config, LrSchedule, OnBadRow, OnMismatch, RecipeName, RestartFrom, Turns};
use crate::data::{Document, read_documents};
use crate::feed::documents::Documents;
use crate::run::data::TrainData;
use crate::run::trainer::Trainer;
use crate::testing::run::{CharTask, Record, config, documents, problems, save_folder, tiny_model, weights};
use expo_lm::model::Model;
use expo_lm::weights::HostTensor;

fn run(config: Config, model: Model, data: TrainData, out: Option<&Path>) -> (Model, Record) {
    let mut trainer = Trainer::with_task(config, model, Box::new(CharTask::new()), save_folder(), data, out).unwrap();
    let mut record = Record::default();
    trainer.run(&mut record).unwrap();
    (trainer.into_model().unwrap(), record)
}

/// A model that solves some problems, and explains more of the answers that it is shown.
pub fn taught() -> Model {
    let mut config = config();
    config.train.recipe = RecipeName::Sft;
    config.train.steps = 150;
    config.rehearsal.data = "documents".into();
    config.rehearsal.documents_per_step = 16;
    config.optim.learning_rate = 1e-2;
    let hinted = documents(20)
        .into_iter()
        .zip(problems(20))
        .map(|(document, problem)| Document::new(format!("{}[{}]", problem.question, problem.answer), document.completion().text()));
    let all = documents(8).into_iter().chain(hinted).collect();
    run(config, tiny_model(1), TrainData { documents: Some(Documents::List(all)), ..TrainData::default() }, None).0
}

fn star() -> Config {
    let mut config = config();
    config.train.recipe = RecipeName::Star;
    config.train.steps = 4;
    config.star.every = 2;
    config.rollout.num_generations = 1;
    config.exp.on_mismatch = OnMismatch::Drop;
    config.validate().unwrap();
    config
}

fn data() -> TrainData {
    TrainData { problems: problems(20), ..TrainData::default() }
}

#[test]
fn each_iteration_keeps_what_reaches_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let (_, record) = run(star(), taught(), data(), Some(&out));
    let text = std::fs::read_to_string(out.join("documents.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        let answer = format!("#{}", row["answer"].as_str().unwrap());
        assert!(row["completion"].as_str().unwrap().ends_with(&answer), "{row}");
    }
    assert_eq!(
        read_documents(out.join("documents.jsonl").to_str().unwrap(), OnBadRow::Refuse, Turns::Last).unwrap().documents.len(),
        rows.len()
    );
    for (i, metrics) in record.steps.iter().enumerate() {
        assert!(metrics.get("loss/documents").unwrap() > 0.0 && metrics.get("entropy").is_some(), "{metrics:?}");
        assert!(metrics.get("loss/policy_gradient").is_none() && metrics.get("exp/beta").is_none());
        let [correct, rationalized, dropped] =
            ["star/correct", "star/rationalized", "star/dropped"].map(|name| metrics.get(name).map(|fraction| fraction * 6.0));
        if i % 2 == 1 {
            assert_eq!((correct, metrics.get("time/rollout")), (None, None));
            continue;
        }
        // Two steps of three questions.
        assert!((correct.unwrap() + rationalized.unwrap() + dropped.unwrap() - 6.0).abs() < 1e-9);
        let of = |from: &str| rows.iter().filter(|row| row["iteration"] == i / 2 + 1 && row["from"] == from).count() as f64;
        assert!((of("rollout") - correct.unwrap()).abs() < 1e-9 && (of("rationalization") - rationalized.unwrap()).abs() < 1e-9);
        assert_eq!(metrics.get("star/documents"), Some(of("rollout") + of("rationalization")));
    }
    for from in ["rollout", "rationalization"] {
        assert!(rows.iter().any(|row| row["from"] == from), "no {from} among {rows:?}");
    }
    // Without a second try only its own rationales remain.
    let mut config = star();
    config.star.rationalize = false;
    let (_, record) = run(config, taught(), data(), None);
    assert!(record.steps[0].get("star/rationalized") == Some(0.0) && record.steps[0].get("star/dropped").unwrap() > 0.0);
}

#[test]
fn iterations_start_from_the_initial_policy_or_go_on() {
    let start = weights(&taught());
    // How far a weight has gone, in steps of the learning rate: AdamW's first step moves each by one at most.
    let farthest = |restart_from: RestartFrom| {
        let mut config = star();
        (config.train.steps, config.star.every, config.star.restart_from) = (3, 1, restart_from);
        let rate = config.optim.learning_rate as f32;
        let (model, record) = run(config, taught(), data(), None);
        assert!(record.steps.iter().all(|metrics| metrics.get("star/documents").unwrap() > 0.0), "{:?}", record.steps);
        weights(&model).iter().zip(&start).map(|(a, b)| (a - b).abs() / rate).fold(0.0, f32::max)
    };
    let (initial, current) = (farthest(RestartFrom::Initial), farthest(RestartFrom::Current));
    assert!(initial > 0.9 && initial < 1.01 && current > 1.5, "{initial} {current}");

    // Of an adapter: B starts as zeros.
    let farthest = |restart_from: RestartFrom| {
        let mut config = star();
        (config.train.steps, config.star.every, config.star.restart_from, config.lora.r) = (3, 1, restart_from, 3);
        let rate = config.optim.learning_rate as f32;
        let (model, _) = run(config, taught(), data(), None);
        let mut farthest = 0f32;
        let mut each = |name: &str, tensor: HostTensor| {
            let values = tensor.data.iter().filter(|_| name.contains("lora_B"));
            farthest = values.fold(farthest, |farthest, value| farthest.max(value.abs() / rate));
            Ok(())
        };
        model.export(&mut each).unwrap();
        farthest
    };
    let (initial, current) = (farthest(RestartFrom::Initial), farthest(RestartFrom::Current));
    assert!(initial > 0.9 && initial < 1.01 && current > 1.5, "{initial} {current}");

    let rates = |restart_from: RestartFrom| {
        let mut config = star();
        config.star.restart_from = restart_from;
        config.optim.lr_scheduler_type = LrSchedule::Linear;
        let (_, record) = run(config, taught(), data(), None);
        record.steps.iter().map(|metrics| (metrics.get("learning_rate").unwrap() * 4e3).round()).collect::<Vec<_>>()
    };
    assert_eq!(rates(RestartFrom::Initial), [4.0, 2.0, 4.0, 2.0]);
    assert_eq!(rates(RestartFrom::Current), [4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn an_iteration_without_a_rationale_says_so_and_changes_nothing() {
    let model = tiny_model(7);
    let before = weights(&model);
    let (after, record) = run(star(), model, data(), None);
    let expected = "no rationale of 6 questions reaches its answer: nothing is trained on until the next iteration";
    assert_eq!(record.notices[..2], [format!("1: {expected}"), format!("3: {expected}")]);
    assert!(record.notices.len() == 3 && record.notices[2].starts_with("4: at the end: no step was trained on"), "{:?}", record.notices);
    assert!(record.steps.iter().all(|metrics| metrics.get("loss").is_none()));
    assert_eq!(before, weights(&after));
}
