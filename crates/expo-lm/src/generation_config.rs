//! Where a model stops: end-of-sequence ids from every file that has some.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::read::token_ids;
use crate::error::{Error, Result};
use crate::json::object;

/// Ids in a `generation_config.json` (one or a list), in its order.
/// Errors: no JSON object, an id that isn't one.
pub fn eos_token_ids(json: &[u8], path: &Path) -> Result<Vec<u32>> {
    let map = object(json, path)?;
    let ids = map.get("eos_token_id");
    token_ids(ids).ok_or_else(|| {
        let found = ids.map_or(String::new(), Value::to_string);
        Error::file(path, format!("`eos_token_id` is {found}; it has to be a token id or a list of them"))
    })
}

/// All ids of `sources` without repetition, in order of first appearance.
pub fn merge(sources: &[&[u32]]) -> Vec<u32> {
    let mut merged = Vec::new();
    for id in sources.iter().copied().flatten() {
        if !merged.contains(id) {
            merged.push(*id);
        }
    }
    merged
}

/// A `generation_config.json` for a model that came without one.
pub fn to_json(bos_token_id: Option<u32>, eos_token_ids: &[u32]) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(id) = bos_token_id {
        map.insert("bos_token_id".to_owned(), id.into());
    }
    match eos_token_ids {
        [] => {}
        [one] => drop(map.insert("eos_token_id".to_owned(), (*one).into())),
        many => drop(map.insert("eos_token_id".to_owned(), many.into())),
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_or_many_merged_in_order() {
        let path = Path::new("generation_config.json");
        assert_eq!(eos_token_ids(br#"{"eos_token_id": 7}"#, path).expect("one"), [7]);
        assert_eq!(eos_token_ids(br#"{"eos_token_id": [7, 5]}"#, path).expect("many"), [7, 5]);
        assert_eq!(eos_token_ids(b"{}", path).expect("none"), Vec::<u32>::new());
        assert!(eos_token_ids(br#"{"eos_token_id": -1}"#, path).is_err() && eos_token_ids(b"[]", path).is_err());
        assert_eq!(merge(&[&[7, 5], &[5], &[], &[9, 7]]), [7, 5, 9]);
    }
}
