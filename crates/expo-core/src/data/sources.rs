//! From a set's name to the files that hold its rows: a local file, or a data set on the hub.

use std::path::Path;

use super::files::{DataFile, Found, Selection};
use super::hub;
use super::table::is_table;
use crate::error::{Error, Result};

/// The files of `source`. Errors: a hub data set that is neither reachable nor in the cache or has no such part.
pub fn find(source: &str, selection: Selection<'_>) -> Result<Found> {
    let local = is_table(source) || Path::new(source).exists();
    match hub::Address::parse(source).filter(|address| !local || address.is_explicit) {
        Some(address) => hub::fetch(&address, selection),
        None if source.starts_with("hf://") => {
            Err(Error::Data(format!("{source}: not the address of a data set; expected {}OWNER/NAME[@REVISION]/PATH", hub::SCHEME)))
        }
        None => Ok(Found { files: vec![DataFile { name: source.to_owned(), path: source.into() }], notice: None }),
    }
}
