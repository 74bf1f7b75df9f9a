//! Evaluation during training: held-out problems and a validation loss every few steps, the best weights, early stopping.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{Config, EvalSection};
use crate::data::{BadRows, Document, Preference, Problem};
use crate::draw::pairs::score_pairs;
use crate::error::{Error, Result};
use crate::eval::{Bootstrap, Plan, solve, subsets, summarize};
use crate::feed::documents::{self, Sifted};
use crate::feed::preferences;
use crate::logs::BEST_FILE;
use crate::metrics::{Name, StepMetrics};
use crate::objective::EncodedDocument;
use crate::objective::dpo::Preferences;
use crate::objective::preference::Pair;
use crate::objective::sft::on_documents;
use crate::policy::Lm;
use crate::policy::pass::{Accumulated, Pass};
use crate::resume::{Resumable, from_state};
use crate::rollout::ByWriter;
use crate::run::update::MeasuredPairs;
use crate::task::{Task, exceeds};
use expo_lm::generate::SamplingParams;

/// What a run is evaluated on.
#[derive(Debug, Clone, Default)]
pub struct EvaluationData {
    /// Held-out problems.
    pub problems: Vec<Problem>,
    /// Held-out documents.
    pub documents: Vec<Document>,
    /// Held-out preferences.
    pub preferences: Vec<Preference>,
}

/// The best evaluation so far, by `eval.metric_for_best_model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After how many steps.
    pub step: usize,
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// Evaluates a policy now and then.
pub struct Evaluator {
    options: EvalSection,
    problems: Vec<Problem>,
    plan: Plan,
    documents: Vec<EncodedDocument>,
    pairs: Vec<Pair>,
    best: Option<Best>,
    /// Evaluations since the metric got better.
    without_improvement: usize,
}

/// What an evaluation means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// It is the best one so far.
    pub is_best: bool,
    /// The run has to stop.
    pub stop: bool,
}

impl Evaluator {
    /// Prepares the evaluation of a run that starts as `model`, the reference of held-out preferences, and says what of the held-out data is left out; `None`
    /// where there is nothing to evaluate on.
    /// Errors: a problem that does not fit the context, no document or preference that does.
    pub fn new(config: &Config, task: &dyn Task, model: &dyn Lm, data: EvaluationData) -> Result<Option<(Self, Vec<String>)>> {
        if data.problems.is_empty() && data.documents.is_empty() && data.preferences.is_empty() {
            return Ok(None);
        }
        if !data.documents.is_empty() && !data.preferences.is_empty() {
            return Err(Error::Data(
                "held-out documents and held-out preferences are both given, but `eval/loss` is of one of them; give one".into(),
            ));
        }
        let (options, context) = (config.eval.clone(), model.context());
        let max_new_tokens = options.max_new_tokens.unwrap_or(config.rollout.max_new_tokens);
        for problem in &data.problems {
            let needed = task.question(problem)?.len() + max_new_tokens;
            if needed > context {
                let message = format!(
                    "eval.data: {} needs {needed} tokens with its completion, but the model's context is {context}; lower eval.max_new_tokens or remove it",
                    problem.id
                );
                return Err(Error::TooLong(message));
            }
        }
        let sampling = SamplingParams {
            temperature: options.temperature as f32,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_new_tokens,
            stop_token_ids: task.stop_token_ids().to_vec(),
        };
        let plan = Plan { samples: options.num_samples, sampling, seed: config.train.seed };
        let mut notices = Vec::new();
        let left_out = |count: usize, all: usize, what: &str| {
            (count > 0).then(|| format!("eval.loss_data: {count} of {all} {what} exceed the context of {context} tokens and are left out"))
        };
        let mut bad = BadRows::new(config.data.on_bad_row);
        let Sifted { documents: sifted, notices: told } = documents::sift(data.documents, task, context, &mut bad)?;
        notices.extend(told.into_iter().map(|notice| format!("eval.loss_data: {notice}")));
        let found = sifted.len() + bad.count();
        let short = sifted.iter().filter(|document| !exceeds(document.conversation.bytes(), context));
        let mut encoded = short.map(|document| Ok(task.document(document)?.sequences)).collect::<Result<Vec<_>>>()?;
        encoded.retain(|sequences| sequences.iter().all(|sequence| sequence.len() <= context));
        let (fitting, documents) = (encoded.len(), encoded.concat());
        if documents.is_empty() && found > 0 {
            return Err(Error::TooLong(format!("eval.loss_data: no document fits the model's context of {context} tokens; shorten them")));
        }
        notices.extend(left_out(sifted.len() - fitting, found, "documents"));
        notices.extend(bad.notice().map(|notice| format!("eval.loss_data: {notice}")));
        let mut pairs = Vec::new();
        if !data.preferences.is_empty() {
            let encoded = preferences::encode(&options.loss_data, config.data.on_bad_row, task, &data.preferences, context)?;
            notices.extend(left_out(encoded.too_long, data.preferences.len(), "pairs"));
            notices.extend(encoded.told.iter().map(|notice| format!("eval.loss_data: {notice}")));
            notices.extend(encoded.notice.map(|notice| format!("eval.loss_data: {notice}")));
            pairs = encoded.pairs;
            score_pairs(model, &mut pairs)?;
        }
        let evaluator = Self { options, problems: data.problems, plan, documents, pairs, best: None, without_improvement: 0 };
        Ok(Some((evaluator, notices)))
    }

