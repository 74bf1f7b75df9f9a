//! One column of a row group, a value at a time: levels and value decoders over its pages.

use serde_json::Value;

use super::bits::Runs;
use super::pages::{Codec, Page, PageKind, Pages};
use super::schema::Column;
use super::values::{Plain, Values};

/// The levels of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// 0: begins a row.
    pub rep: u32,
    /// Below the column's own: null, at the depth that it says.
    pub def: u32,
}

/// A column's chunk, being read.
pub struct ColumnReader<'a> {
    column: &'a Column,
    pages: Pages<'a>,
    dictionary: Option<Vec<Value>>,
    page: Option<DataPage>,
    /// The most values that a page may say it has.
    most_values: u64,
    /// The next value's levels, where they have been looked at.
    next: Option<Levels>,
}

struct DataPage {
    bytes: Vec<u8>,
    left: u64,
    rep: Option<Runs>,
    def: Option<Runs>,
    values: Values,
}

impl<'a> ColumnReader<'a> {
    /// The column in `chunk`, its part of the file.
    pub fn new(column: &'a Column, chunk: &'a [u8], codec: Codec, most_values: u64) -> Self {
        Self { column, pages: Pages::new(chunk, codec), dictionary: None, page: None, most_values, next: None }
    }

    /// The column's name.
    pub fn path(&self) -> &str {
        &self.column.path
    }

    /// Levels of the next value; `None` at the end of the chunk.
    pub fn peek(&mut self) -> Result<Option<Levels>, String> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        let page = loop {
            match &mut self.page {
                Some(page) if page.left > 0 => break page,
                _ => match self.pages.next()? {
                    None => return Ok(None),
                    Some(page) => self.open(page)?,
                },
            }
        };
        page.left -= 1;
        let level = |runs: &mut Option<Runs>, max: u32| match runs {
            None => Ok(max),
            Some(runs) => match runs.next(&page.bytes)? {
                level if level <= max => Ok(level),
                level => Err(format!("has a level of {level} where the highest is {max}")),
            },
        };
        let rep = level(&mut page.rep, self.column.max_rep)?;
        let def = level(&mut page.def, self.column.max_def)?;
        self.next = Some(Levels { rep, def });
        Ok(self.next)
    }

    /// The next value; null where its levels say so. Errors: there is none.
    pub fn take(&mut self) -> Result<Value, String> {
        let levels = self.peek()?.ok_or("has fewer values than there are rows")?;
        self.next = None;
        match &mut self.page {
            Some(page) if levels.def == self.column.max_def => page.values.next(&page.bytes, &self.column.kind, self.dictionary.as_deref()),
            _ => Ok(Value::Null),
        }
    }

    /// Makes `page` the one at hand, or the dictionary.
    fn open(&mut self, page: Page) -> Result<(), String> {
        let Page { bytes, values, encoding, kind } = page;
        if values > self.most_values {
            return Err(format!("says that a page has {values} values"));
        }
        let column = self.column;
        let (rep, def, start) = match kind {
            PageKind::Dictionary => {
                let mut plain = Plain::new(0);
                let values = (0..values).map(|_| plain.next(&bytes, &column.kind));
                self.dictionary = Some(values.collect::<Result<_, _>>()?);
                return Ok(());
            }
            PageKind::V1 => {
                let mut start = 0;
                let rep = levels_v1(&bytes, &mut start, column.max_rep)?;
                let def = levels_v1(&bytes, &mut start, column.max_def)?;
                (rep, def, start)
            }
            PageKind::V2 { rep, def } => {
                let between = |start: usize, end: usize, max: u32| match max {
                    0 => Ok(None),
                    max => Runs::new(start, end, width(max)).map(Some),
                };
                (between(0, rep, column.max_rep)?, between(rep, rep + def, column.max_def)?, rep + def)
            }
        };
        let decoder = Values::new(encoding, &bytes, start, values, &column.kind)?;
        self.page = Some(DataPage { bytes, left: values, rep, def, values: decoder });
        Ok(())
    }
}

/// Bits of a level up to `max`.
fn width(max: u32) -> usize {
    (u32::BITS - max.leading_zeros()) as usize
}

/// Levels up to `max` at byte `start`, with their length before them, and `start` behind them.
fn levels_v1(bytes: &[u8], start: &mut usize, max: u32) -> Result<Option<Runs>, String> {
    if max == 0 {
        return Ok(None);
    }
    let length = bytes.get(*start..*start + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let begin = *start + 4;
    let end = length.and_then(|length| begin.checked_add(length as usize)).filter(|end| *end <= bytes.len());
    let end = end.ok_or("has levels that end behind their page")?;
    *start = end;
    Runs::new(begin, end, width(max)).map(Some)
}
