//! The task of a real run: the configuration's templates through a model's chat template and tokenizer.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, context};

use super::task::{Task, Verdict};
use crate::config::{Config, PromptSection};
use crate::data::generator::steps_correct;
use crate::data::{Document, Problem};
use crate::error::{Error, Result};
use crate::objective::EncodedDocument;
use expo_lm::chat::Message;
use expo_lm::load::ModelFolder;

/// A [`Task`] on a model folder's tokenizer and chat template.
pub struct ChatTask {
    folder: Arc<ModelFolder>,
    prompt: PromptSection,
    end_of_turn: u32,
}

impl ChatTask {
    /// Errors: the folder has no tokenizer or no chat template, or the template's assistant turn has no known end.
    pub fn new(config: &Config, folder: Arc<ModelFolder>) -> Result<Self> {
        let end_of_turn = end_of_turn(&folder)?;
        Ok(Self { folder, prompt: config.prompt.clone(), end_of_turn })
    }

    fn render(&self, name: &str, template: &str, problem: &Problem, with_answer: bool) -> Result<String> {
        let answer = with_answer.then_some(problem.answer.as_str());
        Environment::new()
            .render_str(template, context! { question => &problem.question, answer, level => problem.level, subject => &problem.subject })
            .map_err(|e| Error::Run(format!("prompt.{name}: the template fails on problem {}: {e:#}", problem.id)))
    }

    fn user_turn(&self, text: String) -> Result<Vec<u32>> {
        let mut messages = Vec::new();
        if !self.prompt.system.is_empty() {
            messages.push(Message::new("system", self.prompt.system.clone()));
        }
        messages.push(Message::new("user", text));
        self.encode(&self.folder.chat()?.render(&messages, true)?)
    }
}

/// The token that ends an assistant's turn: the first end-of-sequence token that the chat template puts after one.
fn end_of_turn(folder: &ModelFolder) -> Result<u32> {
    const MARK: &str = "0";
    let conversation = [Message::new("user", "1"), Message::new("assistant", MARK)];
    let rendered = folder.chat()?.render(&conversation, false)?;
    let after = rendered.rfind(MARK).map_or("", |at| &rendered[at + MARK.len()..]);
    let tokens = folder.tokenizer()?.encode(after, false)?;
    let end = tokens.into_iter().find(|token| folder.eos_token_ids.contains(token)).or(folder.eos_token_ids.first().copied());
    end.ok_or_else(|| Error::Run(format!("{} names no end-of-sequence token; add eos_token_id to generation_config.json", folder.origin())))
}

impl Task for ChatTask {
    fn question(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.user_turn(self.render("question", &self.prompt.question, problem, false)?)
    }
    fn explanation(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.user_turn(self.render("explanation", &self.prompt.explanation, problem, true)?)
    }
    fn answer_suffix(&self, problem: &Problem) -> Result<String> {
        self.render("answer_suffix", &self.prompt.answer_suffix, problem, true)
    }
    fn document(&self, document: &Document) -> Result<EncodedDocument> {
        let mut completion = self.encode(&document.completion)?;
        completion.push(self.end_of_turn);
        Ok(EncodedDocument { prompt: self.user_turn(document.prompt.clone())?, completion })
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.folder.tokenizer()?.encode(text, false)?)
    }
    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Ok(self.folder.tokenizer()?.decode(tokens, true)?)
    }
    fn stop_token_ids(&self) -> &[u32] {
        &self.folder.eos_token_ids
    }
    fn end_of_turn(&self) -> u32 {
        self.end_of_turn
    }
    fn verify(&self, problem: &Problem, completion: &str) -> Verdict {
        let answer_start = completion.rfind("####");
        let correct = answer_start.is_some_and(|start| completion[start + 4..].trim() == problem.answer);
        let reward = f64::from(u8::from(correct));
        Verdict { rewards: BTreeMap::from([("correctness".to_owned(), reward)]), reward, correct, answer_start }
    }
    fn steps_right(&self, problem: &Problem, completion: &str) -> Option<bool> {
        steps_correct(problem, completion)
    }
}
