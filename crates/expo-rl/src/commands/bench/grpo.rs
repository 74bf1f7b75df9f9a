//! Whole steps of GRPO by the trainer: rollouts, rewards, passes, optimizer.

use std::collections::BTreeSet;

use expo_core::config::{Config, RecipeName};
use expo_core::data::{Document, Problem};
use expo_core::metrics::{Name, StepMetrics};
use expo_core::objective::EncodedDocument;
use expo_core::observe::{Observer, Phase};
use expo_core::prompt::Encoded;
use expo_core::reward::Verdict;
use expo_core::run::{SaveWeights, TrainData, Trainer};
use expo_core::task::Task;
use expo_lm::chat::{Conversation, Message};
use expo_lm::model::Model;

use super::Run;

/// Mean length of a completion whose end is drawn.
const MEAN_LENGTH: usize = 128;

/// The shape of a step.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Questions.
    pub prompts: usize,
    /// Completions a question.
    pub group: usize,
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Most new tokens of a completion.
    pub new: usize,
    /// Whether completions end by themselves: each token is the last with a chance of 1 in 128.
    pub varied: bool,
}

/// What the runs came to.
pub struct Measured {
    /// One a step.
    pub runs: Vec<Run>,
    /// Mean length of a completion in tokens.
    pub mean_length: f64,
    /// The policy, after the steps.
    pub model: Model,
}

/// Steps of GRPO without KL on random prompts, the first one not counted; the rewards are those of a coin.
pub fn runs(model: Model, shape: Shape, max_tokens_per_micro_batch: usize, runs: usize) -> anyhow::Result<Measured> {
    let mut config = Config::default();
    config.train.recipe = RecipeName::Grpo;
    config.train.steps = runs + 1;
    config.train.prompts_per_step = shape.prompts;
    config.train.max_tokens_per_micro_batch = max_tokens_per_micro_batch;
    config.rollout.num_generations = shape.group;
    config.rollout.max_new_tokens = shape.new;
    config.rollout.max_num_seqs = shape.prompts * shape.group;
    config.exp.metrics_every = 0;
    let vocab = model.config.vocab_size;
    let problem = |i: usize| Problem { id: i.to_string(), question: i.to_string(), answer: "1".to_owned(), ..Problem::default() };
    let data = TrainData { problems: (0..shape.prompts).map(problem).collect(), ..TrainData::default() };
    // Random weights give every token about the same chance.
    let stop = if shape.varied { (0..(vocab / MEAN_LENGTH).max(1) as u32).collect() } else { Vec::new() };
    let task = Box::new(Coin { prompt: shape.prompt, vocab, stop });
    let mut trainer = Trainer::with_task(config, model, task, SaveWeights::new(0, |_, _| Ok(())), data, None)?;
    let mut steps = Steps::default();
    trainer.run(&mut steps)?;
    let metrics = &steps.0[1..];
    let value = |step: &StepMetrics, name: Name| step.get(&name).unwrap_or_default();
    let phases = [
        ("prefill", Name::TimePrefill),
        ("decode", Name::TimeDecode),
        ("reward", Name::Time(Phase::Reward)),
        ("forward", Name::TimeForward),
        ("head", Name::TimeHead),
        ("backward", Name::TimeBackward),
        ("optimizer", Name::TimeOptimizer),
    ];
    let run = |step: &StepMetrics| Run {
        seconds: value(step, Name::TimeStep),
        phases: phases.clone().map(|(phase, name)| (phase.to_owned(), value(step, name))).to_vec(),
    };
    let mean_length = metrics.iter().map(|step| value(step, Name::CompletionsMeanLength)).sum::<f64>() / metrics.len().max(1) as f64;
    Ok(Measured { runs: metrics.iter().map(run).collect(), mean_length, model: trainer.into_model()? })
}

/// Every step's metrics.
#[derive(Default)]
struct Steps(Vec<StepMetrics>);

impl Observer for Steps {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.0.push(metrics.clone());
    }
}

/// Random prompts of one length, and completions that are right by the toss of a coin.
struct Coin {
    prompt: usize,
    vocab: usize,
    stop: Vec<u32>,
}

impl Task for Coin {
    fn question(&self, problem: &Problem) -> expo_core::Result<Vec<u32>> {
        let seed: usize = problem.question.parse().unwrap_or_default();
        Ok((0..self.prompt).map(|t| super::token(self.vocab, seed, t)).collect())
    }
    fn question_text(&self, problem: &Problem) -> expo_core::Result<String> {
        Ok(problem.question.clone())
    }
    fn explanation(&self, problem: &Problem) -> expo_core::Result<Vec<u32>> {
        self.question(problem)
    }
    fn answer_suffix(&self, problem: &Problem) -> expo_core::Result<String> {
        Ok(problem.answer.clone())
    }
    fn document(&self, _: &Document) -> expo_core::Result<Encoded> {
        Ok(Encoded { sequences: vec![EncodedDocument::whole(vec![0], vec![0])], ..Encoded::default() })
    }
    fn continuation(&self, prompt: &Conversation, turns: &[Message]) -> expo_core::Result<(EncodedDocument, BTreeSet<String>)> {
        let encode = |turns: &[Message]| self.encode(&turns.iter().map(Message::text).collect::<String>());
        Ok((EncodedDocument::whole(encode(&prompt.messages)?, encode(turns)?), BTreeSet::new()))
    }
    fn date(&self) -> i64 {
        0
    }
    fn encode(&self, text: &str) -> expo_core::Result<Vec<u32>> {
        Ok(text.bytes().map(|byte| u32::from(byte) % self.vocab as u32).collect())
    }
    fn decode(&self, tokens: &[u32]) -> expo_core::Result<String> {
        Ok(self.decode_with_ends(tokens)?.0)
    }
    fn decode_with_ends(&self, tokens: &[u32]) -> expo_core::Result<(String, Vec<usize>)> {
        let mut text = String::new();
        let ends = tokens.iter().map(|token| {
            text += &format!("{token} ");
            text.len()
        });
        let ends = ends.collect();
        Ok((text, ends))
    }
    fn stop_token_ids(&self) -> &[u32] {
        &self.stop
    }
    fn end_of_turn(&self) -> expo_core::Result<&[u32]> {
        Ok(&[0])
    }
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict> {
        let heads = |text: &str| text.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) & 8 != 0;
        completions.iter().map(|(_, text)| Verdict { correct: heads(text), ..Verdict::default() }).collect()
    }
    fn same_answer(&self, a: &str, b: &str) -> bool {
        a == b
    }
    fn steps_right(&self, _: &Problem, _: &str) -> Option<bool> {
        None
    }
}
