//! What checks report to.

/// Where an option was given (`FILE:LINE`, `--set`); `None` where it has its default.
pub(in crate::config) type Locate<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The problems found so far, and where options were given.
pub(super) struct Report<'a> {
    /// Stands for the configuration where no option concerned was given.
    pub name: &'a str,
    /// Where each option was given.
    pub locate: Locate<'a>,
    /// Whether an override has set an option, or taken it back.
    pub overridden: &'a dyn Fn(&str) -> bool,
    /// One message each.
    pub problems: &'a mut Vec<String>,
}

impl Report<'_> {
    /// Whether `key` was given.
    pub fn given(&self, key: &str) -> bool {
        (self.locate)(key).is_some()
    }
    /// Whether `key` was given, and is meant to have an effect: not where it stands in the file and an override of one of `switches` has turned it off.
    pub fn wanted(&self, key: &str, switches: &[&str]) -> bool {
        let is_overridden = self.overridden;
        self.given(key) && (is_overridden(key) || !switches.iter().any(|switch| is_overridden(switch)))
    }
    /// Reports `message` at the first of `keys` that was given; the first of all is the one that it is about.
    pub fn add(&mut self, keys: &[&str], message: String) {
        let location = keys.iter().find_map(|key| (self.locate)(key)).unwrap_or_else(|| self.name.to_owned());
        self.problems.push(format!("{location}: {}: {message}", keys[0]));
    }
}
