//! A run at one moment: what of its state is written, and taken over again.

use expo_lm::weights::safetensors::SafetensorsSource;
use expo_lm::weights::tensor_file::{SaveDtype, file_size};
use expo_lm::weights::{TensorSet, TensorSource};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::policy::{Lm, Policy};
use crate::resume::{Resumable, from_state};
use crate::run::state::Parts;

/// The name of the policy's file of tensors, which every checkpoint has.
const POLICY: &str = "policy";
/// The part that says how many updates the optimizer's tensors are of.
const OPTIMIZER_STEPS: &str = "adamw_steps";

/// The policy of a capture, for its model folder.
pub(super) enum Weights<'a> {
    Borrowed(&'a dyn Lm),
    Owned(Box<dyn Lm>),
}

impl Weights<'_> {
    pub(super) fn lm(&self) -> &dyn Lm {
        match self {
            Self::Borrowed(lm) => *lm,
            Self::Owned(lm) => lm.as_ref(),
        }
    }
}

/// A run at one moment.
pub(super) struct Capture<'a> {
    /// The policy.
    pub policy: Weights<'a>,
    /// Weights and moments beside it, by name.
    sets: Vec<(&'static str, Box<dyn TensorSet + 'a>)>,
    /// Everything small, by name.
    pub values: Map<String, Value>,
}

/// The small parts' states by name.
pub(super) fn states(parts: &[(&'static str, &mut dyn Resumable)]) -> Result<Map<String, Value>> {
    parts.iter().map(|(name, part)| Ok(((*name).to_owned(), part.state()?))).collect()
}

/// Gives each of the small parts the state that `take` finds for its name.
pub(super) fn restore_states(parts: Vec<(&'static str, &mut dyn Resumable)>, mut take: impl FnMut(&str) -> Result<Value>) -> Result<()> {
    for (name, part) in parts {
        part.restore(take(name)?).map_err(|e| Error::Checkpoint(format!("the checkpoint's part `{name}`: {e}")))?;
    }
    Ok(())
}

/// Takes `parts` back to what a checkpoint holds: `values` by name, and tensors from the file that `open` finds for a name. `most` has the counts that a run of this
/// configuration can have. Errors: a part that is missing or unknown, as another version may have written it, or of another form.
pub(super) fn restore(
    parts: Parts,
    most: &[(&'static str, &'static str, usize)],
    mut values: Map<String, Value>,
    open: &dyn Fn(&str) -> Result<SafetensorsSource<'static>>,
) -> Result<()> {
    for (part, field, most) in most {
        let value = values.get(*part).and_then(|value| if field.is_empty() { Some(value) } else { value.get(*field) });
        if let Some(found) = value.and_then(Value::as_u64).filter(|found| *found > *most as u64) {
            let message = format!("the checkpoint's {part} {field} is {found}; a run of this configuration has at most {most}");
            return Err(Error::Checkpoint(message));
        }
    }
    let mut take = |name: &str| {
        let missing = || Error::Checkpoint(format!("the checkpoint has no part `{name}`"));
        values.remove(name).ok_or_else(missing)
    };
    let steps = from_state(take(OPTIMIZER_STEPS)?)?;
    restore_states(parts.values, take)?;
    // A part that holds nothing is of a source that this recipe doesn't have: older versions wrote all.
    let holds_nothing = |value: &Value| value.is_null() || *value == 0 || value.as_object().is_some_and(Map::is_empty);
    if let Some((name, _)) = values.into_iter().find(|(_, value)| !holds_nothing(value)) {
        return Err(Error::Checkpoint(format!("the checkpoint has a part `{name}`, which is not known here")));
    }
    parts.policy.restore(&mut open(POLICY)?)?;
    parts.policy.restore_moments(steps, &|name| Ok(Box::new(open(name)?) as Box<dyn TensorSource>))?;
    for (name, model) in parts.models {
        model.restore(&mut open(name)?)?;
    }
    Ok(())
}

impl<'a> Capture<'a> {
    /// `parts` as they are, borrowed.
    pub(super) fn of(parts: Parts<'a>) -> Result<Self> {
        let policy: &'a dyn Policy = parts.policy;
        let mut sets = policy.moments()?;
        for (name, model) in parts.models {
            let model: &'a dyn Lm = model;
            sets.push((name, model.tensors()?));
        }
        let mut values = states(&parts.values)?;
        values.insert(OPTIMIZER_STEPS.to_owned(), policy.optimizer_steps().into());
        Ok(Self { policy: Weights::Borrowed(policy), sets, values })
    }

    /// The same with copies of all weights, so that training can go on.
    pub(super) fn copied(self) -> Result<Capture<'static>> {
        Ok(Capture {
            policy: Weights::Owned(self.policy.lm().duplicate()?),
            sets: self.sets.into_iter().map(|(name, set)| (name, set.copied())).collect(),
            values: self.values,
        })
    }

    /// Calls `each` with every set of tensors and the name of its file.
    pub(super) fn tensors(&self, each: &mut dyn FnMut(&str, &dyn TensorSet) -> Result<()>) -> Result<()> {
        each(POLICY, self.policy.lm().tensors()?.as_ref())?;
        self.sets.iter().try_for_each(|(name, set)| each(name, set.as_ref()))
    }

    /// Bytes of all files of tensors, those of the model folder in `dtype` among them.
    pub(super) fn size(&self, dtype: SaveDtype) -> Result<u64> {
        // An adapter's folder is always 32-bit.
        let dtype = if self.policy.lm().has_adapter() { SaveDtype::F32 } else { dtype };
        let mut bytes = file_size(&self.policy.lm().tensors()?.shapes(), dtype);
        self.tensors(&mut |_, set| {
            bytes += file_size(&set.shapes(), SaveDtype::F32);
            Ok(())
        })?;
        Ok(bytes)
    }
}
