//! Options and verdicts.

/// How two answers are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifyConfig {
    /// Decimal places that count when one side is written as a decimal: both are rounded to as many (Math-Verify's `float_rounding`).
    pub decimals: u32,
    /// Numbers within this distance of the gold, relative to it, are equal too; 0: off.
    pub numeric_tolerance: f64,
    /// Names of variables matter, and sets are not tuples. If false, the one's variables may be the other's under another name (in the
    /// order of the alphabet), and an unordered set may stand for a tuple.
    pub strict: bool,
    /// Whether an inequality given for a gold interval or set is turned into the set of its solutions. The other way round, a set given
    /// for a gold inequality, is always compared so.
    pub allow_set_relation: bool,
    /// Whether `28%` is also 0.28; without it, `28%` is 28.
    pub percent_as_fraction: bool,
    /// Whether units written on both sides have to be the same unit; a unit on one side alone never matters.
    pub units: bool,
    /// Operations that one comparison may spend before it ends undecided: a bound on time that doesn't depend on the machine.
    pub budget: u64,
}

impl Default for VerifyConfig {
    /// Math-Verify's defaults, where it has them: 6 decimals, strict, no inequality for a set.
    fn default() -> Self {
        Self {
            decimals: 6,
            numeric_tolerance: 0.0,
            strict: true,
            allow_set_relation: false,
            percent_as_fraction: false,
            units: false,
            budget: 20_000,
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The two are the same answer.
    Equal,
    /// They are not.
    Different,
    /// The rules here can't tell: not counted as correct.
    Undecided,
}

/// Outcome and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was found.
    pub outcome: Outcome,
    /// The rule that decided, in a few words.
    pub reason: &'static str,
    /// Equal, but not worked out: the gold is a number (or several), and the prediction is arithmetic or an equation with the same value, such as
    /// `4+6`, `101_2` or `2x = 2`. Where answers are rewarded, whoever pays for these pays for copied questions.
    pub unevaluated: bool,
    /// What the gold was read as; its normalised text where it wasn't read as mathematics.
    pub gold_parsed: String,
    /// What the prediction was read as, likewise.
    pub prediction_parsed: String,
}
