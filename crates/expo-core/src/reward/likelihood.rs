//! A reward that needs no verifier: how likely the policy finds the known answer behind a completion's own reasoning.

use super::question::{AnswerScore, Completion};
use crate::config::{Config, LikelihoodForm};

/// The reward pi(a* | q, c) of VeriFree (arXiv 2505.21493), or a form of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerLikelihood {
    /// Its weight.
    pub weight: f64,
    form: LikelihoodForm,
}

impl AnswerLikelihood {
    /// The one of `config`, unless its weight is 0.
    pub fn new(config: &Config) -> Option<Self> {
        let section = &config.reward;
        (section.answer_likelihood != 0.0).then_some(Self { weight: section.answer_likelihood, form: section.answer_likelihood_form })
    }

    /// The reward of `completion`; `None` where the policy was not asked. A completion that comes to no answer has a probability of 0, as VeriFree's authors
    /// have it; the logarithm of that is no reward, so that the other form takes all of the completion for its reasoning.
    pub fn reward(&self, completion: &Completion) -> Option<f64> {
        let AnswerScore { log_prob, tokens } = completion.answer?;
        let has_answer = !completion.truncated && completion.verdict.answer_start.is_some();
        Some(match self.form {
            LikelihoodForm::Probability if !has_answer => 0.0,
            LikelihoodForm::Probability => log_prob.exp(),
            LikelihoodForm::MeanLogProb => log_prob / tokens as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Verdict;

    #[test]
    fn both_forms_by_hand() {
        let mut config = Config::default();
        assert_eq!(AnswerLikelihood::new(&config), None);
        config.reward.answer_likelihood = 0.5;
        let verdict = |answer_start| Verdict { answer_start, ..Verdict::default() };
        let (with, without) = (verdict(Some(3)), verdict(None));
        let answer = Some(AnswerScore { log_prob: 0.25f64.ln(), tokens: 2 });
        let completion = |verdict, truncated, answer| Completion { text: "", tokens: 5, truncated, verdict, answer };
        let cases = [
            completion(&with, false, answer),
            completion(&with, true, answer),
            completion(&without, false, answer),
            completion(&with, false, None),
        ];
        let rewards = |config: &Config| cases.map(|completion| AnswerLikelihood::new(config).unwrap().reward(&completion));
        assert_eq!(rewards(&config), [Some(0.25), Some(0.0), Some(0.0), None]);
        config.reward.answer_likelihood_form = LikelihoodForm::MeanLogProb;
        let half = Some(0.25f64.ln() / 2.0);
        assert_eq!(rewards(&config), [half, half, half, None]);
    }
}
