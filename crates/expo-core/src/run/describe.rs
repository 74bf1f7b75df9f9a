//! What a run is, and what a batch was, for the run's folder.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::RunSummary;
use crate::config::Config;
use crate::objective::sequence::Sequence;
use crate::policy::pass::Pass;
use crate::task::Task;

/// `run.json`: what this run is, resolved.
pub fn run_json(
    config: &Config,
    date: i64,
    problems: usize,
    pairs: Option<usize>,
    summary: &RunSummary,
    hashes: &BTreeMap<String, String>,
) -> Value {
    let mut run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "build": crate::provenance::get(),
        "recipe": config.train.recipe,
        "seed": config.train.seed,
        "instruction_set": expo_lm::kernels::instruction_set(),
        // What chat templates take for today.
        "date_unix_seconds": date,
        "data_sha256": hashes,
        "problems": problems,
        "problems_too_long": summary.problems_too_long,
        "config": config,
    });
    if let Some(pairs) = pairs {
        run["pairs"] = json!({"used": pairs, "too_long": summary.pairs_too_long, "skipped": summary.pairs_skipped});
    }
    run
}

/// A batch whose loss or gradient is not finite, for inspection.
pub fn non_finite_batch(step: usize, iteration: usize, task: &dyn Task, sequences: &[Sequence], pass: &Pass, grad_norm: f64) -> Value {
    let rows: Vec<Value> = sequences
        .iter()
        .zip(&pass.measured)
        .map(|(sequence, measured)| {
            json!({
                "origin": format!("{:?}", sequence.origin),
                "prompt": task.decode(sequence.prompt).unwrap_or_default(),
                "completion": task.decode(sequence.completion).unwrap_or_default(),
                "prompt_ids": sequence.prompt,
                "completion_ids": sequence.completion,
                "temperature": sequence.temperature,
                "losses": format!("{:?}", sequence.losses),
                // Not a number has no JSON form: null.
                "log_probs": measured.log_probs,
            })
        })
        .collect();
    json!({
        "step": step,
        "iteration": iteration,
        "loss": pass.loss.to_string(),
        "terms": pass.terms.iter().map(|(term, value)| (term.name().to_owned(), value.to_string())).collect::<BTreeMap<_, _>>(),
        "grad_norm": grad_norm.to_string(),
        "sequences": rows,
    })
}
