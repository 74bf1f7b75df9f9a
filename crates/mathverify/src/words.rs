//! What words do around values: the closed classes of English (conjunctions, copulas, comparatives, ...), of which there are few, as
//! against nouns, of which there is no end and which are units.

/// What a word does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// "not", "never", "without".
    Negation,
    /// "more", "less", "at", "least": makes a bound of a value.
    Comparison,
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
        "more" | "less" | "fewer" | "greater" | "larger" | "smaller" | "higher" | "lower" | "least" | "most" | "than" | "above"
        | "below" | "over" | "under" | "beyond" | "exceeding" | "minimum" | "maximum" => Comparison,
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
