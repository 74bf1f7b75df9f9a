//! What an option is: its name, type, default, range and documentation, stated once and used for reading, checking and the docs.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

/// The allowed range of a numeric option; `None` on a side that is open.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds {
    /// Lower bound, and whether it is itself allowed.
    pub min: Option<(f64, bool)>,
    /// Upper bound, and whether it is itself allowed.
    pub max: Option<(f64, bool)>,
}

impl Bounds {
    /// From any Rust range of numbers.
    pub fn of<T: Copy + Into<f64>>(range: impl RangeBounds<T>) -> Self {
        let side = |bound: Bound<&T>| match bound {
            Bound::Included(&v) => Some((v.into(), true)),
            Bound::Excluded(&v) => Some((v.into(), false)),
            Bound::Unbounded => None,
        };
        Self { min: side(range.start_bound()), max: side(range.end_bound()) }
    }

    /// Numbers above 0, 0 itself not allowed.
    pub fn positive() -> Self {
        Self { min: Some((0.0, false)), max: None }
    }

    /// Whether `value` is a finite number within the bounds.
    pub fn contain(&self, value: f64) -> bool {
        let above = self.min.is_none_or(|(min, inclusive)| value > min || (inclusive && value == min));
        let below = self.max.is_none_or(|(max, inclusive)| value < max || (inclusive && value == max));
        value.is_finite() && above && below
    }

    /// In words ("at least 1", "above 0 and at most 1"); empty when open on both sides.
    pub fn describe(&self) -> String {
        let min = self.min.map(|(v, inclusive)| format!("{} {v}", if inclusive { "at least" } else { "above" }));
        let max = self.max.map(|(v, inclusive)| format!("{} {v}", if inclusive { "at most" } else { "below" }));
        [min, max].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl<T: Copy + Into<f64>> From<std::ops::RangeFrom<T>> for Bounds {
    fn from(range: std::ops::RangeFrom<T>) -> Self {
        Self::of(range)
    }
}

impl<T: Copy + Into<f64>> From<std::ops::RangeInclusive<T>> for Bounds {
    fn from(range: std::ops::RangeInclusive<T>) -> Self {
        Self::of(range)
    }
}

impl<T: Copy + Into<f64>> From<std::ops::Range<T>> for Bounds {
    fn from(range: std::ops::Range<T>) -> Self {
        Self::of(range)
    }
}

/// One option of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// Key within its section.
    pub name: &'static str,
    /// One or two lines of documentation (Markdown).
    pub doc: &'static str,
    /// Type in words.
    pub type_name: &'static str,
    /// For an enumeration: every value with its documentation.
    pub choices: &'static [(&'static str, &'static str)],
    /// Default as written in TOML; "unset" when there is none.
    pub default: String,
    /// Allowed range of a number.
    pub bounds: Bounds,
    /// For tables by name (`[section.option.NAME]`): what each of them holds.
    pub tables: Option<TableSpec>,
}

/// Documentation and options of tables that the user names.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// What such a table is for.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionSpec>,
}

/// A type that an option can have.
pub trait OptionValue: Sized {
    /// The type in words, as in "expected ...".
    const TYPE_NAME: &'static str;
    /// For an enumeration: every value with its documentation.
    const CHOICES: &'static [(&'static str, &'static str)] = &[];
    /// Reads a TOML value. `Err` says what was expected (the caller adds what was found).
    fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String>;
    /// The value as written in TOML.
    fn show(&self) -> String;
    /// For tables by name: what each of them holds.
    fn tables() -> Option<TableSpec> {
        None
    }
    /// Takes `value`; `within` is `NAME.KEY` where the option holds tables by name, and nothing otherwise. `Err` as for [`OptionValue::read`].
    fn assign(&mut self, within: Option<&str>, value: &toml::Value, bounds: &Bounds) -> Result<(), String> {
        assert!(within.is_none(), "{within:?} within an option that holds no tables");
        *self = Self::read(value, bounds)?;
        Ok(())
    }
}

/// What a numeric option expects, for error messages.
fn expected(type_name: &str, bounds: &Bounds) -> String {
    let range = bounds.describe();
    if range.is_empty() { type_name.to_owned() } else { format!("{type_name} {range}") }
}

