//! Known answers that can't pay: nothing that a model could say would be found equal to them.

use mathverify::{GoldProblem, VerifyConfig, check_gold};

use super::shown::shown;
use crate::config::{Config, RecipeName};
use crate::reward::comparison;

/// How known answers are looked at when they are read.
#[derive(Debug, Clone)]
pub enum GoldCheck {
    /// They are what the verifier compares with, so: one that can't pay is a bad row.
    Paid(VerifyConfig),
    /// The verifier isn't asked, by an external reward alone, for one: they are told, no more.
    Told(VerifyConfig),
}

impl GoldCheck {
    /// What `config` makes of known answers.
    pub fn of(config: &Config) -> Self {
        let reward = &config.reward;
        let by_correctness =
            reward.correctness > 0.0 || reward.cosine > 0.0 || reward.length > 0.0 || !reward.gate_on_correctness.is_empty();
        // These keep explanations that reach the answer.
        let explains = matches!(config.train.recipe, RecipeName::ExpGrpo | RecipeName::ExpDpo | RecipeName::Star);
        let comparison = comparison(reward);
        if by_correctness || explains { Self::Paid(comparison) } else { Self::Told(comparison) }
    }

    /// What is wrong with a known answer.
    pub fn problem(&self, gold: &str) -> Option<GoldProblem> {
        let (Self::Paid(comparison) | Self::Told(comparison)) = self;
        check_gold(gold, comparison)
    }
}

/// Those that were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BadGolds {
    /// How many.
    pub count: usize,
    /// What is wrong, in the order of appearance: with how many, and the first of them, each with its row.
    pub kinds: Vec<(GoldProblem, usize, Vec<String>)>,
}

impl BadGolds {
    /// How many of a kind are told.
    const TOLD: usize = 3;

    /// Takes one more: of the row `id`.
    pub fn add(&mut self, id: &str, gold: &str, problem: GoldProblem) {
        self.count += 1;
        let place = self.kinds.iter().position(|(known, ..)| *known == problem).unwrap_or_else(|| {
            self.kinds.push((problem, 0, Vec::new()));
            self.kinds.len() - 1
        });
        let (_, count, first) = &mut self.kinds[place];
        *count += 1;
        if first.len() < Self::TOLD {
            first.push(format!("{id} \"{}\"", shown(gold)));
        }
    }

    /// The first of each kind, with what is wrong and what to do.
    pub fn reasons(&self) -> String {
        let reason = |(problem, count, first): &(GoldProblem, usize, Vec<String>)| {
            let more = if *count > first.len() { format!(" and {} more", count - first.len()) } else { String::new() };
            format!("{}{more}: {problem}", first.join(", "))
        };
        self.kinds.iter().map(reason).collect::<Vec<_>>().join("; ")
    }

    /// What to tell of them; `of`: how many known answers were looked at.
    pub fn message(&self, of: usize) -> Option<String> {
        (self.count > 0).then(|| format!("{} of {of} known answers can't be paid by the verifier: {}", self.count, self.reasons()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_whether_answers_pay() {
        let mut config = Config::default();
        config.train.recipe = RecipeName::Grpo;
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Paid(_)));
        config.reward.correctness = 0.0;
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Told(_)));
        config.reward.gate_on_correctness = vec!["format".into()];
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Paid(_)));
        config.reward.gate_on_correctness.clear();
        config.train.recipe = RecipeName::Star;
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Paid(_)));
    }

    #[test]
    fn the_first_are_told_and_all_are_counted() {
        let check = GoldCheck::of(&Config::default());
        let mut bad = BadGolds::default();
        assert_eq!(bad.message(0), None);
        for (i, gold) in ["4", "n/a", "0/0", "We do it. 4", "\\frac{1}{", ""].into_iter().enumerate() {
            if let Some(problem) = check.problem(gold) {
                bad.add(&format!("t.jsonl:{i}"), gold, problem);
            }
        }
        let message = bad.message(6).unwrap();
        assert!(
            message.starts_with("5 of 6 known answers can't be paid by the verifier: t.jsonl:1 \"n/a\": it says that there is no answer")
        );
        assert!(message.contains("t.jsonl:2 \"0/0\": it has no value"), "{message}");
        (0..4).for_each(|i| bad.add(&format!("u.jsonl:{i}"), "x", GoldProblem::Missing));
        assert!(bad.reasons().starts_with("t.jsonl:1 \"n/a\", u.jsonl:0 \"x\", u.jsonl:1 \"x\" and 2 more: it says"), "{}", bad.reasons());
    }
}
