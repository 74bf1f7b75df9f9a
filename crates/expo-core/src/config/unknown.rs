//! What a message says of sections and options that are not known: the nearest ones, and names of other libraries.

use super::option::{nearest, show};
use super::{OptionSpec, SectionSpec, foreign_names};

/// A key of a table that is not known: its location, its path and its value as it is shown.
pub(super) type UnknownKey = (String, String, String);

/// Every key of `table`, which stands at `path`, and of the tables within it.
pub(super) fn keys_within(path: &str, table: &toml::de::DeTable, value: &toml::Value, locate: &dyn Fn(usize) -> String) -> Vec<UnknownKey> {
    let mut keys = Vec::new();
    for (key, entry) in table {
        let (path, value) = (format!("{path}.{}", key.get_ref()), &value[key.get_ref().as_ref()]);
        match entry.get_ref().as_table() {
            Some(table) => keys.extend(keys_within(&path, table, value, locate)),
            None => keys.push((locate(key.span().start), path, show(value))),
        }
    }
    keys
}

/// What is wrong with a table that is not known: of each of its `keys`, where one of them is a name of another library or, unless the table's own name `is_near`
/// one that is known, of an option; else `unknown`.
pub(super) fn unknown_table(keys: &[UnknownKey], is_near: bool, sections: &[SectionSpec], unknown: impl Fn() -> String) -> Vec<String> {
    let foreign = |(_, path, value): &UnknownKey| foreign_names::option(path, Some(value));
    let own = |(_, path, _): &UnknownKey| own_option(path, sections);
    if !keys.iter().any(|key| foreign(key).is_some() || (!is_near && own(key).is_some())) {
        return vec![unknown()];
    }
    let each = keys.iter().map(|key| {
        let (location, path, _) = key;
        let known = foreign(key).or_else(|| own(key).map(|option| format!("did you mean {option}?")));
        format!("{location}: unknown key {path}; {}", known.unwrap_or_else(|| "nothing of this name is known".to_owned()))
    });
    each.collect()
}

/// The option whose name is the last part of `path`.
fn own_option(path: &str, sections: &[SectionSpec]) -> Option<String> {
    let name = path.rsplit('.').next()?;
    let (section, option) = all_options(sections).into_iter().find(|(_, option)| *option == name)?;
    Some(format!("{section}.{option}"))
}

pub(super) fn is_near_section(name: &str, sections: &[SectionSpec]) -> bool {
    nearest(name, sections.iter().map(|s| s.name)).is_some()
}

pub(super) fn unknown_section(name: &str, sections: &[SectionSpec]) -> String {
    match nearest(name, sections.iter().map(|s| s.name)) {
        Some(near) => format!("unknown section [{name}]; did you mean [{near}]?"),
        None => format!("unknown section [{name}]; the sections are {}", sections.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")),
    }
}

/// A key outside of any section, with its value, if it has one.
pub(super) fn unknown_key(name: &str, value: Option<&str>, sections: &[SectionSpec]) -> String {
    let full_names = all_options(sections);
    let own = own_option(name, sections).map(|option| format!("did you mean {option}?"));
    let near = match (own, foreign_names::option(name, value)) {
        (Some(own), Some(known)) => Some(format!("{own} {known}")),
        (own, known) => own.or(known),
    };
    let near = near.or_else(|| {
        let near = nearest(name, full_names.iter().map(|(_, option)| *option))?;
        full_names.iter().find(|(_, option)| *option == near).map(|(section, option)| format!("did you mean {section}.{option}?"))
    });
    match near {
        Some(near) => format!("unknown key {name} outside of any section; {near}"),
        None => format!("unknown key {name} outside of any section; options are written section.key"),
    }
}

/// `name`, to which `value` is given, is none of the `options` of `section` (a section's name, or the path of a table by name).
pub(super) fn unknown_option(section: &str, options: &[OptionSpec], name: &str, value: Option<&str>, sections: &[SectionSpec]) -> String {
    // An option of exactly this name elsewhere is likelier than a slip of the pen here.
    if let Some((other, _)) = all_options(sections).iter().find(|(_, option)| *option == name) {
        let known = foreign_names::option(name, value).map_or_else(String::new, |known| format!(" {known}"));
        return format!("unknown key {section}.{name}; did you mean {other}.{name}?{known}");
    }
    if let Some(known) = foreign_names::option(&format!("{section}.{name}"), value) {
        return format!("unknown key {section}.{name}; {known}");
    }
    match nearest(name, options.iter().map(|o| o.name)) {
        Some(near) => format!("unknown key {section}.{name}; did you mean {section}.{near}?"),
        None => {
            format!("unknown key {section}.{name}; [{section}] has {}", options.iter().map(|o| o.name).collect::<Vec<_>>().join(", "))
        }
    }
}

fn all_options(sections: &[SectionSpec]) -> Vec<(&'static str, &'static str)> {
    sections.iter().flat_map(|s| s.options.iter().map(|o| (s.name, o.name))).collect()
}
