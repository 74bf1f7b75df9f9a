//! Names that the lexer knows: commands, letters, signs, units.

use crate::ast::Function;
use crate::token::Token;

/// Declarations of fonts, sizes and spaces, which change nothing but the looks.
const DECLARATIONS: [&str; 58] = [
    "displaystyle",
    "textstyle",
    "scriptstyle",
    "scriptscriptstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "Biggl",
    "Biggr",
    "bf",
    "rm",
    "it",
    "sf",
    "tt",
    "sc",
    "sl",
    "em",
    "cal",
    "bfseries",
    "itshape",
    "mdseries",
    "rmfamily",
    "sffamily",
    "ttfamily",
    "scshape",
    "slshape",
    "upshape",
    "normalfont",
    "normalsize",
    "tiny",
    "scriptsize",
    "footnotesize",
    "small",
    "large",
    "Large",
    "LARGE",
    "huge",
    "Huge",
    "boldmath",
    "thinspace",
    "enspace",
    "medspace",
    "thickspace",
    "hfill",
    "noindent",
    "centering",
    "strut",
];

/// Commands whose argument is shown as it is, more or less decorated; an optional argument in `[ ]` says how.
const DECORATIONS: [&str; 15] = [
    "underline",
    "uline",
    "uuline",
    "bm",
    "pmb",
    "framebox",
    "makebox",
    "num",
    "displaylines",
    "smash",
    "mathstrut",
    "mathclap",
    "mathrlap",
    "mathllap",
    "bbox",
];

/// Commands that show nothing of their argument, or nothing that belongs to a value: marks, labels, spaces, notes.
const ASIDES: [&str; 10] = ["tag", "label", "hspace", "vspace", "hskip", "mspace", "footnote", "ref", "eqref", "cite"];

/// Marks of an end or of approval.
const MARKS: [&str; 6] = ["checkmark", "blacksquare", "qed", "qedsymbol", "qedhere", "therefore"];

/// Signs of the same kind.
pub(crate) const MARK_SIGNS: [char; 12] = ['✓', '✔', '✅', '☑', '■', '∎', '🎉', '✨', '👍', '\u{fe0f}', '\u{200d}', '\u{feff}'];

/// What a command does to what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It takes no argument and is skipped.
    Declaration,
    /// Its argument is read as if it weren't there.
    Decoration,
    /// It is skipped with its argument.
    Aside,
    /// So many arguments say how the next one looks.
    Colour(usize),
}

/// How a command changes the looks of an answer; `None`: it means something.
pub(crate) fn look(name: &str) -> Option<Look> {
    Some(match name {
        "color" | "textcolor" | "colorbox" => Look::Colour(1),
        "raisebox" | "scalebox" => Look::Colour(1),
        "fcolorbox" | "rule" => Look::Colour(2),
        _ if DECLARATIONS.contains(&name) || MARKS.contains(&name) => Look::Declaration,
        _ if DECORATIONS.contains(&name) => Look::Decoration,
        _ if ASIDES.contains(&name) => Look::Aside,
        _ => return None,
    })
}

/// Whether a command's argument is text, or letters in another font.
pub(crate) fn is_wrapper(name: &str) -> bool {
    // `\mathbb` and `\mathcal` make other letters, `\mathop` and kin are about spacing of anything.
    let font = ["text", "math"].iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|font| matches!(font, "" | "bf" | "it" | "rm" | "sf" | "tt" | "sc" | "sl" | "up" | "md" | "normal"))
    });
    (font && name != "math") || matches!(name, "mbox" | "hbox" | "operatorname" | "boldsymbol" | "emph" | "textnormal" | "mathnormal")
}

const GREEK: [&str; 30] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Omega",
    "Phi",
    "ell",
];

pub(crate) fn is_greek(name: &str) -> bool {
    GREEK.contains(&name)
}

