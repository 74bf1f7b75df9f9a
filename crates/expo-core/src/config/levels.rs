//! Levels of problems as an option: numbers, or words in the order of difficulty.

use super::option::{Bounds, OptionValue};

/// Levels by their numbers, or by words, all that there are, the easiest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Levels {
    /// Those that are kept; of words their places from 1. Empty: all.
    numbers: Vec<u32>,
    /// All words that are known.
    words: Vec<String>,
}

impl Levels {
    /// Whether levels are words.
    pub fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// The number of the level `word`, whose case doesn't matter; `None` where it isn't known.
    pub fn number(&self, word: &str) -> Option<u32> {
        let place = self.words.iter().position(|known| known.trim().eq_ignore_ascii_case(word.trim()))?;
        u32::try_from(place + 1).ok()
    }

    /// What the level `number` is called.
    pub fn name(&self, number: u32) -> String {
        let word = number.checked_sub(1).and_then(|place| self.words.get(place as usize));
        word.cloned().unwrap_or_else(|| number.to_string())
    }

    /// The word that is there twice.
    pub fn twice(&self) -> Option<&String> {
        let mut words = self.words.iter().enumerate();
        words.find(|(place, word)| self.number(word) != u32::try_from(place + 1).ok()).map(|(_, word)| word)
    }

    /// These levels where `all` says what the words mean: a word of both is the same level.
    pub fn within(&self, all: &Levels) -> Levels {
        if !all.has_words() {
            return self.clone();
        }
        let mut both = Levels { numbers: Vec::new(), words: all.words.clone() };
        both.words.extend(self.words.iter().filter(|word| all.number(word).is_none()).cloned());
        both.numbers =
            if self.has_words() { self.words.iter().filter_map(|word| both.number(word)).collect() } else { self.numbers.clone() };
        both
    }
}

impl std::ops::Deref for Levels {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.numbers
    }
}

impl From<Vec<u32>> for Levels {
    fn from(numbers: Vec<u32>) -> Self {
        Self { numbers, words: Vec::new() }
    }
}

impl From<Vec<String>> for Levels {
    fn from(words: Vec<String>) -> Self {
        Self { numbers: (1..=words.len() as u32).collect(), words }
    }
}

impl serde::Serialize for Levels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept: Vec<String> = self.numbers.iter().map(|number| self.name(*number)).collect();
        if self.has_words() { kept.serialize(serializer) } else { self.numbers.serialize(serializer) }
    }
}

impl OptionValue for Levels {
    const TYPE_NAME: &'static str = "a list of whole numbers, or of words";
    fn read(value: &toml::Value, bounds: &Bounds) -> Result<Self, String> {
        let numbers = Vec::<u32>::read(value, bounds).map(Self::from);
        numbers.or_else(|_| Vec::<String>::read(value, bounds).map(Self::from)).map_err(|_| Self::TYPE_NAME.to_owned())
    }
    fn show(&self) -> String {
        if self.has_words() { self.numbers.iter().map(|n| self.name(*n)).collect::<Vec<_>>().show() } else { self.numbers.show() }
    }
}
