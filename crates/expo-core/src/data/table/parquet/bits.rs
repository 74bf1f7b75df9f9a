//! Integers in Parquet's encodings: variable-length, runs and bit-packed groups, deltas. Each decoder gives one value at a time and holds no more than its
//! place in the page, so that what a page claims to hold takes no memory.

/// An unsigned variable-length integer at the start of `bytes`; also how many bytes it took.
pub fn varint(bytes: &[u8]) -> Result<(u64, usize), String> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 127);
        if i == 9 && part > 1 {
            break;
        }
        value |= part << (7 * i);
        if byte & 128 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(if bytes.len() < 10 { "ends within a number" } else { "has a number of more than 64 bits" }.into())
}

/// A signed integer whose sign is its lowest bit.
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// `width` bits (at most 64) of `bytes` from bit `at`, lowest first. Errors: they end earlier.
fn read_bits(bytes: &[u8], at: usize, width: usize) -> Result<u64, String> {
    let last = (at + width).div_ceil(8);
    let bytes = bytes.get(at / 8..last).ok_or("ends within bit-packed values")?;
    // At most 64 bits and 7 before them.
    let wide = bytes.iter().rev().fold(0u128, |wide, byte| wide << 8 | u128::from(*byte));
    let mask = if width == 64 { u64::MAX } else { (1u64 << width) - 1 };
    Ok((wide >> (at % 8)) as u64 & mask)
}

/// Runs of one value and bit-packed groups of eight, mixed: levels, dictionary indices, booleans.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Next byte of the page to read, and the end of these values.
    at: usize,
    end: usize,
    width: usize,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    /// One value, so many times.
    Same { left: u64, value: u32 },
    /// So many values from this bit of the page on.
    Packed { left: u64, bit: usize },
}

impl Runs {
    /// Values of `width` bits (at most 32) in bytes `at..end` of a page.
    pub fn new(at: usize, end: usize, width: usize) -> Result<Self, String> {
        if width > 32 {
            return Err(format!("has values of {width} bits where at most 32 are allowed"));
        }
        Ok(Self { at, end, width, run: Run::Same { left: 0, value: 0 } })
    }

    /// The next value.
    pub fn next(&mut self, page: &[u8]) -> Result<u32, String> {
        loop {
            match &mut self.run {
                Run::Same { left, value } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Packed { left, bit } if *left > 0 => {
                    *left -= 1;
                    let value = read_bits(&page[..self.end], *bit, self.width)?;
                    *bit += self.width;
                    return Ok(value as u32);
                }
                _ => self.start_run(page)?,
            }
        }
    }

    fn start_run(&mut self, page: &[u8]) -> Result<(), String> {
        let bytes = page.get(self.at..self.end).filter(|bytes| !bytes.is_empty()).ok_or("has fewer values than it says")?;
        let (header, length) = varint(bytes)?;
        self.at += length;
        if header & 1 == 0 {
            let value_bytes = self.width.div_ceil(8);
            let bytes = page[..self.end].get(self.at..self.at + value_bytes).ok_or("ends within a run")?;
            let value = bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
            self.at += value_bytes;
            self.run = Run::Same { left: header >> 1, value };
        } else {
            let groups = header >> 1;
            // The last group may be cut short by writers that leave out its unused bytes.
            let bytes = usize::try_from(groups).ok().and_then(|groups| groups.checked_mul(self.width));
            let next = bytes.and_then(|bytes| self.at.checked_add(bytes)).map_or(self.end, |next| next.min(self.end));
            self.run = Run::Packed { left: groups.saturating_mul(8), bit: self.at * 8 };
            self.at = next;
        }
        Ok(())
    }
}

/// `DELTA_BINARY_PACKED`: integers as differences, bit-packed in blocks of mini-blocks.
#[derive(Debug, Clone)]
pub struct Deltas {
    at: usize,
    /// Values per mini-block, and mini-blocks per block.
    per_mini: usize,
    minis: usize,
    /// How many values there are, and how many are left.
    pub total: u64,
    left: u64,
    /// The value that comes next.
    value: i64,
    min_delta: i64,
    /// Where the bit widths of the block's mini-blocks stand.
    widths: usize,
    /// The mini-block at hand, the values left in it, where its next bit is and how many each value takes.
    mini: usize,
    left_in_mini: usize,
    bit: usize,
    width: usize,
}

