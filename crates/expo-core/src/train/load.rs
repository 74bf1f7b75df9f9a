//! What a configuration trains on, read.

use super::documents::Documents;
use super::trainer::TrainData;
use crate::config::{Config, Recipe};
use crate::data::generator::{self, NAME as GENERATOR, Split};
use crate::error::{Error, Result};
use crate::rollout::seed::{Purpose, derive};

impl TrainData {
    /// Reads the problems and documents that `config` names.
    pub fn load(config: &Config) -> Result<Self> {
        let problems = match config.train.recipe {
            Recipe::Sft => Vec::new(),
            _ => {
                let data = &config.data;
                if data.train != GENERATOR {
                    return Err(Error::Run(format!("{}: files of problems can't be read yet", data.train)));
                }
                generator::problems(&data.levels, data.generate, data.generator_seed, Split::Train)?
            }
        };
        let documents = match config.rehearsal.data.as_str() {
            "" => None,
            GENERATOR => Some(Documents::Stream(Box::new(generator::documents(derive(config.train.seed, Purpose::Documents, &[]))))),
            file => return Err(Error::Run(format!("{file}: files of documents can't be read yet"))),
        };
        Ok(Self { problems, documents, ..Self::default() })
    }
}
