//! A task and models small enough for tests: one token a character, division problems.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::data::{Document, Preference, Problem};
use crate::error::{Error, Result};
use crate::metrics::StepMetrics;
use crate::objective::EncodedDocument;
use crate::observe::Observer;
use crate::prompt::Encoded;
use crate::reward::Verdict;
use crate::run::save_weights::SaveWeights;
use crate::task::Task;
use expo_lm::ModelConfig;
use expo_lm::chat::{Conversation, Message};
use expo_lm::config::{Activation, LayerAttention, Mlp, Rope};
use expo_lm::model::Model;
use expo_lm::models::llama;

/// What a run told its observer.
#[derive(Default)]
pub struct Record {
    pub steps: Vec<StepMetrics>,
    /// `STEP: NOTICE`.
    pub notices: Vec<String>,
}

impl Observer for Record {
    fn on_notice(&mut self, step: usize, notice: &str) {
        self.notices.push(format!("{step}: {notice}"));
    }
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.steps.push(metrics.clone());
    }
}

/// Saves no weights, only the folder that they would be in.
pub fn save_folder() -> SaveWeights {
    SaveWeights::new(0, |_, path| std::fs::create_dir(path).map_err(|e| Error::io("create", path, e)))
}

const ALPHABET: &str = "0123456789*-+=/?:;[]# ";
/// Begins the user's turn.
const USER: u32 = ALPHABET.len() as u32;
/// Begins the assistant's turn.
const ASSISTANT: u32 = USER + 1;
/// Ends the assistant's turn.
pub const END: u32 = USER + 2;

/// Characters as tokens; the answer follows `#`.
pub struct CharTask {
    stop: Vec<u32>,
}

impl CharTask {
    pub fn new() -> Self {
        Self { stop: vec![END] }
    }

    fn turn(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = vec![USER];
        tokens.extend(self.encode(text)?);
        tokens.push(ASSISTANT);
        Ok(tokens)
    }
}

impl Task for CharTask {
    fn question(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.turn(&problem.question)
    }
    fn question_text(&self, problem: &Problem) -> Result<String> {
        Ok(problem.question.clone())
    }
    fn explanation(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.turn(&format!("{}[{}]", problem.question, problem.answer))
    }
    fn answer_suffix(&self, problem: &Problem) -> Result<String> {
        Ok(format!("#{}", problem.answer))
    }
    fn document(&self, document: &Document) -> Result<Encoded> {
        let Some((answer, prompt)) = document.conversation.messages.split_last() else { return Err(Error::Data("expected a turn".into())) };
        let mut completion = self.encode(&answer.text())?;
        completion.push(END);
        let prompt: Vec<Vec<u32>> = prompt.iter().map(|message| self.turn(&message.text())).collect::<Result<_>>()?;
        Ok(Encoded { sequences: vec![EncodedDocument::whole(prompt.concat(), completion)], ..Encoded::default() })
    }
    fn continuation(&self, prompt: &Conversation, turns: &[Message]) -> Result<(EncodedDocument, BTreeSet<String>)> {
        let (Some(question), [answer]) = (prompt.messages.last(), turns) else { return Err(Error::Data("expected one turn".into())) };
        // As a template that rewrites what was asked once it is answered.
        if question.text().starts_with(';') {
            return Err(Error::Data("the prompt is not a prefix".into()));
        }
        let conversation = prompt.with([&prompt.messages[..], std::slice::from_ref(answer)].concat());
        let Encoded { mut sequences, notices } = self.document(&Document { id: String::new(), conversation, prompt: 1 })?;
        Ok((sequences.remove(0), notices))
    }
    fn date(&self) -> i64 {
        1_700_000_000
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let id = |c| ALPHABET.chars().position(|other| other == c).map(|i| i as u32);
        text.chars().map(|c| id(c).ok_or_else(|| Error::Data(format!("no token for {c:?}")))).collect()
    }
    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Ok(tokens.iter().filter_map(|token| ALPHABET.chars().nth(*token as usize)).collect())
    }
    fn decode_with_special_tokens(&self, tokens: &[u32]) -> Result<String> {
        let of = |token: u32| match ["<user>", "<assistant>", "<end>"].get((token as usize).wrapping_sub(USER as usize)) {
            Some(special) => Ok((*special).to_owned()),
            None => self.decode(&[token]),
        };
        tokens.iter().map(|token| of(*token)).collect()
    }
    fn is_special(&self, token: u32) -> bool {
        token >= USER
    }
    fn stop_token_ids(&self) -> &[u32] {
        &self.stop
    }
    fn end_of_turn(&self) -> Result<&[u32]> {
        Ok(&self.stop)
    }
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict> {
        let verify = |(problem, completion): &(&Problem, &str)| {
            let answer_start = completion.rfind('#');
            let extracted = answer_start.map(|start| completion[start + 1..].to_owned());
            Verdict { correct: extracted.as_ref() == Some(&problem.answer), answer_start, extracted, ..Verdict::default() }
        };
        completions.iter().map(verify).collect()
    }
    fn same_answer(&self, a: &str, b: &str) -> bool {
        a == b
    }
    fn steps_right(&self, _problem: &Problem, _completion: &str) -> Option<bool> {
        None
    }
}