impl Deltas {
    /// The values whose header stands at byte `at` of `page`.
    pub fn new(page: &[u8], mut at: usize) -> Result<Self, String> {
        let mut number = || {
            let (value, length) = varint(page.get(at..).unwrap_or_default())?;
            at += length;
            Ok::<u64, String>(value)
        };
        let (block, minis, total, first) = (number()?, number()?, number()?, zigzag(number()?));
        let per_mini = block.checked_div(minis).unwrap_or(0);
        if minis == 0 || minis > 4096 || block > 1 << 24 || block % minis != 0 || per_mini == 0 || per_mini % 8 != 0 {
            return Err(format!("has blocks of {block} differences in {minis} parts"));
        }
        Ok(Self {
            at,
            per_mini: per_mini as usize,
            minis: minis as usize,
            total,
            left: total,
            value: first,
            min_delta: 0,
            widths: 0,
            mini: minis as usize,
            left_in_mini: 0,
            bit: 0,
            width: 0,
        })
    }

    /// The next value.
    pub fn next(&mut self, page: &[u8]) -> Result<i64, String> {
        if self.left == 0 {
            return Err("has fewer values than it says".into());
        }
        self.left -= 1;
        let value = self.value;
        if self.left > 0 {
            if self.left_in_mini == 0 {
                self.start_mini(page)?;
            }
            let delta = read_bits(page, self.bit, self.width)?;
            self.bit += self.width;
            self.left_in_mini -= 1;
            self.value = value.wrapping_add(self.min_delta).wrapping_add(delta as i64);
        }
        Ok(value)
    }

    fn start_mini(&mut self, page: &[u8]) -> Result<(), String> {
        if self.mini == self.minis {
            let (min_delta, length) = varint(page.get(self.at..).unwrap_or_default())?;
            self.min_delta = zigzag(min_delta);
            self.widths = self.at + length;
            self.at = self.widths + self.minis;
            self.mini = 0;
        }
        self.width = usize::from(*page.get(self.widths + self.mini).ok_or("ends within differences")?);
        if self.width > 64 {
            return Err(format!("has differences of {} bits", self.width));
        }
        self.bit = self.at * 8;
        self.at += self.width * self.per_mini / 8;
        self.left_in_mini = self.per_mini;
        self.mini += 1;
        Ok(())
    }

    /// Byte behind the values: passes over those that are left.
    pub fn end(mut self, page: &[u8]) -> Result<usize, String> {
        while self.left > 0 {
            self.next(page)?;
        }
        if self.at > page.len() {
            return Err("ends within differences".into());
        }
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(varint(&[0xac, 0x02, 9]).unwrap(), (300, 2));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).unwrap(), (u64::MAX, 10));
        assert!(varint(&[0x80; 3]).is_err() && varint(&[0xff; 12]).is_err() && varint(&[]).is_err());
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
        assert_eq!(read_bits(&[0b1011_0100, 0b1], 2, 7).unwrap(), 0b110_1101);
        assert_eq!(read_bits(&[0xff; 9], 3, 64).unwrap(), u64::MAX);
        assert!(read_bits(&[0], 4, 5).is_err());
    }

    #[test]
    fn runs_and_packed_groups() {
        // The specification's example: 0 to 7 in 3 bits; then 4 times the value 5.
        let page = [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010, 0b1000, 5];
        let mut runs = Runs::new(0, page.len(), 3).unwrap();
        let values: Vec<u32> = (0..12).map(|_| runs.next(&page).unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 5, 5]);
        assert!(runs.next(&page).unwrap_err().contains("fewer values"));
        assert!(Runs::new(0, 9, 33).is_err());
        // A run of 2^63 values costs nothing; groups without end run into the end of the page.
        let page = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1];
        assert_eq!(Runs::new(0, page.len(), 1).unwrap().next(&page).unwrap(), 1);
        let page = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1];
        let mut runs = Runs::new(0, page.len(), 8).unwrap();
        assert_eq!(runs.next(&page).unwrap(), 1);
        assert!(runs.next(&page).is_err());
    }

    #[test]
    fn differences() {
        // The specification's second example, in one block of 128: 7, 5, 3, 1, 2, 3, 4, 5 as differences -2 -2 -2 1 1 1 1 above -2.
        let page = [&[0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0b1100_0000, 0b0011_1111][..], &[0; 6], &[9]].concat();
        let mut deltas = Deltas::new(&page, 0).unwrap();
        assert_eq!(deltas.total, 8);
        let values: Vec<i64> = (0..8).map(|_| deltas.next(&page).unwrap()).collect();
        assert_eq!(values, [7, 5, 3, 1, 2, 3, 4, 5]);
        assert!(deltas.next(&page).is_err());
        assert_eq!(Deltas::new(&page, 0).unwrap().end(&page).unwrap(), page.len() - 1);
        for bad in [&[0, 0, 8, 14][..], &[0x80, 1, 0, 8, 14], &[0x80, 1, 3, 8, 14], &[0x80, 1, 4, 8, 14, 3, 65, 0, 0, 0, 1], &page[..9]] {
            let result = Deltas::new(bad, 0).and_then(|deltas| deltas.end(bad));
            assert!(result.is_err(), "{bad:?}");
        }
    }
}
