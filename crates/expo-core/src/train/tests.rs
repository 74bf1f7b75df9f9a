//! Whole runs on random models of a few thousand parameters.

use super::documents::Documents;
use super::metrics::{StepMetrics, is_timing};
use super::observe::Observer;
use super::testing::{CharTask, config, documents, problems, tiny_model};
use super::trainer::{RunSummary, TrainData, Trainer};
use crate::config::{Config, Recipe};
use crate::error::Result;
use expo_lm::model::Model;

#[derive(Default)]
struct Record(Vec<StepMetrics>);
impl Observer for Record {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.0.push(metrics.clone());
    }
}

/// Runs `config` from `model`; the trained model and every step's metrics without timings.
fn run(config: Config, model: Model) -> Result<(Model, Vec<String>, Vec<StepMetrics>, RunSummary)> {
    let data = TrainData { problems: problems(20), documents: Some(Documents::List(documents(20))), ..TrainData::default() };
    let mut trainer = Trainer::new(config, model, Box::new(CharTask::new()), Box::new(|_, _| Ok(())), data, None)?;
    let mut record = Record::default();
    let summary = trainer.run(&mut record)?;
    let lines = record
        .0
        .iter()
        .map(|metrics| metrics.iter().filter(|(name, _)| !is_timing(name)).map(|(name, value)| format!("{name}={value};")).collect())
        .collect();
    Ok((trainer.into_model(), lines, record.0, summary))
}

fn sft() -> Config {
    let mut config = config();
    config.train.recipe = Recipe::Sft;
    config.rehearsal.data = "documents".into();
    config.rehearsal.documents_per_step = 8;
    config
}

#[test]
fn the_loss_of_sft_decreases() {
    let mut config = sft();
    config.train.steps = 150;
    config.optim.learning_rate = 1e-2;
    let (_, _, metrics, summary) = run(config, tiny_model(1)).unwrap();
    let loss = |metrics: &[StepMetrics]| metrics.iter().map(|m| m.get("loss").unwrap()).sum::<f64>() / metrics.len() as f64;
    let (first, last) = (loss(&metrics[..5]), loss(&metrics[145..]));
    assert!(last < 0.4 * first, "from {first} to {last}");
    assert_eq!(summary.steps, 150);
    assert!(summary.trained_tokens > 0);
}
