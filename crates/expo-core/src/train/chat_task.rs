//! The task of a run on real text: a model's prompts and the verifier.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::task::Task;
use crate::config::{Config, Turns};
use crate::data::{Document, Problem, generator};
use crate::error::{Error, Result};
use crate::objective::EncodedDocument;
use crate::prompt::{Encoded, Prompts};
use crate::reward::{Verdict, Verifier};
use expo_lm::chat::{ChatSettings, Conversation, FieldCheck, Message};
use expo_lm::load::ModelFolder;

/// [`Prompts`] and [`Verifier`] as a [`Task`].
pub struct ChatTask {
    prompts: Prompts,
    verifier: Verifier,
    /// Which turns of documents are trained on.
    turns: Turns,
}

impl ChatTask {
    /// The templates and the verifier of `config` for the model of `folder`. Errors: those of [`Prompts::new`].
    pub fn new(config: &Config, folder: Arc<ModelFolder>) -> Result<Self> {
        Self::at(config, folder, ChatSettings::now().date)
    }

    /// The same at `date`, which chat templates take for today, in seconds since 1970 (UTC).
    pub fn at(config: &Config, folder: Arc<ModelFolder>, date: i64) -> Result<Self> {
        let prompts = Prompts::new(&config.prompt, folder, date)?;
        let verifier = Verifier::new(&config.reward, prompts.templates.delimiter());
        Ok(Self { prompts, verifier, turns: config.rehearsal.turns })
    }

    /// Judges what a completion says behind its thoughts, where the prompt has begun some.
    fn judge(&self, problem: &Problem, completion: &str) -> Verdict {
        let start = match self.prompts.thoughts_end() {
            None => Some(0),
            Some(end) => completion.rfind(end).map(|at| at + end.len()),
        };
        let Some(start) = start else { return Verdict::default() };
        let mut verdict = self.verifier.verify(problem, &completion[start..]);
        verdict.answer_start = verdict.answer_start.map(|at| self.prompts.templates.thought_end(completion, start + at).max(start));
        verdict
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
    fn document(&self, document: &Document) -> Result<Encoded> {
        self.prompts.turns(&document.conversation, &document.turns(self.turns))
    }
    fn continuation(&self, prompt: &Conversation, turns: &[Message]) -> Result<(EncodedDocument, BTreeSet<String>)> {
        let whole = prompt.with([&prompt.messages, turns].concat());
        let is_turn = |i: &usize| whole.messages[*i].role == "assistant";
        let indices: Vec<usize> = (prompt.messages.len()..whole.messages.len()).filter(is_turn).collect();
        let Encoded { mut sequences, notices } = self.prompts.turns(&whole, &indices)?;
        match (sequences.pop(), sequences.is_empty()) {
            (Some(one), true) => Ok((one, notices)),
            _ => Err(Error::Run(
                "it has several turns of the assistant, and the chat template writes earlier ones otherwise later, so they are no one completion; \
                 shorten it to one turn, or leave the row out (data.on_bad_row = \"skip\")"
                    .into(),
            )),
        }
    }
    fn answer(&self, problem: &Problem, thoughts: &str, text: &str) -> Result<Vec<u32>> {
        self.prompts.answer(problem, thoughts, text)
    }
    fn is_unfinished_thought(&self, completion: &str) -> bool {
        self.prompts.thoughts_end().is_some_and(|end| !completion.contains(end))
    }
    fn look_at_fields(&self, conversation: &Conversation, check: &mut FieldCheck) -> Result<()> {
        self.prompts.look_at_fields(conversation, check)
    }
    fn notice(&self) -> Result<Option<String>> {
        self.prompts.notice()
    }
    fn date(&self) -> i64 {
        self.prompts.chat().settings().date
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
    fn end_of_turn(&self) -> Result<&[u32]> {
        self.prompts.end_of_turn()
    }
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict> {
        completions.par_iter().map(|(problem, completion)| self.judge(problem, completion)).collect()
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