    /// Whether an evaluation is due after `step` of `steps`.
    pub fn is_due(&self, step: usize, steps: usize) -> bool {
        let every = self.options.every;
        match step {
            0 => self.options.at_start,
            step => step == steps || every > 0 && step.is_multiple_of(every),
        }
    }

    /// Adds the metrics of a policy as it is.
    pub fn measure(&self, config: &Config, task: &dyn Task, by: &mut ByWriter, metrics: &mut StepMetrics) -> Result<()> {
        if !self.problems.is_empty() {
            self.solve(task, by, metrics)?;
        }
        let sequences = match self.pairs.is_empty() {
            true => on_documents(&self.documents),
            false => Preferences::new(&config.dpo).sequences(&self.pairs),
        };
        if !sequences.is_empty() {
            let measured = Pass::of(&sequences, Accumulated { measured: by.lm().score(&sequences)?, trained_tokens: 0 });
            metrics.set(Name::EvalLoss, measured.loss);
            if !self.pairs.is_empty() {
                MeasuredPairs::new(&sequences, &measured.measured).add_margins(
                    Name::EvalRewardsAccuracies,
                    Name::EvalRewardsMargins,
                    metrics,
                );
            }
        }
        Ok(())
    }

    fn solve(&self, task: &dyn Task, by: &mut ByWriter, metrics: &mut StepMetrics) -> Result<()> {
        let ks: Vec<usize> = self.options.pass_at_k.iter().map(|k| *k as usize).collect();
        let solved = solve(by, task, &self.problems, &self.plan, None, &mut |_| ())?;
        // Intervals are for `expo-rl eval`: here the estimates alone are told.
        let bootstrap = Bootstrap { resamples: 0, ..Bootstrap::default() };
        let all = summarize(&solved.iter().collect::<Vec<_>>(), &ks, &bootstrap);
        for (accuracy, one) in &all.metrics {
            metrics.set(Name::Eval(*accuracy), one.mean);
        }
        metrics.set(Name::EvalCompletionsMeanLength, all.mean_length);
        metrics.set(Name::EvalCompletionsTruncatedFraction, all.truncated_fraction);
        // Problems without any level have no subsets to tell of.
        let levels = subsets(&self.problems, "level").unwrap_or_default();
        for level in levels.iter().filter(|_| levels.len() > 1) {
            let of_level: Vec<_> = level.places.iter().map(|place| &solved[*place]).collect();
            for (accuracy, one) in summarize(&of_level, &ks, &bootstrap).metrics {
                // By its number, where it is a word, too: names of metrics stay short and in order.
                let number = level.places.first().and_then(|place| self.problems[*place].level);
                metrics.set(Name::EvalLevel(number, accuracy), one.mean);
            }
        }
        Ok(())
    }

