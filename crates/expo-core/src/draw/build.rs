//! The source of a run, made of what its recipe says that it draws.

use super::Source;
use super::groups::{Explained, Groups};
use super::pairs::Pairs;
use super::rationales::Rationales;
use crate::config::Config;
use crate::error::Result;
use crate::feed::pairs::PairFeed;
use crate::feed::problems::Problems;
use crate::objective::preference::Pair;
use crate::objective::recipe::{BatchSource, Sources};

/// What sources are made of, as tokens.
#[derive(Default)]
pub struct Feeds {
    /// Problems.
    pub problems: Problems,
    /// For each problem as it was read the place of its set in `data.train`; empty: all are of the first.
    pub sets: Vec<usize>,
    /// Preference pairs from files.
    pub pairs: Vec<Pair>,
}

/// The source of the steps of a run of `config`; `None`: they are made of documents alone. Errors: those of [`Groups::new`].
pub fn source(config: &Config, sources: Sources, feeds: Feeds) -> Result<Option<Box<dyn Source>>> {
    let Feeds { problems, sets, pairs } = feeds;
    let groups = |groups, explained, are_compared| Groups::new(config, groups, explained, are_compared, problems, &sets);
    Ok(match sources.batch {
        BatchSource::Documents => None,
        BatchSource::Groups(wanted) => Some(Box::new(groups(wanted, Explained::of(config), true)?)),
        BatchSource::PairsFromFiles => Some(Box::new(Pairs::from_files(PairFeed::of_files(pairs, config)))),
        BatchSource::MadePairs(wanted) => Some(Box::new(Pairs::made_of(groups(wanted, Explained::of(config), false)?))),
        BatchSource::Rationales(wanted) => Some(Box::new(Rationales::new(config, groups(wanted, Explained::Unsolved, false)?))),
    })
}
