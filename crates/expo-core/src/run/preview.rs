//! A run looked at before it begins: its first prompts, a small step as it would be drawn and trained on, and what that takes.

use std::time::Instant;

use super::schedule;
use super::state::State;
use super::trainer::Trainer;
use crate::clock::Clock;
use crate::config::Config;
use crate::draw::Drawing;
use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::objective::group::Group;
use crate::objective::sequence::Sequence;
use crate::observe::Observer;
use crate::policy::Accumulation;
use crate::policy::accumulate::accumulate;
use crate::task::Task;

/// A problem's prompts as the model sees them, special tokens visible.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptPreview {
    /// The problem's id.
    pub id: String,
    /// Its known answer.
    pub answer: String,
    /// The question alone.
    pub prompt: String,
    /// Its tokens.
    pub tokens: usize,
    /// The question with the answer shown, where the recipe draws explanations.
    pub explanation: Option<String>,
}

/// A completion that was sampled, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionPreview {
    /// The problem's id.
    pub id: String,
    /// Whether the answer was shown when it was written.
    pub is_explanation: bool,
    /// Its text, special tokens visible.
    pub text: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Cut off by the length limit.
    pub truncated: bool,
    /// The final answer as written.
    pub extracted: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Why it is judged so.
    pub reason: String,
    /// Of an explanation: what became of it, as files have it.
    pub outcome: Option<String>,
}

/// A sequence that the step would train on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedPreview {
    /// The prompt, special tokens visible; without loss.
    pub prompt: String,
    /// Its completion in parts, each with whether the loss is on it.
    pub completion: Vec<(String, bool)>,
    /// The loss terms, by name.
    pub terms: Vec<&'static str>,
}

/// What a small step came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// The first problems.
    pub prompts: Vec<PromptPreview>,
    /// Lengths of all problems' prompts in tokens, shortest first.
    pub prompt_lengths: Vec<usize>,
    /// The model's context in tokens.
    pub context: usize,
    /// What was sampled.
    pub completions: Vec<CompletionPreview>,
    /// What would be trained on.
    pub trained: Vec<TrainedPreview>,
    /// Tokens that were sampled, of rollouts and of explanations.
    pub sampled: [usize; 2],
    /// Seconds that sampling took.
    pub sampling_seconds: f64,
    /// Tokens that went through a pass with gradients.
    pub trained_tokens: usize,
    /// Seconds that the pass took.
    pub training_seconds: f64,
}

/// `config` for a look: one step of two questions with two completions and one explanation each, nothing evaluated.
pub fn small(config: &Config) -> Config {
    let mut small = config.clone();
    (small.train.steps, small.train.prompts_per_step, small.train.num_iterations) = (1, 2, 1);
    (small.rollout.num_generations, small.exp.num_explanations) = (2, 1);
    (small.exp.metrics_every, small.star.every, small.grpo.filter_groups) = (0, 1, false);
    small.rehearsal.documents_per_step = small.rehearsal.documents_per_step.min(2);
    small.eval = Default::default();
    small
}

impl Trainer {
    /// Draws one step and passes over it; no weight changes. To be called instead of [`Trainer::run`], of a configuration made [`small`].
    /// Errors: those of a step.
    pub fn preview(&mut self, observer: &mut dyn Observer) -> Result<Preview> {
        for notice in std::mem::take(&mut self.notices) {
            observer.on_notice(0, &notice);
        }
        let mut clock = Clock::default();
        let start = Instant::now();
        let prepared = self.draw(&mut clock, observer, |source, context| source.prepare(context))?;
        let mut drawing = self.draw(&mut clock, observer, |source, context| source.draw(0, context))?;
        let sampling_seconds = start.elapsed().as_secs_f64();
        if drawing.drawn.groups.is_empty() {
            drawing.drawn.groups = prepared.drawn.groups;
        }
        let Drawing { mut drawn, .. } = drawing;
        let Trainer { config, task, recipe, state, .. } = self;
        let State { policies, source, documents, .. } = state;
        if let Some(documents) = documents {
            drawn.documents = documents.draw(task.as_ref(), recipe.sources().documents)?;
        }
        let problems = source.as_ref().map_or(&[][..], |source| source.problems());
        let mut preview = Preview {
            prompts: problems.iter().take(2).map(|problem| prompt(task.as_ref(), problem)).collect::<Result<_>>()?,
            prompt_lengths: problems.iter().map(|problem| problem.prompt.len()).collect(),
            context: policies.current().context(),
            sampled: [clock.rollout_tokens, clock.explanation_tokens],
            sampling_seconds,
            ..Preview::default()
        };
        preview.prompt_lengths.sort_unstable();
        for group in &drawn.groups {
            completions(task.as_ref(), &problems[group.problem], group, &mut preview.completions)?;
        }
        let sequences = recipe.sequences(&drawn, schedule::beta_exp(&config.exp, 0, 1));
        preview.trained = sequences.iter().map(|sequence| trained(task.as_ref(), sequence)).collect::<Result<_>>()?;
        let start = Instant::now();
        let (policy, teachers) = policies.to_train();
        let pass = accumulate(policy, &sequences, &Accumulation { unit_temperature: true, dropout_seed: 0, teachers })?;
        (preview.trained_tokens, preview.training_seconds) = (pass.trained_tokens, start.elapsed().as_secs_f64());
        Ok(preview)
    }
}

