//! The training problems as tokens, and which of them fit into the context.

use expo_lm::chat::{Conversation, FieldCheck, Message};

use crate::config::{Config, ExpertCotFormat};
use crate::data::{Bad, BadRows, Problem};
use crate::error::{Error, Result};
use crate::objective::recipe::GroupSources;
use crate::task::suffix::{Suffix, suffix};
use crate::task::{Task, exceeds};

/// One problem with everything that a step needs of it as tokens.
#[derive(Debug, Clone)]
pub struct PreparedProblem {
    /// The problem.
    pub problem: Problem,
    /// Its place among the problems as they were read.
    pub index: usize,
    /// The question alone.
    pub prompt: Vec<u32>,
    /// The question with the answer shown; empty where the recipe draws no explanations.
    pub explanation_prompt: Vec<u32>,
    /// Expert chain of thought with its answer (the answer suffix, or its own) and the end of turn.
    pub expert: Option<Vec<u32>>,
    /// Delimiter and answer.
    pub suffix: Suffix,
}

/// The problems of a run.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// Those that fit.
    pub prepared: Vec<PreparedProblem>,
    /// How many were left out because a prompt and its longest completion exceed the context.
    pub too_long: usize,
    /// What to tell of those that the chat template or the tokenizer refuses, passed over as `data.on_bad_row` says.
    pub notice: Option<String>,
    /// What else to tell.
    pub told: Vec<String>,
}

/// What a step needs of one problem, as tokens.
struct Encoded {
    prompt: Vec<u32>,
    explanation_prompt: Vec<u32>,
    expert: Option<Vec<u32>>,
    /// Why there is no expert chain of thought although the data has one.
    told: Option<String>,
    suffix: Suffix,
}

impl Encoded {
    fn new(config: &Config, task: &dyn Task, sources: GroupSources, problem: &Problem, context: usize) -> Result<Self> {
        let named = |error: Error| Error::row(&problem.id, error);
        let expert = |cot: &String| match config.data.expert_cot_format {
            ExpertCotFormat::Prompt => task.answer(problem, cot, &task.answer_suffix(problem)?).map_err(named),
            ExpertCotFormat::Original => task.answer(problem, "", cot).map_err(named),
        };
        let expert = problem.expert_cot.as_ref().filter(|cot| !exceeds(cot.len(), context)).map(expert).transpose();
        let (expert, told) = match expert {
            // They are only measured.
            Err(error) if !sources.expert => (None, Some(error.to_string())),
            expert => (expert?, None),
        };
        Ok(Self {
            prompt: task.question(problem)?,
            explanation_prompt: if sources.explanations { task.explanation(problem)? } else { Vec::new() },
            expert,
            told,
            suffix: suffix(task, problem)?,
        })
    }
}

/// Encodes `problems` for a model with a context of `context` tokens. Errors: a problem that the chat template or the
/// tokenizer refuses (by its id) where such are refused, no problem at all, none that fits, expert chains of thought wanted and none there.
pub fn prepare(config: &Config, task: &dyn Task, sources: GroupSources, problems: Vec<Problem>, context: usize) -> Result<Problems> {
    let source = &config.data.train;
    let total = problems.len();
    if total == 0 {
        return Err(Error::Data(format!("{source}: no problem to train on; check the file and the filters data.levels and data.limit")));
    }
    let mut result = Problems::default();
    let mut shortest = usize::MAX;
    let mut bad = BadRows::new(config.data.on_bad_row);
    let mut fields = FieldCheck::default();
    // Where it is an error, none is written.
    let end = task.end_of_turn().map_or(1, <[u32]>::len);
    for (index, problem) in problems.into_iter().enumerate() {
        if exceeds(problem.question.len() + problem.answer.len(), context) {
            result.too_long += 1;
            continue;
        }
        let Some(encoded) = bad.sift(Encoded::new(config, task, sources, &problem, context).map_err(Bad::Row))? else { continue };
        let Encoded { prompt, explanation_prompt, expert, told, suffix } = encoded;
        if problem.context != Conversation::default() {
            let asked = problem.context.with(vec![Message::new("user", &*problem.question)]);
            task.look_at_fields(&asked, &mut fields)?;
        }
        if let Some(why) = told
            && result.told.is_empty()
        {
            result.told.push(format!("expert chains of thought that can't be written as turns are not measured, such as: {why}"));
        }
        // The suffix and the end of turn may follow an explanation (a replaced answer, on both prompts) and a rollout (the answer gain, the reward by the
        // answer's likelihood).
        let tail = if sources.explanations || config.reward.answer_likelihood > 0.0 { suffix.tokens.len() + end } else { 0 };
        // The answer behind a trace of another policy is asked for, too.
        let trace_tail = if config.reward.answer_likelihood > 0.0 { tail } else { 0 };
        let mut needed = prompt.len() + config.rollout.max_new_tokens + tail;
        if sources.explanations {
            needed = needed.max(explanation_prompt.len().max(prompt.len()) + config.exp.max_new_tokens + tail);
        }
        if needed > context {
            shortest = shortest.min(needed);
            result.too_long += 1;
            continue;
        }
        let expert = expert.filter(|tokens| prompt.len() + tokens.len() + trace_tail <= context);
        result.prepared.push(PreparedProblem { problem, index, prompt, explanation_prompt, expert, suffix });
    }
    result.notice = bad.notice();
    if let Some(notice) = fields.notice() {
        result.told.push(format!("{source}: {notice}"));
    }
    if result.prepared.is_empty() && result.too_long == 0 {
        return Err(Error::Data(format!("{source}: none of the {total} problems can be used; {}", bad.notice().unwrap_or_default())));
    }
    if result.prepared.is_empty() {
        let shortest = if shortest == usize::MAX { format!("far more than {context}") } else { shortest.to_string() };
        return Err(Error::TooLong(format!(
            "{source}: no prompt fits: the shortest needs {shortest} tokens with its completion (rollout.max_new_tokens, exp.max_new_tokens), \
             the model's context has {context}; lower max_new_tokens or shorten the prompts"
        )));
    }
    if sources.expert && result.prepared.iter().all(|problem| problem.expert.is_none()) {
        return Err(Error::Unsuited(format!(
            "{source}: recipe {} needs expert chains of thought, but none of the {} problems has one that fits the context; name their field with \
             data.expert_cot_field or use another recipe",
            config.train.recipe,
            result.prepared.len()
        )));
    }
    Ok(result)
}
