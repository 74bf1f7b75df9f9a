//! A program for a device: StableHLO text with the names that errors use.

use crate::element::Shape;

/// An argument of a program's `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// What errors call it.
    pub name: String,
    /// What is expected.
    pub shape: Shape,
}

/// A StableHLO module with a function `main`.
#[derive(Debug, Clone)]
pub struct Program {
    /// What errors call it.
    pub name: String,
    /// The module in StableHLO's text form.
    pub text: String,
    /// The arguments of `main`, in order. Where they are given, a call is compared with them; XLA itself compares no
    /// more than sizes on some devices.
    pub arguments: Option<Vec<Argument>>,
}

impl Program {
    /// A program whose arguments are not compared.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), arguments: None }
    }

    /// The same with its arguments described.
    pub fn with_arguments(self, arguments: Vec<Argument>) -> Self {
        Self { arguments: Some(arguments), ..self }
    }
}