fn prompt(task: &dyn Task, problem: &PreparedProblem) -> Result<PromptPreview> {
    let shown = Some(&problem.explanation_prompt).filter(|prompt| !prompt.is_empty());
    Ok(PromptPreview {
        id: problem.problem.id.clone(),
        answer: problem.problem.answer.clone(),
        prompt: task.decode_with_special_tokens(&problem.prompt)?,
        tokens: problem.prompt.len(),
        explanation: shown.map(|prompt| task.decode_with_special_tokens(prompt)).transpose()?,
    })
}

fn completions(task: &dyn Task, problem: &PreparedProblem, group: &Group, all: &mut Vec<CompletionPreview>) -> Result<()> {
    let id = &problem.problem.id;
    for rollout in &group.rollouts {
        all.push(CompletionPreview {
            id: id.clone(),
            is_explanation: false,
            text: task.decode_with_special_tokens(&rollout.tokens)?,
            tokens: rollout.tokens.len(),
            truncated: rollout.is_truncated(),
            extracted: rollout.extracted.clone(),
            correct: rollout.correct,
            reason: rollout.reason.clone(),
            outcome: None,
        });
    }
    for logged in group.explanations.iter().flat_map(|made| &made.log) {
        let outcome = serde_json::to_value(logged.outcome).ok().and_then(|outcome| outcome.as_str().map(str::to_owned));
        all.push(CompletionPreview {
            id: id.clone(),
            is_explanation: true,
            text: task.decode_with_special_tokens(logged.sampled())?,
            tokens: logged.sampled().len(),
            truncated: logged.truncated,
            extracted: logged.extracted.clone(),
            correct: logged.correct,
            reason: logged.reason.clone(),
            outcome,
        });
    }
    Ok(())
}

fn trained(task: &dyn Task, sequence: &Sequence) -> Result<TrainedPreview> {
    let mut is_scored = vec![false; sequence.completion.len()];
    sequence.scored().for_each(|place| is_scored[place] = sequence.needs_gradient());
    let mut completion = Vec::new();
    let mut start = 0;
    while start < is_scored.len() {
        let end = start + is_scored[start..].iter().take_while(|scored| **scored == is_scored[start]).count();
        completion.push((task.decode_with_special_tokens(&sequence.completion[start..end])?, is_scored[start]));
        start = end;
    }
    Ok(TrainedPreview {
        prompt: task.decode_with_special_tokens(sequence.prompt)?,
        completion,
        terms: sequence.losses.iter().map(|loss| loss.term.name()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RecipeName;
    use crate::run::data::TrainData;
    use crate::testing::run::{CharTask, config, documents, problems, save_folder, tiny_model};

    #[test]
    fn a_look_shows_what_a_step_would_draw_and_train_on_and_changes_nothing() {
        let mut config = config();
        config.train.recipe = RecipeName::ExpGrpo;
        (config.rehearsal.data, config.rehearsal.documents_per_step) = ("list".into(), 5);
        let data = TrainData {
            problems: problems(6),
            documents: Some(crate::feed::documents::Documents::List(documents(4))),
            ..TrainData::default()
        };
        let mut trainer = Trainer::with_task(small(&config), tiny_model(5), Box::new(CharTask::new()), save_folder(), data, None).unwrap();
        let before = trainer.policy().sha256().unwrap();
        let preview = trainer.preview(&mut ()).unwrap();
        assert_eq!(trainer.policy().sha256().unwrap(), before);
        assert_eq!(preview.prompts[0].prompt, "<user>2/2?<assistant>");
        assert_eq!(preview.prompts[0].explanation.as_deref(), Some("<user>2/2?[1]<assistant>"));
        assert_eq!((preview.prompt_lengths.len(), preview.context), (6, 128));
        let explained = preview.completions.iter().filter(|completion| completion.is_explanation).count();
        assert_eq!((preview.completions.len(), explained), (6, 2));
        assert!(preview.completions.iter().all(|completion| completion.is_explanation == completion.outcome.is_some()));
        assert!(preview.sampled[0] > 0 && preview.sampled[1] > 0 && preview.trained_tokens > 0);
        // The two documents are trained on, whatever was sampled.
        let of_documents: Vec<_> = preview.trained.iter().filter(|trained| trained.terms == ["rehearsal"]).collect();
        assert_eq!(of_documents.len(), 2);
        assert!(of_documents.iter().all(|trained| trained.completion.len() == 1 && trained.completion[0].0.ends_with("<end>")));
        assert!(of_documents.iter().all(|trained| trained.completion[0].1));
    }
}
