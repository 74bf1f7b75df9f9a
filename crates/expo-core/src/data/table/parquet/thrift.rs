//! Thrift's compact protocol, in which Parquet writes its metadata
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// A structure in a structure in ...: more than any Parquet metadata needs.
const MAX_DEPTH: usize = 24;

/// A decoded value. What Parquet's metadata never reads (maps, doubles) is passed over and stands as `Other`.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer of any width, or an enumeration.
    Int(i64),
    /// Bytes or text.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Value<'a>>),
    /// A structure.
    Struct(Struct<'a>),
    /// Something that isn't used.
    Other,
}

/// The fields of a structure, by number.
#[derive(Debug, PartialEq, Default)]
pub struct Struct<'a>(Vec<(i16, Value<'a>)>);

impl<'a> Struct<'a> {
    fn get(&self, field: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, value)| value)
    }
    /// Field `field` as an integer.
    pub fn int(&self, field: i16) -> Option<i64> {
        match self.get(field) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }
    /// The same, which has to be there. Errors: it isn't, with its `name`.
    pub fn need(&self, field: i16, name: &str) -> Result<i64, String> {
        self.int(field).ok_or_else(|| format!("the metadata has no `{name}`"))
    }
    /// The same as a size or offset: not below 0.
    pub fn size(&self, field: i16, name: &str) -> Result<usize, String> {
        let value = self.need(field, name)?;
        usize::try_from(value).map_err(|_| format!("`{name}` is {value}"))
    }
    /// Field `field` as a boolean.
    pub fn bool(&self, field: i16) -> Option<bool> {
        match self.get(field) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }
    /// Field `field` as text (bytes that aren't UTF-8 replaced).
    pub fn text(&self, field: i16) -> Option<String> {
        match self.get(field) {
            Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
    /// The structures of the list `field`; none where it is absent.
    pub fn structs(&self, field: i16) -> impl Iterator<Item = &Struct<'a>> {
        let list = match self.get(field) {
            Some(Value::List(list)) => list.as_slice(),
            _ => &[],
        };
        list.iter().filter_map(|value| match value {
            Value::Struct(fields) => Some(fields),
            _ => None,
        })
    }
    /// Field `field` as a structure.
    pub fn strukt(&self, field: i16) -> Option<&Struct<'a>> {
        match self.get(field) {
            Some(Value::Struct(fields)) => Some(fields),
            _ => None,
        }
    }
    /// Number of the first field: the kind of a union.
    pub fn first(&self) -> Option<i16> {
        self.0.first().map(|(number, _)| *number)
    }
}

/// Reads one structure from the start of `bytes`; also how many bytes it took.
pub fn read_struct(bytes: &[u8]) -> Result<(Struct<'_>, usize), String> {
    let mut reader = Reader { bytes, at: 0 };
    let fields = reader.strukt(0)?;
    Ok((fields, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the metadata ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }
    fn varint(&mut self) -> Result<u64, String> {
        let (value, length) = super::bits::varint(&self.bytes[self.at..])?;
        self.at += length;
        Ok(value)
    }
    fn zigzag(&mut self) -> Result<i64, String> {
        Ok(super::bits::zigzag(self.varint()?))
    }
    fn length(&mut self) -> Result<usize, String> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| format!("the metadata has a length of {length}"))
    }

    fn strukt(&mut self, depth: usize) -> Result<Struct<'a>, String> {
        if depth > MAX_DEPTH {
            return Err("the metadata is nested too deeply".into());
        }
        let mut fields = Vec::new();
        let mut number = 0i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(Struct(fields));
            }
            number = match header >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| "the metadata has a field with no valid number")?,
                delta => number.checked_add(i16::from(delta)).ok_or("the metadata has a field with no valid number")?,
            };
            let value = match header & 15 {
                1 => Value::Bool(true),
                2 => Value::Bool(false),
                kind => self.value(kind, depth)?,
            };
            fields.push((number, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value<'a>, String> {
        Ok(match kind {
            // In a list a boolean is a byte.
            1 | 2 => Value::Bool(self.byte()? == 1),
            3 => Value::Int(i64::from(self.byte()? as i8)),
            4..=6 => Value::Int(self.zigzag()?),
            7 => {
                self.take(8)?;
                Value::Other
            }
            8 => {
                let length = self.length()?;
                Value::Bytes(self.take(length)?)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.length()? } else { usize::from(header >> 4) };
                if depth > MAX_DEPTH {
                    return Err("the metadata is nested too deeply".into());
                }
                // Every element takes a byte at least: a false count runs into the end, not into memory.
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(header & 15, depth + 1)?);
                }
                Value::List(list)
            }
            11 => {
                let count = self.length()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                if depth > MAX_DEPTH {
                    return Err("the metadata is nested too deeply".into());
                }
                for _ in 0..count {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 15, depth + 1)?;
                }
                Value::Other
            }
            12 => Value::Struct(self.strukt(depth + 1)?),
            13 => {
                self.take(16)?;
                Value::Other
            }
            _ => return Err(format!("the metadata has a value of the unknown kind {kind}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind() {
        // 1: i32 = 150; 2: bool true; 4: "ab"; 5: [1, -1] of i32; 6: {1: false}; 300: i64 = -3 (long form); end.
        let bytes = [0x15, 0xac, 0x02, 0x11, 0x28, 2, b'a', b'b', 0x19, 0x25, 2, 1, 0x1c, 0x12, 0x00, 0x06, 0xd8, 0x04, 0x05, 0x00, 0xff];
        let (fields, length) = read_struct(&bytes).unwrap();
        assert_eq!(length, bytes.len() - 1);
        assert_eq!((fields.int(1), fields.bool(2), fields.text(4), fields.int(300)), (Some(150), Some(true), Some("ab".into()), Some(-3)));
        assert_eq!(fields.get(5), Some(&Value::List(vec![Value::Int(1), Value::Int(-1)])));
        assert_eq!(fields.strukt(6).and_then(Struct::first), Some(1));
        assert!(fields.need(7, "num_rows").unwrap_err().contains("num_rows"));
    }

    #[test]
    fn false_lengths_and_depths_are_errors() {
        // A text of 2^60 bytes, a list of as many, structures without end, a map without end.
        let long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        let text = [&[0x18], &long[..]].concat();
        let list = [&[0x19, 0xf5], &long[..]].concat();
        let map = [&[0x1b], &long[..], &[0x55]].concat();
        for bytes in [&text[..], &list, &map, &[0x1c; 4000], &[0x19; 4000], &[0x1e]] {
            assert!(read_struct(bytes).is_err());
        }
    }
}
