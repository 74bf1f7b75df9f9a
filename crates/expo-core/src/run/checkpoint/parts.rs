//! What of a trainer a checkpoint holds, in one place for both directions.

use expo_lm::Result as ModelResult;
use expo_lm::model::Model;
use expo_lm::optim::AdamW;
use expo_lm::weights::safetensors::SafetensorsSource;
use expo_lm::weights::tensor_file::{SaveDtype, file_size};
use expo_lm::weights::{TensorSet, TensorSource};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::resume::{Resumable, from_state};
use crate::run::reference::MovingReference;
use crate::run::trainer::{RunSummary, Trainer};

/// What changes while a run goes on.
pub(super) struct Parts<'a> {
    policy: &'a mut Model,
    optimizer: &'a mut AdamW,
    /// Further weights, by name.
    models: Vec<(&'static str, &'a mut Model)>,
    /// Everything small, by name.
    values: Vec<(&'static str, &'a mut dyn Resumable)>,
    /// Counts of what is passed over when the run goes on, by part and field (empty: the part itself), and the most that each can be.
    most: [(&'static str, &'static str, usize); 2],
}

/// Names of the files of tensors that every checkpoint has.
const POLICY: &str = "policy";
const MOMENTS: [&str; 2] = ["adamw_first_moments", "adamw_second_moments"];

impl Trainer {
    /// Takes the trainer apart. No field is left out by `..`: of a new one it has to be said here whether a checkpoint holds it.
    pub(super) fn parts(&mut self) -> Parts<'_> {
        let Self {
            // The same for the same configuration, data and start weights, which are compared when a run goes on.
            config,
            task: _,
            recipe: _,
            draws,
            problems: _,
            initial: _,
            // Without memory of earlier steps.
            rollout: _,
            trainable: _,
            // The run's files: how long they are is written beside the parts.
            output: _,
            saver: _,
            notices: _,
            model,
            documents,
            pairs,
            order,
            rewards,
            explainer,
            reference,
            average,
            last_good,
            rationales,
            evaluator,
            optimizer,
            optimizer_steps,
            questions_drawn,
            prepared,
            watchdog,
            summary,
        } = self;
        let train = &config.train;
        // STaR draws the questions of a whole outer iteration at once.
        let batches = train.steps.saturating_add(config.star.every).saturating_mul(config.grpo.max_num_gen_batches);
        let wanted = train.steps.saturating_mul(train.num_iterations).saturating_mul(draws.documents);
        let most_documents = documents.as_ref().map_or(0, |documents| documents.most_taken(wanted));
        let models = [
            ("reference", reference.as_mut().map(MovingReference::model_mut)),
            ("average", average.as_mut()),
            ("last_good", last_good.as_mut()),
        ];
        let values: [(&'static str, &mut dyn Resumable); 12] = [
            ("documents", documents),
            ("pairs", pairs),
            ("rationales", rationales),
            ("order", order),
            ("rewards", rewards),
            ("explainer", explainer),
            ("optimizer_steps", optimizer_steps),
            ("evaluator", evaluator),
            ("questions_drawn", questions_drawn),
            ("prepared", prepared),
            ("watchdog", watchdog),
            ("summary", summary),
        ];
        Parts {
            most: [("questions_drawn", "", batches.saturating_mul(train.prompts_per_step)), ("documents", "position", most_documents)],
            policy: model,
            optimizer,
            models: models.into_iter().filter_map(|(name, model)| Some((name, model?))).collect(),
            values: values.into(),
        }
    }
}

impl Resumable for RunSummary {
    fn state(&self) -> Result<Value> {
        let Self { steps, seconds, sampled_tokens, trained_tokens, best, stopped_early, .. } = self;
        Ok(json!({
            "steps": steps, "seconds": seconds, "sampled_tokens": sampled_tokens, "trained_tokens": trained_tokens, "best": best,
            "stopped_early": stopped_early,
        }))
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let field = |name: &str| state.get(name).cloned().unwrap_or_default();
        self.steps = from_state(field("steps"))?;
        self.seconds = from_state(field("seconds"))?;
        self.sampled_tokens = from_state(field("sampled_tokens"))?;
        self.trained_tokens = from_state(field("trained_tokens"))?;
        self.best = from_state(field("best"))?;
        self.stopped_early = from_state(field("stopped_early"))?;
        Ok(())
    }
}

/// The policy of a capture, for its model folder.
pub(super) enum Policy<'a> {
    Borrowed(&'a Model),
    Owned(Box<Model>),
}

impl std::ops::Deref for Policy<'_> {
    type Target = Model;
    fn deref(&self) -> &Model {
        match self {
            Self::Borrowed(model) => model,
            Self::Owned(model) => model,
        }
    }
}

/// A run at one moment.
pub(super) struct Capture<'a> {
    /// The policy.
    pub policy: Policy<'a>,
    /// Weights and moments beside it, by name.
    sets: Vec<(&'static str, Box<dyn TensorSet + 'a>)>,
    /// Everything small, by name.
    pub values: Map<String, Value>,
}

