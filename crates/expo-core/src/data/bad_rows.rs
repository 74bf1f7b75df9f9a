//! Rows that can't be used.

use crate::config::OnBadRow;
use crate::error::{Error, Result};

/// What is wrong: with one row, behind which others come, or with the file from here on.
#[derive(Debug)]
pub enum Bad {
    /// This row alone.
    Row(Error),
    /// The rest of the file can't be read.
    File(Error),
}

/// Rows that can't be used: the first one stops the reading, or all are passed over and counted.
pub struct BadRows {
    policy: OnBadRow,
    count: usize,
    first: Vec<String>,
}

impl BadRows {
    /// How many skipped rows the notice tells in full.
    const TOLD: usize = 3;

    /// With none found yet.
    pub fn new(policy: OnBadRow) -> Self {
        Self { policy, count: 0, first: Vec::new() }
    }

    /// What was read of a row; `None` where it is to be passed over. Errors: a bad row where such are refused, a file that can't be read on.
    pub fn sift<T>(&mut self, read: Result<T, Bad>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Bad::Row(error)) if self.policy == OnBadRow::Skip => {
                self.count += 1;
                if self.first.len() < Self::TOLD {
                    self.first.push(error.to_string());
                }
                Ok(None)
            }
            Err(Bad::Row(error) | Bad::File(error)) => Err(error),
        }
    }

    /// What to tell of the rows passed over.
    pub fn notice(&self) -> Option<String> {
        let more = self.count - self.first.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (self.count > 0).then(|| format!("rows left out as data.on_bad_row says: {}: {}{more}", self.count, self.first.join("; ")))
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::rows::Place;

    #[test]
    fn bad_rows_are_refused_or_told() {
        let bad = |i: usize| Err::<(), _>(Bad::Row(Place::Row(i).error(Path::new("f.parquet"), "empty")));
        assert!(BadRows::new(OnBadRow::Refuse).sift(bad(1)).is_err());
        let mut rows = BadRows::new(OnBadRow::Skip);
        assert_eq!(rows.sift(Ok(7)).unwrap(), Some(7));
        assert_eq!(rows.notice(), None);
        for i in 1..=5 {
            assert_eq!(rows.sift(bad(i)).unwrap(), None);
        }
        let notice = rows.notice().unwrap();
        assert!(notice.ends_with(": 5: f.parquet: row 1: empty; f.parquet: row 2: empty; f.parquet: row 3: empty; and 2 more"), "{notice}");
        assert!(rows.sift(Err::<(), _>(Bad::File(Error::Data("cut off".into())))).is_err());
    }
}