const UNICODE: [(char, &str); 24] = [
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('θ', "theta"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('φ', "phi"),
    ('ω', "omega"),
    ('π', "pi"),
    ('∞', "infty"),
    ('√', "sqrt"),
    ('∪', "cup"),
    ('∩', "cap"),
    ('∅', "emptyset"),
    ('ℝ', "R"),
    ('ℤ', "Z"),
    ('ℕ', "N"),
    ('±', "pm"),
    ('∓', "mp"),
];

/// The command that a sign stands for.
pub(crate) fn command_of(sign: char) -> Option<&'static str> {
    UNICODE.iter().find(|(other, _)| *other == sign).map(|(_, name)| *name)
}

/// What a raised or lowered sign is on the line, and whether it is raised.
pub(crate) fn script(sign: char) -> Option<(char, bool)> {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    if let Some(digit) = RAISED.chars().position(|c| c == sign) {
        return char::from_digit(digit as u32, 10).map(|d| (d, true));
    }
    Some(match sign {
        '⁻' => ('-', true),
        '⁺' => ('+', true),
        'ⁿ' => ('n', true),
        '₀'..='₉' => (char::from_digit(sign as u32 - '₀' as u32, 10)?, false),
        '₋' => ('-', false),
        'ₙ' => ('n', false),
        _ => return None,
    })
}

/// Short names of units, which may stand right behind a number without `\text`.
pub(crate) fn is_unit(word: &str) -> bool {
    matches!(
        word,
        "cm" | "mm"
            | "km"
            | "dm"
            | "nm"
            | "kg"
            | "mg"
            | "ml"
            | "mL"
            | "cl"
            | "dl"
            | "ft"
            | "yd"
            | "mi"
            | "hr"
            | "hrs"
            | "min"
            | "mins"
            | "sec"
            | "secs"
            | "ms"
            | "mph"
            | "kph"
            | "kmh"
            | "lb"
            | "lbs"
            | "oz"
            | "sq"
            | "cu"
            | "am"
            | "pm"
            | "AM"
            | "PM"
            | "gal"
            | "qt"
            | "pt"
            | "kW"
            | "kWh"
            | "Hz"
            | "kHz"
            | "MHz"
            | "GHz"
            | "kJ"
            | "Pa"
            | "kPa"
            | "MB"
            | "GB"
            | "KB"
            | "USD"
            | "EUR"
            | "GBP"
            | "rad"
            | "deg"
            | "pcs"
            | "cent"
            | "cents"
            | "dollars"
            | "dollar"
            | "euros"
            | "euro"
            | "inches"
            | "inch"
            | "feet"
            | "foot"
            | "miles"
            | "mile"
            | "meters"
            | "meter"
            | "metres"
            | "hours"
            | "hour"
            | "minutes"
            | "minute"
            | "seconds"
            | "second"
            | "days"
            | "day"
            | "weeks"
            | "week"
            | "months"
            | "month"
            | "years"
            | "year"
            | "yrs"
            | "yr"
            | "units"
            | "unit"
            | "grams"
            | "gram"
            | "pounds"
            | "pound"
            | "percent"
            | "degrees"
            | "degree"
    )
}

/// Names of currencies, which stand before a number as well as behind it.
pub(crate) fn is_currency(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "rs" | "usd" | "inr" | "eur" | "gbp" | "cad" | "aud" | "jpy" | "cny" | "rmb" | "chf" | "php" | "hkd" | "sgd" | "nzd" | "us"
    )
}

/// Words that stand for signs, units and the like, in running text without `\text`.
pub(crate) fn plain_word(word: &str) -> Option<Token> {
    if Function::named(word).is_some() && word.len() > 2 || matches!(word, "ln" | "lg" | "sqrt" | "pi") {
        return Some(Token::Command(word.to_owned()));
    }
    Some(match word {
        "and" | "or" | "And" | "Or" | "AND" | "OR" => Token::Junction,
        "oo" | "inf" | "infinity" | "Infinity" | "infty" => Token::Command("infty".into()),
        "percent" | "Percent" | "percentage" | "pct" => Token::Sign('%'),
        "degrees" | "degree" | "deg" => Token::Sign('°'),
        "NaN" | "nan" | "NAN" => Token::Word("nan".into()),
        "in" | "is" => Token::Word(word.to_owned()),
        _ if is_unit(word) => Token::Word(word.to_owned()),
        _ if word.chars().count() >= 4 => Token::Word(word.to_owned()),
        _ => return None,
    })
}