macro_rules! integer_option {
    ($($ty:ty),+) => {$(
        impl OptionValue for $ty {
            const TYPE_NAME: &'static str = "a whole number";
            fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
                let fail = || if bounds.min.is_none() { expected("a whole number at least 0", bounds) } else { expected(Self::TYPE_NAME, bounds) };
                let number = value.as_integer().ok_or_else(fail)?;
                let number = <$ty>::try_from(number).map_err(|_| fail())?;
                if bounds.contain(number as f64) { Ok(number) } else { Err(fail()) }
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
integer_option!(usize, u64, u32);

impl OptionValue for f64 {
    const TYPE_NAME: &'static str = "a number";
    fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
        let fail = || expected(Self::TYPE_NAME, bounds);
        let number = value.as_float().or_else(|| value.as_integer().map(|v| v as f64)).ok_or_else(fail)?;
        if bounds.contain(number) { Ok(number) } else { Err(fail()) }
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl OptionValue for bool {
    const TYPE_NAME: &'static str = "true or false";
    fn read(value: &toml::Value, _: &Bounds) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| Self::TYPE_NAME.to_owned())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for String {
    const TYPE_NAME: &'static str = "a string";
    fn read(value: &toml::Value, _: &Bounds) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| "a string in quotes".to_owned())
    }
    fn show(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const TYPE_NAME: &'static str = T::TYPE_NAME;
    const CHOICES: &'static [(&'static str, &'static str)] = T::CHOICES;
    fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
        T::read(value, bounds).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".to_owned(), T::show)
    }
}

macro_rules! list_option {
    ($($ty:ty, $name:literal);+) => {$(
        impl OptionValue for Vec<$ty> {
            const TYPE_NAME: &'static str = $name;
            fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
                let items = value.as_array().ok_or_else(|| Self::TYPE_NAME.to_owned())?;
                let read = |item| <$ty>::read(item, bounds).map_err(|each| format!("{}, each {each}", Self::TYPE_NAME));
                items.iter().map(read).collect()
            }
            fn show(&self) -> String {
                format!("[{}]", self.iter().map(OptionValue::show).collect::<Vec<_>>().join(", "))
            }
        }
    )+};
}
list_option!(u32, "a list of whole numbers"; f64, "a list of numbers"; String, "a list of strings");

/// One name, or several as a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OneOrMore(pub Vec<String>);

impl OneOrMore {
    /// Its type in words.
    pub const TYPE_NAME: &'static str = "a string or a list of strings";
}

impl From<&str> for OneOrMore {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl From<String> for OneOrMore {
    fn from(name: String) -> Self {
        Self(vec![name])
    }
}

impl std::fmt::Display for OneOrMore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl serde::Serialize for OneOrMore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl OptionValue for OneOrMore {
    const TYPE_NAME: &'static str = OneOrMore::TYPE_NAME;
    fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
        let read = match value {
            toml::Value::Array(_) => Vec::read(value, bounds).map(Self),
            one => String::read(one, bounds).map(Self::from),
        };
        read.map_err(|_| Self::TYPE_NAME.to_owned())
    }
    fn show(&self) -> String {
        match self.0.as_slice() {
            [one] => one.show(),
            several => several.to_vec().show(),
        }
    }
}

/// Variables for a chat template: a table of any values.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Variables(pub serde_json::Map<String, serde_json::Value>);

impl OptionValue for Variables {
    const TYPE_NAME: &'static str = "a table of variables";
    fn read(value: &toml::Value, _: &Bounds) -> Result<Self, String> {
        let json = value.as_table().and_then(|table| serde_json::to_value(table).ok());
        let Some(serde_json::Value::Object(variables)) = json else {
            return Err("a table of variables, such as { enable_thinking = false }".to_owned());
        };
        match expo_lm::chat::taken_variable(&variables) {
            Some(name) => Err(format!("a table of variables without `{name}`, which the chat template is given anyway")),
            None => Ok(Self(variables)),
        }
    }
    fn show(&self) -> String {
        toml::Value::try_from(&self.0).map_or_else(|_| "{}".to_owned(), |value| value.to_string())
    }
}

/// Tables by name: `[section.option.NAME]`, each with the options of `T`.
impl<T: Section + serde::Serialize> OptionValue for BTreeMap<String, T> {
    const TYPE_NAME: &'static str = "tables by name";
    fn read(_: &toml::Value, _: &Bounds) -> Result<Self, String> {
        // Tables are taken apart before: what comes here is something else.
        Err(Self::TYPE_NAME.to_owned())
    }
    fn show(&self) -> String {
        let shown = (!self.is_empty()).then(|| toml::Value::try_from(self).ok()).flatten();
        shown.map_or_else(|| "unset".to_owned(), |value| value.to_string())
    }
    fn tables() -> Option<TableSpec> {
        Some(TableSpec { doc: T::DOC.trim(), options: T::options() })
    }
    fn assign(&mut self, within: Option<&str>, value: &toml::Value, _: &Bounds) -> Result<(), String> {
        let (name, key) = within.and_then(|path| path.split_once('.')).ok_or_else(|| Self::TYPE_NAME.to_owned())?;
        self.entry(name.to_owned()).or_default().set(key, value)
    }
}

/// A section of the configuration file: a struct whose fields are options.
pub trait Section: Default {
    /// Documentation of the section.
    const DOC: &'static str;
    /// Its options in order.
    fn options() -> Vec<OptionSpec>;
    /// Sets the option `name` (`option.NAME.KEY` within tables by name). `Err` says what was expected. Panics on a name that
    /// [`Section::options`] doesn't list.
    fn set(&mut self, name: &str, value: &toml::Value) -> Result<(), String>;
}

/// Defines a section: each option's documentation, type, default and range stand in one place.
macro_rules! section {
    (@bounds) => { Bounds::default() };
    (@bounds $range:expr) => { Bounds::from($range) };
    (
        $(#[doc = $section_doc:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident : $ty:ty = $default:expr $(, in $range:expr)? ; )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $ty, )+
        }
        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }
        impl Section for $name {
            const DOC: &'static str = concat!($($section_doc),+);
            fn options() -> Vec<OptionSpec> {
                let default = Self::default();
                vec![$( OptionSpec {
                    name: stringify!($field),
                    doc: concat!($($doc),+),
                    type_name: <$ty as OptionValue>::TYPE_NAME,
                    choices: <$ty as OptionValue>::CHOICES,
                    default: default.$field.show(),
                    bounds: section!(@bounds $($range)?),
                    tables: <$ty as OptionValue>::tables(),
                }, )+]
            }
            fn set(&mut self, name: &str, value: &toml::Value) -> Result<(), String> {
                let (option, within) = name.split_once('.').map_or((name, None), |(option, within)| (option, Some(within)));
                match option {
                    $( stringify!($field) => self.$field.assign(within, value, &section!(@bounds $($range)?))?, )+
                    _ => unreachable!("{name} is not an option of {}", stringify!($name)),
                }
                Ok(())
            }
        }
    };
}

/// Defines an enumeration option: each value's spelling in the file and its documentation stand in one place.
macro_rules! choice {
    (
        $(#[doc = $enum_doc:literal])+
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $text:literal ),+ $(,)? }
    ) => {
        $(#[doc = $enum_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }
        impl $name {
            /// The value as written in the file.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl OptionValue for $name {
            const TYPE_NAME: &'static str = "one of";
            const CHOICES: &'static [(&'static str, &'static str)] = &[$( ($text, concat!($($doc),+)) ),+];
            fn read(value: &toml::Value, _: &Bounds) -> Result<Self, String> {
                match value.as_str() {
                    $( Some($text) => Ok(Self::$variant), )+
                    found => Err(super::super::option::expected_choice(Self::CHOICES, found)),
                }
            }
            fn show(&self) -> String {
                format!("\"{self}\"")
            }
        }
    };
}
pub(super) use {choice, section};

/// "one of "a", "b" (did you mean "a"?)": what an enumeration expects.
pub(super) fn expected_choice(choices: &[(&str, &str)], found: Option<&str>) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let hint = found
        .and_then(|found| nearest(&found.to_lowercase(), choices.iter().map(|(name, _)| *name)))
        .map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
    format!("one of {}{hint}", names.join(", "))
}

/// The candidate most like `name`, if one is alike enough to be a slip of the pen. What is much longer than any name is none, and would take long to compare.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .filter(|candidate| name.len() <= 4 * candidate.len())
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// A value for a message: as written in TOML, on one line and not too long.
pub(super) fn show(value: &toml::Value) -> String {
    let text = match value {
        toml::Value::Table(_) => "a table".to_owned(),
        other => other.to_string().replace('\n', " "),
    };
    if text.chars().count() > 60 { text.chars().take(57).chain("...".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_a_slip_of_the_pen_is_near() {
        let near = |name: &str| nearest(name, ["steps", "learning_rate"].into_iter());
        assert_eq!((near("lerning_rate"), near("x")), (Some("learning_rate"), None));
        // Found by crates/fuzz: 14 seconds of comparing.
        assert_eq!(near(&"learning_rate".repeat(20_000)), None);
    }
}
