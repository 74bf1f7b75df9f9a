//! A file's schema: which columns there are, what their values become, and how they nest.

use super::super::too_wide;
use super::thrift::Struct;

/// A field in a field in ...: more than any data set needs.
const MAX_DEPTH: usize = 32;

/// What a column's values are and what they become as JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// true or false.
    Bool,
    /// 32-bit integers, signed or not.
    Int32 { signed: bool },
    /// 64-bit integers, signed or not.
    Int64 { signed: bool },
    /// 32-bit floats; not a number and infinity become null.
    Float,
    /// 64-bit floats; the same.
    Double,
    /// UTF-8 text.
    Text,
    /// Decimal numbers with so many digits behind the point, in 32 or 64 bits, or in bytes whose number is fixed or stands before them; they become
    /// text, to lose no digit.
    Decimal { scale: usize, stored: Stored },
}

/// How the unscaled integer of a decimal number is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stored {
    /// As an integer of 32 bits.
    Int32,
    /// As an integer of 64 bits.
    Int64,
    /// In so many bytes, the highest first.
    Fixed(usize),
    /// In bytes whose number stands before them.
    Bytes,
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Names from the top, joined by points.
    pub path: String,
    /// Its place among the chunks of a row group.
    pub chunk: usize,
    /// What its values are.
    pub kind: Kind,
    /// The definition level of a value that is there.
    pub max_def: u32,
    /// The repetition level of a value that goes on with the innermost list.
    pub max_rep: u32,
}

/// How columns make up a field (the levels are Dremel's).
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The value of a column, by its place in [`Schema::columns`].
    Leaf(usize),
    /// An object.
    Object(Vec<(String, Node)>),
    /// Null where the definition level is below `def`.
    Optional { def: u32, inner: Box<Node> },
    /// Empty where the definition level is below `def`; goes on while the repetition level is at least `rep`.
    List { def: u32, rep: u32, element: Box<Node> },
}

impl Node {
    /// The first column below this node: its levels tell whether the node is there.
    pub fn first_column(&self) -> usize {
        match self {
            Self::Leaf(column) => *column,
            Self::Object(fields) => fields[0].1.first_column(),
            Self::Optional { inner, .. } => inner.first_column(),
            Self::List { element, .. } => element.first_column(),
        }
    }
}

/// The schema of a file.
#[derive(Debug, Default)]
pub struct Schema {
    /// The columns that are read.
    pub columns: Vec<Column>,
    /// The fields of a row, of which there is at least one where there is a column.
    pub root: Vec<(String, Node)>,
    /// Names and types of the columns that are not.
    pub unread: Vec<(String, String)>,
    /// Number of all columns.
    pub chunks: usize,
}

