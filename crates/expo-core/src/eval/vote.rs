//! Majority vote over samples (self-consistency; Wang et al., arXiv 2203.11171).

/// The place of the first sample whose answer is the most frequent one; of equally frequent answers the one given first. Answers count as one where `same`
/// says so of the first of them and another. Samples without an answer don't vote; `None` where none has one.
pub fn majority(answers: &[Option<&str>], same: impl Fn(&str, &str) -> bool) -> Option<usize> {
    // First sample and number of votes of each answer.
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (place, answer) in answers.iter().enumerate() {
        let Some(answer) = answer else { continue };
        let group = groups.iter_mut().find(|(first, _)| {
            let first = answers[*first].unwrap_or_default();
            first == *answer || same(first, answer)
        });
        match group {
            Some((_, votes)) => *votes += 1,
            None => groups.push((place, 1)),
        }
    }
    let most = groups.iter().map(|(_, votes)| *votes).max()?;
    groups.into_iter().find(|(_, votes)| *votes == most).map(|(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_answer_wins_and_the_first_of_equals() {
        let vote = |answers: &[Option<&str>]| majority(answers, |a, b| a.trim_start_matches('0') == b.trim_start_matches('0'));
        assert_eq!(vote(&[Some("3"), Some("5"), Some("05"), None]), Some(1));
        assert_eq!(vote(&[None, Some("3"), Some("5")]), Some(1));
        assert_eq!(vote(&[Some("1"), Some("2"), Some("2"), Some("01")]), Some(0));
        assert_eq!(vote(&[None, None]), None);
        assert_eq!(vote(&[]), None);
    }
}
