//! Which modules of a model PEFT's options mean, and with which rank and alpha: names, ends of paths, paths and regular expressions, as PEFT reads them.

use fancy_regex::{Regex, RegexBuilder};

use super::{ALL_LINEAR, TargetModule};
use crate::models::BlockTensors;

/// Modules as PEFT's options name them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Modules {
    /// `"all-linear"`.
    All,
    /// A regular expression for the whole path.
    Pattern(String),
    /// Paths, or ends of paths behind a dot.
    Names(Vec<String>),
}

impl Modules {
    /// `text` alone is a regular expression, but for [`ALL_LINEAR`].
    pub fn of_text(text: &str) -> Self {
        if text.eq_ignore_ascii_case(ALL_LINEAR) { Self::All } else { Self::Pattern(text.to_owned()) }
    }
}

/// The options that choose modules.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Targets {
    pub target_modules: Modules,
    pub exclude_modules: Option<Modules>,
    /// Regular expressions for modules that are saved whole: never adapted.
    pub modules_to_save: Vec<String>,
    pub layers_to_transform: Option<Vec<usize>>,
    /// Regular expressions for the name of the list of layers.
    pub layers_pattern: Vec<String>,
}

/// The compiled form of [`Targets`].
pub(super) struct Matcher<'a> {
    targets: &'a Targets,
    target: Option<Regex>,
    exclude: Option<Regex>,
    saved: Vec<Regex>,
    layer: Vec<Regex>,
}

impl Targets {
    /// `Err` says which option has a regular expression that can't be read.
    pub fn matcher(&self) -> Result<Matcher<'_>, String> {
        let whole = |key: &str, modules: Option<&Modules>| match modules {
            Some(Modules::Pattern(pattern)) => compile(key, pattern, &format!("^(?:{pattern})$")).map(Some),
            _ => Ok(None),
        };
        let each = |key: &str, list: &[String], form: &dyn Fn(&str) -> String| -> Result<Vec<Regex>, String> {
            list.iter().map(|pattern| compile(key, pattern, &form(pattern))).collect()
        };
        Ok(Matcher {
            targets: self,
            target: whole("target_modules", Some(&self.target_modules))?,
            exclude: whole("exclude_modules", self.exclude_modules.as_ref())?,
            saved: each("modules_to_save", &self.modules_to_save, &|pattern| format!(r"^(^|.*\.){pattern}($|\..*)"))?,
            layer: each("layers_pattern", &self.layers_pattern, &|pattern| format!(r"^(?:|.*?\.){pattern}\.(?P<idx>\d+)\."))?,
        })
    }
}

impl Matcher<'_> {
    /// Whether the module at `path`, in the layer `layer`, is adapted.
    pub fn adapts(&self, path: &str, layer: usize) -> bool {
        let listed = |names: &[String]| names.iter().any(|name| ends_with(path, name));
        let excluded = match &self.targets.exclude_modules {
            Some(Modules::Names(names)) => listed(names),
            Some(Modules::Pattern(_)) => matches(self.exclude.as_ref(), path),
            Some(Modules::All) => true,
            None => false,
        };
        if excluded || self.saved.iter().any(|saved| matches(Some(saved), path)) {
            return false;
        }
        match &self.targets.target_modules {
            Modules::All => true,
            Modules::Pattern(_) => matches(self.target.as_ref(), path),
            // Whole paths are meant whatever the layers.
            Modules::Names(names) => names.iter().any(|name| name == path) || listed(names) && self.in_layers(path, layer),
        }
    }

    fn in_layers(&self, path: &str, layer: usize) -> bool {
        let Some(layers) = self.targets.layers_to_transform.as_ref().filter(|layers| !layers.is_empty()) else { return true };
        // Without a pattern PEFT wants something in front of the list of layers.
        let found = match self.layer.as_slice() {
            [] => (!path.starts_with("layers.")).then_some(layer),
            patterns => patterns.iter().find_map(|pattern| pattern.captures(path).ok()??.name("idx")?.as_str().parse().ok()),
        };
        found.is_some_and(|found| layers.contains(&found))
    }
}

/// Values for some modules: the first whose key is the end of a module's path counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patterns<T>(pub Vec<(String, T)>);

impl<T: Copy> Patterns<T> {
    /// The keys, compiled where they are regular expressions. `Err` says which can't be read.
    pub fn compiled(&self, option: &str) -> Result<Vec<(Key<'_>, T)>, String> {
        fn key<'a>(option: &str, pattern: &'a str) -> Result<Key<'a>, String> {
            // A dot stands for any character, but no module has another one there.
            match pattern.chars().all(|c| c.is_alphanumeric() || "_.".contains(c)) {
                true => Ok(Key::Name(pattern)),
                false => Ok(Key::Pattern(compile(option, pattern, &format!(r"^(.*\.)?({pattern})$"))?)),
            }
        }
        self.0.iter().map(|(pattern, value)| Ok((key(option, pattern)?, *value))).collect()
    }
}

/// A key of `rank_pattern` or `alpha_pattern`.
pub(super) enum Key<'a> {
    Name(&'a str),
    Pattern(Regex),
}

impl Key<'_> {
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Name(name) => ends_with(path, name),
            Self::Pattern(pattern) => matches(Some(pattern), path),
        }
    }
}