/// The small parts' states by name.
fn states(parts: &[(&'static str, &mut dyn Resumable)]) -> Result<Map<String, Value>> {
    parts.iter().map(|(name, part)| Ok(((*name).to_owned(), part.state()?))).collect()
}

/// Gives each of the small parts the state that `take` finds for its name.
fn restore_states(parts: Vec<(&'static str, &mut dyn Resumable)>, mut take: impl FnMut(&str) -> Result<Value>) -> Result<()> {
    for (name, part) in parts {
        part.restore(take(name)?).map_err(|e| Error::Run(format!("the checkpoint's part `{name}`: {e}")))?;
    }
    Ok(())
}

impl<'a> Parts<'a> {
    /// Everything but weights and moments.
    pub(super) fn states(self) -> Result<Map<String, Value>> {
        states(&self.values)
    }

    /// Takes over what [`Self::states`] gave: weights and moments stay.
    pub(super) fn restore_states(self, mut states: Map<String, Value>) -> Result<()> {
        restore_states(self.values, |name| Ok(states.remove(name).unwrap_or_default()))
    }

    /// The parts as they are, borrowed.
    pub(super) fn capture(self) -> Result<Capture<'a>> {
        let policy: &'a Model = self.policy;
        let optimizer: &'a AdamW = self.optimizer;
        let mut sets: Vec<(&'static str, Box<dyn TensorSet + 'a>)> = Vec::new();
        for (name, moments) in MOMENTS.into_iter().zip(optimizer.moments(policy)) {
            sets.push((name, Box::new(moments)));
        }
        for (name, model) in self.models {
            let model: &'a Model = model;
            sets.push((name, Box::new(model.tensors())));
        }
        let mut values = states(&self.values)?;
        values.insert("adamw_steps".to_owned(), optimizer.steps().into());
        Ok(Capture { policy: Policy::Borrowed(policy), sets, values })
    }

    /// Takes over what a checkpoint holds: `values` by name, and tensors from the file that `open` finds for a name. Errors: a part that is missing or
    /// unknown, as another version may have written it, or of another form.
    pub(super) fn restore(
        self,
        mut values: Map<String, Value>,
        open: &dyn Fn(&str) -> ModelResult<SafetensorsSource<'static>>,
    ) -> Result<()> {
        for (part, field, most) in self.most {
            let value = values.get(part).and_then(|value| if field.is_empty() { Some(value) } else { value.get(field) });
            if let Some(found) = value.and_then(Value::as_u64).filter(|found| *found > most as u64) {
                let message = format!("the checkpoint's {part} {field} is {found}; a run of this configuration has at most {most}");
                return Err(Error::Run(message));
            }
        }
        let mut take = |name: &str| {
            let missing = || Error::Run(format!("the checkpoint has no part `{name}`"));
            values.remove(name).ok_or_else(missing)
        };
        let steps = from_state(take("adamw_steps")?)?;
        restore_states(self.values, take)?;
        if let Some((name, _)) = values.into_iter().next() {
            return Err(Error::Run(format!("the checkpoint has a part `{name}`, which is not known here")));
        }
        self.policy.restore(&mut open(POLICY)?)?;
        let [mut first, mut second] = [open(MOMENTS[0])?, open(MOMENTS[1])?];
        let moments: [&mut dyn TensorSource; 2] = [&mut first, &mut second];
        self.optimizer.restore(self.policy, steps, moments)?;
        for (name, model) in self.models {
            model.restore(&mut open(name)?)?;
        }
        Ok(())
    }
}

impl Capture<'_> {
    /// The same with copies of all weights, so that training can go on.
    pub(super) fn copied(self) -> Capture<'static> {
        Capture {
            policy: Policy::Owned(Box::new(self.policy.duplicate())),
            sets: self.sets.into_iter().map(|(name, set)| (name, set.copied())).collect(),
            values: self.values,
        }
    }

    /// Calls `each` with every set of tensors and the name of its file.
    pub(super) fn tensors(&self, each: &mut dyn FnMut(&str, &dyn TensorSet) -> Result<()>) -> Result<()> {
        each(POLICY, &self.policy.tensors())?;
        self.sets.iter().try_for_each(|(name, set)| each(name, set.as_ref()))
    }

    /// Bytes of all files of tensors, those of the model folder in `dtype` among them.
    pub(super) fn size(&self, dtype: SaveDtype) -> Result<u64> {
        // An adapter's folder is always 32-bit.
        let dtype = if self.policy.adapter().is_some() { SaveDtype::F32 } else { dtype };
        let mut bytes = file_size(&self.policy.tensors().shapes(), dtype);
        self.tensors(&mut |_, set| {
            bytes += file_size(&set.shapes(), SaveDtype::F32);
            Ok(())
        })?;
        Ok(bytes)
    }
}
