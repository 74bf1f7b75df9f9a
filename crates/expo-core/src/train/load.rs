//! What a configuration trains on, read.

use super::documents::Documents;
use super::trainer::TrainData;
use crate::config::{Config, Recipe};
use crate::data::generator::{self, NAME as GENERATOR, Split};
use crate::data::{load_problems, read_documents, read_preferences};
use crate::error::Result;
use crate::rollout::seed::{Purpose, derive};

impl TrainData {
    /// Reads the problems, preferences and documents that `config` names. Errors: those of [`load_problems`], [`read_preferences`] and [`read_documents`].
    pub fn load(config: &Config) -> Result<Self> {
        let mut data = Self::default();
        match config.train.recipe {
            Recipe::Sft => {}
            Recipe::Dpo => {
                for source in &config.data.train.0 {
                    let set = read_preferences(source, &config.data)?;
                    data.preferences.extend(set.preferences);
                    data.preferences_skipped += set.skipped;
                    data.hashes.extend(set.hashes);
                    data.notices.extend(set.notices);
                }
            }
            _ => {
                let set = load_problems(&config.data, Split::Train)?;
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
                let set = read_documents(source, config.data.on_bad_row)?;
                data.hashes.extend(set.hashes);
                data.notices.extend(set.notices);
                Some(Documents::List(set.documents))
            }
        };
        Ok(data)
    }
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
        config.train.recipe = Recipe::Dpo;
        config.data.train.0 =
            ["a.jsonl", "b.jsonl"].map(|name| file(name, "{\"prompt\": \"1+1=\", \"chosen\": \"2\", \"rejected\": \"3\"}\n")).into();
        let data = TrainData::load(&config).unwrap();
        assert_eq!((data.preferences.len(), data.problems.len(), data.hashes.len()), (2, 0, 3));
        config.train.recipe = Recipe::Sft;
        assert!(TrainData::load(&config).unwrap().problems.is_empty());
        config.rehearsal.data = "no/such.jsonl".into();
        assert!(TrainData::load(&config).err().unwrap().to_string().contains("no/such.jsonl: cannot read"));
    }
}
