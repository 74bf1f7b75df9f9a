//! As much of Thrift's compact protocol as shows the sizes in Parquet's metadata before the `parquet` crate believes them
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// A structure in a structure in ...: more than any Parquet metadata needs.
const MAX_DEPTH: usize = 24;

/// Reads structures; what isn't asked for is passed over.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// How far it has come.
    pub at: usize,
}

/// A field's value, still to be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// In the field's head.
    Bool(bool),
    Byte,
    Int,
    Double,
    Bytes,
    List,
    Map,
    Struct,
}

impl<'a> Reader<'a> {
    /// From the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads a structure: `field` is given each field's number and kind, and says whether it has read the value.
    pub fn strukt(&mut self, field: &mut dyn FnMut(&mut Self, i64, Kind) -> Result<bool, String>) -> Result<(), String> {
        self.strukt_at(0, field)
    }

    fn strukt_at(&mut self, depth: usize, field: &mut dyn FnMut(&mut Self, i64, Kind) -> Result<bool, String>) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("has metadata that is nested too deeply".into());
        }
        let mut number = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            number = match head >> 4 {
                0 => self.int()?,
                step => number + i64::from(step),
            };
            let kind = kind(head & 15)?;
            if !field(self, number, kind)? {
                self.pass(kind, depth)?;
            }
        }
    }

    fn pass(&mut self, kind: Kind, depth: usize) -> Result<(), String> {
        match kind {
            Kind::Bool(_) => Ok(()),
            Kind::Byte => self.skip(1),
            Kind::Int => self.int().map(drop),
            Kind::Double => self.skip(8),
            Kind::Bytes => {
                let length = self.varint()?;
                self.skip(length)
            }
            Kind::Struct => self.strukt_at(depth + 1, &mut |_, _, _| Ok(false)),
            Kind::List => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.pass_item(kind, depth))
            }
            Kind::Map => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { return Ok(()) };
                let (key, value) = (self::kind(kinds >> 4)?, self::kind(kinds & 15)?);
                (0..count).try_for_each(|_| self.pass_item(key, depth).and_then(|()| self.pass_item(value, depth)))
            }
        }
    }

    /// In lists and maps a boolean is a byte.
    fn pass_item(&mut self, kind: Kind, depth: usize) -> Result<(), String> {
        match kind {
            Kind::Bool(_) => self.skip(1),
            // A list of lists has no structure around each.
            Kind::List | Kind::Map if depth > MAX_DEPTH => Err("has metadata that is nested too deeply".into()),
            kind => self.pass(kind, depth + 1),
        }
    }

    /// The head of a list: how many items of which kind. Every item takes a byte at least.
    pub fn list(&mut self) -> Result<(usize, Kind), String> {
        let head = self.byte()?;
        let count = match usize::from(head >> 4) {
            15 => self.varint()?,
            count => count,
        };
        if count > self.bytes.len() - self.at {
            return Err(format!("has metadata with a list of {count} items, more than there are bytes"));
        }
        // Some writers give an empty list no kind.
        Ok((count, if count == 0 { Kind::Byte } else { kind(head & 15)? }))
    }

    /// An integer of any width, or an enumeration.
    pub fn int(&mut self) -> Result<i64, String> {
        let value = self.varint()? as u64;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint(&mut self) -> Result<usize, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err("has metadata with a number of more than 64 bits".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).ok_or("has metadata that ends too early")?;
        self.at += 1;
        Ok(*byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len()).ok_or("has metadata that ends too early")?;
        Ok(())
    }
}

fn kind(number: u8) -> Result<Kind, String> {
    Ok(match number {
        1 => Kind::Bool(true),
        2 => Kind::Bool(false),
        3 => Kind::Byte,
        4..=6 => Kind::Int,
        7 => Kind::Double,
        8 => Kind::Bytes,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        _ => return Err(format!("has metadata with the unknown kind {number}")),
    })
}