/// A random model of a few thousand parameters.
pub fn tiny_model(seed: u64) -> Model {
    let config = ModelConfig {
        family: &llama::FAMILY,
        vocab_size: END as usize + 1,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        rms_norm_eps: 1e-6,
        mlp: Mlp::Dense(Activation::Silu),
        query_pre_attn_scalar: None,
        tie_word_embeddings: true,
        max_position_embeddings: 128,
        layers: vec![LayerAttention { window: None, rope: Rope::plain(10_000.0) }; 2],
        bos_token_id: None,
        eos_token_ids: vec![END],
    };
    Model::random(config, 0.3, seed)
}

/// Every weight of `model`.
pub fn weights(model: &Model) -> Vec<f32> {
    let mut all = Vec::new();
    model
        .export(&mut |_, tensor| {
            all.extend(tensor.data);
            Ok(())
        })
        .unwrap();
    all
}

/// Division problems that need one step.
pub fn problems(count: u64) -> Vec<Problem> {
    (0..count)
        .map(|i| {
            let (divisor, quotient) = (2 + i % 7, 1 + i % 9);
            Problem {
                id: format!("test-{i}"),
                question: format!("{}/{divisor}?", divisor * quotient),
                answer: quotient.to_string(),
                expert_cot: Some(format!("{quotient}*{divisor}")),
                level: Some(1),
                level_name: None,
                subject: None,
                extra: BTreeMap::new(),
                context: Default::default(),
            }
        })
        .collect()
}

/// Documents that show how the problems are solved.
pub fn documents(count: u64) -> Vec<Document> {
    problems(count)
        .into_iter()
        .map(|problem| Document::new(problem.question, format!("{}#{}", problem.expert_cot.unwrap_or_default(), problem.answer)))
        .collect()
}

/// Preferences of the right quotient over the next number.
pub fn preferences(count: u64) -> Vec<Preference> {
    let row = |problem: Problem| {
        let thought = problem.expert_cot.unwrap_or_default();
        let side = |answer: &str| vec![Message::new("assistant", format!("{thought}#{answer}"))];
        let wrong = problem.answer.parse::<u64>().map_or(0, |answer| answer + 1).to_string();
        Preference {
            id: problem.id,
            prompt: vec![Message::new("user", problem.question)].into(),
            chosen: side(&problem.answer),
            rejected: side(&wrong),
        }
    };
    problems(count).into_iter().map(row).collect()
}

/// A run of two short steps.
pub fn config() -> Config {
    let mut config = Config::default();
    config.train.steps = 2;
    config.train.prompts_per_step = 3;
    config.train.max_tokens_per_micro_batch = 64;
    config.rollout.num_generations = 4;
    config.rollout.max_new_tokens = 8;
    config.exp.max_new_tokens = 8;
    config.exp.metrics_every = 1;
    config.exp.on_mismatch = crate::config::OnMismatch::ReplaceAnswer;
    // A random model writes them as often as others.
    config.exp.drop_special_tokens = false;
    config.optim.learning_rate = 1e-3;
    config
}
