//! What a step reports, as one JSON object.

pub mod name;
pub mod phase;

use serde_json::{Map, Value};

pub use name::{Accuracy, Name};

/// Measurements of one step, in the order in which they were added. Everything but the keys under `time/` and `tokens_per_s/` is the same for the
/// same seed, configuration and instruction set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: usize,
    values: Vec<(Name, f64)>,
}

impl StepMetrics {
    /// Nothing measured yet at `step`.
    pub fn new(step: usize) -> Self {
        Self { step, values: Vec::new() }
    }

    /// Adds a measurement.
    pub fn set(&mut self, name: Name, value: f64) {
        self.values.push((name, value));
    }

    /// Adds a measurement where there is one.
    pub fn set_some(&mut self, name: Name, value: Option<f64>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Adds the mean of `values`, unless there are none.
    pub fn set_mean(&mut self, name: Name, values: impl IntoIterator<Item = f64>) {
        let (count, sum) = values.into_iter().fold((0usize, 0.0), |(count, sum), value| (count + 1, sum + value));
        if count > 0 {
            self.set(name, sum / count as f64);
        }
    }

    /// The measurement called `name`: a name, or its text.
    pub fn get(&self, name: impl PartialEq<Name>) -> Option<f64> {
        self.values.iter().find(|(key, _)| name == *key).map(|(_, value)| *value)
    }

    /// Every measurement in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, f64)> {
        self.values.iter().map(|(name, value)| (name, *value))
    }

    /// One JSON object: `step`, then every measurement.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("step".to_owned(), Value::from(self.step));
        for (name, value) in &self.values {
            object.insert(name.to_string(), Value::from(*value));
        }
        Value::Object(object)
    }
}

/// Whether the measurement is a timing, and so differs from run to run.
pub fn is_timing(name: &str) -> bool {
    name.starts_with("time/") || name.starts_with("tokens_per_s/")
}