    /// The best evaluation so far.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// Whether it compares with the policy that the run starts from.
    pub fn refers_to_start(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Compares later evaluations with `best`.
    pub fn remember_best(&mut self, best: Option<Best>) {
        self.best = best;
    }

    /// Compares the evaluation after `step` with those before it, as transformers' `Trainer` and `EarlyStoppingCallback` do.
    pub fn judge(&mut self, step: usize, metrics: &StepMetrics) -> Standing {
        let Some(metric) = &self.options.metric_for_best_model else { return Standing { is_best: false, stop: false } };
        let greater = self.options.greater_is_better.unwrap_or(!metric.ends_with("loss"));
        let value = metrics.get(metric.as_str()).filter(|value| value.is_finite());
        let improvement = value.map(|value| match &self.best {
            None => f64::INFINITY,
            Some(best) if greater => value - best.value,
            Some(best) => best.value - value,
        });
        let is_best = improvement.is_some_and(|improvement| improvement > 0.0);
        if is_best && improvement > Some(self.options.early_stopping_threshold) {
            self.without_improvement = 0;
        } else {
            self.without_improvement += 1;
        }
        if let Some(value) = value.filter(|_| is_best) {
            self.best = Some(Best { step, metric: metric.clone(), value });
        }
        let patience = self.options.early_stopping_patience;
        Standing { is_best, stop: patience > 0 && self.without_improvement >= patience }
    }
}

/// What it has seen so far; what it evaluates on is read again.
impl Resumable for Evaluator {
    fn state(&self) -> Result<Value> {
        Ok(json!({"best": self.best, "without_improvement": self.without_improvement}))
    }
    fn restore(&mut self, mut state: Value) -> Result<()> {
        let mut take = |name: &str| state.get_mut(name).map(Value::take).unwrap_or_default();
        self.best = from_state(take("best"))?;
        self.without_improvement = from_state(take("without_improvement"))?;
        Ok(())
    }
}

/// The best evaluation that the run's `folder` tells of, whatever step its weights are of; `None`: of none. Errors: the file that says which they are can't be read.
pub(crate) fn best_on_disk(folder: &Path) -> Result<Option<Best>> {
    let path = folder.join(BEST_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let best = serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, None, format!("{e}; expected step, metric and value")))?;
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OnBadRow, RecipeName};
    use crate::policy::cpu::CpuLm;
    use crate::run::data::TrainData;
    use crate::run::trainer::Trainer;
    use crate::testing::run::{CharTask, Record, config, documents, preferences, problems, save_folder, tiny_model};
    use expo_lm::chat::Message;

    /// What each of several evaluations means, by the values of the metric.
    fn outcomes(change: impl Fn(&mut EvalSection), metric: &str, values: &[f64]) -> Vec<(bool, bool)> {
        let mut config = config();
        config.eval.metric_for_best_model = Some(metric.to_owned());
        change(&mut config.eval);
        let data = EvaluationData { problems: problems(1), ..EvaluationData::default() };
        let (mut evaluator, _) = Evaluator::new(&config, &CharTask::new(), &CpuLm::new(tiny_model(1), 64), data).unwrap().unwrap();
        let judge = |(step, value): (usize, &f64)| {
            let mut metrics = StepMetrics::new(step);
            metrics.set(Name::parse(metric).unwrap(), *value);
            let Standing { is_best, stop } = evaluator.judge(step, &metrics);
            (is_best, stop)
        };
        values.iter().enumerate().map(judge).collect()
    }

    #[test]
    fn the_best_is_kept_and_patience_ends() {
        let patience = |options: &mut EvalSection| options.early_stopping_patience = 2;
        let (best, worse, end) = ((true, false), (false, false), (false, true));
        assert_eq!(outcomes(patience, "eval/pass@1", &[0.1, 0.3, 0.3, 0.4, 0.2, 0.4]), [best, best, worse, best, worse, end]);
        assert_eq!(outcomes(patience, "eval/loss", &[1.0, 2.0, 0.5, 0.5, f64::NAN]), [best, worse, best, worse, end]);
        assert_eq!(outcomes(|_| (), "eval/pass@1", &[0.3, 0.2, 0.1, 0.1]), [best, worse, worse, worse], "no patience asked for");
        let turned = |options: &mut EvalSection| options.greater_is_better = Some(false);
        assert_eq!(outcomes(turned, "eval/pass@1", &[0.3, 0.4, 0.2]), [best, worse, best]);
        // Better, but not by enough: it is the best all the same, as in transformers.
        let threshold = |options: &mut EvalSection| (options.early_stopping_patience, options.early_stopping_threshold) = (1, 0.1);
        assert_eq!(outcomes(threshold, "eval/pass@1", &[0.3, 0.45, 0.5]), [best, best, (true, true)]);
    }

    #[test]
    fn evaluations_are_due_every_few_steps_and_after_the_last() {
        let due = |every: usize, at_start: bool| {
            let mut config = config();
            (config.eval.every, config.eval.at_start) = (every, at_start);
            let data = EvaluationData { problems: problems(1), ..EvaluationData::default() };
            let (evaluator, _) = Evaluator::new(&config, &CharTask::new(), &CpuLm::new(tiny_model(1), 64), data).unwrap().unwrap();
            (0..=5).filter(|step| evaluator.is_due(*step, 5)).collect::<Vec<_>>()
        };
        assert_eq!(due(2, true), [0, 2, 4, 5]);
        assert_eq!(due(0, false), [5]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut config = config();
        config.eval.max_new_tokens = Some(126);
        let data = EvaluationData { problems: problems(1), ..EvaluationData::default() };
        let error = Evaluator::new(&config, &CharTask::new(), &CpuLm::new(tiny_model(1), 64), data).err().unwrap().to_string();
        assert!(error.starts_with("eval.data: test-0 needs 132 tokens") && error.contains("context is 128"), "{error}");
    }

    #[test]
    fn held_out_rows_that_are_left_out_are_told() {
        let mut config = config();
        config.data.on_bad_row = OnBadRow::Skip;
        let new = |data| Evaluator::new(&config, &CharTask::new(), &CpuLm::new(tiny_model(1), 64), data).unwrap().unwrap();
        let mut rows = documents(5);
        let all = EvaluationData { documents: rows.clone(), ..EvaluationData::default() };
        assert_eq!(new(all).1, Vec::<String>::new());
        for (row, digit) in [(1, "1"), (4, "2")] {
            rows[row].conversation.messages[1] = Message::new("assistant", digit.repeat(130));
        }
        let (evaluator, notices) = new(EvaluationData { documents: rows, ..EvaluationData::default() });
        assert_eq!(notices, ["eval.loss_data: 2 of 5 documents exceed the context of 128 tokens and are left out"]);
        assert_eq!(evaluator.documents.len(), 3);

        let mut rows = preferences(6);
        rows[0].chosen[0] = Message::new("assistant", "1".repeat(130));
        rows[2].prompt.messages[0] = Message::new("user", ";1");
        let (evaluator, notices) = new(EvaluationData { preferences: rows.clone(), ..EvaluationData::default() });
        assert_eq!(notices[0], "eval.loss_data: 1 of 6 pairs exceed the context of 128 tokens and are left out");
        assert!(notices[1].starts_with("eval.loss_data: rows left out as data.on_bad_row says: 1: test-2: side"), "{notices:?}");
        assert_eq!((notices.len(), evaluator.pairs.len()), (2, 4));

        // A run tells of them before its first step.
        let evaluation = EvaluationData { preferences: rows, ..EvaluationData::default() };
        config.train.recipe = RecipeName::Dpo;
        let data = TrainData { preferences: preferences(6), evaluation, ..TrainData::default() };
        let mut trainer = Trainer::with_task(config, tiny_model(1), Box::new(CharTask::new()), save_folder(), data, None).unwrap();
        let mut record = Record::default();
        trainer.run(&mut record).unwrap();
        assert_eq!(record.notices, notices.iter().map(|notice| format!("0: {notice}")).collect::<Vec<_>>());
    }
}
