//! Known answers that can't pay: nothing that a model could say would be found equal to them.

use mathverify::{GoldProblem, VerifyConfig, check_gold};

use super::rows::shown;
use crate::config::{Config, Recipe};
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
        let explains = matches!(config.train.recipe, Recipe::ExpGrpo | Recipe::ExpDpo | Recipe::Star);
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
    /// The first: row, answer, what is wrong with it.
    pub first: Vec<String>,
}

impl BadGolds {
    /// How many are told in full.
    const TOLD: usize = 3;

    /// Takes one more: of the row `id`.
    pub fn add(&mut self, id: &str, gold: &str, problem: GoldProblem) {
        self.count += 1;
        if self.first.len() < Self::TOLD {
            self.first.push(format!("{id}: \"{}\": {problem}", shown(gold)));
        }
    }

    /// What to tell of them; `of`: how many known answers were looked at.
    pub fn message(&self, of: usize) -> Option<String> {
        let more = self.count - self.first.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (self.count > 0)
            .then(|| format!("{} of {of} known answers can't be paid by the verifier: {}{more}", self.count, self.first.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_whether_answers_pay() {
        let mut config = Config::default();
        config.train.recipe = Recipe::Grpo;
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Paid(_)));
        config.reward.correctness = 0.0;
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Told(_)));
        config.reward.gate_on_correctness = vec!["format".into()];
        assert!(matches!(GoldCheck::of(&config), GoldCheck::Paid(_)));
        config.reward.gate_on_correctness.clear();
        config.train.recipe = Recipe::Star;
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
            message.starts_with("5 of 6 known answers can't be paid by the verifier: t.jsonl:1: \"n/a\": it says that there is no answer")
        );
        assert!(message.contains("t.jsonl:2: \"0/0\": it has no value") && message.ends_with("; and 2 more"), "{message}");
    }
}
