//! Contradictions among the options of evaluation during training.

use super::report::Report;
use crate::config::*;
use crate::metrics::name::{Accuracy, Name};

pub(super) fn check(config: &Config, report: &mut Report) {
    let eval = &config.eval;
    if eval.data.is_empty() && eval.loss_data.is_empty() {
        let options = EvalSection::options();
        let keys = options
            .iter()
            .map(|option| format!("eval.{}", option.name))
            .filter(|key| !matches!(key.as_str(), "eval.data" | "eval.loss_data"));
        if let Some(key) = keys.into_iter().find(|key| report.wanted(key, &["eval.data", "eval.loss_data"])) {
            report.add(&[&key], "set, but there is nothing to evaluate on; name held-out problems with eval.data, or remove it".into());
        }
        return;
    }
    if eval.data.is_empty() {
        let keys = ["eval.num_samples", "eval.pass_at_k", "eval.temperature", "eval.max_new_tokens", "eval.levels"];
        if let Some(key) = keys.into_iter().find(|key| report.wanted(key, &["eval.data"])) {
            report.add(&[key], "set, but eval.data names no problems to sample; name them, or remove the option".into());
        }
    }
    if eval.loss_data.starts_with("generator:") {
        report.add(&["eval.loss_data"], format!("found \"{}\", but the generator has no held-out documents; name a file", eval.loss_data));
    }
    if let Some(k) = eval.pass_at_k.iter().find(|k| **k as usize > eval.num_samples) {
        let message = format!("found {k}, but eval.num_samples is {}: pass@k needs at least k samples", eval.num_samples);
        report.add(&["eval.pass_at_k", "eval.num_samples"], message);
    }
    if eval.temperature == 0.0 && eval.num_samples > 1 {
        let message = format!("found {}, but at temperature 0 every sample of a problem is the same; use 1", eval.num_samples);
        report.add(&["eval.num_samples", "eval.temperature"], message);
    }
    best(config, report);
}

/// The metric that says which evaluation is best, and when to stop for want of a better one.
fn best(config: &Config, report: &mut Report) {
    let eval = &config.eval;
    if eval.early_stopping_threshold > 0.0 && eval.early_stopping_patience == 0 {
        let message = "set, but eval.early_stopping_patience is 0; set a patience, or remove the threshold";
        report.add(&["eval.early_stopping_threshold"], message.into());
    }
    if eval.early_stopping_patience > 0 && eval.every == 0 {
        // Then there is nothing left to stop.
        let message = "set, but eval.every is 0: no step before the last is evaluated; set it, or remove the patience";
        report.add(&["eval.early_stopping_patience", "eval.every"], message.into());
    }
    let Some(metric) = &eval.metric_for_best_model else {
        if eval.early_stopping_patience > 0 {
            let message = "set, but eval.metric_for_best_model is unset; name the metric that has to get better, such as \"eval/pass@1\"";
            report.add(&["eval.early_stopping_patience"], message.into());
        } else if eval.greater_is_better.is_some() {
            report.add(&["eval.greater_is_better"], "set, but eval.metric_for_best_model is unset; set it, or remove the option".into());
        }
        return;
    };
    let names = metrics(config);
    if !names.iter().any(|name| metric.as_str() == *name) {
        report.add(
            &["eval.metric_for_best_model"],
            format!(
                "found \"{metric}\", which this evaluation does not measure; it measures {}",
                names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ")
            ),
        );
    }
}

/// The metrics that the evaluation measures and that may say which one is best.
fn metrics(config: &Config) -> Vec<Name> {
    let eval = &config.eval;
    let mut names = Vec::new();
    if !eval.data.is_empty() {
        let mut ks: Vec<u32> = eval.pass_at_k.iter().copied().chain([1]).collect();
        ks.sort_unstable();
        ks.dedup();
        names.extend(ks.iter().map(|k| Name::Eval(Accuracy::PassAt(*k as usize))));
        if eval.num_samples > 1 {
            names.push(Name::Eval(Accuracy::MajorityAt(eval.num_samples)));
        }
    }
    if !eval.loss_data.is_empty() {
        names.push(Name::EvalLoss);
        if matches!(config.train.recipe, RecipeName::Dpo | RecipeName::ExpDpo) {
            names.extend([Name::EvalRewardsAccuracies, Name::EvalRewardsMargins]);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[eval]\nevery = 5", "c.toml:2: eval.every: set, but there is nothing to evaluate on"),
            ("[eval]\nloss_data = \"d.jsonl\"\nnum_samples = 2", "c.toml:3: eval.num_samples: set, but eval.data names no problems"),
            ("[eval]\nloss_data = \"generator:division\"", "c.toml:2: eval.loss_data: found \"generator:division\""),
            (
                "[eval]\ndata = \"p.jsonl\"\npass_at_k = [1, 4]\nnum_samples = 2",
                "c.toml:3: eval.pass_at_k: found 4, but eval.num_samples is 2",
            ),
            ("[eval]\ndata = \"p.jsonl\"\ntemperature = 0\nnum_samples = 2", "c.toml:4: eval.num_samples: found 2, but at temperature 0"),
            (
                "[eval]\ndata = \"p.jsonl\"\nevery = 5\nearly_stopping_patience = 3",
                "c.toml:4: eval.early_stopping_patience: set, but eval.metric",
            ),
            (
                "[eval]\ndata = \"p.jsonl\"\nmetric_for_best_model = \"eval/pass@1\"\nearly_stopping_patience = 3",
                "c.toml:4: eval.early_stopping_patience: set, but eval.every is 0: no step before the last is evaluated",
            ),
            ("[eval]\ndata = \"p.jsonl\"\ngreater_is_better = true", "c.toml:3: eval.greater_is_better: set, but eval.metric"),
            ("[eval]\ndata = \"p.jsonl\"\nearly_stopping_threshold = 0.1", "c.toml:3: eval.early_stopping_threshold: set, but"),
            (
                "[eval]\ndata = \"p.jsonl\"\nmetric_for_best_model = \"eval/pass@1\"\nearly_stopping_threshold = 0.1",
                "c.toml:4: eval.early_stopping_threshold: set, but eval.early_stopping_patience is 0",
            ),
            (
                "[eval]\ndata = \"p.jsonl\"\nnum_samples = 4\nmetric_for_best_model = \"eval/pass@4\"",
                "c.toml:4: eval.metric_for_best_model: found \"eval/pass@4\", which this evaluation does not measure; it measures eval/pass@1, eval/maj@4",
            ),
        ];
        for (text, expected) in cases {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
        let fine = "[train]\nrecipe = \"dpo\"\n[data]\ntrain = \"p.jsonl\"\n[eval]\nloss_data = \"q.jsonl\"\nevery = 5\nmetric_for_best_model = \"eval/rewards/accuracies\"\nearly_stopping_patience = 2";
        assert_eq!(problems(fine), Vec::<String>::new());
    }
}
