//! What words do around values: the closed classes of English (conjunctions, copulas, comparatives, ...), of which there are few, as
//! against nouns, of which there is no end and which are units.

/// What a word does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// "not", "never", "without".
    Negation,
    /// "than", "least", "above": makes a bound of a value.
    Comparison,
    /// "more", "fewer": a bound behind "or", else of what there are so many.
    Quantity,
    /// "squared", "times": makes another value of it.
    Operation,
    /// "to", "through", "between": makes a range of two.
    Range,
    /// "is", "equals", "was".
    Copula,
    /// "if", "unless", "when": the value holds only there.
    Condition,
    /// "because", "since", "which": what follows explains the value.
    Clause,
    /// "in", "for", "per": what follows belongs to the unit.
    Preposition,
    /// "about", "exactly".
    Hedge,
    /// "it", "we", "they".
    Pronoun,
    /// Other verbs that make a sentence of words: "have", "do", "can".
    Verb,
    /// "the", "a".
    Article,
    /// "wrong", "incorrect": says that the value isn't the answer.
    Denial,
}

/// The class of a word in lower case; `None`: a noun or any other word of an open class.
pub(crate) fn class(word: &str) -> Option<Class> {
    use Class::*;
    Some(match word {
        "not" | "no" | "never" | "without" | "neither" | "nor" | "cannot" | "isn" | "aren" | "doesn" | "don" | "except" | "excluding" => {
            Negation
        }
        "more" | "less" | "fewer" | "greater" | "larger" | "smaller" | "higher" | "lower" => Quantity,
        "least" | "most" | "than" | "above" | "below" | "over" | "under" | "beyond" | "exceeding" | "minimum" | "maximum" => Comparison,
        "squared" | "cubed" | "times" | "plus" | "minus" | "factorial" | "modulo" | "mod" | "doubled" | "halved" | "divided"
        | "multiplied" | "added" | "subtracted" => Operation,
        "to" | "through" | "until" | "till" | "between" | "versus" | "vs" => Range,
        "is" | "are" | "was" | "were" | "be" | "been" | "equals" | "equal" | "becomes" | "became" => Copula,
        "if" | "unless" | "provided" | "assuming" | "maybe" | "perhaps" | "possibly" | "whenever" => Condition,
        "because" | "since" | "as" | "so" | "which" | "where" | "while" | "when" | "that" | "thus" | "hence" | "therefore" | "after"
        | "before" | "but" | "given" | "making" | "leaving" | "giving" | "with" => Clause,
        "in" | "of" | "for" | "per" | "each" | "every" | "on" | "at" | "from" | "by" | "into" | "within" | "during" | "across"
        | "among" | "out" | "off" | "up" | "down" | "around" | "altogether" | "total" => Preposition,
        "about" | "approximately" | "approx" | "roughly" | "nearly" | "almost" | "exactly" | "only" | "just" | "precisely" | "simply" => {
            Hedge
        }
        "i" | "we" | "you" | "he" | "she" | "it" | "they" | "this" | "these" | "those" | "there" | "his" | "her" | "their" | "our"
        | "its" | "my" | "your" => Pronoun,
        "have" | "has" | "had" | "do" | "does" | "did" | "can" | "could" | "will" | "would" | "should" | "may" | "might" | "must"
        | "get" | "gets" | "got" | "makes" | "made" | "need" | "needs" | "find" | "see" | "let" => Verb,
        "the" | "a" | "an" => Article,
        "wrong" | "incorrect" | "false" | "impossible" | "unlikely" => Denial,
        _ => return None,
    })
}

/// What a scale word multiplies by, as in "2.5 million".
pub(crate) fn scale(word: &str) -> Option<i64> {
    let one = word.strip_suffix('s').unwrap_or(word);
    Some(match one {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" => 1_000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return None,
    })
}

/// The denominator of parts that are counted, as in "5 tenths"; quarters are coins as well.
pub(crate) fn parts(word: &str) -> Option<i64> {
    Some(match word {
        "halves" => 2,
        "thirds" => 3,
        "fourths" => 4,
        "fifths" => 5,
        "sixths" => 6,
        "sevenths" => 7,
        "eighths" => 8,
        "ninths" => 9,
        "tenths" => 10,
        "hundredths" => 100,
        "thousandths" => 1000,
        _ => return None,
    })
}

/// Whether the words behind a value are a unit or name what is counted: nothing among them makes another value of it, or another statement.
pub(crate) fn is_unit(words: &[String]) -> bool {
    use Class::*;
    words.iter().enumerate().all(|(i, word)| {
        scale(word).is_none()
            && parts(word).is_none()
            && match class(word) {
                None | Some(Preposition | Article | Hedge) => true,
                // "his apples", "5 apples that he has" is a clause and cut before.
                Some(Pronoun) => i > 0 && matches!(word.as_str(), "his" | "her" | "their" | "our" | "its" | "my" | "your"),
                // "5 more apples", "5 times".
                Some(Quantity) => i == 0,
                Some(Operation) => i == 0 && word == "times" && !words.iter().any(|w| w == "as"),
                Some(_) => false,
            }
    })
}

/// A set that is known by words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// "no solution".
    Empty,
    /// "all real numbers".
    Reals,
}

/// The set that words in lower case stand for.
pub(crate) fn set(text: &str) -> Option<Set> {
    let words: Vec<&str> = text.split(' ').filter(|w| !matches!(*w, "the" | "x" | "real" | "there" | "is" | "are")).collect();
    Some(match words[..] {
        ["no", "solution" | "solutions" | "root" | "roots"] | ["empty", "set"] => Set::Empty,
        ["all", "numbers" | "reals"] | ["any", "number"] | ["every", "number"] | ["all", "values"] if text.contains("real") => Set::Reals,
        _ => return None,
    })
}
