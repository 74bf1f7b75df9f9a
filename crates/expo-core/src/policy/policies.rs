//! The weights of a run: the policy that is trained, and those that are kept beside it.

use super::{Lm, Policy, Teachers};
use crate::error::Result;

/// Whose completions are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// The policy of this version: the number of optimizer steps that led to it.
    Policy(u64),
    /// The run's initial policy.
    Initial,
    /// The moving average of the policy.
    Average,
}

/// The weights that may write completions.
#[derive(Clone, Copy)]
pub struct Writers<'a> {
    /// The policy as it is now.
    pub current: &'a dyn Lm,
    /// The run's initial policy, where it is kept.
    pub initial: Option<&'a dyn Lm>,
    /// The moving average of the policy, where it is kept.
    pub average: Option<&'a dyn Lm>,
}

impl<'a> Writers<'a> {
    /// One policy alone.
    pub fn one(current: &'a dyn Lm) -> Self {
        Self { current, initial: None, average: None }
    }

    /// The weights of `writer`, and their version where they have one. Weights that are not kept are still those of the policy.
    pub fn of(&self, writer: Writer) -> (&'a dyn Lm, Option<u64>) {
        match writer {
            Writer::Policy(version) => (self.current, Some(version)),
            Writer::Initial => (self.initial.unwrap_or(self.current), None),
            Writer::Average => (self.average.unwrap_or(self.current), None),
        }
    }
}

/// Weights that follow the policy: `followed = alpha * policy + (1 - alpha) * followed` every so many steps.
pub struct Following {
    lm: Box<dyn Lm>,
    /// After how many steps it moves.
    every: usize,
    /// What it keeps of itself.
    decay: f32,
}

impl Following {
    fn follow(&mut self, policy: &dyn Lm, steps: usize) -> Result<()> {
        if steps.is_multiple_of(self.every) { self.lm.average_in(policy, self.decay) } else { Ok(()) }
    }
}

/// What a run keeps beside its policy.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Kept {
    /// The initial policy.
    pub initial: bool,
    /// Whether the policy may return to it.
    pub returns: bool,
    /// A reference that moves (TR-DPO, arXiv 2404.09656; TRL's `sync_ref_model`): after how many optimizer steps, and alpha.
    pub reference: Option<(usize, f64)>,
    /// The decay of a moving average of the policy, which moves with every step.
    pub average: Option<f64>,
    /// The weights before the last update.
    pub last_good: bool,
}

/// The weights of a run.
pub struct Policies {
    /// The one that is trained.
    pub policy: Box<dyn Policy>,
    /// The run's initial policy, kept where something refers to it.
    initial: Option<Box<dyn Lm>>,
    /// The reference policy, where it moves; elsewhere that is the initial policy.
    reference: Option<Following>,
    /// The moving average of the policy, kept where it writes explanations.
    average: Option<Following>,
    /// The weights before the last update, where one update may be large enough to ruin them.
    last_good: Option<Box<dyn Lm>>,
}

impl Policies {
    /// `policy` before any training, and what is `kept` beside it.
    pub fn new(policy: Box<dyn Policy>, kept: Kept) -> Result<Self> {
        let follow = |every: usize, decay: f64| Ok::<_, crate::Error>(Following { lm: policy.duplicate()?, every, decay: decay as f32 });
        Ok(Self {
            initial: kept.initial.then(|| if kept.returns { policy.duplicate() } else { policy.start() }).transpose()?,
            reference: kept.reference.map(|(every, alpha)| follow(every, 1.0 - alpha)).transpose()?,
            average: kept.average.map(|decay| follow(1, decay)).transpose()?,
            last_good: kept.last_good.then(|| policy.duplicate()).transpose()?,
            policy,
        })
    }

    /// The policy as it is now, to be asked.
    pub fn current(&self) -> &dyn Lm {
        self.policy.as_ref()
    }

    /// The run's initial policy, where it is kept.
    pub fn initial(&self) -> Option<&dyn Lm> {
        self.initial.as_deref()
    }

    /// The reference policy, where one is kept: it moves, or is the initial policy.
    pub fn reference(&self) -> Option<&dyn Lm> {
        self.reference.as_ref().map(|following| &*following.lm).or(self.initial())
    }

    /// Who may write completions.
    pub fn writers(&self) -> Writers<'_> {
        Writers { current: self.current(), initial: self.initial(), average: self.average.as_ref().map(|average| &*average.lm) }
    }

    /// The policy to be trained, and who may teach it.
    pub fn to_train(&mut self) -> (&mut dyn Policy, Teachers<'_>) {
        let teachers = Teachers { initial: self.initial.as_deref(), average: self.average.as_ref().map(|average| &*average.lm) };
        (self.policy.as_mut(), teachers)
    }

    /// The weights before the last update where they are kept, else those as they are.
    pub fn last_good(&self) -> &dyn Lm {
        self.last_good.as_deref().unwrap_or(self.current())
    }

    /// Applies the gradient that the policy holds; `steps` is the number of optimizer steps with this one.
    pub fn apply(&mut self, learning_rate: f64, scale: f64, steps: usize) -> Result<()> {
        if let Some(last_good) = &mut self.last_good {
            last_good.copy_from(self.policy.as_ref())?;
        }
        self.policy.apply(learning_rate, scale)?;
        self.reference.as_mut().map_or(Ok(()), |reference| reference.follow(self.policy.as_ref(), steps))
    }

    /// A step of the loop is done.
    pub fn step_done(&mut self) -> Result<()> {
        self.average.as_mut().map_or(Ok(()), |average| average.follow(self.policy.as_ref(), 1))
    }

    /// The policy is the initial one again, where that is kept, its optimizer without memory.
    pub fn return_to_initial(&mut self) -> Result<()> {
        if let Some(initial) = &self.initial {
            self.policy.copy_from(initial.as_ref())?;
            self.policy.reset_optimizer()?;
        }
        Ok(())
    }

    /// The policy, and further weights that change while a run goes on, by name.
    pub fn parts(&mut self) -> (&mut dyn Policy, Vec<(&'static str, &mut dyn Lm)>) {
        // The initial policy is made of the start weights again.
        let Self { policy, initial: _, reference, average, last_good } = self;
        let models = [
            ("reference", reference.as_mut().map(|following| following.lm.as_mut())),
            ("average", average.as_mut().map(|following| following.lm.as_mut())),
            ("last_good", last_good.as_deref_mut()),
        ];
        (policy.as_mut(), models.into_iter().filter_map(|(name, lm)| Some((name, lm?))).collect())
    }
}