impl Schema {
    /// From the metadata's list of schema elements, the root first, each group before its members.
    pub fn new<'a, 'b: 'a>(elements: impl Iterator<Item = &'a Struct<'b>>) -> Result<Self, String> {
        let mut elements = elements;
        let mut schema = Self::default();
        let members = elements.next().and_then(|root| root.int(5)).ok_or("the metadata has no schema")?;
        too_wide(usize::try_from(members).unwrap_or(0))?;
        for _ in 0..members {
            let element = elements.next().ok_or("the schema ends too early")?;
            if let Some(field) = schema.field(element, &mut elements, Levels::default(), "", 0)? {
                schema.root.push(field);
            }
        }
        let mut names: Vec<&str> = schema.root.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("has two columns named `{}`", pair[0]));
        }
        Ok(schema)
    }

    /// The field of `element`, whose members follow in `elements`; `None` where nothing of it is read.
    fn field<'a, 'b: 'a>(
        &mut self,
        element: &Struct<'b>,
        elements: &mut dyn Iterator<Item = &'a Struct<'b>>,
        above: Levels,
        prefix: &str,
        depth: usize,
    ) -> Result<Option<(String, Node)>, String> {
        if depth > MAX_DEPTH {
            return Err("the schema is nested too deeply".into());
        }
        let name = element.text(4).ok_or("the schema has a field with no name")?;
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let repetition = element.int(3).unwrap_or(0);
        let levels = match repetition {
            0 => above,
            1 => Levels { def: above.def + 1, ..above },
            2 => Levels { def: above.def + 1, rep: above.rep + 1 },
            _ => return Err(format!("field `{path}` has the unknown repetition {repetition}")),
        };
        let node = match element.int(5) {
            None | Some(0) => self.leaf(element, path, levels),
            Some(members) if is_list(element) && repetition != 2 => self.list(members, elements, levels, &path, depth)?,
            Some(members) => self.object(members, elements, levels, &path, depth)?,
        };
        let node = node.map(|inner| match repetition {
            1 => Node::Optional { def: levels.def, inner: Box::new(inner) },
            2 => Node::List { def: levels.def, rep: levels.rep, element: Box::new(inner) },
            _ => inner,
        });
        Ok(node.map(|node| (name, node)))
    }

    fn object<'a, 'b: 'a>(
        &mut self,
        members: i64,
        elements: &mut dyn Iterator<Item = &'a Struct<'b>>,
        levels: Levels,
        path: &str,
        depth: usize,
    ) -> Result<Option<Node>, String> {
        let mut fields = Vec::new();
        too_wide(usize::try_from(members).unwrap_or(0))?;
        for _ in 0..members {
            let element = elements.next().ok_or("the schema ends too early")?;
            fields.extend(self.field(element, elements, levels, path, depth + 1)?);
        }
        Ok((!fields.is_empty()).then_some(Node::Object(fields)))
    }

    /// A list is a group around one repeated field: around a group of one element, or, as older writers have it, around the element itself
    /// (<https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#lists>).
    fn list<'a, 'b: 'a>(
        &mut self,
        members: i64,
        elements: &mut dyn Iterator<Item = &'a Struct<'b>>,
        levels: Levels,
        path: &str,
        depth: usize,
    ) -> Result<Option<Node>, String> {
        let repeated = elements.next().ok_or("the schema ends too early")?;
        if members != 1 || repeated.int(3) != Some(2) {
            return Err(format!("field `{path}` is called a list but isn't built as one"));
        }
        let inner = Levels { def: levels.def + 1, rep: levels.rep + 1 };
        let name = repeated.text(4).unwrap_or_default();
        let wraps = repeated.int(5) == Some(1) && name != "array" && !name.ends_with("_tuple");
        let element = if wraps {
            let element = elements.next().ok_or("the schema ends too early")?;
            self.field(element, elements, inner, path, depth + 1)?.map(|(_, node)| node)
        } else {
            match repeated.int(5) {
                None | Some(0) => self.leaf(repeated, path.to_owned(), inner),
                Some(members) => self.object(members, elements, inner, path, depth + 1)?,
            }
        };
        Ok(element.map(|element| Node::List { def: inner.def, rep: inner.rep, element: Box::new(element) }))
    }

    fn leaf(&mut self, element: &Struct<'_>, path: String, levels: Levels) -> Option<Node> {
        let chunk = self.chunks;
        self.chunks += 1;
        match kind(element) {
            Ok(kind) => {
                self.columns.push(Column { path, chunk, kind, max_def: levels.def, max_rep: levels.rep });
                Some(Node::Leaf(self.columns.len() - 1))
            }
            Err(unread) => {
                self.unread.push((path, unread));
                None
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Levels {
    def: u32,
    rep: u32,
}

fn is_list(element: &Struct<'_>) -> bool {
    element.int(6) == Some(3) || element.strukt(10).and_then(Struct::first) == Some(3)
}

/// What a column's values are. `Err` is the name of a type that isn't read.
fn kind(element: &Struct<'_>) -> Result<Kind, String> {
    const PHYSICAL: [&str; 8] = ["BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"];
    const CONVERTED: [&str; 22] = [
        "UTF8",
        "MAP",
        "MAP_KEY_VALUE",
        "LIST",
        "ENUM",
        "DECIMAL",
        "DATE",
        "TIME_MILLIS",
        "TIME_MICROS",
        "TIMESTAMP_MILLIS",
        "TIMESTAMP_MICROS",
        "UINT_8",
        "UINT_16",
        "UINT_32",
        "UINT_64",
        "INT_8",
        "INT_16",
        "INT_32",
        "INT_64",
        "JSON",
        "BSON",
        "INTERVAL",
    ];
    const LOGICAL: [&str; 17] = [
        "",
        "STRING",
        "MAP",
        "LIST",
        "ENUM",
        "DECIMAL",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "",
        "INTEGER",
        "UNKNOWN",
        "JSON",
        "BSON",
        "UUID",
        "FLOAT16",
        "VARIANT",
    ];
    let name = |names: &[&'static str], number: i64| usize::try_from(number).ok().and_then(|i| names.get(i)).copied().unwrap_or("unknown");
    let physical = name(&PHYSICAL, element.int(1).unwrap_or(-1));
    // The newer annotation says what the older one says, too; some writers have only one of them.
    let logical = element.strukt(10);
    let meaning = match (logical.and_then(Struct::first), element.int(6)) {
        (Some(kind), _) => name(&LOGICAL, i64::from(kind)),
        (None, Some(converted)) => name(&CONVERTED, converted),
        (None, None) => "",
    };
    let integer = logical.and_then(|logical| logical.strukt(10));
    let signed = match integer {
        Some(integer) => integer.bool(2).unwrap_or(true),
        None => !meaning.starts_with("UINT"),
    };
    let length = element.int(2).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let decimal = |stored: Stored| {
        let scale = logical.and_then(|logical| logical.strukt(5)).and_then(|decimal| decimal.int(1)).or(element.int(7)).unwrap_or(0);
        match usize::try_from(scale) {
            Ok(scale) if scale <= 38 => Ok(Kind::Decimal { scale, stored }),
            _ => Err(format!("DECIMAL with scale {scale}")),
        }
    };
    match (physical, meaning) {
        ("BOOLEAN", "") => Ok(Kind::Bool),
        ("INT32", "" | "INTEGER" | "INT_8" | "INT_16" | "INT_32" | "UINT_8" | "UINT_16" | "UINT_32" | "UNKNOWN") => {
            Ok(Kind::Int32 { signed })
        }
        ("INT64", "" | "INTEGER" | "INT_64" | "UINT_64") => Ok(Kind::Int64 { signed }),
        ("FLOAT", "") => Ok(Kind::Float),
        ("DOUBLE", "") => Ok(Kind::Double),
        ("BYTE_ARRAY", "STRING" | "UTF8" | "ENUM" | "JSON") => Ok(Kind::Text),
        ("INT32", "DECIMAL") => decimal(Stored::Int32),
        ("INT64", "DECIMAL") => decimal(Stored::Int64),
        ("BYTE_ARRAY", "DECIMAL") => decimal(Stored::Bytes),
        ("FIXED_LEN_BYTE_ARRAY", "DECIMAL") if (1..=16).contains(&length) => decimal(Stored::Fixed(length)),
        (physical, "") => Err(physical.to_owned()),
        (_, meaning) => Err(meaning.to_owned()),
    }
}