/// Whether `path` is `name`, or ends with it behind a dot.
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A search that takes too long finds nothing.
fn matches(pattern: Option<&Regex>, path: &str) -> bool {
    pattern.is_some_and(|pattern| pattern.is_match(path).unwrap_or(false))
}

fn compile(option: &str, shown: &str, pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).delegate_size_limit(1 << 20).backtrack_limit(100_000).build();
    built.map_err(|e| format!("{option}: {shown:?} can't be read as a regular expression ({})", e.to_string().replace('\n', " ")))
}

/// The path of a module of the layer `l`; `root` is what stands before `layers`.
pub(super) fn path(tensors: &BlockTensors, root: &str, l: usize, module: TargetModule) -> String {
    format!("{root}layers.{l}.{}", module.path(tensors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llama;

    fn targets(target_modules: Modules) -> Targets {
        Targets { target_modules, exclude_modules: None, modules_to_save: vec![], layers_to_transform: None, layers_pattern: vec![] }
    }

    fn names(list: &[&str]) -> Modules {
        Modules::Names(list.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The adapted modules of a model of three layers.
    fn adapted(targets: &Targets) -> Vec<String> {
        let matcher = targets.matcher().unwrap();
        let all = (0..3).flat_map(|l| TargetModule::ALL.map(|module| (l, path(&llama::TENSORS, "model.", l, module))));
        all.filter(|(l, path)| matcher.adapts(path, *l)).map(|(_, path)| path.replace("model.layers.", "").replace("_proj", "")).collect()
    }

    // What PEFT 0.21.2's check_target_module_exists says of the same options.
    #[test]
    fn modules_are_found_as_peft_finds_them() {
        assert_eq!(adapted(&targets(Modules::All)).len(), 21);
        assert_eq!(adapted(&targets(Modules::of_text("ALL-Linear"))).len(), 21);
        assert_eq!(adapted(&targets(names(&["q_proj"]))), ["0.self_attn.q", "1.self_attn.q", "2.self_attn.q"]);
        assert_eq!(adapted(&targets(names(&["self_attn.k_proj", "proj"]))), ["0.self_attn.k", "1.self_attn.k", "2.self_attn.k"]);
        assert_eq!(adapted(&targets(names(&["model.layers.1.mlp.up_proj", "layers.2.mlp.up_proj"]))), ["1.mlp.up", "2.mlp.up"]);
        let pattern = targets(Modules::of_text(r".*\.(?!0\.)\d\..*(q|gate)_proj"));
        assert_eq!(adapted(&pattern), ["1.self_attn.q", "1.mlp.gate", "2.self_attn.q", "2.mlp.gate"]);
        // The whole path has to match.
        assert!(adapted(&targets(Modules::of_text("q_proj"))).is_empty());

        let all = targets(names(&["q_proj", "v_proj"]));
        let excluded = |modules| Targets { exclude_modules: Some(modules), ..all.clone() };
        assert_eq!(adapted(&excluded(names(&["v_proj", "layers.1.self_attn.q_proj"]))), ["0.self_attn.q", "2.self_attn.q"]);
        assert_eq!(adapted(&excluded(Modules::of_text(".*[02].self.*"))), ["1.self_attn.q", "1.self_attn.v"]);
        let saved = Targets { modules_to_save: vec!["layers.0".into(), "lm_head".into()], ..all.clone() };
        assert_eq!(adapted(&saved).len(), 4);

        let layers = |pattern: &[&str]| Targets {
            layers_to_transform: Some(vec![0, 2]),
            layers_pattern: pattern.iter().map(|p| (*p).to_owned()).collect(),
            ..all.clone()
        };
        let expected = ["0.self_attn.q", "0.self_attn.v", "2.self_attn.q", "2.self_attn.v"];
        assert_eq!(adapted(&layers(&[])), expected);
        assert_eq!(adapted(&layers(&["h", "layers"])), expected);
        assert!(adapted(&layers(&["h"])).is_empty());
        // Paths are meant whatever the layers.
        let mut path = layers(&[]);
        path.target_modules = names(&["model.layers.1.self_attn.o_proj"]);
        assert_eq!(adapted(&path), ["1.self_attn.o"]);
    }

    #[test]
    fn the_first_key_that_matches_counts() {
        let patterns =
            Patterns(vec![("layers.1.self_attn.q_proj".to_owned(), 1), (r"self_attn\.[qk]_proj".to_owned(), 2), ("k_proj".to_owned(), 3)]);
        let keys = patterns.compiled("rank_pattern").unwrap();
        let of = |path: &str| keys.iter().find(|(key, _)| key.matches(path)).map(|(_, value)| *value);
        assert_eq!(of("model.layers.1.self_attn.q_proj"), Some(1));
        assert_eq!(of("model.layers.11.self_attn.q_proj"), Some(2));
        assert_eq!(of("model.layers.0.self_attn.k_proj"), Some(2));
        assert_eq!(of("model.layers.0.mlp.k_proj"), Some(3));
        assert_eq!(of("model.layers.0.mlp.up_proj"), None);
        let error = Patterns(vec![("(".to_owned(), 1)]).compiled("rank_pattern").err().unwrap();
        assert!(error.starts_with("rank_pattern: \"(\" can't be read as a regular expression") && !error.contains('\n'), "{error}");
    }
}
