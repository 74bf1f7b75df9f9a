//! How wide a table may be.

/// Most fields of a row.
pub const MOST_FIELDS: usize = 10_000;

/// Refuses rows of `fields` fields where these are too many.
pub fn too_wide(fields: usize) -> Result<(), String> {
    match fields {
        0..=MOST_FIELDS => Ok(()),
        _ => Err(format!("found {fields} fields, expected at most {MOST_FIELDS}; leave out those that aren't needed")),
    }
}
