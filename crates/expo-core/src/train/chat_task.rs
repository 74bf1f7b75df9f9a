//! The task of a run on real text: a model's prompts and the verifier.

use std::sync::Arc;

use rayon::prelude::*;

use super::task::Task;
use crate::config::Config;
use crate::data::{Document, Problem, generator};
use crate::error::Result;
use crate::objective::EncodedDocument;
use crate::prompt::Prompts;
use crate::reward::{Verdict, Verifier};
use expo_lm::chat::Message;
use expo_lm::load::ModelFolder;

/// [`Prompts`] and [`Verifier`] as a [`Task`].
pub struct ChatTask {
    prompts: Prompts,
    verifier: Verifier,
}

impl ChatTask {
    /// The templates and the verifier of `config` for the model of `folder`. Errors: those of [`Prompts::new`].
    pub fn new(config: &Config, folder: Arc<ModelFolder>) -> Result<Self> {
        let prompts = Prompts::new(&config.prompt, folder)?;
        let verifier = Verifier::new(&config.reward, prompts.templates.delimiter());
        Ok(Self { prompts, verifier })
    }
}

impl Task for ChatTask {
    fn question(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.prompts.question(problem)
    }
    fn question_text(&self, problem: &Problem) -> Result<String> {
        self.prompts.templates.question(problem)
    }
    fn explanation(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.prompts.explanation(problem)
    }
    fn answer_suffix(&self, problem: &Problem) -> Result<String> {
        self.prompts.templates.answer_suffix(problem)
    }
    fn document(&self, document: &Document) -> Result<EncodedDocument> {
        let prompt = self.prompts.conversation(&document.prompt)?;
        Ok(EncodedDocument { prompt, completion: self.prompts.assistant_turn(&document.completion)? })
    }
    fn check_document(&self, document: &Document) -> Result<()> {
        self.prompts.check(&document.prompt)
    }
    fn continuation(&self, prompt: &[Message], turns: &[Message]) -> Result<EncodedDocument> {
        let (prompt, completion) = self.prompts.continuation(prompt, turns)?;
        Ok(EncodedDocument { prompt, completion })
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.prompts.encode(text)
    }
    fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.prompts.decode(tokens)
    }
    fn stop_token_ids(&self) -> &[u32] {
        self.prompts.stop_token_ids()
    }
    fn end_of_turn(&self) -> u32 {
        self.prompts.end_of_turn()
    }
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict> {
        let verify = |(problem, completion): &(&Problem, &str)| {
            let mut verdict = self.verifier.verify(problem, completion);
            verdict.answer_start = verdict.answer_start.map(|start| self.prompts.templates.thought_end(completion, start));
            verdict
        };
        completions.par_iter().map(verify).collect()
    }
    fn same_answer(&self, a: &str, b: &str) -> bool {
        self.verifier.same_answer(a, b)
    }
    fn steps_right(&self, problem: &Problem, completion: &str) -> Option<bool> {
        generator::steps_correct(problem, completion)
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::{suffix, tokens_before};
    use super::*;
    use crate::data::generator::{Division, Split, problems};
    use crate::testing::tiny;

    fn task(answer_suffix: &str) -> ChatTask {
        let mut config = Config::default();
        config.prompt.answer_suffix = answer_suffix.into();
        ChatTask::new(&config, Arc::new(tiny().folder)).unwrap()
    }

    #[test]
    fn a_right_completion_is_verified_cut_and_put_together_again() {
        for spaced in [false, true] {
            let task = task(if spaced { "\n#### {{answer}}" } else { "#### {{answer}}" });
            for problem in problems(&[], 50, 2, Split::Train).unwrap() {
                let division = Division::parse(&problem.question).unwrap();
                let text = format!("{}{}", division.reasoning(), task.answer_suffix(&problem).unwrap());
                let verdict = task.verify(&[(&problem, &text)]).remove(0);
                assert!(verdict.correct && task.steps_right(&problem, &text) == Some(true));
                let tokens = task.encode(&text).unwrap();
                let cut = tokens_before(&task, &tokens, verdict.answer_start.unwrap()).unwrap();
                assert_eq!(task.decode(&tokens[..cut]).unwrap(), division.reasoning());
                let suffix = suffix(&task, &problem).unwrap();
                assert_eq!([&tokens[..cut], &suffix.tokens].concat(), tokens);
                assert_eq!(task.decode(&suffix.tokens[suffix.answer]).unwrap(), problem.answer);
            }
        }
    }
}
