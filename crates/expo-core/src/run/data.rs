//! What a run trains on: read as its configuration says.

use std::collections::BTreeMap;

use super::evaluation::EvaluationData;
use crate::config::{Config, DataSection, RecipeName};
use crate::data::generator::{self, NAME as GENERATOR, Split};
use crate::data::{GoldCheck, Preference, Problem, load_problems, read_documents, read_preferences};
use crate::error::Result;
use crate::eval::load_evaluation_problems;
use crate::feed::documents::Documents;
use crate::rollout::seed::{Purpose, derive};

/// What a run trains on.
#[derive(Default)]
pub struct TrainData {
    /// Problems with known answers (all recipes but `sft` and `dpo`).
    pub problems: Vec<Problem>,
    /// For each problem the place of its set in `data.train`; empty: all are of the first.
    pub sets: Vec<usize>,
    /// Preferences (`dpo`).
    pub preferences: Vec<Preference>,
    /// Number of rows of their files left out, as `data.on_bad_row` allows.
    pub preferences_skipped: usize,
    /// Documents (`sft`, rehearsal).
    pub documents: Option<Documents>,
    /// What the run is evaluated on.
    pub evaluation: EvaluationData,
    /// SHA-256 of each source, by its name, for `run.json`.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the files were read.
    pub notices: Vec<String>,
}

impl TrainData {
    /// Reads the problems, preferences and documents that `config` names. Errors: those of [`load_problems`], [`read_preferences`] and [`read_documents`].
    pub fn load(config: &Config) -> Result<Self> {
        let mut data = Self::default();
        match config.train.recipe {
            RecipeName::Sft => {}
            RecipeName::Dpo => {
                for source in &config.data.train.0 {
                    let set = read_preferences(source, &config.data)?;
                    data.preferences.extend(set.preferences);
                    data.preferences_skipped += set.skipped;
                    data.hashes.extend(set.hashes);
                    data.notices.extend(set.notices);
                }
            }
            _ => {
                let set = load_problems(&config.data, &GoldCheck::of(config), Split::Train)?;
                (data.problems, data.sets, data.hashes, data.notices) = (set.problems, set.sets, set.hashes, set.notices);
            }
        }
        data.documents = match config.rehearsal.data.as_str() {
            "" => None,
            GENERATOR => {
                let seed = derive(config.train.seed, Purpose::Documents, &[]);
                Some(Documents::Stream(Box::new(move || Box::new(generator::documents(seed)))))
            }
            source => {
                let set = read_documents(source, config.data.on_bad_row, config.rehearsal.turns)?;
                data.hashes.extend(set.hashes);
                data.notices.extend(set.notices);
                Some(Documents::List(set.documents))
            }
        };
        data.load_evaluation(config)?;
        Ok(data)
    }

    /// Reads what `[eval]` names.
    fn load_evaluation(&mut self, config: &Config) -> Result<()> {
        let eval = &config.eval;
        let section = DataSection { split: eval.split.clone(), levels: eval.levels.within(&config.data.levels), ..config.data.clone() };
        if !eval.data.is_empty() {
            let set = load_evaluation_problems(&section, &GoldCheck::of(config), &eval.data, eval.limit)?;
            self.hashes.extend(set.hashes);
            self.notices.extend(set.notices);
            self.notices.extend(seen_in_training(&set.problems, &self.problems));
            self.evaluation.problems = set.problems;
        }
        let (source, limit) = (eval.loss_data.as_str(), if eval.limit > 0 { eval.limit } else { usize::MAX });
        match config.train.recipe {
            _ if source.is_empty() => {}
            RecipeName::Dpo | RecipeName::ExpDpo => {
                let section = DataSection { split: Some(eval.split.clone().unwrap_or_else(|| "test".to_owned())), ..section };
                let set = read_preferences(source, &section)?;
                self.hashes.extend(set.hashes);
                self.notices.extend(set.notices);
                self.evaluation.preferences = set.preferences.into_iter().take(limit).collect();
            }
            _ => {
                let set = read_documents(source, config.data.on_bad_row, config.rehearsal.turns)?;
                self.hashes.extend(set.hashes);
                self.notices.extend(set.notices);
                self.evaluation.documents = set.documents.into_iter().take(limit).collect();
            }
        }
        Ok(())
    }
}

/// A warning where problems to evaluate on are trained on.
fn seen_in_training(held_out: &[Problem], training: &[Problem]) -> Option<String> {
    let questions: std::collections::HashSet<&str> = training.iter().map(|problem| problem.question.as_str()).collect();
    let seen = held_out.iter().filter(|problem| questions.contains(problem.question.as_str())).count();
    (seen > 0).then(|| format!("{seen} of the {} problems of eval.data are trained on, so they are not held out", held_out.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let mut config = Config::default();
        let problems = file("p.jsonl", "{\"question\": \"q\", \"answer\": \"so <<1+1=2>>2\\n#### 2\"}\n");
        config.data.train = problems.clone().into();
        config.rehearsal.data = file("d.jsonl", "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n");
        let data = TrainData::load(&config).unwrap();
        assert_eq!(data.problems[0].answer, "2");
        assert!(matches!(data.documents, Some(Documents::List(list)) if list.len() == 1));
        assert_eq!(data.hashes.keys().collect::<Vec<_>>(), [&config.rehearsal.data, &problems]);
        config.train.recipe = RecipeName::Dpo;
        config.data.train.0 =
            ["a.jsonl", "b.jsonl"].map(|name| file(name, "{\"prompt\": \"1+1=\", \"chosen\": \"2\", \"rejected\": \"3\"}\n")).into();
        let data = TrainData::load(&config).unwrap();
        assert_eq!((data.preferences.len(), data.problems.len(), data.hashes.len()), (2, 0, 3));
        config.eval.loss_data = config.data.train.0[0].clone();
        assert_eq!(TrainData::load(&config).unwrap().evaluation.preferences.len(), 1);
        config.train.recipe = RecipeName::Sft;
        config.eval.loss_data = config.rehearsal.data.clone();
        (config.eval.data, config.eval.limit) = (problems, 1);
        let data = TrainData::load(&config).unwrap();
        assert_eq!((data.evaluation.problems.len(), data.evaluation.documents.len(), data.notices.len()), (1, 1, 0));
        config.train.recipe = RecipeName::Grpo;
        config.data.train = config.eval.data.clone().into();
        let notices = TrainData::load(&config).unwrap().notices;
        assert!(notices[0].starts_with("1 of the 1 problems of eval.data are trained on"), "{notices:?}");
        config.train.recipe = RecipeName::Sft;
        config.eval = Default::default();
        assert!(TrainData::load(&config).unwrap().problems.is_empty());
        config.rehearsal.data = "no/such.jsonl".into();
        assert!(TrainData::load(&config).err().unwrap().to_string().contains("no/such.jsonl: cannot read"));
    }
}
