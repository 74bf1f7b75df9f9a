//! A file's schema: how its columns nest, and what their values become.

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, Type};

/// How columns make up a field (the levels are Dremel's).
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The value of a column, by its place in the file.
    Leaf(usize),
    /// An object.
    Object(Vec<(String, Node)>),
    /// Null where the definition level is below `def`.
    Optional { def: i16, inner: Box<Node> },
    /// Empty where the definition level is below `def`; goes on while the repetition level is at least `rep`.
    List { def: i16, rep: i16, element: Box<Node> },
    /// A list of objects of a key and a value, which becomes an object.
    Map(Box<Node>),
}

impl Node {
    /// The first column below this node: its levels tell whether the node is there.
    pub fn first_column(&self) -> usize {
        match self {
            Self::Leaf(column) => *column,
            Self::Object(fields) => fields[0].1.first_column(),
            Self::Optional { inner, .. } => inner.first_column(),
            Self::List { element, .. } => element.first_column(),
            Self::Map(list) => list.first_column(),
        }
    }
}

/// The levels above a field.
#[derive(Clone, Copy, Default)]
struct Levels {
    def: i16,
    rep: i16,
}

/// The fields of a row. Errors: two of one name, a group without members, a list that isn't built as one.
pub fn fields(root: &Type) -> Result<Vec<(String, Node)>, String> {
    let mut next = 0;
    let fields = root.get_fields().iter().map(|field| self::field(field, Levels::default(), &mut next)).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("has two columns named `{}`", pair[0])),
        None => Ok(fields),
    }
}

/// The field `kind`; columns are counted by `next`.
fn field(kind: &Type, above: Levels, next: &mut usize) -> Result<(String, Node), String> {
    let info = kind.get_basic_info();
    let repetition = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
    let levels = match repetition {
        Repetition::REQUIRED => above,
        Repetition::OPTIONAL => Levels { def: above.def + 1, ..above },
        Repetition::REPEATED => Levels { def: above.def + 1, rep: above.rep + 1 },
    };
    let inner = if repetition == Repetition::REPEATED { element(kind, levels, next)? } else { content(kind, levels, next)? };
    let node = match repetition {
        Repetition::REQUIRED => inner,
        Repetition::OPTIONAL => Node::Optional { def: levels.def, inner: Box::new(inner) },
        Repetition::REPEATED => Node::List { def: levels.def, rep: levels.rep, element: Box::new(inner) },
    };
    Ok((kind.name().to_owned(), node))
}

/// What a field holds that is there.
fn content(kind: &Type, levels: Levels, next: &mut usize) -> Result<Node, String> {
    match kind.get_basic_info().converted_type() {
        _ if kind.is_primitive() => element(kind, levels, next),
        ConvertedType::LIST => list(kind, levels, next),
        ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => Ok(Node::Map(Box::new(list(kind, levels, next)?))),
        _ => element(kind, levels, next),
    }
}

/// A column, or an object of the members of a group.
fn element(kind: &Type, levels: Levels, next: &mut usize) -> Result<Node, String> {
    if kind.is_primitive() {
        *next += 1;
        return Ok(Node::Leaf(*next - 1));
    }
    let members = kind.get_fields().iter().map(|member| field(member, levels, next)).collect::<Result<Vec<_>, _>>()?;
    if members.is_empty() { Err(format!("has the group `{}` without members", kind.name())) } else { Ok(Node::Object(members)) }
}

/// A list is a group around one repeated field: around a group of one element, or, as older writers have it, around the element itself; of a map it
/// is around a group of key and value (<https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#nested-types>).
fn list(kind: &Type, levels: Levels, next: &mut usize) -> Result<Node, String> {
    let repeated = match kind.get_fields() {
        [only] if only.get_basic_info().has_repetition() && only.get_basic_info().repetition() == Repetition::REPEATED => only,
        _ => return Err(format!("has the field `{}`, which is called a list or map but isn't built as one", kind.name())),
    };
    let levels = Levels { def: levels.def + 1, rep: levels.rep + 1 };
    let is_map = kind.get_basic_info().converted_type() != ConvertedType::LIST;
    let wraps = !is_map
        && repeated.is_group()
        && repeated.get_fields().len() == 1
        && repeated.name() != "array"
        && !repeated.name().ends_with("_tuple");
    let element = if wraps { field(&repeated.get_fields()[0], levels, next)?.1 } else { content(repeated, levels, next)? };
    Ok(Node::List { def: levels.def, rep: levels.rep, element: Box::new(element) })
}

/// What a column's values become as JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Booleans, numbers, and bytes that are text if they are UTF-8.
    Plain,
    /// Integers without sign.
    Unsigned,
    /// Text with so many digits behind the point, to lose no digit.
    Decimal(i32),
    /// Days since 1970.
    Date,
    /// So many to a second since midnight.
    Time(i64),
    /// So many to a second since 1970; whether in UTC.
    Timestamp(i64, bool),
    /// 16 bytes.
    Uuid,
    /// A float of 16 bits.
    Half,
    /// Has no JSON form.
    None(String),
}

impl Meaning {
    /// Of a column.
    pub fn new(column: &ColumnDescriptor) -> Self {
        let scale = column.type_scale();
        let per_second = |unit: &TimeUnit| match unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        };
        // The newer annotation says what the older one says, too; some writers have only one of them.
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Self::Unsigned,
            (Some(LogicalType::Decimal(kind)), _) => Self::Decimal(kind.scale),
            (Some(LogicalType::Date), _) => Self::Date,
            (Some(LogicalType::Time(kind)), _) => Self::Time(per_second(&kind.unit)),
            (Some(LogicalType::Timestamp(kind)), _) => Self::Timestamp(per_second(&kind.unit), kind.is_adjusted_to_u_t_c),
            (Some(LogicalType::Uuid), _) => Self::Uuid,
            (Some(LogicalType::Float16), _) => Self::Half,
            (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json | LogicalType::Integer(_) | LogicalType::Unknown), _) => {
                Self::Plain
            }
            (Some(other), _) => Self::None(format!("{other:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_uppercase()),
            (None, ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64) => Self::Unsigned,
            (None, ConvertedType::DECIMAL) => Self::Decimal(scale),
            (None, ConvertedType::DATE) => Self::Date,
            (None, ConvertedType::TIME_MILLIS) => Self::Time(1_000),
            (None, ConvertedType::TIME_MICROS) => Self::Time(1_000_000),
            (None, ConvertedType::TIMESTAMP_MILLIS) => Self::Timestamp(1_000, true),
            (None, ConvertedType::TIMESTAMP_MICROS) => Self::Timestamp(1_000_000, true),
            (None, ConvertedType::BSON) => Self::None("BSON".into()),
            (None, ConvertedType::INTERVAL) => Self::None("INTERVAL".into()),
            (None, _) if column.physical_type() == Physical::INT96 => Self::Timestamp(1_000_000_000, false),
            (None, _) => Self::Plain,
        }
    }
}
