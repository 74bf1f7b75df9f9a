//! What a name of another library is.

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// TRL's, and transformers' `TrainingArguments`, on which TRL's options build.
    Trl,
    Peft,
    Unsloth,
    Vllm,
    Verl,
    /// Words of PyTorch and of most training loops.
    Torch,
}

impl Library {
    /// Each once.
    pub const ALL: [Self; 6] = [Self::Trl, Self::Peft, Self::Unsloth, Self::Vllm, Self::Verl, Self::Torch];

    /// As it writes itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trl => "TRL",
            Self::Peft => "PEFT",
            Self::Unsloth => "Unsloth",
            Self::Vllm => "vLLM",
            Self::Verl => "verl",
            Self::Torch => "PyTorch",
        }
    }
}

/// What a name is here. Options are written `section.key`.
#[derive(Debug)]
pub(super) enum Here {
    /// This option, with the same meaning and the same values.
    Same(&'static str),
    /// These options; how values map.
    Maps(&'static [&'static str], &'static str),
    /// Nothing; why.
    None(&'static str),
}

/// An option of another library.
#[derive(Debug)]
pub(super) struct ForeignName {
    pub library: Library,
    /// As it is written there: verl's with its sections.
    pub name: &'static str,
    pub here: Here,
}

/// A word that another library has as the value of an option of the same purpose.
#[derive(Debug)]
pub(super) struct ForeignValue {
    /// The option here.
    pub option: &'static str,
    /// Its spellings, lower case, with `_` for `-`.
    pub names: &'static [&'static str],
    /// What does the same here, `section.key` and its value in TOML; empty: nothing does.
    pub settings: &'static [(&'static str, &'static str)],
    /// More about it; why there is none.
    pub note: &'static str,
}
